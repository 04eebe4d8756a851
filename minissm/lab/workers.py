"""Run jobs one after another in this process, or in several processes with the same results.

run(job, on_step) -> outcome does one job and calls on_step(i) after each of its `job.steps` steps. BLAS uses one
thread: the bits are the same in every process, and processes don't wait for each other.
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

from ..fast.layout import glibc
from ..fast.parallel import threads
from ..progress import Progress

Run = Callable[[Any, Callable[[int], None]], Any]
# glibc uses huge pages, maps no separate block for an array, and returns no memory between two steps
TUNABLES = "glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=1099511627776"


class Terminated(KeyboardInterrupt):
    """SIGTERM. It ends a run as Ctrl-C does, with another exit code."""

    code = 128 + signal.SIGTERM


def in_process(run: Run, work: list, bar: Progress) -> Generator[Any, None, None]:
    """Outcomes in the order of the work; a debugger can step through the jobs."""
    with threads(1):
        for job in work:
            yield run(job, _counted(bar.update))


def in_processes(run: Run, work: list, bar: Progress, jobs: int, pressed: list[int]) -> Generator[Any, None, None]:
    """The same outcomes from `jobs` processes, as they finish. Stops once `pressed` is not empty."""
    context = multiprocessing.get_context("spawn")
    steps, stop = context.SimpleQueue(), context.Event()
    with ProcessPoolExecutor(jobs, context, _start_worker, (steps, stop)) as pool:
        try:
            with _workers_ignore_ctrl_c(), _workers_keep_memory():
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
            if pressed:  # SIGTERM reached all processes at once: each has saved
                raise KeyboardInterrupt from None
            raise RuntimeError(
                "run: a process was ended from outside, perhaps for lack of memory; try again with fewer --jobs"
            ) from None
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)


def _counted(report: Callable[[int], Any], every: int = 1, last: int = 0) -> Callable[[int], None]:
    """An on_step that reports the number of new steps, every `every` steps and at the last. The first may resume."""
    reported = 0

    def on_step(i: int) -> None:
        nonlocal reported
        if i % every == 0 or i == last:
            report(i - reported)
            reported = i

    return on_step


@contextmanager
def stop_signals(at_once: bool) -> Iterator[list[int]]:
    """Ctrl-C and SIGTERM add to the list. With at_once they also raise KeyboardInterrupt.

    An exception inside the pool's code would leave its locks held, and the program would hang.
    """
    pressed: list[int] = []

    def on_signal(number: int, _: Any) -> None:
        pressed.append(number)
        if at_once:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield pressed  # only the main thread may set handlers
        return
    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield pressed
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _workers_ignore_ctrl_c() -> Iterator[None]:
    """Block SIGINT while workers start, and they inherit the mask: on Ctrl-C the parent alone decides what ends."""
    mask = getattr(signal, "pthread_sigmask", None)
    if mask is None:  # Windows
        yield
        return
    before = mask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        mask(signal.SIG_SETMASK, before)


@contextmanager
def _workers_keep_memory() -> Iterator[None]:
    """Set TUNABLES for the workers that start inside. `_work` returns the memory after each training.

    Huge pages make small trainings a twentieth faster. Without the others, each step would take arrays of more than
    32 MB from the system again (fnn1 of width 32: from 2^15 tokens). A step of 2^18 tokens takes 1.9 s instead of 2.3.
    """
    name = "GLIBC_TUNABLES"
    before = os.environ.get(name)
    os.environ[name] = f"{before}:{TUNABLES}" if before else TUNABLES
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


_worker: dict[str, Any] = {}  # the arguments of a worker process


def _start_worker(steps: Any, stop: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _worker.update(steps=steps, stop=stop, limits=threads(1))
    _worker["limits"].__enter__()  # until the process ends
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(run: Run, job: Any) -> Any:
    """One job in a worker. If its parent or SIGTERM stops it, it saves first."""
    terminated: list[int] = []
    count = _counted(_worker["steps"].put, 50, job.steps)

    def on_step(i: int) -> None:
        count(i)
        if terminated or _worker["stop"].is_set():
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, lambda number, _: terminated.append(number))
    try:
        return run(job, on_step)
    finally:
        if terminated:
            os._exit(128 + signal.SIGTERM)
        signal.signal(signal.SIGTERM, before)
        glibc("malloc_trim", 0)  # returns the memory of the training to the system
