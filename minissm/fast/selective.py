"""selective_scan for NumPy: in blocks that stay in the cache; the backward recomputes their states.

Of all states, B L E N numbers, only those at the starts of blocks are kept. A block is T steps of G batch items, stored
as (T, N, G, E), so that a step is contiguous. G and T depend on the size of a state alone. A step has up to STEP
numbers, enough to be worth a NumPy call, and a block has up to BLOCK numbers. If a block is the whole sequence and all
states have at most KEPT numbers, they are all kept and nothing is recomputed.
"""

import numpy as np

from .layout import cuts
from .parallel import each, halves

STEP = 1 << 13
BLOCK = 1 << 18
KEPT = 1 << 20


def selective_scan(
    u: np.ndarray, dt: np.ndarray, A: np.ndarray, B: np.ndarray, C: np.ndarray, h0: np.ndarray | None
) -> tuple:
    """h_t = exp(dt_t A) h_{t-1} + dt_t u_t B_t,  y_t = C_t h_t;  shapes and gradients as in selective.py."""
    (batch, L, E), N, real = u.shape, A.shape[1], u.dtype
    parts = halves(batch, u.size * N)
    width = min(max(1, STEP // (E * N)), parts[-1].stop - parts[-1].start)
    steps = min(max(1, BLOCK // (width * E * N)), L)
    groups = [cuts(part.start, part.stop, width) for part in parts]
    blocks = cuts(0, L, steps)
    y, starts = np.empty((batch, L, E), real), np.empty((len(blocks) + 1, N, batch, E), real)
    starts[0] = 0 if h0 is None else h0.transpose(2, 0, 1)
    again = len(blocks) > 1 or u.size * N > KEPT
    kept: dict[int, tuple] = {}  # the start of a group -> its buffers, with factors and states

    def forward(group: slice) -> None:
        a, h, product, As = _room(steps, A, group)
        for i, block in enumerate(blocks):
            dt_, u_, B_, C_ = (_tokens(z[group, block]) for z in (dt, u, B, C))
            h[0] = starts[i, :, group]
            h_ = _states(dt_, dt_ * u_, B_, As, a, h, product)
            y[group, block] = (C_[:, :, None] @ h_.swapaxes(1, 2))[:, :, 0].swapaxes(0, 1)
            starts[i + 1, :, group] = h_[-1]
        if not again:
            kept[group.start] = a, h, product, As

    def backward(dy: np.ndarray, dh_last: np.ndarray) -> tuple:
        du, ddt, dB, dC = (np.empty(z.shape, real) for z in (u, dt, B, C))
        dh = np.array(dh_last.transpose(2, 0, 1), real, order="C")  # the gradient of the state, from the later steps

        def backward_group(group: slice) -> np.ndarray:
            a, h, product, As = _room(steps, A, group) if again else kept[group.start]
            g, ag, dA = np.empty_like(a), a if again else np.empty_like(a), np.zeros((N, E), real)
            for i, block in reversed(list(enumerate(blocks))):
                dt_, u_, B_, C_, dy_ = (_tokens(z[group, block]) for z in (dt, u, B, C, dy))
                v_, T = dt_ * u_, len(dt_)
                if again:
                    h[0] = starts[i, :, group]
                    _states(dt_, v_, B_, As, a, h, product)
                dC[group, block] = (h[1 : T + 1].swapaxes(1, 2) @ dy_[..., None])[..., 0].swapaxes(0, 1)
                _outer(C_, dy_, g[:T])
                dh[:, group] = _adjoint(a[:T], g[:T], dh[:, group], ag[:T])
                g_, dz = g[:T].swapaxes(1, 2), ag[:T]
                dB[group, block] = (g_ @ v_[..., None])[..., 0].swapaxes(0, 1)
                dv = (B_[:, :, None] @ g_)[:, :, 0]
                dz *= h[:T]  # z = dt A, a = exp(z)
                dA += np.einsum("tnge,tge->ne", dz, dt_)
                ddt[group, block] = (np.einsum("tnge,nge->tge", dz, As) + dv * u_).swapaxes(0, 1)
                du[group, block] = (dv * dt_).swapaxes(0, 1)
            return dA

        dA = sum(each(lambda part: sum(map(backward_group, part)), groups))
        return du, ddt, dA.T, dB, dC, dh.transpose(1, 2, 0)

    each(lambda part: list(map(forward, part)), groups)
    return y, np.array(starts[-1].transpose(1, 2, 0), order="C"), backward


def _room(steps: int, A: np.ndarray, group: slice) -> tuple:
    """Buffers of a group: factors, states (one more: the initial one), a product; and A, repeated for each item."""
    state = (A.shape[1], group.stop - group.start, A.shape[0])
    a, h = np.empty((steps, *state), A.dtype), np.empty((steps + 1, *state), A.dtype)
    return a, h, np.empty(state, A.dtype), np.array(np.broadcast_to(A.T[:, None], state), order="C")


def _tokens(z: np.ndarray) -> np.ndarray:
    """(G, T, X) -> (T, G, X)."""
    return np.ascontiguousarray(z.swapaxes(0, 1))


def _outer(over_poles: np.ndarray, over_channels: np.ndarray, out: np.ndarray) -> None:
    """(T, G, N), (T, G, E) -> (T, N, G, E)."""
    np.multiply(over_poles.swapaxes(1, 2)[..., None], over_channels[:, None], out=out)


def _states(
    dt: np.ndarray, v: np.ndarray, B: np.ndarray, A: np.ndarray, a: np.ndarray, h: np.ndarray, product: np.ndarray
) -> np.ndarray:
    """Fill a with exp(dt_t A), and h from h[0] on. -> The states after each of the T steps."""
    T = len(dt)
    np.multiply(dt[:, None], A, out=a[:T])
    np.exp(a[:T], out=a[:T])
    _outer(B, v, h[1 : T + 1])
    for a_t, before, h_t in zip(a[:T], h[:T], h[1:], strict=False):
        np.multiply(a_t, before, out=product)
        h_t += product
    return h[1 : T + 1]


def _adjoint(a: np.ndarray, g: np.ndarray, dh: np.ndarray, ag: np.ndarray) -> np.ndarray:
    """g_t += a_{t+1} g_{t+1}, and dh for the last; ag may be a. -> a_0 g_0, the gradient of the initial state."""
    for a_t, g_t, ag_t in zip(a[::-1], g[::-1], ag[::-1], strict=True):
        g_t += dh
        dh = np.multiply(a_t, g_t, out=ag_t)
    return dh
