"""The command line: a wrong request is one sentence and nothing else, and a run can be stopped at any moment."""

import contextlib
import errno
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

import minissm
from minissm.checkpoint import load_tree
from minissm.cli import _parser, main
from minissm.files import write_whole
from minissm.lab import compare, config as settings, demo, machine, readme, results, sweep, workers
from minissm.lab.repeat import job_of
from minissm.progress import Progress
from minissm.tasks import TASKS

from .runs import command, contents, few_sequences, lines, outcome, refused, said, whole_rows

TINY = ["--models", "ssm", "--seeds", "1", "--steps", "2", "--budget", "600", "--jobs", "1"]


@pytest.fixture(autouse=True, scope="module")
def few_test_sequences():
    with pytest.MonkeyPatch.context() as patch:
        few_sequences(patch)
        yield


@pytest.fixture
def undrawn(monkeypatch):
    """Two files are written where the figures would be: drawing them takes a second."""

    def figures(rows, curves, folder):
        for path in (paths := [folder / "figure.png", folder / "figure.svg"]):
            write_whole(path, lambda file: file.write(b"drawn"))
        return paths

    monkeypatch.setattr(sweep, "figures", figures)


stoppable = pytest.mark.skipif(os.name == "nt", reason="signals as POSIX has them")


def buffered():
    """The environment, with Python's output buffered as it is by default."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


# ---- wrong requests

BAD = {
    "table of nothing": (["table"], "required: DIR_OR_JSONL"),
    "table of no file": (["table", "nowhere"], "table: nowhere can't be read (No such file"),
    "row of no file": (["run", "--row", "nowhere:1"], "nowhere can't be read (No such file"),
    "row without a number": (["run", "--row", "nowhere"], "expected FILE:N, a file of rows and the number of a line"),
    "sweep of nothing": (["run", "copying", "--vary", "max_len"], "can't read 'max_len'; expected NAME=VALUE,"),
    "sweep of an unknown name": (
        ["run", "copying", "--vary", "pairs=1,2"],
        "unknown name 'pairs'; expected one of lr,",
    ),
    "two sweeps of one": (["run", "copying", "--vary", "lr=1,2", "--lr", "1"], "a setting is varied twice"),
    "a setting and its sweep": (["run", "copying", "--vary", "steps=1,2", "--steps", "3"], "given beside its sweep"),
    "a width and a sweep of budgets": (
        ["run", "copying", "--vary", "budget=600,700", "--width", "3"],
        "both --width and --budget given",
    ),
    "a row and a task": (
        ["run", "copying", "--row", "a:1", "--steps", "3"],
        "run: --row and --steps, TASK given; a row",
    ),
    "a row without a file": (["run", "--row", "3"], "run: --row '3'; expected FILE:N"),
    "test of another size": (["run", "copying", "--test", "recall"], "the test recall has vocab 12, but copying has"),
    "unknown command": (["walk"], "'walk'"),
    "unknown command of two lines": (["wa\nlk"], "lk'"),
    "no task": (["run"], "run: no TASK given; expected one like recall"),
    "unknown flag": (["run", "copying", "--colour", "red"], "unrecognized arguments: --colour red"),
    "a flag that is nearly right": (["run", "copying", "--model", "ssm"], "--model ssm; did you mean --models?; see"),
    "one of bench": (["bench", "--lenght=3"], "--lenght=3; did you mean --length?; see minissm bench --help"),
    "no quotes": (["run", "copying", "--models", "ssm", "+", "fnn1"], "+ fnn1; a spec with spaces needs quotes: --m"),
    "no quotes before the task": (["run", "--models", "ssm", "+", "fnn1", "copying"], "needs quotes: --models"),
    "unknown flag of two lines": (["run", "copying", "--col\nour"], "unrecognized arguments: --col our"),
    "abbreviated flag": (["run", "copying", "--see", "1"], "unrecognized arguments: --see 1"),
    "flag without value": (["run", "copying", "--seeds"], "--seeds"),
    "no value but --": (["run", "copying", "--models=--"], "an option is given the value --; expected another"),
    "two tasks": (["run", "copying", "recall"], "unrecognized arguments: recall"),
    "unknown task": (["run", "walking"], "unknown task 'walking'; expected one of copying, recall"),
    "unknown profile": (["run", "copying", "--profile", "slow"], "unknown profile 'slow'; expected one of quick, full"),
    "unknown mode": (["run", "copying", "--mode", "slow"], "unknown mode 'slow'; expected one of auto, recurrent"),
    "unknown backend": (["run", "copying", "--backend", "torch"], "backend='torch'; expected numpy or cupy"),
    "no CuPy": (["run", "copying", "--backend", "cupy"], "backend 'cupy': CuPy is not installed; install"),
    "width and budget": (["run", "copying", "--width", "8", "--budget", "900"], "both --width and --budget given"),
    "budget too small": (["run", "copying", "--budget", "10"], "budget=10; "),
    "width too large": (["run", "copying", "--width", "1000000"], "expected 300,000,000 at most, give smaller"),
    "task too long": (
        ["run", "copying(max_len=1000000)", "--models", "ssm"],
        "a length of 2,000,001; expected 2,000,000 at most",
    ),
    "state too large": (["run", "copying", "--models", "trig(window=1000000)"], "in the states of a batch; expected"),
    "too many processes": (["run", "copying", "--jobs", "1000000"], "--jobs 1000000; this machine has"),
    "width beyond any array": (["run", "copying", "--width", "9" * 30], "minissm "),
    "resume of nothing": (["run", "copying", "--resume", "none"], "resume: no run in none (run.json: No such file"),
    "resume without a name": (["run", "copying", "--resume", ""], "resume: no run in . (run.json"),
    "resume and out": (["run", "copying", "--resume", "a", "--out", "b"], "both --resume and --out given; "),
}
for option in ("seeds", "steps", "width", "budget", "jobs"):
    for value in ("0", "-1", "two", "1.5", "1.5e0", "1e-3", "1e999", "", "inf", "9" * 5000):
        BAD[f"{option} {value[:9]}"] = (["run", "copying", f"--{option}={value}"], f"--{option}: ")
for value in ("0", "-1e-3", "nan", "inf", "1e999", "1e-3,0"):
    BAD[f"lr {value}"] = (["run", "copying", f"--lr={value}"], "expected different numbers above 0")
for value in ("", "much", ",", "1e-3,", "1e-3;1e-2"):
    BAD[f"lr {value}"] = (["run", "copying", f"--lr={value}"], "--lr: ")
for spec, words in {
    "": "the spec is empty; expected blocks joined by +",
    ";": "the spec is empty",
    "ssm; ;fnn1": "the spec is empty",
    "ssm; ssm(poles=8)": "the model 'ssm' is given twice",
    "gru": "unknown block 'gru' in 'gru'; expected one of ssm, trig, fir",
    "fnn": "unknown block 'fnn'",
    "fnn\u0661": "unknown block",
    "ssm(colour=3)": "unknown option 'colour'; expected one of ",
    "ssm(poles=0)": "poles=0; expected an integer, 1 or more",
    "ssm(poles=1e999)": "poles=inf; expected an integer",
    f"ssm(poles=1{'0' * 400})": "minissm ",
    "ssm(dt=(1, 0.1))": "expected 0 < low <= high",
    "ssm(filter='fir')": "unknown option 'filter'; expected one of ",
    "attn(heads=0)": "heads=0; expected an integer",
    "attn(max_len=3)": "a sequence of L=25, but positions for 3",
    "ssm(": "can't read 'ssm('; expected a call like",
    "ssm + + fnn1": "can't read 'ssm + + fnn1'; expected blocks joined by +",
    "ssm fnn1": "can't read 'ssm fnn1'",
    "ssm(16)": "a value without a name",
    "ssm(poles=n)": "is not a plain value",
    "ssm(poles=2**99**99)": "is not a plain value",
    "ssm(variant='\\d')": "can't read",
    "__import__('os').mkdir('evil')": "can't read",
    "ssm(poles=__import__('os').mkdir('evil'))": "is not a plain value",
    "ssm\0": "can't read",
    "s" * 100_000: "unknown block 'sss",
    "ssm(poles=" + "9" * 100_000 + ")": "can't read",
    "(" * 100_000: "can't read",
    "ssm(dt=" + "(" * 150 + ")" * 150 + ")": "dt=();",
    " + ".join(["ssm"] * 5000): "minissm ",
    "ssm(poles=" + "-" * 5000 + "1)": "minissm ",
}.items():
    BAD[f"models {spec[:40]!r} {len(spec)}"] = (["run", "copying", f"--models={spec}"], words)
for spec, words in {
    "": "task: can't read ''; expected a call like recall(pairs=8)",
    "recall(": "task: can't read 'recall('",
    "recall + copying": "task: can't read 'recall + copying'; expected one of copying, recall, ",
    "recall(colour=3)": "recall: unknown option 'colour'; expected one of pairs, keys, values, queries",
    "recall(8)": "recall: a value without a name in 'recall(8)'; write recall(option=value)",
    "recall(pairs=n)": "is not a plain value",
    "recall(pairs=0)": "recall: pairs=0; expected an integer, 1 or more",
    "recall(queries=5)": "queries=5, pairs=4, keys=6; expected queries <= pairs <= keys",
    "copying(min_len=9, max_len=3)": "copying: min_len=9, max_len=3; expected min_len <= max_len",
    "(" * 100_000: "can't read",
}.items():
    BAD[f"task {spec[:40]!r}"] = (["run", spec], words)


@pytest.mark.parametrize(("arguments", "words"), BAD.values(), ids=BAD)
def test_a_wrong_request_is_one_sentence_and_leaves_nothing(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert words in refused(capsys, *arguments)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("", "out: the name is empty"),
        ("notes.txt", "out: notes.txt is a file; expected a folder"),
        ("notes.txt/below", "out: can't write to notes.txt"),
        ("new/notes.txt/../../notes.txt/x", "out: can't write to new"),
        ("a" * 300, "(File name too long); choose another folder"),
        ("new/" + "a" * 300, "(File name too long); choose another folder"),
        ("old", "out: old holds the results of another run (results.jsonl); choose another folder"),
        ("project", f"out: {os.path.join('project', 'README.txt')} would be overwritten; choose another folder"),
    ],
)
def test_an_out_that_cannot_be_used_is_refused_and_stays_as_it_is(given, words, tmp_path, monkeypatch, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "results.jsonl").write_text("rows")
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "README.txt").write_text("a text by somebody else")
    monkeypatch.chdir(tmp_path)
    before = contents(tmp_path)
    assert words in refused(capsys, "run", "copying", *TINY, "--out", given)
    assert contents(tmp_path) == before
    assert sorted(os.listdir(tmp_path)) == ["notes.txt", "old", "project"]


@stoppable
def test_a_wrong_request_from_a_shell_with_stdout_closed_and_stderr_in_ascii(tmp_path):
    """python -m minissm run w\u00e4lking >&-"""
    arguments = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "minissm", "run", "w\u00e4lking"]
    env = buffered() | {"PYTHONIOENCODING": "ascii:strict", "PYTHONUTF8": "1"}
    done = subprocess.run(arguments, cwd=tmp_path, stderr=subprocess.PIPE, env=env)
    assert done.returncode == 2
    assert (
        done.stderr == b"minissm task: unknown task 'w\\xe4lking'; expected one of " + ", ".join(TASKS).encode() + b"\n"
    )
    assert os.listdir(tmp_path) == []


class Stream(io.TextIOWrapper):
    """A text stream in ASCII. What it takes is in `taken`. With an error, a flush fails, as a pipe's does."""

    def __init__(self, error=None):
        self.error, self.taken = error, io.BytesIO()
        super().__init__(self.taken, "ascii")

    def flush(self):
        super().flush()
        if self.error:
            raise OSError(self.error, os.strerror(self.error))


