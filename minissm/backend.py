"""The library and the device of an array. There is no device switch: a function computes where its arrays live.

Every function of the core begins with `xp = namespace(x, ...)` or shapes.check_arrays. It calls only functions of the
Python array API standard (https://data-apis.org/array-api). So the same lines run on NumPy, CuPy and, in the tests,
array_api_strict.
"""

import importlib
import numbers
import os
from typing import Any

import numpy as np

from .gpu import cupy as cupy

REFERENCE = os.environ.get("MINISSM_REFERENCE", "") not in ("", "0")  # True: no fast path (minissm/fast/) runs
BACKENDS = ("numpy", "cupy")
_NUMPY_ONLY = frozenset((np.ndarray, np.memmap, np.float32, np.float64, type(None)))


def namespace(*arrays: Any) -> Any:
    """The array library of these arrays (None and Python numbers don't count); TypeError where the libraries differ.

    A subclass of NumPy's array is refused: it may have a mask, a unit or another product. One that computes like its
    base says so by a `__array_namespace__` of its own. Files mapped to memory are taken.
    """
    if _NUMPY_ONLY.issuperset(map(type, arrays)):
        return np  # not its copy in array_api_compat, which takes as long to import as NumPy
    import array_api_compat

    present = [a for a in arrays if a is not None]
    for a in present:
        if isinstance(a, np.ndarray) and type(a) not in _NUMPY_ONLY and "__array_namespace__" not in vars(type(a)):
            kind = f"{type(a).__name__}, a subclass of numpy.ndarray, given"  # a mask, a unit, another product
            raise TypeError(f"namespace: {kind}; expected a plain array, fill its mask, or convert it by np.asarray")
    only_numpy = all(isinstance(a, np.ndarray | np.generic | complex | float | int) for a in present)
    try:
        return array_api_compat.array_namespace(*present, use_compat=False if only_numpy else None)
    except TypeError as error:
        names = sorted({type(a).__module__.split(".")[0] for a in present if hasattr(a, "dtype")})
        if len(names) > 1:
            mixed = f"namespace: arrays live on different backends: {', '.join(names)}"
            raise TypeError(f"{mixed}; move them with minissm.to(tree, backend)") from None
        raise TypeError(f"namespace: expected arrays, got {', '.join(type(a).__name__ for a in present)}") from error


def is_numpy(xp: Any) -> bool:
    return xp is np


def is_cupy(xp: Any) -> bool:
    return xp.__name__.endswith("cupy")  # array_api_compat.cupy


def device(array: Any) -> Any:
    """The device of the array, as the array API names it."""
    return array.device


def dtype_name(array: Any) -> str:
    """ "float32", in any library."""
    return str(array.dtype).rpartition(".")[2]


def transpose(a: Any) -> Any:
    """(..., D, E) -> (..., E, D), a view."""
    return namespace(a).matrix_transpose(a)


def fft_of(xp: Any) -> Any:
    """The FFT module: scipy.fft for NumPy (it is more than twice as fast as numpy.fft), else the library's own."""
    return importlib.import_module("scipy.fft") if is_numpy(xp) else xp.fft


