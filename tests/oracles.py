"""What the tests compare with: autograd on the library's own plain forward; and draws."""

import contextlib
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import autograd
import autograd.numpy as anp
import numpy as np
from autograd.numpy.numpy_boxes import ArrayBox

from minissm import tree

AUTOGRAD = ModuleType("autograd_as_array_api")  # autograd's names for what the array API calls otherwise
AUTOGRAD.__dict__.update({name: getattr(anp, name) for name in dir(anp) if not name.startswith("_")})
AUTOGRAD.__dict__.update(
    astype=lambda a, dtype, copy=True: (
        a if a.dtype == dtype else a + 0j if np.dtype(dtype).kind == "c" else a.astype(dtype)
    ),
    concat=lambda arrays, axis=0: anp.concatenate(list(arrays), axis=axis),
    cumulative_sum=lambda a, axis: anp.cumsum(a, axis),
    permute_dims=anp.transpose,
    matrix_transpose=lambda a: anp.swapaxes(a, -1, -2),
    flip=lambda a, axis: a[..., ::-1] if axis == -1 else anp.flip(a, axis),
    isdtype=np.isdtype,
    float32=np.float32,
    float64=np.float64,
    complex64=np.complex64,
    complex128=np.complex128,
)


@contextlib.contextmanager
def traced_by_autograd() -> Iterator[None]:
    """Inside, minissm.namespace finds autograd's library for autograd's arrays."""
    ArrayBox.__array_namespace__ = lambda self, api_version=None: AUTOGRAD
    ArrayBox.device = "cpu"
    try:
        yield
    finally:
        del ArrayBox.__array_namespace__, ArrayBox.device


def cotangents_like(rng: np.random.Generator, outputs: list) -> list:
    return tree.map(lambda y: draw(rng, *y.shape, dtype=y.dtype), outputs)


def draw(rng: np.random.Generator, *shape: int, dtype: Any = np.float64) -> np.ndarray:
    """Standard normal, complex where the dtype is."""
    a = rng.normal(size=shape)
    if np.dtype(dtype).kind == "c":
        a = a + 1j * rng.normal(size=shape)
    return a.astype(dtype)


def assert_matches_autograd(f: Any, *inputs: Any, rng: np.random.Generator, tolerance: float = 1e-9) -> None:
    """Every gradient of f (the library's contract) against autograd on the same forward, leaf by leaf."""
    *outputs, backward = f(*inputs)
    cotangents = cotangents_like(rng, outputs)
    gradients = backward(*cotangents)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    flat = [leaf for value in inputs for leaf in tree.leaves(value)]

    def loss(*leaves: Any) -> Any:
        names = iter(leaves)
        *ys, _ = f(*(tree.map(lambda _: next(names), value) for value in inputs))
        pairs = zip(tree.leaves(cotangents), tree.leaves(ys), strict=True)
        return sum(anp.sum(anp.real(anp.conj(w) * y)) for w, y in pairs)

    with traced_by_autograd():
        expected = autograd.grad(loss, tuple(range(len(flat))))(*flat)
    ours = [
        leaf
        for value, g in zip(inputs, gradients, strict=True)
        for leaf in tree.leaves(tree.map(lambda _, a: a, value, g))
    ]
    names = [f"{i}.{name}" for i, value in enumerate(inputs) for name, _ in tree.named(value)]
    for name, a, b in zip(names, ours, expected, strict=True):
        b = np.conj(b)  # autograd's convention is the conjugate of dL/dRe z + i dL/dIm z
        assert a.shape == b.shape, name
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * abs(b).max(initial=0), err_msg=name)
