"""Launch kernels: CuPy compiles the text of a .cu file for the current GPU."""

import re
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

TYPES = {
    "float32": "float",
    "float64": "double",
    "complex64": "Complex<float>",
    "complex128": "Complex<double>",
}
OPTIONS = ("-std=c++17",)
Array = Any


def source(file: str) -> str:
    """The text with number.cuh inserted: CuPy caches kernels by their text, and would miss changes in an include."""
    folder = import_module("pathlib").Path(__file__).parent
    return (folder / file).read_text().replace('#include "number.cuh"\n', (folder / "number.cuh").read_text())


def kernels(file: str) -> list[str]:
    """The names of the kernels in a file, each a template over one type."""
    return re.findall(r"__global__\s+void (\w+)\(", source(file))


@cache
def function(file: str, kernel: str, type_: str) -> Callable:
    """`function(file, kernel, type)(grid, block, arguments)` launches kernel<type>. Compiled at the first call."""
    return _module(file, type_).get_function(f"{kernel}<{type_}>")


@cache
def _module(file: str, type_: str) -> Any:
    names = tuple(f"{kernel}<{type_}>" for kernel in kernels(file))
    return import_module("cupy").RawModule(code=source(file), options=OPTIONS, name_expressions=names)


def launch(file: str, kernel: str, dtype: Any, blocks: int, block: tuple[int, ...], *arguments: Any) -> None:
    """Launch kernel<type of dtype> on `blocks` blocks of shape `block`. arguments: contiguous arrays, integers."""
    for a in arguments:
        if hasattr(a, "flags") and not a.flags.c_contiguous:
            raise ValueError(f"{file}: {kernel} got an array of strides {a.strides}; make it contiguous")
    if str(dtype) not in TYPES:
        raise ValueError(f"{file}: {dtype} on a GPU; expected one of {', '.join(TYPES)}; convert it")
    sized = tuple(np.int64(a) if isinstance(a, int) else a for a in arguments)
    function(file, kernel, TYPES[str(dtype)])((blocks,), block, sized)


def each(file: str, kernel: str, dtype: Any, threads: int, *arguments: Any, block: int = 128) -> None:
    """Launch at least `threads` threads, in one-dimensional blocks. At least one, since CUDA refuses an empty grid."""
    launch(file, kernel, dtype, max(1, -(-threads // block)), (block,), *arguments)
