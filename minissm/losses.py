"""Losses: from outputs to one number, and back."""

import math
from typing import Any

from .backend import cotangent, is_numpy, one_hot
from .checks import check_arrays, check_indices

Array = Any


def cross_entropy(logits: Array, targets: Array, weights: Array) -> tuple:
    """loss = sum_i w_i (log sum_v exp z_iv - z_i,target) / sum_i w_i, over all positions i.

    logits z (..., V) real, targets (...) integers, weights (...) >= 0, not all 0 -> loss (), in nats, and
    `dlogits = backward(dloss)`. A target with weight 0 has no effect, but must lie in 0..V-1.

    ValueError where shapes or dtypes don't fit and, on NumPy alone, for a target outside 0..V-1 or such weights.
    """
    shapes = "logits (..., V), targets (...) integers, weights (...) numbers"
    xp, V = check_arrays("cross_entropy", shapes, logits, targets, weights), logits.shape[-1]
    check_indices("cross_entropy", "targets", targets, V)
    _check_weights("cross_entropy", xp, weights)
    hot = one_hot(xp, targets, V, logits.dtype)
    w = xp.astype(weights, logits.dtype)
    w = (w / xp.sum(w))[..., None]
    z = logits - xp.max(logits, axis=-1, keepdims=True)  # so that exp can't overflow; the loss doesn't change
    e = xp.exp(z)
    total = xp.sum(e, axis=-1, keepdims=True)
    loss = xp.sum(w * (xp.log(total) - xp.sum(hot * z, axis=-1, keepdims=True)))

    def backward(dloss: Array = 1.0) -> Array:
        return cotangent("cross_entropy", dloss, loss, "dloss") * (w * (e / total - hot))

    return loss, backward


def squared_error(y: Array, targets: Array, weights: Array) -> tuple:
    """loss = sum_i w_i |y_i - t_i|^2 / sum_i w_i, over all positions i; |.|^2 is summed over the outputs.

    y, targets t (..., outputs) real, weights (...) >= 0, not all 0 -> loss (), in squared units of y, and
    `dy = backward(dloss)`. ValueError where shapes or dtypes don't fit.
    """
    shapes = "y (..., outputs), targets (..., outputs), weights (...) numbers"
    xp = check_arrays("squared_error", shapes, y, targets, weights)
    _check_weights("squared_error", xp, weights)
    w = xp.astype(weights, y.dtype)
    w = (w / xp.sum(w))[..., None]
    error = y - xp.astype(targets, y.dtype)
    loss = xp.sum(w * error * error)
    return loss, lambda dloss=1.0: cotangent("squared_error", dloss, loss, "dloss") * (2 * w * error)


def _check_weights(who: str, xp: Any, weights: Array) -> None:
    """ValueError, on NumPy alone, unless the weights are finite, 0 or more, and one is more."""
    if is_numpy(xp) and not (weights.size and weights.min() >= 0 and 0 < weights.max() < math.inf):
        raise ValueError(
            f"{who}: weights below 0, not finite or all 0; expected a weight above 0 where an answer counts"
        )
