"""The run: parts one after another (limits, growth, workloads on one core and on all), into one report."""

import math
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from importlib.metadata import version
from types import ModuleType
from typing import Any

from ... import backend
from ...progress import Progress
from ...train import keep_freed_memory
from .. import machine
from . import cores, floor, floor_training, memory, ours, peers, training, workloads
from .case import Case, Method, errors
from .growth import growth
from .limits import limits
from .timing import Rounds, interleave, spread

CASES = {**workloads.CASES, "W7": training.CASES}
FLOORS = {**floor.METHODS, **floor_training.METHODS}
PARTS = (*CASES, "growth")
FULL, QUICK = Rounds(5, 25, 3.0), Rounds(1, 12, 1.2)
LONGEST = {True: 8 * 1024, False: 64 * 1024}  # of growth; True: quick
FORCING = {
    "OPENBLAS_CORETYPE": "NumPy's products run by another kernel than this processor would get",
    "OPENBLAS_L2_SIZE": "NumPy's products are cut for another cache than this processor has",
    "MKL_ENABLE_INSTRUCTIONS": "torch's products run by another kernel than this processor would get",
    "MINISSM_PLAIN": "minissm's second bodies (minissm/fast/) are off",
}


@dataclass(frozen=True)
class Request:
    """only: of PARTS (None: all).  peers: by name (None: all that are installed).  threads: of the second pass."""

    quick: bool = False
    only: tuple[str, ...] | None = None
    backend: str = "numpy"
    peers: tuple[str, ...] | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        for name in self.only or ():
            if name not in PARTS:
                raise ValueError(f"bench: unknown workload {name!r}; expected one of {', '.join(PARTS)}")
        if self.backend not in backend.BACKENDS:
            raise ValueError(f"bench: backend {self.backend!r}; expected one of {', '.join(backend.BACKENDS)}")
        if self.backend == "cupy" and self.peers:
            raise ValueError(
                "bench: --peers with --backend cupy; the peers run on the processor, leave one of them away"
            )

    def wants(self, part: str) -> bool:
        return self.only is None or part in self.only


def measure(request: Request, show: bool = True) -> dict[str, Any]:
    """The report. Ctrl-C ends it early: `interrupted` says so, and what was measured by then is there."""
    asked = () if request.backend == "cupy" else request.peers
    found, missing = peers.find(asked)
    if request.backend == "cupy":
        backend.cupy()
    keep_freed_memory()
    report = _heading(request) | {"peers": found, "missing": missing}
    report |= {"limits": [], "rows": [], "growth": [], "interrupted": ""}
    work = list(_work(request, [peers.load(name) for name in found]))
    with Progress(len(work), "bench", show) as bar:
        try:
            for note, into, part in work:
                for row in part():
                    report[into].append(row)
                bar.update(1, note)
        except KeyboardInterrupt:
            report["interrupted"] = f"after {bar.done} of {len(work)} parts"
    return report


def _heading(request: Request) -> dict[str, Any]:
    forced = [name for name in FORCING if os.environ.get(name, "") not in ("", "0")]
    packages = {name: version(name) for name in ("minissm", "numpy", "scipy")} | {"python": platform.python_version()}
    return {
        "date": date.today().isoformat(),
        "quick": request.quick,
        "backend": request.backend,
        "processor": machine.processor(),
        "vendor": machine.vendor(),
        "cores": len(cores.mine()),
        "blas": machine.blas(),
        "packages": packages,
        "warnings": [f"{name}={os.environ[name]} is set: {FORCING[name]}" for name in forced],
    }


Part = tuple[str, str, Callable[[], Iterator[dict]]]


