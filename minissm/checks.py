"""Argument checks: arrays against the shapes in a docstring, generators, numbers, and the fields of frozen dataclasses.

A check of a field converts it, so that equal settings print alike.
"""

import math
import numbers
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

import numpy as np

from .backend import is_numpy, namespace

INTEGERS = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
DTYPES = {
    "real": ("float32", "float64"),
    "complex": ("complex64", "complex128"),
    "floats": ("float32", "float64", "complex64", "complex128"),
    "integers": INTEGERS,
    "numbers": ("float32", "float64", "bool", *INTEGERS),
}
ITEM = re.compile(r"([\w.]+) ((?:\([^)]*\)|[^,(])+)")  # of a notation: "p.w (D, E)"
SHAPE = re.compile(r"\((.*?),?\)(?: (\w+))?")  # of an item: "(D, E)", "(D, N) complex"
SIZE = re.compile(r"(\d*)([A-Za-z]\w*|\.\.\.|)(?: \+ (\d+))?")  # of a shape: "D", "4H", "U + 1", "2", "..."
LEAST = ", each size 1 or more"
ANY = (1, "...", 0)
LARGEST = 10**15  # upper bound of every size: a larger one is a typing error


_trusting: ContextVar[bool] = ContextVar("trusting", default=False)


def trusting(f: Callable) -> Callable:
    """f without `check_arrays` inside: a model passes on what it checked. In a step, the checks would cost a third."""

    def trusted(*args: Any) -> Any:
        token = _trusting.set(True)
        try:
            return f(*args)
        finally:
            _trusting.reset(token)

    return trusted


def trusted() -> bool:
    """True inside `trusting`."""
    return _trusting.get()


def check_arrays(who: str, notation: str, *values: Any, always: bool = False) -> Any:
    """The library of the arrays; ValueError unless their shapes and dtypes are those of the notation.

    notation: "x (..., D), p.w (D, E), p.b (E,)", for the values x and p. A letter is a size, 1 or more, the same
        everywhere; `...` is any number of axes. A word after the shape is a key of DTYPES, "real" if left out. "or"
        joins alternatives. "None" is one, which allows a missing key too; "any" allows all but that. A last word
        "alike" asks for one dtype.
    always: look inside `trusting` too, at a state that came from outside.
    """
    if trusted() and not always and not isinstance(values[0], dict):
        return namespace(values[0])
    arrays: list = []
    kinds = [_kind(value, arrays) for value in values]
    xp, short, (i, last) = namespace(*arrays), kinds.copy(), _free(notation)
    if last is not None and type(kinds[i]) is tuple:
        short[i] = (kinds[i][0][-last:] if last else (), kinds[i][1])
    with suppress(ValueError):
        return _checked(xp, who, notation, tuple(short))
    return _checked(xp, who, notation, tuple(kinds))  # the error names the whole shape


@lru_cache(4096)
def _free(notation: str) -> tuple[int, int | None]:
    """Which value alone has the axes `...`, and how many axes follow them: a batch of another size is no other kind."""
    items, roots = _read(notation)
    name, texts = next(((n, t) for n, t in items.items() if t[0].startswith("(...")), ("", [""]))
    if notation.count("...") != 1 or name not in roots or len(texts) > 1:
        return 0, None
    return [*roots].index(name), texts[0].count(", ")


def _kind(value: Any, arrays: list) -> Any:
    """What is checked: (shape, dtype) of an array, which joins `arrays`; (pairs, type) of a tree; else the type."""
    if (dtype := getattr(value, "dtype", None)) is not None:
        arrays.append(value)
        return value.shape, dtype
    if isinstance(value, dict | list | tuple):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        return tuple([(key, _kind(child, arrays)) for key, child in pairs]), type(value).__name__
    return "None" if value is None else type(value).__name__


@lru_cache(4096)  # kinds alone decide, and a program has few
def _checked(xp: Any, who: str, notation: str, kinds: tuple) -> Any:
    """xp, after the checks. Dtypes of two libraries can't be compared: xp stands first."""
    items, roots = _read(notation)
    leaves = [leaf for pair in zip(roots, kinds, strict=True) for leaf in _leaves(*pair, items)]
    sizes: dict[str, Any] = {"": 1}
    for name, kind in {**dict.fromkeys(items, "missing"), **dict(leaves)}.items():
        fits = [fit for text in items.get(name, ()) if (fit := _fit(xp, text, kind, sizes))]
        if not fits:
            given, least = (
                (kind, "") if isinstance(kind, str) else (f"{kind[1]} {tuple(kind[0])}", LEAST * (0 in kind[0]))
            )
            expected = " or ".join(_known(text, sizes) for text in items.get(name, [f"{', '.join(items)} alone"]))
            raise ValueError(f"{who}: {name} is {given}; expected {expected}{least}")
        sizes = fits[0]
    dtypes = {kind[1]: f"{name} is {kind[1]}" for name, kind in leaves if not isinstance(kind, str)}
    if notation.endswith(" alike") and len(dtypes) > 1:
        raise ValueError(f"{who}: {', '.join(dtypes.values())}; expected one dtype, convert")
    return xp


