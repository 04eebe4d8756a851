"""So many cores for everything: all threads of this process, BLAS, minissm's halves, and the peers."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType

from ...fast import parallel


def mine() -> list[int]:
    """The cores that this process may use, by number."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


@contextmanager
def using(cores: Sequence[int], peers: Sequence[ModuleType]) -> Iterator[None]:
    """Inside, nothing runs on other cores. A peer is told how many, for it has pools of its own."""
    before = mine()
    _pin(cores)
    try:
        with parallel.threads(len(cores)):
            for peer in peers:
                peer.threads(len(cores))
            yield
    finally:
        _pin(before)


def _pin(cores: Sequence[int]) -> None:
    """Every thread that lives, and with them those that they start. Where there is no such call, limits must do."""
    if not hasattr(os, "sched_setaffinity"):
        return
    for thread in os.listdir("/proc/self/task"):
        try:
            os.sched_setaffinity(int(thread), cores)
        except ProcessLookupError:  # it has ended meanwhile
            continue
