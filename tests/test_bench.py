"""`minissm bench`: the harness, with tiny cases and clocks of its own; what it prints, writes and refuses."""

import json
import math
import os
import signal
import sys
import time
from dataclasses import replace
from functools import partial
from importlib.machinery import ModuleSpec

import numpy as np
import pytest
from matplotlib.figure import Figure

from minissm.cli import main
from minissm.lab import machine
from minissm.lab.bench import command, cores, goals, growth, limits, measure, memory, page, peers, table, workloads
from minissm.lab.bench.case import error, errors
from minissm.lab.bench.timing import PAUSE, TURN, Rounds, by_clock, interleave, spread


@pytest.fixture
def tiny(monkeypatch):
    """Two small workloads and one short growth instead of all, and nothing but NumPy installed."""
    small = {
        "W1": [lambda: workloads.lti(2, 7, 3, 2)],
        "W5": [lambda: workloads.step(2, 3, 2)],
        "W6": [lambda: workloads.attend(1, 2, 9, 4)],
    }
    monkeypatch.setattr(measure, "CASES", small)
    monkeypatch.setattr(measure, "QUICK", Rounds(2, 2, 0.0))
    monkeypatch.setattr(measure, "LONGEST", {True: 64, False: 64})
    monkeypatch.setattr(growth, "MIXERS", {name: growth.MIXERS[name] for name in ("ssm, chunked", "attn")})
    monkeypatch.setattr(growth.growth, "__defaults__", (16, *growth.growth.__defaults__[1:]))
    monkeypatch.setattr(limits.limits, "__defaults__", (16,))
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda name: None)


def by(clock):
    return partial(by_clock, clock=clock)


def test_methods_run_in_turn_and_slow_ones_less_often():
    now, order = [0.0], []

    def taking(name, seconds):
        def run():
            order.append(name)
            now[0] += seconds

        return run

    runs = {"slow": taking("slow", 2.0), "fast": taking("fast", 0.5)}
    times = interleave(runs, Rounds(least=2, most=6, seconds=2.5), by(lambda: now[0]), sleep=lambda seconds: None)
    assert [sorted(order[:2]), sorted(order[2:4]), order[4:]] == [["fast", "slow"]] * 2 + [["fast"] * 3]
    assert times == {"slow": [2.0] * 2, "fast": [0.5] * 5}  # 2 at least; then while 2.5 s suffice


def test_nobody_always_follows_the_same_one():
    order = []
    runs = {name: lambda name=name: order.append(name) for name in "abc"}
    interleave(runs, Rounds(12, 12, 0.0), by(lambda: len(order)))
    assert {name: order.count(name) for name in "abc"} == dict.fromkeys("abc", 12)
    for name in "abc":
        before = [order[i - 1] for i in range(1, len(order)) if order[i] == name]
        assert all(before.count(other) >= 2 for other in set("abc") - {name})


def test_what_a_method_leaves_behind_has_ended_before_the_next_begins():
    """The pause goes by how long the last one took, and belongs to nobody's time."""
    now, pauses = [0.0], []

    def sleep(seconds):
        pauses.append(seconds)
        now[0] += seconds

    def taking(seconds):
        def run():
            now[0] += seconds

        return run

    for seconds, pause in ((2.0, PAUSE), (0.02, 0.005)):
        times = interleave({"a": taking(seconds)}, Rounds(3, 3, 0.0), by(lambda: now[0]), sleep=sleep)
        assert times["a"] == pytest.approx([seconds] * 3)
        assert pauses == pytest.approx([0.0, pause, pause])
        pauses.clear()


def test_short_calls_are_repeated_in_their_turn():
    now = [0.0]

    def run():
        now[0] += TURN / 4.5

    times = interleave({"a": run}, Rounds(3, 3, 0.0), by(lambda: now[0]), sleep=lambda seconds: None)
    assert times["a"] == pytest.approx([TURN / 4.5] * (1 + 4 + 4), rel=1e-6)


def test_the_spread_is_that_of_one_call():
    assert spread([4.0, 2.0, 10.0, 6.0, 8.0], calls=2) == {
        "median": 3.0,
        "q1": 2.0,
        "q3": 4.0,
        "min": 1.0,
        "max": 5.0,
        "runs": 5,
    }
    assert spread([3.0])["q1"] == spread([3.0])["max"] == 3.0


