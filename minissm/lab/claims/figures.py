"""The figures of each claim: points from the rows, a CSV file of the points, and an SVG drawn from the points alone."""

import csv
import io
import math
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator
from statistics import median
from typing import Any, NamedTuple

from ...plots import COLOURS, DASHES, MARKS, new_figure
from ...train import LR
from ..studies import (
    ATTN,
    ATTN_NO_POSITIONS,
    BETWEEN,
    FIR,
    FNNS,
    LSTM,
    MIXERS,
    ONE,
    REGRESSION,
    S6,
    SMOOTHNESS,
    SSM,
    TRIG,
)
from . import rules
from .rows import Rows, canonical, main, task_of

WIDTH = 4.4  # inches: text of 9 points is about as large as that of the page, also on a phone
FONT = "DejaVu Sans, Verdana, sans-serif"  # the first has the metrics by which matplotlib places text
STYLES = {  # the same colour and mark in every figure; a pair with one number never meets
    canonical(spec): i
    for i, specs in enumerate(
        (
            (SSM, REGRESSION[0]),
            (ATTN, REGRESSION[1]),
            (ONE, REGRESSION[3]),
            ("ssm", "ssm + ssm", REGRESSION[4], BETWEEN),
            (S6, REGRESSION[2]),
            (TRIG, LSTM),
            ("attn + attn", ATTN_NO_POSITIONS),
        )
    )
    for spec in specs
}


class Figure(NamedTuple):
    """points: the lines of the CSV: a series, x, y, a seed. y: infinite where a score was never reached.

    kind: "dots" (x is a column of labels) or "lines" (of numbers).
    marks, at: values of y and of x with a line of their own, by name.
    log: the logarithmic axes, "", "x", "y" or "xy".
    """

    name: str
    kind: str
    x: str
    y: str
    points: list[dict]
    marks: dict[str, float] = {}  # noqa: RUF012
    at: dict[str, float] = {}  # noqa: RUF012
    log: str = ""

    @property
    def csv(self) -> str:
        text = io.StringIO()
        lines = csv.DictWriter(text, list(self.points[0]), lineterminator="\n")
        lines.writeheader()
        lines.writerows(self.points)
        return text.getvalue()


def dots(name: str, r: Rows, cells: Iterable[tuple[str, str, dict]], score: str = "main", **options: Any) -> Figure:
    """cells: a label, a study, and what its rows are chosen by."""
    points = [
        {"series": canonical(where["model"]), "label": canonical(label), "seed": row["seed"], column(row, score): value}
        for label, study, where in cells
        for row, value in r.scored(score, study, **where)
    ]
    return figure_of(name, "dots", "label", points, **options)


def lines(name: str, r: Rows, study: str, x: str, models: Iterable[str], score: str = "main", **options: Any) -> Figure:
    """A line for each model, over the values of a field or of a varied option."""
    where = options.pop("where", {})
    points = [
        {"series": canonical(model), x: value, "seed": row["seed"], column(row, score): y}
        for model in models
        for value in sorted(r.values(study, x))
        for row, y in r.scored(score, study, model=model, **{x: value}, **where)
    ]
    return figure_of(name, "lines", x, points, **options)


def column(row: dict, score: str) -> str:
    return main(row) if score == "main" else score


def figure_of(name: str, kind: str, x: str, points: list[dict], **options: Any) -> Figure:
    """The last column of the points is y."""
    return Figure(name, kind, x, list(points[0])[-1] if points else "", points, **options)


# ---- what each claim shows


def cost(r: Rows) -> Iterator[Figure]:
    for what in rules.COSTS:
        points = [
            {"series": canonical(row["model"]), "L": row["L"], "seed": 0, what: row[what]} for row in r.where("cost")
        ]
        yield Figure(f"cost-{what.replace(' ', '-')}", "lines", "L", what, points, log="xy")


def essential(r: Rows) -> Iterator[Figure]:
    cells = [
        (task, rules.layers(task) if model == S6 and task in rules.HARD else task, {"model": model})
        for model in (SSM, ATTN, ONE, S6)
        for task in rules.SELECTION
    ]
    for score, log in (("main", ""), ("steps_to_95", "y"), ("influence_top", "")):
        yield dots(f"essential-{score}", r, cells, score, log=log)


