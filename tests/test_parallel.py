"""The halves of a batch: cut by shapes alone, each done once, in order."""

import contextvars
import importlib
import multiprocessing
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from minissm.fast import parallel


@pytest.mark.parametrize(
    ("batch", "numbers", "parts"), [(1, 1 << 30, 1), (7, 1, 1), (7, 1 << 30, 2), (2, parallel.ENOUGH, 2)]
)
def test_a_batch_is_cut_by_its_shape_alone(batch, numbers, parts):
    cut = parallel.halves(batch, numbers)
    assert len(cut) == parts
    assert [i for part in cut for i in range(batch)[part]] == list(range(batch))
    with parallel.threads(1):
        assert parallel.halves(batch, numbers) == cut


@pytest.mark.parametrize("limit", [1, 2, None])
def test_results_come_in_the_order_of_the_parts(limit):
    with parallel.threads(limit):
        assert parallel.each(lambda n: n * n, [3, 2]) == [9, 4]


def test_one_thread_means_this_thread():
    with parallel.threads(1):
        assert set(parallel.each(lambda _: threading.get_ident(), [0, 1])) == {threading.get_ident()}


def test_an_error_in_a_part_comes_out():
    with pytest.raises(ZeroDivisionError):
        parallel.each(lambda n: 1 / n, [1, 0])


def blas_threads():
    return {i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"}


def blas_threads_in_a_limit():
    with threadpool_limits(3, "blas"):
        return blas_threads()


def test_the_limit_is_that_of_blas_too_and_of_one_that_is_loaded_later():
    code = """
from minissm.fast import parallel
with parallel.threads(1):
    import scipy.linalg.blas
    from threadpoolctl import threadpool_info
    assert {i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"} == {1}
    """
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)


def test_limits_that_overlap_leave_nothing_behind(monkeypatch):
    monkeypatch.setattr(parallel, "_cores", lambda: 2)
    importlib.import_module("scipy.linalg")  # a first limit would load SciPy's BLAS
    before = blas_threads()
    first, second = parallel.threads(1), parallel.threads(1)
    first.__enter__()
    other = contextvars.copy_context()  # another thread's
    other.run(second.__enter__)
    first.__exit__(None, None, None)
    assert blas_threads() == {1}
    other.run(second.__exit__, None, None, None)
    assert blas_threads() == before
    assert parallel.each(lambda _: threading.current_thread().name[:7], [0, 1]) == ["minissm"] * 2


@pytest.mark.parametrize("order", ["aAmMbB", "mMaA", "abAB", "abBA", "maMA", "amMA", "abmMBA"])
def test_a_limit_holds_whichever_threads_enter_and_leave_in_whichever_order(order):
    """a, b: threads that live on; m: this one, which holds a limit of its own; capital: leaves."""
    importlib.import_module("scipy.linalg")
    before, active, contexts = blas_threads(), [], {}
    with ThreadPoolExecutor(1) as a, ThreadPoolExecutor(1) as b, threadpool_limits(5, "blas"):
        does = {"a": lambda f: a.submit(f).result(), "b": lambda f: b.submit(f).result(), "m": lambda f: f()}
        for i, who in enumerate(order):
            if who.islower():
                contexts[who] = parallel.threads(2 + i)
                does[who](contexts[who].__enter__)
                active.append((who, 2 + i))
            else:
                does[who.lower()](lambda: contexts[who.lower()].__exit__(None, None, None))  # noqa: B023
                active = [pair for pair in active if pair[0] != who.lower()]
            assert blas_threads() == {active[-1][1] if active else 5}
        assert [do(blas_threads_in_a_limit) for do in does.values()] == [{3}] * 3, "the control is free again"
        assert blas_threads() == {5}
    assert blas_threads() == before


def test_a_generator_inside_may_be_closed_by_another_thread():
    def inside():
        with parallel.threads(2):
            yield blas_threads()

    before, generator = blas_threads(), inside()
    with ThreadPoolExecutor(1) as other:
        assert other.submit(next, generator).result() == {2}
        generator.close()
    assert blas_threads() == before


def test_none_inside_a_limit_lifts_it():
    with parallel.threads(1), parallel.threads(None):
        assert blas_threads() == {parallel._cores()}


@pytest.mark.parametrize("nested", [lambda: parallel.each(abs, [1, -2]), lambda: parallel.each(abs, [-3])])
def test_a_part_may_call_each_again(nested):
    outer = threading.Thread(target=lambda: results.append(parallel.each(lambda _: nested(), [0, 1])), daemon=True)
    results = []
    outer.start()
    outer.join(600)
    assert results == [[nested(), nested()]]


def test_a_part_sees_the_errstate_of_its_caller():
    zero = np.zeros(1)
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        parallel.each(lambda n: 1 / zero, [0, 1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")  # JAX's, where another test has loaded it
def test_a_child_made_by_fork_has_threads_of_its_own():
    parallel.each(abs, [1, 2])
    child = multiprocessing.get_context("fork").Process(target=parallel.each, args=(abs, [1, 2]))
    child.start()
    child.join(600)
    assert child.exitcode == 0


def test_at_the_end_of_python_the_parts_come_one_by_one():
    code = """
import atexit
from minissm.fast import parallel
atexit.register(lambda: print(parallel.each(abs, [1, -2])))
parallel.each(abs, [3, 4])
    """
    done = subprocess.run([sys.executable, "-c", code], check=True, timeout=600, capture_output=True, text=True)
    assert done.stdout == "[1, 2]\n"
