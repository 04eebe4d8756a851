"""The protocol of a block, and how any block is run. A model stacks blocks between embedding and readout.

A block is a frozen dataclass of its options with

    init(rng, width) -> p               its parameters, a tree of NumPy arrays
    size(width)                         the number of its parameters

A block without a memory, which sees one token at a time, has

    apply(p, x) -> y, backward          dp, dx = backward(dy);  x, y (B, L, D)

A block with a memory, a mixer, has

    run(p, x, state, mode) -> y, state, backward        dp, dx, dstate = backward(dy, dstate=None); state may be None
    start(p, like, length) -> state     the state of B sequences before their first token; like (B, D) has the model's
                                        width, dtype and device; length: tokens to allocate for, or None
    state_size(width, length)           real numbers in its state after `length` tokens; None: in the state from `start`

Optional:

    alone(p, x, mode) -> y, backward    run for whole sequences, without their states, if this costs less;
                                        dp, dx = backward(dy). A subclass with its own run inherits no alone
    stepper(p) -> step                  y, state = step(x, state) for one token, x and y (B, 1, D), if this costs less
                                        than run; a step may overwrite the state it is given
    trace(p, x) -> dict                 inner arrays to look at, by name
    dtrace(p, x, dy) -> dict            gradients of some of them, each with its name and a d; dy is that of the output
    draws_by_depth = True               init gets a third argument, relative_depth: 0 in the first such block of the
                                        model, 1 in the last, or None. It may change the draw, never the function

The state of a model is {"position": tokens so far, "blocks": a tree for each block, {} for one without a memory}. The
cotangent of a state has the same form, with None where it is zero.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

Array = Any


def is_block(b: Any) -> bool:
    return not isinstance(b, type) and hasattr(b, "init") and (hasattr(b, "apply") or has_memory(b))


def has_memory(b: Any) -> bool:
    return hasattr(b, "run")


def run(block: Any, p: Any, x: Array, state: Any, mode: str) -> tuple:
    """`run` of any block. A block without a memory has the state {}."""
    if has_memory(block):
        return block.run(p, x, state, mode)
    y, back = block.apply(p, x)
    return y, {}, lambda dy, dstate: (*back(dy), {})


def stateless(block: Any, mode: str, ends: bool) -> Callable | None:
    """`y, backward = f(p, x)` if the block needs no state, else None.  ends: False if sequences are whole."""
    if not has_memory(block):
        return block.apply
    alone = None if ends else _alone(block)
    return alone and partial(alone, mode=mode)


def _alone(block: Any) -> Callable | None:
    """The block's `alone`, unless a subclass or the object itself replaces the `run` that it belongs to."""
    namespaces = (getattr(block, "__dict__", {}), *map(vars, type(block).__mro__))
    names = next((n for n in namespaces if "alone" in n or "run" in n), {})
    return block.alone if names.get("alone") else None


def stepper(block: Any, p: Any) -> Callable:
    """`stepper` of any block."""
    if hasattr(block, "stepper"):
        return block.stepper(p)
    return lambda x, state: run(block, p, x, state, "recurrent")[:2]


def states_of(state: dict | None, members: tuple) -> list:
    """The states of the blocks `members`, all None without a state; ValueError for a state of another model.

    This compares the form alone; each mixer checks its own state when it runs.
    """
    if state is None:
        return [None] * len(members)
    states = state.get("blocks") if isinstance(state, dict) else None
    remedy = "give the state that start, run or step of this model returned"
    if not isinstance(states, list) or len(states) != len(members) or "position" not in state:
        raise ValueError(f"Model: the state does not fit this model of {len(members)} blocks; {remedy}")
    for i, (block, one) in enumerate(zip(members, states, strict=True)):
        if not has_memory(block) and not (one is None or (isinstance(one, dict) and not one)):
            raise ValueError(f"Model: the state of block {i}, {type(block).__name__}, is not {{}}; {remedy}")
    return states
