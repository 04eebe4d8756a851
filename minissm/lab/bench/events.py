"""Times on a GPU, by CUDA events: a mark in the card's own queue before some calls and one behind them.

A call on CuPy arrays returns when its work is queued, so a clock on the host would measure the queueing. Both marks go
into CuPy's current stream, the legacy default one, which torch's default stream is too: what was queued between them
has been done between their times. JAX has streams of its own. Its methods wait for their result, so the host reaches
the second mark only when it is there, and the time covers it (and some microseconds of waiting).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from .timing import Timed


def by_events(cupy: Any) -> Timed:
    """interleave's `timed` for this CuPy: the mean of the calls of a turn, for one alone is too short to mark."""
    return partial(_between, cupy.cuda)


def _between(cuda: Any, run: Callable[[], Any], calls: int) -> list[float]:
    stream, (start, end) = cuda.get_current_stream(), (cuda.Event(), cuda.Event())
    cuda.Device().synchronize()  # what other streams still do belongs to nobody's time
    start.record(stream)
    for _ in range(calls):
        run()  # the memory of its result goes back to its pool at once, for the next call to take
    end.record(stream)
    end.synchronize()
    return [cuda.get_elapsed_time(start, end) / 1e3 / calls]  # it tells milliseconds
