"""The LSTM: right against torch, a plain loop, differences and autograd."""

import numpy as np
import pytest

from minissm import gradcheck, tree
from minissm.lstm import Lstm, lstm

from .oracles import assert_matches_autograd, draw
from .test_backend import agree_there

B, L, D, H = 2, 7, 4, 3
LENGTHS = pytest.mark.parametrize("length", [1, 2, L])


def parameters(rng):
    """The function lets the state be narrower than the input, which a swapped axis would not survive."""
    return {"w_x": draw(rng, D, 4 * H), "w_h": draw(rng, H, 4 * H), "b": draw(rng, 4 * H)}


def a_state(rng):
    return {"h": draw(rng, B, H), "c": draw(rng, B, H)}


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def by_equation(p, x, state):
    h, c, y = state["h"], state["c"], []
    for t in range(x.shape[1]):
        i, f, o, g = np.split(x[:, t] @ p["w_x"] + h @ p["w_h"] + p["b"], 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        y.append(h)
    return np.stack(y, axis=1), h, c


@LENGTHS
def test_it_is_the_equation(length, rng):
    p, x, state = parameters(rng), draw(rng, B, length, D), a_state(rng)
    y, last, _ = lstm(p, x, state)
    for a, b in zip((y, last["h"], last["c"]), by_equation(p, x, state), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-13)


@LENGTHS
def test_values_and_gradients_are_those_of_torch(length, rng):
    """torch has the gates as rows i, f, g, o, transposed weights and two biases, of which one is left at zero."""
    torch = pytest.importorskip("torch", reason="torch is not installed: the LSTM not compared with torch")
    p, x, state = parameters(rng), draw(rng, B, length, D), a_state(rng)
    dy, dstate = draw(rng, B, length, H), a_state(rng)
    y, last, backward = lstm(p, x, state)
    dp, dx, dstart = backward(dy, dstate)

    def rows(a):
        i, f, o, g = np.split(a, 4, axis=-1)
        return np.concatenate([i, f, g, o], axis=-1).T

    theirs = torch.nn.LSTM(D, H, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        theirs.bias_hh_l0.zero_()
        for name, a in (("weight_ih_l0", p["w_x"]), ("weight_hh_l0", p["w_h"]), ("bias_ih_l0", p["b"])):
            getattr(theirs, name).copy_(torch.tensor(rows(a)))
    inputs = [torch.tensor(a, requires_grad=True) for a in (x, state["h"][None], state["c"][None])]
    out, (h, c) = theirs(inputs[0], tuple(inputs[1:]))
    torch.autograd.backward((out, h, c), [torch.tensor(a) for a in (dy, dstate["h"][None], dstate["c"][None])])
    expected = (out, h[0], c[0], inputs[0].grad, inputs[1].grad[0], inputs[2].grad[0])
    for a, b in zip((y, last["h"], last["c"], dx, dstart["h"], dstart["c"]), expected, strict=True):
        np.testing.assert_allclose(a, b.detach().numpy(), rtol=0, atol=1e-12)
    for name, d in (("weight_ih_l0", dp["w_x"]), ("weight_hh_l0", dp["w_h"]), ("bias_ih_l0", dp["b"])):
        np.testing.assert_allclose(rows(d), getattr(theirs, name).grad.numpy(), rtol=0, atol=1e-12, err_msg=name)


@LENGTHS
def test_gradients_match_differences_and_autograd(length, rng):
    p, x, state = parameters(rng), draw(rng, B, length, D), a_state(rng)

    def without_state(p, x):
        y, last, backward = lstm(p, x)
        return y, last, lambda *d: backward(*d)[:2]

    gradcheck(lstm, p, x, state, names=("p", "x", "state"))
    gradcheck(without_state, p, x, names=("p", "x"))

    def flat(p, x, state):
        """The state as two outputs: the oracle draws one cotangent for an array."""
        y, last, backward = lstm(p, x, state)
        return y, last["h"], last["c"], lambda dy, dh, dc: backward(dy, {"h": dh, "c": dc})

    assert_matches_autograd(flat, p, x, state, rng=rng)


def test_no_state_is_zeros_and_no_cotangent_is_zero(rng):
    p, x, dy, dstate = parameters(rng), draw(rng, B, L, D), draw(rng, B, L, H), a_state(rng)
    zeros = Lstm().start(p, np.zeros((B, D)), L)
    y, last, backward = lstm(p, x)
    y0, last0, backward0 = lstm(p, x, zeros)
    pairs = [(backward(dy), backward0(dy, zeros)), (backward(None, dstate), backward0(0 * dy, dstate))]
    for a, b in [(y, y0), (last, last0), *pairs]:
        tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize("cut", [1, 3, 6])
def test_two_pieces_with_the_state_carried_are_the_whole_also_backwards(cut, rng):
    p, x, state = parameters(rng), draw(rng, B, L, D), a_state(rng)
    dy, dstate = draw(rng, B, L, H), a_state(rng)
    y, last, backward = lstm(p, x, state)
    y1, middle, back1 = lstm(p, x[:, :cut], state)
    y2, end, back2 = lstm(p, x[:, cut:], middle)
    dp2, dx2, dmiddle = back2(dy[:, cut:], dstate)
    dp1, dx1, dstart = back1(dy[:, :cut], dmiddle)
    dp, join = tree.map(np.add, dp1, dp2), np.concatenate
    pieces = [join([y1, y2], axis=1), end, dp, join([dx1, dx2], axis=1), dstart]
    for a, b in zip(tree.leaves(pieces), tree.leaves([y, last, *backward(dy, dstate)]), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-13 * max(1, abs(b).max()))


def test_single_precision_stays_single_and_is_close_to_double(rng):
    given = [parameters(rng), draw(rng, B, L, D), a_state(rng), draw(rng, B, L, H), a_state(rng)]
    given = tree.map(np.float32, given)

    def everything(dtype):
        p, x, state, *cotangents = tree.map(lambda a: a.astype(dtype), given)
        y, last, backward = lstm(p, x, state)
        return tree.leaves([y, last, *backward(*cotangents)])

    for a, b in zip(everything(np.float32), everything(np.float64), strict=True):
        assert (a.dtype, b.dtype) == (np.float32, np.float64)
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-6 * abs(b).max())


def test_it_stays_where_its_arrays_are(rng):
    p, x, state = parameters(rng), draw(rng, B, L, D), a_state(rng)
    agree_there(lstm, p, x, state)
    agree_there(lstm, p, x, None)
    agree_there(lambda p, x: (*Lstm().trace(p, x).values(), lambda *d: ()), p, x)


def test_nothing_is_written_to_and_backward_may_be_called_again(rng):
    given = [parameters(rng), draw(rng, B, L, D), a_state(rng), draw(rng, B, L, H), a_state(rng)]
    for a in tree.leaves(given):
        a.flags.writeable = False
    y, last, backward = lstm(*given[:3])
    for a in tree.leaves([y, last]):
        a.flags.writeable = False
    first = tree.map(np.copy, list(backward(*given[3:])))
    backward(2 * given[3])
    tree.map(np.testing.assert_array_equal, list(backward(*given[3:])), first)


def test_gates_that_are_far_open_or_shut_do_not_overflow(rng):
    p, x, state = parameters(rng), draw(rng, B, L, D), a_state(rng)
    for b in (-1e30, 1e30):
        y, last, backward = lstm(p | {"b": p["b"] + b}, x, state)
        assert all(np.isfinite(a).all() for a in tree.leaves([y, last, *backward(y, state)]))


def test_with_the_forget_gate_open_and_the_input_gate_shut_the_cell_keeps_what_it_holds(rng):
    p, state = parameters(rng), a_state(rng)
    p["b"] = p["b"] + np.repeat([-100, 100, 0, 0], H)
    np.testing.assert_allclose(lstm(p, draw(rng, B, L, D), state)[1]["c"], state["c"], rtol=1e-12)


@pytest.mark.parametrize("t", [0, 3, 6])
def test_output_is_causal(t, rng):
    p, x = parameters(rng), draw(rng, B, L, D)
    later = x.copy()
    later[:, t:] += 1
    before, after = lstm(p, x)[0], lstm(p, later)[0]
    np.testing.assert_array_equal(after[:, :t], before[:, :t])
    assert abs(after[:, t] - before[:, t]).min() > 1e-9


# ---- the block


@pytest.mark.parametrize("width", [1, 4, 33])
def test_sizes_count_what_is_drawn(width, rng):
    block = Lstm()
    p = block.init(rng, width)
    assert block.size(width) == tree.size(p)
    y, last, _ = block.run(p, draw(rng, 1, 2, width), None, "auto")
    assert y.shape == (1, 2, width)
    assert block.state_size(width, L) == tree.size(last)
    start = block.start(tree.map(np.float32, p), np.zeros((3, 1), np.float32), L)
    assert {(a.shape, a.dtype.name) for a in tree.leaves(start)} == {((3, width), "float32")}
    assert not any(a.any() for a in tree.leaves(start))


def test_the_forget_gates_alone_start_open(rng):
    b = Lstm().init(rng, 100)["b"]
    np.testing.assert_allclose([part.mean() for part in np.split(b, 4)], [0, 1, 0, 0], atol=0.05)
    assert abs(b - np.repeat([0, 1, 0, 0], 100)).max() <= 0.1


def test_the_trace_shows_states_and_gates(rng):
    p, x = parameters(rng), draw(rng, B, L, D)
    found = Lstm().trace(p, x)
    np.testing.assert_array_equal(found["states"], lstm(p, x)[0])
    assert found["gates"].shape == (B, L, 4, H)
    c = np.zeros((B, H))
    for t in range(L):
        i, f, o, g = (found["gates"][:, t, k] for k in range(4))
        c = f * c + i * g
        np.testing.assert_allclose(found["states"][:, t], o * np.tanh(c), rtol=0, atol=1e-13)


def test_a_state_of_another_shape_or_precision_is_refused_in_one_sentence(rng):
    p, x, state = parameters(rng), draw(rng, B, L, D), a_state(rng)
    with pytest.raises(ValueError, match=r"lstm: state h is float64 \(1, 3\); expected float64 \(2, 3\)"):
        lstm(p, x, tree.map(lambda a: a[:1], state))
    with pytest.raises(ValueError, match=r"lstm: state h is float32 \(2, 3\); expected float64"):
        lstm(p, x, tree.map(np.float32, state))
    _, _, backward = lstm(p, x, state)
    with pytest.raises(ValueError, match=r"lstm: dstate h is float64 \(1, 3\)"):
        backward(None, tree.map(lambda a: a[:1], state))
