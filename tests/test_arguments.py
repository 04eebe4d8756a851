"""Every public function, called with a battery of wrong arguments: one sentence of ours, or what the right ones give.

An argument is replaced by each of `wrong(argument)`, a leaf of a tree too. If that differs in form alone (another
dtype or byte order, a list), a call that takes it gives what the right argument gives.
"""

import linecache
import traceback
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import numpy as np
import pytest

import minissm as ms
from minissm import constructions, filters, layers, losses, optim, scan, selective, spec, tasks, tree
from minissm.attention import self_attention
from minissm.scan import taps

RNG = np.random.default_rng(5)
B, L, D, E, N, U, V = 2, 7, 4, 6, 3, 5, 5


def r(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape)


def z(*shape: int) -> np.ndarray:
    return r(*shape) + 1j * r(*shape)


def affine(n: int, m: int) -> dict:
    return {"w": r(n, m), "b": r(m)}


NET = ms.Model("ssm(poles=3) + attn(max_len=20) + fnn1", vocab=V, width=D, norm="rms", dtype="float64")
PARAMS = NET.init(RNG)
TOKENS = RNG.integers(0, V, (B, L))
LAM = z(D, N) - 2
STATE = NET.run(PARAMS, TOKENS)[1]
SSM, S6_, LSTM, ATTN = (b.init(RNG, D) for b in (ms.Ssm(ms.S4d(3)), ms.S6(3), ms.Lstm(), ms.Attn(2, max_len=20)))
ADAMW = optim.adamw_start(PARAMS)
SMALL = {"w": r(2, 3), "blocks": [{"b": r(3)}]}
VECTOR = optim.adamw_start(SMALL)
GENERATOR = np.random.default_rng(0)
WRITTEN, WIRES = constructions.recall(3, 2, 2), constructions.Circuit(2).inputs
FNN, AC = [affine(D, E), affine(E, D)], {"a": r(D, 2), "c": r(D, 2)}
WEIGHTS, X, C, K = np.ones((B, L)), r(B, L, D), z(D, N), r(D, U + 1)

