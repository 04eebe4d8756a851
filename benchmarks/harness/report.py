"""A report as Markdown, for the terminal, docs/performance.md and README."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from minissm.files import write_whole

FRAMEWORKS = {"torch": "PyTorch", "jax": "JAX"}
NAMES = FRAMEWORKS | {"minissm": "minissm", "numba": "Numba", "bound": "bound:"}
BLAS = {"openblas": "OpenBLAS", "mkl": "MKL", "blis": "BLIS"}
WRONG = 1e-2  # relative error above which a method is marked and left out of every ratio
START, END = "<!-- measured: written by python -m benchmarks --write-docs -->", "<!-- end of measured -->"
Rows = list[dict[str, Any]]


def markdown(report: dict[str, Any], latest: str = "") -> str:
    """The whole report, under one heading.  latest: the version of minissm in the latest of all reports."""
    heading = [*about(report), *older(report["packages"]["minissm"], latest)]
    parts = [f"## {hardware(report)}", "\n".join(f"- {line}" for line in heading)]
    threads = sorted({row["threads"] for row in report["rows"]})
    for n in threads:
        parts += [f"### Speed, {on(report, n)}", table(summary(select(report, n)))]
        if n == threads[0] and len(lines := goals(report, n)) > 1:
            parts += [f"### Goals, {on(report, n)}", table(lines)]
    if threads:
        parts += [f"### Every method, {on(report, threads[0])}", table(details(select(report, threads[0])))]
    return "\n\n".join(parts) + "\n"


def hardware(report: dict[str, Any]) -> str:
    """The GPU; or processor, instruction set and the kernel that OpenBLAS took."""
    if report["device"]:
        return report["device"]["name"]
    kernel = re.search(r"(\w+) [^,]*, kernel (\w+)", report["blas"])
    parts = [
        report["processor"],
        report["instructions"],
        f"{BLAS.get(kernel[1], kernel[1])} kernel {kernel[2]}" if kernel else "",
    ]
    return ", ".join(part for part in parts if part)


def about(report: dict[str, Any]) -> Iterator[str]:
    """When and with what; then what a reader must know before the numbers."""
    cores = f"{report['cores']} core{'s' * (report['cores'] > 1)}"
    yield f"{report['date']}, {'quick' if report['quick'] else 'full'} run, {cores}; float32"
    yield ", ".join(f"{name} {number}" for name, number in report["packages"].items()) + f"; BLAS: {report['blas']}"
    if card := report["device"]:
        yield f"CUDA {card['runtime']}, driver up to CUDA {card['driver']}, CuPy {card['cupy']}; {report['processor']}"
    several = [row["seconds"] for row in report["rows"] if row["seconds"]["runs"] > 2]
    spreads = [(seconds["q3"] - seconds["q1"]) / seconds["median"] for seconds in several]
    if spreads:
        yield f"Quartiles of a method are {100 * median(spreads):.0f} % of its time apart (median over methods)"
    yield from (f"Warning: {text}" for text in report["warnings"])
    yield from (f"Not measured: {text}" for text in report["absent"])
    for failure in report["failures"]:
        names = (failure[name] for name in ("workload", "case", "library", "method"))
        yield f"Not measured: {'; '.join(name for name in names if name)}: {failure['why']}"
    if report["ended"]:
        yield f"The run ended {report['ended']}"


def older(version: str, latest: str) -> list[str]:
    changed = bool(latest) and version != latest
    return [f"Of version {version}: minissm has changed since. The latest report here is of {latest}"] * changed


def on(report: dict[str, Any], threads: int) -> str:
    return "on the GPU" if report["device"] else "one core" if threads == 1 else f"{threads} cores"


def select(report: dict[str, Any], threads: int) -> dict[tuple[str, str], Rows]:
    """{(workload, case): rows} with so many threads."""
    found: dict[tuple[str, str], Rows] = {}
    for row in report["rows"]:
        if row["threads"] == threads:
            found.setdefault((row["workload"], row["case"]), []).append(row)
    return found


def wrong(row: dict[str, Any]) -> bool:
    return any(e is not None and e > WRONG for e in row["error"].values())


def fastest(rows: Rows, libraries: Iterable[str]) -> dict[str, Any] | None:
    """Of the methods of these libraries that are right."""
    right = [row for row in rows if row["library"] in libraries and not wrong(row)]
    return min(right, key=lambda row: row["seconds"]["median"], default=None)


def default(rows: Rows) -> dict[str, Any] | None:
    """minissm's first method, which its users get; None where it is wrong."""
    return next((row for row in rows if row["library"] == "minissm" and not wrong(row)), None)


def ratio(a: dict[str, Any] | None, b: dict[str, Any] | None) -> float | None:
    return a["seconds"]["median"] / b["seconds"]["median"] if a and b else None


def speed_up(rows: Rows) -> float | None:
    """Time of the faster of PyTorch and JAX over minissm's: above 1, minissm is faster."""
    return ratio(fastest(rows, FRAMEWORKS), default(rows))


def share(rows: Rows) -> float | None:
    """The lower bound over minissm's time: 1 is the best that a NumPy program can reach."""
    return ratio(fastest(rows, ["bound"]), default(rows))


