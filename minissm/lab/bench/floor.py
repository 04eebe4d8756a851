"""Floors: the transforms, or products and exp, that minissm's way to a result can't do without; nothing else of it.

A floor is a list of calls, of the same sizes and layouts as minissm's, on memory that is there already. What they
compute means nothing. Whoever goes by the same transforms or products takes longer than they do on this processor.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from ...backend import fft_of, fft_size
from ...fast import layout
from ...fast.attention import AT_ONCE, COLUMNS, PRODUCT
from .case import Case

Array = Any
Calls = list[Callable[[], Any]]


def room(*shape: int) -> np.ndarray:
    """Memory that is really there (zeros would be one page), whose products and exponentials stay small."""
    return np.full(shape, 0.01, np.float32)


def product(a: Array, b: Array, out: Array = None) -> Callable[[], Any]:
    return partial(np.matmul, a, b, out=room(*a.shape[:-1], b.shape[-1]) if out is None else out)


def run(calls: Calls) -> None:
    for call in calls:
        call()


def window(case: Case) -> Iterator[tuple[str, Callable[[], None]]]:
    """Of each sequence u and dy, back to y and du; of the kernel there, and of its gradient back."""
    k, u, _ = case.arrays.values()
    (B, L, D), U = u.shape, k.shape[1] - 1
    n, F = fft_size(U + L), fft_of(np)
    s, spectrum = layout.channels(D, n, u.dtype), np.zeros((D, n // 2 + 1), np.complex64)
    there, back = partial(F.rfft, s), partial(F.irfft, spectrum, n)
    yield "transforms alone", partial(run, [partial(F.rfft, k, n), *[there, back] * 2 * B, back])


def attend(case: Case) -> Iterator[tuple[str, Callable[[], None]]]:
    B, H, L, P = case.arrays["q"].shape
    yield "products and exp alone", partial(run, tiles(L, P) * (B * H))


def attention(B: int, H: int, L: int, P: int) -> Calls:
    """Two products forward and four back, all heads at once, where the sequences are so short that weights are kept."""
    if L * L > AT_ONCE:
        return tiles(L, P) * (B * H)
    q, k, v = room(B, L, 3, H, P).transpose(2, 0, 3, 1, 4)
    o, do, dq, dk, dv = (room(B, L, H, P).transpose(0, 2, 1, 3) for _ in range(5))
    turned, a, dz = room(B, H, P, L), room(B, H, L, L), room(B, H, L, L)
    forward: Calls = [product(q, turned, a), partial(np.exp, a, out=a), product(a, v, o)]
    back = [product(do, turned, dz), product(dz, k, dq), product(dz.mT, q, dk), product(a.mT, do, dv)]
    return forward + back


def tiles(L: int, P: int) -> Calls:
    """One head in tiles of scores below the diagonal: two products forward, and five back, as it makes them again."""
    T = max(COLUMNS, PRODUCT // (COLUMNS * (P + 1)))
    inputs, outputs = room(L, P + 1), room(L, P + 1)  # one column more: what is subtracted comes with the product
    forward: Calls = []
    backward: Calls = []
    for j in range(0, L, COLUMNS):
        e = min(j + COLUMNS, L)
        block, some = room(P + 1, e - j), room(e - j, P + 1)
        for i in range(0, e, T):
            rows = inputs[i : min(i + T, e)]
            w = room(len(rows), e - j)
            forward += [product(rows, block, w), partial(np.exp, w, out=w), product(w.T, rows, some)]
        for i in range(j, L, T):
            rows, into = inputs[i : i + T], outputs[i : i + T, :P]
            w, dz = room(len(rows), e - j), room(len(rows), e - j)
            backward += [product(rows, block, w), partial(np.exp, w, out=w)]
            backward += [product(rows, block, dz), product(dz, some[:, :P], into)]
            backward += [product(dz.T, rows[:, :P], some[:, :P]), product(w.T, rows[:, :P], some[:, :P])]
    return forward + backward


METHODS = {"W4": window, "W6": attend}
