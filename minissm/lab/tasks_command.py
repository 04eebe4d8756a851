"""The command `minissm tasks`: each task with its options, its baseline and an example, and the presets."""

import argparse
import inspect
import os
import shutil
import sys
import textwrap
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np

COLOURS = {"key": 36, "value": 33, "symbol": 32, "marker": 35, "blank": 2, "name": 1}  # kind of token -> ANSI code
Paint = Callable[[str, str], str]  # a text and its kind -> the text, coloured on a terminal


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("tasks", help="list the tasks, an example of each, and presets", allow_abbrev=False)
    parser.set_defaults(command=_tasks)
    parser.add_argument(
        "tasks", metavar="TASK", nargs="*", default=(), help='what to show, like "recall(pairs=8)" (default: all)'
    )
    parser.add_argument("--plugin", metavar="FILE.py", help="Python file that registers tasks")


def _tasks(a: argparse.Namespace) -> int:
    from ..tasks import PRESETS, TASKS, parse
    from . import plugin

    if a.plugin is not None:
        plugin.load(a.plugin)
    paint, width = painter(), shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else 100
    for spec in a.tasks or TASKS:
        print("\n".join(describe(parse(spec), width, paint)), end="\n\n")
    if not a.tasks:
        print("Presets, in the sizes of published code: minissm run NAME")
        for name, preset in PRESETS.items():
            print(f"  {paint(name, 'name')}  {preset.spec}")
            print(textwrap.fill(preset.source, width, initial_indent=" " * 6, subsequent_indent=" " * 6))
    return 0


def painter() -> Paint:
    """Colours for a terminal that has them, unless NO_COLOR is set (https://no-color.org)."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return lambda text, _: text
    return lambda text, kind: f"\033[{COLOURS[kind]}m{text}\033[0m" if kind in COLOURS and text.strip() else text


def describe(task: Any, width: int, paint: Paint) -> list[str]:
    """The lines on one task: its options, the first paragraph of its docstring, its sizes, its tokens, an example."""
    name, options = task.spec.partition("(")[0], [f for f in fields(task) if f.init and f.repr]
    call = f"{name}({', '.join(f'{f.name}={getattr(task, f.name)!r}' for f in options)})"
    about = " ".join((inspect.getdoc(type(task)) or "").partition("\n\n")[0].split())
    sizes = ", ".join(f"{what} {size}" for what, size in {"length": task.length, **task.sizes}.items())
    lines = textwrap.wrap(call, width, subsequent_indent=" " * (len(name) + 1))
    lines[0] = paint(name, "name") + lines[0][len(name) :]
    lines += textwrap.wrap(about, width, initial_indent="  ", subsequent_indent="  ")
    lines.append(f"  {sizes}; baseline {task.baseline:.3f}")
    if hasattr(task, "vocab"):
        kinds = (f"{paint(kind, kind)} {_some(names)}" for kind, names in task.legend.items())
        lines.append(f"  {', '.join(kinds)}")
    return lines + example(task, width, paint)


def _some(names: tuple[str, ...]) -> str:
    return " ".join(names) if len(names) < 4 else f"{names[0]} .. {names[-1]}"


def example(task: Any, width: int, paint: Paint) -> list[str]:
    """Inputs, and the answers that count below them, in lines of at most `width`."""
    inputs, targets, weights = (a[0] for a in task.batch(np.random.default_rng(0), 1))
    rows = [
        _tokens(task, inputs),
        [t if w > 0 else ("", "") for t, w in zip(_tokens(task, targets), weights, strict=True)],
    ]
    lines: list[list[str]] = []
    used = width
    for column in zip(*rows, strict=True):
        wide = max(len(text) for text, _ in column)
        if used + 1 + wide > width:
            lines += [["  inputs "], ["  answers"]]
            used = len("  answers")
        used += 1 + wide
        for line, (text, kind) in zip(lines[-2:], column, strict=True):
            line.append(paint(text.ljust(wide), kind))
    return [text for line in lines if (text := " ".join(line).rstrip()) != "  answers"]


def _tokens(task: Any, row: np.ndarray) -> list[tuple[str, str]]:
    """(text, kind) of each token; of real vectors, the numbers."""
    if row.ndim == 2:
        return [(",".join(f"{v:.2f}" for v in vector), "") for vector in row]
    names, kinds = (task.names, task.kinds) if hasattr(task, "vocab") else (None, None)
    return [(names[i], kinds[i]) if names and kinds else (str(i), "") for i in row.tolist()]
