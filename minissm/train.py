"""The training loop: draw a batch, forward, loss, backward, clip, update; now and then look at fresh sequences."""

import errno
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import losses, optim, tree
from .backend import is_numpy, like, namespace, to
from .checkpoint import load_tree, save_tree
from .checks import check_integer
from .fast.parallel import threads as limit_threads
from .model import Model
from .progress import Progress
from .tasks import Batch, Task

LR, BATCH, CLIP = 8e-3, 64, 1.0  # what trains the models here (docs/experiments.md, "The recipe")
LOOKS, EVERY = 15, 10.0  # evaluations in a training; seconds between two checkpoints
READ = 50  # steps after which the losses are read from a device


class Scores(NamedTuple):
    """The share of right tokens, the share of sequences without a mistake, and the loss in nats a token."""

    token_accuracy: float
    sequence_accuracy: float
    loss: float


@dataclass
class Log:
    """rows: step, training loss since the last row, and scores, at every look.  stopped: why it ended early, or "".

    seconds: spent in training, before an interruption and after.
    """

    rows: list[dict] = field(default_factory=list)
    stopped: str = ""
    seconds: float = field(default=0.0, compare=False, repr=False)


class Moment(NamedTuple):
    """A training between two steps: all that decides the bits to come. Nothing in it is ever written to."""

    params: dict
    finite: dict  # the last parameters whose loss was seen to be finite
    adamw: optim.AdamWState | None
    draw: Mapping  # the state of the generator of the batches
    watch: Mapping  # and of that of the looks
    rows: tuple[dict, ...] = ()
    recent: tuple = ()  # losses since the last look: floats that were read, and behind them some that were not
    done: int = 0
    stopped: str = ""
    seconds: float = 0.0

    @property
    def read(self) -> bool:
        """No loss is still where it was computed."""
        return not self.recent or type(self.recent[-1]) is float


class Placed(NamedTuple):
    """A batch where the parameters are: tokens (B, L); rows, targets, weights (R,) of the answers that count."""

    tokens: Any
    rows: Any
    targets: Any
    weights: Any


def placed(batch: Batch | Placed, params: dict) -> Placed:
    """The rows are found on the host: on a device their number would have to be waited for."""
    if isinstance(batch, Placed):
        return batch
    rows = np.flatnonzero(batch.weights > 0)
    if not rows.size:
        raise ValueError("train: no answer of the batch counts; expected a weight above 0 somewhere, change the task")
    answers = rows, batch.targets.reshape(-1)[rows], batch.weights.reshape(-1)[rows]
    return Placed(*(like(a, params["embed"]["w"]) for a in (batch.tokens, *answers)))


def step(
    net: Model, params: dict, batch: Batch | Placed, state: Any, lr: float, clip: float = CLIP, mode: str = "auto"
) -> tuple:
    """One step of AdamW on one batch. -> params, state, loss, which stays where it was computed."""
    loss, _, back_loss, backward = _loss(net, params, placed(batch, params), mode)
    grads, _ = backward(back_loss())
    gradient, _ = optim.clip(optim.gradient_vector(params, grads), clip)
    params, state = optim.adamw(params, gradient, state, lr=lr)
    return params, state, loss


def _loss(net: Model, params: dict, batch: Placed, mode: str) -> tuple:
    """Of the answers that count; the others are not even computed. -> loss, logits (R, V), their backwards."""
    logits, backward = net(params, batch.tokens, mode, batch.rows)
    loss, back_loss = losses.cross_entropy(logits, batch.targets, batch.weights)
    return loss, logits, back_loss, backward


