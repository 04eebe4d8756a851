"""Long short-term memory (LSTM), a nonlinear recurrence with gates. Each token costs one step of a Python loop."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .backend import check_like, check_state, cotangents, device, namespace
from .layers import column_sums, flat, linear_init, sigmoid, tanh
from .shapes import check_arrays
from .tree import cast

Array = Any


def lstm(p: dict, x: Array, state: dict | None = None) -> tuple:
    """c_t = f_t c_{t-1} + i_t g_t,  h_t = o_t tanh(c_t),  y_t = h_t, where the gates read the token and h_{t-1}:

    [i f o g]_t = [sigmoid sigmoid sigmoid tanh](x_t w_x + h_{t-1} w_h + b)

    (Hochreiter & Schmidhuber 1997; Gers et al. 2000 added the forget gate f.)

    p: w_x (D, 4H), w_h (H, 4H), b (4H,), with columns in the order i, f, o, g.
    x (B, L, D), y (B, L, H).
    state: {"h": (B, H), "c": (B, H)}. None (default): zeros.
    -> y, state and `dp, dx, dstate = backward(dy, dstate=None)`. ValueError where the state doesn't fit.
    """
    xp = check_arrays("lstm", "x (B, L, D), p.w_x (D, 4H), p.w_h (H, 4H), p.b (4H,)", x, p)
    start = _state(p, x.shape[0], state)
    h, c = start["h"], start["c"]
    from_x = xp.reshape(flat(x) @ p["w_x"] + p["b"], (*x.shape[:2], -1))
    steps, hs = [], []
    for t in range(x.shape[1]):
        i, f, o, g = _gates(from_x[:, t, :] + h @ p["w_h"])
        before, c = (h, c), f * c + i * g
        m = xp.tanh(c)
        h = o * m
        steps.append((i, f, o, g, m, *before))
        hs.append(h)
    y, end = xp.stack(hs, axis=1), {"h": h, "c": c}

    def backward(dy: Array = None, dstate: dict | None = None) -> tuple:
        dstate, dzs = dict.fromkeys(end) if dstate is None else dstate, []
        check_state("lstm", dstate, ("h", "c"))
        dy, dh, dc = cotangents("lstm", ("dy", dy, y), *((f"dstate {n}", dstate[n], a) for n, a in end.items()))
        for t, (i, f, o, g, m, _, c) in reversed(list(enumerate(steps))):
            dh = dh + dy[:, t, :]
            dc = dc + dh * o * (1 - m * m)
            dz = (dc * g * i * (1 - i), dc * c * f * (1 - f), dh * m * o * (1 - o), dc * i * (1 - g * g))
            dzs.append(xp.concat(dz, axis=-1))
            dh, dc = dzs[-1] @ p["w_h"].T, dc * f
        dz = flat(xp.stack(dzs[::-1], axis=1))
        h_before = flat(xp.stack([h for *_, h, _ in steps], axis=1))
        dp = {"w_x": flat(x).T @ dz, "w_h": h_before.T @ dz, "b": column_sums(dz)}
        dx = xp.reshape(dz @ p["w_x"].T, x.shape)
        return cast(dp, p), cast(dx, x), cast({"h": dh, "c": dc}, start)

    return y, end, backward


def _gates(z: Array) -> tuple:
    """(..., 4H) -> i, f, o, g, each (..., H)."""
    H = z.shape[-1] // 4
    (s, _), (g, _) = sigmoid(z[..., : 3 * H]), tanh(z[..., 3 * H :])
    return s[..., :H], s[..., H : 2 * H], s[..., 2 * H :], g


def _state(p: dict, B: int, state: dict | None) -> dict:
    """The state after argument checks; zeros for None. A state with B = 1 would broadcast."""
    w, xp = p["w_h"], namespace(p["w_h"])
    dtype = xp.result_type(*(a.dtype for a in p.values()))
    zero = xp.zeros((B, w.shape[0]), dtype=dtype, device=device(w))
    if state is None:
        return {"h": zero, "c": zero}
    check_state("lstm", state, ("h", "c"))
    for name, a in state.items():
        check_like("lstm", f"state {name}", zero if a is None else a, zero)
    return {name: zero if a is None else a for name, a in state.items()}


@dataclass(frozen=True)
class Lstm:
    """The block `lstm`, as wide as the model: H = D.

    At first w, b ~ U(-1/sqrt(D), 1/sqrt(D)), with 1 added to b at the forget gates (Jozefowicz et al. 2015). Without
    this 1, f starts near 1/2: the memory halves with every token, and long dependencies train late or never.
    """

    def init(self, rng: "np.random.Generator", width: int) -> dict:
        inward, across = linear_init(rng, width, 4 * width), linear_init(rng, width, 4 * width)
        forget = np.repeat([0.0, 1.0, 0.0, 0.0], width)
        return {"w_x": inward["w"], "w_h": across["w"], "b": inward["b"] + forget}

    def size(self, width: int) -> int:
        return 8 * width * width + 4 * width

    def state_size(self, width: int, length: int | None) -> int:
        return 2 * width

    def start(self, p: dict, like: Array, length: int | None) -> dict:
        return _state(p, like.shape[0], None)

    def run(self, p: dict, x: Array, state: dict | None, mode: str) -> tuple:
        return lstm(p, x, state)

    def trace(self, p: dict, x: Array) -> dict:
        """states (B, L, H): h_1 .. h_L.  gates (B, L, 4, H): i, f, o, g."""
        xp = namespace(x, p["w_x"])
        h, last, _ = lstm(p, x)
        before = xp.concat([xp.zeros_like(last["h"])[:, None, :], h[:, :-1, :]], axis=1)
        return {"states": h, "gates": xp.stack(_gates(x @ p["w_x"] + before @ p["w_h"] + p["b"]), axis=2)}
