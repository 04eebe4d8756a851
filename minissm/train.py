"""The training loop: draw a batch, forward, loss, backward, clip, update; now and then evaluate on fresh sequences."""

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from . import losses, optim, tree
from .backend import device, is_numpy, like, namespace, to
from .checks import check_integer, check_number, integer, number
from .evaluate import check_training, evaluate, inputs_of
from .fast.layout import keep_freed_memory
from .fast.parallel import threads as limit_threads
from .files import check_place
from .model import Model
from .notebook import table
from .progress import Progress
from .resume import digest, read_checkpoint, surroundings, write_checkpoint
from .tasks import Batch, Task, check_batch

LR, BATCH, CLIP = 8e-3, 64, 1.0  # defaults: see docs/experiments.md, "The recipe"
EVALS, EVERY = 15, 10.0  # evaluations in a training; seconds between two checkpoints
FRESH, HELD_OUT = 200, 2000  # sequences of an evaluation: fresh ones; the most of a finite set
NORM = "a number above 0, inf for no limit", lambda v: v > 0  # of clip: what is expected, and whether it is so
READ = 50  # steps between two reads of `alive` on a device; the host waits for each
Array = Any


@dataclass
class Log:
    """The record of a training.

    rows: for every evaluation, step, training_loss (the mean since the row before) and the task's scores.
    kept: the step of the evaluation whose parameters were returned, with keep="best"; else None.
    stopped: the reason if the training ended early or its last checkpoint was not written, else "".
    seconds: time spent in training, summed over interruptions.
    notes: a sentence for each resumption with other versions, another processor, backend or number of threads.
    """

    rows: list[dict] = field(default_factory=list)
    stopped: str = ""
    kept: int | None = None
    seconds: float = field(default=0.0, compare=False, repr=False)
    notes: list[str] = field(default_factory=list, compare=False)

    def _repr_html_(self) -> str:
        return table(self.rows, self.stopped)


# ---- one step


