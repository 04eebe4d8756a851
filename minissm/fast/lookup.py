"""layers.embed and losses.cross_entropy for NumPy: what a token names is picked by its index, not by a one-hot product.

The gradient of an embedding is a product with a sparse matrix: SciPy adds the rows of dy in the order of the tokens.
"""

from importlib import import_module

import numpy as np

MANY = 64  # rows of w: with fewer, the product with all of one_hot is as fast


def embed(p: dict, x: np.ndarray) -> tuple:
    """y = w[x] for tokens x (B, L), w (V, D) -> y (B, L, D)."""
    w, tokens = p["w"], x.reshape(-1).astype(np.intp)
    V, n = w.shape[0], tokens.size

    def backward(dy: np.ndarray) -> tuple:
        dys, ones = dy.reshape(n, -1), np.ones(n, dy.dtype)
        if V < MANY:
            with np.errstate(invalid="ignore"):
                dw = (tokens[:, None] == np.arange(V)).astype(w.dtype).T @ dys
            if np.isfinite(dw).all():  # else 0 * nan has spread to other rows
                return {"w": dw}, None
        rows = tokens % V  # SciPy checks no index: -1 would be written outside of dw
        hot = import_module("scipy.sparse").csc_array((ones, rows, np.arange(n + 1)), (V, n))
        return {"w": (hot @ dys).astype(w.dtype, copy=False)}, None

    return w.take(tokens, axis=0).reshape(*x.shape, w.shape[1]), backward


def cross_entropy(z: np.ndarray, targets: np.ndarray, w: np.ndarray) -> tuple:
    """loss = sum_i w_i (log sum_v exp z_iv - z_i,target).  The rows of z (..., V) have a maximum of 0; z is used up."""
    shape, z, w = z.shape, z.reshape(-1, z.shape[-1]), w.reshape(-1, 1)
    target = np.arange(len(z)), targets.reshape(-1).astype(np.intp)
    right = z[target][:, None]
    e = np.exp(z, out=z)
    total = np.sum(e, axis=-1, keepdims=True)

    def backward(dloss: np.ndarray | float = 1.0) -> np.ndarray:
        dz = e / total
        dz[target] -= 1
        dz *= w * dloss
        return dz.reshape(shape)

    return np.sum(w * (np.log(total) - right)), backward
