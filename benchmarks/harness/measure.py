"""The run: every case by every library, into a report of plain dicts and lists, which is the JSON file."""

import os
import platform
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from functools import partial
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from minissm import __version__, fast, gpu
from minissm.fast.layout import keep_freed_memory
from minissm.lab import machine, timing
from minissm.lab.timing import Rounds
from minissm.progress import Progress

from . import libraries
from .libraries import Library, Minissm, one_line
from .report import FRAMEWORKS, fastest, ratio

FULL, QUICK = Rounds(5, 25, 1.5), Rounds(1, 9, 0.4)
FAR = 2  # a method is slow if it takes more than this times the fastest of PyTorch and JAX
OURS = 3  # minimum of turns of minissm and of the bound: every speed-up and share depends on them
AT_ONCE = 8  # sequences that are checked where they are independent
FULL_UP = ("memoryerror", "out of memory", "resource_exhausted", "alloc_failed")  # Python and PyTorch, CUDA, XLA, cuFFT
FORCED = {
    "OPENBLAS_CORETYPE": "NumPy's products run by another kernel than this processor would get",
    "OPENBLAS_L2_SIZE": "NumPy's products are cut for another cache than this processor has",
    "MKL_ENABLE_INSTRUCTIONS": "PyTorch's products run by another kernel than this processor would get",
    "MINISSM_REFERENCE": "minissm's fast paths are off",
    "CUPY_TF32": "CuPy's products have fewer digits than float32",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "PyTorch's products have fewer digits than float32",
    "NVIDIA_TF32_OVERRIDE": "products of all libraries may have fewer digits than float32",
}


class Method(NamedTuple):
    """run: what is timed.  check: () -> output and gradients as the reference has them, where run returns others."""

    run: Callable[[], Any]
    check: Callable[[], tuple] | None = None


def workloads() -> dict[str, ModuleType]:
    """Every file of benchmarks/ that is not private."""
    names = sorted(path.stem for path in Path(__file__).parents[1].glob("[!_]*.py"))
    return {name: import_module(f"benchmarks.{name}") for name in names}


def measure(
    chosen: dict[str, ModuleType],
    backend: str = "numpy",
    quick: bool = False,
    keep: Callable[[dict], None] = lambda report: None,
    show: bool = True,
) -> dict[str, Any]:
    """The report. keep(report) is called after each case. Ctrl-C ends the run early: then `ended` says so."""
    cupy = gpu.cupy() if backend == "cupy" else None
    there, versions, absent = libraries.found(backend)
    libraries.forget_imports()
    goals = {} if cupy else {name: w.GOALS for name, w in chosen.items() if hasattr(w, "GOALS")}
    report = heading(backend, quick, versions, cupy) | {"absent": absent, "goals": goals}
    report |= {"rows": [], "failures": [], "ended": "early"}
    parts = list(plan(chosen, backend, quick))
    keep_freed_memory()
    with Progress(len(parts), "benchmarks", show) as bar:
        try:
            for name, case, passes in parts:
                names: dict[str, str] = {"workload": name, "case": title(case)}
                expected, skip = None, set[tuple[str, str]]()
                for cores in passes:
                    able = [library for library in there if library.cores is None or len(cores) <= library.cores]
                    with libraries.using(cores, able), survived(report["failures"], names):
                        run = Case(chosen[name], case, able, cupy, QUICK if quick else FULL, names, report["failures"])
                        first, expected = expected is None, expected or reference(chosen[name], run.data)
                        rows = list(run.rows(*expected, skip, memory=first))
                        report["rows"] += [{"threads": len(cores)} | row for row in rows]
                        skip = of_less_use(rows) if quick else skip
                keep(report)
                bar.update(1, name)
            report["ended"] = ""
        except KeyboardInterrupt:
            report["ended"] = "by Ctrl-C"
    keep(report)
    return report