# name -> function, arguments that are right
DIFFERENTIABLE: dict[str, tuple[Callable, tuple]] = {
    "layers.linear": (layers.linear, (affine(D, E), r(B, L, D))),
    **{f"layers.{n}": (f, (r(B, L, D),)) for n, f in layers.ACTIVATIONS.items()},
    "layers.fnn": (layers.fnn, ([affine(D, E), affine(E, D)], r(B, L, D))),
    "layers.fnn, fast": (layers.fnn, ([affine(D, E), affine(E, D)], r(3, 400, D))),
    "layers.fnn, relu": (lambda p, x: layers.fnn(p, x, "relu"), ([affine(D, E), affine(E, D)], r(B, L, D))),
    "layers.rms_norm": (layers.rms_norm, ({"g": r(D)}, r(B, L, D))),
    "layers.layer_norm": (layers.layer_norm, ({"g": r(D), "b": r(D)}, r(B, L, D))),
    "layers.embed": (layers.embed, ({"w": r(V, D)}, TOKENS)),
    "layers.embed, one-hot": (layers.embed, ({"w": r(V, D)}, r(B, L, V))),
    "layers.add_positions": (layers.add_positions, (r(9, D), r(B, L, D))),
    "layers.take_rows": (layers.take_rows, (r(B, L, D), np.array([1, 4, 9]))),
    "losses.cross_entropy": (losses.cross_entropy, (r(B, L, V), TOKENS, WEIGHTS)),
    "losses.squared_error": (losses.squared_error, (r(B, L, V), r(B, L, V), WEIGHTS)),
    "filters.s4d": (filters.s4d, ({"log_dt": r(D), "log_re": r(D, N), "im": r(D, N), "c": r(D, N, 2)},)),
    "filters.s4d, real": (filters.s4d, ({"log_dt": r(D), "log_re": r(D, N), "c": r(D, N, 1)},)),
    "filters.trig": (lambda p: filters.trig(p, U), ({"a": r(D, 2), "c": r(D, 2)},)),
    "Fir": (ms.Fir(U), ({"k": r(D, U + 1)},)),
    **{f"scan.{n}": (f, (LAM, z(D, N), r(B, L, D), z(B, D, N))) for n, f in scan.MODES.items()},
    **{f"scan.taps.{n}": (getattr(taps, n), (r(D, U + 1), r(B, L, D), r(B, U, D))) for n in scan.MODES},
    "scan.linear": (scan.linear, (r(B, L, D), r(B, L, D), r(B, D))),
    "scan.kernel": (lambda *a: scan.kernel(*a, L), (LAM, z(D, N))),
    "attention": (ms.attention, (r(B, 2, L, 3), r(B, 2, 9, 3), r(B, 2, 9, 3))),
    "selective_scan": (
        ms.selective_scan,
        (r(B, L, E), r(B, L, E), -(r(E, N) ** 2), r(B, L, N), r(B, L, N), r(B, E, N)),
    ),
    "selective": (ms.selective, (S6_, r(B, L, D), r(B, 2 * D, 3))),
    "selective.softplus": (selective.__globals__["softplus"], (r(B, L, D),)),
    "lstm": (ms.lstm, (LSTM, r(B, L, D), {"h": r(B, D), "c": r(B, D)})),
    "mean": (ms.mean, ({}, r(B, L, D), {"sum": r(B, D), "count": 3})),
    "ssm": (lambda p, x, s: ms.ssm(p, x, s, filter=ms.S4d(3)), (SSM, r(B, L, D), z(B, 2 * D, 3))),
    "self_attention": (
        lambda p, x, s: self_attention(p, x, s, heads=2),
        (ATTN, r(B, L, D), {"k": r(B, 2, 5, 2), "v": r(B, 2, 5, 2), "filled": 4}),
    ),
    "Model": (NET, (PARAMS, TOKENS)),
    "Model.run": (NET.run, (PARAMS, TOKENS, STATE)),
}
PLAIN: dict[str, tuple[Callable, tuple]] = {
    "attention_weights": (ms.attention_weights, (r(B, 2, L, 3), r(B, 2, 9, 3))),
    "layers.add_positions": (layers.add_positions, (r(9, D), X, 2)),
    "layers.fnn": (lambda a: layers.fnn(FNN, X, a), ("silu",)),
    "layers.linear_init": (layers.linear_init, (GENERATOR, 3, 4)),
    "layers.norm_init": (layers.norm_init, ("rms", 4)),
    "filters.trig": (lambda u: filters.trig(AC, u), (U,)),
    "filters.dt_range": (filters.dt_range, (0.5,)),
    "scan.chunked": (lambda q: scan.chunked(LAM, C, X, chunk=q), (3,)),
    "scan.taps.chunked": (lambda q: taps.chunked(K, X, chunk=q), (3,)),
    "scan.kernel": (lambda n: scan.kernel(LAM, C, n), (3,)),
    "scan.pick": (lambda m, s: scan.pick(m, s, scan.Taps(K)), ("fft", (B, L, D))),
    "scan.start": (lambda b, d: scan.start(scan.Taps(K), b, d), (2, np.dtype("float64"))),
    "scan.stepper": (lambda d: scan.stepper(scan.Poles(LAM, C), d), (np.dtype("float64"),)),
    "scan.stepper, taps": (lambda d: scan.stepper(scan.Taps(K), d), (np.dtype("float64"),)),
    "a step of poles": (scan.stepper(scan.Poles(LAM, C), np.float64), (r(B, D), z(B, D, N))),
    "a step of taps": (scan.stepper(scan.Taps(K), np.float64), (r(B, D), r(B, U, D))),
    "scan.family": (scan.family, (scan.Taps(K),)),
    "scan.check_mode": (scan.check_mode, ("x", "fft")),
    "optim.sgd": (optim.sgd, (SMALL, SMALL, 0.1)),
    "optim.adamw": (lambda p, g, s, lr: optim.adamw(p, g, s, lr=lr), (SMALL, SMALL, VECTOR, 0.1)),
    "optim.adamw_vector": (
        lambda w, g, s, lr, b, e, d: optim.adamw_vector(w, g, s, lr=lr, betas=b, eps=e, decay=d),
        (VECTOR.m, VECTOR.m, VECTOR, 0.1, (0.9, 0.99), 1e-8, 0.01),
    ),
    "optim.adamw_start": (optim.adamw_start, (SMALL,)),
    "optim.decay_mask": (optim.decay_mask, (SMALL,)),
    "optim.gradient_vector": (optim.gradient_vector, (SMALL, SMALL)),
    "optim.clip": (optim.clip, (SMALL, 1.0)),
    "optim.warmup_cosine": (optim.warmup_cosine, (3, 10, 0.1, 0.05)),
    "tree.flatten": (tree.flatten, (SMALL,)),
    "tree.unflatten": (tree.unflatten, (SMALL, VECTOR.m)),
    "tree.map": (lambda a, b: tree.map(lambda *_: None, a, b), (SMALL, SMALL)),
    "tree.leaves": (tree.leaves, (SMALL, SMALL)),
    "tree.size": (tree.size, (SMALL,)),
    "to": (ms.to, (SMALL, "numpy")),
    "namespace": (lambda x: ms.namespace(x).sum(x), (r(2),)),
    "parse": (ms.parse, ("ssm + fnn1",)),
    "register": (ms.register, ("lru_of_tests", ms.S4d)),
    "tasks.parse": (tasks.parse, ("recall",)),
    "Recall.batch": (tasks.Recall().batch, (GENERATOR, 3)),
    "Copying.batch": (tasks.Copying().batch, (GENERATOR, 3)),
    "SelectiveCopying.batch": (tasks.SelectiveCopying().batch, (GENERATOR, 3)),
    "InductionHeads.batch": (tasks.InductionHeads().batch, (GENERATOR, 3)),
    "Mqar.batch": (tasks.Mqar().batch, (GENERATOR, 3)),
    "Lookup.batch": (tasks.Lookup().batch, (GENERATOR, 3)),
    "Model.init": (NET.init, (GENERATOR,)),
    "Model.start": (NET.start, (PARAMS, 2, 9)),
    "Model.step": (NET.step, (PARAMS, STATE, TOKENS[:, 0])),
    "Model.trace": (NET.trace, (PARAMS, TOKENS)),
    "Model.state_size": (NET.state_size, (9,)),
    "zeros": (lambda net: len(ms.zeros(net)), (NET,)),
    "Model(mode)": (lambda m: NET(PARAMS, TOKENS, m), ("fft",)),
    "Model(where)": (lambda w: NET(PARAMS, TOKENS, where=w), (TOKENS > 1,)),
    "check_block": (ms.check_block, (ms.Mean(), 4)),
    "gradcheck": (
        lambda n, d, g: ms.gradcheck(layers.tanh, r(3), names=n, directions=d, rng=g),
        (("x",), 1, GENERATOR),
    ),
    "gradcheck, inputs": (lambda x: ms.gradcheck(layers.tanh, x, directions=1), (r(3),)),
    "gradcheck, f": (lambda f: ms.gradcheck(f, r(3), directions=1), (layers.tanh,)),
    "S4d": (lambda *a: ms.S4d(*a), (3, "lin", (0.1, 1.0))),
    "Trig": (lambda *a: ms.Trig(*a), (3, 0.5)),
    "Fir": (lambda *a: ms.Fir(*a), (3, 0.5)),
    "S6": (lambda *a: ms.S6(*a), (3, 2, 1, (0.1, 1.0))),
    "Ssm": (lambda *a: ms.Ssm(*a), (ms.S4d(3), 2)),
    "Attn": (lambda *a: ms.Attn(*a), (2, "learned", 9)),
    "Fnn": (lambda *a: ms.Fnn(*a), (1, None, "relu", 2.5)),
    "Recall": (lambda *a: tasks.Recall(*a), (4, 7, 6, 3)),
    "Recall, a range": (lambda *a: tasks.Recall(*a), ((2, 4), 7, 6)),
    "Copying": (lambda *a: tasks.Copying(*a), (4, 7, 6, True)),
    "SelectiveCopying": (lambda *a: tasks.SelectiveCopying(*a), (3, 7, 6)),
    "InductionHeads": (lambda *a: tasks.InductionHeads(*a), (9, 6)),
    "Mqar": (lambda *a: tasks.Mqar(*a), (3, 14, 11, 0.5, True)),
    "Lookup": (lambda *a: tasks.Lookup(*a), (3, 5, 7, 6, 2)),
    "constructions.recall": (lambda *a: constructions.recall(*a)[1], (5, 3, 2)),
    "constructions.recall, codes": (
        lambda c, n, s, d: constructions.recall(5, 3, 2, codes=c, length=n, seed=s, dtype=d)[1],
        (4, 9, 1, "float64"),
    ),
    "constructions.copying": (lambda *a: constructions.copying(*a)[1], (2, 3, 4)),
    "constructions.selective_copying": (lambda *a: constructions.selective_copying(*a)[1], (2, 3, 4)),
    "constructions.selection": (lambda b, d, n, e: constructions.selection(b, d, n, delta=e)[1], (4, 2, 3, 0.1)),
    "constructions.stats": (lambda *a: constructions.stats(*a).S, WRITTEN),
    "constructions.Circuit": (lambda n: constructions.Circuit(n).sizes, (2,)),
    "constructions.relu": (lambda x: constructions.relu(x).level, (WIRES[0],)),
    "constructions.gate": (lambda *a: constructions.gate(*a).bias, (*WIRES, 2.0)),
    "constructions.signed_gate": (lambda *a: constructions.signed_gate(*a).bias, (*WIRES, 2.0)),
    "constructions.hat": (lambda *a: constructions.hat(*a).bias, (WIRES[0], 2)),
    "constructions.one_hot": (lambda *a: len(constructions.one_hot(*a)), (WIRES[0], 2)),
}


