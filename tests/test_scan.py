"""The three modes of the scan: right against outside oracles and differences, equal to each other, and well-behaved."""

from contextlib import nullcontext

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings, strategies as st

from minissm import Poles, Taps, fast, gradcheck, scan

from .oracles import assert_matches_autograd, draw

B, D, N = 2, 4, 3
LENGTHS = (1, 2, 3, 16, 37, 130, 257)
ALL = pytest.mark.parametrize("f", scan.MODES.values(), ids=scan.MODES)
STARTS = pytest.mark.parametrize("given_h0", [False, True], ids=["from zero", "from h0"])


def problem(rng, length, dtype=np.float64, given_h0=True):
    log_lam = -rng.uniform(0.01, 0.5, (D, N)) + 1j * rng.normal(0, 2, (D, N))
    c, u = draw(rng, D, N, dtype=complex), draw(rng, B, length, D, dtype=dtype)
    h0 = draw(rng, B, D, N, dtype=np.result_type(dtype, np.complex64)) if given_h0 else None
    return log_lam, c, u, h0


def everything(f, log_lam, c, u, h0, dy, dh):
    y, h, backward = f(log_lam, c, u, h0)
    return (y, h, *backward(dy, dh))


def by_equation(log_lam, c, u, h0):
    """The recurrence as the docstring writes it, one number at a time."""
    lam, y = np.exp(log_lam), np.zeros(u.shape)
    h = np.zeros((B, D, N), complex) if h0 is None else h0.copy()
    for b, t, d in np.ndindex(u.shape):
        for n in range(N):
            h[b, d, n] = lam[d, n] * h[b, d, n] + u[b, t, d]
            y[b, t, d] += (c[d, n] * h[b, d, n]).real
    return y, h


@ALL
@STARTS
@pytest.mark.parametrize("length", [1, 2, 7, 66])
def test_a_scan_is_the_equation(f, length, given_h0, rng):
    args = problem(rng, length, given_h0=given_h0)
    y, h, _ = f(*args)
    expected_y, expected_h = by_equation(*args)
    np.testing.assert_allclose(y, expected_y, rtol=0, atol=1e-11)
    np.testing.assert_allclose(h, expected_h, rtol=0, atol=1e-11)


@ALL
def test_a_scan_is_scipys_filter(f, rng):
    log_lam, c, u, h0 = problem(rng, 37)
    lam = np.exp(log_lam)
    expected = np.zeros(u.shape)
    for b, d, n in np.ndindex(B, D, N):
        filtered, _ = scipy.signal.lfilter([1], [1, -lam[d, n]], u[b, :, d], zi=[lam[d, n] * h0[b, d, n]])
        expected[b, :, d] += (c[d, n] * filtered).real
    np.testing.assert_allclose(f(log_lam, c, u, h0)[0], expected, rtol=0, atol=1e-11)


@ALL
def test_a_scan_is_scipys_discrete_system(f, rng):
    """dlsim keeps the state before the input: x_{k+1} = A x_k + B u_k, y_k = C x_k + D u_k, in real 2 x 2 blocks."""
    log_lam, c, u, _ = problem(rng, 16, given_h0=False)
    y = f(log_lam, c, u)[0]
    for d in range(D):
        lam = np.exp(log_lam[d])
        a = np.block([[np.diag(lam.real), -np.diag(lam.imag)], [np.diag(lam.imag), np.diag(lam.real)]])
        b = np.concatenate([np.ones(N), np.zeros(N)])[:, None]
        out = np.concatenate([(c[d] * lam).real, -(c[d] * lam).imag])[None]
        _, expected, _ = scipy.signal.dlsim((a, b, out, [[c[d].real.sum()]], 1), u[0, :, d])
        np.testing.assert_allclose(y[0, :, d], expected[:, 0], rtol=0, atol=1e-11)


