"""A model is a sentence: `"ssm(poles=16) + fnn1"` and a tuple of blocks say the same thing.

The sentence is Python call syntax, read with `ast` and never evaluated. To add a word, add it to WORDS (a block of
its own) or to FILTER_WORDS (an Ssm with another filter).
"""

import ast
import re
import warnings
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from .attention import Attn
from .filters import FILTERS
from .layers import Fnn
from .lstm import Lstm
from .selective import S6
from .ssm import Ssm

WORDS: dict[str, Callable] = {"s6": S6, "attn": Attn, "lstm": Lstm}
FILTER_WORDS = {"ssm": "s4d", "trig": "trig", "fir": "fir"}  # word: the filter of its Ssm
DEPTH = re.compile(r"fnn([0-9]{1,3})")
KNOWN = ", ".join([*FILTER_WORDS, *WORDS, "fnn<depth> (fnn1, fnn2, ...)"])


def parse(sentence: str) -> tuple:
    """The blocks of a sentence: "ssm + fnn1" -> (Ssm(...), Fnn(depth=1))."""
    if not isinstance(sentence, str):
        raise ValueError(f"Model: {sentence!r} is no sentence; expected text like 'ssm + fnn1'")
    if not sentence.strip():
        raise ValueError(f"Model: the sentence is empty; expected words joined by +, from {KNOWN}")
    return tuple(_block(node, sentence) for node in _terms(_expression(sentence, "Model"), sentence))


def spell(blocks: tuple) -> str:
    """The canonical sentence of the blocks: only what differs from the defaults."""
    return " + ".join(_spell(block) for block in blocks)


def _expression(text: str, who: str) -> ast.expr:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what Python only warns of, like "\d", is no plain value either
            return ast.parse(text.strip(), mode="eval").body
    except (RecursionError, MemoryError):
        raise ValueError(f"{who}: {_short(text)} is too long or too deep; give fewer blocks") from None
    except (SyntaxError, ValueError, Warning):
        raise ValueError(f"{who}: can't read {_short(text)}; expected a call like ssm(poles=16) + fnn1") from None


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")


def _terms(node: ast.expr, sentence: str) -> list:
    """The terms of a sum, from left to right, whatever the brackets."""
    waiting, terms = [node], []
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            waiting += [node.left, node.right]
        else:
            terms.append(node)
    return terms[::-1]


def call(node: ast.expr, text: str, who: str) -> tuple[str, list, dict]:
    """A name or a call of literals -> (name, arguments, options)."""
    if isinstance(node, ast.Name):
        return node.id, [], {}
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise ValueError(f"{who}: can't read {_short(text)}; expected words joined by +, from {KNOWN}")
    name, options = node.func.id, {}
    try:
        arguments = [ast.literal_eval(a) for a in node.args]
        for k in node.keywords:
            if k.arg is None or k.arg in options:
                raise ValueError(f"{who}: {name}: option {k.arg or '**'} given twice in {_short(text)}; give it once")
            options[k.arg] = ast.literal_eval(k.value)
    except (ValueError, TypeError, SyntaxError, RecursionError) as error:
        if "given twice" in str(error):
            raise
        wrong = f"{name}: an option in {_short(text)} is not a plain value"
        raise ValueError(f"{who}: {wrong}; give numbers, strings or tuples") from None
    return name, arguments, options


def _block(node: ast.expr, sentence: str) -> Any:
    word, arguments, options = call(node, sentence, "Model")
    if arguments:
        raise ValueError(f"{word}: a value without a name in {_short(sentence)}; write {word}(option=value)")
    if depth := DEPTH.fullmatch(word):
        return _make(word, Fnn, options, depth=int(depth[1]))
    if word in WORDS:
        return _make(word, WORDS[word], options)
    if word not in FILTER_WORDS:
        raise ValueError(f"Model: unknown block {_short(word)} in {_short(sentence)}; expected one of {KNOWN}")
    return _filter_block(word, options)


def _filter_block(word: str, options: dict) -> Ssm:
    name = options.pop("filter", FILTER_WORDS[word])
    if not isinstance(name, str) or name not in FILTERS:
        raise ValueError(f"{word}: filter={name!r}; expected one of {', '.join(FILTERS)}")
    if word != "ssm" and name != FILTER_WORDS[word]:
        raise ValueError(f"{word}: filter={name!r}; {word} names its filter already, write ssm(filter={name!r})")
    of_filter = {k: options.pop(k) for k in list(options) if k in _options(FILTERS[name])}
    _known(word, options, [o for o in _options(Ssm) if o != "filter"] + _options(FILTERS[name]))
    return Ssm(filter=FILTERS[name](**of_filter), **options)


def _make(word: str, block: Callable, options: dict, **given: Any) -> Any:
    _known(word, options, [o for o in _options(block) if o not in given])
    return block(**given, **options)


def _options(cls: Any) -> list[str]:
    return [f.name for f in fields(cls)]


def _known(word: str, options: dict, known: list[str]) -> None:
    for option in options:
        if option not in known:
            expected = f"one of {', '.join(known)}" if known else "none, it has no options"
            raise ValueError(f"{word}: unknown option {option!r}; expected {expected}")


def _spell(block: Any) -> str:
    if type(block) is Fnn:
        return _call(f"fnn{block.depth}", _differing(block, Fnn(block.depth)))
    if type(block) is Ssm:
        for name, cls in FILTERS.items():
            if type(block.filter) is cls:
                word = next((w for w, of in FILTER_WORDS.items() if of == name), None)
                options = _differing(block.filter, cls()) | _differing(block, Ssm(filter=block.filter))
                return _call(word, options) if word else _call("ssm", {"filter": name} | options)
    for word, cls in WORDS.items():
        if type(block) is cls:
            return _call(word, _differing(block, cls()))
    remedy = "add one to minissm/spec.py to save or name such a model"
    raise ValueError(f"Model: no word spells the block {block!r}; {remedy}")


def _differing(value: Any, default: Any) -> dict:
    pairs = ((f.name, getattr(value, f.name), getattr(default, f.name)) for f in fields(value))
    return {name: v for name, v, d in pairs if v != d}


def _call(word: str, options: dict) -> str:
    return word + (f"({', '.join(f'{k}={v!r}' for k, v in options.items())})" if options else "")


def read_call(text: str, name: str) -> tuple[list, dict]:
    """`name(literal, option=literal)` -> (arguments, options); ValueError for anything else."""
    found, arguments, options = call(_expression(text, name), text, name)
    if found != name:
        raise ValueError(f"{name}: can't read {_short(text)}; expected {name}(...)")
    return arguments, options
