"""Grade a class: several at a time, each hand-in once. A grading that was interrupted continues."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from ..files import write_whole
from . import sandbox
from .collect import HandIn
from .course import Course
from .exercise import every
from .grade import Graded, grade
from .judge import Check

Results = dict[str, dict[str, Graded]]  # student -> exercise -> grading
DOUBTFUL = ("clock", "ended")  # a busy machine can be the reason: run once more, alone, before it counts


class Store:
    """Gradings in a folder, one file a hand-in. One counts if hand-in, course and isolation are the same."""

    def __init__(self, folder: Path, course: Course, assignment: int, isolation: str, again: bool = False) -> None:
        self.folder, self.again = folder, again
        owner, _, settings = course.fingerprint().partition("-")
        self.key = f"{settings} {isolation}"
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "course").exists():
            write_whole(folder / "course", lambda file: file.write(f"{owner} {assignment}".encode()))
        known, _, number = (folder / "course").read_text(errors="replace").partition(" ")
        if (known, number) != (owner, str(assignment)):
            other = f"are those of assignment {number:.9}" if known == owner else "were made with another secret"
            raise ValueError(
                f"course: the grades in {folder.parent} {other}; expected assignment {assignment} of {course.folder}; "
                "choose another --out"
            )

    def path(self, student: str, exercise: str) -> Path:
        return self.folder / (hashlib.sha256(f"{student}\n{exercise}".encode()).hexdigest()[:24] + ".json")

    def find(self, hand: HandIn) -> Graded | None:
        """The grading of this hand-in, if there is one."""
        try:
            stored = json.loads(self.path(hand.student, hand.exercise).read_bytes())
            if self.again or stored["of"] != self.of(hand):
                return None
            kept = stored["graded"]
            checks = tuple(Check(*check) for check in kept.pop("checks"))
            return Graded(checks=checks, mistakes=tuple(kept.pop("mistakes")), **kept)
        except (OSError, ValueError, KeyError, TypeError):  # none, or a damaged one: graded again
            return None

    def keep(self, hand: HandIn, graded: Graded) -> None:
        text = json.dumps({"of": self.of(hand), "graded": graded._asdict()})
        write_whole(self.path(hand.student, hand.exercise), lambda file: file.write(text.encode()))

    def of(self, hand: HandIn) -> str:
        return hashlib.sha256(f"{self.key} {hand.problem}\n".encode() + (hand.source or b"")).hexdigest()


def mark(
    course: Course,
    hands: Iterable[HandIn],
    store: Store,
    call: Callable[..., Any],
    jobs: int,
    done: Callable[[str, dict[str, Graded]], None],
) -> Results:
    """Grade all hand-ins.

    store: keeps each grading as soon as it is made
    call: call(source, requests, seconds=...) -> a sandbox.Reply
    jobs: hand-ins at a time
    done: called with a student and the gradings, as soon as all are there
    """
    of: dict[str, list[HandIn]] = {}
    for hand in hands:
        of.setdefault(hand.student, []).append(hand)
    results: Results = {}

    def fresh(hand: HandIn, alone: bool = False) -> Graded:
        graded = grade_one(course, hand, call)
        if alone or graded.stopped not in DOUBTFUL:
            store.keep(hand, graded)
        return graded

    def all_of(student: str) -> dict[str, Graded]:
        gradings = {}
        for hand in of[student]:
            if ending.is_set():
                raise CancelledError
            gradings[hand.exercise] = store.find(hand) or fresh(hand)
        return gradings

    doubtful, ending = {}, threading.Event()
    pool = ThreadPoolExecutor(jobs)
    try:
        futures = {pool.submit(all_of, student): student for student in of}
        for future in as_completed(futures):
            student, results[student] = futures[future], future.result()
            again = [h for h in of[student] if results[student][h.exercise].stopped in DOUBTFUL and not store.find(h)]
            doubtful[student] = again
            if not again:
                done(student, results[student])
    except KeyboardInterrupt:
        ending.set()
        sandbox.stop()  # what runs ends without a word, and isn't kept
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    for student in sorted(filter(doubtful.get, doubtful)):
        results[student] |= {hand.exercise: fresh(hand, alone=True) for hand in doubtful[student]}
        done(student, results[student])
    return {student: results[student] for student in sorted(results)}


def grade_one(course: Course, hand: HandIn, call: Callable[..., Any]) -> Graded:
    """The grading of one hand-in."""
    exercise = every()[hand.exercise]
    points = course.points[exercise.name]
    if hand.source is None:
        return Graded(exercise.name, (Check("the file", points, 0.0, "none", hand.problem),))
    sheet, rng = course.sheet(exercise.name, hand.student), course.generator(exercise.name, hand.student)
    try:
        return grade(exercise, sheet, rng, hand.source, call, course.seconds[exercise.name], points)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:  # one answer stops no class
        text = f"not graded: the grader failed on this answer ({type(error).__name__}); tell your instructor"
        return Graded(exercise.name, (Check("the grader", points, 0.0, "none", text),), stopped="grader")
