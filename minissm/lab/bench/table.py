"""A report as tables: the ratios and goals, every method's time, error and memory, the limits, growth, crossover.

Rows are the same for the text (here), the HTML page (page.py) and the Markdown page (document.py).
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from . import card as gpu
from . import limits
from .goals import BEST, FRAMEWORKS, Verdict, best, card, cases, is_wrong, ours, ratio, verdicts

Rows = list[Sequence[str]]
CUDA = "torch comes with CUDA from pytorch.org's index, jax as jax[cuda12] or jax[cuda13]"
PLACES = {"numpy": "CPU", "cupy": "GPU"}
NAMES = {
    "W1": "state space scan",
    "W2": "selective scan",
    "W3": "linear recurrence",
    "W4": "filter of 1024 taps",
    "W5": "one step of W1",
    "W6": "causal attention",
    "W7": "training step",
}
READING = (
    "On one core, in float32, forward and backward unless said; W5 is forward only.",
    "Ratio: how many times as long as minissm the fastest way of torch and JAX takes. Above 1 minissm is faster.",
    "Cases: B sequences of length L; (B, L, channels); in W7 what mixes the tokens, and how many parameters or tokens.",
)
FLOOR = "At most: the ratio if minissm did nothing but the products or transforms that its way needs, timed alone."
ON_CARD = (
    "On the card, by CUDA events, in float32 (no TF32), forward and backward unless said; W5 is forward only.",
    *READING[1:],
    "Memory: what minissm's or torch's pool takes from the card for a call; JAX's can't be told alike.",
)
LIMITS = "Beside compiled loops (Numba) and what this processor allows; a / b is the time of a over that of b:"
LIMITS_OF_CARD = "Beside what this card allows; a / b is the time of a over that of b:"
GROWTH = "Forward and backward of one sequence, 16 numbers wide; exponents over the upper half of the lengths:"
CROSSOVER = (
    "W1's scan of 8 sequences, 16 modes a channel, forward and backward, on the CPU (all its cores) and on the card:"
)


def text(report: dict[str, Any]) -> str:
    """What `minissm bench` prints."""
    parts = [*heading(report), "", tally(report), *reading(report), "", *_lines(ratio_rows(report)), ""]
    parts += [beside(report), *_lines(goal_rows(report)), ""]
    for threads in sorted({r["threads"] for r in report["rows"]}):
        parts += [f"Times on {where(report, threads)}, median (quartiles):", *_lines(time_rows(report, threads)), ""]
    if report["limits"]:
        parts += [f"What this {kind(report)} can do:", *_lines(limit_rows(report)), ""]
    if report["growth"]:
        parts += [GROWTH, *_lines(growth_rows(report)), ""]
    if report.get("crossover"):
        parts += [CROSSOVER, *_lines(crossover_rows(report)), ""]
    return "\n".join(parts).rstrip()


def reading(report: dict[str, Any]) -> Sequence[str]:
    """How the tables are meant."""
    return ON_CARD if card(report) else (*READING, FLOOR)


def beside(report: dict[str, Any]) -> str:
    return LIMITS_OF_CARD if card(report) else LIMITS


def kind(report: dict[str, Any]) -> str:
    return "card" if card(report) else "processor"


def heading(report: dict[str, Any]) -> list[str]:
    """When, where, with what; what is missing or not as it should be."""
    packages = ", ".join(f"{name} {v}" for name, v in {**report["packages"], **report["peers"]}.items())
    shorter = "few runs, growth over short lengths, one case of each workload on all cores"
    shorter = "few runs, one case of each workload and those with a goal" if card(report) else shorter
    how = f"quick ({shorter})" if report["quick"] else "full"
    cores = in_words(report["cores"])
    if device := card(report):
        lines = [f"minissm bench, {how}, {report['date']}: {device['name']}, {device['memory'] / 1e9:.0f} GB"]
        about = f"Compute capability {device['compute_capability']}, driver {device['driver']}"
        lines += [f"{about}, CUDA {device['runtime']}, CuPy {device['cupy']}; beside it {report['processor']}, {cores}"]
        lines += [packages]
    else:
        lines = [f"minissm bench, {how}, {report['date']}: {report['processor']}, {cores}"]
        lines += [packages, f"BLAS: {report['blas']}"]
    if report["missing"]:
        remedy = CUDA if card(report) else "pip install -e '.[bench]' in the clone installs them"
        lines += [f"Not installed, so not measured: {', '.join(report['missing'])}; {remedy}"]
    if report.get("without_card"):
        lines += [f"Installed, but without CUDA, so not measured: {', '.join(report['without_card'])}; {CUDA}"]
    lines += [f"Warning: {warning}" for warning in report["warnings"]]
    for lost in report.get("lost", []):
        what = (lost[name] for name in ("workload", "case", "owner", "method") if lost[name])
        lines += [f"Not measured: {', '.join(what)}: {lost['why']}"]
    if not report["vendor"] and not card(report):
        lines += ["Goals against peers are set for AMD and Intel; for this kind of processor there are none."]
    lines += [f"Interrupted {report['interrupted']}; what follows is what was done."] if report["interrupted"] else []
    return lines


def tally(report: dict[str, Any]) -> str:
    """How many goals were met."""
    met = [v.met for v in verdicts(report) if v.goal is not None]
    unknown = f", {met.count(None)} not measured" if None in met else ""
    return f"{met.count(True)} of {len(met)} goals met{unknown}." if set(met) - {None} else "No goal was measured."


def ratio_rows(report: dict[str, Any], threads: int = 1) -> Rows:
    """A line a case: minissm beside the best of the frameworks; on one core its goal, and the floor if missed."""
    one = threads == 1
    found = {(v.workload, v.case): v for v in verdicts(report) if v.what == BEST}
    head = ("workload", "case", "minissm, ms", "best of torch and JAX, ms", "ratio")
    lines: Rows = [(*head, "goal", "result", "if missed") if one else head]
    for (workload, case), rows in cases(report, threads).items():
        mine, other, v = ours(rows), best(rows, FRAMEWORKS), found.get((workload, case))
        named = f"{_ms(other)} ({other['owner']} {other['method']})" if other else "-"
        line = _name(workload), case, _ms(mine), named, _times(ratio(other, mine))
        judgement = (*judged(v), held(v)) if v else ("", "", "")
        lines.append((*line, *judgement) if one else line)
    return lines


def goal_rows(report: dict[str, Any]) -> Rows:
    """A line a comparison with a limit."""
    found = [v for v in verdicts(report) if v.what != BEST]
    head = ("workload", "case", "what" if card(report) else "what, on one core", "is", "goal", "result")
    return [head, *((_name(v.workload), v.case, v.what, shown(v), *judged(v)) for v in found)]


def judged(v: Verdict) -> tuple[str, str]:
    """The goal, if there is one, and met or missed."""
    if v.goal is None:
        return "", ""
    said = {True: "met", False: "MISSED", None: "not measured"}[v.met]
    return f"{'<=' if v.at_most else '>='} {v.goal:g}", said


def held(v: Verdict) -> str:
    """Of a missed ratio, what no program that goes by the same products or transforms can pass on this processor."""
    if v.met is not False or v.by is None:
        return ""
    return f"at most {v.most:.2f} here: {v.by['method']} take {_ms(v.by)} ms"


def shown(v: Verdict) -> str:
    """The value: whole bytes, or two places."""
    return f"{v.value:.0f}" if v.value is not None and "bytes" in v.what else _times(v.value)


def time_rows(report: dict[str, Any], threads: int) -> Rows:
    """A line a method; how many times minissm's default it takes, its errors and its memory."""
    lines: Rows = [("workload", "case", "method", "ms", "", "x minissm", "error of y", "gradients", "memory, MB")]
    for (workload, case), rows in cases(report, threads).items():
        for r in rows:
            name = {"limit": r["method"]}.get(r["owner"], f"{r['owner']} {r['method']}")
            times = _times(ratio(r, ours(rows)))
            wrong = "  WRONG" if is_wrong(r) else ""
            errors = [f"{e:.0e}" if e is not None else "-" for e in r["error"].values()]
            size = "-" if r["bytes"] is None else f"{r['bytes'] / 1e6:.1f}"
            spread = f"({_ms(r, 'q1')} to {_ms(r, 'q3')})"
            lines.append((workload, case, name, _ms(r), spread, times, *errors, size + wrong))
    return lines


