"""Causal softmax attention with several heads. Its state grows with every token: a key and a value for each head."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import fast
from .backend import check_state, cotangent, device, namespace
from .checks import check_integer, choice, integer
from .layers import add_positions, linear, linear_init, linear_size
from .shapes import check_arrays
from .tree import cast

Array = Any
SHAPES = "x (B, L, D), p.in.w (D, 3D), p.in.b (3D,), p.out.w (D, D), p.out.b (D,), p.position (M, D) or missing"


def attention(q: Array, k: Array, v: Array) -> tuple:
    """o_t = sum_{s <= t} a_ts v_s,  a = attention_weights(q, k)  (Vaswani et al. 2017).

    q (B, H, L, P): the queries of the last L of the S tokens.
    k, v (B, H, S, P): the keys and values of all S tokens, S >= L.
    -> o (B, H, L, P) and `dq, dk, dv = backward(do)`.

    ValueError where shapes don't fit. Cost: the reference body keeps B H L S weights; a fast path keeps none.
    A key or value that is not finite changes no output before its token. Trap: where L S > 32,768, the fast path may
    spoil up to 63 outputs before it; `with minissm.reference():` keeps them.
    """
    _check(q, k, v)
    xp = namespace(q, k, v)
    if fast_path := fast.path("attention", q, k, v):
        o, back = fast_path(q, k, v)
        if q.shape[2] == 1 or q.shape[2] * k.shape[2] > fast.attention.AT_ONCE or xp.isfinite(xp.sum(join_heads(o))):
            return o, lambda do: back(cotangent("attention", do, o, "do"))
    scale, a = 1 / math.sqrt(q.shape[3]), attention_weights(q, k)
    finite = [xp.where(xp.isfinite(z), z, 0.0) for z in (q, k, v, a)]  # 0 inf = nan
    v_before = xp.cumulative_sum(v - finite[2], axis=2)  # 0, or what is not finite up to each token
    o = a @ finite[2] + v_before[:, :, k.shape[2] - q.shape[2] :, :]

    def backward(do: Array) -> tuple:
        q_, k_, v_, a = finite
        do = cotangent("attention", do, o, "do")
        dv = xp.matrix_transpose(a) @ do
        da = do @ xp.matrix_transpose(v_)
        dz = a * (da - xp.sum(a * da, axis=-1, keepdims=True))  # the Jacobian of softmax: diag(a) - a a^T
        return cast((dz @ k_) * scale, q), cast(xp.matrix_transpose(dz) @ (q_ * scale), k), cast(dv, v)

    return o, backward


def _check(q: Array, k: Array, v: Array) -> Any:
    """Argument checks: otherwise fewer heads would silently broadcast, and a longer v would be cut."""
    xp = check_arrays("attention", "q (B, H, L, P), k (B, H, S, P), v (B, H, S, R)", q, k, v)
    if q.shape[2] > k.shape[2]:
        raise ValueError(f"attention: L={q.shape[2]} queries, S={k.shape[2]} keys; expected S >= L")
    return xp


def attention_weights(q: Array, k: Array) -> Array:
    """a_ts = softmax over s <= t of q_t . k_s / sqrt(P): the weight of token s in the output of token t.

    q (B, H, L, P), of the last L of the S tokens; k (B, H, S, P) -> a (B, H, L, S). There is no backward.
    """
    xp = _check(q, k, k)
    position = xp.arange(k.shape[2], device=device(q))
    hidden = position[k.shape[2] - q.shape[2] :, None] < position[None, :]
    z = xp.where(hidden, -math.inf, (q * (1 / math.sqrt(q.shape[3]))) @ xp.matrix_transpose(k))
    e = xp.exp(z - xp.max(z, axis=-1, keepdims=True))
    return e / xp.sum(e, axis=-1, keepdims=True)


def split_heads(x: Array, H: int) -> Array:
    """(B, L, H P) -> (B, H, L, P)."""
    xp, (B, L, D) = namespace(x), x.shape
    return xp.permute_dims(xp.reshape(x, (B, L, H, D // H)), (0, 2, 1, 3))


def join_heads(x: Array) -> Array:
    """(B, H, L, P) -> (B, L, H P), the inverse and the adjoint of `split_heads`."""
    xp, (B, H, L, P) = namespace(x), x.shape
    return xp.reshape(xp.permute_dims(x, (0, 2, 1, 3)), (B, L, H * P))


def self_attention(p: dict, x: Array, state: dict | None = None, *, heads: int) -> tuple:
    """[q k v] = (x + position) w + b,  y = concat over heads of attention(q, k, v) wo + bo.

    p: in {w (D, 3D), b (3D,)}, out {w (D, D), b (D,)}, and, with learned positions, position (max_len, D).
    x, y (B, L, D).
    state: {"k": (B, H, S, P), "v": (B, H, S, P), "filled": n}. The first n of the S are in use.
        None (default): no token yet.
    heads: H, a divisor of D; P = D / H.
    -> y, state and `dp, dx, dstate = backward(dy, dstate=None)`.

    ValueError where the state doesn't fit, or the sequence is longer than max_len.
    """
    q, k_new, v_new, back_project = _project(p, x, state, heads)
    xp, k, v, filled = namespace(x), k_new, v_new, 0
    if state is not None:
        filled = state["filled"]
        k, v = (xp.concat([state[n][:, :, :filled, :], new], axis=2) for n, new in (("k", k_new), ("v", v_new)))
    o, back_attention = attention(q, k, v)
    y, back_out = linear(p["out"], join_heads(o))

    def backward(dy: Array = None, dstate: dict | None = None) -> tuple:
        dout, do = back_out(dy)
        dq, dk, dv = back_attention(split_heads(do, heads))
        if dstate is not None:
            check_state("attn", dstate, ("k", "v"), "filled")
            one = "(B, H, S, P) or None"
            shapes = f"k (B, H, S, P), dstate.k {one}, dstate.v {one}, dstate.filled any or missing"
            check_arrays("attn", shapes, k, dstate)
            dk, dv = (d if dstate[name] is None else d + dstate[name] for name, d in (("k", dk), ("v", dv)))
        dp, dx = back_project(dq, dk[:, :, filled:, :], dv[:, :, filled:, :])
        dp["out"] = dout
        if state is None:
            return dp, dx, None
        before = {"k": xp.zeros_like(state["k"]), "v": xp.zeros_like(state["v"]), "filled": None}
        for name, d in (("k", dk), ("v", dv)):
            before[name][:, :, :filled, :] += d[:, :, :filled, :]
        return dp, dx, before

    return y, {"k": k, "v": v, "filled": k.shape[2]}, backward


def _project(p: dict, x: Array, state: dict | None, heads: int) -> tuple:
    """Queries, keys and values of the tokens x, (B, H, L, P) each. Their positions follow the tokens in the state."""
    if state is not None:
        check_state("attn", state, ("k", "v", "filled"))
    xp, first = check_arrays("attn", SHAPES, x, p), 0
    (_, L, D), heads = x.shape, check_integer("attn", "heads", heads)
    if D % heads:
        raise ValueError(f"attn: heads={heads}, D={D}; expected a divisor of D")
    if state is not None:
        k, v, first = state["k"], state["v"], check_integer("attn", "filled", state["filled"], minimum=0)
        shape = f"(B, {heads}, S, {D // heads})"
        check_arrays("attn", f"x (B, L, D), k {shape}, v {shape} alike", x, k, v, always=True)
        if first > k.shape[2]:
            raise ValueError(f"attn: a state with filled={first} and room for {k.shape[2]} tokens; expected no more")
    if "position" in p and p["position"].shape[0] < first + L:
        where = f"a sequence of L={first + L}, but positions for {p['position'].shape[0]}"
        raise ValueError(f"attn: {where}; give attn(max_len={first + L}) or more")
    z, back_position = add_positions(p["position"], x, first) if "position" in p else (x, None)
    qkv, back_in = linear(p["in"], z)
    q, k, v = (split_heads(qkv[..., i * D : (i + 1) * D], heads) for i in range(3))

    def backward(dq: Array, dk: Array, dv: Array) -> tuple:
        din, dx = back_in(xp.concat([join_heads(dq), join_heads(dk), join_heads(dv)], axis=-1))
        dp = {"in": din}
        if back_position is not None:
            dp["position"], dx = back_position(dx)
        return dp, dx

    return q, k, v, backward


@dataclass(frozen=True)
class Attn:
    """The block `attn`: causal self-attention (see `self_attention`).

    heads: H, a divisor of the model's width. Default 2.
    positions: "learned" (default): the block adds to its input a vector for each position, ~ N(0, 0.3^2) at first.
        "none": it adds nothing.
    max_len: tokens in the longest sequence with learned positions. `start` allocates for as many. Default 256.
    """

    heads: int = 2
    positions: str = "learned"
    max_len: int = 256

    def __post_init__(self) -> None:
        integer(self, "attn", "heads", minimum=1)
        choice(self, "attn", "positions", ("learned", "none"))
        integer(self, "attn", "max_len", minimum=1)
        if self.positions == "none" and self.max_len != 256:
            raise ValueError("attn: max_len has no meaning with positions='none'; leave one of them out")

    def _check(self, width: int) -> None:
        if width % self.heads:
            raise ValueError(f"attn: width={width} can't be split over heads={self.heads}; choose a multiple")

    def init(self, rng: "np.random.Generator", width: int) -> dict:
        self._check(width)
        p: dict = {"in": linear_init(rng, width, 3 * width), "out": linear_init(rng, width, width)}
        if self.positions == "learned":
            p["position"] = rng.normal(0, 0.3, (self.max_len, width))
        return p

    def size(self, width: int) -> int:
        self._check(width)
        positions = self.max_len * width if self.positions == "learned" else 0
        return linear_size(width, 3 * width) + linear_size(width, width) + positions

    def state_size(self, width: int, length: int | None) -> int:
        return 2 * width * (self.max_len if length is None else length)

    def start(self, p: dict, like: Array, length: int | None) -> dict:
        """Room for the keys and values of `length` tokens (None: max_len); `step` enlarges a full buffer."""
        w = p["in"]["w"]
        shape = (like.shape[0], self.heads, length or self.max_len, w.shape[0] // self.heads)
        zeros = (namespace(w).zeros(shape, dtype=w.dtype, device=device(w)) for _ in range(2))
        return {**dict(zip("kv", zeros, strict=True)), "filled": 0}

    def run(self, p: dict, x: Array, state: dict | None, mode: str) -> tuple:
        return self_attention(p, x, state, heads=self.heads)

    def stepper(self, p: dict) -> Callable:
        return lambda x, state: self._step(p, x, state)

    def _step(self, p: dict, x: Array, state: dict) -> tuple:
        """One token x (B, 1, D). Its key and value go into the buffers of `state`: don't use that state again."""
        check_state("attn", state, ("k", "v", "filled"))
        q, k, v, _ = _project(p, x, state, self.heads)
        filled, buffers = state["filled"], (state["k"], state["v"])
        if filled == buffers[0].shape[2]:  # full: copy into buffers of twice the size
            xp = namespace(x)
            B, H, _, P = k.shape
            more = xp.zeros((B, H, filled + 1, P), dtype=k.dtype, device=device(k))
            buffers = tuple(xp.concat([b, more], axis=2) for b in buffers)
        for buffer, new in zip(buffers, (k, v), strict=True):
            buffer[:, :, filled : filled + 1, :] = new
        o, _ = attention(q, *(b[:, :, : filled + 1, :] for b in buffers))
        y, _ = linear(p["out"], join_heads(o))
        return y, {"k": buffers[0], "v": buffers[1], "filled": filled + 1}

    def trace(self, p: dict, x: Array) -> dict:
        """weights (B, H, L, L): the weight of token s in the output of token t."""
        q, k, _, _ = _project(p, x, None, self.heads)
        return {"weights": attention_weights(q, k)}
