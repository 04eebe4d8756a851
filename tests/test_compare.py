"""A comparison is a pure function of its config, and what is finished is on disk whole."""

import errno
import json
import multiprocessing
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import minissm
from minissm import Model, evaluate, load, train, tree
from minissm.lab import compare, job as one_run, results, workers
from minissm.lab.compare import run
from minissm.lab.config import Config, config_of, read_vary
from minissm.lab.job import Job
from minissm.tasks import TASKS, Batch, TokenTask, _names

from .runs import contents, few_sequences, lines, records

TINY = {"models": ("ssm", "ssm + fnn1"), "seeds": 2, "steps": 3, "budget": 600}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    few_sequences(monkeypatch)
    return tmp_path / "out"


# ---- what is asked for


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"task": "walking"}, "unknown task 'walking'; expected one of copying, recall"),
        ({"task": "recall(pairs=0)"}, "recall: pairs=0; expected an integer, 1 or more"),
        ({"models": ()}, "at least one model"),
        ({"models": ("",)}, "the spec is empty"),
        ({"models": ("ssm", "ssm(poles=8)")}, "the model 'ssm' is given twice"),
        ({"seeds": 0}, "seeds=0; expected an integer, 1 or more"),
        ({"seeds": "3"}, "seeds='3'; expected an integer, 1 or more"),
        ({"steps": 1.5}, "steps=1.5; expected an integer, 1 or more"),
        ({"budget": -1}, "budget=-1; expected an integer, 1 or more"),
        ({"width": 0}, "width=0; expected an integer, 1 or more, or None"),
        ({"lrs": ()}, "at least one model and one learning rate"),
        ({"lrs": (0.1, 0)}, "lr=0.1, 0; expected different numbers above 0"),
        ({"lrs": (float("nan"),)}, "lr=nan; expected different numbers above 0"),
        ({"lrs": (0.1, 0.1)}, "expected different numbers above 0"),
        ({"dtype": "int8"}, "dtype='int8'; expected one of float32, float64"),
        ({"mode": "slow"}, "unknown mode 'slow'"),
        ({"clip": 0}, "clip=0; expected a number above 0"),
        ({"norm": "batch"}, "norm='batch'; expected one of none, rms, layer"),
        ({"models": ("Model('ssm', vocab=3)",)}, "Model: unknown option 'vocab'; expected one of norm, residual, time"),
        ({"models": ("Model(ssm)",)}, "an option in 'Model(ssm)' is not a plain value"),
        ({"models": ("Model()",)}, "can't read 'Model()'; expected Model("),
        ({"models": ("ssm", "Model('ssm')")}, "the model 'ssm' is given twice"),
        ({"vary": {"colour": (1, 2)}}, "unknown name 'colour'; expected one of lr, steps, batch, clip, budget, "),
        ({"vary": {"pairs": (1, 2)}}, "min_len, max_len, symbols, blank, or an option of a block, like ssm.poles"),
        ({"vary": {"s6.d_state": (1, 2)}}, "unknown name 's6.d_state'"),
        ({"vary": {"ssm.poles": (2, 2.0)}}, "vary: ssm.poles=2,2.0; expected different numbers, words or tuples"),
        ({"vary": {"max_len": ()}}, "vary: max_len=no value; "),
        ({"vary": {"width": (4, 5), "budget": (900,)}}, "vary: both width and budget given"),
        ({"vary": {"lr": (1, "x")}}, "lr=1, x; expected different numbers above 0"),
        ({"vary": {"steps": range(1, 9000)}, "seeds": 9}, "that is more than 100,000 runs, give fewer"),
        ({"backend": "abacus"}, "backend='abacus'; expected numpy or cupy"),
    ],
    ids=str,
)
def test_what_cannot_be_compared_is_refused(given, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        Config(**{"task": "copying"} | given)


def test_a_task_is_stored_by_its_canonical_spec():
    assert Config("recall( values=8,pairs=8, queries=None)").task == "recall(pairs=8, values=8)"
    assert Config("recall(pairs=4)").task == "recall"


def test_settings_are_coerced_so_that_they_can_be_written(folder):
    config = Config("copying", ("ssm(poles=4.0)",), np.int64(1), 2.0, (np.float32(0.5),), np.int32(600))
    assert (config.models, config.seeds, config.steps, config.lrs) == (("ssm(poles=4)",), 1, 2, (0.5,))
    run(config, folder)
    assert lines(folder / "results.jsonl")[0]["lr"] == 0.5
    assert json.loads((folder / "run.json").read_text())["budget"] == 600


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"vary": {"ssm.pols": (1,)}}, "ssm: unknown option 'pols'; expected one of expand, poles, variant, dt"),
        ({"vary": {"max_len": (9, 2)}}, "copying: min_len=4, max_len=2; expected min_len <= max_len"),
        ({"vary": {"steps": (1, 0)}}, "steps=0; expected an integer, 1 or more"),
        ({"vary": {"norm": ("rms", 3)}}, "norm=3; expected one of none, rms, layer"),
        ({"models": ("Model('ssm', norm='x')",)}, "norm='x'; expected one of none, rms, layer"),
        (
            {"tests": ("copying(symbols=9)",)},
            "the test copying(symbols=9) has vocab 12, but copying has vocab 11; give",
        ),
    ],
    ids=str,
)
def test_what_cannot_be_trained_is_refused_before_the_first_run(given, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        Config("copying", **given).work()


def test_a_sweep_is_all_combinations_and_a_model_meets_only_its_own_settings():
    models = ("ssm + fnn1", "Model('attn', norm=\"rms\")", "fnn1")
    vary = {"norm": ("none", "layer"), "ssm.poles": (1, 3), "fnn.depth": (0, 2), "lr": (0.1,)}
    config = Config("copying", models, 1, 1, width=4, vary=vary)
    assert (config.lrs, list(config.vary)) == ((0.1,), ["norm", "ssm.poles", "fnn.depth"])
    work = config.work()
    assert [(job.model, tuple(job.vary.values())) for job in work] == [
        *(("ssm + fnn1", (norm, poles, depth)) for norm in ("none", "layer") for poles in (1, 3) for depth in (0, 2)),
        ('Model("attn", norm="rms")', ()),
        *(("fnn1", (norm, depth)) for norm in ("none", "layer") for depth in (0, 2)),
    ]
    nets = [Model.read(job.net) for job in work]
    assert [net.spec for net in nets[:2]] == ["ssm(poles=1) + fnn0", "ssm(poles=1) + fnn2"]
    assert [net.norm for net in nets] == ["none"] * 4 + ["layer"] * 4 + ["rms"] + ["none"] * 2 + ["layer"] * 2
    assert len({job.name for job in work}) == len(work)


def test_settings_of_the_task_and_of_the_training_are_varied_together():
    vary = {"min_len": (13, 3), "max_len": (13,), "batch": (5,), "clip": (0.5,), "budget": (900,)}
    first, second = Config("copying", ("attn",), 1, 1, width=4, vary=vary, tests=("copying(max_len=20)",)).work()
    assert (first.task, second.task) == ("copying(min_len=13, max_len=13)", "copying(min_len=3, max_len=13)")
    assert (first.batch, first.clip, first.tests) == (5, 0.5, ["copying(max_len=20)"])
    net = Model.read(first.net)
    assert abs(net.size / 900 - 1) < 0.2, "the width is left out"
    assert net.blocks[0].max_len == 41, "positions for the longer test"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("pairs=2, (1, 8)", ("pairs", (2, (1, 8)))),
        ("norm=none,rms", ("norm", ("none", "rms"))),
        (" residual = True,False ", ("residual", (True, False))),
        ("lr=-1e-3", ("lr", (-1e-3,))),
        *((text, None) for text in ("", "pairs", "pairs=", "pairs=1,,2", "pairs=(1", "pairs=1) + (2", "pairs=f(2)")),
    ],
)
def test_a_sweep_is_read_from_the_command_line(text, found):
    if found:
        assert read_vary(text) == found
    else:
        with pytest.raises(
            ValueError, match=r"^run: vary: can't read .*; expected NAME=VALUE,VALUE,... like pairs=2,4,8$"
        ):
            read_vary(text)


