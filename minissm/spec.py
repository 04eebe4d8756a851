"""The spec of a model: `"ssm(poles=16) + fnn1"` and a tuple of blocks say the same thing.

BLOCKS is the one table of names. It lists filters too: the name of a filter means an `Ssm` with that filter.
"""

import re
from dataclasses import is_dataclass
from keyword import iskeyword
from typing import Any

from . import blocks, calls, tasks
from .attention import Attn
from .filters import Fir, S4d, Trig
from .layers import Fnn
from .lstm import Lstm
from .mean import Mean
from .selective import S6
from .ssm import Ssm

BLOCKS: dict[str, type] = {"ssm": S4d, "trig": Trig, "fir": Fir, "s6": S6, "lstm": Lstm, "attn": Attn, "mean": Mean}
BUILT_IN = frozenset(BLOCKS)
DEPTH = re.compile(r"fnn([0-9]{1,3})")
_names = {cls: name for name, cls in BLOCKS.items()}  # keeps a class that a later one replaced


class UnknownBlockError(ValueError):
    """A spec has a block that is not registered. name: the name of that block."""

    def __init__(self, name: str, spec: str) -> None:
        known = f"one of {known_blocks()}, or a block of your own after ms.register({calls.shorten(name)}, ...)"
        super().__init__(f"Model: unknown block {calls.shorten(name)} in {calls.shorten(spec)}; expected {known}")
        self.name = name


def known_blocks() -> str:
    return ", ".join([*BLOCKS, "fnn<depth> (fnn1, fnn2, ...)"])


def parse(spec: str) -> tuple:
    """The blocks of a spec: "ssm + fnn1" -> (Ssm(...), Fnn(depth=1)). ValueError where the spec has a mistake."""
    if isinstance(spec, str) and not spec.strip():
        raise ValueError(f"Model: the spec is empty; expected blocks joined by +, from {known_blocks()}")
    node = calls.expression(spec, "Model", "a call like ssm(poles=16) + fnn1")
    return tuple(_block(term, spec) for term in calls.terms(node))


def spell(members: tuple) -> str:
    """The canonical spec of the blocks, without the options that equal their defaults."""
    return " + ".join(_spell(block) for block in members)


def register(name: str, cls: type) -> None:
    """Register a name for your own block, filter or task. Specs, files and the command line then know it.

    name: its name in a spec, like "mean2". Names of built-in blocks and tasks are refused; your own may be replaced.
    cls: a frozen dataclass, whose fields are the options. A filter is spelled like a block: "lru(poles=4) + fnn1".

    ValueError where name or cls doesn't fit. A file stores the name and the options, never the class: register the
    class again before ms.load.
    """
    who = f"register: {name!r}"
    if not isinstance(name, str) or not name.isidentifier() or not name.isascii() or iskeyword(name):
        raise ValueError(f"{who}; expected a name like 'mean2', letters and digits")
    if not isinstance(cls, type) or not is_dataclass(cls):
        raise ValueError(f"{who}: {cls!r}; expected a class made with @dataclass(frozen=True)")
    if hasattr(cls, "batch"):
        tasks.register(name, cls)
        return
    if name in BUILT_IN or DEPTH.fullmatch(name):
        raise ValueError(f"{who} is a block of minissm; choose another name")
    if not is_filter(cls) and not (hasattr(cls, "init") and (hasattr(cls, "apply") or blocks.has_memory(cls))):
        raise ValueError(f"{who}: {cls.__name__} is no block, filter or task; see docs/howto/add-a-layer.md")
    if is_filter(cls) and "expand" in calls.options_of(cls):
        raise ValueError(f"{who}: its option expand is ssm's own; give it another name")
    BLOCKS[name] = cls
    _names[cls] = name


def is_filter(cls: type) -> bool:
    """True if instances of the class are called with parameters, like S4d's."""
    return any("__call__" in c.__dict__ for c in cls.__mro__)


def _block(node: Any, spec: str) -> Any:
    name, arguments, options = calls.read(node, spec, "Model", f"blocks joined by +, from {known_blocks()}")
    if arguments:
        raise ValueError(f"{name}: a value without a name in {calls.shorten(spec)}; write {name}(option=value)")
    if depth := DEPTH.fullmatch(name):
        return calls.make(name, Fnn, options, depth=int(depth[1]))
    if name not in BLOCKS:
        raise UnknownBlockError(name, spec)
    if not is_filter(BLOCKS[name]):
        return calls.make(name, BLOCKS[name], options)
    of_filter = calls.options_of(BLOCKS[name])
    of_ssm = [o for o in calls.options_of(Ssm) if o != "filter"]
    calls.check_options(name, options, of_ssm + of_filter)
    filter_ = BLOCKS[name](**{k: v for k, v in options.items() if k in of_filter})
    return Ssm(filter=filter_, **{k: v for k, v in options.items() if k in of_ssm})


def _spell(block: Any) -> str:
    if type(block) is Fnn:
        return calls.spell(f"fnn{block.depth}", calls.differing(block, "depth"))
    named = block.filter if type(block) is Ssm else block
    if type(named) not in _names:
        remedy = "call ms.register('name', ...) with its class first"
        raise ValueError(f"Model: no name spells the block {block!r}; {remedy}")
    options = calls.differing(named)
    if named is not block:
        options |= calls.differing(block, "filter")
    return calls.spell(_names[type(named)], options)
