"""Times of methods that are run in turn, so that what disturbs the machine disturbs all of them.

Some give their memory back only after they have returned (XLA does, on threads of its own): before each call there is
a pause, and each round has an order of its own, so that nobody always follows the same one. Short calls are repeated in
their turn, or much of their time would be that of a cache which others have filled.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import quantiles
from typing import Any

PAUSE = 0.1  # seconds, after calls four times as long or longer
TURN = 0.01  # seconds that calls are repeated for
Timed = Callable[[Callable[[], Any], int], list[float]]


@dataclass(frozen=True)
class Rounds:
    """Each method has `least` turns, and then while the next call fits into `seconds`, `most` turns in the end."""

    least: int
    most: int
    seconds: float


def by_clock(run: Callable[[], Any], calls: int, clock: Callable[[], float] = time.perf_counter) -> list[float]:
    """Seconds of each call. (events.py has the same for a GPU.)"""
    times = []
    for _ in range(calls):
        start = clock()
        result = run()
        times.append(clock() - start)
        del result  # freeing it belongs to nobody's time
    return times


def interleave(
    runs: dict[Any, Callable[[], Any]],
    rounds: Rounds,
    timed: Timed = by_clock,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[Any, list[float]]:
    """Seconds of one call, by method, in their order. timed(run, calls): of some calls in a row, each or their mean."""
    times: dict[Any, list[float]] = {name: [] for name in runs}
    orders, last = random.Random(0), 0.0
    for i in range(rounds.most):
        for name in orders.sample(list(runs), len(runs)):
            mine = times[name]
            if i >= rounds.least and sum(mine) * (len(mine) + 1) / len(mine) > rounds.seconds:
                continue
            sleep(min(PAUSE, last / 4))
            times[name] += timed(runs[name], max(1, int(TURN / min(mine))) if mine else 1)
            last = times[name][-1]
    return times


def spread(times: list[float], calls: int = 1) -> dict[str, float]:
    """The median, the quartiles, the lowest and the highest, of one call, in seconds."""
    each = sorted(t / calls for t in times)
    lower, middle, upper = quantiles(each, n=4, method="inclusive") if len(each) > 1 else each * 3
    return {"median": middle, "q1": lower, "q3": upper, "min": each[0], "max": each[-1], "runs": len(each)}
