"""What an answer needs: how much of its lead is lost when a token is exchanged for others of its kind."""

from typing import Any

import numpy as np

from ..model import Model
from . import lead

OTHERS, PIECE = 8, 500  # tokens of its kind that a token is exchanged for, at most; sequences in a call of the model


def costs(net: Model, params: dict, task: Any, tokens: np.ndarray, asked: Any, targets: Any) -> np.ndarray:
    """(A, L): the mean loss of each answer's lead when token t is exchanged; nan behind the question.

    tokens (L,); asked (A,): the positions of the questions; targets (A,): their right answers.

    A token that is alone of its kind is exchanged for none: nan.
    """
    where, variants = exchanged(task, tokens)
    weights = np.stack([lead.weights(task, target, net.outputs or 0) for target in targets])
    found = np.full((len(asked), tokens.size), np.nan)
    if not where.size:
        return found
    leads = _leads(net, params, np.concatenate([tokens[None], variants]), asked, weights)
    for t in np.unique(where):
        found[:, t] = leads[0] - leads[1:][where == t].mean(axis=0)
    found[np.arange(tokens.size) > np.array(asked)[:, None]] = np.nan
    return found


def exchanged(task: Any, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """-> the position that was exchanged (V,), and the sequences (V, L)."""
    kinds, where, variants = np.array(task.kinds), [], []
    for t, token in enumerate(tokens):
        others = np.flatnonzero((kinds == kinds[token]) & (np.arange(kinds.size) != token))
        for other in others[np.linspace(0, others.size - 1, min(OTHERS, others.size)).round().astype(int)]:
            where.append(t)
            variants.append(np.concatenate([tokens[:t], [other], tokens[t + 1 :]]))
    return np.array(where, int), np.array(variants, tokens.dtype).reshape(-1, tokens.size)


def _leads(net: Model, params: dict, sequences: np.ndarray, asked: Any, weights: np.ndarray) -> np.ndarray:
    """(S, A): the lead of each answer in each sequence."""
    pieces = []
    for start in range(0, len(sequences), PIECE):
        y, _ = net(params, sequences[start : start + PIECE])
        pieces.append((y[:, asked] * weights).sum(axis=-1))
    return np.concatenate(pieces)
