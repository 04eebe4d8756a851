"""The self-test: solutions are accepted; planted mistakes and other sheets' solutions are rejected and named."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from ..progress import tell
from .exercise import Exercise, P, every
from .grade import Graded, grade


class Hand(NamedTuple):
    """A hand-in, and what the grader should say of it. mistakes: to be named; other: the sheet that it follows."""

    sheet: P
    source: str
    mistakes: tuple[str, ...] = ()
    other: str = ""

    @property
    def right(self) -> bool:
        return not self.mistakes and not self.other


def sheets(exercise: Exercise) -> list[P]:
    """A sheet in every variant, the library's included; three with other constants where there is one variant."""
    variants = exercise.variants if len(exercise.variants) > 1 else exercise.variants * 3
    return [exercise.draw(np.random.default_rng(i), variant=v) for i, v in enumerate(variants)]


def hands(exercise: Exercise, sheet: P) -> Iterator[Hand]:
    """The solution, each mistake, and the solution of each other convention."""
    yield Hand(sheet, exercise.solution(sheet))
    for mistake in exercise.mistakes:
        if exercise.changes(sheet, mistake):
            yield Hand(sheet, exercise.solution(sheet, [mistake]), (mistake,))
    if planted := sheet.get("planted"):
        yield Hand(sheet, exercise.stub(sheet), planted)
    if exercise.kind != "catch":
        for variant in exercise.variants:
            if not variant.items() <= sheet.items():
                other = dict(sheet) | variant
                yield Hand(sheet, exercise.solution(other), (), exercise.words(other))


def faults(exercise: Exercise) -> list[str]:
    """What is wrong with the source itself: replacements that do nothing, mistakes that no check tells apart."""
    found, drawn = [], sheets(exercise)
    for mistake, changes in exercise.mistakes.items():
        texts = [exercise.rendered(sheet) for sheet in drawn]
        for old in changes:
            if not any(old in text for text in texts):
                found.append(f"{exercise.name}: {mistake}: {old!r} is in no variant; expected a text of the solution")
        if not any(exercise.changes(sheet, mistake) for sheet in drawn):
            found.append(f"{exercise.name}: {mistake}: it changes nothing in any variant")
    if exercise.kind == "catch":
        return found
    alike = [list(exercise.mistakes)]  # groups that no sheet so far tells apart
    for sheet in drawn:
        groups = defaultdict(list)
        for i, mistake in ((i, mistake) for i, group in enumerate(alike) for mistake in group):
            groups[i, _numbers(exercise, sheet, mistake)].append(mistake)
        alike = [group for group in groups.values() if len(group) > 1]
    return found + [f"{exercise.name}: {m}: no check tells it from: {group[0]}" for group in alike for m in group[1:]]


def _numbers(exercise: Exercise, sheet: P, mistake: str) -> tuple:
    """What the mistake answers to all cases, as something to compare."""
    answers = [
        exercise.answer(sheet, case.function, case.arrays, [mistake])
        for case in exercise.cases(np.random.default_rng(1), sheet)
        if sum(a.size for a in case.arrays if a is not None) < 1000
    ]
    return tuple(a if isinstance(a, str) else tuple((x.dtype.str, x.tobytes()) for x in a) for a in answers)


def verdict(exercise: Exercise, hand: Hand, call: Callable[..., Any]) -> tuple[bool, bool, Graded]:
    """-> whether the verdict is right, whether a wrong hand-in is named, and the grading."""
    graded = grade(exercise, hand.sheet, np.random.default_rng(1), hand.source.encode(), call, 20)
    named = exercise.kind == "catch" or (graded.mistakes, graded.sheet) == (hand.mistakes, hand.other)
    return (graded.score == graded.most) == hand.right, hand.right or named, graded


def run(exercises: list[Exercise], call: Callable[..., Any], jobs: int) -> int:
    """Grade all hands of these exercises (none: of all), print each with its verdict. -> exit code."""
    chosen = exercises or list(every().values())
    todo = [(exercise, hand) for exercise in chosen for sheet in sheets(exercise) for hand in hands(exercise, sheet)]
    wrong = [fault for exercise in chosen for fault in faults(exercise)]
    named = rejected = 0
    pool = ThreadPoolExecutor(jobs)
    try:
        for (exercise, hand), (right, name, graded) in zip(
            todo, pool.map(lambda x: verdict(x[0], x[1], call), todo), strict=True
        ):
            what = "; and ".join(hand.mistakes) or hand.other or "solution"
            word = "ok" if right and name else "not named" if right else "WRONG VERDICT"
            tell(
                f"{word:13} {exercise.name}  {exercise.words(hand.sheet)}: {what}: {graded.score:g} of {graded.most:g}"
            )
            if not hand.right:
                rejected, named = rejected + 1, named + name
            if not right:
                wrong.append(what)
    finally:
        pool.shutdown(cancel_futures=True)
    for fault in wrong:
        tell(f"fault: {fault}")
    share = f"{named} of {rejected} wrong hand-ins named"
    tell(f"selftest: {len(todo)} hand-ins graded; {len(wrong)} wrong verdicts or sources; {share}")
    return int(bool(wrong))
