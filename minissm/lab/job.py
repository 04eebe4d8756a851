"""One run of a comparison: a Job, which determines all its bits, and its Outcome."""

import math
import os
import platform
import re
import time
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import tasks
from ..backend import to
from ..calls import options_of
from ..evaluate import evaluate
from ..model import Model
from ..train import EVALS, EVERY, fit
from . import plugin
from .influence import influence
from .machine import processor

BETWEEN = 50  # steps between two evaluations of a training; short ones have EVALS of them
VALIDATED_ON, INFLUENCED_ON = 1000, 500  # sequences
LEARNT = 0.95  # the accuracy whose first step a row keeps


class Job(NamedTuple):
    """One run: all values that its outcome depends on, in types that JSON can store.

    task: the task's spec, with varied options.
    model: the model as it was given.
    net: the repr of the model that is trained.
    vary: the varied settings, by name. The learning rate has a field of its own.
    tests: specs of more tasks to test on.
    until: the main score of an evaluation that ends the training, or None.
    Other fields: as in Config.
    """

    task: str
    model: str
    vary: dict[str, Any]
    seed: int
    lr: float
    steps: int
    net: str
    batch: int
    clip: float
    tests: list[str]
    mode: str
    backend: str
    plugin: str | None = None
    plugin_sha256: str | None = None
    until: float | None = None

    @property
    def name(self) -> str:
        """The name of the run's files, without an extension."""
        slug = re.sub(r"[^a-z0-9.]+", "-", self.model.lower()).strip("-")
        varied = "".join(f"-{name}={value}" for name, value in self.vary.items())
        slug += re.sub(r"[^a-z0-9.=-]+", "-", varied.lower())
        if len(slug) > 100:  # the name of a file has 255 bytes
            slug = f"{slug[:90]}-{zlib.crc32((self.model + varied).encode()):08x}"
        return f"{slug}-seed{self.seed}-lr{self.lr}"

    @property
    def weights(self) -> str:
        """The file of the weights, relative to the folder of the comparison."""
        return f"weights/{self.name}.npz"

    @property
    def evals(self) -> int:
        """The number of evaluations during the training."""
        return max(EVALS, -(-self.steps // BETWEEN))

    @property
    def key(self) -> dict:
        """The fields that identify the run."""
        return {name: getattr(self, name) for name in ("task", "model", "vary", "seed", "lr")}

    @property
    def known(self) -> dict:
        """The fields of the row that are known before the run. plugin: the SHA-256 of the file, or None."""
        net = Model.read(self.net)
        sizes = {"parameters": net.size, "state_size": net.state_size(tasks.parse(self.task).length)}
        files = {"weights": self.weights, "plugin": self.plugin_sha256}
        until = {} if self.until is None else {"until": self.until}
        return self.key | {"steps": self.steps, "net": self.net} | sizes | files | until


class Outcome(NamedTuple):
    """The results of a run.

    row: a line of results.jsonl.
    curve: the evaluations during the training.
    params: the weights, as NumPy arrays.

    Numbers in row and curve that are not finite are None, which JSON stores as null.
    """

    job: Job
    row: dict
    curve: list[dict]
    params: Any


def run_job(job: Job, on_step: Any = None, unfinished: Path | None = None, every: float = EVERY) -> Outcome:
    """Draw the parameters, train, validate and test. Each of these has a generator of its own, derived from the seed.

    unfinished: the folder of the checkpoint. The run resumes from the checkpoint and does not delete it. If a worker of
        a cluster can't write to the folder, its runs have no checkpoint.
    """
    if job.plugin is not None:
        plugin.load(job.plugin, job.plugin_sha256)
    task, net = task_of(job.task, job.seed), Model.read(job.net)
    draw, data, test, validation, sources = (np.random.default_rng([job.seed, i]) for i in range(5))
    options: dict = {"lr": job.lr, "batch": job.batch, "clip": job.clip, "mode": job.mode, "every": every}
    options |= {"evals": job.evals, "until": job.until, "progress": False, "on_step": on_step}
    if task.held_out is not None:
        options |= {"validate": task.held_out, "keep": "best"}
    if unfinished is not None and os.access(unfinished, os.W_OK):
        options["checkpoint"] = unfinished / f"{job.name}.npz"

    def main_score(on: Any, rng: np.random.Generator, n: int) -> float:
        return evaluate(net, params, on, rng, n, job.mode)[on.main[0]]

    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # a run that breaks off has it in its row
        start = time.thread_time()
        params, log = fit(net, to(net.init(draw), job.backend), task, job.steps, data, **options)
        spent = time.thread_time() - start
        if log.stopped.startswith("interrupted"):
            raise KeyboardInterrupt
        row = job.known | evaluate(net, params, task.fresh, test, task.tested_on, job.mode)
        row["validation"] = main_score(task.held_out or task, validation, VALIDATED_ON)
        row["steps_to_95"] = steps_to(LEARNT, log.rows) if isinstance(task, tasks.TokenTask) else None
        row |= influence(net, params, task.fresh, sources, INFLUENCED_ON, job.mode)
        others = {spec: task_of(spec, job.seed).fresh for spec in job.tests}
        tested = {s: main_score(t, np.random.default_rng([job.seed, 2]), t.tested_on) for s, t in others.items()}
    row |= {"tests": _finite(tested), "stopped": log.stopped, "seconds": round(log.seconds, 2)}
    row |= {"cpu_seconds": round(spent, 2), "versions": versions()}
    return Outcome(job, _finite(row), [_finite(evaluation) for evaluation in log.rows], to(params, "numpy"))


def task_of(spec: str, seed: int) -> Any:
    """The task of the spec. A task with an option `seed` is drawn anew for each seed of a comparison."""
    task = tasks.parse(spec)
    return replace(task, seed=task.seed + seed) if "seed" in options_of(type(task)) else task


def steps_to(accuracy: float, evaluations: list[dict]) -> int | None:
    """The step of the first evaluation with at least this accuracy, or None."""
    return next((r["step"] for r in evaluations if r["token_accuracy"] >= accuracy), None)


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