def closed():
    stream = Stream()
    stream.close()
    return stream


@pytest.mark.parametrize("stream", [lambda: None, closed, Stream], ids=["none", "closed", "ascii"])
def test_a_run_needs_no_streams(stream, tmp_path, monkeypatch, undrawn):
    out, err = stream(), stream()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        code = command("run", "copying", *TINY, "--out", str(tmp_path / "\u00f6"))
        wrong = command("run", "copying", *TINY, "--out", str(tmp_path / "\u00f6"))
        helped = command("run", "--help")
    assert (code, wrong, helped) == (0, 2, 0)
    assert len(whole_rows(tmp_path / "\u00f6")) == 1
    if isinstance(out, Stream) and not out.closed:
        assert b"\\xf6/results.jsonl" in out.taken.getvalue()
        assert b"\\xf6 holds the results of another run" in err.taken.getvalue()


@pytest.mark.parametrize(
    ("error", "words"),
    [(errno.EPIPE, "the reader of the output has gone"), (errno.ENOSPC, "can't print (No space left on device)")],
)
def test_a_run_that_cannot_print_its_first_line_leaves_nothing(error, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for out in ([], ["--out", "new/below"]):
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", Stream(error))
            assert command("run", "copying", *TINY, *out) == 2
        assert capsys.readouterr().err == f"minissm: {words}; give it a file instead\n"
    assert set(os.listdir(tmp_path)) <= {"runs"}
    assert not os.path.exists("runs")


def test_a_stderr_that_fails_changes_no_exit_code(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Stream(errno.ENOSPC))
    assert command("run", "walking") == 2


@pytest.mark.parametrize("arguments", [[], ["--help"], ["run", "--help"], ["info", "--help"]], ids=" ".join)
def test_help_goes_to_stdout(arguments, capsys):
    assert command(*arguments) == 0
    out, err = capsys.readouterr()
    assert out.startswith("usage: minissm")
    assert err == ""


def test_no_argument_prints_three_examples_that_are_commands(capsys):
    assert command() == 0
    examples = re.findall(r"^  minissm (.*?)(?:   .*)?$", capsys.readouterr().out, re.MULTILINE)
    assert len(examples) == 3
    for text in examples:
        _parser().parse_args(shlex.split(text.replace("--help", "recall")))


def test_the_version(capsys):
    assert command("--version") == 0
    assert capsys.readouterr().out == f"minissm {minissm.__version__}\n"


# ---- a run


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], (settings.MODELS, 3, 1500, (8e-3,), 30_000, None)),
        (["--profile", "full"], (settings.MODELS, 5, 4000, (4e-3, 8e-3, 16e-3), 30_000, None)),
        (["--profile", "full", "--seeds", "2", "--lr", "0.5"], (settings.MODELS, 2, 4000, (0.5,), 30_000, None)),
        (["--models", "ssm ;fnn1(act='gelu')", "--width", "8"], (("ssm", "fnn1"), 3, 1500, (8e-3,), 30_000, 8)),
        (["--steps", "7e0", "--budget", "9E2"], (settings.MODELS, 3, 7, (8e-3,), 900, None)),
    ],
    ids=lambda value: " ".join(map(str, value))[:60],
)
def test_what_is_given_replaces_what_the_profile_says(arguments, expected, monkeypatch, capsys):
    def run(config, *_, **__):
        found.append((config.models, config.seeds, config.steps, config.lrs, config.budget, config.width))
        raise ValueError("enough")

    found = []
    monkeypatch.setattr(compare, "run", run)
    assert refused(capsys, "run", "copying", *arguments) == "minissm enough\n"
    assert found == [expected]


