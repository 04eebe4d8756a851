"""Losses: from outputs to one number, and back.

A loss is a mean with weights w_i. A position with w_i = 0 has no effect and a gradient of 0, even if it holds nan or
inf. On NumPy, weights that are negative, not finite or all 0 are refused. Elsewhere a weight that is not above 0 counts
as 0, and the loss is 0 if all are.
"""

import math
from typing import Any

from . import fast
from .backend import cotangent, is_numpy, namespace, one_hot
from .shapes import check_arrays, check_indices

Array = Any


def cross_entropy(logits: Array, targets: Array, weights: Array) -> tuple:
    """loss = sum_i w_i (log sum_v exp z_iv - z_i,target) / sum_i w_i, over all positions i.

    logits z (..., V) real, targets (...) integers, weights (...) >= 0, not all 0 -> loss (), in nats, and
    `dlogits = backward(dloss)`. A target with weight 0 must lie in 0..V-1, too.

    A logit of -inf forbids an answer: its probability and its gradient are 0. The loss is inf where the target is
    forbidden, and nan where a row has +inf or forbids all answers.

    ValueError where shapes or dtypes don't fit and, on NumPy alone, for a target outside 0..V-1 or such weights.
    """
    shapes = "logits (..., V), targets (...) integers, weights (...) numbers"
    xp, V = check_arrays("cross_entropy", shapes, logits, targets, weights), logits.shape[-1]
    check_indices("cross_entropy", "targets", targets, V)
    w = _normalized("cross_entropy", weights, logits)
    z = _counting(logits, w)
    z = z - xp.max(z, axis=-1, keepdims=True)  # so that exp can't overflow; the loss doesn't change
    if fast_path := fast.path("cross_entropy", z):
        loss, back = fast_path(z, targets, w)
        return loss, lambda dloss=1.0: back(cotangent("cross_entropy", dloss, loss, "dloss"))
    hot = one_hot(xp, targets, V, logits.dtype)
    e = xp.exp(z)
    total = xp.sum(e, axis=-1, keepdims=True)
    right = xp.sum(xp.where(hot > 0, z, 0.0), axis=-1, keepdims=True)  # not hot * z: 0 * -inf is nan
    loss = xp.sum(w * (xp.log(total) - right))

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
    w = _normalized("squared_error", weights, y)
    error = _counting(y, w) - xp.astype(_counting(targets, w), y.dtype)
    loss = xp.sum(w * error * error)
    return loss, lambda dloss=1.0: cotangent("squared_error", dloss, loss, "dloss") * (2 * w * error)


def _counting(a: Array, w: Array) -> Array:
    """a where its weight is above 0, else 0."""
    xp = namespace(a, w)
    return a if is_numpy(xp) and (w > 0).all() else xp.where(w > 0, a, 0.0)


def _normalized(who: str, weights: Array, outputs: Array) -> Array:
    """w / sum w, (..., 1), in the precision of the outputs. The largest weight is divided out before the sum.

    ValueError, on NumPy alone, unless the weights are finite, 0 or more, and one is more.
    """
    xp = namespace(weights, outputs)
    if is_numpy(xp) and not (weights.size and weights.min() >= 0 and 0 < weights.max() < math.inf):
        raise ValueError(
            f"{who}: weights below 0, not finite or all 0; expected a weight above 0 where an answer counts"
        )
    w = xp.astype(weights, xp.float64)
    w = xp.where(w > 0, w, 0.0)
    w = w / xp.max(w)
    return xp.astype(w / xp.sum(w), outputs.dtype)[..., None]
