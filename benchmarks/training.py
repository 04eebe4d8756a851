"""A training step (forward, loss, gradients, clipping, AdamW) of `ssm + fnn1` twice, and of `attn + fnn1` twice."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np

from minissm import losses, tasks, train, tree
from minissm.attention import Attn
from minissm.backend import is_numpy, like, namespace
from minissm.fast.layout import cuts
from minissm.layers import Fnn
from minissm.model import Model

from .attention import run_all, tiles
from .harness.measure import Method, title
from .harness.torch_ import Network, training_step

SIZES = (32, 64, 26), (48, 64, 26), (64, 16, 1024)  # width, batch, length
CASES = [
    {"mixer": mixer, "width": width, "batch": batch, "length": length}
    for width, batch, length in SIZES
    for mixer in ("ssm", "attn")
]
GOALS = dict(zip(map(title, CASES), (0.45, 0.41, 0.51, 0.49, 0.73, 0.69), strict=True))  # shares of the bound
QUICK = len(CASES)  # a quick run has all cases on one core, because each has a goal
ON_CARD = [{"mixer": "ssm", "width": 256, "batch": 64, "length": 4096}]
BOUND_ON = ("numpy", "cupy")
BLOCKS = (256, 128), (1024, 256)  # rows of a block, side of a tile; the bound is the faster, which depends on OpenBLAS
LR, CLIP = 1e-3, 1.0
CHECKED = 1 << 14  # tokens: of larger batches, loss and gradients are checked on the first sequences


def data(rng: np.random.Generator, mixer: str, width: int, batch: int, length: int) -> dict[str, Any]:
    """Sequences of copying. Arrays in dicts move to each library; a batch stays on the host, as tasks draw it."""
    task = copying(length)
    word = f"attn(max_len={length})" if mixer == "attn" else mixer
    net = Model(f"{word} + fnn1 + {word} + fnn1", vocab=task.vocab, width=width)
    drawn = task.batch(rng, batch)
    return {"net": net, "params": net.init(rng), "batch": tasks.Batch(*(a[:, :length] for a in drawn))}


def copying(length: int) -> Any:
    """Copying with sequences of at least `length` tokens."""
    return tasks.Copying(*((4, 13) if length == 26 else (length // 4, length // 2)))


def reference(data: dict[str, Any]) -> tuple:
    """Loss and gradients of `minissm`'s arguments in float64."""
    return scored(data["net"], data["params"], data["batch"])