@STARTS
@pytest.mark.parametrize("final", [False, True], ids=["no dh_last", "dh_last"])
@pytest.mark.parametrize("length", LENGTHS)
def test_modes_agree(length, given_h0, final, rng):
    args = problem(rng, length, given_h0=given_h0)
    dy, dh = draw(rng, B, length, D), draw(rng, B, D, N, dtype=complex) if final else None
    expected = everything(scan.recurrent, *args, dy, dh)
    for f in (scan.chunked, scan.fft):
        for name, a, b in zip(
            ("y", "h", "dlog_lam", "dc", "du", "dh0"), everything(f, *args, dy, dh), expected, strict=True
        ):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-10 * max(1, abs(b).max()), err_msg=f"{f.__name__} {name}")


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3), st.integers(1, 90), st.integers(1, 5), st.integers(1, 4), st.integers(1, 40), st.booleans())
def test_modes_agree_over_shapes_and_chunks(batch, length, channels, poles, chunk, given_h0):
    rng = np.random.default_rng(length)
    log_lam = -rng.uniform(0.01, 0.5, (channels, poles)) + 1j * rng.normal(0, 2, (channels, poles))
    c, u = draw(rng, channels, poles, dtype=complex), draw(rng, batch, length, channels)
    h0 = draw(rng, batch, channels, poles, dtype=complex) if given_h0 else None
    dy, dh = draw(rng, *u.shape), draw(rng, batch, channels, poles, dtype=complex)
    expected = everything(scan.recurrent, log_lam, c, u, h0, dy, dh)
    for f in (lambda *a: scan.chunked(*a, chunk=chunk), scan.fft):
        for a, b in zip(everything(f, log_lam, c, u, h0, dy, dh), expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-10 * max(1, abs(b).max()))


@ALL
@pytest.mark.parametrize("length", [1, 7, 66])
def test_gradients_match_differences(f, length, rng):
    names = ("log_lam", "c", "u", "h0")
    gradcheck(f, *problem(rng, length), names=names)
    gradcheck(f, *problem(rng, length, given_h0=False), names=names)


@ALL
@pytest.mark.parametrize("length", [1, 7, 66])
def test_gradients_match_autograd(f, length, rng):
    assert_matches_autograd(f, *problem(rng, length), rng=rng)


def test_the_kernel_is_the_impulse_response_and_its_gradient_is_right(rng):
    log_lam, c, _, _ = problem(rng, 1)
    k, _ = scan.kernel(log_lam, c, 37)
    impulse = np.zeros((1, 37, D))
    impulse[:, 0] = 1
    np.testing.assert_allclose(k.T[None], scan.recurrent(log_lam, c, impulse)[0], rtol=0, atol=1e-12)
    gradcheck(lambda a, b: scan.kernel(a, b, 37), log_lam, c)


def test_the_powers_of_lam_stay_exact_over_a_long_kernel():
    """Phases formed in single precision would be off by 4e-3 here."""
    log_lam = np.array([[-1e-5 + 1.2345j]])
    k, _ = scan.kernel(log_lam, np.ones((1, 1), complex), 65536)
    np.testing.assert_allclose(k[0, -1], np.exp(65535 * log_lam[0, 0]).real, atol=1e-9)


@ALL
@pytest.mark.parametrize("cut", [1, 32, 50, 65])
def test_two_halves_with_the_state_carried_are_the_whole(f, cut, rng):
    log_lam, c, u, h0 = problem(rng, 101)
    y, h, backward = f(log_lam, c, u, h0)
    y1, h1, back1 = f(log_lam, c, u[:, :cut], h0)
    y2, h2, back2 = f(log_lam, c, u[:, cut:], h1)
    np.testing.assert_allclose(np.concatenate([y1, y2], axis=1), y, rtol=0, atol=1e-11)
    np.testing.assert_allclose(h2, h, rtol=0, atol=1e-11)
    dy, dh = draw(rng, *y.shape), draw(rng, *h.shape, dtype=complex)
    whole = backward(dy, dh)
    second = back2(dy[:, cut:], dh)
    first = back1(dy[:, :cut], second[3])
    pieces = (first[0] + second[0], first[1] + second[1], np.concatenate([first[2], second[2]], axis=1), first[3])
    for a, b in zip(pieces, whole, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-10 * max(1, abs(b).max()))


@ALL
@pytest.mark.parametrize("t", [0, 31, 32, 69])
def test_output_is_causal(f, t, rng):
    log_lam, c, u, h0 = problem(rng, 70)
    later = u.copy()
    later[:, t:] += 100
    before, after = f(log_lam, c, u, h0)[0], f(log_lam, c, later, h0)[0]
    np.testing.assert_allclose(after[:, :t], before[:, :t], rtol=0, atol=1e-11)
    assert abs(after[:, t] - before[:, t]).min() > 1e-6


