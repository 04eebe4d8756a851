"""Compare models on a task: train each with several seeds, write one row a finished run, the weights beside it.

A run is a pure function of its Job: the same job gives the same bits (one machine, same versions), whichever process
it runs in and whatever runs beside it. One process, the one that was started, writes all the files.
"""

import json
import multiprocessing
import os
import platform
import re
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..backend import cupy, to
from ..checkpoint import save
from ..files import write_whole
from ..model import DTYPES, Model
from ..progress import Progress
from ..scan import pick
from ..sentence import parse, spell
from ..tasks import TASKS
from ..train import LR, evaluate, fit
from .budget import at_budget, model_for

MODELS = ("ssm", "ssm + fnn1", "ssm + fnn1 + ssm + fnn1", "attn + attn", "attn + fnn1 + attn + fnn1")
PROFILES: dict[str, dict] = {
    "quick": {"seeds": 3, "steps": 1500, "lrs": (LR,)},
    "full": {"seeds": 5, "steps": 4000, "lrs": (LR / 2, LR, 2 * LR)},
}
BUDGET = 30_000
TEST_SEQUENCES = 2000


@dataclass(frozen=True)
class Config:
    """What is compared. seeds counts from 0; width None: each model is sized to `budget` parameters."""

    task: str
    models: tuple[str, ...] = MODELS
    seeds: int = 3
    steps: int = 1500
    lrs: tuple[float, ...] = (LR,)
    budget: int = BUDGET
    width: int | None = None
    mode: str = "auto"
    backend: str = "numpy"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ValueError(f"run: unknown task {self.task!r}; expected one of {', '.join(TASKS)}")
        if self.dtype not in DTYPES:
            raise ValueError(f"run: dtype={self.dtype!r}; expected one of {', '.join(DTYPES)}")
        names = [spell(parse(sentence)) for sentence in self.models]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"run: the model {name!r} is given twice; give it once")
        if not names or not self.lrs or min(self.seeds, self.steps, self.budget, self.width or 1) < 1:
            raise ValueError(
                "run: expected at least one model, one learning rate, one seed, one step and one parameter"
            )
        if not all(0 < lr < float("inf") for lr in self.lrs) or len(set(self.lrs)) < len(self.lrs):
            raise ValueError(f"run: lr={', '.join(f'{lr:g}' for lr in self.lrs)}; expected different numbers above 0")
        object.__setattr__(self, "models", tuple(names))
        pick(self.mode, 1, 1)
        if self.backend == "cupy":
            cupy()
        elif self.backend != "numpy":
            raise ValueError(f"run: backend={self.backend!r}; expected numpy or cupy")

    def nets(self) -> dict[str, Model]:
        """name -> the model in the size that is trained."""
        task = TASKS[self.task]()
        if self.width is not None:
            return {name: model_for(name, task, self.width, self.dtype) for name in self.models}
        return {name: at_budget(name, task, self.budget, self.dtype) for name in self.models}


class Job(NamedTuple):
    """One run: everything that decides its outcome."""

    task: str
    model: str
    net: str
    seed: int
    lr: float
    steps: int
    mode: str
    backend: str

    @property
    def name(self) -> str:
        slug = re.sub(r"[^a-z0-9.]+", "-", self.model.lower()).strip("-")
        return f"{slug}-seed{self.seed}-lr{self.lr:g}"


class Outcome(NamedTuple):
    """row: the line of results.jsonl.  curve: lines of curves.jsonl.  params: the trained weights, on NumPy."""

    row: dict
    curve: list[dict]
    params: Any


def run_job(job: Job, on_step: Any = None) -> Outcome:
    """Draw, train, test. Data for drawing, training and testing come from three generators of the seed."""
    task, net = TASKS[job.task](), Model.read(job.net)
    draw, data, test = (np.random.default_rng([job.seed, i]) for i in range(3))
    params = to(net.init(draw), job.backend)
    start = time.perf_counter()
    params, log = fit(net, params, task, job.steps, data, lr=job.lr, mode=job.mode, progress=False, on_step=on_step)
    seconds = time.perf_counter() - start
    if log.stopped.startswith("interrupted"):
        raise KeyboardInterrupt
    scores = evaluate(net, params, task, test, TEST_SEQUENCES, job.mode)
    key = {"task": job.task, "model": job.model, "seed": job.seed, "lr": job.lr}
    row = {
        **key,
        "net": job.net,
        "steps": job.steps,
        "parameters": net.size,
        "state_size": net.state_size(task.length),
        **scores._asdict(),
        "stopped": log.stopped,
        "seconds": round(seconds, 2),
        "versions": versions(),
    }
    return Outcome(row, [key | r for r in log.rows], to(params, "numpy"))


