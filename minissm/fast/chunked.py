"""scan.chunked for NumPy: whole chunks in a few large products, then the rest of the sequence as one short chunk.

A few sequences, or a piece of a long one, are processed at a time, so that the buffers stay in the cache. A buffer is
(D, rows, Q): a row is a chunk, and the numbers of a channel are contiguous. Results have the memory layout of u. The
backward needs the states s (M + 1, g, D, N) of g sequences at the starts of their M chunks and at the end. These are
rounded for the products. From chunk to chunk a state is passed on in the dtype of lam: see backend.state_dtype.
"""

from typing import NamedTuple

import numpy as np

from ..backend import state_dtype
from . import chunk, layout
from .chunk import as_real, transposed
from .short import one_chunk


def chunked(log_lam: np.ndarray, c: np.ndarray, u: np.ndarray, h0: np.ndarray | None, Q: int) -> tuple:
    """y = T u + state_out h,  h <- lam^Q h + state_in u;  shapes and gradients as in scan/diagonal.py."""
    L = u.shape[1]
    if L == Q:
        return one_chunk(log_lam, c, u, h0)
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
        return dlog_lam_ + dlog_lam, dc_ + dc, du, dh0

    return y, h, backward


def whole_chunks(
    log_lam: np.ndarray, c: np.ndarray, u: np.ndarray, h0: np.ndarray | None, Q: int, y: np.ndarray
) -> tuple:
    """u (B, M Q, D); y is written. -> h_last, and `dlog_lam, dc, dh0 = backward(dy, dh_last, du)`, which writes du."""
    (B, L, D), N = u.shape, c.shape[1]
    v = chunk.powers(log_lam, Q + 1)
    k = chunk.kernel_of(c, v[:Q]).astype(u.dtype)
    m = Matrices(chunk.toeplitz(k), chunk.state_in_of(v, u.dtype), chunk.state_out_of(c, v, u.dtype))
    lam = v[Q].astype(state_dtype(log_lam, u.dtype))
    h0 = np.zeros((B, D, N), lam.dtype) if h0 is None else h0
    state_outT = transposed(m.state_out)

    states = [  # on one thread: the calls are short and share one interpreter, so two threads gain only a tenth
        (g, _forward(u[g], h0[g], y[g], lam, m._replace(state_out=state_outT)))
        for g in layout.groups(slice(0, B), L * D)
    ]
    h_last = np.concatenate([h for _, (_, h) in states])

    def backward(dy: np.ndarray, dh_last: np.ndarray | None, du: np.ndarray) -> tuple:
        dh = np.zeros_like(h_last) if dh_last is None else dh_last.astype(lam.dtype)
        transposes = Matrices(transposed(m.T), transposed(m.state_in), m.state_out)
        sums = dT, dstate_in, dstate_out, dlam = [np.zeros_like(a) for a in (*m, lam)]
        for g, (s, _) in states:
            _backward(u[g], s, dy[g], du[g], dh[g], lam.conj(), transposes, sums)
        dlog_k, dc_k = chunk.back_kernel(c, v[:Q], chunk.diagonal_sums(dT))
        dlog_e, dc_e = chunk.back_state_matrices(c, v, dstate_in, dstate_out, dlam)
        return (dlog_k + dlog_e).astype(log_lam.dtype), (dc_k + dc_e).astype(c.dtype), dh

    return h_last, backward


class Matrices(NamedTuple):
    """The right factors of the products: see chunk.py."""

    T: np.ndarray
    state_in: np.ndarray
    state_out: np.ndarray