def test_a_model_with_a_width_of_its_own_has_no_budget():
    models, vary = ("Model('fnn1', width=3)", "fnn1"), {"budget": (400, 900)}
    work = Config("copying", models, 1, 1, width=5, vary=vary).work()
    assert [tuple(job.vary.values()) for job in work] == [(), (400,), (900,)]
    assert Model.read(work[0].net).width == 3
    assert len({Model.read(job.net).size for job in work}) == 3


def test_the_recipe_of_a_task_is_over_the_profile_and_under_the_options(monkeypatch):
    monkeypatch.setattr(TASKS["copying"], "recipe", {"steps": 7, "width": 6, "norm": "rms"})
    config = config_of("copying", "full", seeds=2)
    assert (config.seeds, config.steps, config.width, config.norm, len(config.lrs)) == (2, 7, 6, "rms", 3)
    assert config_of("copying", budget=900).width is None
    assert config_of("copying", steps=9).steps == 9
    with pytest.raises(ValueError, match="unknown profile 'slow'"):
        config_of("copying", "slow")


def test_weights_of_different_runs_have_different_names_that_fit_into_a_folder():
    long = " + ".join(["ssm(poles=3, dt=(0.01, 0.1))"] * 30)
    models = ["ssm", "ssm + fnn1", "ssm(poles=1)", "ssm(poles=11)", long, long + " + ssm", long + " + fnn1"]
    names = [
        Job("copying", m, vary, s, lr, 1, "", 1, 1.0, [], "auto", "numpy").name
        for m in models
        for vary in ({}, {"pairs": 1}, {"pairs": -1}, {"pairs": [1, 8]}, {"ssm.poles": 1})
        for s in (0, 1)
        for lr in (0.1, 0.1 + 1e-12)
    ]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9.=-]{1,200}", name) for name in names)
    assert names[0] == "ssm-seed0-lr0.1"


