"""Tasks of order: copying, and copying the symbols among blanks (selective copying)."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..checks import check_draw, flag, integer
from .counting import most_frequent
from .task import Batch, Names, TokenTask, check_sizes, letters

BOS, COPY, PAD = 0, 1, 2  # tokens of copying; the symbols come after them
BLANK, ASK = 0, 1  # tokens of selective copying; the symbols come after them


@dataclass(frozen=True)
class Copying(TokenTask):
    """<BOS> x_1 .. x_n <COPY>, then the answers x_1 .. x_n: repeat the symbols. Only the answers count.

    min_len, max_len: bounds of n (default 4, 12). n is uniform and differs within a batch. With one fixed n, a pure
        delay would solve the task.
    symbols: number of different symbols (default 8). Each x_i is uniform.
    blank: the tokens after <COPY>. False (default): the model sees each right answer before it gives the next one.
        True: it sees blanks. Then a linear model can't subtract the earlier answers.

    After Jelassi et al. 2024, arXiv 2402.01032, at a laptop's scale.
    """

    min_len: int = 4
    max_len: int = 12
    symbols: int = 8
    blank: bool = False

    def __post_init__(self) -> None:
        for name in ("min_len", "max_len", "symbols"):
            integer(self, "copying", name, minimum=1)
        flag(self, "copying", "blank")
        if self.max_len < self.min_len:
            lengths = f"min_len={self.min_len}, max_len={self.max_len}"
            raise ValueError(f"copying: {lengths}; expected min_len <= max_len")
        check_sizes("copying", self)

    @property
    def vocab(self) -> int:
        return 3 + self.symbols

    @property
    def legend(self) -> dict[str, Names]:
        return {"marker": ("<BOS>", "<COPY>"), "blank": ("_",), "symbol": letters(self.symbols)}

    @property
    def length(self) -> int:
        return 2 * self.max_len + 1

    @cached_property
    def baseline(self) -> float:
        """Without the order of the symbols, the best answer is the most frequent of the remaining symbols.

        With r symbols left, it is the next one with probability E[its count] / r. With blanks, r is always n. Above 160
        symbols, only some r are computed and the others interpolated, with an error of about 1e-7.
        """
        r = np.arange(1, self.max_len + 1)
        few = np.geomspace(1, r[-1], 160).round().astype(int)
        some = r if r.size <= 160 else np.union1d(r[:64], few)
        scaled = [(most_frequent(int(i), self.symbols) / i - 1 / self.symbols) * i**0.5 for i in some]
        right = np.interp(np.log(r), np.log(some), scaled) / np.sqrt(r) + 1 / self.symbols
        right = r * right if self.blank else np.cumsum(right)
        lengths = np.arange(self.min_len, self.max_len + 1)
        return float(right[lengths - 1].sum() / lengths.sum())

    def batch(self, rng: "np.random.Generator", n: int, step: int = 0) -> Batch:
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
        inputs = np.where(again, PAD, sequence) if self.blank else sequence
        return Batch(inputs[:, :-1], sequence[:, 1:], again[:, 1:].astype(np.float64))

    def source(self, batch: Batch) -> np.ndarray:
        """The symbol itself: n tokens before its answer."""
        counts = batch.weights > 0
        size = counts.sum(axis=1, keepdims=True)
        return np.where(counts, np.arange(self.length) - size, -1)


@dataclass(frozen=True)
class SelectiveCopying(TokenTask):
    """Symbols among blanks, then one <ASK> for each symbol: the answers are the symbols in order. Only answers count.

    copied: number of symbols to copy (default 5), at random positions.
    context: number of tokens before the first <ASK> (default 16).
    symbols: number of different symbols (default 8). Each symbol is uniform.

    After Gu and Dao 2023, arXiv 2312.00752, at a laptop's scale. The distance between a symbol and its answer depends
    on the blanks after it, so no fixed delay solves the task (unless context = copied: then there are no blanks).
    """

    copied: int = 5
    context: int = 16
    symbols: int = 8

    def __post_init__(self) -> None:
        for name in ("copied", "context", "symbols"):
            integer(self, "selective_copying", name, minimum=1)
        if self.copied > self.context:
            sizes = f"copied={self.copied}, context={self.context}"
            raise ValueError(f"selective_copying: {sizes}; expected copied <= context")
        check_sizes("selective_copying", self)

    @property
    def vocab(self) -> int:
        return 2 + self.symbols

    @property
    def legend(self) -> dict[str, Names]:
        return {"blank": ("_",), "marker": ("<ASK>",), "symbol": letters(self.symbols)}

    @property
    def length(self) -> int:
        return self.context + self.copied

    @cached_property
    def baseline(self) -> float:
        """Without their order, the best answer is the most frequent of the symbols: E[its count] / copied.

        Trap: a fixed linear filter scores more (.43 by default), because a position roughly tells the order.
        """
        return most_frequent(self.copied, self.symbols) / self.copied

    def batch(self, rng: "np.random.Generator", n: int, step: int = 0) -> Batch:
        """n fresh sequences; the same generator state gives the same bits."""
        n = check_draw("selective_copying", rng, n)
        position = np.sort(rng.random((n, self.context)).argsort(axis=1)[:, : self.copied], axis=1)
        symbols = rng.integers(ASK + 1, ASK + 1 + self.symbols, (n, self.copied))
        inputs, targets = np.full((n, self.length), BLANK), np.zeros((n, self.length), int)
        np.put_along_axis(inputs, position, symbols, axis=1)
        inputs[:, self.context :], targets[:, self.context :] = ASK, symbols
        return Batch(inputs, targets, (inputs == ASK).astype(np.float64))

    def source(self, batch: Batch) -> np.ndarray:
        """The symbol itself: the first for the first <ASK>, and so on."""
        source = np.full(batch.inputs.shape, -1)
        source[batch.inputs == ASK] = np.nonzero(batch.inputs > ASK)[1]
        return source
