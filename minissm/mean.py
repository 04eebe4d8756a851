"""The running mean of all tokens so far: pooling that streams."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .backend import check_state, cotangents, device, namespace
from .checks import check_integer
from .shapes import check_arrays
from .tree import cast

Array = Any


def mean(p: dict, x: Array, state: dict | None = None) -> tuple:
    """y_t = (x_1 + ... + x_t) / t, counted from the first token of the sequence.

    p: {}, no parameters.
    x, y (B, L, D).
    state: {"sum": (B, D) in double precision, "count": tokens so far}. None (default): no token yet.
    -> y, state and `dp, dx, dstate = backward(dy, dstate=None)`. ValueError where shapes don't fit.

    The sum is kept in double precision: in single precision a long sequence would lose its last tokens.
    """
    if state is not None:
        check_state("mean", state, ("sum", "count"))
    before, count = (None, 0) if state is None else (state["sum"], state["count"])
    xp = check_arrays("mean", "x (B, L, D), sum (B, D) or None", x, before, always=True)
    L, count = x.shape[1], check_integer("mean", "count", count, minimum=0)
    sums = xp.cumulative_sum(xp.astype(x, xp.float64), axis=1)
    if before is not None:
        sums = sums + before[:, None, :]
    t = xp.arange(count + 1, count + L + 1, dtype=xp.float64, device=device(x))[:, None]
    y = xp.astype(sums / t, x.dtype)

    def backward(dy: Array = None, dstate: dict | None = None) -> tuple:
        (dy,) = cotangents("mean", ("dy", dy, y))
        dsums = xp.astype(dy, xp.float64) / t
        dx = xp.flip(xp.cumulative_sum(xp.flip(dsums, axis=1), axis=1), axis=1)
        if dstate is not None:
            check_state("mean", dstate, ("sum", "count"))
            (dsum,) = cotangents("mean", ("dstate sum", dstate["sum"], sums[:, -1, :]))
            dx = dx + dsum[:, None, :]
        return {}, cast(dx, x), None if state is None else {"sum": cast(dx[:, 0, :], before), "count": None}

    return y, {"sum": sums[:, -1, :], "count": count + L}, backward


@dataclass(frozen=True)
class Mean:
    """The block `mean`: the running mean of its input, without parameters."""

    def init(self, rng: "np.random.Generator", width: int) -> dict:
        return {}

    def size(self, width: int) -> int:
        return 0

    def state_size(self, width: int, length: int | None) -> int:
        return width + 1

    def start(self, p: dict, like: Array, length: int | None) -> dict:
        xp = namespace(like)
        return {"sum": xp.zeros(like.shape, dtype=xp.float64, device=device(like)), "count": 0}

    def run(self, p: dict, x: Array, state: dict | None, mode: str) -> tuple:
        return mean(p, x, state)
