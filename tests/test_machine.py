"""What `minissm info` says, with and without a GPU."""

import platform
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import minissm
from minissm.cli import main
from minissm.lab import machine


def fake_cupy(**more):
    return SimpleNamespace(__version__="99.0", arange=np.arange, float32=np.float32, **more)


def test_info_tells_the_versions_and_the_machine(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    monkeypatch.delenv("MINISSM_REFERENCE", raising=False)
    assert main(["info"]) == 0
    told = capsys.readouterr()
    lines = dict(line.split(": ", 1) for line in told.out.splitlines() if ": " in line)
    assert told.out.startswith(f"minissm {minissm.__version__} at ")
    assert f"Python {platform.python_version()} on " in told.out
    assert f"numpy {np.__version__}" in lines["Packages"]
    assert lines["Processor"].endswith(f"{machine.cores()} cores to use")
    assert "threads" in lines["BLAS"] or lines["BLAS"] == "not recognised"
    assert lines["GPU"].startswith("not usable: backend 'cupy': CuPy is not installed")
    assert lines["Fast paths (minissm/fast/)"] == "on"
    assert told.err == ""


def test_info_tells_what_the_environment_changes(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Prescott")
    monkeypatch.setenv("MINISSM_REFERENCE", "1")
    told = machine.info()
    assert "forced by OPENBLAS_CORETYPE=Prescott" in told
    assert "Fast paths (minissm/fast/): off (MINISSM_REFERENCE is set)" in told


def test_a_gpu_is_told_with_all_that_decides_what_runs_on_it(monkeypatch):
    runtime = SimpleNamespace(
        getDevice=lambda: 1,
        getDeviceProperties=lambda i: {
            "name": f"GPU number {i}".encode(),
            "totalGlobalMem": 85_000_000_000,
            "major": 9,
            "minor": 0,
        },
        driverGetVersion=lambda: 13010,
        runtimeGetVersion=lambda: 12090,
    )
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy(sum=np.sum, cuda=SimpleNamespace(runtime=runtime)))
    assert machine.gpu() == (
        "GPU number 1, 85 GB, compute capability 9.0, driver up to CUDA 13.1, runtime CUDA 12.9, CuPy 99.0; "
        "usable with --backend cupy"
    )


def test_a_cupy_that_cannot_compute_is_told_in_one_line(monkeypatch):
    def broken(_):
        raise ImportError("libcuda.so.1:\n no such file")

    monkeypatch.setitem(sys.modules, "cupy", fake_cupy(sum=broken))
    told = machine.gpu()
    assert told.startswith("not usable: backend 'cupy': CuPy 99.0 is installed but can't compute here")
    assert "(libcuda.so.1: no such file)" in told
    assert "\n" not in told


@pytest.mark.parametrize(
    ("cpuinfo", "name"),
    [("processor\t: 0\nmodel name\t: A CPU @ 2: fast\n", "A CPU @ 2: fast"), ("no such line\n", None), (None, None)],
)
def test_the_processor_has_a_name(tmp_path, monkeypatch, cpuinfo, name):
    path = tmp_path / "cpuinfo"
    if cpuinfo is not None:
        path.write_text(cpuinfo)
    monkeypatch.setattr(machine, "Path", lambda _: path)
    assert machine.processor() == (name or platform.processor() or platform.machine())


def test_cores_are_those_that_this_process_may_use(monkeypatch):
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: {3, 5, 8}, raising=False)
    assert machine.cores() == 3
    monkeypatch.delattr(machine.os, "sched_getaffinity")
    monkeypatch.setattr(machine.os, "cpu_count", lambda: None)
    assert machine.cores() == 1


@pytest.mark.parametrize(
    ("cpuinfo", "widest"),
    [
        ("flags\t: sse2 avx2 avx512f\n", "AVX-512"),
        ("flags\t: sse2 avx avx2\n", "AVX2"),
        ("flags\t: sse2\n", ""),
        ("", ""),
    ],
)
def test_the_widest_instructions_are_those_that_the_system_names(tmp_path, monkeypatch, cpuinfo, widest):
    path = tmp_path / "cpuinfo"
    path.write_text(cpuinfo)
    monkeypatch.setattr(machine, "Path", lambda _: path)
    assert machine.instructions() == widest
