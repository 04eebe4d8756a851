"""Is a backward right? Compare it with central differences of its forward, along random directions, leaf by leaf.

    gradcheck(f, *inputs)        for anything with the library's contract:  *outputs, backward = f(*inputs)

For a random cotangent w of the outputs, L = sum <w, y>. Along a random direction d of one leaf z, the analytic
derivative Re <dz, d> must equal (L(z + h d) - L(z - h d)) / 2h, up to about h^2 and rounding / h.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from . import tree
from .backend import device, namespace
from .checks import check_generator, check_integer
from .notebook import table

Array = Any


class GradientError(AssertionError):
    """A backward disagrees with the differences of its forward. report: all rows, or None if nothing was compared."""

    def __init__(self, message: str, report: "Report | None" = None) -> None:
        super().__init__(message)
        self.report = report


@dataclass(frozen=True)
class Row:
    """One leaf: its derivative by the backward and by differences, their relative error, and its bound."""

    leaf: str
    backward: float
    difference: float
    error: float
    expected: float

    @property
    def ok(self) -> bool:
        return self.error <= self.expected

    def badness(self) -> tuple[bool, float]:
        """A key to sort by: wrong rows come after right ones. An error of nan counts as wrong."""
        return not self.ok, self.error / self.expected

    @property
    def verdict(self) -> str:
        return "WRONG" if not self.ok else "ok" if self.expected < 0.5 else "below rounding"

    def __str__(self) -> str:
        values = f"backward {self.backward: .6e}  difference {self.difference: .6e}"
        return f"{self.leaf}  {values}  error {self.error:.1e}  expected below {self.expected:.0e}  {self.verdict}"


@dataclass(frozen=True)
class Report:
    """A row for each leaf that was checked; print it. A notebook shows a table."""

    rows: tuple[Row, ...]

    @property
    def ok(self) -> bool:
        return all(row.ok for row in self.rows)

    @property
    def worst(self) -> Row:
        return max(self.rows, key=Row.badness)

    def __str__(self) -> str:
        width = max((len(row.leaf) for row in self.rows), default=0)
        return "\n".join(str(replace(row, leaf=row.leaf.ljust(width))) for row in self.rows)

    def _repr_html_(self) -> str:
        return table(vars(row) | {"verdict": row.verdict} for row in self.rows)


def gradcheck(
    f: Callable,
    *inputs: Any,
    names: tuple[str, ...] | None = None,
    directions: int = 3,
    rng: "np.random.Generator | None" = None,
) -> Report:
    """Check every real or complex leaf of every input of f; GradientError names the leaves that are wrong.

    f: `*outputs, backward = f(*inputs)`.
    inputs: arrays or trees of arrays, on any backend. Integers and None are not checked.
    names: the names of the inputs in the report. Default: "input 0", "input 1", ...
    directions: random directions for each leaf. Default 3.
    rng: draws cotangents and directions. Default: a generator with a fixed seed.

    Comparisons are relative, also for tiny or huge leaves and outputs. A row passes as "below rounding" if no step of
    the differences shows its derivative, as for 1e20 + x.

    Use float64: float32 shows only errors above 1 %. Keep away from kinks (relu at 0).
    """
    rng = np.random.default_rng([0, 7]) if rng is None else rng  # a seed that hardly anyone draws inputs from
    check_generator("gradcheck", rng)
    directions = check_integer("gradcheck", "directions", directions)
    if not callable(f):
        raise TypeError(
            f"gradcheck: f is of type {type(f).__name__}; expected a function, *outputs, backward = f(*inputs)"
        )
    names = tuple(f"input {i}" for i in range(len(inputs))) if names is None else names
    if not isinstance(names, list | tuple) or len(names) != len(inputs) or not all(isinstance(n, str) for n in names):
        raise ValueError(f"gradcheck: names={names!r} for {len(inputs)} inputs; expected a tuple of one text for each")
    for name, value in zip(names, inputs, strict=True):
        _check_arrays(name, value)
    if not any(_differentiable(leaf) for leaf in tree.leaves(list(inputs))):
        raise ValueError(
            "gradcheck: no input has a real or complex leaf, so nothing can be checked; try np.array(x, float)"
        )
    *outputs, backward = _forward(f, inputs)
    cotangents = [tree.map(lambda a: _normal_like(rng, a) if _differentiable(a) else None, y) for y in outputs]
    gradients, again = (_gradients(backward, cotangents, len(inputs)) for _ in range(2))

    pairs = zip(tree.leaves(cotangents), tree.leaves(list(outputs)), strict=True)
    coarsest = max((_precision(y) for w, y in pairs if w is not None), default=0.0)

    def loss(args: list) -> tuple[float, float]:
        *ys, _ = f(*args)
        pairs = zip(tree.leaves(cotangents), tree.leaves(ys), strict=True)
        terms = [_products(w, y) for w, y in pairs if w is not None]
        return tuple(sum(float(namespace(t).sum(size(t))) for t in terms) for size in (lambda t: t, abs))  # type: ignore

    rows = []
    for i, (name, value) in enumerate(zip(names, inputs, strict=True)):
        if isinstance(gradients[i], tree.BRANCHES) and not isinstance(value, tree.BRANCHES):
            kind = type(gradients[i]).__name__
            raise GradientError(f"{name}: the backward gives a {kind} for an array; expected an array of its shape")
        first, second = dict(tree.named(gradients[i])), dict(tree.named(again[i]))
        leaves = dict(tree.named(value))
        if surplus := [n for n, g in first.items() if g is not None and n not in leaves]:
            raise GradientError(f"{name}: the backward gives {', '.join(surplus)}, which the input does not have")
        for k, (leaf_name, leaf) in enumerate(leaves.items()):
            if not _differentiable(leaf):
                continue
            label = f"{name}.{leaf_name}" if leaf_name else name
            _fits(label, leaf, first.get(leaf_name), second.get(leaf_name))

            def along(z: Array, i: int = i, k: int = k) -> tuple[float, float]:
                return loss([*inputs[:i], _with_leaf(inputs[i], k, z), *inputs[i + 1 :]])

            precision = max(coarsest, _precision(leaf))
            checked = [_row(label, leaf, first[leaf_name], along, precision, rng) for _ in range(directions)]
            rows.append(max(checked, key=Row.badness))
    report = Report(tuple(rows))
    if not report.ok:
        raise GradientError("the backward does not match the differences of its forward:\n" + str(report), report)
    return report


def _forward(f: Callable, inputs: tuple) -> tuple:
    """f(*inputs); TypeError unless it gives arrays and, last, a backward."""
    given = f(*inputs)
    *outputs, backward = given if isinstance(given, tuple) and given else (given,)
    if not callable(backward):
        kinds = ", ".join(type(part).__name__ for part in (*outputs, backward))
        raise TypeError(f"gradcheck: f returns {kinds} and no backward; expected `return y, backward`")
    for i, y in enumerate(outputs):
        _check_arrays(f"output {i} of f", y)
    if not any(hasattr(leaf, "dtype") for leaf in tree.leaves(outputs)):
        raise TypeError("gradcheck: f returns a backward and no array; expected `return y, backward`")
    return (*outputs, backward)


def _check_arrays(name: str, value: Any) -> None:
    """TypeError for a list of numbers and for Python's own numbers: an array was meant. An integer may be an option."""
    real = (float, complex)
    if isinstance(value, list | tuple) and any(isinstance(v, real) for v in value):
        raise TypeError(f"gradcheck: {name} is a {type(value).__name__} of numbers; expected an array, np.array(...)")
    for path, leaf in tree.named(value, name):
        if isinstance(leaf, real) and not hasattr(leaf, "dtype"):
            raise TypeError(f"gradcheck: {path} is a Python {type(leaf).__name__}; expected an array, np.array({leaf})")


