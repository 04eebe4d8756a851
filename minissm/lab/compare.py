"""Compare models on a task: train each with several seeds; write a row and the weights for each finished run.

A run is a pure function of its Job: on one machine with the same versions, the same job gives the same bits. They do
not depend on the process, on other runs at the same time, or on stops and resumes. The parent process writes all
files except the checkpoints.
"""

import math
import os
import platform
import re
import shlex
import signal
import zlib
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import tasks
from ..backend import cupy, to
from ..calls import shorten
from ..checks import integer
from ..model import DTYPES, Model
from ..progress import Progress
from ..scan import check_mode
from ..spec import parse, spell
from ..train import BATCH, EVERY, LR, evaluate, fit, inputs_of
from . import plugin, results
from .budget import at_budget, model_for
from .lock import alone_in, remove_parts
from .machine import processor
from .workers import Terminated, in_process, in_processes, stop_signals

MODELS = ("ssm", "ssm + fnn1", "ssm + fnn1 + ssm + fnn1", "attn + attn", "attn + fnn1 + attn + fnn1")
PROFILES: dict[str, dict] = {
    "quick": {"seeds": 3, "steps": 1500, "lrs": (LR,)},
    "full": {"seeds": 5, "steps": 4000, "lrs": (LR / 2, LR, 2 * LR)},
}
BUDGET = 30_000
LARGEST = 300_000_000  # numbers in an array of a run
TEST_SEQUENCES = 2000
PRINT = partial(print, flush=True)  # raises if the reader of the output has gone, which ends a run


@dataclass(frozen=True)
class Config:
    """The settings of a comparison.

    task: a spec, like "recall(pairs=8)".
    models: specs.
    seeds: number of seeds, counted from 0.
    steps: training steps of each run.
    lrs: learning rates; every model is trained with each.
    budget: parameters of each model, if width is None.
    width: one width for all models, in place of a budget.
    mode: mode of the filters.
    backend: "numpy" or "cupy".
    dtype: dtype of the parameters.
    plugin: a Python file that registers blocks, filters and tasks.
    plugin_sha256: the SHA-256 of that file (None: of the file as it is). A file with another one is refused.
    """

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
    plugin: str | None = None
    plugin_sha256: str | None = None

    def __post_init__(self) -> None:
        if self.plugin is not None:
            object.__setattr__(self, "plugin_sha256", plugin.load(self.plugin, self.plugin_sha256))
        object.__setattr__(self, "task", tasks.parse(self.task).spec)
        if self.dtype not in DTYPES:
            raise ValueError(f"run: dtype={self.dtype!r}; expected one of {', '.join(DTYPES)}")
        names = [spell(parse(spec)) for spec in self.models]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"run: the model {name!r} is given twice; give it once")
        if not names or not self.lrs:
            raise ValueError("run: expected at least one model and one learning rate; leave them out for the defaults")
        for name in ("seeds", "steps", "budget"):
            integer(self, "run", name, minimum=1)
        integer(self, "run", "width", minimum=1, optional=True)
        if not all(0 < lr <= 1e30 for lr in self.lrs) or len(set(self.lrs)) < len(self.lrs):
            given = ", ".join(f"{lr:g}" for lr in self.lrs)
            raise ValueError(f"run: lr={given}; expected different numbers above 0, to 1e30")
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
        """name -> the model in the size that is trained. Each is tried on one sequence of the task first."""
        task, nets = tasks.parse(self.task), {}
        for name in self.models:
            if self.width is not None:
                net = model_for(name, task, self.width, self.dtype)
            else:
                net = at_budget(name, task, self.budget, self.dtype)
            numbers = net.size, BATCH * task.length * net.width, BATCH * net.state_size(task.length)
            if max(numbers) > LARGEST:  # before any of them is drawn
                given = "{:,} parameters, {:,} numbers a layer and {:,} in the states of a batch".format(*numbers)
                raise ValueError(f"run: {shorten(name)} has {given}; expected {LARGEST:,} at most, give smaller sizes")
            params = to(net.init(np.random.default_rng(0)), self.backend)
            net(params, inputs_of(task.batch(np.random.default_rng(0), 1), params), self.mode)
            nets[name] = net
        return nets

    def work(self) -> list["Job"]:
        """All runs, in the order of their rows."""
        nets, same = self.nets().items(), (self.steps, self.mode, self.backend, self.plugin, self.plugin_sha256)
        return [
            Job(self.task, name, repr(net), seed, lr, *same)
            for seed in range(self.seeds)
            for lr in self.lrs
            for name, net in nets
        ]


