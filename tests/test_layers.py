"""Token-wise layers: values against outside oracles, gradients against autograd and differences."""

import numpy as np
import pytest
import scipy.special

from minissm import fast, gradcheck, layers, losses, reference, tree

from .oracles import assert_matches_autograd, draw

B, L, D, E = 2, 7, 4, 3
LINEAR = {"w": (D, E), "b": (E,)}


def params(rng, **shapes):
    return {name: draw(rng, *shape) for name, shape in shapes.items()}


def check(f, *inputs, rng):
    gradcheck(f, *inputs)
    assert_matches_autograd(f, *inputs, rng=rng)


def test_linear(rng):
    p, x = params(rng, **LINEAR), draw(rng, B, L, D)
    y, _ = layers.linear(p, x)
    np.testing.assert_allclose(y, np.einsum("bld,de->ble", x, p["w"]) + p["b"])
    check(layers.linear, p, x, rng=rng)


@pytest.mark.parametrize("act", layers.ACTIVATIONS.values(), ids=layers.ACTIVATIONS)
def test_activations(act, rng):
    check(act, draw(rng, B, L, D) + 0.01, rng=rng)


def test_relu_and_gelu_have_the_values_of_their_definitions():
    x = np.array([-30.0, -1.0, 0.0, 0.5, 2.0, 30.0])
    y, back = layers.relu(x)
    np.testing.assert_array_equal(y, [0, 0, 0, 0.5, 2, 30])
    np.testing.assert_array_equal(back(np.ones(6)), [0, 0, 0, 1, 1, 1])
    expected = [0, -0.15880801, 0, 0.34571401, 1.95459769, 30]  # torch's gelu(approximate="tanh")
    np.testing.assert_allclose(layers.gelu(x)[0], expected, rtol=0, atol=1e-8)


def test_sigmoid_tanh_and_silu_have_the_values_of_scipy_and_torch():
    x = np.array([-1000.0, -30.0, -1.0, 0.0, 0.5, 2.0, 30.0, 1000.0])
    np.testing.assert_allclose(layers.sigmoid(x)[0], scipy.special.expit(x), rtol=0, atol=1e-15)
    np.testing.assert_allclose(layers.tanh(x)[0], np.tanh(x), rtol=0, atol=0)
    expected = [0, 0, -0.26894142, 0, 0.31122967, 1.76159416, 30, 1000]  # torch's silu
    np.testing.assert_allclose(layers.silu(x)[0], expected, rtol=0, atol=1e-8)
    for act in (layers.sigmoid, layers.tanh, layers.silu):
        assert np.isfinite(act(x)[1](np.ones(8))).all()


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
@pytest.mark.parametrize("act", layers.ACTIVATIONS)
def test_fnn(depth, act, rng):
    block = layers.Fnn(depth) if depth == 0 else layers.Fnn(depth, width=5, act=act)
    p = tree.map(lambda a: a + 0.1 * draw(rng, *a.shape), block.init(rng, D))
    assert len(p) == depth + 1
    check(lambda p, x: layers.fnn(p, x, act), p, draw(rng, B, L, D), rng=rng)


@pytest.mark.parametrize("norm", layers.NORMS)
def test_norms(norm, rng):
    p = tree.map(lambda a: a + draw(rng, *a.shape), layers.norm_init(norm, D))
    check(layers.NORMS[norm], p, draw(rng, B, L, D), rng=rng)


def test_norms_have_the_statistics_that_they_promise(rng):
    x = 3 * draw(rng, B, L, 64) + 5
    y, _ = layers.layer_norm(layers.norm_init("layer", 64), x)
    np.testing.assert_allclose(y.mean(axis=-1), 0, atol=1e-12)
    np.testing.assert_allclose(y.var(axis=-1), 1, atol=1e-5)
    y, _ = layers.rms_norm(layers.norm_init("rms", 64), x)
    np.testing.assert_allclose((y**2).mean(axis=-1), 1, atol=1e-5)


@pytest.mark.parametrize(("norm", "epsilon"), [("rms", 1e-6), ("layer", 1e-5)])
def test_a_token_of_nearly_nothing_is_divided_by_the_epsilon_too(norm, epsilon):
    x = 1e-3 * np.array([[[-1.0, 1, -1, 1]]])
    y, _ = layers.NORMS[norm](layers.norm_init(norm, 4), x)
    np.testing.assert_allclose(y, x / np.sqrt(1e-6 + epsilon), rtol=1e-12)


def test_embed_takes_tokens_and_one_hot_alike(rng):
    p, tokens = {"w": draw(rng, 5, D)}, rng.integers(0, 5, (B, L))
    y, back = layers.embed(p, tokens)
    np.testing.assert_array_equal(y, p["w"][tokens])
    hot = np.eye(5)[tokens]
    y_hot, back_hot = layers.embed(p, hot)
    np.testing.assert_allclose(y_hot, y, atol=1e-14)
    dy = draw(rng, B, L, D)
    np.testing.assert_allclose(back(dy)[0]["w"], back_hot(dy)[0]["w"], atol=1e-13)
    assert back(dy)[1] is None
    gradcheck(layers.embed, p, tokens)
    check(layers.embed, p, hot, rng=rng)


def test_positions(rng):
    check(layers.add_positions, draw(rng, 9, D), draw(rng, B, L, D), rng=rng)
    check(layers.add_positions, draw(rng, L, D), draw(rng, B, L, D), rng=rng)


