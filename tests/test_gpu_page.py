"""docs/gpu.md and the last cells of tutorial 08 are true on machines with a GPU and without one."""

import ast
import configparser
import json
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure

from minissm.fast.cuda import diagonal as cuda_modes
from minissm.fast.cuda import launch
from minissm.fast.cuda import linear as cuda_linear
from minissm.lab.bench import page

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "gpu.md").read_text()
TUTORIAL = (ROOT / "tutorials" / "08_swap_the_backend.py").read_text(encoding="utf-8")


@pytest.fixture
def cells():
    """What tutorial 08 imports and defines, and its styles, without what it measures."""
    wanted = {"PLACE"}
    named = lambda s: isinstance(s, ast.Assign) and {getattr(t, "id", "") for t in s.targets} & wanted  # noqa: E731
    kept = [
        s for s in ast.parse(TUTORIAL).body if isinstance(s, ast.Import | ast.ImportFrom | ast.FunctionDef) or named(s)
    ]
    names: dict = {"cp": None, "CLONE": ROOT}
    plt.switch_backend("Agg")
    exec(compile(ast.Module(kept, []), "08_swap_the_backend.py", "exec"), names)
    yield names
    plt.close("all")


def report(**changes):
    """As `minissm bench --backend cupy` writes it; the numbers are made up, and the card's name says so."""
    rows = []
    for D, lengths in ((16, (64, 256, 1024)), (1024, (64,))):
        for L in lengths:
            times = {
                ("numpy", "chunked"): L,
                ("numpy", "fft"): 2 * L,
                ("cupy", "kernel"): 300,
                ("cupy", "chunked"): 400,
            }
            for (backend, method), us in times.items():
                row = {"backend": backend, "method": method, "B": 8, "D": D, "N": 16, "L": L}
                rows.append(row | {"seconds": {"median": 1e-6 * us}})
    return {"processor": "Any", "date": "2026-01-01", "device": {"name": "No card"}, "crossover": rows} | changes


def looks(figure):
    """Of each line of the first panel, in whatever order they were drawn."""
    of = ("color", "marker", "linestyle", "markerfacecolor", "linewidth")
    lines = figure.axes[0].lines
    return sorted((*(str(getattr(line, f"get_{name}")()) for name in of), line.get_xydata().tolist()) for line in lines)


def test_only_reports_of_a_card_are_drawn(cells, tmp_path):
    folder = tmp_path / "docs" / "results"
    folder.mkdir(parents=True)
    for name, content in {"card": report(), "cpu": report(device=None), "old": {"rows": []}}.items():
        (folder / f"bench-{name}.json").write_text(json.dumps(content))
    assert cells["reports_of_cards"](tmp_path) == [report()]
    assert cells["reports_of_cards"](None) == []


def test_the_crossover_of_a_card_is_told_and_drawn(cells, capsys):
    rows = report()["crossover"]
    cells["tell"](rows)
    told = capsys.readouterr().out
    assert "the GPU's best method is faster from L = 1024 on" in told  # at width 16
    assert "the GPU's best method is not faster at L = 64" in told  # at width 1024, where no slope can be had
    assert "CPU chunked        0.064 ms at L = 64,     1.024 ms at 1024,    1.00 us a token, L^1.00" in told
    figure = cells["draw"](rows, "title")
    assert [axis.get_title() for axis in figure.axes] == ["B = 8, width 16, 16 modes", "B = 8, width 1024, 16 modes"]
    assert [line.get_label() for line in figure.axes[0].lines] == [
        "CPU: chunked",
        "CPU: fft",
        "GPU: kernel",
        "GPU: chunked",
    ]
    assert [line.get_linestyle() for line in figure.axes[0].lines] == ["-", "-", "--", "--"]
    other = Figure()
    page._crossover(other, rows)  # the bench draws the same points in the same way
    assert looks(other) == looks(figure)