def loss_and_gradient(
    net: Model, params: dict, batch: Batch, loss: Callable = losses.cross_entropy, mode: str = "auto"
) -> tuple:
    """-> the loss of the answers with weight > 0, and its gradient as one vector (P,). Both stay on params' device."""
    if not isinstance(net, Model) or not callable(loss):
        raise TypeError(f"train: net={net!r}, loss={loss!r}; expected a Model, and a function of y, targets, weights")
    check_batch("train", batch)
    if not isinstance(params, dict) or "embed" not in params:
        net.check_params(params)
    where = batch.weights > 0
    targets, weights = (like(a[where], params["embed"]["w"]) for a in (batch.targets, batch.weights))
    y, backward = net(params, inputs_of(batch, params), mode, where)
    value, back_loss = loss(y, targets, weights)
    dparams, _ = backward(back_loss())
    return value, optim.gradient_vector(params, dparams)


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

    adamw: the state that the step before returned; None for the first step.
    lr: the learning rate of this step.
    loss: a function y, targets, weights -> loss, backward. Default losses.cross_entropy; a task has its `task.loss`.
    clip: the largest norm of the gradient; a longer gradient is scaled down to it. Default 1; inf for no limit.
    mode: how filters are computed: "auto" (default), "recurrent", "chunked" or "fft".
    """
    if adamw is not None and not isinstance(adamw, optim.AdamWState):
        raise TypeError(f"step: adamw is {type(adamw).__name__}; expected the state of the step before, or None")
    clip = check_number("step", "clip", clip, *NORM)
    lr = check_number("step", "lr", lr, "a number, 0 or more", lambda v: 0 <= v < math.inf)
    value, gradient = loss_and_gradient(net, params, batch, loss, mode)
    gradient, _ = optim.clip(gradient, clip)
    params, adamw = optim.adamw(params, gradient, adamw, lr=lr)
    return params, adamw, value


# ---- a training


class TrainState(NamedTuple):
    """The state of a training between two steps. With the Plan it decides every later bit. No step writes into it."""

    params: dict  # views of flat, and copies where a tree of two precisions has float32
    flat: Array  # (P,), in the widest of their precisions
    finite: Array  # (P,): the last parameters whose loss was finite
    adamw: optim.AdamWState
    alive: Array  # (): every loss so far was finite; once False it stays False, and the parameters stay as they are
    accepted: Array  # (): steps with a finite loss
    rng: Mapping  # the state of the generator that draws the batches
    eval_rng: Mapping  # the state of the generator that draws the evaluations
    rows: tuple[dict, ...] = ()
    losses: tuple = ()  # since the last evaluation
    done: int = 0
    stopped: str = ""
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    best: Mapping | None = None  # of the best evaluation, where it is to be returned: flat, score, step

    @property
    def kept(self) -> dict:
        """The parameters that `fit` returns."""
        return self.params if self.best is None else tree.unflatten(self.params, self.best["flat"])

    @classmethod
    def start(cls, params: dict, rng: "np.random.Generator", eval_rng: "np.random.Generator") -> "TrainState":
        flat = tree.flatten(params)
        alive, accepted = (namespace(flat).asarray(value, device=device(flat)) for value in (True, 0))
        states = rng.bit_generator.state, eval_rng.bit_generator.state
        return cls(tree.unflatten(params, flat), flat, flat, optim.adamw_start(params), alive, accepted, *states)

    def after(self, loss: Array, flat: Array, adamw: optim.AdamWState, rng: "np.random.Generator") -> "TrainState":
        """The state one step later, with new parameters if all losses so far are finite. It waits for no device."""
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
    """The settings of a training (see `fit`). With the initial state they decide every bit."""

    net: Model
    task: Any
    steps: int
    lr: float
    batch: int
    clip: float
    mode: str
    evals: int
    validate: Task | None = None
    keep: str = "last"
    until: float | None = None

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "evals"):
            integer(self, "fit", name, minimum=1)
        if self.keep not in ("last", "best"):
            raise ValueError(f"fit: keep={self.keep!r}; expected 'last' or 'best'")
        if self.validate is not None and self.validate == self.task:
            raise ValueError("fit: validate is the training task itself; give its task.held_out, or leave validate out")
        if self.keep == "best" and self.validate is None and self.task.sequences is not None:
            raise ValueError("fit: keep='best' would choose on the training sample; give held-out data as validate")
        number(self, "fit", "lr", f"a number above 0, like {LR}", lambda v: 0 < v <= 1e30)
        number(self, "fit", "clip", *NORM)
        if self.until is not None:
            number(self, "fit", "until", "a score, or None", math.isfinite)

    def train_states(
        self, now: TrainState, rng: "np.random.Generator", eval_rng: "np.random.Generator"
    ) -> Iterator[TrainState]:
        """The states after `now`, one for each step. An interrupted step doesn't damage the state before it."""
        due, ended = frozenset(eval_steps(self.steps, self.evals)), self.ended(now)
        while not ended and not now.stopped:
            lr = self.lr * optim.warmup_cosine(now.done, self.steps)
            batch = self.task.batch(rng, self.batch, now.done)
            loss, gradient = loss_and_gradient(self.net, now.params, batch, self.task.loss, self.mode)
            gradient, _ = optim.clip(gradient, self.clip)
            flat, adamw = optim.adamw_vector(now.flat, gradient, now.adamw, lr=lr)
            now = now.after(loss, flat, adamw, rng)
            if now.done in due:
                now = self.evaluate(now, eval_rng)
                ended = self.ended(now)
            yield now

    def ended(self, now: TrainState) -> bool:
        """True after the last step, and after an evaluation with a score as good as `until`."""
        if now.done == self.steps or self.until is None or not now.rows:
            return now.done == self.steps
        name, better = self.task.main
        score = now.rows[-1][name]
        return score >= self.until if better == "higher" else score <= self.until

    def evaluate(self, now: TrainState, eval_rng: "np.random.Generator") -> TrainState:
        """The state with one more row, stopped if a score is not finite."""
        now = self.read(now)
        if now.stopped:
            return now
        task = self.task if self.validate is None else self.validate
        n = FRESH if task.sequences is None else min(task.sequences, HELD_OUT)
        scores = evaluate(self.net, now.params, task, eval_rng, n, self.mode)
        row = {"step": now.done, "training_loss": sum(_floats(now.losses)) / len(now.losses), **scores}
        now = now._replace(eval_rng=eval_rng.bit_generator.state, rows=(*now.rows, row), losses=())
        if not math.isfinite(scores["loss"]):
            data = "" if self.validate is None else ", or look for nan in the sequences of validate"
            return self._stop(now, f"the loss was {scores['loss']} after step {now.done} of {self.steps}", data)
        name, better = task.main
        score = scores[name] if better == "higher" else -scores[name]
        if self.keep == "best" and score > (now.best["score"] if now.best else -math.inf):
            now = now._replace(best={"flat": now.flat, "score": score, "step": now.done})
        return now

    def read(self, now: TrainState) -> TrainState:
        """The state, stopped if one of its losses was not finite. Waits for a device."""
        if now.stopped or to(now.alive, "numpy"):
            return now
        done, broken = int(to(now.accepted, "numpy")), next(x for x in _floats(now.losses) if not math.isfinite(x))
        now = now._replace(done=done, losses=())
        return self._stop(now, f"the loss was {broken} at step {done + 1} of {self.steps}")

    def _stop(self, now: TrainState, why: str, data: str = "") -> TrainState:
        """The state with the last parameters that had a finite loss. No rate acts on the loss of the first step."""
        advice = f"try a smaller lr than {self.lr:g}{data}"
        if now.done == 0:
            advice = "look for nan in the batches and in the initial parameters"
        params = tree.unflatten(now.params, now.finite)
        return now._replace(params=params, flat=now.finite, stopped=f"{why}; {advice}")

    def settings(self) -> dict:
        """The settings that a checkpoint must share before a training goes on from it."""
        loss = getattr(self.task.loss, "__name__", type(self.task.loss).__name__)
        validate = self.validate if self.validate is None else self.validate.identity
        return vars(self) | {"net": repr(self.net), "task": self.task.identity, "loss": loss, "validate": validate}


