"""The sequences of the page: two that the model answers without a mistake, and one with a mistake."""

from typing import Any, NamedTuple

import numpy as np

from ..model import Model

PIECE = 250  # sequences in a call of the model


class Sequence(NamedTuple):
    """tokens (L,), up to the last question; asked (A,): positions of the questions; targets (A,); said (A,)."""

    tokens: np.ndarray
    asked: np.ndarray
    targets: np.ndarray
    said: np.ndarray

    @property
    def mistakes(self) -> int:
        return int((self.said != self.targets).sum())


class Search(NamedTuple):
    """The result of a search: the sequences to show; how many were searched, how many of them have a mistake."""

    shown: list[Sequence]
    searched: int
    wrong: int
    accuracy: float


def search(net: Model, params: dict, task: Any, rng: np.random.Generator, n: int) -> Search:
    """Draw n sequences -> the first two without a mistake and the first with one, as far as there are any.

    ValueError where no sequence asks anything.
    """
    found = [one for i in range(-(-n // PIECE)) for one in _answered(net, params, task.batch(rng, PIECE, i))]
    if not found:
        raise ValueError(f"watch: no sequence of {task.spec} has a question; choose other options of the task")
    flawless = [one for one in found if not one.mistakes]
    flawed = [one for one in found if one.mistakes]
    shown = [*flawless[:2], *flawed[: max(1, 3 - len(flawless))]] if flawed else flawless[:3]
    answers = sum(one.asked.size for one in found)
    return Search(shown, len(found), len(flawed), 1 - sum(one.mistakes for one in flawed) / answers)


def _answered(net: Model, params: dict, batch: Any) -> list[Sequence]:
    """The sequences of the batch that ask something, with what the model says."""
    counts = batch.weights > 0
    if not counts.any():
        return []
    said = np.zeros(counts.shape, int)
    said[counts] = net(params, batch.inputs, where=counts)[0].argmax(axis=-1)
    sequences = []
    for b in np.flatnonzero(counts.any(axis=1)):
        asked = np.flatnonzero(counts[b])
        tokens = batch.inputs[b, : asked[-1] + 1]
        sequences.append(Sequence(tokens, asked, batch.targets[b, asked], said[b, asked]))
    return sequences
