"""Grade one hand-in of one exercise. Its code runs in `call` and returns arrays; the verdict is made here."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .catch import share
from .diagnose import Answered, Diagnosis, diagnose
from .exercise import Case, Exercise, P
from .judge import ENDED, UNANSWERED, Check, clean, judge


class Graded(NamedTuple):
    """The checks of one hand-in, and what an instructor wants to know about it."""

    exercise: str
    checks: tuple[Check, ...]
    mistakes: tuple[str, ...] = ()  # the planted mistakes that it looks like
    sheet: str = ""  # the conventions that its numbers follow, where they are another sheet's
    log: str = ""  # what it printed
    stopped: str = ""  # why it gave no answer: time, clock, memory, size, ended
    seconds: float = 0.0

    @property
    def score(self) -> float:
        return round(sum(check.earned for check in self.checks), 2)

    @property
    def most(self) -> float:
        return round(sum(check.points for check in self.checks), 2)


def grade(
    exercise: Exercise,
    sheet: P,
    rng: np.random.Generator,
    source: bytes,
    call: Callable[..., Any],
    seconds: float = 5.0,
    points: float | None = None,
) -> Graded:
    """Grade the source.

    sheet: the conventions and constants of the student
    rng: draws the hidden cases
    call: call(source, requests, seconds=...) -> a sandbox.Reply
    seconds: of CPU that the hand-in may use
    points: of the exercise in this course; None: its own
    """
    begun = time.monotonic()
    cases = _worth(exercise, sheet, exercise.cases(rng, sheet))
    reply = call(source, [(case.function, case.arrays) for case in cases], seconds=seconds)
    factor = (points or exercise.points) / sum(case.points for case in cases)
    answered, checks = [], []
    for case, answer in zip(cases, reply.answers, strict=True):
        worth, earned = factor * case.points, 0.0
        right: list | str = exercise.answer(sheet, case.function, case.arrays) if exercise.kind != "catch" else []
        if answer is None:
            kind, text = "none", UNANSWERED.get(reply.ended, ENDED).format(seconds=seconds)
        else:
            kind, text = judge(exercise, sheet, case, answer, right)
        if kind == "ok":
            earned = worth
            if exercise.kind == "catch":
                part, text = share(exercise, sheet, answer[1])
                kind, earned = "ok" if part == 1 else "share", part * worth
        answered.append(Answered(case, answer, right, kind))
        checks.append(Check(case.title, worth, earned, kind, text))
    found = diagnose(exercise, sheet, answered) if any(c.kind not in ("ok", "none") for c in checks) else Diagnosis()
    return Graded(
        exercise.name,
        tuple(_with(checks, found.text)),
        found.mistakes,
        exercise.words(found.sheet) if found.sheet else "",
        "\n".join(clean(line, 120) for line in reply.log.splitlines()[:20]),
        reply.ended,
        time.monotonic() - begun,
    )


def _worth(exercise: Exercise, sheet: P, cases: list[Case]) -> list[Case]:
    """The cases. In a repair, a case that the sheet passes as handed out has no points."""

    def passes(case: Case) -> bool:
        found = exercise.answer(sheet, case.function, case.arrays, sheet["planted"])
        right = exercise.answer(sheet, case.function, case.arrays)
        return judge(exercise, sheet, case, ("ok", found, True), right)[0] == "ok" if isinstance(found, list) else False

    return [c._replace(points=0) if passes(c) else c for c in cases] if "planted" in sheet else cases


def _with(checks: list[Check], text: str) -> list[Check]:
    """The diagnosis belongs to the first check that failed."""
    first = next((i for i, c in enumerate(checks) if c.kind not in ("ok", "none")), None)
    return [c._replace(text=c.text + text) if i == first else c for i, c in enumerate(checks)]
