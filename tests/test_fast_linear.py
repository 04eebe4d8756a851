"""scan.linear's fast path: it agrees with the reference on both of its ways and across the borders between them."""

import numpy as np
import pytest

from minissm import fast, scan
from minissm.fast import linear as second
from minissm.gradcheck import gradcheck

from .oracles import draw

SHAPES = [(1, 1), (2, 1, 3), (1, 2), (3, 37, 2, 3), (2, 131, 5), (5, 64, 7), (1, 257, 1), (7, 9, 5)]


def problem(rng, shape, dtype):
    """a, b, h0, dh, dh_last; some factors are 0, and some grow."""
    a = draw(rng, *shape, dtype=dtype)
    a[abs(a) < 0.1] = 0
    state = (shape[0], *shape[2:])
    return a, *(draw(rng, *s, dtype=dtype) for s in (shape, state, shape, state))


def both(monkeypatch, f):
    """f() with fast paths and without."""
    results = []
    for plain in (False, True):
        monkeypatch.setattr(fast, "REFERENCE", plain)
        results.append(f())
    return results


def small(monkeypatch, wide=8):
    """Sizes at which a few numbers take every way: chunks in chunks, several blocks and groups, a rest."""
    for name, value in (("Q", 3), ("WIDE", wide), ("BLOCK", 100)):
        monkeypatch.setattr(second, name, value)


def assert_close(ours, plain, tolerance):
    for a, b in zip(ours, plain, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * (abs(b).max() or 1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_bodies_agree(shape, dtype, rng, monkeypatch):
    small(monkeypatch)
    a, b, h0, dh, dh_last = problem(rng, shape, dtype)

    def run():
        h, last, back = scan.linear(a, b, h0)
        h_zero, last_zero, back_zero = scan.linear(a, b)
        return h, last, *back(dh, dh_last), *back(dh), *back(None, dh_last), h_zero, last_zero, *back_zero(dh)

    assert_close(*both(monkeypatch, run), 1e-4 if np.finfo(dtype).eps > 1e-10 else 1e-11)


@pytest.mark.parametrize(("batch", "channels"), [(1, 2047), (1, 2048), (3, 682), (3, 683), (9, 455), (1, 5000)])
@pytest.mark.parametrize("length", [31, 32, 33, 65])
def test_the_bodies_agree_across_the_border_between_wide_and_narrow(length, batch, channels, rng, monkeypatch):
    a, b, h0, dh, dh_last = problem(rng, (batch, length, channels), np.float64)
    a *= 0.5

    def run():
        h, last, back = scan.linear(a, b, h0)
        return h, last, *back(dh, dh_last)

    assert_close(*both(monkeypatch, run), 1e-12)


@pytest.mark.parametrize("wide", [1, 1000])
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_gradients_match_differences(dtype, wide, rng, monkeypatch):
    small(monkeypatch, wide)
    monkeypatch.setattr(fast, "REFERENCE", False)
    a, b, h0, *_ = problem(rng, (2, 23, 5), dtype)
    gradcheck(scan.linear, a, b, h0, names=("a", "b", "h0"))
    gradcheck(scan.linear, a, b, None, names=("a", "b", "h0"))


def test_arguments_stay_unwritten_and_backward_may_be_called_again(rng, monkeypatch):
    small(monkeypatch)
    monkeypatch.setattr(fast, "REFERENCE", False)
    given = problem(rng, (2, 40, 3), np.complex64)
    for x in given:
        x.flags.writeable = False
    a, b, h0, dh, dh_last = given
    h, last, back = scan.linear(a, b, h0)
    h.flags.writeable = last.flags.writeable = False
    first = [g.copy() for g in back(dh, dh_last)]
    back(2 * dh)
    for x, y in zip(back(dh, dh_last), first, strict=True):
        np.testing.assert_array_equal(x, y)


def test_arrays_that_are_views_are_as_good(rng, monkeypatch):
    small(monkeypatch)
    a, b, h0, dh, dh_last = problem(rng, (4, 40, 3), np.float64)
    views = [np.asfortranarray(x) for x in (a, b, h0, dh, dh_last)]

    def run(a, b, h0, dh, dh_last):
        h, last, back = scan.linear(a, b, h0)
        return h, last, *back(dh, dh_last)

    monkeypatch.setattr(fast, "REFERENCE", False)
    assert_close(run(*views), run(a, b, h0, dh, dh_last), 1e-13)


@pytest.mark.parametrize("length", [64, 257, 2048])
@pytest.mark.parametrize("factor", [1.1, 20.0])
@pytest.mark.parametrize("start", [0.0, 1e-30])
def test_where_a_product_of_factors_overflows_the_states_are_still_right(length, factor, start):
    a = np.full((1, length, 1), factor, np.float32)
    a[:, 32 if factor > 2 else length :] = 0.5
    zero, h, expected = np.zeros_like(a), np.full((1, 1), start, np.float32), []
    with np.errstate(over="ignore"):
        found, last, back = second.linear(a, zero, h)
        for t in range(length):
            h = a[:, t] * h
            expected.append(h)
    rounding = length * np.finfo(np.float32).eps  # half an eps a step, in each of the two
    np.testing.assert_allclose(found[0, :, 0], np.ravel(expected), rtol=rounding)
    np.testing.assert_array_equal(last, found[:, -1])
    if np.isfinite(found).all():
        assert all((d == 0).all() for d in back(zero, np.zeros_like(h)))
