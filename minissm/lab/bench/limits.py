"""What this processor can do: the rates that no method can pass, measured in the same run."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .timing import Rounds, interleave

UNITS = {
    "copy": "GB/s, read and written",
    "product": "GFLOP/s, 2048 x 2048 x 2048",
    "thin product": "GFLOP/s, 128 x 32 x 1024",
    "exp": "10^9 numbers/s, 2^15 in the cache",
    "rfft": "10^6 numbers/s, rows of 4096",
}


def limits(rounds: Rounds, size: int = 2048) -> dict[str, float]:
    """The rates in UNITS, in float32: medians of NumPy and scipy.fft. size: of the square product and the copy."""
    import scipy.fft

    rng = np.random.default_rng(0)
    square, thin = rng.random((size, size), np.float32), rng.random((32, 1024), np.float32)
    cached, rows = rng.random(1 << 15, np.float32), rng.random((256, 4096), np.float32)
    long = np.ones(8 * size * size, np.float32)  # zeros would be one page, read from the cache
    into = [np.empty_like(a) for a in (square, long, cached)]
    few, wide = rng.random((128, 32), np.float32), np.empty((128, 1024), np.float32)

    def often(f: Callable[[], Any]) -> Callable[[], None]:
        """Microseconds are too short to time."""

        def run() -> None:
            for _ in range(100):
                f()

        return run

    runs = {
        "copy": lambda: np.copyto(into[1], long),
        "product": lambda: np.matmul(square, square, out=into[0]),
        "thin product": often(lambda: np.matmul(few, thin, out=wide)),
        "exp": often(lambda: np.exp(cached, out=into[2])),
        "rfft": lambda: scipy.fft.rfft(rows),
    }
    work = {
        "copy": 2 * long.nbytes,
        "product": 2 * size**3,
        "thin product": 100 * 2 * 128 * 1024 * 32,
        "exp": 100 * cached.size,
        "rfft": 1000 * rows.size,
    }
    for run in runs.values():
        run()
    times = interleave(runs, rounds)
    return {name: work[name] / float(np.median(times[name])) / 1e9 for name in runs}
