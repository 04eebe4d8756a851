"""Which token an answer depends on: how much the answer changes with each token."""

from typing import Any

import numpy as np

from ..backend import like, to
from ..evaluate import inputs_of
from ..model import Model
from ..tasks import Batch

PIECE = 250  # sequences at a time


def influence(
    net: Model, params: dict, task: Any, rng: np.random.Generator, n: int = 1000, mode: str = "auto"
) -> dict[str, float | None]:
    """The influence of the right token on an answer -> {"influence", "influence_top"}, over n sequences.

    rng draws the sequences, and one answer of each. a_t is how much this answer changes with token t (see `changes`).
    s is the position of the token that the answer depends on (`task.source`).

    influence: the mean of a_s / sum_t a_t.
    influence_top: the fraction of sequences in which a_s is the largest.
    Both are None if the task has no source.
    """
    shares, tops = [], []
    for i, start in enumerate(range(0, n, PIECE)):
        batch = Batch(*(a[: n - start] for a in task.batch(rng, PIECE, i)))
        source = task.source(batch)
        if source is None:
            return {"influence": None, "influence_top": None}
        where = np.zeros(source.shape, bool)
        counts = (batch.weights > 0) & (source >= 0)
        chosen = np.where(counts, rng.random(source.shape), -1).argmax(axis=1)
        rows = np.flatnonzero(counts.any(axis=1))
        where[rows, chosen[rows]] = True
        s = source[rows, chosen[rows]]
        size = changes(net, params, batch, where, np.unique(batch.inputs[rows, s]), rng, mode)
        total = size.sum(axis=1)
        shares.append(size[np.arange(rows.size), s] / np.where(total == 0, 1, total))
        tops.append((size.argmax(axis=1) == s) & (total > 0))
    return {"influence": float(np.concatenate(shares).mean()), "influence_top": float(np.concatenate(tops).mean())}


def changes(
    net: Model, params: dict, batch: Batch, where: np.ndarray, kind: np.ndarray, rng: np.random.Generator, mode: str
) -> np.ndarray:
    """How much each answer changes with each token: (R, L) for the R answers in the mask `where` (B, L).

    Real inputs: |d answer / d input_t|, summed over the numbers of the input. The answer is the sum of the outputs.
    Tokens: sum_v |change of the probability of v| when token t is replaced by another token of `kind`, drawn by rng. A
        gradient describes small changes only, but another token is a large change.

    kind: the tokens that can be the source of an answer. In recall, these are the values. Other tokens are never
        replaced: in recall, the keys say where to look.
    """
    x = inputs_of(batch, params)
    if batch.inputs.dtype.kind not in "iu":
        y, backward = net(params, x, mode, where)
        _, dx = backward(like(np.ones(y.shape), y))
        return np.abs(to(dx, "numpy").astype(np.float64)).sum(axis=2)[where.any(axis=1)]

    def probabilities(inputs: np.ndarray) -> np.ndarray:
        y = to(net(params, like(inputs, x), mode, where)[0], "numpy").astype(np.float64)
        e = np.exp(y - y.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    before, size = probabilities(batch.inputs), np.zeros((int(where.sum()), batch.inputs.shape[1]))
    for t, tokens in enumerate(batch.inputs.T):
        mine = np.isin(tokens, kind)
        if mine.any() and kind.size > 1:
            replaced = batch.inputs.copy()
            other = np.searchsorted(kind, tokens[mine]) + rng.integers(1, kind.size, int(mine.sum()))
            replaced[mine, t] = kind[other % kind.size]
            size[:, t] = np.abs(probabilities(replaced) - before).sum(axis=1)
    return size
