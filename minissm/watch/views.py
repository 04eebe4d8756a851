"""What the page shows of a block: arrays of `net.trace`, with a row for each channel, head or unit.

    filter      ssm, trig, fir: input and read of each channel, its kernel; backwards dread and dinput
    attention   attn: the weights of each head
    selective   s6: step and state of each channel
    lstm        lstm: cell, output and gates of each unit
    stream      any other block with a memory: what it adds to the residual stream

The names in the trace decide which view a block has, so that a block of your own has the view of its kind. A block
without a memory has none.
"""

from typing import Any

import numpy as np

from .. import blocks
from ..model import Model

SIGNS = {"read": "filter", "weights": "attention", "steps": "selective", "gates": "lstm"}  # name in the trace -> view
Arrays = dict[str, np.ndarray]


def kind_of(block: Any, inside: Arrays) -> str | None:
    """The view of the block; None for a block without a memory."""
    named = [view for name, view in SIGNS.items() if name in inside]
    return (named or ["stream"])[0] if blocks.has_memory(block) else None


def inside_of(net: Model, trace: Arrays, i: int) -> Arrays:
    """The arrays of block i, and `adds`, what it adds to the residual stream."""
    start = f"blocks.{i}."
    inside = {name.removeprefix(start): a for name, a in trace.items() if name.startswith(start)}
    before = trace[f"blocks.{i - 1}.output"] if i else trace["embed"]
    return inside | {"adds": inside["output"] - before if net.residual else inside["output"]}


def still(kind: str | None, p: Any, inside: Arrays, most: int) -> dict[str, Any]:
    """What doesn't depend on the sequence: the rows to show, and of a filter each row's kernel, skip and memory.

    most: rows of a filter or a state, at most. Of more, some are left out: evenly in the order of memory.
    """
    if kind == "filter":
        kernel = np.array(inside["kernel"], float)
        kernel[:, 0] -= p["skip"]
        memory = np.abs(kernel) @ np.arange(kernel.shape[1]) / np.maximum(np.abs(kernel).sum(axis=1), 1e-30)
        rows = _some(np.argsort(memory, kind="stable"), most)
        return {
            "rows": rows,
            "of": len(memory),
            "memory": memory[rows],
            "kernel": kernel[rows],
            "skip": p["skip"][rows],
        }
    size = {
        "attention": lambda: inside["weights"].shape[1],
        "selective": lambda: inside["steps"].shape[2],
        "lstm": lambda: inside["states"].shape[2],
        "stream": lambda: inside["adds"].shape[2],
        None: lambda: 0,
    }[kind]()
    return {"rows": _some(np.arange(size), most), "of": size}


def forwards(kind: str | None, inside: Arrays, rows: np.ndarray) -> Arrays:
    """Arrays (rows, ...) of the first sequence in the trace."""
    if kind == "filter":
        return {name: inside[name][0].T[rows] for name in ("input", "read")}
    if kind == "attention":
        return {"weights": inside["weights"][0][rows]}
    if kind == "selective":
        states = inside["states"][0].transpose(1, 0, 2)[rows]
        return {"dt": inside["steps"][0].T[rows], "states": states, "size": np.linalg.norm(states, axis=2)}
    if kind == "lstm":
        gates = inside["gates"][0].transpose(2, 1, 0)[rows]  # (rows, 4, L): i, f, o, g
        return {"output": inside["states"][0].T[rows], "gates": gates, "cell": _cells(gates)}
    return {} if kind is None else {"adds": inside["adds"][0].T[rows]}


def backwards(kind: str | None, inside: Arrays, a: int, rows: np.ndarray) -> Arrays:
    """Arrays (rows, L) of the gradients of answer a: sequence a of the trace has its lead as dy."""
    if kind == "filter":
        return {name: inside[name][a].T[rows] for name in ("dinput", "dread")}
    if kind in (None, "attention"):
        return {}
    doutput = inside["doutput"][a].T
    return {"doutput": doutput[_some(np.arange(len(doutput)), len(rows))]}


def _cells(gates: np.ndarray) -> np.ndarray:
    """(rows, 4, L) -> c (rows, L), c_t = f c_{t-1} + i g."""
    cells, c = [], np.zeros(gates.shape[0])
    for i, f, _, g in gates.transpose(2, 1, 0):
        c = f * c + i * g
        cells.append(c)
    return np.stack(cells, axis=1)


def _some(rows: np.ndarray, most: int) -> np.ndarray:
    """At most that many of the rows, evenly spread."""
    return rows if rows.size <= most else rows[np.linspace(0, rows.size - 1, most).round().astype(int)]
