"""Figures of a comparison that varies something: the main score and the steps to .95 over it."""

import math
from pathlib import Path
from statistics import median
from typing import Any

from .. import plots
from ..tasks import Regression, TokenTask, parse
from ..train import LR
from . import regression
from .figures import FRACTIONS, comparison, short
from .rows import cells, chosen, name_of, order, setting


def figures(rows: list[dict], curves: list[dict], folder: Path) -> list[Path]:
    """All figures of the comparison, the main one first: what is reached over each varied setting, or over the steps.

    The main setting is the one with most values. Several rates have a figure of their own, `rates`.
    """
    values: dict[str, set] = {}
    for row in rows:
        for name in row["vary"]:
            values.setdefault(name, set()).add(setting(row, name))
    names = sorted(values, key=lambda name: -len(values[name]))
    if names == ["n"] and isinstance(parse(rows[0]["task"]), Regression):
        names, found = [], regression.figure(rows, folder / "figure")
    else:
        found = [] if names else comparison(rows, curves, folder)
    for i, name in enumerate(names):
        found += over(name, rows, folder / (f"figure-{name}" if i else "figure"))
    return found + (over("lr", rows, folder / "rates") if len({row["lr"] for row in rows}) > 1 else [])


def over(name: str, rows: list[dict], path: Path) -> list[Path]:
    """path.png and .svg: medians, lowest to highest, and each seed, over the setting or over the learning rate.

    A model without the setting is a level. Where other settings vary too, each of their combinations is a line.
    """
    task, lines = parse(rows[0]["task"]), dict[str, list[dict]]()
    for mine in cells(rows) if name == "lr" else chosen(rows):
        lines.setdefault(_label(mine[0], name), []).extend(mine)
    values = sorted({setting(row, name) for row in rows} - {None}, key=order)
    timed = isinstance(task, TokenTask) and any(row.get("steps_to_95") is not None for row in rows)
    labels, never = short(list(lines)), 1.12 * max(row["steps"] for row in rows)
    entries = sum(label.count("\n") + 1 for label in labels)
    columns = 1 if max(map(len, lines)) > 60 else 2
    with plots.new_figure(10 if timed else 6.4, 3.9 + 0.17 * -(-entries // columns)) as figure:
        seeds = len({row["seed"] for row in rows})
        spec = rows[0]["task"] if len({row["task"] for row in rows}) == 1 else name_of(rows[0]["task"])
        figure.suptitle(f"{spec}: median and range of {seeds} seeds" if seeds > 1 else f"{spec}: 1 seed")
        panels = figure.subplots(1, 2 if timed else 1, squeeze=False)[0]
        coordinates = _horizontal(panels, name, values, task)
        for i, (label, mine) in enumerate(zip(labels, lines.values(), strict=True)):
            aside = 0 if all(map(_number, values)) else 0.5 * ((i + 0.5) / len(lines) - 0.5)
            for axes, score in zip(panels, (task.main[0], "steps_to_95"), strict=False):
                worst = math.inf if score == "steps_to_95" else math.nan
                by_value: dict[Any, list[float]] = {}
                for row in mine:
                    y = worst if row[score] is None else row[score]
                    by_value.setdefault(setting(row, name), []).append(y)
                _line(axes, by_value, coordinates, aside, never, plots.style(i), label)
        _scores(panels[0], rows, name, coordinates, task)
        if timed:
            panels[1].axhline(never, color="0.4", linewidth=1, linestyle=(0, (1, 2)))
            ticks = [t for t in panels[1].get_yticks() if 0 <= t <= max(row["steps"] for row in rows)]
            panels[1].set_yticks([*ticks, never], [*(f"{t:,.0f}" for t in ticks), "never"])
            panels[1].set(ylim=(0, 1.04 * never), ylabel="steps to .95")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=columns, fontsize=8.5)
        return [plots.save(figure, path.parent / f"{path.name}.{kind}") for kind in ("png", "svg")]


def _label(row: dict, name: str) -> str:
    """The model, and its other varied settings."""
    vary = [f"{n}={v}" for n, v in row["vary"].items() if n != name]
    return ", ".join([row["model"], *vary])


def _horizontal(panels: Any, name: str, values: list, task: Any) -> dict[Any, float]:
    """Scale and ticks of the setting -> where each value stands. Words and tuples stand at equal distances."""
    numbers = all(map(_number, values))
    logarithmic = numbers and min(values) > 0 and len(values) > 2 and max(values) / min(values) >= 4
    coordinates = {v: float(v) if numbers else float(i) for i, v in enumerate(values)}
    for axes in panels:
        if logarithmic:
            axes.set_xscale("log")
            axes.minorticks_off()
        axes.set_xticks(list(coordinates.values()), [f"{v:g}" if isinstance(v, float) else str(v) for v in values])
        axes.set_xlabel("learning rate" if name == "lr" else name)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        if name == "lr":
            shipped = task.recipe.get("lrs", (LR,))[0]
            axes.axvline(shipped, color="0.4", linewidth=1, linestyle=(0, (4, 2)))
            near = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
            axes.annotate("as shipped", (shipped, 1), (3, 2), va="bottom", fontsize=8, color="0.25", **near)
    return coordinates


def _line(
    axes: Any, by_value: dict, coordinates: dict[Any, float], aside: float, never: float, style: dict, label: str
) -> None:
    """The median over the values, the range from lowest to highest, and a mark for each run. inf is drawn at `never`.

    Numbers are joined. Words and tuples are not, and their marks stand a little aside of those of other lines.
    """
    groups = {v: [y for y in ys if not math.isnan(y)] for v, ys in by_value.items()}
    if None in groups:  # without the setting: the same everywhere
        groups, style, aside = dict.fromkeys(coordinates, groups[None]), style | {"marker": "None"}, 0
    shown = [(coordinate + aside, groups[v]) for v, coordinate in coordinates.items() if groups.get(v)]
    x = [coordinate for coordinate, _ in shown]
    low, middle, high = ([min(of(ys), never) for _, ys in shown] for of in (min, median, max))
    if all(map(_number, coordinates)) or style["marker"] == "None":
        axes.fill_between(x, low, high, color=style["color"], alpha=0.1, linewidth=0)
    else:
        axes.vlines(x, low, high, color=style["color"], linewidth=1.5)
        style = style | {"linestyle": "None"}
    axes.plot(x, middle, label=label, **style)
    if style["marker"] != "None":
        marks = [(coordinate, min(y, never)) for coordinate, ys in shown if len(ys) > 1 for y in ys]
        axes.scatter(
            [x for x, _ in marks], [y for _, y in marks], 12, style["color"], marker=style["marker"], alpha=0.4
        )


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _scores(axes: Any, rows: list[dict], name: str, coordinates: dict[Any, float], task: Any) -> None:
    """The scale of the main score, and the baseline: a level, or a line where it depends on the setting."""
    axes.set_ylabel(f"{task.main[0].replace('_', ' ')} on fresh sequences")
    baselines: dict[Any, set[float]] = {}
    for row in rows:
        for value in coordinates if setting(row, name) is None else [setting(row, name)]:
            baselines.setdefault(value, set()).add(parse(row["task"]).baseline)
    if all(len(found) == 1 for found in baselines.values()):
        y = [min(baselines[value]) for value in coordinates]
        axes.plot(list(coordinates.values()), y, color="0.4", linewidth=1, linestyle=(0, (1, 2)), label="baseline")
    if task.main[0] in FRACTIONS:
        axes.set_ylim(0, 1.03)
    elif all(row[task.main[0]] is None or row[task.main[0]] > 0 for row in rows):
        axes.set_yscale("log")
