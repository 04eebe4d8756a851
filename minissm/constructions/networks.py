"""Networks whose weights are written down. They solve their tasks exactly, with `trig` filters and relu networks.

    net, params = recall(keys=6, values=6, pairs=4)     # an ordinary Model and its parameters

A network has `trig` layers, which delay, sum or pass on their inputs, and `fnn` layers, which multiply.
All constructions are ours, not the paper's. docs/constructions.md has the statements and proofs.
"""

from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np

from ..checks import check_integer, check_number
from ..model import Model, zeros
from ..tasks.copying import ASK, COPY, PAD
from .circuit import Circuit, Wire, gate, one_hot, relu, signed_gate, write_fnn

Built = tuple[Model, dict]
NEVER = -10.0  # bias of tokens that are never answers, for the loss: with exact codes, the right logit, 1, is above 0
LARGEST = 100_000_000  # the most numbers in one array of a network


class Filter(NamedTuple):
    """A `trig` layer. channels: (kind, i) for each output. It is input i: delayed, summed or passed on.

    pass: y_t = u_t, by the skip.
    sum: y_t = u_t + ... + u_{t-U}, by c = (1, 0), a = 0: every tap is cos(0) = 1.
    delay: y_t = u_{t-1}, by U = 1, c = (0, 1), a = (., 1/2): the taps are sin(0) = 0 and sin(pi / 2) = 1.
    """

    window: int
    channels: list[tuple[str, int]]

    @property
    def spec(self) -> str:
        return f"trig(window={self.window}, expand=1)"

    def write(self, p: dict) -> None:
        for e, (kind, i) in enumerate(self.channels):
            p["w_in"][i, e] = p["w_out"][e, e] = 1
            if kind == "pass":
                p["skip"][e] = 1
            else:
                p["filter"]["c"][e] = (1, 0) if kind == "sum" else (0, 1)
                p["filter"]["a"][e] = (0, 0) if kind == "sum" else (0, 0.5)


def recall(
    keys: int,
    values: int,
    pairs: int,
    *,
    codes: int | None = None,
    length: int | None = None,
    seed: int = 0,
    dtype: str = "float64",
) -> Built:
    """Associative recall: k_1 v_1 .. k_m v_m, then keys in any order; each answer is the key's value.

    The first filter delays keys by one step. The first FNN multiplies the key before with the bits of the value now.
    The second filter sums these products, M = sum_i key_i value_i^T. The last FNN reads bits = M^T key / |key|^2.

    keys, values: numbers of different keys and of different values, as in tasks.Recall. The first tokens are keys.
    pairs: the largest m. The keys of a sequence must differ.
    codes: None (default): one-hot keys, and no wrong answer. An integer: each key is a random code of that many signs,
        drawn from `seed`. With n pairs and values >= 2, an answer is wrong with probability at most
        ceil(log2 values) exp(-codes / (2 (n - 1))).
    length: tokens of the longest sequence (default 3 * pairs: as many queries as pairs).
    """
    K, V, pairs = _sizes("recall", keys=keys, values=values, pairs=pairs)
    if pairs > K:
        raise ValueError(f"recall: keys={K}, pairs={pairs}; the keys of a sequence differ, expected pairs <= keys")
    length = check_integer("recall", "length", 3 * pairs if length is None else length)
    if length < 2 * pairs + 1:
        raise ValueError(f"recall: length={length}; {pairs} pairs and a query have {2 * pairs + 1} tokens, give more")
    n = K if codes is None else check_integer("recall", "codes", codes, also=", or None")
    b = _bits(V)
    _check_numbers("recall", n * (b + 1), K + V, length)
    rng = np.random.default_rng(check_integer("recall", "seed", seed, 0))
    key, value = np.eye(K) if codes is None else rng.choice([-1.0, 1.0], (K, n)), signs(V)
    times = gate if codes is None else signed_gate

    store = Circuit(2 * n + b)
    before, bits, now = _split(store.inputs, n, b, n)
    products = [times(k, v) for k in before for v in bits]
    store.outputs = products + ([relu(k) for k in now] if codes is None else now)

    read = Circuit(n * b + n)
    memory, asked = _split(read.inputs, n * b, n)
    terms = [[times(k, memory[a * b + e], float(pairs)) for a, k in enumerate(asked)] for e in range(b)]
    read.outputs = [_add(products) for products in terms]

    delay = _channels("delay", range(n)) + _channels("pass", range(n, n + b)) + _channels("pass", range(n))
    collect = _channels("sum", range(n * b)) + _channels("pass", range(n * b, n * b + n))
    embed = np.block([[key, np.zeros((K, b))], [np.zeros((V, n)), value]])
    head = _readout(value, K, 1 if codes is None else n)
    return _build([Filter(1, delay), store, Filter(_window(length), collect), read], embed, head, dtype, vocab=K + V)


