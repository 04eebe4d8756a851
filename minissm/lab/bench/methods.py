"""Which methods there are for a case, and what a report says of one that was timed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from types import ModuleType
from typing import Any

from ... import backend
from . import floor, floor_training, ours, training, workloads
from .case import Case, Method
from .timing import spread

CASES = {**workloads.CASES, "W7": training.CASES}
CARD = {**workloads.CARD, "W7": training.CARD}  # beside them, on a GPU
FLOORS = {**floor.METHODS, **floor_training.METHODS}


def methods_of(case: Case, place: str, found: Sequence[ModuleType]) -> list[Method]:
    """Ours, the default first; then the peers'; then the floor, of which only the time is asked."""
    return [m for _, make in by_owner(case, place, found) for m in make()]


def by_owner(case: Case, place: str, found: Sequence[ModuleType]) -> list[tuple[str, Callable[[], list[Method]]]]:
    """(owner, () -> its methods): making them moves the arrays of the case to the place where they compute."""
    makers: list[tuple[str, Callable[[], list[Method]]]] = [("minissm", partial(_ours, case, place))]
    makers += [(name_of(peer), partial(_theirs, replace(case, place=place), peer)) for peer in found]
    return [*makers, ("limit", partial(_floors, case))] if place == "numpy" else makers


def name_of(peer: ModuleType) -> str:
    return peer.__name__.split(".")[-1].strip("_")


def row(case: Case, m: Method, times: list[float], error: tuple) -> dict[str, Any]:
    """Of a report. error: of y, of the worst gradient."""
    return {
        "workload": case.workload,
        "case": case.name,
        "owner": m.owner,
        "method": m.name,
        "seconds": spread(times, case.calls),
        "error": dict(zip(("y", "gradient"), error, strict=True)),
        "bytes": None,
        "allocated": None,
    }


def _ours(case: Case, place: str) -> list[Method]:
    if case.workload == "W7":  # batches are drawn on the host
        more = case.more | {"params": backend.to(case.more["params"], place)}
        return training.ours(replace(case, more=more))
    return _named("minissm", ours.METHODS, replace(case, arrays=backend.to(case.arrays, place)))


def _theirs(case: Case, peer: ModuleType) -> list[Method]:
    if case.workload == "W7":
        return peer.TRAINING(case) if hasattr(peer, "TRAINING") else []
    return _named(name_of(peer), peer.METHODS, case)


def _floors(case: Case) -> list[Method]:
    return [Method(name, "limit", run, tuple) for name, run in FLOORS.get(case.workload, _none)(case)]


def _named(owner: str, table: dict, case: Case) -> list[Method]:
    return [Method(name, owner, run, run) for name, run in table.get(case.workload, _none)(case)]


def _none(case: Case) -> Iterator[Any]:
    return iter(())
