"""Argument checks: generators, numbers, names, and the fields of frozen dataclasses.

A check of a field converts it, so that equal settings print alike.
"""

import math
import numbers
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import numpy as np

LARGEST = 10**15  # upper bound of every size: a larger one is a typing error


def _refuse(who: str, name: str, value: Any, expected: str) -> None:
    text = repr(value)
    raise ValueError(f"{who}: {name}={text if len(text) <= 60 else text[:57] + '...'}; expected {expected}")


def check_integer(who: str, name: str, value: Any, minimum: int = 1, also: str = "") -> int:
    """The value as an int; 4.0 and NumPy's 4 become 4. ValueError unless it is an integer, `minimum` or more.

    also: the other values that the caller accepts, as text for the error.
    """
    wrong = isinstance(value, bool) or not isinstance(value, numbers.Real)
    wrong = wrong or not (isinstance(value, numbers.Integral) or math.isfinite(value))
    if wrong or value != int(value) or int(value) < minimum:
        _refuse(who, name, value, f"an integer, {minimum} or more{also}")
    if int(value) > LARGEST:
        _refuse(who, name, value, f"{LARGEST:,} at most")
    return int(value)


def check_number(who: str, name: str, value: Any, expected: str, holds: Callable[[float], bool]) -> float:
    """The value as a float; ValueError unless it is a real number for which holds(value) is true (never so for nan)."""
    if type(value) is float and holds(value):  # the ordinary case costs little
        return value
    real = math.nan
    with suppress(OverflowError):  # an integer beyond 1e308
        real = float(value) if isinstance(value, numbers.Real) and not isinstance(value, bool) else real
    if not holds(real):
        _refuse(who, name, value, expected)
    return real


def check_dtype(who: str, xp: Any, dtype: Any) -> Any:
    """The dtype in xp; ValueError unless it is float32 or float64, or the name of one."""
    name = getattr(dtype, "__name__", str(dtype)).rpartition(".")[2]
    return getattr(xp, check_choice(who, "dtype", name, ("float32", "float64")))


def check_generator(who: str, rng: Any) -> None:
    """TypeError unless rng is a NumPy generator. A seed, None and a RandomState are none."""
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"{who}: rng is of type {type(rng).__name__}; expected np.random.default_rng(seed)")


def check_draw(who: str, rng: Any, n: Any) -> int:
    """n as an int, after checks of what a task's batch is given."""
    check_generator(who, rng)
    return check_integer(who, "n", n)


def integer(owner: Any, who: str, name: str, minimum: int, optional: bool = False) -> None:
    """The field is an integer, at least `minimum`, or None where that is allowed."""
    value = getattr(owner, name)
    if value is not None or not optional:
        also = ", or None" if optional else ""
        object.__setattr__(owner, name, check_integer(who, name, value, minimum, also))


def integer_or_range(owner: Any, who: str, name: str) -> None:
    """The field is an integer, 1 or more, or a pair low <= high of such; two equal ones become one integer."""
    value = getattr(owner, name)
    pair = value if isinstance(value, list | tuple) else (value, value)
    if len(pair) != 2:
        _refuse(who, name, value, "an integer, or a pair (low, high)")
    low, high = (check_integer(who, name, v, also=", or a pair (low, high)") for v in pair)
    if low > high:
        _refuse(who, name, value, "low <= high")
    object.__setattr__(owner, name, (low, high) if low < high else low)


def number(owner: Any, who: str, name: str, expected: str, holds: Callable[[float], bool]) -> None:
    """The field is a number for which holds(number) is true; see `check_number`."""
    object.__setattr__(owner, name, check_number(who, name, getattr(owner, name), expected, holds))


def check_choice(who: str, name: str, value: Any, known: Iterable[str]) -> str:
    """The value as a str; ValueError unless it is one of the known names."""
    if not isinstance(value, str) or value not in known:
        _refuse(who, name, value, "one of " + ", ".join(known))
    return str(value)


def choice(owner: Any, who: str, name: str, known: Iterable[str]) -> None:
    """The field is one of the known names."""
    object.__setattr__(owner, name, check_choice(who, name, getattr(owner, name), known))


def flag(owner: Any, who: str, name: str) -> None:
    """The field is True or False."""
    value = getattr(owner, name)
    if getattr(value, "shape", ()) or value not in (True, False):
        _refuse(who, name, value, "True or False")
    object.__setattr__(owner, name, bool(value))


def _is_number(value: Any) -> bool:
    """Real, not nan, and not larger than LARGEST."""
    return isinstance(value, numbers.Real) and bool(abs(value) <= LARGEST)  # type: ignore[operator]


def interval(owner: Any, who: str, name: str) -> None:
    """The field is None or a pair 0 < low <= high of finite numbers."""
    value = getattr(owner, name)
    if value is None:
        return
    pair = tuple(value) if isinstance(value, list | tuple) else ()
    if len(pair) != 2 or not all(_is_number(v) for v in pair):
        _refuse(who, name, value, "a pair (low, high) of numbers, or None")
    low, high = float(pair[0]), float(pair[1])
    if not 0 < low <= high:
        _refuse(who, name, value, "0 < low <= high")
    object.__setattr__(owner, name, (low, high))


def fraction(owner: Any, who: str, name: str) -> None:
    """The field is None or a number from 0 to 1."""
    value = getattr(owner, name)
    if value is None:
        return
    if isinstance(value, bool) or not _is_number(value) or not 0 <= value <= 1:
        _refuse(who, name, value, "a number from 0 to 1, or None")
    object.__setattr__(owner, name, float(value))