def single(r: Rows) -> Iterator[Figure]:
    for task in rules.HARD:
        longer = [("linear-copying", model) for model in rules.LONGER] if task == "copying" else []
        yield of_models(r, f"single-{task}", [(task, "ssm"), *longer, (task, SSM)])


def of_models(r: Rows, name: str, cells: Iterable[tuple[str, str]], score: str = "main") -> Figure:
    """One dot a seed, one line a model; the task's baseline is marked."""
    figure = dots(name, r, [(model, study, {"model": model}) for study, model in cells], score)
    studies = [row for study, _ in cells for row in r.where(study)] if score == "main" else []
    return figure._replace(marks={"baseline": task_of(studies[0]["task"]).baseline} if studies else {})


def solved(r: Rows) -> Iterator[Figure]:
    models = (SSM, BETWEEN, ATTN)
    for score, log in (("main", "x"), ("steps_to_95", "xy")):
        yield lines(f"solved-pairs-{score}", r, "recall-pairs", "pairs", models, score, log=log)
    yield lines("solved-state-size", r, "recall-poles", "state_size", (SSM,), log="x")


def regression(r: Rows) -> Iterator[Figure]:
    yield lines("regression-risk", r, "regression", "n", r.values("regression", "model"), log="xy")


def smoothness(r: Rows) -> Iterator[Figure]:
    for name, score in zip(("rough", "smooth"), SMOOTHNESS, strict=True):
        study = "regression-two-smoothness"
        yield lines(f"smoothness-{name}", r, study, "n", rules.SELECTING, score, log="xy")


def provable(r: Rows) -> Iterator[Figure]:
    yield lines("nonzeros", r, "constructions", "vocab", ("written", "between", "trained"), "parameters", log="xy")


DEFAULT = ("ssm", ONE, SSM, "attn + attn", ATTN)


def equal_budgets(r: Rows) -> Iterator[Figure]:
    for task in rules.HARD:
        yield of_models(r, f"budgets-{task}", [(task, model) for model in DEFAULT])


def split(r: Rows) -> Iterator[Figure]:
    yield lines("split", r, "recall-budget", "fnn.expand", (SSM, ATTN), log="x")


def any_filter(r: Rows) -> Iterator[Figure]:
    for task in rules.HARD:
        mixers = [(f"{task}-mixers", model) for model in MIXERS]
        yield of_models(r, f"mixers-{task}", [(task, ONE), *mixers, (task, "attn + attn")])


def attention_with_fnn(r: Rows) -> Iterator[Figure]:
    fnns = [("recall-fnns", model) for model in FNNS]
    yield of_models(r, "fnns", [("recall", SSM), ("recall", ATTN), *fnns, ("recall", "attn + attn")])


def layers(r: Rows) -> Iterator[Figure]:
    for task in rules.HARD:
        yield of_models(r, f"layers-{task}", [(task, SSM), *[(rules.layers(task), m) for m in (TRIG, FIR, S6, LSTM)]])


def optimised(r: Rows) -> Iterator[Figure]:
    yield lines("rates", r, "recall-rates", "lr", (SSM, TRIG, ATTN), log="x", at={"default": LR})
    points = []
    for scales in r.values("recall-timescales", "timescales"):
        part = lines("", r, "recall-timescales", "lr", (SSM,), where={"timescales": scales})
        points += [point | {"series": f"{scales} time scales"} for point in part.points]
    yield figure_of("timescales", "lines", "lr", points, log="x", at={"default": LR})


def length(r: Rows) -> Iterator[Figure]:
    """Sequences longer than those of the training."""
    points = []
    for row in r.where("copying-length"):
        for task, score in ({row["task"]: row[main(row)]} | row["tests"]).items():
            of = task_of(task)
            point = {"series": canonical(row["model"]), "label": f"{of.min_len} to {of.max_len}", "seed": row["seed"]}
            points.append(point | {main(row): -math.inf if score is None else score})
    yield figure_of("length", "dots", "label", points)


