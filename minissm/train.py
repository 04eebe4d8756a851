"""The training loop: draw a batch, forward, loss, backward, clip, update; now and then evaluate on fresh sequences."""

import errno
import hashlib
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import losses, optim, tree
from .backend import device, is_numpy, like, namespace, to
from .checkpoint import load_tree, save_tree
from .checks import check_integer
from .fast.parallel import threads as limit_threads
from .model import Model
from .progress import Progress
from .tasks import Batch, Task, check_batch

LR, BATCH, CLIP = 8e-3, 64, 1.0  # what trains the models here (docs/experiments.md, "The recipe")
EVALS, EVERY = 15, 10.0  # evaluations in a training; seconds between two checkpoints
READ = 50  # steps between two looks at `alive` on a device, which has to be waited for
Array = Any


@dataclass
class Log:
    """What a training reports.

    rows: step, training_loss since the last row, and the task's scores, for every evaluation.
    stopped: why it ended early, or "".
    seconds: spent in training, before an interruption and after.
    """

    rows: list[dict] = field(default_factory=list)
    stopped: str = ""
    seconds: float = field(default=0.0, compare=False, repr=False)


# ---- one step


def loss_and_gradient(
    net: Model, params: dict, batch: Batch, loss: Callable = losses.cross_entropy, mode: str = "auto"
) -> tuple:
    """-> the loss of the answers that count, and its gradient as one vector (P,). Both stay on params' device."""
    check_batch("train", batch)
    where = batch.weights > 0
    targets, weights = (like(a[where], params["embed"]["w"]) for a in (batch.targets, batch.weights))
    y, backward = net(params, inputs_of(batch, params), mode, where)
    value, back_loss = loss(y, targets, weights)
    dparams, _ = backward(back_loss())
    return value, optim.gradient_vector(params, dparams)


def inputs_of(batch: Batch, params: dict) -> Array:
    """The inputs on params' device, real ones in params' precision: a task knows neither."""
    w = params["embed"]["w"]
    x, xp = like(batch.inputs, w), namespace(w)
    return x if xp.isdtype(x.dtype, "integral") else xp.astype(x, w.dtype, copy=False)


def step(
    net: Model,
    params: dict,
    batch: Batch,
    adamw: optim.AdamWState | None,
    lr: float,
    loss: Callable = losses.cross_entropy,
    clip: float = CLIP,
    mode: str = "auto",
) -> tuple:
    """One step of AdamW on one batch, for a loop of your own. -> params, adamw, loss.

    adamw: what the step before returned (None: the first step).
    lr: the learning rate of this step.
    loss: y, targets, weights -> loss, backward, as losses.cross_entropy; a task has its own as `task.loss`.
    clip: the largest norm of the gradient; a longer one is scaled down to it.
    mode: how filters are computed.
    """
    value, gradient = loss_and_gradient(net, params, batch, loss, mode)
    gradient, _ = optim.clip(gradient, clip)
    params, adamw = optim.adamw(params, gradient, adamw, lr=lr)
    return params, adamw, value


# ---- a training


class TrainState(NamedTuple):
    """A training between two steps: all that decides the bits to come. No step writes into one."""

    params: dict  # views of flat
    flat: Array  # (P,)
    finite: Array  # (P,): the last parameters whose loss was finite
    adamw: optim.AdamWState
    alive: Array  # (): every loss so far was finite; once False it stays so, and nothing changes any more
    accepted: Array  # (): steps with a finite loss
    rng: Mapping  # the state of the generator of the batches
    eval_rng: Mapping  # and of the generator of the evaluations
    rows: tuple[dict, ...] = ()
    losses: tuple = ()  # since the last evaluation
    done: int = 0
    stopped: str = ""
    seconds: float = 0.0

    @classmethod
    def start(cls, params: dict, rng: np.random.Generator, eval_rng: np.random.Generator) -> "TrainState":
        flat = tree.flatten(params)
        alive, accepted = (namespace(flat).asarray(value, device=device(flat)) for value in (True, 0))
        states = rng.bit_generator.state, eval_rng.bit_generator.state
        return cls(tree.unflatten(params, flat), flat, flat, optim.adamw_start(params), alive, accepted, *states)

    def after(self, loss: Array, flat: Array, adamw: optim.AdamWState, rng: np.random.Generator) -> "TrainState":
        """One step later, if its loss is finite and all before were; else the same parameters. Waits for no device."""
        xp = namespace(flat)
        ok = self.alive & xp.isfinite(loss)
        flat = xp.where(ok, flat, self.flat)
        return self._replace(
            params=tree.unflatten(self.params, flat),
            flat=flat,
            finite=xp.where(ok, self.flat, self.finite),
            adamw=adamw._replace(m=xp.where(ok, adamw.m, self.adamw.m), v=xp.where(ok, adamw.v, self.adamw.v)),
            alive=ok,
            accepted=self.accepted + xp.astype(ok, self.accepted.dtype),
            rng=rng.bit_generator.state,
            losses=(*self.losses, loss),
            done=self.done + 1,
        )


