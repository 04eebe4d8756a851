"""Call syntax, `name(option=value, ...)`: the spelling of blocks, models and tasks, and its parser.

The text is read with `ast` and never evaluated: an option is a literal.
"""

import ast
import warnings
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any


def shorten(text: str) -> str:
    """The text in quotes, cut at 80 characters."""
    return repr(text if len(text) <= 80 else text[:77] + "...")


def expression(text: str, who: str, example: str) -> ast.expr:
    """The text as a Python expression, else ValueError. example: a correct text, for the error."""
    if not isinstance(text, str):
        raise ValueError(f"{who}: {text!r} is no text; expected {example}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # some bad literals only cause a warning, "\d" for instance
            return ast.parse(text.strip(), mode="eval").body
    except (RecursionError, MemoryError):
        raise ValueError(f"{who}: {shorten(text)} is too long or too deep; give a shorter one") from None
    except (SyntaxError, ValueError, Warning):
        raise ValueError(f"{who}: can't read {shorten(text)}; expected {example}") from None


def terms(node: ast.expr) -> list[ast.expr]:
    """The terms of a sum, from left to right. Brackets don't matter."""
    waiting, operands = [node], []
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            waiting += [node.left, node.right]
        else:
            operands.append(node)
    return operands[::-1]


def read(node: ast.expr, text: str, who: str, expected: str) -> tuple[str, list, dict]:
    """A name or a call of literals -> (name, arguments, options)."""
    if isinstance(node, ast.Name):
        return node.id, [], {}
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise ValueError(f"{who}: can't read {shorten(text)}; expected {expected}")
    name, options = node.func.id, {}
    for k in node.keywords:
        if k.arg is None or k.arg in options:
            raise ValueError(f"{who}: {name}: option {k.arg or '**'} given twice in {shorten(text)}; give it once")
        options[k.arg] = k.value
    try:
        arguments = [ast.literal_eval(a) for a in node.args]
        return name, arguments, {k: ast.literal_eval(v) for k, v in options.items()}
    except (ValueError, TypeError, SyntaxError, RecursionError):
        wrong = f"{name}: an option in {shorten(text)} is not a plain value"
        raise ValueError(f"{who}: {wrong}; give numbers, strings or tuples") from None


def options_of(cls: Any) -> list[str]:
    """The names of a dataclass's options."""
    return [f.name for f in fields(cls) if f.init]


def check_options(name: str, options: dict, known: list[str]) -> None:
    """ValueError for an option that is not known."""
    for option in options:
        if option not in known:
            expected = f"one of {', '.join(known)}" if known else "none, it has no options"
            raise ValueError(f"{name}: unknown option {option!r}; expected {expected}")


def make(name: str, cls: Callable, options: dict, **fixed: Any) -> Any:
    """cls(**options), after a check of their names. fixed: fields that the name itself sets, like the 2 in fnn2."""
    check_options(name, options, [o for o in options_of(cls) if o not in fixed])
    return cls(**fixed, **options)


def differing(value: Any, *skip: str) -> dict:
    """The options of a dataclass that differ from their defaults. Fields with compare=False don't count."""
    options = {}
    for f in fields(value):
        default = f.default if f.default_factory is MISSING else f.default_factory()
        option = getattr(value, f.name)
        if f.init and f.compare and f.name not in skip and option != default:
            options[f.name] = option.item() if hasattr(option, "item") else option  # NumPy's 3 is no literal
    return options


def spell(name: str, options: dict) -> str:
    """`name`, or `name(option=value, ...)` where there are options."""
    return name + (f"({', '.join(f'{k}={v!r}' for k, v in options.items())})" if options else "")