@ALL
@pytest.mark.parametrize("length", [1, 37, 130])
def test_single_precision_stays_single_and_is_close_to_double(f, length, rng):
    log_lam, c, u, h0 = problem(rng, length, np.float32)
    dy, dh = draw(rng, *u.shape, dtype=np.float32), draw(rng, *h0.shape, dtype=np.complex64)
    single = everything(f, log_lam, c, u, h0, dy, dh)
    double = everything(f, log_lam, c, *(a.astype(np.result_type(a, np.float64)) for a in (u, h0, dy, dh)))
    assert [a.dtype for a in single] == [np.float32, np.complex64, complex, complex, np.float32, np.complex64]
    for a, b in zip(single, double, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-5 * abs(b).max())


@ALL
@pytest.mark.parametrize("body", [fast.reference, nullcontext])
def test_a_state_of_another_precision_does_not_change_that_of_the_rest(f, body, rng):
    """h0 and dh_last in double precision, where u is single: dh0 alone is double as well."""
    log_lam, c, u, _ = problem(rng, 70, np.float32)
    h0, dh = draw(rng, B, D, N, dtype=complex), draw(rng, B, D, N, dtype=complex)
    dy = draw(rng, *u.shape, dtype=np.float32)
    with body():
        found = everything(f, log_lam, c, u, h0, dy, dh)
        rounded = everything(f, log_lam, c, u, h0, dy, dh.astype(np.complex64))  # as h_last is, before all else
    assert [a.dtype for a in found] == [np.float32, np.complex64, complex, complex, np.float32, complex]
    for a, b in zip(found, rounded, strict=True):
        np.testing.assert_array_equal(a, b)


@ALL
@pytest.mark.parametrize("body", [fast.reference, nullcontext])
@pytest.mark.parametrize("length", [1, 7, 70])
def test_the_state_of_a_long_memory_is_in_double_precision(f, body, length, rng):
    log_lam, c, u, h0 = problem(rng, length, np.float32)
    log_lam[1, 2] = -4e-4
    with body():
        y, h, backward = f(log_lam, c, u)
        assert (y.dtype, h.dtype) == (np.float32, np.complex128)
        dtypes = [d.dtype for d in backward(y, h)]
        given = [d.dtype for d in f(log_lam, c, u, h0)[2](y, h)]
    assert dtypes == [complex, complex, np.float32, complex]
    assert given == [complex, complex, np.float32, np.complex64]
    assert scan.start(Poles(log_lam, c), B, np.float32).dtype == complex


@ALL
def test_nothing_is_written_to_and_backward_may_be_called_again(f, rng):
    args = problem(rng, 70)
    dy, dh = draw(rng, B, 70, D), draw(rng, B, D, N, dtype=complex)
    for a in (*args, dy, dh):
        a.flags.writeable = False
    y, h, backward = f(*args)
    y.flags.writeable = h.flags.writeable = False
    first = [a.copy() for a in backward(dy, dh)]
    backward(2 * dy, None)
    for a, b in zip(backward(dy, dh), first, strict=True):
        np.testing.assert_array_equal(a, b)


@ALL
def test_strides_do_not_matter(f, rng):
    """ssm gives a view of channel-first memory; a user may give any other."""
    log_lam, c, u, h0 = problem(rng, 70)
    dy = draw(rng, *u.shape)
    expected = everything(f, log_lam, c, u, h0, dy, None)

    def strange(a):
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 2, 0)), 0, 2)

    backwards = np.ascontiguousarray(u[:, ::-1])[:, ::-1]
    for v, dv in ((strange(u), strange(dy)), (backwards, dy), (np.repeat(u, 2, axis=2)[:, :, ::2], dy)):
        for a, b in zip(everything(f, log_lam, c, v, h0, dv, None), expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-11 * max(1, abs(b).max()))


@ALL
def test_a_wrong_shape_is_refused_in_one_sentence(f, rng):
    log_lam, c, u, h0 = problem(rng, 5)
    with pytest.raises(ValueError, match=r"log_lam is complex128 \(3, 3\); expected \(D, N\) = \(4, N\)"):
        f(log_lam[:3], c, u)
    with pytest.raises(ValueError, match=r"u is float64 \(5, 4\); expected \(B, L, D\)"):
        f(log_lam, c, u[0])
    with pytest.raises(ValueError, match=r"u is float64 \(2, 0, 4\); expected \(B, L, D\) .*, each size 1 or more"):
        f(log_lam, c, u[:, :0])
    with pytest.raises(ValueError, match=r"h0 is complex128 \(1, 4, 3\); expected \(B, D, N\) = \(2, 4, 3\)"):
        f(log_lam, c, u, h0[:1])


