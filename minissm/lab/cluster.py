"""Run jobs on a Dask cluster, with the same results as in one process.

Dask gives the jobs of a dead worker to other workers. It also repeats finished jobs of this worker, as long as a future
refers to them. So each future is released once its outcome is here. The futures of `Client.get_executor` can't be
released, because they keep Dask's future.
"""

import asyncio
import logging
import pickle
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import Empty, Queue
from typing import Any
from uuid import uuid4

from ..fast.parallel import threads
from ..progress import Progress
from .workers import Run

PATIENCE = 5  # seconds in which a scheduler must answer


def in_cluster(run: Run, work: list, bar: Progress, address: str, pressed: list[int]) -> Generator[Any, None, None]:
    """Yield the outcomes from the workers of a Dask scheduler, as they finish. Stops once `pressed` is not empty.

    If the client stops or is killed, the workers interrupt its jobs. RuntimeError or ValueError, in one sentence,
    without Dask, without a scheduler, or without minissm on the workers. A job that ends its workers doesn't stop the
    other jobs: the error comes at the end.
    """
    with _client(address) as client:
        suspects = yield from _outcomes(client, run, work, bar, pressed)
        lost = suspects if len(suspects) == 1 else []
        for job in suspects[len(lost) :]:  # Dask suspects all jobs of a worker that dies: try each alone
            lost += yield from _outcomes(client, run, [job], bar, pressed)
    if lost:
        what = f"{len(lost)} of {len(work)} runs ended every worker that tried them, first {lost[0].name}"
        raise RuntimeError(f"run: {what}; give the workers more memory and go on with --resume")


def _outcomes(client: Any, run: Run, jobs: list, bar: Progress, pressed: list[int]) -> Generator[Any, None, list]:
    """Yield the outcomes of the jobs. -> the jobs during which too many workers died."""
    from distributed import CancelledError, KilledWorker

    from .. import __version__

    finished, waiting, suspects = Queue[Any](), {}, []
    for job in jobs:  # one name for all: then Dask holds back what no worker can begin
        future = client.submit(_remote(__version__), pickle.dumps((_work, run, job)), key=f"minissm-{uuid4().hex}")
        waiting[future.key] = job
        future.add_done_callback(finished.put)
    absent, look = False, time.monotonic() + 10
    while waiting:
        if pressed:
            raise KeyboardInterrupt
        if time.monotonic() > look:
            workers, look = client.nthreads(), time.monotonic() + 10
            if not workers and not absent:
                bar.say("run: the cluster has no workers; waiting for them")
            absent = not workers
        try:
            future = finished.get(timeout=0.2)
        except Empty:
            continue
        job = waiting.pop(future.key)
        try:
            outcome = future.result()
        except KilledWorker:
            suspects.append(job)
            continue
        except CancelledError:
            raise RuntimeError("run: the scheduler has gone; start another, and go on with --resume") from None
        finally:
            future.release()
        bar.update(job.steps)
        yield outcome
    return suspects


def _remote(version: str) -> Callable[[bytes], Any]:
    """A function that Dask sends by value. It must load even without minissm, or the worker would hang."""

    def minissm(payload: bytes) -> Any:
        import pickle

        from distributed import get_worker

        try:
            work, *arguments = pickle.loads(payload)
        except Exception as error:
            why = f"worker {get_worker().address} can't load minissm {version} ({type(error).__name__}: {error})"
            raise RuntimeError(f"run: {why}; install it on all workers, and go on with --resume") from None
        return work(*arguments)

    return minissm


def _work(run: Run, job: Any) -> Any:
    """One job on a worker. It saves and stops if it was cancelled, or if the worker closes."""
    from distributed import Reschedule, Status, get_worker

    worker = get_worker()
    task = worker.state.tasks[worker.get_current_task()]

    def on_step(_: int) -> None:
        if task.state == "cancelled" or worker.status not in (Status.running, Status.paused):
            raise KeyboardInterrupt

    try:
        with threads(1):
            return run(job, on_step)
    except KeyboardInterrupt:  # would end the worker
        raise Reschedule from None  # Dask forgets it if its client has gone


def check_address(address: str) -> None:
    """RuntimeError without Dask, ValueError unless a scheduler answers at the address."""
    how = "start one with: dask scheduler, and give its address, like tcp://host:8786"
    try:
        import distributed  # noqa: F401

        with ThreadPoolExecutor(1) as thread:  # a notebook's own thread has a running loop
            thread.submit(asyncio.run, _handshake(address)).result()
    except ImportError as error:
        why = f"--cluster needs Dask, which is missing ({error})"
        raise RuntimeError(f"run: {why}; install it with: pip install 'minissm[cluster]'") from None
    except Exception as error:  # what stands at another port can answer anything
        why = str(error) or f"no answer in {PATIENCE} s"
        raise ValueError(f"run: no Dask scheduler at {address!r} ({why}); {how}") from None


async def _handshake(address: str) -> None:
    """Connect once. Without this, Client would wait for ever at a port that accepts connections but never answers."""
    from distributed import Security
    from distributed.comm import connect

    async with asyncio.timeout(PATIENCE):
        comm = await connect(address, **Security().get_connection_args("client"))
        await comm.close()


@contextmanager
def _client(address: str) -> Iterator[Any]:
    """A client of the scheduler at the address. Its log is silent, because our errors say the same."""
    check_address(address)
    from distributed import Client

    log = logging.getLogger("distributed.client")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with Client(address, timeout=PATIENCE, set_as_default=False) as client:
            yield client
    finally:
        log.setLevel(level)
