"""Filters: from real parameters to the coefficients of a linear scan, with their initial draws beside them.

A filter is a frozen dataclass of its options. Called with its parameters it gives one of two kinds of coefficients,

    log_lam, c, backward = filter(p)    dp = backward(dlog_lam, dc)    (D, N) complex, for scan/diagonal.py
    k, backward = filter(p)             dp = backward(dk)              (D, U + 1) real, for scan/taps.py

and `filter.init(rng, channels)` draws p. `filter.at(place)` fills in the options that were left to the layer's place
among the model's layers that have such options: 0 the first, 1 the last, None where it should not matter (see
Model.memory).
"""

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from .backend import device, namespace
from .checks import choice, fraction, integer, interval

Array = Any

SHORT, LONG = (0.1, 1.0), (0.01, 0.1)  # ranges of the steps dt in the first and in the last layer
WIDE = (0.01, 0.3)  # and in a layer without a place
NARROW, BROAD = 3, 32  # windows in the first layer; in the last and in a layer without a place


def between(first: tuple, last: tuple, place: float) -> tuple:
    """Geometric interpolation of two ranges: place 0 is the first, 1 the last."""
    return tuple(math.exp((1 - place) * math.log(a) + place * math.log(b)) for a, b in zip(first, last, strict=True))


@dataclass(frozen=True)
class S4d:
    """lam = exp(dt a), a = -exp(log_re) + i im: the diagonal state space model S4D  (Gu et al. 2022, arXiv 2206.11893).

    poles: N; with variants lin and inv each stands for a conjugate pair.
    variant: the initial poles. lin: -1/2 + i pi n; inv: -1/2 + i (M/pi) (M/(2n+1) - 1) with M = 2N; real: -(n+1).
    dt: the steps are drawn log-uniformly from this range (None: from the layer's place, short memories first).
    """

    poles: int = 8
    variant: str = "lin"
    dt: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        integer(self, "s4d", "poles", minimum=1)
        choice(self, "s4d", "variant", ("lin", "inv", "real"))
        interval(self, "s4d", "dt")

    def __call__(self, p: dict) -> tuple:
        return s4d(p)

    def at(self, place: float | None) -> "S4d":
        return self if self.dt or place is None else replace(self, dt=between(SHORT, LONG, place))

    def init(self, rng: np.random.Generator, channels: int) -> dict:
        low, high = self.dt or WIDE
        N, n = self.poles, np.arange(self.poles)
        shape = (channels, N)
        p = {"log_dt": rng.uniform(math.log(low), math.log(high), channels)}
        if self.variant == "real":
            return p | {"log_re": np.broadcast_to(np.log(n + 1.0), shape).copy(), "c": rng.normal(0, 1, (*shape, 1))}
        im = math.pi * n if self.variant == "lin" else 2 * N / math.pi * (2 * N / (2 * n + 1) - 1)
        p |= {"log_re": np.full(shape, math.log(0.5)), "im": np.broadcast_to(im, shape).copy()}
        return p | {"c": rng.normal(0, math.sqrt(0.5), (*shape, 2))}

    def size(self, channels: int) -> int:
        return channels * (1 + self.poles * (2 if self.variant == "real" else 4))

    def state_size(self, channels: int) -> int:
        """Real numbers of memory."""
        return channels * self.poles * (1 if self.variant == "real" else 2)


def s4d(p: dict) -> tuple:
    """log_lam = dt (-exp(log_re) + i im),  c = 2 C / N with complex C, or C / N where the poles are real.

    p: log_dt (D,), log_re (D, N), im (D, N) or absent, c (D, N, 2) or (D, N, 1) -> log_lam, c (D, N) complex, in double
    precision: a phase rounded to single is off by 2e-4 after 4,096 steps. There is no factor (exp(dt a) - 1)/a (the
    ZOH input matrix): with it, small steps make the layer's output vanish, and recall never starts to train.
    """
    xp = namespace(*p.values())
    dt, log_re, c = (xp.astype(p[k], xp.float64) for k in ("log_dt", "log_re", "c"))
    dt, re = xp.exp(dt)[:, None], -xp.exp(log_re)
    scale = (2 if "im" in p else 1) / re.shape[1]
    a, C = xp.astype(re, xp.complex128), xp.astype(c[..., 0], xp.complex128)
    if "im" in p:
        a = a + 1j * xp.astype(p["im"], xp.complex128)
        C = C + 1j * xp.astype(c[..., 1], xp.complex128)
    log_lam = dt * a

    def backward(dlog_lam: Array, dc: Array) -> dict:
        dp = {
            "log_dt": xp.sum(xp.real(xp.conj(log_lam) * dlog_lam), axis=1),
            "log_re": xp.real(dlog_lam) * dt * re,
            "c": scale * xp.real(dc)[..., None],
        }
        if "im" in p:
            dp["im"] = xp.imag(dlog_lam) * dt
            dp["c"] = scale * xp.stack([xp.real(dc), xp.imag(dc)], axis=-1)
        return {k: xp.astype(dp[k], p[k].dtype) for k in p}

    return log_lam, scale * C, backward


