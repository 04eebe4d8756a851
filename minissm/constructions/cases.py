"""The four networks of `minissm constructions`: what each must answer, and how many answers are wrong."""

from collections.abc import Callable, Iterator
from itertools import permutations, product
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from ..calls import spell
from ..model import Model
from ..scan import MODES
from ..tasks import Batch, parse
from ..tasks.copying import ASK, BLANK, BOS, COPY, PAD
from . import networks
from .stats import stats

DRAWN, CLOSE = 500, 1e-9  # sequences of each task; error of a wrong answer that is a vector
MODEL = "ssm + fnn1 + ssm + fnn1"  # the trained model beside a network, unless the recipe of the task names others
Sequences = Iterator[tuple[Any, Any]]  # tokens or vectors, and the answers to the last of them


def two_pairs() -> Sequences:
    """All sequences of 2 pairs and 2 queries."""
    for (a, b), v, w in product(permutations(range(6), 2), range(6, 12), range(6, 12)):
        for asked in product((a, b), repeat=2):
            yield [a, v, b, w, *asked], [{a: v, b: w}[key] for key in asked]


def short_words() -> Sequences:
    """All words of up to 4 symbols, fed back and with blanks."""
    for n in (1, 2, 3, 4):
        for word in product(range(PAD + 1, PAD + 9), repeat=n):
            for shown in (word, (PAD,) * n):  # fed back, and with blanks
                yield [BOS, *word, COPY, *shown[:-1]], word


def among_blanks() -> Sequences:
    """All sequences of 4 symbols or blanks."""
    for tokens in product([BLANK, *range(ASK + 1, ASK + 9)], repeat=4):
        if word := [x for x in tokens if x != BLANK]:
            yield [*tokens, *[ASK] * len(word)], word


def on_edges() -> Sequences:
    """All triples of mu on edges and mid-points of bins, with this gap."""
    rng = np.random.default_rng(0)
    for mu in product(range(1, 21), repeat=3):  # in twentieths: even ones are edges of bins, odd ones mid-points
        if sorted(mu)[-1] >= sorted(mu)[-2] + 2:
            u = rng.uniform(-1, 1, (3, 2))
            yield np.c_[np.array(mu) / 20, u], [u[np.argmax(mu)]]


class Case(NamedTuple):
    """statement: what the network answers.
    sizes: the arguments of the network, a function of its name in networks.py.
    sequences: all sequences of a small size. Its docstring names them.
    tasks: others are drawn from these. The first is the task of the trained model.
    """

    statement: str
    sizes: dict[str, int]
    sequences: Callable[[], Sequences]
    tasks: tuple[str, ...]


CASES = {
    "recall": Case(
        "each query is answered with the value of its key, after up to 4 pairs of different keys",
        {"keys": 6, "values": 6, "pairs": 4},
        two_pairs,
        ("recall",),
    ),
    "copying": Case(
        "each word of up to 12 symbols is repeated, with the right answers or with blanks as inputs",
        {"min_len": 4, "max_len": 12, "symbols": 8},
        short_words,
        ("copying", "copying(blank=True)"),
    ),
    "selective_copying": Case(
        "up to 5 symbols among 16 tokens are repeated in order, without the blanks between them",
        {"copied": 5, "context": 16, "symbols": 8},
        among_blanks,
        ("selective_copying",),
    ),
    "selection": Case(
        "the answer is the vector of the token with the largest mu, if this mu is .1 above the others",
        {"bins": 10, "d": 2, "length": 8},
        on_edges,
        ("selection",),
    ),
}


def network(name: str, rows: list[dict]) -> dict:
    """What was checked of a network, its sizes, and those of the trained model, from its rows."""
    case, (net, params) = CASES[name], built(name)
    found = np.concatenate([wrong(net, params, batch) for batch in batches(case)])
    checked = f"{(case.sequences.__doc__ or '').rstrip('.')}; {DRAWN} drawn ones of {' and of '.join(case.tasks)}"
    about: dict[str, Any] = {"name": name, "statement": case.statement, "call": spell(name, case.sizes)}
    about |= {"task": case.tasks[0], "checked": checked, "answers": found.size, "wrong": int(found.sum())} | stats(
        net, params
    )._asdict()
    return about | {"spec": net.spec, "trained": trained(name, rows)}


def built(name: str) -> tuple[Model, dict]:
    return getattr(networks, name)(**CASES[name].sizes)


def batches(case: Case) -> Iterator[Batch]:
    """All sequences that are checked; those of a batch have one length."""
    by_length: dict[int, list] = {}
    for sequence in case.sequences():
        by_length.setdefault(len(sequence[1]), []).append(sequence)
    for n, sequences in by_length.items():
        inputs, answers = (np.array(part) for part in zip(*sequences, strict=True))
        targets, weights = np.zeros((*inputs.shape[:2], *answers.shape[2:]), answers.dtype), np.zeros(inputs.shape[:2])
        targets[:, -n:], weights[:, -n:] = answers, 1
        yield Batch(inputs, targets, weights)
    for task in case.tasks:
        yield parse(task).batch(np.random.default_rng(0), DRAWN)


def wrong(net: Model, params: dict, batch: Batch) -> np.ndarray:
    """(answers,): whether, in any mode, another logit is as large as the right one, or a vector is not CLOSE."""
    asked = batch.weights > 0
    outputs = (net(params, batch.inputs, mode, asked)[0] for mode in MODES)
    return ~np.all([right(y, batch.targets[asked]) for y in outputs], axis=0)


def right(y: np.ndarray, target: np.ndarray) -> np.ndarray:
    if target.ndim == 2:
        return (abs(y - target) < CLOSE).all(axis=1)
    own = np.arange(y.shape[1]) == target[:, None]
    return y[own] > np.where(own, -np.inf, y).max(axis=1)


def model_of(name: str) -> str:
    return parse(CASES[name].tasks[0]).recipe.get("models", [MODEL])[0]


def trained(name: str, rows: list[dict]) -> dict | None:
    """The trained model of the same task: its median score over the seeds. None without rows."""
    mine = [row for row in rows if row["model"] == model_of(name)]
    if not mine:
        return None
    score = parse(mine[0]["task"]).main[0]
    scores = [row[score] for row in mine]
    about = {"model": mine[0]["model"], "measure": score, "score": median(scores), "lowest": min(scores)}
    about |= {"highest": max(scores), "seeds": len(mine), "parameters": mine[0]["parameters"]}
    return about | {"state": mine[0]["state_size"], "study": name}