def test_column_sums_are_sums(rng):
    x = draw(rng, B, L, D)
    np.testing.assert_allclose(layers.column_sums(x), x.sum(axis=(0, 1)), atol=1e-14)


@pytest.mark.parametrize(
    ("f", "p", "shape"),
    [
        (layers.linear, LINEAR, (B, L, D)),
        (layers.rms_norm, {"g": (D,)}, (B, L, D)),
        (layers.layer_norm, {"g": (D,), "b": (D,)}, (B, L, D)),
    ],
)
def test_nothing_is_written_to_and_backward_may_be_called_again(f, p, shape, rng):
    p, x = params(rng, **p), draw(rng, *shape)
    for a in [*p.values(), x]:
        a.flags.writeable = False
    y, back = f(p, x)
    y.flags.writeable = False
    dy = draw(rng, *y.shape)
    dy.flags.writeable = False
    first, second = back(dy), back(dy)
    tree.map(np.testing.assert_array_equal, first, second)


def test_he_draws_have_variance_two_over_inputs(rng):
    p = layers.Fnn(1, width=400).init(rng, 300)
    assert [q["w"].var() * len(q["w"]) for q in p] == pytest.approx([2, 2], rel=0.02)
    assert all((q["b"] == 0).all() for q in p)


def test_a_linear_draw_is_uniform_within_its_bound(rng):
    w = layers.linear_init(rng, 16, 1000)["w"]
    assert abs(w).max() == pytest.approx(0.25, rel=1e-2)
    assert w.var() == pytest.approx(0.25**2 / 3, rel=0.05)


def test_a_wrong_option_is_refused_in_one_sentence():
    with pytest.raises(ValueError, match="fnn: depth=-1; expected an integer, 0 or more"):
        layers.Fnn(-1)
    with pytest.raises(ValueError, match="fnn: width=0; expected an integer, 1 or more, or None"):
        layers.Fnn(1, width=0)
    with pytest.raises(ValueError, match="fnn: act='swish'; expected one of relu, gelu, silu"):
        layers.Fnn(1, act="swish")
    with pytest.raises(ValueError, match="fnn0 has no hidden layer"):
        layers.Fnn(0, width=3)


def test_a_large_vocabulary_in_small_whole_numbers(rng):
    """300 letters, tokens as uint8: their numbers must not wrap around."""
    p, tokens = {"w": draw(rng, 300, 3)}, np.array([[3, 7, 9]], dtype=np.uint8)
    dy = draw(rng, 1, 3, 3)
    for kind in (np.uint8, np.int64):
        _, backward = layers.embed(p, tokens.astype(kind))
        dw = backward(dy)[0]["w"]
        assert list(np.flatnonzero(dw.any(axis=1))) == [3, 7, 9]
    logits, weights = draw(rng, 1, 3, 300), np.ones((1, 3))
    found = [losses.cross_entropy(logits, tokens.astype(kind), weights)[0] for kind in (np.uint8, np.int64)]
    assert found[0] == found[1]


@pytest.mark.parametrize("rows", [[0], [13], [0, 3, 4, 11], list(range(14))])
def test_rows_are_taken_and_put_back(rows, rng):
    x = draw(rng, B, L, D)
    y, _ = layers.take_rows(x, np.array(rows))
    np.testing.assert_array_equal(y, x.reshape(-1, D)[rows])
    gradcheck(lambda x: layers.take_rows(x, np.array(rows)), x)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int64"])
def test_rows_may_be_counted_in_small_whole_numbers(dtype, rng):
    x, rows = draw(rng, 3, 100, D), np.array([0, 5, 100, 120], dtype)
    y, back = layers.take_rows(x, rows)
    dx = back(np.ones_like(y)).reshape(-1, D)
    assert np.flatnonzero(dx[:, 0]).tolist() == [0, 5, 100, 120]
    assert dx.sum() == 4 * D


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("vocab", [5, 99])
def test_the_fast_path_of_embed_agrees_with_the_reference_body(vocab, dtype, rng):
    p, tokens, dy = {"w": draw(rng, vocab, D, dtype=dtype)}, rng.integers(0, 5, (B, L)), draw(rng, B, L, D, dtype=dtype)
    tokens[0, 0] = vocab - 1
    y, back = layers.embed(p, tokens)
    dw = back(dy)[0]["w"]
    with reference():
        y_expected, back_expected = layers.embed(p, tokens)
        expected = back_expected(dy)[0]["w"]
    np.testing.assert_array_equal(y, y_expected)
    np.testing.assert_allclose(dw, expected, rtol=0, atol=1e-6 if dtype == np.float32 else 1e-14)
    assert dw.dtype == expected.dtype == dtype
    if fast.path("embed", p["w"]):
        tokens[:] = -7  # written to before the backward: the fast path has its own copy
        np.testing.assert_array_equal(back(dy)[0]["w"], dw)


def test_the_hidden_width_is_a_multiple_of_the_models_or_a_number():
    hidden = [
        layers.Fnn(2, **o).init(np.random.default_rng(0), 6)[1]["w"].shape for o in ({}, {"expand": 1.5}, {"width": 7})
    ]
    assert hidden == [(24, 24), (9, 9), (7, 7)]
    for options, words in (
        ({"expand": 0}, "expand=0; expected a number above 0"),
        ({"width": 3, "expand": 2}, "both set the hidden width, give one"),
        ({"depth": 0, "expand": 2}, "fnn0: an option was given"),
    ):
        with pytest.raises(ValueError, match=words):
            layers.Fnn(**options)
