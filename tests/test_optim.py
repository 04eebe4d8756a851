"""Update rules against their definitions."""

import math

import numpy as np
import pytest

from minissm import Model, fit, gradcheck, load, optim, save, tasks, train, tree

from .oracles import draw


def tree_of(rng):
    return {
        "w": draw(rng, 4, 3),
        "blocks": [{"filter": {"log_dt": draw(rng, 5)}, "skip": draw(rng, 5), "b": draw(rng, 2)}],
    }


def test_sgd(rng):
    p, g = tree_of(rng), tree_of(rng)
    tree.map(lambda new, w, d: np.testing.assert_array_equal(new, w - 0.1 * d), optim.sgd(p, g, 0.1), p, g)


def test_adamw_is_its_definition_and_spares_filters_and_skips(rng):
    p, lr, b1, b2, eps, decay = tree_of(rng), 0.01, 0.9, 0.99, 1e-8, 0.3
    expected, m, v = dict(tree.named(p)), {}, {}
    state = None
    for n in range(1, 6):
        g = tree_of(rng)
        p, state = optim.adamw(p, g, state, lr=lr, betas=(b1, b2), eps=eps, decay=decay)
        for name, d in tree.named(g):
            m[name] = b1 * m.get(name, 0) + (1 - b1) * d
            v[name] = b2 * v.get(name, 0) + (1 - b2) * d**2
            w = expected[name]
            spared = "filter" in name or "skip" in name
            step = (m[name] / (1 - b1**n)) / (np.sqrt(v[name] / (1 - b2**n)) + eps)
            expected[name] = w - lr * step - (0 if spared else lr * decay * w)
        for name, w in tree.named(p):
            np.testing.assert_allclose(w, expected[name], rtol=1e-12, err_msg=f"{name} at step {n}")


def test_the_decay_acts_where_the_names_say(rng):
    net = Model("ssm + fnn1 + attn", vocab=3, width=4, norm="layer")
    params = net.init(rng)
    decayed = tree.unflatten(params, optim.decay_mask(params))
    spared = {name for name, mask in tree.named(decayed) if not mask.any()}
    assert spared == {
        f"blocks.0.{name}" for name in ("filter.log_dt", "filter.log_re", "filter.im", "filter.c", "skip")
    }
    assert all(mask.all() for name, mask in tree.named(decayed) if name not in spared)


def test_the_order_of_keys_in_the_gradient_does_not_matter(rng):
    p, g = {"a": draw(rng, 3), "b": draw(rng, 2)}, {"b": np.full(2, 7.0), "a": np.full(3, -7.0)}
    new, _ = optim.adamw(p, g, lr=0.1, decay=0)
    np.testing.assert_allclose(new["a"] - p["a"], 0.1)
    np.testing.assert_allclose(new["b"] - p["b"], -0.1)


def test_nothing_given_is_written_to(rng):
    p, g = tree_of(rng), tree_of(rng)
    for a in tree.leaves(p) + tree.leaves(g):
        a.flags.writeable = False
    new, state = optim.adamw(p, g, lr=0.1)
    for a in (state.m, state.v, state.decayed, *tree.leaves(new)):
        a.flags.writeable = False
    optim.adamw(new, g, state, lr=0.1)
    optim.clip(g, 1.0)


def test_clip_bounds_the_norm_of_all_leaves_together(rng):
    g = tree_of(rng)
    norm = math.sqrt(sum((a**2).sum() for a in tree.leaves(g)))
    clipped, told = optim.clip(g, norm / 3)
    assert told == pytest.approx(norm)
    tree.map(lambda a, b: np.testing.assert_allclose(a, b / 3, rtol=1e-12), clipped, g)
    untouched, _ = optim.clip(g, norm * 1.01)
    tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-15), untouched, g)
    zero, told = optim.clip({"w": np.zeros(3)}, 1.0)
    assert told == 0
    assert (zero["w"] == 0).all()


def test_the_schedule_warms_up_and_falls_by_a_cosine():
    factors = [optim.warmup_cosine(i, 1000) for i in range(1000)]
    assert factors[0] == pytest.approx(1 / 101)
    assert max(factors) == pytest.approx(0.976, abs=0.002)
    assert 95 <= factors.index(max(factors)) <= 105
    assert factors[500] == pytest.approx(0.525)
    assert factors[-1] == pytest.approx(0.05, abs=1e-3)
    assert 0 < optim.warmup_cosine(0, 1) <= 1


def test_no_limit_is_no_clipping(rng):
    g = tree_of(rng)
    clipped, norm = optim.clip(g, math.inf)
    tree.map(np.testing.assert_array_equal, clipped, g)
    assert norm > 0


def test_the_defaults_are_those_that_docs_name():
    """docs/experiments.md: AdamW (0.9, 0.999), decay 0.01."""
    w, g = {"w": np.ones(1)}, {"w": np.full(1, 2.0)}
    _, state = optim.adamw(w, g, lr=1)
    np.testing.assert_allclose((state.m[0], state.v[0]), (0.2, 0.004))
    new, _ = optim.adamw(w, {"w": np.zeros(1)}, lr=1)
    np.testing.assert_allclose(new["w"], 0.99)


