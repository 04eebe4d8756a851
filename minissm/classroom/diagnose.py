"""What a wrong answer looks like: the fewest planted mistakes with the same numbers, in this convention or another.

Matching single arrays names mistakes that aren't there. So a diagnosis must give the same answer (nan, shapes and
exceptions included) on the simplest failed check and on another, and fail no check that passed. Where nothing fits,
the sentence says which arrays are right.
"""

import itertools
from typing import Any, NamedTuple

import numpy as np

from .exercise import Case, Exercise, P
from .judge import error, tolerance

ALIKE = {True: 1e-3, False: 1e-6}  # in single precision, in double: of the largest entry
LARGE = 10_000  # numbers; a case with more says no more than the others, and a thousand diagnoses of it take minutes
COMPARED = ("error", "shape", "dtype", "finite", "values", "property")  # kinds of checks that a mistake can explain


class Answered(NamedTuple):
    """A case with its answer, and the verdict's kind."""

    case: Case
    answer: Any
    right: list | str
    kind: str


class Diagnosis(NamedTuple):
    mistakes: tuple[str, ...] = ()
    sheet: P | None = None  # another sheet, whose convention the numbers follow
    text: str = ""


def diagnose(exercise: Exercise, sheet: P, answered: list[Answered]) -> Diagnosis:
    """The diagnosis of what failed."""
    failed = [a for a in answered if a.kind in COMPARED]
    if not failed or exercise.kind == "catch":
        return Diagnosis()
    simplest = min(failed, key=_size)
    sheets = [sheet, *(dict(sheet) | v for v in exercise.variants if not v.items() <= sheet.items())]
    counts = (0, 1, 2) if _size(simplest) < LARGE else ()
    candidates = (
        (s, mistakes)
        for count in counts
        for s in sheets
        for mistakes in itertools.combinations(exercise.mistakes, count)
        if mistakes or s is not sheet
    )
    compared = [a for a in answered if a.kind in (*COMPARED, "ok") and _size(a) < LARGE]
    best, most = None, 0
    for s, mistakes in candidates:
        if _same(exercise, s, mistakes, simplest):
            alike = [_same(exercise, s, mistakes, a) for a in compared]
            # Of equal ones the first: fewer mistakes, and this convention before others.
            if sum(alike) > most and _fits(compared, alike, simplest.case.function):
                best, most = (s, mistakes), sum(alike)
            if most == len(compared):
                break
    if best:
        return _named(exercise, sheet, *best)
    return Diagnosis(text=_hint(exercise.returns[failed[0].case.function], failed[0]))


def _size(a: Answered) -> int:
    return sum(x.size for x in a.case.arrays if x is not None)


def _fits(compared: list[Answered], alike: list[bool], function: str) -> bool:
    """Whether all checks of this function that passed are alike, and two of those that failed, if there are two."""
    own = [(a.kind == "ok", same) for a, same in zip(compared, alike, strict=True) if a.case.function == function]
    failed = [same for passed, same in own if not passed]
    return all(same for passed, same in own if passed) and sum(failed) >= min(2, len(failed))


def _same(exercise: Exercise, sheet: P, mistakes: tuple[str, ...], a: Answered) -> bool:
    """Whether these mistakes give this answer."""
    if a.kind == "ok" and exercise.kind == "make":
        return True  # a property has many right answers
    found = exercise.answer(sheet, a.case.function, a.case.arrays, mistakes)
    if a.answer[0] == "error" or isinstance(found, str):
        return a.answer[0] == "error" and isinstance(found, str) and a.answer[1].split(" (line")[0] == found[:200]
    got = a.answer[1]
    if view := exercise.module.get("view"):
        with np.errstate(all="ignore"):
            got, found = view(a.case.function, got, sheet), view(a.case.function, found, sheet)
    return len(found) == len(got) and all(
        x.shape == y.shape and x.dtype == y.dtype and error(x, y) < ALIKE[y.dtype in (np.float32, np.complex64)]
        for x, y in zip(got, found, strict=True)
    )


def _named(exercise: Exercise, sheet: P, other: P, mistakes: tuple[str, ...]) -> Diagnosis:
    """The sentence. It doesn't say which mistake of a repair is left: to find it is the exercise."""
    own = [m for m in mistakes if m not in sheet.get("planted", ())]
    parts, left = list(own), len(mistakes) - len(own)
    if left:
        parts.append(f"{'both planted mistakes are' if left > 1 else 'one of the planted mistakes is'} still there")
    if differing := [c for c in exercise.choices if other[c] != sheet[c]]:
        own_words = ", and ".join(exercise.choices[c][sheet[c]] for c in differing)
        parts.append(f"another sheet's convention (yours: {own_words})")
    places = dict.fromkeys(place for m in own if (place := exercise.read(m)))
    read = f"; read {', and '.join(places)}" if places else ""
    return Diagnosis(mistakes, other if differing else None, f"; looks like: {'; and '.join(parts)}{read}")


def _hint(names: tuple[str, ...], a: Answered) -> str:
    """What can be said of values that no mistake gives."""
    if a.kind != "values":
        return ""
    fine = [n for n, x, y in zip(names, a.answer[1], a.right, strict=True) if error(x, y) <= tolerance(y)]
    answers = zip(names, a.answer[1], a.right, strict=True)
    for name, got, right in (one for one in answers if one[0] not in fine):
        for other, there in zip(names, a.right, strict=True):
            if got.shape == there.shape and error(got, there) <= tolerance(there):
                return f"; {name} is what {other} should be"
        if text := _pattern(got, right):
            return f"; {name} {text}"
    return f"; correct so far: {', '.join(fine)}" if fine else ""


@np.errstate(all="ignore")
def _pattern(got: np.ndarray, right: np.ndarray) -> str:
    """Zero, a factor, shifted, reversed, right up to an entry or after it; "" if it is none of these."""

    def fits(a: np.ndarray, b: np.ndarray) -> bool:
        return a.size > 1 and bool(np.abs(b).any()) and error(a, b) < 1e-9

    if not np.abs(got).any():
        return "is all zeros"
    if fits(got, -right):
        return "has the wrong sign"
    factor = np.vdot(right, got) / np.vdot(right, right)
    if factor and fits(got / factor, right):
        return "is right up to a constant factor"
    for axis, size in enumerate(right.shape):
        x, y = np.moveaxis(got, axis, 0), np.moveaxis(right, axis, 0)
        wrong = np.flatnonzero(np.abs(x - y).reshape(size, -1).max(1) > 1e-9 * np.abs(y).max())
        if size < 2 or not wrong.size:
            continue
        if fits(x[::-1], y):
            return f"is reversed along axis {axis}"
        if fits(x[1:], y[:-1]) or fits(x[:-1], y[1:]):
            return f"is shifted by one along axis {axis}"
        if wrong[0] > 0:
            return f"is correct only up to entry {wrong[0] - 1} along axis {axis}"
        if wrong[-1] < size - 1:
            return f"is correct only after entry {wrong[-1]} along axis {axis}"
    return ""
