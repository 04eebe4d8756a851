"""`--plugin FILE.py`: blocks, filters and tasks of one's own go through run, table, figure and --resume."""

import hashlib
import json
import re
import shutil
import sys
from unittest.mock import patch

import numpy as np
import pytest

from minissm import load, spec, tasks
from minissm.cli import main
from minissm.lab import compare, plugin, sweep
from minissm.lab.compare import resume, run
from minissm.lab.config import Config

from .runs import contents, few_sequences, lines, outcome, refused

TEXT = '''
from dataclasses import dataclass
import numpy as np
import minissm as ms
from minissm.lab import job

ms.tasks.Task.tested_on = job.VALIDATED_ON = 70  # a process of its own reads this file as well


@dataclass(frozen=True)
class Delay(ms.tasks.RealTask):
    """The input of `lag` tokens ago, in double precision, from a task that has lengths of its own."""

    lag: int = 1
    length: int = 9
    inputs = outputs = 2
    baseline = 2.0

    def batch(self, rng, n, step=0):
        x = rng.normal(size=(n, self.length, 2))
        counts = np.arange(self.length) >= self.lag
        return ms.tasks.Batch(x, np.roll(x, self.lag, axis=1), np.broadcast_to(counts, x.shape[:2]).astype(float))


@dataclass(frozen=True)
class Gate:
    """y = x g, one factor a channel."""

    scale: float = 1.0

    def init(self, rng, width):
        return {"g": rng.normal(self.scale, 0.1, width)}

    def size(self, width):
        return width

    def apply(self, p, x):
        return x * p["g"], lambda dy: ({"g": ms.layers.column_sums(dy * x)}, dy * p["g"])


@dataclass(frozen=True)
class Echo:
    """Two taps: y_t = k_0 u_t + k_1 u_{t-1}."""

    def init(self, rng, channels):
        return {"k": rng.normal(size=(channels, 2))}

    def size(self, channels):
        return 2 * channels

    def state_size(self, channels):
        return channels

    def __call__(self, p):
        return ms.Taps(p["k"]), lambda dtaps: {"k": dtaps.k}


for name, cls in (("delay", Delay), ("gate", Gate), ("echo", Echo)):
    ms.register(name, cls)
'''
SHA = hashlib.sha256(TEXT.encode()).hexdigest()
TASK = "delay(lag=2)"
MODELS = "attn + ssm + attn; echo(expand=2) + gate(scale=0.5)"  # the slow one first: another order in two processes


@pytest.fixture(autouse=True)
def nothing_is_registered_for_good(monkeypatch):
    few_sequences(monkeypatch)
    with (
        patch.dict(spec.BLOCKS),
        patch.dict(spec._names),
        patch.dict(tasks.TASKS),
        patch.dict(tasks._names),
        patch.dict(plugin._loaded, clear=True),
    ):
        yield
    for name in [name for name in sys.modules if name.startswith("minissm_plugin_")]:
        del sys.modules[name]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with mine.py."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(TEXT)
    return tmp_path


def test_a_task_a_block_and_a_filter_of_a_plugin_give_the_same_rows_with_one_and_two_processes(here):
    config = Config(TASK, tuple(MODELS.split(";")), 2, 16, (1e-2,), width=6, plugin="mine.py")
    (rows, *rest), again = (outcome(run(config, here / str(jobs), jobs)[0]) for jobs in (1, 2))
    assert (rows, *rest) == again
    assert [(row["task"], row["model"], row["seed"]) for row in rows] == [
        (TASK, model, seed) for seed in (0, 1) for model in config.models
    ]
    assert {row["plugin"] for row in rows} == {SHA}
    assert len({row["mean_squared_error"] for row in rows}) == 4
    assert json.loads((here / "1" / "run.json").read_text())["plugin_sha256"] == SHA
    assert not (here / "__pycache__").exists()


def test_a_task_whose_error_is_to_be_low_has_a_table_and_a_figure(here, capsys):
    """A real-valued task in the precision that was asked for; the rate with the lower error is shown."""
    arguments = ["--seeds", "1", "--steps", "30", "--budget", "300", "--lr", "1e-9,1e-2", "--dtype", "float64"]
    asked = ["run", TASK, "--plugin", "mine.py", "--models", "echo + gate", *arguments, "--jobs", "1", "--out", "out"]
    assert main(asked) == 0
    head, names, model, baseline, _, files = capsys.readouterr().out.splitlines()[-6:]
    slow, fast = lines(here / "out" / "results.jsonl")
    assert slow["loss"] == slow["mean_squared_error"] > fast["mean_squared_error"] > 0
    assert head.startswith("delay(lag=2): 30 steps; median over seeds")
    assert re.split(r"\s{2,}", names)[4:] == ["lr", "mean squared error", "share of variance", "seconds"]
    shown = re.split(r"\s{2,}", model)
    assert (shown[0], shown[4:7]) == (
        "echo + gate",
        ["0.01", f"{fast['mean_squared_error']:.3f}", f"{fast['share_of_variance']:.3f}"],
    )
    assert baseline.split() == ["baseline", "2.000"]
    drawn = (here / "out" / "figure.svg").read_text()
    assert "mean squared error on fresh sequences" in drawn
    assert f"{fast['mean_squared_error']:.3f}" in drawn
    assert load(here / "out" / fast["weights"])[0].dtype == "float64"
    assert files.startswith("rows: out")


