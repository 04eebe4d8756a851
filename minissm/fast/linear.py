"""scan.linear for NumPy: steps over contiguous memory, in blocks that fit the cache.

A NumPy call has a fixed cost, and strided rows cost more than a copy of them. So the sequence is processed in blocks
of BLOCK numbers, which are copied to (time, batch, channels) and back. A block is computed in one of two ways:

- wide, from WIDE numbers a step on: one step after the other;
- narrow: all chunks of Q steps at once, in two passes. The first pass starts from zero and gives the end of each chunk.
  A recurrence over the chunks, with the product of a chunk's factors as its factor, turns these ends into the initial
  states of the second pass. (Sums of logarithms would not do: a factor may be 0 or negative. If a product is not
  finite, the steps are done one after the other.)
"""

import numpy as np

from .layout import cuts

WIDE = 2048  # numbers a step: batch items times channels
BLOCK = 1 << 18
Q = 32  # steps in a chunk, and the fewest in a block
RUN = 256  # from this many channels on, batch items are copied one by one, each as one contiguous run


def linear(a: np.ndarray, b: np.ndarray, h0: np.ndarray) -> tuple:
    """h_t = a_t h_{t-1} + b_t;  shapes and gradients as in scan/linear.py."""
    shape, start, (B, L) = a.shape, h0.shape, a.shape[:2]
    a, b, h0 = a.reshape(B, L, -1), b.reshape(B, L, -1), h0.reshape(B, -1)
    h, C = np.empty(a.shape, a.dtype), a.shape[2]
    width = min(max(1, 2 * WIDE // C), B)  # batch items in a group
    steps = max(Q, BLOCK // (width * C))
    groups = cuts(0, B, width)
    blocks = cuts(0, L, steps)
    for group in groups:
        last = h0[group]
        for block in blocks:
            advance(a[group, block], b[group, block], last, h[group, block])
            last = h[group, block.stop - 1]

    def backward(dh: np.ndarray, dh_last: np.ndarray) -> tuple:
        """g_t = dh_t + conj(a_{t+1}) g_{t+1}: the same recurrence backwards in time, in each block from its last t."""
        dh = dh.reshape(a.shape)
        da, db, dh0 = np.empty_like(h), np.empty_like(h), np.array(dh_last.reshape(h0.shape), h.dtype)
        for group in groups:
            g = db[group]
            for block in reversed(blocks):
                first, t = block.start, block.stop - 1
                before, after = slice(first, t), slice(first + 1, t + 1)
                np.add(dh[group, t], dh0[group], out=g[:, t])
                advance(a[group, after][:, ::-1].conj(), dh[group, before][:, ::-1], g[:, t], g[:, before][:, ::-1])
                np.multiply(a[group, first].conj(), g[:, first], out=dh0[group])
                np.multiply(g[:, after], h[group, before].conj(), out=da[group, after])
                h_before = h[group, first - 1] if first else h0[group]
                np.multiply(g[:, first], h_before.conj(), out=da[group, first])
        return da.reshape(shape), db.reshape(shape), dh0.reshape(start)

    return h.reshape(shape), h[:, -1].copy().reshape(start), backward


def advance(a: np.ndarray, b: np.ndarray, start: np.ndarray, h: np.ndarray) -> None:
    """Fill h (B, T, C) from the state start (B, C) on."""
    B, T, C = a.shape
    if T <= Q or B * C >= WIDE:
        one_by_one(a, b, start, h)
        return
    M = T // Q
    chunks, rest = slice(0, M * Q), slice(M * Q, T)

    def side_by_side(z: np.ndarray) -> np.ndarray:
        """(B, M Q, C) -> (Q, B, M, C), a view."""
        return z[:, chunks].reshape(B, M, Q, C).transpose(2, 0, 1, 3)

    x, y = np.array(side_by_side(a), order="C"), np.array(side_by_side(b), order="C")
    with np.errstate(over="ignore", invalid="ignore"):
        product = np.multiply.reduce(x, axis=0)
    if not np.isfinite(product).all():
        one_by_one(a, b, start, h)
        return
    ends = y[0].copy()
    for factor, term in zip(x[1:], y[1:], strict=True):
        ends *= factor
        ends += term
    starts = np.empty((B, M + 1, C), h.dtype)
    starts[:, 0] = start
    advance(product, ends, start, starts[:, 1:])
    in_place(x, y, starts[:, :-1])
    side_by_side(h)[:] = x
    advance(a[:, rest], b[:, rest], starts[:, -1], h[:, rest])


def one_by_one(a: np.ndarray, b: np.ndarray, start: np.ndarray, h: np.ndarray) -> None:
    """Fill h (B, T, C), one step after the other, in memory ordered by time."""
    B, T, C = a.shape
    x, y = np.empty((2, T, B, C), a.dtype)
    few = max(1, RUN // C)
    items = cuts(0, B, few)
    for i in items:
        x[:, i], y[:, i] = a[i].swapaxes(0, 1), b[i].swapaxes(0, 1)
    in_place(x, y, start)
    for i in items:
        h[i] = x[:, i].swapaxes(0, 1)


def in_place(factors: np.ndarray, terms: np.ndarray, state: np.ndarray) -> None:
    """Overwrite the factors with the states."""
    for factor, term in zip(factors, terms, strict=True):
        factor *= state
        factor += term
        state = factor
