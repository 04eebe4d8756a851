"""The edges: what users trip over, one case a line: (name, call, expected). A report of a new one goes here.

expected is a value (a number, an array or a tree of them; dtypes and nan are compared too), or `refused("text")`: then
the call raises ValueError or TypeError, in one sentence that contains the text.
"""

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest

import minissm as ms
from minissm import train
from minissm.fast.parallel import threads


class refused(str):  # noqa: N801
    """A part of the sentence in which the call is refused."""


def f4(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def f8(*values: float) -> np.ndarray:
    return np.array(values, np.float64)


def impulse(dt: float, steps: int) -> float:
    """What is left of an impulse after `steps` single steps in float32."""
    poles, u = ms.Poles(np.full((1, 1), -dt + 0j), np.ones((1, 1), complex)), np.ones((1, 1), np.float32)
    step, h = ms.scan.stepper(poles, np.float32), ms.scan.start(poles, 1, np.float32)
    for _ in range(steps + 1):
        y, h = step(u, h)
        u = np.zeros_like(u)
    return y[0, 0]


def adamw_eps(eps: float) -> Any:
    return ms.optim.adamw({"w": f4(1)}, {"w": f4(0)}, lr=0.1, eps=eps)


Case = tuple[str, Callable[[], Any], Any]

# ---- huge and tiny numbers, masks, long memories

NANS, INFS = [np.nan] * 3, [np.inf] * 3


def loss_and_gradient(loss: Callable, outputs: Any, targets: Any, weights: Any) -> tuple:
    value, backward = loss(np.array(outputs), np.array(targets), np.array(weights, float))
    return value, backward()


def clipped(*gradients: float, limit: float = 1.0, dtype: Any = np.float32) -> tuple:
    with np.errstate(over="ignore", invalid="ignore"):
        grads, norm = ms.optim.clip({"w": np.array(gradients, dtype)}, limit)
    return grads["w"], norm


def stepped(gradient: float, dtype: Any = np.float32) -> np.ndarray:
    """1 after two steps of AdamW at a rate of .1, without decay."""
    params, state = {"w": np.ones(2, dtype)}, None
    for _ in range(2):
        params, state = ms.optim.adamw(params, {"w": np.full(2, gradient, dtype)}, state, lr=0.1, decay=0)
    return params["w"]


def explained(offset: float) -> float:
    """The share of variance of targets 0 to 5 + offset with errors of 1/2, over batches of 1, 2 and 3."""
    targets = offset + np.arange(6.0)[:, None, None]
    batches = [ms.tasks.Batch(t, t, np.ones(t.shape[:2])) for t in (targets[:1], targets[1:3], targets[3:])]
    task = ms.tasks.RealTask()
    tallies = [task.tally(b.targets[:, 0] + 0.5, b) for b in batches]
    return task.scores({name: sum(t[name] for t in tallies) for name in tallies[0]})["share_of_variance"]


def right_tokens(*logits: float) -> float:
    batch = ms.tasks.Batch(np.zeros((1, 1), int), np.zeros((1, 1), int), np.ones((1, 1)))
    with np.errstate(invalid="ignore"):
        return ms.tasks.TokenTask().tally(np.array([logits], float), batch)["right_tokens"]


def row_gradients(reference: bool, vocab: int = 5) -> np.ndarray:
    """The gradients of an embedding's first rows, of which tokens 0, 1, 1 are used, with nan at token 0."""
    with ms.reference() if reference else nullcontext():
        _, backward = ms.layers.embed({"w": np.ones((vocab, 1))}, np.array([[0, 1, 1]]))
        return backward(np.array([[[np.nan], [1], [1]]]))[0]["w"][:3, 0]


def verdict(y: Callable, slope: Callable, size: float = 1.0, dtype: Any = np.float64) -> str:
    """Of gradcheck, for y(x) and a backward with this slope, at five x of this size."""
    x = (size * np.random.default_rng(0).normal(size=5)).astype(dtype)
    try:
        return str(ms.gradcheck(lambda x: (y(x), lambda dy: slope(x) * dy), x)).split("  ")[-1]
    except ms.GradientError:
        return "WRONG"


def cubic(factor: float, slope: float, size: float = 1.0, dtype: Any = np.float64) -> str:
    """factor x^3, with a backward that gives slope times the derivative."""
    a = np.dtype(dtype).type(factor)
    return verdict(lambda x: a * x**3, lambda x: 3 * a * x**2 * np.dtype(dtype).type(slope), size, dtype)


@dataclass(frozen=True)
class Faint:
    """A block that multiplies by 1e-12, with a backward of `slope` times the derivative."""

    slope: float

    def init(self, rng: np.random.Generator, width: int) -> dict:
        return {}

    def size(self, width: int) -> int:
        return 0

    def apply(self, p: dict, x: np.ndarray) -> tuple:
        a = x.dtype.type(1e-12)
        return a * x, lambda dy: ({}, x.dtype.type(self.slope) * a * dy)


def block_verdict(block: Any) -> str:
    try:
        ms.check_block(block)
    except AssertionError as error:
        return type(error).__name__
    return "ok"


FAR = f4(-np.inf, -1e30, 1e30, np.inf)
ACTIVATIONS: list[Case] = [
    (f"{name} and its slope far from 0, {way}", lambda f=f: [f(FAR)[0], f(FAR)[1](f4(1, 1, 1, 1))], [y, f4(*slope)])
    for name, y, slope in (
        ("relu", f4(0, 0, 1e30, np.inf), (0, 0, 1, 1)),
        ("gelu", f4(0, 0, 1e30, np.inf), (0, 0, 1, 1)),
        ("silu", f4(0, 0, 1e30, np.inf), (0, 0, 1, 1)),
        ("tanh", f4(-1, -1, 1, 1), (0, 0, 0, 0)),
        ("sigmoid", f4(0, 0, 1, 1), (0, 0, 0, 0)),
    )
    for way, f in (("alone", ms.layers.ACTIVATIONS[name]), ("in fnn", lambda x, name=name: in_fnn(x, name)))
]


def in_fnn(x: np.ndarray, act: str) -> tuple:
    """The activation in 5,000 rows of a network that adds nothing else."""
    p = [{"w": np.eye(1, dtype=np.float32), "b": f4(0)}] * 2
    y, back = ms.layers.fnn(p, np.tile(x[:, None], (1250, 1)), act)

    @np.errstate(invalid="ignore")
    def backward(dy: np.ndarray) -> np.ndarray:  # dw is not finite
        return back(np.tile(dy[:, None], (1250, 1)))[1][-4:, 0]

    return y[:4, 0], backward


def norm(name: str, *x: float) -> list:
    """The normalised vector and its dx for dy = x / max x."""
    y, back = ms.layers.NORMS[name](ms.tree.map(np.float32, ms.layers.norm_init(name, len(x))), f4(*x))
    return [y, np.abs(back(f4(*x) / max(x))[1]).max() < 1e-5 / max(x)]


def future(size: int, value: float) -> list:
    """Outputs and gradients before the last of the tokens, whose key and value are `value`; equal to those without."""
    rng, results = np.random.default_rng(0), []
    q, k, v, do = rng.normal(size=(4, 1, 2, size, 3))
    do[:, :, -1] = 0
    for last in (0, value):
        k[:, :, -1] = v[:, :, -1] = last
        with np.errstate(invalid="ignore"):
            o, back = ms.attention(q, k, v)
            results.append([a[:, :, :-1] for a in (o, *back(do))])
    return [bool(np.isfinite(a).all() and np.allclose(a, b, 1e-12)) for a, b in zip(*results, strict=True)]


def dtypes_of_fnn(rows: int, p: type, x: type) -> list[str]:
    w = ms.tree.map(p, ms.layers.Fnn().init(np.random.default_rng(0), 8))
    y, back = ms.layers.fnn(w, np.ones((rows, 8), x))
    dp, dx = back(np.ones_like(y))
    return [str(a.dtype) for a in (y, dx, *ms.tree.leaves(dp))]


def padded(spec: str, padding: float) -> tuple:
    """The loss of a batch of which one sequence ends early, and the sum of squares of its gradient."""
    net, rng = ms.Model(spec, inputs=2, outputs=1, width=4, dtype="float64"), np.random.default_rng(0)
    x, weights = rng.normal(size=(2, 7, 2)), np.ones((2, 7))
    x[0, 4:], weights[0, 4:] = padding, 0
    batch = ms.tasks.Batch(x, rng.normal(size=(2, 7, 1)), weights)
    loss, gradient = train.loss_and_gradient(net, net.init(rng), batch, ms.losses.squared_error)
    return float(loss), float(gradient @ gradient)


NUMBERS: list[Case] = [
    *(
        (f"padded with nan, {spec}", partial(padded, spec, np.nan), padded(spec, 0))
        for spec in ("ssm + fnn1", "attn + mean + s6", "fir + lstm")
    ),
    ("many steps of a long memory", lambda: impulse(1e-4, 10**4), math.exp(-1)),
    *(
        (f"gradcheck, {factor} x^3, x near {size}, {slope} times the slope", partial(cubic, factor, slope, size), found)
        for slope, found in ((1, "ok"), (0, "WRONG"), (-1, "WRONG"), (1 + 1e-5, "WRONG"))
        for factor, size in ((1e-12, 1.0), (1e20, 1.0), (1, 1e-12), (1, 1e12), (1e-30, 1e3))
    ),
    ("gradcheck, tiny, single", lambda: cubic(1e-12, 1, 1.0, np.float32), "ok"),
    ("gradcheck, tiny, single, wrong", lambda: cubic(1e-12, 0, 1.0, np.float32), "WRONG"),
    ("gradcheck, an offset", lambda: verdict(lambda x: 1e6 + x, np.ones_like), "ok"),
    ("gradcheck, an offset, wrong", lambda: verdict(lambda x: 1e6 + x, np.zeros_like), "WRONG"),
    ("gradcheck, an offset inside", lambda: verdict(lambda x: (1e6 + x) - 1e6, np.ones_like), "ok"),
    ("gradcheck, too large an offset", lambda: verdict(lambda x: 1e20 + x, np.ones_like), "below rounding"),
    (
        "gradcheck, faint beside 1",
        lambda: verdict(lambda x: 1 + 1e-12 * x**3, lambda x: 3e-12 * x**2),
        "below rounding",
    ),
    ("gradcheck, tiny squares", lambda: verdict(lambda x: (1e-60 * x) ** 2, np.zeros_like), "WRONG"),
    ("gradcheck, zero", lambda: verdict(lambda x: 0 * x, np.zeros_like), "ok"),
    ("gradcheck, zero, wrong", lambda: verdict(lambda x: 0 * x, np.ones_like), "WRONG"),
    ("check_block, faint", lambda: block_verdict(Faint(1)), "ok"),
    ("check_block, faint and wrong", lambda: block_verdict(Faint(0)), "GradientError"),
    ("the size of no parameters", lambda: ms.tree.size([{}]), 0),
    ("clip, huge", lambda: clipped(1e20, 1e20, 1e20, 1e20), (f4(0.5, 0.5, 0.5, 0.5), 2e20)),
    ("clip, beyond float32", lambda: clipped(3.4028235e38, *[-3.4028235e38] * 3), (f4(0.5, -0.5, -0.5, -0.5), np.inf)),
    ("clip, double", lambda: clipped(3e200, 4e200, dtype=np.float64), (f8(0.6, 0.8), 5e200)),
    ("clip, tiny", lambda: clipped(3e-30, 4e-30), (f4(3e-30, 4e-30), 5e-30)),
    ("clip, zero", lambda: clipped(0, 0), (f4(0, 0), 0.0)),
    ("clip, one element infinite", lambda: clipped(np.inf, 1)[1], np.inf),
    ("clip to more than float32", lambda: clipped(3, 4, limit=1e39), (f4(3, 4), 5.0)),
    ("adamw, huge", lambda: stepped(1e20), f4(0.8, 0.8)),
    ("adamw, double", lambda: stepped(1e200, np.float64), f8(0.8, 0.8)),
    ("no decay of inf", lambda: ms.optim.adamw({"skip": f4(np.inf)}, {"skip": f4(0)}, lr=1)[0]["skip"], f4(np.inf)),
    ("targets far from 0", lambda: [round(explained(offset), 6) for offset in (0, 1e9)], [0.914286, 0.914286]),
    ("a right answer", lambda: right_tokens(1, 0), 1.0),
    ("nan is no right answer", lambda: right_tokens(np.nan, 0), 0.0),
    (
        "cross_entropy, forbidden answer",
        lambda: loss_and_gradient(ms.losses.cross_entropy, [0, 1, -np.inf], 1, 1),
        (np.log1p(np.exp(-1)), f8(1 / (1 + np.e), -1 / (1 + np.e), 0)),
    ),
    (
        "cross_entropy, forbidden target",
        lambda: loss_and_gradient(ms.losses.cross_entropy, [0, 0, -np.inf], 2, 1),
        (np.inf, f8(0.5, 0.5, -1)),
    ),
    (
        "cross_entropy, weights of 0",
        lambda: loss_and_gradient(
            ms.losses.cross_entropy, [[0, 0, -np.inf], NANS, INFS, [-np.inf] * 3], [1] * 4, [1, 0, 0, 0]
        ),
        (np.log(2), np.array([[0.5, -0.5, 0], *np.zeros((3, 3))])),
    ),
    (
        "squared_error, weights of 0",
        lambda: loss_and_gradient(ms.losses.squared_error, [[1, 2, 3], NANS, INFS], [[0, 0, 0], INFS, NANS], [1, 0, 0]),
        (14.0, np.array([[2, 4, 6], *np.zeros((2, 3))])),
    ),
    (
        "squared_error, huge",
        lambda: loss_and_gradient(ms.losses.squared_error, f4(1e15, 0)[:, None], f4(0, 1e15)[:, None], [1e300, 1e300]),
        (1e30, f4(1e15, -1e15)[:, None]),
    ),
    ("relu of -inf", lambda: ms.layers.relu(f8(-np.inf, -1, 2))[0], f8(0, 0, 2)),
    ("relu of nan", lambda: ms.layers.relu(f8(np.nan, 1))[0], f8(np.nan, 1)),
    ("relu, inf where it is off", lambda: ms.layers.relu(f8(-1, 2))[1](f8(np.inf, 3)), f8(0, 3)),
    ("embed, nan in one token", lambda: row_gradients(False), f8(np.nan, 2, 0)),
    ("embed, nan, large vocabulary", lambda: row_gradients(False, 99), f8(np.nan, 2, 0)),
    ("embed, nan, reference", lambda: row_gradients(True), f8(np.nan, 2, 0)),
    *ACTIVATIONS,
    ("no gradient where relu is off", lambda: ms.layers.relu(f4(-1, 1, 2))[1](f4(np.inf, np.inf, 3)), f4(0, np.inf, 3)),
    ("relu(nan)", lambda: ms.layers.relu(f4(np.nan))[0], f4(np.nan)),
    ("rms_norm of huge numbers", lambda: norm("rms", 1e30, 2e30, 2e30), [f4(1, 2, 2) / np.float32(3**0.5), True]),
    ("layer_norm of huge numbers", lambda: norm("layer", 3e38, 1e38, 3e38, 1e38), [f4(1, -1, 1, -1), True]),
    ("a future of inf, a few tokens", lambda: future(5, np.inf), [True] * 4),
    ("a future of nan, a few tokens", lambda: future(5, np.nan), [True] * 4),
    *(
        (
            f"dtypes of fnn, {rows} rows",
            lambda n=rows: dtypes_of_fnn(n, np.float64, np.float32),
            ["float64", "float32"] + 4 * ["float64"],
        )
        for rows in (3, 600)
    ),
    (
        "taps of two precisions",
        lambda: ms.scan.taps.chunked(f8(3, 7)[None], f8(1e60)[None, None], f4(0.1)[None, None])[0],
        f8(3e60 + 7 * np.float64(np.float32(0.1)))[None, None],
    ),
]

# ---- shapes, dtypes, ranges

W, AFFINE, TOKENS = {"w": np.ones((3, 2))}, {"w": np.ones((3, 2)), "b": np.ones(2)}, np.array([[2, 0, 1]])
NET = ms.Model("ssm", vocab=3, width=2)
DRAWN = NET.init(np.random.default_rng(0))


def masked(a: np.ndarray) -> Any:
    return np.ma.masked_array(a, a == a.flat[0])


ARGUMENTS: list[Case] = [
    (
        "gradcheck without a backward",
        lambda: ms.gradcheck(lambda x: x, f8(1, 2)),
        refused("gradcheck: f returns ndarray and no backward; expected"),
    ),
    ("gradcheck of a number", lambda: ms.gradcheck(lambda x: 3.0, f8(1, 2)), refused("gradcheck: f returns float and")),
    ("clip of nothing", lambda: ms.optim.clip({"w": f4()}, 1.0), refused("clip: the gradient has no numbers")),
    ("a masked where", lambda: NET(DRAWN, TOKENS, where=masked(TOKENS == 1)), refused("MaskedArray")),
    (
        "a batch that is a tuple",
        lambda: ms.tasks.check_batch("train", (TOKENS, TOKENS, TOKENS)),
        refused("train: a batch of type tuple"),
    ),
    ("a task that is none", lambda: ms.tasks.register("q", int), refused("register: 'q' is")),
    ("an eps that is rounded to 0", lambda: adamw_eps(1e-50), refused("adamw: eps=1e-50 for float32")),
    ("embed of -1", lambda: ms.layers.embed(W, TOKENS - 1), refused("embed: tokens from -1 to 1; expected 0..2")),
    ("embed of V", lambda: ms.layers.embed(W, TOKENS + 1), refused("embed: tokens from 1 to 3; expected 0..2")),
    (
        "embed of uint8",
        lambda: ms.layers.embed(W | {"w": f8(7, 8, 9)[:, None]}, np.uint8(TOKENS))[0],
        f8(9, 7, 8)[None, :, None],
    ),
    ("masked tokens", lambda: ms.layers.embed(W, masked(TOKENS)), refused("MaskedArray")),
    ("masked tokens of a model", lambda: NET(DRAWN, masked(TOKENS)), refused("MaskedArray")),
    ("masked parameters", lambda: NET(ms.tree.map(masked, DRAWN), TOKENS), refused("MaskedArray")),
    (
        "masked weights",
        lambda: ms.losses.cross_entropy(f8(1, 2)[None], TOKENS[0, :1] * 0, masked(f8(1))),
        refused("Masked"),
    ),
    ("a mask would be lost", lambda: ms.to({"w": masked(f8(1, 2))}, "numpy"), refused("namespace: MaskedArray")),
    ("a matrix has another product", lambda: ms.layers.relu(np.ones((1, 1)).view(np.matrix)), refused("matrix")),
    (
        "numbers in another byte order",
        lambda: ms.layers.tanh(np.ones(2, ">f4")),
        refused("tanh: x is >f4 (2,); expected"),
    ),
    ("half precision", lambda: ms.layers.linear(AFFINE, np.ones((2, 3), "f2")), refused("linear: x is float16 (2, 3)")),
    (
        "a missing key",
        lambda: ms.layers.linear(W, np.ones((2, 3))),
        refused("linear: p.b is missing; expected (E,) = (2,)"),
    ),
    (
        "a key too many",
        lambda: ms.layers.rms_norm({"g": f8(1), "b": f8(1)}, f8(1)),
        refused("rms_norm: p.b is float64 (1,)"),
    ),
    ("a w of another width", lambda: ms.layers.linear(AFFINE, f8(1, 2)), refused("(D, E) = (2, E)")),
    (
        "a cotangent of one sequence",
        lambda: ms.layers.linear(AFFINE, np.ones((2, 3)))[1](np.ones((1, 2))),
        refused("linear: dy"),
    ),
    ("an unknown activation", lambda: ms.layers.fnn([AFFINE], f8(1, 2, 3), "sin"), refused("fnn: activation='sin'")),
    ("no layers", lambda: ms.layers.fnn([], f8(1, 2, 3)), refused("fnn: p.0.w is missing")),
    (
        "positions before the first",
        lambda: ms.layers.add_positions(np.ones((4, 1)), np.ones((1, 2, 1)), -1),
        refused("first=-1"),
    ),
    (
        "positions behind the last",
        lambda: ms.layers.add_positions(np.ones((4, 1)), np.ones((1, 2, 1)), 3),
        refused("first=3, L=2"),
    ),
    (
        "rows out of order",
        lambda: ms.layers.take_rows(np.ones((1, 3, 1)), np.array([1, 0])),
        refused("take_rows: rows don't increase"),
    ),
    ("a kernel of no length", lambda: ms.scan.kernel(f8(1)[None] + 0j, f8(1)[None] + 0j, 0), refused("length=0")),
    (
        "a position below 0",
        lambda: NET.run(DRAWN, TOKENS, NET.start(DRAWN, 1) | {"position": -3}),
        refused("position=-3"),
    ),
    ("a filter without a key", lambda: ms.S4d()({"log_dt": f8(1)}), refused("s4d: p.log_re is missing")),
    (
        "taps of another window",
        lambda: ms.Fir(3)({"k": np.ones((1, 9))}),
        refused("fir: p.k is float64 (1, 9); expected (D, 4)"),
    ),
    (
        "a tree of another form",
        lambda: ms.optim.sgd({"w": f8(1)}, {"v": f8(1)}, 0.1),
        refused("expected trees of one form"),
    ),
    (
        "a vector too long",
        lambda: ms.tree.unflatten({"w": f8(1)}, f8(1, 2)),
        refused("unflatten: a vector (2,); expected (1,)"),
    ),
]

# ---- options of a training and its surroundings


class Untouched(ms.tasks.Recall):
    """A task that fails where work begins."""

    def batch(self, *_: Any) -> Any:  # type: ignore[override]
        raise AssertionError("a batch was drawn")


def fit(**options: Any) -> Any:
    net, rng = ms.Model("ssm", vocab=Untouched().vocab, width=2), np.random.default_rng(0)
    given = {"net": net, "params": net.init(rng), "task": Untouched(), "steps": 1, "rng": rng, "progress": False}
    return ms.fit(**given | options)


def evaluate(**options: Any) -> Any:
    net, rng = ms.Model("ssm", vocab=Untouched().vocab, width=2), np.random.default_rng(0)
    return ms.evaluate(**{"net": net, "params": net.init(rng), "task": Untouched(), "rng": rng} | options)


def step(**options: Any) -> Any:
    task, rng = ms.tasks.Recall(), np.random.default_rng(0)
    net = ms.Model("ssm", vocab=task.vocab, width=2)
    given = {"net": net, "params": net.init(rng), "batch": task.batch(rng, 2), "adamw": None, "lr": 0.1}
    return train.step(**given | options)


def wrong(f: Callable, who: str, **values: Any) -> list[Case]:
    """Each value of each option is refused in a sentence that names the option."""
    return [
        (f"{who}({name}={value!r:.20})", lambda n=name, v=value: f(**{n: v}), refused(f"{who}: {name}"))
        for name, group in values.items()
        for value in group
    ]


NAN, INF = float("nan"), float("inf")
GRADIENTS = partial(ms.gradcheck, ms.layers.tanh, f8(1, 2))
TREE = {"w": f8(1, 2)}
OPTIONS: list[Case] = [
    ("gradcheck, no directions", lambda: GRADIENTS(directions=0), refused("gradcheck: directions=0")),
    ("gradcheck, 2.5 directions", lambda: GRADIENTS(directions=2.5), refused("gradcheck: directions=2.5")),
    ("gradcheck, a text for names", lambda: GRADIENTS(names="x"), refused("gradcheck: names='x'")),
    ("gradcheck, a seed", lambda: GRADIENTS(rng=0), refused("gradcheck: rng is of type int")),
    ("init, a seed", lambda: NET.init(0), refused("Model.init: rng is of type int")),
    ("a batch of none", lambda: ms.tasks.Recall().batch(np.random.default_rng(0), 0), refused("recall: n=0")),
    ("a batch of 2.5", lambda: ms.tasks.Copying().batch(np.random.default_rng(0), 2.5), refused("copying: n=2.5")),
    ("a batch from a seed", lambda: ms.tasks.Recall().batch(0, 3), refused("recall: rng is of type int")),
    ("a batch from None", lambda: ms.tasks.Recall().batch(None, 3), refused("recall: rng is of type NoneType")),
    ("start, no sequence", lambda: NET.start(DRAWN, 0), refused("Model.start: batch=0")),
    ("a scan's start, no sequence", lambda: ms.scan.start(ms.Taps(f8(1)[None]), 0, np.float64), refused("batch=0")),
    (
        "a stepper in half precision",
        lambda: ms.scan.stepper(ms.Taps(f8(1)[None]), np.float16),
        refused("dtype='float16'"),
    ),
    ("chunks of 2.5", lambda: ms.scan.taps.chunked(f8(1)[None], f8(1)[None, None], chunk=2.5), refused("chunk=2.5")),
    ("check_block of no block", lambda: ms.check_block("ssm"), refused("ssm: filter='ssm'")),
    ("check_block without a width", lambda: ms.check_block(ms.Mean(), width=0), refused("width=0")),
    ("to a place unknown", lambda: ms.to(TREE, "gpu"), refused("to: backend 'gpu'; expected one of numpy, cupy")),
    *(
        (f"sgd, lr={lr}", lambda lr=lr: ms.optim.sgd(TREE, TREE, lr), refused("sgd: lr="))
        for lr in (NAN, -1, None, INF)
    ),
    *(
        (f"clip to {c}", lambda c=c: ms.optim.clip(TREE, c), refused("clip: limit="))
        for c in (0, -1, NAN, None, "x", True)
    ),
    *(
        (f"adamw, {o}", lambda o=o: ms.optim.adamw(TREE, TREE, **{"lr": 0.1} | o), refused(f"adamw: {next(iter(o))}="))
        for o in ({"lr": NAN}, {"betas": (0.9, 1)}, {"betas": 0.9}, {"betas": (NAN, 0)}, {"eps": 0}, {"decay": -1})
    ),
    *(
        (f"warmup of {a}", lambda a=a: ms.optim.warmup_cosine(*a), refused("warmup_cosine: "))
        for a in ((-1, 9), (0, 0), (10, 9))
    ),
    *wrong(fit, "fit", steps=(0, 1.5, "3", None), batch=(0, True), evals=(0, INF), threads=(0, -1, 2.5, "all", True)),
    *wrong(fit, "fit", clip=(0, -1, NAN, None, "x", True), lr=(0, -1, NAN, INF, None, "x", True, 10**400, 1j)),
    *wrong(fit, "fit", every=(-1, NAN, None), progress=(2, None), rng=(0, None, np.random.RandomState(0))),
    *wrong(fit, "fit", net=(None, "ssm"), task=("recall", None)),
    *wrong(evaluate, "evaluate", n=(0, 2.5, None, NAN), rng=(0, None, np.random.RandomState(0)), task=(None,)),
    *wrong(step, "step", clip=(0, -1, NAN, None, "x"), lr=(-1, NAN, INF, None, "x")),
    ("step(mode)", lambda: step(mode="x"), refused("unknown mode 'x'")),
    ("step(loss)", lambda: step(loss="x"), refused("expected a Model, and a function of y, targets, weights")),
    ("step(net)", lambda: step(net="ssm"), refused("train: net='ssm'")),
    ("step(adamw)", lambda: step(adamw=3), refused("step: adamw is int; expected the state of the step before")),
    ("step(params)", lambda: step(params=None), refused("Model: parameters with")),
    ("fit(on_step)", lambda: fit(on_step=3), refused("expected a bool, and a function or None")),
    ("fit(checkpoint=3)", lambda: fit(checkpoint=3), refused("fit: the name of a file is int")),
    ("fit(mode)", lambda: fit(mode="x"), refused("fit: unknown mode 'x'")),
    ("fit(params)", lambda: fit(params=[]), refused("Model: parameters with")),
    ("evaluate(mode)", lambda: evaluate(mode=None), refused("evaluate: unknown mode None")),
    ("evaluate(params)", lambda: evaluate(params={}), refused("Model: parameters with")),
    (
        "threads(0)",
        lambda: threads(0).__enter__(),
        refused("threads: limit=0; expected an integer, 1 or more, or None"),
    ),
]

# ---- files, streams, memory

FILES: list[Case] = [
    ("no name", lambda: ms.save(3, *small()), refused("expected str, bytes or os.PathLike object, not int")),
    ("a name with a zero", lambda: ms.save("a\0b", *small()), refused("embedded null byte")),
    # the counts of all outcomes, by integers
    ("baseline of many values", lambda: f4(recall(128, 8192)), f4(1.6361902572533469 / 128)),
    ("baseline of many draws", lambda: recall(100, 64), 5.1317294903241235 / 100),
    ("baseline of long copies", lambda: f4(ms.tasks.Copying(max_len=300).baseline), f4(0.20537134417256345)),
]


def small() -> tuple:
    net = ms.Model("fnn0", vocab=2, width=1)
    return net, net.init(np.random.default_rng(0))


def recall(pairs: int, values: int) -> float:
    return ms.tasks.Recall(pairs=pairs, values=values).baseline


def same(given: Any, expected: Any) -> None:
    """Equal to six digits in single precision, to twelve in double, with the dtypes of arrays."""
    given, expected = (list(ms.tree.named(tree)) for tree in (given, expected))
    assert [name for name, _ in given] == [name for name, _ in expected]
    for (name, a), (_, b) in zip(given, expected, strict=True):
        if isinstance(b, np.ndarray):
            assert a.dtype == b.dtype, name
        if a is None or b is None or isinstance(b, str | bool):
            assert a == b, name
        else:
            single = np.asarray(a).dtype in (np.float32, np.complex64)
            np.testing.assert_allclose(a, b, rtol=1e-6 if single else 1e-12, atol=0, err_msg=name)


@pytest.mark.parametrize(
    ("call", "expected"),
    [pytest.param(call, expected, id=name) for name, call, expected in [*NUMBERS, *ARGUMENTS, *OPTIONS, *FILES]],
)
def test_an_edge(call: Callable[[], Any], expected: Any) -> None:
    if not isinstance(expected, refused):
        same(call(), expected)
        return
    with pytest.raises((ValueError, TypeError)) as error:
        call()
    sentence = str(error.value)
    assert expected in sentence, sentence
    assert "\n" not in sentence, sentence
    assert len(sentence) <= 300, sentence
