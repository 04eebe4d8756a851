"""Fast paths: the same functions, written to be fast on one kind of array. To understand them, read the reference bodies.

A fast path agrees with the reference (tests/test_fast.py, tests/test_cuda.py). On NumPy it earns its place by a gain
of at least 1.3x on a whole workload; on CuPy it is a kernel (cuda/), where the reference would launch some for each
step. MINISSM_REFERENCE=1 in the environment switches all of them off. The plain function asks `body` first:

    if fast_path := fast.path("chunked", u): return fast_path(...)
"""

from collections.abc import Callable
from typing import Any

from ..backend import REFERENCE, is_cupy, is_numpy, namespace
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
    "recurrent": cuda.diagonal.recurrent,
    "stepper": cuda.step.stepper,
}


def path(name: str, *arrays: Any) -> Callable | None:
    """The fast path of this name for these arrays, None where there is none."""
    if REFERENCE:
        return None
    xp = namespace(*arrays)
    return NUMPY.get(name) if is_numpy(xp) else CUPY.get(name) if is_cupy(xp) else None
