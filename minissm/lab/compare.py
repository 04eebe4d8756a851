"""Compare models on a task: train each with several seeds; write a record and the weights for each finished run.

A run is a pure function of its Job: on one machine with the same versions, the same job gives the same bits. They do
not depend on the process, on other runs at the same time, or on stops and resumes. The parent process writes all
files except the checkpoints.
"""

import math
import os
import re
import shlex
import signal
from collections.abc import Generator
from contextlib import closing, suppress
from dataclasses import asdict, fields
from datetime import datetime
from functools import partial
from pathlib import Path

from .. import tasks
from ..progress import Progress
from ..train import EVERY
from . import plugin, readme, results
from .cluster import check_address, in_cluster
from .config import Config
from .job import Job, Outcome, run_job, versions
from .workers import Run, Terminated, in_process, in_processes, stop_signals

PRINT = partial(print, flush=True)  # raises if the reader of the output has gone, which ends a run
Lines = list[dict]


def run(
    config: Config,
    out: str | os.PathLike | None = None,
    jobs: int = 1,
    every: float = EVERY,
    cluster: str | None = None,
    about: str = "",
) -> tuple[Path, Lines, Lines]:
    """Train all runs of config and write the results to `out`. -> the folder, its rows, its learning curves.

    A row is printed when its run is finished; the files have the rows in the order of the jobs. Ctrl-C and SIGTERM save
    all runs and raise KeyboardInterrupt, whose text has the command to resume. A kill loses at most `every` seconds.
    jobs: processes. With 1 all runs are in this process, and a debugger can step through them.
    cluster: the address of a Dask scheduler, whose workers do the runs.
    about: text to print above the first line.
    """
    if out is not None and not os.fspath(out):
        raise ValueError("out: the name is empty; give a folder, or leave --out away for a new one under runs/")
    folder = Path(out) if out is not None else _dated(config.task)
    if not os.fspath(folder).isprintable():
        raise ValueError(f"out: {os.fspath(folder)!r} contains characters that can't be printed; choose another name")
    if cluster is not None:
        check_address(cluster)
    work = config.work()
    announce = partial(_announce, config.task, work, folder, 0, jobs, cluster, about)
    results.new_folder(folder, asdict(config) | {"versions": versions()}, announce)
    readme.write(folder, config)
    return folder, *_finish(config.task, work, folder, {}, jobs, every, cluster)


def resume(
    folder: str | os.PathLike, jobs: int = 1, every: float = EVERY, cluster: str | None = None
) -> tuple[Path, Lines, Lines]:
    """Finish the run in the folder, with the results that `run` would have. ValueError if it can't be read."""
    folder = Path(folder)
    if cluster is not None:
        check_address(cluster)
    config, begun = stored(folder)
    work = config.work()
    records = results.finished(folder, work)
    changed = [f"{name} {begun.get(name)}, now {v}" for name, v in versions().items() if begun.get(name) != v]
    if changed:
        PRINT(f"{folder} was begun with {'; '.join(changed)}: the last digits may differ")
    _announce(config.task, work, folder, len(records), jobs, cluster)
    return folder, *_finish(config.task, work, folder, records, jobs, every, cluster)


def stored(folder: Path) -> tuple[Config, dict]:
    """The settings of the run in the folder, and the versions with which it began."""
    asked = {"until": None} | results.asked_in(folder)  # 0.7 had no `until`
    begun = asked.pop("versions", None)
    try:
        if asked.keys() != {field.name for field in fields(Config)} or not isinstance(begun, dict):
            raise ValueError("fields are missing or too many, as of another version of minissm")
        return Config(**asked), begun
    except plugin.PluginError:
        raise
    except (ValueError, TypeError, AttributeError) as error:
        raise results.damaged(folder / "run.json", str(error)) from None