@dataclass(frozen=True)
class Plan:
    """What a training is to be. With the moment it begins at, it decides every bit."""

    net: Model
    task: Task
    steps: int
    lr: float
    batch: int
    clip: float
    mode: str
    looks: int
    rng: str  # the kind of generator

    def next(
        self, known: Moment, now: Moment, rng: np.random.Generator, watch: np.random.Generator, read: bool
    ) -> Moment:
        """One step later. Whoever is interrupted in here still has the moment before.

        known: the last moment whose losses were read. read: read the loss; before a look it is read in any case.
        """
        done, rate = now.done + 1, self.lr * optim.warmup_cosine(now.done, self.steps)
        drawn = self.task.batch(rng, self.batch)
        params, adamw, loss = step(self.net, now.params, drawn, now.adamw, rate, self.clip, self.mode)
        states, look = (rng.bit_generator.state, watch.bit_generator.state), done in look_steps(self.steps, self.looks)
        after = Moment(params, now.params, adamw, *states, now.rows, (*now.recent, loss), done)
        if read or look:
            after = self.settle(known, after, rng, watch)
        if after.stopped or not (look and after.recent):  # a replay has looked already
            return after
        scores = evaluate(self.net, params, self.task, watch, 200, self.mode)
        row = {"step": done, "training_loss": sum(after.recent) / len(after.recent), **scores._asdict()}
        after = after._replace(watch=watch.bit_generator.state, rows=(*now.rows, row), recent=())
        if math.isfinite(scores.loss):
            return after
        stopped = f"the loss was {scores.loss} after step {done} of {self.steps}; try a smaller lr than {self.lr:g}"
        return after._replace(params=now.params, stopped=stopped)

    def settle(self, known: Moment, now: Moment, rng: np.random.Generator, watch: np.random.Generator) -> Moment:
        """`now` with its losses read. Where one is not finite: what reading each since `known` would have given."""
        if now.read:
            return now
        steps = now.done - known.done
        recent = _read(now.recent[-steps:])
        if all(map(math.isfinite, recent)):
            return now._replace(recent=(*now.recent[:-steps], *recent))
        if steps == 1:
            stopped = f"the loss was {recent[0]} at step {now.done} of {self.steps}"
            return known._replace(params=known.finite, stopped=f"{stopped}; try a smaller lr than {self.lr:g}")
        rng.bit_generator.state, watch.bit_generator.state = known.draw, known.watch
        while known.done < now.done and not known.stopped:
            known = self.next(known, known, rng, watch, read=True)
        return known

    def write(self, path: str | os.PathLike, now: Moment) -> None:
        """The checkpoint: the settings, and the moment with its parameters as flat vectors."""
        flat = {"params": tree.flatten(now.params), "finite": tree.flatten(now.finite)}
        save_tree(path, now._asdict() | flat | {"adamw": now.adamw and now.adamw._asdict(), "plan": self._settings()})

    def read(self, path: str | os.PathLike, like_params: dict) -> Moment:
        """The moment that `write` wrote; ValueError where it is of another plan."""
        found = load_tree(path, "delete it to train anew")
        held = found.pop("plan", None) if isinstance(found, dict) else None
        if not isinstance(held, dict):
            raise ValueError(f"fit: {os.fspath(path)} holds no training; give another name for the checkpoint")
        for name, value in self._settings().items():
            if held.get(name) != value:
                found = f"{os.fspath(path)} holds a training with {name}={held.get(name)}, now {name}={value} is given"
                raise ValueError(f"fit: {found}; give what was given then, or another checkpoint")
        place = like_params["embed"]["w"]
        for name in ("params", "finite"):
            found[name] = tree.unflatten(like_params, like(found[name], place))
        if found["adamw"] is not None:
            moved = {k: v if k == "n" else like(v, place) for k, v in found["adamw"].items()}
            found["adamw"] = optim.AdamWState(**moved)
        return Moment(**found | {"rows": tuple(found["rows"]), "recent": tuple(found["recent"])})

    def _settings(self) -> dict:
        task = f"{self.task.name} with vocab={self.task.vocab} and length={self.task.length}"
        return vars(self) | {"net": repr(self.net), "task": task}


