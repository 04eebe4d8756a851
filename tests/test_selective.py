"""The selective layer: right against the paper's recurrence, differences and autograd; and what selecting means."""

import numpy as np
import pytest

from minissm import gradcheck, scan, tree
from minissm.filters import LONG, SHORT, WIDE
from minissm.selective import S6, selective, selective_scan, softplus

from .oracles import assert_matches_autograd, draw
from .test_backend import agree_there

B, L, D, N, R = 2, 7, 4, 3, 5
E = 2 * D
LENGTHS = pytest.mark.parametrize("length", [1, 2, L])
NAMES = ("u", "dt", "A", "B", "C", "h0")


def inputs_of_scan(rng, length=L, dtype=np.float64):
    dt, A = rng.uniform(0.1, 1.0, (B, length, E)), -rng.uniform(0.2, 3.0, (E, N))
    arrays = draw(rng, B, length, E), dt, A, draw(rng, B, length, N), draw(rng, B, length, N), draw(rng, B, E, N)
    return [a.astype(dtype) for a in arrays]


def layer(rng, dtype=np.float64, **options):
    block = S6(d_state=N, dt_rank=R, **options)
    return block, tree.map(lambda a: (a + 0.1 * draw(rng, *a.shape)).astype(dtype), block.init(rng, D))


def by_paper(p, x, h):
    """The layer of the paper, one sequence and one token at a time, in plain NumPy."""
    f, u = p["filter"], x @ p["w_in"] + p["b_in"]
    dt, A = np.logaddexp(0, u @ f["w_low"] @ f["w_dt"] + f["b_dt"]), -np.exp(f["log_a"])
    v, h = np.zeros_like(u), h.copy()
    for b, t in np.ndindex(x.shape[:2]):
        h[b] = np.exp(dt[b, t, :, None] * A) * h[b] + np.outer(dt[b, t] * u[b, t], u[b, t] @ p["w_b"])
        v[b, t] = h[b] @ (u[b, t] @ p["w_c"]) + p["skip"] * u[b, t]
    return v @ p["w_out"] + p["b_out"], h


# ---- softplus


def test_softplus_is_the_logarithm_and_its_gradient_the_sigmoid(rng):
    x = np.linspace(-20, 20, 41)
    y, backward = softplus(x)
    np.testing.assert_allclose(y, np.log1p(np.exp(x)), rtol=1e-14)
    np.testing.assert_allclose(backward(np.ones(41)), 1 / (1 + np.exp(-x)), rtol=1e-13)
    gradcheck(softplus, draw(rng, L, D))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softplus_is_exact_where_its_formula_overflows(dtype):
    x = np.array([-np.inf, -1e30, -60, 60, 1e30, np.inf], dtype)
    y, backward = softplus(x)
    np.testing.assert_allclose(y, [0, 0, np.exp(-60.0), 60, 1e30, np.inf], rtol=1e-6)
    np.testing.assert_allclose(backward(np.ones_like(x)), [0, 0, np.exp(-60.0), 1, 1, 1], rtol=1e-6)
    assert y.dtype == dtype


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softplus_keeps_its_digits_where_exp_x_is_small(dtype):
    """There, rounding takes most digits of exp(x) from 1 + exp(x), and all of them below some x."""
    x = np.linspace(-60, 0, 3001).astype(dtype)
    y, backward = softplus(x)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(y, np.log1p(np.exp(exact)), rtol=8 * np.finfo(dtype).eps)
    np.testing.assert_allclose(backward(np.ones_like(x)), 1 / (1 + np.exp(-exact)), rtol=8 * np.finfo(dtype).eps)


# ---- the scan


@LENGTHS
def test_the_scan_is_the_equation(length, rng):
    u, dt, A, B_, C, h = inputs_of_scan(rng, length)
    y, last, _ = selective_scan(u, dt, A, B_, C, h)
    for t in range(length):
        h = np.exp(dt[:, t, :, None] * A) * h + (dt[:, t] * u[:, t])[..., None] * B_[:, t, None, :]
        np.testing.assert_allclose(y[:, t], np.sum(h * C[:, t, None, :], axis=-1), rtol=0, atol=1e-12)
    np.testing.assert_allclose(last, h, rtol=0, atol=1e-12)


