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
    mine = last = exact = None

    def step(u: Array, h: Array) -> tuple:
        nonlocal mine, last, exact
        if h is not last:
            mine = transpose(h).copy()
            last, exact = transpose(mine), xp.astype(mine, xp.complex128, copy=False)
        u = xp.ascontiguousarray(u)
        y = xp.empty_like(u)
        cuda.each("step.cu", "step", dtype, y.size, lam, weights, u, mine, exact, y, len(y), D, N)
        return y, last

    return step
