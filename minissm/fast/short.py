"""scan.chunked for NumPy where the whole sequence is one chunk: one Toeplitz product a channel."""

import numpy as np

from ..backend import state_dtype
from .chunk import (
    as_complex,
    as_real,
    back_kernel,
    back_state_matrices,
    diagonal_sums,
    kernel_of,
    powers,
    state_in_of,
    state_out_of,
    toeplitz,
    transposed,
)


def one_chunk(log_lam: np.ndarray, c: np.ndarray, u: np.ndarray, h0: np.ndarray | None, ends: bool = True) -> tuple:
    """y = T u + state_out h0,  h_last = lam^L h0 + state_in u;  shapes and gradients as in scan/diagonal.py.

    If u is a view of an array (D, B, L), nothing is copied, and y and du are such views too.
    """
    L, real = u.shape[1], u.dtype
    v = powers(log_lam, L + 1)
    T, x = toeplitz(kernel_of(c, v[:L]).astype(real)), by_channel(u)
    if not ends:
        return _without_ends(log_lam, c, v[:L], x, T)
    state_in, state_out = state_in_of(v, real), state_out_of(c, v, real)
    y, added = x @ T, as_complex(x @ state_in)
    lam = v[L, :, None].astype(state_dtype(log_lam, real))
    h_last = added.astype(lam.dtype, copy=False)

    def state(h: np.ndarray | None, dtype: np.dtype = added.dtype) -> np.ndarray:
        """(B, D, N) -> (D, B, N), contiguous; zeros for None."""
        return np.zeros(added.shape, dtype) if h is None else np.ascontiguousarray(h.transpose(1, 0, 2), dtype)

    if h0 is not None:
        y += as_real(state(h0)) @ state_out.transpose(0, 2, 1)
        h_last += lam * state(h0, lam.dtype)

    def backward(dy: np.ndarray, dh_last: np.ndarray | None) -> tuple:
        dys = by_channel(dy)
        dx, dh0 = dys @ transposed(T), as_complex(dys @ state_out).astype(lam.dtype, copy=False)
        dlog_lam, dc = back_kernel(c, v[:L], diagonal_sums(x.transpose(0, 2, 1) @ dys))
        if h0 is not None or dh_last is not None:
            h, dh = state(h0), state(dh_last)
            dx += as_real(dh) @ state_in.transpose(0, 2, 1)
            dh0 += lam.conj() * state(dh_last, lam.dtype)
            dstate_in, dstate_out = x.transpose(0, 2, 1) @ as_real(dh), dys.transpose(0, 2, 1) @ as_real(h)
            dlog_e, dc_e = back_state_matrices(c, v, dstate_in, dstate_out, (h.conj() * dh).sum(axis=1))
            dlog_lam, dc = dlog_lam + dlog_e, dc + dc_e
        du = dx.transpose(1, 2, 0)
        return dlog_lam.astype(log_lam.dtype), dc.astype(c.dtype), du, dh0.transpose(1, 0, 2)

    return y.transpose(1, 2, 0), h_last.transpose(1, 0, 2), backward


def _without_ends(log_lam: np.ndarray, c: np.ndarray, v: np.ndarray, x: np.ndarray, T: np.ndarray) -> tuple:
    """Only y = T u. If chunks are short, the matrices and products of the states are a third of all work."""

    def backward(dy: np.ndarray, dh_last: None) -> tuple:
        dys = by_channel(dy)
        dlog_lam, dc = back_kernel(c, v, diagonal_sums(x.transpose(0, 2, 1) @ dys))
        du = (dys @ transposed(T)).transpose(1, 2, 0)
        return dlog_lam.astype(log_lam.dtype), dc.astype(c.dtype), du, None

    return (x @ T).transpose(1, 2, 0), None, backward


def by_channel(u: np.ndarray) -> np.ndarray:
    """(B, L, D) -> (D, B, L), contiguous."""
    return np.ascontiguousarray(u.transpose(2, 0, 1))
