"""Peak memory that a call needs beyond what was there before."""

import ctypes
import gc
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROC = Path("/proc/self")


def of_process(run: Callable[[], Any]) -> int | None:
    """Bytes by the process's high-water mark, whoever allocates them; None where the system has no such mark."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)  # glibc: what was freed and kept would hide what is taken
        (PROC / "clear_refs").write_text("5")
        before = _status("VmRSS")
    except (OSError, AttributeError):
        return None
    result = run()
    peak = _status("VmHWM")
    del result
    return max(0, peak - before)


def of_numpy(run: Callable[[], Any]) -> int:
    """Bytes by tracemalloc, which sees NumPy's arrays and Python's objects: exact, the same each time, slow."""
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        result = run()
        _, peak = tracemalloc.get_traced_memory()
        del result
    finally:
        tracemalloc.stop()
    return peak - before


def _status(name: str) -> int:
    for line in (PROC / "status").read_text().splitlines():
        if line.startswith(name + ":"):
            return 1024 * int(line.split()[1])
    raise OSError(f"no {name}")
