"""The command `minissm watch`: write the page that steps through a model."""

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np

from .. import tasks
from ..checks import check_integer
from ..files import check_place, shown, write_whole
from ..model import Model
from ..progress import tell
from . import models
from .data import check_task
from .page import page


def add(commands: Any) -> None:
    """Add the command to the parser."""
    watch = commands.add_parser("watch", help="a page that steps through a model, and back", allow_abbrev=False)
    watch.set_defaults(command=command)
    watch.add_argument(
        "path",
        metavar="MODEL.npz or DIR",
        nargs="?",
        help="a file of minissm.save, or the folder of a run: its best model without attention, if there is one "
        "(default: train a model, in half a minute; the next call uses it)",
    )
    watch.add_argument("--task", help="the task of the model (default: that of the run, or one that fits; else recall)")
    watch.add_argument("--model", metavar="SPEC", help=f'what to train without MODEL.npz (default "{models.SPEC}")')
    watch.add_argument("--seed", type=int, default=0, help="the seed of the sequences (default 0)")
    watch.add_argument("--out", metavar="FILE.html", help=f"the page (default: a file in {models.FOLDER})")


def command(a: argparse.Namespace) -> int:
    for option in ("path", "task", "model", "out"):
        if getattr(a, option) == "":
            raise ValueError(f"watch: {'MODEL.npz' if option == 'path' else f'--{option}'} is empty; leave it away")
    if a.path and a.model:
        raise ValueError(f"watch: both {shown(a.path)} and --model given; --model trains one, leave one of them away")
    rng = np.random.default_rng(check_integer("watch", "seed", a.seed, minimum=0))
    if a.out:  # before long work
        check_out(Path(a.out))
    if a.path:
        net, params, task = models.read(Path(a.path), a.task)
    else:
        task = tasks.parse(a.task or "recall")
        check_task(task)
        net = Model(a.model or models.SPEC, vocab=task.vocab, width=models.WIDTH)
        check_out(models.FOLDER / "page.html", make=True)
        net, params = models.trained(net, task)
    of = [Path(a.path).stem] if a.path else []
    out = Path(a.out or models.FOLDER / f"{models.name(*of, task.spec, net.spec)}.html")
    check_out(out, make=not a.out)
    text = page(net, params, task, rng)
    write_whole(out, lambda file: file.write(text.encode()))
    tell(f"page: {out}   (open it in a browser)")
    return 0


def check_out(out: Path, make: bool = False) -> None:
    """ValueError in one sentence unless the page can be written. make: make its folder."""
    if out.suffix != ".html":
        raise ValueError(f"watch: --out {shown(out)}; expected a name that ends in .html")
    try:
        if make:
            out.parent.mkdir(parents=True, exist_ok=True)
        check_place("watch", out)
    except OSError as error:
        why = os.strerror(error.errno or 0)
        raise ValueError(f"watch: can't write {shown(error.filename or out)} ({why}); choose another --out") from None
