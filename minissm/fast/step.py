"""scan.stepper of poles for NumPy: the state is updated in place, and only y is allocated.

Two broadcasts would be slow. NumPy copies lam into buffers to repeat it over the sequences of a batch, and it adds an
input to the poles of its channel N numbers at a time. So lam is stored once for each sequence. BLAS adds the inputs,
by C <- a b + C with a = (1, 0, 1, 0, ...): 1 for the real parts, 0 for the imaginary ones. (An input that is not
finite makes the state of its channel nan, since 0 times inf is nan.)

In single precision lam is off by up to 4e-8. Every 64th step makes up for it, and for the 63 steps before. Where a
memory is long, the state itself is kept in double precision (see chunk.carried), and a step takes two to three times
as long.
"""

from collections.abc import Callable
from importlib import import_module

import numpy as np

from .chunk import carried

CATCH_UP = 64  # steps


def stepper(log_lam: np.ndarray, c: np.ndarray, dtype: np.dtype) -> Callable:
    """h <- lam h + u,  y = Re sum_n c_n h_n;  shapes as in scan/diagonal.py.

    A state from anywhere but the last step is copied first: a backward may still use it.
    """
    blas = import_module("scipy.linalg.blas")  # takes a tenth of a second, only generation needs it
    N, lam, complex_ = c.shape[1], np.exp(log_lam, dtype=np.complex128), carried(log_lam, dtype)
    real = np.zeros(0, complex_).real.dtype
    add, rounds = (blas.sgemm if real == np.float32 else blas.dgemm), real != dtype  # rounds: the caller gets a copy
    factor, weights = (np.ascontiguousarray(a, complex_) for a in (lam, c.conj()))
    rest = (lam - factor).astype(complex_)
    weights = weights.view(real)  # Re c h = (Re c, -Im c) . (Re h, Im h)
    to_real = np.tile(np.array([[1], [0]], real), (N, 1))
    current: tuple = (None, None, None, None)
    left, behind = 0, 1  # steps until the next catch-up; steps whose rest is added then

    def step(u: np.ndarray, h: np.ndarray) -> tuple:
        nonlocal current, left, behind
        state, factors, pairs, columns = current
        if h is not state and not (rounds and state is not None and np.array_equal(h, state.astype(h.dtype))):
            state = np.array(h, complex_, order="C")
            factors = np.repeat(factor[None], len(h), axis=0)
            pairs = state.view(real)  # (B, D, 2N)
            columns = pairs.reshape(-1, 2 * N).T  # (2N, B D), as BLAS sees it
            current, left, behind = (state, factors, pairs, columns), 0, 1
        if left:
            np.multiply(state, factors, out=state)
            left -= 1
        else:
            more = state * (behind * rest)
            np.multiply(state, factors, out=state)
            np.add(state, more, out=state)
            left, behind = CATCH_UP - 1, CATCH_UP
        add(1.0, to_real, u.reshape(1, -1), 1.0, columns, 0, 0, 1)  # overwrite_c=1; keywords would be slower
        y = np.vecdot(pairs, weights)
        return (y.astype(dtype), state.astype(h.dtype)) if rounds else (y, state)

    return step
