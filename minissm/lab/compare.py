"""Compare models on a task: train each with several seeds, write one row a finished run, the weights beside it.

A run is a pure function of its Job: the same job gives the same bits (one machine, same versions), whichever process
it runs in and whatever runs beside it. One process, the one that was started, writes all the files.
"""

import json
import math
import os
import platform
import re
import time
import zlib
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..backend import cupy, like, to
from ..checkpoint import save
from ..checks import whole
from ..files import write_whole
from ..model import DTYPES, Model
from ..progress import Progress
from ..scan import check_mode
from ..sentence import parse, spell
from ..tasks import TASKS
from ..train import LR, evaluate, fit
from .budget import at_budget, model_for
from .machine import processor
from .workers import in_process, in_processes

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
        if not names or not self.lrs:
            raise ValueError("run: expected at least one model and one learning rate; leave them out for the defaults")
        for name in ("seeds", "steps", "budget"):
            whole(self, "run", name, least=1)
        whole(self, "run", "width", least=1, optional=True)
        if not all(0 < lr < float("inf") for lr in self.lrs) or len(set(self.lrs)) < len(self.lrs):
            raise ValueError(f"run: lr={', '.join(f'{lr:g}' for lr in self.lrs)}; expected different numbers above 0")
        if self.seeds * len(self.lrs) * len(names) > 100_000:
            raise ValueError(f"run: seeds={self.seeds}; that is more than 100,000 runs, give fewer")
        object.__setattr__(self, "models", tuple(names))
        object.__setattr__(self, "lrs", tuple(float(lr) for lr in self.lrs))
        check_mode("run", self.mode)
        if self.backend == "cupy":
            cupy()
        elif self.backend != "numpy":
            raise ValueError(f"run: backend={self.backend!r}; expected numpy or cupy")

    def nets(self) -> dict[str, Model]:
        """name -> the model in the size that is trained. Each answers one sequence of the task before it is given."""
        task, nets = TASKS[self.task](), {}
        for name in self.models:
            if self.width is not None:
                net = model_for(name, task, self.width, self.dtype)
            else:
                net = at_budget(name, task, self.budget, self.dtype)
            params = to(net.init(np.random.default_rng(0)), self.backend)
            tokens = task.batch(np.random.default_rng(0), 1).tokens
            net(params, like(tokens, params["embed"]["w"]), self.mode)
            nets[name] = net
        return nets


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
        if len(slug) > 100:  # the name of a file has 255 bytes
            slug = f"{slug[:90]}-{zlib.crc32(self.model.encode()):08x}"
        return f"{slug}-seed{self.seed}-lr{self.lr}"


class Outcome(NamedTuple):
    """row: the line of results.jsonl.  curve: lines of curves.jsonl.  params: the trained weights, on NumPy.

    Numbers in row and curve that are not finite are None, which JSON has a word for.
    """

    row: dict
    curve: list[dict]
    params: Any


def run_job(job: Job, on_step: Any = None) -> Outcome:
    """Draw, train, test. Data for drawing, training and testing come from three generators of the seed."""
    task, net = TASKS[job.task](), Model.read(job.net)
    draw, data, test = (np.random.default_rng([job.seed, i]) for i in range(3))
    params = to(net.init(draw), job.backend)
    start = time.perf_counter()
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # a run that breaks off says so in its row
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
        "weights": f"weights/{job.name}.npz",
        "versions": versions(),
    }
    return Outcome(_finite(row), [_finite(key | r) for r in log.rows], to(params, "numpy"))


def _finite(row: dict) -> dict:
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}


def versions() -> dict[str, str]:
    """What the seconds and the last digits of a row depend on."""
    from importlib.metadata import version

    from .. import __version__

    return {
        "python": platform.python_version(),
        "minissm": __version__,
        **{name: version(name) for name in ("numpy", "scipy")},
        "processor": processor(),
    }


