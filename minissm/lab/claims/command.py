"""The command `minissm claims`: train the studies of a profile, then write the page."""

import argparse
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ...files import shown
from ...progress import tell

PROFILES = {
    "quick": "train a small set here, half an hour on two cores, and read the other rows",
    "full": "train all studies here, for hours",
    "stored": "train nothing; read all rows, in seconds",
}
QUICK: dict[str, dict] = {  # study -> what differs from it
    "cost": {},
    "copying": {},
    "recall": {},
    "selective_copying": {},
    "induction_heads": {},
    "regression": {"vary": {"n": (4096,)}},
}


def add(commands: Any) -> None:
    """Add the command to the parser."""
    from ..command import integer

    claims = commands.add_parser("claims", help="the paper's claims on one page, measured", allow_abbrev=False)
    claims.set_defaults(command=command)
    profiles = "; ".join(f"{name}: {what}" for name, what in PROFILES.items())
    claims.add_argument("--profile", default="quick", help=f"{profiles} (default quick)")
    claims.add_argument(
        "--only", metavar="NAME,...", help="some claims only: cost, essential, ... or questions: a, b, ..."
    )
    claims.add_argument("--out", metavar="DIR", default="runs/claims", help="folder of the page (default runs/claims)")
    claims.add_argument("--rows", metavar="DIR", help="folder of stored rows (default docs/results of the clone)")
    claims.add_argument("--jobs", type=integer, help="processes (default: one a core)")


def command(arguments: argparse.Namespace) -> int:
    from .. import machine
    from . import page, rows
    from .rules import CLAIMS, QUESTIONS

    names = [*CLAIMS, *QUESTIONS]
    only = [name.strip() for name in arguments.only.split(",")] if arguments.only is not None else names
    for name in only:
        if name not in names:
            raise ValueError(f"claims: --only {name!r}; expected some of {', '.join(names)}, separated by commas")
    if arguments.profile not in PROFILES:
        raise ValueError(f"claims: --profile {arguments.profile!r}; expected one of {', '.join(PROFILES)}")
    if find_spec("jinja2") is None:
        raise RuntimeError("claims: the page needs jinja2, which is not installed; pip install jinja2")
    for name in ("out", "rows"):
        if getattr(arguments, name) == "":
            raise ValueError(f"claims: --{name} is empty; give the name of a folder, or leave --{name} away")
    out, stored = Path(arguments.out), Path(arguments.rows or Path(__file__).parents[3] / "docs" / "results")
    if out.exists() and not out.is_dir():
        raise ValueError(f"claims: --out {shown(out)} is a file; expected a folder")
    if not stored.is_dir() and (arguments.rows or arguments.profile == "stored"):
        raise ValueError(f"claims: no folder {shown(stored)}; give --rows, the folder docs/results of a clone")
    if not stored.is_dir():
        tell("claims: no stored rows here, so sweeps are left out; --rows takes the folder docs/results of a clone")
    needed = list(dict.fromkeys(study for name in only for study in (CLAIMS | QUESTIONS)[name].studies))
    here = out / "rows" / arguments.profile
    code = train(arguments.profile, needed, here, arguments.jobs or machine.cores())
    found = {
        study: rows.merged(rows.read(stored / f"{study}.jsonl"), rows.read(here / f"{study}.jsonl")) for study in needed
    }
    path = page.build(rows.Rows(found), out, only)
    tell(f"page: {path}")
    return code


def train(profile: str, studies: Iterable[str], here: Path, jobs: int) -> int:
    """Train those of the studies that the profile trains, or go on with them. Their rows: here/STUDY.jsonl.

    What is finished is not trained again. -> exit code
    """
    from .. import compare, results, studies as known
    from . import cost

    changed = {"quick": QUICK, "full": {study: {} for study in ("cost", *known.STUDIES)}, "stored": {}}[profile]
    stopped = 0
    for study in studies:
        path, folder = here / f"{study}.jsonl", here / study
        if study not in changed or path.exists():
            continue
        here.mkdir(parents=True, exist_ok=True)
        if study == "cost":
            rows = cost.measure()
        else:
            config = known.config(study, **changed[study])
            begun = (folder / "run.json").exists()
            if begun and compare.stored(folder)[0] != config:
                raise ValueError(f"claims: {shown(folder)} was begun with other settings; choose another --out")
            try:
                _, rows, _ = compare.resume(folder, jobs) if begun else compare.run(config, folder, jobs)
            except KeyboardInterrupt as stop:
                raise type(stop)(f"{study} is saved; go on with the same command") from None
        results.write_lines(path, rows)
        stopped += any(row.get("stopped") for row in rows)
    return 1 if stopped else 0