def test_a_long_spec_is_run(folder):
    config = Config("copying", (" + ".join(["ssm(poles=1, dt=(0.01, 0.1))"] * 12),), 1, 1, width=1)
    _, [row], _ = run(config, folder)
    assert row["model"] == config.models[0]
    assert load(folder / row["weights"])[0].spec == config.models[0]


# ---- what comes out


@pytest.mark.parametrize("task", [pytest.param("copying", marks=pytest.mark.slow), "recall"])
def test_the_weights_on_disk_reach_what_the_row_says(folder, task):
    _, rows, curves = run(Config(task, **TINY, mode="fft"), folder)
    assert rows == lines(folder / "results.jsonl")
    assert curves == lines(folder / "curves.jsonl")
    assert [(r["model"], r["seed"]) for r in rows] == [(m, s) for s in (0, 1) for m in ("ssm", "ssm + fnn1")]
    for row in rows:
        net, params = load(folder / row["weights"])
        assert repr(net) == row["net"]
        assert tree.size(params) == row["parameters"] == net.size
        assert row["state_size"] == net.state_size(TASKS[task]().length)
        assert (row["task"], row["plugin"]) == (task, None)
        with threadpool_limits(1):
            test = np.random.default_rng([row["seed"], 2])
            scores = evaluate(net, params, one_run.task_of(task, row["seed"]).fresh, test, TASKS[task].tested_on, "fft")
        assert scores == {name: row[name] for name in TASKS[task].score_names}
        mine = [c for c in curves if (c["model"], c["seed"]) == (row["model"], row["seed"])]
        assert [c["step"] for c in mine] == [1, 2, 3]
        assert row["versions"]["minissm"] == minissm.__version__
        assert row["versions"]["numpy"] == np.__version__
    assert len({r["loss"] for r in rows}) == len(rows)
    assert len(list((folder / "weights").iterdir())) == len(rows)


