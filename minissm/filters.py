"""Filters: from real parameters to the coefficients of a linear scan, each with its initial draw.

A filter is a frozen dataclass of its options. Called with its parameters p it returns one of two kinds of coefficients,

    Poles(log_lam, c), backward = filter(p)    dp = backward(Poles(dlog_lam, dc))     (D, N) complex: scan/diagonal.py
    Taps(k), backward = filter(p)              dp = backward(Taps(dk))                (D, U + 1) real: scan/taps.py

It also has

    init(rng, channels) -> p        the initial draw
    size(channels)                  the number of its parameters
    state_size(channels)            real numbers in the state of its scan

With `draws_by_depth = True`, init gets a third argument, `relative_depth`: 0 in the first such layer of the model, 1 in
the last, None where depth should not matter (Model's `timescales`).
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from .backend import cotangents, device
from .checks import check_integer, check_number, choice, fraction, integer, interval
from .shapes import check_arrays

Array = Any

SHORT, LONG = (0.1, 1.0), (0.01, 0.1)  # ranges of the step dt, in tokens: the first and the last layer
WIDE = (0.01, 0.3)  # the range where depth does not matter


class Poles(NamedTuple):
    """Coefficients of h_t = lam h_{t-1} + u_t, y_t = Re sum_n c_n h_{t,n}; log_lam, c (D, N) complex."""

    log_lam: Array
    c: Array


class Taps(NamedTuple):
    """Coefficients of y_t = sum_j k_j u_{t-j}, 0 <= j <= U; k (D, U + 1) real."""

    k: Array


def _parts(who: str, given: Any, coefficients: Poles | Taps) -> list:
    """The cotangents of the coefficients, zeros for None, after argument checks."""
    given, names = (None,) * len(coefficients) if given is None else given, coefficients._fields
    if not isinstance(given, list | tuple) or len(given) != len(names):
        raise ValueError(f"{who}: a cotangent of type {type(given).__name__}; expected {type(coefficients).__name__}")
    return cotangents(who, *((f"d{name}", d, y) for name, d, y in zip(names, given, coefficients, strict=True)))


def dt_range(relative_depth: float | None) -> tuple[float, ...]:
    """The range of dt at this depth: geometric between SHORT and LONG; WIDE for None."""
    if relative_depth is None:
        return WIDE
    expected = "a number from 0 to 1, or None"
    t = check_number("dt_range", "relative_depth", relative_depth, expected, lambda t: 0 <= t <= 1)
    return tuple(math.exp((1 - t) * math.log(a) + t * math.log(b)) for a, b in zip(SHORT, LONG, strict=True))


@dataclass(frozen=True)
class S4d:
    """lam = exp(dt a), a = -exp(log_re) + i im: the diagonal state space model S4D  (Gu et al. 2022, arXiv 2206.11893).

    poles: N. Default 8. With the variants lin and inv each stands for a conjugate pair (S4D's d_state is 2 N).
    variant: the initial poles a_n, n = 0, ..., N-1. Default "lin".
        lin: -1/2 + i pi n;  inv: -1/2 + i (M/pi) (M/(2n+1) - 1) with M = 2N;  real: -(n+1).
    dt: the range (low, high) of the initial steps, in tokens, drawn log-uniformly. None (default): by depth, from
        (0.1, 1) in the first layer to (0.01, 0.1) in the last, so that early layers begin with short memories.
    """

    draws_by_depth: ClassVar[bool] = True
    poles: int = 8
    variant: str = "lin"
    dt: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        integer(self, "s4d", "poles", minimum=1)
        choice(self, "s4d", "variant", ("lin", "inv", "real"))
        interval(self, "s4d", "dt")

    def __call__(self, p: dict) -> tuple:
        return s4d(p)

    def init(self, rng: "np.random.Generator", channels: int, relative_depth: float | None = None) -> dict:
        low, high = self.dt or dt_range(relative_depth)
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

    p: log_dt (D,), log_re (D, N), im (D, N) or absent, c (D, N, 2), Re and Im of C, or (D, N, 1) for real poles.
    -> Poles(log_lam, c), (D, N) complex, and `dp = backward(dpoles)`.

    Poles are in double precision: a phase rounded to single is off by 2e-4 after 4,096 steps. There is no factor
    (exp(dt a) - 1)/a, the input matrix of ZOH: with it, a small step makes the first outputs small beside the skip, and
    recall stays at the baseline at the default rate and steps (tutorials/02_from_time_to_tokens.py).
    """
    real = "c (D, N, 1)" if isinstance(p, dict) and "im" not in p else "im (D, N), p.c (D, N, 2)"
    xp = check_arrays("s4d", f"p.log_dt (D,), p.log_re (D, N), p.{real}", p)
    dt, log_re, c = (xp.astype(p[k], xp.float64) for k in ("log_dt", "log_re", "c"))
    dt, re = xp.exp(dt)[:, None], -xp.exp(log_re)
    scale = (2 if "im" in p else 1) / re.shape[1]
    a, C = xp.astype(re, xp.complex128), xp.astype(c[..., 0], xp.complex128)
    if "im" in p:
        a = a + 1j * xp.astype(p["im"], xp.complex128)
        C = C + 1j * xp.astype(c[..., 1], xp.complex128)
    log_lam = dt * a
    poles = Poles(log_lam, scale * C)

    def backward(dpoles: Poles) -> dict:
        dlog_lam, dc = _parts("s4d", dpoles, poles)
        dp = {
            "log_dt": xp.sum(xp.real(xp.conj(log_lam) * dlog_lam), axis=1),
            "log_re": xp.real(dlog_lam) * dt * re,
            "c": scale * xp.real(dc)[..., None],
        }
        if "im" in p:
            dp["im"] = xp.imag(dlog_lam) * dt
            dp["c"] = scale * xp.stack([xp.real(dc), xp.imag(dc)], axis=-1)
        return {k: xp.astype(dp[k], p[k].dtype) for k in p}

    return poles, backward


@dataclass(frozen=True)
class Window:
    """The options of a filter with a window. name: its name in errors."""

    name: ClassVar[str] = "window"
    draws_by_depth: ClassVar[bool] = True
    window: int = 32
    moving_sums: float | None = None

    def __post_init__(self) -> None:
        integer(self, self.name, "window", minimum=1)
        fraction(self, self.name, "moving_sums")

    def _sums(self, channels: int, relative_depth: float | None) -> np.ndarray:
        """(channels,): True for the channels that begin as moving sums, evenly spread."""
        depth = 1.0 if relative_depth is None else relative_depth
        part = depth / 2 if self.moving_sums is None else self.moving_sums
        return np.diff(np.floor(np.arange(channels + 1) * part + 0.5)) > 0

    def state_size(self, channels: int) -> int:
        """Real numbers of memory."""
        return channels * self.window


@dataclass(frozen=True)
class Trig(Window):
    """k_j = c1 cos(2 pi a1 j / (U+1)) + c2 sin(2 pi a2 j / (U+1)), 0 <= j <= U: the filter of arXiv 2405.19036.

    window: U, in tokens. An output sees its own input and the U inputs before it. Default 32.
    moving_sums: the fraction of the channels that begin nearly as sums over the window, with a ~ U(0, .02 U). The
        others begin with a ~ U(0, U/2). None (default): by depth, from 0 in the first layer to 1/2 in the last.

    In all channels c ~ N(0, 1/U) at first.
    """

    name: ClassVar[str] = "trig"

    def __call__(self, p: dict) -> tuple:
        return trig(p, self.window)

    def init(self, rng: "np.random.Generator", channels: int, relative_depth: float | None = None) -> dict:
        U = self.window
        a, c = rng.uniform(0, U / 2, (channels, 2)), rng.normal(0, 1 / math.sqrt(U), (channels, 2))
        sums = self._sums(channels, relative_depth)
        a[sums] = rng.uniform(0, 0.02 * U, (sums.sum(), 2))
        return {"a": a, "c": c}

    def size(self, channels: int) -> int:
        return 4 * channels


def trig(p: dict, U: int) -> tuple:
    """k_j = c1 cos(a1 w_j) + c2 sin(a2 w_j), w_j = 2 pi j / (U+1).

    p: a, c (D, 2) -> Taps(k), k (D, U+1) in double precision, and `dp = backward(dtaps)`.
    """
    U, xp = check_integer("trig", "U", U), check_arrays("trig", "p.a (D, 2), p.c (D, 2)", p)
    a, c = (xp.astype(p[name], xp.float64)[..., None] for name in ("a", "c"))  # (D, 2, 1)
    w = (2 * math.pi / (U + 1)) * xp.arange(U + 1, dtype=xp.float64, device=device(a))
    first, second = (a[:, i, :] * w for i in range(2))  # the phases, (D, U + 1)
    waves = xp.stack([xp.cos(first), xp.sin(second)], axis=1)
    taps = Taps(xp.sum(c * waves, axis=1))

    def backward(dtaps: Taps) -> dict:
        dk = _parts("trig", dtaps, taps)[0][:, None, :]
        slopes = w * xp.stack([-xp.sin(first), xp.cos(second)], axis=1)
        dp = {"a": c[..., 0] * xp.sum(dk * slopes, axis=-1), "c": xp.sum(dk * waves, axis=-1)}
        return {name: xp.astype(dp[name], p[name].dtype) for name in p}

    return taps, backward


@dataclass(frozen=True)
class Fir(Window):
    """A finite impulse response with free taps: every k_j, 0 <= j <= U, is a parameter.

    window: U, in tokens. An output sees its own input and the U inputs before it. Default 32.
    moving_sums: the fraction of the channels that begin as sums over the window, k_j = 1/sqrt(U). The others begin as a
        delay of one token or of none, in turn, plus N(0, .1^2) in every tap. None (default): by depth, from 0 in the
        first layer to 1/2 in the last.
    """

    name: ClassVar[str] = "fir"

    def __call__(self, p: dict) -> tuple:
        check_arrays("fir", f"p.k (D, {self.window + 1})", p)
        taps = Taps(p["k"])
        return taps, lambda dtaps: {"k": _parts("fir", dtaps, taps)[0]}

    def init(self, rng: "np.random.Generator", channels: int, relative_depth: float | None = None) -> dict:
        U = self.window
        k = rng.normal(0, 0.1, (channels, U + 1))
        sums = self._sums(channels, relative_depth)
        delay = np.cumsum(~sums) % 2  # of the other channels, in turn 1 and 0
        k[np.arange(channels), delay] += 1
        k[sums] = 1 / math.sqrt(U)
        return {"k": k}

    def size(self, channels: int) -> int:
        return channels * (self.window + 1)
