"""Causal attention: committed reference values, gradients, causality."""

from pathlib import Path

import numpy as np
import pytest

from minissm import Attn, attention, attention_weights, gradcheck, tree
from minissm.attention import join_heads, self_attention, split_heads

from .oracles import assert_matches_autograd, draw

B, H, L, P = 2, 3, 5, 4
D = H * P


def qkv(rng, length=L):
    return [draw(rng, B, H, length, P) for _ in range(3)]


def block_and_params(rng, **options):
    block = Attn(heads=H, **options)
    return block, tree.map(lambda a: a + 0.1 * draw(rng, *a.shape), block.init(rng, D))


def test_values_and_gradients_are_those_of_torch():
    """tests/data/attention_by_torch.npz: scaled_dot_product_attention(is_causal=True) of torch 2.13.0 in float64."""
    with np.load(Path(__file__).parent / "data" / "attention_by_torch.npz") as file:
        d = dict(file)
    o, backward = attention(d["q"], d["k"], d["v"])
    np.testing.assert_allclose(o, d["o"], rtol=0, atol=1e-13)
    for ours, name in zip(backward(d["do"]), ("dq", "dk", "dv"), strict=True):
        np.testing.assert_allclose(ours, d[name], rtol=0, atol=1e-13, err_msg=name)


@pytest.mark.parametrize("length", [1, 2, L])
def test_gradients(length, rng):
    gradcheck(attention, *qkv(rng, length), names=("q", "k", "v"))
    assert_matches_autograd(attention, *qkv(rng, length), rng=rng)


@pytest.mark.parametrize("positions", ["learned", "none"])
def test_gradients_of_the_whole_layer(positions, rng):
    block, p = block_and_params(rng, positions=positions, **({"max_len": 7} if positions == "learned" else {}))

    def f(p, x):
        y, _, backward = self_attention(p, x, heads=block.heads)
        return y, lambda dy: backward(dy)[:2]

    gradcheck(f, p, draw(rng, B, L, D), names=("p", "x"))
    assert_matches_autograd(f, p, draw(rng, B, L, D), rng=rng)


def test_gradients_of_keys_and_values_before_and_behind(rng):
    """The state comes with room for more than it holds, which gets no gradient."""
    block, p = block_and_params(rng, max_len=9)
    buffers = {"k": draw(rng, B, H, 4, P), "v": draw(rng, B, H, 4, P)}

    def f(p, x, buffers):
        y, state, backward = self_attention(p, x, {**buffers, "filled": 3}, heads=block.heads)

        def back(dy, dk, dv):
            dp, dx, dstate = backward(dy, {"k": dk, "v": dv})
            return dp, dx, {name: dstate[name] for name in buffers}

        return y, state["k"], state["v"], back

    gradcheck(f, p, draw(rng, B, L, D), buffers, names=("p", "x", "state"))
    assert_matches_autograd(f, p, draw(rng, B, L, D), buffers, rng=rng)


@pytest.mark.parametrize("room", [2, 3, 20])
def test_steps_are_the_whole_and_make_room_where_it_runs_out(room, rng):
    block, p = block_and_params(rng, max_len=9)
    x = draw(rng, B, L, D)
    y, end, _ = block.run(p, x, None, "auto")
    state, step = block.start(p, np.zeros((B, D)), room), block.stepper(p)
    for t in range(L):
        y_t, state = step(x[:, t : t + 1], state)
        np.testing.assert_allclose(y_t, y[:, t : t + 1], atol=1e-13)
    assert state["filled"] == L
    for name in ("k", "v"):
        np.testing.assert_allclose(state[name][:, :, :L], end[name], atol=1e-13)


