"""W7: whole training steps (forward, loss, backward, clipping, AdamW) of models of SSMs or of attention and FNNs."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from ... import fast, losses, train, tree
from ...backend import like
from ...model import Model
from ...tasks import Batch, Task, copying
from ..budget import at_budget, model_for
from .case import Case, Method
from .workloads import plain

SSM, ATTN = "ssm + fnn1 + ssm + fnn1", "attn + fnn1 + attn + fnn1"
LR = 1e-3


def case(name: str, net: Model, task: Task, B: int, L: int, few: int | None = None) -> Case:
    """Sequences of the task, cut to L tokens. few: right answers are computed of a batch of so many (None: of all)."""
    rng = np.random.default_rng(7)
    tokens, targets, weights = (a[:, :L] for a in task.batch(rng, B)[:3])
    params = net.init(rng)
    arrays = {"tokens": tokens, "targets": targets, "weights": weights}

    def reference() -> tuple:
        with plain():
            return scored(replace(net, dtype="float64"), tree.map(lambda a: a.astype(np.float64), params), checked)

    checked = {n: a[:few] for n, a in arrays.items()}
    return Case("W7", name, arrays, reference, more={"net": net, "params": params, "checked": checked})


def scored(net: Model, params: dict, batch: dict, mode: str = "auto") -> tuple:
    """The loss and its gradient, one vector."""
    tokens, targets, weights = (like(a, params["embed"]["w"]) for a in batch.values())
    logits, backward = net(params, tokens, mode)
    loss, back_loss = losses.cross_entropy(logits, targets, weights)
    return loss, tree.flatten(backward(back_loss())[0], like=params)


def ours(case: Case) -> list[Method]:
    """train.step, from the same parameters each time: it writes into nothing."""
    net, params = case.more["net"], case.more["params"]
    tokens, targets, weights = case.arrays.values()
    batch = train.placed(Batch(tokens, targets, weights, lengths=np.zeros(0)), params)  # as the peers' batches are
    _, state, _ = train.step(net, params, batch, None, LR)

    def method(name: str, mode: str) -> Method:
        run = partial(train.step, net, params, batch, state, LR, mode=mode)
        return Method(name, "minissm", run, lambda: scored(net, params, case.more["checked"], mode))

    kernel = "ssm" in net.spec and fast.path("recurrent", params["embed"]["w"])
    more = [method("train.step, chunked", "chunked")] if kernel else []  # auto takes the kernel
    return [method("train.step", "auto"), *more]


def _cases() -> list[Callable[[], Case]]:
    short, long = copying(4, 13), copying(256, 512)  # cut to 26 and to 1024 tokens

    def small(word: str, sentence: str, budget: int) -> Case:
        return case(f"{word}, {budget // 1000}k", at_budget(sentence, short, budget), short, 64, 26)

    def large(word: str, sentence: str) -> Case:
        return case(f"{word}, L 1024", model_for(sentence, long, 64), long, 16, 1024)

    words = (("ssm", SSM), ("attn", ATTN))
    return [
        *(lambda w=w, s=s, n=n: small(w, s, n) for w, s in words for n in (30_000, 64_000)),
        *(lambda w=w, s=s: large(w, s) for w, s in words),
    ]


def wide() -> Case:
    """On a GPU alone. The gradient depends on the whole batch, so the right answers are those of another, of one."""
    task = copying(256, 2048)
    return case("ssm, B 64, L 4096, width 256", model_for(SSM, task, 256), task, 64, 4096, few=1)


CASES = _cases()
CARD: list[Callable[[], Case]] = [wide]
