"""Mamba's selective scan, h_t = exp(dt_t A) h_{t-1} + dt_t u_t B_t, y_t = C_t . h_t; forward and backward."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from minissm.selective import selective_scan

from .harness import jax_, torch_

CASES = [{"batch": 4, "length": 2048}]
SHARED = ("A",)


def data(rng: np.random.Generator, batch: int, length: int, width: int = 256, states: int = 16) -> dict[str, Any]:
    """A = -1 .. -N in every channel, as Mamba begins."""
    A = -np.broadcast_to(np.arange(1, states + 1, dtype=np.float32), (width, states)).copy()
    dt = np.exp(rng.uniform(np.log(1e-3), np.log(1e-1), (batch, length, width))).astype(np.float32)
    u, dy = rng.standard_normal((2, batch, length, width), np.float32)
    B, C = rng.standard_normal((2, batch, length, states), np.float32)
    return {"u": u, "dt": dt, "A": A, "B": B, "C": C, "dy": dy}


def minissm(data: dict[str, Any]) -> dict[str, Callable]:
    *inputs, dy = data.values()

    def run() -> tuple:
        y, _, backward = selective_scan(*inputs)
        return y, *backward(dy)[:-1]

    return {"selective_scan": run}


def torch(data: dict[str, Any]) -> dict[str, Callable]:
    """The loop of Mamba's slow path. It takes unbind: indexing x[:, t] makes the backward quadratic in the length."""
    import torch

    def forward(u, dt, A, B, C):
        a = torch.exp(dt.unsqueeze(-1) * A)
        b = (dt * u).unsqueeze(-1) * B.unsqueeze(2)
        h, ys = torch.zeros_like(a[:, 0]), []
        for a_t, b_t, C_t in zip(a.unbind(1), b.unbind(1), C.unbind(1), strict=True):
            h = a_t * h + b_t
            ys.append((h @ C_t.unsqueeze(-1)).squeeze(-1))
        return torch.stack(ys, 1)

    return {"loop": torch_.trained(forward, *data.values())}


def jax(data: dict[str, Any]) -> dict[str, Callable]:
    """The factors of a token are formed inside the step, so that they are never all in memory."""
    import jax.numpy as jnp
    from jax import lax

    def forward(u, dt, A, B, C):
        def one(h, x):
            u_t, dt_t, B_t, C_t = x
            h = jnp.exp(dt_t[..., None] * A) * h + (dt_t * u_t)[..., None] * B_t[:, None, :]
            return h, jnp.sum(h * C_t[:, None, :], axis=-1)

        h = jnp.zeros((u.shape[0], *A.shape), u.dtype)
        return lax.scan(one, h, tuple(a.swapaxes(0, 1) for a in (u, dt, B, C)))[1].swapaxes(0, 1)

    return {"lax.scan": jax_.trained(forward, *data.values())}


def numba(data: dict[str, Any]) -> dict[str, Callable]:
    forward, backward = loops()
    *inputs, dy = data.values()

    def run() -> tuple:
        y, kept = forward(*inputs)
        return y, *backward(*inputs, kept, dy)

    return {"loop, polynomial exp": run}


@cache
def loops() -> tuple[Callable, Callable]:
    import numba
    from numba.core import types
    from numba.extending import intrinsic

    compiled = numba.njit(fastmath=True, error_model="numpy")
    every = 64  # steps between two states that are kept; the backward computes those between again

    @intrinsic
    def as_float(typing, bits):
        """The float32 with these bits."""

        def code(context, builder, signature, arguments):
            return builder.bitcast(arguments[0], context.get_value_type(types.float32))

        return types.float32(types.int32), code

    @compiled
    def exp(x):
        """exp of -87 < x <= 0, 0 below: 2^n by its bits, times a polynomial. libm's would not be vectorised."""
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
        return p * as_float(np.int32((n + np.int32(127)) << np.int32(23)))

    @compiled
    def forward(u, dt, A, B, C):
        batch, L, E = u.shape
        N = A.shape[1]
        y, h = np.empty_like(u), np.empty((E, N), np.float32)
        kept = np.empty((batch, (L + every - 1) // every, E, N), np.float32)
        for b in range(batch):
            h[:] = 0
            for t in range(L):
                if t % every == 0:
                    kept[b, t // every] = h
                for e in range(E):
                    d, s = dt[b, t, e], np.float32(0)
                    v = d * u[b, t, e]
                    for n in range(N):
                        x = exp(d * A[e, n]) * h[e, n] + v * B[b, t, n]
                        h[e, n] = x
                        s += x * C[b, t, n]
                    y[b, t, e] = s
        return y, kept

    @compiled
    def backward(u, dt, A, B, C, kept, dy):
        batch, L, E = u.shape
        N = A.shape[1]
        du, ddt, dA, dB, dC = np.empty_like(u), np.empty_like(u), np.zeros_like(A), np.zeros_like(B), np.zeros_like(C)
        h, a = np.empty((every + 1, E, N), np.float32), np.empty((every, E, N), np.float32)
        g = np.empty((E, N), np.float32)
        for b in range(batch):
            g[:] = 0
            for chunk in range(kept.shape[1] - 1, -1, -1):
                first = chunk * every
                steps = min(every, L - first)
                h[0] = kept[b, chunk]
                for i in range(steps):
                    for e in range(E):
                        d = dt[b, first + i, e]
                        v = d * u[b, first + i, e]
                        for n in range(N):
                            a[i, e, n] = exp(d * A[e, n])
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

    return forward, backward
