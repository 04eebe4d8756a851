"""`minissm bench --backend cupy` without a card: a stand-in made of NumPy (fake_cupy.py) goes through all of it.

What is tested is the arithmetic, the words and the files. No figure of it is a GPU's, and its name says so.
"""

import json
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from minissm import fast
from minissm.cli import main
from minissm.lab.bench import (
    card,
    crossover,
    document,
    events,
    goals,
    measure,
    methods,
    on_card,
    peers,
    table,
    training,
    workloads,
)
from minissm.lab.bench.timing import Rounds, interleave
from minissm.lab.budget import model_for
from minissm.tasks import copying

from . import fake_cupy
from .test_bench import report, row

SEVEN = ("W7", "ssm, B 64, L 4096, width 256")
FORWARD, BACKWARD = goals.COPIED


@pytest.fixture
def fake(monkeypatch):
    """A card that isn't there; small cases, one large only in name; no peer."""
    task = copying(2, 5)
    net = model_for("ssm + fnn1", task, 6)
    small = {
        "W1": [lambda: workloads.lti(2, 7, 3, 2), lambda: workloads.lti(1, 5, 3, 2)],
        "W3": [lambda: workloads.recurrence(2, 7, 3)],
        "W5": [lambda: workloads.step(2, 3, 2)],
        "W7": [lambda: training.case("ssm", net, task, 5, 10)],
    }
    large = {
        "W3": [lambda way=way: workloads.recurrence(3, 9, 2, way, few=1) for way in ("forward", "backward", "both")],
        "W7": [lambda: training.case("ssm, large", net, task, 5, 10, few=2)],
    }
    monkeypatch.setattr(measure, "CASES", small)
    monkeypatch.setattr(on_card, "CARD", large)
    monkeypatch.setattr(measure, "QUICK", Rounds(1, 2, 0.0))
    monkeypatch.setattr(card.limits, "__defaults__", (64,))
    monkeypatch.setattr(crossover, "QUICK", {"lengths": (4, 16), "widths": (2, 3), "rounds": Rounds(1, 1, 0.0)})
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(card.shutil, "which", lambda name: None)
    monkeypatch.setattr(card, "gc", SimpleNamespace(collect=lambda: None))  # of a whole suite's objects it takes long
    return fake_cupy.install(monkeypatch)


def of_card(rows, **more):
    """A report of a card."""
    device = {"name": "NVIDIA X1", "memory": 80_000_000_000, "compute_capability": "9.0", "driver": "1.2"}
    device |= {"runtime": "13.0", "cupy": "14"}
    held = {
        "device": device,
        "without_card": [],
        "lost": [],
        "crossover": [],
        "limits": [{"threads": 1, **dict.fromkeys(card.UNITS, 1000.0)}],
    }
    return report(rows, **held | more)


def lost(case, why="not enough memory (it is full)"):
    return {"workload": case[0], "case": case[1], "owner": "minissm", "method": "", "why": why}


def test_a_time_between_events_is_the_mean_of_the_calls_of_a_turn():
    now, marks = [0.0], []

    class Event:
        def record(self, stream):
            assert stream == "the current one"
            self.at = now[0]

        def synchronize(self):
            marks.append(self.at)

    class Device:
        def synchronize(self):
            marks.append("idle")

    cuda = ModuleType("cuda")
    cuda.Event, cuda.Device, cuda.get_current_stream = Event, Device, lambda: "the current one"
    cuda.get_elapsed_time = lambda start, end: 1e3 * (end.at - start.at)  # CUDA's are milliseconds
    cupy = ModuleType("cupy")
    cupy.cuda = cuda

    def run():
        now[0] += 0.003

    times = interleave({"a": run}, Rounds(3, 3, 0.0), events.by_events(cupy), sleep=lambda seconds: None)
    assert times["a"] == pytest.approx([0.003] * 3)
    assert marks == ["idle", pytest.approx(0.003), "idle", pytest.approx(0.012), "idle", pytest.approx(0.021)]