@dataclass(frozen=True)
class Plan:
    """What a training is to be. With the state it begins at, it decides every bit."""

    net: Model
    task: Any
    steps: int
    lr: float
    batch: int
    clip: float
    mode: str
    evals: int

    def train_states(
        self, now: TrainState, rng: np.random.Generator, eval_rng: np.random.Generator
    ) -> Iterator[TrainState]:
        """The states after `now`, one a step. An interrupted step leaves the state before it whole."""
        while now.done < self.steps and not now.stopped:
            lr = self.lr * optim.warmup_cosine(now.done, self.steps)
            batch = self.task.batch(rng, self.batch, now.done)
            loss, gradient = loss_and_gradient(self.net, now.params, batch, self.task.loss, self.mode)
            gradient, _ = optim.clip(gradient, self.clip)
            flat, adamw = optim.adamw_vector(now.flat, gradient, now.adamw, lr=lr)
            now = now.after(loss, flat, adamw, rng)
            if now.done in eval_steps(self.steps, self.evals):
                now = self.evaluate(now, eval_rng)
            yield now

    def evaluate(self, now: TrainState, eval_rng: np.random.Generator) -> TrainState:
        """The state with one more row, stopped if a score is not finite."""
        now = self.read(now)
        if now.stopped:
            return now
        scores = evaluate(self.net, now.params, self.task, eval_rng, 200, self.mode)
        row = {"step": now.done, "training_loss": sum(_floats(now.losses)) / len(now.losses), **scores}
        now = now._replace(eval_rng=eval_rng.bit_generator.state, rows=(*now.rows, row), losses=())
        if math.isfinite(scores["loss"]):
            return now
        return self._stop(now, f"the loss was {scores['loss']} after step {now.done} of {self.steps}")

    def read(self, now: TrainState) -> TrainState:
        """The state, stopped if one of its losses was not finite. Waits for a device."""
        if now.stopped or to(now.alive, "numpy"):
            return now
        done, broken = int(to(now.accepted, "numpy")), next(x for x in _floats(now.losses) if not math.isfinite(x))
        now = now._replace(done=done, losses=())
        return self._stop(now, f"the loss was {broken} at step {done + 1} of {self.steps}")

    def _stop(self, now: TrainState, why: str) -> TrainState:
        params = tree.unflatten(now.params, now.finite)
        return now._replace(params=params, flat=now.finite, stopped=f"{why}; try a smaller lr than {self.lr:g}")

    def settings(self) -> dict:
        """What must be equal for a training to go on, besides where it began."""
        return vars(self) | {"net": repr(self.net), "task": self.task.identity}


def _floats(found: tuple) -> list[float]:
    """Losses on the host, in one copy."""
    return to(namespace(*found).stack(found), "numpy").tolist()


