"""A report as one HTML file that needs nothing else: the tables of table.py, and figures of the ratios and the growth.

Nothing is said by colour alone, so that it reads as well in grey.
"""

import io
from html import escape
from typing import Any

from ..plots import COLOURS, DASHES, MARKS, METHOD, PLACE
from . import table
from .goals import BEST, Verdict, subject, verdicts

TICKS = tuple(float(f"{digit}e{power}") for power in range(-2, 4) for digit in (1, 2, 5))
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; color: #111; }
table { border-collapse: collapse; margin: 0.5rem 0 1.5rem; font-size: 13px; }
th, td { text-align: left; padding: 2px 12px 2px 0; border-bottom: 1px solid #ccc; vertical-align: top; }
td:nth-child(-n+2), td:nth-child(n+5):not(:nth-child(8)) { white-space: nowrap; }
th { border-bottom: 1px solid #111; }
.missed { font-weight: bold; }
figure { margin: 1rem 0; break-inside: avoid; }
svg { max-width: 100%; height: auto; }
"""


def html(report: dict[str, Any]) -> str:
    """The whole page."""
    head = table.heading(report)
    body = [f"<h1>minissm bench: {escape(subject(report))}</h1>", *(f"<p>{escape(line)}</p>" for line in head)]
    found = [v for v in verdicts(report) if v.what == BEST and v.value is not None]
    body += ["<h2>Beside torch and JAX</h2>", f"<p><b>{table.tally(report)}</b></p>"]
    body += ["<ul>", *(f"<li>{escape(line)}</li>" for line in table.reading(report)), "</ul>"]
    body += [_figure(_ratios, found), _table(table.ratio_rows(report))]
    body += [f"<p>{table.beside(report)}</p>", _table(table.goal_rows(report))]
    for threads in sorted({r["threads"] for r in report["rows"]}):
        body += [
            f"<h2>Times on {table.where(report, threads)}: median and quartiles</h2>",
            _table(table.time_rows(report, threads)),
        ]
    if report["limits"]:
        body += [f"<h2>What this {table.kind(report)} can do</h2>", _table(table.limit_rows(report))]
    if report["growth"]:
        body += ["<h2>How time and memory grow with the length</h2>", _figure(_growth, report["growth"])]
        body += [f"<p>{table.GROWTH}</p>", _table(table.growth_rows(report))]
    if crossed := report.get("crossover"):
        body += ["<h2>When the GPU pays</h2>", f"<p>{table.CROSSOVER}</p>", _figure(_crossover, crossed)]
        body += [_table(table.crossover_rows(report))]
    title = f"minissm bench, {subject(report)}, {report['date']}"
    top = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{top}</head><body>\n' + "\n".join(body) + "\n</body></html>\n"


def _table(rows: table.Rows) -> str:
    lines = ("".join(_cell(cell, "td" if i else "th") for cell in row) for i, row in enumerate(rows))
    return "<table>\n" + "\n".join(f"<tr>{line}</tr>" for line in lines) + "\n</table>"


def _cell(text: str, kind: str) -> str:
    marked = ' class="missed"' if text == "MISSED" else ""
    return f"<{kind}{marked}>{escape(text)}</{kind}>"


def _figure(draw: Any, shown: list) -> str:
    """The SVG that draw(figure, shown) makes; nothing where there is nothing to show."""
    if not shown:
        return ""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"font.size": 10, "svg.hashsalt": "minissm", "svg.fonttype": "none"}):
        figure, buffer = Figure(layout="constrained"), io.StringIO()
        draw(figure, shown)
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    return f"<figure>{svg[svg.index('<svg') :]}</figure>"


def _ratios(figure: Any, shown: list[Verdict]) -> None:
    """A bar from 1 to each ratio, a black line at its goal (what ends before it has missed it), a ring at its most."""
    figure.set_size_inches(9, 1 + 0.28 * len(shown))
    axes = figure.subplots()
    for i, v in enumerate(shown):
        value, colour = v.value or 0.0, {True: "0.35", False: "white", None: "0.75"}[v.met]
        axes.barh(i, value - 1, left=1, color=colour, edgecolor="0.2", hatch="////" if v.met is False else None)
        if v.goal is not None:
            axes.plot([v.goal, v.goal], [i - 0.45, i + 0.45], color="black", linewidth=2.5)
        if v.most is not None:
            axes.plot(v.most, i, marker="o", markersize=7, color="white", markeredgecolor="black")
        axes.text(1.01, i, f"{value:.2f}", transform=axes.get_yaxis_transform(), va="center")
    axes.set_yticks(range(len(shown)), [f"{v.workload} {table.NAMES[v.workload]}, {v.case}" for v in shown])
    axes.set(ylim=(len(shown) - 0.4, -0.6), xscale="log")
    axes.set_xlabel("ratio; black line: the goal; hatched: missed;\nring: at most, by its products or transforms alone")
    axes.axvline(1, color="0.2", linewidth=1)
    axes.spines[["top", "right"]].set_visible(False)
    ends = [1.0, *(e for v in shown for e in (v.value, v.goal, v.most) if e)]
    least, most = min(ends) / 1.5, max(ends) * 1.5
    shown_ticks = [tick for tick in TICKS if least <= tick <= most]
    if len(shown_ticks) > 12:  # they would run into each other
        shown_ticks = [tick for tick in shown_ticks if f"{tick:e}".startswith("1")]
    axes.set_xticks(shown_ticks, [f"{tick:g}" for tick in shown_ticks])
    axes.set_xticks([], minor=True)
    axes.set_xlim(least, most)


def _growth(figure: Any, rows: list[dict]) -> None:
    figure.set_size_inches(9, 4.2)
    columns = (("seconds", 1e3, "milliseconds"), ("bytes", 1e-6, "megabytes"))
    for axes, (of, factor, unit) in zip(figure.subplots(1, 2), columns, strict=True):
        for i, r in enumerate(rows):
            x, y = [p["L"] for p in r["points"]], [factor * p[of] for p in r["points"]]
            power = r[f"{of} exponent"]
            label = r["mixer"] + (f": L^{power:.2f}" if power is not None else "")
            axes.plot(x, y, color=COLOURS[i], linestyle=DASHES[i], marker=MARKS[i], markersize=4, label=label)
        axes.set(yscale="log", xlabel="length L", ylabel=unit)
        axes.set_xscale("log", base=2)
        axes.legend(fontsize=8, framealpha=0.9)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)


def _crossover(figure: Any, rows: list[dict]) -> None:
    """A panel a width, in the styles of plots.py."""
    widths = sorted({r["D"] for r in rows})
    figure.set_size_inches(1 + 3.2 * len(widths), 4.6)
    panels = figure.subplots(1, len(widths), sharey=True, squeeze=False)[0]
    for axes, D in zip(panels, widths, strict=True):
        for place, said in table.PLACES.items():
            for method, style in METHOD.items():
                points = sorted(
                    (r["L"], 1e3 * r["seconds"]["median"])
                    for r in rows
                    if (r["D"], r["backend"], r["method"]) == (D, place, method)
                )
                if points:
                    axes.plot(*zip(*points, strict=True), **style, **PLACE[place], label=f"{said}, {method}")
        axes.set(yscale="log", xlabel="length L", title=f"{D} channels")
        axes.set_xscale("log", base=4)
        axes.set_xticks(table.lengths(rows, D), [str(L) for L in table.lengths(rows, D)], fontsize=8)
        axes.set_xticks([], minor=True)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("milliseconds")
    named = {label: line for axes in panels for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=4, fontsize=8)
