"""One input at a time: the steps of a scan against the scan of the whole, both bodies, and whose memory is whose."""

import tracemalloc

import numpy as np
import pytest

from minissm import Poles, Taps, fast, scan
from minissm.fast.step import stepper as second

from .oracles import draw

SIZES = pytest.mark.parametrize(("B", "D", "N"), [(1, 1, 1), (2, 3, 5), (3, 7, 1), (5, 1, 4), (7, 11, 16)])
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def poles(rng, D, N):
    log_lam = -rng.uniform(0.01, 0.5, (D, N)) + 1j * rng.normal(size=(D, N))
    return Poles(log_lam, draw(rng, D, N, dtype=complex))


def plain(monkeypatch):
    monkeypatch.setattr(fast, "path", lambda name, *arrays: None)


def close(a, b, dtype):
    assert a.dtype == b.dtype
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-4 if dtype == np.float32 else 1e-11)


@pytest.fixture(params=["plain", "second"])
def body(request, monkeypatch):
    monkeypatch.setattr(fast, "REFERENCE", request.param == "plain")
    return request.param


@SIZES
@DTYPES
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("family", ["poles", "taps"])
def test_steps_are_the_scan_of_the_whole(body, family, given, dtype, B, D, N, rng):
    coefficients = poles(rng, D, N) if family == "poles" else Taps(draw(rng, D, N))  # N = 1: a window of nothing
    u, state = draw(rng, B, 6, D, dtype=dtype), scan.start(coefficients, B, dtype)
    if given:
        state = draw(rng, *state.shape, dtype=state.dtype)
    y, last, _ = scan.family(coefficients).recurrent(*coefficients, u, state)
    step = scan.stepper(coefficients, dtype)
    for t in range(6):
        y_t, state = step(u[:, t], state)
        close(y_t, y[:, t], dtype)
    close(state, last, dtype)


@SIZES
@DTYPES
def test_the_second_body_agrees_with_the_plain_one(dtype, B, D, N, rng, monkeypatch):
    log_lam, c = poles(rng, D, N)
    complex_ = np.result_type(dtype, np.complex64)
    h = h_plain = draw(rng, B, D, N, dtype=complex_)
    step = second(log_lam, c, np.dtype(dtype))
    plain(monkeypatch)
    step_plain = scan.stepper(Poles(log_lam, c), dtype)
    for _ in range(4):
        u = draw(rng, B, D, dtype=dtype)
        y, h = step(u, h)
        y_plain, h_plain = step_plain(u, h_plain)
        close(y, y_plain, dtype)
        close(h, h_plain, dtype)


def test_states_from_elsewhere_are_only_read_and_two_streams_may_take_turns(body, rng):
    """Also one that is not in one piece, and one that can't be written to; a copy goes on to the same numbers."""
    coefficients = poles(rng, 3, 5)
    step, u = scan.stepper(coefficients, np.float64), draw(rng, 4, 2, 3)
    whole, _, _ = scan.recurrent(*coefficients, u.transpose(1, 0, 2))
    first = np.asfortranarray(scan.start(coefficients, 2, np.float64))
    first.flags.writeable = False
    a = b = first
    for t in range(4):
        y_a, a = step(u[t], a)
        y_b, b = step(u[t], b)
        np.testing.assert_allclose(y_a, whole[:, t], rtol=0, atol=1e-12)
        np.testing.assert_array_equal(y_a, y_b)
        if t == 1:
            kept = a.copy()
    assert not first.any()
    y_2, kept = step(u[2], kept)
    y_3, kept = step(u[3], kept)
    np.testing.assert_array_equal(y_3, y_a)
    np.testing.assert_array_equal(kept, a)
    np.testing.assert_allclose(y_2, whole[:, 2], rtol=0, atol=1e-12)  # an output is nobody's buffer


