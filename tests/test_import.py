"""`import minissm` stays light."""

import subprocess
import sys

HEAVY = ("cupy", "torch", "jax", "autograd", "scipy", "matplotlib", "tqdm", "threadpoolctl", "multiprocessing.pool")


def test_import_brings_in_nothing_heavy():
    code = f"import sys, minissm; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_names_promised_are_there():
    import minissm

    assert all(hasattr(minissm, name) for name in minissm.__all__)
    assert minissm.tasks.copying is not None
    assert minissm.optim.adamw is not None
