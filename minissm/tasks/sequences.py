"""The synthetic tasks: copying and recall. In both, the input decides which earlier token an answer depends on."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..checks import check_draw, integer, integer_or_range
from .task import Batch, TokenTask

BOS, COPY, PAD = 0, 1, 2  # tokens of copying; the symbols come after them


@dataclass(frozen=True)
class Copying(TokenTask):
    """<BOS> x_1 .. x_n <COPY> x_1 .. x_n: repeat the symbols. Only the copied part counts.

    min_len, max_len: bounds of n (default 4, 12). n is uniform and differs within a batch; for one fixed n, a pure
        delay would solve the task.
    symbols: number of different symbols (default 8); each x_i is uniform.

    After Jelassi et al. 2024, arXiv 2402.01032, at a laptop's scale. Baseline: without the order of the symbols, the
    best answer is the most frequent of those that are still to come.
    """

    min_len: int = 4
    max_len: int = 12
    symbols: int = 8

    def __post_init__(self) -> None:
        for name in ("min_len", "max_len", "symbols"):
            integer(self, "copying", name, minimum=1)
        if self.max_len < self.min_len:
            lengths = f"min_len={self.min_len}, max_len={self.max_len}"
            raise ValueError(f"copying: {lengths}; expected min_len <= max_len")

    @property
    def vocab(self) -> int:
        return 3 + self.symbols

    @property
    def length(self) -> int:
        return 2 * self.max_len + 1

    @cached_property
    def baseline(self) -> float:
        """With r symbols still to come, the most frequent one is the next with probability E[its count] / r.

        To 1e-7 above 160 symbols, where only some r are counted: the rest lie on a smooth curve.
        """
        r = np.arange(1, self.max_len + 1)
        few = np.geomspace(1, r[-1], 160).round().astype(int)
        some = r if r.size <= 160 else np.union1d(r[:64], few)
        scaled = [(most_frequent(int(i), self.symbols) / i - 1 / self.symbols) * math.sqrt(i) for i in some]
        right = np.cumsum(np.interp(np.log(r), np.log(some), scaled) / np.sqrt(r) + 1 / self.symbols)
        lengths = np.arange(self.min_len, self.max_len + 1)
        return float(right[lengths - 1].sum() / lengths.sum())

    def batch(self, rng: np.random.Generator, n: int, step: int = 0) -> Batch:
        """n fresh sequences; the same generator state gives the same bits."""
        n = check_draw("copying", rng, n)
        size = rng.integers(self.min_len, self.max_len + 1, (n, 1))
        symbols = rng.integers(PAD + 1, PAD + 1 + self.symbols, (n, self.max_len))
        t = np.arange(2 * self.max_len + 2)[None]
        first = (t >= 1) & (t <= size)
        again = (t >= size + 2) & (t <= 2 * size + 1)
        position = np.where(again, t - size - 2, np.minimum(t - 1, self.max_len - 1)).clip(0)
        sequence = np.where(first | again, np.take_along_axis(symbols, position, axis=1), PAD)
        sequence[:, 0] = BOS
        sequence[t == size + 1] = COPY
        return Batch(sequence[:, :-1], sequence[:, 1:], again[:, 1:].astype(np.float64))

    def source(self, batch: Batch) -> np.ndarray:
        """The symbol itself: n tokens before its answer."""
        counts = batch.weights > 0
        size = counts.sum(axis=1, keepdims=True)
        return np.where(counts, np.arange(self.length) - size, -1)


@dataclass(frozen=True)
class Recall(TokenTask):
    """k_1 v_1 .. k_m v_m, then keys again: the answer to each is its value. Only the answers count.

    pairs: m (default 4). (low, high): m is uniform and differs within a batch.
    keys: number of different keys (default None: the largest m + 2). The keys of a sequence differ.
    values: number of different values (default 6). The values of a sequence may repeat.
    queries: number of keys that are asked, in random order (default None: all). With one query, models hardly learn.

    The map from keys to values is new in each sequence, so only the context helps. A shorter sequence is filled up with
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

    @property
    def _sizes(self) -> tuple[int, int, int, int]:
        """Least and largest number of pairs, keys, largest number of queries."""
        low, high = self.pairs if isinstance(self.pairs, tuple) else (self.pairs, self.pairs)
        return low, high, self.keys or high + 2, self.queries or high

    @property
    def vocab(self) -> int:
        return self._sizes[2] + self.values

    @property
    def length(self) -> int:
        _, high, _, queries = self._sizes
        return 2 * high + queries

    @cached_property
    def baseline(self) -> float:
        """Without the key, the best answer is the most frequent of the m values shown, right in E[its count] / m.

        For m between bounds: the mean, weighted by the number of queries.
        """
        low, high, _, _ = self._sizes
        right = [(most_frequent(m, self.values) / m, self.queries or m) for m in range(low, high + 1)]
        return sum(p * queries for p, queries in right) / sum(queries for _, queries in right)

    def batch(self, rng: np.random.Generator, n: int, step: int = 0) -> Batch:
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
        return np.where(batch.weights > 0, first_place(batch.inputs, self.vocab) + 1, -1)


def first_place(tokens: np.ndarray, vocab: int) -> np.ndarray:
    """At each token: the position where it occurs first in its sequence. tokens (B, L) -> (B, L)."""
    B, L = tokens.shape
    first = np.full((B, vocab), L)
    np.minimum.at(first, (np.arange(B)[:, None], tokens), np.arange(L))
    return np.take_along_axis(first, tokens, axis=1)


def most_frequent(draws: int, kinds: int) -> float:
    """The expected count of the most frequent of `kinds` equally likely kinds in `draws` draws.

    It is the sum over k of P(max > k). The counts have the distribution of independent Poisson counts, conditioned on
    the sum `draws`. So P(max <= k) is the probability that all are <= k and have this sum, divided by the probability
    of the sum. The former is a coefficient of the generating function of one count, to the power `kinds`: a discrete
    Fourier transform finds it. The coefficients that this adds, N and more from the mean, are below rounding.

    The relative error is about 1e-16 kinds.
    """

    def poisson(count: int, mean: float) -> float:
        return math.exp(count * math.log(mean) - mean - math.lgamma(count + 1))

    def wave(k: int) -> np.ndarray:
        return np.exp(-2j * np.pi / N * (j * (k % N) % N))

    mean, N = draws / kinds, 2 * int(5 * math.sqrt(draws)) + 41
    j = np.arange(N // 2 + 1)  # the other half is its conjugate
    coefficient = wave(-draws) * np.where(j > 0, 2, 1) / (N * poisson(draws, draws))
    k = max(0, int(mean - 10 * math.sqrt(mean)) - 40)  # below it, P(count <= k) is 0 to rounding
    expected, one = float(k), np.zeros(j.size, complex)
    while k <= mean or kinds * poisson(k, mean) > 1e-18:
        one += poisson(k, mean) * wave(k)
        power = np.ones(j.size, complex)
        for bit in f"{kinds:b}":
            power = power * power * (one if bit == "1" else 1)
        expected += 1 - (float((power @ coefficient).real) if k * kinds >= draws else 0)
        k += 1
    return expected