def test_the_whole_way_from_the_command_to_the_pages(fake, tmp_path, capsys):
    paths = [tmp_path / "r.json", tmp_path / "r.html"]
    arguments = ["bench", "--backend", "cupy", "--quick", "--json", str(paths[0]), "--html", str(paths[1])]
    assert main(arguments) == 0
    told, held = capsys.readouterr().out, json.loads(paths[0].read_text())
    assert told.rstrip() == table.text(held)
    assert held["device"] == {
        "name": fake_cupy.NAME,
        "memory": 8_000_000_000,
        "compute_capability": "9.0",
        "driver": "up to CUDA 13.0",
        "runtime": "12.8",
        "cupy": "0.fake",
    }
    assert "FAKE card" in told.splitlines()[0]
    assert f"<h1>minissm bench: {fake_cupy.NAME}</h1>" in paths[1].read_text()
    assert [(r["workload"], r["case"]) for r in held["rows"] if r["method"] != "fft"] == [
        ("W1", "B 2, L 7"),
        ("W3", "(2, 7, 3)"),
        ("W3", "(3, 9, 2) forward"),
        ("W3", "(3, 9, 2) backward"),
        ("W5", "B 2"),
        ("W7", "ssm"),
        ("W7", "ssm, large"),
    ]
    assert all(max(e for e in r["error"].values() if e is not None) < 1e-4 for r in held["rows"])
    assert all(r["bytes"] == 0 for r in held["rows"])  # as its pool says
    assert set(held["limits"][0]) == {"threads", *card.UNITS}
    assert held["growth"] == []
    assert "Times on the card, median (quartiles):" in told
    assert "What this card can do:" in told
    assert paths[1].read_text().count("<svg") == 1  # the crossover; no peer, no ratio
    held["quick"] = False
    path = tmp_path / f"bench-{document.slug(fake_cupy.NAME)}.json"
    paths[0].unlink()
    path.write_text(json.dumps(held))
    section = document.page(f"{document.MEASURED}\n", tmp_path)
    assert f"## {fake_cupy.NAME}\n" in section
    assert "What the card can do:" in section
    assert table.CROSSOVER in section


def test_a_full_run_has_all_cases_and_some_are_left_out_when_asked(fake):
    asked = {"only": ("W3", "crossover"), "backend": "cupy"}
    work = on_card.work(measure.Request(**asked), fake, measure.CASES, [], Rounds(1, 1, 0.0), [])
    assert [part[0] for part in work] == ["limits", *["W3"] * 4, *["crossover"] * 3]
    work = on_card.work(measure.Request(quick=True, **asked), fake, measure.CASES, [], Rounds(1, 1, 0.0), [])
    assert [part[0] for part in work] == ["limits", *["W3"] * 3, *["crossover"] * 2]


def test_the_cases_of_a_card_are_those_of_its_goals():
    """By their names; the arrays of the scans would be gigabytes."""
    assert [c.replace("1", "2") for _, c in goals.COPIED] == [
        workloads.recurrence(2, 2, 2, way).name.replace("(2, 2, 2)", "(26, 4096, 2024)")
        for way in ("forward", "backward")
    ]
    assert len(methods.CARD["W3"]) == 4
    wide = training.wide()
    assert (wide.workload, wide.name) == SEVEN
    assert SEVEN in goals.ON_CARD
    assert wide.arrays["tokens"].shape == (64, 4096)
    assert wide.more["checked"]["tokens"].shape == (1, 4096)
    assert wide.more["net"].width == 256


def test_of_many_sequences_some_are_checked():
    case = workloads.recurrence(3, 5, 2, few=1)
    whole = workloads.recurrence(3, 5, 2).reference()
    for some, all_of_them in zip(case.reference(), whole, strict=True):
        np.testing.assert_array_equal(some, all_of_them[:1])
    assert [x.shape for x in case.part(whole)] == [(1, 5, 2)] * 3


def test_a_backward_is_timed_alone(monkeypatch):
    """Its forward is done once, when the method is made."""
    counted, linear = [], workloads.scan.linear

    def counting(a, b):
        counted.append(a.shape)
        return linear(a, b)

    monkeypatch.setattr(workloads.scan, "linear", counting)
    (m,) = methods.methods_of(workloads.recurrence(2, 5, 3, "backward"), "numpy", [])
    m.run()
    m.run()
    assert counted == [(2, 5, 3)]


def test_a_kernel_is_a_method_where_there_is_one(monkeypatch):
    case = workloads.lti(2, 7, 3, 2)
    assert [m.name for m in methods.methods_of(case, "numpy", [])] == ["auto", "fft"]
    monkeypatch.setattr(fast, "path", lambda name, *arrays: len if name == "recurrent" else None)
    assert [name for name, _ in methods.ours.lti(case)] == ["auto", "fft", "chunked"]


