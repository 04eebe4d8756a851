"""benchmarks/: every workload keeps its contract and is right, and a report says what was measured."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import __main__ as command, training
from benchmarks.harness import libraries, measure, parts, report
from benchmarks.harness.libraries import Library, Minissm
from minissm import train, tree
from minissm.lab.timing import Rounds

from . import fake_cupy, fake_device, launches

WORKLOADS = measure.workloads()
TINY = {
    "attention": {"batch": 2, "heads": 3, "length": 37, "size": 4},
    "fir": {"batch": 3, "length": 37, "width": 4, "taps": 6},
    "linear": {"batch": 3, "length": 37, "width": 4},
    "lti": {"batch": 3, "length": 37, "width": 4, "poles": 5},
    "selective": {"batch": 3, "length": 70, "width": 4, "states": 5},
    "step": {"batch": 3, "width": 4, "poles": 5},
    "training": {"mixer": "ssm", "width": 6, "batch": 3, "length": 26},
}
MORE = [("linear", TINY["linear"] | {"backward": False}), ("training", TINY["training"] | {"mixer": "attn"})]
ONCE = Rounds(1, 1, 1.0)


@pytest.fixture(autouse=True)
def no_collection(monkeypatch):
    """Among the objects of a whole suite it takes long."""
    for module in (libraries, measure.timing):
        monkeypatch.setattr(module, "gc", SimpleNamespace(collect=lambda: None, freeze=lambda: None))


def rows_of(workload, case, able, failures, cupy=None):
    made = measure.Case(workload, case, able, cupy, ONCE, {"workload": "w", "case": "c"}, failures)
    return list(made.rows(*measure.reference(workload, made.data)))


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_workload_keeps_its_contract(name, rng):
    workload = WORKLOADS[name]
    titles = [measure.title(case) for case in [*workload.CASES, *getattr(workload, "ON_CARD", [])]]
    assert len(set(titles)) == len(titles) > 0
    assert set(getattr(workload, "GOALS", {})) <= set(titles)
    data = workload.data(rng, **TINY[name])
    assert set(getattr(workload, "SHARED", ())) <= set(data)
    assert workload.minissm(data)
    for run in workload.bound(data).values() if hasattr(workload, "bound") else ():
        run()


@pytest.mark.parametrize("library", ["minissm", *libraries.PEERS])
@pytest.mark.parametrize(("name", "case"), [*TINY.items(), *MORE])
def test_a_library_agrees_with_the_reference_in_float64(library, name, case):
    if library != "minissm":
        pytest.importorskip(library)
    if not hasattr(WORKLOADS[name], library):
        return
    able, failures = [libraries.PEERS.get(library, Minissm)(library, "numpy")], []
    rows = [row for row in rows_of(WORKLOADS[name], case, able, failures) if row["library"] == library]
    assert failures == []
    assert rows
    assert all(e is None or e < 1e-4 for row in rows for e in row["error"].values())
    assert all(row["error"]["y"] is not None and row["seconds"]["median"] > 0 for row in rows)
    assert library != "minissm" or all(row["bytes"] >= 0 for row in rows)


@pytest.mark.parametrize("name", sorted(set(TINY) - {"training"}))
def test_minissm_runs_on_a_device_without_hidden_copies(name, rng):
    data = WORKLOADS[name].data(rng, **TINY[name])
    outputs = next(iter(WORKLOADS[name].minissm(fake_device.there(data)).values()))()
    expected = next(iter(WORKLOADS[name].minissm(data).values()))()
    fake_device.same(outputs, expected, 1e-4)


# ---- a run, with a workload of its own whose libraries are NumPy


def doubled(data):
    """y = 2 x, dx = 2 dy."""
    return {"m": lambda: (2 * data["x"], 2 * data["dy"])}


def workload(**functions):
    def data(rng, size):
        return {"x": rng.normal(size=(size, 3)).astype(np.float32), "dy": np.ones((size, 3), np.float32)}

    return SimpleNamespace(CASES=[{"size": 9}, {"size": 2}], data=data, minissm=doubled, **functions)


@pytest.fixture
def here(monkeypatch):
    """torch and jax are there, or so it seems; one call a method."""
    able = [Minissm("minissm", "numpy"), Library("torch", "numpy"), Library("jax", "numpy")]
    monkeypatch.setattr(libraries, "found", lambda backend: (able, {}, ["numba is not installed"]))
    monkeypatch.setattr(measure, "QUICK", ONCE)
    monkeypatch.setattr(measure, "FULL", ONCE)


def run(**functions):
    return measure.measure({"double": workload(**functions)}, quick=True, show=False)


def test_a_wrong_result_is_marked_and_never_wins(here):
    found = run(torch=lambda data: {"wrong": lambda: (2.1 * data["x"], 2 * data["dy"])}, jax=doubled)
    rows = report.select(found, 1)["double", "size 9"]
    assert [row["error"]["y"] > report.WRONG for row in rows] == [False, True, False]
    assert report.fastest(rows, report.FRAMEWORKS)["library"] == "jax"
    rows[0]["error"]["gradient"] = 1.0  # minissm's own
    assert report.default(rows) is None
    assert report.speed_up(rows) is None
    assert report.markdown(found).count("WRONG") >= 2


def test_a_quick_run_has_one_case_on_all_cores_with_its_errors_without_bounds_and_slow_methods(here, monkeypatch):
    seconds, references = {"fast": 1.0, "slow": 2.1, "m": 9.0}, []
    monkeypatch.setattr(libraries, "own_cores", lambda: [3, 5])
    monkeypatch.setattr(libraries, "pin", lambda cores: None)
    monkeypatch.setattr(measure.timing, "interleave", lambda runs, **_: {key: [seconds[key[1]]] for key in runs})
    compute = measure.reference
    monkeypatch.setattr(measure, "reference", lambda *given: references.append(1) or compute(*given))
    found = run(torch=lambda data: dict.fromkeys(("fast", "slow"), doubled(data)["m"]), bound=lambda _: {"m": list})
    one, every = ([r for r in found["rows"] if r["threads"] == n] for n in (1, 2))
    assert [(row["case"], row["method"]) for row in every] == [("size 9", "m"), ("size 9", "fast")]
    assert [row["method"] for row in one] == ["m", "fast", "slow", "m"] * 2
    assert all(row["error"]["y"] == 0 for row in every)
    assert [row["bytes"] for row in every] == [None, None]
    assert len(references) == 2


def test_a_method_that_fails_is_named_and_costs_no_other(here):
    def fails(data):
        raise MemoryError("no room")

    def late(data):
        return {"late": lambda: 1 / 0}

    found = run(torch=fails, jax=late, bound=lambda data: {"b": lambda: None})
    told = {(f["library"], f["method"]): f for f in found["failures"] if f["case"] == "size 9"}
    assert told["torch", ""]["memory"]
    assert not told["jax", "late"]["memory"]
    assert {row["library"] for row in found["rows"]} == {"minissm", "bound"}
    assert "no room" in report.markdown(found)


def test_the_bound_is_its_fastest_method_and_has_no_error(here):
    rows = [
        {"library": library, "method": name, "seconds": {"median": s}, "error": {"y": None, "gradient": None}}
        for library, name, s in (("minissm", "m", 4.0), ("torch", "t", 6.0), ("bound", "a", 3.0), ("bound", "b", 2.0))
    ]
    assert (report.speed_up(rows), report.share(rows)) == (1.5, 0.5)


def test_a_goal_is_a_share_of_the_bound_met_missed_or_not_measured():
    def rows(case, seconds):
        names = {"workload": "w", "case": case, "threads": 1, "error": {}}
        return [names | {"library": name, "seconds": {"median": s}} for name, s in seconds.items()]

    goals = {"w": {"a": 0.5, "b": 0.5, "c": 0.5, "of a full run": 0.9}}
    measured = {
        "a": {"minissm": 4.0, "bound": 2.0},
        "b": {"minissm": 4.0, "bound": 1.9},
        "c": {"minissm": 4.0},
        "d": {},
    }
    found = {"goals": goals, "rows": [row for case, seconds in measured.items() for row in rows(case, seconds)]}
    assert report.goals(found, 1)[1:] == [
        ["w", "a", "at least 0.50", "0.50", "met"],
        ["w", "b", "at least 0.50", "0.47", "missed"],
        ["w", "c", "at least 0.50", "-", "not measured"],
    ]


def test_gradients_of_shared_arrays_are_sums_over_the_batch():
    def minissm(data):
        return {"m": lambda: (data["k"] * data["x"], (data["x"] * data["dy"]).sum(0), data["k"] * data["dy"])}

    data = {name: np.full((2, 3) if name != "k" else 3, 2.0, np.float32) for name in ("k", "x", "dy")}
    (y, dk, dx), step = measure.reference(SimpleNamespace(SHARED=("k",), minissm=minissm), data)
    assert (y.shape, dk.tolist(), dx.shape, step) == ((2, 3), [8.0] * 3, (2, 3), 1)
    assert y.dtype == np.float64


def test_the_file_is_whole_after_each_case(here, monkeypatch, tmp_path, capsys):
    """Ctrl-C in the second case."""

    def torch(data):
        if len(data["x"]) == 2:
            raise KeyboardInterrupt
        return doubled(data)

    path = tmp_path / "r.json"
    monkeypatch.setattr(command, "workloads", lambda: {"double": workload(torch=torch)})
    assert command.main(["--json", str(path)]) == 130
    stored = json.loads(path.read_text())
    assert {row["case"] for row in stored["rows"]} == {"size 9"}
    assert stored["ended"]
    assert "size 9" in capsys.readouterr().out


def test_a_report_that_can_no_longer_be_written_costs_no_measurement(here, monkeypatch, tmp_path, capsys):
    def torch(data):
        if folder.exists():
            folder.rmdir()
        return doubled(data)

    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.setattr(command, "workloads", lambda: {"double": workload(torch=torch)})
    assert command.main(["--quick", "--json", str(folder / "r.json")]) == 0
    out, err = capsys.readouterr()
    assert "PyTorch" in out
    assert "benchmarks: the report was not written: [Errno 2] No such file" in err


def test_a_failure_of_minissm_ends_with_exit_code_1(here, monkeypatch, capsys):
    failing = workload(torch=doubled)
    failing.minissm = lambda data: {"m": lambda: (2 * data["x"], 2 * data["dy"]) if len(data["x"]) == 1 else 1 / 0}
    monkeypatch.setattr(command, "workloads", lambda: {"double": failing})
    assert command.main(["--quick"]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().out


@pytest.mark.parametrize(
    "wrong", [["--only", "lti,W1"], ["--json", "nowhere/r.json"], ["--json", ""], ["--backend", "cupy"]]
)
def test_a_request_that_cannot_be_met_is_one_sentence(wrong, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert command.main(wrong) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)


def test_peers_that_are_missing_or_broken_are_one_sentence_each(monkeypatch):
    def broken(name, backend):
        raise OSError("libfoo.so\nis missing")

    monkeypatch.setattr(libraries, "PEERS", {"torch": broken, "jax": broken})
    monkeypatch.setattr(libraries.importlib.util, "find_spec", lambda name: None if name == "torch" else name)
    able, versions, absent = libraries.found("numpy")
    assert [library.name for library in able] == ["minissm"]
    assert versions == {}
    assert ["not installed" in absent[0], "libfoo.so is missing" in absent[1]] == [True, True]


def test_a_run_on_a_gpu_reaches_every_workload(monkeypatch, tmp_path, capsys):
    """CuPy is NumPy here: no figure is a GPU's."""
    cupy = fake_cupy.install(monkeypatch)
    monkeypatch.setattr(libraries, "PEERS", {})
    monkeypatch.setattr(measure, "QUICK", ONCE)
    for name, module in WORKLOADS.items():
        monkeypatch.setattr(module, "CASES", [TINY[name]])
        monkeypatch.setattr(module, "ON_CARD", [], raising=False)
    path = tmp_path / "r.json"
    assert command.main(["--backend", "cupy", "--quick", "--json", str(path)]) == 0
    stored = json.loads(path.read_text())
    assert {row["workload"] for row in stored["rows"]} == set(WORKLOADS)
    others = [row for row in stored["rows"] if row["workload"] not in ("linear", "training")]
    assert {row["library"] for row in others} == {"minissm"}
    assert stored["device"]["name"] == fake_cupy.NAME
    assert fake_cupy.NAME in capsys.readouterr().out
    assert cupy.get_default_memory_pool().freed > len(WORKLOADS)
    assert report.file_name(stored).startswith("bench-fake-card")


