"""Models of equal size: the width, then the FNNs' hidden width, with the size nearest to a budget."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..attention import Attn
from ..layers import Fnn
from ..model import Model
from ..spec import parse


def model_for(
    spec: str, task: Any, width: int, hidden: int | None = None, length: int | None = None, **options: Any
) -> Model:
    """The spec as a model of the task, with no more learned positions than `length`.

    hidden: the width of the widest free FNN; the other free ones keep their proportion to it. Default: as in the spec.
    length: tokens of the longest sequence. Default: the task's.
    options: norm, residual, timescales and dtype of the model.
    """
    blocks = []
    widest = max((b.expand for b in parse(spec) if isinstance(b, Fnn) and b.depth and b.width is None), default=1)
    for block in parse(spec):
        if isinstance(block, Attn) and block.positions == "learned" and block.max_len == Attn().max_len:
            block = replace(block, max_len=length or task.length)
        if isinstance(block, Fnn) and block.depth and block.width is None and hidden is not None:
            block = replace(block, width=max(1, round(hidden * block.expand / widest)), expand=Fnn.expand)
        blocks.append(block)
    return Model(tuple(blocks), **task.sizes, width=width, **options)


def at_budget(spec: str, task: Any, budget: int, **options: Any) -> Model:
    """The model whose size is nearest to `budget`: first the width, then the FNNs' hidden widths in proportion.

    options: as in `model_for`. A spec without an FNN of free hidden width can vary only the width, and may miss the
    budget.
    """
    step = _step(spec)
    smallest = model_for(spec, task, step, **options)
    if smallest.size > 1.5 * budget:
        raise ValueError(f"run: budget={budget}; the smallest model, {smallest!r}, has {smallest.size}; give more")
    best = _nearest(budget, lambda k: model_for(spec, task, k * step, **options))

    def with_hidden(h: int) -> Model:
        return model_for(spec, task, best.width, h, **options)

    return _nearest(budget, with_hidden) if with_hidden(1) != with_hidden(2) else best


def _nearest(budget: int, make: Callable[[int], Model]) -> Model:
    """The model of make(1), make(2), ... whose size is nearest to the budget. The sizes must grow."""
    low, high = 1, 2  # in the end make(high) is above the budget; make(low) is not, unless make(1) is
    while make(high).size <= budget:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if make(middle).size <= budget else (low, middle)
    return min(make(low), make(high), key=lambda net: abs(net.size - budget))


def _step(spec: str) -> int:
    """The step between widths: they must be multiples of the heads of every attention block."""
    return math.lcm(*(block.heads for block in parse(spec) if isinstance(block, Attn)))
