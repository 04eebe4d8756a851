"""Limits: what one linear time-invariant layer can't copy, and the memory that copying needs. The proofs are ours."""

import math
from collections.abc import Iterable

import numpy as np

from ..checks import check_integer

LONGEST = 20  # symbols of a word. For longer words, the solver can't tell small margins from 0


def lti_margin(lengths: Iterable[int], fed_back: bool = True) -> float:
    """The best margin of ANY linear time-invariant layer that copies all binary words of these lengths. 0: none does.

    The layer may have any width, filter and window. Any map of single tokens may come before it, and a linear readout
    follows it. For two symbols, the difference of their logits is sum_j g_j s_{t-j} + const. Here s is 1 or -1 for a
    symbol, and 0 for a marker. All answers are right if, at each question, the g of its own symbol is larger than the
    sum of |g| over the other symbols (a symbol seen twice counts with the sum of its two g). The margin is the smallest
    excess. Linear programming maximises it over |g_j| <= 1.

    lengths: symbols in the words, as in tasks.Copying: <BOS> x_1 .. x_n <COPY>, then the answers.
    fed_back: True (default): the layer sees its right answers. False: it sees blanks.
    """
    return _best(_checked("lti_margin", lengths, fed_back), fed_back)[0]


def lti_taps(lengths: Iterable[int], fed_back: bool = True) -> np.ndarray:
    """(U + 1,): the g_j of a layer with the best margin, U = 2 max(lengths) - 1, for a `fir`. ValueError: no layer."""
    words = _checked("lti_taps", lengths, fed_back)
    margin, taps = _best(words, fed_back)
    if not margin:
        raise ValueError(f"lti_taps: lengths={words}; no linear layer copies words of all these lengths, give others")
    return taps


def memory_bits(items: int, symbols: int) -> float:
    """N log2 V: the minimum bits of a state that holds N symbols out of V, since V^N sequences need V^N states."""
    return check_integer("memory_bits", "items", items) * math.log2(check_integer("memory_bits", "symbols", symbols))


def _checked(who: str, lengths: Iterable[int], fed_back: bool) -> list[int]:
    words = sorted({check_integer(who, "lengths", n) for n in lengths}) if np.iterable(lengths) else []
    if not words or words[-1] > LONGEST:
        raise ValueError(f"{who}: lengths={words[-1:] or lengths!r}; expected a list of integers, 1 to {LONGEST}")
    if not isinstance(fed_back, bool | np.bool_):
        raise ValueError(f"{who}: fed_back={fed_back!r}; expected True or False")
    return words


def _best(words: list[int], fed_back: bool) -> tuple[float, np.ndarray]:
    """The best margin, and its g. Unknowns: g, t_k >= |sum of the g of lags k| for each k, and a bound M >= |g_j|.

    The minimum M for a margin of 1 is 1 over the best margin. If no layer exists, this program is infeasible, and the
    solver says so. If the margin itself were maximised, a value near 0 could be rounding.
    """
    from scipy.optimize import linprog

    asked = [(n, [lags(n, r, i, fed_back) for i in range(n) if i != r]) for n in words for r in range(n)]
    G = 2 * words[-1]
    t = {k: G + i for i, k in enumerate(sorted({k for _, others in asked for k in others}))}
    unit = np.eye(G + len(t) + 1)  # unit[i] . unknowns is the unknown i; the last is M
    limits = [(unit[list(k)].sum(axis=0), column) for k, column in t.items()] + [(unit[j], -1) for j in range(G)]
    rows = [sign * row - unit[limit] for row, limit in limits for sign in (1, -1)]  # row . unknowns <= 0
    wins = [unit[[t[k] for k in others]].sum(axis=0) - unit[n] for n, others in asked]  # row . unknowns <= -1
    seen = {*words, *(j for k in t for j in k), *range(G, len(unit))}  # g is 0 at lags where no symbol is ever seen
    free = [(None, None) if j in seen else (0, 0) for j in range(len(unit))]
    best = linprog(unit[-1], rows + wins, [0] * len(rows) + [-1] * len(wins), bounds=free)
    return (0.0, np.zeros(G)) if best.status == 2 else (1 / best.fun, best.x[:G] / best.fun + 0.0)  # 2: infeasible


def lags(n: int, r: int, i: int, fed_back: bool) -> tuple[int, ...]:
    """How long ago x_i was seen, at question r of a word of n symbols. Two lags if it was fed back."""
    return (n + r - i, r - 1 - i) if fed_back and i < r else (n + r - i,)