def eval_steps(steps: int, evals: int = EVALS) -> list[int]:
    """After which steps the model is evaluated: the last is always among them."""
    every = -(-steps // evals)
    return [*range(every, steps, every), steps]


def fit(
    net: Model,
    params: dict,
    task: Any,
    steps: int,
    rng: np.random.Generator,
    *,
    lr: float = LR,
    batch: int = BATCH,
    clip: float = CLIP,
    mode: str = "auto",
    evals: int = EVALS,
    threads: int | None = 1,
    progress: bool = True,
    on_step: Callable[[int], None] | None = None,
    checkpoint: str | os.PathLike | None = None,
    every: float = EVERY,
) -> tuple[dict, Log]:
    """Train on batches of the task. -> params, log.

    steps: how many; the learning rate rises over the first tenth and falls by a cosine to a twentieth of lr.
    rng: draws the batches; evaluations draw from a generator of their own.
    lr: the learning rate at its highest.
    batch: sequences in a batch.
    clip: the largest norm of the gradient.
    mode: how filters are computed.
    evals: evaluations on the way, each on 200 fresh sequences; a row of the log each.
    threads: of BLAS and of the fast paths (None: one a core). One is the default: small products gain nothing from
        more, are slower on a busy machine, and BLAS rounds differently with each number.
    progress: draw a bar.
    on_step: called with the number of steps done, after each.
    checkpoint: a file, written every `every` seconds, at Ctrl-C and at the end. If it exists the training goes on from
        it, to the bits of one that was never interrupted. params and rng must be those that it began with, or those
        that the interrupted fit left. A finished training returns at once, and says so. Delete the file to train anew.
    every: seconds between two checkpoints.

    Ctrl-C ends the training and keeps what is done. A loss that is not finite ends it with the last parameters of a
    finite loss, and log.stopped says why. It computes on params' device; there `alive` is read at evaluations, at
    checkpoints and every 50 steps.
    """
    integers = {n: check_integer("fit", n, v) for n, v in (("steps", steps), ("batch", batch), ("evals", evals))}
    if not 0 < lr < math.inf:
        raise ValueError(f"fit: lr={lr}; expected a number above 0, like {LR}")
    if checkpoint is not None and not Path(checkpoint).parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fspath(checkpoint))  # not after hours
    check_task("fit", net, task)
    keep_freed_memory()
    plan = Plan(net, task, lr=float(lr), clip=float(clip), mode=mode, **integers)
    eval_rng, interrupted = rng.spawn(1)[0], ""
    now = TrainState.start(params, rng, eval_rng)
    began = digest(now)
    if checkpoint is not None and os.path.exists(checkpoint):
        now, began = read_checkpoint(checkpoint, plan, now)
    stride = 1 if is_numpy(namespace(now.flat)) else READ
    start, written = time.perf_counter() - now.seconds, time.monotonic()
    rng.bit_generator.state, eval_rng.bit_generator.state = now.rng, now.eval_rng
    with limit_threads(threads), Progress(steps, f"training on {task.spec}", progress) as bar:
        if progress and now.done == steps:
            bar.say(f"fit: {os.fspath(checkpoint or '')} holds this training, finished; delete it to train anew")
        try:
            bar.update(now.done)
            for now in plan.train_states(now, rng, eval_rng):  # noqa: B020
                due = checkpoint is not None and time.monotonic() - written > every
                if due or now.done % stride == 0 or now.done == steps:
                    now = plan.read(now)
                    bar.update(now.done - bar.done, f"loss {_floats(now.losses[-1:])[0]:.3f}" if now.losses else "")
                if now.stopped:
                    break
                if on_step is not None:
                    on_step(now.done)
                if due and checkpoint is not None:
                    write_checkpoint(checkpoint, plan, began, now._replace(seconds=time.perf_counter() - start))
                    written = time.monotonic()
        except KeyboardInterrupt:
            interrupted = f"interrupted after {now.done} of {steps} steps" if now.done < steps else ""
        now = plan.read(now)._replace(seconds=time.perf_counter() - start)
        rng.bit_generator.state = now.rng  # of an interrupted step nothing is left
        if checkpoint is not None:
            write_checkpoint(checkpoint, plan, began, now)
        log = Log(list(now.rows), now.stopped or interrupted, now.seconds)
        if log.stopped and progress:
            bar.say(f"fit: {log.stopped}")
    return now.params, log


