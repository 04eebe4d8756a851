"""What is said where there is no CuPy that computes: one sentence with the remedy, each from CuPy's own exception."""

import sys
from importlib import metadata
from types import SimpleNamespace

import numpy as np
import pytest

from minissm import backend, gpu, to
from minissm.cli import main

from .runs import refused


def fake(error=None, driver=13010, runtime=13020):
    """A CuPy 14.2 whose first kernel raises."""

    def total(_):
        raise error

    versions = SimpleNamespace(driverGetVersion=lambda: driver, runtimeGetVersion=lambda: runtime)
    return SimpleNamespace(
        __version__="14.2.0",
        arange=np.arange,
        float32=np.float32,
        sum=total if error else np.sum,
        cuda=SimpleNamespace(runtime=versions),
    )


def install(monkeypatch, *packages):
    """As if these packages were installed, and no other CuPy."""

    def version(name):
        if name not in packages:
            raise metadata.PackageNotFoundError(name)
        return "14.2.0"

    monkeypatch.setattr(metadata, "version", version)


# the texts of CuPy 14.2, as it raises them
OLD = RuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version")
NONE = RuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")
LOST = RuntimeError('Failure finding "libnvrtc.so.13 or libnvrtc.so.12": No such file: libnvrtc.so.13\n')
LOST_13 = RuntimeError("CuPy failed to load libnvrtc.so.12: OSError: libnvrtc.so.12: cannot open shared object file")
STRANGE = OSError("something\nelse")
FAILING = {
    "an old driver": (fake(OLD, driver=12040), r"too old: it supports CUDA 12\.4; .* for CUDA 13\.2; install a newer"),
    "the other extra": (fake(OLD, driver=12040), r"pip uninstall -y cupy-cuda13x and install .*'\.\[cuda12\]'"),
    "no driver": (fake(OLD, driver=0), r"CuPy 14\.2\.0 finds no NVIDIA driver; use a machine with .* or use backend"),
    "no GPU": (fake(NONE), r"the NVIDIA driver finds no GPU; check that nvidia-smi shows one .*CUDA_VISIBLE"),
    "no libraries": (fake(LOST), r"not find CUDA's libraries \(.*libnvrtc.*\); .*pip install 'cupy-cuda13x\[ctk\]'"),
    "no libraries, CuPy 13": (fake(LOST_13), r"does not find CUDA's libraries .*pip install 'cupy-cuda13x\[ctk\]'"),
    "unknown": (fake(STRANGE), r"CuPy 14\.2\.0 is installed but can't compute here \(something else\); check that"),
    "not installed": (None, r"CuPy is not installed; install one extra, .*nvidia-smi shows"),
}


@pytest.mark.parametrize(("module", "words"), FAILING.values(), ids=FAILING)
def test_what_is_missing_is_said_in_one_sentence_with_its_remedy(module, words, monkeypatch, capsys, tmp_path):
    install(monkeypatch, "cupy-cuda13x")
    monkeypatch.setitem(sys.modules, "cupy", module)
    with pytest.raises(RuntimeError, match=rf"^backend 'cupy': .*{words}") as caught:
        to(np.zeros(2), "cupy")
    assert "\n" not in str(caught.value)
    monkeypatch.chdir(tmp_path)
    assert str(caught.value)[:200] in refused(capsys, "run", "copying", "--backend", "cupy", "--out", "there")
    assert list(tmp_path.iterdir()) == [], "nothing is written where nothing can be computed"
    assert main(["info"]) == 0
    assert f"GPU: not usable: {caught.value}" in capsys.readouterr().out


def test_two_packages_at_once_are_refused_before_either_is_imported(monkeypatch):
    install(monkeypatch, "cupy-cuda12x", "cupy-cuda13x")
    monkeypatch.setitem(sys.modules, "cupy", fake())
    words = r"2 CuPy packages .*\(cupy-cuda12x, cupy-cuda13x\); pip uninstall -y cupy-cuda12x cupy-cuda13x, then"
    with pytest.raises(RuntimeError, match=words):
        backend.cupy()


def test_one_package_is_enough_whichever_it_is(monkeypatch):
    for name in ("cupy", "cupy-cuda12x", "cupy-cuda13x"):
        install(monkeypatch, name)
        monkeypatch.setitem(sys.modules, "cupy", fake())
        assert backend.cupy() is sys.modules["cupy"]
        assert gpu.installed() == [name]


def test_a_cupy_that_can_not_be_imported_is_told_by_the_reason_it_gives_last(monkeypatch):
    page = "\n=====\nFailed to import CuPy.\n\nOriginal error:\n  ImportError: libcublas.so.12: no file\n" + "=" * 64
    monkeypatch.setattr(gpu.importlib, "import_module", broken(ImportError(page)))
    install(monkeypatch, "cupy-cuda12x")
    words = r"can't be imported \(ImportError: libcublas.so.12: no file\); pip uninstall -y cupy-cuda12x, then install"
    with pytest.raises(RuntimeError, match=words):
        backend.cupy()
    monkeypatch.setattr(gpu.importlib, "import_module", broken(ModuleNotFoundError("No module named 'x'", name="x")))
    with pytest.raises(RuntimeError, match=r"CuPy can't be imported \(No module named 'x'\); install what is missing"):
        backend.cupy()


def broken(error):
    def import_module(name):
        raise error

    return import_module


def test_the_versions_of_cuda_are_read_as_it_counts_them():
    assert [gpu.cuda_version(n) for n in (11080, 12000, 12090, 13020)] == ["11.8", "12.0", "12.9", "13.2"]
