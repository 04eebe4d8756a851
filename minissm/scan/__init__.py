"""The linear recurrence of a state space layer, in three modes that agree: `recurrent`, `chunked`, `fft` (modes.py)."""

from collections.abc import Callable

from ..kernels import kernel
from .modes import chunked, fft, recurrent

MODES = {"recurrent": recurrent, "chunked": chunked, "fft": fft}
__all__ = ["MODES", "chunked", "fft", "kernel", "pick", "recurrent"]


def pick(mode: str, shape: tuple[int, int, int], modes: int) -> Callable:
    """The scan for `mode`; "auto" decides by the shape (B, L, D) of the input and the modes N per channel alone.

    One input, or a few in a few channels, are steps of the recurrence. Else the products of the chunked mode win, until
    N is so large that the state costs more than the FFT does. (Measured on CPUs; the borders are soft.)
    """
    if mode == "auto":
        B, L, D = shape
        few = L == 1 or (L <= 16 and B * D <= 128)
        mode = "recurrent" if few else "chunked" if modes <= 256 else "fft"
    if mode not in MODES:
        raise ValueError(f"scan: unknown mode {mode!r}; expected one of auto, {', '.join(MODES)}")
    return MODES[mode]
