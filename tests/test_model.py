"""Whole models: gradients, modes, sizes, masks, argument checks."""

import numpy as np
import pytest

from minissm import Attn, Fnn, Model, S4d, Ssm, gradcheck, scan, ssm, tree, zeros

from .oracles import assert_matches_autograd, draw

B, L, V = 2, 5, 7
SPECS = (
    "ssm",
    "attn",
    "fnn0",
    "fnn2",
    "ssm + fnn1",
    "ssm(variant='real') + attn",
    "ssm + fnn1 + ssm(variant='inv') + fnn1",
)


def small(spec, **options):
    return Model(spec, **{"vocab": V, "width": 4, "dtype": "float64"} | options)


def one_hot(rng, length=L):
    return np.eye(V)[rng.integers(0, V, (B, length))]


def shaken(net, rng):
    """Initial parameters moved off zero biases and equal gains, where a wrong gradient could hide."""
    return tree.map(lambda a: a + 0.1 * draw(rng, *a.shape), net.init(rng))


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("norm", ["none", "rms", "layer"])
def test_gradients(spec, norm, rng):
    net = small(spec, norm=norm)
    params = shaken(net, rng)
    gradcheck(net, params, one_hot(rng), names=("params", "x"))
    gradcheck(net, params, rng.integers(0, V, (B, L)), names=("params", "x"))
    assert_matches_autograd(net, params, one_hot(rng), rng=rng)


@pytest.mark.parametrize("mode", scan.MODES)
@pytest.mark.parametrize("length", [1, 2, 67])
def test_gradients_in_every_mode_without_residual(mode, length, rng):
    net = small("ssm + fnn1", residual=False, norm="rms")
    gradcheck(lambda p, x: net(p, x, mode=mode), shaken(net, rng), one_hot(rng, length))


def test_gradients_with_real_vectors(rng):
    net = Model("ssm + fnn1", inputs=3, outputs=5, width=4, dtype="float64")
    params, x = shaken(net, rng), draw(rng, B, L, 3)
    assert net(params, x)[0].shape == (B, L, 5)
    gradcheck(net, params, x)
    assert_matches_autograd(net, params, x, rng=rng)


def test_tokens_and_one_hot_give_the_same(rng):
    net = small("ssm + attn")
    params, tokens = net.init(rng), rng.integers(0, V, (B, L))
    y, back = net(params, tokens)
    y_hot, back_hot = net(params, np.eye(V)[tokens])
    np.testing.assert_allclose(y, y_hot, atol=1e-12)
    dparams, dx = back(y)
    dparams_hot, dx_hot = back_hot(y)
    assert dx is None
    assert dx_hot.shape == (B, L, V)
    tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-11), dparams, dparams_hot)


def test_modes_agree(rng):
    net = small("ssm + fnn1 + ssm(variant='real') + attn")
    params, tokens = net.init(rng), rng.integers(0, V, (B, 70))
    expected, back = net(params, tokens, mode="recurrent")
    gradients, _ = back(expected)
    for mode in ("chunked", "fft", "auto"):
        y, back = net(params, tokens, mode=mode)
        np.testing.assert_allclose(y, expected, atol=1e-10)
        tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-9), back(expected)[0], gradients)


@pytest.mark.parametrize("spec", ["ssm + fnn1", "attn + fnn1"])
def test_output_is_causal(spec, rng):
    net = small(spec)
    params, x = net.init(rng), rng.integers(0, V, (B, 40))
    changed = x.copy()
    changed[:, 33:] = (changed[:, 33:] + 1) % V
    before, after = net(params, x)[0], net(params, changed)[0]
    np.testing.assert_allclose(after[:, :33], before[:, :33], atol=1e-12)
    assert abs(after[:, 33:] - before[:, 33:]).max(axis=-1).min() > 1e-6


@pytest.mark.parametrize("spec", ["ssm + fnn1", "attn + fnn1"])
def test_padding_on_the_right_changes_nothing(spec, rng):
    net = small(spec)
    params, x = net.init(rng), rng.integers(0, V, (B, 37))
    padded = np.concatenate([x, np.zeros((B, 5), int)], axis=1)
    np.testing.assert_allclose(net(params, padded)[0][:, :37], net(params, x)[0], atol=1e-12)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize(
    "options", [{}, {"norm": "layer"}, {"norm": "rms", "outputs": 3}, {"vocab": None, "inputs": 3, "outputs": 2}]
)
def test_size_counts_what_is_drawn(spec, options, rng):
    net = small(spec, **options)
    assert net.size == tree.size(net.init(rng))


