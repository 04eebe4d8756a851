"""The commands `minissm run`, `minissm table` and `minissm info`: their options and their output."""

import argparse
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ..checks import check_integer


def add(commands: Any) -> None:
    """Add the commands to the parser."""
    from ..model import DTYPES
    from ..scan import MODES
    from ..tasks import TASKS
    from .config import BUDGET, MODELS, OF_CONFIG, PROFILES

    run = commands.add_parser("run", help="train models on a task and compare them", allow_abbrev=False)
    run.set_defaults(command=_run)
    run.add_argument(
        "task", metavar="TASK", nargs="?", help=f'{", ".join(TASKS)}; with options: "recall(pairs=8, values=8)"'
    )
    run.add_argument("--profile", help=f"seeds, steps and learning rates: {', '.join(PROFILES)} (default quick)")
    run.add_argument(
        "--models",
        help=f"""specs, separated by semicolons (default the task's, or "{"; ".join(MODELS)}"); with a norm of its own:
        'Model("ssm + fnn1", norm="rms")'""",
    )
    run.add_argument("--seeds", type=integer, help="number of seeds, counted from 0 (default: the profile's)")
    run.add_argument("--steps", type=integer, help="training steps of each run (default: the profile's)")
    run.add_argument("--until", type=float, help="end a training at its first evaluation with this main score")
    run.add_argument("--budget", type=integer, help=f"parameters of each model (default {BUDGET})")
    run.add_argument("--width", type=integer, help="one width for all models, in place of a budget")
    run.add_argument(
        "--lr",
        type=_rates,
        help="learning rates, separated by commas: the best on validation sequences is shown (default: the profile's)",
    )
    run.add_argument(
        "--vary",
        metavar="NAME=V1,V2,...",
        nargs="+",
        action="extend",
        type=_sweep,
        help=f"""a setting with several values: an option of the task (pairs=2,4,8), an option of every block of a name
        (ssm.poles=1,4,16), or one of lr, {", ".join(OF_CONFIG)}; of several, all combinations are run""",
    )
    run.add_argument("--test", metavar="TASKS", help="more tasks to test each model on, separated by semicolons")
    run.add_argument("--mode", help=f"mode of the filters: {', '.join(MODES)} (default auto: by the shapes)")
    run.add_argument("--backend", help="numpy or cupy (default numpy)")
    run.add_argument("--dtype", help=f"one of {', '.join(DTYPES)} (default {DTYPES[0]})")
    run.add_argument("--plugin", metavar="FILE.py", help="Python file that registers blocks, filters and tasks")
    run.add_argument("--out", metavar="DIR", help="folder for the results (default: a new dated one under runs/)")
    run.add_argument("--resume", metavar="DIR", help="folder of a run that was stopped or killed; finishes it")
    run.add_argument(
        "--jobs", type=integer, help="processes (default: one a core; 1 with cupy or a debugger: no other process)"
    )
    run.add_argument(
        "--cluster", metavar="ADDRESS", help="a Dask scheduler, whose workers do the runs: tcp://host:8786"
    )

    run.add_argument("--row", metavar="FILE:N", help="repeat row N of a results.jsonl, and compare the scores")

    table = commands.add_parser("table", help="the table of finished comparisons", allow_abbrev=False)
    table.set_defaults(command=_table)
    table.add_argument("paths", metavar="DIR_OR_JSONL", nargs="+", help="folders of comparisons, or files of rows")
    table.add_argument(
        "--by",
        metavar="NAME,...",
        help="a line for each combination of these, sorted: model, lr, steps, task, net, or a varied setting",
    )
    table.add_argument("--plugin", metavar="FILE.py", help="Python file that registers the tasks of the rows")

    info = commands.add_parser("info", help="versions, processor, BLAS and GPU of this machine", allow_abbrev=False)
    info.set_defaults(command=_info)


def integer(text: str) -> int:
    """An integer, 1 or more, for argparse. 1e3 is one, 1.5e0 is not."""
    try:
        return check_integer("", "", float(text) if "e" in text.lower() else int(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} given; expected an integer, 1 or more") from None


def _rates(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} given; expected a number like 8e-3, or several, separated by commas"
        ) from None


def _sweep(text: str) -> tuple[str, tuple]:
    from .config import read_vary

    try:
        return read_vary(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("run: vary: ")) from None


