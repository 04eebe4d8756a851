"""Repeat one row of a comparison: the same job on the same machine gives the same bits."""

from pathlib import Path
from typing import Any

from ..progress import Progress
from ..tasks import parse
from . import compare, plugin, rows
from .config import config_of
from .job import Job, run_job
from .workers import in_process

SCORES = ("validation", "steps_to_95", "influence", "influence_top", "tests")


def job_of(row: dict, folder: Path, **options: Any) -> Job:
    """The job that made the row, from the record in the folder, or else from the row's fields and the options.

    options: mode, backend and plugin. A row doesn't have these.
    """
    if (folder / "runs" / f"{Path(row['weights']).stem}.json").is_file():
        for job in compare.stored(folder)[0].work():
            if row | job.known == row:
                return job
    vary = row.get("vary", {})
    config = config_of(row["task"], lrs=(row["lr"],), tests=tuple(row.get("tests", ())), **options)
    fixed = {name: vary.get(name, getattr(config, name)) for name in ("batch", "clip")}
    same = {name: getattr(config, name) for name in ("mode", "backend", "plugin", "plugin_sha256")}
    if row["plugin"] != config.plugin_sha256:
        raise ValueError(f"run: the row was made with the plugin of SHA-256 {row['plugin']}; give it by --plugin")
    key = {name: row[name] for name in ("task", "model", "seed", "lr", "steps", "net")}
    return Job(**key, vary=vary, tests=list(config.tests), until=row.get("until"), **fixed, **same)


def repeat(text: str, **options: Any) -> bool:
    """Repeat row N of "FILE:N", print both rows, and compare the bits of their scores. -> True if they are the same."""
    name, _, number = text.rpartition(":")
    if not name:
        raise ValueError(f"run: --row {text!r}; expected FILE:N, a file of rows and the number of a line, from 1")
    path = Path(name)
    if options.get("plugin") is not None:
        plugin.load(options["plugin"])
    found = rows.of(path)
    if not number.isdecimal() or not 1 <= int(number) <= len(found):
        raise ValueError(f"run: --row {text}; expected FILE:N with N from 1 to {len(found)}, a line of the file")
    row = found[int(number) - 1]
    if not isinstance(row.get("weights"), str) or "plugin" not in row or not isinstance(row.get("versions"), dict):
        raise ValueError(f"run: --row {text}; the row has no weights, plugin or versions, so what it ran is unknown")
    job = job_of(row, path if path.is_dir() else path.parent, **options)
    print(f"row:   {compare.line(row)}", flush=True)
    with Progress(job.steps, f"{job.task}, row {number}") as bar:
        (again,) = (outcome.row for outcome in in_process(run_job, [job], bar))
    print(f"again: {compare.line(again)}")
    scores = [n for n in (*parse(job.task).score_names, *SCORES) if n in row]
    other = [n for n in scores if row[n] != again[n]]
    changed = [
        f"{n} {v}, now {again['versions'].get(n)}" for n, v in row["versions"].items() if again["versions"].get(n) != v
    ]
    print(f"the same bits in {', '.join(n for n in scores if n not in other) or 'none'}")
    if other:
        print(f"other bits in {', '.join(f'{n}: {row[n]}, now {again[n]}' for n in other)}")
        print(f"the row was made with {'; '.join(changed) or 'the same versions and processor'}")
    return not other
