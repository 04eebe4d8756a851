"""`import minissm` stays light."""

import subprocess
import sys

import minissm

HEAVY = ("cupy", "torch", "jax", "autograd", "scipy", "matplotlib", "tqdm", "threadpoolctl", "multiprocessing.pool")


def test_import_brings_in_nothing_heavy_and_no_folder_of_the_same_name(tmp_path):
    """As beside a clone called minissm: an editable install by a finder loses there to the empty folder."""
    (tmp_path / "minissm").mkdir()
    code = f"import sys, minissm; print(minissm.Model.__name__, [m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "Model []\n", done.stderr


def test_the_names_promised_are_there():
    assert all(hasattr(minissm, name) for name in minissm.__all__)
    assert minissm.tasks.parse("recall") == minissm.tasks.Recall()
    assert callable(minissm.optim.adamw)