def test_auto_picks_by_shape():
    def picked(mode, shape, poles):
        c = np.zeros((shape[2], poles), complex)
        return scan.pick(mode, shape, Poles(c, c))

    assert picked("auto", (64, 1, 32), 8) is scan.recurrent
    assert picked("auto", (1, 2, 32), 8) is scan.chunked
    assert picked("auto", (2, 65, 8), 48) is scan.chunked
    assert picked("auto", (2, 65, 8), 49) is scan.fft
    assert picked("auto", (2, 64, 8), 300) is scan.chunked
    assert all(picked(mode, (2, 9, 3), 9) is f for mode, f in scan.MODES.items())
    with pytest.raises(ValueError, match="scan: unknown mode 'slow'; expected one of auto, recurrent, chunked, fft"):
        picked("slow", (1, 1, 1), 1)


def test_auto_takes_the_recurrence_where_that_is_a_kernel_and_poles_are_few(monkeypatch):
    """As it is on CuPy; here NumPy's arrays seem to have one."""
    monkeypatch.setattr(fast, "REFERENCE", False)
    monkeypatch.setitem(fast.NUMPY, "recurrent", scan.recurrent)

    def picked(L, N, dtype=complex):
        a = np.zeros((3, N), dtype)
        return scan.pick("auto", (2, L, 3), Poles(a, a) if dtype is complex else Taps(a))

    assert [picked(L, 48) for L in (1, 26, 5000)] == [scan.recurrent] * 3
    assert [picked(L, 49) for L in (1, 26, 5000)] == [scan.recurrent, scan.chunked, scan.fft]
    assert picked(26, 48, float) is scan.taps.chunked
    monkeypatch.setattr(fast, "REFERENCE", True)
    assert picked(5000, 48) is scan.chunked


@ALL
def test_the_gradient_of_the_final_state_alone(f, rng):
    """None as a cotangent means zero."""
    log_lam, c, u, h0 = problem(rng, 70)
    dh = draw(rng, B, D, N, dtype=complex)
    _, _, backward = f(log_lam, c, u, h0)
    for a, b in zip(backward(None, dh), backward(np.zeros_like(u), dh), strict=True):
        np.testing.assert_array_equal(a, b)


@ALL
def test_what_would_be_wrong_in_silence_is_refused(f, rng):
    """Whole numbers would be rounded, and a cotangent of another shape broadcast."""
    log_lam, c, u, h0 = problem(rng, 70)
    with pytest.raises(ValueError, match=r"u is int64 .*; expected .* float32 or float64"):
        f(log_lam, c, u.astype(int))
    with pytest.raises(ValueError, match=r"log_lam is float64 .*; expected .* complex64 or complex128"):
        f(log_lam.real, c, u)
    with pytest.raises(ValueError, match=r"h0 is float64 .*; expected .* complex64 or complex128"):
        f(log_lam, c, u, h0.real)
    _, _, backward = f(log_lam, c, u, h0)
    with pytest.raises(ValueError, match=r"dy is float64 \(1, 70, 4\); expected float64 \(2, 70, 4\)"):
        backward(u[:1])
    with pytest.raises(ValueError, match=r"dh_last is complex128 \(1, 4, 3\); expected complex128 \(2, 4, 3\)"):
        backward(u, h0[:1])


