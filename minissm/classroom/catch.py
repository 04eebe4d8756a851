"""The exercise "catch": which planted mistakes of another exercise a small input exposes."""

from typing import Any

import numpy as np

from .exercise import Exercise, P, every
from .judge import error

DIFFERS = 1e-6  # of the largest entry


def exposed(exercise: Exercise, sheet: P, arrays: list) -> set[str] | str:
    """The mistakes that these inputs expose, or why the right solution can't run on them.

    A mistake is exposed where its output differs from the right one, in shape or by 1e-6 of the largest entry.
    """
    other, function = every()[exercise.of], exercise.module["FUNCTION"]
    cases = [case.arrays for case in other.cases(np.random.default_rng(0), sheet) if case.function == function]
    inputs = []
    for name, a, *known in zip(exercise.returns["inputs"], arrays, *cases, strict=True):
        dtype = next(k.dtype for k in known if k is not None)
        if a.dtype.kind == "c" != dtype.kind:
            return f"{name} is complex; expected real numbers"
        inputs.append(a.astype(dtype))
    right = other.answer(sheet, function, inputs)
    if isinstance(right, str):
        return f"a correct {function} can't run on these inputs: look at their shapes"
    if not all(np.isfinite(a).all() for a in right):
        return f"a correct {function} overflows on these inputs"

    def differs(found: list | str) -> Any:
        return isinstance(found, str) or any(
            a.shape != b.shape or error(a, b) > DIFFERS for a, b in zip(found, right, strict=True)
        )

    planted = [m for m in other.mistakes if other.changes(sheet, m)]
    return {m for m in planted if differs(other.answer(sheet, function, inputs, [m]))}


def share(exercise: Exercise, sheet: P, arrays: list) -> tuple[float, str]:
    """-> the share of exposed mistakes, a sentence. A mistake that our own inputs don't expose doesn't count."""
    found = exposed(exercise, sheet, arrays)
    if isinstance(found, str):
        return 0.0, found
    known = exposed(exercise, sheet, exercise.answer(sheet, "inputs", []))  # type: ignore[arg-type]
    assert isinstance(known, set), known
    return len(found & known) / len(known), f"{len(found & known)} of {len(known)} planted mistakes are exposed"