def test_the_versions_need_no_installed_minissm(monkeypatch):
    """Who runs from a clone finds out after the first training, else."""
    import importlib.metadata

    version = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version({"minissm": "missing"}.get(name, name)))
    assert compare.versions()["minissm"] == minissm.__version__


def test_one_run_needs_no_second_process(folder, monkeypatch):
    monkeypatch.delattr(workers, "ProcessPoolExecutor")
    _, rows, _ = run(Config("copying", ("ssm",), 1, 1, budget=600), folder, jobs=8)
    assert len(rows) == 1


@dataclass(frozen=True)
class Drawn(TokenTask):
    """The target is the token plus `shift`, which the seed draws. A few sequences are held out."""

    seed: int = 0
    rounds: int = 1
    length, vocab, baseline, tested_on = 3, 5, 0.2, 40

    @property
    def held_out(self):
        return replace(self, rounds=2)

    @property
    def fresh(self):
        return replace(self, rounds=3)

    def batch(self, rng, n, step=0):
        seen.append((self.rounds, n))
        x = rng.integers(0, 5, (n, 3))
        return Batch(x, (x + self.seed) % 5, np.ones(x.shape))

    def source(self, batch):
        return np.broadcast_to(np.arange(3), batch.inputs.shape)


seen = []


def test_a_finite_task_is_drawn_by_the_seed_validated_on_what_it_holds_out_and_tested_on_fresh_sequences(
    folder, monkeypatch
):
    monkeypatch.setitem(TASKS, "drawn", Drawn)
    monkeypatch.setitem(_names, Drawn, "drawn")

    def fit(net, params, task, steps, rng, *, validate, keep, **options):
        assert (task.seed, validate, keep) == (8, replace(task, rounds=2), "best")
        return train.fit(net, params, task, steps, rng, **options)

    monkeypatch.setattr(one_run, "fit", fit)
    config = Config("drawn(seed=7)", ("fnn1",), 2, 150, (0.05,), width=9, tests=("drawn", "drawn(seed=2)"))
    seen.clear()
    row = one_run.run_job(config.work()[1]).row
    assert row["task"] == "drawn(seed=7)"
    assert row["token_accuracy"] == row["validation"] == 1.0
    assert (row["influence"], row["influence_top"]) == (1.0, 1.0)
    assert row["tests"] == {"drawn": 0.0, "drawn(seed=2)": 1.0}, "seeds 1 and 3, and 8 is 3 modulo 5"
    assert row["steps_to_95"] % 10 == 0
    assert {rounds for rounds, _ in seen} == {1, 2, 3}


# ---- runs that break off


def test_a_run_that_breaks_off_says_so_and_the_others_go_on(folder):
    config = Config("copying", ("ssm", "ssm + fnn1"), seeds=1, steps=20, lrs=(1e-3, 1e30), budget=600)
    _, rows, curves = run(config, folder)
    assert [bool(r["stopped"]) for r in rows] == [False, False, True, True]
    assert all(re.match(r"the loss was (nan|inf) at step \d+ of 20; try a smaller lr", r["stopped"]) for r in rows[2:])
    assert lines(folder / "results.jsonl") == rows
    assert lines(folder / "curves.jsonl") == curves
    assert "stopped: the loss was" in compare.line(rows[2])
    assert "stopped" not in compare.line(rows[0])


def test_a_number_that_is_not_finite_is_null(folder, monkeypatch):
    scores = {"token_accuracy": 0.25, "sequence_accuracy": 0.0, "loss": float("nan")}
    monkeypatch.setattr(one_run, "evaluate", lambda *_: scores)
    run(Config("copying", ("ssm",), 1, 1, budget=600), folder)
    assert [row["loss"] for row in lines(folder / "results.jsonl")] == [None]
    with pytest.raises(ValueError, match="JSON"):
        results.write_lines(folder / "other.jsonl", [{"loss": float("inf")}])
    assert not (folder / "other.jsonl").exists()


