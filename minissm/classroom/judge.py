"""The verdict on one answer, from arrays alone: the kind of error in a sentence, never a correct number."""

import re
from typing import Any, NamedTuple

import numpy as np

from .exercise import Case, Exercise, P

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")
ADDRESS = re.compile(r"0x[0-9a-fA-F]{6,}")
UNANSWERED = {
    "time": "no answer within {seconds:g} seconds",
    "clock": "no answer: it waited, or the machine was busy, until the time ran out",
    "memory": "no answer: it asked for more than 1 GiB of memory",
    "size": "no answer: far more was returned than an answer can have",
}
ENDED = "no answer: the process ended, or what it sent can't be read"
ALONE = "; only NumPy and Python's standard library are available"
NEARLY = 1e-4  # gradients by differences and single precision are better than this, planted mistakes are not
SMALL = 64  # numbers, and entries along one axis, in an answer that has no expected shape


class Check(NamedTuple):
    """One line of the feedback."""

    title: str
    points: float
    earned: float
    kind: str  # ok, none, error, count, shape, dtype, finite, written, nearly, values, property, share
    text: str


def clean(text: str, most: int = 300) -> str:
    """Text of a stranger, fit for a terminal: no control character or direction mark, no address, short."""
    return CONTROL.sub("?", ADDRESS.sub("0x...", text[: 2 * most]))[:most]


def judge(exercise: Exercise, sheet: P, case: Case, answer: Any, right: list | str) -> tuple[str, str]:
    """-> kind, sentence. answer: of sandbox.call, not None. right: the solution's arrays."""
    if answer[0] == "error":
        text = clean(answer[1])
        return "error", text + (ALONE if text.startswith("ModuleNotFoundError") else "")
    arrays, names = answer[1], exercise.returns[case.function]
    if len(arrays) != len(names):
        were = "1 array is" if len(arrays) == 1 else f"{len(arrays)} arrays are"
        return "count", f"{were} returned; expected {len(names)}: {', '.join(names)}"
    if exercise.kind in ("catch", "make"):
        return _by_property(exercise, sheet, case, arrays) or (("ok", "") if answer[2] else WRITTEN)
    assert isinstance(right, list), f"{exercise.name}: the solution fails on {case.title}: {right}"
    for name, a, b in zip(names, arrays, right, strict=True):
        if a.shape != b.shape:
            return "shape", f"{name} has shape {a.shape}; expected {b.shape}"
        if a.dtype != b.dtype:
            return "dtype", f"{name} is {a.dtype}; expected {b.dtype}"
    if bad := [name for name, a in zip(names, arrays, strict=True) if not np.isfinite(a).all()]:
        return "finite", f"{bad[0]} has nan or inf"
    if not answer[2]:
        return WRITTEN
    errors = [error(a, b) for a, b in zip(arrays, right, strict=True)]
    wrong = [f"{n} ({_size(e)})" for n, e, b in zip(names, errors, right, strict=True) if e > tolerance(b)]
    if not wrong:
        return "ok", ""
    if max(errors) < NEARLY:
        return "nearly", f"nearly right: finite differences, or single precision somewhere? {', '.join(wrong)}"
    return "values", "wrong: " + ", ".join(wrong)


WRITTEN = "written", "an input was written to: work on a copy"


def _by_property(exercise: Exercise, sheet: P, case: Case, arrays: list) -> tuple[str, str] | None:
    """What is wrong with an answer that is small and has no expected shape."""
    most = exercise.module.get("MOST", SMALL)
    for name, a in zip(exercise.returns[case.function], arrays, strict=True):
        if a.dtype.kind not in "fciu":
            return "dtype", f"{name} is {a.dtype}; expected numbers"
        if not all(1 <= n <= SMALL for n in a.shape):
            return "shape", f"{name} has shape {a.shape}; expected 1 to {SMALL} entries along each axis"
        if not np.isfinite(a).all():
            return "finite", f"{name} has nan or inf"
    if (size := sum(a.size for a in arrays)) > most:
        return "shape", f"{size} numbers are returned; expected at most {most} in all"
    if (of := exercise.module.get("judge")) and (text := of(case.function, arrays, sheet)):
        return "property", text
    return None


def error(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference over the largest number. Entries that aren't finite must be so in both; otherwise inf."""
    finite = np.isfinite(a)
    if not np.array_equal(finite, np.isfinite(b)):
        return np.inf
    with np.errstate(all="ignore"):
        difference = np.abs(a - b)[finite].max(initial=0)
        return float(difference / max(np.abs(b)[finite].max(initial=0), 1e-300))


def tolerance(b: np.ndarray) -> float:
    """Relative to the largest entry. Finite differences reach 1e-10, other orders of summation stay below 2e-13."""
    return 2e-4 if b.dtype in (np.float32, np.complex64) else 1e-11


def _size(e: float) -> str:
    if e > 1:
        return "off by more than 100 %"
    return "off by 10 % or more" if e > 0.1 else f"off by less than {10 ** np.ceil(np.log10(e)) * 100:g} %"
