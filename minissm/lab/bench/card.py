"""The graphics card: what it is, what it can do (the counterpart of limits.py), its memory, what doesn't fit there."""

import gc
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np

from ... import gpu
from .timing import Rounds, Timed, interleave

UNITS = {
    "copy": "GB/s, read and written, in its memory",
    "product": "GFLOP/s, 8192 x 8192 x 8192, float32 without TF32",
    "exp": "10^9 numbers/s, expf in registers",
    "rfft": "10^6 numbers/s, rows of 4096",
    "calls": "10^3/s, additions of 32 numbers one after another",
}
EXPS, CALLS = 256, 1000  # of a number in one call; of one time
FULL_UP = ("memoryerror", "out of memory", "resource_exhausted", "alloc_failed")  # Python and torch, CUDA, XLA, cuFFT


def device(cupy: Any) -> dict[str, Any]:
    """What a report says of the card: `gpu.card`, and of its driver its own number too."""
    told = gpu.card(cupy)
    newest = f"up to CUDA {told['driver']}"
    return told | {"driver": f"{number} ({newest})" if (number := _driver()) else newest}


def _driver() -> str:
    """Its own number, which CUDA doesn't tell; "" where nvidia-smi doesn't either."""
    if (tool := shutil.which("nvidia-smi")) is None:
        return ""
    asked = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=20)
    except subprocess.TimeoutExpired:  # a driver in trouble lets it hang
        return ""
    return said.stdout.split("\n")[0].strip() if said.returncode == 0 else ""


def limits(cupy: Any, rounds: Rounds, timed: Timed, size: int = 8192) -> dict[str, float]:
    """The rates in UNITS, in float32: medians. size: of the product; all else has size x size numbers.

    A copy of so many reads and writes 256 MB each: five times the cache of an H100 (50 MB), twice that of a B200.
    """
    square = cupy.full((size, size), 0.5, np.float32)
    into, rows, few = cupy.empty_like(square), square.reshape(-1, size // 2), cupy.zeros(32, np.float32)
    often = cupy.ElementwiseKernel(
        "float32 x", "float32 y", f"float v = x; for (int k = 0; k < {EXPS}; ++k) v = expf(-v); y = v;", "minissm_exps"
    )

    def additions() -> None:
        for _ in range(CALLS):
            cupy.add(few, few, out=few)

    runs: dict[str, Callable[[], Any]] = {
        "copy": lambda: cupy.copyto(into, square),
        "product": lambda: cupy.matmul(square, square, out=into),
        "exp": lambda: often(square, into),
        "rfft": lambda: cupy.fft.rfft(rows),
        "calls": additions,
    }
    work = {
        "copy": 2 * square.nbytes / 1e9,
        "product": 2 * size**3 / 1e9,
        "exp": EXPS * square.size / 1e9,
        "rfft": square.size / 1e6,
        "calls": CALLS / 1e3,
    }
    for run in runs.values():
        run()
    times = interleave(runs, rounds, timed)
    return {name: work[name] / float(np.median(times[name])) for name in runs}


def taken(cupy: Any, run: Callable[[], Any]) -> int:
    """Bytes that CuPy's pool takes from the card for a call, beyond what was in use before: it keeps its high mark."""
    pool = cupy.get_default_memory_pool()
    free(cupy, ())
    before = pool.total_bytes()
    run()
    return pool.total_bytes() - before


def free(cupy: Any, found: Sequence[ModuleType]) -> None:
    """Nobody keeps memory of the case before, but for arrays that live. Raises where the card no longer answers."""
    cupy.cuda.Device().synchronize()
    gc.collect()
    cupy.fft.config.get_plan_cache().clear()  # plans keep their work areas
    cupy.get_default_memory_pool().free_all_blocks()
    for peer in found:
        peer.free()


@contextmanager
def fitting(lost: Callable[[str, bool], None]) -> Iterator[None]:
    """What fails inside ends here, told to `lost` in one sentence: one method must not cost a run all others.

    lost(why, failed); failed: it was no want of memory.
    """
    try:
        yield
    except Exception as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        full = any(word in said.lower() for word in FULL_UP)
        lost(f"{'not enough memory' if full else 'it failed'} ({said[:160]})", not full)


def losing(report: list[dict], workload: str, case: str, owner: str, method: str) -> Callable[[str, bool], None]:
    """Where `fitting` writes it down."""
    what = {"workload": workload, "case": case, "owner": owner, "method": method}

    def lose(why: str, failed: bool) -> None:
        report.append(what | {"why": why, "failed": failed})

    return lose
