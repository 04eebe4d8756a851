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
from .figures import draw_learning
from .networks import recall

SIZES = {"keys": 6, "values": 6, "pairs": 4}
LIBRARY = "trig(window=3) + fnn1 + trig + fnn1"  # a model that the library trains on recall
RATES = (1e-3, 2e-3, 3e-3, 5e-3, 8e-3)  # of trainings from a draw
FIRST: dict[str, Any] = {"start": "weights", "noise": 0.0, "relative": 0.0, "lr": 1e-3, "steps": 300}
FIRST |= {"residual": False, "act": "relu", "dtype": "float32"}
DRAW: dict[str, Any] = {"start": "draw", "steps": 3000}
CELLS: tuple[dict[str, Any], ...] = (
    *({"lr": lr} for lr in (1e-4, 1e-3, 8e-3)),
    {"dtype": "float64"},
    *({"noise": noise} for noise in (0.01, 0.03, 0.05, 0.1)),
    *({"relative": noise} for noise in (0.03, 0.1)),
    *(DRAW | {"residual": on, "lr": lr} for on in (False, True) for lr in RATES),
    *(DRAW | {"act": "gelu", "lr": lr} for lr in (3e-3, 8e-3)),
    DRAW | {"dtype": "float64", "lr": 3e-3},
    {"start": LIBRARY, "residual": True, "act": "gelu", "lr": 8e-3, "steps": 1500},
)


def finished(path: Path, cells: Iterable[dict], run: Callable[[dict, Any], dict], show: bool = True) -> list[dict]:
    """The rows cell | run(cell, on_step), one for each cell, in `path`: cells that have a row there are not run again.

    cells: dicts that JSON can store, with the number of `steps`. on_step: to be called after each step. The file is
    written whole after each row; its folder is made. ValueError if it is damaged; KeyboardInterrupt, with a sentence,
    loses no row.
    """
    cells, rows = list(cells), []
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
        done = [any(row.items() >= cell.items() for row in rows) for cell in cells]
    except (ValueError, AttributeError):
        raise ValueError(f"constructions: {shown(path)} has a line that is no row; remove the file") from None
    path.parent.mkdir(parents=True, exist_ok=True)
    todo = [cell for cell, has_row in zip(cells, done, strict=True) if not has_row]
    try:
        with Progress(sum(cell["steps"] for cell in todo), path.stem, show) as bar:
            for cell in todo:
                row = run(cell, lambda done: bar.update(1))
                if row["stopped"].startswith("interrupted"):
                    raise KeyboardInterrupt
                rows.append(cell | row)
                _write(path, rows)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"{shown(path)} has the finished rows; go on with the same command") from None
    return [next(row for row in rows if row.items() >= cell.items()) for cell in cells]


def _write(path: Path, rows: list[dict]) -> None:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    write_whole(path, lambda file: file.write(text.encode()))


def train(out: Path, rows: Iterable[dict]) -> list[dict]:
    """Train the models of rows of `minissm run` anew, to the same bits; rows in out/constructions-trained.jsonl."""
    cells = [{name: row[name] for name in ("task", "model", "seed", "lr", "steps", "net")} for row in rows]
    return finished(out / "constructions-trained.jsonl", cells, _train)


def _train(cell: dict, on_step: Any) -> dict:
    task, net = parse(cell["task"]), Model.read(cell["net"])
    draw, data, test = _generators(cell)
    params, log = fit(net, net.init(draw), task, cell["steps"], data, lr=cell["lr"], progress=False, on_step=on_step)
    return {"stopped": log.stopped} | evaluate(net, params, task, test, task.tested_on)


def learn(out: Path, seeds: int = 3, cells: Iterable[dict] = CELLS) -> list[dict]:
    """Train from each start. Rows in out/constructions-learn.jsonl; a figure of them in out/constructions-learn.png.

    curve: [step, accuracy, loss] on fresh sequences. lags: of the LIBRARY model, [before, after] the training.
    """
    every = [FIRST | cell | {"seed": seed} for cell in cells for seed in range(seeds)]
    rows = finished(out / "constructions-learn.jsonl", every, _learn)
    draw_learning(rows, out / "constructions-learn.png", FIRST["lr"], Recall(**SIZES).baseline)
    return rows


def _learn(cell: dict, on_step: Any) -> dict:
    net, params, task = *recall(**SIZES, dtype=cell["dtype"]), Recall(**SIZES)
    draw, data, test = _generators(cell)
    net = replace(net, residual=cell["residual"], blocks=net.spec.replace("relu", cell["act"]))
    if cell["start"] == LIBRARY:
        net = Model(LIBRARY, vocab=task.vocab, width=32)
    params = noisy(params, cell, draw) if cell["start"] == "weights" else net.init(draw)
    start, before = {"step": 0} | evaluate(net, params, task, test), lags(net, params)
    options: dict[str, Any] = {"lr": cell["lr"], "evals": max(12, cell["steps"] // 50), "progress": False}
    params, log = fit(net, params, task, cell["steps"], data, on_step=on_step, **options)
    curve = [[row["step"], row["token_accuracy"], row["loss"]] for row in [start, *log.rows]]
    looked = {"lags": [before, lags(net, params)]} if cell["start"] == LIBRARY else {}
    return {"parameters": net.size, "stopped": log.stopped, "curve": curve} | looked


def _generators(cell: dict) -> list[np.random.Generator]:
    """Of the draw, of the data and of the test: those of a run of `minissm run`."""
    return [np.random.default_rng([cell["seed"], i]) for i in range(3)]


def noisy(params: dict, cell: dict, rng: np.random.Generator) -> dict:
    """Each parameter times 1 + N(0, relative^2), plus N(0, noise^2)."""

    def moved(a: np.ndarray) -> np.ndarray:
        factor, shift = rng.normal(0, 1, (2, *a.shape))
        return (a * (1 + cell["relative"] * factor) + cell["noise"] * shift).astype(a.dtype)

    return tree.map(moved, params)


def lags(net: Model, params: dict) -> list[dict[str, float]]:
    """For each layer with a filter, what its kernels do, as fractions of their energy |k|^2. The skip is part of k_0.

    now: k_0^2. before: k_1^2. sum: the constant part, (k_0 + ... + k_U)^2 / (U + 1); now and before have parts of it.
    Each channel has the weight |w_in|^2 |w_out|^2, with which it enters the layer's output.
    """
    found = []
    for block, p in zip(net.blocks, params["blocks"], strict=True):
        if hasattr(block, "filter"):
            (k,), _ = block.filter(p["filter"])
            k = np.concatenate([k[:, :1] + p["skip"][:, None], k[:, 1:]], axis=1).astype(np.float64)
            weight = (p["w_in"] ** 2).sum(axis=0) * (p["w_out"] ** 2).sum(axis=1)
            parts = {"now": k[:, 0] ** 2, "before": k[:, 1] ** 2, "sum": k.sum(axis=1) ** 2 / k.shape[1]}
            energy = (weight * (k**2).sum(axis=1)).sum()
            found.append({name: round(float((weight * part).sum() / energy), 4) for name, part in parts.items()})
    return found
