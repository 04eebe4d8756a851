"""Every tutorial runs, as a script and without a screen, and every claim that it asserts holds."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "tutorials"
ALL = pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)

# Warnings are errors, but for the one with which plt.show() says, on some systems, that Agg has no window.
STRICT = ["-W", "error", "-W", "ignore:FigureCanvasAgg is non-interactive:UserWarning"]


@ALL
def test_a_tutorial_runs_and_leaves_no_file(path, tmp_path):
    env = os.environ | {"MPLBACKEND": "Agg", "PYTHONIOENCODING": "utf-8"}
    run = [sys.executable, *STRICT, str(path)]
    done = subprocess.run(run, cwd=tmp_path, env=env, capture_output=True, text=True, encoding="utf-8", timeout=3000)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert list(tmp_path.iterdir()) == []


@ALL
def test_a_tutorial_is_py_percent_and_begins_with_its_title(path):
    text = path.read_text(encoding="utf-8")
    first, title = text.splitlines()[:2]
    assert first == "# %% [markdown]"
    assert title.startswith(f"# # {int(path.stem.split('_')[0])}. ")
    kind = "code"
    for line in text.splitlines():
        if line.startswith("# %%"):
            assert line in ("# %%", "# %% [markdown]")
            kind = "markdown" if line.endswith("[markdown]") else "code"
        else:
            assert kind == "code" or line == "" or line.startswith("#"), f"code in a text cell: {line}"
    assert "plt.show()" in text