def test_the_error_is_the_largest_difference_over_the_largest_value():
    reference = np.array([1.0, -4.0])
    assert error(np.array([1.0, -3.0]), reference) == 0.25
    assert error(np.array([np.nan, -4.0]), reference) == math.inf
    assert errors((reference, 2 * reference, reference), (reference,) * 3) == (0.0, 1.0)
    assert errors((reference,), (reference,)) == (0.0, None)
    with pytest.raises(ValueError, match="a result of shape"):
        error(np.zeros(3), reference)


def test_memory_is_that_of_the_call():
    def run():
        return np.ones(40_000_000, np.uint8).sum()

    assert memory.of_numpy(run) == pytest.approx(40e6, rel=0.01)
    measured = memory.of_process(run)
    if measured is not None:  # a system without high-water marks
        assert measured == pytest.approx(40e6, rel=0.1)


def test_memory_without_a_high_water_mark_is_not_invented(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "PROC", tmp_path / "nowhere")
    assert memory.of_process(lambda: None) is None


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no process to a core")
def test_one_core_is_one_core_and_is_given_back():
    class Peer:
        told: list = []  # noqa: RUF012

        @classmethod
        def threads(cls, n):
            cls.told.append(n)

    before = cores.mine()
    with cores.using(before[:1], [Peer]):
        assert cores.mine() == before[:1]
        assert machine.cores() == 1
    assert cores.mine() == before
    assert Peer.told == [1]


@pytest.mark.parametrize("p", [1.0, 2.0, 0.5])
def test_the_exponent_of_a_power_law_is_found(p):
    points = [{"L": L, "seconds": 3e-6 * L**p} for L in (1000, 2000, 4000, 8000)]
    assert growth.exponent(points, "seconds") == pytest.approx(p)
    assert growth.exponent(points[:2], "seconds") == pytest.approx(p)
    assert growth.exponent(points[:1], "seconds") is None


def test_the_exponent_is_not_that_of_a_fixed_cost():
    points = [{"L": L, "seconds": 1.0 if i < 3 else L / 8000} for i, L in enumerate(1000 << i for i in range(7))]
    assert growth.exponent(points, "seconds") == pytest.approx(1.0)


def test_growth_ends_before_a_length_that_takes_too_long():
    now = [0.0]

    def clock():
        now[0] += 20.0
        return now[0]

    rows = list(growth.growth(64, first=8, clock=clock, patience=15.0))
    assert [r["mixer"] for r in rows] == [*growth.MIXERS]
    for row in rows:
        assert [p["L"] for p in row["points"]] == [8, 16]
        assert row["stopped"].startswith("ended before L 32, which would take about 20 s")


def test_growth_ends_before_a_length_that_needs_too_much(monkeypatch):
    monkeypatch.setattr(growth, "ROOM", 1)
    assert "GB" in next(growth.growth(64, first=8))["stopped"]


def row(owner, milliseconds, workload="W1", case="B 8, L 4096", error=1e-7, **more):
    seconds = dict.fromkeys(("median", "q1", "q3", "min", "max"), milliseconds / 1e3)
    base = {"workload": workload, "case": case, "owner": owner, "method": "m", "threads": 1, "bytes": 5_000_000}
    base |= {"seconds": seconds, "error": {"y": error, "gradient": None}, "allocated": None}
    return base | more


def report(rows, vendor="AMD", **more):
    base = {"date": "2026-11-25", "quick": False, "processor": "A CPU", "vendor": vendor, "cores": 2, "blas": "a BLAS"}
    base |= {"packages": {"numpy": "9"}, "peers": {"torch": "8"}, "missing": ["jax"], "warnings": [], "rows": rows}
    return base | {"limits": [], "growth": [], "interrupted": ""} | more


@pytest.mark.parametrize(("vendor", "goal", "met"), [("AMD", 3.0, False), ("Intel", 2.2, True), ("", None, None)])
def test_goals_are_chosen_by_the_vendor(vendor, goal, met):
    case = {"workload": "W3", "case": "(8, 4096, 512)"}
    rows = [row("minissm", 10, **case), row("torch", 25, **case), row("jax", 30, **case), row("numba", 1, **case)]
    verdict, compiled = goals.verdicts(report(rows, vendor))
    assert (compiled.value, compiled.goal) == (pytest.approx(0.1), None)  # shown, but no goal
    assert (verdict.value, verdict.goal, verdict.met) == (pytest.approx(2.5), goal, met)
    said = table.text(report(rows, vendor))
    assert {False: "MISSED", True: "met", None: "there are none"}[met] in said


def test_a_wrong_result_is_never_the_best():
    rows = [row("minissm", 10), row("torch", 20, error=0.5), row("jax", 60)]
    verdict = goals.verdicts(report(rows))[0]
    assert verdict.value == pytest.approx(6.0)
    assert "WRONG" in table.text(report(rows))


