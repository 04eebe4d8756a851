"""`minissm bench`: the fastest mode of a state space layer on this machine, and the lengths at which another one wins.

It runs every mode forward and backward, by its reference body and by its fast path, and on a GPU if CuPy finds one.
"""

import argparse
import textwrap
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import backend, fast, scan, tree
from ..checks import check_integer
from ..files import check_place, shown
from ..plots import COLOURS, drawn, new_figure, save
from ..progress import Progress
from ..spec import parse
from . import machine, timing
from .command import integer

SPEC = "ssm"
PATIENCE = {True: 1.5, False: 0.7}  # seconds of one call, at the requested length and at others
ROUNDS = {True: timing.Rounds(3, 15, 0.5), False: timing.Rounds(3, 15, 0.2)}
DEADLINE = 35  # seconds; after these, only the requested length is measured
LARGEST = 2 << 30  # bytes of one call
Rows = list[dict[str, Any]]


class Method(NamedTuple):
    """path: reference (the reference body), fast path, kernel (a fast path on a GPU) or arrays (a GPU without one)."""

    backend: str
    mode: str
    path: str

    def __str__(self) -> str:
        return f"{'CuPy ' * (self.backend == 'cupy')}{self.mode}, {self.path}"


def add(commands: Any) -> None:
    """Add the command to the parser."""
    bench = commands.add_parser("bench", help="find the fastest mode on this machine", allow_abbrev=False)
    bench.set_defaults(command=command)
    bench.add_argument("--batch", type=integer, default=8, help="sequences in a batch (default 8)")
    bench.add_argument("--length", type=integer, default=1024, help="tokens in a sequence (default 1024)")
    bench.add_argument("--width", type=integer, default=64, help="width of the model (default 64)")
    bench.add_argument("--out", metavar="FILE.png", default="bench.png", help="file of the figure (default bench.png)")


def command(arguments: argparse.Namespace) -> int:
    batch, length, width = (check_integer("bench", n, getattr(arguments, n)) for n in ("batch", "length", "width"))
    path = Path(arguments.out)
    if path.suffix != ".png":
        raise ValueError(f"bench: --out {shown(path)}; expected a file name that ends in .png")
    try:
        check_place("bench", path)
    except OSError as error:
        raise ValueError(f"{error.strerror}: --out {shown(path)}") from None
    rows = measure(batch, length, width)
    figure = drawn(lambda: draw(rows, batch, length, width, path))
    print(f"{text(rows, batch, length, width)}\n{figure}")
    return 0


def measure(batch: int, length: int, width: int, show: bool = True) -> Rows:
    """A row for each method and length: seconds and bytes; at the requested length also error and auto (is_auto)."""
    if 64 * batch * length * width + 32 * width**2 > LARGEST:
        raise ValueError(f"bench: batch {batch}, length {length}, width {width} is too large; give smaller ones")
    block, rng, rows, start = parse(SPEC)[0], np.random.default_rng(0), [], time.monotonic()
    p = tree.map(lambda a: a.astype(np.float32), block.init(rng, width))
    last: dict[Method, dict] = {}  # the last row of each method
    lengths = sorted({length << i if i > 0 else max(1, length >> -i) for i in range(-5, 3)})
    with Progress(len(lengths), "bench", show) as bar:
        for L in lengths:
            asked = length == L
            if asked or time.monotonic() - start < DEADLINE:
                x, dy = rng.standard_normal((2, batch, L, width), np.float32)
                able = [m for m in available(p) if m not in last or fits(last[m], L, asked)]
                inputs = {name: backend.to([p, x, dy], name) for name in {m.backend for m in able}}
                runs: dict[Method, Callable] = {m: partial(run, block, m, *inputs[m.backend]) for m in able}
                errors = agreement(block, p, x, dy, runs) if asked else {m: f() and None for m, f in runs.items()}
                for m, times in timed(runs, ROUNDS[asked]).items():
                    row = {"method": m, "L": L, "seconds": timing.spread(times), "bytes": memory(m, runs[m])}
                    last[m] = row | {"error": errors[m], "auto": asked and is_auto(block, p, m, x)}
                rows += [last[m] for m in runs]
            bar.update(1, f"length {L}")
    if not any(row["L"] == length for row in rows):
        raise ValueError(f"bench: no mode fits into {LARGEST >> 30} GB at length {length}; give a smaller size")
    return rows