@LENGTHS
def test_gradients_of_the_scan_match_differences_and_autograd(length, rng):
    inputs = inputs_of_scan(rng, length)
    gradcheck(selective_scan, *inputs, names=NAMES)
    gradcheck(selective_scan, *inputs[:5], None, names=NAMES)
    assert_matches_autograd(selective_scan, *inputs, rng=rng)


# ---- the layer


@LENGTHS
def test_the_layer_is_the_recurrence_of_the_paper(length, rng):
    _, p = layer(rng)
    x, h0 = draw(rng, B, length, D), draw(rng, B, E, N)
    y, h, _ = selective(p, x, h0)
    expected_y, expected_h = by_paper(p, x, h0)
    np.testing.assert_allclose(y, expected_y, rtol=0, atol=1e-12)
    np.testing.assert_allclose(h, expected_h, rtol=0, atol=1e-12)


@LENGTHS
def test_gradients_of_the_layer_match_differences_and_autograd(length, rng):
    _, p = layer(rng)
    x, h0 = draw(rng, B, length, D), draw(rng, B, E, N)
    gradcheck(selective, p, x, h0, names=("p", "x", "state"))
    gradcheck(selective, p, x, None, names=("p", "x", "state"))
    assert_matches_autograd(selective, p, x, h0, rng=rng)


def test_the_gradients_have_the_names_of_the_parameters(rng):
    _, p = layer(rng)
    dp, _, _ = selective(p, draw(rng, B, L, D))[2](draw(rng, B, L, D))
    assert [name for name, _ in tree.named(dp)] == [name for name, _ in tree.named(p)]


def test_no_state_is_zeros_and_no_cotangent_is_zero(rng):
    block, p = layer(rng)
    x, dy, dh = draw(rng, B, L, D), draw(rng, B, L, D), draw(rng, B, E, N)
    y, h, backward = selective(p, x)
    y0, h_same, backward0 = selective(p, x, block.start(p, np.zeros((B, D)), L))
    pairs = [(backward(dy), backward0(dy, 0 * dh)), (backward(None, dh), backward0(0 * dy, dh))]
    for a, b in [(y, y0), (h, h_same), *pairs]:
        tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize("cut", [1, 3, 6])
def test_two_pieces_with_the_state_carried_are_the_whole_also_backwards(cut, rng):
    _, p = layer(rng)
    x, h0, dy, dh = draw(rng, B, L, D), draw(rng, B, E, N), draw(rng, B, L, D), draw(rng, B, E, N)
    y, h, backward = selective(p, x, h0)
    y1, middle, back1 = selective(p, x[:, :cut], h0)
    y2, end, back2 = selective(p, x[:, cut:], middle)
    dp2, dx2, dmiddle = back2(dy[:, cut:], dh)
    dp1, dx1, dstart = back1(dy[:, :cut], dmiddle)
    dp, join = tree.map(np.add, dp1, dp2), np.concatenate
    pieces = [join([y1, y2], axis=1), end, dp, join([dx1, dx2], axis=1), dstart]
    for a, b in zip(tree.leaves(pieces), tree.leaves([y, h, *backward(dy, dh)]), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12 * max(1, abs(b).max()))


def test_single_precision_stays_single_and_is_close_to_double(rng):
    _, p = layer(rng, np.float32)
    x, h0, dy, dh = (draw(rng, *s, dtype=np.float32) for s in ((B, L, D), (B, E, N), (B, L, D), (B, E, N)))

    def everything(dtype):
        p_, x_, h_, dy_, dh_ = tree.map(lambda a: a.astype(dtype), [p, x, h0, dy, dh])
        y, h, backward = selective(p_, x_, h_)
        return tree.leaves([y, h, *backward(dy_, dh_)])

    for a, b in zip(everything(np.float32), everything(np.float64), strict=True):
        assert (a.dtype, b.dtype) == (np.float32, np.float64)
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * abs(b).max())


def test_it_stays_where_its_arrays_are(rng):
    block, p = layer(rng)
    x, h0 = draw(rng, B, L, D), draw(rng, B, E, N)
    agree_there(selective, p, x, h0)
    agree_there(selective, p, x, None)
    agree_there(lambda p, x: (*block.trace(p, x).values(), lambda *d: ()), p, x)


