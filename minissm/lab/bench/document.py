"""docs/performance.md and README's figures of speed, from the reports under docs/results/.

`python -m minissm.lab.bench.document` writes them anew. What stands above the line MEASURED, and in README outside of
START and END, is written by hand; the rest comes from the reports.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import goals, table
from .command import write_text

MEASURED = "<!-- measured: from here on written by python -m minissm.lab.bench.document -->"
NONE = "No measurement has been committed yet."
NO_CARD = "GPU: not measured on a GPU. Where there is one, `minissm bench --backend cupy` does it."
START, END = "<!-- speed: written by python -m minissm.lab.bench.document -->", "<!-- end of speed -->"
SUMMARY = {  # what README shows
    ("W1", "B 8, L 4096"): "the scan of a state space layer, 8 sequences of 4,096 tokens, 128 channels",
    (
        "W7",
        "ssm, 30k",
    ): "a training step of `ssm + fnn1 + ssm + fnn1` as above: 64 sequences of 26 tokens, 30,000 parameters",
    ("W7", "ssm, L 1024"): "the same on 16 sequences of 1,024 tokens, width 64",
    ("W6", "8 x 4 heads, L 1024"): "causal attention, 8 sequences of 1,024 tokens, 4 heads of 32",
}


def slug(name: str) -> str:
    """Of a processor or a card, for the name of a file: docs/results/bench-<slug>.json."""
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"\((r|tm)\)", "", name.lower())).strip("-")


def reports(folder: Path) -> list[dict[str, Any]]:
    """Those of docs/results/ by their names, cards last; ValueError where one is not whole or named otherwise."""
    found = []
    for path in sorted(folder.glob("bench-*.json")):
        report = json.loads(path.read_text())
        right = f"bench-{slug(goals.subject(report))}.json"
        if report["quick"] or report["interrupted"] or path.name != right:
            what = f"a part, or another {table.kind(report)}"
            raise ValueError(f"bench: {path} is of {what}; expected a full run in {right}, move it away")
        found.append(report)
    return sorted(found, key=lambda report: goals.card(report) is not None)


def measured(found: Sequence[dict[str, Any]]) -> str:
    """The measured part of the page, a section a processor and a card."""
    said = [_section(report) for report in found] if found else [f"{NONE}\n"]
    return "\n".join(said if any(map(goals.card, found)) else [*said, f"{NO_CARD}\n"])


def _section(report: dict[str, Any]) -> str:
    most = max((r["threads"] for r in report["rows"]), default=1)
    reading = "\n".join([table.tally(report), "", *(f"- {line}" for line in table.reading(report))])
    parts = [
        (reading, table.ratio_rows(report)),
        (table.beside(report), table.goal_rows(report)),
        *([(f"The ratios on {table.in_words(most)}:", table.ratio_rows(report, most))] if most > 1 else []),
        (f"What the {table.kind(report)} can do:", table.limit_rows(report)),
        *([] if goals.card(report) else [(table.GROWTH, table.growth_rows(report))]),
        *([(table.CROSSOVER, table.crossover_rows(report))] if report.get("crossover") else []),
    ]
    lines = [f"## {goals.subject(report)}", *table.heading(report)]
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


def summary(found: Sequence[dict[str, Any]]) -> str:
    """README's table: the time of the best of torch and JAX over minissm's, on one core, on all, on a card.

    Below it the goals of a card, or that there was none.
    """
    header, lines = ["forward and backward"], [[said] for said in SUMMARY.values()]
    for report in found:
        for threads in sorted({r["threads"] for r in report["rows"]}):
            header.append(f"{goals.subject(report)}, {table.where(report, threads)}")
            held = goals.cases(report, threads)
            for line, case in zip(lines, SUMMARY, strict=True):
                rows = held.get(case, [])
                peer = goals.best(rows, goals.FRAMEWORKS)
                ratio = goals.ratio(peer, goals.ours(rows))
                line.append(f"**{ratio:.1f}** ({_against(rows, peer)})" if ratio and peer else "not measured")
    return "\n\n".join([_table([header, *lines]), *([_on(r) for r in found if goals.card(r)] or [NO_CARD])])


def _on(report: dict[str, Any]) -> str:
    """A card's goals, one sentence each."""
    found = [v for v in goals.verdicts(report) if v.goal is not None]
    said = (f"{v.workload} {v.case}, {v.what}: {table.shown(v)}, goal {' '.join(table.judged(v))}" for v in found)
    return f"On the {goals.subject(report)} ({report['date']}): {'; '.join(said) or 'no goal was measured'}."


def _against(rows: list[dict], peer: dict[str, Any]) -> str:
    mine, theirs = (f"{1e3 * r['seconds']['median']:.3g}" for r in (goals.ours(rows) or {}, peer))
    return f"{peer['owner']} {peer['method']}: {theirs} ms, minissm: {mine} ms"


def readme(text: str, folder: Path) -> str:
    """README with its figures of speed written anew."""
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise ValueError(f"bench: README.md has no lines {START!r} and {END!r}; put them around the figures of speed")
    return f"{before}{START}\n\n{summary(reports(folder))}\n\n{END}{after}"


def main() -> None:
    """In a clone, from its top."""
    results, pages = Path("docs", "results"), ((Path("docs", "performance.md"), page), (Path("README.md"), readme))
    try:
        written = [write(path.read_text(), results) for path, write in pages]
    except (ValueError, OSError) as error:
        raise SystemExit(f"minissm {error}") from None
    for (path, _), text in zip(pages, written, strict=True):
        write_text(path, text)


if __name__ == "__main__":
    main()
