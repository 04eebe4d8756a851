"""scan.chunked for NumPy: whole chunks in a few large products, then the rest of the sequence as one short chunk.

The sequences are processed in pieces, as rows of these products: see rows.py. Results have the memory layout of u. The
backward needs the states s (B M, D, N) at the starts of the M chunks of each sequence. These are rounded for the
products. From chunk to chunk a state is passed on in the dtype of lam: see backend.state_dtype.
"""

from typing import NamedTuple

import numpy as np

from ..backend import state_dtype
from . import chunk, layout
from .chunk import as_real, transposed
from .rows import gather, pieces, room, scatter
from .short import one_chunk


def chunked(
    log_lam: np.ndarray, c: np.ndarray, u: np.ndarray, h0: np.ndarray | None, Q: int, ends: bool = True
) -> tuple:
    """y = T u + state_out h,  h <- lam^Q h + state_in u;  shapes and gradients as in scan/diagonal.py."""
    L = u.shape[1]
    if L == Q:
        return one_chunk(log_lam, c, u, h0, ends)
    whole = L - L % Q
    y = np.empty_like(u)
    h, back_whole = whole_chunks(log_lam, c, u[:, :whole], h0, Q, y[:, :whole])
    if whole < L:
        y[:, whole:], h, back_rest = one_chunk(log_lam, c, u[:, whole:], h)

    def backward(dy: np.ndarray, dh_last: np.ndarray | None) -> tuple:
        du, dlog_lam, dc = np.empty_like(u), 0, 0
        if whole < L:
            dlog_lam, dc, du[:, whole:], dh_last = back_rest(dy[:, whole:], dh_last)
        dlog_lam_, dc_, dh0 = back_whole(dy[:, :whole], dh_last, du[:, :whole])
        return dlog_lam_ + dlog_lam, dc_ + dc, du, dh0 if ends else None

    return y, h if ends else None, backward


def whole_chunks(
    log_lam: np.ndarray, c: np.ndarray, u: np.ndarray, h0: np.ndarray | None, Q: int, y: np.ndarray
) -> tuple:
    """u (B, M Q, D); y is written. -> h_last, and `dlog_lam, dc, dh0 = backward(dy, dh_last, du)`, which writes du."""
    (B, L, D), N = u.shape, c.shape[1]
    v = chunk.powers(log_lam, Q + 1)
    k = chunk.kernel_of(c, v[:Q]).astype(u.dtype)
    m = Matrices(chunk.toeplitz(k), chunk.state_in_of(v, u.dtype), chunk.state_out_of(c, v, u.dtype))
    lam = v[Q].astype(state_dtype(log_lam, u.dtype))
    h = np.zeros((B, D, N), lam.dtype) if h0 is None else h0.copy()
    s = _states((B * L // Q, D, N), np.result_type(u.dtype, np.complex64))
    _forward(u, y, s, h, lam, m._replace(state_out=transposed(m.state_out)))

    def backward(dy: np.ndarray, dh_last: np.ndarray | None, du: np.ndarray) -> tuple:
        dh = np.zeros_like(h) if dh_last is None else dh_last.astype(lam.dtype)
        transposes = Matrices(transposed(m.T), transposed(m.state_in), m.state_out)
        dT, dstate_in, dstate_out, dlam = sums = [np.zeros_like(a) for a in (*m, lam)]
        _backward(u, dy, du, s, dh, lam.conj(), transposes, sums)
        dlog_k, dc_k = chunk.back_kernel(c, v[:Q], chunk.diagonal_sums(dT))
        dlog_e, dc_e = chunk.back_state_matrices(c, v, dstate_in, dstate_out, dlam)
        return (dlog_k + dlog_e).astype(log_lam.dtype), (dc_k + dc_e).astype(c.dtype), dh

    return h, backward


class Matrices(NamedTuple):
    """The right factors of the products: see chunk.py."""

    T: np.ndarray
    state_in: np.ndarray
    state_out: np.ndarray


def _forward(u: np.ndarray, y: np.ndarray, s: np.ndarray, h: np.ndarray, lam: np.ndarray, m: Matrices) -> None:
    """Write y and s. Update h from the states before u to those after it. Here m.state_out is transposed."""
    Q = m.T.shape[1]
    parts, channels = pieces(u, Q)  # on one thread: the calls are short, so two threads gain only a tenth
    for piece in parts:
        x, ys, states = gather(u, piece, Q), room(y, piece, Q), s[piece.rows]
        for d in channels:
            np.matmul(x[d], m.state_in[d], out=_rows(states, d))
        _carry(h[piece.sequences], states, lam)
        for d in channels:
            np.matmul(x[d], m.T[d], out=ys[d])
            ys[d] += _rows(states, d) @ m.state_out[d]
        scatter(ys, y, piece)


def _backward(
    u: np.ndarray,
    dy: np.ndarray,
    du: np.ndarray,
    s: np.ndarray,
    dh: np.ndarray,
    lam: np.ndarray,
    m: Matrices,
    sums: list[np.ndarray],
) -> None:
    """Write du; add to sums (dT, dstate_in, dstate_out, dlam). Update dh to the states before u.

    Here m.T and m.state_in are transposed, and lam is conjugated.
    """
    Q = m.T.shape[1]
    dT, dstate_in, dstate_out, dlam = sums
    parts, channels = pieces(u, Q)
    for piece in reversed(parts):
        x, dys, dx, states = gather(u, piece, Q), gather(dy, piece, Q), room(du, piece, Q), s[piece.rows]
        dstates = _states(states.shape, s.dtype)  # with respect to the states at the ends of the chunks
        for d in channels:
            np.matmul(dys[d], m.state_out[d], out=_rows(dstates, d))
        _carry(dh[piece.sequences], dstates, lam, -1)
        for d in channels:
            dT[d] += x[d].transpose(0, 2, 1) @ dys[d]
            dstate_in[d] += x[d].transpose(0, 2, 1) @ _rows(dstates, d)
            dstate_out[d] += dys[d].transpose(0, 2, 1) @ _rows(states, d)
            np.matmul(dys[d], m.T[d], out=dx[d])
            dx[d] += _rows(dstates, d) @ m.state_in[d]
        dlam += np.multiply(dstates, states.conj(), out=dstates).sum(axis=0, dtype=dlam.dtype)
        scatter(dx, du, piece)


def _carry(h: np.ndarray, s: np.ndarray, lam: np.ndarray, step: int = 1) -> None:
    """From chunk to chunk: h, s_k = lam h + s_k, h.  h (g, D, N), s (g m, D, N).

    At first s_k is the contribution of chunk k to the state, at the end the state before chunk k. step -1: backwards.
    """
    now, after = h.copy(), np.empty_like(h)
    for s_k in s.reshape(len(h), -1, *s.shape[1:]).swapaxes(0, 1)[::step]:
        np.multiply(now, lam, out=after)
        after += s_k
        s_k[...] = now
        now, after = after, now
    h[...] = now


def _states(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Memory for states (rows, D, N)."""
    rows, D, N = shape
    return layout.memory(rows, D * N, dtype).reshape(rows, D, N)


def _rows(s: np.ndarray, d: slice) -> np.ndarray:
    """States (rows, D, N) of the channels d -> (d, rows, 2N) real, a view."""
    return as_real(s[:, d]).transpose(1, 0, 2)
