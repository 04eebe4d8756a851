"""layers.gelu for NumPy: in place and block by block, so that what it works on stays in the cache."""

import math

import numpy as np

BLOCK = 1 << 16  # numbers of one block: four arrays of it fit into the second cache, in single precision
A = math.sqrt(2 / math.pi)
B = A * 0.044715


def gelu(x: np.ndarray) -> tuple:
    """y = x s,  s = (1 + tanh(x (A + B x^2))) / 2.  Any shape. Keeps s, not its dozen of intermediates."""
    x_ = np.ascontiguousarray(x).reshape(-1)
    s, y = np.empty_like(x_), np.empty_like(x_)
    blocks = [slice(i, i + BLOCK) for i in range(0, x_.size, BLOCK)]
    for block in blocks:
        xs, ss = x_[block], s[block]
        np.multiply(xs, xs, out=ss)
        ss *= B
        ss += A
        ss *= xs
        np.tanh(ss, out=ss)
        ss *= 0.5
        ss += 0.5
        np.multiply(xs, ss, out=y[block])

    def backward(dy: np.ndarray) -> np.ndarray:
        """dx = dy (s + y (1 - s) (2 A + 6 B x^2))."""
        dy_, dx, rest = dy.reshape(-1), np.empty_like(x_), np.empty_like(x_[:BLOCK])
        for block in blocks:
            xs, ss, d = x_[block], s[block], dx[block]
            r = rest[: xs.size]
            np.multiply(xs, xs, out=d)
            d *= 6 * B
            d += 2 * A
            np.subtract(1, ss, out=r)
            d *= r
            d *= y[block]
            d += ss
            d *= dy_[block]
        return dx.reshape(x.shape)

    return y.reshape(x.shape), backward