def _floats(values: tuple) -> list[float]:
    """Losses on the host, in one copy."""
    return to(namespace(*values).stack(values), "numpy").tolist()


def eval_steps(steps: int, evals: int = EVALS) -> list[int]:
    """The steps after which the model is evaluated; the last step is always one of them."""
    every = -(-steps // evals)
    return [*range(every, steps, every), steps]


def fit(
    net: Model,
    params: dict,
    task: Any,
    steps: int,
    rng: "np.random.Generator",
    *,
    lr: float = LR,
    batch: int = BATCH,
    clip: float = CLIP,
    mode: str = "auto",
    evals: int = EVALS,
    validate: Task | None = None,
    keep: str = "last",
    until: float | None = None,
    threads: int | None = 1,
    progress: bool = True,
    on_step: Callable[[int], None] | None = None,
    checkpoint: str | os.PathLike | None = None,
    every: float = EVERY,
) -> tuple[dict, Log]:
    """Train on batches of the task. -> params, log.

    params: the initial parameters. The training runs on their device.
    task: a task that fits the model, like tasks.Recall().
    steps: optimizer steps. The learning rate rises over the first tenth and falls by a cosine to a twentieth of lr.
    rng: draws the batches; evaluations draw from a generator spawned from it.
    lr: the highest learning rate. Default 0.008.
    batch: sequences in a batch. Default 64.
    clip: the largest norm of the gradient. Default 1; inf for no limit.
    mode: how filters are computed: "auto" (default), "recurrent", "chunked" or "fft".
    evals: evaluations during the training, the last one at its end; each adds a row to the log. Default 15.
    validate: the task whose sequences are evaluated: 200 fresh ones, or all of a finite set, up to 2000. Default: the
        task itself. For a finite set, give its held-out sequences, like task.held_out.
    keep: "last" returns the last parameters (default), "best" those of the evaluation with the best main score, the
        first of them if several are equal; log.kept has its step. Before the first evaluation, these are the last, and
        a score that is nan is never the best.
    until: end the training at its first evaluation with a main score as good as this. Default: none.
    threads: of BLAS and of the fast paths; None for one on each core. Default 1: small products gain nothing from more,
        a busy machine slows them down, and BLAS rounds differently with each number.
    progress: draw a bar. Default True.
    on_step: a function, called after each step with the number of steps done. Default: none.
    checkpoint: a file, written every `every` seconds, at Ctrl-C and at the end. Default: none. A file that can't be
        written is refused at once. If that changes later, the training goes on, and log.stopped says at the end whether
        the file lacks the last steps.
    every: seconds between two checkpoints, 0 or more. Default 10.

    If the checkpoint exists, the training goes on from it and ends in the bits of an uninterrupted one. params and rng
    must then be the initial ones, or the ones after the interrupted fit; ValueError for others. log.notes has a
    sentence where versions, processor, backend, threads or code of your own differ. A finished training returns at
    once, with a message. Trap: to train anew, delete the file.

    Ctrl-C ends the training and keeps the steps so far. A loss that is not finite ends it too: fit then returns the
    last parameters with a finite loss (with keep="best", the best so far), and log.stopped gives the reason. On a
    device, fit notices such a loss at an evaluation, at a checkpoint or after at most 50 steps.
    """
    check_training("fit", net, params, task, rng, mode)
    if validate is not None:
        check_training("fit: validate", net, params, validate, rng, mode)
    plan = Plan(net, task, steps, lr, batch, clip, mode, evals, validate, keep, until)
    threads = threads if threads is None else check_integer("fit", "threads", threads, also=", or None")
    every = check_number("fit", "every", every, "seconds, 0 or more", lambda v: v >= 0)
    if progress not in (True, False) or not (on_step is None or callable(on_step)):
        raise TypeError(f"fit: progress={progress!r}, on_step={on_step!r}; expected a bool, and a function or None")
    keep_freed_memory()
    eval_rng, interrupted, failed = rng.spawn(1)[0], "", ""
    now = TrainState.start(params, rng, eval_rng)
    began, here = digest(now), {}
    if checkpoint is not None:
        check_place("fit", checkpoint)
        checkpoint = os.path.abspath(os.fsdecode(checkpoint))
        if os.path.exists(checkpoint) and not os.path.isfile(checkpoint):
            raise ValueError(f"fit: {checkpoint} is a device or a pipe; expected the name of a file")
        with limit_threads(threads):
            here = surroundings(plan, now.flat)
        if os.path.exists(checkpoint):
            now, began = read_checkpoint(checkpoint, plan, now, here)
    stride = 1 if is_numpy(namespace(now.flat)) else READ
    start, written = time.perf_counter() - now.seconds, time.monotonic()
    rng.bit_generator.state, eval_rng.bit_generator.state = now.rng, now.eval_rng
    with limit_threads(threads), Progress(plan.steps, f"training on {task.spec}", progress) as bar:
        for note in now.notes if progress else ():
            bar.say(f"fit: {note}")
        if progress and plan.ended(now):
            bar.say(f"fit: {checkpoint} holds this training, finished; delete it to train anew")
        try:
            bar.update(now.done)
            for now in plan.train_states(now, rng, eval_rng):  # noqa: B020
                due = checkpoint is not None and time.monotonic() - written > every
                if due or now.done % stride == 0 or now.done == plan.steps:
                    now = plan.read(now)
                    bar.update(now.done - bar.done, f"loss {_floats(now.losses[-1:])[0]:.3f}" if now.losses else "")
                if now.stopped:
                    break
                if on_step is not None:
                    on_step(now.done)
                if due and checkpoint is not None:
                    now = now._replace(seconds=time.perf_counter() - start)
                    failed, written = write_checkpoint(checkpoint, plan, began, here, now), time.monotonic()
                    if failed and progress:
                        bar.say(f"fit: {failed}; trying again in {every:g} s")
        except KeyboardInterrupt:
            interrupted = f"interrupted after {now.done} of {plan.steps} steps"
        now = plan.read(now)._replace(seconds=time.perf_counter() - start)
        rng.bit_generator.state = now.rng  # an interrupted step leaves no trace
        if checkpoint is not None:
            failed = write_checkpoint(checkpoint, plan, began, here, now)
        stopped = "; ".join(filter(None, (now.stopped or interrupted, failed)))
        log = Log(list(now.rows), stopped, now.best["step"] if now.best else None, now.seconds, list(now.notes))
        if log.stopped and progress:
            bar.say(f"fit: {log.stopped}")
    return now.kept, log
