"""Run jobs one after another in this process, or in several processes with the same results.

run(job, on_step) -> outcome does one job and calls on_step(i) after each of its `job.steps` steps. BLAS is kept on one
thread: the same bits wherever a job runs, and processes that don't wait for each other.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from ..progress import Progress

Run = Callable[[Any, Callable[[int], None]], Any]


def in_process(run: Run, work: list, bar: Progress) -> Generator[Any, None, None]:
    """Outcomes in the order of the work; a debugger can step through the jobs."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        for job in work:
            yield run(job, lambda step: bar.update(1))


def in_processes(run: Run, work: list, bar: Progress, jobs: int) -> Generator[Any, None, None]:
    """The same outcomes from `jobs` processes, as they finish."""
    context = multiprocessing.get_context("spawn")
    steps, stop = context.SimpleQueue(), context.Event()
    with _ctrl_c() as pressed, ProcessPoolExecutor(jobs, context, _start_worker, (steps, stop)) as pool:
        try:
            with _workers_deaf_to_ctrl_c():
                waiting: set[Future] = {pool.submit(_work, run, job) for job in work}
            while waiting:
                done, waiting = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
                while not steps.empty():
                    bar.update(steps.get())
                for future in done:
                    yield future.result()
                if pressed:
                    raise KeyboardInterrupt
        except BrokenProcessPool:
            raise RuntimeError(
                "run: a process was ended from outside, perhaps for want of memory; try again with fewer --jobs"
            ) from None
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _ctrl_c() -> Iterator[list[int]]:
    """Ctrl-C fills the list. An exception in the midst of the pool would leave its locks held, and everything hangs."""
    pressed: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield pressed  # signals are the main thread's
        return
    before = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _workers_deaf_to_ctrl_c() -> Iterator[None]:
    """Ctrl-C reaches every process; the parent decides what ends. Processes inherit what is blocked as they start."""
    mask = getattr(signal, "pthread_sigmask", None)
    if mask is None:  # Windows
        yield
        return
    before = mask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        mask(signal.SIG_SETMASK, before)


_worker: dict[str, Any] = {}  # what a worker process was started with


def _start_worker(steps: Any, stop: Any) -> None:
    from threadpoolctl import threadpool_limits

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _worker.update(steps=steps, stop=stop, limits=threadpool_limits(1))
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(run: Run, job: Any) -> Any:
    def on_step(i: int) -> None:
        if i % 50 == 0 or i == job.steps:
            _worker["steps"].put(i % 50 or 50)
        if _worker["stop"].is_set():
            raise KeyboardInterrupt

    return run(job, on_step)
