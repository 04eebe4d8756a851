"""The scan of a state space layer, y_t = Re sum_n c_n h_t,n with h_t = lam h_{t-1} + u_t; forward and backward."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np

from minissm import fast, scan
from minissm.backend import namespace

from .harness import jax_, torch_

CASES = [{"batch": 8, "length": 4096}, {"batch": 8, "length": 1024}, {"batch": 2, "length": 16384}]
SHARED = ("log_lam", "c")  # arrays without a batch axis: their gradients are sums over the batch


def data(rng: np.random.Generator, batch: int, length: int, width: int = 128, poles: int = 16) -> dict[str, Any]:
    """The poles of S4D-Lin: -1/2 + i pi n, times a step dt that differs from channel to channel."""
    dt = np.exp(rng.uniform(np.log(1e-3), np.log(1e-1), (width, 1)))
    log_lam = ((-0.5 + 1j * np.pi * np.arange(poles)) * dt).astype(np.complex64)
    re, im = rng.standard_normal((2, width, poles), np.float32) / np.float32(poles)
    u, dy = rng.standard_normal((2, batch, length, width), np.float32)
    return {"log_lam": log_lam, "c": re + 1j * im, "u": u, "dy": dy}


def minissm(data: dict[str, Any]) -> dict[str, Callable]:
    """In auto mode, then by FFT. Filters give poles and weights in double precision, so they are so here."""
    u, dy = data["u"], data["dy"]
    xp = namespace(u)
    log_lam, c = (xp.astype(data[name], xp.complex128) for name in SHARED)

    def run(mode: str) -> tuple:
        y, _, backward = scan.pick(mode, u.shape, scan.Poles(log_lam, c))(log_lam, c, u)
        return y, *backward(dy)[:3]

    kernel = fast.path("recurrent", log_lam, c, u)  # where there is one, auto takes it
    return {mode: partial(run, mode) for mode in ("auto", "fft", *(["chunked"] if kernel else []))}


def torch(data: dict[str, Any]) -> dict[str, Callable]:
    """S4D as its authors publish it: the kernel from the Vandermonde matrix, the convolution by FFT."""
    import torch

    def forward(log_lam, c, u):
        L = u.shape[1]
        k = (c.unsqueeze(-1) * torch.exp(log_lam.unsqueeze(-1) * torch.arange(L, device=u.device))).sum(1).real
        return torch_.convolved(k, u)

    return {"S4D by FFT": torch_.trained(forward, *data.values())}


def jax(data: dict[str, Any]) -> dict[str, Callable]:
    import jax.numpy as jnp
    from jax import lax

    def by_fft(log_lam, c, u):
        k = jnp.sum(c[..., None] * jnp.exp(log_lam[..., None] * jnp.arange(u.shape[1])), axis=1).real
        return jax_.convolved(k, u)

    def by_scan(log_lam, c, u):
        lam = jnp.exp(log_lam)

        def one(h, u_t):
            h = lam * h + u_t[..., None]
            return h, jnp.sum((c * h).real, axis=-1)

        h = jnp.zeros((u.shape[0], *c.shape), c.dtype)
        return lax.scan(one, h, u.swapaxes(0, 1))[1].swapaxes(0, 1)

    return {name: jax_.trained(f, *data.values()) for name, f in (("FFT", by_fft), ("lax.scan", by_scan))}


def numba(data: dict[str, Any]) -> dict[str, Callable]:
    forward, backward = loops()
    lam = np.exp(data["log_lam"].astype(np.complex128)).astype(np.complex64)
    parts = [np.ascontiguousarray(a) for a in (lam.real, lam.imag, data["c"].real, data["c"].imag)]

    def channels_first(a: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(a.transpose(0, 2, 1))

    def run() -> tuple:
        y = forward(*parts, channels_first(data["u"]))
        du, dlam, dc = backward(*parts, channels_first(data["u"]), channels_first(data["dy"]))
        dlog_lam = lam.conj() * (dlam[..., 0] + 1j * dlam[..., 1])
        return channels_first(y), dlog_lam, dc[..., 0] + 1j * dc[..., 1], channels_first(du)

    return {"loop": run}


@cache
def loops() -> tuple[Callable, Callable]:
    """Inner loops over the poles have no branches, so that LLVM vectorises them."""
    import numba

    compiled = numba.njit(fastmath=True, error_model="numpy")

    @compiled
    def forward(lr, li, cr, ci, u):
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
    def backward(lr, li, cr, ci, u, dy):
        """The states of a sequence are computed again; then g_t = conj(lam) g_{t+1} + conj(c) dy_t."""
        B, D, L = u.shape
        N = lr.shape[1]
        du = np.empty_like(u)
        dlam, dc = np.zeros((D, N, 2), np.float32), np.zeros((D, N, 2), np.float32)
        hr, hi = np.zeros((L + 1, N), np.float32), np.zeros((L + 1, N), np.float32)
        gr, gi = np.empty(N, np.float32), np.empty(N, np.float32)
        ar, ai = np.empty(N, np.float32), np.empty(N, np.float32)
        br, bi = np.empty(N, np.float32), np.empty(N, np.float32)
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

    return forward, backward