def test_single_precision_stays_single_and_is_close_to_double(rng):
    double = small("ssm + fnn1 + attn", norm="layer")
    single = small("ssm + fnn1 + attn", norm="layer", dtype="float32")
    p64 = double.init(rng)
    p32 = tree.map(lambda a: a.astype(np.float32), p64)
    tokens = rng.integers(0, V, (B, 40))
    y64, back64 = double(p64, tokens)
    y32, back32 = single(p32, tokens)
    assert {a.dtype for a in [y32, *tree.leaves(back32(y32)[0])]} == {np.dtype(np.float32)}
    assert {a.dtype for a in tree.leaves(single.init(rng))} == {np.dtype(np.float32)}
    np.testing.assert_allclose(y32, y64, atol=1e-4)
    tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=2e-4 * max(1, abs(b).max())), back32(y32)[0], back64(y64)[0]
    )


def test_nothing_is_written_to_and_backward_may_be_called_again(rng):
    net = small("ssm + fnn1 + attn", norm="rms")
    params, x = net.init(rng), one_hot(rng, 40)
    for a in [*tree.leaves(params), x]:
        a.flags.writeable = False
    y, back = net(params, x)
    y.flags.writeable = False
    first, second = back(y), back(y)
    tree.map(np.testing.assert_array_equal, first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


def test_timescales_spread_the_steps_over_the_layers(rng):
    def steps(timescales):
        params = Model("ssm + fnn1 + ssm + attn + ssm", vocab=V, width=64, timescales=timescales).init(rng)
        return [np.exp(np.median(b["filter"]["log_dt"])) for b in params["blocks"] if "filter" in b]

    graded, reversed_, equal = steps("graded"), steps("reversed"), steps("equal")
    assert graded == pytest.approx([0.316, 0.1, 0.0316], rel=0.3)
    assert reversed_ == pytest.approx([0.0316, 0.1, 0.316], rel=0.3)
    assert equal == pytest.approx([0.0548] * 3, rel=0.3)


def test_the_trace_names_what_happens_inside(rng):
    net = small("ssm + fnn1 + attn", norm="rms")
    params, tokens = net.init(rng), rng.integers(0, V, (B, L))
    found = net.trace(params, tokens)
    shapes = {name: a.shape for name, a in found.items()}
    assert shapes == {
        "embed": (B, L, 4),
        "blocks.0.input": (B, L, 8),
        "blocks.0.read": (B, L, 8),
        "blocks.0.kernel": (8, L),
        "blocks.0.states": (B, L, 8, 8),
        "blocks.0.output": (B, L, 4),
        "blocks.1.output": (B, L, 4),
        "blocks.2.weights": (B, 2, L, L),
        "blocks.2.output": (B, L, 4),
        "y": (B, L, V),
    }
    np.testing.assert_allclose(found["y"], net(params, tokens)[0], atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"norm": "rms"}, {"norm": "layer", "residual": False}], ids=str)
def test_the_trace_shows_the_gradients_on_the_way_back(options, rng):
    """dembed against backward, and the others by a model that begins behind the block."""
    net = small("ssm + fnn1 + attn + s6 + lstm + trig + mean", **options)
    params, x, dy = net.init(rng), rng.normal(size=(B, L, V)), rng.normal(size=(B, L, V))
    found = net.trace(params, x, dy=dy)
    dparams, dx = net(params, x)[1](dy)
    np.testing.assert_allclose(found["dembed"] @ params["embed"]["w"].T, dx, atol=1e-12)
    np.testing.assert_allclose(np.einsum("blv,bld->vd", x, found["dembed"]), dparams["embed"]["w"], atol=1e-12)
    for i in range(len(net.blocks) - 1):
        rest = Model(net.blocks[i + 1 :], inputs=4, outputs=V, width=4, dtype="float64", **options)
        p = {"embed": {"w": np.eye(4), "b": np.zeros(4)}, "blocks": params["blocks"][i + 1 :]}
        p |= {"norms": params["norms"][i + 1 :], "head": params["head"]}
        _, dout = rest(p, found[f"blocks.{i}.output"])[1](dy)
        np.testing.assert_allclose(found[f"blocks.{i}.doutput"], dout, atol=1e-12)
    shapes = {name: (a.shape, found[name.replace(".d", ".")].shape) for name, a in found.items() if ".d" in name}
    assert all(one == other for one, other in shapes.values())
    assert {"blocks.0.dread", "blocks.0.dinput", "blocks.5.dread", "blocks.6.doutput"} <= set(shapes)
    assert not {name for name in net.trace(params, x) if ".d" in name or name == "dembed"}


