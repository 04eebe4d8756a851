"""Parameters are trees: dicts and lists of arrays. Map them, name their leaves, lay them out as one flat vector.

The names are the paths: `{"blocks": [{"w_in": a}]}` has one leaf, called `blocks.0.w_in`.
"""

import math
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from .backend import namespace

Tree = Any  # dict[str, Tree] | list[Tree] | array


def map(f: Callable, tree: Tree, *others: Tree) -> Tree:
    """The tree of f(leaf, ...), leaf by leaf over trees of the same form."""
    if isinstance(tree, dict):
        return {k: map(f, tree[k], *(o[k] for o in others)) for k in tree}
    if isinstance(tree, list | tuple):
        parts = [map(f, v, *(o[i] for o in others)) for i, v in enumerate(tree)]
        return type(tree)(*parts) if hasattr(tree, "_fields") else parts  # a named tuple keeps its type
    return f(tree, *others)


def named(tree: Tree, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(name, leaf) of every leaf, in a fixed order: `blocks.0.filter.log_dt`, ..."""
    if isinstance(tree, dict | list | tuple):
        children = tree.items() if isinstance(tree, dict) else zip(getattr(tree, "_fields", count()), tree)  # noqa: B905
        for key, child in children:
            yield from named(child, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, tree


def leaves(tree: Tree, like: Tree | None = None) -> list:
    """The leaves alone, in the order of `named(like)` (of the tree itself if None)."""
    result: list = []

    def collect(tree: Tree, like: Tree) -> None:
        if isinstance(like, dict):
            for key, child in like.items():
                collect(tree[key], child)
        elif isinstance(like, list | tuple):
            for i, child in enumerate(like):
                collect(tree[i], child)
        else:
            result.append(tree)

    collect(tree, tree if like is None else like)
    return result


def size(tree: Tree) -> int:
    """The number of entries of all arrays together."""
    return sum(math.prod(leaf.shape) for leaf in leaves(tree))


def flatten(tree: Tree, like: Tree | None = None) -> Any:
    """All leaves concatenated into one vector (P,), in the order of `named(like)` (of the tree itself if None)."""
    arrays = leaves(tree, like)
    xp = namespace(*arrays)
    return xp.concat([xp.reshape(a, (-1,)) for a in arrays])


def unflatten(like: Tree, vector: Any) -> Tree:
    """The inverse of `flatten`: a tree in the shape of `like` whose leaves are views of `vector` (P,)."""
    xp = namespace(vector)
    start = 0

    def cut(leaf: Any) -> Any:
        nonlocal start
        start, begin = start + math.prod(leaf.shape), start
        return xp.reshape(vector[begin:start], leaf.shape)

    return map(cut, like)
