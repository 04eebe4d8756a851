"""The run on a GPU: one pass, timed by events; what fails or doesn't fit is written down and the run goes on."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import ModuleType
from typing import Any

from . import card, crossover
from .case import Case, Method, errors
from .events import by_events
from .methods import CARD, by_owner, name_of, row
from .timing import Rounds, interleave

Part = tuple[str, str, Callable[[], Iterator[dict]]]


def work(
    request: Any, cupy: Any, cases: dict, found: Sequence[ModuleType], rounds: Rounds, lost: list
) -> Iterator[Part]:
    """As measure's: what a part is, where its rows go, the rows. lost: where goes what failed or did not fit.

    The cases are the CPU's and those that only a card is large enough for; a quick run has the first of a workload and
    those that have a goal, which stand first.
    """
    timed = by_events(cupy)

    def on(part: Callable[[], Iterator[dict]]) -> Callable[[], Iterator[dict]]:
        def rows() -> Iterator[dict]:
            card.free(cupy, found)
            yield from part()

        return rows

    def limits() -> Iterator[dict]:
        with card.fitting(card.losing(lost, "limits", "", "minissm", "")):
            yield {"threads": 1} | card.limits(cupy, rounds, timed)

    yield "limits", "limits", on(limits)
    for workload, makers in cases.items():
        large = CARD.get(workload, [])
        for make in [*makers[:1], *large[:2]] if request.quick else [*makers, *large]:
            if request.wants(workload):
                yield workload, "rows", on(partial(_case, cupy, make, found, rounds, lost))
    if request.wants("crossover"):
        size = crossover.QUICK if request.quick else crossover.FULL
        for D in size["widths"]:
            both = partial(crossover.crossover, ("numpy", "cupy"), lost=lost, **size | {"widths": (D,)})
            yield "crossover", "crossover", on(both)


def _case(
    cupy: Any, make: Callable[[], Case], found: Sequence[ModuleType], rounds: Rounds, lost: list
) -> Iterator[dict]:
    """A row a method that works and fits."""
    case = make()
    reference, losing = case.reference(), partial(card.losing, lost, case.workload, case.name)
    methods: list[Method] = []
    for owner, made in by_owner(case, "cupy", found):
        with card.fitting(losing(owner, "")):
            methods += made()
    checked, peers = {}, {name_of(peer): peer for peer in found}
    for m in methods:  # the first call, in which a compiler compiles
        card.free(cupy, found)
        with card.fitting(losing(m.owner, m.name)):
            error = errors(case.part(m.check()), reference)
            m.run()
            checked[m] = error
    times: dict[Method, list[float]] = {}
    card.free(cupy, found)
    with card.fitting(losing("all", "in turn")):
        for m in checked:  # what was given back is taken again, and plans are made: in nobody's time
            m.run()
        times = interleave({m: m.run for m in checked}, rounds, by_events(cupy))
    for m in () if times else checked:  # then one after another, beside the others' arrays alone
        card.free(cupy, found)
        with card.fitting(losing(m.owner, m.name)):
            m.run()
            times |= interleave({m: m.run}, rounds, by_events(cupy))
    for m, mine in times.items():
        told = {"threads": 1} | row(case, m, mine, checked[m])
        with card.fitting(losing(m.owner, f"{m.name}, its memory")):
            told["bytes"] = card.taken(cupy, m.run) if m.owner == "minissm" else _taken(peers[m.owner], m.run)
        yield told


def _taken(peer: ModuleType, run: Callable[[], Any]) -> int | None:
    return peer.taken(run) if hasattr(peer, "taken") else None
