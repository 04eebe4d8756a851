"""What the library promises of its speed, by the kind of processor, and whether a report keeps it.

Ratios are of medians on one core, or on a GPU. Against a peer: the time of the fastest method of torch and jax, over
that of minissm's default method. A peer whose result is wrong (an error above WRONG) doesn't count. Where there is a
floor (floor.py), its time says how high that ratio could be at most.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

FRAMEWORKS = ("torch", "jax")
WRONG = 1e-2
LARGE = "(8, 4096, 512) forward"
BEST, COPYING = "best of torch, jax / minissm", "time of copying / minissm"
FLOORS = {"W6": 0.6}  # floor / minissm; of the others only the time is told
SMALL = 4096  # bytes that Python's own objects may take in a step that allocates no array

PEERS = {  # (workload, case): at least so many times as fast as the best peer, on AMD and on Intel
    ("W1", "B 8, L 4096"): (5.0, 5.0),
    ("W1", "B 8, L 1024"): (4.0, 4.0),
    ("W1", "B 2, L 16384"): (8.0, 8.0),
    ("W2", "B 4, L 2048"): (3.0, 3.0),
    ("W3", "(8, 4096, 512)"): (3.0, 2.2),
    ("W3", "(1, 4096, 64)"): (1.0, 1.0),
    ("W4", "(8, 4096, 128)"): (2.0, 1.2),
    ("W5", "B 1"): (2.2, 2.2),
    ("W5", "B 64"): (1.0, 1.0),
    ("W6", "8 x 4 heads, L 1024"): (1.2, 0.85),
    ("W7", "ssm, 30k"): (3.0, 2.0),
    ("W7", "ssm, 64k"): (3.0, 2.0),
    ("W7", "ssm, L 1024"): (4.0, 2.4),
    ("W7", "attn, 30k"): (2.0, 1.1),
    ("W7", "attn, 64k"): (2.0, 1.1),
    ("W7", "attn, L 1024"): (1.5, 0.8),
}

ON_CARD = {("W7", "ssm, B 64, L 4096, width 256"): 2.0}  # on a GPU, whatever its kind: as PEERS
COPIED = {("W3", "(16, 4096, 1024) forward"): 3, ("W3", "(16, 4096, 1024) backward"): 5}  # arrays read and written
OF_COPY = 0.85  # the time of copying them, over minissm's


@dataclass(frozen=True)
class Verdict:
    """value against goal (None: no goal for this kind of processor); met is None where one of the two is missing.

    most: what the value would be, did minissm take no longer than the floor `by` (None where there is no floor).
    """

    workload: str
    case: str
    what: str
    value: float | None
    goal: float | None
    at_most: bool = False
    most: float | None = None
    by: dict | None = None

    @property
    def met(self) -> bool | None:
        if self.value is None or self.goal is None:
            return None
        return self.value <= self.goal if self.at_most else self.value >= self.goal


def verdicts(report: dict[str, Any]) -> list[Verdict]:
    """All goals on what was measured, in the order of the workloads."""
    found = _on_card(report) if card(report) else [*_against_peers(report), *_against_limits(report)]
    return sorted(found, key=lambda v: v.workload)


def card(report: dict[str, Any]) -> dict[str, Any] | None:
    """What a report of a GPU says of it; None for one of a processor."""
    return report.get("device")


def subject(report: dict[str, Any]) -> str:
    """The name of what was measured."""
    device = card(report)
    return device["name"] if device else report["processor"]


def ours(rows: list[dict]) -> dict | None:
    """minissm's default method, the first of its own."""
    return next((r for r in rows if r["owner"] == "minissm"), None)


def best(rows: list[dict], owners: tuple[str, ...]) -> dict | None:
    """The fastest method of these owners whose result is right."""
    right = [r for r in rows if r["owner"] in owners and not is_wrong(r)]
    return min(right, key=lambda r: r["seconds"]["median"], default=None)


def is_wrong(row: dict) -> bool:
    return max(row["error"]["y"] or 0.0, row["error"]["gradient"] or 0.0) > WRONG