def _work(request: Request, found: Sequence[ModuleType]) -> Iterator[Part]:
    """(what it is, where its rows go, the rows) of every part: all on one core first, then all on several."""
    mine, rounds = cores.mine(), QUICK if request.quick else FULL
    several = mine[: request.threads or len(mine)]
    for used in [mine[-1:]] + ([several] if len(several) > 1 else []):  # the first has the system's interrupts

        def on(part: Callable[[], Iterator[dict]], used: list[int] = used) -> Callable[[], Iterator[dict]]:
            def rows() -> Iterator[dict]:
                with cores.using(used, found):
                    for row in part():
                        yield {"threads": len(used)} | row

            return rows

        first = len(used) == 1
        yield "limits", "limits", on(lambda: iter([limits(rounds)]))
        for workload, makers in CASES.items():
            shown = makers if first or not request.quick else makers[:1]
            for make in shown if request.wants(workload) else ():
                yield workload, "rows", on(partial(_case, request, make, found, first))
        if first and request.wants("growth") and request.backend == "numpy":
            yield "growth", "growth", on(lambda: growth(LONGEST[request.quick]))


def _case(request: Request, make: Callable[[], Case], found: Sequence[ModuleType], first: bool) -> Iterator[dict]:
    """A row a method. On one core errors and memory too: they don't change with the cores."""
    case = make()
    reference = case.reference() if first else ()
    methods = methods_of(case, request.backend, [m for m in found if first or not m.SERIAL])
    methods = [m for m in methods if first or m.owner != "limit"]  # what one core can do is no limit of two
    checked = {}
    for m in methods:  # the first call, in which a compiler compiles
        outputs = m.check()
        checked[m] = errors(outputs, reference) if first and outputs else (None, None)
        if m.check is not m.run:
            m.run()
    most = 2.0 if request.quick else math.inf  # seconds; quick repeats no longer ones for their memory
    finish = backend.cupy().cuda.get_current_stream().synchronize if request.backend == "cupy" else lambda: None
    times = interleave({m: m.run for m in methods}, QUICK if request.quick else FULL, finish=finish)
    for m in methods:
        error_y, error_gradient = checked[m]
        yield {
            "workload": case.workload,
            "case": case.name,
            "owner": m.owner,
            "method": m.name,
            "seconds": spread(times[m], case.calls),
            "error": {"y": error_y, "gradient": error_gradient},
            "bytes": _bytes(m) if first and request.backend == "numpy" and sum(times[m]) < most else None,
            "allocated": _beside_y(case, m) if first and case.workload == "W5" and m.owner == "minissm" else None,
        }


def methods_of(case: Case, place: str, found: Sequence[ModuleType]) -> list[Method]:
    """Ours, the default first; then the peers'; then the floor, of which only the time is asked."""
    here = replace(case, arrays=backend.to(case.arrays, place), more=_moved(case.more, place))
    if case.workload == "W7":
        methods = training.ours(here) + [m for peer in found if hasattr(peer, "TRAINING") for m in peer.TRAINING(case)]
    else:
        makers = [("minissm", ours.METHODS, here)]
        makers += [(peer.__name__.split(".")[-1].strip("_"), peer.METHODS, case) for peer in found]
        methods = [Method(n, o, r, r) for o, table, c in makers for n, r in table.get(case.workload, _none)(c)]
    floors = FLOORS.get(case.workload, _none)(case) if place == "numpy" else ()
    return methods + [Method(name, "limit", run, tuple) for name, run in floors]


def _none(case: Case) -> Iterator[Any]:
    return iter(())


def _moved(more: dict, place: str) -> dict:
    return more | {"params": backend.to(more["params"], place)} if "params" in more else more


def _beside_y(case: Case, m: Method) -> int:
    """Bytes that a run of steps takes, without the y of this step and of the last, which the caller holds."""
    return max(0, memory.of_numpy(m.run) - 2 * case.arrays["u"][0].nbytes)


def _bytes(m: Method) -> int | None:
    """By the process's high-water mark; without one, only NumPy's own memory can be told. A floor takes none."""
    if m.owner == "limit":
        return None
    measured = memory.of_process(m.run)
    return memory.of_numpy(m.run) if measured is None and m.owner == "minissm" else measured