def test_ctrl_c_in_a_training_keeps_the_finished_rows(folder, monkeypatch):
    jobs = []

    def on_ctrl_c(job, on_step, **kept):
        jobs.append(job)
        return run_job(job, on_step if len(jobs) < 3 else lambda _: signal.raise_signal(signal.SIGINT), **kept)

    run_job = compare.run_job
    monkeypatch.setattr(compare, "run_job", on_ctrl_c)
    with pytest.raises(KeyboardInterrupt, match=r"^2 of 4 runs are finished, .*minissm run copying --resume "):
        run(Config("copying", **TINY), folder)
    assert [record["row"]["seed"] for record in records(folder)] == [0, 0]
    assert len(jobs) == 3
    assert len(list((folder / "weights").iterdir())) == 2


def test_ctrl_c_is_heard_though_the_training_had_another_reason_to_end(folder, monkeypatch):
    """The loss of a training on a device breaks, Ctrl-C comes, and only then the loss is read."""
    monkeypatch.setattr(train, "is_numpy", lambda xp: False)
    gradient, calls = train.loss_and_gradient, []

    def broken(*args):
        calls.append(args)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        loss, grad = gradient(*args)
        return loss * np.float32("nan"), grad

    monkeypatch.setattr(train, "loss_and_gradient", broken)
    with pytest.raises(KeyboardInterrupt, match=r"^1 of 2 runs are finished, .*minissm run copying --resume "):
        run(Config("copying", models=("fnn0",), seeds=2, steps=30, width=4), folder)
    assert not (folder / "results.jsonl").exists(), "the rows are joined at the end"
    ((_, row, _),) = (record.values() for record in records(folder))
    assert row["stopped"].startswith("the loss was nan at step")


def test_ctrl_c_waits_until_the_pool_holds_no_lock():
    """Raised inside concurrent.futures.wait it left the locks of the futures held, and everything hung."""
    try:
        with workers.stop_signals(at_once=False) as pressed:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)
            assert pressed == [signal.SIGINT, signal.SIGTERM]
    except KeyboardInterrupt:
        pytest.fail("Ctrl-C was raised at once")
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_a_process_counts_its_steps_and_stops_at_the_next_when_asked(monkeypatch):
    counted, stop = [], threading.Event()
    monkeypatch.setattr(workers, "_worker", {"steps": SimpleNamespace(put=counted.append), "stop": stop})
    few_sequences(monkeypatch)
    net = Model("fnn0", vocab=11, width=2)
    job = Job("copying", "fnn0", {}, 0, 0.1, 120, repr(net), 64, 1.0, [], "auto", "numpy")
    workers._work(compare.run_job, job)
    assert counted == [50, 50, 20]
    stop.set()
    with pytest.raises(KeyboardInterrupt):
        workers._work(compare.run_job, job)
    assert counted == [50, 50, 20]


def test_ctrl_c_belongs_to_the_main_thread_alone():
    """A comparison may run in another thread, where no handler can be set."""
    seen = []

    def work():
        with workers.stop_signals(at_once=True) as pressed:
            seen.append(pressed)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [[]]


def test_a_process_that_is_killed_ends_the_comparison_in_one_sentence(folder, monkeypatch):
    """As the system does when memory runs out. The first row stays."""
    write = results.write

    def write_and_kill(*args):
        for child in multiprocessing.active_children():
            child.kill()
        return write(*args)

    monkeypatch.setattr(results, "write", write_and_kill)
    config = Config("copying", ("fnn0",), seeds=40, steps=99, width=2)
    with pytest.raises(RuntimeError, match=r"^run: a process was ended from outside.*fewer --jobs$"):
        run(config, folder, jobs=2)
    assert 1 <= len(records(folder)) < 40
    assert multiprocessing.active_children() == []