class Job(NamedTuple):
    """One run: everything that its outcome depends on."""

    task: str
    model: str
    net: str
    seed: int
    lr: float
    steps: int
    mode: str
    backend: str
    plugin: str | None = None
    plugin_sha256: str | None = None

    @property
    def name(self) -> str:
        slug = re.sub(r"[^a-z0-9.]+", "-", self.model.lower()).strip("-")
        if len(slug) > 100:  # the name of a file has 255 bytes
            slug = f"{slug[:90]}-{zlib.crc32(self.model.encode()):08x}"
        return f"{slug}-seed{self.seed}-lr{self.lr}"

    @property
    def weights(self) -> str:
        """The file of the weights, relative to the folder of the comparison."""
        return f"weights/{self.name}.npz"

    @property
    def key(self) -> dict:
        """The fields that identify the run."""
        return {"task": self.task, "model": self.model, "seed": self.seed, "lr": self.lr}

    @property
    def known(self) -> dict:
        """The fields of its row that are known before the run. plugin: the SHA-256 of the file, or None."""
        net = Model.read(self.net)
        sizes = {"parameters": net.size, "state_size": net.state_size(tasks.parse(self.task).length)}
        files = {"weights": self.weights, "plugin": self.plugin_sha256}
        return self.key | {"net": self.net, "steps": self.steps} | sizes | files


class Outcome(NamedTuple):
    """row: the line of results.jsonl.  curve: lines of curves.jsonl.  params: the trained weights, on NumPy.

    Numbers in row and curve that are not finite are None, which JSON can store as null.
    """

    row: dict
    curve: list[dict]
    params: Any


def run_job(job: Job, on_step: Any = None, unfinished: Path | None = None, every: float = EVERY) -> Outcome:
    """Draw the parameters, train, test. Each of the three has a generator of its own, derived from the seed.

    unfinished: the folder of its checkpoint. The run resumes from the checkpoint and does not delete it.
    """
    if job.plugin is not None:
        plugin.load(job.plugin, job.plugin_sha256)
    task, net = tasks.parse(job.task), Model.read(job.net)
    draw, data, test = (np.random.default_rng([job.seed, i]) for i in range(3))
    options: dict = {"lr": job.lr, "mode": job.mode, "progress": False, "on_step": on_step, "every": every}
    if unfinished is not None:
        options["checkpoint"] = unfinished / f"{job.name}.npz"
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # a run that breaks off has it in its row
        params, log = fit(net, to(net.init(draw), job.backend), task, job.steps, data, **options)
        if log.stopped.startswith("interrupted"):
            raise KeyboardInterrupt
        scores = evaluate(net, params, task, test, TEST_SEQUENCES, job.mode)
    end = {"stopped": log.stopped, "seconds": round(log.seconds, 2), "versions": versions()}
    row = _finite(job.known | scores | end)
    return Outcome(row, [_finite(job.key | evaluation) for evaluation in log.rows], to(params, "numpy"))


def _finite(row: dict) -> dict:
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}


def versions() -> dict[str, str]:
    """The versions and the processor, on which the seconds and the last digits of a row depend."""
    from importlib.metadata import version

    from .. import __version__

    return {
        "python": platform.python_version(),
        "minissm": __version__,
        **{name: version(name) for name in ("numpy", "scipy")},
        "processor": processor(),
    }


def run(
    config: Config, out: str | os.PathLike | None = None, jobs: int = 1, every: float = EVERY
) -> tuple[Path, list[dict], list[dict]]:
    """Train all runs of config and write the results to `out`. -> the folder, its rows, its learning curves.

    A row is printed when its run is finished; the file has the rows in the order of the jobs. Ctrl-C and SIGTERM save
    all runs and raise KeyboardInterrupt, whose text has the command to resume. A kill loses at most `every` seconds.
    jobs: processes. With 1 all runs are in this process, and a debugger can step through them.
    """
    if out is not None and not os.fspath(out):
        raise ValueError("out: the name is empty; give a folder, or leave --out away for a new one under runs/")
    folder = Path(out) if out is not None else _dated(config.task)
    if not os.fspath(folder).isprintable():
        raise ValueError(f"out: {os.fspath(folder)!r} contains characters that can't be printed; choose another name")
    work = config.work()
    begin = partial(_announce, work, folder, [], jobs)
    with results.new_folder(folder, asdict(config) | {"versions": versions()}, begin):
        return folder, *_finish(work, folder, [], [], jobs, every)