def test_a_peer_that_was_not_measured_is_no_ratio():
    peer, compiled = goals.verdicts(report([row("minissm", 10)]))
    assert peer.value is compiled.value is peer.met is None
    said = table.text(report([row("minissm", 10)]))
    assert "No goal was measured." in said
    assert "Not installed, so not measured: jax" in said


def test_goals_on_the_limits():
    attn, large, one = (
        {"workload": "W6", "case": "8 x 4 heads, L 1024"},
        {"workload": "W3", "case": goals.LARGE},
        {"workload": "W5", "case": "B 1"},
    )
    rows = [row("minissm", 10, **attn), row("limit", 7, **attn), row("minissm", 20, **large)]
    rows += [row("minissm", 10, **one, allocated=99), row("minissm", 10), row("numba", 11)]
    grown = [{"mixer": "attn", "points": [], "bytes exponent": 1.5, "seconds exponent": 2.0, "stopped": ""}]
    told = report(rows, limits=[{"threads": 1, "copy": 20.0}], growth=grown)
    found = {v.what: v for v in goals.verdicts(told) if not v.what.startswith("best")}
    assert found["m / minissm"].value == pytest.approx(0.7)
    assert found["time of copying / minissm"].value == pytest.approx(3 * 4 * 8 * 4096 * 512 / 20e9 / 20e-3)
    assert found["bytes allocated by steps beside y"].met is True
    assert found["numba / minissm"].value == pytest.approx(1.1)
    assert found["exponent in L of memory"].met is False


def test_a_missed_ratio_is_told_with_what_its_floor_allows():
    attn = {"workload": "W7", "case": "attn, 64k"}
    rows = [row("minissm", 10, **attn), row("torch", 15, **attn), row("limit", 8, **attn)]
    assert "MISSED  at most 1.88 here: m take 8 ms" in table.text(report(rows))
    assert "at most" not in table.held(goals.verdicts(report(rows, "Intel"))[0])  # met there
    assert table.held(goals.verdicts(report(rows[:2]))[0]) == ""
    verdict = next(v for v in goals.verdicts(report(rows)) if v.what == "m / minissm")
    assert (verdict.value, verdict.goal) == (pytest.approx(0.8), None)


def test_goals_that_were_met_are_counted():
    rows = [row("minissm", 10), row("torch", 49), row("numba", 11)]
    assert table.tally(report(rows)) == "1 of 2 goals met."
    assert table.tally(report([])) == "No goal was measured."


def test_every_goal_names_a_case_that_is_measured():
    """By the sizes in the names: making the cases takes seconds."""
    made = {
        "W1": workloads.lti(1, 1, 1, 1).name,
        "W2": workloads.s6(1, 1, 1, 1).name,
        "W3": workloads.recurrence(1, 1, 1).name,
        "W4": workloads.window(1, 1, 1, 1).name,
        "W5": workloads.step(1, 1, 1).name,
        "W6": workloads.attend(1, 1, 1, 1).name,
    }
    digits = str.maketrans("", "", "0123456789")
    for workload, case in goals.PEERS:
        assert workload == "W7" or case.translate(digits) == made[workload].translate(digits)


def test_bench_measures_prints_and_writes(tiny, tmp_path, capsys):
    paths = [tmp_path / "r.json", tmp_path / "r.html"]
    assert main(["bench", "--quick", "--threads", "1", "--json", str(paths[0]), "--html", str(paths[1])]) == 0
    told = capsys.readouterr()
    held = json.loads(paths[0].read_text())
    assert told.out.rstrip() == table.text(held)  # the JSON holds all that is shown
    assert held["missing"] == [*peers.PEERS]
    assert "Not installed, so not measured: torch, jax, numba" in told.out
    assert {r["workload"] for r in held["rows"]} == {"W1", "W5", "W6"}
    assert all(r["error"]["y"] < 1e-5 for r in held["rows"] if r["owner"] == "minissm")
    assert [r["mixer"] for r in held["growth"]] == [*growth.MIXERS]
    assert held["processor"] == machine.processor()
    text = paths[1].read_text()
    assert text.count("<svg") == 1  # growth; no peer, no ratio
    assert "http" not in text.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "https://matplotlib.org", ""
    ).replace("http://creativecommons.org", "")
    assert held["processor"] in text


def test_only_what_was_asked_for_is_measured(tiny, capsys):
    assert main(["bench", "--quick", "--only", "W6", "--threads", "1"]) == 0
    out = capsys.readouterr().out
    assert "W6" in out
    assert "W1 " not in out
    assert "mixer" not in out