def test_a_process_a_core_and_one_alone_under_a_debugger(monkeypatch):
    def run(config, out, jobs, cluster):
        found.append(jobs)
        raise ValueError("enough")

    found = []
    monkeypatch.setattr(compare, "run", run)
    monkeypatch.setattr(machine, "cores", lambda: 5)
    for trace in (lambda: None, lambda: "a debugger"):
        monkeypatch.setattr(sys, "gettrace", trace)
        command("run", "copying")
        command("run", "copying", "--jobs", "3")
    assert found == [5, 3, 1, 3]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """folder, exit code, stdout, stderr of a tiny real run with two models, seeds and learning rates."""
    folder = tmp_path_factory.mktemp("cli") / "out"
    out, err = io.StringIO(), io.StringIO()
    arguments = ["--models", "ssm; attn + fnn1", "--seeds", "2", "--steps", "4", "--budget", "700", "--jobs", "1"]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["run", "recall", *arguments, "--lr", "1e-2,1e-3", "--mode", "fft", "--out", str(folder)])
    return folder, code, out.getvalue(), err.getvalue()


def test_a_run_writes_rows_curves_weights_and_figures(done):
    folder, code, _, err = done
    assert (code, said(err)) == (0, "")
    rows = whole_rows(folder)
    files = ["README.txt", "curves.jsonl", "results.jsonl", "run.json", "runs", "weights"]
    files = sorted([*files, *(f"{name}.{kind}" for name in ("figure", "rates") for kind in ("png", "svg"))])
    assert sorted(os.listdir(folder)) == files
    assert len(rows) == 8 == len(list((folder / "weights").iterdir()))
    assert list(rows[0]) == [
        *("task", "model", "vary", "seed", "lr", "steps", "net", "parameters", "state_size", "weights", "plugin"),
        *("token_accuracy", "sequence_accuracy", "loss", "validation", "steps_to_95", "influence", "influence_top"),
        *("tests", "stopped", "seconds", "cpu_seconds", "versions"),
    ]
    assert {(r["model"], r["seed"], r["lr"]) for r in rows} == {
        (m, s, lr) for m in ("ssm", "attn + fnn1") for s in (0, 1) for lr in (1e-2, 1e-3)
    }
    assert len(lines(folder / "curves.jsonl")) == 8 * 4
    assert json.loads((folder / "run.json").read_text())["models"] == ["ssm", "attn + fnn1"]


