"""Rows of comparisons, read from folders and files. A cell is the rows that differ in seed and rate alone."""

import json
import math
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

from ..tasks import parse
from . import results
from .compare import stored

FIELDS = ("task", "model", "steps", "lr", "net")  # what may tell rows apart besides the settings in their `vary`
KINDS: dict[str, Any] = dict.fromkeys(("task", "model", "net", "stopped"), str) | {
    **dict.fromkeys(("seed", "steps", "parameters", "state_size"), int),
    **dict.fromkeys(("lr", "seconds"), int | float),
}
LATER: dict[str, Any] = {"vary": dict, "tests": dict} | dict.fromkeys(("validation", "steps_to_95"), results.NUMBER)


def setting(row: dict, name: str) -> Any:
    """The value of a varied setting or of a field; None for a model without the setting. Lists become tuples."""
    value = row[name] if name in FIELDS else row.get("vary", {}).get(name)
    return tuple(value) if isinstance(value, list) else value


def order(value: Any) -> tuple:
    """Numbers by size, then all else by its spelling."""
    return (0, value, "") if isinstance(value, int | float) else (1, 0, str(value))


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
    return json.dumps(
        [row["task"], row["model"], row.get("vary", {}), row["steps"], row["net"], row.get("until")], sort_keys=True
    )


def cells(rows: list[dict]) -> list[list[dict]]:
    """The rows of each cell, in their order."""
    groups: dict[str, list[dict]] = {}
    for row in rows:
        groups.setdefault(cell(row), []).append(row)
    return list(groups.values())


def chosen(rows: list[dict]) -> list[list[dict]]:
    """The rows of each cell at its best learning rate: the one with the best median `validation` over the seeds."""
    return [at_best_rate(mine) for mine in cells(rows)]


def at_best_rate(mine: list[dict]) -> list[dict]:
    """The rows of one cell at the learning rate that `chosen` names; all of them if there is one rate."""
    rates = list(dict.fromkeys(row["lr"] for row in mine))
    if len(rates) == 1:
        return mine
    if any("validation" not in row for row in mine):
        raise ValueError("table: rows without `validation`, as before 0.6, at several rates; add --by model,lr")
    lr = max(rates, key=lambda lr: median(_worth(row) for row in mine if row["lr"] == lr))
    return [row for row in mine if row["lr"] == lr]


def _worth(row: dict) -> float:
    """Its validation score, so that more is better. One that is not finite is the worst."""
    value = row["validation"]
    return -math.inf if value is None else value if parse(row["task"]).main[1] == "higher" else -value


def name_of(task: str) -> str:
    """The name of a task's spec, without the options."""
    return task.split("(")[0]


# ---- read


def is_row(row: Any) -> bool:
    """True if it has the fields of a row, with values of their kinds. Those of 0.6 may be missing."""
    if not isinstance(row, dict) or not all(isinstance(row.get(name), kind) for name, kind in KINDS.items()):
        return False
    scores = dict.fromkeys(parse(row["task"]).score_names, results.NUMBER)
    return row.keys() >= scores.keys() and all(
        isinstance(row[name], kind) for name, kind in (scores | LATER).items() if name in row
    )


def read(paths: Iterable[Path]) -> list[dict]:
    """The rows of folders and .jsonl files, each run once. ValueError for what has none, and for different tasks.

    The rows of a folder are those of its finished runs, which are joined there.
    """
    found: dict[tuple, dict] = {}
    for path in paths:
        for row in of(path):
            found.setdefault((cell(row), row["seed"], row["lr"]), row)
    rows = list(found.values())
    names = list(dict.fromkeys(name_of(row["task"]) for row in rows))
    if len(names) != 1:
        given = f"rows of different tasks, {' and '.join(names[:2])}" if names else "no row"
        raise ValueError(f"table: {given} in {', '.join(map(str, paths))}; expected results of one task")
    return rows


def of(path: Path) -> list[dict]:
    """The rows of one folder or file, in order."""
    if (path / "runs").is_dir():
        work = stored(path)[0].work()
        records = results.finished(path, work, weights=False)
        found = [records[job.name] for job in work if job.name in records]
        with suppress(OSError):  # a folder of somebody else's can be read all the same
            results.join(path, found)
        return [record["row"] for record in found]
    path = path / "results.jsonl" if path.is_dir() else path  # a folder of before 0.6
    try:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
    except OSError as error:
        how = "give the folder of a comparison, or its results.jsonl"
        raise ValueError(f"table: {path} can't be read ({error.strerror}); {how}") from None
    except (ValueError, RecursionError):
        raise ValueError(f"table: {path} is no JSONL; give the folder of a comparison, or its results.jsonl") from None
    for i, row in enumerate(rows, 1):
        if not is_row(row):
            raise ValueError(f"table: line {i} of {path} is no row of a comparison; give its results.jsonl")
    return rows