def test_a_wrong_cotangent_of_a_trace_is_refused(rng):
    net = small("ssm")
    with pytest.raises(ValueError, match=r"Model.trace: dy .*"):
        net.trace(net.init(rng), rng.integers(0, V, (B, L)), dy=np.ones((B, L + 1, V)))


def test_state_size_is_what_must_be_remembered():
    assert small("ssm + fnn1").state_size(99) == 8 * 8 * 2
    assert small("attn + attn").state_size(10) == 2 * (2 * 4 * 10)


def test_blocks_of_ones_own_mix_freely(rng):
    blocks = (Ssm(expand=1), Fnn(1, width=3, act="relu"), Attn(heads=1), Ssm(expand=3))
    net = small(blocks)
    params = shaken(net, rng)
    assert params["blocks"][0]["w_in"].shape == (4, 4)
    assert params["blocks"][3]["w_in"].shape == (4, 12)
    gradcheck(net, params, one_hot(rng))


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({}, "give either vocab .* or inputs"),
        ({"vocab": 3, "inputs": 3}, "give either vocab .* or inputs"),
        ({"inputs": 3}, "inputs without outputs"),
        ({"vocab": 0}, "Model: vocab=0; expected an integer, 1 or more"),
        ({"vocab": "many"}, "Model: vocab='many'; expected an integer"),
        ({"vocab": 3, "width": -4}, "Model: width=-4"),
        ({"vocab": 3, "width": 2.5}, "Model: width=2.5"),
        ({"vocab": 3, "width": True}, "Model: width=True"),
        ({"vocab": 3, "width": float("nan")}, "Model: width=nan"),
        ({"vocab": 3, "norm": "batch"}, "Model: norm='batch'; expected one of none, rms, layer"),
        ({"vocab": 3, "residual": "yes"}, "Model: residual='yes'; expected True or False"),
        ({"vocab": 3, "timescales": "long"}, "Model: timescales='long'; expected one of graded, reversed, equal"),
        ({"vocab": 3, "dtype": "float16"}, "Model: dtype='float16'; expected one of float32, float64"),
        ({"vocab": 3, "width": 9}, "attn: width=9 can't be split over heads=2"),
    ],
)
def test_a_wrong_model_is_refused_in_one_sentence(options, error):
    with pytest.raises(ValueError, match=error):
        Model("attn", **options)


def test_a_model_of_no_blocks_is_refused():
    with pytest.raises(ValueError, match="Model: no blocks"):
        Model((), vocab=3)


def test_a_wrong_input_is_refused_in_one_sentence(rng):
    net = small("ssm")
    params = net.init(rng)
    for x in (np.zeros((B, L)), np.zeros((B, L, V + 1)), np.zeros(L, int), np.zeros((B, L, V), np.float32)):
        with pytest.raises(
            ValueError, match=r"Model: x is .*; expected \(B, L\) of integers or \(B, L, 7\) of float64"
        ):
            net(params, x)
    for x in (np.full((B, L), V), np.full((B, L), -1)):
        with pytest.raises(ValueError, match=r"tokens from .*; expected 0\.\.6"):
            net(params, x)
    with pytest.raises(ValueError, match=r"Model: x is int64 \(2, 0\); expected .*, each size 1 or more"):
        net(params, np.zeros((B, 0), int))
    with pytest.raises(ValueError, match=r"Model: parameters with no blocks.1; expected one; draw them with init"):
        small("ssm + fnn1")(params, np.zeros((B, L), int))
    with pytest.raises(ValueError, match=r"Model: parameters with blocks.1; expected no such entry"):
        net(small("ssm + fnn1").init(rng), np.zeros((B, L), int))
    turned = params | {"head": {"w": params["head"]["w"].T, "b": params["head"]["b"]}}
    with pytest.raises(ValueError, match=r"Model: parameters with head.w of shape \(7, 4\); expected shape \(4, 7\)"):
        net(turned, np.zeros((B, L), int))
    net(dict(reversed(params.items())), np.zeros((B, L), int))  # the order of a dict means nothing
    with pytest.raises(ValueError, match="unknown mode 'slow'"):
        net(params, np.zeros((B, L), int), mode="slow")


MASK = np.array([[1, 0, 0, 1, 1], [0, 0, 0, 0, 1]], bool)


