"""A stand-in for CuPy, made of NumPy: what asks for a card can be run without one. Nothing that it times is a card's.

Its arrays are NumPy's, so minissm computes with its NumPy bodies; it has what the bench asks of CuPy, and no more.
"""

import sys
import time
from types import ModuleType, SimpleNamespace

import numpy as np

NAME = "FAKE card: NumPy in the place of CuPy, no GPU"
NUMPY = ("add", "arange", "asarray", "copyto", "empty_like", "float32", "full", "matmul", "sum", "zeros")


class OutOfMemoryError(MemoryError):
    """As CuPy's."""


class Event:
    def record(self, stream=None):
        self.at = time.perf_counter()

    def synchronize(self):
        pass


class Device:
    id = 0

    def synchronize(self):
        pass


class Pool:
    """bytes: what total_bytes says; a test's method may add to it."""

    bytes, freed = 0, 0

    def total_bytes(self):
        return self.bytes

    def free_all_blocks(self):
        self.freed += 1


def properties(number):
    return {"name": NAME.encode(), "totalGlobalMem": 8_000_000_000, "major": 9, "minor": 0}


def elementwise(inputs, outputs, operation, name):
    def kernel(x, y):
        np.exp(-x, out=y)

    return kernel


def fake_cupy():
    """The module, to be put into sys.modules as "cupy"."""
    module, pool = ModuleType("cupy"), Pool()
    vars(module).update({name: getattr(np, name) for name in NUMPY}, __version__="0.fake")
    plans = SimpleNamespace(cleared=0)
    plans.clear = lambda: setattr(plans, "cleared", plans.cleared + 1)
    module.fft = SimpleNamespace(rfft=np.fft.rfft, config=SimpleNamespace(get_plan_cache=lambda: plans))
    runtime = SimpleNamespace(
        getDevice=lambda: 0,
        getDeviceProperties=properties,
        driverGetVersion=lambda: 13000,
        runtimeGetVersion=lambda: 12080,
    )
    module.cuda = SimpleNamespace(
        Device=Device,
        Event=Event,
        get_current_stream=lambda: None,
        get_elapsed_time=lambda start, end: 1e3 * (end.at - start.at),
        runtime=runtime,
    )
    module.get_default_memory_pool = lambda: pool
    module.ElementwiseKernel = elementwise
    module.ndarray = type("ndarray", (), {})  # array_api_compat asks for it: no array is one
    return module


def install(monkeypatch):
    """In this test there is a card, or so it seems. -> the module."""
    module = fake_cupy()
    monkeypatch.setitem(sys.modules, "cupy", module)
    return module
