"""Which measure finds the tokens that hold an answer, the exchange or the gradient? Both, tried on fresh sequences."""

from typing import Any

import numpy as np

from ..model import Model
from . import lead
from .exchange import costs

ANSWERS, WORK = 100, 400_000  # answers that are tried; tokens that the model reads for it, at most


def compared(net: Model, params: dict, task: Any, rng: np.random.Generator) -> dict[str, int] | None:
    """How often the largest numbers stand at the tokens that hold the answer. None if the task doesn't know these.

    tokens: how many tokens hold an answer: the value, and the key beside it where the task has keys.
    answers: answers that were tried, one of each sequence.
    exchange: those in which these tokens have the largest costs of all tokens before the question. A tie doesn't count.
    gradient: those in which they have the largest gradient of the lead times the embedding, in absolute value.
    """
    others = max(1, min(8, max(task.kinds.count(kind) for kind in set(task.kinds)) - 1))
    n = int(np.clip(WORK // (task.length**2 * others), 10, ANSWERS))
    batch = task.batch(rng, n)
    source = task.source(batch)
    asking = np.flatnonzero((batch.weights > 0).any(axis=1))
    if source is None or not asking.size:
        return None
    asked = np.array([rng.choice(np.flatnonzero(batch.weights[b] > 0)) for b in asking])
    inputs, targets, source = batch.inputs[asking], batch.targets[asking, asked], source[asking, asked]
    dy = np.zeros((asking.size, task.length, net.outputs or 0), net.dtype)
    for b, (t, target) in enumerate(zip(asked, targets, strict=True)):
        dy[b, t] = lead.weights(task, target, net.outputs or 0)
    trace = net.trace(params, inputs, dy=dy)
    gradient = np.abs((trace["dembed"] * trace["embed"]).sum(axis=-1))
    pairs = "key" in task.kinds
    right = {"exchange": 0, "gradient": 0}
    for b, t in enumerate(asked):
        holders = [source[b] - 1, source[b]] if pairs else [source[b]]
        cost = costs(net, params, task, inputs[b, : t + 1], [t], targets[b : b + 1])[0]
        for name, measure in (("exchange", np.nan_to_num(cost)), ("gradient", gradient[b])):
            right[name] += int(measure[holders].min() > np.delete(measure[:t], holders).max(initial=-np.inf))
    return {"tokens": 2 if pairs else 1, "answers": len(asked)} | right
