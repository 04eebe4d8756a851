"""Evaluate a model on the batches of a task, and check that the two fit."""

from typing import Any

import numpy as np

from .backend import like, namespace, to
from .checks import check_generator, check_integer
from .model import Model
from .notebook import table
from .scan import check_mode
from .tasks import Batch, Task, check_batch

Array = Any


class Scores(dict[str, float]):
    """Scores by name, which a notebook shows as a table."""

    def _repr_html_(self) -> str:
        return table([self])


def evaluate(
    net: Model, params: dict, task: Any, rng: "np.random.Generator", n: int = 1000, mode: str = "auto"
) -> dict[str, float]:
    """Evaluate the model on fresh sequences -> the task's scores by name, always with `loss`.

    rng: draws the sequences.
    n: number of sequences. Default 1000. A sequence without a weight above 0 doesn't count. ValueError if none counts.
    mode: how filters are computed: "auto" (default), "recurrent", "chunked" or "fft".
    """
    check_training("evaluate", net, params, task, rng, mode)
    n = check_integer("evaluate", "n", n)
    sums: dict = {}
    for i, start in enumerate(range(0, n, 250)):
        # Every batch is drawn at the same size: a finite data set begins batch i at item i * size.
        batch = Batch(*(a[: n - start] for a in task.batch(rng, min(250, n), i)))
        if (batch.weights == 0).all():  # also one without sequences, after the end of a finite data set
            continue
        check_batch("evaluate", batch)
        y, _ = net(params, inputs_of(batch, params), mode, batch.weights > 0)
        tally = task.tally(to(y, "numpy"), batch)
        sums = {name: sums.get(name, 0) + value for name, value in tally.items()}
    if not sums:
        raise ValueError(f"evaluate: no answer of {n} sequences counts; expected a weight above 0, change the task")
    return Scores(task.scores(sums))


def inputs_of(batch: Batch, params: dict) -> Array:
    """The inputs on params' device, and real inputs in params' precision. A task knows neither.

    After the last answer of a sequence, nan and inf become 0. No output that counts depends on them, but gradients sum
    products with them. Trap: anywhere else, nan and inf are context and reach all later answers.
    """
    w, x = params["embed"]["w"], batch.inputs
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        over = np.cumsum(batch.weights[:, ::-1], axis=1)[:, ::-1] == 0
        x = np.where(over[..., None], 0, x)
    x, xp = like(x, w), namespace(w)
    return x if xp.isdtype(x.dtype, "integral") else xp.astype(x, w.dtype, copy=False)


def check_training(who: str, net: Model, params: dict, task: Any, rng: "np.random.Generator", mode: str) -> None:
    """TypeError or ValueError for arguments of wrong type, and for a model that doesn't fit params or the task."""
    if not isinstance(net, Model):
        raise TypeError(f"{who}: net is {type(net).__name__}; expected a Model")
    net.check_params(params)
    if not isinstance(task, Task):
        raise TypeError(f"{who}: task is {type(task).__name__}; expected a TokenTask or RealTask, like tasks.Recall()")
    sizes = task.sizes
    outputs = sizes.get("outputs", sizes.get("vocab", 0))
    if any(getattr(net, name) != size for name, size in sizes.items()) or (net.outputs or 0) < outputs:
        expected = ", ".join(f"{name}={size}" for name, size in sizes.items())
        raise ValueError(f"{who}: {net!r} for the task {task.spec}; expected {expected}, and outputs for all answers")
    check_generator(who, rng)
    check_mode(who, mode)
