"""Same seed, same bits, in two processes (one machine, same versions, BLAS on one thread)."""

import hashlib
import os
import subprocess
import sys

import numpy as np

from minissm import Model, fit, tasks, tree

CODE = "from tests.test_determinism import digest; print(digest(0))"


def digest(seed: int) -> str:
    rng, task = np.random.default_rng(seed), tasks.Copying()
    net = Model("ssm + fnn1 + attn + fnn1", vocab=task.vocab, width=8)
    params, log = fit(net, net.init(rng), task, 6, rng, progress=False)
    return hashlib.sha256(tree.flatten(params).tobytes() + repr(log).encode()).hexdigest()


def test_the_same_seed_gives_the_same_bits_in_two_processes_and_another_seed_others():
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    root = os.path.dirname(os.path.dirname(__file__))
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, env=environment, cwd=root)
    assert done.stdout.strip() == digest(0), done.stderr
    assert digest(1) != digest(0)
