"""The folder of a comparison: created, written row by row, and read back when a run is resumed.

run.json        the settings, and the versions with which the run began
results.jsonl   a row for each finished run
curves.jsonl    the evaluations of the finished runs
weights/        the models of the finished runs
unfinished/     the checkpoints of the other runs
"""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from ..checkpoint import load, save
from ..files import shown, write_whole
from ..model import Model
from ..tasks import parse
from ..train import eval_steps
from .lock import alone_in

KEY = ("task", "model", "seed", "lr")  # the fields that identify a run
NUMBER = int | float | None
EVALUATION = {"step": int, "training_loss": NUMBER}  # fields of a line of curves.jsonl, besides KEY and the scores
ROW = {"stopped": str, "seconds": int | float, "versions": dict}  # fields of a row, besides Job.known and scores
FRACTIONS = {"token_accuracy", "sequence_accuracy"}  # scores from 0 to 1


@contextmanager
def new_folder(folder: Path, asked: dict, announce: Callable[[], Any]) -> Iterator[None]:
    """Create the folder, lock it, and write the settings to run.json. ValueError if that fails.

    announce: prints the first line of the run. Nothing stays of a run that fails to begin.
    """
    run, weights, undo = folder / "run.json", folder / "weights", list[Callable[[], Any]]()
    with ExitStack() as stack:
        stack.callback(_call, undo)
        try:
            if folder.exists() and not folder.is_dir():
                raise ValueError(f"out: {folder} is a file; expected a folder, or a name that is still free")
            undo += [path.rmdir for path in (weights, *weights.parents) if not path.exists()]  # the innermost first
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(alone_in(folder))
            for path in (run, folder / "results.jsonl"):
                if path.exists():
                    raise ValueError(
                        f"out: {folder} holds the results of another run ({path.name}); choose another folder, or go "
                        "on with it by --resume"
                    )
            weights.mkdir(exist_ok=True)
            for name in ("results.jsonl", "curves.jsonl"):
                write_whole(folder / name, None)  # tries the place alone
            text = json.dumps(asked, indent=1) + "\n"
            undo.insert(0, run.unlink)
            write_whole(run, lambda file: file.write(text.encode()))
        except OSError as error:
            raise ValueError(
                f"out: can't write to {shown(error.filename or folder)} ({error.strerror}); choose another folder"
            ) from None
        announce()
        undo.clear()
        yield


def _call(undo: list[Callable[[], Any]]) -> None:
    for step in undo:
        with suppress(OSError):
            step()


def write(folder: Path, outcome: Any, rows: list[dict], curves: list[dict]) -> None:
    """Write weights, curve and row in this order, so that a row always has its weights. Then remove the checkpoint."""
    save(folder / outcome.row["weights"], Model.read(outcome.row["net"]), outcome.params)
    write_lines(folder / "curves.jsonl", curves)
    write_lines(folder / "results.jsonl", rows)
    checkpoint(folder, outcome.row).unlink(missing_ok=True)


def checkpoint(folder: Path, row: dict) -> Path:
    return folder / "unfinished" / Path(row["weights"]).name


def write_lines(path: Path, lines: list[dict]) -> None:
    """One JSON object a line, the whole file at once."""
    text = "".join(json.dumps(r, allow_nan=False) + "\n" for r in lines)
    write_whole(path, lambda file: file.write(text.encode()))


# ---- read back


def asked_in(folder: Path) -> dict:
    """The content of run.json. ValueError if it can't be read."""
    path = folder / "run.json"
    try:
        asked = json.loads(path.read_bytes())
    except OSError as error:
        raise ValueError(
            f"resume: no run in {folder} (run.json: {error.strerror}); give the folder of a run that was stopped"
        ) from None
    except (ValueError, RecursionError):
        raise damaged(path, "it is no JSON") from None
    if not isinstance(asked, dict):
        raise damaged(path, "it is no JSON object")
    return asked


def finished(folder: Path, runs: list[dict]) -> tuple[list[dict], list[dict], list[str]]:
    """-> the rows of the finished runs, their evaluations, and a message for each torn line.

    runs: Job.known of each run, in order. A torn last line is dropped, and its run is repeated. Any other damage is a
    ValueError in one sentence.
    """
    results, curves = folder / "results.jsonl", folder / "curves.jsonl"
    order = {_key(run): i for i, run in enumerate(runs)}
    scores = dict.fromkeys(parse(runs[0]["task"]).score_names, NUMBER)
    rows, torn_row = _lines(results, {_key(run): run for run in runs}, scores | ROW)
    keys = {_key(run): {k: run[k] for k in KEY} for run in runs}
    evals, torn_eval = _lines(curves, keys, scores | EVALUATION)
    if torn_eval:  # it belongs to the last run in the file, with or without a row: repeat that run
        last = max((_key(line) for line in rows + evals), key=order.__getitem__, default="")
        rows = [row for row in rows if _key(row) != last]
    kept = {_key(row) for row in rows}
    if len(kept) < len(rows):
        raise damaged(results, "a run has two rows")
    seen: dict[str, list[int]] = {}
    for line in evals:
        seen.setdefault(_key(line), []).append(line["step"])
    for row in rows:
        steps, due = seen.get(_key(row), []), eval_steps(row["steps"])
        if steps != (due[: len(steps)] if row["stopped"] else due):
            raise damaged(curves, f"not all the evaluations of {Path(row['weights']).stem}, or too many")
        try:
            load(folder / row["weights"])
        except (OSError, ValueError) as error:
            raise damaged(folder / row["weights"], str(error)) from None
    kept_evals = [line for line in evals if _key(line) in kept]
    if torn_row or torn_eval or len(kept_evals) < len(evals):
        write_lines(results, rows)  # rows first: a row always has its evaluations
        write_lines(curves, kept_evals)
    torn = [path for path, cut in ((results, torn_row), (curves, torn_eval)) if cut]
    notes = [f"the last line of {path} was torn and is dropped; its run is done again" for path in torn]
    return rows, kept_evals, notes


def _lines(path: Path, fixed: dict[str, dict], kinds: dict[str, Any]) -> tuple[list[dict], bool]:
    """The lines, and True if a torn last line was dropped. fixed: by key, the fields of a line that are known."""
    parts = path.read_bytes().split(b"\n") if path.exists() else [b""]
    torn = parts.pop() != b""
    lines: list[dict] = []
    for i, part in enumerate(parts, start=1):
        try:
            line = json.loads(part, parse_constant=int)  # int("NaN") and int("Infinity") raise: they are not JSON
        except (ValueError, RecursionError):
            if i == len(parts) and not torn:
                return lines, True
            raise damaged(path, f"line {i} is no JSON") from None
        known = fixed.get(_key(line)) if isinstance(line, dict) else None
        if known is None or line | known != line or line.keys() != known.keys() | kinds.keys():
            raise damaged(path, f"line {i} is of no run of run.json")
        fractions = [line[name] for name in line.keys() & FRACTIONS]
        wrong = any(isinstance(s, bool) or s is None or not 0 <= s <= 1 for s in fractions if isinstance(s, NUMBER))
        if wrong or not all(isinstance(line[name], kind) for name, kind in kinds.items()):
            raise damaged(path, f"line {i} has a field of another kind")
        lines.append(line)
    return lines, torn


def damaged(path: Path, what: str) -> ValueError:
    return ValueError(f"resume: {path} is damaged ({what}); restore it, or start a new run in another folder")


def _key(line: dict) -> str:
    return str([line.get(name) for name in KEY])
