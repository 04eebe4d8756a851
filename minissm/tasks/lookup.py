"""Tasks of repetition: find what followed a token (induction heads) or an n-gram (lookup) at its first occurrence."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..checks import check_draw, integer
from .counting import most_frequent
from .task import Batch, Names, TokenTask, check_sizes, letters

TRIGGER = 0  # of induction heads; the symbols come after it
BOS, LOOK, PAD = 0, 1, 2  # tokens of lookup; the symbols come after them


@dataclass(frozen=True)
class InductionHeads(TokenTask):
    """Random symbols, with <TRIGGER> once among them and once at the end: the answer is what followed the first one.

    length: number of tokens, both triggers included (default 20).
    symbols: number of different symbols (default 8). Each is uniform.

    After Fu et al. 2023 (H3), arXiv 2212.14052, and Gu and Dao 2023, arXiv 2312.00752. Only the answer counts.
    """

    length: int = 20
    symbols: int = 8

    def __post_init__(self) -> None:
        integer(self, "induction_heads", "length", minimum=3)
        integer(self, "induction_heads", "symbols", minimum=1)
        check_sizes("induction_heads", self)

    @property
    def vocab(self) -> int:
        return 1 + self.symbols

    @property
    def legend(self) -> dict[str, Names]:
        return {"marker": ("<TRIGGER>",), "symbol": letters(self.symbols)}

    @cached_property
    def baseline(self) -> float:
        """Without the first trigger, the best answer is the most frequent of the other symbols: E[its count] / number.

        There are length - 2 of them, and each is the answer with the same probability.
        """
        return most_frequent(self.length - 2, self.symbols) / (self.length - 2)

    def batch(self, rng: "np.random.Generator", n: int, step: int = 0) -> Batch:
        """n fresh sequences; the same generator state gives the same bits."""
        n = check_draw("induction_heads", rng, n)
        inputs = rng.integers(TRIGGER + 1, TRIGGER + 1 + self.symbols, (n, self.length))
        first = rng.integers(0, self.length - 2, (n, 1))
        targets, weights = np.zeros_like(inputs), np.zeros(inputs.shape)
        targets[:, -1:], weights[:, -1] = np.take_along_axis(inputs, first + 1, axis=1), 1
        np.put_along_axis(inputs, first, TRIGGER, axis=1)
        inputs[:, -1] = TRIGGER
        return Batch(inputs, targets, weights)

    def source(self, batch: Batch) -> np.ndarray:
        """The symbol after the first trigger."""
        first = (batch.inputs == TRIGGER).argmax(axis=1)
        return np.where(batch.weights > 0, first[:, None] + 1, -1)


@dataclass(frozen=True)
class Lookup(TokenTask):
    """<BOS> x_1 .. x_n, then <LOOK> g several times: the answer is the symbol that followed g among x_1 .. x_n.

    ngram: number of symbols in g (default 2). Each g occurs exactly once among x_1 .. x_n.
    min_len, max_len: bounds of n (default 4, 8). n is uniform and differs within a batch.
    symbols: number of different symbols (default 4). Each x_i is uniform.
    queries: number of n-grams g (default 4). Each is uniform over the n-grams that occur once and have a symbol after
        them. In a sequence without such an n-gram, no answer counts.

    After the suffix lookup of Jelassi et al. 2024, arXiv 2402.01032. Only the answers count.
    """

    ngram: int = 2
    min_len: int = 4
    max_len: int = 8
    symbols: int = 4
    queries: int = 4

    def __post_init__(self) -> None:
        for name in ("ngram", "min_len", "max_len", "symbols", "queries"):
            integer(self, "lookup", name, minimum=1)
        if not self.ngram < self.min_len <= self.max_len:
            sizes = f"ngram={self.ngram}, min_len={self.min_len}, max_len={self.max_len}"
            raise ValueError(f"lookup: {sizes}; expected ngram < min_len <= max_len")
        check_sizes("lookup", self)

    @property
    def vocab(self) -> int:
        return 3 + self.symbols

    @property
    def legend(self) -> dict[str, Names]:
        return {"marker": ("<BOS>", "<LOOK>"), "blank": ("_",), "symbol": letters(self.symbols)}

    @property
    def length(self) -> int:
        return 1 + self.max_len + self.queries * (1 + self.ngram)

    @cached_property
    def baseline(self) -> float:
        """Without g, the best answer is the symbol that follows most of the n-grams that can be g.

        Its score is E[its count / number of such n-grams]. There is no closed form, so this is the mean over 16,384
        sequences from a generator of its own, with a standard error of at most .002. Trap: the last symbol of g alone
        gives a higher score (.84 by default). Only a score near 1 shows that a model uses all of g.
        """
        rng, fractions = np.random.default_rng(0), []
        for _ in range(64):
            size, symbols = self._strings(rng, 256)
            may_ask = self._may_ask(size, symbols)
            after = np.arange(256)[:, None] * self.vocab + symbols[:, self.ngram :]
            found, counts = np.unique(after[may_ask], return_counts=True)
            most, asked = np.zeros(256, int), may_ask.sum(axis=1)
            np.maximum.at(most, found // self.vocab, counts)
            fractions.append(most[asked > 0] / asked[asked > 0])
        fraction = np.concatenate(fractions)
        if not fraction.size:
            raise ValueError(f"lookup: no n-gram of {self.spec} occurs once; give more symbols or a larger ngram")
        return float(fraction.mean())

    def _strings(self, rng: "np.random.Generator", n: int) -> tuple[np.ndarray, np.ndarray]:
        """n, (B, 1), and x_1 .. x_n with blanks after them, (B, max_len)."""
        size = rng.integers(self.min_len, self.max_len + 1, (n, 1))
        symbols = rng.integers(PAD + 1, PAD + 1 + self.symbols, (n, self.max_len))
        return size, np.where(np.arange(self.max_len) < size, symbols, PAD)

    def _may_ask(self, size: np.ndarray, symbols: np.ndarray) -> np.ndarray:
        """(B, max_len - ngram): True where an n-gram begins that occurs once and has a symbol after it."""
        grams = self._grams(symbols)
        return (np.bincount(grams.ravel())[grams] == 1)[:, :-1] & (np.arange(self.ngram, self.max_len) < size)

    def _grams(self, tokens: np.ndarray) -> np.ndarray:
        """(B, T) -> (B, T - ngram + 1): a number, from 0, for each n-gram of each sequence; equal n-grams share it."""
        B, T = tokens.shape
        starts, grams = T - self.ngram + 1, np.arange(B)[:, None]
        for j in range(self.ngram):
            _, grams = np.unique(grams * self.vocab + tokens[:, j : j + starts], return_inverse=True)
            grams = grams.reshape(B, starts)  # some versions of NumPy return it flat
        return grams

    def batch(self, rng: "np.random.Generator", n: int, step: int = 0) -> Batch:
        """n fresh sequences; the same generator state gives the same bits."""
        size, symbols = self._strings(rng, check_draw("lookup", rng, n))
        may_ask = self._may_ask(size, symbols)
        B, starts = may_ask.shape
        first = np.where(may_ask[:, None], rng.random((B, self.queries, starts)), -1).argmax(axis=2)
        inputs, targets = np.full((2, B, self.length), PAD)
        weights = np.zeros(inputs.shape)
        inputs[:, 0], inputs[:, 1 : self.max_len + 1] = BOS, symbols
        look = 1 + size + (1 + self.ngram) * np.arange(self.queries)
        np.put_along_axis(inputs, look, LOOK, axis=1)
        for j in range(self.ngram):
            np.put_along_axis(inputs, look + 1 + j, np.take_along_axis(symbols, first + j, axis=1), axis=1)
        np.put_along_axis(targets, look + self.ngram, np.take_along_axis(symbols, first + self.ngram, axis=1), axis=1)
        np.put_along_axis(weights, look + self.ngram, may_ask.any(axis=1, keepdims=True), axis=1)
        return Batch(inputs, targets, weights)

    def source(self, batch: Batch) -> np.ndarray:
        """The symbol after the n-gram's first occurrence."""
        grams, source = self._grams(batch.inputs), np.full(batch.inputs.shape, -1)
        _, first = np.unique(grams, return_index=True)
        source[:, self.ngram - 1 :] = first[grams] % grams.shape[1] + self.ngram
        return np.where(batch.weights > 0, source, -1)