def _name(workload: str) -> str:
    return f"{workload} {NAMES[workload]}"


def _ms(row: dict | None, of: str = "median") -> str:
    return f"{1e3 * row['seconds'][of]:.4g}" if row else "-"


def _times(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def limit_rows(report: dict[str, Any]) -> Rows:
    """A line a limit, a column for each number of cores."""
    found, units = report["limits"], (gpu if card(report) else limits).UNITS
    head = ("limit", "unit", *(where(report, r["threads"]) for r in found))
    return [head, *((name, unit, *(_rate(r[name]) for r in found)) for name, unit in units.items())]


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def growth_rows(report: dict[str, Any]) -> Rows:
    """A line a mixer: the exponents, and what the longest sequence took."""
    lines: Rows = [("mixer", "L from", "to", "time ~ L^", "memory ~ L^", "ms at the end", "MB", "stopped")]
    for r in report["growth"]:
        first, last = r["points"][0], r["points"][-1]
        powers = [_times(r[f"{of} exponent"]) for of in ("seconds", "bytes")]
        end = f"{1e3 * last['seconds']:.4g}", f"{last['bytes'] / 1e6:.1f}"
        lines.append((r["mixer"], str(first["L"]), str(last["L"]), *powers, *end, r["stopped"]))
    return lines


def crossover_rows(report: dict[str, Any]) -> Rows:
    """A line a width: what is fastest of all, from which length on, and how many times the best of the other place.

    The latter at the last of these lengths that both were measured at, which is named.
    """
    lines: Rows = [("channels", "L from", "to", "fastest", "ms at the end", "best of the other place, x")]
    for D in sorted({r["D"] for r in report["crossover"]}):
        winners = [(L, *_fastest(report["crossover"], D, L)) for L in lengths(report["crossover"], D)]
        for (place, method), same in groupby(winners, lambda w: (w[1]["backend"], w[1]["method"])):
            points = list(same)
            first, last = points[0], points[-1]
            said = f"{PLACES[place]}, {method}"
            both = [f"{_times(ratio(other, best))} at {L}" for L, best, other in points if other]
            lines.append((str(D), str(first[0]), str(last[0]), said, _ms(last[1]), both[-1] if both else "-"))
    return lines


def lengths(rows: list[dict], D: int) -> list[int]:
    return sorted({r["L"] for r in rows if r["D"] == D})


def _fastest(rows: list[dict], D: int, L: int) -> tuple[dict, dict | None]:
    """Of all, and of the other backend."""
    here = sorted((r for r in rows if (r["D"], r["L"]) == (D, L)), key=lambda r: r["seconds"]["median"])
    return here[0], next((r for r in here if r["backend"] != here[0]["backend"]), None)


def where(report: dict[str, Any], threads: int) -> str:
    """What so many threads are."""
    return "the card" if card(report) else in_words(threads)


def in_words(n: int) -> str:
    """How many cores."""
    return "one core" if n == 1 else f"{n} cores"


def _lines(rows: Rows) -> Iterator[str]:
    """Columns as wide as what is in them."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
