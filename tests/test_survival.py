"""A run that is killed at any moment, again and again, ends with the rows and the bits of one that never was."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from minissm.lab.compare import resume, run
from minissm.lab.config import Config

from .runs import outcome

CONFIGS = [  # with how many kills; regression keeps the best parameters so far, and its sample is finite
    (Config("copying", ("ssm", "fnn1 + ssm"), seeds=6, steps=250, budget=600), 20),
    (Config("regression(n=200)", ("ssm", "fnn1 + attn"), seeds=2, steps=150, budget=600), 10),
]
CODE = """
import sys
from pathlib import Path
from minissm.lab.compare import resume, run
from minissm.lab.config import Config
folder, jobs = Path(sys.argv[1]), int(sys.argv[2])
config = eval(sys.argv[3])
resume(folder, jobs, every=0.02) if (folder / "run.json").exists() else run(config, folder, jobs, every=0.02)
"""


def ends_by_itself(folder, jobs, seconds, config):
    """Start the run, or go on with it, and kill every process of it so many seconds later (None: never)."""
    code = [sys.executable, "-c", CODE, str(folder), str(jobs), repr(config)]
    with subprocess.Popen(code, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True) as process:
        try:
            _, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return False
    assert process.returncode == 0, err.decode()
    return True


def records(folder):
    return {path.name: path.read_bytes() for path in (folder / "runs").glob("*.json")}.items()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="process groups as POSIX has them")
@pytest.mark.parametrize(("config", "kills"), CONFIGS, ids=["copying", "regression"])
def test_killed_at_random_moments_nothing_is_lost_and_nothing_twice(config, kills, tmp_path, capsys):
    run(config, tmp_path / "whole")
    expected, rng = outcome(tmp_path / "whole"), np.random.default_rng()
    killed = runs = at_work = 0
    start = time.monotonic()
    assert ends_by_itself(tmp_path / "whole", 1, None, config)  # nothing is left to do
    pace = time.monotonic() - start  # what the start of Python takes here, half a second or so
    while killed < kills:
        runs += 1
        folder, rows = tmp_path / f"killed{runs}", {}.items()
        while killed < kills and not ends_by_itself(folder, 1 + killed % 2, pace * rng.uniform(0.5, 4), config):
            killed += 1
            at_work += any((folder / "unfinished").glob("*"))
            assert records(folder) >= rows, "a row that was there stays, to its seconds"
            rows = records(folder)
        resume(folder)
        assert outcome(folder) == expected
        names = {
            path.relative_to(folder).parts[0]
            for path in folder.rglob("*")
            if path.suffix in (".json", ".jsonl", ".npz")
        }
        assert names == {"curves.jsonl", "results.jsonl", "run.json", "runs", "weights"}, "younger .part files may stay"
    assert at_work > kills / 2
    with capsys.disabled():
        spent = time.monotonic() - start
        print(f"\nsurvived {killed} kills in {runs} runs, {at_work} of them in the midst of a training, {spent:.0f} s")
