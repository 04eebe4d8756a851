"""scan.chunked for NumPy where the whole sequence is one chunk: one Toeplitz product a channel."""

import numpy as np

from .chunk import (
    back_edges,
    back_kernel,
    complexes,
    diagonal_sums,
    into_of,
    kernel_of,
    out_of,
    pairs,
    powers,
    toeplitz,
    transposed,
)


def one_chunk(log_lam: np.ndarray, c: np.ndarray, u: np.ndarray, h0: np.ndarray | None) -> tuple:
    """y = T u + out h0,  h_last = lam^L h0 + into u;  shapes and gradients as in scan/modes.py.

    Free where u is a view of channels (D, B, L): nothing is copied then, and y and du are such views again.
    """
    L, real = u.shape[1], u.dtype
    v = powers(log_lam, L + 1)
    T, into = toeplitz(kernel_of(c, v[:L]).astype(real)), into_of(v, real)
    out = out_of(c, v, real)
    x = channels(u)
    y, h_last = x @ T, complexes(x @ into)
    lam = v[L, :, None].astype(h_last.dtype)
    if h0 is not None:
        h = channels_of_state(h0, lam.dtype)
        y += pairs(h) @ out.transpose(0, 2, 1)
        h_last += lam * h

    def backward(dy: np.ndarray, dh_last: np.ndarray | None) -> tuple:
        dys = channels(dy)
        dx, dh0 = dys @ transposed(T), complexes(dys @ out)
        dlog_lam, dc = back_kernel(c, v[:L], diagonal_sums(x.transpose(0, 2, 1) @ dys))
        dinto, dout, dlam = np.zeros_like(into), np.zeros_like(out), np.zeros_like(lam[:, 0])
        if h0 is not None:
            dout = dys.transpose(0, 2, 1) @ pairs(h)
        if dh_last is not None:
            dh = channels_of_state(dh_last, lam.dtype)
            dh0 += lam.conj() * dh
            dx += pairs(dh) @ into.transpose(0, 2, 1)
            dinto = x.transpose(0, 2, 1) @ pairs(dh)
            if h0 is not None:
                dlam = (h.conj() * dh).sum(axis=1)
        if h0 is not None or dh_last is not None:
            dlog_e, dc_e = back_edges(c, v, dinto, dout, dlam)
            dlog_lam, dc = dlog_lam + dlog_e, dc + dc_e
        du = dx.transpose(1, 2, 0)
        return dlog_lam.astype(log_lam.dtype), dc.astype(c.dtype), du, dh0.transpose(1, 0, 2)

    return y.transpose(1, 2, 0), h_last.transpose(1, 0, 2), backward


def channels(u: np.ndarray) -> np.ndarray:
    """(B, L, D) -> (D, B, L), contiguous."""
    return np.ascontiguousarray(u.transpose(2, 0, 1))


def channels_of_state(h: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """(B, D, N) -> (D, B, N), contiguous."""
    return np.ascontiguousarray(h.transpose(1, 0, 2), dtype)
