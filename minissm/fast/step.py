"""scan.stepper of modes for NumPy: the state is moved on where it lies, and nothing is allocated but y.

Two things are slow when NumPy has to stretch an array over others: it copies it into buffers first (lam over the
sequences of a batch), or works on N numbers at a time (an input over the modes of its channel). So lam is kept once
for each sequence, and the inputs are added by a product of BLAS that adds to its result, C <- a b + C with
a = (1, 0, 1, 0, ...): 1 for the real parts, 0 for the imaginary ones. (An input that is not finite makes the state
of its channel nan, for 0 times inf is.)
"""

from collections.abc import Callable
from importlib import import_module

import numpy as np


def stepper(log_lam: np.ndarray, c: np.ndarray, dtype: np.dtype) -> Callable:
    """h <- lam h + u,  y = Re sum_n c_n h_n;  shapes as in scan/diagonal.py.

    A state that isn't its own is copied first: the backward of whoever made it may still hold it.
    """
    blas = import_module("scipy.linalg.blas")  # a tenth of a second, for those who generate
    add = blas.sgemm if dtype == np.float32 else blas.dgemm
    N, complex_ = c.shape[1], np.result_type(dtype, np.complex64)
    lam, weights = (np.ascontiguousarray(a, complex_) for a in (np.exp(log_lam), c.conj()))
    weights = weights.view(dtype)  # Re c h = (Re c, -Im c) . (Re h, Im h)
    to_real = np.tile(np.array([[1], [0]], dtype), (N, 1))
    own: tuple = (None, None, None, None)

    def step(u: np.ndarray, h: np.ndarray) -> tuple:
        nonlocal own
        last, lams, pairs, columns = own
        if h is not last:
            h = np.array(h, order="C")
            lams = np.repeat(lam[None], len(h), axis=0)
            pairs = h.view(dtype)  # (B, D, 2N)
            columns = pairs.reshape(-1, 2 * N).T  # (2N, B D), as BLAS sees it
            own = h, lams, pairs, columns
        np.multiply(h, lams, out=h)
        add(1.0, to_real, u.reshape(1, -1), 1.0, columns, 0, 0, 1)  # overwrite_c=1 (names cost a quarter of the call)
        return np.vecdot(pairs, weights), h

    return step
