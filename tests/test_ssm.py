"""The state space layer."""

import numpy as np
import pytest

from minissm import S4d, Ssm, gradcheck, scan, ssm, tree

from .oracles import assert_matches_autograd, draw

B, L, D, N = 2, 7, 4, 3
MODES = pytest.mark.parametrize("mode", scan.MODES)


def layer(rng, variant="lin"):
    block = Ssm(S4d(poles=N, variant=variant))
    return block, tree.map(lambda a: a + 0.1 * draw(rng, *a.shape), block.init(rng, D))


def state(rng):
    return draw(rng, B, 2 * D, N, dtype=complex)


@MODES
@pytest.mark.parametrize("variant", ["lin", "real"])
def test_gradients(mode, variant, rng):
    block, p = layer(rng, variant)

    def f(p, x, h):
        return ssm(p, x, h, filter=block.filter, mode=mode)

    gradcheck(f, p, draw(rng, B, L, D), state(rng), names=("p", "x", "state"))
    gradcheck(f, p, draw(rng, B, L, D), None, names=("p", "x", "state"))
    assert_matches_autograd(f, p, draw(rng, B, L, D), state(rng), rng=rng)


def test_it_is_linear_and_time_invariant(rng):
    """Superposition, and a delayed input gives the delayed output: nothing in an ssm layer selects."""
    block, p = layer(rng)

    def f(x):
        return ssm(p, x, filter=block.filter)[0]

    x, z = draw(rng, B, L, D), draw(rng, B, L, D)
    zero = f(np.zeros_like(x))
    np.testing.assert_allclose(f(2 * x + z) - zero, 2 * (f(x) - zero) + (f(z) - zero), atol=1e-12)
    p["b_in"][:] = 0
    delayed = np.concatenate([np.zeros((B, 2, D)), x], axis=1)
    np.testing.assert_allclose(f(delayed)[:, 2:], f(x), atol=1e-12)


def test_modes_agree(rng):
    block, p = layer(rng)
    x, h = draw(rng, B, 70, D), state(rng)
    y, last, _ = ssm(p, x, h, filter=block.filter, mode="recurrent")
    for mode in ("chunked", "fft", "auto"):
        y2, last2, _ = ssm(p, x, h, filter=block.filter, mode=mode)
        np.testing.assert_allclose(y2, y, atol=1e-10)
        np.testing.assert_allclose(last2, last, atol=1e-10)


def test_two_halves_with_the_state_carried_are_the_whole(rng):
    block, p = layer(rng)
    x = draw(rng, B, L, D)
    y, last, _ = ssm(p, x, filter=block.filter)
    y1, h, _ = ssm(p, x[:, :3], filter=block.filter)
    y2, end, _ = ssm(p, x[:, 3:], h, filter=block.filter)
    np.testing.assert_allclose(np.concatenate([y1, y2], axis=1), y, atol=1e-12)
    np.testing.assert_allclose(end, last, atol=1e-12)


def test_the_skip_passes_the_input_by_the_filter(rng):
    block, p = layer(rng)
    p["filter"]["c"][:] = 0
    x = draw(rng, B, L, D)
    expected = (p["skip"] * (x @ p["w_in"] + p["b_in"])) @ p["w_out"] + p["b_out"]
    np.testing.assert_allclose(ssm(p, x, filter=block.filter)[0], expected, atol=1e-12)


def test_sizes_count_what_is_drawn(rng):
    block, p = layer(rng)
    assert block.size(D) == tree.size(p)
    _, h, _ = ssm(p, draw(rng, 1, L, D), filter=block.filter)
    assert block.state_size(D, L) == 2 * h.size


def test_the_trace_shows_states_and_kernels(rng):
    block, p = layer(rng)
    x = draw(rng, B, L, D)
    found = block.trace(p, x)
    (_, c), _ = block.filter(p["filter"])
    u = x @ p["w_in"] + p["b_in"]
    v = np.stack(
        [np.stack([np.convolve(found["kernel"][e], u[b, :, e])[:L] for e in range(2 * D)], -1) for b in range(B)]
    )
    np.testing.assert_allclose(v @ p["w_out"] + p["b_out"], ssm(p, x, filter=block.filter)[0], atol=1e-12)
    np.testing.assert_allclose(
        (c * found["states"]).real.sum(-1) + p["skip"] * u, v, atol=1e-12, err_msg="y_t = Re sum c h_t + skip u_t"
    )


def test_the_trace_shows_what_enters_the_filter_and_what_is_read_and_their_gradients(rng):
    block, p = layer(rng)
    x, dy = draw(rng, B, L, D), draw(rng, B, L, D)
    found, gradients = block.trace(p, x), block.dtrace(p, x, dy)
    y, _, backward = ssm(p, x, filter=block.filter)
    np.testing.assert_allclose((found["read"] + p["skip"] * found["input"]) @ p["w_out"] + p["b_out"], y, atol=1e-12)
    dp, dx, _ = backward(dy)
    np.testing.assert_allclose(gradients["dinput"] @ p["w_in"].T, dx, atol=1e-12)
    np.testing.assert_allclose((gradients["dread"] * found["input"]).sum((0, 1)), dp["skip"], atol=1e-12)
    np.testing.assert_allclose(gradients["dread"], dy @ p["w_out"].T, atol=1e-12)


def test_the_skip_starts_at_one(rng):
    np.testing.assert_array_equal(Ssm().init(rng, D)["skip"], np.ones(2 * D))


def test_a_filter_needs_its_options():
    for wrong in ("s4d", S4d):
        with pytest.raises(ValueError, match=r"ssm: filter=.*; expected a filter with its options, like S4d"):
            Ssm(wrong)


def test_a_state_of_another_shape_or_kind_is_refused(rng):
    block, p = layer(rng)
    for wrong in (state(rng)[:1], state(rng).real, {"h": state(rng)}, draw(rng, B, 5, 2 * D)):
        with pytest.raises(ValueError, match=r"ssm: state is .*; expected \(2, 8, 3\) of complex64 or complex128"):
            ssm(p, draw(rng, B, L, D), wrong, filter=block.filter)


def test_a_filter_that_returns_no_coefficients_is_refused(rng):
    block, p = layer(rng)
    with pytest.raises(TypeError, match=r"scan: tuple given; a filter returns Poles\(log_lam, c\) or Taps\(k\)"):
        ssm(p, draw(rng, B, L, D), filter=lambda q: (tuple(block.filter(q)[0]), None))


@MODES
@pytest.mark.parametrize("length", [7, 70])
def test_whole_sequences_have_no_final_state_if_that_costs_less(mode, length, rng):
    block, p = layer(rng)
    x = draw(rng, B, length, D)
    y, end, backward = ssm(p, x, filter=block.filter, mode=mode, ends=False)
    expected, _, back_expected = ssm(p, x, filter=block.filter, mode=mode)
    assert (end is None) == (mode == "chunked")
    np.testing.assert_allclose(y, expected, atol=1e-12)
    for ours, other in zip(tree.leaves(backward(y)[:2]), tree.leaves(back_expected(y)[:2]), strict=True):
        np.testing.assert_allclose(ours, other, atol=1e-11 * max(1, abs(other).max()))
    with pytest.raises(ValueError, match="ssm: a state and ends=False given"):
        ssm(p, x, state(rng), filter=block.filter, mode=mode, ends=False)
