"""Tasks: data, loss and scores. A task draws batches from a generator, and doesn't depend on a model."""

from dataclasses import is_dataclass
from typing import Any

from .. import calls
from .copying import Copying as Copying, SelectiveCopying as SelectiveCopying
from .counting import most_frequent as most_frequent
from .lookup import InductionHeads as InductionHeads, Lookup as Lookup
from .presets import PRESETS as PRESETS
from .recall import Mqar as Mqar, Recall as Recall
from .selection import Selection as Selection
from .smooth import Regression as Regression, series_risks as series_risks
from .task import (
    Batch as Batch,
    RealTask as RealTask,
    Task as Task,
    TokenTask as TokenTask,
    _names,
    check_batch as check_batch,
)

TASKS: dict[str, type] = {
    "copying": Copying,
    "recall": Recall,
    "selective_copying": SelectiveCopying,
    "induction_heads": InductionHeads,
    "mqar": Mqar,
    "lookup": Lookup,
    "selection": Selection,
    "regression": Regression,
}
BUILT_IN = frozenset(TASKS)
_names.update({cls: name for name, cls in TASKS.items()})


def parse(spec: str) -> Any:
    """The task of a spec, "recall(pairs=8, values=8)" -> Recall(pairs=8, values=8), or of the name of a preset."""
    if isinstance(spec, str) and spec.strip() in PRESETS:
        spec = PRESETS[spec.strip()].spec
    node = calls.expression(spec, "task", "a call like recall(pairs=8)")
    known = f"one of {', '.join(TASKS)}"
    name, arguments, options = calls.read(node, spec, "task", f"{known}, with its options, or a preset")
    if name not in TASKS:
        raise ValueError(f"task: unknown task {calls.shorten(name)}; expected {known}")
    if arguments:
        raise ValueError(f"{name}: a value without a name in {calls.shorten(spec)}; write {name}(option=value)")
    return calls.make(name, TASKS[name], options)


def register(name: str, cls: type) -> None:
    """Give a task of your own a name, for specs and the command line. See minissm.register."""
    if name in BUILT_IN:
        raise ValueError(f"register: {name!r} is a task of minissm; choose another name")
    if not (isinstance(cls, type) and is_dataclass(cls)):
        raise ValueError(f"register: {name!r} is {cls!r}; expected a frozen dataclass of its options")
    fields_ = calls.options_of(cls)
    missing = [n for n in ("length", "baseline") if not hasattr(cls, n) and n not in fields_]
    if missing or not issubclass(cls, Task):
        lacks = f"no {' and no '.join(missing)}" if missing else "another base"
        raise ValueError(f"register: {name!r} has {lacks}; expected a TokenTask or RealTask with length and baseline")
    TASKS[name] = cls
    _names[cls] = name
