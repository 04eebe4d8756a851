"""A training step by its parts: python -m benchmarks.harness.parts [--backend cupy]

The whole step; its forward (with the loss), backward and optimizer; a layer of each kind, forward and backward. On a
GPU, CUDA events measure the times, and a large case comes last.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from benchmarks import training
from minissm import blocks, gpu, layers, losses, optim, train
from minissm.backend import like
from minissm.fast.layout import keep_freed_memory
from minissm.lab import timing

from . import report
from .libraries import Minissm
from .measure import title

ROUNDS = timing.Rounds(3, 15, 0.5)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.harness.parts", description="A step by its parts.")
    parser.add_argument("--backend", choices=("numpy", "cupy"), default="numpy", help="default numpy; cupy: on a GPU")
    backend = parser.parse_args(argv).backend
    try:
        timer = timing.by_events(gpu.cupy()) if backend == "cupy" else None
    except RuntimeError as error:
        print(f"parts: {error}", file=sys.stderr)
        return 2
    keep_freed_memory()
    cases: list[dict] = [*training.CASES[:2], *(training.ON_CARD if backend == "cupy" else [])]
    for case in cases:
        print(f"{title(case)}, {backend}\n", flush=True)
        runs = parts(Minissm("minissm", backend).move(training.data(np.random.default_rng(0), **case)))
        for run in runs.values():  # compiles kernels and allocates memory
            run()
        print(table(timing.interleave(runs, ROUNDS, timer)), flush=True)
    return 0


def parts(data: dict[str, Any]) -> dict[str, Callable]:
    """{name of a part: run}. A backward is repeated after one forward."""
    net, params, batch = data["net"], data["params"], data["batch"]
    w, where = params["embed"]["w"], batch.weights > 0
    inputs, targets, weights = (like(a, w) for a in (batch.inputs, batch.targets[where], batch.weights[where]))
    _, state, _ = train.step(net, params, batch, None, training.LR)

    def forward() -> tuple:
        y, backward = net(params, inputs, "auto", where)
        loss, back_loss = losses.cross_entropy(y, targets, weights)
        return loss, lambda: optim.gradient_vector(params, backward(back_loss())[0])

    _, backward = forward()
    gradient = backward()

    def optimizer() -> tuple:
        clipped, _ = optim.clip(gradient, training.CLIP)
        return optim.adamw(params, clipped, state, lr=training.LR)

    step = partial(train.step, net, params, batch, state, training.LR)
    found = {"step": step, "forward": forward, "backward": backward, "clipping, AdamW": optimizer}

    def layer(name: str, f: Callable) -> Any:
        """Add both directions of a layer, unless its kind is already there. -> its output."""
        y, *_, back = f()
        if f"{name} forward" not in found:
            found.update({f"{name} forward": f, f"{name} backward": partial(back, y)})
        return y

    x = layer("embed", partial(layers.embed, params["embed"], inputs))
    for block, p in zip(net.blocks, params["blocks"], strict=True):
        layer(type(block).__name__.lower(), partial(run, block, p, x))
    layer("head", partial(layers.linear, params["head"], x))
    return found


def run(block: Any, p: Any, x: Any) -> tuple:
    """y and backward(dy) of a block, without a state."""
    y, _, backward = blocks.run(block, p, x, None, "auto")
    return y, lambda dy: backward(dy, None)


def table(times: dict[str, list[float]]) -> str:
    rows = {name: {"seconds": timing.spread(taken)} for name, taken in times.items()}
    lines = [["part", "ms", "quartiles", "of the step"]]
    for name, row in rows.items():
        quartiles = f"{report.ms(row, 'q1')} to {report.ms(row, 'q3')}"
        lines.append([name, report.ms(row), quartiles, report.number(report.ratio(row, rows["step"]))])
    return report.table(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
