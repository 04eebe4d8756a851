"""docs/performance.md from the reports under docs/results/: `python -m minissm.lab.bench.document` writes it anew.

What stands above the line MEASURED is written by hand, what stands below it comes from the reports.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...files import write_whole
from .goals import FRAMEWORKS, Verdict, best, cases, ours, ratio, verdicts
from .table import Rows, growth_rows, in_words, judged, limit_rows, shown

MEASURED = "<!-- measured: from here on written by python -m minissm.lab.bench.document -->"
NONE = "No measurement has been committed yet."
HEAD = ("workload", "case", "minissm, ms", "best of torch, JAX, ms", "ratio", "goal", "")
LIMITS = ("workload", "case", "what", "is", "goal", "")


def slug(processor: str) -> str:
    """For the name of a file: docs/results/bench-<slug>.json."""
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"\((r|tm)\)", "", processor.lower())).strip("-")


def reports(folder: Path) -> list[dict[str, Any]]:
    """Those of docs/results/, by the names of their files."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("bench-*.json"))]


def measured(found: Sequence[dict[str, Any]]) -> str:
    """The measured part of the page, a section a processor."""
    return "\n".join(_section(report) for report in found) if found else f"{NONE}\n"


def _section(report: dict[str, Any]) -> str:
    packages = ", ".join(f"{name} {v}" for name, v in {**report["packages"], **report["peers"]}.items())
    lines = [
        f"## {report['processor']}",
        "",
        f"{report['date']}, {in_words(report['cores'])}; {packages}; {report['blas']}.",
    ]
    lines += ["", f"Not installed, so not measured: {', '.join(report['missing'])}."] if report["missing"] else []
    lines += [f"\nWarning: {warning}." for warning in report["warnings"]]
    lines += ["", "One core, medians:", "", *_table([HEAD, *_ratios(report)])]
    lines += [
        "",
        "Against the limits:",
        "",
        *_table([LIMITS, *_limits(report)]),
    ]
    several = _several(report)
    if several:
        lines += ["", "All cores, the same cases:", "", *_table([HEAD[:5], *several])]
    lines += ["", "What the processor can do:", "", *_table(limit_rows(report))]
    lines += ["", "Forward and backward of one sequence:", "", *_table(growth_rows(report)), ""]
    return "\n".join(lines)


def _ratios(report: dict[str, Any]) -> Rows:
    of_case = {(v.workload, v.case): v for v in verdicts(report) if _is_ratio_to_peers(v)}
    return [
        (*_times(*key, rows), *(judged(of_case[key]) if key in of_case else ("", "")))
        for key, rows in cases(report).items()
    ]


def _several(report: dict[str, Any]) -> Rows:
    most = max((r["threads"] for r in report["rows"]), default=1)
    return [_times(*key, rows) for key, rows in cases(report, most).items()] if most > 1 else []


def _times(workload: str, case: str, rows: list[dict]) -> tuple[str, ...]:
    mine, other = ours(rows), best(rows, FRAMEWORKS)
    times = [f"{1e3 * r['seconds']['median']:.4g}" if r else "-" for r in (mine, other)]
    named = f"{times[1]} ({other['owner']}, {other['method']})" if other else "-"
    value = ratio(other, mine)
    return workload, case, times[0], named, "-" if value is None else f"{value:.2f}"


def _limits(report: dict[str, Any]) -> Rows:
    return [(v.workload, v.case, v.what, shown(v), *judged(v)) for v in verdicts(report) if not _is_ratio_to_peers(v)]


def _is_ratio_to_peers(v: Verdict) -> bool:
    return v.what.startswith("best of")


def _table(rows: Rows) -> list[str]:
    """In Markdown."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return [lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]


def page(text: str, folder: Path) -> str:
    """The page with its measured part written anew."""
    by_hand, line, _ = text.partition(MEASURED)
    if not line:
        raise ValueError(f"bench: docs/performance.md has no line {MEASURED!r}; put it where the measured part begins")
    return f"{by_hand}{MEASURED}\n\n{measured(reports(folder))}"


def main() -> None:
    """In a clone, from its top."""
    path = Path("docs", "performance.md")
    written = page(path.read_text(), path.parent / "results")
    write_whole(path, lambda file: file.write(written.encode()))


if __name__ == "__main__":
    main()