def test_the_table_shows_for_each_model_the_rate_with_the_best_validation(done):
    folder, _, out, _ = done
    rows = lines(folder / "results.jsonl")
    announced, *printed = out.splitlines()
    assert announced.endswith(f"results go to {folder}")
    assert [line.split("  ")[0] for line in printed[:8]] == [row["model"] for row in rows]
    assert printed[9].startswith("recall: 4 steps; median over seeds")
    for line, model in zip(printed[11:13], ["ssm", "attn + fnn1"], strict=True):
        validated = {}
        for row in rows:
            if row["model"] == model:
                validated.setdefault(row["lr"], []).append(row["validation"])
        best = max(validated, key=lambda lr: sum(validated[lr]))
        reached = [row["token_accuracy"] for row in rows if (row["model"], row["lr"]) == (model, best)]
        assert line.startswith(f"{model} ")
        assert f"  {best:g}  " in line
        assert f"{sum(reached) / 2:.3f} ({min(reached):.3f} to {max(reached):.3f})" in line
    assert printed[13].split() == ["baseline", f"{TASKS['recall']().baseline:.3f}"]
    assert printed[14:16] == [f"{model}: no rate of 0.01, 0.001 reached .95" for model in ("ssm", "attn + fnn1")]
    assert printed[17] == f"rows: {folder / 'results.jsonl'}   figure: {folder / 'figure.png'}"


def test_a_task_has_options(tmp_path, capsys, undrawn):
    arguments = ["--models", "fnn0", "--seeds", "1", "--steps", "1", "--width", "2", "--jobs", "1"]
    assert command("run", "recall( values=8, pairs=8 )", *arguments, "--out", str(tmp_path / "out")) == 0
    (row,) = whole_rows(tmp_path / "out")
    assert row["task"] == "recall(pairs=8, values=8)"
    assert "vocab=18, width=2" in row["net"]
    out = capsys.readouterr().out
    assert "recall(pairs=8, values=8): 1 steps; median" in out
    assert f"{TASKS['recall'](pairs=8, values=8).baseline:.3f}" in out
    assert command("run", "recall(pairs=8,values=8)", "--resume", str(tmp_path / "out")) == 0
    capsys.readouterr()
    assert "TASK is recall, but" in refused(capsys, "run", "recall", "--resume", str(tmp_path / "out"))


def test_a_loss_that_explodes_ends_with_a_table_and_exit_code_1(tmp_path, capsys, undrawn):
    arguments = ["--lr", "1e-3,1e30", "--steps", "9", "--models", "ssm;attn", "--seeds", "1", "--budget", "900"]
    assert command("run", "copying", *arguments, "--jobs", "1", "--out", str(tmp_path / "out")) == 1
    out, err = capsys.readouterr()
    rows = whole_rows(tmp_path / "out")
    assert [row["stopped"][:13] for row in rows] == ["", "", "the loss was ", "the loss was "]
    assert out.count("stopped: the loss was") == 2
    assert "  1e+30  " not in out.split("\n\n")[1], "the table"
    assert said(err) == ""


# ---- a run that goes on


