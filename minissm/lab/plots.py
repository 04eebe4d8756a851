"""Figures. The only file that knows matplotlib; it draws without a screen and leaves the user's settings alone."""

import io
import textwrap
from pathlib import Path
from statistics import median
from typing import Any

from ..files import write_whole
from ..tasks import Task
from .compare import Config
from .report import chosen

# Okabe & Ito's colours, told apart by all; dashes and marks are for grey print
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")
DASHES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (3, 1)), (0, (1, 1)))
MARKS = ("o", "s", "^", "D", "v", "P", "X")
METHOD = {  # of the scan of modes, wherever its crossover is drawn: colour and mark by the method
    method: {"color": COLOURS[i], "marker": MARKS[i], "markersize": 6}
    for i, method in enumerate(("plain loop", "chunked", "fft", "kernel"))
}
PLACE = {  # a full line and filled marks for the processor, a dashed line and open marks for the GPU
    "numpy": {"linestyle": "-", "linewidth": 1.4},
    "cupy": {"linestyle": "--", "linewidth": 1.4, "markerfacecolor": "white"},
}
ACCURACY = "token accuracy on fresh sequences"

WORDS = {  # what the words in the models mean, for those who see the figure alone
    "ssm": "state space layers (ssm)",
    "trig": "windowed filters (trig)",
    "fir": "free taps (fir)",
    "s6": "selective layers (s6)",
    "lstm": "LSTM",
    "fnn": "token-wise networks (fnn)",
    "attn": "attention (attn)",
}


def comparison(rows: list[dict], curves: list[dict], task: Task, config: Config, folder: Path) -> list[Path]:
    """folder/figure.png and .svg: how each model learned, and what it reached."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    mine = chosen(rows, curves)
    models = [m for m in config.models if m in mine]
    labels = short(models)
    lines = sum(label.count("\n") + 1 for label in labels)
    size = f"width {config.width}" if config.width else f"about {config.budget:,} parameters"
    with rc_context({"font.size": 10, "svg.hashsalt": "minissm"}):
        figure = Figure(figsize=(10, 3.9 + 0.16 * lines), layout="constrained")
        meanings = ", ".join(meaning for word, meaning in WORDS.items() if any(word in model for model in models))
        figure.suptitle(textwrap.fill(f"{task.name}, {size} each: {meanings}", 112))
        learning, reached = figure.subplots(1, 2, width_ratios=(1.25, 1))
        _learning(learning, [(m, mine[m][0]["lr"], label) for m, label in zip(models, labels, strict=True)], curves)
        _reached(reached, [mine[m] for m in models], labels)
        for axes, line in ((learning, learning.axhline), (reached, reached.axvline)):
            line(task.floor, color="0.4", linewidth=1, linestyle=(0, (1, 2)))
            axes.grid(alpha=0.25)
            axes.spines[["top", "right"]].set_visible(False)
        _name_the_floor(learning, task.floor)
        return [_save(figure, folder / f"figure.{kind}") for kind in ("png", "svg")]


def _learning(axes: Any, shown: list[tuple[str, float, str]], curves: list[dict]) -> None:
    """Accuracy over steps: the median over seeds, and a band from the lowest to the highest."""
    for i, (model, lr, label) in enumerate(shown):
        by_step: dict[int, list[float]] = {}
        for r in curves:
            if r["model"] == model and r["lr"] == lr:
                by_step.setdefault(r["step"], []).append(r["token_accuracy"])
        steps = sorted(by_step)
        style = _style(i)
        axes.plot(steps, [median(by_step[s]) for s in steps], label=label, **style)
        band = [min(by_step[s]) for s in steps], [max(by_step[s]) for s in steps]
        axes.fill_between(steps, *band, color=style["color"], alpha=0.12, linewidth=0)
    axes.set(xlabel="training step", ylabel=ACCURACY, ylim=(0, 1.03), title="How they learn")
    axes.legend(fontsize=8.5, loc="best", framealpha=0.9)


def _reached(axes: Any, groups: list[list[dict]], labels: list[str]) -> None:
    """A mark a seed, a line over their range, a large mark and a number for their median."""
    for i, rows in enumerate(groups):
        style, values = _style(i), [r["token_accuracy"] for r in rows]
        middle = median(values)
        axes.plot(values, [i] * len(values), style["marker"], color=style["color"], alpha=0.55, markersize=6)
        axes.plot([min(values), max(values)], [i, i], color=style["color"], linewidth=2)
        axes.plot([middle], [i], style["marker"], color=style["color"], markersize=9, markeredgecolor="white")
        place = {"xytext": (10, 0), "ha": "left"} if middle < 0.8 else {"xytext": (-10, 0), "ha": "right"}
        end = max(values) if middle < 0.8 else min(values)
        axes.annotate(f"{middle:.3f}", (end, i), textcoords="offset points", va="center", **place)
    seeds = max(len(rows) for rows in groups)
    title = f"What they reach ({seeds} seeds, median)" if seeds > 1 else "What they reach (1 seed)"
    axes.set(xlabel=ACCURACY, xlim=(0, 1.03), ylim=(len(groups) - 0.5, -0.5), title=title)
    axes.set_yticks(range(len(groups)), labels)


def _name_the_floor(axes: Any, floor: float) -> None:
    """Below the line, where no curve runs, and on white."""
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}
    axes.annotate(
        f"guessing {floor:.3f}",
        (0.99, floor),
        xycoords=("axes fraction", "data"),
        xytext=(0, -9),
        textcoords="offset points",
        ha="right",
        va="top",
        color="0.25",
        bbox=box,
    )


def short(models: list[str]) -> list[str]:
    """Labels of three short lines at most, numbered where they would be alike."""
    labels = ["\n".join(textwrap.wrap(m, 30, max_lines=3, placeholder=" ...")) for m in models]
    return labels if len(set(labels)) == len(labels) else [f"{i}: {label}" for i, label in enumerate(labels, start=1)]


def _style(i: int) -> dict:
    """Of line i: its own up to 49."""
    j = (i + i // 7) % 7
    return {"color": COLOURS[i % 7], "linestyle": DASHES[j], "marker": MARKS[j], "markersize": 4}


def _save(figure: Any, path: Path) -> Path:
    buffer = io.BytesIO()
    metadata = {"Date": None} if path.suffix == ".svg" else None
    figure.savefig(buffer, format=path.suffix[1:], dpi=150, metadata=metadata)
    write_whole(path, lambda file: file.write(buffer.getvalue()))
    return path
