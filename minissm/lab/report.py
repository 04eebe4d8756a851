"""The results of a comparison as a table: a line for each model, and one for the baseline."""

import math
from statistics import median
from typing import Any

from ..tasks import Task
from .compare import Config


def best_rate(rows: list[dict], curves: list[dict], task: Task) -> dict[str, float]:
    """model -> the learning rate whose last evaluation (not the test) had the best median over the seeds."""
    score, better = task.main
    sign = 1 if better == "higher" else -1
    worst = -math.inf  # for a score that is not finite, and for a run without an evaluation
    scores = {(r["model"], r["lr"], r["seed"]): r[score] for r in curves}
    last = {key: worst if value is None else sign * value for key, value in scores.items()}
    by_rate: dict[str, dict[float, list[float]]] = {}
    for r in rows:
        value = last.get((r["model"], r["lr"], r["seed"]), worst)
        by_rate.setdefault(r["model"], {}).setdefault(r["lr"], []).append(value)
    return {model: max(rates, key=lambda lr: median(rates[lr])) for model, rates in by_rate.items()}


def chosen(rows: list[dict], curves: list[dict], task: Task) -> dict[str, list[dict]]:
    """model -> its rows at its best learning rate."""
    rate = best_rate(rows, curves, task)
    return {model: [r for r in rows if r["model"] == model and r["lr"] == lr] for model, lr in rate.items()}


def table(rows: list[dict], curves: list[dict], task: Any, config: Config) -> str:
    """The scores on fresh sequences: median over seeds (lowest to highest)."""
    sizes = f"width {config.width}, no budget" if config.width else f"budget {config.budget:,} parameters"
    scores = [name for name in task.score_names if name != "loss"]
    cells = [("model", "parameters", "state", "lr", *(name.replace("_", " ") for name in scores), "seconds")]
    for model, mine in chosen(rows, curves, task).items():
        first = mine[0]
        miss = "" if config.width else f" ({first['parameters'] / config.budget - 1:+.1%})"
        size = f"{first['parameters']:,}{miss}"
        seconds = f"{median(r['seconds'] for r in mine):.1f}"
        spreads = (spread(mine, name) for name in scores)
        cells.append((model, size, f"{first['state_size']:,}", f"{first['lr']:g}", *spreads, seconds))
    baseline = (f"{task.baseline:.3f}" if name == task.main[0] else "" for name in scores)
    cells.append(("baseline", "", "", "", *baseline, ""))
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    head = f"{task.spec}: {config.steps} steps, {sizes}; median over seeds (lowest to highest), on fresh sequences"
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join([head, *lines])


def spread(rows: list[dict], key: str) -> str:
    """Median (lowest to highest). A score that is not finite counts as infinite."""
    values = sorted(math.inf if r[key] is None else r[key] for r in rows)
    return f"{median(values):.3f} ({values[0]:.3f} to {values[-1]:.3f})" if len(values) > 1 else f"{values[0]:.3f}"