@pytest.mark.parametrize("pole", [-4e-4 + 2.6j, -1e-5])
@pytest.mark.parametrize("copied", [False, True], ids=["", "each state copied"])
def test_thousands_of_steps_lose_nothing_in_single_precision(body, copied, pole):
    """The state of a long memory is in double precision."""
    coefficients, u = Poles(np.full((1, 1), pole + 0j), np.ones((1, 1), complex)), np.ones((1, 1), np.float32)
    step, h, y = scan.stepper(coefficients, np.float32), scan.start(coefficients, 1, np.float32), []
    for _ in range(2000):
        y_t, h = step(u, h.copy() if copied else h)
        y.append(y_t[0, 0])
        u = np.zeros_like(u)
    assert (y_t.dtype, h.dtype) == (np.float32, np.complex128)
    np.testing.assert_allclose(y, np.exp(np.arange(2000) * pole).real, rtol=0, atol=1e-6)


@pytest.mark.parametrize("pole", [-1e-3, -4e-4, -1e-5])
def test_a_state_that_its_caller_writes_to_is_the_state(body, pole, rng):
    """To begin anew with one sequence of a batch."""
    coefficients, u = (
        Poles(np.full((3, 2), pole + 0j), draw(rng, 3, 2, dtype=complex)),
        draw(rng, 2, 3, dtype=np.float32),
    )
    step, h = scan.stepper(coefficients, np.float32), scan.start(coefficients, 2, np.float32)
    for _ in range(3):
        first, h = step(u, h)
        h[1] = 0
    y, _ = step(u, h)
    np.testing.assert_array_equal(y[1], scan.stepper(coefficients, np.float32)(u, np.zeros_like(h))[0][1])
    assert (y[0] != first[0]).all()


def test_a_step_writes_into_no_state_that_a_backward_holds(body, rng):
    coefficients, u = poles(rng, 3, 5), draw(rng, 2, 4, 3)
    y, h, backward = scan.recurrent(*coefficients, u)
    before = [g.copy() for g in backward(y, h)]
    scan.stepper(coefficients, np.float64)(u[:, 0], h)
    for a, b in zip(backward(y, h), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_second_body_allocates_nothing_but_its_output(rng):
    B, D, N = 4, 33, 16
    log_lam, c = poles(rng, D, N)
    step, u = second(log_lam, c, np.dtype(np.float32)), draw(rng, B, D, dtype=np.float32)
    y, h = step(u, np.zeros((B, D, N), np.complex64))
    memory = h
    tracemalloc.start()
    for _ in range(20):
        y, h = step(u, h)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert h is memory
    assert peak < 2 * y.nbytes + 2000 < h.nbytes  # two outputs: the next is there before the last is let go


@pytest.mark.parametrize("family", ["poles", "taps"])
def test_other_shapes_and_dtypes_are_refused(body, family, rng):
    coefficients = poles(rng, 3, 5) if family == "poles" else Taps(draw(rng, 3, 6))
    rest, kind = ("3, 5", "complex128") if family == "poles" else ("5, 3", "float64")
    step, state = scan.stepper(coefficients, np.float64), scan.start(coefficients, 2, np.float64)
    u = draw(rng, 2, 3)
    for u_t, state_t in (
        (u[:1], state),  # would broadcast
        (u, state[:1]),
        (u[:, :1], state),
        (u[0], state[0]),
        (u[:, :2], state[:, :2]),
        (u, state[..., :1]),
        (u.astype(np.float32), state),
        (u, state.real.astype(int)),
        (u, None),
        (u, {}),
    ):
        with pytest.raises(
            ValueError, match=rf"scan: a step got .* and .*; expected float64 \(B, 3\) and {kind} \(B, {rest}\)"
        ):
            step(u_t, state_t)
    with pytest.raises(ValueError, match=r"scan.stepper: dtype='int64'; expected one of float32, float64"):
        scan.stepper(coefficients, np.int64)
    with pytest.raises(ValueError, match=r"scan: (c|k) is .*; expected"):
        scan.stepper(type(coefficients)(*coefficients[:-1], coefficients[-1][0]), np.float64)
