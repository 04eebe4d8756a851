"""docs/performance.md from the reports under docs/results/: `python -m minissm.lab.bench.document` writes it anew.

What stands above the line MEASURED is written by hand, what stands below it comes from the reports.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...files import write_whole
from . import table

MEASURED = "<!-- measured: from here on written by python -m minissm.lab.bench.document -->"
NONE = "No measurement has been committed yet."


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
    most = max((r["threads"] for r in report["rows"]), default=1)
    parts = [
        ("\n".join([table.tally(report), "", *(f"- {line}" for line in table.READING)]), table.ratio_rows(report)),
        (table.LIMITS, table.goal_rows(report)),
        *([(f"The ratios on {table.in_words(most)}:", table.ratio_rows(report, most))] if most > 1 else []),
        ("What the processor can do:", table.limit_rows(report)),
        (table.GROWTH, table.growth_rows(report)),
    ]
    lines = [f"## {report['processor']}", *table.heading(report)]
    return "\n\n".join([*lines, *(f"{said}\n\n{_table(rows)}" for said, rows in parts)]) + "\n"


def _table(rows: table.Rows) -> str:
    """In Markdown."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


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
