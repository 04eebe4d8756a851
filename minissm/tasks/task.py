"""The protocol of a task: options, batches, a loss, scores, and a baseline.

A task is a frozen dataclass of its options that derives from `TokenTask` or `RealTask`. It has

    length              tokens of its longest sequence
    vocab               number of different tokens (TokenTask), or
    inputs, outputs     numbers in an input vector and in an answer (RealTask)
    baseline            the best main score that can be reached without using what the task tests
    batch(rng, n, step=0) -> Batch      n sequences. A task that draws fresh sequences ignores step. A finite data set
                                        returns items step n, step n + 1, ... of a permutation, so that a training can
                                        be resumed

and may have

    seed                a task with a field of this name is drawn anew for each seed of a comparison
    recipe, tested_on, sequences, held_out, fresh, source      see `Task`
    legend              names and kinds of its tokens; see `TokenTask`
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, ClassVar, NamedTuple

import numpy as np

from .. import calls, losses
from ..backend import namespace, to

LARGEST = 2_000_000  # each size of a task of ours, at most: names, baselines and batches take that long


class Batch(NamedTuple):
    """inputs (B, L) tokens or (B, L, inputs) real; targets (B, L) tokens or (B, L, outputs) real; weights (B, L).

    An answer counts if its weight is above 0. For one answer per sequence, only its last token has a weight of 1.
    """

    inputs: np.ndarray
    targets: np.ndarray
    weights: np.ndarray


Names = tuple[str, ...]


def letters(count: int) -> Names:
    """a, b, ...; for more than 26: s0, s1, ..."""
    return tuple("abcdefghijklmnopqrstuvwxyz"[:count]) if count <= 26 else tuple(f"s{i}" for i in range(count))


def numbers(count: int) -> Names:
    """0, 1, ..."""
    return tuple(map(str, range(count)))


class Task:
    """The base class of tasks.

    loss: y, targets, weights -> loss, backward.
    main: the name of the main score, and the better direction, "higher" or "lower".
    score_names: the names of all scores, including `loss`.
    tally(y, batch): sums over one batch, by name; the caller adds them over batches. y (R, outputs) holds the outputs
        for the R answers with a weight above 0, in order.
    scores(sums): the scores by name.
    recipe: settings of a comparison that suit the task better than the defaults, by the names of lab.config.Config.
    tested_on: number of sequences in the test at the end of a run.
    sequences: number of sequences of a finite data set. None if every batch is fresh.
    held_out: a task with the held-out sequences of a finite data set. None if every batch is fresh.
    fresh: a task with the sequences that test a trained model. Default: this task.
    source(batch): (B, L), the position of the token that each answer depends on, and -1 where no answer counts. None if
        the task doesn't know it.
    """

    loss: ClassVar[Callable]
    main: ClassVar[tuple[str, str]]
    score_names: ClassVar[tuple[str, ...]]
    recipe: ClassVar[Mapping[str, Any]] = {}
    tested_on: ClassVar[int] = 2000

    @property
    def sequences(self) -> int | None:
        return None

    @property
    def held_out(self) -> "Task | None":
        return None

    @property
    def fresh(self) -> "Task":
        return self

    def source(self, batch: Batch) -> np.ndarray | None:
        return None

    @property
    def spec(self) -> str:
        """The task in call syntax, with the options that differ from their defaults: "recall(pairs=8)"."""
        cls: Any = type(self)
        return calls.spell(_names.get(cls, cls.__name__), calls.differing(self))

    @property
    def sizes(self) -> dict[str, int]:
        """The sizes that a model of this task needs: vocab, or inputs and outputs."""
        return {name: getattr(self, name) for name in ("vocab", "inputs", "outputs") if hasattr(self, name)}

    @property
    def identity(self) -> str:
        """The spec, and a SHA-256 of each array of the task. Tasks with the same identity draw the same batches."""
        import hashlib  # slow to import

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
    """Tokens or real vectors in, tokens out. Cross-entropy; the fractions of correct tokens and sequences.

    legend: kind of token ("key", "value", "symbol", "marker", "blank", ...) -> the names of the tokens of this kind, in
        the order of the tokens.
    names, kinds: the name and the kind of each token, from the legend.
    """

    loss = staticmethod(losses.cross_entropy)
    main = ("token_accuracy", "higher")
    score_names = ("token_accuracy", "sequence_accuracy", "loss")

    @property
    def legend(self) -> dict[str, Names]:
        return {"token": numbers(self.sizes["vocab"])}

    @property
    def names(self) -> Names:
        return tuple(name for names in self.legend.values() for name in names)

    @property
    def kinds(self) -> Names:
        return tuple(kind for kind, names in self.legend.items() for _ in names)

    def tally(self, y: np.ndarray, batch: Batch) -> dict:
        counts = batch.weights > 0
        asked = counts.any(axis=1)  # a sequence without a question is neither right nor wrong
        loss, _ = losses.cross_entropy(y, batch.targets[counts], batch.weights[counts])
        right = np.ones(counts.shape, bool)
        right[counts] = (y.argmax(axis=-1) == batch.targets[counts]) & np.isfinite(y.max(axis=-1))  # argmax takes nan
        weight = float(batch.weights[counts].sum())
        return {
            "right_tokens": float(right[counts].sum()),
            "tokens": float(counts.sum()),
            "right_sequences": float(right[asked].all(axis=1).sum()),
            "sequences": float(asked.sum()),
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


def check_sizes(who: str, task: Any) -> None:
    """ValueError for a sequence, a vocabulary or a vector that is too large."""
    names = {"length": "a length", "vocab": "a vocab", "inputs": "vectors", "outputs": "answers"}
    for name, size in {"length": task.length, **task.sizes}.items():
        if size > LARGEST:
            raise ValueError(f"{who}: {names[name]} of {size:,}; expected {LARGEST:,} at most")


class Spread(NamedTuple):
    """Targets with weights: their mean (outputs,), and the weighted sum of their squared distances from it.

    `+` merges two (Chan et al. 1979). A sum of squares about 0 would lose the variance of targets far from 0.
    """

    weight: float
    mean: np.ndarray
    squares: float

    def __add__(self, other: Any) -> "Spread":
        weight, gap = self.weight + other.weight, other.mean - self.mean
        between = self.weight * other.weight / weight * (gap * gap).sum()
        return Spread(weight, self.mean + other.weight / weight * gap, self.squares + other.squares + between)

    def __radd__(self, other: int) -> "Spread":
        """0 + self, where a sum begins."""
        return self


class RealTask(Task):
    """Real vectors in and out. Squared error; the explained fraction of the variance of the targets."""

    loss = staticmethod(losses.squared_error)
    main = ("mean_squared_error", "lower")
    score_names = ("mean_squared_error", "share_of_variance", "loss")

    def tally(self, y: np.ndarray, batch: Batch) -> dict:
        counts = batch.weights > 0
        losses.squared_error(y, batch.targets[counts], batch.weights[counts])  # refuses what would broadcast
        w, t = batch.weights[counts].astype(np.float64)[:, None], batch.targets[counts].astype(np.float64)
        mean = (w * t).sum(axis=0) / w.sum()
        spread = Spread(w.sum(), mean, (w * (t - mean) ** 2).sum())
        return {"error": (w * (y - t) ** 2).sum(), "targets": spread}

    def scores(self, sums: dict) -> dict:
        """mean_squared_error (summed over the outputs), share_of_variance = 1 - SSE / SST, and loss, as the first.

        SST is taken about the weighted mean of the evaluated targets.
        """
        error, variance = (float(s / sums["targets"].weight) for s in (sums["error"], sums["targets"].squares))
        share = 1 - error / variance if variance > 0 else float("nan")
        return {"mean_squared_error": error, "share_of_variance": share, "loss": error}


_names: dict[type, str] = {}  # class -> its name in TASKS


def check_batch(who: str, batch: Batch) -> None:
    """ValueError unless the shapes of the three arrays agree and some answer counts."""
    if not isinstance(batch, Batch):
        raise TypeError(f"{who}: a batch of type {type(batch).__name__}; expected Batch(inputs, targets, weights)")
    namespace(*batch)
    inputs, targets, weights = (a.shape for a in batch)
    if {len(inputs), len(targets)} - {2, 3} or not inputs[:2] == targets[:2] == weights:
        shapes = f"inputs {inputs}, targets {targets}, weights {weights}"
        expected = "inputs and targets (B, L) or (B, L, numbers), weights (B, L)"
        raise ValueError(f"{who}: a batch with {shapes}; expected {expected}")
    if not (batch.weights >= 0).all():
        raise ValueError(f"{who}: a batch with a weight below 0 or nan; expected 0 where an answer does not count")
    if not (batch.weights > 0).any():
        raise ValueError(
            f"{who}: no answer of the batch counts; expected a weight above 0, change the task or take more sequences"
        )
