"""The folder of a comparison: created, written run by run, and read back when it is resumed.

README.txt      the command, the table, and what each file is
run.json        the settings, and the versions with which the comparison began
runs/           a file for each finished run, written whole: {"job": ..., "row": ..., "curve": [...]}
weights/        the models of the finished runs
unfinished/     the checkpoints of the other runs
results.jsonl   the rows, joined at the end
curves.jsonl    the evaluations, joined at the end

No run writes a file of another run. Two processes that work in one folder lose nothing and do some work twice.
"""

import json
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from ..checkpoint import load, save
from ..files import shown, write_whole
from ..model import Model
from ..tasks import parse
from ..train import eval_steps
from .job import Job, Outcome

NUMBER = int | float | None
ROW = {  # fields of a row besides Job.known and the scores
    "validation": NUMBER,
    "steps_to_95": int | None,
    "influence": NUMBER,
    "influence_top": NUMBER,
    "tests": dict,
    "stopped": str,
    "seconds": int | float,
    "cpu_seconds": int | float,
    "versions": dict,
}
WRITTEN = "README.txt", "curves.jsonl", "figure.png", "figure.svg"  # beside run.json, results.jsonl and runs/


def new_folder(folder: Path, asked: dict, announce: Callable[[], Any]) -> None:
    """Create the folder and write the settings to run.json. ValueError if that fails.

    announce: prints the first line of the run. Nothing stays of a run that fails to begin.
    """
    run, runs, weights = (folder / name for name in ("run.json", "runs", "weights"))
    with ExitStack() as undo:
        try:
            if folder.exists() and not folder.is_dir():
                raise ValueError(f"out: {folder} is a file; expected a folder, or a name that is still free")
            for path in (run, folder / "results.jsonl", runs):
                if path.exists():
                    raise ValueError(
                        f"out: {folder} holds the results of another run ({path.name}); choose another folder, or go "
                        "on with it by --resume"
                    )
            for path in (folder / name for name in WRITTEN):
                if path.exists():
                    raise ValueError(f"out: {shown(path)} would be overwritten; choose another folder")
            for path in (*reversed(folder.parents), folder, weights, runs):
                if not path.exists():
                    undo.callback(_try, path.rmdir)
                    path.mkdir(exist_ok=path is not runs)  # of two at the same time, one makes runs/
            text = json.dumps(asked, indent=1) + "\n"
            undo.callback(_try, run.unlink)
            write_whole(run, lambda file: file.write(text.encode()))
        except OSError as error:
            raise ValueError(
                f"out: can't write to {shown(error.filename or folder)} ({error.strerror}); choose another folder"
            ) from None
        announce()
        undo.pop_all()


def _try(step: Callable[[], Any]) -> None:
    with suppress(OSError):
        step()


def write(folder: Path, outcome: Outcome) -> dict:
    """Write the weights, then the record, so that a record always has its weights. Then remove the checkpoint.

    -> the record.
    """
    job, row, curve, params = outcome
    record = {"job": job._asdict(), "row": row, "curve": curve}
    text = json.dumps(record, allow_nan=False) + "\n"
    save(folder / job.weights, Model.read(job.net), params)
    write_whole(folder / "runs" / f"{job.name}.json", lambda file: file.write(text.encode()))
    (folder / "unfinished" / f"{job.name}.npz").unlink(missing_ok=True)
    return record


def join(folder: Path, records: list[dict]) -> tuple[list[dict], list[dict]]:
    """Write results.jsonl and curves.jsonl -> their lines: the rows, and the evaluations with the key of their run."""
    rows = [record["row"] for record in records]
    curves = [Job(**record["job"]).key | evaluation for record in records for evaluation in record["curve"]]
    write_lines(folder / "results.jsonl", rows)
    write_lines(folder / "curves.jsonl", curves)
    return rows, curves


def write_lines(path: Path, lines: list[dict]) -> None:
    """One JSON object a line, the whole file at once."""
    text = "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines)
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


def finished(folder: Path, work: list[Job], weights: bool = True) -> dict[str, dict]:
    """The records of the finished runs, by the name of the job. ValueError in one sentence for a damaged one.

    weights: False if they are not needed, and may be missing.
    """
    records = {}
    for job in work:
        path = folder / "runs" / f"{job.name}.json"
        try:
            record = json.loads(path.read_bytes(), parse_constant=int)  # int("NaN") raises: it is no JSON
        except FileNotFoundError:
            continue
        except (ValueError, RecursionError, OSError) as error:
            raise damaged(path, getattr(error, "strerror", None) or "it is no JSON") from None
        if why := _misfit(record, job):
            raise damaged(path, why)
        try:
            if weights:
                load(folder / job.weights)
        except (OSError, ValueError) as error:
            raise damaged(folder / job.weights, str(error)) from None
        records[job.name] = record
    return records


def _misfit(record: Any, job: Job) -> str:
    """Why the record is not one of the job, or ""."""
    if not isinstance(record, dict) or record.keys() != {"job", "row", "curve"} or not isinstance(record["job"], dict):
        return "it is of no run of run.json"
    if {"until": None} | record["job"] != job._asdict():  # 0.7 had no `until`
        return "it is of no run of run.json"
    scores = dict.fromkeys(parse(job.task).score_names, NUMBER)
    evaluation = {"step": int, "training_loss": NUMBER} | scores
    row, curve, due = record["row"], record["curve"], eval_steps(job.steps, job.evals)
    if not _fits(row, job.known, scores | ROW) or not isinstance(curve, list):
        return "its row has a field of another kind"
    if not all(_fits(line, {}, evaluation) for line in curve):
        return "an evaluation has a field of another kind"
    steps = [line["step"] for line in curve]
    early = row["stopped"] or job.until is not None
    return "" if steps == (due[: len(steps)] if early else due) else "not all its evaluations, or too many"


def _fits(line: Any, known: dict, kinds: dict[str, Any]) -> bool:
    """True if the fields are those that are known, with these values, and those of these kinds."""
    return (
        isinstance(line, dict)
        and line.keys() == known.keys() | kinds.keys()
        and line | known == line
        and all(isinstance(line[name], kind) and not isinstance(line[name], bool) for name, kind in kinds.items())
    )


def remove_parts(folder: Path) -> None:
    """Remove the partial files of killed processes below the folder: those that have not grown for a minute."""
    for path in folder.rglob(".*.part"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > 60:
                path.unlink()


def damaged(path: Path, what: str) -> ValueError:
    return ValueError(f"resume: {path} is damaged ({what}); restore it, or start a new run in another folder")
