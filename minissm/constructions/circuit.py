"""Circuits: arithmetic on wires, compiled into the parameters of an `fnn` with relu.

    c = Circuit(2)
    x, y = c.inputs
    c.outputs = [y + relu(x - y)]                   # max(x, y)
    (block,) = minissm.parse(c.spec)                # fnn1(width=3, act="relu")
    write_fnn(p, c)                                 # p: zeros in the form of the block's parameters

Sums and multiples of wires cost nothing: they are weights of the next layer. Each `relu` is a hidden unit. The circuits
and their gates are ours; nothing here is the paper's.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, eq=False)
class Wire:
    """bias + sum_i weights[i] x_i, where the x_i are the units of one level: 0 for the inputs, l for hidden layer l."""

    circuit: "Circuit"
    level: int
    weights: dict[int, float] = field(default_factory=dict)
    bias: float = 0.0

    def __add__(self, other: "Wire | float") -> "Wire":
        if not isinstance(other, Wire):
            return replace(self, bias=self.bias + other)
        level = max(self.level, other.level)
        a, b = self.lifted(level), other.lifted(level)
        sums = {i: a.weights.get(i, 0.0) + b.weights.get(i, 0.0) for i in a.weights | b.weights}
        return Wire(self.circuit, level, {i: w for i, w in sums.items() if w}, a.bias + b.bias)

    __radd__ = __add__

    def __mul__(self, scale: float) -> "Wire":
        return replace(self, weights={i: w * scale for i, w in self.weights.items() if scale}, bias=self.bias * scale)

    __rmul__ = __mul__

    def __neg__(self) -> "Wire":
        return self * -1.0

    def __sub__(self, other: "Wire | float") -> "Wire":
        return self + -other

    def __rsub__(self, other: float) -> "Wire":
        return -self + other

    def lifted(self, level: int) -> "Wire":
        """The same number on a higher level: relu(x) - relu(-x), two units a level, or one if no term is negative."""
        wire = self
        while wire.level < level:
            positive = wire.level and min([wire.bias, *wire.weights.values()]) >= 0
            wire = relu(wire) if positive else relu(wire) - relu(-wire)
        return wire


class Circuit:
    """A network of wires. inputs: its wires on level 0. outputs: set this to a list of wires, all on one level then."""

    def __init__(self, inputs: int) -> None:
        self.inputs = [Wire(self, 0, {i: 1.0}) for i in range(inputs)]
        self.layers: list[dict[tuple, int]] = []  # of each hidden layer, what its units take relu of -> their index
        self._outputs: list[Wire] = []

    @property
    def outputs(self) -> list[Wire]:
        return self._outputs

    @outputs.setter
    def outputs(self, wires: Iterable[Wire]) -> None:
        wires = list(wires)
        top = max(wire.level for wire in wires)
        self._outputs = [wire.lifted(top) for wire in wires]

    @property
    def spec(self) -> str:
        """The block that computes the outputs. Its hidden layers have one width: that of the widest."""
        return f"fnn{len(self.layers)}(width={max(map(len, self.layers))}, act='relu')"


def relu(wire: Wire) -> Wire:
    """max(x, 0): a hidden unit, one level higher. Two units of one argument are one."""
    layers = wire.circuit.layers
    if wire.level == len(layers):
        layers.append({})
    units = layers[wire.level]
    unit = units.setdefault((tuple(sorted(wire.weights.items())), wire.bias), len(units))
    return Wire(wire.circuit, wire.level + 1, {unit: 1.0})


def gate(b: Wire, v: Wire, limit: float = 1.0) -> Wire:
    """b v = relu(v + R (b - 1)) - relu(-v + R (b - 1)), exact for b in {0, 1} and |v| <= R = limit. Two units."""
    closed = limit * (b - 1.0)
    return relu(closed + v) - relu(closed - v)


def signed_gate(b: Wire, v: Wire, limit: float = 1.0) -> Wire:
    """b v = (|v + R b| - |v - R b|) / 2, exact for b in {-1, 0, 1} and |v| <= R = limit. Four units."""
    plus, minus = v + limit * b, v - limit * b
    return 0.5 * (relu(plus) + relu(-plus) - relu(minus) - relu(-minus))


def hat(x: Wire, k: float) -> Wire:
    """1 at x = k, 0 where |x - k| >= 1, linear in between: of an integer x, whether it is k. Three units."""
    return relu(x - (k - 1)) - 2.0 * relu(x - k) + relu(x - (k + 1))


def one_hot(x: Wire, n: int) -> list[Wire]:
    """Of an integer x from -infinity to n, whether it is 1, 2, ..., n. n + 1 units: neighbours share them."""
    return [*[hat(x, k) for k in range(1, n)], relu(x - (n - 1))]


def write_fnn(p: list, circuit: Circuit) -> None:
    """Write the circuit into p, zeros in the form of its block's parameters, w (inputs, outputs) and b."""
    rows: list[Any] = [*circuit.layers, [(wire.weights.items(), wire.bias) for wire in circuit.outputs]]
    for q, layer in zip(p, rows, strict=True):
        for j, (weights, bias) in enumerate(layer):
            for i, weight in weights:
                q["w"][i, j] = weight
            q["b"][j] = bias
