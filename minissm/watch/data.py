"""The data of the page, all from the library: the trace of each sequence, and a trace back from each of its answers."""

from typing import Any

import numpy as np

from ..blocks import has_memory
from ..evaluate import check_training
from ..model import Model
from ..spec import spell
from ..tasks import TokenTask
from . import lead, views
from .exchange import costs
from .needs import compared
from .sequences import Search, Sequence, search

LONGEST = 64  # tokens of a sequence that can still be read as a picture
NUMBERS = 150_000  # on the page: 0.8 MB
SEARCHED = 3000  # sequences, for one with a mistake
ANSWERS = 12  # rows of the answer's distribution, at most


def collect(net: Model, params: dict, task: Any, rng: np.random.Generator) -> dict[str, Any]:
    """All that the page shows, as dicts, lists and arrays. ValueError where the page can't show the task."""
    check(net, task)
    check_training("watch", net, params, task, rng, "auto")
    found = search(net, params, task, rng, SEARCHED)
    whole = net.trace(params, task.batch(rng, 1).inputs)  # of full length, for the kernels
    blocks = [_block(net, params, i, whole, _rows(net, found.shown)) for i in range(len(net.blocks))]
    return {
        "model": repr(net),
        "spec": net.spec,
        "task": task.spec,
        "about": ((type(task).__doc__ or "").strip().splitlines() or [""])[0],
        "size": net.size,
        "accuracy": found.accuracy,
        "baseline": float(task.baseline),
        "searched": found.searched,
        "wrong": found.wrong,
        "names": task.names,
        "kinds": task.kinds,
        "blocks": blocks,
        "examples": [_example(net, params, task, one, blocks, _answers(task, found)) for one in found.shown],
        "needs": compared(net, params, task, rng),
    }


def check_task(task: Any) -> None:
    """ValueError in one sentence for a task without tokens, and for long sequences."""
    has_tokens = isinstance(task, TokenTask) and "vocab" in task.sizes
    if not has_tokens:
        given = getattr(task, "spec", task)
        raise ValueError(f"watch: {given} has no tokens; expected a task with tokens, like recall or copying")
    if task.length > LONGEST:
        what = f"a sequence of {task.spec} has up to {task.length:,} tokens"
        raise ValueError(f"watch: {what}; the page shows {LONGEST} at most, choose smaller options of the task")


def check(net: Model, task: Any) -> None:
    """ValueError in one sentence for a task that the page can't show, and for a model of another vocabulary."""
    check_task(task)
    if net.vocab != task.vocab:
        given = f"a vocabulary of {net.vocab}" if net.vocab else f"inputs of {net.inputs} numbers"
        what = f"the model has {given}, the task {task.spec} a vocabulary of {task.vocab}"
        raise ValueError(f"watch: {what}; give --task the task that the model was trained on")


def _rows(net: Model, shown: list[Sequence]) -> int:
    """The rows of a layer that are shown, so that the page stays small."""
    mixers, depth = sum(map(has_memory, net.blocks)), len(net.blocks)
    others = sum(one.tokens.size * one.asked.size * (depth + 2) for one in shown)
    a_row = sum(one.tokens.size * (10 + 2 * one.asked.size) for one in shown)
    return max(1, (NUMBERS - others) // (a_row * max(1, mixers)))


def _block(net: Model, params: dict, i: int, trace: dict, most: int) -> dict[str, Any]:
    inside = views.inside_of(net, trace, i)
    view = views.view_of(net.blocks[i])
    return {"name": spell(net.blocks[i : i + 1]), "view": view} | views.still(view, params["blocks"][i], inside, most)


def _answers(task: Any, found: Search) -> np.ndarray:
    """The tokens that may be answers: those of the kinds of the right ones."""
    targets = np.unique(np.concatenate([one.targets for one in found.shown]))
    return np.unique(np.concatenate([lead.of_its_kind(task, target) for target in targets]))


def _example(
    net: Model, params: dict, task: Any, one: Sequence, blocks: list[dict], answers: np.ndarray
) -> dict[str, Any]:
    """A sequence, traced as often as it has answers: copy a goes back from the lead of answer a."""
    A, L, outputs = one.asked.size, one.tokens.size, net.outputs or 0
    dy = np.zeros((A, L, outputs), net.dtype)
    for a, (t, target) in enumerate(zip(one.asked, one.targets, strict=True)):
        dy[a, t] = lead.weights(task, target, outputs)
    trace = net.trace(params, np.tile(one.tokens, (A, 1)), dy=dy)
    y = trace["y"][0].astype(float)
    p = np.exp(y - y.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    shown = _likely(p, one, answers)
    inside = [views.inside_of(net, trace, i) for i in range(len(blocks))]
    found = costs(net, params, task, one.tokens, one.asked, one.targets)
    return {
        "tokens": one.tokens.tolist(),
        "asked": one.asked.tolist(),
        "targets": one.targets.tolist(),
        "said": one.said.tolist(),
        "shown": shown.tolist(),
        "p": p[:, shown].T,
        "blocks": [views.forwards(b["view"], a, b["rows"]) for b, a in zip(blocks, inside, strict=True)],
        "answers": [
            {
                "lead": float((dy[a] * y).sum()),
                "costs": found[a],
                "path": np.stack([np.linalg.norm(gradient[a], axis=1) for gradient in _path(net, trace)]),
                "blocks": [
                    views.backwards(b["view"], i, a, b.get("outputs", b["rows"]))
                    for b, i in zip(blocks, inside, strict=True)
                ],
            }
            for a in range(A)
        ],
    }


def _likely(p: np.ndarray, one: Sequence, answers: np.ndarray) -> np.ndarray:
    """The answers to show: all if they are few, else the right ones and the most likely."""
    if answers.size <= ANSWERS:
        return answers
    first = list(dict.fromkeys([*one.targets.tolist(), *one.said.tolist()]))
    rest = [t for t in answers[np.argsort(-p[one.asked][:, answers].max(axis=0))].tolist() if t not in first]
    return np.sort([*first, *rest][: max(ANSWERS, len(first))])


def _path(net: Model, trace: dict) -> list[np.ndarray]:
    """The gradients of the residual stream, from the embedding to the last block."""
    return [trace["dembed"], *(trace[f"blocks.{i}.doutput"] for i in range(len(net.blocks)))]