@pytest.mark.parametrize(("mixer", "products"), [("ssm", 4 * 6 + 3), ("attn", 2 * (6 + 6) + 2 * 6 + 3)])
def test_the_bound_of_a_training_on_a_gpu_is_its_products_there(mixer, products, rng, monkeypatch):
    """Three for each product of the forward, on arrays of the GPU; nothing else is launched."""
    data = training.data(rng, mixer, 6, 3, 26)
    assert set(training.bound(data)) == {f"products and exp, {size} rows, tiles of {T}" for size, T in training.BLOCKS}
    found = training.bound(data | {"params": launches.there(data["params"])})
    assert launches.launches(monkeypatch, found["products"]) == products


@pytest.mark.parametrize(("backend", "cases"), [("numpy", 2), ("cupy", 3)])
def test_a_step_is_timed_by_its_parts(backend, cases, monkeypatch, capsys):
    """CuPy is NumPy here, too."""
    fake_cupy.install(monkeypatch)
    tiny = TINY["training"]
    monkeypatch.setattr(training, "CASES", [tiny, tiny | {"mixer": "attn"}, {}])
    monkeypatch.setattr(training, "ON_CARD", [tiny])
    monkeypatch.setattr(parts, "ROUNDS", ONCE)
    assert parts.main(["--backend", backend]) == 0
    tables = capsys.readouterr().out.split("| part ")[1:]
    assert len(tables) == cases
    for table, mixer in zip(tables, ("ssm", "attn", "ssm"), strict=False):
        names = [line.split("|")[1].strip() for line in table.splitlines()[2:] if "|" in line]
        layers = [f"{layer} {way}" for layer in ("embed", mixer, "fnn", "head") for way in ("forward", "backward")]
        assert names == ["step", "forward", "backward", "clipping, AdamW", *layers]


