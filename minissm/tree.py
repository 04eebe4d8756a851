"""Parameters are trees: dicts and lists of arrays. Map them, name their leaves, lay them out as one flat vector.

The names are the paths: `{"blocks": [{"w_in": a}]}` has one leaf, called `blocks.0.w_in`.
"""

import math
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import numpy as np

from .backend import namespace

Tree = Any  # dict[str, Tree] | list[Tree] | array
BRANCHES = (dict, list, tuple)  # the types of all that is no leaf
SINGLE, DOUBLE = np.dtype("float32"), np.dtype("float64")


def map(f: Callable, tree: Tree, *others: Tree) -> Tree:
    """The tree of f(leaf, ...), leaf by leaf over trees of the same form."""
    if not isinstance(tree, BRANCHES):
        return f(tree, *others)
    for o in others:
        if _keys(o) != _keys(tree):
            raise ValueError(f"tree: {_keys(o)} and {_keys(tree)}; expected trees of one form"[:300])
    if isinstance(tree, dict):
        return {k: map(f, tree[k], *[o[k] for o in others]) for k in tree}
    parts = [map(f, v, *[o[i] for o in others]) for i, v in enumerate(tree)]
    return type(tree)(*parts) if hasattr(tree, "_fields") else parts  # a named tuple keeps its type


def _keys(tree: Tree) -> Any:
    """What trees of one form have in common here: a set of keys, a length, or the name of a type."""
    if isinstance(tree, dict):
        return tree.keys()
    return len(tree) if isinstance(tree, list | tuple) else type(tree).__name__


def arrays(tree: Tree, like: Tree | None = None) -> list:
    """The leaves (see `leaves`); ValueError unless all are arrays, TypeError unless of one library."""
    found = leaves(tree, like)
    if others := {type(a).__name__ for a in found if not hasattr(a, "dtype")}:
        raise ValueError(f"tree: {', '.join(sorted(others))} among the leaves; expected arrays")
    namespace(*found)
    return found


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
    found: list = []
    if like is not None:
        map(lambda _, leaf: found.append(leaf), like, tree)
        return found
    if not isinstance(tree, BRANCHES):
        return [tree]
    for child in tree.values() if isinstance(tree, dict) else tree:
        found += leaves(child) if isinstance(child, BRANCHES) else [child]
    return found


def difference(given: Tree, expected: Tree, name: str = "") -> tuple[str, str]:
    """The first place where two trees of shapes differ: what is given there, and what was expected, in words."""
    if type(given) is not type(expected) or not isinstance(expected, dict | list):
        kinds = (f"a {type(t).__name__}" if isinstance(t, dict | list) else f"shape {t}" for t in (given, expected))
        return f"{name or 'the tree'} of {next(kinds)}", next(kinds)
    g, e = (t if isinstance(t, dict) else dict(enumerate(t)) for t in (given, expected))
    key = next(k for k in (*e, *g) if k not in g or k not in e or g[k] != e[k])
    path = f"{name}.{key}" if name else str(key)
    if key in g and key in e:
        return difference(g[key], e[key], path)
    return (f"no {path}", "one") if key in e else (path, "no such entry")


def check_floats(who: str, tree: Tree, dtypes: set) -> None:
    """ValueError unless the dtypes, those of the tree's leaves, are float32 or float64; they may differ."""
    if not all(_is_float(d) for d in dtypes):
        wrong = next(f"{n} is {a.dtype}" for n, a in named(tree) if not _is_float(a.dtype))
        raise ValueError(f"{who}: the array {wrong}; expected float32 or float64; convert it")


def _is_float(dtype: Any) -> bool:
    return dtype is SINGLE or dtype is DOUBLE or str(dtype).split(".")[-1] in ("float32", "float64")


def cast(tree: Tree, like: Tree) -> Tree:
    """The tree, each leaf in the dtype of its leaf in `like`. A leaf that is None, here or there, stays as it is."""
    return map(
        lambda a, b: a if a is None or b is None or a.dtype == b.dtype else namespace(a).astype(a, b.dtype), tree, like
    )


def size(tree: Tree) -> int:
    """The number of entries of all arrays together; 0 for a tree without leaves, as of a block without parameters."""
    return sum(math.prod(leaf.shape) for leaf in arrays(tree))


def flatten(tree: Tree, like: Tree | None = None) -> Any:
    """All leaves concatenated into one vector (P,), in the order of `named(like)` (of the tree itself if None).

    Leaves of two precisions give a vector in double precision.
    """
    found = arrays(tree, like)
    if not found:
        raise ValueError("flatten: the tree has no leaf; expected arrays")
    xp = namespace(*found)
    return xp.concat([xp.reshape(a, (-1,)) for a in found])


def unflatten(like: Tree, vector: Any) -> Tree:
    """The inverse of `flatten`: a tree with the shapes and dtypes of `like`; its leaves are views of `vector` (P,).

    A leaf of another dtype than the vector's is a copy.
    """
    found = arrays(like)
    xp, total, start = namespace(vector), sum(math.prod(a.shape) for a in found), 0
    if getattr(vector, "shape", None) != (total,):
        given = f"a vector {tuple(getattr(vector, 'shape', ()))}"
        raise ValueError(f"unflatten: {given}; expected ({total},), as the tree has numbers")

    def cut(leaf: Any) -> Any:
        nonlocal start
        start, begin = start + math.prod(leaf.shape), start
        piece = xp.reshape(vector[begin:start], leaf.shape)
        return piece if leaf.dtype == vector.dtype else xp.astype(piece, leaf.dtype)

    return map(cut, like)
