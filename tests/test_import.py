"""`import minissm` stays light."""

import subprocess
import sys

import minissm

HEAVY = (  # slow to import
    *("cupy", "torch", "jax", "autograd", "scipy", "matplotlib", "tqdm", "threadpoolctl", "multiprocessing.pool"),
    *("array_api_compat", "numpy.f2py", "numpy.testing", "numpy.ma", "numpy.polynomial", "numpy.random", "unittest"),
    *("concurrent.futures", "hashlib", "html", "importlib.metadata", "logging", "pathlib", "subprocess", "zipfile"),
    *("minissm.classroom", "minissm.lab", "minissm.watch"),
)


def test_import_brings_in_nothing_heavy_and_no_folder_of_the_same_name(tmp_path):
    """As beside a clone called minissm: an editable install by a finder loses there to the empty folder.

    Modules that NumPy itself imports do not count, nor do the finders of other installed packages.
    """
    (tmp_path / "minissm").mkdir()
    code = (
        "import sys, numpy; before = {*sys.modules}; import minissm\n"
        f"print(minissm.Model.__name__, [m for m in {HEAVY!r} if m in sys.modules and m not in before])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "Model []\n", done.stderr


def test_the_names_promised_are_there():
    assert all(hasattr(minissm, name) for name in minissm.__all__)
    assert minissm.tasks.parse("recall") == minissm.tasks.Recall()
    assert callable(minissm.optim.adamw)


def test_other_libraries_are_found_without_numpys_copy_in_array_api_compat():
    """The copy imports numpy.f2py and numpy.testing, and takes as long to import as NumPy."""
    code = (
        "import sys, array_api_strict, numpy as np; from minissm import namespace\n"
        "assert namespace(array_api_strict.ones(2), None) is array_api_strict\n"
        "assert namespace(np.ones(2), np.float32(1)) is namespace(np.float64(1)) is namespace(None) is np\n"
        "print('array_api_compat.numpy' in sys.modules)\n"
        "assert namespace(np.ones(2), np.int8(1)) is np\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr
