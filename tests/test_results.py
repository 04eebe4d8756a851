"""A folder is read back as it was written, or refused in one sentence and left as it is."""

import json
import os
import re
import shutil

import pytest

from minissm import load
from minissm.lab import compare, results
from minissm.lab.compare import resume, run
from minissm.lab.config import Config
from minissm.lab.job import Outcome

from .runs import contents, lines, outcome

CONFIG = Config("copying", ("ssm", "fnn0"), seeds=2, steps=30, budget=600)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run that was never stopped."""
    return run(CONFIG, tmp_path_factory.mktemp("whole") / "out")[0]


@pytest.fixture
def recalled(whole, monkeypatch):
    """No training any more: a run comes to what it came to in `whole`. -> the names of the runs that were asked for."""
    asked = []

    def run_job(job, *_, **__):
        asked.append(job.name)
        (record,) = lines(whole / "runs" / f"{job.name}.json")
        return Outcome(job, record["row"], record["curve"], load(whole / job.weights)[1])

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
    first = contents(stopped / "runs")
    folder, rows, curves = resume(stopped, jobs=2)
    assert outcome(folder) == outcome(whole)
    assert contents(stopped / "runs").items() >= first.items(), "finished rows are kept, their seconds too"
    assert (lines(stopped / "results.jsonl"), lines(stopped / "curves.jsonl")) == (rows, curves)
    assert sorted(os.listdir(stopped)) == ["README.txt", "curves.jsonl", "results.jsonl", "run.json", "runs", "weights"]


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


def test_the_folder_of_version_0_7_which_had_no_until_is_read(whole, recalled, tmp_path):
    folder = shutil.copytree(whole, tmp_path / "out")
    for path in (folder / "run.json", *(folder / "runs").iterdir()):
        content = json.loads(path.read_text())
        del content.get("job", content)["until"]
        path.write_text(json.dumps(content))
    _, rows, _ = resume(folder)
    assert (rows, recalled) == (lines(whole / "results.jsonl"), [])


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
    parts = [
        stopped / path for path in (".results.jsonl.abc.part", "weights/.x.npz.def.part", "unfinished/.x.ghi.part")
    ]
    for path in parts:
        path.write_bytes(b"half")
        os.utime(path, (0, 0))
    (stopped / "weights" / ".y.npz.jkl.part").write_bytes(b"of a process that still writes")
    (stopped / "unfinished" / "ssm-seed0-lr0.008.npz").write_bytes(b"its record is there")
    resume(stopped)
    assert outcome(stopped)[:2] == outcome(whole)[:2]
    assert [path.name for path in stopped.rglob("*") if path.name.startswith(".")] == [".y.npz.jkl.part"]
    assert not (stopped / "unfinished").exists()


def test_two_processes_in_one_folder_lose_nothing(stopped, whole, recalled, monkeypatch):
    """The second finishes all while the first is in its first run."""
    run_job, both = compare.run_job, []

    def slow(job, *args, **options):
        if not both:
            both.append(job)
            assert len(resume(stopped)[1]) == 4
        return run_job(job, *args, **options)

    monkeypatch.setattr(compare, "run_job", slow)
    resume(stopped)
    assert outcome(stopped) == outcome(whole)
    assert len(recalled) == 4, "each did the two runs that were left"


# ---- damage


def edit(name, change):
    """Write change(text) back."""
    return lambda folder: (folder / name).write_text(change((folder / name).read_text()))


def record(change):
    """Change the record of a run. change(record) may return another one."""

    def changed(text):
        found = json.loads(text)
        return json.dumps(change(found) or found)

    return edit("runs/ssm-seed0-lr0.008.json", changed)


def fields(part, **values):
    return record(lambda r: r[part].update(values))


def setting(old, new):
    return edit("run.json", lambda text: text.replace(old, new))


def remove(name):
    return lambda folder: (folder / name).unlink()


def cut(name):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-9])


WEIGHTS = "weights/ssm-seed0-lr0.008.npz"
OTHER, KIND, MISSING = "is of no run of run.json", "has a field of another kind", "not all its evaluations, or too many"
DAMAGE = {
    "a cut record": (cut("runs/ssm-seed0-lr0.008.json"), "ssm-seed0-lr0.008.json is damaged (it is no JSON)"),
    "a number": (record(lambda r: 3), OTHER),
    "a list": (record(lambda r: [r]), OTHER),
    "a part missing": (record(lambda r: r.pop("curve") and None), OTHER),
    "a part more": (record(lambda r: r | {"colour": "red"}), OTHER),
    "NaN": (fields("row", loss=float("nan")), "it is no JSON"),
    "another job": (fields("job", seed=7), OTHER),
    "other steps": (fields("job", steps=31), OTHER),
    "a row of another seed": (fields("row", seed=7), KIND),
    "a row of another net": (fields("row", net='Model("ssm", vocab=2)'), KIND),
    "weights elsewhere": (fields("row", weights="../../x.npz"), KIND),
    "no row": (record(lambda r: r | {"row": None}), KIND),
    "a field missing": (record(lambda r: r["row"].pop("validation") and None), KIND),
    "a field more": (fields("row", colour="red"), KIND),
    "a field of another kind": (fields("row", token_accuracy="high"), KIND),
    "a field that is true": (fields("row", token_accuracy=True), KIND),
    "a curve of numbers": (record(lambda r: r | {"curve": [1, 2]}), KIND),
    "an evaluation missing": (record(lambda r: r["curve"].pop(3) and None), MISSING),
    "the last evaluation missing": (record(lambda r: r["curve"].pop() and None), MISSING),
    "an evaluation twice": (record(lambda r: r["curve"].append(r["curve"][-1])), MISSING),
    "no weights": (remove(WEIGHTS), "no such file"),
    "cut weights": (cut(WEIGHTS), "is not a whole checkpoint"),
    "no run.json": (remove("run.json"), "no run in {folder} (run.json: No such file or directory); give the folder of"),
    "cut run.json": (cut("run.json"), "run.json is damaged (it is no JSON)"),
    "a list of settings": (edit("run.json", lambda _: "[]"), "it is no JSON object"),
    "a setting missing": (edit("run.json", lambda _: '{"task": "copying"}'), "fields are missing or too many"),
    "an unknown task": (setting("copying", "walking"), "unknown task 'walking'"),
    "a setting of another kind": (setting('"ssm"', "3"), "run.json is damaged ("),
    "a sweep of another kind": (setting('"vary": {}', '"vary": {"pairs": 3}'), "run.json is damaged ("),
    "a cut checkpoint": (cut("unfinished/ssm-seed1-lr0.008.npz"), "not a whole checkpoint"),
    "settings of another run": (setting('"auto"', '"fft"'), OTHER),
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


@pytest.mark.slow
def test_a_damaged_checkpoint_is_refused_by_the_process_that_reads_it(stopped, whole):
    cut("unfinished/ssm-seed1-lr0.008.npz")(stopped)
    with pytest.raises(ValueError, match=r"^load: .* is not a whole checkpoint .*; delete it to train anew$"):
        resume(stopped, jobs=2)
    (stopped / "unfinished" / "ssm-seed1-lr0.008.npz").unlink()
    resume(stopped)
    assert outcome(stopped) == outcome(whole)


# ---- the folder


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
