"""A Dask cluster gives the rows and the bits of one process, whatever dies in the midst."""

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from minissm import tree
from minissm.fast import parallel
from minissm.lab import cluster as lab_cluster
from minissm.lab.cluster import in_cluster
from minissm.lab.config import Config
from minissm.lab.job import run_job
from minissm.lab.workers import in_process
from minissm.progress import Progress

from .runs import command, few_sequences, outcome, refused

CONFIG = Config("copying", ("ssm", "fnn1 + ssm"), seeds=2, steps=30, budget=600)
posix = pytest.mark.skipif(os.name == "nt", reason="signals as POSIX has them")


@pytest.fixture(scope="module")
def cluster():
    """Two workers of one thread each. A job that kills three workers is given up."""
    distributed = pytest.importorskip("distributed", reason="dask[distributed] is not installed")
    import dask

    given_up = {"distributed.scheduler.allowed-failures": 2, "distributed.deploy.lost-worker-timeout": "1 hour"}
    # port 0: a free one, since two processes may run these tests at a time; None would take 8787
    quiet = {"dashboard_address": ":0", "silence_logs": logging.CRITICAL}
    with (
        dask.config.set(given_up),
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, **quiet) as local,
    ):
        yield local


@pytest.fixture
def outcomes(cluster):
    """outcomes(run, work) -> the generator of outcomes from the cluster."""

    def of(run, work, pressed=()):
        return in_cluster(run, work, Progress(1, "", show=False), cluster.scheduler_address, pressed)

    return of


def short_run(*job, **options):
    """run_job, tested on few sequences."""
    with pytest.MonkeyPatch.context() as patch:
        few_sequences(patch)
        return run_job(*job, **options)


@dataclass(frozen=True)
class Killing:
    """A run that ends its process at step 11 of the jobs of this seed, so many times. Keeps each job's first step."""

    seed: int
    times: int
    log: Path
    unfinished: Path | None = None

    def __call__(self, job, on_step):
        first = []

        def step(i):
            if not first:
                first.append(i)
                with open(self.log / job.name, "a") as file:
                    file.write(f"{i} ")
            if job.seed == self.seed and i >= 11 and len(begun(self.log, job)) <= self.times:
                os.kill(os.getpid(), signal.SIGKILL)
            on_step(i)

        return short_run(job, step, self.unfinished, every=0)


def begun(folder, job):
    """The first step of each time that the job was begun."""
    path = folder / job.name
    return [int(word) for word in path.read_text().split()] if path.exists() else []


def bits(outcome):
    """What must be the same wherever a run was: all but the seconds."""
    weights = [leaf.tobytes() for leaf in tree.leaves(outcome.params)]
    return outcome.row | {"seconds": 0, "cpu_seconds": 0}, outcome.curve, weights


def in_one_process(work):
    return {
        job.name: bits(one) for job, one in zip(work, in_process(short_run, work, Progress(1, "", False)), strict=True)
    }


@posix
@pytest.mark.slow
@pytest.mark.parametrize(("unfinished", "begins"), [("", [1, 11, 11]), ("seen by the client only", [1, 1])])
def test_a_worker_that_is_killed_twice_changes_no_bit(outcomes, tmp_path, unfinished, begins):
    """It goes on from the checkpoint, where it sees one. Without, killing it once will do."""
    work = CONFIG.work()[:3]  # the last has another seed
    killing = Killing(1, len(begins) - 1, tmp_path, tmp_path / unfinished)
    found = {one.job.name: bits(one) for one in outcomes(killing, work)}
    assert found == in_one_process(work)
    assert begun(tmp_path, work[2]) == begins
    assert [begun(tmp_path, job) for job in work[:2]] == [[1], [1]], "what is finished is not computed again"


@posix
@pytest.mark.slow
def test_a_job_that_kills_three_workers_is_one_sentence_and_the_others_go_on(outcomes, tmp_path):
    work, found = CONFIG.work()[1:], []
    with pytest.raises(RuntimeError, match="1 of 3 runs ended every worker that tried them, first fnn1-ssm-seed0"):
        found.extend(one.job for one in outcomes(Killing(0, 99, tmp_path), work))
    assert sorted(found) == sorted(work[1:])
    assert begun(tmp_path, work[0]) in ([1] * 3, [1] * 6), "three times; if Dask suspects others too, again alone"


