"""The workloads as compiled loops: what a processor reaches where no framework stands between. One core, no prange."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..case import Case
from . import numba_kernels as kernels

Named = Iterator[tuple[str, Callable[[], tuple]]]
SERIAL = True


def threads(n: int) -> None:
    pass


def lti(case: Case) -> Named:
    log_lam, c, u, dy = case.arrays.values()
    lam = np.exp(log_lam.astype(np.complex128)).astype(np.complex64)
    parts = [np.ascontiguousarray(a) for a in (lam.real, lam.imag, c.real, c.imag)]

    def run() -> tuple:
        y = kernels.lti(*parts, _channels(u))
        du, dlam, dc = kernels.lti_backward(*parts, _channels(u), _channels(dy))
        return (
            _sequences(y),
            lam.conj() * (dlam[..., 0] + 1j * dlam[..., 1]),
            dc[..., 0] + 1j * dc[..., 1],
            _sequences(du),
        )

    yield "loop", run


def s6(case: Case) -> Named:
    *inputs, dy = case.arrays.values()

    def run() -> tuple:
        y, starts = kernels.s6(*inputs)
        return y, *kernels.s6_backward(*inputs, starts, dy)

    yield "loop, polynomial exp", run


def recurrence(case: Case) -> Named:
    a, b, dh = case.arrays.values()

    def run() -> tuple:
        h = kernels.recurrence(a, b)
        return (h, *kernels.recurrence_backward(a, h, dh)) if case.backward else (h,)

    yield "loop", run


def step(case: Case) -> Named:
    log_lam, c, u = case.arrays.values()
    lam = np.exp(log_lam.astype(np.complex128)).astype(np.complex64)
    parts = [np.ascontiguousarray(a) for a in (lam.real, lam.imag, c.real, c.imag)]
    hr, hi = np.zeros((2, u.shape[1], *c.shape), np.float32)
    y = np.zeros(u.shape[1:], np.float32)

    def run() -> tuple:
        for u_t in u:
            kernels.step(*parts, u_t, hr, hi, y)
        return y, hr + 1j * hi

    yield "loop", run


def _channels(a: Any) -> np.ndarray:
    """(B, L, D) -> (B, D, L) in one piece."""
    return np.ascontiguousarray(a.transpose(0, 2, 1))


def _sequences(a: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(a.transpose(0, 2, 1))


METHODS = {"W1": lti, "W2": s6, "W3": recurrence, "W5": step}