@lru_cache(4096)
def _read(notation: str) -> tuple[dict, dict]:
    """-> {"p.w": ["(D, E)", ...]}, the alternatives of each item; {"x": None, "p": None}, the names of the values."""
    items = {name: text.removesuffix(" alike").split(" or ") for name, text in ITEM.findall(notation)}
    return items, dict.fromkeys(name.split(".")[0] for name in items)


@lru_cache(4096)
def _shape(xp: Any, text: str) -> tuple[list, set] | None:
    """ "(..., 4H) complex" -> its sizes [(1, "...", 0), (4, "H", 0)] and xp's dtypes; None for another text."""
    if not (item := SHAPE.fullmatch(text)):
        return None
    sizes = [SIZE.fullmatch(size).groups() for size in item[1].split(", ") if size]  # type: ignore[union-attr]
    dtypes = {xp.empty(0, dtype=getattr(xp, name)).dtype for name in DTYPES.get(item[2] or "real", (item[2],))}
    return [(int(f or 1), n, int(more or 0)) if n else (1, "", int(f) - 1) for f, n, more in sizes], dtypes


def _leaves(name: str, kind: Any, items: dict) -> list:
    """[("p.w", kind), ...] of a tree of which the notation names leaves."""
    if isinstance(kind, str) or not isinstance(kind[1], str):
        return [(name, kind)]
    if not any(item.startswith(f"{name}.") for item in items):
        return [(name, f"a {kind[1]}")]
    return [leaf for key, child in kind[0] for leaf in _leaves(f"{name}.{key}", child, items)]


def _fit(xp: Any, text: str, kind: Any, sizes: dict) -> dict | None:
    """The sizes, with those that this kind fixes; None where it isn't of the shape and the dtypes in the text."""
    expected = _shape(xp, text)
    if isinstance(kind, str) or not expected:
        return (
            sizes
            if kind == text or (kind, text) == ("missing", "None") or (text == "any" and kind != "missing")
            else None
        )
    shape, (dims, dtypes) = tuple(kind[0]), expected
    if ANY in dims and len(shape) >= len(dims) - 1:  # its axes count as one
        i, j = dims.index(ANY), dims.index(ANY) + len(shape) - len(dims) + 1
        shape = (*shape[:i], shape[i:j], *shape[j:])
    if len(shape) != len(dims) or kind[1] not in dtypes:
        return None
    sizes = dict(sizes)
    for (factor, letter, more), n in zip(dims, shape, strict=True):
        size, rest = (n, 0) if letter == "..." else divmod(n - more, factor)
        if letter not in sizes and letter != "..." and size < (0 if more else 1):
            return None
        if rest or sizes.setdefault(letter, size) != size:
            return None
    return sizes


def _known(text: str, sizes: dict) -> str:
    """The text, with the sizes that are known: "(D, E) = (5, E)"."""

    def number(size: re.Match) -> str:
        factor, letter, more = size.groups()
        if letter == "...":
            return ", ".join(map(str, sizes[letter])) if letter in sizes else letter
        return str(int(factor or 1) * sizes[letter] + int(more or 0)) if letter in sizes and size[0] else size[0]

    if "(" not in text:
        return text
    shape, word = text.rsplit(")", 1)[0], text.rsplit(")", 1)[1].strip() or "real"
    dtypes, known = DTYPES.get(word, (word,)), SIZE.sub(number, shape)
    same = f" = {known})" if known != shape else ""
    return f"{shape}){same} of {word if len(dtypes) > 2 else ' or '.join(dtypes)}"


def check_indices(who: str, name: str, index: Any, size: int) -> None:
    """ValueError for an index outside 0..size-1. NumPy alone: the host would wait for another device."""
    if is_numpy(namespace(index)) and index.size and not (index.min() >= 0 and index.max() < size):
        raise ValueError(f"{who}: {name} from {index.min()} to {index.max()}; expected 0..{size - 1}")


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
    number = math.nan
    with suppress(OverflowError):  # an integer beyond 1e308
        number = float(value) if isinstance(value, numbers.Real) and not isinstance(value, bool) else number
    if not holds(number):
        _refuse(who, name, value, expected)
    return number


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
    if value not in (True, False):
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
