"""The floor of W7: the matrix products of one training step of a model, forward and backward, as minissm shapes them.

With them go the exponentials of attention and the tanh of gelu. Left out is all else, among it the states at the ends
of sequences and what makes the kernels. Behind the last mixer only the rows that have a loss are there.
"""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from ...attention import Attn
from ...blocks import has_memory
from ...fast.fnn import FEWEST
from ...fast.fnn import PRODUCT as OF_FNN
from ...layers import Fnn
from ...scan.diagonal import CHUNK
from ...ssm import Ssm
from .case import Case
from .floor import Calls, attention, product, room, run


def step(case: Case) -> Iterator[tuple[str, Callable[[], None]]]:
    net = case.more["net"]
    (B, L), D = case.arrays["tokens"].shape, net.width
    R, wanted = B * L, int(np.count_nonzero(case.arrays["weights"]))
    last = max(i for i, block in enumerate(net.placed) if has_memory(block))
    calls: Calls = [product(room(R, net.vocab).T, room(R, D))]  # the gradient of the embedding
    for i, block in enumerate(net.placed):
        if isinstance(block, Ssm):
            calls += ssm(B, L, D, block.expand * D, block.filter.modes)
        elif isinstance(block, Attn):
            calls += [*linear(R, D, 3 * D), *attention(B, block.heads, L, D // block.heads), *linear(R, D, D)]
        elif isinstance(block, Fnn):
            calls += fnn(R if i < last else wanted, D, block.width or 4 * D)
    yield "products, exp and tanh alone", partial(run, [*calls, *linear(wanted, D, net.outputs)])


def linear(R: int, D: int, E: int) -> Calls:
    x, w, dy = room(R, D), room(D, E), room(R, E)
    return [product(x, w), product(x.T, dy), product(dy, w.T)]


def fnn(R: int, D: int, W: int) -> Calls:
    """fnn1, some rows at a time."""
    size = max(FEWEST, OF_FNN // (D * W))
    x, y, hidden, dx = room(R, D), room(R, D), room(R, W), room(R, D)
    first, second = room(D, W), room(W, D)
    forward: Calls = []
    backward: Calls = []
    for i in range(0, R, size):
        a, b, h, da = (each[i : i + size] for each in (x, y, hidden, dx))
        forward += [product(a, first, h), partial(np.tanh, h, out=h), product(h, second, b)]
        dh = room(*h.shape)
        backward += [product(h.T, b), product(b, first, dh), product(a.T, dh), product(dh, second, da)]
    return forward + backward


def ssm(B: int, L: int, D: int, E: int, N: int) -> Calls:
    """Rows are (E, B L) between the projections."""
    R = B * L
    x, u, v, dy, dv, du = room(R, D), room(E, R), room(E, R), room(R, D), room(E, R), room(E, R)
    inward, outward = room(D, E), room(E, D)
    scanned = chunks if max(CHUNK, min(B, 2 * CHUNK)) < L else one_chunk  # as scan.chunked chooses
    around = [product(inward.T, x.T, u), product(v.T, outward), product(outward, dy.T, dv)]
    back = [product(du, x), product(v, dy), product(du.T, inward.T)]
    return [*around, *scanned(B, L, N, u, v, dv, du), *back]


def one_chunk(B: int, L: int, N: int, u: np.ndarray, y: np.ndarray, dy: np.ndarray, du: np.ndarray) -> Calls:
    """By one Toeplitz matrix a channel."""
    E, T = len(u), room(len(u), L, L)
    u, y, dy, du = (a.reshape(E, B, L) for a in (u, y, dy, du))
    return [product(u, T, y), product(dy, T, du), product(u.mT, dy)]


def chunks(B: int, L: int, N: int, u: np.ndarray, y: np.ndarray, dy: np.ndarray, du: np.ndarray) -> Calls:
    """A sequence after the other, by M chunks of Q: three products forward and six back."""
    E, Q, M = len(u), CHUNK, L // CHUNK
    T, into, out = room(E, Q, Q), room(E, Q, 2 * N), room(E, 2 * N, Q)
    from_states, ds, dT = room(E, M, Q), room(M, E, 2 * N).transpose(1, 0, 2), room(E, Q, Q)
    forward: Calls = []
    backward: Calls = []
    for b in range(B):
        x, yb, dyb, dx = (a[:, b * L : b * L + M * Q].reshape(E, M, Q) for a in (u, y, dy, du))
        s = room(M, E, 2 * N).transpose(1, 0, 2)
        forward += [product(x, into, s), product(x, T, yb), product(s, out, from_states)]
        backward += [product(dyb, into, ds), product(x.mT, dyb, dT), product(x.mT, ds), product(dyb.mT, s)]
        backward += [product(dyb, T, dx), product(ds, out, from_states)]
    return forward + backward


METHODS = {"W7": step}
