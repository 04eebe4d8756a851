"""The study `cost`: time and memory of a training step and of one more token, over the length of the sequence."""

from functools import partial
from typing import Any

import numpy as np

from ...fast.parallel import threads
from ...model import Model
from ...progress import Progress
from ...tasks import Batch
from ...train import loss_and_gradient
from ..job import versions
from ..studies import ATTN_NO_POSITIONS, SSM
from ..timing import Rounds, Run, interleave, numpy_memory, spread
from .rows import canonical

MODELS = (SSM, ATTN_NO_POSITIONS, "ssm + ssm")
LENGTHS = tuple(32 << i for i in range(8))
BATCH, VOCAB, WIDTH = 4, 16, 64
ROUNDS = Rounds(2, 15, 0.5)


def measure(lengths: tuple[int, ...] = LENGTHS, rounds: Rounds = ROUNDS, show: bool = True) -> list[dict]:
    """A row for each model and length, on one core; attention has no positions, so that one model serves all lengths.

    "step seconds", "step bytes": forward and backward of a batch, every token with an answer. The bytes are the peak.
    "token seconds": one more token for each sequence of the batch, after L of them.
    "token bytes": the state of one sequence after L tokens.
    """
    rows, rng = [], np.random.default_rng(0)
    nets = {spec: Model(spec, vocab=VOCAB, width=WIDTH) for spec in MODELS}
    params = {spec: net.init(rng) for spec, net in nets.items()}
    with threads(1), Progress(len(lengths), "cost", show) as bar:
        for L in lengths:
            tokens = rng.integers(0, VOCAB, (2, BATCH, L))
            batch = Batch(tokens[0], tokens[1], np.ones((BATCH, L)))
            steps: dict[str, Run] = {s: partial(loss_and_gradient, net, params[s], batch) for s, net in nets.items()}
            more: dict[str, Run] = {spec: one_more(net, params[spec], tokens[0]) for spec, net in nets.items()}
            seconds = [interleave(runs, rounds) for runs in (steps, more)]
            for spec, net in nets.items():
                costs = {
                    "step seconds": spread(seconds[0][spec])["min"],
                    "step bytes": numpy_memory(steps[spec]),
                    "token seconds": spread(seconds[1][spec])["min"] / BATCH,
                    "token bytes": 4 * net.state_size(L),
                }
                sizes = {"L": L, "batch": BATCH, "width": WIDTH, "parameters": net.size}
                taken = {"seconds": round(sum(sum(times[spec]) for times in seconds), 3), "versions": versions()}
                rows.append({"model": canonical(spec)} | sizes | costs | taken)
            bar.update(1, f"length {L}")
    return rows


def one_more(net: Model, params: Any, tokens: np.ndarray) -> Run:
    """A function that runs one token after the tokens (B, L), always the same: it writes over what it wrote before."""
    step = net.stepper(params)
    state = net.run(params, tokens)[1]
    state = step(state, tokens[:, 0])[1]  # attention has room for more tokens now
    return lambda: step(state, tokens[:, 0])
