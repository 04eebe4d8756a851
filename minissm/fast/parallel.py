"""The halves of a batch on two threads: NumPy lets go of the interpreter while it computes.

How a batch is cut depends on its shape alone, never on the number of threads, and what is summed over the halves is
summed in their order. So the bits are the same with one thread and with two.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any

ENOUGH = 1 << 19  # numbers to work on; below that, starting a thread costs what it saves
_limit: int | None = None  # None: as many as there are cores


@contextmanager
def threads(limit: int | None) -> Iterator[None]:
    """Inside, `each` uses `limit` threads at most (None: one a core), and so does BLAS."""
    global _limit
    import threadpoolctl  # not with minissm: it looks through all libraries that are loaded

    before, _limit = _limit, limit
    try:
        with threadpoolctl.threadpool_limits(limit, "blas"):
            yield
    finally:
        _limit = before


def halves(batch: int, numbers: int) -> list[slice]:
    """The batch in two parts, or in one where it is a single sequence or too little work."""
    if batch < 2 or numbers < ENOUGH:
        return [slice(0, batch)]
    return [slice(0, batch // 2), slice(batch // 2, batch)]


def each(work: Callable[[Any], Any], parts: Sequence) -> list:
    """[work(part) for part in parts], at the same time where there are cores for it."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if len(parts) < 2 or min(cores, _limit or cores) < 2:
        return [work(part) for part in parts]
    with _blas().limit(limits=1, user_api="blas"):  # a thread of ours is one core; BLAS would start more in each
        return list(_pool().map(work, parts))


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(2, thread_name_prefix="minissm")


@cache
def _blas() -> Any:
    import threadpoolctl

    return threadpoolctl.ThreadpoolController()
