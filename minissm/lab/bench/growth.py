"""How time and memory of each mixer grow with the length: L, 2 L, 4 L, ... and the exponent of a power law."""

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ... import tree
from ...spec import parse
from .memory import of_numpy

WIDTH, FIRST = 16, 1024
PATIENCE = 60.0  # seconds; a length that would take longer isn't begun
ROOM = 4 << 30  # bytes, likewise
MIXERS = {  # name: the sentence, the mode
    "ssm, chunked": ("ssm(poles=16)", "chunked"),
    "ssm, fft": ("ssm(poles=16)", "fft"),
    "trig": ("trig", "auto"),
    "s6": ("s6", "auto"),
    "lstm": ("lstm", "auto"),
    "attn": ("attn(heads=1, positions='none')", "auto"),
}


def growth(
    last: int, first: int = FIRST, clock: Callable[[], float] = time.perf_counter, patience: float = PATIENCE
) -> Iterator[dict[str, Any]]:
    """A row a mixer, forward and backward of one sequence of L x WIDTH, L from `first` to `last` by doubling."""
    for name, (sentence, mode) in MIXERS.items():
        run, stopped = _mixer(sentence, mode), ""
        points: list[dict] = []
        run(first)()  # imports and tables
        for L in (first << i for i in range(int(math.log2(last / first)) + 1)):
            if stopped := _too_much(points, L, patience):
                break
            points.append({"L": L, "seconds": _seconds(run(L), clock), "bytes": of_numpy(run(L))})
        exponents = {f"{of} exponent": exponent(points, of) for of in ("seconds", "bytes")}
        yield {"mixer": name, "points": points, **exponents, "stopped": stopped}


def exponent(points: list[dict], of: str) -> float | None:
    """p of the power law L^p nearest to the upper half of the points, by least squares on a doubly logarithmic scale.

    To the upper half, for what every call costs, however short its sequence, would hide the growth.
    """
    if len(points) < 2:
        return None
    upper = points[min(len(points) // 2, len(points) - 2) :]
    x, y = (np.log([float(max(p[name], 1e-9)) for p in upper]) for name in ("L", of))
    return float(np.polyfit(x, y, 1)[0])


def _mixer(sentence: str, mode: str) -> Callable[[int], Callable[[], Any]]:
    """L -> () -> forward and backward."""
    (block,) = parse(sentence)
    rng = np.random.default_rng(8)
    p = tree.map(lambda a: a.astype(np.float32), block.init(rng, WIDTH))

    def of_length(L: int) -> Callable[[], Any]:
        x = rng.standard_normal((1, L, WIDTH), np.float32)

        def run() -> Any:
            y, _, backward = block.run(p, x, None, mode)
            return backward(y)

        return run

    return of_length


def _seconds(run: Callable[[], Any], clock: Callable[[], float]) -> float:
    """The median of seven runs, or of fewer where they are long."""
    times: list[float] = []
    while len(times) < 7 and sum(times) < 1:
        start = clock()
        run()
        times.append(clock() - start)
    return float(np.median(times))


def _too_much(points: list[dict], L: int, patience: float) -> str:
    """Why the next length isn't begun: what the last two say that it would need, or ""."""
    if len(points) < 2:
        return ""
    before, last = points[-2:]
    seconds, size = (last[of] * max(1.0, last[of] / max(before[of], 1e-9)) for of in ("seconds", "bytes"))
    if seconds > patience:
        return f"ended before L {L}, which would take about {seconds:.0f} s"
    if size > ROOM:
        return f"ended before L {L}, which would need about {size / 1e9:.0f} GB"
    return ""
