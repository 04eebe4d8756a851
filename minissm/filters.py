"""Filters: from real parameters to the modes of a linear recurrence, with their initial draws beside them.

A filter is a frozen dataclass of its options. Called with its parameters it gives

    log_lam, c, backward = filter(p)          log_lam, c (D, N) complex, for scan (y_t = Re sum_n c_n h_{t,n})
    dp = backward(dlog_lam, dc)

and `filter.init(rng, channels, place)` draws p. `place` says where the layer stands among the model's layers with a
memory: 0 the first, 1 the last, None where it should not matter (see Model.memory).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .backend import namespace
from .checks import choice, interval, whole

Array = Any

SHORT, LONG = (0.1, 1.0), (0.01, 0.1)  # ranges of the steps dt in the first and in the last layer
WIDE = (0.01, 0.3)  # and in a layer without a place


def between(first: tuple, last: tuple, place: float) -> tuple:
    """Geometric interpolation of two ranges: place 0 is the first, 1 the last."""
    return tuple(math.exp((1 - place) * math.log(a) + place * math.log(b)) for a, b in zip(first, last, strict=True))


@dataclass(frozen=True)
class S4d:
    """lam = exp(dt a), a = -exp(log_re) + i im: the diagonal state space model S4D  (Gu et al. 2022, arXiv 2206.11893).

    modes: N; with variants lin and inv each stands for a conjugate pair.
    variant: the initial poles. lin: -1/2 + i pi n; inv: -1/2 + i (M/pi) (M/(2n+1) - 1) with M = 2N; real: -(n+1).
    dt: the steps are drawn log-uniformly from this range (None: from the layer's place, short memories first).
    """

    modes: int = 8
    variant: str = "lin"
    dt: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        whole(self, "s4d", "modes", least=1)
        choice(self, "s4d", "variant", ("lin", "inv", "real"))
        interval(self, "s4d", "dt")

    def __call__(self, p: dict) -> tuple:
        return s4d(p)

    def init(self, rng: np.random.Generator, channels: int, place: float | None = None) -> dict:
        low, high = self.dt or (WIDE if place is None else between(SHORT, LONG, place))
        N, n = self.modes, np.arange(self.modes)
        shape = (channels, N)
        p = {"log_dt": rng.uniform(math.log(low), math.log(high), channels)}
        if self.variant == "real":
            return p | {"log_re": np.broadcast_to(np.log(n + 1.0), shape).copy(), "c": rng.normal(0, 1, (*shape, 1))}
        im = math.pi * n if self.variant == "lin" else 2 * N / math.pi * (2 * N / (2 * n + 1) - 1)
        p |= {"log_re": np.full(shape, math.log(0.5)), "im": np.broadcast_to(im, shape).copy()}
        return p | {"c": rng.normal(0, math.sqrt(0.5), (*shape, 2))}

    def size(self, channels: int) -> int:
        return channels * (1 + self.modes * (2 if self.variant == "real" else 4))

    def state_size(self, channels: int) -> int:
        """Real numbers of memory."""
        return channels * self.modes * (1 if self.variant == "real" else 2)


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


FILTERS = {"s4d": S4d}
