"""Causal softmax attention with several heads: the mixer whose memory grows with every token."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .backend import device, namespace
from .checks import choice, whole
from .layers import add_positions, linear, linear_init, linear_size

Array = Any


def attention(q: Array, k: Array, v: Array) -> tuple:
    """o_t = sum_{s <= t} a_ts v_s,  a_t = softmax over s <= t of q_t . k_s / sqrt(P)  (Vaswani et al. 2017).

    q, k, v (B, H, L, P) -> o (B, H, L, P), weights a (B, H, L, L), and `dq, dk, dv = backward(do, da=None)`.
    """
    xp = namespace(q, k, v)
    L, scale = q.shape[2], 1 / math.sqrt(q.shape[3])
    t = xp.arange(L, device=device(q))
    hidden = t[:, None] < t[None, :]
    z = xp.where(hidden, -math.inf, (q * scale) @ xp.matrix_transpose(k))
    e = xp.exp(z - xp.max(z, axis=-1, keepdims=True))
    a = e / xp.sum(e, axis=-1, keepdims=True)
    o = a @ v

    def backward(do: Array, da: Array = None) -> tuple:
        dv = xp.matrix_transpose(a) @ do
        da_ = do @ xp.matrix_transpose(v)
        da_ = da_ if da is None else da_ + da
        dz = a * (da_ - xp.sum(a * da_, axis=-1, keepdims=True))  # the Jacobian of softmax: diag(a) - a a^T
        return (dz @ k) * scale, xp.matrix_transpose(dz) @ (q * scale), dv

    return o, a, backward


def split_heads(x: Array, H: int) -> Array:
    """(B, L, H P) -> (B, H, L, P)."""
    xp, (B, L, D) = namespace(x), x.shape
    return xp.permute_dims(xp.reshape(x, (B, L, H, D // H)), (0, 2, 1, 3))


def join_heads(x: Array) -> Array:
    """(B, H, L, P) -> (B, L, H P), the inverse and the adjoint of `split_heads`."""
    xp, (B, H, L, P) = namespace(x), x.shape
    return xp.reshape(xp.permute_dims(x, (0, 2, 1, 3)), (B, L, H * P))


def self_attention(p: dict, x: Array, *, heads: int) -> tuple:
    """[q k v] = (x + position) w + b,  y = concat over heads of attention(q, k, v) wo + bo.

    x, y (B, L, D); p: in {w (D, 3D), b}, out {w (D, D), b}, and, with learned positions, position (max_len, D).
    `y, a, backward` with the weights a (B, H, L, L), and `dp, dx = backward(dy, da=None)`.
    """
    xp = namespace(x, p["in"]["w"])
    L, D = x.shape[1:]
    if "position" in p and p["position"].shape[0] < L:
        places = p["position"].shape[0]
        raise ValueError(f"attn: a sequence of L={L}, but positions for {places}; give attn(max_len={L}) or more")
    placed, back_position = add_positions(p["position"], x) if "position" in p else (x, None)
    qkv, back_in = linear(p["in"], placed)
    q, k, v = (split_heads(qkv[..., i * D : (i + 1) * D], heads) for i in range(3))
    o, a, back_attention = attention(q, k, v)
    y, back_out = linear(p["out"], join_heads(o))

    def backward(dy: Array, da: Array = None) -> tuple:
        dout, do = back_out(dy)
        dq, dk, dv = back_attention(split_heads(do, heads), da)
        din, dx = back_in(xp.concat([join_heads(dq), join_heads(dk), join_heads(dv)], axis=-1))
        dp = {"in": din, "out": dout}
        if back_position is not None:
            dp["position"], dx = back_position(dx)
        return dp, dx

    return y, a, backward


@dataclass(frozen=True)
class Attn:
    """The block `attn`. heads must divide the model's width.

    positions: "learned", a vector for each of max_len places, ~ N(0, 0.3^2), added to the block's input, or "none".
    """

    heads: int = 2
    positions: str = "learned"
    max_len: int = 256

    def __post_init__(self) -> None:
        whole(self, "attn", "heads", least=1)
        choice(self, "attn", "positions", ("learned", "none"))
        whole(self, "attn", "max_len", least=1)
        if self.positions == "none" and self.max_len != 256:
            raise ValueError("attn: max_len means nothing with positions='none'; leave one of them out")

    def _check(self, width: int) -> None:
        if width % self.heads:
            raise ValueError(f"attn: width={width} can't be split over heads={self.heads}; choose a multiple")

    def init(self, rng: np.random.Generator, width: int, place: float | None = None) -> dict:
        self._check(width)
        p: dict = {"in": linear_init(rng, width, 3 * width), "out": linear_init(rng, width, width)}
        if self.positions == "learned":
            p["position"] = rng.normal(0, 0.3, (self.max_len, width))
        return p

    def size(self, width: int) -> int:
        self._check(width)
        positions = self.max_len * width if self.positions == "learned" else 0
        return linear_size(width, 3 * width) + linear_size(width, width) + positions

    def state_size(self, width: int, length: int) -> int:
        return 2 * width * length

    def apply(self, p: dict, x: Array, mode: str) -> tuple:
        y, _, backward = self_attention(p, x, heads=self.heads)
        return y, backward

    def trace(self, p: dict, x: Array) -> dict:
        """weights (B, H, L, L): how much token t takes from token s."""
        return {"weights": self_attention(p, x, heads=self.heads)[1]}