def test_a_finished_run_gives_its_table_and_figure_again(done, tmp_path, monkeypatch, capsys, undrawn):
    folder = shutil.copytree(done[0], tmp_path / "out")
    (folder / "figure.png").unlink()
    monkeypatch.setattr(compare, "run_job", lambda *_, **__: pytest.fail("trained"))
    assert command("run", "recall", "--resume", str(folder), "--jobs", "2") == 0
    out, err = capsys.readouterr()
    table = done[2].split("\n\n")[1]
    assert table in out
    assert out.splitlines()[-1] == f"rows: {folder / 'results.jsonl'}   figure: {folder / 'figure.png'}"
    assert (folder / "figure.png").exists()
    assert said(err) == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["copying"], "TASK is copying, but {folder} was begun with recall"),
        (["recall", "--seeds", "3"], "--seeds is 3, but {folder} was begun with 2"),
        (["recall", "--steps", "5"], "--steps is 5, but {folder} was begun with 4"),
        (["recall", "--lr", "1e-2"], "--lr is 0.01, but {folder} was begun with 0.01,0.001"),
        (["recall", "--budget", "701"], "--budget is 701, but {folder} was begun with 700"),
        (["recall", "--width", "8"], "--width is 8, but {folder} was begun without"),
        (["recall", "--mode", "auto"], "--mode is auto, but {folder} was begun with fft"),
        (["recall", "--dtype", "float64"], "--dtype is float64, but {folder} was begun with float32"),
        (["recall", "--models", "ssm"], "--models is ssm, but {folder} was begun with ssm; attn + fnn1"),
        (["recall", "--profile", "full"], "--profile full: --seeds is 5, but {folder} was begun with 2"),
        (["recall", "--mode", "slow"], "unknown mode 'slow'"),
        (["recall", "--out", "other"], "both --resume and --out given"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_other_settings_than_the_run_was_begun_with_are_refused(done, arguments, words, capsys):
    before = contents(done[0])
    assert words.format(folder=done[0]) in refused(capsys, "run", *arguments, "--resume", str(done[0]))
    assert contents(done[0]) == before


def test_the_same_settings_may_be_given_again(done, tmp_path, capsys, undrawn):
    folder = shutil.copytree(done[0], tmp_path / "out")
    same = ["--models", "ssm(poles=8);attn+fnn1", "--seeds", "2", "--steps", "4", "--lr", "0.01,1e-3", "--mode", "fft"]
    assert command("run", "recall", "--resume", str(folder), *same) == 0
    assert said(capsys.readouterr().err) == ""


LONG = ["--models", "ssm", "--seeds", "2", "--steps", "300", "--budget", "600"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run that was never stopped."""
    return compare.run(
        settings.Config("copying", ("ssm",), 2, 300, budget=600), tmp_path_factory.mktemp("whole") / "out"
    )[0]


@pytest.mark.skipif(os.name == "nt", reason="signals as POSIX has them")
@pytest.mark.parametrize("jobs", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_a_run_ended_by_sigterm_goes_on_to_the_same_bits(tmp_path, jobs, monkeypatch, capsys, undrawn, whole):
    """The signal reaches the one process whose number is known; the others save all the same."""

    class Ended(Progress):
        def update(self, n, note=""):
            super().update(n, note)
            if self.done >= 100:
                os.kill(os.getpid(), signal.SIGTERM)

    wait, folder = workers.wait, tmp_path / "out dir"
    monkeypatch.setattr(workers, "wait", lambda futures, **how: wait(futures, **how | {"timeout": 0.01}))
    with monkeypatch.context() as patch:
        patch.setattr(compare, "Progress", Ended)
        assert command("run", "copying", *LONG, "--jobs", str(jobs), "--out", str(folder)) == 143
    how = f"go on with: minissm run copying --resume '{folder}'"
    err = said(capsys.readouterr().err)
    assert err == f"minissm: interrupted; 0 of 2 runs are finished, the others saved; {how}\n"
    kept = [load_tree(path)["state"]["done"] for path in (folder / "unfinished").iterdir()]
    assert 1 <= len(kept) <= jobs
    assert 100 <= sum(kept) < 2 * 300
    assert command("run", "copying", "--resume", str(folder), "--jobs", "1") == 0
    assert said(capsys.readouterr().err) == ""
    assert len(whole_rows(folder)) == 2
    assert outcome(folder) == outcome(whole)


def test_an_error_of_cupys_compiler_is_one_sentence(monkeypatch, capsys):
    """It derives from Exception alone. What isn't CuPy's is a mistake of ours, and keeps its traceback."""

    def failing(*_, **__):
        raise error

    monkeypatch.setattr(compare, "run", failing)
    error = type("CompileException", (Exception,), {"__module__": "cupy.cuda.compiler"})(
        "nvrtc: error:\n  no such arch"
    )
    how = "minissm: CuPy can't go on (CompileException: nvrtc: error: no such arch); docs/gpu.md has remedies\n"
    assert refused(capsys, "run", "copying") == how
    error = type("CompileException", (Exception,), {})("ours")
    with pytest.raises(Exception, match="ours"):
        command("run", "copying")


def test_a_folder_that_is_removed_meanwhile_is_one_sentence(tmp_path, monkeypatch, capsys):
    write = results.write

    def write_and_remove(folder, *args):
        record = write(folder, *args)
        shutil.rmtree(folder)
        return record

    monkeypatch.setattr(results, "write", write_and_remove)
    assert command("run", "copying", *TINY, "--seeds", "2", "--out", str(tmp_path / "out")) == 2
    path = tmp_path / "out" / "weights" / "ssm-seed1-lr0.008.npz"
    assert said(capsys.readouterr().err) == (
        f"minissm: can't write {path} (No such file or directory); its folder was removed, start again, "
        "or choose another --out\n"
    )


# ---- a full disk


@pytest.mark.parametrize(
    ("files", "rows"), [(0, 0), (1, 0), (2, 0), (4, 0), (5, 1), (8, 2), (9, 2), (10, 2), (11, 2), (12, 2)]
)
def test_a_full_disk_is_one_sentence_and_keeps_the_rows(tmp_path, monkeypatch, capsys, undrawn, files, rows):
    """run.json, README; checkpoint, weights, record of each run; rows, curves, README, figures: room for so many."""
    replace, called = os.replace, []

    def full(*args):
        called.append(args)
        if len(called) > files:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return replace(*args)

    monkeypatch.setattr(os, "replace", full)
    folder = tmp_path / "out"
    drawn = files > 10  # a figure that fails costs nothing else
    assert command("run", "copying", *TINY, "--seeds", "2", "--out", str(folder)) == (0 if drawn else 2)
    out, err = capsys.readouterr()
    assert len(said(err).splitlines()) == 1
    assert (f"can't write{' to' if files == 0 else ''} {folder}" in err) != drawn
    assert "No space left on device" in err
    assert ("choose another" in err) != drawn
    assert ("the figure can't be drawn" in err) == ("figure: none" in out) == drawn
    assert folder.exists() == (files > 0)
    assert len(whole_rows(folder)) == rows
    assert ("baseline" in out) == (files > 9)
    if files:
        monkeypatch.setattr(os, "replace", replace)
        kept = contents(folder / "runs")
        assert command("run", "copying", "--resume", str(folder), "--jobs", "1") == 0
        assert contents(folder / "runs").items() >= kept.items()
        assert len(whole_rows(folder)) == 2 == len(lines(folder / "results.jsonl"))


@pytest.mark.slow
def test_a_file_system_that_refuses_to_grow(tmp_path):
    """For real: no file may be larger than 20 KB. The joined curves are, and each run keeps its record."""
    pytest.importorskip("resource")
    code = (
        "import resource, sys; from minissm.cli import main; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20480, resource.RLIM_INFINITY)); sys.exit(main(sys.argv[1:]))"
    )
    arguments = ["run", "copying", *TINY, "--seeds", "20", "--steps", "15", "--out", "out"]
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert said(done.stderr).splitlines() == [
        f"minissm: can't write {os.path.join('out', 'curves.jsonl')} (File too large); "
        "free some space and go on with --resume, or choose another --out"
    ]
    rows = whole_rows(tmp_path / "out")
    assert len(rows) == len(done.stdout.splitlines()) - 1 == 20


# ---- a run that is stopped from outside


@contextlib.contextmanager
def started(folder, jobs):
    """A long run in a process group of its own, when its first row is printed."""
    arguments = ["--models", "ssm", "--seeds", "2000", "--steps", "60", "--budget", "600", "--jobs", str(jobs)]
    asked = [sys.executable, "-m", "minissm", "run", "copying", *arguments, "--out", "out"]
    how = {"cwd": folder, "env": buffered(), "text": True, "start_new_session": True}
    process = subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **how)
    try:
        announced, first = process.stdout.readline(), process.stdout.readline()
        assert announced.startswith("copying: 2000 runs of 60 steps")
        assert first.startswith("ssm ")
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@stoppable
@pytest.mark.parametrize("jobs", [pytest.param(1, marks=pytest.mark.slow), 2])  # 1: in this process, above
@pytest.mark.parametrize(
    ("number", "code"),
    [
        pytest.param(signal.SIGINT, 130, id="Ctrl-C"),
        pytest.param(signal.SIGTERM, 143, id="SIGTERM", marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_and_sigterm_keep_the_finished_rows(tmp_path, jobs, number, code):
    """As a terminal does it: the signal reaches every process. stderr ends when the last process that has it ends."""
    with started(tmp_path, jobs) as process:
        os.killpg(process.pid, number)
        out, err = process.communicate(timeout=600)
    assert process.returncode == code
    assert re.fullmatch(
        r"minissm: interrupted; \d+ of 2000 runs are finished, the others saved; "
        r"go on with: minissm run copying --resume out\n",
        said(err),
    )
    printed = 1 + len(out.splitlines())
    assert len(whole_rows(tmp_path / "out")) in (printed, printed + 1)
    assert printed < 2000


@stoppable
def test_ctrl_c_while_the_processes_start(tmp_path, undrawn):
    """They are still importing, and each would print where it was."""
    code = (
        "import os, signal, sys; from minissm.cli import main; from minissm.lab import workers; wait = workers.wait; "
        "workers.wait = lambda *a, **k: (os.killpg(0, signal.SIGINT), wait(*a, **k))[1]; sys.exit(main(sys.argv[1:]))"
    )
    asked = [sys.executable, "-c", code, "run", "copying", *TINY, "--seeds", "3", "--jobs", "2", "--out", "out"]
    how = {"capture_output": True, "text": True, "start_new_session": True, "timeout": 600}
    process = subprocess.run(asked, cwd=tmp_path, **how)
    assert said(process.stderr).startswith("minissm: interrupted; 0 of 3 runs are finished, ")
    assert len(said(process.stderr).splitlines()) == 1
    assert process.returncode == 130
    assert command("run", "copying", "--resume", str(tmp_path / "out"), "--jobs", "1") == 0
    assert len(whole_rows(tmp_path / "out")) == 3


@stoppable
def test_the_processes_end_with_the_one_that_started_them(tmp_path):
    with started(tmp_path, jobs=2) as process:
        process.kill()
        _, err = process.communicate(timeout=600)
    assert process.returncode == -signal.SIGKILL
    assert "Traceback" not in err
    assert len(whole_rows(tmp_path / "out", killed=True)) >= 1


@stoppable
def test_nobody_reads_what_info_says():
    """minissm info | true"""
    reader, writer = os.pipe()
    os.close(reader)
    asked = [sys.executable, "-m", "minissm", "info"]
    done = subprocess.run(asked, stdout=writer, stderr=subprocess.PIPE, text=True, env=buffered())
    os.close(writer)
    assert done.returncode == 2
    assert done.stderr == "minissm: the reader of the output has gone; give it a file instead\n"


@stoppable
def test_a_reader_that_goes_ends_the_run_in_one_sentence(tmp_path):
    """minissm run copying | head -1"""
    with started(tmp_path, jobs=1) as process:
        process.stdout.close()
        err = process.stderr.read()
        assert process.wait(timeout=600) == 2
        process.stdout = None
    assert said(err).startswith("minissm: the reader of the output has gone")
    assert len(said(err).splitlines()) == 1
    assert len(whole_rows(tmp_path / "out")) >= 1


# ---- its folder explained


def test_the_folder_explains_itself_with_a_table_and_a_line_for_each_file(done):
    text = (done[0] / "README.txt").read_text()
    assert done[2].split("\n\n")[1] in text
    described = re.findall(r"^([\w-]+)[./]", text, re.MULTILINE)
    assert {path.stem for path in done[0].iterdir()} - {"README"} <= {*described}


@pytest.mark.parametrize(
    "arguments",
    [
        ["recall(pairs=2)", "--models", 'Model("ssm + fnn1", norm="rms"); attn', "--width", "6", "--until", ".9"],
        [
            "copying",
            "--models=fnn1",
            "--budget=700",
            "--vary",
            "lr=1e-3,2",
            "fnn.act=relu,gelu",
            "--test",
            "copying(max_len=13)",
        ],
        ["copying", "--vary", "max_len=8,9", "norm=none,rms", "--vary", "width=4,5", "--mode=fft", "--dtype=float64"],
        ["regression(n=64)", "--budget=3e3", "--vary", "ssm.dt=(0.1, 1),(0.01, 1)", "steps=1,2"],
    ],
    ids=lambda words: words[0],
)
def test_the_command_of_a_readme_asks_for_the_same_again(arguments, monkeypatch):
    def run(config, *_, **__):
        found.append(config)
        raise ValueError("enough")

    found = []
    monkeypatch.setattr(compare, "run", run)
    command("run", *arguments)
    assert command(*shlex.split(readme.command_of(found[0]))[1:]) == 2
    assert found[0] == found[1]


# ---- the demo


@pytest.fixture
def tiny_demo(monkeypatch):
    monkeypatch.setattr(demo, "SETTINGS", demo.SETTINGS | {"steps": 30, "budget": 900, "until": 0.01})
    monkeypatch.setattr(machine, "cores", lambda: 1)


def test_the_demo_shows_rows_a_figure_and_where_to_go_on(tiny_demo, tmp_path, monkeypatch, capsys, undrawn):
    class Kept(Progress):
        def __exit__(self, *_):
            bars.append((self.done, self.total))

    folder, bars = tmp_path / "out", []
    monkeypatch.setattr(compare, "Progress", Kept)
    assert command("demo", "--out", str(folder)) == 0
    out, err = capsys.readouterr()
    assert said(err) == ""
    rows = whole_rows(folder)
    assert [row["model"] for row in lines(folder / "results.jsonl")] == list(demo.SETTINGS["models"])
    assert len(lines(folder / "curves.jsonl")) == len(rows) == 3, "each ended at its first evaluation"
    assert bars == [(90, 90)], "a run that ends early moves the bar to its end"
    assert "recall: 3 runs of at most 30 steps, 1 at a time" in out
    assert f"figure: {folder / 'figure.png'}" in out
    assert f"minissm watch {folder}\n" in out
    (tutorial,) = re.findall(r"tutorials/\S+", out)
    assert (Path(__file__).parent.parent / tutorial).exists()
    repeated = command("run", "--row", f"{folder / 'results.jsonl'}:1")
    assert repeated == 0, "a row knows where it ended"
    assert "--until 0.01" in (folder / "README.txt").read_text()


def test_a_demo_that_cannot_write_is_one_sentence(tiny_demo, tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    assert "notes.txt is a file; expected a folder" in refused(capsys, "demo", "--out", str(tmp_path / "notes.txt"))


@stoppable
def test_a_demo_that_is_interrupted_says_how_to_go_on(tiny_demo, tmp_path, monkeypatch, capsys, undrawn):
    def stopping(job, on_step, **options):
        os.kill(os.getpid(), signal.SIGINT)

    folder = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(compare, "run_job", stopping)
        assert command("demo", "--out", str(folder)) == 130
    how = f"minissm run recall --resume {folder}"
    assert capsys.readouterr().err.endswith(f"go on with: {how}\n")
    assert f"not finished; go on with: {how}\n" in (folder / "README.txt").read_text()
    assert command(*how.split()[1:], "--jobs", "1") == 0
    assert "not finished" not in (folder / "README.txt").read_text()
    assert len(whole_rows(folder)) == 3


# ---- its rows again


def test_the_table_of_a_folder_and_of_its_rows_is_the_one_that_the_run_printed(done, capsys):
    folder, _, out, _ = done
    for path in (folder, folder / "results.jsonl"):
        assert command("table", str(path)) == 0
        assert capsys.readouterr().out == out.split("\n\n")[1] + "\n"
    assert command("table", str(folder), "--by", "lr,model") == 0
    _, _, *rest = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in rest[:4]] == ["0.001", "0.001", "0.01", "0.01"]


def test_by_may_have_spaces_and_a_name_twice(done, capsys):
    assert command("table", str(done[0]), "--by", "model, lr,model") == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:3] == ["model", "lr", "seeds"]


def test_a_table_needs_no_weights(done, tmp_path, capsys):
    folder = shutil.copytree(done[0], tmp_path / "out")
    shutil.rmtree(folder / "weights")
    assert command("table", str(folder)) == 0
    assert capsys.readouterr().out == done[2].split("\n\n")[1] + "\n"


def test_a_table_takes_each_run_once_and_rows_of_one_task_alone(done, tmp_path, capsys):
    folder = done[0]
    assert command("table", str(folder), str(folder / "results.jsonl")) == 0
    assert capsys.readouterr().out == done[2].split("\n\n")[1] + "\n"
    other = tmp_path / "other.jsonl"
    row = lines(folder / "results.jsonl")[0]
    for change, words in (
        ({"task": "copying"}, "rows of different tasks, recall and copying in "),
        ({"task": "walking"}, "unknown task 'walking'"),
        ({"vary": 3}, "line 1 of {other} is no row of a comparison; give its results.jsonl"),
        ([], "line 1 of {other} is no row of a comparison"),
        ({"lr": "high"}, "line 1 of {other} is no row of a comparison"),
        ({"seconds": None}, "line 1 of {other} is no row of a comparison"),
        ({"token_accuracy": "high"}, "line 1 of {other} is no row of a comparison"),
        ("", "table: no row in "),
    ):
        changed = row | change if isinstance(change, dict) else change
        other.write_text(json.dumps(changed) + "\n" if changed != "" else "")
        paths = [other] if change == "" else [folder, other]
        assert words.format(other=other) in refused(capsys, "table", *map(str, paths))


def test_a_table_of_a_stopped_run_joins_what_is_finished(done, tmp_path, capsys):
    folder = shutil.copytree(done[0], tmp_path / "out")
    for path in [*sorted((folder / "runs").iterdir())[1:], folder / "results.jsonl", folder / "curves.jsonl"]:
        path.unlink()
    assert command("table", str(folder)) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    assert len(lines(folder / "results.jsonl")) == 1 == len(lines(folder / "curves.jsonl")) / 4


@pytest.mark.parametrize("alone", [False, True])
def test_a_row_is_repeated_to_the_same_bits(alone, done, tmp_path, capsys, monkeypatch):
    """From its folder, whose record has the mode; from a file of rows, the mode is given."""
    few_sequences(monkeypatch)
    folder = done[0] if not alone else tmp_path
    if alone:
        shutil.copy(done[0] / "results.jsonl", tmp_path)
    file = folder / "results.jsonl"
    assert command("run", "--row", f"{file}:3", *(["--mode", "fft"] if alone else [])) == 0
    first, again, same = capsys.readouterr().out.splitlines()
    assert first[7:].split("  ")[:-1] == again[7:].split("  ")[:-1]
    assert same.startswith("the same bits in token_accuracy, sequence_accuracy, loss, validation, steps_to_95, influ")
    assert f"--row {file}:9; expected FILE:N with N from 1 to 8" in refused(capsys, "run", "--row", f"{file}:9")
    if alone:
        rows = lines(file)
        rows[2] |= {"loss": 3.0, "versions": rows[2]["versions"] | {"numpy": "1.0"}}
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        assert command("run", "--row", f"{file}:3", "--mode", "fft") == 1
        assert "other bits in loss: 3.0, now " in (said_ := capsys.readouterr().out)
        assert "the row was made with numpy 1.0, now " in said_


def test_a_row_of_a_version_without_sweeps_is_repeated(done, tmp_path, capsys, monkeypatch):
    few_sequences(monkeypatch)
    row = lines(done[0] / "results.jsonl")[0]
    for name in ("vary", "validation", "steps_to_95", "influence", "influence_top", "tests", "cpu_seconds"):
        del row[name]
    (tmp_path / "old.jsonl").write_text(json.dumps(row) + "\n")
    assert command("run", "--row", f"{tmp_path / 'old.jsonl'}:1", "--mode", "fft") == 0
    assert "the same bits in token_accuracy, sequence_accuracy, loss\n" in capsys.readouterr().out
    (tmp_path / "old.jsonl").write_text(json.dumps(row | {"versions": None}) + "\n")
    assert "the row has no weights, plugin or versions" in refused(
        capsys, "run", "--row", f"{tmp_path / 'old.jsonl'}:1"
    )


def test_the_record_of_another_seed_is_not_taken_for_the_row(done):
    rows = lines(done[0] / "results.jsonl")
    assert job_of(rows[0], done[0]).seed == rows[0]["seed"]
    assert job_of(rows[0] | {"seed": 7}, done[0]).seed == 7


def test_a_row_of_a_task_of_ones_own_takes_the_plugin(done, tmp_path, capsys, monkeypatch):
    few_sequences(monkeypatch)
    monkeypatch.setattr("minissm.tasks.TASKS", dict(TASKS))
    plugin, file = tmp_path / "mine.py", tmp_path / "rows.jsonl"
    plugin.write_text("from minissm import tasks\ntasks.TASKS['mine'] = tasks.TASKS['recall']\n")
    row = lines(done[0] / "results.jsonl")[0] | {"task": "mine", "plugin": sha256(plugin.read_bytes()).hexdigest()}
    file.write_text(json.dumps(row) + "\n")
    assert "unknown task 'mine'" in refused(capsys, "run", "--row", f"{file}:1")
    command("run", "--row", f"{file}:1", "--mode", "fft", "--plugin", str(plugin))
    assert "the same bits in token_accuracy" in capsys.readouterr().out
