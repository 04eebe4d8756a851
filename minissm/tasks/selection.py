"""Selection alone: the vector of the most important token."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..checks import check_draw, integer, number
from .smooth import Regression
from .task import Batch, RealTask, check_sizes


@dataclass(frozen=True)
class Selection(RealTask):
    """Tokens (mu, u); the answer, at the last token, is u of the token with the largest mu. Fresh sequences, no noise.

    length: tokens of a sequence (default 8).
    gap: the largest mu is at least this much above the others (default 0.1). mu is in [0, 1].
    d: numbers in u (default 2), each uniform in [-1, 1].

    What `regression` selects before it applies a function, alone. Baseline: the error of the mean of all u.
    """

    length: int = 8
    gap: float = 0.1
    d: int = 2

    recipe: ClassVar[dict] = Regression.recipe

    def __post_init__(self) -> None:
        for name in ("length", "d"):
            integer(self, "selection", name, minimum=1)
        number(self, "selection", "gap", "a number from 0 to below 1", lambda v: 0 <= v < 1)
        check_sizes("selection", self)

    @property
    def inputs(self) -> int:
        return 1 + self.d

    @property
    def outputs(self) -> int:
        return self.d

    @property
    def baseline(self) -> float:
        """Without mu, the best answer is the mean of the u: (d / 3) (1 - 1 / length)."""
        return self.d / 3 * (1 - 1 / self.length)

    def batch(self, rng: "np.random.Generator", n: int, step: int = 0) -> Batch:
        """n fresh sequences; the same generator state gives the same bits."""
        n = check_draw("selection", rng, n)
        inputs, rows = rng.random((n, self.length, self.inputs)), np.arange(n)
        important = inputs[..., 0].argmax(axis=1)
        inputs[..., 0] *= 1 - self.gap
        inputs[rows, important, 0] += self.gap
        inputs[..., 1:] = 2 * inputs[..., 1:] - 1
        targets, weights = np.zeros((n, self.length, self.d)), np.zeros((n, self.length))
        targets[:, -1], weights[:, -1] = inputs[rows, important, 1:], 1
        return Batch(inputs, targets, weights)

    def source(self, batch: Batch) -> np.ndarray:
        """The position of the largest mu, at the last token."""
        found = np.full(batch.weights.shape, -1)
        found[:, -1] = batch.inputs[..., 0].argmax(axis=1)
        return found