def test_all_cores_come_after_one(tiny, monkeypatch):
    monkeypatch.setattr(cores, "mine", lambda: [0, 1])
    monkeypatch.setattr(cores, "_pin", lambda numbers: None)
    monkeypatch.setattr(measure, "limits", lambda rounds: dict.fromkeys(limits.UNITS, 1.0))
    found = measure.measure(measure.Request(quick=True, only=("W1",)), show=False)
    assert [r["threads"] for r in found["rows"]] == [1, 1, 2, 2]
    assert [r["threads"] for r in found["limits"]] == [1, 2]
    assert "Times on 2 cores" in table.text(found)
    assert all(r["error"]["y"] is None for r in found["rows"] if r["threads"] == 2)


def test_a_forced_kernel_is_told(tiny, monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    found = measure.measure(measure.Request(quick=True, only=("W6",), threads=1), show=False)
    assert "OPENBLAS_CORETYPE=Haswell is set" in table.text(found)


def test_ctrl_c_keeps_what_is_done(tiny, monkeypatch, tmp_path, capsys):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setitem(measure.CASES, "W5", [interrupted])
    path = tmp_path / "r.json"
    assert main(["bench", "--quick", "--threads", "1", "--json", str(path)]) == 130
    told = capsys.readouterr()
    assert told.err.splitlines()[-1].startswith("minissm: interrupted; bench ended after 2 of 5 parts")
    held = json.loads(path.read_text())
    assert {r["workload"] for r in held["rows"]} == {"W1"}
    assert "Interrupted after 2 of 5 parts" in told.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "W9"], "bench: unknown workload 'W9'; expected one of W1, W2"),
        (["--only", ""], "bench: unknown workload ''"),
        (["--peers", "mxnet"], "bench: unknown peer 'mxnet'; expected one of torch, jax, numba"),
        (["--backend", "tpu"], "bench: backend 'tpu'; expected one of numpy, cupy"),
        (["--backend", "cupy"], "backend 'cupy': CuPy is not installed"),
        (["--threads", "0"], "'0' given; expected an integer"),
        (["--json", "nowhere/r.json"], "is no folder; make it first"),
        (["--html", "."], "is a folder; give the name of a file"),
        (["--html", "/proc/r.html"], "can't write to /proc ("),
        (["--slow"], "unrecognized arguments: --slow"),
    ],
)
def test_bad_input_is_one_sentence(arguments, said, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "cupy", None)
    try:
        code = main(["bench", *arguments])
    except SystemExit as stop:
        code = stop.code
    told = capsys.readouterr()
    assert code == 2
    assert told.out == ""
    assert said in told.err
    assert len(told.err.splitlines()) == 1


def test_a_named_peer_that_is_missing_is_named(monkeypatch):
    spec = ModuleSpec("torch", None)
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda name: spec if name == "torch" else None)
    monkeypatch.setattr(peers, "version", lambda name: "1.2")
    assert peers.find(("torch", "jax")) == ({"torch": "1.2"}, ["jax"])


def test_a_page_without_figures_is_a_page():
    assert "<svg" not in page.html(report([]))


@pytest.mark.parametrize(("ratio", "expected"), [(9, "0.2 0.5 1 2 5 10"), (4000, "1 10 100 1000")])
def test_the_axis_of_the_ratios_is_marked_as_far_as_they_reach(ratio, expected):
    figure = Figure()
    page._ratios(figure, [goals.Verdict("W1", "B 8, L 64", goals.BEST, float(value), None) for value in (0.2, ratio)])
    (axes,) = figure.axes
    marks = [label.get_text() for label in axes.get_xticklabels()]
    assert " ".join(marks) == expected
    least, most = axes.get_xlim()
    assert all(least <= float(mark) <= most for mark in marks)


def test_files_are_written_as_they_are(tmp_path):
    command.write_text(tmp_path / "a", "\u00e4\n")
    assert (tmp_path / "a").read_bytes() == "\u00e4\n".encode()


def test_a_peer_that_is_broken_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "minissm.lab.bench.peers.torch_", None)
    with pytest.raises(RuntimeError, match="torch is installed but can't be imported"):
        peers.load("torch")


def test_a_peer_without_its_library_is_no_full_disk(tiny, monkeypatch, capsys):
    """torch's ctypes raise OSError, which of other things says that a file can't be written."""

    def imported(name, package=None):
        raise OSError("libcudnn.so.9: cannot open shared object file: No such file or directory")

    monkeypatch.setattr(peers, "find", lambda names, place: ({"torch": "1.2"}, []))
    monkeypatch.setattr(peers.importlib, "import_module", imported)
    assert main(["bench", "--quick"]) == 2
    assert capsys.readouterr().err == (
        "minissm bench: torch is installed but can't be imported (OSError: libcudnn.so.9: cannot open shared object "
        "file: No such file or directory); install it anew, or leave it out: --peers jax,numba\n"
    )


