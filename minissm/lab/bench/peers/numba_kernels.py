"""The compiled loops. Inner loops run over neighbours in memory, without branches, so that LLVM vectorises them."""

from typing import Any

import numba
import numpy as np
from numba.core import types
from numba.extending import intrinsic

KEPT = 64  # steps between two states that are kept; those between are made again in the backward

compiled: Any = numba.njit(fastmath=True, cache=False, error_model="numpy")


def _from_bits(typing: Any, bits: Any) -> Any:
    """The float32 with these bits, as LLVM sees it."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(types.float32))

    return types.float32(types.int32), code


_as_float: Any = intrinsic(_from_bits)


@compiled
def _exp(x: Any) -> Any:
    """exp of -87 < x <= 0 (0 below): 2^n by its bits, times a polynomial. libm's would keep loops from vectorising."""
    x = max(x, np.float32(-87.0))
    n = np.int32(x * np.float32(1.44269504) - np.float32(0.5))
    r = x - np.float32(n) * np.float32(0.693359375) + np.float32(n) * np.float32(2.12194440e-4)
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    p = p * r * r + r + np.float32(1.0)
    return p * _as_float(np.int32((n + np.int32(127)) << np.int32(23)))


@compiled
def lti(lr: Any, li: Any, cr: Any, ci: Any, u: Any) -> Any:
    B, D, L = u.shape
    N = lr.shape[1]
    y = np.empty_like(u)
    hr, hi = np.empty(N, np.float32), np.empty(N, np.float32)
    for b in range(B):
        for d in range(D):
            hr[:] = 0
            hi[:] = 0
            for t in range(L):
                x, s = u[b, d, t], np.float32(0)
                for n in range(N):
                    r = lr[d, n] * hr[n] - li[d, n] * hi[n] + x
                    hi[n] = lr[d, n] * hi[n] + li[d, n] * hr[n]
                    hr[n] = r
                    s += cr[d, n] * r - ci[d, n] * hi[n]
                y[b, d, t] = s
    return y


@compiled
def lti_backward(lr: Any, li: Any, cr: Any, ci: Any, u: Any, dy: Any) -> tuple:
    """A sequence's states are made again, then it is walked backwards: g_t = conj(lam) g_{t+1} + conj(c) dy_t."""
    B, D, L = u.shape
    N = lr.shape[1]
    du = np.empty_like(u)
    dlam, dc = np.zeros((D, N, 2), np.float32), np.zeros((D, N, 2), np.float32)
    hr, hi = np.zeros((L + 1, N), np.float32), np.zeros((L + 1, N), np.float32)
    gr, gi = np.empty(N, np.float32), np.empty(N, np.float32)
    ar, ai, br, bi = np.empty(N, np.float32), np.empty(N, np.float32), np.empty(N, np.float32), np.empty(N, np.float32)
    for d in range(D):
        for a in (ar, ai, br, bi):
            a[:] = 0
        for b in range(B):
            for t in range(L):
                for n in range(N):
                    hr[t + 1, n] = lr[d, n] * hr[t, n] - li[d, n] * hi[t, n] + u[b, d, t]
                    hi[t + 1, n] = lr[d, n] * hi[t, n] + li[d, n] * hr[t, n]
            gr[:] = 0
            gi[:] = 0
            for t in range(L - 1, -1, -1):
                g, s = dy[b, d, t], np.float32(0)
                for n in range(N):
                    r = lr[d, n] * gr[n] + li[d, n] * gi[n] + cr[d, n] * g
                    i = lr[d, n] * gi[n] - li[d, n] * gr[n] - ci[d, n] * g
                    gr[n], gi[n] = r, i
                    ar[n] += r * hr[t, n] + i * hi[t, n]
                    ai[n] += i * hr[t, n] - r * hi[t, n]
                    br[n] += g * hr[t + 1, n]
                    bi[n] -= g * hi[t + 1, n]
                    s += r
                du[b, d, t] = s
        for n in range(N):
            dlam[d, n, 0], dlam[d, n, 1], dc[d, n, 0], dc[d, n, 1] = ar[n], ai[n], br[n], bi[n]
    return du, dlam, dc