def executed(
    work: list[Job], bar: Progress, train: Run, jobs: int, pressed: list[int], cluster: str | None
) -> Generator[Outcome]:
    """The outcomes of the jobs, in any order. Here it is chosen where they run."""
    if cluster is not None:
        return in_cluster(train, work, bar, cluster, pressed)
    return in_processes(train, work, bar, jobs, pressed) if jobs > 1 else in_process(train, work, bar)


def _announce(
    task: str, work: list[Job], folder: Path, finished: int, jobs: int, cluster: str | None, about: str = ""
) -> None:
    """Print the first line of a run."""
    steps = " to ".join(dict.fromkeys(str(f(job.steps for job in work)) for f in (min, max)))
    steps = steps if work[0].until is None else f"at most {steps}"
    done = f", {finished} of them finished" if finished else ""
    how = f"{max(1, min(jobs, len(work) - finished))} at a time" if cluster is None else f"on the cluster at {cluster}"
    PRINT(f"{about}{task}: {len(work)} runs of {steps} steps{done}, {how}; results go to {folder}")


def _finish(
    task: str,
    work: list[Job],
    folder: Path,
    records: dict[str, dict],
    jobs: int,
    every: float,
    cluster: str | None,
) -> tuple[Lines, Lines]:
    """Do the runs without a record. -> all rows and curves. A KeyboardInterrupt says how to resume."""
    unfinished, left = folder / "unfinished", [job for job in work if job.name not in records]
    for name in records:  # after a kill between the write of a record and the removal of its checkpoint
        (unfinished / f"{name}.npz").unlink(missing_ok=True)
    if left:
        unfinished.mkdir(exist_ok=True)
    jobs, train = max(1, min(jobs, len(left))), partial(run_job, unfinished=unfinished.resolve(), every=every)
    here = jobs == 1 and cluster is None
    total = sum(job.steps for job in work)
    with stop_signals(at_once=here) as pressed, Progress(total, f"{task}, {len(work)} runs") as bar:
        bar.update(total - sum(job.steps for job in left))
        try:
            with closing(executed(left, bar, train, jobs, pressed, cluster)) as outcomes:
                for outcome in outcomes:
                    records = records | {outcome.job.name: results.write(folder, outcome)}
                    bar.say(line(outcome.row), PRINT)
                    if not outcome.row["stopped"]:
                        bar.update(outcome.job.steps - outcome.curve[-1]["step"])  # of a run that `until` has ended
                    if pressed and here:  # pressed in a training on a device that had broken off already
                        raise KeyboardInterrupt
        except KeyboardInterrupt:
            options = ["--resume", str(folder), *(["--cluster", cluster] if cluster is not None else [])]
            how = f"go on with: minissm run {shlex.join([task, *options])}"
            stop = Terminated if signal.SIGTERM in pressed else KeyboardInterrupt
            raise stop(f"{len(records)} of {len(work)} runs are finished, the others saved; {how}") from None
    results.remove_parts(folder)
    with suppress(OSError):
        unfinished.rmdir()
    return results.join(folder, [records[job.name] for job in work])


def line(row: dict) -> str:
    """One finished run in one line."""
    found = {name: math.nan if row[name] is None else row[name] for name in tasks.parse(row["task"]).score_names}
    scores = "  ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in found.items())
    vary = "".join(f"{name} {value}  " for name, value in row.get("vary", {}).items())
    end = f"  stopped: {row['stopped']}" if row["stopped"] else ""
    return f"{row['model']:32s} {vary}seed {row['seed']}  lr {row['lr']:g}  {scores}  {row['seconds']:.1f} s{end}"


def _dated(task: str) -> Path:
    slug = re.sub(r"[^a-z0-9.]+", "-", task.lower()).strip("-")[:60]
    name = f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{slug}"
    names = (f"{name}{suffix}" for suffix in ("", *(f"_{i}" for i in range(2, 1000))))
    return next(path for path in (Path("runs") / n for n in names) if not path.exists())
