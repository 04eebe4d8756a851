"""A report as text: what was asked of it, the goals, every method's time, error and memory, the limits, the growth."""

from collections.abc import Iterator, Sequence
from typing import Any

from .goals import Verdict, cases, is_wrong, ours, ratio, verdicts
from .limits import UNITS


def text(report: dict[str, Any]) -> str:
    """What `minissm bench` prints."""
    parts = [*heading(report), "", *_lines(goal_rows(report)), ""]
    for threads in sorted({r["threads"] for r in report["rows"]}):
        parts += [f"Times on {in_words(threads)}, median (quartiles):", *_lines(time_rows(report, threads)), ""]
    if report["limits"]:
        parts += ["What this processor can do:", *_lines(limit_rows(report)), ""]
    if report["growth"]:
        parts += ["Forward and backward of one sequence:", *_lines(growth_rows(report)), ""]
    return "\n".join(parts).rstrip()


def heading(report: dict[str, Any]) -> list[str]:
    """When, where, with what; what is missing or not as it should be."""
    packages = ", ".join(f"{name} {v}" for name, v in {**report["packages"], **report["peers"]}.items())
    kind = "quick (few runs, short lengths, one case of each workload on all cores)" if report["quick"] else "full"
    lines = [f"minissm bench, {kind}, {report['date']}: {report['processor']}, {in_words(report['cores'])}"]
    lines += [packages, f"BLAS: {report['blas']}"]
    lines += [f"Not installed, so not measured: {', '.join(report['missing'])}"] if report["missing"] else []
    lines += [f"Warning: {warning}" for warning in report["warnings"]]
    if not report["vendor"]:
        lines += ["Goals against peers are set for AMD and Intel; for this kind of processor there are none."]
    lines += [f"Interrupted {report['interrupted']}; what follows is what was done."] if report["interrupted"] else []
    return lines


Rows = list[Sequence[str]]


def goal_rows(report: dict[str, Any]) -> Rows:
    """A line a goal; the first line names the columns."""
    found = verdicts(report)
    head = ("workload", "case", "what (one core)", "is", "goal", "")
    return [head, *((v.workload, v.case, v.what, shown(v), *judged(v)) for v in found)]


def judged(v: Verdict) -> tuple[str, str]:
    """The goal, and met or missed."""
    goal = "none" if v.goal is None else f"{'<=' if v.at_most else '>='} {v.goal:g}"
    return goal, {True: "met", False: "MISSED", None: "" if v.goal is None else "not measured"}[v.met]


def shown(v: Verdict) -> str:
    """The value: whole bytes, or two places."""
    if v.value is None:
        return "-"
    return f"{v.value:.0f}" if "bytes" in v.what else f"{v.value:.2f}"


def time_rows(report: dict[str, Any], threads: int) -> Rows:
    """A line a method; how many times minissm's default it takes, its errors and its memory."""
    lines: Rows = [("workload", "case", "method", "ms", "", "x minissm", "error of y", "gradients", "memory, MB")]
    for (workload, case), rows in cases(report, threads).items():
        for r in rows:
            name = {"limit": r["method"]}.get(r["owner"], f"{r['owner']} {r['method']}")
            t, times = r["seconds"], ratio(r, ours(rows))
            wrong = "  WRONG" if is_wrong(r) else ""
            errors = [f"{e:.0e}" if e is not None else "-" for e in r["error"].values()]
            size = "-" if r["bytes"] is None else f"{r['bytes'] / 1e6:.1f}"
            spread = f"({_ms(t['q1'])} to {_ms(t['q3'])})"
            lines.append((workload, case, name, _ms(t["median"]), spread, _times(times), *errors, size + wrong))
    return lines


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.4g}"


def _times(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def limit_rows(report: dict[str, Any]) -> Rows:
    """A line a limit, a column for each number of cores."""
    found = report["limits"]
    head = ("limit", "unit", *(in_words(r["threads"]) for r in found))
    return [head, *((name, unit, *(f"{r[name]:.3g}" for r in found)) for name, unit in UNITS.items())]


def growth_rows(report: dict[str, Any]) -> Rows:
    """A line a mixer: the exponents, and what the longest sequence took."""
    lines: Rows = [("mixer", "L from", "to", "time ~ L^", "memory ~ L^", "ms at the end", "MB", "")]
    for r in report["growth"]:
        first, last = r["points"][0], r["points"][-1]
        powers = [_times(r[f"{of} exponent"]) for of in ("seconds", "bytes")]
        end = _ms(last["seconds"]), f"{last['bytes'] / 1e6:.1f}"
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
