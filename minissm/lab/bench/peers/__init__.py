"""The same workloads as a good user of another library writes them: one file a library, imported where it is there.

Each has `METHODS`, workload -> (case -> (name, run) one after another), where run() returns y and the gradients as the
case's reference has them; `threads(n)`, for the pools that it has of its own; `SERIAL`, whether it knows one core only.
Those of ON_CARD compute on a GPU too, where the case's place says so; they have `has_card()`, whether this installation
can, `free()`, which gives back what memory nobody uses, and `taken(run)`, if they can tell how much a call takes.
"""

import importlib
import importlib.util
import os
from importlib.metadata import version
from types import ModuleType

PEERS = ("torch", "jax", "numba")
ON_CARD = ("torch", "jax")


def find(names: tuple[str, ...] | None, place: str = "numpy") -> tuple[dict[str, str], list[str]]:
    """Of the peers asked for (None: all of this place): the versions of those that are installed; the others."""
    asked = (ON_CARD if place == "cupy" else PEERS) if names is None else names
    for name in asked:
        if name not in PEERS:
            raise ValueError(f"bench: unknown peer {name!r}; expected one of {', '.join(PEERS)}")
    there = [name for name in dict.fromkeys(asked) if importlib.util.find_spec(name) is not None]
    return {name: version(name) for name in there}, [name for name in dict.fromkeys(asked) if name not in there]


def load(name: str, place: str = "numpy") -> ModuleType:
    """JAX reads its settings once, at import: not to take most of the card at once, nor ever; or not to look at one."""
    if name == "jax":
        on_cpu, on_card = {"JAX_PLATFORMS": "cpu"}, {"PREALLOCATE": "false", "MEM_FRACTION": ".4"}
        settings = on_cpu if place == "numpy" else {f"XLA_PYTHON_CLIENT_{key}": v for key, v in on_card.items()}
        for key, value in settings.items():
            os.environ.setdefault(key, value)
    try:
        return importlib.import_module(f".{name}_", __name__)
    except Exception as error:  # a library of its own that is missing is an OSError, another's version anything
        said = " ".join(str(error).split())[:200]
        others = ",".join(other for other in PEERS if other != name)
        raise RuntimeError(
            f"bench: {name} is installed but can't be imported ({type(error).__name__}: {said}); install it anew, or "
            f"leave it out: --peers {others}"
        ) from None