@dataclass(frozen=True)
class Window:
    """The options of a filter with a window. word: how the errors call it."""

    word: ClassVar[str] = "window"
    window: int | None = None
    moving_sums: float | None = None

    def __post_init__(self) -> None:
        integer(self, self.word, "window", minimum=1, optional=True)
        fraction(self, self.word, "moving_sums")

    def at(self, place: float | None) -> Any:
        """Short windows first, long ones last, where half of the channels begin as sums over the past."""
        if place is None:
            return self
        window = self.window or round(NARROW * (BROAD / NARROW) ** place)
        return replace(self, window=window, moving_sums=place / 2 if self.moving_sums is None else self.moving_sums)

    def state_size(self, channels: int) -> int:
        """Real numbers of memory."""
        return channels * (self.window or BROAD)


@dataclass(frozen=True)
class Trig(Window):
    """k_j = c1 cos(2 pi a1 j / (U+1)) + c2 sin(2 pi a2 j / (U+1)), 0 <= j <= U: the filter of arXiv 2405.19036.

    window: U (None: from the layer's place, 3 in the first to 32 in the last).  moving_sums: the share of the channels that
    begin as sums over the window, a ~ U(0, .02 U), where the others begin with a ~ U(0, U/2); c ~ N(0, 1/U).
    (None: 0 in the first layer to .5 in the last.) Without a place both are as in the last.
    """

    word: ClassVar[str] = "trig"

    def __call__(self, p: dict) -> tuple:
        return trig(p, self.window or BROAD)

    def init(self, rng: np.random.Generator, channels: int) -> dict:
        U = self.window or BROAD
        a, c = rng.uniform(0, U / 2, (channels, 2)), rng.normal(0, 1 / math.sqrt(U), (channels, 2))
        moving_sums = _spread(channels, 0.5 if self.moving_sums is None else self.moving_sums)
        a[moving_sums] = rng.uniform(0, 0.02 * U, (moving_sums.sum(), 2))
        return {"a": a, "c": c}

    def size(self, channels: int) -> int:
        return 4 * channels


def trig(p: dict, U: int) -> tuple:
    """k_j = c1 cos(a1 w_j) + c2 sin(a2 w_j), w_j = 2 pi j / (U+1).  a, c (D, 2) -> k (D, U+1), in double precision."""
    xp = namespace(p["a"], p["c"])
    a, c = (xp.astype(p[name], xp.float64)[..., None] for name in ("a", "c"))  # (D, 2, 1)
    w = (2 * math.pi / (U + 1)) * xp.arange(U + 1, dtype=xp.float64, device=device(a))
    first, second = (a[:, i, :] * w for i in range(2))  # the phases, (D, U + 1)
    waves = xp.stack([xp.cos(first), xp.sin(second)], axis=1)

    def backward(dk: Array) -> dict:
        dk = xp.astype(dk, xp.float64)[:, None, :]
        slopes = w * xp.stack([-xp.sin(first), xp.cos(second)], axis=1)
        dp = {"a": c[..., 0] * xp.sum(dk * slopes, axis=-1), "c": xp.sum(dk * waves, axis=-1)}
        return {name: xp.astype(dp[name], p[name].dtype) for name in p}

    return xp.sum(c * waves, axis=1), backward


@dataclass(frozen=True)
class Fir(Window):
    """k_j = any numbers, 0 <= j <= U: a finite impulse response with free taps.

    window: U (None: from the layer's place, 3 in the first to 32 in the last).  moving_sums: the share of the channels that
    begin as 1/sqrt(U) throughout, a sum; the others delay by one step or by none, in turn, plus N(0, .1^2). (None: 0 in
    the first layer to .5 in the last.) Without a place both are as in the last.
    """

    word: ClassVar[str] = "fir"

    def __call__(self, p: dict) -> tuple:
        k = p["k"]
        return k, lambda dk: {"k": namespace(k).astype(dk, k.dtype)}

    def init(self, rng: np.random.Generator, channels: int) -> dict:
        U = self.window or BROAD
        k = rng.normal(0, 0.1, (channels, U + 1))
        moving_sums = _spread(channels, 0.5 if self.moving_sums is None else self.moving_sums)
        delay = np.cumsum(~moving_sums) % 2  # of the quick channels, in turn 1 and 0
        k[np.arange(channels), delay] += 1
        k[moving_sums] = 1 / math.sqrt(U)
        return {"k": k}

    def size(self, channels: int) -> int:
        return channels * ((self.window or BROAD) + 1)


def _spread(channels: int, part: float) -> np.ndarray:
    """(channels,) of True and False: this part True, evenly spread."""
    return np.diff(np.floor(np.arange(channels + 1) * part + 0.5)) > 0


FILTERS: dict[str, Any] = {"s4d": S4d, "trig": Trig, "fir": Fir}
