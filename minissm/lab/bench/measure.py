"""The run: parts one after another (limits, growth, workloads on one core and on all), into one report."""

import math
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from importlib.metadata import version
from types import ModuleType
from typing import Any

from ... import backend
from ...progress import Progress
from ...train import keep_freed_memory
from .. import machine
from . import card, cores, memory, on_card, peers
from .case import Case, Method, errors
from .growth import growth
from .limits import limits
from .methods import CASES, methods_of, name_of, row
from .timing import Rounds, interleave

PARTS = (*CASES, "growth", "crossover")
FULL, ON_CARD, QUICK = Rounds(5, 25, 3.0), Rounds(5, 25, 1.5), Rounds(1, 12, 1.2)
LONGEST = {True: 8 * 1024, False: 64 * 1024}  # of growth; True: quick
FORCING = {
    "OPENBLAS_CORETYPE": "NumPy's products run by another kernel than this processor would get",
    "OPENBLAS_L2_SIZE": "NumPy's products are cut for another cache than this processor has",
    "MKL_ENABLE_INSTRUCTIONS": "torch's products run by another kernel than this processor would get",
    "MINISSM_REFERENCE": "minissm's fast paths (minissm/fast/) are off",
    "CUPY_TF32": "CuPy's products are of fewer digits than float32 has",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "torch's products are of fewer digits than float32 has",
    "NVIDIA_TF32_OVERRIDE": "whether products on the card are of fewer digits is decided for all libraries",
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
        gpu, others = self.backend == "cupy", [name for name in self.peers or () if name not in peers.ON_CARD]
        if gpu and self.threads is not None:
            raise ValueError("bench: --threads with --backend cupy; it has one pass, on the card: leave it away")
        if gpu and others and others[0] in peers.PEERS:
            raise ValueError(f"bench: {others[0]} runs on the processor alone; leave it out with --backend cupy")
        for part, place, why in (
            ("growth", "numpy", "it is of NumPy's memory"),
            ("crossover", "cupy", "it needs both"),
        ):
            if part in (self.only or ()) and self.backend != place:
                raise ValueError(f"bench: {part} with --backend {self.backend}; {why}: ask for --backend {place}")

    def wants(self, part: str) -> bool:
        return self.only is None or part in self.only


def measure(request: Request, show: bool = True, keep: Callable[[dict], None] = lambda report: None) -> dict[str, Any]:
    """The report. keep(report) is called after each part, so that nothing is lost with the machine.

    Ctrl-C ends it early, and so does an error: `interrupted` says after which part, `broke` by which error ("": none),
    and what was measured by then is there.
    """
    found, missing = peers.find(request.peers, request.backend)
    cupy = backend.cupy() if request.backend == "cupy" else None
    report = _heading(request) | {"peers": found, "missing": missing, "without_card": [], "device": None}
    report |= {"limits": [], "rows": [], "growth": [], "crossover": [], "lost": [], "interrupted": "", "broke": ""}
    if cupy:
        able = _with_card(found, report)
        report["device"] = card.device(cupy)
        work = list(on_card.work(request, cupy, CASES, able, _rounds(request), report["lost"]))
    else:
        work = list(_work(request, [peers.load(name) for name in found]))
    keep_freed_memory()
    with Progress(len(work), "bench", show) as bar:
        ended = "before the first part"
        try:
            for note, into, part in work:
                for line in part():
                    report[into].append(line)
                bar.update(1, note)
                ended = f"after {bar.done} of {len(work)} parts, the last of {note}"
                keep(report | {"interrupted": ended})
        except KeyboardInterrupt:
            report["interrupted"] = f"{ended}, by Ctrl-C or SIGTERM"
        except Exception as error:
            report["broke"] = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            report["interrupted"] = f"{ended}, by {report['broke']}"
    return report


def _with_card(found: dict[str, str], report: dict[str, Any]) -> list[ModuleType]:
    """The peers that can compute on a card. One that can't be imported, or asked, keeps nobody else from it."""
    able = []
    for name in found:
        lost = card.losing(report["lost"], "", "", name, "")
        with card.fitting(lost):
            peer = peers.load(name, "cupy")
            if peer.has_card():
                able.append(peer)
            else:
                report["without_card"].append(name)
    report["peers"] = {name: v for name, v in found.items() if name in {name_of(peer) for peer in able}}
    return able


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


def _rounds(request: Request) -> Rounds:
    return QUICK if request.quick else ON_CARD if request.backend == "cupy" else FULL


def _work(request: Request, found: Sequence[ModuleType]) -> Iterator[Part]:
    """(what it is, where its rows go, the rows) of every part: all on one core first, then all on several."""
    mine, rounds = cores.mine(), _rounds(request)
    several = mine[: request.threads or len(mine)]
    for used in [mine[-1:]] + ([several] if len(several) > 1 else []):  # the first has the system's interrupts

        def on(part: Callable[[], Iterator[dict]], used: list[int] = used) -> Callable[[], Iterator[dict]]:
            def rows() -> Iterator[dict]:
                with cores.using(used, found):
                    for line in part():
                        yield {"threads": len(used)} | line

            return rows

        first = len(used) == 1
        yield "limits", "limits", on(lambda: iter([limits(rounds)]))
        for workload, makers in CASES.items():
            shown = makers if first or not request.quick else makers[:1]
            for make in shown if request.wants(workload) else ():
                yield workload, "rows", on(partial(_case, request, make, found, first))
        if first and request.wants("growth"):
            yield "growth", "growth", on(lambda: growth(LONGEST[request.quick]))


def _case(request: Request, make: Callable[[], Case], found: Sequence[ModuleType], first: bool) -> Iterator[dict]:
    """A row a method. On one core errors and memory too: they don't change with the cores."""
    case = make()
    reference = case.reference() if first else ()
    methods = methods_of(case, "numpy", [m for m in found if first or not m.SERIAL])
    methods = [m for m in methods if first or m.owner != "limit"]  # what one core can do is no limit of two
    checked = {}
    for m in methods:  # the first call, in which a compiler compiles
        outputs = m.check()
        checked[m] = errors(case.part(outputs), reference) if first and outputs else (None, None)
        if m.check is not m.run:
            m.run()
    most = 2.0 if request.quick else math.inf  # seconds; quick repeats no longer ones for their memory
    times = interleave({m: m.run for m in methods}, _rounds(request))
    for m in methods:
        told = row(case, m, times[m], checked[m])
        if first and sum(times[m]) < most:
            told["bytes"] = _bytes(m)
        if first and case.workload == "W5" and m.owner == "minissm":
            told["allocated"] = _beside_y(case, m)
        yield told


def _beside_y(case: Case, m: Method) -> int:
    """Bytes that a run of steps takes, without the y of this step and of the last, which the caller holds."""
    return max(0, memory.of_numpy(m.run) - 2 * case.arrays["u"][0].nbytes)


def _bytes(m: Method) -> int | None:
    """By the process's high-water mark; without one, only NumPy's own memory can be told. A floor takes none."""
    if m.owner == "limit":
        return None
    measured = memory.of_process(m.run)
    return memory.of_numpy(m.run) if measured is None and m.owner == "minissm" else measured