def _run(a: argparse.Namespace) -> int:
    from . import compare, machine
    from .config import config_of

    if a.row is not None:
        from .repeat import repeat

        given = {n: v for n, v in vars(a).items() if v is not None and n not in ("command", "row")}
        if others := given.keys() - {"mode", "backend", "plugin"}:
            what = ", ".join(sorted("TASK" if n == "task" else f"--{n}" for n in others))
            raise ValueError(f"run: --row and {what} given; a row says all but --mode, --backend and --plugin")
        return 0 if repeat(a.row, **given) else 1
    if a.task is None:
        raise ValueError("run: no TASK given; expected one like recall, or --row; see minissm run --help")
    vary = dict(a.vary or ())
    single = {name for name in ("steps", "width", "budget") if getattr(a, name)} | ({"lr"} if a.lr else set())
    if {"width", "budget"} <= single | vary.keys():
        raise ValueError("run: both --width and --budget given; --width switches the budget off, give one of them")
    if len(vary) < len(a.vary or ()) or single & vary.keys():
        raise ValueError("run: a setting is varied twice, or given beside its sweep; give it once, with all its values")
    options: dict[str, Any] = {name: tuple(text.split(";")) for name, text in _lists(a) if text is not None}
    one = ("seeds", "steps", "until", "budget", "width", "mode", "backend", "dtype", "plugin")
    options |= {name: getattr(a, name) for name in one if getattr(a, name) is not None}
    options |= {"lrs": a.lr} if a.lr else {"lrs": vary.pop("lr")} if "lr" in vary else {}
    options |= {"vary": vary} if vary else {}
    config = config_of(a.task, a.profile, **options) if a.resume is None else _as_stored(a, options)
    if a.jobs and a.cluster is not None:
        raise ValueError("run: both --jobs and --cluster given; a cluster decides by its workers, leave --jobs away")
    if (a.jobs or 0) > 16 * machine.cores():
        raise ValueError(f"run: --jobs {a.jobs}; this machine has {machine.cores()} cores, give 16 for each at most")
    jobs = a.jobs or (1 if config.backend == "cupy" or sys.gettrace() else machine.cores())
    where: dict[str, Any] = {"jobs": jobs, "cluster": a.cluster}
    run = partial(compare.run, config, a.out) if a.resume is None else partial(compare.resume, a.resume)
    folder, rows, curves = run(**where)
    return show(config, folder, rows, curves)


def show(config: Any, folder: Path, rows: list[dict], curves: list[dict]) -> int:
    """Print the table of a comparison, draw its figures and write its README.txt. -> exit code."""
    from .. import plots
    from . import readme, report, sweep

    table = report.table(rows)
    print(f"\n{table}\n", flush=True)
    readme.write(folder, config, table)
    figure = plots.drawn(lambda: sweep.figures(rows, curves, folder)[0])
    print(f"rows: {folder / 'results.jsonl'}   {figure}")
    return 1 if any(r["stopped"] for r in rows) else 0


def _lists(a: argparse.Namespace) -> tuple:
    return ("models", a.models), ("tests", a.test)


def _as_stored(a: argparse.Namespace, options: dict[str, Any]) -> Any:
    """The config in the folder of --resume. Raises ValueError if an option of this call differs from it."""
    from .compare import stored
    from .config import PROFILES, settings_of

    if a.out is not None:
        raise ValueError("run: both --resume and --out given; a resumed run stays in its folder, leave --out away")
    config, _ = stored(Path(a.resume))
    settings = settings_of(a.task, a.profile)
    profile = {name: settings[name] for name in PROFILES.get(a.profile, {}) if name not in options}
    asked = replace(config, **{"task": a.task, "plugin_sha256": None} | profile | options)
    for name in ("task", *profile, *options):
        wanted, begun_with = getattr(asked, name), getattr(config, name)
        if wanted != begun_with:
            option = {"task": "TASK", "lrs": "--lr", "tests": "--test"}.get(name, f"--{name}")
            option = f"--profile {a.profile}: {option}" if name in profile else option
            begun = f"with {_spelled(begun_with)}" if begun_with or begun_with == 0 else "without"
            raise ValueError(
                f"run: {option} is {_spelled(wanted)}, but {a.resume} was begun {begun}; "
                "leave it as it was, or start a new run with --out"
            )
    return config


def _spelled(value: Any) -> str:
    """The value as it is written on the command line."""
    if isinstance(value, dict):
        return " ".join(f"{name}={_spelled(values)}" for name, values in value.items())
    if not isinstance(value, tuple):
        return str(value)
    return ("; " if value and isinstance(value[0], str) else ",").join(map(str, value))


def _table(a: argparse.Namespace) -> int:
    from . import plugin, report, rows

    if a.plugin is not None:
        plugin.load(a.plugin)
    by = None if a.by is None else list(dict.fromkeys(name.strip() for name in a.by.split(",")))
    print(report.table(rows.read([Path(path) for path in a.paths]), by))
    return 0


def _info(_: argparse.Namespace) -> int:
    from . import machine

    print(machine.info())
    return 0