@pytest.mark.parametrize(
    "error",
    [
        fake_cupy.OutOfMemoryError("Out of memory allocating 9 bytes"),
        type("OutOfMemoryError", (RuntimeError,), {})("CUDA: tried to allocate 2 GiB"),
        RuntimeError("RESOURCE_EXHAUSTED: Failed to allocate"),
        RuntimeError("CUFFT_ALLOC_FAILED"),
    ],
)
def test_what_does_not_fit_is_told_and_the_run_goes_on(fake, monkeypatch, error):
    def full(case):
        raise error
        yield

    monkeypatch.setitem(methods.ours.METHODS, "W3", full)
    found = measure.measure(measure.Request(quick=True, only=("W3", "W5"), backend="cupy"), show=False)
    assert {r["workload"] for r in found["rows"]} == {"W5"}
    assert [what["case"] for what in found["lost"]] == ["(2, 7, 3)", "(3, 9, 2) forward", "(3, 9, 2) backward"]
    said = table.text(found)
    assert "Not measured: W3, (2, 7, 3), minissm: not enough memory (" in said
    assert fake.get_default_memory_pool().freed > 3  # a case leaves nothing to the next


def test_one_method_that_does_not_fit_leaves_the_others(fake, monkeypatch):
    def run():
        raise fake_cupy.OutOfMemoryError("full")

    lti = methods.ours.lti
    monkeypatch.setitem(methods.ours.METHODS, "W1", lambda case: iter([next(lti(case)), ("large", run)]))
    found = measure.measure(measure.Request(quick=True, only=("W1",), backend="cupy"), show=False)
    assert [r["method"] for r in found["rows"]] == ["auto"]
    assert [(what["owner"], what["method"]) for what in found["lost"]] == [("minissm", "large")]


def test_what_does_not_fit_side_by_side_is_timed_one_after_another(fake, monkeypatch):
    """Each keeps its memory until it is given back, and the card has room for one of them."""
    pool, holds = fake.get_default_memory_pool(), set()
    monkeypatch.setattr(pool, "free_all_blocks", holds.clear)

    def method(name, run):
        def held():
            if holds - {name}:
                raise fake_cupy.OutOfMemoryError("full")
            holds.add(name)
            return run()

        return name, held

    lti = methods.ours.lti
    monkeypatch.setitem(methods.ours.METHODS, "W1", lambda case: (method(*named) for named in lti(case)))
    found = measure.measure(measure.Request(quick=True, only=("W1",), backend="cupy"), show=False)
    assert [r["method"] for r in found["rows"]] == ["auto", "fft"]
    assert [(what["owner"], what["method"]) for what in found["lost"]] == [("all", "in turn")]


def test_a_plain_loop_is_not_run_over_a_million_steps(monkeypatch):
    monkeypatch.setattr(fast, "REFERENCE", False)
    case = workloads.recurrence(1, 9, 2)
    monkeypatch.setattr(methods.ours, "LONGEST", 8)
    assert len(list(methods.ours.recurrence(case))) == 1
    with workloads.plain():
        assert list(methods.ours.recurrence(case)) == []


def test_an_error_of_ours_is_named_and_costs_nobody_else(fake, monkeypatch, tmp_path, capsys):
    """CuPy's CompileException derives from Exception alone."""

    def broken(case):
        raise type("CompileException", (Exception,), {})("nvrtc: error")
        yield

    monkeypatch.setitem(methods.ours.METHODS, "W5", broken)
    paths = [tmp_path / "r.json", tmp_path / "r.html"]
    arguments = ["bench", "--backend", "cupy", "--quick", "--json", str(paths[0]), "--html", str(paths[1])]
    assert main(arguments) == 1
    told, held = capsys.readouterr(), json.loads(paths[0].read_text())
    assert {r["workload"] for r in held["rows"]} == {"W1", "W3", "W7"}
    assert (held["interrupted"], [what["failed"] for what in held["lost"]]) == ("", [True])
    why = "Not measured: W5, B 2, minissm: it failed (CompileException: nvrtc: error)"
    assert why in told.out
    assert why in paths[1].read_text()
    assert told.err.splitlines()[-1] == (
        "minissm bench: 1 of minissm's own failed (W5, B 2, minissm); the reasons are shown above"
    )


def test_what_failed_for_want_of_memory_or_in_a_peer_is_no_failure_of_ours(fake, monkeypatch):
    def run():
        raise fake_cupy.OutOfMemoryError("full")

    monkeypatch.setitem(methods.ours.METHODS, "W1", lambda case: iter([("large", run)]))
    peer(monkeypatch, True, {"W3": lambda case: iter([("broken", lambda: 1 / 0)])})
    assert main(["bench", "--backend", "cupy", "--quick", "--only", "W1,W3"]) == 0


