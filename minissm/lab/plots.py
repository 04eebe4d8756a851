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

COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#000000",
    "#E69F00",
    "#56B4E9",
)  # Okabe & Ito: told apart by all
DASHES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (3, 1)), (0, (1, 1)))  # and in grey print
MARKS = ("o", "s", "^", "D", "v", "P", "X")


def comparison(rows: list[dict], curves: list[dict], task: Task, config: Config, folder: Path) -> list[Path]:
    """folder/figure.png and .svg: how each model learned, and what it reached."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    mine = chosen(rows, curves)
    models = [m for m in config.models if m in mine]
    labels = short(models)
    lines = sum(label.count("\n") + 1 for label in labels)
    with rc_context({"font.size": 10, "svg.hashsalt": "minissm"}):
        figure = Figure(figsize=(10, 3.4 + 0.16 * lines), layout="constrained")
        learning, reached = figure.subplots(1, 2, width_ratios=(1.25, 1))
        for i, model in enumerate(models):
            style = _style(i)
            _curve(learning, curves, model, mine[model][0]["lr"], style | {"label": labels[i]})
            values = [r["token_accuracy"] for r in mine[model]]
            reached.plot(values, [i] * len(values), style["marker"], color=style["color"], alpha=0.55, markersize=6)
            reached.plot([median(values)] * 2, [i - 0.3, i + 0.3], color=style["color"], linewidth=2)
            right = median(values) < 0.8
            reached.annotate(
                f"{median(values):.3f}",
                (max(values) if right else min(values), i),
                textcoords="offset points",
                xytext=(10 if right else -10, 0),
                ha="left" if right else "right",
                va="center",
            )
        for axes in (learning.axhline, reached.axvline):
            axes(task.floor, color="0.45", linewidth=1, linestyle=(0, (1, 2)))
        learning.annotate(
            f"guessing {task.floor:.3f}",
            (1, task.floor),
            xycoords=("axes fraction", "data"),
            ha="right",
            va="bottom",
            color="0.3",
        )
        learning.set(
            xlabel="training step",
            ylabel="token accuracy on fresh sequences",
            ylim=(0, 1.03),
            title=f"How they learn: {task.name}",
        )
        learning.legend(fontsize=8.5, loc="best", framealpha=0.9)
        count = len({r["seed"] for r in rows})
        title = f"What they reach ({count} seeds, median)" if count > 1 else "What they reach (1 seed)"
        reached.set(
            xlabel="token accuracy on fresh sequences", xlim=(0, 1.03), ylim=(len(models) - 0.5, -0.5), title=title
        )
        reached.set_yticks(range(len(models)), labels)
        for axes in (learning, reached):
            axes.grid(alpha=0.25)
            axes.spines[["top", "right"]].set_visible(False)
        return [_save(figure, folder / f"figure.{kind}") for kind in ("png", "svg")]


def short(models: list[str]) -> list[str]:
    """Labels of three short lines at most, numbered where they would be alike."""
    labels = ["\n".join(textwrap.wrap(m, 30, max_lines=3, placeholder=" ...")) for m in models]
    return labels if len(set(labels)) == len(labels) else [f"{i}: {label}" for i, label in enumerate(labels, start=1)]


def _style(i: int) -> dict:
    """Of line i: its own up to 49."""
    j = (i + i // 7) % 7
    return {"color": COLOURS[i % 7], "linestyle": DASHES[j], "marker": MARKS[j], "markersize": 4}


def _curve(axes: Any, curves: list[dict], model: str, lr: float, style: dict) -> None:
    """The median over seeds, and a band from the lowest to the highest."""
    by_step: dict[int, list[float]] = {}
    for r in curves:
        if r["model"] == model and r["lr"] == lr:
            by_step.setdefault(r["step"], []).append(r["token_accuracy"])
    steps = sorted(by_step)
    axes.plot(steps, [median(by_step[s]) for s in steps], **style)
    axes.fill_between(
        steps,
        [min(by_step[s]) for s in steps],
        [max(by_step[s]) for s in steps],
        color=style["color"],
        alpha=0.12,
        linewidth=0,
    )


def _save(figure: Any, path: Path) -> Path:
    buffer = io.BytesIO()
    metadata = {"Date": None} if path.suffix == ".svg" else None
    figure.savefig(buffer, format=path.suffix[1:], dpi=150, metadata=metadata)
    write_whole(path, lambda file: file.write(buffer.getvalue()))
    return path
