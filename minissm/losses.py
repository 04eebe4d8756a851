"""Losses: from outputs to one number, and back."""

from typing import Any

from .backend import is_numpy, namespace, one_hot

Array = Any


def cross_entropy(logits: Array, targets: Array, weights: Array) -> tuple:
    """loss = sum_i w_i (log sum_v exp z_iv - z_i,target) / sum_i w_i, over all positions i.

    logits z (B, L, V) real, targets (B, L) integers, weights (B, L) >= 0, not all 0 -> loss (), in nats;
    `dlogits = backward(dloss)`. Targets where the weight is 0 are ignored (but must lie in 0..V-1).
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
