"""Argument checks of arrays: their shapes and dtypes are compared with those in a docstring.

    xp = check_arrays("linear", "x (..., D), p.w (D, E), p.b (E,)", x, p)

binds each letter to a size and returns the library of the arrays. An array that doesn't fit is a ValueError:
`linear: p.w is float32 (3, 4); expected (D, E) = (5, E) of float32 or float64`.
"""

import re
from collections.abc import Callable
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

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
    kinds = tuple([_kind(value, arrays) for value in values])
    return _checked(namespace(*arrays), who, notation, kinds)


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
            text = isinstance(kind, str)
            given, least = (kind, "") if text else (f"{kind[1]} {tuple(kind[0])}", LEAST * (0 in kind[0]))
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
        fits = kind in (text, "missing") if text == "None" else kind == text or (text == "any" and kind != "missing")
        return sizes if fits else None
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