def evaluate(
    net: Model, params: dict, task: Any, rng: np.random.Generator, n: int = 1000, mode: str = "auto"
) -> dict[str, float]:
    """The task's scores on n fresh sequences, by name; `loss` is always among them."""
    check_integer("evaluate", "n", n)
    check_task("evaluate", net, task)
    sums: dict = {}
    for i, start in enumerate(range(0, n, 250)):
        batch = Batch(*(a[: n - start] for a in task.batch(rng, min(250, n), i)))  # equal draws: items of a finite set
        check_batch("evaluate", batch)
        y, _ = net(params, inputs_of(batch, params), mode, batch.weights > 0)
        found = task.tally(to(y, "numpy"), batch)
        sums = {name: sums.get(name, 0) + value for name, value in found.items()}
    return task.scores(sums)


def check_task(who: str, net: Model, task: Any) -> None:
    """The model reads the task's inputs and has the outputs of its answers."""
    if not isinstance(task, Task):
        raise TypeError(f"{who}: task is {type(task).__name__}; expected a TokenTask or RealTask, like tasks.Recall()")
    sizes = task.sizes
    outputs = sizes.get("outputs", sizes.get("vocab", 0))
    if any(getattr(net, name) != size for name, size in sizes.items()) or (net.outputs or 0) < outputs:
        expected = ", ".join(f"{name}={size}" for name, size in sizes.items())
        raise ValueError(f"{who}: {net!r} for the task {task.spec}; expected {expected}, and outputs for all answers")


# ---- checkpoints


def digest(now: TrainState) -> dict[str, str]:
    """SHA-256 of the parameters and of the state of the generator."""
    generator = sorted((name, str(np.asarray(leaf).tolist())) for name, leaf in tree.named(now.rng))
    found = {"params": to(now.flat, "numpy").tobytes(), "rng": repr(generator).encode()}
    return {name: hashlib.sha256(text).hexdigest() for name, text in found.items()}


def write_checkpoint(path: str | os.PathLike, plan: Plan, began: dict, now: TrainState) -> None:
    """The settings, where the training began, and the state, the parameters as flat vectors."""
    state = now._asdict() | {"adamw": now.adamw._asdict(), "params": None}  # they are in flat
    save_tree(path, {"plan": plan.settings(), "began": began, "state": state})


def read_checkpoint(path: str | os.PathLike, plan: Plan, given: TrainState) -> tuple[TrainState, dict]:
    """The state in the file, and where it began; ValueError where it is of another training than plan and start."""
    name, found = os.fspath(path), load_tree(path, "delete it to train anew")
    if not isinstance(found, dict) or found.keys() != {"plan", "began", "state"}:
        raise ValueError(f"fit: {name} holds no training; give another name for the checkpoint")
    for setting, value in plan.settings().items():
        if (stored := found["plan"].get(setting)) != value:
            was = f"{name} holds a training with {setting}={stored}; {setting}={value} was given"
            raise ValueError(f"fit: {was}; give what was given then, or another checkpoint")
    state = tree.map(lambda a: like(a, given.flat) if isinstance(a, np.ndarray) else a, found["state"])
    state |= {"adamw": optim.AdamWState(**state["adamw"]), "params": tree.unflatten(given.params, state["flat"])}
    state |= {name: found["state"][name] for name in ("rng", "eval_rng")}
    now = TrainState(**state | {"rows": tuple(state["rows"]), "losses": tuple(state["losses"])})
    left, start = digest(now), digest(given)
    for part, what in (("params", "other parameters"), ("rng", "another seed")):
        if start[part] not in (found["began"][part], left[part]):
            was = f"{name} holds a training that began with {what}"
            raise ValueError(f"fit: {was}; give what was given then, or another checkpoint, or delete it to train anew")
    return now, found["began"]


def keep_freed_memory() -> None:
    """glibc gives large freed blocks back to the system, and each step would fault them in again: 1.3 to 1.9 times
    slower. Freeing one block just under its limit of 32 MB makes it keep blocks up to that size from then on."""
    np.empty(31 << 20, np.uint8)
