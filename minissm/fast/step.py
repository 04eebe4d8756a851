"""scan.stepper of poles for NumPy: the state is updated in place, and only y is allocated.

Two broadcasts would be slow. NumPy copies lam into buffers to repeat it over the sequences of a batch, and it adds an
input to the poles of its channel N numbers at a time. So lam is stored once for each sequence. BLAS adds the inputs,
by C <- a b + C with a = (1, 0, 1, 0, ...): 1 for the real parts, 0 for the imaginary ones. (An input that is not
finite makes the state of its channel nan, since 0 times inf is nan.)
"""

from collections.abc import Callable
from importlib import import_module

import numpy as np


def stepper(log_lam: np.ndarray, c: np.ndarray, dtype: np.dtype) -> Callable:
    """h <- lam h + u,  y = Re sum_n c_n h_n;  shapes as in scan/diagonal.py.

    A state from anywhere but the last step is copied first: a backward may still use it.
    """
    blas = import_module("scipy.linalg.blas")  # takes a tenth of a second, only generation needs it
    add = blas.sgemm if dtype == np.float32 else blas.dgemm
    N, complex_ = c.shape[1], np.result_type(dtype, np.complex64)
    lam, weights = (np.ascontiguousarray(a, complex_) for a in (np.exp(log_lam), c.conj()))
    weights = weights.view(dtype)  # Re c h = (Re c, -Im c) . (Re h, Im h)
    to_real = np.tile(np.array([[1], [0]], dtype), (N, 1))
    current: tuple = (None, None, None, None)

    def step(u: np.ndarray, h: np.ndarray) -> tuple:
        nonlocal current
        last, lams, pairs, columns = current
        if h is not last:
            h = np.array(h, order="C")
            lams = np.repeat(lam[None], len(h), axis=0)
            pairs = h.view(dtype)  # (B, D, 2N)
            columns = pairs.reshape(-1, 2 * N).T  # (2N, B D), as BLAS sees it
            current = h, lams, pairs, columns
        np.multiply(h, lams, out=h)
        add(1.0, to_real, u.reshape(1, -1), 1.0, columns, 0, 0, 1)  # overwrite_c=1; keywords would be slower
        return np.vecdot(pairs, weights), h

    return step
