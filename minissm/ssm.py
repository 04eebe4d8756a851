"""The state space layer: linear in, one filter a channel, linear out. Nothing in it is nonlinear."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import scan
from .backend import namespace
from .checks import whole
from .filters import S4d
from .layers import column_sums, flat, linear_init, linear_size

Array = Any


def ssm(p: dict, x: Array, state: Array = None, *, filter: Any, mode: str = "auto") -> tuple:
    """u = x w_in + b_in,  v = filter(u) + skip u,  y = v w_out + b_out.

    x, y (B, L, D); w_in (D, E), w_out (E, D), skip (E,); state (B, E, N) complex, the filter's h (None: zeros).
    `y, state, backward`, and `dp, dx, dstate = backward(dy, dstate=None)`.

    u is formed as (E, B L), w_in.T @ x.T: the products absorb the change of layout, and the scan, which sees a
    (B, L, E) view of it, finds the sequence of every channel in one piece.
    """
    xp = namespace(x, p["w_in"])
    B, L, _ = x.shape
    rows, skip = flat(x), p["skip"][:, None]
    u = p["w_in"].T @ rows.T + p["b_in"][:, None]
    log_lam, c, back_filter = filter(p["filter"])
    run = scan.pick(mode, (B, L, u.shape[0]), c.shape[1])
    v, state, back_scan = run(log_lam, c, _sequences(xp, u, B, L), state)
    v = _channels(xp, v) + skip * u
    y = xp.reshape(v.T @ p["w_out"] + p["b_out"], x.shape)

    def backward(dy: Array, dstate: Array = None) -> tuple:
        dys = flat(dy)
        dv = p["w_out"] @ dys.T
        dlog_lam, dc, du, dstate = back_scan(_sequences(xp, dv, B, L), dstate)
        du = _channels(xp, du) + skip * dv
        dp = {
            "w_in": (du @ rows).T,
            "b_in": xp.sum(du, axis=1),
            "filter": back_filter(dlog_lam, dc),
            "skip": xp.sum(dv * u, axis=1),
            "w_out": v @ dys,
            "b_out": column_sums(dys),
        }
        return dp, xp.reshape(du.T @ p["w_in"].T, x.shape), dstate

    return y, state, backward


def _sequences(xp: Any, u: Array, B: int, L: int) -> Array:
    """(E, B L) -> (B, L, E), a view."""
    return xp.permute_dims(xp.reshape(u, (u.shape[0], B, L)), (1, 2, 0))


def _channels(xp: Any, u: Array) -> Array:
    """(B, L, E) -> (E, B L), a view where the array came from `_sequences`."""
    return xp.reshape(xp.permute_dims(u, (2, 0, 1)), (u.shape[2], -1))


@dataclass(frozen=True)
class Ssm:
    """The block `ssm`. filter: what each channel does to its sequence.  expand: E = expand x the model's width."""

    filter: Any = field(default_factory=S4d)
    expand: int = 2

    def __post_init__(self) -> None:
        whole(self, "ssm", "expand", least=1)
        if isinstance(self.filter, type) or not callable(self.filter):
            raise ValueError(f"ssm: filter={self.filter!r}; expected a filter with its options, like S4d(modes=8)")

    def init(self, rng: np.random.Generator, width: int, place: float | None = None) -> dict:
        E = self.expand * width
        inward, outward = linear_init(rng, width, E), linear_init(rng, E, width)
        return {
            "w_in": inward["w"],
            "b_in": inward["b"],
            "filter": self.filter.init(rng, E, place),
            "skip": np.ones(E),
            "w_out": outward["w"],
            "b_out": outward["b"],
        }

    def size(self, width: int) -> int:
        E = self.expand * width
        return linear_size(width, E) + self.filter.size(E) + E + linear_size(E, width)

    def state_size(self, width: int, length: int) -> int:
        return self.filter.state_size(self.expand * width)

    def apply(self, p: dict, x: Array, mode: str) -> tuple:
        y, _, back = ssm(p, x, filter=self.filter, mode=mode)
        return y, lambda dy: back(dy)[:2]

    def trace(self, p: dict, x: Array) -> dict:
        """kernel (E, L): the impulse response of each channel, skip included.  states (B, L, E, N): h_1 .. h_L."""
        xp = namespace(x, p["w_in"])
        L, u = x.shape[1], x @ p["w_in"] + p["b_in"]
        log_lam, c, _ = self.filter(p["filter"])
        kernel, _ = scan.kernel(log_lam, c, L)
        kernel[:, 0] += p["skip"]
        states, h = [], None
        for t in range(L):
            _, h, _ = scan.recurrent(log_lam, c, u[:, t : t + 1, :], h)
            states.append(h)
        return {"kernel": xp.astype(kernel, x.dtype), "states": xp.stack(states, axis=1)}
