"""Check that a block keeps the protocol of blocks.py, on which Model relies."""

from typing import Any

import numpy as np

from . import blocks, tree
from .gradcheck import gradcheck
from .model import Model
from .ssm import Ssm

B, L = 2, 7


class BlockError(AssertionError):
    """A block breaks the protocol of blocks.py; the message says where."""


def check_block(block: Any, width: int = 6) -> None:
    """Check a block in a model of its own; BlockError names the fault.

    block: a block, or a filter, which is checked as the filter of an `ssm`.
    width: D of the model. Default 6. `attn` needs a multiple of its heads.

    The checks:
    - `size` is the number of parameters that `init` draws;
    - `alone`, if the block has it, has the outputs of `run`;
    - a sequence cut into two pieces, and one run step by step, has the outputs of the whole;
    - the outputs under a mask equal those of all tokens;
    - a changed token changes no earlier output, and no other output at all if the block has `apply`;
    - in single precision every gradient is float32;
    - every gradient agrees with central differences (`gradcheck`).
    """
    block = block if blocks.is_block(block) else Ssm(block)
    who = type(block.filter if type(block) is Ssm else block).__name__
    rng = np.random.default_rng(0)
    net = Model((block,), inputs=3, outputs=4, width=width, residual=False, dtype="float64")
    params = net.init(rng)
    drawn = tree.size(params["blocks"][0])
    _expect(drawn == block.size(width), f"{who}: init draws {drawn} numbers, size says {block.size(width)}")
    params = tree.map(lambda a: a + 0.1 * rng.normal(size=a.shape), params)
    params["head"]["b"] *= 0  # as without a residual, nothing is added to the block's output that could hide it
    x = rng.normal(size=(B, L, 3))
    y, _, _ = net.run(params, x)
    off = _distance(net(params, x)[0], y)
    _expect(off < 1e-9, f"{who}: alone differs from run by {off:.1e}")

    _check_order(who, net, params, x, y, rng)
    for cut in range(1, L):
        head, state, _ = net.run(params, x[:, :cut])
        tail, _, _ = net.run(params, x[:, cut:], state)
        off = _distance(np.concatenate([head, tail], axis=1), y)
        _expect(off < 1e-9, f"{who}: a sequence cut after {cut} of {L} tokens differs from the whole by {off:.1e}")
    state, step = net.start(params, B), net.stepper(params)
    for t in range(L):
        y_t, state = step(state, x[:, t])
        off = _distance(y_t, y[:, t], y)
        _expect(off < 1e-9, f"{who}: step {t + 1} of {L} differs from run by {off:.1e}")
    mask = rng.random((B, L)) < 0.5
    mask[0, 0] = True
    off = _distance(net(params, x, where=mask)[0], y[mask], y)
    _expect(off < 1e-9, f"{who}: the outputs under a mask differ from the full outputs by {off:.1e}")
    _, state, _ = net.run(params, x[:, :2])
    _, backward = net(tree.map(lambda a: a.astype("float32"), params), x.astype("float32"))
    wrong = [name for name, a in tree.named(backward(y.astype("float32"))[0]) if a.dtype != np.float32]
    _expect(not wrong, f"{who}: in single precision the gradient of {', '.join(wrong)} is not float32; cast it")
    gradcheck(net, params, x, names=("params", "x"))
    gradcheck(net.run, params, x[:, 2:], state, names=("params", "x", "state"))


def _check_order(who: str, net: Model, params: dict, x: np.ndarray, y: np.ndarray, rng: "np.random.Generator") -> None:
    """A changed token may change its own output and, in a mixer, later outputs. No other output may change."""
    remedy = "a block that mixes tokens needs run, start and state_size instead of apply"
    for t in range(L):
        changed = x.copy()
        changed[:, t] += rng.normal(size=changed[:, t].shape)
        other, _, _ = net.run(params, changed)
        off = _distance(other[:, :t], y[:, :t], y)
        _expect(off < 1e-9, f"{who}: a later token changes an earlier output by {off:.1e}; a block must be causal")
        off = _distance(other[:, t + 1 :], y[:, t + 1 :], y)
        alone = blocks.has_memory(net.blocks[0]) or off < 1e-9
        _expect(alone, f"{who}: apply lets one token change another's output by {off:.1e}; {remedy}")


def _distance(a: np.ndarray, b: np.ndarray, of: np.ndarray | None = None) -> float:
    """max |a - b| / max |of|.  of: b if None."""
    off, size = (float(abs(x).max(initial=0)) for x in (a - b, b if of is None else of))
    return off / size if size else off


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise BlockError(otherwise)
