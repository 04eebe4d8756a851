"""The state space layer: a linear map, one filter a channel, a linear map. The layer is linear and time-invariant."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import scan
from .backend import cotangent, namespace
from .checks import integer
from .filters import S4d
from .layers import column_sums, flat, linear_init, linear_size
from .shapes import check_arrays
from .tree import cast

Array = Any


def ssm(p: dict, x: Array, state: Array = None, *, filter: Any, mode: str = "auto", ends: bool = True) -> tuple:
    """u = x w_in + b_in,  v = filter(u) + skip u,  y = v w_out + b_out.

    p: w_in (D, E), b_in (E,), skip (E,), w_out (E, D), b_out (D,), filter: the parameters of the filter.
    x, y (B, L, D).
    state: of the filter, h (B, E, N) complex or past (B, U, E) real. None (default): zeros.
    filter: a filter with its options, like S4d(poles=8).
    mode: "auto" (default), "recurrent", "chunked" or "fft"; see scan.pick.
    ends: False for whole sequences, without a state: the state returned may then be None. Default True.
    -> y, state and `dp, dx, dstate = backward(dy, dstate=None)`. ValueError where the state doesn't fit.

    u is computed as w_in.T @ x.T, (E, B L). The scan sees a (B, L, E) view of it, in which the sequence of a channel is
    contiguous, so that it needs no copy.
    """
    shapes = "x (B, L, D), p.w_in (D, E), p.b_in (E,), p.filter any, p.skip (E,), p.w_out (E, D), p.b_out (D,)"
    xp = check_arrays("ssm", shapes, x, p)
    _check_filter(filter)
    B, L, _ = x.shape
    rows, skip = flat(x), p["skip"][:, None]
    u = p["w_in"].T @ rows.T
    u += p["b_in"][:, None]
    coefficients, back_filter = filter(p["filter"])
    if not ends and state is not None:
        raise ValueError("ssm: a state and ends=False given; leave one of them out")
    if state is not None:
        first = scan.start(coefficients, B, u.dtype)
        kind = "real" if xp.isdtype(first.dtype, "real floating") else "complex"
        check_arrays("ssm", f"state {tuple(first.shape)} {kind}", state, always=True)
    run = scan.pick(mode, (B, L, u.shape[0]), coefficients, ends)
    v, end, back_scan = run(*coefficients, _sequences(xp, u, B, L), state)
    v = _channels(xp, v)
    v += skip * u
    y = v.T @ p["w_out"]
    y += p["b_out"]
    y = xp.reshape(y, x.shape)

    def backward(dy: Array = None, dstate: Array = None) -> tuple:
        dys = flat(cotangent("ssm", dy, y))
        dv = p["w_out"] @ dys.T
        *dcoefficients, du, dstate = back_scan(_sequences(xp, dv, B, L), dstate)
        du = _channels(xp, du)
        du += skip * dv
        dp = {
            "w_in": (du @ rows).T,
            "b_in": column_sums(du.T),
            "filter": back_filter(type(coefficients)(*dcoefficients)),
            "skip": xp.vecdot(dv, u),
            "w_out": v @ dys,
            "b_out": column_sums(dys),
        }
        return cast(dp, p), cast(xp.reshape(du.T @ p["w_in"].T, x.shape), x), cast(dstate, state)

    return y, end, backward


def _check_filter(filter: Any, *names: str) -> None:
    if isinstance(filter, type) or not callable(filter) or not all(hasattr(filter, name) for name in names):
        raise ValueError(f"ssm: filter={filter!r}; expected a filter with its options, like S4d(poles=8)")


def _sequences(xp: Any, u: Array, B: int, L: int) -> Array:
    """(E, B L) -> (B, L, E), a view."""
    return xp.permute_dims(xp.reshape(u, (u.shape[0], B, L)), (1, 2, 0))


def _channels(xp: Any, u: Array) -> Array:
    """(B, L, E) -> (E, B L), a view where the array came from `_sequences`."""
    return xp.reshape(xp.permute_dims(u, (2, 0, 1)), (u.shape[2], -1))


@dataclass(frozen=True)
class Ssm:
    """The block `ssm`: a linear time-invariant layer (see the function `ssm`).

    filter: the filter of the channels, with its options. Default S4d().
    expand: E / D, the inner width over the model's width. Default 2.
    """

    filter: Any = field(default_factory=S4d)
    expand: int = 2

    def __post_init__(self) -> None:
        integer(self, "ssm", "expand", minimum=1)
        _check_filter(self.filter, "init", "size", "state_size")

    @property
    def draws_by_depth(self) -> bool:
        return getattr(self.filter, "draws_by_depth", False)

    def init(self, rng: "np.random.Generator", width: int, relative_depth: float | None = None) -> dict:
        E = self.expand * width
        depth = (relative_depth,) if self.draws_by_depth else ()
        inward, outward = linear_init(rng, width, E), linear_init(rng, E, width)
        return {
            "w_in": inward["w"],
            "b_in": inward["b"],
            "filter": self.filter.init(rng, E, *depth),
            "skip": np.ones(E),
            "w_out": outward["w"],
            "b_out": outward["b"],
        }

    def size(self, width: int) -> int:
        E = self.expand * width
        return linear_size(width, E) + self.filter.size(E) + E + linear_size(E, width)

    def state_size(self, width: int, length: int | None) -> int:
        return self.filter.state_size(self.expand * width)

    def start(self, p: dict, like: Array, length: int | None) -> Array:
        coefficients, _ = self.filter(p["filter"])
        return scan.start(coefficients, like.shape[0], like.dtype)

    def run(self, p: dict, x: Array, state: Array, mode: str) -> tuple:
        return ssm(p, x, state, filter=self.filter, mode=mode)

    def alone(self, p: dict, x: Array, mode: str) -> tuple:
        y, _, backward = ssm(p, x, filter=self.filter, mode=mode, ends=False)
        return y, lambda dy: backward(dy)[:2]

    def stepper(self, p: dict) -> Callable:
        coefficients, _ = self.filter(p["filter"])
        filtered = scan.stepper(coefficients, p["w_in"].dtype)

        def step(x: Array, state: Array) -> tuple:
            u = x[:, 0, :] @ p["w_in"] + p["b_in"]
            v, state = filtered(u, state)
            y = (v + p["skip"] * u) @ p["w_out"] + p["b_out"]
            return y[:, None, :], state

        return step

    def trace(self, p: dict, x: Array) -> dict:
        """What happens inside, by name:

        input (B, L, E): u.  read (B, L, E): filter(u), without the skip.  states: the L states, on axis 1.
        kernel (E, L): the impulse response of each channel, skip included.
        """
        coefficients, u = self._inward(p, x)
        xp, L = namespace(u), u.shape[1]
        read, _, _ = scan.pick("auto", u.shape, coefficients)(*coefficients, u)
        impulse = xp.concat([xp.ones_like(u[:1, :1, :]), xp.zeros_like(u[:1, 1:, :])], axis=1)
        response, _, _ = scan.pick("auto", impulse.shape, coefficients)(*coefficients, impulse)
        kernel = (response + p["skip"] * impulse)[0, ...].T
        states, state = [], None
        for t in range(L):
            _, state, _ = scan.family(coefficients).recurrent(*coefficients, u[:, t : t + 1, :], state)
            states.append(state)
        return {"input": u, "read": read, "kernel": kernel, "states": xp.stack(states, axis=1)}

    def dtrace(self, p: dict, x: Array, dy: Array) -> dict:
        """dread = dy w_out^T,  dinput = the adjoint of the filter, applied to dread, + skip dread; (B, L, E)."""
        coefficients, u = self._inward(p, x)
        _, _, back_scan = scan.pick("auto", u.shape, coefficients)(*coefficients, u)
        dread = dy @ p["w_out"].T
        *_, du, _ = back_scan(dread)
        return {"dread": dread, "dinput": du + p["skip"] * dread}

    def _inward(self, p: dict, x: Array) -> tuple:
        """The coefficients of the filter, and its input u (B, L, E)."""
        coefficients, _ = self.filter(p["filter"])
        return coefficients, x @ p["w_in"] + p["b_in"]
