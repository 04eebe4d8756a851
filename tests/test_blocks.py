"""Every block: it keeps the protocol, and its gradients are right alone, in twos and in a model of four."""

from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest

from minissm import BlockError, Fnn, GradientError, Model, S4d, Ssm, Trig, check_block, gradcheck, parse, tree
from minissm.spec import BLOCKS

from .oracles import draw

B, V, D = 2, 3, 4
ALL = (*BLOCKS, "fnn1")
OPTIONS = {"ssm": "(poles=3)", "trig": "(window=3)", "fir": "(window=2)", "attn": "(max_len=12)", "s6": "(d_state=3)"}
LENGTHS = pytest.mark.parametrize("length", [1, 5])


def check(names, length, rng, **options):
    """From a state in the midst of a sequence, with the state behind it as an output."""
    net = Model(
        " + ".join(name + OPTIONS.get(name, "") for name in names), vocab=V, width=D, dtype="float64", **options
    )
    params = tree.map(lambda a: a + 0.1 * draw(rng, *a.shape), net.init(rng))
    _, state, _ = net.run(params, rng.integers(0, V, (B, 2)))
    x = np.eye(V)[rng.integers(0, V, (B, length))]
    gradcheck(net.run, params, x, state, names=("params", "x", "state"), directions=1)
    gradcheck(net, params, x, names=("params", "x"), directions=1)


@LENGTHS
@pytest.mark.parametrize("name", ALL)
def test_a_block_alone(name, length, rng):
    check([name], length, rng)


@pytest.mark.parametrize("pair", list(product(ALL, ALL)), ids=" + ".join)
def test_blocks_in_twos(pair, rng):
    """One token and several in turn, so that each block meets both, first and second."""
    check(pair, 1 if (ALL.index(pair[0]) + ALL.index(pair[1])) % 2 else 5, rng)


@LENGTHS
@pytest.mark.parametrize("norm", ["none", "rms", "layer"])
@pytest.mark.parametrize("residual", [True, False])
def test_a_model_of_four_blocks(norm, residual, length, rng):
    check(["trig", "fnn1", "s6", "attn"], length, rng, norm=norm, residual=residual)


# ---- the protocol


@pytest.mark.parametrize(
    "spec",
    [*(name + OPTIONS.get(name, "") for name in ALL), "ssm(variant='real', poles=2)", "fnn0", "fnn2(act='silu')"],
)
def test_every_block_of_the_library_keeps_the_protocol(spec):
    (block,) = parse(spec)
    check_block(block)


def test_a_filter_is_checked_in_an_ssm():
    check_block(Trig(window=2), width=3)


@dataclass(frozen=True)
class Shift:
    """y_t = x_{t-1}, as one may write it who takes it for a token-wise block."""

    def init(self, rng, width):
        return {}

    def size(self, width):
        return 0

    def apply(self, p, x):
        y = np.concatenate([0 * x[:, :1], x[:, :-1]], axis=1)
        return y, lambda dy: ({}, np.concatenate([dy[:, 1:], 0 * dy[:, :1]], axis=1))


class Larger(Shift):
    def size(self, width):
        return 1

    def apply(self, p, x):
        return 2 * x, lambda dy: ({}, 2 * dy)


class WrongGradient(Shift):
    def apply(self, p, x):
        return x * x, lambda dy: ({}, dy * x)


class Restarts(Ssm):
    """Forgets what came before this piece."""

    def run(self, p, x, state, mode):
        return super().run(p, x, None, mode)


class Backwards(Ssm):
    def run(self, p, x, state, mode):
        y, state, back = super().run(p, x[:, ::-1], state, mode)
        return y[:, ::-1], state, back


class OtherSteps(Ssm):
    def stepper(self, p):
        step = super().stepper(p)
        return lambda x, state: step(2 * x, state)


@pytest.mark.parametrize(
    ("block", "error"),
    [
        (Shift(), r"Shift: apply lets one token change another's output by .*; a block that mixes tokens needs run"),
        (Backwards(S4d(poles=2)), "Backwards: a later token changes an earlier output"),
        (Larger(), "Larger: init draws 0 numbers, size says 1"),
        (Restarts(S4d(poles=2)), "Restarts: a sequence cut after 1 of 7 tokens differs from the whole"),
        (OtherSteps(S4d(poles=2)), "OtherSteps: step 1 of 7 differs from run"),
    ],
    ids=lambda v: type(v).__name__,
)
def test_a_block_that_breaks_the_protocol_is_refused_in_one_sentence(block, error):
    with pytest.raises(BlockError, match=error) as caught:
        check_block(block)
    assert "\n" not in str(caught.value)


class Alone(Ssm):
    """Its `alone` gives other outputs than its `run`."""

    def alone(self, p, x, mode):
        y, back = super().alone(p, x, mode)
        return 2 * y, lambda dy: back(2 * dy)


def test_a_model_runs_whole_sequences_alone_and_pieces_with_their_states(rng):
    net = Model((Alone(S4d(poles=2)), Fnn(1)), vocab=V, width=4)
    params, x = net.init(rng), rng.integers(0, V, (B, 7))
    y, _, _ = net.run(params, x)
    assert abs(net(params, x)[0] - y).max() > 0.01
    with pytest.raises(BlockError, match="Alone: alone differs from run by"):
        check_block(net.blocks[0])


class NoAlone(Ssm):
    alone = None


def traced():
    """A block whose own run, replaced on the object, doubles what the class computes."""
    block = Ssm(S4d(poles=2))

    def run(p, x, state, mode):
        y, state, back = Ssm.run(block, p, x, state, mode)
        return 2 * y, state, lambda dy, dstate: back(2 * dy, dstate)

    object.__setattr__(block, "run", run)
    return block


@pytest.mark.parametrize(
    "block", [Backwards(S4d(poles=2)), NoAlone(S4d(poles=2)), traced()], ids=["class", "None", "object"]
)
def test_alone_is_not_used_if_run_is_replaced(block, rng):
    net = Model((block,), vocab=V, width=4)
    params, x = net.init(rng), rng.integers(0, V, (B, 7))
    np.testing.assert_array_equal(net(params, x)[0], net.run(params, x)[0])


def test_a_model_without_states_computes_in_the_mode_given(rng):
    """In recurrent mode, a nan in the input reaches no earlier output. In the product of a chunk it does."""
    net = Model("ssm(poles=2)", inputs=1, outputs=1, width=4)
    params, x = net.init(rng), draw(rng, B, 7, 1, dtype=np.float32)
    x[:, 4] = np.nan
    assert np.isfinite(net(params, x, mode="recurrent")[0][:, :4]).all()
    assert not np.isfinite(net(params, x, mode="chunked")[0][:, :4]).any()


def test_a_wrong_gradient_is_found():
    with pytest.raises(GradientError, match="does not match"):
        check_block(WrongGradient())


class Double(Shift):
    """Its gradient is right, and in double precision whatever comes in."""

    def init(self, rng, width):
        return {"g": np.ones(width)}

    def size(self, width):
        return width

    def apply(self, p, x):
        return p["g"] * x, lambda dy: ({"g": (dy * x).sum(axis=(0, 1)).astype(np.float64)}, dy * p["g"])


def test_a_gradient_of_another_precision_is_found():
    with pytest.raises(BlockError, match=r"Double: in single precision the gradient of .*g is not float32; cast it"):
        check_block(Double())
