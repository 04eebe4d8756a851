"""A block stands between embedding and readout. This file is its protocol, and how any block is run.

A block is a frozen dataclass of its options with

    init(rng, width) -> p               its parameters, a tree of NumPy arrays
    size(width)                         how many numbers those are

A block that sees one token at a time has

    apply(p, x) -> y, backward          dp, dx = backward(dy);  x, y (B, L, D)

A block with a memory, a mixer, has

    run(p, x, state, mode) -> y, state, backward        dp, dx, dstate = backward(dy, dstate=None); state may be None
    start(p, like, length) -> state     before the first token of B sequences; like (B, D) has the model's width, dtype
                                        and device; length: tokens to make room for, or None
    state_size(width, length)           real numbers that it remembers after `length` tokens

Optional:

    stepper(p) -> step                  y, state = step(x, state) for one token, x and y (B, 1, D), where that costs
                                        less than run; a step may use its state up
    trace(p, x) -> dict                 what of it can be looked at, by name
    draws_by_depth = True               then init gets a third argument, relative_depth, from 0 (the first such block of
                                        the model) to 1 (the last), or None; it may change the draw, never the function

A state of a model is {"position": tokens so far, "blocks": a tree for each block, {} for one without a memory}. The
cotangent of a state has the same form, with None where it is zero.
"""

from collections.abc import Callable
from typing import Any

Array = Any


def is_block(b: Any) -> bool:
    return not isinstance(b, type) and hasattr(b, "init") and (hasattr(b, "apply") or has_memory(b))


def has_memory(b: Any) -> bool:
    return hasattr(b, "run")


def run(block: Any, p: Any, x: Array, state: Any, mode: str) -> tuple:
    """`run` of any block: the state of one without a memory is {}."""
    if has_memory(block):
        return block.run(p, x, state, mode)
    y, back = block.apply(p, x)
    return y, {}, lambda dy, dstate: (*back(dy), {})


def stepper(block: Any, p: Any) -> Callable:
    """`stepper` of any block."""
    if hasattr(block, "stepper"):
        return block.stepper(p)
    return lambda x, state: run(block, p, x, state, "recurrent")[:2]


def states_of(state: dict | None, found: tuple) -> list:
    """The states of these blocks, all None where there is no state; ValueError for a state of another model.

    It compares the form alone; each mixer checks its own state when it runs.
    """
    if state is None:
        return [None] * len(found)
    states = state.get("blocks") if isinstance(state, dict) else None
    remedy = "give what the start, run or step of this model returned"
    if not isinstance(states, list) or len(states) != len(found) or "position" not in state:
        raise ValueError(f"Model: state is not one of this model, of {len(found)} blocks; {remedy}")
    for i, (block, one) in enumerate(zip(found, states, strict=True)):
        if not has_memory(block) and not (one is None or (isinstance(one, dict) and not one)):
            raise ValueError(f"Model: the state of block {i}, {type(block).__name__}, is not empty; {remedy}")
    return states
