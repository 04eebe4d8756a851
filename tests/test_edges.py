"""The edges: what users trip over, one case a line: (name, call, expected). A report of a new one goes here.

expected is a value (a number, an array or a tree of them; dtypes and nan are compared too), or `refused("text")`: then
the call raises ValueError or TypeError, in one sentence that contains the text.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minissm as ms


class refused(str):  # noqa: N801
    """A part of the sentence in which the call is refused."""


def f4(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def f8(*values: float) -> np.ndarray:
    return np.array(values, np.float64)


Case = tuple[str, Callable[[], Any], Any]

# ---- huge and tiny numbers, masks, long memories

NUMBERS: list[Case] = []

# ---- shapes, dtypes, ranges

ARGUMENTS: list[Case] = []

# ---- options of a training and its surroundings

OPTIONS: list[Case] = []

# ---- files, streams, memory

FILES: list[Case] = []


def same(given: Any, expected: Any) -> None:
    """Equal to six digits in single precision, to twelve in double, with the dtypes of arrays."""
    given, expected = (list(ms.tree.named(tree)) for tree in (given, expected))
    assert [name for name, _ in given] == [name for name, _ in expected]
    for (name, a), (_, b) in zip(given, expected, strict=True):
        if isinstance(b, np.ndarray):
            assert a.dtype == b.dtype, name
        if a is None or b is None or isinstance(b, str | bool):
            assert a == b, name
        else:
            single = np.asarray(a).dtype in (np.float32, np.complex64)
            np.testing.assert_allclose(a, b, rtol=1e-6 if single else 1e-12, atol=0, err_msg=name)


@pytest.mark.parametrize(
    ("call", "expected"),
    [pytest.param(call, expected, id=name) for name, call, expected in [*NUMBERS, *ARGUMENTS, *OPTIONS, *FILES]],
)
def test_an_edge(call: Callable[[], Any], expected: Any) -> None:
    if not isinstance(expected, refused):
        same(call(), expected)
        return
    with pytest.raises((ValueError, TypeError)) as error:
        call()
    sentence = str(error.value)
    assert expected in sentence, sentence
    assert "\n" not in sentence, sentence
    assert len(sentence) <= 300, sentence
