"""layers.gelu for CuPy: one launch forward, one backward. The reference body would make some ten of each."""

from functools import partial
from typing import Any

from ...backend import cotangent, namespace
from . import launch as cuda

Array = Any
run = partial(cuda.each, "gelu.cu")


def gelu(x: Array) -> tuple:
    """y = x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2;  any shape, and the gradient, as in layers.py.

    Forward, x is read and y is written. Backward, x and dy are read, dx is written: tanh is computed again, and of the
    forward only x is kept.
    """
    xp, shape, dtype = namespace(x), x.shape, x.dtype
    x = xp.ascontiguousarray(x)
    y = xp.empty(shape, dtype=dtype)
    run("gelu", dtype, y.size, x, y, y.size)

    def backward(dy: Array) -> Array:
        dy = xp.ascontiguousarray(cotangent("gelu", dy, y))
        dx = xp.empty(shape, dtype=dtype)
        run("gelu_backward", dtype, dx.size, x, dy, dx, dx.size)
        return dx

    return y, backward
