"""The selective layer of Mamba, without its convolution and gate. Its step dt and weights B, C depend on the token.

The names in Mamba's code: log_a is A_log; w_low, w_b and w_c together are x_proj; w_dt and b_dt are dt_proj.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from . import fast, scan
from .backend import cotangent, cotangents, device, namespace
from .checks import integer, interval
from .filters import dt_range
from .layers import column_sums, flat, linear_init, linear_size
from .shapes import check_arrays
from .tree import cast

Array = Any
SHAPES = (
    "x (B, L, D), p.w_in (D, E), p.b_in (E,), p.w_b (E, N), p.w_c (E, N), p.skip (E,), p.w_out (E, D), p.b_out (D,), "
    "p.filter.log_a (E, N), p.filter.w_low (E, R), p.filter.w_dt (R, E), p.filter.b_dt (E,), state (B, E, N) or None"
)


def softplus(x: Array) -> tuple:
    """y = log(1 + exp(x)), written so that no x overflows or loses digits.  Any shape."""
    xp = check_arrays("softplus", "x (...)", x)
    e = xp.exp(-xp.abs(x))
    u = 1 + e
    kept = u - 1  # e after rounding.  log1p(e) = log(u) e / kept, and e where kept is 0
    y = xp.maximum(x, xp.zeros_like(x)) + xp.where(kept == 0, e, xp.log(u) * e / xp.where(kept == 0, 1.0, kept))
    return y, lambda dy: cotangent("softplus", dy, y) * (xp.where(x < 0, e, 1.0) / u)  # softplus' = 1 / (1 + exp(-x))


def selective_scan(u: Array, dt: Array, A: Array, B: Array, C: Array, h0: Array = None) -> tuple:
    """h_t = exp(dt_t A) h_{t-1} + dt_t u_t B_t,  y_t = sum_n C_{t,n} h_{t,n}, separately for each channel.

    (Gu & Dao 2023, arXiv 2312.00752, Algorithm 2: the zero-order hold for A and Euler's rule for B.)

    u, dt, y (batch, L, E).
    A (E, N), below 0.
    B, C (batch, L, N), shared by the channels.
    h0, h_last (batch, E, N). h0 None (default): zeros.
    -> y, h_last and `du, ddt, dA, dB, dC, dh0 = backward(dy, dh_last=None)`.

    ValueError where shapes or dtypes don't fit. Cost: the reference body keeps batch L E N states; a fast path, fewer.
    In single precision, a constant dt rounds exp(dt A) the same way in each step: y is then off by up to 4e-8 times the
    smaller of L and 1 / |dt A| (measured: 9e-5 at L = 16,384 and |dt A| = 1e-4). For longer memories, use float64.
    """
    shapes = "u (B, L, E), A (E, N), dt (B, L, E), B (B, L, N), C (B, L, N), h0 (B, E, N) or None alike"
    xp = check_arrays("selective_scan", shapes, u, A, dt, B, C, h0)

    def checked(dy: Array, dh_last: Array) -> list:
        return cotangents("s6", ("dy", dy, y), ("dh_last", dh_last, h_last))

    if fast_path := fast.path("selective_scan", u, dt, A, B, C, h0):
        y, h_last, back = fast_path(u, dt, A, B, C, h0)
        return y, h_last, lambda dy=None, dh_last=None: back(*checked(dy, dh_last))
    a, v = xp.exp(dt[..., None] * A), dt * u
    h, h_last, back_linear = scan.linear(a, v[..., None] * B[:, :, None, :], h0)
    y = (h @ C[..., None])[..., 0]

    def backward(dy: Array = None, dh_last: Array = None) -> tuple:
        dy, dh_last = checked(dy, dh_last)
        da, db, dh0 = back_linear(dy[..., None] * C[:, :, None, :], dh_last)
        dz = da * a  # z = dt A, a = exp(z)
        dv = (db @ B[..., None])[..., 0]
        ddt = xp.sum(dz * A, axis=-1) + dv * u
        dA = xp.sum(dz * dt[..., None], axis=(0, 1))
        dB, dC = ((w[:, :, None, :] @ d)[:, :, 0, :] for w, d in ((v, db), (dy, h)))
        return dv * dt, ddt, dA, dB, dC, dh0

    return y, h_last, backward


def selective(p: dict, x: Array, state: Array = None) -> tuple:
    """u = x w_in + b_in,  v = selective_scan(u, dt, A, B, C) + skip u,  y = v w_out + b_out, where

    dt = softplus(u w_low w_dt + b_dt),  B = u w_b,  C = u w_c  depend on the token;  A = -exp(log_a)  does not.

    p: w_in (D, E), b_in (E,), w_b and w_c (E, N), skip (E,), w_out (E, D), b_out (D,),
        filter: {log_a (E, N), w_low (E, R), w_dt (R, E), b_dt (E,)}.
    x, y (B, L, D); u, v, dt (B, L, E).
    state: h of the scan, (B, E, N). None (default): zeros.
    -> y, state and `dp, dx, dstate = backward(dy, dstate=None)`.
    """
    xp, f = check_arrays("selective", SHAPES, x, p, state, always=True), p["filter"]
    rows, A = flat(x), -xp.exp(f["log_a"])

    def sequences(a: Array) -> Array:
        """(B L, ...) -> (B, L, ...): products of matrices run over all rows at once, the scan over sequences."""
        return xp.reshape(a, (*x.shape[:2], a.shape[1]))

    u = rows @ p["w_in"] + p["b_in"]
    low = u @ f["w_low"]
    dt, back_softplus = softplus(low @ f["w_dt"] + f["b_dt"])
    B, C = u @ p["w_b"], u @ p["w_c"]
    A_, dt, B, C = (cast(a, u) for a in (A, dt, B, C))  # the scan takes one dtype
    v, end, back_scan = selective_scan(sequences(u), sequences(dt), A_, sequences(B), sequences(C), state)
    v = flat(v) + p["skip"] * u
    y = sequences(v @ p["w_out"] + p["b_out"])

    def backward(dy: Array = None, dstate: Array = None) -> tuple:
        dys = flat(cotangent("s6", dy, y))
        dv = dys @ p["w_out"].T
        du, ddt, dA, dB, dC, dstate = back_scan(sequences(cast(dv, u)), dstate)
        dB, dC, dz = flat(dB), flat(dC), back_softplus(flat(ddt))
        dlow = dz @ f["w_dt"].T
        du = flat(du) + p["skip"] * dv + dlow @ f["w_low"].T + dB @ p["w_b"].T + dC @ p["w_c"].T
        dp = {
            "w_in": rows.T @ du,
            "b_in": column_sums(du),
            "filter": {"log_a": dA * A, "w_low": u.T @ dlow, "w_dt": low.T @ dz, "b_dt": column_sums(dz)},
            "w_b": u.T @ dB,
            "w_c": u.T @ dC,
            "skip": column_sums(dv * u),
            "w_out": v.T @ dys,
            "b_out": column_sums(dys),
        }
        return cast(dp, p), cast(xp.reshape(du @ p["w_in"].T, x.shape), x), cast(dstate, state)

    return y, end, backward


@dataclass(frozen=True)
class S6:
    """The block `s6`: Mamba's selective layer (see `selective`).

    d_state: N, the size of the state of a channel. Default 8.
    expand: E / D, the inner width over the model's width. Default 2.
    dt_rank: R, the rank of the map from u to dt. None (default): width // 16, but at least 1.
    dt: the range (low, high) of the initial steps, in tokens, drawn log-uniformly; they are the steps where u = 0. None
        (default): by depth (see `filters.dt_range`).
    """

    draws_by_depth: ClassVar[bool] = True
    d_state: int = 8
    expand: int = 2
    dt_rank: int | None = None
    dt: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        integer(self, "s6", "d_state", minimum=1)
        integer(self, "s6", "expand", minimum=1)
        integer(self, "s6", "dt_rank", minimum=1, optional=True)
        interval(self, "s6", "dt")

    def _sizes(self, width: int) -> tuple[int, int, int]:
        return self.expand * width, self.d_state, self.dt_rank or max(1, width // 16)

    def init(self, rng: "np.random.Generator", width: int, relative_depth: float | None = None) -> dict:
        """A = -1, ..., -N in every channel, and a dt for each channel: state n lasts about 1 / (n dt) tokens."""
        E, N, R = self._sizes(width)
        low, high = self.dt or dt_range(relative_depth)
        inward, outward = linear_init(rng, width, E), linear_init(rng, E, width)
        dt = np.exp(rng.uniform(math.log(low), math.log(high), E))
        return {
            "w_in": inward["w"],
            "b_in": inward["b"],
            "filter": {  # sets the time scales of the memory; weight decay doesn't act on it
                "log_a": np.tile(np.log(np.arange(1.0, N + 1)), (E, 1)),
                "w_low": linear_init(rng, E, R)["w"],
                "w_dt": linear_init(rng, R, E)["w"],
                "b_dt": dt + np.log(-np.expm1(-dt)),  # the x with softplus(x) = dt
            },
            "w_b": linear_init(rng, E, N)["w"],
            "w_c": linear_init(rng, E, N)["w"],
            "skip": np.ones(E),
            "w_out": outward["w"],
            "b_out": outward["b"],
        }

    def size(self, width: int) -> int:
        E, N, R = self._sizes(width)
        return linear_size(width, E) + 3 * E * N + 2 * E * R + 2 * E + linear_size(E, width)

    def state_size(self, width: int, length: int | None) -> int:
        return self.expand * width * self.d_state

    def start(self, p: dict, like: Array, length: int | None) -> Array:
        a = p["filter"]["log_a"]
        return namespace(a).zeros((like.shape[0], *a.shape), dtype=like.dtype, device=device(a))

    def run(self, p: dict, x: Array, state: Array, mode: str) -> tuple:
        return selective(p, x, state)

    def trace(self, p: dict, x: Array) -> dict:
        """steps (B, L, E): dt, how far each token moves the state.  states (B, L, E, N): h_1 .. h_L."""
        xp, f = namespace(x, p["w_in"]), p["filter"]
        steps, _ = softplus((x @ p["w_in"] + p["b_in"]) @ f["w_low"] @ f["w_dt"] + f["b_dt"])
        states, h = [], None
        for t in range(x.shape[1]):
            _, h, _ = selective(p, x[:, t : t + 1, :], h)
            states.append(h)
        return {"steps": steps, "states": xp.stack(states, axis=1)}