def fft_size(minimum: int) -> int:
    """The smallest even length for which an FFT is fast, `minimum` or more."""
    return 2 * importlib.import_module("scipy.fft").next_fast_len(-(-minimum // 2), real=True)


def complex_dtype(xp: Any, real: Any) -> Any:
    """complex64 for float32, complex128 for float64."""
    return xp.complex64 if real == xp.float32 else xp.complex128


def state_dtype(log_lam: Any, real: Any) -> Any:
    """The dtype of the state of poles, for inputs of the dtype `real`: complex128 where a memory is long.

    Rounded to single precision, lam is off by up to 4e-8, and the state by as much for each step that it remembers. So
    poles with Re log_lam > -1/2048 have a state in double precision. Without NumPy all have: a look at them would make
    the host wait for the device.
    """
    xp = namespace(log_lam)
    short = real == xp.float32 and is_numpy(xp) and log_lam.real.max(initial=-1) <= -1 / 2048
    return xp.complex64 if short else xp.complex128


def one_hot(xp: Any, index: Any, depth: int, dtype: Any) -> Any:
    """index (...) of integers -> (..., depth): 1 at the index, 0 elsewhere."""
    classes = xp.arange(depth, dtype=xp.int64, device=device(index))  # uint8 can't count 300 classes
    return xp.astype(xp.astype(index, xp.int64)[..., None] == classes, dtype)


def to(tree: Any, backend: str) -> Any:
    """The tree with its arrays on `backend`, "numpy" or "cupy". An array that is there already is not copied."""
    if backend not in BACKENDS:
        raise ValueError(f"to: backend {backend!r}; expected one of {', '.join(BACKENDS)}")
    move = _to_numpy if backend == "numpy" else cupy().asarray

    def moved(tree: Any) -> Any:
        if isinstance(tree, dict):
            return {k: moved(v) for k, v in tree.items()}
        if isinstance(tree, list | tuple):
            parts = [moved(v) for v in tree]
            return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
        if tree is None or isinstance(tree, int | float | complex):
            return tree
        if isinstance(tree, np.ndarray):
            namespace(tree)  # refuses a mask, which would be lost
        return move(tree)

    return moved(tree)


def _to_numpy(array: Any) -> np.ndarray:
    return array.get() if hasattr(array, "get") else np.asarray(array)


def like(array: Any, reference: Any) -> Any:
    """The NumPy array `array`, moved to the library and device of `reference`."""
    xp = namespace(reference)
    return array if is_numpy(xp) else xp.asarray(array, device=device(reference))


def check_state(who: str, state: Any, keys: tuple[str, ...], *optional: str) -> None:
    """ValueError unless the state is a dict with these keys."""
    if not isinstance(state, dict) or state.keys() - set(optional) != set(keys):
        names = ", ".join(map(str, state)) or "nothing" if isinstance(state, dict) else None
        given = f"a dict of {names}" if names else type(state).__name__
        raise ValueError(f"{who}: state is {given}; expected {', '.join(keys)}, as start, run and step return them")


def check_like(who: str, name: str, a: Any, expected: Any) -> None:
    """ValueError unless a has the shape and the dtype of `expected`."""
    given = getattr(a, "dtype", type(a).__name__), tuple(getattr(a, "shape", ()))
    if given != (expected.dtype, tuple(expected.shape)):
        raise ValueError(f"{who}: {name} is {given[0]} {given[1]}; expected {expected.dtype} {tuple(expected.shape)}")
    namespace(a)


def cotangent(who: str, d: Any, y: Any, name: str = "dy") -> Any:
    """The cotangent of the output y after argument checks; zeros for None.

    One of the other precision is cast to its output's. A number may stand for an array of no axes: the loss's cotangent
    is 1.0, wherever the loss lives.
    """
    if type(d) is type(y) and d.dtype == y.dtype and d.shape == y.shape:  # the ordinary case costs nothing
        return d
    xp = namespace(y)
    if d is None:
        return xp.zeros_like(y)
    if isinstance(d, numbers.Real) and y.shape == ():
        return float(d)
    if hasattr(d, "dtype") and namespace(d, y) and d.dtype != y.dtype:
        real = xp.isdtype(y.dtype, "real floating")
        if d.dtype in ((xp.float32, xp.float64) if real else (xp.complex64, xp.complex128)):
            d = xp.astype(d, y.dtype)
    check_like(who, name, d, y)
    return d


def cotangents(who: str, *outputs: tuple[str, Any, Any]) -> list:
    """The `cotangent` of each output. outputs: (name, cotangent, output) each."""
    return [cotangent(who, d, y, name) for name, d, y in outputs]
