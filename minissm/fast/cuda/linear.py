"""scan.linear for CuPy: what linear.cu is given, and in how many parts it goes through L."""

from functools import partial
from typing import Any

from ...backend import namespace
from . import launch as cuda

LANES, PIECES = 32, 8  # of linear.cu
FULL = 256  # blocks that keep a card busy; fewer, and L is cut into parts
SHORTEST = 256  # steps of a part: two kernels more must be worth their launch
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

    def scan(way: str, given: tuple, first: Array, outputs: tuple) -> None:
        """The kernel `way`, from the states `first` before the first part."""
        starts, alone = xp.empty((B, parts, C), dtype=dtype), xp.empty((B, C), dtype=xp.int8)
        starts[:, 0] = xp.reshape(first, (B, C))
        if parts > 1:
            products = xp.empty_like(starts)
            run(f"{way}_ends", dtype, blocks, (LANES,), *given[:2], products, starts, *sizes)
            cuda.each("linear.cu", "chain", dtype, B * C, products, starts, alone, B, C, parts)
        run(way, dtype, blocks, (LANES, PIECES), *given, starts, alone, *outputs, *sizes)

    h = xp.empty_like(a)
    scan("forward", (a, b), h0, (h,))

    def backward(dh: Array, dh_last: Array) -> tuple:
        da, db = xp.empty_like(h), xp.empty_like(h)
        dh = xp.ascontiguousarray(xp.astype(dh, dtype, copy=False))
        scan("backward", (a, dh, h, h0), dh_last, (da, db))
        dh0 = xp.conj(a[:, 0]) * db[:, 0]
        return da, db, xp.reshape(dh0, start)

    return h, h[:, -1].copy(), backward


def cut(L: int, tiles: int) -> tuple[int, int]:
    """-> parts of L, and steps of each but the last, which may be shorter."""
    wanted = max(1, min(-(-FULL // tiles), L // SHORTEST))
    steps = -(-L // wanted)
    return -(-L // steps), steps
