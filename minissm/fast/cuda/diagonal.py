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

    def by_poles(z: Array, dtype: Any) -> Array:
        """(..., D, N) -> (..., N, D): neighbouring threads read neighbouring channels."""
        return xp.astype(xp.ascontiguousarray(transpose(z)), dtype, copy=False)

    double = xp.astype(log_lam, xp.complex128)
    factor = xp.exp(double)
    lam, weights = (by_poles(z, complex_) for z in (factor, c))
    jump = by_poles(xp.exp(double * Q), xp.complex128)
    power = by_poles(xp.exp(double * steps), xp.complex128) if parts > 1 else jump  # not read
    u = xp.ascontiguousarray(u)
    y, kept = xp.empty_like(u), xp.empty((B, chunks + 1, N, D), dtype=xp.complex128)
    kept[:, 0] = transpose(h0)
    if parts > 1:
        run("ends", real, threads, lam, jump, power, u, kept, *sizes)
        run("chain", real, B * N * D, power, kept, B, chunks + 1, N * D, 0, steps // Q, parts)
    run("outputs", real, threads, lam, weights, jump, power, u, y, kept, *sizes)

    def backward(dy: Array, dh_last: Array) -> tuple:
        dy = xp.ascontiguousarray(xp.astype(dy, real, copy=False))
        carry = xp.empty((B, parts, N, D), dtype=xp.complex128)
        carry[:, -1] = 0 if dh_last is None else transpose(dh_last)
        dlam, dc = xp.zeros_like(carry), xp.zeros_like(carry)
        du, dh0 = xp.empty_like(u), xp.empty((B, N, D), dtype=xp.complex128)
        if parts > 1:
            run("back_ends", real, threads, lam, weights, jump, power, dy, carry, *sizes)
            run("chain", real, B * N * D, xp.conj(power), carry, B, parts, N * D, parts - 2, -1, parts - 1)
        arrays = (lam, weights, jump, power, u, dy, kept, carry, dlam, dc, du, dh0)
        run("gradients", real, threads, *arrays, *sizes)
        dlog_lam = xp.sum(dlam, axis=(0, 1)).T * xp.conj(factor)
        dc = xp.sum(dc, axis=(0, 1)).T
        return xp.astype(dlog_lam, log_lam.dtype), xp.astype(dc, c.dtype), du, xp.astype(transpose(dh0), h0.dtype)

    return y, xp.astype(transpose(kept[:, -1]), h0.dtype), backward  # a copy: a view would keep all states alive


def cut(L: int, channels: int) -> tuple[int, int]:
    """-> parts of L, and steps of each but the last, whole chunks."""
    wanted = max(1, min(-(-FULL // channels), L // SHORTEST))
    steps = -(-L // (wanted * Q)) * Q
    return -(-L // steps), steps