def run(block: Any, method: Method, p: dict, x: Any, dy: Any) -> tuple:
    """y, dx and the gradients of the parameters."""
    with fast.reference() if method.path == "reference" else nullcontext():
        y, _, backward = block.run(p, x, None, method.mode)
        dp, dx, _ = backward(dy, None)
    return y, dx, tree.flatten(dp)


def available(p: dict) -> list[Method]:
    """The methods, fast paths first. Without CuPy or a GPU, NumPy's alone; `minissm info` prints the reason."""
    paths = [("numpy", mode, "fast path") for mode in scan.MODES if fast.path(mode, p["w_in"])]
    paths += [("numpy", mode, "reference") for mode in scan.MODES]
    with suppress(RuntimeError):
        a = backend.cupy().asarray(p["w_in"])
        paths += [("cupy", mode, "kernel" if fast.path(mode, a) else "arrays") for mode in scan.MODES]
    return [Method(*path) for path in paths]


def fits(last: dict[str, Any], L: int, asked: bool) -> bool:
    """An estimate from the last length: time and memory grow linearly with it."""
    scale = L / last["L"]
    return scale * last["seconds"]["median"] < PATIENCE[asked] and scale * last["bytes"] < LARGEST


def memory(method: Method, f: Callable) -> int:
    return timing.numpy_memory(f) if method.backend == "numpy" else timing.cupy_memory(backend.cupy(), f)


def timed(runs: dict[Method, Callable], rounds: timing.Rounds) -> dict[Method, list[float]]:
    """Seconds of each method: CuPy's by CUDA events, NumPy's by the clock."""
    of = {name: {m: f for m, f in runs.items() if m.backend == name} for name in ("numpy", "cupy")}
    times = timing.interleave(of["numpy"], rounds)
    return times | (timing.interleave(of["cupy"], rounds, timing.by_events(backend.cupy())) if of["cupy"] else {})


def agreement(block: Any, p: dict, x: Any, dy: Any, runs: dict[Method, Callable]) -> dict[Method, float]:
    """The largest relative error of y and the gradients. The reference is the chunked reference body in float64."""
    wide = [tree.map(lambda a: a.astype(np.float64), value) for value in (p, x, dy)]
    expected = run(block, Method("numpy", "chunked", "reference"), *wide)
    return {m: max(map(timing.error, f(), expected)) for m, f in runs.items()}


def is_auto(block: Any, p: dict, method: Method, x: Any) -> bool:
    """True if mode="auto" takes this method for these shapes."""
    chosen = method.path != "reference" or not fast.path(method.mode, p["w_in"])
    coefficients, _ = block.filter(backend.to(p["filter"], method.backend))
    return chosen and scan.pick("auto", (*x.shape[:2], p["w_in"].shape[1]), coefficients).__name__ == method.mode


def fastest(rows: Rows) -> str:
    """ "recurrent, reference to length 32; chunked, fast path from 64", from the minimum times.

    A method replaces the one before only if it is more than a tenth faster.
    """
    winners: list[tuple[Method, int]] = []
    for L in sorted({row["L"] for row in rows}):
        seconds = {row["method"]: row["seconds"]["min"] for row in rows if row["L"] == L}
        best = min(seconds, key=seconds.__getitem__)
        before = winners[-1][0] if winners else best
        winners.append((before if seconds.get(before, np.inf) < 1.1 * seconds[best] else best, L))
    runs = [(method, [f"{L:,}" for _, L in same]) for method, same in groupby(winners, lambda pair: pair[0])]
    first, *later = [f"{m} from {Ls[0]}" if i else f"{m} to length {Ls[-1]}" for i, (m, Ls) in enumerate(runs)]
    return "; ".join([first, *later]) if later else f"{runs[0][0]} at every length"


