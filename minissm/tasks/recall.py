"""Tasks of keys and values: recall, and recall from far away (mqar)."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..checks import check_draw, flag, integer, integer_or_range, number
from .counting import most_frequent
from .task import Batch, Names, TokenTask, check_sizes, letters, numbers


@dataclass(frozen=True)
class Recall(TokenTask):
    """k_1 v_1 .. k_m v_m, then keys again: the answer to each is its value. Only the answers count.

    pairs: m (default 4). With (low, high), m is uniform and differs within a batch.
    keys: number of different keys (default None: the largest m + 2). The keys of a sequence differ.
    values: number of different values (default 6). The values of a sequence may repeat.
    queries: number of keys asked, in random order (default None: all). With one query, models hardly learn.

    The map from keys to values is new in each sequence, so only the context helps. Shorter sequences are filled up with
    key 0.
    """

    pairs: int | tuple[int, int] = 4
    keys: int | None = None
    values: int = 6
    queries: int | None = None

    def __post_init__(self) -> None:
        integer_or_range(self, "recall", "pairs")
        integer(self, "recall", "values", minimum=1)
        for name in ("keys", "queries"):
            integer(self, "recall", name, minimum=1, optional=True)
        low, high, keys, queries = self._sizes
        if (self.queries or low) > low or high > keys:
            sizes = f"queries={queries}, pairs={self.pairs}, keys={keys}"
            raise ValueError(f"recall: {sizes}; expected queries <= pairs <= keys")
        check_sizes("recall", self)

    @property
    def _sizes(self) -> tuple[int, int, int, int]:
        """Least and largest number of pairs, keys, largest number of queries."""
        low, high = self.pairs if isinstance(self.pairs, tuple) else (self.pairs, self.pairs)
        return low, high, self.keys or high + 2, self.queries or high

    @property
    def vocab(self) -> int:
        return self._sizes[2] + self.values

    @property
    def legend(self) -> dict[str, Names]:
        return {"key": letters(self._sizes[2]), "value": numbers(self.values)}

    @property
    def length(self) -> int:
        _, high, _, queries = self._sizes
        return 2 * high + queries

    @cached_property
    def baseline(self) -> float:
        """Without the key, the best answer is the most frequent of the m values shown. Its score is E[its count] / m.

        With bounds of m, this is the mean over m, weighted by the number of queries.
        """
        low, high, _, _ = self._sizes
        right = [(most_frequent(m, self.values) / m, self.queries or m) for m in range(low, high + 1)]
        return sum(p * queries for p, queries in right) / sum(queries for _, queries in right)

    def batch(self, rng: "np.random.Generator", n: int, step: int = 0) -> Batch:
        """n fresh sequences; the same generator state gives the same bits."""
        n, (low, high, keys, queries) = check_draw("recall", rng, n), self._sizes
        pairs = rng.integers(low, high + 1, (n, 1)) if low < high else high
        key = rng.random((n, keys)).argsort(axis=1)[:, :high]
        value = keys + rng.integers(0, self.values, (n, high))
        order = np.where(np.arange(high) < pairs, rng.random((n, high)), 2).argsort(axis=1)
        shown = np.zeros((n, self.length), int)
        shown[:, 0 : 2 * high : 2], shown[:, 1 : 2 * high : 2] = key, value
        query = np.arange(self.length) - 2 * pairs + np.zeros((n, 1), int)  # its number, from 0
        counts = (query >= 0) & (query < (self.queries or pairs))
        asked = np.take_along_axis(order, query.clip(0, queries - 1), axis=1)
        question, answer = (np.where(counts, np.take_along_axis(a, asked, axis=1), 0) for a in (key, value))
        return Batch(np.where(query < 0, shown, question), answer, counts.astype(np.float64))

    def source(self, batch: Batch) -> np.ndarray:
        """The value beside the first occurrence of the key."""
        return beside_first(batch, self.vocab)


@dataclass(frozen=True)
class Mqar(TokenTask):
    """k_1 v_1 .. k_m v_m, then each key once more, far from its pair: the answer is its value. The rest is filler.

    pairs: m (default 4). The keys of a sequence differ, and so do its values.
    length: number of tokens (default 32).
    vocab: number of different tokens (default 16): 0 is the filler, the lower half are keys, the upper half values.
    power: a key is asked at one of the positions 2 m + 2 (i - 1). The probability falls like i^(power - 1) (default
        .01; with 1, all positions are equally likely).
    random_fill: the tokens between the queries: the filler (False, the default) or random tokens (True). The keys of
        the sequence are not among the random tokens, because they would look like queries.

    Multi-query associative recall, Arora et al. 2023, arXiv 2312.04927. The queries come in random order. In the
    authors' code, earlier pairs tend to be asked earlier. There, the order alone gives information.
    """

    pairs: int = 4
    length: int = 32
    vocab: int = 16
    power: float = 0.01
    random_fill: bool = False

    def __post_init__(self) -> None:
        for name in ("pairs", "length", "vocab"):
            integer(self, "mqar", name, minimum=1)
        number(self, "mqar", "power", "a number from 0 to 10", lambda v: 0 <= v <= 10)
        flag(self, "mqar", "random_fill")
        if self.length < 4 * self.pairs:
            raise ValueError(f"mqar: length={self.length}, pairs={self.pairs}; expected a length of 4 x pairs or more")
        if self.vocab < 2 * self.pairs + 2:
            raise ValueError(f"mqar: vocab={self.vocab}, pairs={self.pairs}; expected a vocab of 2 x pairs + 2 or more")
        check_sizes("mqar", self)

    @property
    def legend(self) -> dict[str, Names]:
        values = self.vocab // 2
        return {"blank": ("_",), "key": letters(values - 1), "value": numbers(self.vocab - values)}

    @property
    def baseline(self) -> float:
        """Without the key, each of the m values shown is as likely as the others."""
        return 1 / self.pairs

    def batch(self, rng: "np.random.Generator", n: int, step: int = 0) -> Batch:
        """n fresh sequences; the same generator state gives the same bits."""
        n, m, values = check_draw("mqar", rng, n), self.pairs, self.vocab // 2
        key = 1 + rng.random((n, values - 1)).argsort(axis=1)[:, :m]
        value = values + rng.random((n, self.vocab - values)).argsort(axis=1)[:, :m]
        p = np.arange(1, (self.length - 2 * m) // 2 + 1) ** (self.power - 1)
        gap = (rng.exponential(size=(n, p.size)) / p).argsort(axis=1)[:, :m]  # of clocks with rates p, the first m
        place = 2 * m + 2 * rng.permuted(gap, axis=1)
        inputs, targets = np.zeros((2, n, self.length), int)
        if self.random_fill:
            inputs[:] = rng.integers(0, self.vocab - m, inputs.shape)
            for k in np.sort(key, axis=1).T[..., None]:
                inputs += inputs >= k
        inputs[:, 0 : 2 * m : 2], inputs[:, 1 : 2 * m : 2] = key, value
        np.put_along_axis(inputs, place, key, axis=1)
        np.put_along_axis(targets, place, value, axis=1)
        return Batch(inputs, targets, (targets > 0).astype(np.float64))

    def source(self, batch: Batch) -> np.ndarray:
        """The value beside the first occurrence of the key."""
        return beside_first(batch, self.vocab)


def beside_first(batch: Batch, vocab: int) -> np.ndarray:
    """The position after the first occurrence of each token that asks, and -1 at the other tokens."""
    B, L = batch.inputs.shape
    first = np.full((B, vocab), L)
    np.minimum.at(first, (np.arange(B)[:, None], batch.inputs), np.arange(L))
    return np.where(batch.weights > 0, np.take_along_axis(first, batch.inputs, axis=1) + 1, -1)
