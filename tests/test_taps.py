"""The three modes of windowed filters: right against outside oracles and differences, equal to each other."""

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings, strategies as st

from minissm import Taps, gradcheck, scan
from minissm.scan import taps

from .oracles import assert_matches_autograd, draw

B, D = 2, 4
ALL = pytest.mark.parametrize("f", [getattr(taps, mode) for mode in scan.MODES], ids=scan.MODES)
WINDOWS = pytest.mark.parametrize("U", [1, 3, 40])


def problem(rng, U, length, dtype=np.float64):
    return draw(rng, D, U + 1), draw(rng, B, length, D, dtype=dtype), draw(rng, B, U, D, dtype=dtype)


def everything(f, k, u, past, dy, dpast):
    y, end, backward = f(k, u, past)
    return (y, end, *backward(dy, dpast))


@ALL
@pytest.mark.parametrize("U", [0, 1, 3, 9])
def test_a_scan_is_the_equation(f, U, rng):
    """y_t = sum_j k_j u_{t-j}, one number at a time, with the past before the first input."""
    k, u, past = problem(rng, U, 7)
    s, expected = np.concatenate([past, u], axis=1), np.zeros(u.shape)
    for b, t, d in np.ndindex(u.shape):
        for j in range(U + 1):
            expected[b, t, d] += k[d, j] * s[b, U + t - j, d]
    y, end, _ = f(k, u, past)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(end, s[:, 7:])


@ALL
@WINDOWS
def test_a_scan_is_scipys_filter(f, U, rng):
    k, u, past = problem(rng, U, 66)
    y, _, _ = f(k, u, past)
    for b, d in np.ndindex(B, D):
        zi = scipy.signal.lfiltic(k[d], [1.0], [], past[b, ::-1, d])
        expected, _ = scipy.signal.lfilter(k[d], [1.0], u[b, :, d], zi=zi)
        np.testing.assert_allclose(y[b, :, d], expected, rtol=0, atol=1e-11)


@ALL
@WINDOWS
@pytest.mark.parametrize("length", [1, 7, 66])
def test_gradients(f, U, length, rng):
    gradcheck(f, *problem(rng, U, length), names=("k", "u", "past"))
    if length < 66:
        assert_matches_autograd(taps.recurrent, *problem(rng, U, length), rng=rng)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3), st.integers(1, 70), st.integers(1, 5), st.integers(0, 40), st.integers(1, 40), st.booleans())
def test_modes_agree_over_shapes_and_chunks(batch, length, channels, U, chunk, given_past):
    rng = np.random.default_rng(length)
    k, u = draw(rng, channels, U + 1), draw(rng, batch, length, channels)
    past = draw(rng, batch, U, channels) if given_past else None
    dy, dpast = draw(rng, *u.shape), draw(rng, batch, U, channels)
    expected = everything(taps.recurrent, k, u, past, dy, dpast)
    for f in (lambda *a: taps.chunked(*a, chunk=chunk), taps.chunked, taps.fft):
        for a, b in zip(everything(f, k, u, past, dy, dpast), expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-10)


@ALL
def test_pieces_are_the_whole_with_their_gradients(f, rng):
    k, u, past = problem(rng, 5, 9)
    dy, dpast = draw(rng, *u.shape), draw(rng, *past.shape)
    whole = everything(f, k, u, past, dy, dpast)
    y1, middle, back1 = f(k, u[:, :2], past)
    y2, end, back2 = f(k, u[:, 2:], middle)
    dk2, du2, dmiddle = back2(dy[:, 2:], dpast)
    dk1, du1, dfirst = back1(dy[:, :2], dmiddle)
    pieces = (np.concatenate([y1, y2], 1), end, dk1 + dk2, np.concatenate([du1, du2], 1), dfirst)
    for a, b in zip(pieces, whole, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


@ALL
def test_a_large_input_leaves_no_trace_once_it_has_left_the_window(f, rng):
    """A running sum that subtracts what leaves would be wrong by everything here."""
    k, u, _ = problem(rng, 4, 100, np.float32)
    clean, _, _ = f(k, u)
    u[:, 10] = 1e8
    y, _, _ = f(k, u)
    if f is not taps.fft:  # one transform of everything rounds to the largest
        np.testing.assert_allclose(y[:, 64:], clean[:, 64:], atol=1e-5)


@ALL
def test_single_precision_stays_single_and_is_close_to_double(f, rng):
    k, u, past = problem(rng, 40, 257)
    dy, dpast = draw(rng, *u.shape), draw(rng, *past.shape)
    expected = everything(f, k, u, past, dy, dpast)
    single = everything(f, *(a.astype(np.float32) for a in (k, u, past, dy, dpast)))
    assert {a.dtype for a in single} == {np.dtype(np.float32)}
    for a, b in zip(single, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * abs(b).max())


@ALL
def test_nothing_is_written_to_and_none_is_zero(f, rng):
    args = [*problem(rng, 3, 9), draw(rng, B, 9, D), draw(rng, B, 3, D)]
    for a in args:
        a.flags.writeable = False
    first = everything(f, *args)
    y, end, backward = f(args[0], args[1])
    zero = everything(f, args[0], args[1], np.zeros((B, 3, D)), np.zeros((B, 9, D)), args[4])
    for a, b in zip((y, end, *backward(None, args[4])), zero, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(everything(f, *args), first, strict=True):
        np.testing.assert_array_equal(a, b)


@ALL
def test_wrong_requests_are_refused_in_one_sentence(f, rng):
    k, u, past = problem(rng, 3, 9)
    for args, told in (
        ((k[:3], u, past), r"scan: k is float64 \(3, 4\); expected \(D, U \+ 1\) = \(4, U \+ 1\)"),
        ((k, u[0], past), r"scan: u is float64 \(9, 4\); expected \(B, L, D\)"),
        ((k, u, past[:, :2]), r"scan: past is float64 \(2, 2, 4\); expected \(B, U, D\) = \(2, 3, 4\)"),
        ((k + 0j, u, past), "scan: k is complex128 .*; expected .* float32 or float64"),
    ):
        with pytest.raises(ValueError, match=told):
            f(*args)
    with pytest.raises(ValueError, match=r"scan: dy is float64 \(2, 8, 4\); expected \(2, 9, 4\)"):
        f(k, u, past)[-1](u[:, :8])


def test_auto_picks_by_shape():
    def picked(shape, U):
        return scan.pick("auto", shape, Taps(np.zeros((shape[2], U + 1))))

    assert picked((64, 1, 32), 8) is taps.recurrent
    assert picked((64, 64, 32), 95) is taps.chunked
    assert picked((64, 64, 32), 96) is taps.fft
    assert picked((2, 65, 8), 47) is taps.chunked
    assert picked((2, 65, 8), 48) is taps.fft


def test_a_state_keeps_no_more_than_the_window_alive(rng):
    k, u, _ = problem(rng, 3, 5000)
    _, past, _ = taps.chunked(k, u)
    assert (past if past.base is None else past.base).size == past.size


def test_fft_rounds_to_the_largest_input_and_says_so(rng):
    """What the docstring warns of: a huge input is felt where its window does not reach, as far as rounding goes."""
    k, u, _ = problem(rng, 100, 1000, np.float32)
    u[:, 500] = 1e6
    exact, _, _ = taps.recurrent(k.astype(np.float64), u.astype(np.float64))
    far = np.abs(np.arange(1000) - 550) > 60
    for f, most in ((taps.recurrent, 1e-4), (taps.chunked, 1e-4), (taps.fft, 2.0)):
        assert abs(f(k, u)[0] - exact)[:, far].max() < most