def plan(chosen: dict[str, ModuleType], backend: str, quick: bool) -> Iterator[tuple[str, dict, list[list[int]]]]:
    """(workload, case, cores of each pass): one core, then all. quick: QUICK cases, or two; the first on all cores."""
    cores = libraries.own_cores()
    one, every = cores[-1:], cores  # the last core, as the first one serves the system's interrupts
    passes = [every] if backend == "cupy" or one == every else [one, every]
    for name, workload in chosen.items():
        cases = workload.CASES[: getattr(workload, "QUICK", 2) if quick else None]
        for case in [*cases, *(getattr(workload, "ON_CARD", []) if backend == "cupy" else [])]:
            yield name, case, passes[:1] if quick and case != cases[0] else passes


def of_less_use(rows: list[dict]) -> set[tuple[str, str]]:
    """(library, method) of what a quick run leaves out on all cores: bounds, and slow methods of PyTorch and JAX."""
    best = fastest(rows, FRAMEWORKS)
    slow = [row for row in rows if row["library"] in FRAMEWORKS and (ratio(row, best) or 0) > FAR]
    return {(row["library"], row["method"]) for row in [*slow, *(r for r in rows if r["library"] == "bound")]}


def heading(backend: str, quick: bool, versions: dict[str, str], cupy: Any) -> dict[str, Any]:
    """When, where and with what."""
    packages = {"minissm": __version__} | {name: version(name) for name in ("numpy", "scipy")}
    packages["python"] = platform.python_version()
    forced = [name for name in FORCED if os.environ.get(name, "") not in ("", "0")]
    return {
        "date": date.today().isoformat(),
        "quick": quick,
        "backend": backend,
        "device": gpu.card(cupy) if cupy else None,
        "processor": machine.processor(),
        "instructions": machine.instructions(),
        "cores": len(libraries.own_cores()),
        "blas": machine.blas(),
        "packages": packages | versions,
        "warnings": [f"{name}={os.environ[name]} is set: {FORCED[name]}" for name in forced],
    }


class Case:
    """One case of a workload. A method that fails, or does not fit into memory, is named and costs no other."""

    def __init__(
        self,
        workload: ModuleType,
        case: dict,
        able: Sequence[Library],
        cupy: Any,
        rounds: Rounds,
        names: dict[str, str],
        failures: list[dict],
    ) -> None:
        self.workload, self.able, self.cupy, self.rounds, self.names = workload, able, cupy, rounds, names
        self.survived = partial(survived, failures, names)
        self.data = workload.data(np.random.default_rng(0), **case)

    def rows(
        self, expected: tuple, step: int, skip: Set[tuple[str, str]] = frozenset(), memory: bool = True
    ) -> Iterator[dict]:
        """A row for each method that is not in skip.  expected, step: the results of `reference`."""
        made = {key: method for key, method in self.methods().items() if key not in skip}
        errors: dict[tuple[str, str], list[float]] = {}
        for key, method in made.items():  # the first call: a compiler compiles, tables are filled
            self.free()
            with self.survived(*key):
                if key[0] != "bound":
                    found = (method.check or method.run)()
                    errors[key] = [timing.error(x[::step] if step > 1 else x, y) for x, y in matched(found, expected)]
                    del found
                if method.check or key[0] == "bound":
                    method.run()
                errors.setdefault(key, [])
        times = self.times({key: made[key].run for key in errors})
        able = {library.name: library for library in self.able}
        calls = getattr(self.workload, "CALLS", 1)
        for (library, name), taken in times.items():
            row: dict[str, Any] = self.names | {"library": library, "method": name}
            row["seconds"] = timing.spread([t / calls for t in taken])
            of = errors[library, name]
            row["error"] = {"y": of[0] if of else None, "gradient": max(of[1:]) if len(of) > 1 else None}
            row["bytes"] = None
            if (
                memory and library in able and min(taken) < 4 * self.rounds.seconds
            ):  # longer calls are not repeated for it
                with self.survived(library, f"{name}, its memory"):
                    row["bytes"] = able[library].memory(made[library, name].run)
            yield row

    def methods(self) -> dict[tuple[str, str], Method]:
        """{(library, method): ...}, minissm's default first, the bound last."""
        made: dict[tuple[str, str], Any] = {}
        for library in self.able:
            if hasattr(self.workload, library.name):
                with self.survived(library.name):
                    methods = getattr(self.workload, library.name)(library.move(self.data))
                    made |= {(library.name, name): method for name, method in methods.items()}
        if hasattr(self.workload, "bound") and self.backend in getattr(self.workload, "BOUND_ON", ("numpy",)):
            with self.survived("bound"):
                bounds = self.workload.bound(Minissm("minissm", self.backend).move(self.data))
                made |= {("bound", name): run for name, run in bounds.items()}
        return {key: m if isinstance(m, Method) else Method(m) for key, m in made.items()}

    def times(self, runs: dict[tuple[str, str], Callable]) -> dict[tuple[str, str], list[float]]:
        """All in turn; where they fit on a GPU alone but not together, one after another."""
        ours = replace(self.rounds, least=max(OURS, self.rounds.least))
        rounds = {key: self.rounds if key[0] in libraries.PEERS else ours for key in runs}
        timed = partial(timing.interleave, rounds=rounds, timer=timing.by_events(self.cupy) if self.cupy else None)
        self.free()
        with self.survived("all", "in turn"):
            for run in runs.values() if self.cupy else ():
                run()  # memory that was given back is taken again outside of the times
            return timed(runs)
        times: dict[tuple[str, str], list[float]] = {}
        for key, run in runs.items():
            self.free()
            with self.survived(*key):
                run()
                times |= timed({key: run})
        return times

    @property
    def backend(self) -> str:
        return "cupy" if self.cupy else "numpy"

    def free(self) -> None:
        """On a GPU no library keeps memory that it doesn't use. Raises where the GPU no longer answers."""
        if self.cupy:
            timing.free(self.cupy)
            for library in self.able:
                library.free()