def look_steps(steps: int, looks: int = LOOKS) -> list[int]:
    """After which steps the model is evaluated: the last is always among them."""
    every = -(-steps // looks)
    return [*range(every, steps, every), steps]


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
    looks: int = LOOKS,
    threads: int | None = 1,
    progress: bool = True,
    on_step: Callable[[int], None] | None = None,
    checkpoint: str | os.PathLike | None = None,
    every: float = EVERY,
) -> tuple[dict, Log]:
    """Train on fresh batches of the task. -> params, log.

    The learning rate rises towards `lr` over the first tenth of the steps and falls by a cosine to a twentieth of it.
    `looks` times on the way the model is evaluated on 200 fresh sequences. Ctrl-C ends the training and keeps what is
    done; so does a loss that is no longer finite: then params are the last with a finite loss, and log.stopped says so.

    It computes where params live. From a device the losses are read at looks, checkpoints and every 50 steps only; a
    training whose loss breaks in between ends as if each had been read (but on_step has heard of a few steps more).

    checkpoint: a file that is written every `every` seconds, at Ctrl-C and at the end. Where it is there already the
    training goes on from it, to the bits of one that was never interrupted (params and rng as given only say of which
    kind they are); a finished one returns at once. Delete the file to train anew.

    threads: of BLAS and for the halves of large batches (None: one a core). One is the default: the products of a small
    model gain nothing from more, are slower by far where something else wants the cores, and BLAS rounds differently
    with each number of threads.
    """
    whole = {n: check_integer("fit", n, v) for n, v in (("steps", steps), ("batch", batch), ("looks", looks))}
    if not 0 < lr < math.inf:
        raise ValueError(f"fit: lr={lr}; expected a number above 0, like {LR}")
    if checkpoint is not None and not Path(checkpoint).parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fspath(checkpoint))  # not after hours
    _answers(net, task)
    keep_freed_memory()
    kind = type(rng.bit_generator).__name__
    plan = Plan(net, task, lr=float(lr), clip=float(clip), mode=mode, rng=kind, **whole)
    watch, interrupted = rng.spawn(1)[0], ""
    stride = 1 if is_numpy(namespace(params["embed"]["w"])) else READ  # a device would be waited for at each read
    now = known = Moment(params, params, None, rng.bit_generator.state, watch.bit_generator.state)
    if checkpoint is not None and os.path.exists(checkpoint):
        now = known = plan.read(checkpoint, params)
        rng.bit_generator.state, watch.bit_generator.state = now.draw, now.watch
    start, written = time.perf_counter() - now.seconds, time.monotonic()
    with limit_threads(threads), Progress(steps, f"training on {task.name}", progress) as bar:
        try:
            bar.update(now.done)
            while now.done < plan.steps and not now.stopped:
                due = checkpoint is not None and time.monotonic() - written > every
                now = plan.next(known, now, rng, watch, due or now.done + 1 - known.done >= stride)
                if now.stopped:
                    break
                if now.read:
                    bar.update(now.done - bar.done, f"loss {now.recent[-1]:.3f}" if now.recent else "")
                    known = now
                if on_step is not None:
                    on_step(now.done)
                if due and checkpoint is not None:
                    plan.write(checkpoint, now._replace(seconds=time.perf_counter() - start))
                    written = time.monotonic()
        except KeyboardInterrupt:
            interrupted = f"interrupted after {now.done} of {steps} steps"
        now = plan.settle(known, now, rng, watch)._replace(seconds=time.perf_counter() - start)
        if checkpoint is not None:
            plan.write(checkpoint, now)
        log = Log(list(now.rows), now.stopped or interrupted, now.seconds)
        if log.stopped and progress:
            bar.say(f"fit: {log.stopped}")
    return now.params, log


def evaluate(
    net: Model, params: dict, task: Task, rng: np.random.Generator, n: int = 1000, mode: str = "auto"
) -> Scores:
    """Scores on n fresh sequences, answers chosen by the largest output."""
    check_integer("evaluate", "n", n)
    _answers(net, task)
    right_tokens = tokens = right_sequences = total_loss = 0.0
    for start in range(0, n, 250):
        batch = task.batch(rng, min(250, n - start))
        loss, logits, *_ = _loss(net, params, placed(batch, params), mode)
        counts = batch.weights > 0
        right = np.ones(counts.shape, bool)
        right[counts] = to(namespace(logits).argmax(logits, axis=-1), "numpy") == batch.targets[counts]
        right_tokens += float(right[counts].sum())
        tokens += float(counts.sum())
        right_sequences += float(right.all(axis=1).sum())
        total_loss += float(to(loss, "numpy")) * float(counts.sum())
    return Scores(right_tokens / tokens, right_sequences / n, total_loss / tokens)


def _read(recent: tuple) -> list[float]:
    """Losses on the host, all in one copy."""
    xp = namespace(*recent)
    return [float(loss) for loss in (recent if is_numpy(xp) else to(xp.stack(recent), "numpy"))]


def _answers(net: Model, task: Task) -> None:
    """The model reads the task's tokens and has an output for each answer."""
    if net.vocab != task.vocab or (net.outputs or 0) < task.vocab:
        raise ValueError(f"train: {net!r} for the task {task.name}; expected vocab={task.vocab} and as many outputs")


def keep_freed_memory() -> None:
    """glibc gives large freed blocks back to the system, and each step would fault them in again: 1.3 to 1.9 times
    slower. Freeing one block just under its limit of 32 MB makes it keep blocks up to that size from then on."""
    np.empty(31 << 20, np.uint8)
