"""The fast paths of the scans: the reference bodies' numbers, right gradients, whatever the pieces and the threads."""

import numpy as np
import pytest

from minissm import fast, gradcheck, scan
from minissm.fast import chunk, chunked, fft, layout, levels, parallel, rows, taps
from minissm.scan import taps as plain_taps
from minissm.scan.matrices import kernel

from .oracles import draw

D, N = 3, 5
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
STARTS = pytest.mark.parametrize("given", [False, True], ids=["from zero", "from a state"])
LAYOUTS = pytest.mark.parametrize("channels_first", [False, True], ids=["(B, L, D)", "(D, B, L)"])
MODES = pytest.mark.parametrize("mode", ["chunked", "fft"])
SHAPES = (
    (1, 1, 1),
    (3, 37, 37),
    (2, 45, 45),
    (2, 65, 32),
    (5, 130, 32),
    (3, 11, 4),
    (2, 8, 4),
    (7, 3, 1),
    (1, 131, 2),
    (5, 128, 32),
)


def modes_problem(rng, batch, length, dtype, given):
    log_lam = -rng.uniform(0.01, 0.5, (D, N)) + 1j * rng.normal(size=(D, N))
    c, u = draw(rng, D, N, dtype=complex), draw(rng, batch, length, D, dtype=dtype)
    h0 = draw(rng, batch, D, N, dtype=np.result_type(dtype, np.complex64)) if given else None
    return log_lam, c, u, h0


def taps_problem(rng, batch, length, window, dtype, given):
    k, u = draw(rng, D, window + 1), draw(rng, batch, length, D, dtype=dtype)
    return k, u, draw(rng, batch, window, D, dtype=dtype) if given else None


def the_body(mode, chunk_):
    return (lambda *args: chunked.chunked(*args, chunk_)) if mode == "chunked" else fft.fft


def the_taps(mode, chunk_):
    return (lambda *args: taps.chunked(*args, chunk_)) if mode == "chunked" else taps.fft


def turned(u):
    """The same numbers, a channel's side by side in memory."""
    return np.ascontiguousarray(u.transpose(2, 0, 1)).transpose(1, 2, 0)


def assert_agrees(ours, plain, rng, dtype):
    """Outputs and gradients, with the cotangent of the state and without it."""
    (y, state, back), (y_plain, state_plain, back_plain) = ours, plain
    dy, dstate = draw(rng, *y.shape, dtype=dtype), draw(rng, *state.shape, dtype=state.dtype)
    tolerance = 1e-4 if dtype == np.float32 else 1e-11
    for d in (None, dstate):
        for a, b in zip((y, state, *back(dy, d)), (y_plain, state_plain, *back_plain(dy, d)), strict=True):
            assert a.dtype == b.dtype
            assert a.shape == b.shape
            np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(1, abs(b).max(initial=0)))


@pytest.fixture
def small_pieces(monkeypatch):
    """Some sequences, or a part of one, at a time; if rows are views, one channel."""
    monkeypatch.setattr(layout, "PIECE", D * 40)
    monkeypatch.setattr(rows, "ROWS", 9)


@DTYPES
@STARTS
@LAYOUTS
@MODES
@pytest.mark.parametrize(("batch", "length", "chunk_"), SHAPES)
def test_modes_agree_with_the_plain_body(
    mode, batch, length, chunk_, channels_first, given, dtype, rng, small_pieces, monkeypatch
):
    log_lam, c, u, h0 = modes_problem(rng, batch, length, dtype, given)
    ours = the_body(mode, chunk_)(log_lam, c, turned(u) if channels_first else u, h0)
    monkeypatch.setattr(fast, "path", lambda name, *arrays: None)
    options = {"chunk": chunk_} if mode == "chunked" else {}
    assert_agrees(ours, scan.MODES[mode](log_lam, c, u, h0, **options), rng, dtype)


