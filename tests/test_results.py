"""A folder is read back as it was written, or refused in one sentence and left as it is."""

import json
import os
import re
import shutil
from functools import partial

import pytest

from minissm import load
from minissm.lab import compare, results
from minissm.lab.compare import Config, resume, run
from minissm.lab.lock import alone_in

from .runs import contents, lines, outcome

CONFIG = Config("copying", ("ssm", "fnn0"), seeds=2, steps=30, budget=600)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run that was never stopped."""
    return run(CONFIG, tmp_path_factory.mktemp("whole") / "out")[0]


@pytest.fixture
def recalled(whole, monkeypatch):
    """No training any more: a run comes to what it came to in `whole`. -> the names of the runs that were asked for."""
    rows, curves = (lines(whole / name) for name in ("results.jsonl", "curves.jsonl"))
    asked = []

    def run_job(job, *_, **__):
        asked.append(job.name)
        (row,) = (row for row in rows if row["weights"] == job.weights)
        curve = [line for line in curves if job.key.items() <= line.items()]
        return compare.Outcome(row, curve, load(whole / job.weights)[1])

    monkeypatch.setattr(compare, "run_job", run_job)
    return asked


@pytest.fixture(scope="module")
def stopped_once(tmp_path_factory):
    """Two of four runs are finished, the third is at its tenth step."""
    folder = tmp_path_factory.mktemp("stopped") / "out"
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, run=3, step=10)
        with pytest.raises(KeyboardInterrupt, match=r"^2 of 4 runs are finished, .* minissm run copying --resume "):
            run(CONFIG, folder)
    return folder


@pytest.fixture
def stopped(stopped_once, tmp_path):
    return shutil.copytree(stopped_once, tmp_path / "out")


def stop_at(patch, run, step):
    """Ctrl-C in that run (counted from 1) after that step."""
    calls, run_job = [], compare.run_job

    def stopping(job, on_step, **options):
        def stop(i):
            on_step(i)
            if len(calls) == run and i == step:
                raise KeyboardInterrupt

        calls.append(job)
        return run_job(job, stop, **options)

    patch.setattr(compare, "run_job", stopping)


# ---- going on


def test_a_stopped_run_goes_on_in_two_processes_to_the_same_rows_and_bits(stopped, whole):
    assert os.listdir(stopped / "unfinished") == ["ssm-seed1-lr0.008.npz"]
    first = (stopped / "results.jsonl").read_text()
    folder, rows, curves = resume(stopped, jobs=2)
    assert outcome(folder) == outcome(whole)
    assert (stopped / "results.jsonl").read_text().startswith(first), "finished rows are kept, their seconds too"
    assert (lines(stopped / "results.jsonl"), lines(stopped / "curves.jsonl")) == (rows, curves)
    assert sorted(os.listdir(stopped)) == ["curves.jsonl", "results.jsonl", "run.json", "weights"]


def test_a_run_stopped_again_and_again_goes_on_from_where_it_was(tmp_path, whole):
    steps, folder = [], tmp_path / "out"
    for run_, step in [(1, 1), (1, 2), (1, 29), (1, 30), (2, 15), (1, 16), (2, 30)]:
        with pytest.MonkeyPatch.context() as patch:
            stop_at(patch, run_, step)
            with pytest.raises(KeyboardInterrupt):
                resume(folder) if folder.exists() else run(CONFIG, folder)
    with pytest.MonkeyPatch.context() as patch:
        train = compare.run_job
        patch.setattr(compare, "run_job", lambda job, _, **options: train(job, steps.append, **options))
        resume(folder)
    assert outcome(folder) == outcome(whole)
    assert steps == [*range(1, 31)], "the run of the last Ctrl-C was at its end, the one after it had not begun"


def test_a_finished_run_trains_nothing_and_gives_all_again(whole, tmp_path, monkeypatch, capsys):
    folder = shutil.copytree(whole, tmp_path / "out")
    before = contents(folder)
    monkeypatch.setattr(compare, "run_job", lambda *_, **__: pytest.fail("trained"))
    _, rows, curves = resume(folder)
    assert (len(rows), len(curves)) == (4, 4 * 15)
    assert contents(folder) == before
    assert "4 runs of 30 steps, 4 of them finished" in capsys.readouterr().out


def test_other_versions_are_named(stopped, recalled, capsys):
    asked = json.loads((stopped / "run.json").read_text())
    asked["versions"]["numpy"] = "1.0"
    (stopped / "run.json").write_text(json.dumps(asked))
    resume(stopped)
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(f"{stopped} was begun with numpy 1.0, now ")
    assert said[0].endswith(": the last digits may differ")
    assert "differ" not in "".join(said[1:])


def test_what_a_killed_process_leaves_is_tidied_up(stopped, whole, recalled):
    for path in (".results.jsonl.abc.part", "weights/.x.npz.def.part", "unfinished/.x.npz.ghi.part", ".lock"):
        (stopped / path).write_bytes(b"half")
    (stopped / "unfinished" / "ssm-seed0-lr0.008.npz").write_bytes(b"its row is there")
    shutil.copy(whole / "curves.jsonl", stopped)  # evaluations are written before their row
    resume(stopped)
    assert outcome(stopped) == outcome(whole)
    assert not any(path.name.startswith(".") for path in stopped.rglob("*"))
    assert not (stopped / "unfinished").exists()


# ---- torn lines


@pytest.mark.parametrize("name", ["results.jsonl", "curves.jsonl"])
@pytest.mark.parametrize("cut", [1, 2, 60])
def test_a_torn_last_line_is_dropped_and_said(stopped, whole, recalled, capsys, name, cut):
    path = stopped / name
    path.write_bytes(path.read_bytes()[:-cut])
    resume(stopped)
    assert outcome(stopped) == outcome(whole)
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"the last line of {path} was torn and is dropped; its run is done again"
    assert "1 of them finished" in said[1]
    assert recalled == ["fnn0-seed0-lr0.008", "ssm-seed1-lr0.008", "fnn0-seed1-lr0.008"]


@pytest.mark.parametrize("name", ["results.jsonl", "curves.jsonl"])
@pytest.mark.parametrize("tail", [b"{", b"\0" * 9, b"\xff\n"], ids=repr)
def test_what_was_begun_behind_the_last_line_is_dropped(stopped, whole, recalled, name, tail):
    with open(stopped / name, "ab") as file:
        file.write(tail)
    resume(stopped)
    assert outcome(stopped) == outcome(whole)


@pytest.mark.parametrize("name", ["results.jsonl", "curves.jsonl"])
def test_every_cut_of_a_file_goes_on_or_is_refused(stopped, name):
    """A cut between two lines of curves takes evaluations from a row, and can't be told from damage."""
    path, before = stopped / name, contents(stopped)
    content, runs = before[path], [job.known for job in CONFIG.work()]
    goes_on = 0
    for length in range(0, len(content), 37 if name == "results.jsonl" else 97):
        for file, bytes_ in before.items():
            file.write_bytes(bytes_)
        path.write_bytes(content[:length])
        try:
            rows, _, said = results.finished(stopped, runs)
        except ValueError as error:
            refusal = str(error)
            assert re.fullmatch(
                r"resume: .*curves.jsonl is damaged \(not all the evaluations of .*\); restore .*", refusal
            )
        else:
            goes_on += 1
            assert len(rows) <= 2
            assert len(said) == (not content[:length].endswith(b"\n") and length > 0)
    assert goes_on > 10


