"""The way to the kernels: the text of a .cu file, compiled by CuPy for the card that is there, and its launch."""

import re
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent
TYPES = {
    "float32": "float",
    "float64": "double",
    "complex64": "Complex<float>",
    "complex128": "Complex<double>",
}
OPTIONS = ("-std=c++17",)
Array = Any


def source(file: str) -> str:
    """The file with number.cuh inside: CuPy keeps compiled kernels by their text, and would not see that one change."""
    return (FOLDER / file).read_text().replace('#include "number.cuh"\n', (FOLDER / "number.cuh").read_text())


def kernels(file: str) -> list[str]:
    """The names of its kernels, each a template over one type."""
    return re.findall(r"__global__\s+void (\w+)\(", source(file))


@cache
def function(file: str, kernel: str, type_: str) -> Callable:
    """`function(file, kernel, type)(grid, block, arguments)` launches kernel<type>. Compiled when first asked for."""
    return _module(file, type_).get_function(f"{kernel}<{type_}>")


@cache
def _module(file: str, type_: str) -> Any:
    names = tuple(f"{kernel}<{type_}>" for kernel in kernels(file))
    return import_module("cupy").RawModule(code=source(file), options=OPTIONS, name_expressions=names)


def launch(file: str, kernel: str, dtype: Any, blocks: int, block: tuple[int, ...], *arguments: Any) -> None:
    """kernel<the C++ type of dtype> on so many blocks of this shape. Arrays must be contiguous; numbers are whole."""
    for a in arguments:
        if hasattr(a, "flags") and not a.flags.c_contiguous:
            raise ValueError(f"{file}: {kernel} got an array of strides {a.strides}; make it contiguous")
    if str(dtype) not in TYPES:
        raise ValueError(f"scan: {dtype} on a GPU; expected one of {', '.join(TYPES)}, convert it")
    given = tuple(np.int64(a) if isinstance(a, int) else a for a in arguments)
    function(file, kernel, TYPES[str(dtype)])((blocks,), block, given)


def each(file: str, kernel: str, dtype: Any, threads: int, *arguments: Any, block: int = 128) -> None:
    """So many threads or a few more, in blocks in one dimension."""
    launch(file, kernel, dtype, -(-threads // block), (block,), *arguments)
