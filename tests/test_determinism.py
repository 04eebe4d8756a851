"""Same seed, same bits, in two processes (one machine, same versions, BLAS on one thread)."""

import os
import subprocess
import sys

CODE = """
import hashlib, numpy as np, minissm as ms
rng = np.random.default_rng({seed})
task = ms.tasks.copying()
net = ms.Model("ssm + fnn1 + attn + fnn1", vocab=task.vocab, width=8)
params, log = ms.fit(net, net.init(rng), task, 6, rng, progress=False)
digest = hashlib.sha256(ms.tree.flatten(params).tobytes() + repr(log).encode())
print(digest.hexdigest())
"""


def digest(seed: int) -> str:
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    code = CODE.format(seed=seed)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    return done.stdout.strip()


def test_the_same_seed_gives_the_same_bits_in_two_processes():
    first = digest(0)
    assert len(first) == 64
    assert digest(0) == first


def test_another_seed_gives_other_bits():
    assert digest(1) != digest(0)
