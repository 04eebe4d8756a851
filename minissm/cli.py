"""The command line: `minissm run copying`, `bench`, `info`. What a command does lives in lab/; here are its words.

Exit codes: 0 done; 1 some runs broke off; 2 the request can't be met, with one sentence
why; 130 interrupted, 143 ended by SIGTERM: both have saved, and say how to go on.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

MEMORY = "run: not enough memory ({}); choose a smaller --width or --budget"


class Parser(argparse.ArgumentParser):
    """An error is one sentence."""

    def error(self, message: str) -> NoReturn:
        page = f"{self.prog} run" if message.startswith("unrecognized") else self.prog  # said by the outer parser
        self.exit(2, _one_line(f"{self.prog}: {message}; see {page} --help") + "\n")


def main(argv: Sequence[str] | None = None) -> int:
    """The command; -> exit code."""
    benching = (sys.argv[1:] if argv is None else argv)[:1] == ["bench"]
    try:
        arguments = _parser().parse_args(argv)
        code = arguments.command(arguments)
        sys.stdout.flush()
        return code
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        _say(f"minissm {error}")
    except MemoryError as error:
        how = "bench: not enough memory ({}); choose a smaller --batch, --length or --width" if benching else MEMORY
        _say(f"minissm {how.format(error)}")
    except BrokenPipeError:  # `minissm run copying | head`: what is still in the buffer has no reader either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _say("minissm: the reader of the output has gone; give it a file instead")
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        gone = isinstance(error, FileNotFoundError)
        how = "its folder was removed, start again" if gone else "free some space and go on with --resume"
        how = "free some space, or give another file" if benching else f"{how}, or choose another --out"
        _say(f"minissm: can't write{where} ({error.strerror or error}); {how}")
    except KeyboardInterrupt as stop:
        _say(f"minissm: interrupted; {stop}" if str(stop) else "minissm: interrupted")
        return getattr(stop, "code", 130)
    except Exception as error:
        if not type(error).__module__.startswith("cupy"):  # of its errors, that of its compiler is none of the above
            raise
        _say(f"minissm: CuPy can't go on ({type(error).__name__}: {error}); docs/gpu.md has remedies")
    return 2


def _say(text: str) -> None:
    print(_one_line(text), file=sys.stderr)


def _one_line(text: str) -> str:
    """One line, whatever was given: of a long one the beginning and the end."""
    text = " ".join(text.split())
    return text if len(text) <= 500 else f"{text[:250]} ... {text[-250:]}"


def _parser() -> Parser:
    from .lab import bench
    from .lab.compare import BUDGET, MODELS, PROFILES
    from .model import DTYPES
    from .scan import MODES
    from .tasks import TASKS
    from .train import LR

    parser = Parser(
        prog="minissm", description="State space models, FNNs and attention in NumPy, every gradient by hand."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)

    run = commands.add_parser("run", help="train models on a task and compare them", allow_abbrev=False)
    run.set_defaults(command=_run)
    run.add_argument("task", metavar="TASK", help=f"one of {', '.join(TASKS)}")
    run.add_argument("--profile", help=f"seeds, steps and rates: {', '.join(PROFILES)} (default quick)")
    run.add_argument("--models", help=f'sentences joined by ; (default "{"; ".join(MODELS)}")')
    run.add_argument("--seeds", type=_whole, help="how many, counted from 0")
    run.add_argument("--steps", type=_whole, help="training steps of each run")
    run.add_argument("--budget", type=_whole, help=f"parameters of each model (default {BUDGET})")
    run.add_argument("--width", type=_whole, help="one width for all models instead of a budget")
    run.add_argument(
        "--lr",
        type=_rates,
        help=f"learning rate, or several joined by , : the best at the last look is shown (default {LR:g})",
    )
    run.add_argument("--mode", help=f"how filters are computed: {', '.join(MODES)} (default auto: by the shapes)")
    run.add_argument("--backend", help="numpy (the default) or cupy")
    run.add_argument("--dtype", help=f"one of {', '.join(DTYPES)} (default {DTYPES[0]})")
    run.add_argument("--out", metavar="DIR", help="folder for the results (default: a new dated one under runs/)")
    run.add_argument("--resume", metavar="DIR", help="finish the run in this folder, which was stopped or killed")
    run.add_argument(
        "--jobs", type=_whole, help="processes (default: one a core; 1 keeps everything in this one, for a debugger)"
    )

    bench.add(commands)

    info = commands.add_parser("info", help="versions, processor, BLAS and GPU of this machine", allow_abbrev=False)
    info.set_defaults(command=_info)
    return parser


def _whole(text: str) -> int:
    """A integer, 1 or more."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} given; expected an integer, 1 or more")
    return value


def _rates(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} given; expected a number like 8e-3, or several joined by ,"
        ) from None


def _run(a: argparse.Namespace) -> int:
    from .lab import compare, machine, plots, report
    from .tasks import TASKS

    if a.profile not in (None, *compare.PROFILES):
        raise ValueError(f"run: unknown profile {a.profile!r}; expected one of {', '.join(compare.PROFILES)}")
    if a.width and a.budget:
        raise ValueError("run: both --width and --budget given; --width switches the budget off, give one of them")
    models = tuple(a.models.split(";")) if a.models is not None else None
    given: dict[str, Any] = {"models": models, "lrs": a.lr}
    given |= {name: getattr(a, name) for name in ("seeds", "steps", "budget", "width", "mode", "backend", "dtype")}
    given = {name: value for name, value in given.items() if value is not None}
    if a.resume is None:
        config = compare.Config(a.task, **compare.PROFILES[a.profile or "quick"] | given)
    else:
        config = _as_stored(a, compare.PROFILES.get(a.profile, {}) | given)
    jobs = a.jobs or (1 if config.backend == "cupy" or sys.gettrace() else machine.cores())
    folder, rows, curves = compare.run(config, a.out, jobs) if a.resume is None else compare.resume(a.resume, jobs)
    task = TASKS[a.task]()
    print(f"\n{report.table(rows, curves, task, config)}\n", flush=True)
    figures = plots.comparison(rows, curves, task, config, folder)
    print(f"rows: {folder / 'results.jsonl'}   figure: {figures[0]}")
    return 1 if any(r["stopped"] for r in rows) else 0


def _as_stored(a: argparse.Namespace, given: dict[str, Any]) -> Any:
    """The settings in the folder of --resume; ValueError if what is given here says something else."""
    from dataclasses import replace

    from .lab.compare import stored

    if a.out is not None:
        raise ValueError("run: both --resume and --out given; what is resumed stays in its folder, leave --out away")
    config, _ = stored(Path(a.resume))
    asked = replace(config, task=a.task, **given)
    for name in ("task", *given):
        wanted, held = getattr(asked, name), getattr(config, name)
        if wanted != held:
            option = {"task": "TASK", "lrs": "--lr"}.get(name, f"--{name}")
            if name != "task" and getattr(a, option[2:]) is None:
                option = f"--profile {a.profile}: {option}"
            begun = "without" if held is None else f"with {_spelled(held)}"
            raise ValueError(
                f"run: {option} is {_spelled(wanted)}, but {a.resume} was begun {begun}; "
                "leave it as it was, or start a new run with --out"
            )
    return config


def _spelled(value: Any) -> str:
    """As it is given on the command line."""
    if not isinstance(value, tuple):
        return str(value)
    return ("; " if isinstance(value[0], str) else ",").join(map(str, value))


def _info(_: argparse.Namespace) -> int:
    from .lab import machine

    print(machine.info())
    return 0
