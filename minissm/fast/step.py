"""scan.stepper of poles for NumPy: the state is updated in place, and only y is allocated.

Two broadcasts would be slow. NumPy copies lam into buffers to repeat it over the sequences of a batch, and it adds an
input to the poles of its channel N numbers at a time. So lam is stored once for each sequence. BLAS adds the inputs,
by C <- a b + C with a = (1, 0, 1, 0, ...): 1 for the real parts, 0 for the imaginary ones. (An input that is not
finite makes the state of its channel nan, since 0 times inf is nan.)

A state in double precision (see backend.state_dtype) makes a step two to three times as long.
"""

from collections.abc import Callable
from importlib import import_module

import numpy as np

from ..backend import state_dtype


def stepper(log_lam: np.ndarray, c: np.ndarray, dtype: np.dtype) -> Callable:
    """h <- lam h + u,  y = Re sum_n c_n h_n;  shapes as in scan/diagonal.py.

    A state from anywhere but the last step is copied first: a backward may still use it.
    """
    blas = import_module("scipy.linalg.blas")  # takes a tenth of a second, only generation needs it
    N, complex_ = c.shape[1], state_dtype(log_lam, dtype)
    real, add = (np.float32, blas.sgemm) if complex_ == np.complex64 else (np.float64, blas.dgemm)
    lam, weights = (np.ascontiguousarray(a, complex_) for a in (np.exp(log_lam, dtype=np.complex128), c.conj()))
    weights = weights.view(real)  # Re c h = (Re c, -Im c) . (Re h, Im h)
    to_real = np.tile(np.array([[1], [0]], real), (N, 1))
    current: tuple = (None, None, None, None)

    def step(u: np.ndarray, h: np.ndarray) -> tuple:
        nonlocal current
        last, lams, pairs, columns = current
        if h is not last:
            h = np.array(h, complex_, order="C")
            lams = np.repeat(lam[None], len(h), axis=0)
            pairs = h.view(real)  # (B, D, 2N)
            columns = pairs.reshape(-1, 2 * N).T  # (2N, B D), as BLAS sees it
            current = h, lams, pairs, columns
        np.multiply(h, lams, out=h)
        add(1.0, to_real, u.reshape(1, -1), 1.0, columns, 0, 0, 1)  # overwrite_c=1; keywords would be slower
        y = np.vecdot(pairs, weights)
        return (y if real == dtype else y.astype(dtype)), h

    return step
