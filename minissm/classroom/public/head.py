"""The public tests: `pytest -m ex1` runs those of one exercise, `pytest` runs all. Each failure is a sentence.

The hidden tests, which give the points, are stricter. Tests of your own can use the same five functions:

    ex1 = load("ex1")                       ex1.scan is then the function `scan` of ex1.py, in this folder
    y, h = ex1.scan(lam, c, u)              calls it
    y, h = unchanged(ex1.scan, lam, c, u)   calls it, and fails if it writes to one of its inputs
    form(y, (2, 7, 3), np.float32, "y")     fails unless y is an array of this shape and dtype
    close(y, [[1, 2]], 1e-9, "y")           fails unless y has this shape and these numbers, to 1e-9 of the largest
    slopes(loss, arrays, {"dlam": dlam, "dc": dc})     fails unless the gradients fit small steps (see below)

A test is a function `test_ex1_...` under the line `@pytest.mark.ex1`.
"""

import ast
import sys
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest


def load(name, **returns):
    """The functions of NAME.py. The file is read at the first call, so that each failure belongs to a test.

    returns: the names of what a function returns, if these are several, as in load("ex1", scan="y, h_last")
    """
    return _HandedIn(name, returns)


class _HandedIn:
    def __init__(self, name, returns):
        self._name, self._returns = name, returns

    def __getattr__(self, function):
        def call(*arrays):
            __tracebackhide__ = True
            functions = _read(self._name)
            if isinstance(functions, str):
                pytest.fail(functions, pytrace=False)
            if not callable(functions.get(function)):
                pytest.fail(f"{self._name}.py has no function {function}; keep its name", pytrace=False)
            with suppress(NotImplementedError):
                found, names = functions[function](*arrays), self._returns.get(function, "").split(", ")
                if len(names) > 1 and not (isinstance(found, (tuple, list)) and len(found) == len(names)):
                    pytest.fail(f"{function} must return {len(names)} arrays: {', '.join(names)}", pytrace=False)
                return found
            pytest.fail(f"{self._name}.py: {function} is still to be written", pytrace=False)

        call.__name__ = function
        return call


@lru_cache(maxsize=None)
def _read(name):
    """-> the names that the file defines, or the sentence that says why it can't be read."""
    path = Path(__file__).resolve().parent / f"{name}.py"
    if not path.is_file():
        return f"there is no {name}.py in the folder of test_public.py"
    space = {"__name__": name, "__file__": str(path)}
    try:
        text = path.read_bytes().decode("utf-8-sig", "replace")
        for module in sorted(_imported(ast.parse(text)) - set(sys.stdlib_module_names) - {"numpy"}):
            return f"{name}.py imports {module}; the grader has only NumPy and the standard library"
        exec(compile(text, str(path), "exec"), space)
    except SyntaxError as error:
        return f"{name}.py is not valid Python: {error.msg} (line {error.lineno})"
    except (Exception, SystemExit) as error:
        return f"{name}.py can't be loaded: {type(error).__name__}: {error}"
    return space


def _imported(tree):
    """The names of the packages that are imported anywhere."""
    nodes = list(ast.walk(tree))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "." for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.split(".")[0] or "." for name in names}


def unchanged(function, *arrays):
    """Call the function and fail if an input has other numbers afterwards. -> what it returned."""
    __tracebackhide__ = True
    before = [None if a is None else a.copy() for a in arrays]
    found = function(*arrays)
    for i, (a, b) in enumerate(zip(arrays, before)):
        if a is not None and not np.array_equal(a, b):
            pytest.fail(f"{function.__name__} writes to input {i + 1}; work on a copy of it")
    return found


def form(found, shape, dtype, name="the result"):
    """Fail unless `found` is an array of this shape and dtype."""
    __tracebackhide__ = True
    if not isinstance(found, (np.ndarray, np.generic)):
        missing = ": is a return statement missing?" if found is None else ""
        pytest.fail(f"{name} is {type(found).__name__}; expected an array{missing}")
    if found.shape != shape:
        pytest.fail(f"{name} has shape {found.shape}; expected {shape}")
    if found.dtype != dtype:
        pytest.fail(f"{name} is {found.dtype}; expected {np.dtype(dtype)}")


def close(found, expected, tol=1e-9, name="the result"):
    """Fail unless both have one shape and differ nowhere by more than `tol` of the largest number that is expected."""
    __tracebackhide__ = True
    expected = np.asarray(expected)
    form(found, expected.shape, getattr(found, "dtype", None), name)
    if not np.isfinite(found).all():
        pytest.fail(f"{name} has nan or inf{_place(_first(~np.isfinite(found)))}")
    most = np.abs(expected).max(initial=0) or 1.0
    if (wrong := np.abs(found - expected) > tol * most).any():
        at = _first(wrong)
        pytest.fail(f"{name} is {found[at]:.7g}{_place(at)}; expected {expected[at]:.7g}")


def _first(true):
    return tuple(int(i) for i in np.argwhere(true)[0])


def _place(at):
    return f" at {list(at)}" if at else ""


def slopes(loss, arrays, gradients, factor=1, tol=1e-6):
    """Fail unless each gradient predicts how the loss changes with a small step along a random direction.

    loss: a function of the arrays -> a number.  gradients: {"dlam": the gradient of the first of the arrays, ...}.
    factor: the change is `factor` times Re sum conj(gradient) step, where the array is complex.
    """
    __tracebackhide__ = True
    rng, size = np.random.default_rng(0), 1e-6
    for i, (name, gradient) in enumerate(gradients.items()):
        form(gradient, arrays[i].shape, getattr(gradient, "dtype", None), name)
        is_complex = np.iscomplexobj(arrays[i])
        way = rng.normal(size=arrays[i].shape) + is_complex * 1j * rng.normal(size=arrays[i].shape)
        way = way if is_complex else way.real
        ends = [loss(*arrays[:i], arrays[i] + sign * size * way, *arrays[i + 1 :]) for sign in (1, -1)]
        slope, predicted = (ends[0] - ends[1]) / (2 * size), (np.conj(gradient) * way).sum().real
        predicted = factor * predicted if is_complex else predicted
        if not abs(slope - predicted) <= tol * max(abs(slope), abs(predicted), 1):
            pytest.fail(f"{name}: along some direction the loss has slope {slope:.7g}; {name} predicts {predicted:.7g}")
