"""The linear recurrence of a state space layer, in three modes that agree: `recurrent`, `chunked`, `fft` (modes.py)."""

from collections.abc import Callable

from ..kernels import kernel
from .modes import chunked, fft, recurrent

MODES = {"recurrent": recurrent, "chunked": chunked, "fft": fft}
__all__ = ["MODES", "chunked", "fft", "kernel", "pick", "recurrent"]


def pick(mode: str, length: int, modes: int) -> Callable:
    """The scan for `mode`; "auto" decides by the length L and the modes N per channel alone.

    One input is one step of the recurrence. Else the chunked products win at every length, until N is so large that
    the state costs more than the FFT does (measured on CPUs: about N = 256).
    """
    if mode == "auto":
        mode = "recurrent" if length == 1 else "chunked" if modes <= 256 else "fft"
    if mode not in MODES:
        raise ValueError(f"scan: unknown mode {mode!r}; expected one of auto, {', '.join(MODES)}")
    return MODES[mode]
