"""Where a second body is chosen, and where not. The bodies themselves: test_fast_*.py."""

import importlib

import numpy as np
import pytest

from minissm import fast, gradcheck, layers
from minissm.backend import PLAIN
from minissm.fast import chunked, gelu

from .oracles import draw


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
