"""The kernels of minissm/fast/cuda built by g++ for this processor. What passes here has not passed on a GPU."""

import ctypes
import functools
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np

from minissm.fast.cuda import launch

HERE = Path(__file__).parent
COMPILER = shutil.which("g++") or shutil.which("c++")


def types(file: str) -> list[str]:
    """The C++ types that the kernels of a file are made for: linear.cu computes with complex numbers, too."""
    return list(launch.TYPES.values())[: 4 if file == "linear.cu" else 2]


def build(file: str, folder: Path, made: list[str], *options: str) -> Path:
    """A library with a C function <kernel>_<i> for each kernel and each type made[i]."""
    assert COMPILER
    lines = [f'#include "{HERE / "cuda_shim.h"}"', launch.source(file)]
    for kernel in launch.kernels(file):
        for i, type_ in enumerate(made):
            arguments = "void **given, const unsigned *grid, const unsigned *block, bool together"
            call = f"shim_launch({kernel}<{type_}>, given, grid, block, together)"
            lines.append(f'extern "C" void {kernel}_{i}({arguments}) {{ {call}; }}')
    text, library = folder / f"{file}.cpp", folder / f"{file}.so"
    text.write_text("\n".join(lines))
    command = [
        COMPILER,
        "-std=c++20",
        "-O1",
        "-shared",
        "-fPIC",
        "-pthread",
        "-Wall",
        "-Wno-unknown-pragmas",
        "-Werror",
    ]
    environment = os.environ | {"LD_PRELOAD": ""}  # the compiler needs no sanitizer
    subprocess.run([*command, *options, str(text), "-o", str(library)], check=True, env=environment)
    return library


class Shim:
    """Stands in for `launch.function`, on NumPy arrays."""

    def __init__(self, folder: Path, *options: str, made: Callable[[str], list[str]] = types) -> None:
        self.made = made
        self.library = functools.cache(lambda file: ctypes.CDLL(str(build(file, folder, self.made(file), *options))))
        self.launched: list[str] = []

    def function(self, file: str, kernel: str, type_: str) -> Callable:
        call = getattr(self.library(file), f"{kernel}_{self.made(file).index(type_)}")
        together = "__syncthreads" in launch.source(file) and kernel in ("forward", "backward")

        def run(grid: tuple, block: tuple, arguments: tuple) -> None:
            held = [self._argument(a) for a in arguments]
            given = (ctypes.c_void_p * len(held))(*(ctypes.addressof(a) for a in held))
            sizes = [(ctypes.c_uint * 2)(*shape, *[1] * (2 - len(shape))) for shape in (grid, block)]
            self.launched.append(kernel)
            call(given, *sizes, ctypes.c_bool(together))

        return run

    @staticmethod
    def _argument(a: object) -> ctypes._SimpleCData:
        """As CuPy hands it on: an array's address, or an integer of 64 bits."""
        if isinstance(a, np.ndarray):
            return ctypes.c_void_p(a.ctypes.data)
        assert type(a) is np.int64, f"{a!r}: CuPy would pass it with another size"
        return ctypes.c_longlong(int(a))
