"""Trees of arrays."""

import numpy as np
import pytest

from minissm import Poles, tree

from .oracles import draw


def example(rng):
    return {"w": draw(rng, 4, 3), "blocks": [{"a": draw(rng, 2), "b": draw(rng)}, [], {}]}


def test_names_are_paths(rng):
    assert [name for name, _ in tree.named(example(rng))] == ["w", "blocks.0.a", "blocks.0.b"]
    assert [name for name, _ in tree.named(np.zeros(2))] == [""]


def test_map_keeps_the_shape_and_takes_several_trees(rng):
    t = example(rng)
    doubled = tree.map(lambda a, b: a + b, t, t)
    assert [name for name, _ in tree.named(doubled)] == [name for name, _ in tree.named(t)]
    np.testing.assert_array_equal(doubled["blocks"][0]["a"], 2 * t["blocks"][0]["a"])
    with pytest.raises(ValueError, match=r"tree: .*; expected trees of one form"):
        tree.map(lambda a, b: a, t, {"w": 1})


def test_flatten_and_unflatten_are_inverse_and_leaves_are_views(rng):
    t = example(rng)
    vector = tree.flatten(t)
    assert vector.shape == (tree.size(t),) == (12 + 2 + 1,)
    back = tree.unflatten(t, vector)
    tree.map(np.testing.assert_array_equal, back, t)
    vector[0] = 42
    assert back["w"][0, 0] == 42


def test_flatten_follows_the_keys_of_like(rng):
    t = example(rng)
    turned = {"blocks": t["blocks"], "w": t["w"]}
    np.testing.assert_array_equal(tree.flatten(turned, like=t), tree.flatten(t))


def test_a_named_tuple_stays_one_and_names_its_leaves(rng):
    t = {"poles": Poles(draw(rng, 2), draw(rng, 3))}
    doubled = tree.map(lambda a: 2 * a, t)
    assert type(doubled["poles"]) is Poles
    assert [name for name, _ in tree.named(doubled)] == ["poles.log_lam", "poles.c"]
