"""The workloads W1 to W6: sizes, inputs and right answers. W7, whole training steps, is in training.py.

Every number is drawn in float32, so that all methods and the reference, in float64, start from the same ones.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ... import fast, scan
from ...attention import attention
from ...selective import selective_scan
from .case import Case

MODES = 16  # complex, a real state of 32
STEPS = 100  # of the recurrence in one run of W5


def lti(B: int, L: int, D: int = 128, N: int = MODES) -> Case:
    """W1: y = scan(log_lam, c, u) with the poles of S4D-Lin."""
    rng = np.random.default_rng(1)
    c, u, dy = _complex(rng, D, N), _real(rng, B, L, D), _real(rng, B, L, D)
    arrays = {"log_lam": _poles(rng, D, N), "c": c, "u": u, "dy": dy}

    def item(log_lam: Any, c: Any, u: Any, dy: Any) -> tuple:
        y, _, backward = scan.chunked(log_lam, c, u)
        dlog_lam, dc, du, _ = backward(dy)
        return y, dlog_lam, dc, du

    return Case("W1", f"B {B}, L {L}", arrays, _by_items(item, arrays, "log_lam c", (1, 2)))


def s6(B: int, L: int, D: int = 256, N: int = 16) -> Case:
    """W2: y = selective_scan(u, dt, A, B, C)."""
    rng = np.random.default_rng(2)
    A = -np.broadcast_to(np.arange(1, N + 1, dtype=np.float32), (D, N)).copy()
    dt = np.exp(rng.uniform(np.log(1e-3), np.log(1e-1), (B, L, D))).astype(np.float32)
    arrays = {"u": _real(rng, B, L, D), "dt": dt, "A": A, "B": _real(rng, B, L, N), "C": _real(rng, B, L, N)}
    arrays["dy"] = _real(rng, B, L, D)

    def item(u: Any, dt: Any, A: Any, B: Any, C: Any, dy: Any) -> tuple:
        y, _, backward = selective_scan(u, dt, A, B, C)
        du, ddt, dA, dB, dC, _ = backward(dy)
        return y, du, ddt, dA, dB, dC

    return Case("W2", f"B {B}, L {L}", arrays, _by_items(item, arrays, "A", (3,)))


def recurrence(B: int, L: int, D: int, timed: str = "both", few: int | None = None) -> Case:
    """W3: h_t = a_t h_{t-1} + b_t.

    timed: forward, backward (alone) or both.  few: of so many sequences the right answers are computed (None: of all).
    """
    rng = np.random.default_rng(3)
    arrays = {"a": rng.uniform(0.8, 1, (B, L, D)).astype(np.float32), "b": _real(rng, B, L, D)}
    arrays |= {"dh": _real(rng, B, L, D)}
    backward = timed != "forward"

    def item(a: Any, b: Any, dh: Any) -> tuple:
        h, _, back = scan.linear(a, b)
        return (h, *back(dh)[:2]) if backward else (h,)

    def part(outputs: tuple) -> tuple:
        return tuple(x[:few] for x in outputs)

    name = f"({B}, {L}, {D})" + ("" if timed == "both" else f" {timed}")
    reference = _by_items(item, {n: a[:few] for n, a in arrays.items()}, "", ())
    return Case("W3", name, arrays, reference, backward, alone=timed == "backward", part=part)


def window(B: int, L: int, D: int, U: int = 1024) -> Case:
    """W4: y_t = sum_{j <= U} k_j u_{t-j}."""
    rng = np.random.default_rng(4)
    arrays = {"k": _real(rng, D, U + 1) / np.float32(np.sqrt(U)), "u": _real(rng, B, L, D), "dy": _real(rng, B, L, D)}

    def item(k: Any, u: Any, dy: Any) -> tuple:
        y, _, backward = scan.taps.fft(k, u)
        dk, du, _ = backward(dy)
        return y, dk, du

    return Case("W4", f"({B}, {L}, {D})", arrays, _by_items(item, arrays, "k", (1,)))


def step(B: int, D: int = 128, N: int = MODES) -> Case:
    """W5: one input after another, each only there when the output before it is. A run is `calls` steps."""
    rng = np.random.default_rng(5)
    arrays = {"log_lam": _poles(rng, D, N), "c": _complex(rng, D, N), "u": _real(rng, STEPS, B, D)}

    def reference() -> tuple:
        log_lam, c, u = (a.astype(np.result_type(a, np.float64)) for a in arrays.values())
        y, h, _ = scan.recurrent(log_lam, c, u.transpose(1, 0, 2))
        return y[:, -1], h

    return Case("W5", f"B {B}", arrays, reference, backward=False, calls=STEPS)


def attend(B: int, H: int, L: int, P: int = 32) -> Case:
    """W6: causal softmax attention."""
    rng = np.random.default_rng(6)
    arrays = {name: _real(rng, B, H, L, P) for name in ("q", "k", "v", "do")}

    def item(q: Any, k: Any, v: Any, do: Any) -> tuple:
        o, *_, backward = attention(q, k, v)
        return o, *backward(do)

    return Case("W6", f"{B} x {H} heads, L {L}", arrays, _by_items(item, arrays, "", ()))


CASES: dict[str, list[Callable[[], Case]]] = {
    "W1": [lambda: lti(8, 4096), lambda: lti(8, 1024), lambda: lti(2, 16384)],
    "W2": [lambda: s6(4, 2048)],
    "W3": [
        lambda: recurrence(8, 4096, 512, "forward"),
        lambda: recurrence(8, 4096, 512),
        lambda: recurrence(1, 4096, 64, "forward"),
        lambda: recurrence(1, 4096, 64),
    ],
    "W4": [lambda: window(8, 4096, 128)],
    "W5": [lambda: step(1), lambda: step(64)],
    "W6": [lambda: attend(8, 4, 1024)],
}

CARD: dict[str, list[Callable[[], Case]]] = {  # beside them, on a GPU alone: many numbers, and few channels
    "W3": [
        *(lambda timed=timed: recurrence(16, 4096, 1024, timed, few=1) for timed in ("forward", "backward", "both")),
        lambda: recurrence(1, 1 << 20, 16),
    ]
}


def _poles(rng: np.random.Generator, D: int, N: int) -> np.ndarray:
    dt = np.exp(rng.uniform(np.log(1e-3), np.log(1e-1), (D, 1)))
    return ((-0.5 + 1j * np.pi * np.arange(N)) * dt).astype(np.complex64)


def _real(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape, np.float32)


def _complex(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return (_real(rng, *shape) + 1j * _real(rng, *shape)) / np.float32(shape[-1])


def _by_items(item: Callable, arrays: dict, shared: str, summed: tuple[int, ...]) -> Callable[[], tuple]:
    """The outputs in float64 from the reference bodies, one sequence at a time, for all at once would need gigabytes.

    shared: names of the arrays without a batch axis.  summed: places of the outputs that add up over the batch.
    """

    def reference() -> tuple:
        wide = {n: a.astype(np.result_type(a, np.float64)) for n, a in arrays.items()}
        B = max(len(a) for n, a in arrays.items() if n not in shared.split())
        with plain():
            each = [item(**{n: a if n in shared.split() else a[b : b + 1] for n, a in wide.items()}) for b in range(B)]
        columns = enumerate(zip(*each, strict=True))
        return tuple(sum(column) if i in summed else np.concatenate(column) for i, column in columns)

    return reference


@contextmanager
def plain() -> Iterator[None]:
    """Inside, no fast path (minissm/fast/) is chosen."""
    before, fast.REFERENCE = fast.REFERENCE, True
    try:
        yield
    finally:
        fast.REFERENCE = before
