"""Circuits: arithmetic on wires, compiled into the parameters of an `fnn` with relu.

    c = Circuit(2)
    x, y = c.inputs
    c.outputs = [y + relu(x - y)]                   # max(x, y)
    (block,) = minissm.parse(c.spec)                # fnn1(width=3, act="relu")
    write_fnn(p, c)                                 # p: zeros in the form of the block's parameters

Sums and multiples of wires cost nothing: they are weights of the next layer. Each `relu` is a hidden unit. The circuits
and their gates are ours, not the paper's.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from ..checks import check_integer, check_number


@dataclass(frozen=True, eq=False)
class Wire:
    """bias + sum_i weights[i] x_i, where the x_i are the units of one level: 0 for the inputs, l for hidden layer l."""

    circuit: "Circuit"
    level: int
    weights: dict[int, float] = field(default_factory=dict)
    bias: float = 0.0

    def __add__(self, other: "Wire | float") -> "Wire":
        if not isinstance(other, Wire):
            return replace(
                self, bias=self.bias + check_number("Wire", "term", other, "a wire or number", math.isfinite)
            )
        if other.circuit is not self.circuit:
            raise ValueError("Wire: a sum of wires of two circuits; expected wires of one")
        level = max(self.level, other.level)
        a, b = self.lifted(level), other.lifted(level)
        sums = {i: a.weights.get(i, 0.0) + b.weights.get(i, 0.0) for i in a.weights | b.weights}
        return Wire(self.circuit, level, {i: w for i, w in sums.items() if w}, a.bias + b.bias)

    __radd__ = __add__

    def __mul__(self, scale: float) -> "Wire":
        scale = check_number("Wire", "factor", scale, "a number; for b v of two wires see gate", math.isfinite)
        return replace(self, weights={i: w * scale for i, w in self.weights.items() if scale}, bias=self.bias * scale)

    __rmul__ = __mul__

    def __neg__(self) -> "Wire":
        return self * -1.0

    def __sub__(self, other: "Wire | float") -> "Wire":
        return self + -other

    def __rsub__(self, other: float) -> "Wire":
        return -self + other

    def lifted(self, level: int) -> "Wire":
        """The same number on a higher level, as relu(x) - relu(-x): two units a level, or one if no term is negative.

        A constant takes no units.
        """
        if self.level >= level or not self.weights:
            return replace(self, level=max(self.level, level))
        positive = self.level and min([self.bias, *self.weights.values()]) >= 0
        return relu(self).lifted(level) if positive else relu(self).lifted(level) - relu(-self).lifted(level)


class Circuit:
    """A network of wires. inputs: its wires on level 0. outputs: set this to a list of wires, on any levels."""

    def __init__(self, inputs: int) -> None:
        self.inputs = [Wire(self, 0, {i: 1.0}) for i in range(check_integer("Circuit", "inputs", inputs))]
        self.layers: list[dict[tuple, int]] = []  # for each hidden layer: the argument of a relu -> the unit's index
        self._outputs: list[Wire] = []

    @property
    def outputs(self) -> list[Wire]:
        """The output wires, on the level of the last hidden layer."""
        return [wire.lifted(len(self.layers)) for wire in self._outputs]

    @outputs.setter
    def outputs(self, wires: Iterable[Wire]) -> None:
        wires = list(wires)
        if not wires or any(getattr(wire, "circuit", None) is not self for wire in wires):
            raise ValueError(f"Circuit: {len(wires)} outputs; expected a list of wires of this circuit")
        self._outputs = wires

    @property
    def sizes(self) -> list[int]:
        """The numbers of inputs, of units in each hidden layer, and of outputs."""
        outputs = len(self.outputs)  # first, since lifting them adds units
        return [len(self.inputs), *map(len, self.layers), outputs]

    @property
    def spec(self) -> str:
        """The block that computes the outputs. All its hidden layers have the largest width."""
        hidden = self.sizes[1:-1]
        return f"fnn{len(hidden)}(width={max(hidden)}, act='relu')" if hidden else "fnn0"


def relu(wire: Wire) -> Wire:
    """max(x, 0): a hidden unit, one level higher. Equal arguments share one unit."""
    _check_wires("relu", wire)
    layers = wire.circuit.layers
    if wire.level == len(layers):
        layers.append({})
    units = layers[wire.level]
    unit = units.setdefault((tuple(sorted(wire.weights.items())), wire.bias), len(units))
    return Wire(wire.circuit, wire.level + 1, {unit: 1.0})


def gate(b: Wire, v: Wire, limit: float = 1.0) -> Wire:
    """b v = relu(v + R (b - 1)) - relu(-v + R (b - 1)), exact for b in {0, 1} and |v| <= R = limit. Two units.

    If v is on a lower level than b, it is lifted as relu(v) and relu(-v). Each unit needs one of the two.
    """
    _check_wires("gate", b, v)
    closed = limit * (b - 1.0)
    plus, minus = (relu(v), relu(-v)) if v.level < b.level else (v, -v)
    return relu(closed + plus) - relu(closed + minus)


def signed_gate(b: Wire, v: Wire, limit: float = 1.0) -> Wire:
    """b v = (|v + R b| - |v - R b|) / 2, exact for b in {-1, 0, 1} and |v| <= R = limit. Four units."""
    _check_wires("signed_gate", b, v)
    plus, minus = v + limit * b, v - limit * b
    return 0.5 * (relu(plus) + relu(-plus) - relu(minus) - relu(-minus))


def hat(x: Wire, k: float) -> Wire:
    """1 at x = k, 0 where |x - k| >= 1, linear in between. For an integer x: whether x is k. Three units."""
    _check_wires("hat", x)
    k = check_number("hat", "k", k, "a number", math.isfinite)
    return relu(x - (k - 1)) - 2.0 * relu(x - k) + relu(x - (k + 1))


def one_hot(x: Wire, n: int) -> list[Wire]:
    """For an integer x <= n: whether x is 1, 2, ..., n. It takes n units, since neighbouring hats share them."""
    _check_wires("one_hot", x)
    above = [relu(x - k) for k in range(check_integer("one_hot", "n", n))]
    above += [0.0 * above[0]] * 2  # relu(x - n) is 0
    return [low - 2.0 * middle + high for low, middle, high in zip(above, above[1:], above[2:], strict=False)]


def write_fnn(p: list, circuit: Circuit) -> None:
    """Write the circuit into p: zeros in the form of its block's parameters, w (inputs, outputs) and b."""
    sizes = list(pairwise(circuit.sizes))
    rows: list[Any] = [*circuit.layers, [(wire.weights.items(), wire.bias) for wire in circuit.outputs]]
    fits = (
        isinstance(p, list)
        and len(p) == len(rows)
        and all(n <= q["w"].shape[0] and m <= q["w"].shape[1] for (n, m), q in zip(sizes, p, strict=True))
    )
    if not fits:
        raise ValueError(f"write_fnn: p doesn't hold {circuit.spec}, {sizes}; expected zeros of a block with this spec")
    for q, layer in zip(p, rows, strict=True):
        for j, (weights, bias) in enumerate(layer):
            for i, weight in weights:
                q["w"][i, j] = weight
            q["b"][j] = bias


def _check_wires(who: str, *wires: Wire) -> None:
    for wire in wires:
        if not isinstance(wire, Wire):
            raise TypeError(f"{who}: a {type(wire).__name__}; expected a wire of a Circuit")