def _gradients(backward: Callable, cotangents: list, count: int) -> tuple:
    """One gradient for each input; a single input may come without a tuple."""
    gradients = backward(*cotangents)
    if gradients is None:
        raise GradientError("the backward returns nothing; expected one gradient for each input")
    if count == 1 and not isinstance(gradients, tuple):
        gradients = (gradients,)
    if len(gradients) != count:
        raise GradientError(f"the backward gives {len(gradients)} gradients for {count} inputs; expected one for each")
    return gradients


def _fits(name: str, leaf: Array, gradient: Array, again: Array) -> None:
    """The gradient has the leaf's shape and dtype, and is the same when backward is called again."""
    if getattr(gradient, "shape", None) != leaf.shape or gradient.dtype != leaf.dtype:
        got = "nothing" if gradient is None else f"a Python {type(gradient).__name__}"
        got = f"{gradient.dtype} {tuple(gradient.shape)}" if hasattr(gradient, "dtype") else got
        raise GradientError(f"{name}: the backward gives {got} for a leaf {leaf.dtype} {tuple(leaf.shape)}")
    xp = namespace(leaf)
    if bool(xp.any((gradient != again) & (gradient == gradient))):  # the differences show nan
        raise GradientError(f"{name}: the backward gives other numbers when it is called again")


