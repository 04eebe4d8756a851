"""How arrays are cut and laid out so that products, FFTs and caches like it.

Sequences have their channels side by side; products and FFTs want the inputs of a channel side by side.
"""

import numpy as np

STRIP = 64  # inputs that change their layout at once; with more of them a line of the cache is gone when needed again
PAD = 16  # unused numbers after each channel: channels that start a power of two apart push each other from the cache
PRODUCT = 10**6  # multiplications up to which OpenBLAS, with AVX-512, multiplies without copying first: a third faster
PIECE = 1 << 17  # numbers that are worked on at a time, so that what is made of them is still in the cache when used


def channels(D: int, length: int, dtype: np.dtype) -> np.ndarray:
    """Zeros (D, length), with room between the channels."""
    return np.zeros((D, length + PAD), dtype)[:, :-PAD]


def move(source: np.ndarray, target: np.ndarray, step: int = STRIP) -> None:
    """target[...] = source, which lies otherwise in memory: (D, L, ...), a strip of `step` inputs after the other."""
    for i in range(0, target.shape[1], step):
        target[:, i : i + step] = source[:, i : i + step]


def groups(items: slice, size: int) -> list[slice]:
    """Sequences that are worked on together; each has `size` numbers."""
    return cuts(items.start, items.stop, max(1, PIECE // size))


def cuts(start: int, stop: int, step: int) -> list[slice]:
    """start .. stop in slices of `step`, the last one shorter."""
    return [slice(i, min(i + step, stop)) for i in range(start, stop, step)]


def pieces(chunks: int, size: int) -> list[tuple[int, int]]:
    """Chunks i..j that are worked on together; each has `size` numbers."""
    step = max(1, PIECE // size)
    return [(i, min(i + step, chunks)) for i in range(0, chunks, step)]
