"""A call like that of the sandbox, in this process."""

from types import SimpleNamespace
from typing import Any

import numpy as np


def trusted(source: bytes, requests: list, seconds: float) -> Any:
    """Like sandbox.call, in this process: for sources of our own alone."""
    exec(compile(source, "solution", "exec"), space := {})  # type: ignore[var-annotated]
    answers: list[tuple] = []
    for function, arrays in requests:
        copies: list[Any] = [None if a is None else a.copy() for a in arrays]
        with np.errstate(all="ignore"):
            try:
                found = space[function](*copies)
            except Exception as error:
                answers.append(("error", f"{type(error).__name__}: {error}"))
                continue
        same = all(a is b or a.tobytes() == b.tobytes() for a, b in zip(arrays, copies, strict=True))
        answers.append(("ok", [np.asarray(a) for a in (found if isinstance(found, tuple) else (found,))], same))
    return SimpleNamespace(answers=answers, log="", ended="")