# ---- damage


def edit(name, change):
    """Write change(lines) back."""

    def damage(folder):
        lines = (folder / name).read_text().splitlines(keepends=True)
        (folder / name).write_text("".join(change(lines)))

    return damage


def field(name, line, **values):
    """Set fields of a line, or take them away."""

    def change(lines):
        row = json.loads(lines[line]) | values
        row = {key: value for key, value in row.items() if value != "none"}
        return [*lines[:line], json.dumps(row) + "\n", *lines[line + 1 :]]

    return edit(name, change)


def setting(old, new):
    return edit("run.json", lambda lines: [line.replace(old, new) for line in lines])


def remove(name):
    return lambda folder: (folder / name).unlink()


def cut(name):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-9])


rows, curve = partial(edit, "results.jsonl"), partial(edit, "curves.jsonl")
WEIGHTS = "weights/ssm-seed0-lr0.008.npz"
MISSING = "not all the evaluations of"
DAMAGE = {
    "a line in the middle": (rows(lambda x: ["{\n", *x[1:]]), "line 1 is no JSON"),
    "an empty line": (rows(lambda x: [x[0], "\n", x[1]]), "line 2 is no JSON"),
    "an empty object": (rows(lambda x: [*x, "{}\n"]), "line 3 is of no run of run.json"),
    "a number": (rows(lambda x: ["3\n", *x[1:]]), "line 1 is of no run of run.json"),
    "NaN": (rows(lambda x: [re.sub('"loss": [^,]*', '"loss": NaN', x[0]), x[1]]), "line 1 is no JSON"),
    "a row twice": (rows(lambda x: [*x, x[0]]), "a run has two rows"),
    "another seed": (field("results.jsonl", 1, seed=7), "line 2 is of no run of run.json"),
    "another task": (field("results.jsonl", 1, task="recall"), "line 2 is of no run"),
    "other steps": (field("results.jsonl", 1, steps=31), "line 2 is of no run"),
    "another plugin": (field("results.jsonl", 1, plugin="0" * 64), "line 2 is of no run"),
    "another net": (field("results.jsonl", 1, net='Model("ssm", vocab=2)'), "line 2 is of no run"),
    "weights elsewhere": (field("results.jsonl", 1, weights="../../x.npz"), "line 2 is of no run"),
    "a list as a key": (field("results.jsonl", 1, model=[]), "line 2 is of no run"),
    "a field missing": (field("results.jsonl", 1, loss="none"), "line 2 is of no run"),
    "a field more": (field("results.jsonl", 1, colour="red"), "line 2 is of no run"),
    "a field of another kind": (field("results.jsonl", 1, token_accuracy="high"), "line 2 has a field of another kind"),
    "an evaluation missing": (curve(lambda x: x[:3] + x[4:]), f"{MISSING} ssm-seed0-lr0.008"),
    "the last evaluations missing": (curve(lambda x: x[:-3]), f"{MISSING} fnn0-seed0-lr0.008"),
    "an evaluation twice": (curve(lambda x: [*x, x[0]]), f"{MISSING} ssm-seed0-lr0.008, or too many"),
    "an evaluation of nothing": (field("curves.jsonl", 4, model="attn"), "line 5 is of no run"),
    "a torn evaluation": (curve(lambda x: [*x[:4], x[4][:20] + "\n", *x[5:]]), "line 5 is no JSON"),
    "no curves": (remove("curves.jsonl"), f"{MISSING} ssm-seed0-lr0.008"),
    "no weights": (remove(WEIGHTS), "no such file"),
    "cut weights": (cut(WEIGHTS), "is not a whole checkpoint"),
    "no run.json": (remove("run.json"), "no run in {folder} (run.json: No such file or directory); give the folder of"),
    "cut run.json": (cut("run.json"), "run.json is damaged (it is no JSON)"),
    "a list": (edit("run.json", lambda x: "[]"), "it is no JSON object"),
    "a setting missing": (lambda f: (f / "run.json").write_text('{"task": "copying"}'), "fields are missing, or too"),
    "an unknown task": (setting("copying", "walking"), "unknown task 'walking'"),
    "a setting of another kind": (setting('"ssm"', "3"), "run.json is damaged ("),
    "a cut checkpoint": (cut("unfinished/ssm-seed1-lr0.008.npz"), "not a whole checkpoint"),
    "a checkpoint of other settings": (
        setting('"auto"', '"fft"'),
        "a training with mode=auto; mode=fft was given",
    ),
}


