"""The training loop: draw a batch, forward, loss, backward, clip, update; now and then look at fresh sequences."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from . import losses, optim
from .backend import like, namespace, to
from .checks import whole_number
from .model import Model
from .progress import Progress
from .tasks import Batch, Task

LR, BATCH, CLIP = 8e-3, 64, 1.0  # what trains the models here (docs/experiments.md, "The recipe")


class Scores(NamedTuple):
    """The share of right tokens, the share of sequences without a mistake, and the loss in nats a token."""

    token_accuracy: float
    sequence_accuracy: float
    loss: float


@dataclass
class Log:
    """rows: step, training loss since the last row, and scores, at every look.  stopped: why it ended early, or ""."""

    rows: list[dict] = field(default_factory=list)
    stopped: str = ""


def step(
    net: Model, params: dict, batch: Batch, state: Any, lr: float, clip: float = CLIP, mode: str = "auto"
) -> tuple:
    """One step of AdamW on one batch. -> params, state, loss."""
    tokens, targets, weights = (like(a, params["embed"]["w"]) for a in (batch.tokens, batch.targets, batch.weights))
    logits, backward = net(params, tokens, mode)
    loss, back_loss = losses.cross_entropy(logits, targets, weights)
    grads, _ = backward(back_loss())
    grads, _ = optim.clip(grads, clip)
    params, state = optim.adamw(params, grads, state, lr=lr)
    return params, state, loss


def fit(
    net: Model,
    params: dict,
    task: Task,
    steps: int,
    rng: np.random.Generator,
    *,
    lr: float = LR,
    batch: int = BATCH,
    clip: float = CLIP,
    mode: str = "auto",
    looks: int = 15,
    threads: int | None = 1,
    progress: bool = True,
    on_step: Callable[[int], None] | None = None,
) -> tuple[dict, Log]:
    """Train on fresh batches of the task. -> params, log.

    The learning rate rises towards `lr` over the first tenth of the steps and falls by a cosine to a twentieth of it.
    `looks` times on the way the model is evaluated on 200 fresh sequences. Ctrl-C ends the training and keeps what is
    done; so does a loss that is no longer finite: then params are the last with a finite loss, and log.stopped says so.

    threads: of BLAS (None: as many as it takes). One is the default: the products of a small model gain nothing from
    more, are slower by far where something else wants the cores, and round differently with each number of threads.
    """
    from threadpoolctl import threadpool_limits

    for name, value in (("steps", steps), ("batch", batch), ("looks", looks)):
        whole_number("fit", name, value)
    _answers(net, task)
    _keep_freed_memory()
    log, state, recent, finite = Log(), None, [], params
    watch = rng.spawn(1)[0]
    every, done = -(-steps // looks), 0
    with threadpool_limits(threads, "blas"), Progress(steps, f"training on {task.name}", progress) as bar:
        try:
            for i in range(steps):
                drawn = task.batch(rng, batch)
                before = params
                params, state, loss = step(net, params, drawn, state, lr * optim.warmup_cosine(i, steps), clip, mode)
                recent.append(float(loss))
                if not math.isfinite(recent[-1]):
                    params = finite
                    log.stopped = f"the loss was {recent[-1]} at step {i + 1} of {steps}; try a smaller lr than {lr:g}"
                    break
                finite = before
                done = i + 1
                if done % every == 0 or done == steps:
                    scores = evaluate(net, params, task, watch, 200, mode)
                    log.rows.append({"step": done, "training_loss": sum(recent) / len(recent), **scores._asdict()})
                    recent = []
                    if not math.isfinite(scores.loss):
                        params = finite
                        log.stopped = (
                            f"the loss was {scores.loss} after step {done} of {steps}; try a smaller lr than {lr:g}"
                        )
                        break
                bar.update(1, f"loss {float(loss):.3f}")
                if on_step is not None:
                    on_step(done)
        except KeyboardInterrupt:
            log.stopped = f"interrupted after {done} of {steps} steps"
        if log.stopped and progress:
            bar.say(f"fit: {log.stopped}")
    return params, log


def evaluate(
    net: Model, params: dict, task: Task, rng: np.random.Generator, n: int = 1000, mode: str = "auto"
) -> Scores:
    """Scores on n fresh sequences, answers chosen by the largest output."""
    whole_number("evaluate", "n", n)
    _answers(net, task)
    right_tokens = tokens = right_sequences = total_loss = 0.0
    for start in range(0, n, 250):
        batch = task.batch(rng, min(250, n - start))
        reference = params["embed"]["w"]
        logits, _ = net(params, like(batch.tokens, reference), mode)
        loss, _ = losses.cross_entropy(logits, like(batch.targets, reference), like(batch.weights, reference))
        answers = to(namespace(logits).argmax(logits, axis=-1), "numpy")
        counts = batch.weights > 0
        right = (answers == batch.targets) | ~counts
        right_tokens += float((right & counts).sum())
        tokens += float(counts.sum())
        right_sequences += float(right.all(axis=1).sum())
        total_loss += float(loss) * float(counts.sum())
    return Scores(right_tokens / tokens, right_sequences / n, total_loss / tokens)


def _answers(net: Model, task: Task) -> None:
    """The model reads the task's tokens and has an output for each answer."""
    if net.vocab != task.vocab or (net.outputs or 0) < task.vocab:
        raise ValueError(f"train: {net!r} for the task {task.name}; expected vocab={task.vocab} and as many outputs")


def _keep_freed_memory() -> None:
    """glibc gives large freed blocks back to the system, and each step would fault them in again: 1.3 to 1.9 times
    slower. Freeing one block just under its limit of 32 MB makes it keep blocks up to that size from then on."""
    np.empty(31 << 20, np.uint8)
