"""The halves of a batch on two threads: NumPy lets go of the interpreter while it computes.

How a batch is cut depends on its shape alone, never on the number of threads, and what is summed over the halves is
summed in their order. So the bits are the same with one thread and with two.
"""

import importlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from functools import cache
from typing import Any

ENOUGH = 1 << 19  # numbers to work on; below that, starting a thread costs what it saves
_limit: ContextVar[int | None] = ContextVar("threads", default=None)  # None: as many as there are cores
_lock = threading.Lock()
_held: list = []  # the limits of BLAS at the moment, the last of them in force; each in a list of its own
_before: list = []  # what gives back the limits that were before the first of them


@contextmanager
def threads(limit: int | None) -> Iterator[None]:
    """Inside, `each` uses `limit` threads at most (None: one a core), and so does BLAS.

    BLAS knows one limit for the whole process: of two users at the same time the later decides for both.
    """
    token = _limit.set(limit)
    try:
        with _blas_limited(limit or _cores()):
            yield
    finally:
        _limit.reset(token)


def halves(batch: int, numbers: int) -> list[slice]:
    """The batch in two parts, or in one where it is a single sequence or too little work."""
    if batch < 2 or numbers < ENOUGH:
        return [slice(0, batch)]
    return [slice(0, batch // 2), slice(batch // 2, batch)]


def each(work: Callable[[Any], Any], parts: Sequence) -> list:
    """[work(part) for part in parts], at the same time where there are cores for it; inside a part, one by one."""
    if len(parts) < 2 or min(_cores(), _limit.get() or _cores()) < 2:
        return [work(part) for part in parts]

    def alone(part: Any) -> Any:
        _limit.set(1)
        return work(part)

    with _blas_limited(1):  # a thread of ours is one core; BLAS would start more in each
        try:  # NumPy keeps errstate in the context
            futures = [_pool().submit(copy_context().run, alone, part) for part in parts]
        except RuntimeError:  # Python is ending, and starts no thread any more
            return [work(part) for part in parts]
        return [future.result() for future in futures]


@contextmanager
def _blas_limited(number: int) -> Iterator[None]:
    """The limit of who came last; what was before the first comes back when the last has gone."""
    mine = [number]
    with _lock:
        limiter = _blas().limit(limits=number, user_api="blas")
        if not _held:
            _before.append(limiter)
        _held.append(mine)
    try:
        yield
    finally:
        with _lock:
            _held[:] = [one for one in _held if one is not mine]
            if _held:
                _blas().limit(limits=_held[-1][0], user_api="blas")
            else:
                _before.pop().restore_original_limits()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(2, thread_name_prefix="minissm")


@cache
def _blas() -> Any:
    """Not with minissm: it looks through all libraries that are loaded. SciPy brings a BLAS of its own."""
    importlib.import_module("scipy.linalg.blas")
    import threadpoolctl

    return threadpoolctl.ThreadpoolController()


def _forget() -> None:
    """A child made by fork has none of its parent's threads, and a lock may have been held by one of them."""
    global _lock
    _lock = threading.Lock()
    _pool.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