@pytest.mark.parametrize(("damage", "words"), DAMAGE.values(), ids=DAMAGE)
def test_other_damage_is_refused_in_one_sentence_and_nothing_changes(stopped, damage, words):
    damage(stopped)
    before = contents(stopped)
    with pytest.raises(ValueError, match=re.escape(words.format(folder=stopped))) as caught:
        resume(stopped)
    text = str(caught.value)
    assert str(stopped) in text
    assert "\n" not in text
    assert len(text) < 500 + 2 * len(str(stopped))
    assert contents(stopped) == before


def test_a_damaged_checkpoint_is_refused_by_the_process_that_reads_it(stopped, whole):
    cut("unfinished/ssm-seed1-lr0.008.npz")(stopped)
    with pytest.raises(ValueError, match=r"^load: .* is not a whole checkpoint .*; delete it to train anew$"):
        resume(stopped, jobs=2)
    (stopped / "unfinished" / "ssm-seed1-lr0.008.npz").unlink()
    resume(stopped)
    assert outcome(stopped) == outcome(whole)


# ---- the folder


def test_two_runs_do_not_work_in_one_folder(stopped):
    before = contents(stopped)
    with alone_in(stopped):
        for second in (lambda: resume(stopped), lambda: run(CONFIG, stopped)):
            with pytest.raises(ValueError, match=r"^run: another run works in .*; wait for its end or choose another"):
                second()
    assert contents(stopped) == before


def test_a_folder_without_a_run_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for folder in (tmp_path, tmp_path / "none", tmp_path / "notes.txt"):
        with pytest.raises(ValueError, match=r"^resume: no run in .*; give the folder of a run that was stopped$"):
            resume(folder)
    assert os.listdir(tmp_path) == ["notes.txt"]


@pytest.mark.slow  # with one process: test_cli.py
def test_a_folder_that_is_removed_while_two_processes_work_ends_the_run(tmp_path, monkeypatch):
    write = results.write

    def write_and_remove(folder, *args):
        write(folder, *args)
        shutil.rmtree(folder)

    monkeypatch.setattr(results, "write", write_and_remove)
    with pytest.raises(FileNotFoundError) as caught:
        run(CONFIG, tmp_path / "out", jobs=2)
    assert caught.value.filename.startswith(str(tmp_path / "out"))
    assert ".part" not in caught.value.filename
    assert os.listdir(tmp_path) == []
