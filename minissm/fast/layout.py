"""Cuts and memory layouts that suit matrix products, FFTs and caches.

In a sequence the channels of a token are contiguous. Products and FFTs need the inputs of a channel contiguous.
"""

import ctypes
import os
from contextlib import suppress
from typing import Any

import numpy as np

STRIP = 64  # inputs that are transposed at a time; with more, a cache line is evicted before its next use
PAD = 16  # unused numbers after each channel: channels that start a power of two apart evict each other from the cache
PRODUCT = 10**6  # multiplications up to which OpenBLAS, with AVX-512, multiplies without copying first: a third faster
INSTRUCTIONS: Any = np.show_config(mode="dicts").get("SIMD Extensions", {})  # "baseline", and those "found" in addition
AVX512 = any(
    name.startswith(("X86_V4", "AVX512")) for key in ("baseline", "found") for name in INSTRUCTIONS.get(key, ())
)
PIECE = 1 << 17  # numbers processed at a time, so that intermediate results are still in the cache when used


def memory(D: int, length: int, dtype: np.dtype) -> np.ndarray:
    """Uninitialized memory (D, length), with PAD numbers between the channels."""
    return np.empty((D, length + PAD), dtype)[:, :-PAD]


def channels(D: int, length: int, dtype: np.dtype) -> np.ndarray:
    """Zeros (D, length), with PAD numbers between the channels."""
    return np.zeros((D, length + PAD), dtype)[:, :-PAD]


def move(source: np.ndarray, target: np.ndarray, step: int = STRIP) -> None:
    """target[...] = source between two memory layouts: (D, L, ...), in strips of `step` inputs."""
    for i in range(0, target.shape[1], step):
        target[:, i : i + step] = source[:, i : i + step]


def groups(items: slice, size: int) -> list[slice]:
    """Sequences that are processed together; each has `size` numbers."""
    return cuts(items.start, items.stop, max(1, PIECE // size))


def cuts(start: int, stop: int, step: int) -> list[slice]:
    """start .. stop in slices of `step`, the last one shorter."""
    return [slice(i, min(i + step, stop)) for i in range(start, stop, step)]


def pieces(chunks: int, size: int) -> list[tuple[int, int]]:
    """Chunks i..j that are processed together; each has `size` numbers."""
    step = max(1, PIECE // size)
    return [(i, min(i + step, chunks)) for i in range(0, chunks, step)]


def keep_freed_memory() -> None:
    """Make glibc keep freed blocks of up to 32 MB (it raises its limit to the block that is freed here), 256 MB in all.

    Otherwise it returns large blocks to the system. Each step faults them in again, and takes 1.3 to 1.9 times as long.
    With glibc's default, 64 MB in all, a step of 16 sequences of 1,024 tokens takes 1.1 times as long.
    """
    np.empty(31 << 20, np.uint8)
    if "malloc.trim_threshold" not in os.environ.get("GLIBC_TUNABLES", ""):
        glibc("mallopt", -1, 256 << 20)  # -1: M_TRIM_THRESHOLD, the limit of free memory at the end of the heap


def glibc(function: str, *arguments: int) -> None:
    """Call a function of glibc. Without glibc, do nothing."""
    with suppress(AttributeError, OSError, TypeError):  # no such function; no such library; Windows
        getattr(ctypes.CDLL(None), function)(*arguments)
