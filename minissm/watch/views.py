"""What the page shows of a block: arrays of `net.trace`, with a row for each channel, head or unit.

    filter      ssm, trig, fir: input and read of each channel, its kernel; backwards dread and dinput
    attention   attn: the weights of each head
    selective   s6: step and state of each channel
    lstm        lstm: cell, output and gates of each unit
    stream      any other block with a memory: what it adds to the residual stream

A block without a memory has no view.
"""

from typing import Any

import numpy as np

from .. import blocks
from ..attention import Attn
from ..lstm import Lstm
from ..model import Model
from ..selective import S6
from ..ssm import Ssm

VIEWS = {Ssm: "filter", Attn: "attention", S6: "selective", Lstm: "lstm"}
Arrays = dict[str, np.ndarray]


def view_of(block: Any) -> str | None:
    """The view of the block; None for a block without a memory."""
    return VIEWS.get(type(block), "stream") if blocks.has_memory(block) else None


def inside_of(net: Model, trace: Arrays, i: int) -> Arrays:
    """The arrays of block i, and `adds`, what it adds to the residual stream."""
    start = f"blocks.{i}."
    inside = {name.removeprefix(start): a for name, a in trace.items() if name.startswith(start)}
    before = trace[f"blocks.{i - 1}.output"] if i else trace["embed"]
    return inside | {"adds": inside["output"] - before if net.residual else inside["output"]}


def still(view: str | None, p: Any, inside: Arrays, most: int) -> dict[str, Any]:
    """What doesn't depend on the sequence: the rows to show; of a filter, each row's kernel, skip and memory.

    outputs: the rows of other blocks on the way back.

    most: rows of a filter or a state, at most. Of more, some are left out: evenly in the order of memory.
    """
    if view == "filter":
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
    size = len(next(iter(forwards(view, inside, np.s_[:]).values()), ()))
    outputs = {} if view in (None, "attention") else {"outputs": _some(np.arange(inside["output"].shape[2]), most)}
    return {"rows": _some(np.arange(size), most), "of": size, **outputs}


def forwards(view: str | None, inside: Arrays, rows: Any) -> Arrays:
    """Arrays (rows, ...) of the first sequence in the trace."""
    if view == "filter":
        return {name: inside[name][0].T[rows] for name in ("input", "read")}
    if view == "attention":
        return {"weights": inside["weights"][0][rows]}
    if view == "selective":
        states = inside["states"][0].transpose(1, 0, 2)[rows]
        return {"dt": inside["steps"][0].T[rows], "states": states, "size": np.linalg.norm(states, axis=2)}
    if view == "lstm":
        gates = inside["gates"][0].transpose(2, 1, 0)[rows]  # (rows, 4, L): i, f, o, g
        return {"output": inside["states"][0].T[rows], "gates": gates, "cell": _cells(gates)}
    return {} if view is None else {"adds": inside["adds"][0].T[rows]}


def backwards(view: str | None, inside: Arrays, a: int, rows: np.ndarray) -> Arrays:
    """Arrays (rows, L) of the gradients of answer a: sequence a of the trace has its lead as dy.

    rows: those of a filter; of other blocks, the outputs.
    """
    if view == "filter":
        return {name: inside[name][a].T[rows] for name in ("dinput", "dread")}
    if view in (None, "attention"):
        return {}
    return {"doutput": inside["doutput"][a].T[rows]}


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
