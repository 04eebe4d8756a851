"""Checks and verdicts. A verdict is never written down: it is computed from the rows, by THRESHOLDS and `verdict`."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from .rows import Rows

THRESHOLDS = {
    "solved": 0.95,
    "close": 0.02,
    "far": 2.0,
    "influence": 0.1,
    "patience": 2.0,
    "slope": 0.2,
    "falls": -0.5,
    "factor": 1.5,
    "plateau": 4.0,
    "matters": 0.05,
    "price": 1.5,
    "bits": 0.1,
    "on_source": 0.9,
}
VERDICTS = ("holds", "holds in part", "not seen here", "not measured here")


class Check(NamedTuple):
    """text: its name in texts.toml.  studies: where its rows come from.  holds: None if rows are missing.

    counts: False for a fact that is shown and no part of the verdict.
    """

    text: str
    studies: tuple[str, ...]
    holds: bool | None
    values: dict
    counts: bool = True


class Claim(NamedTuple):
    studies: tuple[str, ...]
    checks: Callable[[Rows], Iterable[Check]]


def verdict(checks: Iterable[Check]) -> str:
    """holds: every check with rows does; in part: some do; not seen: none does; not measured: no check has rows."""
    found = [check.holds for check in checks if check.counts and check.holds is not None]
    if not found:
        return "not measured here"
    return "holds" if all(found) else "holds in part" if any(found) else "not seen here"


def check(text: str, studies: str, holds: Callable[..., bool], **values: Any) -> Check:
    """holds: a function of the values by name, asked only if none is missing."""
    missing = any(value is None for value in values.values())
    return Check(text, tuple(studies.split()), None if missing else bool(holds(**values)), values)


def fact(text: str, studies: str, **values: Any) -> Check:
    return check(text, studies, lambda **_: True, **values)._replace(counts=False)