def run(config: Config, out: str | os.PathLike | None = None, jobs: int = 1) -> tuple[Path, list[dict], list[dict]]:
    """Train everything that config names and write it to `out`. -> the folder, its rows, its learning curves.

    Rows are printed as they finish, and stand in the order of the jobs whatever finished first. Ctrl-C keeps the
    finished rows (and raises KeyboardInterrupt). jobs: processes; with 1 everything runs in this one, where a debugger
    can step through it.
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
    jobs = min(jobs, len(work))
    try:
        _run_all(work, jobs, config, folder, rows, curves)
    except KeyboardInterrupt:
        if rows:
            raise KeyboardInterrupt(f"the {len(rows)} finished rows are in {folder}") from None
        (folder / "run.json").unlink(missing_ok=True)
        for path in (folder / "weights", folder):
            with suppress(OSError):
                path.rmdir()
        raise KeyboardInterrupt("no run had finished, nothing is left") from None
    return folder, rows, curves


def _run_all(work: list[Job], jobs: int, config: Config, folder: Path, rows: list[dict], curves: list[dict]) -> None:
    """Fill rows and curves, and the files, as the runs finish."""
    place = {(job.model, job.seed, job.lr): i for i, job in enumerate(work)}
    with (
        Progress(len(work) * config.steps, f"{config.task}, {len(work)} runs") as bar,
        closing(in_process(run_job, work, bar) if jobs == 1 else in_processes(run_job, work, bar, jobs)) as outcomes,
    ):
        bar.say(f"{config.task}: {len(work)} runs of {config.steps} steps, {jobs} at a time; results go to {folder}")
        for outcome in outcomes:
            rows.append(outcome.row)
            curves.extend(outcome.curve)
            for lines in (rows, curves):
                lines.sort(key=lambda r: place[r["model"], r["seed"], r["lr"]])
            _write(folder, outcome, rows, curves)
            bar.say(line(outcome.row))


def line(row: dict) -> str:
    """One finished run in one line."""
    scores = f"token {row['token_accuracy']:.3f}  sequence {row['sequence_accuracy']:.3f}"
    end = f"  stopped: {row['stopped']}" if row["stopped"] else ""
    return f"{row['model']:32s} seed {row['seed']}  lr {row['lr']:g}  {scores}  {row['seconds']:.1f} s{end}"


def _new_folder(out: str | os.PathLike | None, config: Config) -> Path:
    """Make the folder and write what is to be run into it; ValueError where that can't be."""
    if out is not None and not os.fspath(out):
        raise ValueError("out: the name is empty; give a folder, or leave --out away for a new one under runs/")
    folder, made = Path(out) if out is not None else _dated(config.task), []
    try:
        if folder.exists() and not folder.is_dir():
            raise ValueError(f"out: {folder} is a file; expected a folder, or a name that is still free")
        for name in ("run.json", "results.jsonl"):
            if (folder / name).exists():
                raise ValueError(f"out: {folder} holds the results of another run ({name}); choose another folder")
        weights = folder / "weights"
        made = [path for path in (weights, *weights.parents) if not path.exists()]  # the innermost first
        weights.mkdir(parents=True, exist_ok=True)
        text = json.dumps(asdict(config), indent=1) + "\n"
        write_whole(folder / "run.json", lambda file: file.write(text.encode()))
    except OSError as error:
        for path in made:
            with suppress(OSError):
                path.rmdir()
        raise ValueError(f"out: can't write to {folder} ({error.strerror}); choose another folder") from None
    return folder


def _dated(task: str) -> Path:
    name = f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{task}"
    names = (f"{name}{suffix}" for suffix in ("", *(f"_{i}" for i in range(2, 1000))))
    return next(path for path in (Path("runs") / n for n in names) if not path.exists())


def _write(folder: Path, outcome: Outcome, rows: list[dict], curves: list[dict]) -> None:
    """Weights, curve, row, in this order: a row on disk has its weights beside it."""
    save(folder / outcome.row["weights"], Model.read(outcome.row["net"]), outcome.params)
    write_lines(folder / "curves.jsonl", curves)
    write_lines(folder / "results.jsonl", rows)


def write_lines(path: Path, lines: list[dict]) -> None:
    """One JSON object a line, the whole file at once."""
    text = "".join(json.dumps(r, allow_nan=False) + "\n" for r in lines)
    write_whole(path, lambda file: file.write(text.encode()))
