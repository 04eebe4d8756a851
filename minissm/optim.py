"""Update rules as pure functions of trees: sgd, adamw, clipping, and a schedule for the learning rate.

Inside, a tree is one flat vector: a step costs some twenty operations, however many leaves the tree has.
"""

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from . import tree
from .backend import device, is_numpy, namespace
from .checks import check_integer, check_number
from .shapes import check_arrays

Array = Any
RATE = "a number from 0 to 1e30", lambda x: 0 <= x <= 1e30
POSITIVE = "a finite number above 0", lambda x: 0 < x < math.inf
PART = "a number from 0 to 1", lambda x: 0 <= x <= 1


def sgd(params: dict, grads: dict, lr: float) -> dict:
    """w <- w - lr g.  grads: a tree like params, or its `gradient_vector`."""
    lr = check_number("sgd", "lr", lr, *RATE)
    return tree.unflatten(params, tree.flatten(params) - lr * gradient_vector(params, grads))


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
    betas: b1, b2. Default 0.9, 0.999. In float32, v is off by up to 5e-5 at b2 = .999, by 3e-3 at .99999.
    eps: added to sqrt v'. Default 1e-8.
    decay: the weight decay. Default 0.01. It doesn't act on filters and skips: it would pull every log_dt to 0, and so
        every memory to one step.
    -> new w, new state.

    A gradient beyond max^.49 of its dtype (4.6e18 in single precision) counts as that: v would overflow, and its
    parameter never move again.
    """
    lr = check_number("adamw", "lr", lr, *RATE)  # as a float: a NumPy scalar would turn float32 into float64
    eps, decay = check_number("adamw", "eps", eps, *POSITIVE), check_number("adamw", "decay", decay, *RATE)
    if not isinstance(betas, list | tuple) or len(betas) != 2:
        raise ValueError(f"adamw: betas={betas!r}; expected a pair of numbers, 0 or more, below 1")
    b1, b2 = (check_number("adamw", "betas", b, "numbers, 0 or more, below 1", lambda b: 0 <= b < 1) for b in betas)
    if not isinstance(state, AdamWState):
        raise TypeError(f"adamw: state is of type {type(state).__name__}; expected adamw_start(params), or a step's")
    vectors = "w (P,), g (P,), m (P,), v (P,), decayed (P,)"
    xp, n = check_arrays("adamw", vectors, w, g, state.m, state.v, state.decayed), state.n + 1
    if eps < math.sqrt(xp.finfo(g.dtype).smallest_normal):  # the smallest sqrt v
        raise ValueError(f"adamw: eps={eps} for {g.dtype}; expected more, 0 / 0 would be nan")
    g = _bounded(g, _largest(xp, g.dtype, 0.49))
    m = b1 * state.m + (1 - b1) * g
    v = b2 * state.v + (1 - b2) * (g * g)
    step = m / (xp.sqrt(v) * (1 / math.sqrt(1 - b2**n)) + eps)
    w = w - (lr / (1 - b1**n)) * step - (lr * decay) * (state.decayed * _bounded(w, _largest(xp, w.dtype, 0.99)))
    return w, AdamWState(n, m, v, state.decayed)


def gradient_vector(params: dict, grads: Any) -> Array:
    """All gradients as one vector (P,), in the order of the parameters. A vector is returned as it is."""
    arrays = tree.arrays(params)
    tree.check_floats("adamw", params, {a.dtype for a in arrays})
    if not isinstance(grads, dict | list | tuple):
        dtype, size = namespace(*arrays).result_type(*arrays), sum(math.prod(a.shape) for a in arrays)
        kind = getattr(grads, "dtype", type(grads).__name__), getattr(grads, "shape", ())
        if kind != (dtype, (size,)):
            given = f"the gradient is {kind[0]} {tuple(kind[1])}"
            raise ValueError(f"adamw: {given}; expected {dtype} ({size},), or a tree like params")
        return grads
    gradients = tree.arrays(grads, like=params)
    if [(d.dtype, d.shape) for d in gradients] != [(a.dtype, a.shape) for a in arrays]:
        pairs = zip(tree.named(params), gradients, strict=True)
        name, a, d = next((n, a, d) for (n, a), d in pairs if (d.dtype, d.shape) != (a.dtype, a.shape))
        if d.shape != a.shape:
            shapes = f"the gradient of {name} has shape {tuple(d.shape)}, the parameter {tuple(a.shape)}"
            raise ValueError(f"adamw: {shapes}; expected one shape")
        raise ValueError(
            f"adamw: the gradient of {name} is {d.dtype}, the parameter {a.dtype}; cast it in the backward"
        )
    xp = namespace(*gradients)
    return xp.concat([xp.reshape(d, (-1,)) for d in gradients])


def decay_mask(params: dict) -> Array:
    """(P,): 0 where weight decay does not act (the leaves of a filter, and skip), 1 elsewhere."""

    def mask(name: str, leaf: Array) -> Array:
        xp = namespace(leaf)
        spared = {"filter", "skip"} & set(name.split("."))
        return (xp.zeros if spared else xp.ones)((math.prod(leaf.shape),), dtype=leaf.dtype, device=device(leaf))

    tree.check_floats("adamw", params, {a.dtype for a in tree.arrays(params)})
    return tree.flatten([mask(name, leaf) for name, leaf in tree.named(params)])


def clip(grads: Any, limit: float) -> tuple[Any, Array]:
    """g <- g min(1, limit / |g|), |g| the norm over all leaves. limit may be inf. -> grads, |g| before clipping.

    The squares are of g divided by a power of two: they neither overflow nor vanish, and ordinary bits don't change.
    """
    limit = check_number("clip", "limit", limit, "a number above 0, or inf", lambda limit: limit > 0)
    arrays = tree.arrays(grads)
    tree.check_floats("clip", grads, {a.dtype for a in arrays})
    if not sum(math.prod(a.shape) for a in arrays):
        raise ValueError("clip: the gradient has no numbers; expected one at least")
    g = grads if grads is arrays[0] else tree.flatten(arrays)
    xp = namespace(g)
    largest = xp.maximum(xp.max(g), -xp.min(g))
    high, far = (_largest(xp, g.dtype, part) for part in (0.3, 0.7))
    one = xp.ones_like(largest)
    ordinary = is_numpy(xp) and 1 / high <= largest <= high
    unit = one if ordinary else xp.where(largest > high, far, xp.where(largest < 1 / high, 1 / far, one))
    g = g if ordinary else g / unit
    norm_unit = xp.sqrt(xp.sum(g * g))
    with np.errstate(over="ignore"):
        norm = norm_unit * unit  # inf if it exceeds the dtype; g is then clipped all the same
    if math.isinf(limit):
        return grads, norm
    limit = min(limit, float(xp.finfo(g.dtype).max))
    factor = xp.where(norm > limit, limit / xp.where(norm > limit, norm_unit, one), unit)
    return tree.unflatten(grads, g * factor), norm


def _bounded(a: Array, largest: float) -> Array:
    """a with all numbers between -largest and largest; on NumPy, that is seldom more than a look."""
    xp = namespace(a)
    if is_numpy(xp) and a.max() <= largest and a.min() >= -largest:
        return a
    return xp.minimum(xp.maximum(a, -largest), largest)


@cache
def _largest(xp: Any, dtype: Any, exponent: float) -> float:
    """The largest number of the dtype to the power of the exponent, rounded down to a power of two."""
    return 2.0 ** int(exponent * math.log2(xp.finfo(dtype).max))


def warmup_cosine(step: int, steps: int, warmup: float = 0.1, last: float = 0.05) -> float:
    """The factor on the learning rate at step = 0, ..., steps-1: it rises linearly, then falls by a cosine.

    warmup: the fraction of the steps in which it rises. Default 0.1.
    last: the factor at the end. Default 0.05.
    """
    steps = check_integer("warmup_cosine", "steps", steps)
    step = check_integer("warmup_cosine", "step", step, minimum=0)
    if step > steps:
        raise ValueError(f"warmup_cosine: step={step} of steps={steps}; expected no more")
    warmup, last = (check_number("warmup_cosine", n, v, *PART) for n, v in (("warmup", warmup), ("last", last)))
    up = min(1.0, (step + 1) / (warmup * steps + 1))
    return up * ((1 - last) * 0.5 * (1 + math.cos(math.pi * step / steps)) + last)
