"""Rows of studies: read from JSON lines, grouped by model, options and rate, with medians over seeds."""

import json
import math
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from ...tasks import parse as parse_task
from ..config import label
from ..rows import at_best_rate, is_row

COST = ("L", "step seconds", "step bytes", "token seconds", "token bytes")  # numbers in a row of the costs
KEY = ("task", "seed", "lr", "L")  # with model and vary, what tells the rows of a study apart


class Level(NamedTuple):
    """What a model reaches: its rows at one rate, one for each seed. Never empty."""

    rows: list[dict]

    def scored(self, name: str = "main") -> list[tuple[dict, float]]:
        """(row, value) for each seed. "main": the score that the task compares. Infinite where a run never got there.
        A spec among the row's `tests`: the score on that task.

        A field that a row lacks (rows of older versions) leaves the row out.
        """
        compared, lower = main(self.rows[0]), better(self.rows[0]) == "lower"
        name = compared if name == "main" else name
        nullable, worst = name in (compared, "steps_to_95"), math.inf if lower or name != compared else -math.inf
        fields = [(row, row | row.get("tests", {})) for row in self.rows]
        found = [(row, f[name]) for row, f in fields if name in f and (nullable or f[name] is not None)]
        return [(row, worst if value is None else value) for row, value in found]

    def mid(self, name: str) -> float | None:
        """The median over the seeds that have a value; None if none has."""
        values = [value for _, value in self.scored(name)]
        return median(values) if values else None

    @property
    def median(self) -> float:
        return median(value for _, value in self.scored())

    @property
    def lowest(self) -> float:
        return min(value for _, value in self.scored())

    @property
    def highest(self) -> float:
        return max(value for _, value in self.scored())

    @property
    def baseline(self) -> float:
        return task_of(self.rows[0]["task"]).baseline

    def __format__(self, _: str) -> str:
        values = [number(v) for v in sorted(v for _, v in self.scored())]
        spread = f"{values[0]} to {values[-1]}" if len(values) > 1 else "1 seed"
        return f"{number(self.median)} ({spread})"


class Rows:
    """The rows of each study by its name."""

    def __init__(self, studies: dict[str, list[dict]]) -> None:
        self.studies = {name: rows for name, rows in studies.items() if rows}

    def where(self, study: str, **given: Any) -> Iterator[dict]:
        """The rows whose fields, or varied options, are as given. A model may be spelled in any way."""
        if "model" in given:
            given["model"] = canonical(given["model"])
        for row in self.studies.get(study, []):
            fields = options(row) | {"model": canonical(row["model"])}
            if all(fields.get(name) == value for name, value in given.items()):
                yield row

    def level(self, study: str, model: str, **given: Any) -> Level | None:
        """The rows of the model at its best rate, chosen by the validation score; None if there is none."""
        rows = list(self.where(study, model=model, **given))
        return Level(at_best_rate(rows)) if rows else None

    def scored(self, score: str, study: str, **given: Any) -> list[tuple[dict, float]]:
        """(row, value) of the level's rows; none if there is no row."""
        level = self.level(study, **given)
        return level.scored(score) if level else []

    def values(self, study: str, option: str) -> list:
        """The different values of a field or of a varied option, in order of appearance."""
        found = [options(row).get(option) for row in self.studies.get(study, [])]
        return [v for i, v in enumerate(found) if v is not None and v not in found[:i]]

    def seconds(self, study: str) -> float:
        """CPU seconds of all runs; of rows without them, seconds of the clock."""
        return sum(row.get("cpu_seconds") or row.get("seconds") or 0 for row in self.studies.get(study, []))


def options(row: dict) -> dict:
    """The fields of the row and its varied options. JSON's lists become tuples."""
    return row | {name: tuple(v) if isinstance(v, list) else v for name, v in row.get("vary", {}).items()}


def read(path: Path) -> list[dict]:
    """The rows of a file of JSON lines; none if it doesn't exist. ValueError if it is damaged.

    In its place there may be a .json of `minissm constructions`.
    """
    path = whole if (whole := path.with_suffix(".json")).exists() else path
    try:
        if path.suffix == ".json":
            return written(json.loads(path.read_text(encoding="utf-8")))
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        rows = [json.loads(line) for line in lines]
    except (ValueError, OSError, TypeError, KeyError) as error:
        raise ValueError(f"claims: can't read {path} ({error}); restore it, or give other --rows") from None
    if not all(_whole(row) for row in rows):
        raise ValueError(f"claims: {path} has a line that is no row; restore it, or give other --rows")
    return rows


def written(found: dict) -> list[dict]:
    """A row for each network, for each limit, and for each number of the figure of sizes."""
    every = {"task": "recall", "seed": 0, "lr": None, "versions": found["versions"]}
    networks = [n | {"model": n["name"]} for n in found["networks"]]
    limits = [{"model": "linear", "vary": {n: m[n] for n in ("lengths", "fed_back")}} | m for m in found["limits"]]
    sizes = [
        {"model": model, "vary": {"vocab": n["vocab"]}, "parameters": n[model]}
        for model in ("written", "between", "trained")
        for n in found["nonzeros"]
        if n[model] is not None
    ]
    return [every | row | {"seconds": found["seconds"] * (i == 0)} for i, row in enumerate(networks + limits + sizes)]


def _whole(row: object) -> bool:
    """True for a row of a comparison, and for one of the costs."""
    if not isinstance(row, dict) or not isinstance(row.get("versions"), dict):
        return False
    return is_row(row) or (isinstance(row.get("model"), str) and all(isinstance(row.get(n), int | float) for n in COST))


def merged(stored: Iterable[dict], fresh: Iterable[dict]) -> list[dict]:
    """The stored rows, each replaced by the fresh one of the same run where there is one."""
    rows = {key(row): row | {"here": False} for row in stored}
    return list((rows | {key(row): row | {"here": True} for row in fresh}).values())


def key(row: dict) -> str:
    return json.dumps([canonical(row["model"]), row.get("vary") or {}, *[row.get(name) for name in KEY]])


@lru_cache(1000)
def canonical(model: str) -> str:
    try:
        return label(model)
    except ValueError:  # a label, not a model
        return model


task_of: Callable[[str], Any] = lru_cache(1000)(parse_task)


def main(row: dict) -> str:
    """The name of the score that the row's task compares."""
    return task_of(row["task"]).main[0]


def better(row: dict) -> str:
    return task_of(row["task"]).main[1]


def number(value: float | None) -> str:
    """Three digits after the point."""
    return "diverged" if value is None or math.isinf(value) else f"{value:.3f}"
