"""Fast paths: the same functions, written to be fast on one kind of array. To understand one, read its reference body.

A fast path agrees with its reference body (tests/test_fast.py, tests/test_cuda.py). On NumPy it earns its place by a
gain of at least 1.3x on a whole workload. On CuPy it is a kernel (cuda/); the reference body would launch several
kernels for each step. `with minissm.reference():` and MINISSM_REFERENCE=1 in the environment turn all of them off. The
reference body asks `path` first:

    if fast_path := fast.path("chunked", u): return fast_path(...)
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from ..backend import REFERENCE, is_cupy, is_numpy, namespace
from . import attention, chunked, cuda, fft, fnn, linear, lookup, selective, step, taps

NUMPY: dict[str, Callable] = {
    "attention": attention.attention,
    "chunked": chunked.chunked,
    "cross_entropy": lookup.cross_entropy,
    "embed": lookup.embed,
    "fft": fft.fft,
    "fnn": fnn.fnn,
    "linear": linear.linear,
    "selective_scan": selective.selective_scan,
    "stepper": step.stepper,
    "taps.chunked": taps.chunked,
    "taps.fft": taps.fft,
}
CUPY: dict[str, Callable] = {
    "gelu": cuda.gelu.gelu,
    "linear": cuda.linear.linear,
    "recurrent": cuda.diagonal.recurrent,
    "stepper": cuda.step.stepper,
}


_reference: ContextVar[bool] = ContextVar("reference", default=False)


@contextmanager
def reference() -> Iterator[None]:
    """Inside, every function runs its reference body, the one to read and step through.

    The setting holds for the thread that enters it. A backward takes the path that its forward took.
    """
    token = _reference.set(True)
    try:
        yield
    finally:
        _reference.reset(token)


def path(name: str, *arrays: Any) -> Callable | None:
    """The fast path of this name for these arrays. None if there is none, or if reference bodies are switched on.

    Fast paths are written for arrays of one dtype: None, too, where these differ.
    """
    if REFERENCE or _reference.get() or len({a.dtype for a in arrays if a is not None}) > 1:
        return None
    xp = namespace(*arrays)
    return NUMPY.get(name) if is_numpy(xp) else CUPY.get(name) if is_cupy(xp) else None
