"""The results of comparisons as a table: a line for each model and combination of varied settings."""

import json
import math
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

from ..tasks import TokenTask, parse

FIELDS = ("task", "model", "steps", "lr", "net")  # what may tell rows apart besides the settings in their `vary`


def setting(row: dict, name: str) -> Any:
    """The value of a varied setting or of a field; None for a model without the setting. Lists become tuples."""
    value = row[name] if name in FIELDS else row.get("vary", {}).get(name)
    return tuple(value) if isinstance(value, list) else value


def varied(rows: list[dict]) -> list[str]:
    """The names of the varied settings, and of the fields that tell cells apart where no setting does."""
    names = list(dict.fromkeys(name for row in rows for name in row.get("vary", {})))
    for name in ("steps", "task", "net"):
        seen: dict[tuple, Any] = {}
        if name not in names and any(
            seen.setdefault(tuple(setting(row, n) for n in ("model", *names)), row[name]) != row[name] for row in rows
        ):
            names.append(name)
    return names


def cell(row: dict) -> str:
    """All that its runs at other seeds and rates share."""
    return json.dumps([row["task"], row["model"], row.get("vary", {}), row["steps"], row["net"]], sort_keys=True)


def cells(rows: list[dict]) -> list[list[dict]]:
    """The rows of each cell, in their order."""
    groups: dict[str, list[dict]] = {}
    for row in rows:
        groups.setdefault(cell(row), []).append(row)
    return list(groups.values())


def chosen(rows: list[dict]) -> list[list[dict]]:
    """The rows of each cell at its best learning rate: the one with the best median `validation` over the seeds."""
    best = []
    for mine in cells(rows):
        rates = list(dict.fromkeys(row["lr"] for row in mine))
        if len(rates) > 1 and any("validation" not in row for row in mine):
            raise ValueError("table: rows without `validation`, as before 0.6, at several rates; add --by model,lr")
        lr = max(rates, key=lambda lr: median(_worth(r) for r in mine if r["lr"] == lr)) if len(rates) > 1 else rates[0]
        best.append([row for row in mine if row["lr"] == lr])
    return best


def _worth(row: dict) -> float:
    """Its validation score, so that more is better. One that is not finite is the worst."""
    value = row["validation"]
    return -math.inf if value is None else value if parse(row["task"]).main[1] == "higher" else -value


def table(rows: list[dict], by: list[str] | None = None) -> str:
    """The scores on fresh sequences: median over seeds (lowest to highest).

    by: names of fields and settings. A line for each of their combinations, sorted; the runs of one line may differ in
        the others. Default: the model and all that varies, in the order of the rows. With "lr" every rate has its
        lines; else each model shows its best one.
    """
    names, known = ["model", *varied(rows)] if by is None else by, list(dict.fromkeys([*FIELDS, *varied(rows)]))
    for name in names:
        if name not in known:
            raise ValueError(f"table: nothing is called {name!r} in these rows; expected one of {', '.join(known)}")
    groups: dict[tuple, list[dict]] = {}
    for mine in cells(rows) if "lr" in names else chosen(rows):
        for row in mine:
            groups.setdefault(tuple(setting(row, name) for name in names), []).append(row)
    tasks = {row["task"]: parse(row["task"]) for row in rows}
    columns = {head: show for head, show in _columns(rows, tasks).items() if head not in names}
    body = [
        (*map(_shown, key), *(show(groups[key]) for show in columns.values()))
        for key in (groups if by is None else sorted(groups, key=lambda key: [*map(_order, key)]))
    ]
    if len(tasks) == 1:
        (task,) = tasks.values()
        line = dict.fromkeys((*names, *columns), "") | {_words(task.main[0]): f"{task.baseline:.3f}"}
        body.append(("baseline", *list(line.values())[1:]))
    return "\n".join([_head(rows), *_aligned([(*names, *columns), *body]), *_notes(rows)])


def _columns(rows: list[dict], tasks: dict[str, Any]) -> dict[str, Callable[[list[dict]], str]]:
    """The head of each column, and how the rows of a line are shown in it."""
    task = tasks[rows[0]["task"]]
    columns: dict[str, Any] = {
        "seeds": lambda mine: str(len({row["seed"] for row in mine})),
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


def _tested(rows: list[dict], spec: str) -> str:
    return spread([row.get("tests", {}) for row in rows], spec)


def _head(rows: list[dict]) -> str:
    specs = list(dict.fromkeys(row["task"] for row in rows))
    spec = specs[0] if len(specs) == 1 else f"{name_of(specs[0])} with {len(specs)} sets of options"
    return (
        f"{spec}: {_range([r['steps'] for r in rows])} steps; median over seeds (lowest to highest), on fresh sequences"
    )


def name_of(task: str) -> str:
    """The name of a task's spec, without the options."""
    return task.split("(")[0]


def _notes(rows: list[dict]) -> list[str]:
    """A line for each cell that was tried at several rates and reached .95 at none."""
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


def _order(value: Any) -> tuple:
    """Numbers by size, then all else by its spelling."""
    return (0, value, "") if isinstance(value, int | float) else (1, 0, str(value))


def _words(score: str) -> str:
    return score.replace("_", " ")


def _aligned(body: list[tuple]) -> list[str]:
    widths = [max(len(row[i]) for row in body) for i in range(len(body[0]))]
    return ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in body]