def test_a_card_that_no_longer_answers_ends_the_run(fake, monkeypatch, tmp_path, capsys):
    """After an illegal address every call fails."""
    dead = []

    def broken(case):
        dead.append(1)
        raise RuntimeError("cudaErrorIllegalAddress")
        yield

    def synchronize(self):
        if dead:
            raise RuntimeError("cudaErrorIllegalAddress: an illegal memory access was encountered")

    monkeypatch.setitem(methods.ours.METHODS, "W3", broken)
    monkeypatch.setattr(fake.cuda.Device, "synchronize", synchronize)
    assert main(["bench", "--backend", "cupy", "--quick", "--json", str(tmp_path / "r.json")]) == 2
    held = json.loads((tmp_path / "r.json").read_text())
    assert {r["workload"] for r in held["rows"]} == {"W1"}
    assert "by RuntimeError: cudaErrorIllegalAddress: an illegal" in held["interrupted"]
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_peer_that_fails_late_leaves_the_others(fake, monkeypatch):
    calls = []

    def recurrence(case):
        def run():
            calls.append(1)
            if len(calls) > 2:
                raise RuntimeError("CUFFT_INTERNAL_ERROR")
            return case.reference()

        yield "flaky", run

    monkeypatch.setattr(measure, "CASES", {"W3": [lambda: workloads.recurrence(2, 7, 3)]})
    monkeypatch.setattr(on_card, "CARD", {})
    peer(monkeypatch, True, {"W3": recurrence})
    found = measure.measure(measure.Request(quick=True, only=("W3",), backend="cupy"), show=False)
    assert [r["owner"] for r in found["rows"]] == ["minissm"]
    assert [(what["owner"], what["method"]) for what in found["lost"]] == [("all", "in turn"), ("torch", "flaky")]
    assert found["interrupted"] == ""


def test_what_the_card_can_do_may_not_fit(fake, monkeypatch, capsys):
    def full(*_):
        raise fake_cupy.OutOfMemoryError("Out of memory allocating 9 bytes")

    monkeypatch.setattr(fake, "full", full)
    assert main(["bench", "--backend", "cupy", "--quick", "--only", "W3"]) == 0
    assert "Not measured: limits, minissm: not enough memory" in capsys.readouterr().out


def test_each_method_is_run_untimed_after_memory_was_given_back(fake, monkeypatch):
    told, free = [], card.free
    monkeypatch.setattr(card, "free", lambda cupy, found: told.append("free") or free(cupy, found))
    monkeypatch.setattr(card, "taken", lambda cupy, run: 0)
    monkeypatch.setattr(on_card, "interleave", lambda runs, *_: told.append("timed") or {m: [1.0] for m in runs})
    run = methods.ours.recurrence
    monkeypatch.setitem(
        methods.ours.METHODS,
        "W3",
        lambda case: iter([("a", lambda: told.append("run") or next(run(case))[1]())]),
    )
    monkeypatch.setattr(measure, "CASES", {"W3": [lambda: workloads.recurrence(2, 7, 3)]})
    monkeypatch.setattr(on_card, "CARD", {})
    measure.measure(measure.Request(quick=True, only=("W3",), backend="cupy"), show=False)
    assert told[-6:] == ["free", "run", "run", "free", "run", "timed"]


def test_nvidia_smi_may_hang(monkeypatch):
    def hanging(asked, timeout, **options):
        raise card.subprocess.TimeoutExpired(asked, timeout)

    monkeypatch.setattr(card.shutil, "which", lambda name: name)
    monkeypatch.setattr(card.subprocess, "run", hanging)
    assert card._driver() == ""


@pytest.mark.parametrize("fault", ["import", "has_card"])
def test_a_broken_peer_is_named_and_the_run_goes_on(fake, monkeypatch, fault):
    def broken(*_):
        raise OSError("libcudnn.so.9: cannot open shared object file: No such file or directory")

    def imported(name, *package, real=peers.importlib.import_module):
        return broken() if name == ".torch_" else real(name, *package)

    module = peer(monkeypatch, True, {})
    if fault == "import":
        monkeypatch.setattr(peers.importlib, "import_module", imported)
    else:
        module.has_card = broken
    found = measure.measure(measure.Request(quick=True, only=("W5",), backend="cupy"), show=False)
    assert [r["owner"] for r in found["rows"]] == ["minissm"]
    assert (found["peers"], found["without_card"]) == ({}, [])
    assert "Not measured: torch: it failed (" in table.text(found)
    assert "libcudnn.so.9" in table.text(found)


