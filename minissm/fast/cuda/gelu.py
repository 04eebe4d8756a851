"""layers.gelu for CuPy: one launch forward, one backward. The reference body would make about ten of each."""

from functools import partial
from typing import Any

from ...backend import cotangent, namespace
from . import launch as cuda

Array = Any
run = partial(cuda.each, "gelu.cu")


def gelu(x: Array) -> tuple:
    """y = x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2;  any shape, and the gradient, as in layers.py.

    The forward reads x and writes y, and keeps only x. The backward reads x and dy, recomputes tanh and writes dx.
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
