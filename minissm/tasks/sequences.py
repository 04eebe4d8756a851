"""The synthetic tasks in which the place of the token that matters depends on the input."""

import math
from functools import partial

import numpy as np

from ..checks import check_integer
from .task import Batch, Task

BOS, COPY, PAD = 0, 1, 2  # tokens of copying; its symbols follow


def copying(min_len: int = 4, max_len: int = 12, symbols: int = 8) -> Task:
    """<BOS> x_1 .. x_n <COPY> x_1 .. x_n: say the symbols again. Loss on the copied part.

    n is uniform in min_len..max_len and differs within a batch: at one fixed n a pure delay copies perfectly. Letters
    are uniform, so guessing reaches 1 / symbols. (Jelassi et al. 2024, arXiv 2402.01032, in a laptop's size.)
    """
    min_len, max_len = check_integer("copying", "min_len", min_len), check_integer("copying", "max_len", max_len)
    symbols = check_integer("copying", "symbols", symbols)
    if max_len < min_len:
        raise ValueError(f"copying: min_len={min_len}, max_len={max_len}; expected min_len <= max_len")
    draw = partial(_copying, min_len=min_len, max_len=max_len, symbols=symbols)
    return Task("copying", vocab=3 + symbols, length=2 * max_len + 1, floor=1 / symbols, draw=draw)


def _copying(rng: np.random.Generator, n: int, min_len: int, max_len: int, symbols: int) -> Batch:
    size = rng.integers(min_len, max_len + 1, (n, 1))
    word = rng.integers(PAD + 1, PAD + 1 + symbols, (n, max_len))
    t = np.arange(2 * max_len + 2)[None]
    first = (t >= 1) & (t <= size)
    again = (t >= size + 2) & (t <= 2 * size + 1)
    place = np.where(again, t - size - 2, np.minimum(t - 1, max_len - 1)).clip(0)
    sequence = np.where(first | again, np.take_along_axis(word, place, axis=1), PAD)
    sequence[:, 0] = BOS
    sequence[t == size + 1] = COPY
    weights = again[:, 1:].astype(np.float64)
    return Batch(sequence[:, :-1], sequence[:, 1:], weights, 2 * size[:, 0] + 1)


def associative_recall(pairs: int = 4, keys: int = 6, values: int = 6, queries: int | None = None) -> Task:
    """k_1 v_1 .. k_m v_m, then keys again, each to be answered by its value. Loss on the answers.

    The keys of a sequence differ and their values are drawn anew each time, so nothing but the context helps. With one
    query a sequence hardly anything learns; by default every key is asked once, in random order. Who knows which values
    were shown, but not which belongs to the key, does best to name the most frequent of them: that is the floor.
    """
    sizes = {"pairs": pairs, "keys": keys, "values": values, "queries": pairs if queries is None else queries}
    pairs, keys, values, queries = (check_integer("recall", name, value) for name, value in sizes.items())
    if not queries <= pairs <= keys:
        raise ValueError(f"recall: queries={queries}, pairs={pairs}, keys={keys}; expected queries <= pairs <= keys")
    draw = partial(_recall, pairs=pairs, keys=keys, values=values, queries=queries)
    floor = most_frequent(pairs, values) / pairs
    return Task("recall", vocab=keys + values, length=2 * pairs + queries, floor=floor, draw=draw)


def _recall(rng: np.random.Generator, n: int, pairs: int, keys: int, values: int, queries: int) -> Batch:
    key = rng.random((n, keys)).argsort(axis=1)[:, :pairs]
    value = keys + rng.integers(0, values, (n, pairs))
    asked = rng.random((n, pairs)).argsort(axis=1)[:, :queries]
    shown = np.stack([key, value], axis=2).reshape(n, 2 * pairs)
    tokens = np.concatenate([shown, np.take_along_axis(key, asked, axis=1)], axis=1)
    answers = np.take_along_axis(value, asked, axis=1)
    targets = np.concatenate([np.zeros_like(shown), answers], axis=1)
    weights = np.concatenate([np.zeros(shown.shape), np.ones(answers.shape)], axis=1)
    return Batch(tokens, targets, weights, np.full(n, tokens.shape[1]))


def most_frequent(draws: int, kinds: int) -> float:
    """The expected count of the most frequent of `kinds` equally likely kinds in `draws` draws, exactly.

    Counts of draws are independent Poisson counts, given that their sum is `draws`: P(all <= k) is the chance that
    they are all <= k and have this sum, over the chance of the sum.
    """

    def poisson(count: int, mean: float) -> float:
        return math.exp(count * math.log(mean) - mean - math.lgamma(count + 1))

    def all_at_most(k: int) -> float:
        one, total = np.array([poisson(i, draws / kinds) for i in range(k + 1)]), np.ones(1)
        for _ in range(kinds):
            total = np.convolve(total, one)[: draws + 1]
        return float(total[draws]) / poisson(draws, draws) if total.size > draws else 0.0

    return draws - sum(all_at_most(k) for k in range(1, draws))