@compiled
def s6(u: Any, dt: Any, A: Any, B: Any, C: Any) -> tuple:
    batch, L, E = u.shape
    N = A.shape[1]
    y, h = np.empty_like(u), np.empty((E, N), np.float32)
    starts = np.empty((batch, (L + KEPT - 1) // KEPT, E, N), np.float32)
    for b in range(batch):
        h[:] = 0
        for t in range(L):
            if t % KEPT == 0:
                starts[b, t // KEPT] = h
            for e in range(E):
                d, s = dt[b, t, e], np.float32(0)
                v = d * u[b, t, e]
                for n in range(N):
                    x = _exp(d * A[e, n]) * h[e, n] + v * B[b, t, n]
                    h[e, n] = x
                    s += x * C[b, t, n]
                y[b, t, e] = s
    return y, starts


@compiled
def s6_backward(u: Any, dt: Any, A: Any, B: Any, C: Any, starts: Any, dy: Any) -> tuple:
    batch, L, E = u.shape
    N = A.shape[1]
    du, ddt, dA, dB, dC = np.empty_like(u), np.empty_like(u), np.zeros_like(A), np.zeros_like(B), np.zeros_like(C)
    h, a = np.empty((KEPT + 1, E, N), np.float32), np.empty((KEPT, E, N), np.float32)
    g = np.empty((E, N), np.float32)
    for b in range(batch):
        g[:] = 0
        for chunk in range(starts.shape[1] - 1, -1, -1):
            first = chunk * KEPT
            steps = min(KEPT, L - first)
            h[0] = starts[b, chunk]
            for i in range(steps):
                for e in range(E):
                    d = dt[b, first + i, e]
                    v = d * u[b, first + i, e]
                    for n in range(N):
                        a[i, e, n] = _exp(d * A[e, n])
                        h[i + 1, e, n] = a[i, e, n] * h[i, e, n] + v * B[b, first + i, n]
            for i in range(steps - 1, -1, -1):
                t = first + i
                for e in range(E):
                    d, dv, dd, o = dt[b, t, e], np.float32(0), np.float32(0), dy[b, t, e]
                    v = d * u[b, t, e]
                    for n in range(N):
                        x = g[e, n] + o * C[b, t, n]
                        dC[b, t, n] += o * h[i + 1, e, n]
                        dB[b, t, n] += v * x
                        dv += x * B[b, t, n]
                        x *= a[i, e, n]
                        w = x * h[i, e, n]
                        dA[e, n] += w * d
                        dd += w * A[e, n]
                        g[e, n] = x
                    du[b, t, e] = dv * d
                    ddt[b, t, e] = dd + dv * u[b, t, e]
    return du, ddt, dA, dB, dC


@compiled
def recurrence(a: Any, b: Any) -> Any:
    B, L, D = b.shape
    h = np.empty_like(b)
    for i in range(B):
        h[i, 0] = b[i, 0]
        for t in range(1, L):
            for k in range(D):
                h[i, t, k] = a[i, t, k] * h[i, t - 1, k] + b[i, t, k]
    return h


@compiled
def recurrence_backward(a: Any, h: Any, dh: Any) -> tuple:
    B, L, D = dh.shape
    da, db, g = np.empty_like(dh), np.empty_like(dh), np.empty(D, np.float32)
    for i in range(B):
        g[:] = 0
        for t in range(L - 1, 0, -1):
            for k in range(D):
                x = g[k] + dh[i, t, k]
                db[i, t, k] = x
                da[i, t, k] = x * h[i, t - 1, k]
                g[k] = x * a[i, t, k]
        for k in range(D):
            db[i, 0, k] = g[k] + dh[i, 0, k]
            da[i, 0, k] = 0
    return da, db


@compiled
def step(lr: Any, li: Any, cr: Any, ci: Any, u: Any, hr: Any, hi: Any, y: Any) -> None:
    """One step of all channels, in place."""
    B, D = u.shape
    for b in range(B):
        for d in range(D):
            s = np.float32(0)
            for n in range(lr.shape[1]):
                r = lr[d, n] * hr[b, d, n] - li[d, n] * hi[b, d, n] + u[b, d]
                hi[b, d, n] = lr[d, n] * hi[b, d, n] + li[d, n] * hr[b, d, n]
                hr[b, d, n] = r
                s += cr[d, n] * r - ci[d, n] * hi[b, d, n]
            y[b, d] = s
