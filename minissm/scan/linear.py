"""The linear recurrence whose factor changes from step to step; in diagonal.py the factor is constant."""

from typing import Any

from .. import fast
from ..backend import cotangents, device, namespace
from ..shapes import check_arrays

Array = Any


def linear(a: Array, b: Array, h0: Array = None) -> tuple:
    """h_t = a_t h_{t-1} + b_t along axis 1, separately for every entry.

    a, b, h (B, L, ...) of one dtype, real or complex, L >= 1.
    h0, h_last (B, ...). h0 None (default): zeros.
    -> h, h_last and `da, db, dh0 = backward(dh, dh_last=None)`.

    dh is the cotangent of h, dh_last the cotangent of h_last: they add up at the last state, which is in both.
    ValueError where shapes or dtypes don't fit. a is used as it is given: a factor near 1 that is rounded to single
    puts h off by up to 3e-8 L after L steps.
    """
    xp, h0 = _start(a, b, h0)

    def checked(dh: Array, dh_last: Array) -> list:
        return cotangents("scan", ("dh", dh, h), ("dh_last", dh_last, last))

    if fast_path := fast.path("linear", a, b, h0):
        h, last, back = fast_path(a, b, h0)
        return h, last, lambda dh=None, dh_last=None: back(*checked(dh, dh_last))
    last, states = h0, []
    for t in range(a.shape[1]):
        last = a[:, t, ...] * last + b[:, t, ...]
        states.append(last)
    h = xp.stack(states, axis=1)

    def backward(dh: Array = None, dh_last: Array = None) -> tuple:
        dh, g = checked(dh, dh_last)  # g: dL/dh_t through all later states
        dbs = []
        for t in range(a.shape[1] - 1, -1, -1):
            g = g + dh[:, t, ...]
            dbs.append(g)
            g = g * _conj(a[:, t, ...])
        db = xp.stack(dbs[::-1], axis=1)
        before = xp.concat([h0[:, None, ...], h[:, :-1, ...]], axis=1)  # h_{t-1}
        return db * _conj(before), db, g

    return h, last, backward


def _conj(z: Array) -> Array:
    """The conjugate; a real z is returned as it is, because the array API has no conj for it."""
    xp = namespace(z)
    return xp.conj(z) if xp.isdtype(z.dtype, "complex floating") else z


def _start(a: Array, b: Array, h0: Array) -> tuple:
    """Argument checks. -> namespace, initial state (zeros where none is given)."""
    xp = check_arrays("scan", "a (B, L, ...) floats, b (B, L, ...) floats, h0 (B, ...) floats or None alike", a, b, h0)
    state = (a.shape[0], *a.shape[2:])
    return xp, xp.zeros(state, dtype=a.dtype, device=device(a)) if h0 is None else h0