def copying(min_len: int, max_len: int, symbols: int, *, dtype: str = "float64") -> Built:
    """Copying by counting, fed back or with blanks: the answers repeat x_1 .. x_n, for every n up to max_len.

    The first filter counts the symbols. The first FNN writes the bits of symbol k into slot k, and nothing after
    <COPY>. The second filter keeps the slots and counts the questions. The last FNN reads slot r at question r.

    min_len, max_len, symbols: as in tasks.Copying. The weights don't depend on min_len.
    """
    min_len, P, V = _sizes("copying", min_len=min_len, max_len=max_len, symbols=symbols)
    if min_len > P:
        raise ValueError(f"copying: min_len={min_len}, max_len={P}; expected min_len <= max_len")
    b = _bits(V)
    _check_numbers("copying", P * b, V, 2 * P + 1)
    code = signs(V)
    embed = np.zeros((3 + V, b + 3))
    embed[3:, :b], embed[3:, b] = code, 1
    embed[COPY, b + 1] = 1
    embed[[COPY, PAD, *range(3, 3 + V)], b + 2] = 1  # after <COPY>, each of these asks for a symbol

    store = Circuit(b + 3)
    bits, (rank, copy, asks) = _split(store.inputs, b, 3)
    slots = one_hot(rank - 2.0 * P * copy, P)  # the rank is at most 2 P: after <COPY>, no slot is open
    store.outputs = [gate(slot, bit) for slot in slots for bit in bits] + [relu(copy + asks - 1.0)]
    count = [*_channels("pass", range(b)), ("sum", b), ("sum", b + 1), ("pass", b + 2)]
    return _read_slots(Filter(_window(2 * P + 1), count), store, embed, code, dtype)


def selective_copying(copied: int, context: int, symbols: int, *, dtype: str = "float64") -> Built:
    """Copying by counting, among blanks. They carry no bits and don't count. See `copying`.

    copied, context, symbols: as in tasks.SelectiveCopying. With more than `copied` symbols, the last slot is wrong.
    """
    P, context, V = _sizes("selective_copying", copied=copied, context=context, symbols=symbols)
    if context < P:
        raise ValueError(f"selective_copying: copied={P}, context={context}; expected copied <= context")
    b = _bits(V)
    _check_numbers("selective_copying", P * b, V, context + P)
    code = signs(V)
    embed = np.zeros((2 + V, b + 2))
    embed[2:, :b], embed[2:, b] = code, 1
    embed[ASK, b + 1] = 1

    store = Circuit(b + 2)
    bits, (rank, asks) = _split(store.inputs, b, 2)
    store.outputs = [gate(slot, bit) for slot in one_hot(rank, P) for bit in bits] + [relu(asks)]
    count = [*_channels("pass", range(b)), ("sum", b), ("pass", b + 1)]
    return _read_slots(Filter(_window(context + P), count), store, embed, code, dtype)


def selection(bins: int, d: int, length: int, *, delta: float = 1e-6, dtype: str = "float64") -> Built:
    """At each token, the vector u of the token with the largest mu so far; the tokens are (mu, u).

    The bins of mu have the width 1 / bins. The first FNN compares mu with each edge between bins. The filter counts the
    mu above each edge, and sums their u. The last FNN takes the sum above the highest edge that has a mu above it. This
    is the sum of the highest bin: the u of the largest mu alone, if this mu is at least 1 / bins above the others.

    bins: number of bins. mu is above 0, and at most 1 (0 and 1 / bins would share a bin).
    d: numbers in u, each from -1 to 1.
    length: tokens of the longest sequence.
    delta: width of a ramp (default 1e-6). Each edge, at k / bins, is a ramp up to k / bins + delta. No mu may lie on a
        ramp. The largest weight is 1 / delta, or length.
    """
    K, d, length = _sizes("selection", bins=bins, d=d, length=length)
    _check_numbers("selection", K * (d + 1), length)
    delta = check_number(
        "selection", "delta", delta, f"a number above 0, to 1 / bins = {1 / K:g}", lambda v: 0 < v <= 1 / K
    )

    store = Circuit(1 + d)
    mu, *u = store.inputs
    ramps = [relu((mu - k / K) * (1 / delta)) for k in range(1, K)]
    above = [1.0 - relu(1.0 - x) for x in ramps]  # at most 1, without a difference of large numbers: that would round
    store.outputs = [*map(relu, above), *u, *[gate(edge, x) for edge in above for x in u]]

    read = Circuit(K - 1 + K * d)
    higher, sums = _split(read.inputs, K - 1, K * d)
    none = [relu(1.0 - n) for n in higher]  # whether no mu is above the edge
    terms = [[gate(empty, sums[k * d + i], float(length)) for k, empty in enumerate(none)] for i in range(d)]
    read.outputs = [_add([*products, last]) for products, last in zip(terms, sums[-d:], strict=True)]
    collect = Filter(_window(length), _channels("sum", range(K - 1 + K * d)))
    return _build([store, collect, read], np.eye(1 + d), np.eye(d), dtype, inputs=1 + d)


