"""Causal softmax attention, heads of 32; forward and backward."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from minissm.attention import attention

from .harness import jax_, torch_

CASES = [{"batch": 8, "heads": 4, "length": 1024}]
TILES = (128, 256)  # the bound is the faster of these


def data(rng: np.random.Generator, batch: int, heads: int, length: int, size: int = 32) -> dict[str, Any]:
    return {name: rng.standard_normal((batch, heads, length, size), np.float32) for name in ("q", "k", "v", "do")}


def minissm(data: dict[str, Any]) -> dict[str, Callable]:
    q, k, v, do = data.values()

    def run() -> tuple:
        o, *_, backward = attention(q, k, v)
        return o, *backward(do)[:3]

    return {"attention": run}


def torch(data: dict[str, Any]) -> dict[str, Callable]:
    from torch.nn.functional import scaled_dot_product_attention

    forward = partial(scaled_dot_product_attention, is_causal=True)
    return {"scaled_dot_product_attention": torch_.trained(forward, *data.values())}


def jax(data: dict[str, Any]) -> dict[str, Callable]:
    """Written out: on a processor jax.nn.dot_product_attention takes longer."""
    import jax
    import jax.numpy as jnp

    def forward(q, k, v):
        z = q @ k.swapaxes(-1, -2) / jnp.sqrt(q.shape[-1]).astype(q.dtype)
        seen = jnp.tril(jnp.ones(z.shape[-2:], bool))
        return jax.nn.softmax(jnp.where(seen, z, -jnp.inf), axis=-1) @ v

    return {"softmax attention": jax_.trained(forward, *data.values())}


def bound(data: dict[str, Any]) -> dict[str, Callable]:
    B, H, L, P = data["q"].shape

    return {f"products and exp, tiles of {T}": partial(run_all, tiles(B * H, L, P, T)) for T in TILES}


def run_all(calls: list[Callable]) -> None:
    for call in calls:
        call()


def tiles(heads: int, L: int, P: int, T: int) -> list[Callable]:
    """The tiles below the diagonal: two products and an exponential forward, four products backward.

    Heads of one tile are computed together, others one by one. The scores of a tile are assumed to be still in memory
    when its backward runs.
    """
    together = heads if L <= T else 1
    q, k, v, do, o, dq, dk, dv = np.full((8, together, L, P), 0.01, np.float32)
    calls: list[tuple] = []
    for i in range(0, L, T):
        for j in range(0, i + 1, T):
            r, c = np.s_[:, i : i + T], np.s_[:, j : j + T]
            z, dz = np.full((2, together, q[r].shape[1], k[c].shape[1]), 0.01, np.float32)
            calls += [(q[r], k[c].mT, z), (z,), (z, v[c], o[r]), (do[r], v[c].mT, dz)]
            calls += [(dz, k[c], dq[r]), (dz.mT, q[r], dk[c]), (z.mT, do[r], dv[c])]
    made: list[Callable] = [
        partial(np.matmul, *a[:2], out=a[2]) if len(a) == 3 else partial(np.exp, *a, out=a[0]) for a in calls
    ]
    return made * (heads // together)
