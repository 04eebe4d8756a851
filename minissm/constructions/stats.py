"""The size of a network, counted by looking at its parameters."""

from typing import NamedTuple

import numpy as np

from .. import tree
from ..backend import to
from ..layers import Fnn
from ..model import Model
from ..ssm import Ssm


class Stats(NamedTuple):
    """The sizes of a network. L, W, S and B are as in the papers' classes of FNNs, but of the whole model.

    L: affine maps in all FNNs together. Each FNN has its hidden layers plus one.
    W: the largest width of a layer, hidden ones included.
    S: parameters that are not 0, embedding and readout included.
    B: the largest absolute value of a parameter.
    size: all parameters.
    state: real numbers in the state after `length` tokens.
    length: tokens of the longest sequence that fits the windows of all sums. Longer sequences are not refused, but the
        sums forget their beginning. None: the network has no sum over a window.
    """

    L: int
    W: int
    S: int
    B: float
    size: int
    state: int
    length: int | None


def stats(net: Model, params: dict) -> Stats:
    """The sizes of net with these params, written or trained."""
    if not isinstance(net, Model):
        raise TypeError(f"stats: net is of type {type(net).__name__}; expected a Model")
    params = net.check_params(params)
    leaves = [np.abs(leaf) for leaf in tree.leaves(to(params, "numpy"))]
    layers = [
        layer for block, p in zip(net.blocks, params["blocks"], strict=True) if isinstance(block, Fnn) for layer in p
    ]
    sums = [length for block, p in zip(net.blocks, params["blocks"], strict=True) if (length := summed(block, p))]
    length = min(sums, default=None)
    return Stats(
        L=len(layers),
        W=max([net.width, *[layer["w"].shape[1] for layer in layers]]),
        S=sum(int(np.count_nonzero(leaf)) for leaf in leaves),
        B=float(max(leaf.max() for leaf in leaves)),
        size=net.size,
        state=net.state_size(length),
        length=length,
    )


def summed(block: object, p: dict) -> int | None:
    """The number of tokens that the sums of a layer with a window cover. None: another layer, or no sum."""
    if not isinstance(block, Ssm) or not hasattr(block.filter, "window"):
        return None
    (k,), _ = block.filter(p["filter"])
    return k.shape[1] if ((k != 0) & (k == k[:, :1])).all(axis=1).any() else None