def dependence(r: Rows) -> Iterator[Figure]:
    n, models = rules.largest(r), r.values("regression", "model")
    yield dots("dependence", r, [(m, "regression", {"model": m, "n": n}) for m in models], "influence_top")


def price(r: Rows) -> Iterator[Figure]:
    for task in rules.HARD:
        yield of_models(r, f"price-{task}", [(task, model) for model in DEFAULT], "cpu_seconds")


FIGURES: dict[str, Callable[[Rows], Iterable[Figure]]] = {
    "cost": cost,
    "theory": lambda r: (),
    "essential": essential,
    "single": single,
    "solved": solved,
    "regression": regression,
    "smoothness": smoothness,
    "provable": provable,
    "a": equal_budgets,
    "b": split,
    "c": any_filter,
    "d": attention_with_fnn,
    "e": layers,
    "f": lambda r: (),  # shown by e
    "g": lambda r: (),  # shown by essential
    "h": optimised,
    "i": length,
    "j": dependence,
    "k": price,
}


# ---- from points to SVG


FRACTIONS = ("token_accuracy", "influence_top")  # scores from 0 to 1


def svg(figure: Figure, words: dict[str, str]) -> str:
    """The figure as an SVG element. words: names of series, labels and columns; what has none is shown as it is."""
    series = list(dict.fromkeys(point["series"] for point in figure.points))
    labels = list(dict.fromkeys(point["label"] for point in figure.points)) if figure.kind == "dots" else []
    legend = series != labels  # a model a line is named by the axis
    texts = [_wrapped(label, words) for label in labels]
    heights = [max(0.17 * (text.count("\n") + 1), 0.14 * (len(series) if legend else 1)) + 0.12 for text in texts]
    columns = 2 if max(len(words.get(name, name)) for name in series) < 28 else 1
    height = (sum(heights) or 2.3) + 0.65 + 0.19 * math.ceil(len(series) / columns) * legend
    with new_figure(WIDTH, height) as canvas:
        axes = canvas.subplots()
        limit, numbers = _limits(figure)
        for i, name in enumerate(series):
            plain = {"color": COLOURS["attn" in name], "marker": "o"}
            style = _style(name, i) if legend else plain
            mine = [(point, y) for point, y in zip(figure.points, numbers, strict=True) if point["series"] == name]
            (_dots if labels else _lines)(axes, figure, mine, style | {"label": words.get(name, name)}, labels, series)
        _frame(axes, figure, labels, texts, limit, words)
        if legend:
            options = {"fontsize": 9, "frameon": False, "handlelength": 2, "columnspacing": 1}
            canvas.legend(loc="outside upper left", ncols=columns, **options)
        return _element(canvas, figure.name, words.get(figure.name, figure.name))


def _limits(figure: Figure) -> tuple[float, list[float]]:
    """The place of "never" on the axis of y (nan: not needed), and the values of y with it for infinite ones."""
    values = [point[figure.y] for point in figure.points]
    finite = [value for value in values if math.isfinite(value)]
    limit = 1.5 * max(finite, default=1)
    return (math.nan if len(finite) == len(values) else limit), [
        value if math.isfinite(value) else limit if value > 0 else 0 for value in values
    ]


def _style(name: str, i: int) -> dict[str, Any]:
    j = STYLES.get(name, i % len(COLOURS))
    return {"color": COLOURS[j], "linestyle": DASHES[j], "marker": MARKS[j]}


def _wrapped(text: str, words: dict[str, str]) -> str:
    return "\n".join(textwrap.wrap(words.get(text, text), 19))


def _dots(axes: Any, figure: Figure, mine: list, style: dict, labels: list[str], series: list[str]) -> None:
    """A mark for each seed, a large one for their median."""
    colour, mark, i = style["color"], style["marker"], series.index(mine[0][0]["series"])
    shift = 0 if series == labels else 0.7 * ((i + 0.5) / len(series) - 0.5)
    for j, label in enumerate(labels):
        values = [y for point, y in mine if point["label"] == label]
        if values:
            axes.plot(values, [j + shift] * len(values), mark, color=colour, alpha=0.5, markersize=4)
            axes.plot([min(values), max(values)], [j + shift] * 2, color=colour, linewidth=1.5)
            axes.plot([median(values)], [j + shift], mark, color=colour, markersize=7, markeredgecolor="white")
    axes.plot([], [], mark, color=colour, markersize=6, label=style["label"])