def test_skipped_tests_are_not_told_as_a_pass(cells, monkeypatch):
    done = SimpleNamespace(stdout="9 skipped in 1.00s\n", stderr="", returncode=0)
    asked = []
    monkeypatch.setattr(subprocess, "run", lambda command, **options: asked.append((command, options)) or done)
    assert cells["gpu_tests"]() == "run this in a clone of the library: python -m pytest -m gpu"
    assert asked == []  # pytest is running already
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    assert cells["gpu_tests"]() == "9 skipped in 1.00s\nno GPU here: this is not a GPU pass"
    assert (asked[0][0][1:5], asked[0][1]["cwd"]) == (["-m", "pytest", "-m", "gpu"], ROOT)
    done.returncode = 1
    assert "FAILED: pytest ended with 1" in cells["gpu_tests"]()
    cells["CLONE"] = None
    assert cells["gpu_tests"]() == "run this in a clone of the library: python -m pytest -m gpu"


def test_a_clock_and_marks_in_a_queue_give_seconds(cells):
    events = []
    cells["cp"] = SimpleNamespace(
        cuda=SimpleNamespace(
            Event=lambda: SimpleNamespace(
                record=lambda: events.append("mark"), synchronize=lambda: events.append("wait")
            ),
            get_elapsed_time=lambda begin, end: 250.0,
        )
    )
    assert cells["by_events"](lambda a: events.append(a), ["work"]) == 0.25
    assert events == ["mark", "work", "mark", "wait"]
    assert 0 <= cells["by_clock"](lambda: None, []) < 1


def test_the_page_says_whether_a_gpu_was_measured():
    reports = [json.loads(path.read_text()) for path in (ROOT / "docs" / "results").glob("bench-*.json")]
    measured = any(report.get("device") for report in reports)
    for path, sentence in (
        ("docs/gpu.md", "**Not measured on a GPU.**"),
        ("docs/gpu.md", "Neither has been measured yet."),
        ("README.md", "Not yet run on a GPU."),
        ("docs/architecture.md", "that they have not yet run on a GPU"),
    ):
        assert (sentence in (ROOT / path).read_text()) != measured, (
            f"{path}: to be changed by hand (docs/performance.md)"
        )


def test_the_errors_of_the_page_are_those_of_the_library():
    source = "".join((ROOT / "minissm" / f"{name}.py").read_text() for name in ("gpu", "backend"))
    told = re.findall(r'^\| "([^"]+)" \|', PAGE, re.MULTILINE)
    assert len(told) >= 9
    for sentence in told:
        assert sentence in source, sentence


def test_the_extras_and_the_check_of_the_page_are_there():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    for extra in ("cuda12", "cuda13"):
        assert f"pip install -e '.[{extra}]'" in PAGE
        assert f"cupy-{extra}x[ctk]" in setup["options.extras_require"][extra]
    assert "\nminissm bench --backend cupy && pytest -m gpu\n" in PAGE


def test_a_file_that_is_skipped_as_a_whole_breaks_no_summary():
    from .conftest import pytest_terminal_summary

    lines = []
    test = SimpleNamespace(keywords={"gpu": 1}, longrepr=("", 0, "Skipped: no GPU"))
    file = SimpleNamespace(longrepr=("", 0, "Skipped: no torch"))  # pytest's CollectReport has no keywords
    config = SimpleNamespace(option=SimpleNamespace(markexpr="not slow"))
    reporter = SimpleNamespace(stats={"skipped": [test, file]}, line=lines.append, section=lines.append, config=config)
    pytest_terminal_summary(reporter)
    assert "1 GPU tests not run: pytest -m gpu, where there is a GPU" in lines
    config.option.markexpr = "gpu"  # who has asked for them is not told to
    pytest_terminal_summary(reporter)
    assert "1 GPU tests not run: there is no GPU that CuPy computes on" in lines
    assert "Skipped: no torch" in lines


def test_the_kernels_of_the_page_are_there():
    assert set(re.findall(r"^\| `(\w+\.cu)` \|", PAGE, re.MULTILINE)) == {
        path.name for path in launch.FOLDER.glob("*.cu")
    }
    assert f"a block has {cuda_linear.LANES} channels" in PAGE
    assert f"in chunks of {cuda_modes.Q} steps" in PAGE