@contextmanager
def survived(failures: list[dict], names: dict[str, str], library: str = "", method: str = "") -> Iterator[None]:
    """An error inside ends here, as one sentence in the report."""
    try:
        yield
    except Exception as error:
        said = one_line(error)
        full = any(word in said.lower() for word in FULL_UP)
        why = f"not enough memory ({said})" if full else f"it failed ({said})"
        failures.append(names | {"library": library, "method": method, "why": why, "memory": full})


def title(case: dict[str, Any]) -> str:
    """{"batch": 8, "length": 64, "backward": False} -> "batch 8, length 64, forward alone"."""
    parts = [f"{name} {value}" for name, value in case.items() if not isinstance(value, bool | str)]
    texts = [value for value in case.values() if isinstance(value, str)]
    return ", ".join([*texts, *parts, *(["forward alone"] if case.get("backward") is False else [])])


def matched(found: tuple, expected: tuple) -> list[tuple]:
    if len(found) != len(expected):
        raise ValueError(f"{len(found)} results; the reference has {len(expected)}")
    return list(zip(found, expected, strict=True))


def reference(workload: ModuleType, data: dict[str, Any]) -> tuple[tuple, int]:
    """Output and gradients of the reference bodies in float64, of sequences [::step];  -> they, step.

    Where sequences share no array some of them are enough; where they do, gradients are sums over all. They are
    computed one sequence at a time: all at once would take gigabytes.
    """
    wide = in_float64(data)
    with fast.reference():
        if hasattr(workload, "reference"):
            return workload.reference(wide), 1
        shared = getattr(workload, "SHARED", ())
        batch = next(len(a) for name, a in wide.items() if name not in shared)
        step = 1 if shared else -(-batch // AT_ONCE)
        each = []
        for b in range(0, batch, step):
            one = {name: a if name in shared else a[b : b + 1] for name, a in wide.items()}
            each.append(next(iter(workload.minissm(one).values()))())
    sums = [False, *(name in shared for name in wide)]  # y, then a gradient for each array
    columns = zip(zip(*each, strict=True), sums, strict=False)
    return tuple(sum(xs) if summed else np.concatenate(xs) for xs, summed in columns), step


def in_float64(value: Any) -> Any:
    """Arrays in dicts and lists. The float32 numbers stay what they are."""
    if isinstance(value, dict):
        return {name: in_float64(a) for name, a in value.items()}
    if type(value) is list:
        return [in_float64(a) for a in value]
    return value.astype(np.result_type(value, np.float64)) if isinstance(value, np.ndarray) else value