def test_a_step_after_a_run_does_not_write_into_what_its_backward_keeps(rng):
    block, p = block_and_params(rng, max_len=9)
    x = draw(rng, B, L, D)
    y, state, backward = block.run(p, x, None, "auto")
    before = tree.map(np.copy, backward(y)[0])
    block.stepper(p)(x[:, :1], state)
    for a, b in zip(tree.leaves(backward(y)[0]), tree.leaves(before), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_state_of_other_sequences_is_refused(rng):
    block, p = block_and_params(rng, max_len=9)
    with pytest.raises(ValueError, match=r"attn: k is float64 \(3, 3, 4, 4\); expected .* \(2, 3, S, 4\)"):
        block.run(p, draw(rng, B, L, D), block.start(p, np.zeros((3, D)), 4), "auto")


def test_weights_sum_to_one_and_do_not_look_ahead(rng):
    a = attention_weights(*qkv(rng)[:2])
    np.testing.assert_allclose(a.sum(axis=-1), 1, atol=1e-14)
    assert (a[..., *np.triu_indices(L, 1)] == 0).all()
    np.testing.assert_array_equal(a[..., 0, 0], 1)


@pytest.mark.parametrize("t", range(1, L))
def test_output_is_causal(t, rng):
    q, k, v = qkv(rng)
    o, _ = attention(q, k, v)
    k[:, :, t:] += 5
    v[:, :, t:] -= 7
    changed, _ = attention(q, k, v)
    np.testing.assert_array_equal(changed[:, :, :t], o[:, :, :t])
    assert abs(changed[:, :, t] - o[:, :, t]).min() > 0


def test_large_scores_do_not_overflow(rng):
    q, k, v = (100 * a for a in qkv(rng))
    o, backward = attention(q, k, v)
    assert all(np.isfinite(x).all() for x in (o, attention_weights(q, k), *backward(np.ones_like(o))))


def test_heads_are_split_and_joined(rng):
    x = draw(rng, B, L, D)
    split = split_heads(x, H)
    assert split.shape == (B, H, L, P)
    np.testing.assert_array_equal(split[1, 2, 3], x[1, 3, 2 * P :])
    np.testing.assert_array_equal(join_heads(split), x)


def test_single_precision_stays_single_and_is_close_to_double(rng):
    double = qkv(rng)
    o, back = attention(*(x.astype(np.float32) for x in double))
    expected, back_double = attention(*double)
    assert {x.dtype for x in (o, *back(o))} == {np.dtype(np.float32)}
    np.testing.assert_allclose(o, expected, atol=1e-5)
    for x, y in zip(back(o), back_double(expected), strict=True):
        np.testing.assert_allclose(x, y, atol=1e-5)


def test_nothing_is_written_to(rng):
    arrays = qkv(rng)
    for a in arrays:
        a.flags.writeable = False
    o, back = attention(*arrays)
    o.flags.writeable = False
    for x, y in zip(back(o), back(o), strict=True):
        np.testing.assert_array_equal(x, y)


def test_sizes_count_what_is_drawn(rng):
    for options in ({"max_len": 9}, {"positions": "none"}):
        block, p = block_and_params(rng, **options)
        assert block.size(D) == tree.size(p)
    assert block.state_size(D, L) == 2 * D * L


def test_wrong_requests_are_refused_in_one_sentence(rng):
    block, p = block_and_params(rng, max_len=3)
    with pytest.raises(
        ValueError, match=r"attn: a sequence of L=5, but positions for 3; give attn\(max_len=5\) or more"
    ):
        block.run(p, draw(rng, B, L, D), None, "auto")
    with pytest.raises(ValueError, match="but positions for 3"):
        block.trace(p, draw(rng, B, L, D))
    with pytest.raises(ValueError, match="attn: width=10 can't be split over heads=3; choose a multiple"):
        block.init(rng, 10)
    with pytest.raises(ValueError, match="attn: positions='sine'; expected one of learned, none"):
        Attn(positions="sine")
    with pytest.raises(ValueError, match="attn: max_len has no meaning with positions='none'"):
        Attn(positions="none", max_len=3)
    with pytest.raises(ValueError, match="attn: heads=0; expected an integer, 1 or more"):
        Attn(heads=0)


def test_positions_are_drawn_small(rng):
    assert Attn(max_len=500).init(rng, 20)["position"].std() == pytest.approx(0.3, rel=0.05)


@pytest.mark.parametrize(
    ("q", "k", "v"),
    [
        ((2, 3, 5, 4), (2, 3, 4, 4), (2, 3, 4, 4)),  # more queries than places
        ((2, 3, 5, 4), (2, 3, 5, 4), (2, 3, 6, 4)),
        ((2, 3, 5, 4), (2, 1, 5, 4), (2, 1, 5, 4)),
        ((2, 3, 5, 4), (2, 3, 5, 3), (2, 3, 5, 3)),
        ((2, 0, 5, 4), (2, 0, 5, 4), (2, 0, 5, 4)),
        ((2, 5, 4), (2, 5, 4), (2, 5, 4)),
    ],
)
def test_shapes_that_do_not_fit_are_refused_in_one_sentence(q, k, v):
    with pytest.raises(ValueError, match=r"^attention: .*; expected"):
        attention(*(np.ones(shape) for shape in (q, k, v)))
