"""Limits: what one linear time-invariant layer can't copy, and the memory that copying needs. The proofs are ours."""

import math
from collections.abc import Iterable

import numpy as np

from ..checks import check_integer

SMALLEST = 1e-6  # a margin below is rounding: the solver's tolerance is 1e-7


def lti_margin(lengths: Iterable[int], fed_back: bool = True) -> float:
    """The best margin of ANY linear time-invariant layer that copies all binary words of these lengths. 0: none does.

    The layer may have any width, filter and window, with any map of single tokens before it and a linear readout after
    it. For two symbols, the difference of their logits is sum_j g_j s_{t-j} + const, s = 1 or -1 for a symbol, 0 for a
    marker. All answers are right if, at each question, the g of its own symbol is larger than the sum of |g| over the
    other symbols (a symbol seen twice counts with the sum of its two g). The margin is the smallest excess, maximised
    over |g_j| <= 1 by linear programming. Below a second for lengths up to 12.

    lengths: of the words, as in tasks.Copying: <BOS> x_1 .. x_n <COPY>, then the answers.
    fed_back: True (default): the layer sees its right answers. False: it sees blanks.
    """
    return _best(lengths, fed_back)[0]


def lti_taps(lengths: Iterable[int], fed_back: bool = True) -> np.ndarray:
    """(U + 1,): the g_j of a layer with the best margin, for a `fir`. ValueError if the margin is 0."""
    margin, taps = _best(lengths, fed_back)
    if not margin:
        raise ValueError(f"lti_taps: lengths={list(lengths)}; no linear layer copies all of them, see lti_margin")
    return taps


def memory_bits(items: int, symbols: int) -> float:
    """N log2 V bits: a causal model that repeats any N of V symbols must tell V^N states apart. Of recall, N pairs."""
    return check_integer("memory_bits", "items", items) * math.log2(check_integer("memory_bits", "symbols", symbols))


def _best(lengths: Iterable[int], fed_back: bool) -> tuple[float, np.ndarray]:
    """The best margin and its g. Unknowns: g, t_k >= |sum of the g of lags k| for each k, and the margin."""
    from scipy.optimize import linprog

    given = list(lengths) if isinstance(lengths, Iterable) else lengths
    if not isinstance(given, list) or not given:
        raise ValueError(f"lti_margin: lengths={given!r}; expected a list of lengths, like [6, 7]")
    words = sorted({check_integer("lti_margin", "lengths", n) for n in given})
    questions = [
        (lags(n, r, r, fed_back), [lags(n, r, i, fed_back) for i in range(n) if i != r])
        for n in words
        for r in range(n)
    ]
    G = 2 * words[-1]
    t = {k: G + i for i, k in enumerate(sorted({k for _, others in questions for k in others}))}
    bounds, wins = np.zeros((len(t), 2, G + len(t) + 1)), np.zeros((len(questions), G + len(t) + 1))
    for row, (k, column) in zip(bounds, t.items(), strict=True):
        row[:, list(k)], row[:, column] = [[1], [-1]], -1
    for row, (own, others) in zip(wins, questions, strict=True):
        row[list(own)], row[[t[k] for k in others]], row[-1] = -1, 1, 1
    rows, goal = np.concatenate([bounds.reshape(-1, wins.shape[1]), wins]), np.eye(wins.shape[1])[-1]
    limits = [(-1, 1)] * G + [(0, None)] * len(t) + [(0, 1)]
    best = linprog(-goal, rows, np.zeros(len(rows)), bounds=limits)
    return (-best.fun if -best.fun > SMALLEST else 0.0), best.x[:G]


def lags(n: int, r: int, i: int, fed_back: bool) -> tuple[int, ...]:
    """At question r of a word of n symbols, how long ago x_i was seen; twice if it was fed back."""
    return (n + r - i, r - 1 - i) if fed_back and i < r else (n + r - i,)
