"""A filter of many taps, y_t = sum_{j <= U} k_j u_{t-j}; forward and backward."""

from collections.abc import Callable
from typing import Any

import numpy as np

from minissm import scan
from minissm.backend import fft_size

from .harness import jax_, torch_

CASES = [{"batch": 8, "length": 4096}]
SHARED = ("k",)


def data(rng: np.random.Generator, batch: int, length: int, width: int = 128, taps: int = 1024) -> dict[str, Any]:
    k = rng.standard_normal((width, taps + 1), np.float32) / np.float32(np.sqrt(taps))
    u, dy = rng.standard_normal((2, batch, length, width), np.float32)
    return {"k": k, "u": u, "dy": dy}


def minissm(data: dict[str, Any]) -> dict[str, Callable]:
    k, u, dy = data.values()

    def run() -> tuple:
        y, _, backward = scan.pick("auto", u.shape, scan.Taps(k))(k, u)
        return y, *backward(dy)[:2]

    return {"auto": run}


def torch(data: dict[str, Any]) -> dict[str, Callable]:
    return {"FFT": torch_.trained(torch_.convolved, *data.values())}


def jax(data: dict[str, Any]) -> dict[str, Callable]:
    return {"FFT": jax_.trained(jax_.convolved, *data.values())}


def bound(data: dict[str, Any]) -> dict[str, Callable]:
    """The transforms of u, dy and k, and back to y, du and dk, each of the shortest fast length, in place if it can."""
    import scipy.fft

    k, u, _ = data.values()
    (B, L, D), taps = u.shape, k.shape[1]
    n = fft_size(taps - 1 + L)
    sequence, spectrum = np.full((D, n), 0.01, np.float32), np.full((D, n // 2 + 1), 0.01, np.complex64)

    def run() -> None:
        for _ in range(2 * B + 1):
            scipy.fft.rfft(sequence, n)
            scipy.fft.irfft(spectrum, n)

    return {"transforms": run}