def wait_for(path):
    end = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.02)


@dataclass(frozen=True)
class Endless:
    """A run that never ends by itself, and says when it was interrupted."""

    log: Path

    def __call__(self, job, on_step):
        (self.log / "began").touch()
        try:
            while True:
                time.sleep(0.01)
                on_step(1)
        except KeyboardInterrupt:
            (self.log / "interrupted").touch()
            raise


@pytest.mark.slow
def test_a_client_that_stops_interrupts_its_runs(outcomes, tmp_path):
    class Pressed:
        def __bool__(self):
            return (tmp_path / "began").exists()

    with pytest.raises(KeyboardInterrupt):
        list(outcomes(Endless(tmp_path), CONFIG.work()[:1], Pressed()))
    wait_for(tmp_path / "interrupted")


def threads_of(job, on_step):
    return parallel._limit.get()


@pytest.mark.slow
def test_all_of_a_run_has_one_thread(outcomes):
    assert list(outcomes(threads_of, CONFIG.work()[:1])) == [1]


class Unknown:
    """As the worker without minissm sees what it is sent."""

    def __reduce__(self):
        return __import__, ("no_such_package",)


@pytest.mark.slow
def test_a_worker_without_minissm_is_one_sentence(outcomes):
    with pytest.raises(RuntimeError, match=r"worker tcp://\S+ can't load minissm .*no_such_package.*; install it on"):
        list(outcomes(Unknown(), CONFIG.work()[:1]))
    assert list(outcomes(threads_of, CONFIG.work()[:3])) == [1, 1, 1], "and the worker lives"


@posix
@pytest.mark.slow
def test_a_client_that_is_killed_goes_on_with_the_same_bits(cluster, tmp_path, capfd):
    where = ["--cluster", cluster.scheduler_address]
    asked = ["copying", "--models", "ssm", "--seeds", "4", "--steps", "150", "--budget", "600"]
    assert command("run", *asked, "--jobs", "1", "--out", str(tmp_path / "one")) == 0
    many = str(tmp_path / "many")
    with subprocess.Popen([sys.executable, "-m", "minissm", "run", *asked, "--out", many, *where]) as client:
        while not list((tmp_path / "many").glob("runs/*")):
            time.sleep(0.02)
        client.kill()
    assert len(list((tmp_path / "many").glob("runs/*"))) < 4
    assert command("run", "copying", "--resume", many, *where) == 0
    assert outcome(tmp_path / "many") == outcome(tmp_path / "one")
    assert not (tmp_path / "many" / "unfinished").exists()


# ---- no cluster


@pytest.fixture
def impatient(monkeypatch):
    pytest.importorskip("distributed", reason="dask[distributed] is not installed")
    monkeypatch.setattr(lab_cluster, "PATIENCE", 0.2)


def test_an_address_that_does_not_answer_is_one_sentence_and_leaves_nothing(impatient, tmp_path, capsys):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        accepts = f"127.0.0.1:{silent.getsockname()[1]}"
        for address, why in ((accepts, "no answer in 0.2 s"), ("http://h:8787/status", "unknown address scheme")):
            err = refused(capsys, "run", "copying", "--out", str(tmp_path / "new"), "--cluster", address)
            assert f"minissm run: no Dask scheduler at '{address}' ({why}" in err
            assert "give its address, like tcp://host:8786" in err
    assert list(tmp_path.iterdir()) == []


def test_without_dask_the_command_that_installs_it_is_shown(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert "pip install 'minissm[cluster]'" in refused(capsys, "run", "copying", "--cluster", "tcp://127.0.0.1:8786")


def test_jobs_are_not_for_a_cluster(capsys):
    assert "leave --jobs away" in refused(capsys, "run", "copying", "--jobs", "2", "--cluster", "tcp://127.0.0.1:8786")


def test_a_worker_that_does_not_see_the_folder_does_the_run_without_a_checkpoint(tmp_path):
    (job,) = Config("copying", ("ssm",), seeds=1, steps=2, width=4).work()
    found = run_job(job, unfinished=tmp_path / "on another machine", every=0)
    assert (found.row["steps"], list(tmp_path.iterdir())) == (2, [])