def _forward(u: np.ndarray, h0: np.ndarray, y: np.ndarray, lam: np.ndarray, m: Matrices) -> tuple:
    """Write y for the sequences u (g, M Q, D). -> their states s, and the last. Here m.state_out is (D, 2N, Q)."""
    Q = m.T.shape[1]
    s = np.empty((u.shape[1] // Q + 1, *h0.shape), np.result_type(u.dtype, np.complex64))
    s[0], h = h0, h0.copy()
    pieces, buffers = _buffers(3, u, Q)
    for i, j in pieces:
        x, ys, from_states = (a[:, : (j - i) * len(u)] for a in buffers)
        x, ys = _gather(u, i, j, x), _room(y, i, j, ys)
        np.matmul(x, m.state_in, out=_rows(s[i + 1 : j + 1]))
        for k in range(i, j):
            h *= lam
            h += s[k + 1]
            s[k + 1] = h
        np.matmul(x, m.T, out=ys)
        ys += np.matmul(_rows(s[i:j]), m.state_out, out=from_states)
        _scatter(ys, y, i, j)
    return s, h


def _backward(
    u: np.ndarray,
    s: np.ndarray,
    dy: np.ndarray,
    du: np.ndarray,
    dh: np.ndarray,
    lam: np.ndarray,
    m: Matrices,
    sums: list,
) -> None:
    """Write du and dh; add to sums (dT, dstate_in, dstate_out, dlam).

    Here m.T and m.state_in are transposed, and lam is conjugated.
    """
    Q = m.T.shape[1]
    dT, dstate_in, dstate_out, dlam = sums
    pieces, buffers = _buffers(4, u, Q)
    ds = np.empty((buffers[0].shape[1] // len(u) + 1, *dh.shape), s.dtype)
    for i, j in reversed(pieces):
        x, dys, dx, from_states = (a[:, : (j - i) * len(u)] for a in buffers)
        x, dys, dx = _gather(u, i, j, x), _gather(dy, i, j, dys), _room(du, i, j, dx)
        ds[j - i] = dh
        np.matmul(dys, m.state_out, out=_rows(ds[: j - i]))
        for k in range(j - i - 1, -1, -1):
            dh *= lam
            dh += ds[k]
            ds[k] = dh
        ends = ds[1 : j - i + 1]
        dT += x.transpose(0, 2, 1) @ dys
        dstate_in += x.transpose(0, 2, 1) @ _rows(ends)
        dstate_out += dys.transpose(0, 2, 1) @ _rows(s[i:j])
        dlam += (s[i:j].conj() * ends).sum(axis=(0, 1), dtype=dlam.dtype)
        np.matmul(dys, m.T, out=dx)
        dx += np.matmul(_rows(ends), m.state_in, out=from_states)
        _scatter(dx, du, i, j)


def _buffers(count: int, u: np.ndarray, Q: int) -> tuple[list[tuple[int, int]], list[np.ndarray]]:
    """The pieces of the sequences u (g, M Q, D), and `count` buffers (D, rows, Q), each large enough for a piece."""
    g, L, D = u.shape
    pieces = layout.pieces(L // Q, g * D * Q)
    rows = g * pieces[0][1]
    return pieces, [layout.channels(D, rows * Q, u.dtype).reshape(D, rows, Q) for _ in range(count)]


def _views(u: np.ndarray, i: int, j: int, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Chunks i..j of u (g, M Q, D) and the buffer x (D, rows, Q) for them, both as (D, j - i, g, Q)."""
    g, _, D = u.shape
    Q = x.shape[2]
    of_u = u[:, i * Q : j * Q].reshape(g, j - i, Q, D)
    return of_u.transpose(3, 1, 0, 2), x.reshape(D, j - i, g, Q)


def _room(u: np.ndarray, i: int, j: int, buffer: np.ndarray) -> np.ndarray:
    """An array (D, rows, Q) for chunks i..j of u (g, M Q, D): a view of u if its layout allows it, else the buffer."""
    if len(u) > 1 or u.strides[1] != u.itemsize:
        return buffer
    Q = buffer.shape[2]
    return u[0, i * Q : j * Q].T.reshape(u.shape[2], j - i, Q)


def _gather(u: np.ndarray, i: int, j: int, buffer: np.ndarray) -> np.ndarray:
    """Chunks i..j of u as (D, rows, Q)."""
    x = _room(u, i, j, buffer)
    if x is buffer:
        source, target = _views(u, i, j, x)
        layout.move(source, target, max(1, layout.STRIP // x.shape[2]))
    return x


def _scatter(x: np.ndarray, u: np.ndarray, i: int, j: int) -> None:
    """Copy x, from `_room`, to chunks i..j of u, unless it is a view of u."""
    if not np.may_share_memory(x, u):
        target, source = _views(u, i, j, x)
        layout.move(source, target, max(1, layout.STRIP // x.shape[2]))


def _rows(s: np.ndarray) -> np.ndarray:
    """States (m, g, D, N) -> (D, m g, 2N) real, a view."""
    return as_real(s.reshape(-1, *s.shape[2:])).transpose(1, 0, 2)
