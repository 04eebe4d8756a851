"""Generation: one step of lti after another, forward alone, each begun when the one before is done."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from minissm import scan
from minissm.backend import namespace

from . import lti

CASES = [{"batch": 1}, {"batch": 64}]
CALLS = 100  # steps in one run; times are of one step


def data(rng: np.random.Generator, batch: int, width: int = 128, poles: int = 16) -> dict[str, Any]:
    """u (CALLS, B, D): one row a step."""
    drawn = lti.data(rng, batch, CALLS, width, poles)
    return {"log_lam": drawn["log_lam"], "c": drawn["c"], "u": np.ascontiguousarray(drawn["u"].transpose(1, 0, 2))}


def reference(data: dict[str, Any]) -> tuple:
    """The last output and state by the scan over all steps."""
    log_lam, c, u = data.values()
    y, h, _ = scan.recurrent(log_lam, c, u.transpose(1, 0, 2))
    return y[:, -1], h


def minissm(data: dict[str, Any]) -> dict[str, Callable]:
    """What generation calls for each token."""
    u, xp = data["u"], namespace(data["u"])
    poles = scan.Poles(*(xp.astype(data[name], xp.complex128) for name in ("log_lam", "c")))
    one, start = scan.stepper(poles, u.dtype), scan.start(poles, u.shape[1], u.dtype)
    inputs = [u[t, ...] for t in range(u.shape[0])]

    def run() -> tuple:
        h = start
        for u_t in inputs:
            y, h = one(u_t, h)
        return y, h

    return {"step": run}


def torch(data: dict[str, Any]) -> dict[str, Callable]:
    """In place, without a graph."""
    import torch

    log_lam, c, u = data.values()
    lam, h = torch.exp(log_lam), torch.zeros(u.shape[1], *c.shape, dtype=c.dtype, device=c.device)

    @torch.inference_mode()
    def run() -> tuple:
        h.zero_()
        for u_t in u:
            h.mul_(lam).add_(u_t.unsqueeze(-1))
            y = (h * c).sum(-1).real
        return y, h

    return {"in place": run}


def jax(data: dict[str, Any]) -> dict[str, Callable]:
    """The state is donated, so that XLA may write the new one in its place.

    On a GPU the host waits at the end alone, as for minissm and PyTorch: the GPU itself does the steps in their order.
    """
    import jax
    import jax.numpy as jnp

    log_lam, c, u = data.values()
    lam, inputs, wait = jnp.exp(log_lam), list(u), jax.default_backend() == "cpu"

    def one(h, u_t):
        h = lam * h + u_t[..., None]
        return h, jnp.sum((c * h).real, axis=-1)

    compiled, start = jax.jit(one, donate_argnums=0), jnp.zeros((u.shape[1], *c.shape), c.dtype)

    def run() -> tuple:
        h = start.copy()
        for u_t in inputs:
            h, y = compiled(h, u_t)
            if wait:
                y.block_until_ready()
        return jax.block_until_ready((y, h))

    return {"jit, donated": run}


def numba(data: dict[str, Any]) -> dict[str, Callable]:
    log_lam, c, u = data.values()
    lam = np.exp(log_lam.astype(np.complex128)).astype(np.complex64)
    parts = [np.ascontiguousarray(a) for a in (lam.real, lam.imag, c.real, c.imag)]
    hr, hi = np.zeros((2, u.shape[1], *c.shape), np.float32)
    y, one = np.zeros(u.shape[1:], np.float32), loop()

    def run() -> tuple:
        hr[:], hi[:] = 0, 0
        for u_t in u:
            one(*parts, u_t, hr, hi, y)
        return y, hr + 1j * hi

    return {"loop": run}


@cache
def loop() -> Callable:
    import numba

    @numba.njit(fastmath=True, error_model="numpy")
    def step(lr, li, cr, ci, u, hr, hi, y):
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

    return step
