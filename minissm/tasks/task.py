"""What a task is: its options, a batch drawn from a generator, a loss, scores, and a baseline.

A task is a frozen dataclass of its options that derives from `TokenTask` or `RealTask`. It has

    length      tokens of its longest sequence
    vocab       the number of tokens (TokenTask), or
    inputs, outputs     numbers that a token brings, and that an answer has (RealTask)
    baseline    the best main score that can be reached without using what the task tests
    batch(rng, n, step=0) -> Batch      n sequences. A task that draws fresh ones ignores step; a finite data set
                                        returns items step n, step n + 1, ... of a permutation, so that a training can
                                        be resumed
"""

import hashlib
from collections.abc import Callable
from dataclasses import fields
from typing import Any, ClassVar, NamedTuple

import numpy as np

from .. import calls, losses
from ..backend import to


class Batch(NamedTuple):
    """inputs (B, L) tokens or (B, L, inputs) real; targets (B, L) tokens or (B, L, outputs) real; weights (B, L).

    An answer counts where its weight is above 0. The target of a whole sequence is a weight of 1 at its last token.
    """

    inputs: np.ndarray
    targets: np.ndarray
    weights: np.ndarray


class Task:
    """What tasks share.

    loss: y, targets, weights -> loss, backward.
    main: the score that is compared, and which is better, "higher" or "lower".
    score_names: all scores, `loss` among them.
    tally(y, batch): sums of one batch, by name, to be added over batches. y (R, outputs) has the outputs of the R
        answers with a weight above 0, in their order.
    scores(sums): the scores by name.
    """

    loss: ClassVar[Callable]
    main: ClassVar[tuple[str, str]]
    score_names: ClassVar[tuple[str, ...]]

    @property
    def spec(self) -> str:
        """How it is spelled, only what differs from the defaults: "recall(pairs=8)"."""
        cls: Any = type(self)
        return calls.spell(_names.get(cls, cls.__name__), calls.differing(self))

    @property
    def sizes(self) -> dict[str, int]:
        """What a model of this task has: vocab, or inputs and outputs."""
        return {name: getattr(self, name) for name in ("vocab", "inputs", "outputs") if hasattr(self, name)}

    @property
    def identity(self) -> str:
        """The spec, and a SHA-256 of each array that the task holds: two tasks with one identity draw the same."""
        digests = []
        for f in fields(self):  # type: ignore[arg-type]
            value = getattr(self, f.name)
            if hasattr(value, "dtype"):
                array = np.ascontiguousarray(to(value, "numpy"))
                text = repr((array.dtype.str, array.shape)).encode() + array.tobytes()
                digests.append(f"{f.name} sha256:{hashlib.sha256(text).hexdigest()}")
            elif not f.compare:
                digests.append(f"{f.name}={value!r}")
        return " ".join([self.spec, *digests])

    def __init_subclass__(cls) -> None:
        cls.__eq__ = Task.__eq__  # type: ignore[method-assign]  # before @dataclass would leave the arrays out

    def __eq__(self, other: object) -> bool:
        """Tasks are equal where their identities are."""
        return type(other) is type(self) and other.identity == self.identity

    __hash__ = None  # type: ignore[assignment]


class TokenTask(Task):
    """Tokens or real vectors in, tokens out: cross-entropy; the fractions of right tokens and of right sequences."""

    loss = staticmethod(losses.cross_entropy)
    main = ("token_accuracy", "higher")
    score_names = ("token_accuracy", "sequence_accuracy", "loss")

    def tally(self, y: np.ndarray, batch: Batch) -> dict:
        counts = batch.weights > 0
        loss, _ = losses.cross_entropy(y, batch.targets[counts], batch.weights[counts])
        right = np.ones(counts.shape, bool)
        right[counts] = y.argmax(axis=-1) == batch.targets[counts]
        weight = float(batch.weights[counts].sum())
        return {
            "right_tokens": float(right[counts].sum()),
            "tokens": float(counts.sum()),
            "right_sequences": float(right.all(axis=1).sum()),
            "sequences": float(len(counts)),
            "weight": weight,
            "loss": float(loss) * weight,
        }

    def scores(self, sums: dict) -> dict:
        """token_accuracy, sequence_accuracy, and loss in nats a token."""
        return {
            "token_accuracy": sums["right_tokens"] / sums["tokens"],
            "sequence_accuracy": sums["right_sequences"] / sums["sequences"],
            "loss": sums["loss"] / sums["weight"],
        }


class RealTask(Task):
    """Real vectors in and out: squared error, and the share of the variance of the targets that is explained."""

    loss = staticmethod(losses.squared_error)
    main = ("mean_squared_error", "lower")
    score_names = ("mean_squared_error", "share_of_variance", "loss")

    def tally(self, y: np.ndarray, batch: Batch) -> dict:
        counts = batch.weights > 0
        losses.squared_error(y, batch.targets[counts], batch.weights[counts])  # refuses what would broadcast
        w, t = batch.weights[counts].astype(np.float64)[:, None], batch.targets[counts].astype(np.float64)
        return {
            "weight": w.sum(),
            "error": (w * (y - t) ** 2).sum(),
            "targets": (w * t).sum(axis=0),
            "squares": (w * t * t).sum(),
        }

    def scores(self, sums: dict) -> dict:
        """mean_squared_error (summed over the outputs), share_of_variance = 1 - SSE / SST, and loss, the first again.

        SST is taken about the weighted mean of what is evaluated.
        """
        error = float(sums["error"] / sums["weight"])
        variance = float(sums["squares"] - (sums["targets"] ** 2).sum() / sums["weight"]) / float(sums["weight"])
        share = 1 - error / variance if variance > 0 else float("nan")
        return {"mean_squared_error": error, "share_of_variance": share, "loss": error}


_names: dict[type, str] = {}  # class -> the name that TASKS has for it


def check_batch(who: str, batch: Batch) -> None:
    """ValueError unless the three arrays belong together and some answer counts."""
    inputs, targets, weights = (a.shape for a in batch)
    if {len(inputs), len(targets)} - {2, 3} or not inputs[:2] == targets[:2] == weights:
        shapes = f"inputs {inputs}, targets {targets}, weights {weights}"
        expected = "inputs and targets (B, L) or (B, L, numbers), weights (B, L)"
        raise ValueError(f"{who}: a batch with {shapes}; expected {expected}")
    if not (batch.weights >= 0).all():
        raise ValueError(f"{who}: a batch with a weight below 0 or nan; expected 0 where an answer does not count")
    if not (batch.weights > 0).any():
        raise ValueError(f"{who}: no answer of the batch counts; expected a weight above 0 somewhere, change the task")
