"""Training: on from the written weights of recall, from a random draw of the same network, and of other models."""

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import tree
from ..evaluate import evaluate
from ..files import shown, write_whole
from ..model import Model
from ..progress import Progress
from ..tasks import Recall, parse
from ..train import fit
from .networks import recall

SIZES = {"keys": 6, "values": 6, "pairs": 4}
LIBRARY = "trig(window=3) + fnn1 + trig + fnn1"  # a model that the library trains on recall
KINDS = ("pass", "delay", "sum", "other")  # what a channel of a filter does
FIRST = {"start": "weights", "noise": 0.0, "relative": 0.0, "residual": False, "lr": 1e-3, "steps": 300}
CELLS: tuple[dict[str, Any], ...] = (
    *({"lr": lr} for lr in (1e-4, 1e-3, 8e-3)),
    *({"noise": noise} for noise in (0.01, 0.03, 0.05, 0.1)),
    *({"relative": noise} for noise in (0.03, 0.1)),
    *({"start": "draw", "residual": on, "lr": lr, "steps": 3000} for on in (False, True) for lr in (3e-3, 8e-3)),
    {"start": LIBRARY, "residual": True, "lr": 8e-3, "steps": 1500},
)


def finished(path: Path, cells: Iterable[dict], run: Callable[[dict, Any], dict], show: bool = True) -> list[dict]:
    """The rows cell | run(cell, on_step), one for each cell, in `path`: cells that have a row there are not run again.

    cells: dicts that JSON can store, with the number of `steps`. on_step: to be called after each step. The file is
    written whole after each row. ValueError if it is damaged; KeyboardInterrupt, with a sentence, loses no row.
    """
    cells, rows = list(cells), []
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
        done = [next((row for row in rows if row.items() >= cell.items()), None) for cell in cells]
    except (ValueError, AttributeError):
        raise ValueError(f"constructions: {shown(path)} has a line that is no row; remove the file") from None
    todo = [cell for cell, row in zip(cells, done, strict=True) if row is None]
    try:
        with Progress(sum(cell["steps"] for cell in todo), path.stem, show) as bar:

            def on_step(done: int) -> None:
                bar.update(1)

            for cell in todo:
                row = run(cell, on_step)
                if row["stopped"].startswith("interrupted"):
                    raise KeyboardInterrupt
                rows.append(cell | row)
                _write(path, rows)
    except KeyboardInterrupt as stop:
        raise type(stop)(f"{shown(path)} has the finished rows; go on with the same command") from None
    return [next(row for row in rows if row.items() >= cell.items()) for cell in cells]


def _write(path: Path, rows: list[dict]) -> None:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    write_whole(path, lambda file: file.write(text.encode()))


def learn(out: Path, seeds: int = 3, cells: Iterable[dict] = CELLS) -> list[dict]:
    """Train from each start; rows with accuracy and loss over the steps in out/constructions-learn.jsonl."""
    every = [FIRST | cell | {"seed": seed} for cell in cells for seed in range(seeds)]
    return finished(out / "constructions-learn.jsonl", every, _learn)


def _learn(cell: dict, on_step: Any) -> dict:
    net, params, task = *recall(**SIZES, dtype="float32"), Recall(**SIZES)
    draw, data, test = _generators(cell)
    net = replace(net, residual=cell["residual"])
    if cell["start"] == LIBRARY:
        net = Model(LIBRARY, vocab=task.vocab, width=32)
    params = noisy(params, cell, draw) if cell["start"] == "weights" else net.init(draw)
    start, before = {"step": 0} | evaluate(net, params, task, test), kinds(net, params)
    evals = max(12, cell["steps"] // 50)
    options: dict[str, Any] = {"lr": cell["lr"], "evals": evals, "progress": False, "on_step": on_step}
    params, log = fit(net, params, task, cell["steps"], data, **options)
    curve = [[row["step"], row["token_accuracy"], row["loss"]] for row in [start, *log.rows]]
    return {"parameters": net.size, "stopped": log.stopped, "curve": curve, "kinds": [before, kinds(net, params)]}


def train(out: Path, rows: Iterable[dict]) -> list[dict]:
    """Train the models of rows of `minissm run` anew, to the same bits; rows in out/constructions-trained.jsonl."""
    cells = [{name: row[name] for name in ("task", "model", "seed", "lr", "steps", "net")} for row in rows]
    return finished(out / "constructions-trained.jsonl", cells, _train)


def _train(cell: dict, on_step: Any) -> dict:
    task, net = parse(cell["task"]), Model.read(cell["net"])
    draw, data, test = _generators(cell)
    options: dict[str, Any] = {"lr": cell["lr"], "progress": False, "on_step": on_step}
    params, log = fit(net, net.init(draw), task, cell["steps"], data, **options)
    return {"stopped": log.stopped} | evaluate(net, params, task, test, task.tested_on)


def _generators(cell: dict) -> list[np.random.Generator]:
    """Of the draw, of the data and of the test: those of a run of `minissm run`."""
    return [np.random.default_rng([cell["seed"], i]) for i in range(3)]


def noisy(params: dict, cell: dict, rng: np.random.Generator) -> dict:
    """Each parameter times 1 + N(0, relative^2), plus N(0, noise^2)."""

    def moved(a: np.ndarray) -> np.ndarray:
        factor, shift = rng.normal(0, 1, (2, *a.shape))
        return (a * (1 + cell["relative"] * factor) + cell["noise"] * shift).astype(a.dtype)

    return tree.map(moved, params)


def kinds(net: Model, params: dict) -> list[dict[str, int]]:
    """For each layer with a filter, how many channels are of each of KINDS, by four fifths of their kernel's energy.

    Of a kernel k over its n taps: pass k_0^2, delay k_1^2, sum (k_0 + k_1 + ...)^2 / n, as fractions of |k|^2. Channels
    that are 0 are left out.
    """
    found = []
    for block, p in zip(net.blocks, params["blocks"], strict=True):
        if hasattr(block, "filter"):
            (k,), _ = block.filter(p["filter"])
            k = np.concatenate([k[:, :1] + p["skip"][:, None], k[:, 1:]], axis=1)
            k = k[(k != 0).any(axis=1)]
            parts = np.stack([k[:, 0] ** 2, k[:, 1] ** 2, k.sum(axis=1) ** 2 / k.shape[1]]) / (k**2).sum(axis=1)
            kind = np.where(parts.max(axis=0) >= 0.8, parts.argmax(axis=0), 3)
            found.append({name: int((kind == i).sum()) for i, name in enumerate(KINDS)})
    return found
