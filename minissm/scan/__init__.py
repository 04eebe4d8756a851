"""The linear filters of state space layers, in three modes that agree: `recurrent`, `chunked`, `fft`.

diagonal.py: a recurrence with N complex poles and the coefficients `log_lam, c`. `scan.recurrent`, `scan.chunked` and
`scan.fft` come from this file.
taps.py: a window with the coefficients `k`.
linear.py: `scan.linear`, a recurrence whose factor changes from input to input.
`scan.stepper` takes one input at a time, for generation.
"""

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

from .. import fast
from ..backend import device, namespace, state_dtype
from ..checks import check_dtype, check_integer
from ..filters import Poles as Poles, Taps as Taps
from ..shapes import check_arrays
from . import diagonal, taps
from .diagonal import chunked as chunked, fft as fft, recurrent as recurrent
from .linear import linear as linear
from .matrices import kernel as kernel

Array = Any
MODES = {"recurrent": recurrent, "chunked": chunked, "fft": fft}


def family(coefficients: Poles | Taps) -> ModuleType:
    """The module with the scans of these coefficients. TypeError for anything but Poles and Taps."""
    for kind, shapes, scans in (
        (Poles, "log_lam (D, N) complex, c (D, N) complex", diagonal),
        (Taps, "k (D, U + 1)", taps),
    ):
        if isinstance(coefficients, kind):
            check_arrays("scan", shapes, *coefficients)
            return scans
    raise TypeError(f"scan: {type(coefficients).__name__} given; a filter returns Poles(log_lam, c) or Taps(k)")


def pick(mode: str, shape: tuple[int, int, int], coefficients: Poles | Taps, ends: bool = True) -> Callable:
    """The scan for `mode`: `y, state, backward = pick(mode, (B, L, D), coefficients)(*coefficients, u, state)`.

    mode: "auto", "recurrent", "chunked" or "fft". "auto" chooses by shapes and library alone:

    - "recurrent" for one input, and on CuPy for up to 48 poles: one kernel runs all steps, each chunk launches many;
    - "chunked" for up to 48 poles or taps, and up to 64 inputs also for any number of poles or up to 96 taps;
    - "fft" for more.

    The limits were measured on CPUs. Near a limit both modes cost about the same.

    ends: False for whole sequences, without h0: h_last may then be None. Default True.
    """
    check_mode("scan", mode)
    scans = family(coefficients)
    if not isinstance(shape, list | tuple) or len(shape) != 3:
        raise ValueError(f"scan: shape={shape!r}; expected (B, L, D), the shape of u")
    if mode == "auto":
        L, size = shape[1], coefficients[0].shape[1]
        few = size <= 48 or (L <= 64 and (scans is diagonal or size <= 96))
        kernel = scans is diagonal and size <= 48 and fast.path("recurrent", coefficients[0])
        mode = "recurrent" if L == 1 or kernel else "chunked" if few else "fft"
    run = getattr(scans, mode)
    return partial(run, ends=False) if run is chunked and not ends else run


def start(coefficients: Poles | Taps, batch: int, dtype: Any) -> Any:
    """The state before the first input, zeros: h (B, D, N) complex or past (B, U, D). dtype: of the inputs.

    h is in double precision where dtype is, and where a memory is long: see backend.state_dtype.
    """
    scans, xp, target = family(coefficients), namespace(*coefficients), device(coefficients[0])
    batch, dtype = check_integer("scan.start", "batch", batch), check_dtype("scan.start", xp, dtype)
    D, size = coefficients[0].shape
    if scans is taps:
        return xp.zeros((batch, size - 1, D), dtype=dtype, device=target)
    return xp.zeros((batch, D, size), dtype=state_dtype(coefficients[0], dtype), device=target)


def stepper(coefficients: Poles | Taps, dtype: Any) -> Callable:
    """One input at a time: `y, state = step(u, state)`, u and y (B, D) of this dtype, the state as `start` gives it.

    Everything that depends on the coefficients alone is computed here, once. Trap: a step may overwrite a state that a
    step returned (on NumPy it reuses the memory and allocates y alone). Keep a copy of a state that you need again. A
    state from elsewhere is not written to.
    """
    scans, xp, channels = family(coefficients), namespace(*coefficients), coefficients[0].shape[:1]
    one = xp.zeros(channels, dtype=check_dtype("scan.stepper", xp, dtype))
    step, first = scans.stepper(*coefficients, one.dtype), start(coefficients, 1, dtype)
    rest, own, (of_u, of_state) = first.shape[1:], type(one), (one.dtype, first.dtype)
    others = [xp.empty(0, dtype=kind).dtype for kind in (xp.complex64, xp.complex128)] if scans is diagonal else []

    def checked(u: Array, state: Array) -> tuple:
        u_shape, shape = getattr(u, "shape", ()), getattr(state, "shape", ())
        fits = (u_shape, shape[1:]) == (shape[:1] + channels, rest) and u.dtype == of_u
        if not (fits and (state.dtype == of_state or state.dtype in others)):  # a state of the other precision is cast
            given = (f"{getattr(a, 'dtype', type(a).__name__)} {tuple(getattr(a, 'shape', ()))}" for a in (u, state))
            expected = f"{of_u} (B, {channels[0]}) and {of_state} (B, {rest[0]}, {rest[1]})"
            raise ValueError(f"scan: a step got {' and '.join(given)}; expected {expected}, the same B")
        if not (type(u) is type(state) is own):  # the check costs a tenth of a step
            namespace(u, state)
        return step(u, state)

    return checked


def check_mode(who: str, mode: str) -> None:
    """ValueError unless the mode exists."""
    if mode not in ("auto", *MODES):
        raise ValueError(f"{who}: unknown mode {mode!r}; expected one of auto, {', '.join(MODES)}")
