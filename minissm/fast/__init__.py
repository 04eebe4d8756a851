"""Second bodies: the same functions, written to be fast on one kind of array. To understand them, read the plain ones.

A second body agrees with the plain one (tests/test_fast.py, tests/test_cuda.py). On NumPy it earns its place by a gain
of at least 1.3x on a whole workload; on CuPy it is a kernel (cuda/), where the plain one would launch some for each
step. MINISSM_PLAIN=1 in the environment switches all of them off. The plain function asks `body` first:

    if second := fast.body("chunked", u): return second(...)
"""

from collections.abc import Callable
from typing import Any

from ..backend import PLAIN, is_cupy, is_numpy, namespace
from . import attention, chunked, cuda, fft, fnn, linear, selective, step, taps

NUMPY: dict[str, Callable] = {
    "attention": attention.attention,
    "chunked": chunked.chunked,
    "fft": fft.fft,
    "fnn": fnn.fnn,
    "linear": linear.linear,
    "selective_scan": selective.selective_scan,
    "stepper": step.stepper,
    "taps.chunked": taps.chunked,
    "taps.fft": taps.fft,
}
CUPY: dict[str, Callable] = {
    "linear": cuda.linear.linear,
    "recurrent": cuda.modes.recurrent,
    "stepper": cuda.step.stepper,
}


def body(name: str, *arrays: Any) -> Callable | None:
    """The second body of this name for these arrays, None where there is none."""
    if PLAIN:
        return None
    xp = namespace(*arrays)
    return NUMPY.get(name) if is_numpy(xp) else CUPY.get(name) if is_cupy(xp) else None
