"""layers.fnn with gelu for NumPy: blocks of rows go through all layers, so that hidden values stay in the cache.

With AVX-512, a block has as many rows as OpenBLAS multiplies without a copy (layout.PRODUCT); otherwise four times as
many. The outputs of gelu are not kept; the backward multiplies h s again.
"""

import math

import numpy as np

from . import layout
from .layout import cuts

ENOUGH = 1 << 12  # numbers of x; with fewer, the extra calls cost more than the cache saves
BLOCK = layout.PRODUCT if layout.AVX512 else 4 * layout.PRODUCT  # multiplications of a block by one matrix
FEWEST = 128  # rows of a block; fewer are not worth the calls
ONCE = math.sqrt(2 / math.pi)  # gelu(h) = h (1 + tanh(ONCE h + CUBED h^3)) / 2
CUBED = ONCE * 0.044715
FAR = 1e10  # from this |h| on, products could overflow: the reference body avoids them


def fnn(p: list, x: np.ndarray) -> tuple | None:
    """linear, then (gelu, linear) for each further p;  shapes and gradients as in layers.py. None: an h may be FAR."""
    rows = x.reshape(-1, x.shape[-1])
    if not _largest(p, rows) < FAR:  # so it is with nan
        return None
    R, *inner, last = len(rows), *(q["w"].shape[1] for q in p)
    size = max(FEWEST, BLOCK // max(q["w"].size for q in p))
    blocks = cuts(0, R, size)
    hidden = [np.empty((2, R, n), x.dtype) for n in inner]  # h, and its gate s: gelu(h) = h s
    y = np.empty((R, last), x.dtype)
    for block in blocks:
        a = rows[block]
        for q, hs in zip(p, hidden, strict=False):
            h, s = hs[:, block]
            _linear(q, a, h)
            _gate(h, s)
            a = h * s
        _linear(p[-1], a, y[block])

    def backward(dy: np.ndarray) -> tuple:
        dys, dx = dy.reshape(-1, dy.shape[-1]), np.empty_like(rows)
        dp = [{name: np.zeros_like(q[name]) for name in ("w", "b")} for q in p]
        turned = [np.ascontiguousarray(q["w"].T) for q in p]
        for block in blocks:
            d = dys[block]
            for dq, w, hs in zip(dp[:0:-1], turned[:0:-1], hidden[::-1], strict=True):
                h, s = hs[:, block]
                a = h * s
                _add_gradients(dq, a, d)
                d = d @ w
                d *= _slope(h, s, a)
            _add_gradients(dp[0], rows[block], d)
            np.matmul(d, turned[0], out=dx[block])
        return dp, dx.reshape(x.shape)

    return y.reshape(*x.shape[:-1], last), backward


def _largest(p: list, x: np.ndarray) -> float:
    """A bound of all |h|: for a row x, |x w + b| <= |x| |w| + |b| by their norms, and |gelu(h)| <= |h|."""
    bound = _norm(x)
    for q in p[:-1]:
        bound = bound * _norm(q["w"]) + _norm(q["b"])
    return bound


def _norm(a: np.ndarray) -> float:
    return math.sqrt(np.vdot(a, a))


def _linear(p: dict, x: np.ndarray, y: np.ndarray) -> None:
    np.matmul(x, p["w"], out=y)
    y += p["b"]


def _add_gradients(dp: dict, x: np.ndarray, dy: np.ndarray) -> None:
    dp["w"] += x.T @ dy
    dp["b"] += np.ones(len(dy), dy.dtype) @ dy


def _gate(h: np.ndarray, s: np.ndarray) -> None:
    """s = (1 + tanh z) / 2 = 1 / (1 + exp(-2 z)), z = h (ONCE + CUBED h^2): exp costs about half as much as tanh."""
    np.multiply(h, h, out=s)
    s *= -2 * CUBED
    s -= 2 * ONCE
    s *= h
    with np.errstate(over="ignore", under="ignore"):  # exp may give inf, and 1 / inf is 0, the right limit
        np.exp(s, out=s)
        s += 1
        np.reciprocal(s, out=s)


def _slope(h: np.ndarray, s: np.ndarray, a: np.ndarray) -> np.ndarray:
    """d (h s) / dh = s + a (1 - s) (2 ONCE + 6 CUBED h^2), in the memory of a = h s."""
    rest = h * h
    rest *= 6 * CUBED
    rest += 2 * ONCE
    a *= rest
    np.subtract(1, s, out=rest)
    a *= rest
    a += s
    return a