def _lines(axes: Any, figure: Figure, mine: list, style: dict, labels: list[str], series: list[str]) -> None:
    """A mark for each seed, a line through the medians."""
    by_x: dict[float, list[float]] = {}
    for point, y in mine:
        by_x.setdefault(point[figure.x], []).append(y)
    axes.plot(list(by_x), [median(values) for values in by_x.values()], **style, markersize=5, linewidth=1.5)
    for x, values in by_x.items():
        if len(values) > 1:
            axes.plot([x] * len(values), values, style["marker"], color=style["color"], alpha=0.4, markersize=3.5)


def _frame(axes: Any, figure: Figure, labels: list[str], texts: list[str], limit: float, words: dict[str, str]) -> None:
    """Axes, names, marks."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    value, other = (axes.xaxis, axes.yaxis) if labels else (axes.yaxis, axes.xaxis)
    value.set_label_text(textwrap.fill(words.get(figure.y, figure.y), 40), fontsize=9)
    for axis, log in ((value, "y" in figure.log), (other, "x" in figure.log)):
        if log:
            (axes.set_xscale if axis is axes.xaxis else axes.set_yscale)("log")
            axis.set_minor_formatter(NullFormatter())
    plain = FuncFormatter(lambda v, _: "never" if v == limit else f"{v:,.10g}" if abs(v) < 1e6 else f"{v:.0e}")
    value.set_major_formatter(plain)
    if labels:
        axes.set_yticks(range(len(labels)), texts)
        axes.set_ylim(len(labels) - 0.5, -0.5)
    else:
        other.set_label_text(words.get(figure.x, figure.x), fontsize=9)
        ticks = sorted({point[figure.x] for point in figure.points})
        other.set_ticks(ticks, [f"{tick:,g}" if len(ticks) < 9 or i % 2 == 0 else "" for i, tick in enumerate(ticks)])
    if figure.y in FRACTIONS and "y" not in figure.log:
        (axes.set_xlim if labels else axes.set_ylim)(0, 1.03)
    if not math.isnan(limit):
        value.set_ticks(
            [*[t for t in value.get_majorticklocs() if t < (0.6 if "y" in figure.log else 0.9) * limit], limit]
        )
    for name, mark in (figure.marks | figure.at).items():
        upright = bool(labels) or name in figure.at
        (axes.axvline if upright else axes.axhline)(mark, color="0.35", linewidth=1, linestyle=(0, (1, 2)))
        place = {"xy": (mark, 1), "xycoords": ("data", "axes fraction"), "xytext": (0, 1), "va": "bottom"}
        axes.annotate(f"{name} {mark:.3f}", **place, textcoords="offset points", fontsize=8, color="0.25", ha="center")
    axes.tick_params(labelsize=9)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _element(canvas: Any, name: str, title: str) -> str:
    """The SVG as an element of a page with others: it fills the width, its text is text, its ids are its own."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none"}):
        FigureCanvasSVG(canvas).print_svg(buffer, metadata={"Date": None})  # savefig would draw twice
    text = buffer.getvalue()[buffer.getvalue().index("<svg") :]
    for useless in (r"<metadata>.*?</metadata>", r'<style type="text/css">.*?</style>', r"<!--.*?-->"):
        text = re.sub(useless, "", text, flags=re.DOTALL)
    view = re.search(r'viewBox="[^"]*"', text)
    text = f'<svg {view[0] if view else ""} role="img" aria-label="{title}">' + text[text.index(">") + 1 :]
    used = set(re.findall(r"#([\w-]+)", text))
    text = re.sub(r' id="([^"]+)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", text)
    text = re.sub(r"(href=\"|url\()#", rf"\g<1>#{name}-", text).replace("xlink:href", "href")
    return re.sub(r"font: ([\d.]+px) [^;\"]+", rf"font: \1 {FONT}", re.sub(r"\n\s*", "\n", text))
