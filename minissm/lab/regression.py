"""The figure of regression: risk against the size of the sample, with slopes, and which token the answers depend on."""

import math
import re
from collections.abc import Iterable
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any, NamedTuple

import numpy as np

from .. import plots
from ..tasks import parse
from ..tasks.smooth import series_risks
from .job import task_of
from .rows import chosen

Risks = dict[int, dict[int, float]]  # seed -> n -> risk


class Slope(NamedTuple):
    """The slope of log risk against log n: its mean over seeds, and a 95 % interval by Student's t over seeds."""

    mean: float
    low: float = math.nan  # with one seed
    high: float = math.nan

    def __str__(self) -> str:
        return f"{self.mean:.2f}" + (f" ({self.low:.2f} to {self.high:.2f})" if self.low == self.low else "")


def risks(rows: Iterable[dict]) -> dict[str, Risks]:
    """The risks of each model, by its label in the figure, without those that are not finite."""
    found: dict[str, Risks] = {}
    for row in rows:
        if row["mean_squared_error"] is not None:
            by_seed = found.setdefault(short(row["model"]), {}).setdefault(row["seed"], {})
            by_seed[parse(row["task"]).n] = row["mean_squared_error"]
    return found


def yardstick(rows: Iterable[dict]) -> Risks:
    """The risks on the same samples of the series that knows the token. With two functions, their mean."""
    found: Risks = {}
    for text, seed in sorted({(row["task"], row["seed"]) for row in rows}):
        task = task_of(text, seed)
        found.setdefault(seed, {})[task.n] = mean(series_risks(task))
    return found


def slope(by_seed: Risks) -> Slope | None:
    """By least squares for each seed. None where no seed has two sizes of the sample."""
    fits = [float(np.polyfit(np.log([*r]), np.log([*r.values()]), 1)[0]) for r in by_seed.values() if len(r) > 1]
    if len(fits) < 2:
        return Slope(*fits) if fits else None
    from scipy.special import stdtrit

    half = float(stdtrit(len(fits) - 1, 0.975)) * stdev(fits) / math.sqrt(len(fits))
    return Slope(mean(fits), mean(fits) - half, mean(fits) + half)


def short(model: str) -> str:
    """The model without the options of its blocks, and with its norm."""
    spec, norm = re.match(r'Model\("(.*?)"', model), re.search(r'norm="(\w+)"', model)
    blocks = re.sub(r"\((?:[^()]|\([^()]*\))*\)", "", spec.group(1) if spec else model)
    return f"{blocks}, {'no' if norm.group(1) == 'none' else norm.group(1)} norm" if norm else blocks


def figure(rows: list[dict], path: Path) -> list[Path]:
    """path.png and .svg: the risk against n, every seed, median and slope; and the token that the answers depend on."""
    rows = [row for mine in chosen(rows) for row in mine]
    shown, series = risks(rows), yardstick(rows)
    with plots.new_figure(11, 6) as drawing:
        left, right = drawing.subplots(1, 2, width_ratios=(1.35, 1))
        _curve(left, series, "series that knows the token", {"color": "0.35", "linestyle": ":", "marker": "."})
        for i, (label, by_seed) in enumerate(shown.items()):
            _curve(left, by_seed, label, plots.style(i))
        left.axhline(1, color="0.4", linewidth=1, linestyle=(0, (1, 2)))
        left.annotate("the mean", (1, 1), xycoords=("axes fraction", "data"), xytext=(-2, 3), ha="right", **OFFSET)
        sizes = sorted({n for by_seed in series.values() for n in by_seed})
        left.set(xscale="log", yscale="log", xlabel="n, sequences of the sample", ylabel="risk")
        left.set_xticks(sizes, [f"{n:,}" for n in sizes])
        left.minorticks_off()
        left.set_title("Risk against n: every seed, and the median")
        title = "slope of log risk against log n: mean over seeds (95 % interval, by t over seeds)"
        drawing.legend(fontsize=8, loc="outside lower center", ncols=2, title=title, title_fontsize=8)
        largest = [row for row in rows if parse(row["task"]).n == sizes[-1]]
        _influence(right, largest, [*shown])
        for axes in (left, right):
            axes.grid(alpha=0.25)
            axes.spines[["top", "right"]].set_visible(False)
        return [plots.save(drawing, path.parent / f"{path.name}.{kind}") for kind in ("png", "svg")]


OFFSET = {"textcoords": "offset points", "fontsize": 8, "color": "0.25"}


def _curve(axes: Any, by_seed: Risks, label: str, style: dict) -> None:
    sizes = sorted({n for r in by_seed.values() for n in r})
    found = slope(by_seed)
    for r in by_seed.values():
        axes.plot([*r], [*r.values()], style["marker"], color=style["color"], markersize=4, alpha=0.5)
    middle = [median(r[n] for r in by_seed.values() if n in r) for n in sizes]
    axes.plot(sizes, middle, label=f"{label}: {found}" if found else label, **style)


def _influence(axes: Any, rows: list[dict], labels: list[str]) -> None:
    """For each model, the share of |df/dX| on the important token, and how often it is the largest one."""
    for i, label in enumerate(labels):
        mine, look = [r for r in rows if short(r["model"]) == label and r["influence"] is not None], plots.style(i)
        for name, fill in (("influence", look["color"]), ("influence_top", "white")):
            line = {"color": look["color"], "marker": look["marker"], "markersize": 7, "markerfacecolor": fill}
            axes.plot([row[name] for row in mine], [i] * len(mine), linestyle="none", **line)
    chance = 1 / parse(rows[0]["task"]).length
    axes.axvline(chance, color="0.4", linewidth=1, linestyle=(0, (1, 2)))
    axes.annotate("chance", (chance, 1), xycoords=("data", "axes fraction"), xytext=(3, -10), **OFFSET)
    axes.set(xlim=(0, 1.03), ylim=(len(labels) - 0.5, -0.5))
    axes.set_yticks(range(len(labels)), [label.replace(", ", "\n") for label in labels], fontsize=8)
    n = parse(rows[0]["task"]).n
    axes.set_title(f"The important token, n = {n:,}")
    axes.set_xlabel("filled: its share of |df/dX|\nopen: how often it has the largest")
