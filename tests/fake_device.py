"""array_api_strict's second device: hidden copies to the host raise there, so what runs on it would run on a GPU."""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from minissm import tree

strict = importlib.import_module("array_api_strict")
DEVICE = strict.Device("device1")


def there(value: Any) -> Any:
    """The same tree on the fake device; numbers and None stay."""
    return tree.map(lambda a: strict.asarray(a, device=DEVICE) if hasattr(a, "dtype") else a, value)


def here(value: Any) -> Any:
    """The same tree on NumPy, moved on purpose."""
    host = strict.Device("CPU_DEVICE")
    return tree.map(lambda a: np.asarray(a.to_device(host)) if is_there(a) else a, value)


def is_there(a: Any) -> bool:
    return getattr(a, "device", None) == DEVICE


def same(found: Any, expected: Any, tolerance: float = 1e-11) -> None:
    """The arrays of `found` are on the device, and what they hold is close to `expected`, relative to its largest."""

    def check(a: Any, b: Any) -> None:
        if hasattr(b, "dtype"):
            assert a.device == DEVICE
            assert here(a).dtype == b.dtype or (here(a).dtype, b.dtype) == (complex, np.complex64)  # a state of poles
            np.testing.assert_allclose(here(a), b, rtol=0, atol=tolerance * (abs(b).max(initial=0) or 1))
        else:
            assert a == b

    tree.map(check, found, expected)


def agree_there(f: Callable, *inputs: Any, tolerance: float = 1e-11) -> None:
    """f on the fake device gives what it gives on NumPy, forward and backward, and everything stays there."""
    *ys, back = f(*inputs)
    *ys_there, back_there = f(*(there(x) for x in inputs))
    cotangents = [_cotangent(y) for y in ys]
    gradients, gradients_there = back(*cotangents), back_there(*map(there, cotangents))
    for a, b in zip([*ys_there, *_pack(gradients_there)], [*ys, *_pack(gradients)], strict=True):
        same(a, b, tolerance)


def _pack(gradients: Any) -> list:
    return list(gradients) if isinstance(gradients, tuple) else [gradients]


def _cotangent(y: Any) -> Any:
    """None for the integers of a state."""
    return tree.map(lambda a: a if hasattr(a, "dtype") else None, y)
