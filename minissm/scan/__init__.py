"""The linear filters of state space layers, in three modes that agree: `recurrent`, `chunked`, `fft`.

diagonal.py: a recurrence with N complex modes, the coefficients `log_lam, c`. taps.py: a window, the coefficients `k`.
linear.py: `scan.linear`, the recurrence whose factor changes from input to input. `scan.recurrent`, `scan.chunked` and
`scan.fft` are those of diagonal.py. `scan.stepper` takes one input at a time, for generation.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

from .. import fast
from ..backend import complex_dtype, device, namespace
from ..filters import Poles as Poles, Taps as Taps
from . import diagonal, taps
from .diagonal import chunked as chunked, fft as fft, recurrent as recurrent
from .linear import linear as linear
from .matrices import kernel as kernel

Array = Any
MODES = {"recurrent": recurrent, "chunked": chunked, "fft": fft}


def family(coefficients: Poles | Taps) -> ModuleType:
    """Where the scans of these coefficients live."""
    if isinstance(coefficients, Poles | Taps):
        return diagonal if isinstance(coefficients, Poles) else taps
    raise TypeError(f"scan: {type(coefficients).__name__} given; a filter returns Poles(log_lam, c) or Taps(k)")


def pick(mode: str, shape: tuple[int, int, int], coefficients: Poles | Taps) -> Callable:
    """The scan for `mode`: `y, state, backward = pick(mode, (B, L, D), coefficients)(*coefficients, u, state)`.

    "auto" decides by shapes alone. One input is a step of the recurrence. Else the products of the chunked mode win,
    until there are so many modes N, or the window is so long, that the FFT costs less; in short sequences, which are
    one chunk, later or never. (Measured on CPUs; the borders are soft.) Where the recurrence is a kernel, on CuPy, it
    takes the place of chunks up to that border, for it is launched a few times, and they many times for each chunk.
    """
    check_mode("scan", mode)
    found = family(coefficients)
    if mode == "auto":
        L, size = shape[1], coefficients[0].shape[1]
        few = size <= 48 or (L <= 64 and (found is diagonal or size <= 96))
        kernel = found is diagonal and size <= 48 and fast.path("recurrent", *coefficients)
        mode = "recurrent" if L == 1 or kernel else "chunked" if few else "fft"
    return getattr(found, mode)


def start(coefficients: Poles | Taps, batch: int, dtype: Any) -> Any:
    """The state before the first input: zeros, h (B, D, N) complex or past (B, U, D), for inputs of this dtype."""
    xp, place = namespace(*coefficients), device(coefficients[0])
    D, size = coefficients[0].shape
    if family(coefficients) is taps:
        return xp.zeros((batch, size - 1, D), dtype=dtype, device=place)
    return xp.zeros((batch, D, size), dtype=complex_dtype(xp, dtype), device=place)


def stepper(coefficients: Poles | Taps, dtype: Any) -> Callable:
    """One input at a time: `y, state = step(u, state)`, u and y (B, D) of this dtype, the state as `start` gives it.

    What depends on the coefficients alone is computed here, once. A state that `step` returned is used up by the next
    call (on NumPy its memory holds the new one, and y is all that is allocated): to come back to it keep a copy. A
    state from elsewhere is only read.
    """
    xp, channels = namespace(*coefficients), coefficients[0].shape[:1]
    one = xp.zeros(channels, dtype=dtype)
    step, first = family(coefficients).stepper(*coefficients, one.dtype), start(coefficients, 1, dtype)
    rest = first.shape[1:]

    def checked(u: Array, state: Array) -> tuple:
        B = getattr(state, "shape", ())[:1]
        if u.shape != B + channels or state.shape[1:] != rest or u.dtype != one.dtype or state.dtype != first.dtype:
            given = (f"{getattr(a, 'dtype', a)} {tuple(getattr(a, 'shape', ()))}" for a in (u, state))
            expected = f"{one.dtype} (B, {channels[0]}) and {first.dtype} (B, {rest[0]}, {rest[1]})"
            raise ValueError(f"scan: a step got {' and '.join(given)}; expected {expected}, the same B")
        return step(u, state)

    return checked


def check_mode(who: str, mode: str) -> None:
    if mode not in ("auto", *MODES):
        raise ValueError(f"{who}: unknown mode {mode!r}; expected one of auto, {', '.join(MODES)}")