def wrong(value: Any, depth: int = 0) -> Iterator[tuple[str, Any, bool]]:
    """(what it is, a wrong value in place of this one, if only its form is wrong). Deep in a tree, a few."""
    if isinstance(value, np.ndarray) and depth > 1:
        yield from ((str(v), v, False) for v in (None, value.tolist(), np.ma.masked_array(value), value[1:]))
        return
    yield from ((repr(v), v, False) for v in (None, 1.5, -1, "x", True, [], {}, object()))
    if isinstance(value, np.ndarray):
        forms = ["f2", "f4", "f8", ">f8", "g", "c8", "c16", "i1", ">i8", object]
        for form in forms:
            if np.can_cast(value.dtype, np.dtype(form), "same_kind"):
                yield f"dtype {form}", value.astype(form), True
        yield "a list", value.tolist(), True
        yield "complex", value + 0.5j, False
        yield "bool", value > 0, False
        yield "integers", (value.real * 10).astype(int), False
        yield "masked", np.ma.masked_array(value, value.real > 0), False
        if value.ndim == 2:
            yield "a matrix", value.view(np.matrix), False
        yield "a record", value.view(np.recarray), False
        yield "an axis more", value[None], False
        yield "no axis", value.reshape(-1)[0], False
        yield "0-d", np.array(value.reshape(-1)[0]), False
        for axis in range(value.ndim):
            yield f"less on axis {axis}", value[(slice(None),) * axis + (slice(1, None),)], False
            yield f"nothing on axis {axis}", value[(slice(None),) * axis + (slice(0, 0),)], False
            yield f"one on axis {axis}", value[(slice(None),) * axis + (slice(0, 1),)], False
        if value.dtype.kind == "i":
            yield "-1", value - 1 - value.max(), False
            yield "too large", value + 1000, False
    elif isinstance(value, dict):
        for key in value:
            yield f"no {key}", {k: v for k, v in value.items() if k != key}, False
            for what, bad, form in wrong(value[key], depth + 1):
                yield f"{key} {what}", value | {key: bad}, form
        yield "one key more", value | {"more": np.ones(3)}, False
        yield "a list", list(value.values()), False
    elif isinstance(value, list):
        for i in range(len(value)):
            yield f"no {i}", value[:i] + value[i + 1 :], False
            for what, bad, form in wrong(value[i], depth + 1):
                yield f"{i} {what}", [*value[:i], bad, *value[i + 1 :]], form
    elif isinstance(value, tuple):
        yield from (
            (repr(v), v, False) for v in ((), value[:1], (*value, 1), (np.nan,) * len(value), ("x",) * len(value))
        )
    elif isinstance(value, int | float):
        yield from ((repr(v), v, False) for v in (np.nan, np.inf, 0, 2.5, 10**18, np.ones(2), 1j))
        yield "of NumPy", np.asarray(value)[()], True
    elif isinstance(value, np.random.Generator):
        yield from ((repr(v), v, False) for v in (0, np.random.RandomState(0), np.random))