def summary(cases: dict[tuple[str, str], Rows]) -> list[list[str]]:
    head = ["workload", "case", "minissm, ms", "PyTorch or JAX, ms", "speed-up", "Numba, ms", "speed-up"]
    lines = [[*head, "bound, ms", "share"]]
    for (workload, case), rows in cases.items():
        ours, peer, loop = default(rows), fastest(rows, FRAMEWORKS), fastest(rows, ["numba"])
        named = f"{ms(peer)} ({FRAMEWORKS[peer['library']]}, {peer['method']})" if peer else "-"
        ratios = [ms(ours), named, number(speed_up(rows)), ms(loop), number(ratio(loop, ours))]
        lines.append([workload, case, *ratios, ms(fastest(rows, ["bound"])), number(share(rows))])
    return lines


def goals(report: dict[str, Any], threads: int) -> list[list[str]]:
    """For each case with a goal: the share of the bound that it should reach, and the share that it reaches."""
    lines = [["workload", "case", "goal: share of the bound", "share", ""]]
    for (workload, case), rows in select(report, threads).items():
        goal = report.get("goals", {}).get(workload, {}).get(case)
        if goal is not None:
            found = share(rows)
            reached = "not measured" if found is None else "met" if round(found, 2) >= goal else "missed"
            lines.append([workload, case, f"at least {number(goal)}", number(found), reached])
    return lines


def details(cases: dict[tuple[str, str], Rows]) -> list[list[str]]:
    lines = [["workload", "case", "method", "ms", "quartiles", "error of y", "of gradients", "memory, MB"]]
    for (workload, case), rows in cases.items():
        for row in rows:
            errors = ["-" if e is None else f"{e:.0e}" for e in row["error"].values()]
            memory = "-" if row["bytes"] is None else f"{row['bytes'] / 1e6:.1f}"
            quartiles = f"{ms(row, 'q1')} to {ms(row, 'q3')}"
            name = f"{NAMES.get(row['library'], row['library'])} {row['method']}{', WRONG' * wrong(row)}"
            lines.append([workload, case, name, ms(row), quartiles, *errors, memory])
    return lines


def ms(row: dict[str, Any] | None, of: str = "median") -> str:
    return f"{1e3 * row['seconds'][of]:.3g}" if row else "-"


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def table(lines: list[list[str]]) -> str:
    """Markdown that can be read as it is: columns have one width."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    padded = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |" for line in lines]
    return "\n".join([padded[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *padded[1:]])


def readme(report: dict[str, Any]) -> str:
    """Two lines: speed-ups and shares of the bound, each as a range over the cases of a workload."""
    threads = min(row["threads"] for row in report["rows"])
    cases = select(report, threads)

    def ranges(of: Any) -> str:
        found: dict[str, list[float]] = {}
        for (workload, _), rows in cases.items():
            if (value := of(rows)) is not None:
                found.setdefault(workload, []).append(value)
        ends = {name: [f"{min(values):.2g}", f"{max(values):.2g}"] for name, values in found.items()}
        return ", ".join(f"{name} {' to '.join(dict.fromkeys(e))}" for name, e in ends.items()) or "not measured"

    where = f"{hardware(report)}, {on(report, threads)}, {report['date']}"
    return (
        f"- Speed-up over the faster of PyTorch and JAX ({where}; above 1, minissm is faster): {ranges(speed_up)}.\n"
        f"- Share of the lower bound, the time of the products, transforms and exponentials alone: {ranges(share)}."
    )


def file_name(report: dict[str, Any]) -> str:
    """bench-<slug>.json, after the GPU or the processor and its instruction set."""
    name = report["device"]["name"] if report["device"] else f"{report['processor']} {report['instructions']}"
    slug = re.sub(r"[^a-z0-9]+", "-", re.sub(r"\((r|tm)\)", "", name.lower())).strip("-")
    return f"bench-{slug}.json"


def reports(folder: Path) -> list[dict[str, Any]]:
    """All reports of the folder: processors first, then by date, latest first. ValueError: incomplete, or misnamed."""
    found = []
    for path in sorted(folder.glob("bench-*.json")):
        report = json.loads(path.read_text())
        if report["ended"] or path.name != file_name(report):
            raise ValueError(f"{path}: expected a run that ended well, named {file_name(report)}; move it away")
        found.append(report)
    found.sort(key=lambda report: report["date"], reverse=True)
    return sorted(found, key=lambda report: report["device"] is not None)


def replaced(text: str, written: str) -> str:
    """The page with `written` between its two markers."""
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise ValueError(f"a page without the lines {START!r} and {END!r}; put them around its measured part")
    return f"{before}{START}\n\n{written.strip()}\n\n{END}{after}"


def pages(root: Path) -> dict[Path, str]:
    """docs/performance.md and README as the reports in docs/results have them: README shows the latest processor."""
    found = reports(root / "docs" / "results")
    processors, none = [r for r in found if not r["device"]], "No report is in docs/results."
    latest = max(found, key=lambda r: r["date"])["packages"]["minissm"] if found else ""
    texts = {
        root / "docs" / "performance.md": "\n".join(markdown(report, latest) for report in found) or none,
        root / "README.md": readme(processors[0]) if processors else none,
    }
    return {path: replaced(path.read_text(), text) for path, text in texts.items()}


def write_text(path: Path, text: str) -> None:
    write_whole(path, lambda file: file.write(text.encode()))
