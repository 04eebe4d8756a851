"""What a model remembers of its sequences: `position`, the tokens so far, and `blocks`, for each block a tree.

The tree of a block without a memory is {}. The cotangent of a state has the same form, with None where it is zero.
"""

from typing import Any

from . import tree

REMEDY = "give what the start, run or step of this model returned"


def blocks(state: dict | None, count: int) -> list:
    """The states of the blocks, all None where there is no state; ValueError if these are not `count`."""
    if state is None:
        return [None] * count
    found = state.get("blocks") if isinstance(state, dict) else None
    if not isinstance(found, list) or len(found) != count or "position" not in state:
        raise ValueError(f"Model: state is not one of this model; {REMEDY}")
    return found


def check(state: dict, start: dict, roomier: dict) -> None:
    """Names, shapes and dtypes are those of `start`; only an axis that is longer in `roomier` is free."""
    for i, (found, small, large) in enumerate(zip(state["blocks"], start["blocks"], roomier["blocks"], strict=True)):
        held, expected, more = (dict(tree.named(t)) for t in (found, small, large))
        if held.keys() != expected.keys():
            names = (", ".join(name or "an array" for name in leaves) or "nothing" for leaves in (held, expected))
            raise ValueError("Model: the state of block {} holds {}; expected {}; {}".format(i, *names, REMEDY))
        for name, a in expected.items():
            if hasattr(a, "dtype") and not _fits(held[name], a, more[name]):
                got = f"{getattr(held[name], 'dtype', '?')} {tuple(getattr(held[name], 'shape', ()))}"
                of = f"the state of block {i}" + (f", {name}," if name else "")
                raise ValueError(f"Model: {of} is {got}; expected {a.dtype} {tuple(a.shape)}; {REMEDY}")


def _fits(a: Any, small: Any, large: Any) -> bool:
    if not hasattr(a, "dtype") or a.dtype != small.dtype or a.ndim != small.ndim:
        return False
    return all(n == s or s != t for n, s, t in zip(a.shape, small.shape, large.shape, strict=True))
