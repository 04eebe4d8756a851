"""docs/gpu.md is true on machines with a GPU and without one."""

import configparser
import json
import re
from pathlib import Path
from types import SimpleNamespace

from minissm.fast.cuda import diagonal as cuda_modes
from minissm.fast.cuda import launch
from minissm.fast.cuda import linear as cuda_linear

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "gpu.md").read_text()


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
