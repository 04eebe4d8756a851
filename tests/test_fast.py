"""Each second body against its plain one."""

import importlib

import numpy as np
import pytest

from minissm import fast, gradcheck, layers, scan
from minissm.backend import PLAIN
from minissm.fast import chunked, gelu

from .oracles import draw


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("given_h0", [False, True])
@pytest.mark.parametrize(
    ("batch", "length", "chunk"), [(1, 1, 1), (3, 37, 37), (2, 65, 32), (5, 130, 32), (3, 11, 4), (2, 8, 4)]
)
def test_chunked_agrees_with_the_plain_body(batch, length, chunk, given_h0, dtype, rng, monkeypatch):
    channels, modes = 3, 5
    log_lam = -rng.uniform(0.01, 0.5, (channels, modes)) + 1j * rng.normal(size=(channels, modes))
    c, u = draw(rng, channels, modes, dtype=complex), draw(rng, batch, length, channels, dtype=dtype)
    complex_ = np.result_type(dtype, np.complex64)
    h0 = draw(rng, batch, channels, modes, dtype=complex_) if given_h0 else None
    dy, dh = draw(rng, *u.shape, dtype=dtype), draw(rng, batch, channels, modes, dtype=complex_)
    monkeypatch.setattr(chunked, "GROUP", channels * length * 2)  # groups of two batch items, the last one smaller
    y, h, back = chunked.chunked(log_lam, c, u, h0, chunk)
    monkeypatch.setattr(fast, "body", lambda name, *arrays: None)
    y_plain, h_plain, back_plain = scan.chunked(log_lam, c, u, h0, chunk=chunk)
    tolerance = 1e-4 if dtype == np.float32 else 1e-11
    for dh_last in (None, dh):
        ours, plain = (y, h, *back(dy, dh_last)), (y_plain, h_plain, *back_plain(dy, dh_last))
        for a, b in zip(ours, plain, strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(1, abs(b).max()))


def test_the_switch_turns_second_bodies_off(monkeypatch):
    u = np.zeros((1, 2, 3))
    assert (fast.body("chunked", u) is None) == PLAIN
    monkeypatch.setattr(fast, "PLAIN", True)
    assert fast.body("chunked", u) is None
    monkeypatch.setattr(fast, "PLAIN", False)
    assert fast.body("chunked", u) is chunked.chunked
    assert fast.body("no such body", u) is None


def test_other_arrays_get_the_plain_body(monkeypatch):
    strict = importlib.import_module("array_api_strict")
    monkeypatch.setattr(fast, "PLAIN", False)
    assert fast.body("chunked", strict.zeros((1, 2, 3))) is None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1,), (2, 3, 5), (7, 11)])
def test_gelu_agrees_with_the_plain_body(shape, dtype, rng, monkeypatch):
    monkeypatch.setattr(gelu, "BLOCK", 10)  # blocks, the last one smaller
    x, dy = 3 * draw(rng, *shape, dtype=dtype), draw(rng, *shape, dtype=dtype)
    y, back = gelu.gelu(x)
    gradcheck(gelu.gelu, x.astype(np.float64))
    monkeypatch.setattr(fast, "body", lambda name, *arrays: None)
    y_plain, back_plain = layers.gelu(x)
    tolerance = 1e-6 if dtype == np.float32 else 1e-14
    for a, b in ((y, y_plain), (back(dy), back_plain(dy))):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * abs(b).max())
