"""When a GPU pays: the scan of modes, forward and backward, over length and width, on the CPU and on the card.

On each by every method that it has: the plain loop over the tokens, the kernel that does the same on the card
(minissm/fast/), and chunked and fft, which are products and transforms of arrays.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from ... import backend, fast, scan
from . import card
from .case import Case
from .events import by_events
from .ours import exact
from .timing import Rounds, by_clock, interleave, spread
from .workloads import lti, plain

METHODS = {"plain loop": "recurrent", "kernel": "recurrent", "chunked": "chunked", "fft": "fft"}  # name: mode
ROOM = 2 << 30  # bytes of states; the plain loop keeps all of them
FULL: dict[str, Any] = {
    "lengths": (64, 256, 1024, 4096, 16384),
    "widths": (16, 128, 1024),
    "rounds": Rounds(2, 15, 0.5),
}
QUICK: dict[str, Any] = {"lengths": (64, 256, 1024), "widths": (16, 128), "rounds": Rounds(1, 7, 0.2)}


def crossover(
    backends: Sequence[str],
    lengths: Sequence[int] = FULL["lengths"],
    widths: Sequence[int] = FULL["widths"],
    rounds: Rounds = FULL["rounds"],
    B: int = 8,
    N: int = 16,
    patience: float = 2.0,
    lost: list[dict] | None = None,
) -> Iterator[dict[str, Any]]:
    """A row a backend, method, width D and length L, float32: {"backend", "method", "B", "D", "N", "L", "seconds"}.

    Left out: the kernel where there is none; what would take longer than `patience` seconds by the length before; the
    plain loop where its states need more than ROOM; what fails or does not fit on the card (told in `lost`).
    """
    timed = {name: by_clock if name == "numpy" else by_events(backend.cupy()) for name in backends}
    lost = [] if lost is None else lost
    for D in widths:
        last: dict[tuple[str, str], tuple[int, float]] = {}
        for L in lengths:
            case = lti(B, L, D, N)
            for name in backends:
                runs: dict[str, Callable[[], Any]] = {}
                found: list[tuple[str, Callable[[], Any]]] = []
                where = f"crossover, width {D}, {name}"
                losing = partial(card.losing, lost, case.workload, case.name, where)
                with card.fitting(losing("")):
                    found += _runs(case, name)
                for method, run in found:
                    before, seconds = last.get((name, method), (L, 0.0))
                    if seconds * L / before > patience or (method == "plain loop" and 8 * B * L * D * N > ROOM):
                        continue
                    with card.fitting(losing(method)):
                        run()
                        runs[method] = run
                taken: dict[str, list[float]] = {}
                with card.fitting(losing("in turn")):
                    taken = interleave(runs, rounds, timed[name])
                for method, times in taken.items():
                    told = spread(times)
                    last[name, method] = L, told["median"]
                    yield {"backend": name, "method": method, "B": B, "D": D, "N": N, "L": L, "seconds": told}


def _runs(case: Case, name: str) -> Iterator[tuple[str, Callable[[], Any]]]:
    """(method, forward and backward) on this backend."""
    log_lam, c, u, dy = exact(replace(case, arrays=backend.to(case.arrays, name)), "log_lam", "c", "u", "dy")

    def scanned(mode: str) -> tuple:
        y, _, backward = scan.MODES[mode](log_lam, c, u)
        return y, *backward(dy)[:3]

    def loop() -> tuple:
        with plain():
            return scanned("recurrent")

    for method, mode in METHODS.items():
        if method != "kernel" or fast.path("recurrent", log_lam, c, u) is not None:
            yield method, loop if method == "plain loop" else partial(scanned, mode)