def peer(monkeypatch, able, table_of=None):
    """torch in name, whatever is installed here."""
    module = ModuleType("minissm.lab.bench.peers.torch_")
    module.SERIAL, module.METHODS, module.freed = False, table_of or {}, []
    module.has_card, module.free = lambda: able, lambda: module.freed.append(1)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    spec = ModuleSpec("torch", None)
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda name: spec if name == "torch" else None)
    monkeypatch.setattr(peers, "version", lambda name: "1.2")
    return module


@pytest.mark.parametrize(("place", "set_"), [("numpy", {"JAX_PLATFORMS": "cpu"}), ("cupy", {"PREALLOCATE": "false"})])
def test_jax_is_told_before_its_import_what_of_a_card_it_may_take(monkeypatch, place, set_):
    environment: dict = {}
    monkeypatch.setattr(peers.os, "environ", environment)
    monkeypatch.setattr(peers.importlib, "import_module", lambda name, package: ModuleType(name))
    peers.load("torch", place)
    assert environment == {}
    peers.load("jax", place)
    assert {key.removeprefix("XLA_PYTHON_CLIENT_"): v for key, v in environment.items()}.items() >= set_.items()
    assert ("JAX_PLATFORMS" in environment) == (place == "numpy")


def test_a_peer_without_cuda_is_named(fake, monkeypatch):
    peer(monkeypatch, able=False)
    found = measure.measure(measure.Request(quick=True, only=("W5",), backend="cupy"), show=False)
    assert (found["peers"], found["missing"], found["without_card"]) == ({}, ["jax"], ["torch"])
    assert "Installed, but without CUDA, so not measured: torch" in table.text(found)


def test_a_peer_computes_at_the_place_of_the_case_and_may_fail(fake, monkeypatch):
    places = []

    def recurrence(case):
        places.append(case.place)
        yield "right", lambda: case.reference()[: 3 if case.backward else 1]
        yield "broken", lambda: 1 / 0

    whole = {"W3": [lambda: workloads.recurrence(2, 7, 3)]}
    monkeypatch.setattr(measure, "CASES", whole)
    monkeypatch.setattr(on_card, "CARD", {})
    module = peer(monkeypatch, True, {"W3": recurrence})
    found = measure.measure(measure.Request(quick=True, only=("W3",), backend="cupy"), show=False)
    assert places == ["cupy"]
    assert [(r["owner"], r["bytes"]) for r in found["rows"]] == [("minissm", 0), ("torch", None)]
    assert found["lost"][0]["why"].startswith("it failed (ZeroDivisionError")
    assert module.freed


def test_who_gives_memory_back_forgets_the_plans_of_transforms_first(fake, monkeypatch):
    """Their work areas lie in the pool."""
    order, pool, plans = [], fake.get_default_memory_pool(), fake.fft.config.get_plan_cache()
    monkeypatch.setattr(plans, "clear", lambda: order.append("plans"))
    monkeypatch.setattr(pool, "free_all_blocks", lambda: order.append("pool"))
    card.free(fake, ())
    assert order == ["plans", "pool"]


def test_memory_is_what_the_pool_takes_beyond_what_it_had(fake):
    pool = fake.get_default_memory_pool()
    pool.bytes = 100

    def run():
        pool.bytes += 5000

    assert card.taken(fake, run) == 5000


def test_the_rates_of_a_card_are_work_over_time(fake):
    """Each turn takes a second, by a clock of its own."""
    found = card.limits(fake, Rounds(1, 1, 0.0), lambda run, calls: [1.0], size=64)
    expected = {
        "copy": 2 * 4 * 64 * 64 / 1e9,
        "product": 2 * 64**3 / 1e9,
        "exp": card.EXPS * 64 * 64 / 1e9,
        "rfft": 64 * 64 / 1e6,
        "calls": card.CALLS / 1e3,
    }
    assert found == pytest.approx(expected)


