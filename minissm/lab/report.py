"""The results of comparisons as a table: a line for each model and combination of varied settings."""

import math
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

from ..tasks import TokenTask, parse
from .rows import FIELDS, cells, chosen, name_of, order, setting, varied


def table(rows: list[dict], by: list[str] | None = None) -> str:
    """The scores on fresh sequences: median over seeds (lowest to highest).

    by: names of fields and settings. The table has a line for each combination of their values, sorted. The runs of one
        line may differ in other settings. With "lr", each learning rate has its lines. Without "lr", each model shows
        its best rate. Default: the model and all varied settings, in the order of the rows.
    """
    names, known = ["model", *varied(rows)] if by is None else by, list(dict.fromkeys([*FIELDS, *varied(rows)]))
    for name in names:
        if name not in known:
            raise ValueError(f"table: no field {name!r} in these rows; expected one of {', '.join(known)}")
    groups: dict[tuple, list[dict]] = {}
    for mine in cells(rows) if "lr" in names else chosen(rows):
        for row in mine:
            groups.setdefault(tuple(setting(row, name) for name in names), []).append(row)
    tasks = {row["task"]: parse(row["task"]) for row in rows}
    columns = {head: show for head, show in _columns(rows, tasks).items() if head not in names}
    body = [
        (*map(_shown, key), *(show(groups[key]) for show in columns.values()))
        for key in (groups if by is None else sorted(groups, key=lambda key: [*map(order, key)]))
    ]
    if len(tasks) == 1:
        (task,) = tasks.values()
        line = dict.fromkeys((*names, *columns), "") | {_words(task.main[0]): f"{task.baseline:.3f}"}
        body.append(("baseline", *list(line.values())[1:]))
    return "\n".join([_head(rows), *_aligned([(*names, *columns), *body]), *_notes(rows)])


def _columns(rows: list[dict], tasks: dict[str, Any]) -> dict[str, Callable[[list[dict]], str]]:
    """The head of each column, and a function that shows the rows of a line."""
    task = tasks[rows[0]["task"]]
    columns: dict[str, Any] = {
        "seeds": _seeds,
        "parameters": lambda mine: _range([row["parameters"] for row in mine]),
        "state": lambda mine: _range([row["state_size"] for row in mine]),
        "lr": lambda mine: _range([row["lr"] for row in mine], "{:g}"),
    }
    columns |= {_words(name): partial(spread, key=name) for name in task.score_names if name != "loss"}
    if len(tasks) > 1:
        columns["baseline"] = lambda mine: _range([tasks[row["task"]].baseline for row in mine], "{:.3f}")
    if isinstance(task, TokenTask) and any("steps_to_95" in row for row in rows):
        columns["steps to .95"] = steps_to_learn
    for spec in dict.fromkeys(spec for row in rows for spec in row.get("tests", {})):
        columns[f"on {spec}"] = partial(_tested, spec=spec)
    columns["seconds"] = lambda mine: f"{median(row['seconds'] for row in mine):.1f}"
    return columns


def _seeds(rows: list[dict]) -> str:
    seeds = len({row["seed"] for row in rows})
    return str(seeds) if seeds == len(rows) else f"{seeds} ({len(rows)} runs)"


def _tested(rows: list[dict], spec: str) -> str:
    return spread([row.get("tests", {}) for row in rows], spec)


def _head(rows: list[dict]) -> str:
    specs = list(dict.fromkeys(row["task"] for row in rows))
    spec = specs[0] if len(specs) == 1 else f"{name_of(specs[0])} with {len(specs)} sets of options"
    steps = ("at most " if any("until" in row for row in rows) else "") + _range([r["steps"] for r in rows])
    return f"{spec}: {steps} steps; median over seeds (lowest to highest), on fresh sequences"


def _notes(rows: list[dict]) -> list[str]:
    """A line for each cell that was trained at several rates and reached .95 at none of them."""
    notes = []
    for mine in cells(rows):
        rates = list(dict.fromkeys(row["lr"] for row in mine))
        tokens = isinstance(parse(mine[0]["task"]), TokenTask)
        if tokens and len(rates) > 1 and all(row.get("steps_to_95", 0) is None for row in mine):
            vary = [f"{name}={_shown(value)}" for name, value in mine[0].get("vary", {}).items()]
            what = ", ".join([mine[0]["model"], *vary])
            notes.append(f"{what}: no rate of {', '.join(f'{lr:g}' for lr in rates)} reached .95")
    return notes


def spread(rows: list[dict], key: str) -> str:
    """Median (lowest to highest). A score that is not finite counts as infinite."""
    values = sorted(math.inf if row.get(key) is None else row[key] for row in rows)
    return _spread(values, lambda value: f"{value:.3f}")


def steps_to_learn(rows: list[dict]) -> str:
    """Median (lowest to highest) of the steps to .95; "never in N" if no run reached it."""
    values = sorted(math.inf if row.get("steps_to_95") is None else row["steps_to_95"] for row in rows)
    if values[0] == math.inf:
        return f"never in {_range([row['steps'] for row in rows])}"
    return _spread(values, lambda value: "never" if value == math.inf else f"{value:,.0f}")


def _spread(values: list[float], show: Callable[[float], str]) -> str:
    middle = show(median(values))
    return f"{middle} ({show(values[0])} to {show(values[-1])})" if len(values) > 1 else middle


def _range(values: list, form: str = "{:,}") -> str:
    """One value, or the lowest to the highest."""
    return " to ".join(dict.fromkeys(form.format(v) for v in (min(values), max(values))))


def _shown(value: Any) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _words(score: str) -> str:
    return score.replace("_", " ")


def _aligned(body: list[tuple]) -> list[str]:
    widths = [max(len(row[i]) for row in body) for i in range(len(body[0]))]
    return ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in body]
