"""What the tests of comparisons share: a folder read back, and the command called in this process."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from minissm import load
from minissm.cli import main
from minissm.lab import job
from minissm.tasks import TASKS, Task


def lines(path: Path) -> list[dict]:
    """Strict JSON: NaN and Infinity are no JSON."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} in {path}")

    return [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]


def few_sequences(patch: pytest.MonkeyPatch, n: int = 70) -> None:
    """Tests of runs on few sequences."""
    for cls in (Task, *TASKS.values()):
        patch.setattr(cls, "tested_on", n)
    patch.setattr(job, "VALIDATED_ON", n)


def records(folder: Path) -> list[dict]:
    """The records of the finished runs, in no order."""
    found = []
    for path in (folder / "runs").glob("*.json"):
        (record,) = lines(path)
        found.append(record)
    return found


def outcome(folder: Path) -> tuple:
    """All that must be the same, however often a run was stopped, and in however many processes it ran."""
    rows = [row | {"seconds": 0, "cpu_seconds": 0} for row in lines(folder / "results.jsonl")]
    weights = {path.name: path.read_bytes() for path in (folder / "weights").glob("*.npz")}
    return rows, (folder / "curves.jsonl").read_text(), weights


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def whole_rows(folder: Path, killed: bool = False) -> list[dict]:
    """The rows on disk, in no order, each with its weights. Only a killed run may leave half-written files."""
    assert killed or [path for path in folder.rglob("*") if path.name.endswith(".part")] == []
    rows = [record["row"] for record in records(folder)]
    for row in rows:
        assert repr(load(folder / row["weights"])[0]) == row["net"]
    return rows


def command(*arguments: str) -> Any:
    """-> exit code."""
    try:
        return main(arguments)
    except SystemExit as error:  # argparse's own way
        return error.code


def refused(capsys: pytest.CaptureFixture, *arguments: str) -> str:
    """The one sentence with which the command refuses these arguments; it prints nothing else."""
    assert command(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("minissm")
    assert (err[-1:], len(err.splitlines())) == ("\n", 1)
    assert len(err) < 600
    return err


def said(err: str) -> str:
    """Without the lines of progress that a slow machine sees, one in ten seconds."""
    found = err.splitlines(keepends=True)
    return "".join(line for line in found if not re.match(r"\S+, \d+ runs: \d+ of \d+ steps in \d+ s", line))
