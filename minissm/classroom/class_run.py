"""`minissm course grade`: from what the platform collected to grades, feedback and a filled worksheet."""

import argparse
import os
from functools import cache
from pathlib import Path

from ..checks import check_integer
from ..files import shown
from ..progress import tell
from .collect import collect
from .course import read, roster
from .exercise import every
from .grade import Graded
from .isolation import isolated
from .judge import clean
from .marking import Store, mark
from .outputs import summary, write
from .worksheet import fill


def grade_class(a: argparse.Namespace) -> int:
    """Grade, write, and print what an instructor looks at. See command.py for the options."""
    jobs = check_integer("course", "--jobs", a.jobs)
    course, out = read(Path(a.dir)), Path(a.out)
    exercises, number = course.assignment(a.assignment), int(a.assignment)
    if (a.worksheet is None) != (a.column is None):
        raise ValueError("course: one of --worksheet and --column is given; expected both, or neither")
    students = roster(Path(a.roster), a.key) if a.roster else []
    if out.resolve().is_relative_to(Path(a.submissions).resolve()):
        raise ValueError(f"course: --out {shown(out)} is inside the submissions; give a folder beside them")
    hands, unclear = collect(a.submissions, exercises, students)
    if not hands:
        raise ValueError(f"course: {shown(a.submissions)} has no hand-in of a student: {unclear[0]}")
    if a.worksheet:  # before long work
        fill(a.worksheet, os.devnull, a.column, {hand.student: 0 for hand in hands}, a.key)
    call, kind, first = isolated(a.trust)
    try:
        store = Store(out / "graded", course, number, kind, a.again)
        tell(first)
        results = mark(course, hands, store, call, jobs, _show)
        write(str(out), results, course, number, first, {hand.student for hand in hands if hand.late})
        last = [f"grades: {out}/grades.csv   ({len(results)} students)"]
        if a.worksheet:
            scores = {s: round(sum(g.score for g in gradings.values()), 2) for s, gradings in results.items()}
            name = str(out / f"filled-{Path(a.worksheet).name}")
            count, missing = fill(a.worksheet, name, a.column, scores, a.key)
            lost = f"; not in it: {', '.join(missing)}" if missing else ""
            last.append(f"worksheet: {name}   ({count} rows filled{lost})")
    except KeyboardInterrupt:
        raise KeyboardInterrupt("finished gradings are kept; the same command continues") from None

    # Cached: each answer to another sheet is looked up among the sheets of the class.
    conventions = cache(lambda exercise, student: every()[exercise].words(course.sheet(exercise, student)))
    for line in (*unclear, *summary(results, hands, students, conventions)):
        tell(f"look at: {line}")
    tell("\n".join(last))
    return 0


def _show(student: str, gradings: dict[str, Graded]) -> None:
    """One line a student."""
    scores = "  ".join(f"{name} {g.score:g}/{g.most:g}" for name, g in gradings.items())
    seconds = sum(g.seconds for g in gradings.values())
    tell(f"{clean(student, 30):30} {scores}  {seconds:.1f} s")