def first(batch: Any) -> tuple:
    """inputs, targets and weights of the sequences that are checked."""
    return tuple(a[: max(1, CHECKED // a.shape[1])] for a in batch[:3])


def scored(net: Model, params: dict, batch: Any) -> tuple:
    """The loss and its gradient, one vector."""
    inputs, targets, weights = (like(a, params["embed"]["w"]) for a in first(batch))
    y, backward = net(params, inputs)
    loss, back_loss = losses.cross_entropy(y, targets, weights)
    return loss, tree.flatten(backward(back_loss())[0], like=params)


def minissm(data: dict[str, Any]) -> dict[str, Method]:
    """train.step from the same parameters each time: it changes none of its arguments."""
    net, params, batch = data["net"], data["params"], data["batch"]
    _, state, *_ = train.step(net, params, batch, None, LR)

    run, check = partial(train.step, net, params, batch, state, LR), partial(scored, net, params, batch)
    return {"train.step": Method(run, check)}


def torch(data: dict[str, Any]) -> dict[str, Method]:
    """Filters by FFT, and where sequences are short by Toeplitz matrices too."""
    net, batch = data["net"], data["batch"][:3]
    ways = {"eager, FFT": True} | ({"eager, Toeplitz": False} if batch[0].shape[1] <= 128 else {})
    checked, made = first(batch), {}
    for name, by_fft in (ways if "ssm" in net.spec else {"eager": True}).items():
        network = Network(net, data["params"], by_fft)
        made[name] = Method(*training_step(network, batch, checked, LR, CLIP))
    return made


def bound(data: dict[str, Any]) -> dict[str, Callable]:
    """The matrix products of forward and backward, an exponential for each score of attention and number of gelu.

    Each part has the memory layout in which it is fastest. After the last mixer only tokens with a loss are counted.
    Not counted: the embedding, kernels, sums, the optimizer. On a GPU: the matrix products alone.
    """
    net, inputs, weights = data["net"], data["batch"][0], data["batch"][2]
    (B, L), counted = inputs.shape, int(np.count_nonzero(weights))
    if not is_numpy(xp := namespace(data["params"]["embed"]["w"])):
        return {"products": on_card(xp, net, B, L, counted)}
    return {
        f"products and exp, {size} rows, tiles of {T}": partial(run_all, step(net, B, L, counted, size, T))
        for size, T in BLOCKS
    }


def step(net: Model, B: int, L: int, counted: int, size: int, T: int) -> list[Callable]:
    """The calls of all layers, for blocks of `size` rows and tiles of T x T scores."""
    rows, D, calls = B * L, net.width, list[Callable]()
    last = max(i for i, block in enumerate(net.blocks) if not isinstance(block, Fnn))
    for i, block in enumerate(net.blocks):
        if isinstance(block, Fnn):
            calls += fnn(rows if i < last else counted, D, block.width or 4 * D, size)
        elif isinstance(block, Attn):
            heads = tiles(B * block.heads, L, D // block.heads, T)
            calls += [*products(rows, D, 3 * D, size), *heads, *products(rows, D, D, size)]
        else:
            E = block.expand * D
            calls += [*products(rows, D, E, size), *scan(B, L, E, block.filter.poles), *products(rows, E, D, size)]
    return calls + products(counted, D, net.outputs or 0, size)


def on_card(xp: Any, net: Model, B: int, L: int, counted: int) -> Callable:
    """The matrix products of a step, each of all rows at once. Scans on a GPU have no products."""
    D, calls = net.width, list[Callable]()
    last = max(i for i, block in enumerate(net.blocks) if not isinstance(block, Fnn))

    @cache
    def full(shape: tuple[int, ...]) -> Any:
        return xp.full(shape, 0.01, dtype=xp.float32)  # one array of each shape, to save memory for the step

    def multiply(*shapes: tuple[int, ...]) -> None:
        """y = a b, and in the backward  da = dy b^T,  db = a^T dy."""
        a, b, dy = (full(shape) for shape in (*shapes, (*shapes[0][:-1], shapes[1][-1])))
        for pair in ((a, b), (dy, xp.matrix_transpose(b)), (xp.matrix_transpose(a), dy)):
            calls.append(partial(xp.matmul, *pair))

    def linear(rows: int, inner: int, outer: int) -> None:
        multiply((rows, inner), (inner, outer))

    for i, block in enumerate(net.blocks):
        if isinstance(block, Fnn):
            for sizes in block._sizes(D):
                linear(B * L if i < last else counted, *sizes)
        elif isinstance(block, Attn):
            P, H = D // block.heads, block.heads
            linear(B * L, D, 3 * D)
            multiply((B, H, L, P), (B, H, P, L))
            multiply((B, H, L, L), (B, H, L, P))
            linear(B * L, D, D)
        else:
            linear(B * L, D, block.expand * D)
            linear(B * L, block.expand * D, D)
    linear(counted, D, net.outputs or 0)
    return partial(run_all, calls)


def filled(*shape: int) -> np.ndarray:
    """Memory that exists (zeros would share one page), with small products and exponentials."""
    return np.full(shape, 0.01, np.float32)


def product(a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None) -> Callable:
    return partial(np.matmul, a, b, out=filled(*a.shape[:-1], b.shape[-1]) if out is None else out)


def products(rows: int, D: int, E: int, size: int) -> list[Callable]:
    """The products of y = x w: y, dw and dx, each `size` rows at a time."""
    x, w, dy, y, dx, dw = (filled(*shape) for shape in ((rows, D), (D, E), (rows, E), (rows, E), (rows, D), (D, E)))
    blocks = cuts(0, rows, size)
    backward = [(product(x[i].T, dy[i], dw), product(dy[i], w.T, dx[i])) for i in blocks]
    return [*(product(x[i], w, y[i]) for i in blocks), *(call for pair in backward for call in pair)]


def fnn(rows: int, D: int, W: int, size: int) -> list[Callable]:
    """One hidden layer, `size` rows at a time, so that they stay in the cache. gelu's gate is 1 / (1 + exp(-2 z))."""
    x, y, h, dx = filled(rows, D), filled(rows, D), filled(rows, W), filled(rows, D)
    first, second, dh, dw = filled(D, W), filled(W, D), filled(size, W), filled(D, W)
    forward: list[Callable] = []
    backward: list[Callable] = []
    for i in cuts(0, rows, size):
        xi, yi, hi, dxi = (a[i] for a in (x, y, h, dx))
        dhi = dh[: len(xi)]
        forward += [product(xi, first, hi), partial(np.exp, hi, out=hi), product(hi, second, yi)]
        backward += [product(hi.T, yi, dw.T), product(yi, second.T, dhi), product(xi.T, dhi, dw)]
        backward += [product(dhi, first.T, dxi)]
    return forward + backward


def scan(B: int, L: int, E: int, N: int) -> list[Callable]:
    """A state space filter in chunks of Q: three products a channel within them, six from state to state."""
    Q = L if L <= 64 else 32
    M = L // Q
    u, y, dy, du = (filled(E, B * M, Q) for _ in range(4))
    T, dT, into, out = filled(E, Q, Q), filled(E, Q, Q), filled(E, Q, 2 * N), filled(E, 2 * N, Q)
    within = [product(u, T, y), product(u.mT, dy, dT), product(dy, T, du)]
    if M == 1:
        return within
    s, back = filled(E, B * M, 2 * N), filled(E, B * M, Q)
    forward = [product(u, into, s), product(s, out, back)]
    return [*within, *forward, product(dy, into, s), product(u.mT, s, into), product(s.mT, dy, out), forward[-1]]
