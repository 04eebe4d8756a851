"""The command `minissm constructions`: check the networks with written weights, and compare them with trained ones."""

import argparse
import json
import os
import platform
import textwrap
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..checkpoint import save
from ..files import check_place, shown, write_whole
from ..progress import Progress, tell
from .cases import CASES, built, model_of, network
from .limits import lti_margin

FILES = ("constructions.json", "constructions-codes.png", "constructions-nonzeros.png")
LIMITS = (([6], False), ([6, 7], False), ([6, 12], False), ([3, 5], True), ([6, 9], True))  # lengths, fed back
WRITTEN = """{name}: {statement}
  {call}: {spec}
  {checked}: {answers:,} answers, each in three modes, {wrong:,} wrong
  written: {S:,} of {size:,} parameters are not 0 (B {B:,.7g}); L {L}, W {W}, state {state:,}, up to {length} tokens
"""
TRAINED = """  trained: {parameters:,} parameters, state {state:,}; {measure} {score:.3g}, {lowest:.3g} to {highest:.3g}
    {model}, {seeds} seeds
"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("constructions", help="check the networks with written weights", allow_abbrev=False)
    parser.set_defaults(command=command)
    parser.add_argument("name", metavar="NAME", nargs="?", choices=CASES, help=f"{', '.join(CASES)} (default all)")
    out, rows = "runs/constructions", "folder of the rows of trained models (default docs/results of the clone)"
    parser.add_argument("--out", metavar="DIR", default=out, help=f"folder of the results (default {out})")
    parser.add_argument("--rows", metavar="DIR", help=rows)
    parser.add_argument("--save", metavar="FILE.npz", help="write the network NAME to a file for minissm.load")
    parser.add_argument("--train", action="store_true", help="train the models beside the networks anew, in minutes")
    learn = "train on from the written weights of recall, and from a random draw, in half an hour"
    parser.add_argument("--learn", action="store_true", help=learn)


def command(a: argparse.Namespace) -> int:
    from . import figures, learning

    names, out, start = [a.name] if a.name else list(CASES), Path(a.out), time.process_time()
    rows = checked(a, out, [*names, "recall-vocabulary"])
    if a.save:
        save(a.save, *built(a.name))
    if a.train:
        mine = [row for name in names for row in rows[name] if row["model"] == model_of(name)]
        anew = [row | new for row, new in zip(mine, learning.train(out, mine), strict=True)]
        rows |= {name: [row for row in anew if row["task"] == CASES[name].tasks[0]] for name in names}
    codes = [(m, pairs) for pairs, ms in figures.CODES.items() for m in ms] if "recall" in names else []
    found: dict[str, Any] = {"networks": [], "codes": [], "nonzeros": [], "limits": []}
    with Progress(len(names) + len(codes), "constructions") as bar:
        for name in names:
            found["networks"].append(n := network(name, rows[name]))
            bar.say(wrapped(WRITTEN.format_map(n) + (TRAINED.format_map(n["trained"]) if n["trained"] else "")))
            bar.update(1)
        for m, pairs in codes:
            found["codes"].append(figures.recall_error(m, pairs))
            bar.update(1)
    if codes:
        found["nonzeros"] = [figures.nonzeros(vocab, rows["recall-vocabulary"]) for vocab in figures.VOCAB]
    if "copying" in names:
        tell("The best margin of one linear layer that copies all binary words of these lengths (0: there is none)")
        for lengths, fed in LIMITS:
            found["limits"].append({"lengths": lengths, "fed_back": fed, "margin": round(lti_margin(lengths, fed), 6)})
            tell(f"  {lengths}, {'fed back' if fed else 'with blanks'}: {found['limits'][-1]['margin']:g}")
    found |= {"seconds": round(time.process_time() - start, 1), "versions": versions()}
    write_whole(out / file_of(a.name), lambda file: file.write(json.dumps(found, indent=1).encode() + b"\n"))
    if codes:
        figures.draw_codes(found["codes"], out / FILES[1])
        figures.draw_nonzeros(found["nonzeros"], out / FILES[2])
    tell("L: affine maps of the FNNs; W: the widest layer; B: the largest parameter; state: its numbers")
    tell(f"results: {out}")
    if a.learn:
        learning.learn(out)
        tell(f"trainings: {out / 'constructions-learn.jsonl'}, and a figure")
    return 1 if any(n["wrong"] for n in found["networks"]) else 0


def file_of(name: str | None) -> str:
    """One network doesn't replace the results of all."""
    return f"constructions-{name}.json" if name else FILES[0]


def checked(a: argparse.Namespace, out: Path, studies: list[str]) -> dict[str, list[dict]]:
    """The rows of each study; none without a clone. ValueError in one sentence for bad options, before long work."""
    for name in ("out", "rows", "save"):
        if getattr(a, name) == "":
            raise ValueError(f"constructions: --{name} is empty; give a name, or leave --{name} away")
    if a.save and not a.name:
        raise ValueError(f"constructions: --save without NAME; expected one of {', '.join(CASES)}")
    if a.learn and a.name not in (None, "recall"):
        raise ValueError(f"constructions: --learn with {a.name}; it trains recall, leave NAME away or give recall")
    folder = Path(a.rows or Path(__file__).parents[2] / "docs" / "results")
    if not folder.is_dir() and (a.rows or a.train):
        raise ValueError(f"constructions: no folder {shown(folder)}; give --rows, the folder docs/results of a clone")
    if not folder.is_dir():
        tell("constructions: no trained models to compare with; --rows takes the folder docs/results of a clone")
    rows = {study: stored(folder / f"{study}.jsonl") for study in studies}
    try:
        out.mkdir(parents=True, exist_ok=True)
        for path in [a.save] * bool(a.save) + [out / name for name in (file_of(a.name), *FILES[1:])]:
            check_place("constructions", path)
    except OSError as error:
        why = os.strerror(error.errno or 0)
        raise ValueError(f"constructions: can't write {shown(error.filename)} ({why}); choose another name") from None
    return rows


def stored(path: Path) -> list[dict]:
    """The rows of a file of `minissm run`; none if it doesn't exist."""
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
        _ = [(row["task"], row["model"], row["vary"], row["parameters"], row["state_size"]) for row in rows]
    except (OSError, ValueError, TypeError, KeyError):
        raise ValueError(f"constructions: {shown(path)} has a line that is no row; give other --rows") from None
    return rows


def wrapped(text: str) -> str:
    """Lines of at most 100 characters."""
    return "\n".join(textwrap.fill(line, 100, subsequent_indent=" " * 4) for line in text.splitlines()) + "\n"


def versions() -> dict[str, str]:
    from .. import __version__

    here = {"python": platform.python_version(), "processor": platform.processor() or platform.machine()}
    return here | {"minissm": __version__, "numpy": version("numpy"), "scipy": version("scipy")}
