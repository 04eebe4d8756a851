"""Update rules as pure functions of trees: sgd, adamw, clipping, and a schedule for the learning rate.

Inside, a tree is one flat vector: a step costs some twenty operations, however many leaves the tree has.
"""

import math
from typing import Any, NamedTuple

from . import tree
from .backend import device, namespace

Array = Any


def sgd(params: dict, grads: dict, lr: float) -> dict:
    """w <- w - lr g.  grads: a tree like params, or its `gradient_vector`."""
    return tree.unflatten(params, tree.flatten(params) - float(lr) * gradient_vector(params, grads))


class AdamWState(NamedTuple):
    """The state of adamw: n steps so far, the moments m and v (P,), and decayed (P,), 1 where weight decay acts."""

    n: int
    m: Array
    v: Array
    decayed: Array


def adamw(params: dict, grads: dict, state: AdamWState | None = None, *, lr: float, **options: Any) -> tuple:
    """One step of `adamw_vector` on trees. -> new params, new state. It writes into no argument.

    grads: a tree like params, or its `gradient_vector`.
    state: the state that the step before returned. None (default): the first step.
    lr: the learning rate.
    options: betas, eps, decay, as in `adamw_vector`.

    ValueError where the dtype of a gradient is not the parameter's.
    """
    w, g = tree.flatten(params), gradient_vector(params, grads)
    w, state = adamw_vector(w, g, adamw_start(params) if state is None else state, lr=lr, **options)
    return tree.unflatten(params, w), state


def adamw_start(params: dict) -> AdamWState:
    """The state before the first step."""
    decayed = decay_mask(params)
    zeros = namespace(decayed).zeros_like(decayed)
    return AdamWState(0, zeros, zeros, decayed)


def adamw_vector(
    w: Array,
    g: Array,
    state: AdamWState,
    *,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    decay: float = 0.01,
) -> tuple[Array, AdamWState]:
    """m <- b1 m + (1-b1) g,  v <- b2 v + (1-b2) g^2,  w <- w - lr (m' / (sqrt v' + eps) + decay w).

    m' = m / (1 - b1^n), v' = v / (1 - b2^n)  (Loshchilov & Hutter 2019, arXiv 1711.05101).

    w, g (P,): all parameters as one vector (tree.flatten), and its gradient.
    state: of the step before; `adamw_start(params)` for the first.
    lr: the learning rate.
    betas: b1, b2. Default 0.9, 0.999.
    eps: added to sqrt v'. Default 1e-8.
    decay: the weight decay. Default 0.01. It doesn't act on filters and skips: it would pull every log_dt to 0, and so
        every memory to one step.
    -> new w, new state.
    """
    lr, eps, decay = float(lr), float(eps), float(decay)  # a NumPy scalar would turn float32 into float64
    xp, n, (b1, b2) = namespace(w, g), state.n + 1, (float(b) for b in betas)
    m = b1 * state.m + (1 - b1) * g
    v = b2 * state.v + (1 - b2) * (g * g)
    step = m / (xp.sqrt(v) * (1 / math.sqrt(1 - b2**n)) + eps)
    w = w - (lr / (1 - b1**n)) * step - (lr * decay) * (state.decayed * w)
    return w, AdamWState(n, m, v, state.decayed)


def gradient_vector(params: dict, grads: Any) -> Array:
    """All gradients as one vector (P,), in the order of the parameters. A vector is returned as it is."""
    dtype = next(leaf for _, leaf in tree.named(params)).dtype
    if not isinstance(grads, dict | list | tuple):
        if grads.shape != (tree.size(params),) or grads.dtype != dtype:
            given = f"the gradient is {grads.dtype} {tuple(grads.shape)}"
            raise ValueError(f"adamw: {given}; expected {dtype} ({tree.size(params)},), or a tree like params")
        return grads
    vector = tree.flatten(grads, like=params)
    if vector.dtype != dtype:
        kinds = {name: d.dtype for name, d in tree.named(grads)}
        name, leaf = next((n, a) for n, a in tree.named(params) if kinds[n] != a.dtype)
        given = f"the gradient of {name} is {kinds[name]}, the parameter {leaf.dtype}"
        raise ValueError(f"adamw: {given}; cast it in the backward")
    return vector


def decay_mask(params: dict) -> Array:
    """(P,): 0 where weight decay does not act (the leaves of a filter, and skip), 1 elsewhere."""

    def mask(name: str, leaf: Array) -> Array:
        xp = namespace(leaf)
        spared = {"filter", "skip"} & set(name.split("."))
        return (xp.zeros if spared else xp.ones)((math.prod(leaf.shape),), dtype=leaf.dtype, device=device(leaf))

    masks = [mask(name, leaf) for name, leaf in tree.named(params)]
    return namespace(*masks).concat(masks)


def clip(grads: Any, limit: float) -> tuple[Any, Array]:
    """g <- g min(1, limit / |g|), |g| the norm over all leaves. limit may be inf. -> grads, |g| before clipping."""
    g = tree.flatten(grads)
    xp = namespace(g)
    norm = xp.sqrt(xp.sum(g * g))
    if math.isinf(limit):
        return grads, norm
    limit = float(limit)
    return tree.unflatten(grads, g * (limit / xp.where(norm > limit, norm, limit))), norm


def warmup_cosine(step: int, steps: int, warmup: float = 0.1, last: float = 0.05) -> float:
    """The factor on the learning rate at step = 0, ..., steps-1: it rises linearly, then falls by a cosine.

    warmup: the fraction of the steps in which it rises. Default 0.1.
    last: the factor at the end. Default 0.05.
    """
    up = min(1.0, (step + 1) / (warmup * steps + 1))
    return up * ((1 - last) * 0.5 * (1 + math.cos(math.pi * step / steps)) + last)