def test_a_gradient_of_another_precision_is_named():
    p = {"a": np.ones(2, np.float32), "b": np.ones(2, np.float32)}
    with pytest.raises(ValueError, match="adamw: the gradient of b is float64, the parameter float32; cast it"):
        optim.adamw(p, {"a": p["a"], "b": np.ones(2)}, lr=1)
    with pytest.raises(ValueError, match="adamw: the gradient of b is float64, the parameter float32; cast it"):
        optim.adamw(p | {"a": np.ones(2)}, {"a": np.ones(2), "b": np.ones(2)}, lr=1)
    with pytest.raises(ValueError, match="adamw: the gradient of a is float32, the parameter float64; cast it"):
        optim.adamw(p | {"a": np.ones(2)}, {"a": p["a"], "b": np.ones(2)}, lr=1)  # the same two, the other way round


def test_rates_as_numpy_scalars_leave_single_precision_single(rng):
    p, g = (tree.map(lambda a: a.astype(np.float32), tree_of(rng)) for _ in range(2))
    one = np.float64(0.1)
    new, state = optim.adamw(p, g, lr=one, eps=one, decay=one)
    clipped, _ = optim.clip(g, one)
    w, _ = optim.adamw_vector(*map(tree.flatten, (p, g)), optim.adamw_start(p), lr=one, eps=one, decay=one)
    for found in (new, w, state.m, state.v, clipped, optim.sgd(p, g, one)):
        assert {a.dtype for a in tree.leaves(found)} == {np.dtype(np.float32)}


def test_the_gradient_may_be_a_vector_of_the_right_length_and_dtype(rng):
    p, g = tree_of(rng), tree_of(rng)
    new, _ = optim.adamw(p, g, lr=0.1)
    tree.map(np.testing.assert_array_equal, optim.adamw(p, optim.gradient_vector(p, g), lr=0.1)[0], new)
    for wrong in (np.ones(1), np.ones(tree.size(p), np.float32), np.ones((1, tree.size(p)))):
        with pytest.raises(ValueError, match=r"adamw: the gradient is float.*; expected float64 \(24,\), or a tree"):
            optim.adamw(p, wrong, lr=0.1)


def test_trees_may_be_lists(rng):
    p, g = [draw(rng, 3), draw(rng, 2)], [draw(rng, 3), draw(rng, 2)]
    assert [a.shape for a in optim.adamw(p, g, lr=0.1)[0]] == [(3,), (2,)]


# ---- trees of two precisions


def mixed(net, rng, *names):
    """Parameters of net, in double precision where the path has one of the names."""
    params = net.init(rng)
    leaves = iter([a.astype("float64") if {*names} & {*n.split(".")} else a for n, a in tree.named(params)])
    return tree.map(lambda _: next(leaves), params)


@pytest.mark.parametrize("names", [["filter"], ["w", "b_out"]])
@pytest.mark.parametrize("spec", ["ssm + s6 + fnn1", "trig(window=3) + lstm", "fir(window=2) + attn + mean"])
def test_each_leaf_is_trained_and_stored_in_its_own_precision(spec, names, rng, tmp_path):
    task = tasks.Recall(2, 3, 3)
    net = Model(spec, vocab=task.vocab, width=4, norm="rms")
    params = mixed(net, rng, *names)
    dtypes = tree.map(lambda a: a.dtype, params)
    assert {str(d) for d in tree.leaves(dtypes)} == {"float32", "float64"}
    one = train.step(net, params, task.batch(np.random.default_rng(1), 64), None, 8e-3 * optim.warmup_cosine(0, 1))
    found, _ = fit(net, params, task, 1, np.random.default_rng(1), progress=False, checkpoint=tmp_path / "fit.npz")
    assert tree.map(lambda a: a.dtype, found) == tree.map(lambda a: a.dtype, one[0]) == dtypes
    tree.map(np.testing.assert_array_equal, found, one[0])
    again, _ = fit(net, found, task, 1, np.random.default_rng(1), progress=False, checkpoint=tmp_path / "fit.npz")
    save(tmp_path / "net.npz", net, again)
    _, loaded = load(tmp_path / "net.npz")
    assert tree.map(lambda a: a.dtype, loaded) == dtypes
    tree.map(np.testing.assert_array_equal, loaded, found)
    x, state, step = np.array([[0, 3, 1], [2, 2, 5]]), net.start(loaded, 2), net.stepper(loaded)
    y, _ = net(loaded, x)
    for t in range(3):
        y_t, state = step(state, x[:, t])
        np.testing.assert_allclose(y_t, y[:, t], rtol=0, atol=1e-5)
    for new in (optim.sgd(params, params, 0.1), optim.clip(params, 1.0)[0]):
        assert tree.map(lambda a: a.dtype, new) == dtypes


def test_poles_in_double_leave_the_rest_single(rng):
    net = Model("ssm + s6 + fnn1", inputs=3, outputs=2, width=4)
    params, x = mixed(net, rng, "filter"), draw(rng, 2, 7, 3, dtype=np.float32)
    y, backward = net(params, x)
    dparams, dx = backward(y)
    assert y.dtype == dx.dtype == np.float32
    assert tree.map(lambda a: a.dtype, dparams) == tree.map(lambda a: a.dtype, params)
    assert gradcheck(net, params, x, directions=1).ok


@pytest.mark.parametrize("dtype", [np.int64, np.float16, np.complex64, bool])
def test_parameters_of_other_dtypes_are_refused(dtype, rng):
    net = Model("fnn1", vocab=3, width=2)
    params = net.init(rng)
    params["head"]["b"] = params["head"]["b"].astype(dtype)
    for call in (
        lambda: net(params, np.array([[0, 1]])),
        lambda: optim.sgd(params, params, 0.1),
        lambda: save("net.npz", net, params),
    ):
        with pytest.raises(ValueError, match=r"the array head.b is .*; expected float32 or float64; convert it"):
            call()
