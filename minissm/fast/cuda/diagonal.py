"""scan.recurrent of poles for CuPy: the arrays for diagonal.cu, and the number of parts that L is cut into."""

from functools import partial
from typing import Any

from ...backend import complex_dtype, namespace, transpose
from . import launch as cuda

Q = 16  # steps of a chunk, as in diagonal.cu
FULL = 1 << 16  # threads that keep a GPU busy; with fewer, L is cut into parts
SHORTEST = 8 * Q  # steps of a part; then its states are few compared with its inputs
Array = Any
run = partial(cuda.each, "diagonal.cu")


def recurrent(log_lam: Array, c: Array, u: Array, h0: Array) -> tuple:
    """h_t = lam h_{t-1} + u_t,  y_t = Re sum_n c_n h_{t,n};  shapes and gradients as in scan/diagonal.py."""
    xp = namespace(log_lam, c, u, h0)
    (B, L, D), N, real = u.shape, c.shape[1], u.dtype
    complex_, chunks = complex_dtype(xp, real), -(-L // Q)
    parts, steps = cut(L, B * D)
    sizes, threads = (B, L, D, N, parts, steps), B * parts * D

    def by_poles(z: Array) -> Array:
        """(..., D, N) -> (..., N, D): neighbouring threads read neighbouring channels."""
        return xp.astype(xp.ascontiguousarray(transpose(z)), complex_, copy=False)

    lam, weights = by_poles(xp.exp(log_lam)), by_poles(c)
    power = by_poles(xp.exp(log_lam * steps)) if parts > 1 else lam  # unused with one part
    u = xp.ascontiguousarray(u)
    y, kept = xp.empty_like(u), xp.empty((B, chunks + 1, N, D), dtype=complex_)
    kept[:, 0] = transpose(h0)
    if parts > 1:
        run("ends", real, threads, lam, power, u, kept, *sizes)
        run("chain", real, B * N * D, power, kept, B, chunks + 1, N * D, 0, steps // Q, parts)
    run("outputs", real, threads, lam, weights, power, u, y, kept, *sizes)

    def backward(dy: Array, dh_last: Array) -> tuple:
        dy = xp.ascontiguousarray(xp.astype(dy, real, copy=False))
        carry = xp.empty((B, parts, N, D), dtype=complex_)
        carry[:, -1] = 0 if dh_last is None else transpose(dh_last)
        dlam, dc = xp.zeros_like(carry), xp.zeros_like(carry)
        du, dh0 = xp.empty_like(u), xp.empty_like(kept[:, 0])
        if parts > 1:
            run("back_ends", real, threads, lam, weights, power, dy, carry, *sizes)
            run("chain", real, B * N * D, xp.conj(power), carry, B, parts, N * D, parts - 2, -1, parts - 1)
        run("gradients", real, threads, lam, weights, power, u, dy, kept, carry, dlam, dc, du, dh0, *sizes)
        dlog_lam = xp.sum(dlam, axis=(0, 1)) * xp.conj(lam)
        dc = xp.sum(dc, axis=(0, 1))
        return xp.astype(dlog_lam.T, log_lam.dtype), xp.astype(dc.T, c.dtype), du, transpose(dh0)

    return y, transpose(kept[:, -1]).copy(), backward


def cut(L: int, channels: int) -> tuple[int, int]:
    """-> parts of L, and steps of each but the last, whole chunks."""
    wanted = max(1, min(-(-FULL // channels), L // SHORTEST))
    steps = -(-L // (wanted * Q)) * Q
    return -(-L // steps), steps
