"""The same workloads as a good user of another library writes them: one file a library, imported where it is there.

Each has `METHODS`, workload -> (case -> (name, run) one after another), where run() returns y and the gradients as the
case's reference has them; `threads(n)`, for the pools that it has of its own; `SERIAL`, whether it knows one core only.
"""

import importlib
import importlib.util
from importlib.metadata import version
from types import ModuleType

PEERS = ("torch", "jax", "numba")


def find(names: tuple[str, ...] | None) -> tuple[dict[str, str], list[str]]:
    """Of the peers asked for (None: all): the versions of those that are installed; the others."""
    asked = PEERS if names is None else names
    for name in asked:
        if name not in PEERS:
            raise ValueError(f"bench: unknown peer {name!r}; expected one of {', '.join(PEERS)}")
    there = [name for name in dict.fromkeys(asked) if importlib.util.find_spec(name) is not None]
    return {name: version(name) for name in there}, [name for name in dict.fromkeys(asked) if name not in there]


def load(name: str) -> ModuleType:
    try:
        return importlib.import_module(f".{name}_", __name__)
    except ImportError as error:
        raise RuntimeError(
            f"bench: {name} is installed but can't be imported ({error}); leave it out of --peers"
        ) from None