def ratio(slower: dict | None, faster: dict | None) -> float | None:
    return slower["seconds"]["median"] / faster["seconds"]["median"] if slower and faster else None


def cases(report: dict[str, Any], threads: int = 1) -> dict[tuple[str, str], list[dict]]:
    """(workload, case) -> its rows with so many threads, as they were measured."""
    found: dict[tuple[str, str], list[dict]] = {}
    for r in report["rows"]:
        if r["threads"] == threads:
            found.setdefault((r["workload"], r["case"]), []).append(r)
    return found


def _against_peers(report: dict[str, Any]) -> Iterator[Verdict]:
    column = {"AMD": 0, "Intel": 1}.get(report["vendor"])
    for (workload, case), rows in cases(report).items():
        if (workload, case) in PEERS:
            goal = None if column is None else PEERS[workload, case][column]
            peer, floor = best(rows, FRAMEWORKS), best(rows, ("limit",))
            yield Verdict(workload, case, BEST, ratio(peer, ours(rows)), goal, most=ratio(peer, floor), by=floor)


def _on_card(report: dict[str, Any]) -> Iterator[Verdict]:
    """A goal whose case did not fit on the card is there without a value."""
    found = cases(report)
    there = dict.fromkeys([*found, *((lost["workload"], lost["case"]) for lost in report["lost"])])
    rate = next((r["copy"] for r in report["limits"]), None)
    for workload, case in there:
        rows = found.get((workload, case), [])
        mine = next((r for r in rows if r is ours(rows) and not is_wrong(r)), None)  # a wrong result meets no goal
        yield Verdict(workload, case, BEST, ratio(best(rows, FRAMEWORKS), mine), ON_CARD.get((workload, case)))
        if (workload, case) in COPIED:
            copied = 4 * 16 * 4096 * 1024 * COPIED[workload, case] / (rate * 1e9) if rate else None
            value = copied / mine["seconds"]["median"] if copied and mine else None
            yield Verdict(workload, case, COPYING, value, OF_COPY)


def _against_limits(report: dict[str, Any]) -> Iterator[Verdict]:
    for (workload, case), rows in cases(report).items():
        if not (mine := ours(rows)):
            continue
        loop = best(rows, ("numba",))
        if loop or workload == "W1":
            yield Verdict(workload, case, "numba / minissm", ratio(loop, mine), 1.0 if workload == "W1" else None)
        if workload in ON_LIMITS:
            yield from ON_LIMITS[workload](report, case, rows, mine)
    for workload, mixer, of in (("W1", "ssm, chunked", "seconds"), ("W6", "attn", "bytes")):
        row = next((r for r in report["growth"] if r["mixer"] == mixer), None)
        if row is not None:
            what = f"exponent in L of {'time' if of == 'seconds' else 'memory'}"
            yield Verdict(workload, mixer, what, row[f"{of} exponent"], 1.1, at_most=True)


def _copying(report: dict, case: str, rows: list[dict], mine: dict) -> Iterator[Verdict]:
    """a, b and h once each, at the rate of a copy: of the case that is larger than caches."""
    rate = next((r["copy"] for r in report["limits"] if r["threads"] == 1), None)
    if case == LARGE and rate:
        value = 3 * 4 * 8 * 4096 * 512 / (rate * 1e9) / mine["seconds"]["median"]
        yield Verdict("W3", case, COPYING, value, 0.25)


def _allocating(report: dict, case: str, rows: list[dict], mine: dict) -> Iterator[Verdict]:
    yield Verdict("W5", case, "bytes allocated by steps beside y", mine["allocated"], SMALL, at_most=True)


def _floor(report: dict, case: str, rows: list[dict], mine: dict) -> Iterator[Verdict]:
    if floor := best(rows, ("limit",)):
        workload = floor["workload"]
        yield Verdict(workload, case, f"{floor['method']} / minissm", ratio(floor, mine), FLOORS.get(workload))


ON_LIMITS: dict[str, Callable[[dict, str, list[dict], dict], Iterator[Verdict]]] = {
    "W3": _copying,
    "W5": _allocating,
    "W4": _floor,
    "W6": _floor,
    "W7": _floor,
}