def ours(error: BaseException) -> str:
    """ "" if a statement `raise` of the library said one sentence; else what is wrong with it."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    line, text = linecache.getline(frame.filename, frame.lineno or 0).strip(), str(error)
    if not isinstance(error, ValueError | TypeError) or "minissm" not in frame.filename or not line.startswith("raise"):
        return f"{type(error).__name__} at {frame.filename.rpartition('/')[2]}:{frame.lineno} {line}: {text[:90]}"
    name = text.partition(":")[0]
    good = name and len(name) <= 40 and len(text) <= 300 and "\n" not in text
    return "" if good else f"no sentence: {text}"


def same(given: Any, expected: Any) -> bool:
    a, b = ([leaf for leaf in tree.leaves(t) if hasattr(leaf, "dtype")] for t in (given, expected))
    near = (x.shape == y.shape and np.allclose(x, y, rtol=1e-3, atol=1e-3) for x, y in zip(a, b, strict=False))
    return len(a) != len(b) or all(near)  # a list is a tree


def outputs(result: Any) -> Any:
    return [x for x in result if not callable(x)] if isinstance(result, tuple) else result


def faults(f: Callable, args: tuple) -> list[str]:
    expected, found = outputs(f(*deepcopy(args))), []
    for i, value in enumerate(args):
        for what, bad, form in wrong(value):
            try:
                bad = deepcopy(bad) if isinstance(bad, dict) else bad  # a step may write into the state it is given
                result = f(*deepcopy(args[:i]), bad, *deepcopy(args[i + 1 :]))
            except BaseException as error:
                if fault := ours(error):
                    found.append(f"argument {i} {what[:40]}: {fault}")
            else:
                if form and not same(outputs(result), expected):
                    found.append(f"argument {i} {what[:40]}: other numbers")
    return found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_a_forward_and_its_backward(name):
    f, args = DIFFERENTIABLE[name]
    *ys, backward = f(*args)
    found = faults(f, args) + [f"backward: {fault}" for fault in faults(backward, tuple(ys))]
    assert not found, "\n" + "\n".join(found)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", PLAIN)
def test_a_function(name, monkeypatch):
    for table in ("BLOCKS", "_names"):  # for register
        monkeypatch.setattr(spec, table, dict(getattr(spec, table)))
    found = faults(*PLAIN[name])
    assert not found, "\n" + "\n".join(found)


def test_every_public_function_is_in_the_table():
    """Or in the list of those that another file tests: of files, of trainings and of no arguments."""
    elsewhere = {"evaluate", "fit", "load", "load_state", "save", "save_state", "reference", "Log", "Lstm", "Mean"}
    elsewhere |= {
        "BlockError",
        "GradientError",
        "filters.Window",
        "optim.AdamWState",
        "Poles",
        "Taps",
        "layers.flat",
        "layers.column_sums",
        "layers.no_norm",
    }
    elsewhere |= {
        "layers.linear_size",
        "tree.named",
        "tree.difference",
        "tree.arrays",
        "tree.check_floats",
        "tree.cast",
    }
    modules = {
        "": ms,
        "layers.": layers,
        "losses.": losses,
        "optim.": optim,
        "scan.": scan,
        "filters.": filters,
        "tree.": tree,
    }
    names = set()
    for prefix, module in modules.items():
        for name, f in vars(module).items():
            of_ours = getattr(f, "__module__", "").startswith(module.__name__) and callable(f)
            if not name.startswith("_") and (of_ours or (not prefix and name in ms.__all__ and callable(f))):
                names.add(prefix + name)
    known = {name.split(",")[0] for name in (*DIFFERENTIABLE, *PLAIN)} | elsewhere
    known |= {name.split("(")[0] for name in known} | {name.split(".")[-1] for name in known}
    assert not {name for name in names if name not in known and name.split(".")[-1] not in known}