def test_goals_on_a_card():
    """64 M numbers of 4 bytes, three arrays forward and five backward, at 1000 GB/s: 0.81 and 1.34 ms."""
    rows = [
        row("minissm", 0.9, "W3", FORWARD[1]),
        row("minissm", 2.0, "W3", BACKWARD[1]),
        row("minissm", 10, *SEVEN),
        row("torch", 25, *SEVEN),
        row("minissm", 1),
        row("jax", 9),
    ]
    found = {(v.case, v.what): v for v in goals.verdicts(of_card(rows))}
    forward, backward = (found[case, goals.COPYING] for _, case in goals.COPIED)
    assert forward.value == pytest.approx(3 * 4 * 2**26 / 1e12 / 0.9e-3)
    assert backward.value == pytest.approx(5 * 4 * 2**26 / 1e12 / 2.0e-3)
    assert (forward.goal, forward.met, backward.met) == (0.85, True, False)
    step = found[SEVEN[1], goals.BEST]
    assert (step.value, step.goal, step.met) == (pytest.approx(2.5), 2.0, True)
    other = found["B 8, L 4096", goals.BEST]
    assert (other.value, other.goal) == (pytest.approx(9.0), None)  # the processors' goals are not a card's
    assert table.tally(of_card(rows)) == "2 of 3 goals met."
    said = table.text(of_card(rows))
    assert "one core" not in said
    assert "MISSED" in said


def test_a_goal_whose_case_did_not_fit_was_not_measured():
    told = of_card([row("minissm", 1)], lost=[lost(SEVEN), lost(FORWARD)])
    found = {v.case: v for v in goals.verdicts(told) if v.goal is not None}
    assert set(found) == {SEVEN[1], FORWARD[1]}
    assert all(v.met is None for v in found.values())
    assert "not measured" in table.text(told)


def test_a_wrong_result_meets_no_goal_on_a_card():
    rows = [
        row("minissm", 0.9, "W3", FORWARD[1], error=0.5),
        row("minissm", 1, *SEVEN, error=0.5),
        row("torch", 9, *SEVEN),
    ]
    assert all(v.met is None for v in goals.verdicts(of_card(rows)))


def test_a_card_has_a_slug_a_section_and_a_column(tmp_path):
    rows = [row("minissm", 10), row("torch", 44), row("minissm", 10, *SEVEN), row("torch", 15, *SEVEN)]
    told = of_card(rows)
    (tmp_path / "bench-nvidia-x1.json").write_text(json.dumps(told))
    assert document.slug("NVIDIA X1") == "nvidia-x1"
    found = document.reports(tmp_path)
    section = document.measured(found)
    assert section.startswith("## NVIDIA X1\n\nminissm bench, full, 2026-11-25: NVIDIA X1, 80 GB\n\n")
    assert "driver 1.2, CUDA 13.0, CuPy 14; beside it A CPU, 2 cores" in section
    assert document.NO_CARD not in section
    assert table.GROWTH not in section
    lines = document.summary(found).splitlines()
    assert lines[0] == "| forward and backward | NVIDIA X1, the card |"
    assert "**4.4** (torch m: 44 ms, minissm: 10 ms)" in lines[2]
    goal = "W7 ssm, B 64, L 4096, width 256, best of torch, jax / minissm: 1.50, goal >= 2 MISSED"
    assert lines[-1] == f"On the NVIDIA X1 (2026-11-25): {goal}."
    (tmp_path / "bench-nvidia-x1.json").rename(tmp_path / "bench-a-cpu.json")
    with pytest.raises(ValueError, match=r"another card; expected a full run in bench-nvidia-x1\.json"):
        document.reports(tmp_path)


def test_without_a_card_the_pages_say_so():
    assert "not measured on a GPU" in document.NO_CARD
    assert document.measured([report([row("minissm", 10)])]).endswith(f"\n{document.NO_CARD}\n")
    assert document.summary([report([row("minissm", 10)])]).endswith(f"\n\n{document.NO_CARD}")
    assert document.NO_CARD in document.measured([])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--backend", "cupy", "--peers", "numba"], "numba runs on the processor alone"),
        (["--backend", "cupy", "--threads", "2"], "it has one pass, on the card"),
        (["--backend", "cupy", "--only", "growth"], "ask for --backend numpy"),
        (["--only", "crossover"], "ask for --backend cupy"),
        (["--backend", "cupy", "--peers", "mxnet"], "unknown peer 'mxnet'"),
    ],
)
def test_what_a_card_has_not_is_one_sentence(arguments, said, capsys):
    assert main(["bench", *arguments]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert said in told.err
    assert len(told.err.splitlines()) == 1
