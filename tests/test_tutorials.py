"""Every tutorial and its answers run, as scripts and without a screen, and every claim that they assert holds."""

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "tutorials"
TUTORIALS = sorted(FOLDER.glob("[0-9]*.py"))
ANSWERS = sorted(FOLDER.glob("answers/*.py"))
TRAINED = [path for path in TUTORIALS if '"--train" in sys.argv' in path.read_text(encoding="utf-8")]
LINES, BYTES = 300, 200_000  # of a tutorial, and of a file with trained parameters

# Warnings are errors, but for the one with which plt.show() says, on some systems, that Agg has no window.
STRICT = ["-W", "error", "-W", "ignore:FigureCanvasAgg is non-interactive:UserWarning"]


def each(paths):
    return pytest.mark.parametrize("path", paths, ids=lambda path: f"{path.parent.name}-{path.stem}")


def run(folder, *arguments):
    env = os.environ | {"MPLBACKEND": "Agg", "PYTHONIOENCODING": "utf-8"}
    env |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")  # two spin where others want the cores
    command = [sys.executable, *STRICT, *map(str, arguments)]
    done = subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, encoding="utf-8", timeout=3000, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


@each(TUTORIALS)
def test_a_tutorial_runs_and_leaves_no_file(path, tmp_path):
    run(tmp_path, path)
    assert list(tmp_path.iterdir()) == []


@each(ANSWERS)
def test_the_answers_run_and_leave_no_file(path, tmp_path, monkeypatch):
    """In this process, to save the imports of another one."""
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@each(TRAINED)
def test_what_a_tutorial_claims_holds_for_a_model_that_is_trained_anew(path, tmp_path):
    """And the training writes all that the tutorial reads without it."""
    shutil.copy(path, tmp_path)
    run(tmp_path, tmp_path / path.name, "--train")
    run(tmp_path, tmp_path / path.name)


@each(TUTORIALS + ANSWERS)
def test_a_tutorial_is_py_percent_and_begins_with_its_title(path):
    text = path.read_text(encoding="utf-8")
    first, title = text.splitlines()[:2]
    number = int(path.stem.split("_")[0])
    assert first == "# %% [markdown]"
    assert title.startswith(f"# # {number}. " if path.parent == FOLDER else f"# # Answers to tutorial {number}")
    kind = "code"
    for line in text.splitlines():
        if line.startswith("# %%"):
            assert line in ("# %%", "# %% [markdown]")
            kind = "markdown" if line.endswith("[markdown]") else "code"
        else:
            assert kind == "code" or line == "" or line.startswith("#"), f"code in a text cell: {line}"


@each(TUTORIALS)
def test_a_tutorial_has_goals_figures_three_tasks_and_their_answers(path):
    text = path.read_text(encoding="utf-8")
    for part in ("**Goals**", "**You need**", "**Time**"):
        assert part in text.split("# %%\n")[0], f"{part} is missing at the beginning"
    assert len(text.splitlines()) <= LINES
    assert 2 <= text.count("plt.show()") <= 4
    tasks = re.findall(r"^# (\d)\. ", text[text.index("# ## To try\n") :], re.MULTILINE)
    answers = re.findall(r"^# ## (\d)\. ", (FOLDER / "answers" / path.name).read_text(encoding="utf-8"), re.MULTILINE)
    assert tasks == answers == ["1", "2", "3"]


def test_there_are_ten_tutorials_and_the_files_beside_them_are_small():
    assert [int(path.stem[:2]) for path in TUTORIALS] == list(range(1, 11))
    assert {path.name for path in ANSWERS} == {path.name for path in TUTORIALS}
    assert all(path.stat().st_size <= BYTES for path in (FOLDER / "trained").iterdir())


def test_the_list_of_tutorials_and_a_number_that_is_none(tmp_path):
    def call(*arguments):
        command = [sys.executable, "-m", "tutorials", *arguments]
        return subprocess.run(command, cwd=FOLDER.parent, capture_output=True, text=True, check=False)

    listed = call().stdout.splitlines()
    assert [int(line.split(".")[0]) for line in listed] == list(range(1, 11))
    assert all((FOLDER.parent / line.split()[-1]).exists() for line in listed)
    wrong = call("11", "--notebooks", str(tmp_path))
    assert wrong.returncode == 2
    assert "no tutorial 11; expected a number from 1, " in wrong.stderr
    assert not any(tmp_path.iterdir())
