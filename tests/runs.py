"""What the tests of comparisons share: a folder read back, and the command called in this process."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from minissm import load
from minissm.cli import main


def lines(path: Path) -> list[dict]:
    """Strict JSON: NaN and Infinity are no JSON."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} in {path}")

    return [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]


def outcome(folder: Path) -> tuple:
    """All that must be the same, however often a run was stopped, and in however many processes it ran."""
    rows = [row | {"seconds": 0} for row in lines(folder / "results.jsonl")]
    weights = {path.name: path.read_bytes() for path in (folder / "weights").iterdir()}
    return rows, (folder / "curves.jsonl").read_text(), weights


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def whole_rows(folder: Path, killed: bool = False) -> list[dict]:
    """The rows on disk, each with its weights, and (a killed run can't tidy up) no half-written file beside them."""
    assert killed or [path for path in folder.rglob("*") if path.name.endswith(".part")] == []
    path = folder / "results.jsonl"
    assert not path.exists() or path.read_text()[-1:] in ("", "\n")
    rows = lines(path) if path.exists() else []
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
