"""Where a fast path is chosen, and where not. The bodies themselves: test_fast_*.py."""

import importlib
import os
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from minissm import fast, gradcheck, layers, reference, tree
from minissm.backend import REFERENCE
from minissm.fast import chunked, fnn

from .oracles import draw


def test_the_switch_turns_second_bodies_off(monkeypatch):
    u = np.zeros((1, 2, 3))
    assert (fast.path("chunked", u) is None) == REFERENCE
    monkeypatch.setattr(fast, "REFERENCE", True)
    assert fast.path("chunked", u) is None
    monkeypatch.setattr(fast, "REFERENCE", False)
    assert fast.path("chunked", u) is chunked.chunked
    assert fast.path("no such body", u) is None


def test_other_arrays_get_the_plain_body(monkeypatch):
    strict = importlib.import_module("array_api_strict")
    monkeypatch.setattr(fast, "REFERENCE", False)
    assert fast.path("chunked", strict.zeros((1, 2, 3))) is None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("depth", [0, 1, 3])
@pytest.mark.parametrize("shape", [(1, 3), (2, 5, 3), (13, 3)])
def test_fnn_agrees_with_the_plain_body(shape, depth, dtype, rng, monkeypatch):
    monkeypatch.setattr(fnn, "FEWEST", 4)  # blocks of rows, the last one smaller
    monkeypatch.setattr(fnn, "BLOCK", 0)
    p = tree.map(lambda a: (a + 0.1 * draw(rng, *a.shape)).astype(dtype), layers.Fnn(depth).init(rng, 3))
    x, dy = 3 * draw(rng, *shape, dtype=dtype), draw(rng, *shape, dtype=dtype)
    given = [a.copy() for a in (x, dy, *tree.leaves(p))]
    y, back = fnn.fnn(p, x)
    if dtype == np.float64:
        gradcheck(fnn.fnn, p, x)
    monkeypatch.setattr(fast, "path", lambda name, *arrays: None)
    y_plain, back_plain = layers.fnn(p, x)
    tolerance = 1e-5 if dtype == np.float32 else 1e-13
    ours, plain, again = (tree.leaves(t) for t in ((y, back(dy)), (y_plain, back_plain(dy)), (y, back(dy))))
    for a, b, c in zip(ours, plain, again, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * (abs(b).max() or 1))
        np.testing.assert_array_equal(a, c)
    for a, b in zip((x, dy, *tree.leaves(p)), given, strict=True):
        np.testing.assert_array_equal(a, b)


def test_reference_bodies_run_inside_reference_alone(monkeypatch):
    """In this thread, and until the block is left, also by an exception."""
    monkeypatch.setattr(fast, "REFERENCE", False)
    u = np.zeros(3)
    with reference():
        assert fast.path("chunked", u) is None
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(fast.path, "chunked", u).result() is not None
    with pytest.raises(KeyError), reference():
        raise KeyError
    assert fast.path("chunked", u) is not None


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
@pytest.mark.parametrize(
    ("tunables", "size", "kept"),
    [("", 1 << 24, True), ("", 1 << 16, True), ("glibc.malloc.trim_threshold=1000000", 1 << 16, False)],
)
def test_freed_memory_is_kept_unless_the_environment_sets_a_limit(tunables, size, kept):
    """Growth of a process in MB, after arrays of 128 MB in all are freed. With a limit, large ones never stay."""
    code = (
        "from minissm.fast.layout import keep_freed_memory\n"
        "def size(): return int(open('/proc/self/statm').read().split()[1]) >> 8\n"
        "keep_freed_memory(); before = size(); "
        f"[bytearray({size}) for _ in range((1 << 27) // {size})]; print(size() - before)"
    )
    environment = os.environ | {"GLIBC_TUNABLES": tunables}
    more = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True).stdout
    assert (int(more) > 100) == kept
