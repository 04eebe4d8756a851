"""scan.stepper of poles for CuPy: one launch a step, and only y is allocated."""

from collections.abc import Callable
from typing import Any

from ...backend import complex_dtype, namespace, transpose
from . import launch as cuda

Array = Any


def stepper(log_lam: Array, c: Array, dtype: Any) -> Callable:
    """h <- lam h + u,  y = Re sum_n c_n h_n;  shapes as in scan/diagonal.py.

    A state from anywhere but the last step is copied first, to (B, N, D): a backward may still use it.
    """
    xp = namespace(log_lam, c)
    (D, N), complex_ = c.shape, complex_dtype(xp, dtype)
    double = xp.astype(log_lam.T, xp.complex128)
    lam, weights = xp.ascontiguousarray(xp.exp(double)), xp.ascontiguousarray(xp.astype(c.T, complex_))
    mine = last = None

    def step(u: Array, h: Array) -> tuple:
        nonlocal mine, last
        if h is not last:
            mine = xp.astype(transpose(h), xp.complex128).copy()
            last = transpose(mine)
        u = xp.ascontiguousarray(u)
        y = xp.empty_like(u)
        cuda.each("step.cu", "step", dtype, y.size, lam, weights, u, mine, y, len(y), D, N)
        return y, last

    return step
