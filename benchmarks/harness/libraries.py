"""The libraries that are measured: where their arrays live, their threads, their memory.

Every name here but minissm is optional. `found` says which are there, and in one sentence why another is not.
"""

import ctypes
import gc
import importlib
import importlib.util
import os
from collections.abc import Callable
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from minissm import gpu
from minissm.fast import parallel
from minissm.lab import timing

PROC = Path("/proc/self")


class Library:
    """`put` moves one array; the rest does nothing where a library has no such thing."""

    cores: int | None = None  # the most that it can use; None: all
    on_card = True

    def __init__(self, name: str, backend: str) -> None:
        self.name, self.card = name, backend == "cupy"

    def put(self, a: np.ndarray) -> Any:
        return a

    def move(self, value: Any) -> Any:
        """Arrays in dicts and lists, however deep; all else stays."""
        if isinstance(value, dict):
            return {name: self.move(a) for name, a in value.items()}
        if type(value) is list:
            return [self.move(a) for a in value]
        return self.put(value) if isinstance(value, np.ndarray) else value

    def threads(self, n: int) -> None:
        pass

    def free(self) -> None:
        pass

    def memory(self, run: Callable) -> int | None:
        """Peak bytes of a call beyond what was in use before it; None where they can't be had."""
        return None if self.card else process_memory(run)


class Minissm(Library):
    def put(self, a: np.ndarray) -> Any:
        return gpu.cupy().asarray(a) if self.card else a

    def memory(self, run: Callable) -> int | None:
        if self.card:
            return timing.cupy_memory(gpu.cupy(), run)
        measured = process_memory(run)
        return timing.numpy_memory(run) if measured is None else measured


class Torch(Library):
    """Products on the GPU stay float32: PyTorch takes TF32 only where asked to."""

    def __init__(self, name: str, backend: str) -> None:
        super().__init__(name, backend)
        self.torch = importlib.import_module("torch")
        if self.card and not self.torch.cuda.is_available():
            raise RuntimeError("it is installed without CUDA; pytorch.org's index has it with CUDA")

    def put(self, a: np.ndarray) -> Any:
        return self.torch.from_numpy(a).to("cuda" if self.card else "cpu")

    def threads(self, n: int) -> None:
        self.torch.set_num_threads(n)

    def free(self) -> None:
        if self.card:
            self.torch.cuda.empty_cache()

    def memory(self, run: Callable) -> int | None:
        if not self.card:
            return process_memory(run)
        self.free()
        self.torch.cuda.reset_peak_memory_stats()
        before = self.torch.cuda.memory_reserved()
        run()
        return self.torch.cuda.max_memory_reserved() - before


class Jax(Library):
    """It reads its settings once, at import: to see the processor alone, or to take memory of the GPU as needed."""

    def __init__(self, name: str, backend: str) -> None:
        super().__init__(name, backend)
        on_card = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "XLA_PYTHON_CLIENT_MEM_FRACTION": ".4"}
        for key, value in (on_card if self.card else {"JAX_PLATFORMS": "cpu"}).items():
            os.environ.setdefault(key, value)
        self.jax = importlib.import_module("jax")
        if self.card:
            self.jax.config.update("jax_default_matmul_precision", "highest")  # else its products are TF32
            if self.jax.default_backend() != "gpu":
                raise RuntimeError("it is installed without CUDA; install jax[cuda12] or jax[cuda13]")

    def put(self, a: np.ndarray) -> Any:
        return self.jax.device_put(a)

    def threads(self, n: int) -> None:
        """XLA makes a pool as large as the number of cores at that moment, and for a GPU needs none."""
        if self.card:
            return
        backend = importlib.import_module("jax.extend.backend")
        self.jax.clear_caches()
        backend.clear_backends()


class Numba(Library):
    """Loops on one core, without prange: what a processor reaches where no framework stands between."""

    cores, on_card = 1, False

    def __init__(self, name: str, backend: str) -> None:
        super().__init__(name, backend)
        importlib.import_module("numba")


PEERS: dict[str, type[Library]] = {"torch": Torch, "jax": Jax, "numba": Numba}


def found(backend: str) -> tuple[list[Library], dict[str, str], list[str]]:
    """-> minissm and the peers that can compute on this backend; their versions; a sentence for each other one."""
    libraries: list[Library] = [Minissm("minissm", backend)]
    versions, absent = {}, []
    for name, kind in PEERS.items():
        if backend == "cupy" and not kind.on_card:
            continue
        if importlib.util.find_spec(name) is None:
            absent.append(f"{name} is not installed; pip install -e '.[bench]' in the clone installs it")
            continue
        try:
            libraries.append(kind(name, backend))
            versions[name] = version(name)
        except Exception as error:  # a library of its own may be missing, or of another version
            absent.append(f"{name} can't be used ({one_line(error)})")
    return libraries, versions, absent


@contextmanager
def using(cores: list[int], libraries: list[Library]) -> Any:
    """Inside, every thread of this process runs on these cores, and no library makes more threads than that."""
    before = own_cores()
    pin(cores)
    try:
        with parallel.threads(len(cores)):
            for library in libraries:
                library.threads(len(cores))
            yield
    finally:
        pin(before)


def forget_imports() -> None:
    """Make the garbage collector skip present objects: with three libraries imported, each pass takes 0.2 seconds."""
    gc.collect()
    gc.freeze()


def own_cores() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def pin(cores: list[int]) -> None:
    """The threads that exist, and through them those that they start. Without such a call the limits must do."""
    if hasattr(os, "sched_setaffinity"):
        for thread in os.listdir("/proc/self/task"):
            try:
                os.sched_setaffinity(int(thread), cores)
            except ProcessLookupError:  # it has ended meanwhile
                continue


def process_memory(run: Callable) -> int | None:
    """By the high-water mark of the process, whatever allocates; None where the system has no such mark."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)  # glibc keeps what was freed, and would hide what the call takes
        (PROC / "clear_refs").write_text("5")
        before = status("VmRSS")
    except (OSError, AttributeError):
        return None
    result = run()
    peak = status("VmHWM")
    del result
    return max(0, peak - before)


def status(name: str) -> int:
    for line in (PROC / "status").read_text().splitlines():
        if line.startswith(name + ":"):
            return 1024 * int(line.split()[1])
    raise OSError(f"no {name} in /proc/self/status")


def one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:160]