def text(rows: Rows, batch: int, length: int, width: int) -> str:
    """The table of the requested length, fastest first."""
    here = sorted((r for r in rows if r["L"] == length), key=lambda r: r["seconds"]["median"])
    lines = [f"{SPEC}, batch {batch}, length {length}, width {width}, float32, forward and backward on"]
    lines += [f"{machine.processor()}, cores: {machine.cores()}; BLAS {machine.blas()}", ""]
    lines += [f"{'method':24} {'ms':>9} {'quartiles':>19} {'MB':>8} {'error':>7}"]
    for row in here:
        middle, low, high = (f"{1e3 * row['seconds'][name]:.3g}" for name in ("median", "q1", "q3"))
        cells = f"{row['method']!s:24} {middle:>9} {low + ' to ' + high:>19}"
        lines.append(f"{cells} {row['bytes'] / 1e6:8.1f} {row['error']:7.0e}{'   <- mode=auto' * row['auto']}")
    missing = {str(row["method"]) for row in rows} - {str(row["method"]) for row in here}
    lines += [f"left out at this length, too slow or too large: {'; '.join(sorted(missing))}"] * bool(missing)
    return "\n".join([*lines, "", f"Fastest: {fastest(rows)}."])


def draw(rows: Rows, batch: int, length: int, width: int, path: Path) -> Path:
    """Left: speed over the length, which separates curves that cross. Right: memory at the requested length."""
    with new_figure(11, 5) as figure:
        _draw(figure, rows, batch, length, width)
        return save(figure, path)


def _draw(figure: Any, rows: Rows, batch: int, length: int, width: int) -> None:
    figure.suptitle(f"{SPEC}, batch {batch}, width {width}, forward and backward on {machine.processor()}")
    speed, size = figure.subplots(1, 2, width_ratios=(1.5, 1))
    lengths = sorted({row["L"] for row in rows})
    here = sorted((row for row in rows if row["L"] == length), key=lambda row: row["bytes"])
    for method in {r["method"]: 0 for r in rows}:
        points = [r for r in rows if r["method"] == method]
        y = [batch * r["L"] / 1e3 / r["seconds"]["min"] for r in points]
        speed.plot([lengths.index(r["L"]) for r in points], y, **style(method), label=str(method))
    speed.set_xticks(range(len(lengths)), [f"{L:,}" for L in lengths])
    times = [row["seconds"]["min"] for row in here]
    axis: dict[str, Any] = {"ylim": (0, None)} if max(times) < 50 * min(times) else {"yscale": "log"}
    speed.set(xlabel="length", ylabel="thousand tokens in a second, by the fastest call", **axis)
    speed.set_title(textwrap.fill(f"Fastest: {fastest(rows)}", 68), fontsize=11)
    figure.legend(*speed.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=9)
    memory_mb, colours = [row["bytes"] / 1e6 for row in here], [style(row["method"])["color"] for row in here]
    bars = size.barh([str(row["method"]) for row in here], memory_mb, color=colours, alpha=0.85)
    size.bar_label(bars, fmt="%.0f", padding=3)
    size.set(xlabel="MB of one call", title=f"Memory at length {length:,}", xlim=(0, 1.15 * memory_mb[-1]))
    for axes in (speed, size):
        axes.spines[["top", "right"]].set_visible(False)


def style(method: Method) -> dict[str, Any]:
    """A colour for each mode. Reference bodies have a dashed line and open marks, methods on a GPU a dotted line."""
    i, reference = list(scan.MODES).index(method.mode), method.path == "reference"
    line = ":" if method.backend == "cupy" else "--" if reference else "-"
    fill = "white" if reference else None
    return {"color": COLOURS[i], "marker": "os^"[i], "linestyle": line, "markerfacecolor": fill}