def resume(folder: str | os.PathLike, jobs: int = 1, every: float = EVERY) -> tuple[Path, list[dict], list[dict]]:
    """Finish the run in the folder, with the results that `run` would have. ValueError if it can't be read."""
    folder = Path(folder)
    config, begun = stored(folder)
    work = config.work()
    with alone_in(folder):
        remove_parts(folder)
        rows, curves, notes = results.finished(folder, [job.known for job in work])
        changed = [f"{name} {begun.get(name)}, now {v}" for name, v in versions().items() if begun.get(name) != v]
        if changed:
            notes.append(f"{folder} was begun with {'; '.join(changed)}: the last digits may differ")
        for text in notes:
            PRINT(text)
        _announce(work, folder, rows, jobs)
        return folder, *_finish(work, folder, rows, curves, jobs, every)


def stored(folder: Path) -> tuple[Config, dict]:
    """The settings of the run in the folder, and the versions with which it began."""
    asked = results.asked_in(folder)
    begun = asked.pop("versions", None)
    try:
        if asked.keys() != {field.name for field in fields(Config)} or not isinstance(begun, dict):
            raise ValueError("fields are missing, or too many")
        return Config(**asked), begun
    except plugin.PluginError:
        raise
    except (ValueError, TypeError, AttributeError) as error:
        raise results.damaged(folder / "run.json", str(error)) from None


def _announce(work: list[Job], folder: Path, rows: list[dict], jobs: int) -> None:
    """Print the first line of a run."""
    finished = f", {len(rows)} of them finished" if rows else ""
    how = f"{max(1, min(jobs, len(work) - len(rows)))} at a time; results go to {folder}"
    PRINT(f"{work[0].task}: {len(work)} runs of {work[0].steps} steps{finished}, {how}")


def _finish(
    work: list[Job], folder: Path, rows: list[dict], curves: list[dict], jobs: int, every: float
) -> tuple[list[dict], list[dict]]:
    """Do the runs without a row. -> all rows and curves. The text of a KeyboardInterrupt has the command to resume."""
    order = {(job.model, job.seed, job.lr): i for i, job in enumerate(work)}

    def in_order(lines: list[dict]) -> list[dict]:
        return sorted(lines, key=lambda r: order[r["model"], r["seed"], r["lr"]])

    done = {row["weights"] for row in rows}
    for row in rows:  # after a kill between the write of a row and the removal of its checkpoint
        results.checkpoint(folder, row).unlink(missing_ok=True)
    left = [job for job in work if job.weights not in done]
    task, steps, jobs, unfinished = work[0].task, work[0].steps, max(1, min(jobs, len(left))), folder / "unfinished"
    if left:
        unfinished.mkdir(exist_ok=True)
    train = partial(run_job, unfinished=unfinished, every=every)
    name = f"{task}, {len(work)} runs"
    with stop_signals(at_once=jobs == 1) as pressed, Progress(len(work) * steps, name) as bar:
        bar.update(len(rows) * steps)
        outcomes = in_processes(train, left, bar, jobs, pressed) if jobs > 1 else in_process(train, left, bar)
        try:
            with closing(outcomes):
                for outcome in outcomes:
                    all_rows, all_curves = in_order([*rows, outcome.row]), in_order(curves + outcome.curve)
                    results.write(folder, outcome, all_rows, all_curves)
                    rows, curves = all_rows, all_curves
                    bar.say(line(outcome.row), PRINT)
                    if pressed and jobs == 1:  # pressed in a training on a device that had broken off already
                        raise KeyboardInterrupt
        except KeyboardInterrupt:
            how = f"go on with: minissm run {shlex.quote(task)} --resume {shlex.quote(str(folder))}"
            stop = Terminated if signal.SIGTERM in pressed else KeyboardInterrupt
            raise stop(f"{len(rows)} of {len(work)} runs are finished, the others saved; {how}") from None
    with suppress(OSError):
        unfinished.rmdir()
    return rows, curves


def line(row: dict) -> str:
    """One finished run in one line."""
    found = {name: math.nan if row[name] is None else row[name] for name in tasks.parse(row["task"]).score_names}
    scores = "  ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in found.items())
    end = f"  stopped: {row['stopped']}" if row["stopped"] else ""
    return f"{row['model']:32s} seed {row['seed']}  lr {row['lr']:g}  {scores}  {row['seconds']:.1f} s{end}"


def _dated(task: str) -> Path:
    slug = re.sub(r"[^a-z0-9.]+", "-", task.lower()).strip("-")[:60]
    name = f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{slug}"
    names = (f"{name}{suffix}" for suffix in ("", *(f"_{i}" for i in range(2, 1000))))
    return next(path for path in (Path("runs") / n for n in names) if not path.exists())
