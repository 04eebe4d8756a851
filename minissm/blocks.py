"""What stands between embedding and readout: the protocol of a block, and how any block is run.

A block is a frozen dataclass with `init(rng, width) -> p` and `size(width)`. One that sees a token at a time has
`apply(p, x) -> y, backward`; one with a memory (a mixer) has

    run(p, x, state, mode) -> y, state, backward        dp, dx, dstate = backward(dy, dstate=None); state may be None
    start(p, batch, length) -> the state before the first token        state_size(width, length)

and, where one token can be had for less than `run` costs,

    stepper(p) -> step        y, state = step(x, state), x and y (B, 1, D); step may use its state up

Where there is something to say it has `at(place)` (options that depend on where it stands) and `trace(p, x)` (what of
it can be looked at).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

Array = Any


def is_block(b: Any) -> bool:
    return not isinstance(b, type) and hasattr(b, "init") and (hasattr(b, "apply") or has_memory(b))


def has_memory(b: Any) -> bool:
    return hasattr(b, "run")


class Passed(NamedTuple):
    """What passing a block leaves: x its input behind the norm, y the stream behind it."""

    block: Any
    p: Any
    x: Array
    y: Array
    state: Any
    back_norm: Callable
    back_block: Callable
    back_rows: Callable | None


def run(block: Any, p: Any, x: Array, state: Any, mode: str) -> tuple:
    """`run` of any block: the state of one that remembers nothing is {}."""
    if has_memory(block):
        return block.run(p, x, state, mode)
    y, back = block.apply(p, x)
    return y, {}, lambda dy, dstate: (*back(dy), {})


def stepper(block: Any, p: Any) -> Callable:
    """`stepper` of any block."""
    if hasattr(block, "stepper"):
        return block.stepper(p)
    return lambda x, state: run(block, p, x, state, "recurrent")[:2]