def test_the_parts_are_those_of_the_step(rng):
    data = training.data(rng, "attn", 6, 3, 26)
    found = parts.parts(data)
    loss, gradient = train.loss_and_gradient(data["net"], data["params"], data["batch"])
    np.testing.assert_array_equal(found["forward"]()[0], loss)
    np.testing.assert_array_equal(found["backward"](), gradient)
    new, _, _ = found["step"]()
    tree.map(np.testing.assert_array_equal, found["clipping, AdamW"]()[0], new)


def test_without_a_gpu_the_parts_of_a_step_on_it_are_refused(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert parts.main(["--backend", "cupy"]) == 2
    assert capsys.readouterr().err.startswith("parts: backend 'cupy': CuPy ")


def test_methods_that_do_not_fit_together_are_timed_alone(monkeypatch):
    cupy, together = fake_cupy.install(monkeypatch), []

    def interleave(runs, rounds, timer):
        together.append(len(runs))
        if len(runs) > 1:
            raise cupy.OutOfMemoryError("full")
        return {key: [1.0] for key in runs}

    monkeypatch.setattr(measure.timing, "interleave", interleave)
    failures = []
    able = [Minissm("minissm", "cupy"), Library("torch", "cupy")]
    rows = rows_of(workload(torch=doubled), {"size": 2}, able, failures, cupy)
    assert [row["seconds"]["median"] for row in rows] == [1.0, 1.0]
    assert together == [2, 1, 1]
    assert [f["method"] for f in failures] == ["in turn"]


# ---- pages


def test_pages_are_written_between_their_markers(here, tmp_path):
    found = run(torch=doubled) | {"quick": False, "processor": "A(R) CPU", "instructions": "AVX9"}
    assert report.file_name(found) == "bench-a-cpu-avx9.json"
    results = tmp_path / "docs" / "results"
    results.mkdir(parents=True)
    pages = tmp_path / "docs" / "performance.md", tmp_path / "README.md"
    for page in pages:
        page.write_text(f"before\n{report.START}\nold\n{report.END}\nafter\n")
    (results / report.file_name(found)).write_text(json.dumps(found))
    written = report.pages(tmp_path)
    assert set(written) == set(pages)
    for text in written.values():
        assert text.startswith("before\n")
        assert text.endswith("\nafter\n")
        assert "old" not in text
        assert "AVX9" in text
    assert report.markdown(found).strip() in written[pages[0]]
    (results / "bench-other.json").write_text(json.dumps(found))
    with pytest.raises(ValueError, match="bench-a-cpu-avx9"):
        report.reports(results)
    with pytest.raises(ValueError, match="without the lines"):
        report.replaced("by hand", "new")


def test_the_latest_report_comes_first_and_an_older_version_is_marked(tmp_path):
    def stored(date, version, processor):
        row = {"workload": "w", "case": "c", "threads": 1, "library": "minissm", "method": "m", "bytes": None}
        row |= {"seconds": {"median": 1.0, "q1": 1.0, "q3": 1.0, "runs": 1}, "error": {"y": None, "gradient": None}}
        made = {"date": date, "quick": False, "processor": processor, "instructions": "", "device": None, "cores": 2}
        made |= {"packages": {"minissm": version}, "blas": "", "rows": [row], "ended": ""}
        made |= {"warnings": [], "absent": [], "failures": []}
        (tmp_path / "docs" / "results" / report.file_name(made)).write_text(json.dumps(made))

    (tmp_path / "docs" / "results").mkdir(parents=True)
    pages = tmp_path / "docs" / "performance.md", tmp_path / "README.md"
    for page in pages:
        page.write_text(f"{report.START}\n{report.END}")
    stored("2001-02-03", "0.1.0", "Ancient")
    stored("2002-02-03", "0.2.0", "Modern")
    page, readme = (report.pages(tmp_path)[path] for path in pages)
    modern, ancient = page.split("## Ancient")
    assert "## Modern" in modern
    assert "Of version" not in modern
    assert "Of version 0.1.0" in ancient
    assert "Modern" in readme


def test_the_committed_pages_say_what_their_reports_say():
    """After a new report: python -m benchmarks --write-docs."""
    for path, text in report.pages(measure.Path(measure.__file__).parents[2]).items():
        assert path.read_text() == text