@DTYPES
@LAYOUTS
@pytest.mark.parametrize(("length", "chunk_"), [(7, 7), (40, 40), (64, 32), (70, 32)])
def test_whole_sequences_have_the_same_numbers_without_their_ends(
    length, chunk_, channels_first, dtype, rng, monkeypatch
):
    log_lam, c, u, h0 = modes_problem(rng, 3, length, dtype, True)
    u, dy = turned(u) if channels_first else u, draw(rng, 3, length, D, dtype=dtype)
    expected, _, back_expected = scan.chunked(log_lam, c, u, chunk=chunk_)
    for fast_paths in (True, False):
        if not fast_paths:
            monkeypatch.setattr(fast, "path", lambda name, *arrays: None)
        y, h_last, back = scan.chunked(log_lam, c, u, chunk=chunk_, ends=False)
        *gradients, dh0 = back(dy)
        assert h_last is None
        assert dh0 is None
        for a, b in zip((y, *gradients), (expected, *back_expected(dy)[:-1]), strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_allclose(
                a, b, rtol=0, atol=(1e-4 if dtype == np.float32 else 1e-11) * max(1, abs(b).max())
            )
        with pytest.raises(ValueError, match="scan: h0 and ends=False given"):
            scan.chunked(log_lam, c, u, h0, ends=False)
        with pytest.raises(ValueError, match="scan: dh_last given, but ends=False gives no h_last"):
            back(dy, h0)


@pytest.mark.parametrize("channels_first", [False, True])
def test_the_gradient_of_a_long_memory_is_summed_in_double_precision(channels_first, rng):
    """The gradient of lam^Q, over many chunks. In single precision, its error is larger than the rounding of inputs."""
    log_lam, c = np.full((D, 1), -1e-5 + 0j), np.ones((D, 1), complex)
    u = 1 + 0.1 * draw(rng, 1, 32 * 8192, D, dtype=np.float32)
    f = the_body("chunked", 32)
    _, _, back = f(log_lam, c, turned(u) if channels_first else u, None)
    _, _, back_exact = f(log_lam, c, u.astype(np.float64), None)
    ours, exact = back(u, None)[0], back_exact(u.astype(np.float64), None)[0]
    assert abs(ours - exact).max() < 2e-8 * abs(exact).max()


def test_gradients_without_ends_match_differences(rng, small_pieces):
    for length in (7, 40, 70):
        log_lam, c, u, _ = modes_problem(rng, 3, length, np.float64, False)

        def whole(log_lam, c, u):
            y, _, back = scan.chunked(log_lam, c, u, ends=False)
            return y, lambda dy: back(dy)[:3]

        gradcheck(whole, log_lam, c, u)


@pytest.mark.parametrize(
    ("batch", "length", "channels_first", "views", "most"),
    [(5, 128, True, True, 8), (1, 355, True, True, 9), (5, 70, True, True, 1), (5, 128, False, False, 1)],
)
def test_rows_are_views_if_channels_are_contiguous(batch, length, channels_first, views, most, rng, small_pieces):
    """Also those of several sequences, unless a remainder lies between them. A piece then has up to ROWS, not one."""
    u = draw(rng, batch, length, D)
    u = (turned(u) if channels_first else u)[:, : length - length % 32]
    parts, channels = rows.pieces(u, 32)
    found = [rows.gather(u, part, 32) for part in parts]
    assert all(np.may_share_memory(x, u) for x in found) == views
    assert max(x.shape[1] for x in found) == most
    assert sum(x.shape[1] for x in found) == batch * (length // 32)
    assert channels[-1].stop == D


@DTYPES
@STARTS
@LAYOUTS
@MODES
@pytest.mark.parametrize("window", [0, 1, 9, 40])
@pytest.mark.parametrize(("batch", "length", "chunk_"), [(1, 1, 1), (3, 37, 37), (2, 65, 32), (4, 11, 3)])
def test_taps_agree_with_the_plain_body(
    mode, batch, length, chunk_, window, channels_first, given, dtype, rng, small_pieces, monkeypatch
):
    k, u, past = taps_problem(rng, batch, length, window, dtype, given)
    ours = the_taps(mode, chunk_)(k, turned(u) if channels_first else u, past)
    monkeypatch.setattr(fast, "path", lambda name, *arrays: None)
    options = {"chunk": chunk_} if mode == "chunked" else {}
    assert_agrees(ours, getattr(plain_taps, mode)(k, u, past, **options), rng, dtype)


@MODES
@pytest.mark.parametrize(("length", "chunk_"), [(1, 1), (7, 7), (35, 4), (66, 32), (40, 40)])
def test_gradients_match_differences(mode, length, chunk_, rng, small_pieces):
    for given in (False, True):
        gradcheck(the_body(mode, chunk_), *modes_problem(rng, 3, length, np.float64, given))
        gradcheck(the_taps(mode, chunk_), *taps_problem(rng, 3, length, 9, np.float64, given))


@STARTS
@MODES
def test_the_bits_do_not_depend_on_the_threads(mode, given, rng, monkeypatch):
    monkeypatch.setattr(parallel, "ENOUGH", 1)
    dy = draw(rng, 5, 70, D, dtype=np.float32)
    for f, args in (
        (the_body(mode, 32), modes_problem(rng, 5, 70, np.float32, given)),
        (the_taps(mode, 32), taps_problem(rng, 5, 70, 9, np.float32, given)),
    ):
        results = []
        for limit in (1, 2):
            with parallel.threads(limit):
                y, state, back = f(*args)
                results.append((y, state, *back(dy, state)))
        for a, b in zip(*results, strict=True):
            np.testing.assert_array_equal(a, b)


@MODES
def test_nothing_is_written_to(mode, rng):
    modes, taps_ = modes_problem(rng, 2, 70, np.float64, True), taps_problem(rng, 2, 70, 9, np.float64, True)
    for f, args in ((the_body(mode, 32), modes), (the_taps(mode, 32), taps_), (the_body(mode, 70), modes)):
        dy = draw(rng, 2, 70, D)
        for a in (*args, dy):
            a.flags.writeable = False
        y, state, back = f(*args)
        y.flags.writeable = state.flags.writeable = False
        first = [a.copy() for a in back(dy, state)]
        back(2 * dy, None)
        for a, b in zip(back(dy, state), first, strict=True):
            np.testing.assert_array_equal(a, b)


@MODES
@pytest.mark.parametrize("length", [26, 64, 70])
def test_results_lie_in_memory_as_the_inputs_do(mode, length, rng):
    """Channels first, as ssm gives them, so that ssm need not copy; or as (B, L, D)."""
    log_lam, c, u, _ = modes_problem(rng, 2, length, np.float32, False)
    k, _, _ = taps_problem(rng, 2, length, 9, np.float32, False)
    for f, args in ((the_body(mode, min(32, length)), (log_lam, c)), (the_taps(mode, min(32, length)), (k,))):
        y, _, back = f(*args, turned(u), None)
        du = back(y, None)[len(args)]
        assert y.transpose(2, 0, 1).flags.c_contiguous
        assert du.transpose(2, 0, 1).flags.c_contiguous


def test_two_levels_of_powers_are_all_powers(rng):
    for length in (1, 2, 3, 17, 130, 1025):
        log_lam, c, _, _ = modes_problem(rng, 1, length, np.float64, False)
        of = levels.Levels(log_lam, length, np.float64)
        k, _ = kernel(log_lam, c, length)
        np.testing.assert_allclose(of.kernel(c), k, rtol=0, atol=1e-11)
        x, r = draw(rng, D, length), np.arange(length)
        v = np.exp(log_lam[..., None] * r)
        z, dz = of.both_sums(x)
        np.testing.assert_allclose(z, (x[:, None] * v).sum(axis=-1), rtol=0, atol=1e-10)
        np.testing.assert_allclose(dz, (r * x[:, None] * v).sum(axis=-1), rtol=0, atol=1e-8)
        np.testing.assert_array_equal(of.sums(x), z)


@pytest.mark.parametrize("Q", [1, 2, 7, chunk.MOST, chunk.MOST + 1, 50])
def test_diagonal_sums_are_the_adjoint_of_toeplitz(Q, rng):
    k, T = draw(rng, D, Q), draw(rng, D, Q, Q)
    built = chunk.toeplitz(k)
    for s, t in np.ndindex(Q, Q):
        np.testing.assert_array_equal(built[:, s, t], k[:, t - s] if t >= s else 0)
    np.testing.assert_allclose((built * T).sum(), (k * chunk.diagonal_sums(T)).sum())


def test_single_precision_is_exact_over_a_long_memory(rng, monkeypatch):
    """Phases in single precision would be off by 2e-4 here, in the reference bodies too."""
    log_lam = (-1e-4 + 1.2345j) * np.ones((1, 1))
    c, u = np.ones((1, 1), complex), rng.normal(size=(1, 4096, 1))
    expected = scan.recurrent(log_lam, c, u)[0]
    monkeypatch.setattr(fast, "path", lambda name, *arrays: None)
    for body in (the_body("chunked", 32), the_body("fft", 0), scan.chunked, scan.fft):
        y, _, _ = body(log_lam, c, u.astype(np.float32), None)
        assert abs(y - expected).max() / abs(expected).max() < 2e-5


def test_the_bodies_are_chosen_by_name(monkeypatch):
    monkeypatch.setattr(fast, "REFERENCE", False)
    u = np.zeros((1, 2, 3))
    for name, body in (
        ("chunked", chunked.chunked),
        ("fft", fft.fft),
        ("taps.chunked", taps.chunked),
        ("taps.fft", taps.fft),
    ):
        assert fast.path(name, u) is body
