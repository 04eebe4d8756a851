"""An array library that counts the launches on a GPU: kernels, fills and copies. minissm takes it for CuPy.

Its arrays hold NumPy arrays. Views, `empty` and queries of dtypes count as 0, any other call as 1. A kernel of
minissm/fast/cuda counts as 1 and is not run, so results have no meaning. CuPy itself may need more launches, as for
a reduction of a large array. Reading a number would make a GPU wait, so it raises.
"""

from collections.abc import Callable
from typing import Any

import array_api_compat.numpy as numpy
import numpy as np

from minissm import fast, tree
from minissm.fast.cuda import launch

OPERATORS = ("add", "sub", "mul", "truediv", "matmul", "pow", "lt", "le", "gt", "ge", "eq", "ne", "and", "or", "xor")
MANY = 8  # CuPy concatenates up to this many arrays by one copy each, more by a kernel


class Namespace:
    """count: the launches so far, of all arrays."""

    __name__ = "array_api_compat.cupy"
    count = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(numpy, name)
        return found if isinstance(found, type) or not callable(found) else lambda *a, **k: self.call(found, *a, **k)

    def call(self, f: Callable, *given: Any, **options: Any) -> Any:
        """f of the arrays inside; counted if the result is a new array."""
        options.pop("device", None)
        arguments = [unwrapped(value) for value in (*given, *options.values())]
        n = len(given)
        result = f(*arguments[:n], **dict(zip(options, arguments[n:], strict=True)))
        if not isinstance(result, np.ndarray | np.generic):
            return result
        sources = [a.inside for a in given if isinstance(a, Array)]
        if not f.__name__.startswith("empty") and not any(np.may_share_memory(result, a) for a in sources):
            parts = len(given[0]) if f.__name__ in ("concatenate", "stack") else 1
            self.count += parts if parts <= MANY else 1
        return Array(np.asarray(result))


XP = Namespace()


class Array:
    """An array on the GPU, with the attributes of CuPy's arrays that minissm uses."""

    def __init__(self, inside: np.ndarray) -> None:
        self.inside = inside
        self.shape, self.dtype, self.ndim, self.size = inside.shape, inside.dtype, inside.ndim, inside.size
        self.flags, self.device = inside.flags, None

    def __array_namespace__(self, api_version: str | None = None) -> Namespace:
        return XP

    def __getitem__(self, key: Any) -> "Array":
        return XP.call(np.ndarray.__getitem__, self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.inside[unwrapped(key)] = unwrapped(value)
        XP.count += 1

    def __neg__(self) -> "Array":
        return XP.call(np.negative, self)

    def __invert__(self) -> "Array":
        return XP.call(np.invert, self)

    def copy(self) -> "Array":
        return XP.call(np.copy, self)

    T = property(lambda self: XP.call(np.transpose, self))
    mT = property(lambda self: XP.call(np.matrix_transpose, self))  # noqa: N815  (its name in the array API)

    def read(self, *_: Any) -> Any:
        raise AssertionError("the value of an array is read, which would make a GPU wait")

    __array__ = __float__ = __int__ = __bool__ = __index__ = __iter__ = read  # type: ignore[assignment]


def binary(name: str) -> Callable:
    def operator(self: Array, other: Any) -> Array:
        return XP.call(getattr(np.ndarray, name), self, other)

    return operator


def in_place(name: str) -> Callable:
    def operator(self: Array, other: Any) -> Array:
        getattr(self.inside, name)(unwrapped(other))
        XP.count += 1
        return self

    return operator


for _name in OPERATORS:
    for _side in ("", "r"):
        if hasattr(np.ndarray, f"__{_side}{_name}__"):
            setattr(Array, f"__{_side}{_name}__", binary(f"__{_side}{_name}__"))
    if hasattr(np.ndarray, f"__i{_name}__"):
        setattr(Array, f"__i{_name}__", in_place(f"__i{_name}__"))


def unwrapped(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(unwrapped(v) for v in value)
    return value.inside if isinstance(value, Array) else value


def there(value: Any) -> Any:
    """The tree with its arrays on the GPU; numbers and None stay."""
    return tree.map(lambda a: Array(np.array(a)) if hasattr(a, "dtype") else a, value)


def launches(monkeypatch: Any, f: Callable) -> int:
    """The launches of f(), whose arrays are on the GPU."""
    before = XP.count

    def function(file: str, kernel: str, type_: str) -> Callable:
        def run(*given: Any) -> None:
            XP.count += 1

        return run

    with monkeypatch.context() as patch, np.errstate(all="ignore"):  # memory that no kernel has written has any values
        patch.setattr(launch, "function", function)
        patch.setattr(fast, "REFERENCE", False)
        f()
    return XP.count - before