def test_nothing_is_written_to_and_backward_may_be_called_again(rng):
    _, p = layer(rng)
    given = [p, draw(rng, B, L, D), draw(rng, B, E, N), draw(rng, B, L, D), draw(rng, B, E, N)]
    for a in tree.leaves(given):
        a.flags.writeable = False
    y, h, backward = selective(*given[:3])
    y.flags.writeable = h.flags.writeable = False
    first = tree.map(np.copy, list(backward(*given[3:])))
    backward(2 * given[3])
    for a, b in zip(tree.leaves(list(backward(*given[3:]))), tree.leaves(first), strict=True):
        np.testing.assert_array_equal(a, b)


# ---- what selecting means


def test_where_no_token_chooses_it_is_the_filter_of_scan_recurrent(rng):
    """dt comes from its bias alone, B and C from b_in alone, which u holds as its constant last channel."""
    _, p = layer(rng)
    p["filter"]["w_dt"][:] = 0
    p["w_in"][:, -1], p["b_in"][-1] = 0, 1
    p["w_b"][:-1], p["w_c"][:-1] = 0, 0
    x = draw(rng, B, L, D)
    u, dt = x @ p["w_in"] + p["b_in"], np.logaddexp(0, p["filter"]["b_dt"])
    log_lam = dt[:, None] * -np.exp(p["filter"]["log_a"]) + 0j
    v, _, _ = scan.recurrent(log_lam, dt[:, None] * p["w_b"][-1] * p["w_c"][-1] + 0j, u)
    expected = (v + p["skip"] * u) @ p["w_out"] + p["b_out"]
    np.testing.assert_allclose(selective(p, x)[0], expected, rtol=0, atol=1e-12)


def test_the_layer_is_not_linear(rng):
    _, p = layer(rng)
    x = draw(rng, B, L, D)
    zero = selective(p, 0 * x)[0]
    assert abs(selective(p, 2 * x)[0] - zero - 2 * (selective(p, x)[0] - zero)).max() > 1e-2


def test_a_token_is_ignored_as_its_step_goes_to_zero_and_forgets_all_else_as_it_grows(rng):
    u, dt, A, B_, C, h0 = inputs_of_scan(rng)
    t = 3
    dt[:, t] = 0
    y, h, _ = selective_scan(u, dt, A, B_, C, h0)
    kept = [i for i in range(L) if i != t]
    y_without, h_without, _ = selective_scan(u[:, kept], dt[:, kept], A, B_[:, kept], C[:, kept], h0)
    np.testing.assert_allclose(y[:, kept], y_without, rtol=0, atol=1e-12)
    np.testing.assert_allclose(h, h_without, rtol=0, atol=1e-12)
    dt[:, t] = 1e3
    after, before = selective_scan(u, dt, A, B_, C, h0)[0], selective_scan(u, dt, A, B_, C, 100 + h0)[0]
    np.testing.assert_allclose(after[:, t:], before[:, t:], rtol=1e-12)
    assert abs(after[:, :t] - before[:, :t]).min() > 1e-6


def test_a_token_that_the_weights_point_away_from_leaves_the_state_alone(rng):
    """The same in the layer: softplus of a large negative number is no step."""
    _, p = layer(rng)
    x = draw(rng, B, L, D)
    p["filter"]["b_dt"][:] -= 100
    h0 = draw(rng, B, E, N)
    np.testing.assert_allclose(selective(p, x, h0)[1], h0, rtol=1e-12)


@pytest.mark.parametrize("t", [0, 3, 6])
def test_output_is_causal(t, rng):
    _, p = layer(rng)
    x = draw(rng, B, L, D)
    later = x.copy()
    later[:, t:] += 1
    before, after = selective(p, x)[0], selective(p, later)[0]
    np.testing.assert_allclose(after[:, :t], before[:, :t], rtol=0, atol=1e-12)
    assert abs(after[:, t] - before[:, t]).min() > 1e-6


# ---- the block


