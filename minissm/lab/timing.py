"""Time and memory of methods that compute the same thing, called in turn, so that disturbances affect all alike.

JAX frees memory on its own threads after a call has returned. So a pause comes before each turn, and each round has a
new random order. Short calls are repeated within a turn; otherwise they would mostly measure a cold cache.
"""

import gc
import random
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from statistics import quantiles
from typing import Any

import numpy as np

PAUSE = 0.1  # seconds before a turn, at most: a quarter of the call before it
TURN = 0.01  # seconds of calls in one turn
Run = Callable[[], Any]
Timer = Callable[[Run, int], list[float]]


@dataclass(frozen=True)
class Rounds:
    """Each method gets at least `least` turns, then more while the next one fits into `seconds`, up to `most`."""

    least: int
    most: int
    seconds: float


def interleave(
    runs: dict[Any, Run], rounds: Rounds | dict, timer: Timer | None = None, sleep: Callable[[float], None] = time.sleep
) -> dict[Any, list[float]]:
    """Seconds of one call, by method.  timer(run, calls): seconds of each of several calls, or their mean.

    rounds: those of all methods, or {method: its rounds}.
    """
    timer, each = timer or by_clock, rounds if isinstance(rounds, dict) else dict.fromkeys(runs, rounds)
    times: dict[Any, list[float]] = {name: [] for name in runs}
    order, last = random.Random(0), 0.0
    for i in range(max((each[name].most for name in runs), default=0)):
        for name in order.sample(list(runs), len(runs)):
            taken, limits = times[name], each[name]
            if i >= limits.most or (i >= limits.least and sum(taken) * (1 + 1 / len(taken)) > limits.seconds):
                continue
            sleep(min(PAUSE, last / 4))
            taken += timer(runs[name], max(1, int(TURN / min(taken))) if taken else 1)
            last = taken[-1]
    return times


def by_clock(run: Run, calls: int, clock: Callable[[], float] = time.perf_counter) -> list[float]:
    """Seconds of each call on the processor."""
    times = []
    for _ in range(calls):
        start = clock()
        result = run()
        times.append(clock() - start)
        del result  # freed after the clock is read
    return times


def by_events(cupy: Any) -> Timer:
    """Seconds of a call on the GPU: the mean over a turn, between two events in CuPy's stream.

    A call on CuPy arrays returns once its work is queued, so a clock on the host would measure the queueing. PyTorch
    uses the same stream. A method of JAX waits for its result, so the second event comes after it.
    """

    def timer(run: Run, calls: int) -> list[float]:
        cuda = cupy.cuda
        stream, start, end = cuda.get_current_stream(), cuda.Event(), cuda.Event()
        cuda.Device().synchronize()  # work of other streams ends before the first event
        start.record(stream)
        for _ in range(calls):
            run()
        end.record(stream)
        end.synchronize()
        return [cuda.get_elapsed_time(start, end) / 1e3 / calls]  # from milliseconds

    return timer


def spread(times: list[float]) -> dict[str, float]:
    """Median, quartiles and minimum in seconds, and the number of calls."""
    lower, middle, upper = quantiles(times, n=4, method="inclusive") if len(times) > 1 else times * 3
    return {"median": middle, "q1": lower, "q3": upper, "min": min(times), "runs": len(times)}


def numpy_memory(run: Run) -> int:
    """Peak bytes of NumPy arrays and Python objects in one call, exact and repeatable. Tracing slows the call down."""
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        result = run()
        _, peak = tracemalloc.get_traced_memory()
        del result
    finally:
        tracemalloc.stop()
    return peak - before


def cupy_memory(cupy: Any, run: Run) -> int:
    """Bytes that CuPy's pool takes from the GPU for one call. The pool returns none, so its final size is the peak."""
    pool = cupy.get_default_memory_pool()
    free(cupy)
    before = pool.total_bytes()
    run()
    return pool.total_bytes() - before


def free(cupy: Any) -> None:
    """Free unused memory of CuPy's pool, FFT plans included. Raises if the GPU no longer responds."""
    cupy.cuda.Device().synchronize()
    gc.collect()
    cupy.fft.config.get_plan_cache().clear()
    cupy.get_default_memory_pool().free_all_blocks()


def error(x: Any, expected: np.ndarray) -> float:
    """max |x - expected| / max |expected|; inf where x is not finite.  x: an array of any library."""
    x = np.asarray(x.get() if hasattr(x, "get") else x.cpu() if hasattr(x, "cpu") else x)
    if x.shape != expected.shape:
        raise ValueError(f"a result has shape {x.shape}; expected {expected.shape}")
    largest = float(np.max(np.abs(x - expected)) / (np.max(np.abs(expected)) or 1.0))
    return largest if np.isfinite(largest) else float("inf")
