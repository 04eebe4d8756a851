"""Second bodies: the same functions, written to be fast on one kind of array. To understand them, read the plain ones.

A second body agrees with the plain one (tests/test_fast.py) and earns its place by a gain of at least 1.3x on a whole
workload. MINISSM_PLAIN=1 in the environment switches all of them off. The plain function asks `body` first:

    if second := fast.body("chunked", u): return second(...)
"""

from collections.abc import Callable
from typing import Any

from ..backend import PLAIN, is_numpy, namespace
from . import attention, chunked, fft, fnn, linear, selective, step, taps

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


def body(name: str, *arrays: Any) -> Callable | None:
    """The second body of this name for these arrays, None where there is none."""
    return None if PLAIN or not is_numpy(namespace(*arrays)) else NUMPY.get(name)
