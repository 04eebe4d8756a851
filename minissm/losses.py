"""Losses: from outputs to one number, and back."""

from typing import Any

from .backend import is_numpy, namespace, one_hot

Array = Any


def cross_entropy(logits: Array, targets: Array, weights: Array) -> tuple:
    """loss = sum_i w_i (log sum_v exp z_iv - z_i,target) / sum_i w_i, over all positions i.

    logits z (..., V) real, targets (...) integers, weights (...) >= 0, not all 0 -> loss (), in nats, and
    `dlogits = backward(dloss)`. A target with weight 0 has no effect, but must lie in 0..V-1.

    ValueError where shapes or dtypes don't fit and, on NumPy alone, for a target outside 0..V-1.
    """
    xp = namespace(logits, targets, weights)
    V = logits.shape[-1]
    if not targets.shape == weights.shape == logits.shape[:-1] or not xp.isdtype(targets.dtype, "integral"):
        shapes = ", ".join(f"{n} {tuple(a.shape)}" for n, a in (("targets", targets), ("weights", weights)))
        raise ValueError(
            f"cross_entropy: {shapes}, targets {targets.dtype}; expected {tuple(logits.shape[:-1])}, integers"
        )
    if is_numpy(xp) and targets.size and not (targets.min() >= 0 and targets.max() < V):
        raise ValueError(f"cross_entropy: targets from {targets.min()} to {targets.max()}; expected 0..{V - 1}")
    hot = one_hot(xp, targets, V, logits.dtype)
    w = xp.astype(weights, logits.dtype)
    w = (w / xp.sum(w))[..., None]
    z = logits - xp.max(logits, axis=-1, keepdims=True)  # so that exp can't overflow; the loss doesn't change
    e = xp.exp(z)
    total = xp.sum(e, axis=-1, keepdims=True)
    loss = xp.sum(w * (xp.log(total) - xp.sum(hot * z, axis=-1, keepdims=True)))

    def backward(dloss: Array = 1.0) -> Array:
        return dloss * (w * (e / total - hot))

    return loss, backward


def squared_error(y: Array, targets: Array, weights: Array) -> tuple:
    """loss = sum_i w_i |y_i - t_i|^2 / sum_i w_i, over all positions i; |.|^2 is summed over the outputs.

    y, targets t (..., outputs) real, weights (...) >= 0, not all 0 -> loss (), in squared units of y, and
    `dy = backward(dloss)`. ValueError where shapes or dtypes don't fit.
    """
    xp = namespace(y, targets, weights)
    if targets.shape != y.shape or weights.shape != y.shape[:-1] or not xp.isdtype(targets.dtype, "real floating"):
        given = f"targets {targets.dtype} {tuple(targets.shape)}, weights {tuple(weights.shape)}"
        expected = f"floats {tuple(y.shape)} and {tuple(y.shape[:-1])}"
        raise ValueError(f"squared_error: {given}; expected {expected}, as y has {tuple(y.shape)}")
    w = xp.astype(weights, y.dtype)
    w = (w / xp.sum(w))[..., None]
    error = y - xp.astype(targets, y.dtype)
    return xp.sum(w * error * error), lambda dloss=1.0: dloss * (2 * w * error)
