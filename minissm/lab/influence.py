"""Which token an answer depends on: the share of |d answer / d input| that falls on the token with the answer."""

from typing import Any

import numpy as np

from ..backend import like, one_hot, to
from ..model import Model
from ..tasks import Batch
from ..train import inputs_of

NUMBERS = 2_000_000  # in the one-hot inputs of a piece


def influence(
    net: Model, params: dict, task: Any, rng: np.random.Generator, n: int = 1000, mode: str = "auto"
) -> dict[str, float | None]:
    """Over n sequences, with one answer of each, drawn by rng -> {"influence", "influence_top"}.

    influence: the mean of a_s / sum_t a_t, where s is the position `task.source` and a_t = |d answer / d input_t|,
        summed over the numbers of the input.
    influence_top: the fraction of sequences in which a_s is the largest.
    Both are None where the task has no source.

    The answer is the logit of the target for tokens, and the sum of the outputs for real answers. Tokens enter as
    one-hot vectors, because the scale and the rotation of the embedding have no meaning. One-hot vectors sum to 1, so
    the part of the gradient that all tokens of the vocabulary share is taken off: no exchange of tokens follows it.
    """
    piece = max(1, min(250, NUMBERS // (task.length * (net.vocab or 1))))
    shares, tops = [], []
    for i, start in enumerate(range(0, n, piece)):
        batch = Batch(*(a[: n - start] for a in task.batch(rng, piece, i)))
        source = task.source(batch)
        if source is None:
            return {"influence": None, "influence_top": None}
        where = np.zeros(source.shape, bool)
        counts = (batch.weights > 0) & (source >= 0)
        chosen = np.where(counts, rng.random(source.shape), -1).argmax(axis=1)
        rows = np.flatnonzero(counts.any(axis=1))
        where[rows, chosen[rows]] = True
        size, s = sensitivity(net, params, batch, where, mode)[rows], source[rows, chosen[rows]]
        total = size.sum(axis=1)
        shares.append(size[np.arange(rows.size), s] / np.where(total == 0, 1, total))
        tops.append((size.argmax(axis=1) == s) & (total > 0))
    return {"influence": float(np.concatenate(shares).mean()), "influence_top": float(np.concatenate(tops).mean())}


def sensitivity(net: Model, params: dict, batch: Batch, where: np.ndarray, mode: str = "auto") -> np.ndarray:
    """|d answer / d input| for each token (B, L), summed over its numbers. where: the mask (B, L) of the answers."""
    x = inputs_of(batch, params)
    tokens = batch.inputs.dtype.kind in "iu"
    if tokens:
        x = like(one_hot(np, batch.inputs, net.vocab or 0, np.dtype(net.dtype)), x)
    y, backward = net(params, x, mode, where)
    to_tokens = batch.targets.ndim == 2
    dy = one_hot(np, batch.targets[where], y.shape[1], np.dtype(net.dtype)) if to_tokens else np.ones(y.shape)
    _, dx = backward(like(dy, y))
    dx = to(dx, "numpy").astype(np.float64)
    return np.abs(dx - dx.mean(axis=2, keepdims=True) if tokens else dx).sum(axis=2)
