"""The page: the verdicts, figures and commands of all claims, in one file of HTML."""

import math
import tomllib
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from ...files import write_whole
from ..studies import SMOOTHNESS, STUDIES, command, runs
from . import cost
from .figures import FIGURES, Figure, svg
from .rows import Rows, canonical
from .rules import CLAIMS, LINEAR, NETWORKS, QUESTIONS
from .verdicts import THRESHOLDS, VERDICTS, Check, Claim, verdict

NO_TRAINING = {  # study -> its command, and the least number of its rows
    "cost": ("minissm claims --only cost", len(cost.MODELS) * len(cost.LENGTHS)),
    "constructions": ("minissm constructions", len(NETWORKS) + len(LINEAR)),
}


@cache
def texts() -> dict[str, Any]:
    return tomllib.loads(files(__package__).joinpath("texts.toml").read_text(encoding="utf-8"))


def build(rows: Rows, out: Path, only: Iterable[str] = ()) -> Path:
    """Write out/claims.html and out/csv/. only: the names of claims; none: all. -> the page"""
    from jinja2 import Environment, StrictUndefined

    (out / "csv").mkdir(parents=True, exist_ok=True)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files(__package__).joinpath("page.html").read_text(encoding="utf-8"))
    asked = set(only) or {*CLAIMS, *QUESTIONS}
    claims, questions = (
        [section(name, claim, rows, out) for name, claim in of.items() if name in asked] for of in (CLAIMS, QUESTIONS)
    )
    needed = list(dict.fromkeys(study for part in claims + questions for study in part["studies"]))
    text = template.render(
        claims=claims,
        questions=questions,
        studies=[about(study, rows) for study in needed],
        thresholds=[(name, value, texts()["thresholds"][name]) for name, value in THRESHOLDS.items()],
        models=texts()["models"],
        whole=len(asked) == len(CLAIMS) + len(QUESTIONS),
        verdicts=VERDICTS,
    )
    path = out / "claims.html"
    write(path, text)
    return path


def write(path: Path, text: str) -> None:
    write_whole(path, lambda file: file.write(text.encode()))


def section(name: str, claim: Claim, rows: Rows, out: Path) -> dict[str, Any]:
    """What the template shows of a claim. Writes the CSV files of its figures."""
    words = texts()["claims" if name in CLAIMS else "questions"][name]
    checks = list(claim.checks(rows))
    figures = [figure for figure in FIGURES[name](rows) if figure.points]
    for figure in figures:
        write(out / "csv" / f"{figure.name}.csv", figure.csv)
    made = [check for check in checks if check.holds is not None]
    missing = [check.studies for check in checks if check.counts and check.holds is None]
    return words | {
        "name": name,
        "number": [*CLAIMS, *QUESTIONS].index(name) + 1,
        "verdict": verdict(checks),
        "checks": [(check.holds, sentence(check)) for check in made if check.counts],
        "facts": [sentence(check) for check in made if not check.counts],
        "missing": len(missing),
        "needed": list(dict.fromkeys(study for of in missing for study in of)),
        "figures": [(figure.name, title(figure), svg(figure, names())) for figure in figures],
        "studies": claim.studies,
        "seconds": sum(rows.seconds(study) for study in claim.studies),
        "commands": [command_of(study) for study in claim.studies],
    }


def sentence(check: Check) -> str:
    """The text of the check, with its numbers."""
    values = {name: shown(value) for name, value in check.values.items()}
    text = texts()["checks"][check.text].format_map(THRESHOLDS | values)
    return text[0].upper() + text[1:]


class Count(float):
    """A number that may be infinite."""

    def __format__(self, form: str) -> str:
        return "never" if math.isinf(self) else float.__format__(self, form)


def shown(value: Any) -> Any:
    """The value with words for what has some."""
    if isinstance(value, str):
        return names().get(canonical(value), value)
    return Count(value) if isinstance(value, float) else value


@cache
def names() -> dict[str, str]:
    """Words for specs, tasks and columns."""
    models = {canonical(spec): words for spec, words in texts()["models"].items()}
    columns = texts()["columns"]
    return models | columns | {spec: columns[name] for spec, name in zip(SMOOTHNESS, ("rough", "smooth"), strict=True)}


def title(figure: Figure) -> str:
    return texts()["figures"].get(figure.name, figure.name)


def about(study: str, rows: Rows) -> dict[str, Any]:
    """A line of the table of rows."""
    mine = rows.studies.get(study, [])
    versions = [row["versions"] for row in mine]
    return {
        "name": study,
        "rows": len(mine),
        "here": sum(row["here"] for row in mine),
        "machines": sorted({version.get("processor", "unknown") for version in versions}),
        "minissm": sorted({version["minissm"] for version in versions}),
        "seconds": rows.seconds(study),
        "lacks": lacks(study, rows),
        "command": command_of(study),
    }


def command_of(study: str) -> str:
    return command(study) if study in STUDIES else NO_TRAINING[study][0]


def lacks(study: str, rows: Rows) -> str:
    """What a study lacks, in words; "" if nothing."""
    have = len(rows.studies.get(study, []))
    asked = runs(study) if study in STUDIES else NO_TRAINING[study][1]
    return "" if have >= asked else f"{have} of {asked} rows" if have else "no rows"