def versions() -> dict[str, str]:
    from importlib.metadata import version

    names = ("minissm", "numpy", "scipy")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def run(config: Config, out: str | os.PathLike | None = None, jobs: int = 1) -> tuple[Path, list[dict], list[dict]]:
    """Train everything that config names and write it to `out`. -> the folder, its rows, its learning curves.

    Rows are printed as they finish. Ctrl-C keeps the finished rows (and raises KeyboardInterrupt). jobs: processes;
    with 1 everything runs in this one, where a debugger can step through it.
    """
    nets = config.nets()
    work = [
        Job(config.task, name, repr(net), seed, lr, config.steps, config.mode, config.backend)
        for seed in range(config.seeds)
        for lr in config.lrs
        for name, net in nets.items()
    ]
    folder = _new_folder(out, config)
    rows: list[dict] = []
    curves: list[dict] = []
    with Progress(len(work) * config.steps, f"{config.task}, {len(work)} runs") as bar:
        for outcome in _in_process(work, bar) if jobs == 1 else _in_processes(work, bar, jobs):
            _write(folder, outcome, rows, curves)
            bar.say(line(outcome.row))
    return folder, rows, curves


def line(row: dict) -> str:
    """One finished run in one line."""
    scores = f"token {row['token_accuracy']:.3f}  sequence {row['sequence_accuracy']:.3f}"
    end = f"  stopped: {row['stopped']}" if row["stopped"] else ""
    return f"{row['model']:32s} seed {row['seed']}  lr {row['lr']:g}  {scores}  {row['seconds']:.1f} s{end}"


def _new_folder(out: str | os.PathLike | None, config: Config) -> Path:
    """Make the folder and write what is to be run into it; ValueError where that can't be."""
    folder = Path(out) if out is not None else _dated(config.task)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"out: {folder} is a file; expected a folder, or a name that is still free")
    for name in ("run.json", "results.jsonl"):
        if (folder / name).exists():
            raise ValueError(f"out: {folder} holds the results of another run ({name}); choose another folder")
    try:
        (folder / "weights").mkdir(parents=True, exist_ok=True)
        write_whole(
            folder / "run.json", lambda file: file.write((json.dumps(asdict(config), indent=1) + "\n").encode())
        )
    except OSError as error:
        raise ValueError(f"out: can't write to {folder} ({error.strerror}); choose another folder") from None
    return folder


def _dated(task: str) -> Path:
    name = f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{task}"
    names = (f"{name}{suffix}" for suffix in ("", *(f"_{i}" for i in range(2, 1000))))
    return next(path for path in (Path("runs") / n for n in names) if not path.exists())


def _write(folder: Path, outcome: Outcome, rows: list[dict], curves: list[dict]) -> None:
    """Weights, curve, row, in this order: a row on disk has its weights beside it."""
    name = Job._make(outcome.row.get(f) for f in Job._fields).name
    save(folder / "weights" / f"{name}.npz", Model.read(outcome.row["net"]), outcome.params)
    for path, lines, new in (
        (folder / "curves.jsonl", curves, outcome.curve),
        (folder / "results.jsonl", rows, [outcome.row]),
    ):
        lines.extend(new)
        write_lines(path, lines)


def write_lines(path: Path, lines: list[dict]) -> None:
    """One JSON object a line, the whole file at once."""
    text = "".join(json.dumps(r) + "\n" for r in lines)
    write_whole(path, lambda file: file.write(text.encode()))


def _in_process(work: list[Job], bar: Progress) -> Iterator[Outcome]:
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        for job in work:
            yield run_job(job, lambda step: bar.update(1))


def _in_processes(work: list[Job], bar: Progress, jobs: int) -> Iterator[Outcome]:
    """The same rows from `jobs` processes, BLAS on one thread in each."""
    context = multiprocessing.get_context("spawn")
    steps, stop = context.SimpleQueue(), context.Event()
    with ProcessPoolExecutor(jobs, context, _start_worker, (steps, stop)) as pool:
        waiting: set[Future] = {pool.submit(_work, job) for job in work}
        try:
            while waiting:
                done, waiting = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
                while not steps.empty():
                    bar.update(steps.get())
                for future in done:
                    yield future.result()
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)


_worker: dict[str, Any] = {}  # what a worker process was started with


def _start_worker(steps: Any, stop: Any) -> None:
    from threadpoolctl import threadpool_limits

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the parent decides what ends
    _worker.update(steps=steps, stop=stop, limits=threadpool_limits(1))
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(job: Job) -> Outcome:
    def on_step(i: int) -> None:
        if i % 50 == 0 or i == job.steps:
            _worker["steps"].put(i % 50 or 50)
            if _worker["stop"].is_set():
                raise KeyboardInterrupt

    return run_job(job, on_step)
