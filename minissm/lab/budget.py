"""Models of equal size: choose the width, then the FNNs' hidden width, that come nearest to a number of parameters."""

from dataclasses import replace

from ..attention import Attn
from ..layers import Fnn
from ..model import Model
from ..sentence import parse, spell
from ..tasks import Task


def model_for(sentence: str, task: Task, width: int, dtype: str = "float32", hidden: int | None = None) -> Model:
    """The sentence as a model of the task, with no more learned positions than the task has places."""
    blocks = []
    for block in parse(sentence):
        if isinstance(block, Attn) and block.positions == "learned" and block.max_len == Attn().max_len:
            block = replace(block, max_len=task.length)
        if isinstance(block, Fnn) and block.depth and block.width is None and hidden is not None:
            block = replace(block, width=hidden)
        blocks.append(block)
    return Model(tuple(blocks), vocab=task.vocab, width=width, dtype=dtype)


def at_budget(sentence: str, task: Task, budget: int, dtype: str = "float32") -> Model:
    """The model whose size is nearest to `budget`: first the width, with hidden widths 4 x it, then the hidden widths.

    A sentence without an FNN of free width has only the width to turn, and lands where it lands.
    """

    def miss(net: Model) -> int:
        return abs(net.size - budget)

    def make(width: int, hidden: int | None = None) -> Model:
        return model_for(sentence, task, width, dtype, hidden)

    step = _step(sentence)
    if make(step).size > 1.5 * budget:
        raise ValueError(
            f"budget={budget}: {spell(parse(sentence))} has {make(step).size} parameters at width {step}; give more"
        )
    best = make(step)
    width = step
    while (net := make(width + step)).size <= 2 * budget or miss(net) < miss(best):
        width += step
        best = min(best, net, key=miss)
    return min((make(best.width, h) for h in range(1, 8 * best.width)), key=miss, default=best)


def _step(sentence: str) -> int:
    """Widths must be multiples of the heads of every attention block."""
    step = 1
    for block in parse(sentence):
        if isinstance(block, Attn) and step % block.heads:
            step *= block.heads
    return step