@pytest.mark.parametrize("spec", ["fnn1", "fnn1 + attn", "ssm + fnn1 + ssm + fnn1 + fnn0", "attn + fnn1 + lstm"])
@pytest.mark.parametrize("norm", ["none", "rms"])
def test_a_mask_gives_the_outputs_and_gradients_of_its_tokens(spec, norm, rng):
    net = small(spec, norm=norm)
    params, x = shaken(net, rng), one_hot(rng)
    y, back = net(params, x)
    some, back_some = net(params, x, where=MASK)
    np.testing.assert_allclose(some, y[MASK], rtol=0, atol=1e-13)
    dsome, dy = draw(rng, *some.shape), np.zeros_like(y)
    dy[MASK] = dsome
    (dparams, dx), (expected, dx_expected) = back_some(dsome), back(dy)
    tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-12), dparams, expected)
    np.testing.assert_allclose(dx, dx_expected, rtol=0, atol=1e-12)
    gradcheck(lambda p, x: net(p, x, where=MASK), params, x)


def test_a_mask_after_a_state_gives_the_state_of_all_tokens(rng):
    net = small("ssm + fnn1")
    params, x = net.init(rng), rng.integers(0, V, (B, L))
    _, state, _ = net.run(params, x)
    y, after, _ = net.run(params, x, state)
    some, after_some, back = net.run(params, x, state, where=MASK)
    np.testing.assert_allclose(some, y[MASK], rtol=0, atol=1e-13)
    tree.map(np.testing.assert_array_equal, after_some["blocks"], after["blocks"])
    assert back(np.ones((4, V)))[2]["blocks"][0].shape == state["blocks"][0].shape


@pytest.mark.parametrize("where", [[True], MASK[0], MASK[:, :4], MASK.astype(int), MASK & False, np.array([0, 3])])
def test_a_wrong_mask_is_refused_in_one_sentence(where, rng):
    net = small("ssm")
    with pytest.raises(ValueError, match=r"Model: where is .*; expected a mask \(2, 5\), True somewhere, like weights"):
        net(net.init(rng), rng.integers(0, V, (B, L)), where=where)


def test_the_filter_of_a_block_is_the_filter_that_runs(rng):
    """At any depth: a layer called by itself gives what it gives in the model."""
    net = small("trig(window=3) + trig + ssm", residual=False)
    params, tokens = net.init(rng), rng.integers(0, V, (B, 40))
    found = net.trace(params, tokens)
    x = found["embed"]
    for i, (block, p) in enumerate(zip(net.blocks, params["blocks"], strict=True)):
        x, _, _ = ssm(p, x, filter=block.filter)
        np.testing.assert_allclose(x, found[f"blocks.{i}.output"], rtol=0, atol=1e-12)


def test_zeros_are_a_tree_to_write_weights_into(rng):
    net = Model("attn + mean + fnn1", vocab=V, width=4, norm="rms")
    empty, drawn = zeros(net), net.init(rng)
    tree.map(lambda a, b: np.testing.assert_array_equal(a, 0 * b, strict=True), empty, drawn)
    assert not net(empty, rng.integers(0, V, (B, L)))[0].any()


def test_a_filter_without_a_draw_by_depth_does_not_count(rng):
    """Of two ssm besides it, one is the first and one the last."""

    class Plain:
        def __init__(self, inner):
            self.inner = inner

        def __call__(self, p):
            return self.inner(p)

        def init(self, rng, channels):
            return self.inner.init(rng, channels)

        def size(self, channels):
            return self.inner.size(channels)

        def state_size(self, channels):
            return self.inner.state_size(channels)

    net = Model((Ssm(Plain(S4d(dt=(2, 2)))), Ssm(), Ssm()), vocab=V, width=400)
    steps = [np.exp(p["filter"]["log_dt"]) for p in net.init(rng)["blocks"]]
    for dt, (low, high) in zip(steps, ((2, 2), (0.1, 1), (0.01, 0.1)), strict=True):
        assert (dt.min(), dt.max()) == (pytest.approx(low, rel=0.05), pytest.approx(high, rel=0.05))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda p: p | {"blocks": p["blocks"][:2]}, "with no blocks.2; expected one"),
        (lambda p: p | {"blocks": [*p["blocks"], {}]}, "with blocks.3; expected no such entry"),
        (lambda p: p | {"norms": [{}]}, "with no norms.1; expected one"),
        (lambda p: p | {"blocks": dict(enumerate(p["blocks"]))}, "with blocks of a dict; expected a list"),
        (lambda p: {n: a for n, a in p.items() if n != "norms"}, "with no norms; expected one"),
        (lambda p: p | {"more": {}}, "with more; expected no such entry"),
        (lambda p: None, "with the tree of shape NoneType; expected a dict"),
    ],
)
def test_parts_without_parameters_are_missed_too(change, error, rng):
    """A block `mean` has none, nor has a norm of norm="none": without them another model would run."""
    net = small("ssm + fnn1 + mean")
    with pytest.raises(ValueError, match=f"Model: parameters {error}"):
        net(change(net.init(rng)), rng.integers(0, V, (B, L)))