@pytest.mark.parametrize("options", [{}, {"d_state": 1, "expand": 1}, {"dt_rank": 3}, {"d_state": 5, "expand": 3}])
@pytest.mark.parametrize("width", [1, 4, 33])
def test_sizes_count_what_is_drawn(width, options, rng):
    block = S6(**options)
    p = block.init(rng, width)
    assert block.size(width) == tree.size(p)
    _, h, _ = selective(p, draw(rng, 1, 2, width))
    assert block.state_size(width, L) == h.size
    assert p["filter"]["w_low"].shape[1] == (block.dt_rank or max(1, width // 16))
    start = block.start(tree.map(np.float32, p), np.zeros((3, 1), np.float32), L)
    assert (start.shape, start.dtype) == ((3, *h.shape[1:]), np.float32)
    assert not start.any()


@pytest.mark.parametrize(
    ("depth", "dt", "expected"),
    [(None, None, WIDE), (0, None, SHORT), (1, None, LONG), (0.5, (0.2, 0.3), (0.2, 0.3))],
)
def test_the_steps_are_drawn_from_their_range(depth, dt, expected, rng):
    p = S6(dt=dt).init(rng, 200, depth)
    steps, _ = softplus(p["filter"]["b_dt"])
    low, high = expected
    assert low * (1 - 1e-9) <= steps.min() < low + 0.1 * (high - low)
    assert high - 0.1 * (high - low) < steps.max() <= high * (1 + 1e-9)
    np.testing.assert_allclose(np.exp(p["filter"]["log_a"]), np.broadcast_to(np.arange(1, 9), (400, 8)))


def test_the_block_runs_its_function(rng):
    block, p = layer(rng)
    x, h0 = draw(rng, B, L, D), draw(rng, B, E, N)
    for a, b in zip(block.run(p, x, h0, "auto")[:2], selective(p, x, h0)[:2], strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_trace_shows_steps_and_states(rng):
    block, p = layer(rng)
    x = draw(rng, B, L, D)
    found, u = block.trace(p, x), x @ p["w_in"] + p["b_in"]
    assert found["steps"].shape == (B, L, E)
    a = np.exp(found["steps"][..., None] * -np.exp(p["filter"]["log_a"]))
    h = found["states"]
    fed = (found["steps"] * u)[..., None] * (u @ p["w_b"])[:, :, None, :]
    np.testing.assert_allclose(h[:, 1:], a[:, 1:] * h[:, :-1] + fed[:, 1:], rtol=0, atol=1e-12)
    np.testing.assert_allclose(h[:, -1], selective(p, x)[1], rtol=0, atol=1e-12)


def test_wrong_options_and_states_are_refused_in_one_sentence(rng):
    for options in ({"d_state": 0}, {"expand": 1.5}, {"dt_rank": 0}, {"dt": (1, 0.1)}):
        with pytest.raises(ValueError, match=f"s6: {next(iter(options))}="):
            S6(**options)
    _, p = layer(rng)
    with pytest.raises(ValueError, match=r"selective: state is float64 \(1, 8, 3\); expected .* \(2, 8, 3\)"):
        selective(p, draw(rng, B, L, D), draw(rng, 1, E, N))


def test_shapes_that_would_broadcast_are_refused_in_one_sentence(rng):
    u, A, B_ = draw(rng, 2, 7, 4), -np.ones((4, 3)), draw(rng, 2, 7, 3)
    dt = np.ones_like(u)
    for args, told in (
        ((u, dt[..., :1], A, B_, B_), r"dt is float64 \(2, 7, 1\); expected \(B, L, E\) = \(2, 7, 4\)"),
        ((u, dt, A[:1], B_, B_), r"A is float64 \(1, 3\); expected"),
        ((u, dt, A, B_[:1], B_), r"B is float64 \(1, 7, 3\); expected .* \(2, 7, 3\)"),
        ((u, dt, A, B_, B_[:, :1]), r"C is float64 \(2, 1, 3\); expected .* \(2, 7, 3\)"),
        ((u[:, :0], dt[:, :0], A, B_, B_), r"u is float64 \(2, 0, 4\); .* each size 1 or more"),
        ((u, dt, A, np.float32(B_), B_), "B is float32; expected one dtype"),
    ):
        with pytest.raises(ValueError, match=told):
            selective_scan(*args)
    y, h, backward = selective_scan(u, dt, A, B_, B_)
    with pytest.raises(ValueError, match=r"s6: dy is float64 \(1, 7, 4\); expected float64 \(2, 7, 4\)"):
        backward(y[:1])
    with pytest.raises(ValueError, match=r"s6: dh_last is float64 \(1, 4, 3\); expected float64 \(2, 4, 3\)"):
        backward(y, h[:1])
