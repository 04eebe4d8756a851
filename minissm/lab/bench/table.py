"""A report as tables: the ratios and goals, every method's time, error and memory, the limits, the growth.

Rows are the same for the text (here), the HTML page (page.py) and the Markdown page (document.py).
"""

from collections.abc import Iterator, Sequence
from typing import Any

from .goals import BEST, FRAMEWORKS, Verdict, best, cases, is_wrong, ours, ratio, verdicts
from .limits import UNITS

Rows = list[Sequence[str]]
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
    "At most: the ratio if minissm did nothing but the products or transforms that its way needs, timed alone.",
)
LIMITS = "Beside compiled loops (Numba) and what this processor allows; a / b is the time of a over that of b:"
GROWTH = "Forward and backward of one sequence, 16 numbers wide; exponents over the upper half of the lengths:"


def text(report: dict[str, Any]) -> str:
    """What `minissm bench` prints."""
    parts = [*heading(report), "", tally(report), *READING, "", *_lines(ratio_rows(report)), ""]
    parts += [LIMITS, *_lines(goal_rows(report)), ""]
    for threads in sorted({r["threads"] for r in report["rows"]}):
        parts += [f"Times on {in_words(threads)}, median (quartiles):", *_lines(time_rows(report, threads)), ""]
    if report["limits"]:
        parts += ["What this processor can do:", *_lines(limit_rows(report)), ""]
    if report["growth"]:
        parts += [GROWTH, *_lines(growth_rows(report)), ""]
    return "\n".join(parts).rstrip()


def heading(report: dict[str, Any]) -> list[str]:
    """When, where, with what; what is missing or not as it should be."""
    packages = ", ".join(f"{name} {v}" for name, v in {**report["packages"], **report["peers"]}.items())
    kind = (
        "quick (few runs, growth over short lengths, one case of each workload on all cores)"
        if report["quick"]
        else "full"
    )
    lines = [f"minissm bench, {kind}, {report['date']}: {report['processor']}, {in_words(report['cores'])}"]
    lines += [packages, f"BLAS: {report['blas']}"]
    if report["missing"]:
        remedy = "pip install -e '.[bench]' in the clone installs them"
        lines += [f"Not installed, so not measured: {', '.join(report['missing'])}; {remedy}"]
    lines += [f"Warning: {warning}" for warning in report["warnings"]]
    if not report["vendor"]:
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
    head = ("workload", "case", "what, on one core", "is", "goal", "result")
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
    found = report["limits"]
    head = ("limit", "unit", *(in_words(r["threads"]) for r in found))
    return [head, *((name, unit, *(f"{r[name]:.3g}" for r in found)) for name, unit in UNITS.items())]


def growth_rows(report: dict[str, Any]) -> Rows:
    """A line a mixer: the exponents, and what the longest sequence took."""
    lines: Rows = [("mixer", "L from", "to", "time ~ L^", "memory ~ L^", "ms at the end", "MB", "stopped")]
    for r in report["growth"]:
        first, last = r["points"][0], r["points"][-1]
        powers = [_times(r[f"{of} exponent"]) for of in ("seconds", "bytes")]
        end = f"{1e3 * last['seconds']:.4g}", f"{last['bytes'] / 1e6:.1f}"
        lines.append((r["mixer"], str(first["L"]), str(last["L"]), *powers, *end, r["stopped"]))
    return lines


def in_words(n: int) -> str:
    """How many cores."""
    return "one core" if n == 1 else f"{n} cores"


def _lines(rows: Rows) -> Iterator[str]:
    """Columns as wide as what is in them."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
