"""scan.linear for CuPy: the arrays for linear.cu, and the number of parts that L is cut into."""

from functools import partial
from typing import Any

from ...backend import namespace
from . import launch as cuda

LANES, PIECES = 32, 8  # as in linear.cu
BUSY, FULL = 256, 1024  # with fewer parallel tiles than BUSY, L is cut until there are about FULL
SHORTEST = 256  # steps of a part: the work must outweigh two more launches
Array = Any
run = partial(cuda.launch, "linear.cu")


def linear(a: Array, b: Array, h0: Array) -> tuple:
    """h_t = a_t h_{t-1} + b_t;  shapes and gradients as in scan/linear.py."""
    xp = namespace(a, b, h0)
    shape, start, dtype = a.shape, h0.shape, a.dtype
    a, b, h0 = (xp.ascontiguousarray(z) for z in (a, b, h0))
    B, L = shape[:2]
    C = a.size // (B * L)
    tiles = B * -(-C // LANES)
    parts, steps = cut(L, tiles)
    sizes, blocks = (L, C, parts, steps), tiles * parts

    def starts_of_parts(ends: str, factors: Array, terms: Array, first: Array) -> tuple:
        """-> the states before the parts (B, parts, C), and (B, C): not 0 where the parts can't run in parallel."""
        if parts == 1:
            return xp.reshape(first, (B, 1, C)), h0  # h0 stands for `alone`, which is not read
        starts, alone = xp.empty((B, parts, C), dtype=dtype), xp.empty((B, C), dtype=xp.int8)
        products = xp.empty_like(starts)
        starts[:, 0] = xp.reshape(first, (B, C))
        run(ends, dtype, blocks, (LANES,), factors, terms, products, starts, *sizes)
        cuda.each("linear.cu", "chain", dtype, B * C, products, starts, alone, B, C, parts)
        return starts, alone

    h = xp.empty_like(a)
    starts, alone = starts_of_parts("forward_ends", a, b, h0)
    run("forward", dtype, blocks, (LANES, PIECES), a, b, starts, alone, h, *sizes)

    def backward(dh: Array, dh_last: Array) -> tuple:
        da, db = xp.empty_like(h), xp.empty_like(h)
        dh, dh_last = (xp.ascontiguousarray(xp.astype(d, dtype, copy=False)) for d in (dh, dh_last))
        starts, alone = starts_of_parts("backward_ends", a, dh, dh_last)
        run("backward", dtype, blocks, (LANES, PIECES), a, dh, h, h0, starts, alone, da, db, *sizes)
        dh0 = xp.conj(a[:, 0]) * db[:, 0]
        return da, db, xp.reshape(dh0, start)

    return h, h[:, -1].copy(), backward


def cut(L: int, tiles: int) -> tuple[int, int]:
    """-> parts of L, and steps of each but the last, which may be shorter."""
    wanted = max(1, min(-(-FULL // tiles), L // SHORTEST)) if tiles < BUSY else 1
    steps = -(-L // wanted)
    return -(-L // steps), steps
