"""What a task is: a shape, a batch drawn from a generator, and what guessing reaches."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Batch(NamedTuple):
    """tokens, targets (B, L) integers; weights (B, L): 1 where the target counts, else 0; lengths (B,)."""

    tokens: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    lengths: np.ndarray


@dataclass(frozen=True)
class Task:
    """vocab: number of tokens.  length: of its longest sequence.  floor: the token accuracy that guessing reaches."""

    name: str
    vocab: int
    length: int
    floor: float
    draw: Callable[[np.random.Generator, int], Batch]

    def batch(self, rng: np.random.Generator, n: int) -> Batch:
        """n fresh sequences; the same generator state gives the same bits."""
        return self.draw(rng, n)
