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


def test_a_folder_of_the_same_name_is_not_taken_for_the_library(tmp_path):
    """As beside a clone called minissm: an editable install by a finder loses there to the empty folder."""
    (tmp_path / "minissm").mkdir()
    code = "import minissm; print(minissm.Model.__name__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "Model\n", done.stderr
