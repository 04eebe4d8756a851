"""The filter `held`: S4D with the input matrix of zero-order hold, for tutorial 2.

minissm run recall --plugin tutorials/plugins/held.py --models "held + fnn1 + held + fnn1"
"""

from dataclasses import dataclass

import numpy as np

import minissm as ms


@dataclass(frozen=True)
class Held(ms.S4d):
    """lam = exp(dt a) as in S4d, and c b in place of c, with b = (exp(dt a) - 1) / a: the input is held over a step.

    per_dt: b / dt in place of b. Default False.
    large_c: draw c 1 / dt as large, so that c b begins where c b / dt does. Default False.
    """

    per_dt: bool = False
    large_c: bool = False

    def init(self, rng: np.random.Generator, channels: int, relative_depth: float | None = None) -> dict:
        p = super().init(rng, channels, relative_depth)
        return p | {"c": p["c"] / np.exp(p["log_dt"])[:, None, None]} if self.large_c else p

    def __call__(self, p: dict) -> tuple:
        (z, c), back_s4d = ms.filters.s4d(p)  # z = dt a
        xp = ms.namespace(z)
        dt = 1.0 if self.per_dt else xp.exp(xp.astype(p["log_dt"], xp.float64))[:, None]
        b = dt * xp.expm1(z) / z  # a is never 0 here: its real part is -exp(log_re)

        def backward(dpoles: ms.Poles) -> dict:
            db = xp.conj(c) * dpoles.c
            slope = (dt * xp.exp(z) - b) / z  # of b with respect to z
            dp = back_s4d(ms.Poles(dpoles.log_lam + xp.conj(slope) * db, xp.conj(b) * dpoles.c))
            if not self.per_dt:  # b is also proportional to dt, and d dt / d log_dt = dt
                dp["log_dt"] = dp["log_dt"] + xp.astype(xp.sum(xp.real(xp.conj(b) * db), axis=1), dp["log_dt"].dtype)
            return dp

        return ms.Poles(z, b * c), backward


@dataclass(frozen=True)
class HeldAlone(ms.Ssm):
    """ssm with the filter Held, whose direct path, `skip`, begins at 0 and not at 1."""

    filter: Held = Held()

    def init(self, rng: np.random.Generator, width: int, relative_depth: float | None = None) -> dict:
        p = super().init(rng, width, relative_depth)
        return p | {"skip": 0 * p["skip"]}


ms.register("held", Held)
ms.register("held_alone", HeldAlone)
