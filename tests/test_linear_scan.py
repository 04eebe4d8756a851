"""The recurrence with a factor for every step: right against a loop, SciPy, differences and autograd."""

import numpy as np
import pytest
import scipy.signal

from minissm import gradcheck
from minissm.scan.linear import linear

from .oracles import assert_matches_autograd, draw
from .test_backend import agree_there

B, L, D, N = 2, 7, 4, 3
NAMES = ("a", "b", "h0")
ROUNDING = 1e-12  # a product of complex numbers is rounded otherwise where they lie otherwise in memory, on some NumPys
DTYPES = pytest.mark.parametrize("dtype", [np.float64, np.complex128], ids=["real", "complex"])
LENGTHS = pytest.mark.parametrize("length", [1, 2, L])


def problem(rng, length=L, dtype=np.float64):
    return (
        draw(rng, B, length, D, N, dtype=dtype),
        draw(rng, B, length, D, N, dtype=dtype),
        draw(rng, B, D, N, dtype=dtype),
    )


def cotangents(rng, dtype=np.float64):
    return draw(rng, B, L, D, N, dtype=dtype), draw(rng, B, D, N, dtype=dtype)


@DTYPES
@LENGTHS
def test_it_is_the_equation(length, dtype, rng):
    a, b, h0 = problem(rng, length, dtype)
    h, last, _ = linear(a, b, h0)
    expected = h0.copy()
    for t in range(length):
        expected = a[:, t] * expected + b[:, t]
        np.testing.assert_allclose(h[:, t], expected, rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(last, expected, rtol=0, atol=ROUNDING)


def test_with_a_constant_factor_it_is_scipys_filter(rng):
    a, b, h0 = problem(rng, 37, complex)
    a = np.broadcast_to(0.9 * np.exp(1j * a.real[:, :1]), b.shape)
    h, _, _ = linear(a, b, h0)
    for i in np.ndindex(B, D, N):
        lam, x = a[i[0], 0, i[1], i[2]], b[i[0], :, i[1], i[2]]
        expected, _ = scipy.signal.lfilter([1], [1, -lam], x, zi=[lam * h0[i]])
        np.testing.assert_allclose(h[i[0], :, i[1], i[2]], expected, rtol=0, atol=1e-12)


@DTYPES
@LENGTHS
def test_gradients_match_differences_and_autograd(length, dtype, rng):
    a, b, h0 = problem(rng, length, dtype)
    gradcheck(linear, a, b, h0, names=NAMES)
    gradcheck(linear, a, b, None, names=NAMES)
    assert_matches_autograd(linear, a, b, h0, rng=rng)


def test_the_shape_behind_the_sequence_is_free(rng):
    for rest in ((), (D,), (D, N, 2)):
        gradcheck(linear, draw(rng, B, L, *rest), draw(rng, B, L, *rest), draw(rng, B, *rest), names=NAMES)


@DTYPES
def test_no_initial_state_is_zeros(dtype, rng):
    a, b, h0 = problem(rng, dtype=dtype)
    dh, dlast = cotangents(rng, dtype)
    with_none, with_zeros = linear(a, b), linear(a, b, np.zeros_like(h0))
    for x, y in zip(
        (*with_none[:2], *with_none[2](dh, dlast)), (*with_zeros[:2], *with_zeros[2](dh, dlast)), strict=True
    ):
        np.testing.assert_array_equal(x, y)


def test_none_as_a_cotangent_means_zero(rng):
    a, b, h0 = problem(rng)
    dh, dlast = cotangents(rng)
    _, _, backward = linear(a, b, h0)
    for given, full in (((dh,), (dh, 0 * dlast)), ((dh, None), (dh, 0 * dlast)), ((None, dlast), (0 * dh, dlast))):
        for x, y in zip(backward(*given), backward(*full), strict=True):
            np.testing.assert_array_equal(x, y)


@DTYPES
@pytest.mark.parametrize("cut", [1, 3, 6])
def test_two_pieces_with_the_state_carried_are_the_whole_also_backwards(cut, dtype, rng):
    a, b, h0 = problem(rng, dtype=dtype)
    dh, dlast = cotangents(rng, dtype)
    h, last, backward = linear(a, b, h0)
    h1, middle, back1 = linear(a[:, :cut], b[:, :cut], h0)
    h2, end, back2 = linear(a[:, cut:], b[:, cut:], middle)
    da2, db2, dmiddle = back2(dh[:, cut:], dlast)
    da1, db1, dh0 = back1(dh[:, :cut], dmiddle)
    pieces = [np.concatenate(pair, axis=1) for pair in ((h1, h2), (da1, da2), (db1, db2))]
    da, db, dstart = backward(dh, dlast)
    for x, y in zip((*pieces, end, dh0), (h, da, db, last, dstart), strict=True):
        np.testing.assert_allclose(x, y, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
def test_single_precision_stays_single_and_is_close_to_double(dtype, rng):
    inputs = problem(rng, dtype=dtype)
    d = cotangents(rng, dtype)
    h, last, backward = linear(*inputs)
    single = (h, last, *backward(*d))
    h, last, backward = linear(*(x.astype(np.result_type(x, 1.0)) for x in inputs))
    assert {x.dtype for x in single} == {np.dtype(dtype)}
    for x, y in zip(single, (h, last, *backward(*d)), strict=True):
        np.testing.assert_allclose(x, y, rtol=0, atol=2e-6 * abs(y).max())


@DTYPES
def test_it_stays_where_its_arrays_are(dtype, rng):
    a, b, h0 = problem(rng, dtype=dtype)
    agree_there(linear, a, b, h0)
    agree_there(linear, a, b, None)


def test_nothing_is_written_to_and_backward_may_be_called_again(rng):
    inputs, d = problem(rng), cotangents(rng)
    for x in (*inputs, *d):
        x.flags.writeable = False
    h, last, backward = linear(*inputs)
    h.flags.writeable = last.flags.writeable = False
    first = [x.copy() for x in backward(*d)]
    backward(2 * d[0])
    for x, y in zip(backward(*d), first, strict=True):
        np.testing.assert_array_equal(x, y)


def test_what_would_be_wrong_in_silence_is_refused_in_one_sentence(rng):
    a, b, h0 = problem(rng)
    with pytest.raises(
        ValueError, match=r"a is float64 \(2, 0, 4, 3\); expected \(B, L, ...\) .*, each size 1 or more"
    ):
        linear(a[:, :0], b[:, :0])
    with pytest.raises(ValueError, match=r"a is int64 .*; expected .* floats"):
        linear(a.astype(np.int64), b)
    with pytest.raises(ValueError, match=r"b is float64 \(2, 1, 4, 3\); expected .* \(2, 7, 4, 3\)"):
        linear(a, b[:, :1])
    with pytest.raises(ValueError, match=r"h0 is float64 \(1, 4, 3\); expected .* \(2, 4, 3\)"):
        linear(a, b, h0[:1])
    with pytest.raises(ValueError, match="a is float64, b is complex128; expected one dtype"):
        linear(a, b + 0j)
    _, _, backward = linear(a, b, h0)
    with pytest.raises(ValueError, match=r"dh is float64 \(1, 7, 4, 3\); expected float64 \(2, 7, 4, 3\)"):
        backward(b[:1])
    with pytest.raises(ValueError, match=r"dh_last is float64 \(1, 4, 3\); expected float64 \(2, 4, 3\)"):
        backward(b, h0[:1])