@pytest.mark.parametrize(
    ("f", "length", "body"),
    [
        (scan.recurrent, 2**12, "reference"),
        (scan.chunked, 2**13, "reference"),
        (scan.fft, 2**12, "reference"),
        (scan.chunked, 2**16, "fast"),
        (scan.fft, 2**16, "fast"),
    ],
)
def test_single_precision_is_exact_over_a_long_memory(f, length, body, rng):
    """A channel for each pole: what decays fast, slowly, not at all, with and without turns. lam is used L times."""
    log_lam = np.array([[-0.3 + 1j], [-1e-3 + 2.5j], [-1e-4 + 1.2345j], [-1e-5], [3j], [5e-5]])
    channels = len(log_lam)
    c, h0, dh = (draw(rng, *shape, channels, 1, dtype=np.complex64) for shape in ((), (1,), (1,)))
    u, dy = (draw(rng, 1, length, channels, dtype=np.float32) for _ in range(2))
    u[..., [3, 5]] += 1
    double = everything(scan.fft, log_lam, c, *(a.astype(np.result_type(a, np.float64)) for a in (u, h0, dy, dh)))
    together = [slice(0, channels)] if body == "reference" else [slice(d, d + 1) for d in range(channels)]
    for s in together:  # a fast path looks at the poles that it is given
        with fast.reference() if body == "reference" else nullcontext():
            single = everything(f, log_lam[s], c[s], u[..., s], h0[:, s], dy[..., s], dh[:, s])
        for name, a, b in zip(("y", "h", "dlog_lam", "dc", "du", "dh0"), single, double, strict=True):
            a, b = (np.moveaxis(z, {"y": 2, "du": 2, "h": 1, "dh0": 1}.get(name, 0), 0) for z in (a, b))
            for a_d, b_d in zip(a, b[s], strict=True):
                bound = 5e-5 if name == "dc" else 1e-5  # the terms of dc cancel: 1.2e-5 on one BLAS kernel
                np.testing.assert_allclose(a_d, b_d, rtol=0, atol=bound * abs(b_d).max(), err_msg=f"{name} of {s}")


def reaches(f, args, t, bad, dy):
    """With the input t of sequence 1, channel 1 replaced by `bad`: where y changes, and which gradients do."""
    changed = (*args[:-1], args[-1].copy())
    changed[-1][1, t, 1] = bad
    with np.errstate(invalid="ignore"):
        (y, _, back), (y_bad, _, back_bad) = f(*args), f(*changed)
        gradients, gradients_bad = back(dy), back_bad(dy)
    assert not np.isfinite(y_bad[1, t, 1])
    same = [np.array_equal(a, b) for a, b in zip(gradients, gradients_bad, strict=True)]
    return {tuple(at) for at in np.argwhere(y_bad != y)}, dict(
        zip(("coefficients", "u"), (same[0], same[-2]), strict=True)
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("body", [fast.reference, nullcontext])
def test_an_input_that_is_not_finite_stays_where_the_docstring_says(body, bad, rng):
    """Cotangents are 0 from token 40 on, the input at token 50 is not finite."""
    log_lam, c, u, _ = problem(rng, 100)
    k, dy = draw(rng, D, 7), draw(rng, *u.shape)
    dy[:, 40:] = 0
    for f, args, reach in (
        (scan.recurrent, (log_lam, c, u), range(50, 100)),
        (scan.chunked, (log_lam, c, u), range(32, 100)),
        (scan.fft, (log_lam, c, u), range(100)),
        (scan.taps.recurrent, (k, u), range(50, 57)),
        (scan.taps.chunked, (k, u), range(32, 64)),
        (scan.taps.fft, (k, u), range(100)),
    ):
        with body():
            changed, kept = reaches(f, args, 50, bad, dy)
        assert changed == {(1, t, 1) for t in reach}
        assert kept == {"coefficients": f.__name__ == "recurrent", "u": True}


def test_a_chunk_of_no_inputs_is_refused(rng):
    log_lam, c, u, _ = problem(rng, 5)
    with pytest.raises(ValueError, match="chunk=0; expected an integer, 1 or more"):
        scan.chunked(log_lam, c, u, chunk=0)
    np.testing.assert_allclose(
        scan.chunked(log_lam, c, u, chunk=10**6)[0], scan.recurrent(log_lam, c, u)[0], atol=1e-12
    )


@pytest.mark.parametrize("length", [5, 70])
@pytest.mark.parametrize("f", scan.MODES.values(), ids=scan.MODES)
def test_coefficients_may_lie_in_memory_column_by_column(f, length, rng):
    log_lam, c = -np.abs(draw(rng, 3, 4)) + 1j * draw(rng, 3, 4), draw(rng, 3, 4, dtype=complex)
    u = draw(rng, 2, length, 3)
    y, h, back = f(log_lam, c, u)
    turned = f(np.asfortranarray(log_lam), np.asfortranarray(c), u)
    for a, b in zip((y, h, *back(y, h)), (*turned[:2], *turned[2](y, h)), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-12, atol=1e-12)
