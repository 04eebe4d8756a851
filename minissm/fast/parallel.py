"""Two threads for the halves of a batch: NumPy releases the interpreter lock while it computes.

The cut of a batch depends on its shape alone, never on the number of threads, and sums over the halves have a fixed
order. So the bits are the same with one thread and with two.
"""

import importlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar, copy_context
from functools import cache
from typing import Any

from ..checks import check_integer

ENOUGH = 1 << 19  # numbers to process; with fewer, starting a thread costs more than it saves
_limit: ContextVar[int | None] = ContextVar("threads", default=None)  # None: as many as there are cores
_lock = threading.Lock()
_limits: list = []  # the active limits of BLAS, the last one in force; each is a list of one, compared by identity
_before: list = []  # restores the limits of BLAS from before the first of them


@contextmanager
def threads(limit: int | None) -> Iterator[None]:
    """Inside, `each` and BLAS use at most `limit` threads (None: one a core), whichever thread enters.

    BLAS has one limit for the whole process: of two contexts at the same time, the later one sets it for both. A
    `threadpool_limits` of your own in another thread must begin and end outside, or wholly inside, of this context.
    """
    limit = limit if limit is None else check_integer("threads", "limit", limit, also=", or None")
    token = _limit.set(limit)
    try:
        with _blas_limited(limit or _cores()):
            yield
    finally:
        with suppress(ValueError):  # a generator that was abandoned inside, and that another thread collects
            _limit.reset(token)


def halves(batch: int, numbers: int) -> list[slice]:
    """The batch in two parts, or in one if it is a single sequence or too little work."""
    if batch < 2 or numbers < ENOUGH:
        return [slice(0, batch)]
    return [slice(0, batch // 2), slice(batch // 2, batch)]


def each(work: Callable[[Any], Any], parts: Sequence) -> list:
    """[work(part) for part in parts], on two threads if there are two cores. A nested call runs its parts in turn."""
    if len(parts) < 2 or min(_cores(), _limit.get() or _cores()) < 2:
        return [work(part) for part in parts]

    def alone(part: Any) -> Any:
        _limit.set(1)
        return work(part)

    with _blas_limited(1):  # one core for each of our threads; BLAS would start more in each
        try:  # the copied context holds NumPy's errstate
            futures = [_pool().submit(copy_context().run, alone, part) for part in parts]
        except RuntimeError:  # Python is shutting down and starts no more threads
            return [work(part) for part in parts]
        return [future.result() for future in futures]


@contextmanager
def _blas_limited(number: int) -> Iterator[None]:
    """Limit BLAS. The latest active limit is in force. When none is active, the limits from before the first return."""
    mine = [number]
    with _lock:
        _take_control()
        limiter = blas().limit(limits=number, user_api="blas")
        if not _limits:
            _before.append(limiter)
        _limits.append(mine)
    try:
        yield
    finally:
        with _lock:
            _limits[:] = [one for one in _limits if one is not mine]
            _take_control()
            if _limits:
                blas().limit(limits=_limits[-1][0], user_api="blas")
            else:
                with _before.pop():  # leaving it restores the limits from before, and gives the control back
                    pass


def _take_control() -> None:
    """threadpoolctl 3.8 ignores all threads but the one that set OpenBLAS's limit first: become the first."""
    from threadpoolctl import OpenBLASController

    getattr(OpenBLASController, "clear_controlling_thread", lambda force: None)(force=True)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _pool() -> Any:
    return importlib.import_module("concurrent.futures").ThreadPoolExecutor(2, thread_name_prefix="minissm")


@cache
def blas() -> Any:
    """Made at first use: it searches all loaded libraries. SciPy must be loaded first, since it has its own BLAS."""
    importlib.import_module("scipy.linalg.blas")
    import threadpoolctl

    return threadpoolctl.ThreadpoolController()


def _forget() -> None:
    """In a child made by fork: it has none of its parent's threads, and one of them may have held the lock."""
    global _lock
    _lock = threading.Lock()
    _pool.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
