"""The workloads in JAX, each compiled as a whole."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ..case import Case

Named = Iterator[tuple[str, Callable[[], tuple]]]
SERIAL = False
LONGEST = 65536  # steps of a loop: on a GPU each takes microseconds however few channels there are


def threads(n: int) -> None:
    """XLA makes its pool once, of as many threads as there are cores at that moment."""
    import jax.extend.backend

    jax.clear_caches()
    jax.extend.backend.clear_backends()


def has_card() -> bool:
    """Where it has one, products stay float32: by itself JAX would take TF32 for them."""
    jax.config.update("jax_default_matmul_precision", "highest")
    return jax.default_backend() == "gpu"


def free() -> None:
    """It keeps what it has, up to the share of the card that peers.load gave it, and takes from that again."""


def put(case: Case, a: Any) -> jax.Array:
    """On the CPU for NumPy's sake, even where there is a GPU; what is compiled runs where its inputs are."""
    return jax.device_put(a, jax.devices("gpu" if case.place == "cupy" else "cpu")[0])


def lti(case: Case) -> Named:
    def by_fft(log_lam: Any, c: Any, u: Any) -> Any:
        k = jnp.sum(c[..., None] * jnp.exp(log_lam[..., None] * jnp.arange(u.shape[1])), axis=1).real
        return convolved(k, u)

    def by_scan(log_lam: Any, c: Any, u: Any) -> Any:
        lam = jnp.exp(log_lam)

        def one(h: Any, u_t: Any) -> tuple:
            h = lam * h + u_t[..., None]
            return h, jnp.sum((c * h).real, axis=-1)

        start = jnp.zeros((u.shape[0], *c.shape), c.dtype)
        return lax.scan(one, start, u.swapaxes(0, 1))[1].swapaxes(0, 1)

    yield "FFT", trained(case, by_fft)
    yield "lax.scan", trained(case, by_scan)


def convolved(k: Any, u: Any) -> Any:
    L = u.shape[1]
    n = L + k.shape[1] - 1
    n += n % 2
    y = jnp.fft.irfft(jnp.fft.rfft(u.swapaxes(1, 2), n=n) * jnp.fft.rfft(k, n=n), n=n)
    return y[..., :L].swapaxes(1, 2)


def s6(case: Case) -> Named:
    """dt, u, B and C of a token make its factors inside of the step, so that they are never all in memory."""

    def forward(u: Any, dt: Any, A: Any, B: Any, C: Any) -> Any:
        def one(h: Any, x: tuple) -> tuple:
            u_t, dt_t, B_t, C_t = x
            h = jnp.exp(dt_t[..., None] * A) * h + (dt_t * u_t)[..., None] * B_t[:, None, :]
            return h, jnp.sum(h * C_t[:, None, :], axis=-1)

        start = jnp.zeros((u.shape[0], *A.shape), u.dtype)
        return lax.scan(one, start, tuple(a.swapaxes(0, 1) for a in (u, dt, B, C)))[1].swapaxes(0, 1)

    yield "lax.scan", trained(case, forward)


def recurrence(case: Case) -> Named:
    def by_scan(a: Any, b: Any) -> Any:
        def one(h: Any, x: tuple) -> tuple:
            h = x[0] * h + x[1]
            return h, h

        return lax.scan(one, jnp.zeros_like(a[:, 0]), (a.swapaxes(0, 1), b.swapaxes(0, 1)))[1].swapaxes(0, 1)

    def associative(a: Any, b: Any) -> Any:
        return lax.associative_scan(lambda p, q: (p[0] * q[0], q[0] * p[1] + q[1]), (a, b), axis=1)[1]

    B, L, D = case.arrays["b"].shape
    if L <= LONGEST:
        yield "lax.scan", trained(case, by_scan)
    if B * D < 1024 or case.place == "cupy":  # it computes twice as much, in few steps: on a CPU not for wide ones
        yield "associative_scan", trained(case, associative)


def window(case: Case) -> Named:
    yield "FFT", trained(case, convolved)


def step(case: Case) -> Named:
    """The state is donated: XLA may write the new one where the old one was.

    On a card the host waits at the end of a run alone, as it does for minissm and torch: a step needs the state of the
    one before, so the card does them in their order.
    """
    log_lam, c, u = (put(case, a) for a in case.arrays.values())
    lam, inputs = jnp.exp(log_lam), list(u)

    def one(h: Any, u_t: Any) -> tuple:
        h = lam * h + u_t[..., None]
        return h, jnp.sum((c * h).real, axis=-1)

    compiled = jax.jit(one, donate_argnums=0)
    h = put(case, np.zeros((u.shape[1], *c.shape), c.dtype))

    def run() -> tuple:
        nonlocal h
        for u_t in inputs:
            h, y = compiled(h, u_t)
            if case.place == "numpy":
                y.block_until_ready()
        last = y, h.copy()  # what is handed out must outlive the next donation
        return last if case.place == "numpy" else jax.block_until_ready(last)

    yield "jit, donated", run


def attend(case: Case) -> Named:
    """Written out: on a CPU jax.nn.dot_product_attention takes longer."""

    def forward(q: Any, k: Any, v: Any) -> Any:
        z = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])
        seen = jnp.tril(jnp.ones(z.shape[-2:], bool))
        return jax.nn.softmax(jnp.where(seen, z, -jnp.inf), axis=-1) @ v

    yield "softmax attention", trained(case, forward)


def trained(case: Case, forward: Callable) -> Callable[[], tuple]:
    """y and the gradients; y alone where the case has no backward, its own work where that is alone."""
    *inputs, dy = (put(case, a) for a in case.arrays.values())

    @jax.jit
    def both(inputs: list, dy: Any) -> tuple:
        if not case.backward:
            return (forward(*inputs),)
        y, pull = jax.vjp(forward, *inputs)
        return y, *ours(pull(dy))

    def alone(y: Any, pull: Any) -> tuple:
        return y, *jax.block_until_ready(pulled(pull, dy))

    if case.alone:
        pulled = jax.jit(lambda pull, dy: ours(pull(dy)))
        return partial(alone, *jax.jit(lambda *inputs: jax.vjp(forward, *inputs))(*inputs))
    return lambda: jax.block_until_ready(both(inputs, dy))


def ours(gradients: tuple) -> list:
    """Complex ones are the conjugates of minissm's."""
    return [jnp.conj(d) if jnp.iscomplexobj(d) else d for d in gradients]


METHODS = {"W1": lti, "W2": s6, "W3": recurrence, "W4": window, "W5": step, "W6": attend}