def _row(name: str, leaf: Array, gradient: Array, loss: Callable, precision: float, rng: "np.random.Generator") -> Row:
    """One direction: the derivative by the backward and by central differences.

    loss: a leaf -> the loss, and the sum of the absolute values of its terms, of which rounding is a fraction.
    precision: the relative rounding error of the leaf or of the outputs, the larger one.
    """
    xp = namespace(leaf)
    expected, minimum, poor = (1e-6, 0.01, 1e-4) if precision < 1e-10 else (1e-2, 0.3, 0.1)
    size, usual = _norm(leaf) / math.sqrt(max(1, math.prod(leaf.shape))), _norm(gradient)
    d, tiny = _normal_like(rng, leaf), float(xp.finfo(leaf.dtype).smallest_normal)

    def compare(h: float) -> tuple[float, float, float]:
        """-> the derivative by the backward, by differences of step h, and the rounding error of the latter."""
        up, down = leaf + h * d, leaf - h * d
        (a, size_a), (b, size_b) = loss(up), loss(down)
        moved = (_double(up) - _double(down)) / (2 * h)  # d, as far as the leaf shows it
        least = tiny if size_a or size_b else 0.0
        return _inner(gradient, moved), (a - b) / (2 * h), 20 * precision * max(size_a, size_b, least) / (2 * h)

    def row(analytic: float, difference: float, error: float) -> Row:
        """error: of the difference."""
        scale = max(abs(analytic), abs(difference), usual)  # usual: |<dz, d>| on average; one may be near 0
        bound = error / scale if scale else math.inf if error else 0.0
        return Row(name, analytic, difference, abs(analytic - difference) / (scale or 1.0), max(expected, bound))

    # a step for leaves near 1: smaller for small leaves, in which the forward bends sooner
    first = row(*compare(precision ** (1 / 3) * max(min(1.0, max(size, minimum)), 1e-3 * size)))
    if (first.ok and first.expected <= poor) or not math.isfinite(first.difference):
        return first
    # The step may have been too large or too small. Take the one at which the differences of two steps agree best.
    h, best, least, before = 0.1 * max(size, minimum), first, math.inf, math.nan
    while h > 4 * precision * (size or minimum):
        analytic, difference, rounding = compare(h)
        error = rounding + abs(difference - before)
        if error < least:
            best, least = row(analytic, difference, error), error
            if best.expected == expected:
                break
        h, before = h / 10, difference
    return best


def _with_leaf(value: Any, k: int, z: Array) -> Any:
    """The tree with z as leaf k."""
    leaves = iter([z if i == k else leaf for i, leaf in enumerate(tree.leaves(value))])
    return tree.map(lambda _: next(leaves), value)


def _precision(a: Array) -> float:
    return float(namespace(a).finfo(a.dtype).eps)


def _double(a: Array) -> Array:
    """The array in double precision."""
    xp = namespace(a)
    return xp.astype(a, xp.complex128 if xp.isdtype(a.dtype, "complex floating") else xp.float64)


def _products(a: Any, b: Any) -> Array:
    """Re conj(a) b, entry by entry, in double precision."""
    a, b = _double(a), _double(b)
    xp = namespace(a, b)
    return xp.real(xp.conj(a) * b) if xp.isdtype(a.dtype, "complex floating") else a * b


def _inner(a: Any, b: Any) -> float:
    """Re sum conj(a) b, in double precision."""
    return float(namespace(a).sum(_products(a, b)))


def _norm(a: Array) -> float:
    """The square root of the sum of |a|^2; a is divided by its largest entry, so that no square overflows."""
    largest = float(namespace(a).max(namespace(a).abs(a))) if math.prod(a.shape) else 0.0
    return largest * math.sqrt(_inner(a / largest, a / largest)) if 0 < largest < math.inf else largest


def _differentiable(leaf: Any) -> bool:
    """True for arrays of real or complex numbers; integers and None have no derivative."""
    return hasattr(leaf, "dtype") and namespace(leaf).isdtype(leaf.dtype, ("real floating", "complex floating"))


def _normal_like(rng: "np.random.Generator", a: Array) -> Array:
    """Standard normal numbers of a's shape and dtype, where a lives."""
    xp, shape = namespace(a), tuple(a.shape)
    draw = rng.normal(size=shape)
    if xp.isdtype(a.dtype, "complex floating"):
        draw = (draw + 1j * rng.normal(size=shape)) / math.sqrt(2)
    return xp.asarray(draw, dtype=a.dtype, device=device(a))
