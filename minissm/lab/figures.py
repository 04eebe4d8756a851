"""The figure of a comparison: how the models learn, and what they reach."""

import textwrap
from pathlib import Path
from statistics import median
from typing import Any

from .. import plots
from ..tasks import parse
from .rows import chosen

FRACTIONS = {"token_accuracy", "sequence_accuracy"}  # scores from 0 to 1
BLOCKS = {  # the meanings of the blocks, for a reader who sees the figure alone
    "ssm": "state space layers (ssm)",
    "trig": "windowed filters (trig)",
    "fir": "free taps (fir)",
    "s6": "selective layers (s6)",
    "lstm": "LSTM",
    "fnn": "token-wise networks (fnn)",
    "attn": "attention (attn)",
    "mean": "running means (mean)",
}


def comparison(rows: list[dict], curves: list[dict], folder: Path) -> list[Path]:
    """folder/figure.png and .svg: the learning curve and the final score of each model."""
    groups, task = chosen(rows), parse(rows[0]["task"])
    models, score = [titled(mine[0]) for mine in groups], f"{task.main[0].replace('_', ' ')} on fresh sequences"
    labels = short(models)
    lines = sum(label.count("\n") + 1 for label in labels)
    sizes = sorted(row["parameters"] for row in rows)
    size = f"{sizes[0]:,}" if sizes[0] == sizes[-1] else f"{sizes[0]:,} to {sizes[-1]:,}"
    with plots.new_figure(10, 3.9 + 0.16 * lines) as figure:
        meanings = ", ".join(meaning for name, meaning in BLOCKS.items() if any(name in model for model in models))
        figure.suptitle(textwrap.fill(f"{task.spec}, {size} parameters: {meanings}", 112))
        learning, reached = figure.subplots(1, 2, width_ratios=(1.25, 1))
        _learning(learning, groups, labels, curves, task.main[0])
        _reached(reached, groups, labels, task.main[0])
        learning.set_ylabel(score)
        reached.set_xlabel(score)
        if task.main[0] in FRACTIONS:
            learning.set_ylim(0, 1.03)
            reached.set_xlim(0, 1.03)
        for axes, line in ((learning, learning.axhline), (reached, reached.axvline)):
            line(task.baseline, color="0.4", linewidth=1, linestyle=(0, (1, 2)))
            axes.grid(alpha=0.25)
            axes.spines[["top", "right"]].set_visible(False)
        _name_the_baseline(learning, task.baseline)
        return [plots.save(figure, folder / f"figure.{kind}") for kind in ("png", "svg")]


def titled(row: dict) -> str:
    """The model and its varied settings."""
    return ", ".join([row["model"], *(f"{name}={value}" for name, value in row["vary"].items())])


def _learning(axes: Any, groups: list[list[dict]], labels: list[str], curves: list[dict], score: str) -> None:
    """The score over steps: the median over seeds, with a band from the lowest to the highest."""
    for i, (mine, label) in enumerate(zip(groups, labels, strict=True)):
        by_step: dict[int, list[float]] = {}
        same = {name: mine[0][name] for name in ("task", "model", "vary", "lr")}
        for r in curves:
            if r | same == r and r[score] is not None:
                by_step.setdefault(r["step"], []).append(r[score])
        steps = sorted(by_step)
        look = plots.style(i)
        axes.plot(steps, [median(by_step[s]) for s in steps], label=label, **look)
        band = [min(by_step[s]) for s in steps], [max(by_step[s]) for s in steps]
        axes.fill_between(steps, *band, color=look["color"], alpha=0.12, linewidth=0)
    axes.set(xlabel="training step", title="How they learn")
    axes.legend(fontsize=8.5, loc="best", framealpha=0.9)


def _reached(axes: Any, groups: list[list[dict]], labels: list[str], score: str) -> None:
    """A mark for each seed, a line over their range, and a large mark and a number for their median."""
    reached = [[r[score] for r in rows if r[score] is not None] for rows in groups]
    most = 1 if score in FRACTIONS else max((value for values in reached for value in values), default=1)
    for i, values in enumerate(reached):
        if not values:  # no score is finite
            continue
        look, middle = plots.style(i), median(values)
        axes.plot(values, [i] * len(values), look["marker"], color=look["color"], alpha=0.55, markersize=6)
        axes.plot([min(values), max(values)], [i, i], color=look["color"], linewidth=2)
        axes.plot([middle], [i], look["marker"], color=look["color"], markersize=9, markeredgecolor="white")
        room = middle < 0.8 * most
        position = {"xytext": (10, 0), "ha": "left"} if room else {"xytext": (-10, 0), "ha": "right"}
        end = max(values) if room else min(values)
        axes.annotate(f"{middle:.3f}", (end, i), textcoords="offset points", va="center", **position)
    seeds = max(len(rows) for rows in groups)
    title = f"What they reach ({seeds} seeds, median)" if seeds > 1 else "What they reach (1 seed)"
    axes.set(ylim=(len(groups) - 0.5, -0.5), title=title)
    axes.set_yticks(range(len(groups)), labels)


def _name_the_baseline(axes: Any, baseline: float) -> None:
    """Label the baseline, below its line, where no curve runs, on white."""
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}
    axes.annotate(
        f"baseline {baseline:.3f}",
        (0.99, baseline),
        xycoords=("axes fraction", "data"),
        xytext=(0, -9),
        textcoords="offset points",
        ha="right",
        va="top",
        color="0.25",
        bbox=box,
    )


def short(models: list[str]) -> list[str]:
    """Labels of at most three short lines, numbered if two would be equal."""
    labels = ["\n".join(textwrap.wrap(m, 30, max_lines=3, placeholder=" ...")) for m in models]
    return labels if len(set(labels)) == len(labels) else [f"{i}: {label}" for i, label in enumerate(labels, start=1)]
