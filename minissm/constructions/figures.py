"""The figures of `minissm constructions`: recall with random keys, sizes over the vocabulary, and trainings."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from .. import tree
from ..plots import COLOURS, MARKS, new_figure, save
from ..tasks import Recall
from .networks import recall, signs
from .stats import stats

KEYS, VALUES = 256, 64
CODES = {  # pairs -> numbers of signs in a code
    8: (8, 11, 16, 23, 32, 45, 64),
    32: (16, 23, 32, 45, 64, 91, 128, 181, 256, 362),
    128: (64, 91, 128, 181, 256, 362, 512, 724, 1024, 1448),
}
VOCAB = tuple(6 + values for values in (6, 14, 30, 62, 126, 254, 510, 1022))
SHADES = ("#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00")


def recall_error(codes: int, pairs: int) -> dict:
    """How often recall with random codes is wrong: up to 8 pairs, by the network; above, by its sum alone."""
    right = by_network(codes, pairs) if pairs <= 8 else by_sum(codes, pairs)
    sizes = {"codes": codes, "pairs": pairs, "values": VALUES, "sequences": right.size}
    bound, gauss = predicted(codes, pairs)
    return sizes | {"error": round(1 - float(right.mean()), 6), "bound": bound, "gauss": gauss}


def predicted(codes: float, pairs: int) -> tuple[float, float]:
    """The proven bound of the error, 1 at most, and the prediction of a Gaussian sum."""
    bits, exponent = math.ceil(math.log2(VALUES)), codes / (pairs - 1) / 2
    return min(1.0, bits * math.exp(-exponent)), 1 - (1 - math.erfc(math.sqrt(exponent)) / 2) ** bits


def by_network(codes: int, pairs: int, draws: int = 4, n: int = 300) -> np.ndarray:
    """Whether the answers are right: n sequences with one query, for each of some draws of all codes."""
    task, rng, right = Recall(pairs, KEYS, VALUES, queries=1), np.random.default_rng(codes), []
    for seed in range(draws):
        net, params = recall(KEYS, VALUES, pairs, codes=codes, seed=seed, dtype="float32")
        inputs, targets, weights = task.batch(rng, n)
        right += [net(params, inputs, where=weights > 0)[0].argmax(axis=1) == targets[weights > 0]]
    return np.concatenate(right)


def by_sum(codes: int, pairs: int, n: int = 20_000) -> np.ndarray:
    """The same of n sequences, each with codes of its own: the sum of the values, each times key_i . key.

    key_i . key is a sum of random signs, codes - 2 Binomial(codes, 1/2), and for the key of the query codes.
    """
    rng, value = np.random.default_rng(codes), signs(VALUES)
    v, inner = rng.integers(0, VALUES, (n, pairs)), codes - 2 * rng.binomial(codes, 0.5, (n, pairs))
    inner[:, 0] = codes
    bits = (inner[:, None] @ value[v])[:, 0]
    return (bits @ value.T).argmax(axis=1) == v[:, 0]


def nonzeros(vocab: int, rows: list[dict]) -> dict:
    """S of recall with 6 keys and 4 pairs; between: without embedding and readout.

    trained: the smallest budget of the rows whose median accuracy is .95 or more. tried: the largest budget.
    """
    scores: dict[int, list[float]] = {}
    for row in rows:
        if row["vary"]["values"] == vocab - 6:
            scores.setdefault(row["vary"]["budget"], []).append(row["token_accuracy"])
    learnt = [budget for budget, found in scores.items() if median(found) >= 0.95]
    net, params = recall(6, vocab - 6, 4)
    S = stats(net, params).S
    between = S - sum(int(np.count_nonzero(leaf)) for leaf in tree.leaves([params["embed"], params["head"]]))
    trained = {"trained": min(learnt, default=None), "tried": max(scores, default=None)}
    return {"vocab": vocab, "written": S, "between": between} | trained


# ---- files


def draw_codes(rows: list[dict], path: Path) -> None:
    with drawing(path) as figure:
        axes = figure.subplots()
        for (pairs, codes), colour, mark in zip(CODES.items(), COLOURS, MARKS, strict=False):
            m = np.geomspace(codes[0], codes[-1], 99)
            bound, gauss = np.transpose([predicted(x, pairs) for x in m])
            axes.plot(m, bound, "-", m, gauss, "--", color=colour, linewidth=1.2)
            mine = [row for row in rows if row["pairs"] == pairs]
            error = np.array([row["error"] for row in mine])
            bar = np.sqrt(error * (1 - error) / mine[0]["sequences"])
            text = f"{pairs} pairs, {'the network' if pairs <= 8 else 'its sum alone'}"
            axes.errorbar(codes, error, bar, fmt=mark, color=colour, markersize=5, capsize=2, label=text)
        axes.plot([], [], "-", color="0.3", label="proven bound")
        axes.plot([], [], "--", color="0.3", label="Gaussian prediction")
        axes.set(xscale="log", yscale="log", ylim=(1e-3, 1.3), title=f"Recall with random keys, {VALUES} values")
        axes.set(xlabel="signs m in the random code of a key", ylabel="fraction of wrong answers")
        label(axes.xaxis, [8 << i for i in range(8)])
        label(axes.yaxis, [0.001, 0.01, 0.1, 1])


def draw_nonzeros(rows: list[dict], path: Path) -> None:
    names = {
        "trained": "trained 1,500 steps: the smallest that learns",
        "written": "written: parameters that are not 0",
        "between": "the same without embedding and readout",
    }
    with drawing(path) as figure:
        axes = figure.subplots()
        for (name, text), colour, mark in zip(names.items(), COLOURS, MARKS, strict=False):
            points = np.array([(row["vocab"], row[name]) for row in rows if row[name]]).reshape(-1, 2)
            axes.plot(*points.T, "-" + mark, color=colour, markersize=5, linewidth=1.5, label=text)
        for row in rows:
            if row["tried"] and not row["trained"]:
                options = {"ha": "left", "va": "bottom", "fontsize": 9, "color": COLOURS[0]}
                axes.annotate(f" none up to {row['tried']:,}", (row["vocab"], row["tried"]), **options)
                axes.plot(row["vocab"], row["tried"], "x", color=COLOURS[0])
        axes.set(xscale="log", yscale="log", title="Recall of 4 pairs: size over the vocabulary")
        axes.set(xlabel="different tokens (6 keys, and values)", ylabel="parameters")
        label(axes.xaxis, [row["vocab"] for row in rows])
        label(axes.yaxis, [300, 1000, 3000, 10_000, 30_000, 100_000])


def label(axis: Any, ticks: list) -> None:
    """Plain numbers at these values alone."""
    axis.set_ticks(ticks, [f"{tick:,g}" for tick in ticks])
    axis.set_ticks([], minor=True)


def draw_learning(rows: list[dict], path: Path, lr: float, baseline: float) -> None:
    """Accuracy over steps, a line a row: from the weights at the rate lr, by the noise; from a draw, by the rate."""
    rows = [row for row in rows if (row["act"], row["dtype"]) == ("relu", "float32")]
    written = [row for row in rows if row["start"] == "weights" and row["lr"] == lr and not row["relative"]]
    drawn = [row for row in rows if row["start"] == "draw"]
    panels = (
        ("From the written weights, with noise", "noise", written),
        ("From a random draw", "lr", [row for row in drawn if not row["residual"]]),
        ("From a random draw, with a residual", "lr", [row for row in drawn if row["residual"]]),
    )
    with drawing(path, (11, 3.8)) as figure:
        for axes, (title, by, mine) in zip(figure.subplots(1, 3, sharey=True), panels, strict=True):
            values = sorted({row[by] for row in mine})
            for row in mine:
                steps, accuracy, _ = zip(*row["curve"], strict=True)
                name = f"{by} {row[by]:g}" if row["seed"] == 0 else None
                axes.plot(steps, accuracy, color=SHADES[values.index(row[by]) % len(SHADES)], linewidth=1.2, label=name)
            axes.axhline(baseline, color="0.2", linestyle=":", linewidth=1.2, label="baseline")
            axes.set(xlabel="steps", title=title, ylim=(0, 1.03), xlim=(0, None))
            axes.set_xscale("symlog", linthresh=50)  # from 0; logarithmic from 50 on
            axes.xaxis.set_major_formatter("{x:,g}")
        figure.axes[0].set_ylabel("accuracy on fresh sequences")


@contextmanager
def drawing(path: Path, size: tuple[float, float] = (6.4, 4.4)) -> Iterator[Any]:
    """A figure. At the end it gets legends, and is written to path, a .png."""
    with new_figure(*size) as figure:
        yield figure
        for axes in figure.axes:
            axes.legend(fontsize=9)
            axes.grid(alpha=0.25)
            axes.spines[["top", "right"]].set_visible(False)
        save(figure, path)
