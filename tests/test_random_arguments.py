"""Random dtypes, memory layouts and missing cotangents: every function of the contract against its reference body.

Each leaf of each argument has a precision and a layout of its own, and so has each cotangent. The outputs and all
gradients have the dtypes and the digits of the reference body, a gradient has the shape and the dtype of its argument,
and no argument is written to.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import minissm as ms
from minissm import layers, losses, scan, tree
from minissm.attention import attention, self_attention
from minissm.fast import attention as tiles, fnn, layout, linear, parallel, rows, selective as blocks
from minissm.lstm import lstm
from minissm.mean import mean
from minissm.scan import taps
from minissm.selective import selective, selective_scan, softplus
from minissm.ssm import ssm

SMALL = {  # sizes at which a few numbers already make several pieces, blocks, groups and threads
    fnn: {"ENOUGH": 1, "FEWEST": 4, "BLOCK": 0},
    tiles: {"AT_ONCE": 20, "GROUP": 60, "COLUMNS": 4, "PRODUCT": 150},
    layout: {"PIECE": 40},
    rows: {"ROWS": 3},
    linear: {"Q": 3, "WIDE": 8, "BLOCK": 60},
    blocks: {"STEP": 12, "BLOCK": 60, "KEPT": 100},
    parallel: {"ENOUGH": 1},
}


@pytest.fixture(autouse=True, scope="module")
def small_sizes() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module, sizes in SMALL.items():
            for name, size in sizes.items():
                patch.setattr(module, name, size)
        yield


# ---- what is drawn


class Leaf(NamedTuple):
    """An array of an argument. kind: real, complex, decay (log_lam), step (above 0), pole (below 0), tokens, count."""

    shape: tuple[int, ...]
    kind: str = "real"


def numbers(rng: np.random.Generator, leaf: Leaf, double: bool) -> np.ndarray:
    if leaf.kind in ("tokens", "rows"):
        return np.arange(leaf.shape[0]) if leaf.kind == "rows" else rng.integers(0, 5, leaf.shape)
    a, b = rng.normal(size=(2, *leaf.shape))
    if leaf.kind in ("complex", "decay"):
        a = a + 1j * b if leaf.kind == "complex" else -0.01 - 0.3 * abs(a) + 1j * b
        return a.astype(np.complex128 if double else np.complex64)
    a = {"step": abs(a) + 0.01, "pole": -abs(a) - 0.1}.get(leaf.kind, a)
    return a.astype(np.float64 if double else np.float32)


def larger(a: np.ndarray, step: int, first: int) -> np.ndarray:
    """A view of every `step`th number of a larger array, from `first` on, along each axis."""
    big = np.full([first + step * n for n in a.shape], 7, a.dtype)
    view = big[tuple(slice(first, None, step) for _ in a.shape)]
    view[...] = a
    return view


def unaligned(a: np.ndarray) -> np.ndarray:
    return np.frombuffer(b"x" + a.tobytes(), np.uint8)[1:].view(a.dtype).reshape(a.shape)


LAYOUTS: dict[str, Callable] = {
    "C": lambda a: a,
    "Fortran": np.asfortranarray,
    "channels first": lambda a: np.moveaxis(np.moveaxis(a, -1, 0).copy(), 0, -1),
    "negative strides": lambda a: np.flip(np.flip(a).copy()),
    "offset": lambda a: larger(a, 1, 3),
    "every second": lambda a: larger(a, 2, 1),
    "one repeated": lambda a: np.broadcast_to(a[:1], a.shape),
    "one number": lambda a: np.broadcast_to(a[tuple(slice(0, 1) for _ in a.shape)], a.shape),
    "unaligned": unaligned,
}


@st.composite
def an_array(draw: Any, leaf: Leaf, doubles: Any) -> np.ndarray:
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    a = LAYOUTS[draw(st.sampled_from(list(LAYOUTS)))](numbers(rng, leaf, draw(doubles)))
    if draw(st.booleans()) and a.flags.owndata:
        a.flags.writeable = False
    return a


class Subject(NamedTuple):
    """f(*inputs), inputs given the sizes B, L, D, N as trees of leaves."""

    f: Callable
    inputs: Callable
    strict: bool = False  # all of one precision, anything else is refused
    optional: bool = False  # the last input may be None


def steps(make: Callable) -> Callable:
    """scan.stepper as a function of the contract, without a backward: L steps from a state."""

    def f(*inputs: Any) -> tuple:
        *coefficients, u, state = inputs
        if u.dtype != state.real.dtype:  # a stepper takes one precision
            state = state.astype(np.result_type(u, np.complex64) if state.dtype.kind == "c" else u.dtype)
        step, ys = scan.stepper(make(*coefficients), u.dtype), []
        for t in range(u.shape[1]):
            y, state = step(u[:, t], state)
            ys.append(y)
        return np.stack(ys, axis=1), state, None

    return f


def affine(D: int, E: int) -> dict:
    return {"w": Leaf((D, E)), "b": Leaf((E,))}


def poles(B: int, L: int, D: int, N: int) -> tuple:
    return Leaf((D, N), "decay"), Leaf((D, N), "complex"), Leaf((B, L, D)), Leaf((B, D, N), "complex")


def window(B: int, L: int, D: int, N: int) -> tuple:
    return Leaf((D, N)), Leaf((B, L, D)), Leaf((B, N - 1, D))


def selected(B: int, L: int, D: int, N: int) -> tuple:
    weights = Leaf((B, L, N))
    return Leaf((B, L, D)), Leaf((B, L, D), "step"), Leaf((D, N), "pole"), weights, weights, Leaf((B, D, N))


def around(filter_: dict, D: int, E: int) -> dict:
    """Parameters of ssm, and of selective but for two."""
    outer = {"w_in": Leaf((D, E)), "b_in": Leaf((E,)), "w_out": Leaf((E, D)), "b_out": Leaf((D,)), "skip": Leaf((E,))}
    return {**outer, "filter": filter_}


def mamba(D: int, N: int) -> dict:
    E = D + 1
    filter_ = {"log_a": Leaf((E, N)), "w_low": Leaf((E, 2)), "w_dt": Leaf((2, E)), "b_dt": Leaf((E,))}
    return {**around(filter_, D, E), "w_b": Leaf((E, N)), "w_c": Leaf((E, N))}


def s4d(E: int, N: int) -> dict:
    return tree.map(lambda a: Leaf(a.shape), ms.S4d(N).init(np.random.default_rng(0), E))


def heads(B: int, L: int, D: int, N: int) -> tuple:
    return Leaf((B, 2, L, D)), Leaf((B, 2, L + N, D)), Leaf((B, 2, L + N, D + 1))


def one_head(p: dict, x: np.ndarray) -> tuple:
    y, state, backward = self_attention(p, x, heads=1)
    return y, state["k"], lambda dy=None, dk=None: backward(dy, {"k": dk, "v": None, "filled": None})[:2]


SUBJECTS = {
    **{f"scan.{mode}": Subject(f, poles, optional=True) for mode, f in scan.MODES.items()},
    "scan.chunked in chunks": Subject(lambda *a: scan.chunked(*a, chunk=3), poles, optional=True),
    **{f"scan.taps.{mode}": Subject(getattr(taps, mode), window, optional=True) for mode in scan.MODES},
    "scan.taps.chunked in chunks": Subject(lambda *a: taps.chunked(*a, chunk=3), window, optional=True),
    "scan.linear": Subject(
        scan.linear, lambda B, L, D, N: (Leaf((B, L, D)), Leaf((B, L, D)), Leaf((B, D))), strict=True, optional=True
    ),
    "scan.linear of complex numbers": Subject(
        scan.linear,
        lambda B, L, D, N: (Leaf((B, L, D, N), "complex"), Leaf((B, L, D, N), "complex"), Leaf((B, D, N), "complex")),
        strict=True,
        optional=True,
    ),
    "scan.stepper of poles": Subject(steps(scan.Poles), poles),
    "scan.stepper of taps": Subject(steps(scan.Taps), window),
    "selective_scan": Subject(selective_scan, selected, strict=True, optional=True),
    "selective": Subject(selective, lambda B, L, D, N: (mamba(D, N), Leaf((B, L, D)))),
    "attention": Subject(attention, heads),
    "self_attention": Subject(
        one_head, lambda B, L, D, N: ({"in": affine(D, 3 * D), "out": affine(D, D)}, Leaf((B, L, D)))
    ),
    "ssm of poles": Subject(
        lambda p, x: ssm(p, x, filter=ms.S4d()), lambda B, L, D, N: (around(s4d(D + 1, N), D, D + 1), Leaf((B, L, D)))
    ),
    "ssm of taps": Subject(
        lambda p, x: ssm(p, x, filter=ms.Fir(2)),
        lambda B, L, D, N: (around({"k": Leaf((D + 1, 3))}, D, D + 1), Leaf((B, L, D))),
    ),
    "lstm": Subject(
        lstm,
        lambda B, L, D, N: (
            {"w_x": Leaf((D, 4 * N)), "w_h": Leaf((N, 4 * N)), "b": Leaf((4 * N,))},
            Leaf((B, L, D)),
        ),
    ),
    "mean": Subject(mean, lambda B, L, D, N: ({}, Leaf((B, L, D)))),
    "linear": Subject(layers.linear, lambda B, L, D, N: (affine(D, N), Leaf((B, L, D)))),
    "fnn": Subject(layers.fnn, lambda B, L, D, N: ([affine(D, N), affine(N, 3), affine(3, D)], Leaf((B, L, D)))),
    "rms_norm": Subject(layers.rms_norm, lambda B, L, D, N: ({"g": Leaf((D,))}, Leaf((B, L, D)))),
    "layer_norm": Subject(layers.layer_norm, lambda B, L, D, N: ({"g": Leaf((D,)), "b": Leaf((D,))}, Leaf((B, L, D)))),
    **{name: Subject(f, lambda B, L, D, N: (Leaf((B, L, D)),)) for name, f in layers.ACTIVATIONS.items()},
    "softplus": Subject(softplus, lambda B, L, D, N: (Leaf((B, L, D)),)),
    "embed": Subject(layers.embed, lambda B, L, D, N: ({"w": Leaf((5, D))}, Leaf((B, L), "tokens"))),
    "embed of vectors": Subject(layers.embed, lambda B, L, D, N: ({"w": Leaf((N, D))}, Leaf((B, L, N)))),
    "add_positions": Subject(layers.add_positions, lambda B, L, D, N: (Leaf((L + N, D)), Leaf((B, L, D)))),
    "take_rows": Subject(
        lambda x: layers.take_rows(x, np.arange(0, x.shape[0] * x.shape[1], 2)),
        lambda B, L, D, N: (Leaf((B, L, D)),),
    ),
    "cross_entropy": Subject(
        lambda z, t, w: losses.cross_entropy(z, t, w),
        lambda B, L, D, N: (Leaf((B, L, 5)), Leaf((B, L), "tokens"), Leaf((B, L), "step")),
    ),
    "squared_error": Subject(
        losses.squared_error, lambda B, L, D, N: (Leaf((B, L, D)), Leaf((B, L, D)), Leaf((B, L), "step"))
    ),
}


def results(f: Callable, inputs: tuple, cotangents: Any) -> tuple:
    *outputs, backward = f(*inputs)
    if backward is None:
        return outputs, ()
    gradients = backward(*cotangents(outputs))
    return outputs, gradients if isinstance(gradients, tuple) else (gradients,)


def check(data: Any, subject: Subject) -> None:
    draw = data.draw
    B, L, D, N = (draw(st.integers(1, most), name) for name, most in (("B", 3), ("L", 9), ("D", 4), ("N", 3)))
    leaves = subject.inputs(B, L, D, N)
    doubles = st.just(draw(st.booleans(), "all double")) if subject.strict else st.booleans()
    inputs = tuple(of_leaves(draw, leaf, doubles) for leaf in leaves)
    if subject.optional and draw(st.booleans(), "without a state"):
        inputs = (*inputs[:-1], None)
    drawn: list = []

    def cotangents(outputs: list) -> list:
        if not drawn:  # the first of the two runs
            for y in outputs:
                none = draw(st.booleans(), "None")
                drawn.append(None if none else tree.map(lambda a: like(draw, a, doubles), y))
        omitted = len(drawn) > 1 and drawn[-1] is None
        return drawn[:-1] if omitted else drawn

    given_ = [np.copy(a) for a in tree.leaves(inputs) if a is not None]
    ours = results(subject.f, inputs, cotangents)
    before = [np.copy(a) for a in tree.leaves(drawn) if a is not None]
    with ms.reference():
        expected = results(subject.f, inputs, cotangents)
    single = any(np.asarray(y).dtype in (np.float32, np.complex64) for y in tree.leaves(ours[0]))
    for (name, a), (_, b) in zip(tree.named(ours), tree.named(expected), strict=True):
        assert (a is None) == (b is None), name
        if a is not None:
            a, b = np.asarray(a), np.asarray(b)
            assert (a.dtype, a.shape) == (b.dtype, b.shape), name
            tolerance = 1e-4 if single or a.dtype in (np.float32, np.complex64) else 1e-11
            np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(1, abs(b).max(initial=0)), err_msg=name)
    for i, (x, dx) in enumerate(zip(inputs, ours[1], strict=False)):
        for (name, a), d in zip(tree.named(x, str(i)), tree.leaves(dx, like=x) if x is not None else (), strict=False):
            if d is not None:
                assert (d.dtype, d.shape) == (a.dtype, a.shape), f"the gradient of {name}"
    for a, b in zip([a for a in tree.leaves((inputs, drawn)) if a is not None], given_ + before, strict=True):
        np.testing.assert_array_equal(a, b)


def of_leaves(draw: Any, leaf: Any, doubles: Any) -> Any:
    if isinstance(leaf, Leaf):
        return draw(an_array(leaf, doubles))
    if isinstance(leaf, dict):
        return {name: of_leaves(draw, v, doubles) for name, v in leaf.items()}
    return [of_leaves(draw, v, doubles) for v in leaf]


def like(draw: Any, y: Any, doubles: Any) -> Any:
    if isinstance(y, int):
        return None
    return draw(an_array(Leaf(y.shape, "complex" if y.dtype.kind == "c" else "real"), doubles)) if y.shape else 2.5


@pytest.mark.parametrize("name", SUBJECTS)
@settings(max_examples=20, derandomize=True, database=None)
@given(data=st.data())
def test_any_arguments(name: str, data: Any) -> None:
    check(data, SUBJECTS[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", SUBJECTS)
@settings(max_examples=60, database=None)
@given(data=st.data())
def test_any_arguments_for_longer(name: str, data: Any) -> None:
    """Other examples in each run."""
    check(data, SUBJECTS[name])
