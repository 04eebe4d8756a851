"""What is measured: a case of a workload (its numbers, the same for all), and the methods that compute it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = Any


@dataclass(frozen=True)
class Case:
    """arrays: what every method starts from, by name.  more: what else a workload needs (a model, a window).

    reference: () -> the right outputs in float64, y first and then the gradients.
    backward: whether the gradients are computed too.  alone: whether only they are timed, on a forward done before.
    part: outputs -> what of them the reference has.  calls: how often one run calls what is timed.
    place: of BACKENDS, where the peers' arrays shall be; ours are there already.
    """

    workload: str
    name: str
    arrays: dict[str, Array]
    reference: Callable[[], tuple] = field(repr=False)
    backward: bool = True
    alone: bool = False
    part: Callable[[tuple], tuple] = field(default=lambda outputs: outputs, repr=False)
    calls: int = 1
    place: str = "numpy"
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Method:
    """run: what is timed; it returns when the result is there.  check: () -> outputs as the reference has them."""

    name: str
    owner: str  # minissm, the name of a peer, or limit
    run: Callable[[], Any] = field(repr=False)
    check: Callable[[], tuple] = field(repr=False)


def errors(outputs: tuple, reference: tuple) -> tuple[float, float | None]:
    """max |x - ref| / max |ref| of y, and of the worst gradient (None where there is none)."""
    each = [error(x, r) for x, r in zip(outputs, reference, strict=True)]
    return each[0], max(each[1:]) if len(each) > 1 else None


def error(x: Array, reference: np.ndarray) -> float:
    """max |x - ref| / max |ref|; inf where x is not finite."""
    x = np.asarray(x.get() if hasattr(x, "get") else x.cpu() if hasattr(x, "cpu") else x)  # CuPy's, torch's, any
    if x.shape != reference.shape:
        raise ValueError(f"bench: a result of shape {x.shape}, the reference has {reference.shape}")
    largest = float(np.max(np.abs(x - reference)) / (np.max(np.abs(reference)) or 1.0))
    return largest if np.isfinite(largest) else float("inf")
