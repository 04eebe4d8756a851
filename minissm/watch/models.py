"""The model of the page: from a file, from the folder of a run, or trained here and kept."""

import json
import re
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from .. import tasks
from ..checkpoint import load, save
from ..files import shown
from ..model import Model
from ..progress import tell
from ..tasks import TokenTask
from ..train import fit
from .data import check

FOLDER = Path("runs/watch")
SPEC, WIDTH, STEPS = "ssm + fnn1 + ssm + fnn1", 32, 1000
PATIENCE, EARLY = 300.0, (20, 100)  # seconds that a training may take; steps between which this is estimated


def read(path: Path, asked: str | None) -> tuple[Model, dict, Any]:
    """The model at the path and its task. ValueError in one sentence where there is none.

    asked: the spec of a task. None: the task of the run, if the file lies in its folder, or else a task that fits.
    """
    file, spec = _best(path) if path.is_dir() else (path, _task_of(path))
    try:
        net, params = load(file)
    except OSError as error:
        raise ValueError(f"watch: {shown(file)} can't be read ({error.strerror or 'no such file'})") from None
    task = _fitting(file, net) if asked is None and spec is None else tasks.parse(asked or spec or "")
    check(net, task)
    tell(f"model: {file}   task: {task.spec}" + ("" if asked or spec else ", which has its vocabulary"))
    return net, params, task


def _best(folder: Path) -> tuple[Path, str]:
    """The file and the task of the run's best model: without attention, if there is such a model."""
    rows = []
    for path in sorted((folder / "runs").glob("*.json")):
        try:
            row = json.loads(path.read_text(encoding="utf-8"))["row"]
            if row.get("token_accuracy") is not None:
                rows.append((row["token_accuracy"], folder / row["weights"], row["task"], "attn" in row["net"]))
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            raise ValueError(f"watch: {shown(path)} is no record of a run; give the file of a model instead") from None
    if not rows:
        inner = [path.parent for path in folder.glob("*/runs")]  # the folder of all runs
        if inner:
            newest = max(inner, key=lambda run: run.stat().st_mtime)
            raise ValueError(f"watch: {shown(folder)} holds runs; give one of them, the newest is {shown(newest)}")
        expected = "the folder of a finished `minissm run` with a task of tokens, or the file of a model"
        raise ValueError(f"watch: {shown(folder)} has no trained model; expected {expected}")
    chosen = [row for row in rows if not row[3]] or rows
    what = f"{len(chosen)} models" + (" without attention" if len(chosen) < len(rows) else "")
    tell(f"the best of {what} in {folder}; for another, give its file in {folder / 'weights'}")
    _, file, spec, _ = max(chosen, key=lambda row: row[0])
    return file, spec


def _task_of(file: Path) -> str | None:
    """The task of the run that the file of weights belongs to, or None."""
    try:
        record = json.loads((file.parents[1] / "runs" / f"{file.stem}.json").read_text(encoding="utf-8"))
        return str(record["row"]["task"])
    except (OSError, ValueError, TypeError, KeyError, IndexError):
        return None


def _fitting(file: Path, net: Model) -> Any:
    """The first task whose default has the vocabulary of the model."""
    for cls in tasks.TASKS.values():
        if issubclass(cls, TokenTask) and (task := cls()).sizes == {"vocab": net.vocab}:
            return task
    given = f"a vocabulary of {net.vocab}" if net.vocab else f"no vocabulary, but inputs of {net.inputs} numbers"
    raise ValueError(f"watch: {shown(file)} has {given}; give --task the task that it was trained on")


def trained(net: Model, task: Any) -> tuple[Model, dict]:
    """The model, trained on the task: here, or by an earlier call, which kept it. ValueError if it would take long."""
    file = FOLDER / f"{name(task.spec, net.spec)}.npz"
    if file.exists():
        try:
            kept, params = load(file)
        except ValueError as error:
            raise ValueError(f"watch: {error}; or remove it, and it is trained anew") from None
        if kept == net:
            tell(f"model: {file}, trained by an earlier call; remove it to train anew")
            return net, params
    tell(f"training {net.spec} on {task.spec}: {net.size:,} parameters, {STEPS:,} steps")
    rng, start = np.random.default_rng(0), time.monotonic()

    def patient(step: int) -> None:
        spent = time.monotonic() - start
        expected = spent / step * STEPS
        early = EARLY[0] <= step <= EARLY[1] or (step < EARLY[0] and spent > PATIENCE / 10)
        if early and expected > PATIENCE:
            what = f"training {net.spec} on {task.spec} would take {expected:,.0f} s here, {PATIENCE:.0f} s are allowed"
            raise ValueError(f"watch: {what}; train it with minissm run, and give its folder")

    params, log = fit(net, net.init(rng), task, STEPS, rng, on_step=patient)
    if log.stopped.startswith("interrupted"):
        raise KeyboardInterrupt
    if log.stopped:
        raise ValueError(f"watch: the training broke off: {log.stopped}")
    save(file, net, params)
    tell(f"model: {file}, kept for the next call")
    return net, params


def name(*specs: str) -> str:
    """A name of a file: the specs, without what a file system may refuse."""
    slug = "_".join(re.sub(r"[^a-z0-9.=]+", "-", spec.lower()).strip("-") for spec in specs)
    return slug if len(slug) <= 100 else f"{slug[:90]}-{zlib.crc32('_'.join(specs).encode()):08x}"
