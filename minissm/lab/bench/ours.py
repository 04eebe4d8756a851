"""minissm's own methods, of each workload the one that a user gets first."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from ... import fast, scan
from ...attention import attention
from ...backend import namespace
from ...selective import selective_scan
from .case import Case

LONGEST = 65536  # steps of a loop of Python
Named = Iterator[tuple[str, Callable[[], tuple]]]


def lti(case: Case) -> Named:
    log_lam, c, u, dy = exact(case, "log_lam", "c", "u", "dy")

    def run(mode: str) -> tuple:
        y, _, backward = scan.pick(mode, u.shape, (log_lam, c))(log_lam, c, u)
        dlog_lam, dc, du, _ = backward(dy)
        return y, dlog_lam, dc, du

    kernel = fast.path("recurrent", log_lam, c, u)  # then auto doesn't take chunks, which are to be seen, too
    for mode in ("auto", "fft", *(["chunked"] if kernel else [])):
        yield mode, partial(run, mode)


def s6(case: Case) -> Named:
    *inputs, dy = case.arrays.values()

    def run() -> tuple:
        y, _, backward = selective_scan(*inputs)
        return y, *backward(dy)[:-1]

    yield "selective_scan", run


def recurrence(case: Case) -> Named:
    a, b, dh = case.arrays.values()

    def run() -> tuple:
        h, _, backward = scan.linear(a, b)
        return (h, *backward(dh)[:2]) if case.backward else (h,)

    def alone(h: Any, back: Any) -> tuple:
        return h, *back(dh)[:2]

    if fast.path("linear", a, b) is None and a.shape[1] > LONGEST:  # MINISSM_REFERENCE is set
        return
    if case.alone:
        h, _, back = scan.linear(a, b)
        yield "linear", partial(alone, h, back)
    else:
        yield "linear", run


def window(case: Case) -> Named:
    k, u, dy = case.arrays.values()

    def run() -> tuple:
        y, _, backward = scan.pick("auto", u.shape, (k,))(k, u)
        dk, du, _ = backward(dy)
        return y, dk, du

    yield "auto", run


def step(case: Case) -> Named:
    """What generation calls for each token."""
    log_lam, c, u = exact(case, "log_lam", "c", "u")
    one, h = scan.stepper((log_lam, c), u.dtype), scan.start((log_lam, c), u.shape[1], u.dtype)

    def run() -> tuple:
        nonlocal h
        for u_t in u:
            y, h = one(u_t, h)
        return y, h

    yield "step", run


def attend(case: Case) -> Named:
    q, k, v, do = case.arrays.values()

    def run() -> tuple:
        o, *_, backward = attention(q, k, v)
        return o, *backward(do)

    yield "attention", run


def exact(case: Case, *names: str) -> list:
    """The arrays, poles and weights in double precision, as filters give them."""
    arrays = [case.arrays[name] for name in names]
    xp = namespace(*arrays)
    return [xp.astype(a, xp.complex128) if xp.isdtype(a.dtype, "complex floating") else a for a in arrays]


METHODS = {"W1": lti, "W2": s6, "W3": recurrence, "W4": window, "W5": step, "W6": attend}
