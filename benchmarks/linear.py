"""The linear recurrence h_t = a_t h_{t-1} + b_t, forward and backward, and forward alone."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from minissm import scan
from minissm.backend import namespace

from .harness import jax_, torch_

CASES = [
    {"batch": 8, "length": 4096, "width": 512},
    {"batch": 8, "length": 4096, "width": 512, "backward": False},
    {"batch": 1, "length": 4096, "width": 64},
    {"batch": 1, "length": 4096, "width": 64, "backward": False},
]
ON_CARD = [  # in addition: more numbers than a GPU's cache has, and few channels
    {"batch": 16, "length": 4096, "width": 1024},
    {"batch": 16, "length": 4096, "width": 1024, "backward": False},
    {"batch": 1, "length": 1 << 20, "width": 16},
]
BOUND_ON = ("numpy", "cupy")
LONGEST = 65536  # steps of a loop that is compiled or queued as a whole


def data(rng: np.random.Generator, batch: int, length: int, width: int, backward: bool = True) -> dict[str, Any]:
    shape = batch, length, width
    arrays = {"a": rng.uniform(0.8, 1, shape).astype(np.float32), "b": rng.standard_normal(shape, np.float32)}
    return arrays | ({"dh": rng.standard_normal(shape, np.float32)} if backward else {})


def minissm(data: dict[str, Any]) -> dict[str, Callable]:
    a, b, *dh = data.values()

    def run() -> tuple:
        h, _, backward = scan.linear(a, b)
        return (h, *backward(*dh)[:2]) if dh else (h,)

    return {"linear": run}


def torch(data: dict[str, Any]) -> dict[str, Callable]:
    import torch

    def forward(a, b):
        h, states = torch.zeros_like(a[:, 0]), []
        for a_t, b_t in zip(a.unbind(1), b.unbind(1), strict=True):
            h = torch.addcmul(b_t, a_t, h)
            states.append(h)
        return torch.stack(states, 1)

    a, b, *dh = data.values()
    return {"loop": torch_.trained(forward, a, b, *(dh or [None]))} if a.shape[1] <= LONGEST else {}


def jax(data: dict[str, Any]) -> dict[str, Callable]:
    """associative_scan computes twice as much in few steps; wide ones on a processor gain nothing from it."""
    import jax
    import jax.numpy as jnp
    from jax import lax

    def by_scan(a, b):
        def one(h, x):
            h = x[0] * h + x[1]
            return h, h

        return lax.scan(one, jnp.zeros_like(a[:, 0]), (a.swapaxes(0, 1), b.swapaxes(0, 1)))[1].swapaxes(0, 1)

    def associative(a, b):
        return lax.associative_scan(lambda p, q: (p[0] * q[0], q[0] * p[1] + q[1]), (a, b), axis=1)[1]

    a, b, *dh = data.values()
    B, L, D = b.shape
    methods = {"lax.scan": by_scan} if L <= LONGEST else {}
    if B * D < 1024 or jax.default_backend() == "gpu":
        methods["associative_scan"] = associative
    return {name: jax_.trained(f, a, b, *(dh or [None])) for name, f in methods.items()}


def numba(data: dict[str, Any]) -> dict[str, Callable]:
    forward, backward = loops()
    a, b, *dh = data.values()

    def run() -> tuple:
        h = forward(a, b)
        return (h, *backward(a, h, *dh)) if dh else (h,)

    return {"loop": run}


@cache
def loops() -> tuple[Callable, Callable]:
    import numba

    compiled = numba.njit(fastmath=True, error_model="numpy")

    @compiled
    def forward(a, b):
        B, L, D = b.shape
        h = np.empty_like(b)
        for i in range(B):
            h[i, 0] = b[i, 0]
            for t in range(1, L):
                for k in range(D):
                    h[i, t, k] = a[i, t, k] * h[i, t - 1, k] + b[i, t, k]
        return h

    @compiled
    def backward(a, h, dh):
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

    return forward, backward


def bound(data: dict[str, Any]) -> dict[str, Callable]:
    """Memory alone: read a and b, write h; then read a, h and dh, write da and db."""
    a, b, *dh = data.values()
    xp = namespace(a)
    h, da, db = (xp.full_like(a, 0.5) for _ in range(3))

    def run() -> None:
        xp.multiply(a, b, out=h)
        for d in dh:
            xp.multiply(a, h, out=da)
            xp.multiply(d, 1.0, out=db)

    return {"reading and writing": run}
