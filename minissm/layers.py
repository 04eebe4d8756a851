"""Layers that see one token at a time: linear, activations, fnn, norms, embedding, positions.

The contract of everything differentiable, here and in every other file:

    *outputs, backward = f(*inputs)         one gradient for each input = backward(one cotangent for each output)

The backward stands inside its forward, in reverse order, with the same names and a d. Parameters p are a dict of real
arrays, and dp has the same keys, shapes and dtypes. A layer does not write into its arguments and keeps nothing between
calls. `backward` may be called more than once. It reads the inputs and outputs again: an array that was written to in
between (tokens, parameters) gives other gradients, without an error.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from . import fast
from .backend import cotangent, device, is_numpy, namespace, one_hot
from .checks import check_choice, check_generator, check_integer, choice, integer, number
from .shapes import check_arrays, check_indices, trusted
from .tree import cast, leaves

Array = Any


def flat(x: Array) -> Array:
    """(..., D) -> (rows, D)."""
    return namespace(x).reshape(x, (-1, *x.shape[-1:]))


def column_sums(x: Array) -> Array:
    """(..., D) -> (D,), as a product with ones: as exact as a sum over an axis, and faster."""
    xp, rows = namespace(x), flat(x)
    return xp.ones((rows.shape[0],), dtype=x.dtype, device=device(x)) @ rows


def linear(p: dict, x: Array) -> tuple:
    """y = x w + b.  x (..., D), w (D, E), b (E,) -> y (..., E)."""
    xp = check_arrays("linear", "x (..., D), p.w (D, E), p.b (E,)", x, p)
    rows = flat(x)
    y = rows @ p["w"]
    y += p["b"]
    y = xp.reshape(y, (*x.shape[:-1], p["w"].shape[1]))

    def backward(dy: Array) -> tuple:
        dys = flat(cotangent("linear", dy, y))
        dx = xp.reshape(dys @ p["w"].T, x.shape)
        return cast({"w": rows.T @ dys, "b": column_sums(dys)}, p), cast(dx, x)

    return y, backward


FAR = 50.0  # from here on s of gelu and silu is 0 or 1; to multiply farther numbers would give inf, and 0 inf = nan


def relu(x: Array) -> tuple:
    """y = max(x, 0).  Any shape. The gradient at 0 is 0."""
    xp, off = check_arrays("relu", "x (...)", x), x <= 0
    return xp.where(off, 0.0, x), lambda dy: xp.where(off, 0.0, cotangent("relu", dy, x))


def gelu(x: Array) -> tuple:
    """y = x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2  (Hendrycks & Gimpel 2016, the tanh form).  Any shape."""
    xp = check_arrays("gelu", "x (...)", x)
    if fast_path := fast.path("gelu", x):
        return fast_path(x)
    a = math.sqrt(2 / math.pi)
    b = a * 0.044715
    low = xp.maximum(x, -FAR)
    near = xp.minimum(low, FAR)
    s = 0.5 * xp.tanh(near * (a + b * (near * near))) + 0.5  # products: a power costs five times as much

    def backward(dy: Array) -> Array:
        slope = s + near * s * (1 - s) * (2 * a + 6 * b * (near * near))  # tanh' = 1 - tanh^2 = 4 s (1 - s)
        return cotangent("gelu", dy, x) * slope

    return low * s, backward


def tanh(x: Array) -> tuple:
    """y = tanh(x).  Any shape."""
    y = check_arrays("tanh", "x (...)", x).tanh(x)
    return y, lambda dy: cotangent("tanh", dy, y) * (1 - y * y)


def sigmoid(x: Array) -> tuple:
    """y = 1 / (1 + exp(-x)), as (1 + tanh(x / 2)) / 2, in which nothing overflows.  Any shape."""
    y = 0.5 + 0.5 * check_arrays("sigmoid", "x (...)", x).tanh(0.5 * x)
    return y, lambda dy: cotangent("sigmoid", dy, y) * (y * (1 - y))


def silu(x: Array) -> tuple:
    """y = x sigmoid(x)  (Elfwing et al. 2017, arXiv 1702.03118; also called swish).  Any shape."""
    xp, (s, _) = namespace(x), sigmoid(x)
    y = xp.maximum(x, -FAR) * s
    return y, lambda dy: cotangent("silu", dy, y) * (s + xp.minimum(y, FAR) * (1 - s))


ACTIVATIONS: dict[str, Callable] = {"relu": relu, "gelu": gelu, "silu": silu, "tanh": tanh, "sigmoid": sigmoid}


def fnn(p: list, x: Array, activation: str = "gelu") -> tuple:
    """linear with p[0], then activation and linear for each further entry of p.  x (..., D) -> y (..., D).

    p: a list of {w, b}, one more than there are hidden layers.
    activation: a key of ACTIVATIONS. Default "gelu".
    """
    check_arrays("fnn", _chain(len(p) if isinstance(p, list | tuple) else 1), x, p)
    act = ACTIVATIONS[check_choice("fnn", "activation", activation, ACTIVATIONS)]
    fast_path = fast.path("fnn", x, *leaves(p)) if activation == "gelu" and x.size >= fast.fnn.ENOUGH else None
    if fast_path and (found := fast_path(p, x)):
        y, back_fast = found
        return y, lambda dy: back_fast(cotangent("fnn", dy, y))
    y, back = linear(p[0], x)
    steps = [back]
    for q in p[1:]:
        y, back_act = act(y)
        y, back = linear(q, y)
        steps += [back_act, back]

    def backward(dy: Array) -> tuple:
        dp = []
        for i, back in reversed(list(enumerate(steps))):
            if i % 2:
                dy = back(dy)
            else:
                dq, dy = back(dy)
                dp.append(dq)
        return dp[::-1], dy

    return y, backward


@cache
def _chain(layers: int) -> str:
    """The shapes of x and of so many layers, each as wide as the one before gives numbers."""
    sizes = range(max(1, layers))
    return ", ".join(["x (..., D0)", *(f"p.{i}.w (D{i}, D{i + 1}), p.{i}.b (D{i + 1},)" for i in sizes)])


def _scale(x: Array) -> Array:
    """(..., 1): 1, or 1 / max |x| where squares of x might overflow."""
    xp = namespace(x)
    largest = xp.max(xp.abs(x), axis=-1, keepdims=True)
    return 1 / xp.where(largest > 1e15, largest, 1.0)


def rms_norm(p: dict, x: Array) -> tuple:
    """y = g x / sqrt(mean x^2 + 1e-6) over the last axis  (Zhang & Sennrich 2019).  x, y (..., D), g (D,)."""
    xp = check_arrays("rms_norm", "x (..., D), p.g (D,)", x, p)
    c = _scale(x)
    m = x * c
    r = 1 / xp.sqrt(xp.mean(m * m, axis=-1, keepdims=True) + 1e-6 * (c * c))
    n = m * r
    y = n * p["g"]

    def backward(dy: Array) -> tuple:
        dy = cotangent("rms_norm", dy, y)
        dn = dy * p["g"]
        dx = r * c * (dn - n * xp.mean(dn * n, axis=-1, keepdims=True))
        return cast({"g": column_sums(dy * n)}, p), cast(dx, x)

    return y, backward


def layer_norm(p: dict, x: Array) -> tuple:
    """y = g (x - mean) / sqrt(var + 1e-5) + b over the last axis  (Ba et al. 2016).  x, y (..., D), g, b (D,)."""
    xp = check_arrays("layer_norm", "x (..., D), p.g (D,), p.b (D,)", x, p)
    c = _scale(x)
    m = x * c - xp.mean(x * c, axis=-1, keepdims=True)
    r = 1 / xp.sqrt(xp.mean(m * m, axis=-1, keepdims=True) + 1e-5 * (c * c))
    n = m * r
    y = n * p["g"] + p["b"]

    def backward(dy: Array) -> tuple:
        dy = cotangent("layer_norm", dy, y)
        dn = dy * p["g"]
        dm = dn - n * xp.mean(dn * n, axis=-1, keepdims=True)
        dx = r * c * (dm - xp.mean(dn, axis=-1, keepdims=True))  # mean dm = mean dn, because mean n = 0
        return cast({"g": column_sums(dy * n), "b": column_sums(dy)}, p), cast(dx, x)

    return y, backward


def no_norm(p: dict, x: Array) -> tuple:
    """y = x: no normalisation."""
    return x, lambda dy: ({}, dy)


NORMS: dict[str, Callable] = {"none": no_norm, "rms": rms_norm, "layer": layer_norm}


NORM_LEAVES = {"none": (), "rms": ("g",), "layer": ("g", "b")}


def norm_init(norm: str, width: int) -> dict:
    """g = 1, b = 0."""
    width = check_integer("norm_init", "width", width)
    names = NORM_LEAVES[check_choice("norm_init", "norm", norm, NORMS)]
    return {name: np.full(width, float(name == "g")) for name in names}


def embed(p: dict, x: Array) -> tuple:
    """y = w[x], a row of w for each token.  x (B, L) integers or (B, L, V) one-hot, w (V, D) -> y (B, L, D).

    dx is None for integers. A nan in dy stays in the row of its token. Cost: the reference body's backward forms the
    one-hot matrix, B L V numbers, even for integers, because the array API has no scatter-add; on NumPy a fast path
    forms none. One-hot floats are a product: a nan in w reaches every token.
    """
    xp, w = check_arrays("embed", "x (...) integers or (..., V), p.w (V, D)", x, p), p["w"]
    if xp.isdtype(x.dtype, "integral"):
        check_indices("embed", "tokens", x, w.shape[0])
        if fast_path := fast.path("embed", w):
            y, back = fast_path(p, x)
            return y, lambda dy: back(cotangent("embed", dy, y))
        tokens = xp.reshape(x, (-1,))
        y = xp.reshape(xp.take(w, tokens, axis=0), (*x.shape, w.shape[1]))

        def back(dy: Array) -> tuple:
            rows, hot = flat(cotangent("embed", dy, y)), one_hot(xp, tokens, w.shape[0], w.dtype)
            wrong = ~xp.isfinite(rows)
            dw = hot.T @ xp.where(wrong, 0.0, rows)  # 0 * nan would reach every row
            return {"w": xp.where(hot.T @ xp.astype(wrong, w.dtype) > 0, math.nan, dw)}, None

        return y, back
    y = xp.reshape(flat(x) @ w, (*x.shape[:-1], w.shape[1]))

    def backward(dy: Array) -> tuple:
        dys = flat(cotangent("embed", dy, y))
        return cast({"w": flat(x).T @ dys}, p), cast(xp.reshape(dys @ w.T, x.shape), x)

    return y, backward


def add_positions(w: Array, x: Array, first: int = 0) -> tuple:
    """y_t = x_t + w_{first + t}.  x (B, L, D), w (at least first + L, D) -> y (B, L, D)."""
    xp = check_arrays("add_positions", "w (S, D), x (B, L, D)", w, x)
    end = check_integer("add_positions", "first", first, minimum=0) + x.shape[1]
    if end > w.shape[0]:
        raise ValueError(f"add_positions: first={first}, L={x.shape[1]}; expected first + L <= {w.shape[0]}, w's rows")
    y = x + w[first:end, :]

    def backward(dy: Array) -> tuple:
        dy = cotangent("add_positions", dy, y)
        dw = xp.zeros_like(w)
        dw[first:end, :] += cast(xp.sum(dy, axis=0), w)
        return dw, cast(dy, x)

    return y, backward


def take_rows(x: Array, rows: Array) -> tuple:
    """y_r = x[b, t], where rows_r = b L + t.  x (B, L, D), rows (R,) -> y (R, D).

    rows: integers from 0 to B L - 1, each greater than the one before.
    """
    xp, tokens = check_arrays("take_rows", "x (B, L, D), rows (R,) integers", x, rows), flat(x)
    if not trusted():
        check_indices("take_rows", "rows", rows, tokens.shape[0])
        if is_numpy(xp) and not (rows[1:] > rows[:-1]).all():
            raise ValueError("take_rows: rows don't increase; expected each greater than the one before, sort them")
    rows = xp.astype(rows, xp.int64)  # uint8 can't count 300 tokens
    y = xp.take(tokens, rows, axis=0)

    def backward(dy: Array) -> Array:
        dy = cotangent("take_rows", dy, y)
        position = xp.arange(tokens.shape[0], dtype=rows.dtype, device=device(rows))
        r = xp.searchsorted(rows, position, side="right")  # rows <= position; the array API has no scatter
        last = xp.concat([rows[:1] - rows[:1] - 1, rows])  # the greatest of them, -1 for none
        zero = xp.zeros((1, dy.shape[1]), dtype=dy.dtype, device=device(dy))
        index = xp.where(xp.take(last, r) == position, r, xp.zeros_like(r))
        return xp.reshape(xp.take(xp.concat([zero, dy]), index, axis=0), x.shape)

    return y, backward


# ---- initial draws


def linear_init(rng: "np.random.Generator", inputs: int, outputs: int) -> dict:
    """w, b ~ U(-1/sqrt(inputs), 1/sqrt(inputs))."""
    check_generator("linear_init", rng)
    inputs, outputs = check_integer("linear_init", "inputs", inputs), check_integer("linear_init", "outputs", outputs)
    bound = 1 / math.sqrt(inputs)
    return {"w": rng.uniform(-bound, bound, (inputs, outputs)), "b": rng.uniform(-bound, bound, outputs)}


def linear_size(inputs: int, outputs: int) -> int:
    """The number of parameters of `linear`."""
    return inputs * outputs + outputs


@dataclass(frozen=True)
class Fnn:
    """The block `fnn<depth>`: a network that sees one token at a time. fnn0 is an affine map.

    depth: hidden layers, 0 to 999. Default 1.
    width: of the hidden layers. None (default): expand times the model's.
    act: the activation, a key of ACTIVATIONS. Default "gelu".
    expand: hidden width over the model's width, a number above 0. Default 4.

    Weights ~ N(0, 2 / inputs), biases 0 (He et al. 2015): with smaller draws, depth 2 and more don't start to learn.
    """

    depth: int = 1
    width: int | None = None
    act: str = "gelu"
    expand: float = 4

    def __post_init__(self) -> None:
        integer(self, "fnn", "depth", minimum=0)
        if self.depth > 999:
            raise ValueError(f"fnn: depth={self.depth}; expected 999 at most")
        integer(self, "fnn", "width", minimum=1, optional=True)
        choice(self, "fnn", "act", ACTIVATIONS)
        number(self, "fnn", "expand", "a number above 0, to 10000", lambda v: 0 < v <= 10_000)
        if self.expand == int(self.expand):
            object.__setattr__(self, "expand", int(self.expand))  # it is spelled so: fnn1(expand=8)
        if self.depth == 0 and (self.width, self.act, self.expand) != (None, "gelu", 4):
            raise ValueError("fnn0: an option was given, but fnn0 has no hidden layer; leave it out or use fnn1")
        if self.width is not None and self.expand != 4:
            raise ValueError(f"fnn: width={self.width}, expand={self.expand}; both set the hidden width, give one")

    def _sizes(self, width: int) -> list[tuple[int, int]]:
        sizes = [width, *[self.width or max(1, round(self.expand * width))] * self.depth, width]
        return list(pairwise(sizes))

    def init(self, rng: "np.random.Generator", width: int) -> list:
        return [{"w": rng.normal(0, math.sqrt(2 / n), (n, m)), "b": np.zeros(m)} for n, m in self._sizes(width)]

    def size(self, width: int) -> int:
        return sum(linear_size(n, m) for n, m in self._sizes(width))

    def apply(self, p: list, x: Array) -> tuple:
        return fnn(p, x, self.act)