def test_an_error_ends_the_run_and_keeps_what_is_done(tiny, monkeypatch, tmp_path, capsys):
    def broken():
        raise KeyError("a mistake")

    monkeypatch.setitem(measure.CASES, "W5", [broken])
    paths = [tmp_path / "r.json", tmp_path / "r.html"]
    assert main(["bench", "--quick", "--threads", "1", "--json", str(paths[0]), "--html", str(paths[1])]) == 2
    told, held = capsys.readouterr(), json.loads(paths[0].read_text())
    ended = "after 2 of 5 parts, the last of W1, by KeyError: 'a mistake'"
    assert told.err.splitlines()[-1] == f"minissm bench ended {ended}; what was done is shown above"
    assert held["interrupted"] == ended
    assert {r["workload"] for r in held["rows"]} == {"W1"}
    assert f"Interrupted {ended}" in told.out
    assert "Interrupted" in paths[1].read_text()


def test_the_file_is_written_after_each_part(tiny, monkeypatch, tmp_path):
    """Of a run that is ended without being asked there is what was measured, and it says that it is a part."""
    path, seen = tmp_path / "r.json", []

    def looking():
        seen.append(json.loads(path.read_text()))
        raise KeyboardInterrupt

    monkeypatch.setitem(measure.CASES, "W5", [looking])
    assert main(["bench", "--quick", "--threads", "1", "--json", str(path)]) == 130
    assert {r["workload"] for r in seen[0]["rows"]} == {"W1"}
    assert seen[0]["interrupted"] == "after 2 of 5 parts, the last of W1"


@pytest.mark.skipif(os.name == "nt", reason="signals as POSIX has them")
def test_sigterm_ends_it_as_ctrl_c_does(tiny, monkeypatch, tmp_path, capsys):
    def ended():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)

    monkeypatch.setitem(measure.CASES, "W5", [ended])
    path = tmp_path / "r.json"
    assert main(["bench", "--quick", "--threads", "1", "--json", str(path)]) == 143
    assert {r["workload"] for r in json.loads(path.read_text())["rows"]} == {"W1"}
    assert capsys.readouterr().err.splitlines()[-1].startswith("minissm: interrupted; bench ended after 2 of 5 parts")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError("9 bytes"), "minissm bench: not enough memory (9 bytes); leave parts out with --only\n"),
        (
            OSError(28, "No space left on device", "r.json"),
            "minissm: can't write r.json (No space left on device); free some space, or give another file\n",
        ),
    ],
)
def test_what_ends_the_bench_is_not_answered_for_run(monkeypatch, capsys, error, said):
    def failing(*_, **__):
        raise error

    monkeypatch.setattr(command, "measure", failing)
    monkeypatch.setattr(command, "text", failing)
    assert main(["bench"]) == 2
    assert capsys.readouterr().err == said


def test_a_peer_on_the_processor_is_waited_for_after_each_step(monkeypatch):
    """On a card it isn't, as nobody is: the card does the steps in their order."""
    pytest.importorskip("jax")
    jax_ = peers.load("jax")
    waited = []

    class Output:
        def block_until_ready(self):
            waited.append("step")
            return self

        def copy(self):
            return self

    monkeypatch.setattr(jax_, "put", lambda case, a: np.asarray(a))
    monkeypatch.setattr(jax_.jax, "jit", lambda f, **options: lambda h, u_t: (Output(), Output()))
    monkeypatch.setattr(jax_.jax, "block_until_ready", lambda outputs: waited.append("end") or outputs)
    for place, expected in (("numpy", ["step"] * 100), ("cupy", ["end"])):
        ((_, run),) = jax_.step(replace(workloads.step(1, 2, 2), place=place))
        run()
        assert waited == expected
        waited.clear()


def test_what_a_step_hands_out_is_not_counted_as_allocated():
    case = workloads.step(500, 3, 2)

    def run():
        y = np.zeros((500, 3), np.float32)
        for _ in range(9):
            y = np.zeros_like(y)

    assert measure._beside_y(case, measure.Method("", "", run, run)) < goals.SMALL
    more = measure.Method("", "", lambda: (run(), np.zeros(50_000)), run)
    assert measure._beside_y(case, more) > goals.SMALL
