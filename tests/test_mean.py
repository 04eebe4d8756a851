"""The running mean: against NumPy, differences and autograd, in pieces, and where single precision would lose."""

import numpy as np
import pytest

from minissm import gradcheck, mean

from .oracles import draw

B, L, D = 2, 7, 3


def test_it_is_the_mean_of_all_tokens_so_far(rng):
    x = draw(rng, B, L, D)
    y, state, _ = mean({}, x)
    for t in range(L):
        np.testing.assert_allclose(y[:, t], x[:, : t + 1].mean(axis=1), rtol=0, atol=1e-14)
    np.testing.assert_allclose(state["sum"], x.sum(axis=1), rtol=0, atol=1e-14)
    assert state["count"] == L


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pieces_are_the_whole_and_the_state_is_in_double_precision(dtype, rng):
    x = draw(rng, B, L, D, dtype=dtype)
    y, last, _ = mean({}, x)
    first, state, _ = mean({}, x[:, :3])
    rest, end, _ = mean({}, x[:, 3:], state)
    np.testing.assert_allclose(np.concatenate([first, rest], axis=1), y, rtol=0, atol=1e-14)
    np.testing.assert_allclose(end["sum"], last["sum"], rtol=0, atol=1e-14)
    assert (y.dtype, end["sum"].dtype, end["count"]) == (dtype, np.float64, L)


def test_gradients_with_and_without_a_state(rng):
    x, state = draw(rng, B, L, D), {"sum": draw(rng, B, D), "count": 5}
    gradcheck(mean, {}, x, state, names=("p", "x", "state"))
    gradcheck(mean, {}, x, None, names=("p", "x", "state"))


def test_a_long_sequence_loses_no_token():
    x = np.full((1, 10**6, 1), 0.1, np.float32)
    assert mean({}, x)[0][0, -1, 0] == pytest.approx(0.1, rel=1e-6)


def test_wrong_inputs_and_states_are_refused(rng):
    x = draw(rng, B, L, D)
    with pytest.raises(ValueError, match=r"mean: x is float64 \(2, 7\); expected \(B, L, D\)"):
        mean({}, x[..., 0])
    with pytest.raises(ValueError, match=r"mean: sum is float64 \(1, 3\); expected .* \(2, 3\)"):
        mean({}, x, {"sum": np.zeros((1, D)), "count": 3})
    with pytest.raises(ValueError, match="mean: state is a dict of h, c; expected sum, count"):
        mean({}, x, {"h": 1, "c": 2})
    with pytest.raises(ValueError, match=r"mean: dy is float64 \(1, 7, 3\); expected float64 \(2, 7, 3\)"):
        mean({}, x)[2](x[:1])