# ---- the folder


@pytest.mark.parametrize(
    ("models", "words"),
    [("attn(max_len=3)", "attn: a sequence of L=25, but positions for 3"), ("fnn1(width=1000000000000000)", None)],
)
def test_a_model_that_cannot_answer_the_task_leaves_no_folder(folder, models, words):
    with pytest.raises((ValueError, MemoryError), match=words):
        run(Config("copying", (models,), width=2), folder)
    assert not folder.exists()


@pytest.mark.parametrize("name", ["replace", "mkdir"])
def test_a_folder_that_cannot_be_written_is_not_left_behind(tmp_path, monkeypatch, name):
    (tmp_path / "mine").mkdir()
    call, called = getattr(os, name), []

    def full(*args, **kwargs):
        called.append(args)
        if name == "replace" or len(called) > 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return call(*args, **kwargs)

    monkeypatch.setattr(os, name, full)
    with pytest.raises(ValueError, match=r"^out: can't write to .*deep.*No space.*; choose another folder$"):
        run(Config("copying", **TINY), tmp_path / "mine" / "a" / "deep")
    assert called
    assert os.listdir(tmp_path) == ["mine"]
    assert os.listdir(tmp_path / "mine") == []


def test_results_of_another_run_are_never_written_over(folder):
    run(Config("copying", ("ssm",), 1, 1, budget=600), folder)
    for name in ("run.json", "results.jsonl", "runs"):
        before = contents(folder)
        with pytest.raises(ValueError, match=rf"^out: .* holds the results of another run \({name}\)"):
            run(Config("copying", **TINY), folder)
        assert contents(folder) == before
        (folder / name).unlink() if name != "runs" else shutil.rmtree(folder / name)
    assert len(before) == 4


def test_a_folder_that_is_there_may_hold_other_things(folder):
    (folder / "weights").mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    run(Config("copying", ("ssm",), 1, 1, budget=600), folder)
    assert (folder / "notes.txt").read_text() == "mine"
    assert len(lines(folder / "results.jsonl")) == 1


def test_without_a_name_each_run_has_a_new_dated_folder(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    names = {str(run(Config("copying(symbols=3)", ("ssm",), 1, 1, budget=600))[0]) for _ in range(3)}
    assert len(names) == 3
    pattern = r"runs.\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_copying-symbols-3-?(_\d)?"
    assert all(re.fullmatch(pattern, name) for name in names)


@pytest.mark.parametrize("before", [None, "glibc.malloc.check=0"])
def test_only_workers_ask_to_keep_memory(before, monkeypatch):
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    if before:
        monkeypatch.setenv("GLIBC_TUNABLES", before)
    with workers._workers_keep_memory():
        assert os.environ["GLIBC_TUNABLES"] == (f"{before}:" if before else "") + workers.TUNABLES
    assert os.environ.get("GLIBC_TUNABLES") == before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_a_worker_keeps_the_memory_of_its_arrays_until_its_training_ends():
    """Growth of the process in MB: after arrays of 64 MB are freed, and after the training ends."""
    code = (
        "from minissm.lab import workers\n"
        "def size(): return int(open('/proc/self/statm').read().split()[1]) >> 8\n"
        "def job(job, on_step): before = size(); [bytearray(1 << 26) for _ in range(2)]; return size() - before\n"
        "workers._worker.update(steps=SimpleNamespace(put=print), stop=threading.Event())\n"
        "before = size(); kept = workers._work(job, SimpleNamespace(steps=1)); print(kept, size() - before)"
    )
    command = [sys.executable, "-c", f"import threading\nfrom types import SimpleNamespace\n{code}"]
    environment = os.environ | {"GLIBC_TUNABLES": workers.TUNABLES}
    kept, after = map(int, subprocess.run(command, env=environment, capture_output=True, text=True).stdout.split())
    assert kept >= 60
    assert after < 30