BROKEN = {
    "missing": (None, "run: plugin 'mine.py' can't be read (No such file or directory); give a Python file"),
    "raises": ("x = 1 // 0", "plugin 'mine.py' can't be run (ZeroDivisionError: "),
    "exits": ("raise SystemExit(3)", "plugin 'mine.py' can't be run (SystemExit: 3); mend it"),
    "no Python": ("one two\n", "plugin 'mine.py' can't be run (SyntaxError: invalid syntax"),
    "no text": ("\0", "plugin 'mine.py' can't be run ("),  # ValueError before Python 3.11.4, SyntaxError since
    "a taken name": ("import minissm as ms; ms.register('recall', ms.tasks.Copying)", "'recall' is a task of minissm"),
    "another task": (TEXT.replace('"delay"', '"late"'), "unknown task 'delay'; expected one of copying, recall, "),
}


@pytest.mark.parametrize(("text", "words"), BROKEN.values(), ids=BROKEN)
def test_a_plugin_that_fails_is_refused_in_one_sentence(here, capsys, text, words):
    (here / "mine.py").unlink() if text is None else (here / "mine.py").write_text(text)
    assert words in refused(capsys, "run", "delay", "--plugin", "mine.py", "--out", "out")
    assert not (here / "out").exists()


def test_a_plugin_that_changes_is_run_anew(here):
    assert plugin.load("mine.py") == plugin.load("mine.py") == SHA
    (here / "mine.py").write_text(TEXT.replace("lag: int = 1", "lag: int = 3"))
    assert plugin.load("mine.py") != SHA
    assert tasks.parse("delay").lag == 3, "of the same length and time: importlib would read the old one's bytecode"


@pytest.fixture
def stopped(here):
    """One of two runs is finished, then Ctrl-C."""

    def stop(job, on_step, **options):
        if job.seed:
            raise KeyboardInterrupt
        return run_job(job, on_step, **options)

    run_job = compare.run_job
    with patch.object(compare, "run_job", stop), pytest.raises(KeyboardInterrupt, match="1 of 2 runs are finished"):
        run(Config(TASK, ("gate",), 2, 5, width=3, plugin="mine.py"), "out")
    plugin._loaded.clear()
    return here / "out"


def test_a_stopped_run_goes_on_with_its_plugin(stopped, capsys, monkeypatch):
    monkeypatch.setattr(sweep, "comparison", lambda *_: ["undrawn"])
    assert main(["run", TASK, "--resume", "out", "--jobs", "1"]) == 0
    assert [row["plugin"] for row in lines(stopped / "results.jsonl")] == [SHA, SHA]
    shutil.copy("mine.py", "other.py")
    assert main(["run", TASK, "--resume", "out", "--plugin", "mine.py"]) == 0
    capsys.readouterr()
    err = refused(capsys, "run", TASK, "--resume", "out", "--plugin", "other.py")
    assert "--plugin is other.py, but out was begun with mine.py; leave it" in err


@pytest.mark.parametrize("text", [TEXT + "\n", "print('run')", None], ids=["longer", "another", "removed"])
def test_a_stopped_run_does_not_go_on_with_another_plugin(stopped, here, text, capsys):
    (here / "mine.py").unlink() if text is None else (here / "mine.py").write_text(text)
    before = contents(stopped)
    err = refused(capsys, "run", TASK, "--resume", "out")  # without what the other plugin prints
    reason = "can't be read (No such" if text is None else f"has changed since the run began (SHA-256 {SHA[:12]}, "
    assert err.startswith(f"minissm run: plugin 'mine.py' {reason}")
    assert contents(stopped) == before


def test_a_plugin_that_changes_during_a_run_ends_it(here):
    """A process that starts later would compute something else under the same name."""
    job = Config(TASK, ("gate",), 1, 1, width=3, plugin="mine.py").work()[0]
    (here / "mine.py").write_text(TEXT + "\n")
    with pytest.raises(ValueError, match=r"^run: plugin 'mine.py' has changed since the run began \(SHA-256"):
        compare.run_job(job)


def test_a_score_that_is_not_finite_is_printed_and_resumed(here):
    text = TEXT.replace("np.roll(x, self.lag, axis=1)", "np.roll(x, self.lag, axis=1) * 0")  # no variance to explain
    (here / "mine.py").write_text(text)
    folder, (row,), _ = run(Config(TASK, ("gate",), 1, 5, width=3, plugin="mine.py"), "out")
    assert row["share_of_variance"] is None
    assert "share of variance nan" in compare.line(row)
    assert resume(folder)[1] == [row]
    assert np.isfinite(row["mean_squared_error"])