# ---- shared


def _sizes(who: str, **sizes: Any) -> list[int]:
    return [check_integer(who, name, size) for name, size in sizes.items()]


def _check_numbers(who: str, wires: int, *lengths: int) -> None:
    """Refuse large arrays (wires times units, tokens or the window) before building takes time and memory."""
    if (size := wires * max(4 * wires, *lengths)) > LARGEST:
        raise ValueError(f"{who}: an array of {size:,} numbers; expected {LARGEST:,} at most, give smaller sizes")


def _bits(symbols: int) -> int:
    return max(1, (symbols - 1).bit_length())


def signs(symbols: int) -> np.ndarray:
    """(symbols, bits): the bits of each symbol's number as signs, 1 for 0 and -1 for 1."""
    return 1.0 - 2.0 * ((np.arange(symbols)[:, None] >> np.arange(_bits(symbols))) & 1)


def _window(length: int) -> int:
    """The window of a sum over the longest sequence: one less, since an output also sees its own input."""
    return max(1, length - 1)


def _channels(kind: str, inputs: range) -> list[tuple[str, int]]:
    return [(kind, i) for i in inputs]


def _split(wires: list[Wire], *sizes: int) -> list[list[Wire]]:
    ends = list(accumulate(sizes, initial=0))
    return [wires[start:end] for start, end in pairwise(ends)]


def _add(wires: list[Wire]) -> Wire:
    return sum(wires[1:], wires[0])


def _read_slots(count: Filter, store: Circuit, embed: np.ndarray, code: np.ndarray, dtype: str) -> Built:
    """The rest of a network that copies, after `store` has filled the slots: at question r, answer with slot r."""
    V, b = code.shape
    n = len(store.outputs) - 1
    read = Circuit(n + 1)
    slots, (r,) = _split(read.inputs, n, 1)
    answer = one_hot(r, n // b)
    read.outputs = [_add([gate(asked, slots[k * b + e]) for k, asked in enumerate(answer)]) for e in range(b)]
    markers = len(embed) - V
    keep = Filter(count.window, _channels("sum", range(n + 1)))
    return _build([count, store, keep, read], embed, _readout(code, markers), dtype, vocab=len(embed))


def _readout(code: np.ndarray, markers: int, scale: float = 1.0) -> np.ndarray:
    """(bits, markers + symbols): the logit of a symbol is code . bits / b, 1 for the right one. Markers have 0."""
    return np.hstack([np.zeros((code.shape[1], markers)), code.T / (code.shape[1] * scale)])


def _build(layers: list[Filter | Circuit], embed: np.ndarray, head: np.ndarray, dtype: str, **sizes: Any) -> Built:
    """The Model of the layers, with the smallest width that holds all wires, and its parameters. Unused ones are 0."""
    circuits = [layer for layer in layers if isinstance(layer, Circuit)]
    wires = [embed.shape[1], *[len(w) for c in circuits for w in (c.inputs, c.outputs)]]
    spec = " + ".join(layer.spec for layer in layers)
    net = Model(spec, **sizes, outputs=head.shape[1], width=max(wires), residual=False, dtype=dtype)
    params = zeros(net)
    params["embed"]["w"][:, : embed.shape[1]] = embed
    params["head"]["w"][: head.shape[0]] = head
    params["head"]["b"][~head.any(axis=0)] = NEVER
    for layer, p in zip(layers, params["blocks"], strict=True):
        layer.write(p) if isinstance(layer, Filter) else write_fnn(p, layer)
    return net, params
