"""A filter with a window: a weighted sum of the last U + 1 inputs, in three modes that agree.

    y_t = sum_{j=0..U} k_j u_{t-j}

separately for each channel, as in arXiv 2405.19036. Its state is `past`, the last U inputs. All three modes are

    y, past, backward = f(k, u, past=None)
    dk, du, dpast = backward(dy, dpast=None)

    k (D, U + 1)    u, y (B, L, D)    past (B, U, D), the oldest first; zeros for None    all real    L >= 1

Costs, in multiplications, up to a factor:

    recurrent   B L D U, in L steps of a Python loop
    chunked     B L D (U + Q), in products of matrices; Q is the length of a chunk
    fft         B D (L + U) log(L + U)

All raise ValueError where shapes or dtypes don't fit.

`recurrent` and `chunked` read the window alone: a huge input leaves no error behind once it is out of the window. (A
running sum that subtracts old inputs would.) Trap: `fft` rounds every output to the scale of the largest input.

An input that is nan or inf makes nan of each output with it in its window. In `recurrent` it reaches nothing else, and
where cotangents are 0, no gradient. `chunked` spreads it to all outputs of the same products, so to up to 31 before and
after them, and `fft` to the whole sequence. Both spread it to dk.
"""

from collections.abc import Callable
from typing import Any

from .. import fast
from ..backend import device, fft_of, fft_size, namespace, transpose
from ..checks import check_integer
from ..shapes import check_arrays
from ..tree import cast
from .matrices import band, band_sums, needed

CHUNK = 32  # outputs of one product
Array = Any


def recurrent(k: Array, u: Array, past: Array = None) -> tuple:
    """One output at a time: the window moves by one input, y_t = sum_j k_j window_{U-j}."""
    xp, s, k_ = _start(k, u, past)
    U = k.shape[1] - 1
    oldest_first = xp.flip(k_, axis=-1)[:, None, :]
    y = [xp.sum(oldest_first * s[..., t : t + U + 1], axis=-1) for t in range(u.shape[1])]

    def backward(dy: Array = None, dpast: Array = None) -> tuple:
        dy, ds = _cotangents(s, U, dy, dpast)
        dk = xp.zeros_like(oldest_first)
        for t in range(dy.shape[2] - 1, -1, -1):
            dy_t = dy[..., t : t + 1]
            dk = dk + xp.sum(dy_t * needed(dy_t, s[..., t : t + U + 1]), axis=1, keepdims=True)
            ds[..., t : t + U + 1] += dy_t * oldest_first
        return _gradients(k, past, U, xp.flip(dk[:, 0, :], axis=-1), ds)

    return _outputs(xp.stack(y, axis=-1), s, U, backward)


def chunked(k: Array, u: Array, past: Array = None, chunk: int | None = None) -> tuple:
    """Q outputs at a time: y = s M, with s the Q inputs and the U before them, and M a band matrix of the kernel.

    chunk: Q, outputs of one product. None (default): 32, or L if that is less.
    """
    _check(k, u, past)
    U, L = k.shape[1] - 1, u.shape[1]
    chunk = chunk if chunk is None else check_integer("scan", "chunk", chunk, also=", or None")
    Q = min(L, chunk or CHUNK)
    if fast_path := fast.path("taps.chunked", u):
        return _checked(u, past, *fast_path(k, u, cast(past, u), Q))
    xp, s, k_ = _start(k, u, past)
    M = transpose(band(k_, Q))  # (D, U + Q, Q)
    bounds = [(i, min(i + Q, L)) for i in range(0, L, Q)]
    y = [s[..., i : j + U] @ M[:, : j - i + U, : j - i] for i, j in bounds]

    def backward(dy: Array = None, dpast: Array = None) -> tuple:
        dy, ds = _cotangents(s, U, dy, dpast)
        dM = xp.zeros_like(M)
        for i, j in bounds:
            dM[:, : j - i + U, : j - i] += transpose(s[..., i : j + U]) @ dy[..., i:j]
            ds[..., i : j + U] += dy[..., i:j] @ transpose(M[:, : j - i + U, : j - i])
        return _gradients(k, past, U, band_sums(transpose(dM)), ds)

    return _outputs(xp.concat(y, axis=-1), s, U, backward)


def fft(k: Array, u: Array, past: Array = None) -> tuple:
    """The kernel convolved with all inputs, by FFT. It wraps around into the first U outputs, which are cut off."""
    _check(k, u, past)
    if fast_path := fast.path("taps.fft", u):
        return _checked(u, past, *fast_path(k, u, cast(past, u)))
    xp, s, k_ = _start(k, u, past)
    F, U, n = fft_of(xp), k.shape[1] - 1, fft_size(s.shape[2])

    def spectrum(a: Array) -> Array:
        pad = xp.zeros((*a.shape[:-1], n - a.shape[-1]), dtype=a.dtype, device=device(a))
        return F.rfft(xp.concat([a, pad], axis=-1), axis=-1)

    fs, fk = spectrum(s), spectrum(k_[:, None, :])
    y = F.irfft(fs * fk, axis=-1)[..., U : s.shape[2]]

    def backward(dy: Array = None, dpast: Array = None) -> tuple:
        dy, ds = _cotangents(s, U, dy, dpast)
        first = xp.zeros((*dy.shape[:2], U), dtype=dy.dtype, device=device(dy))
        fdy = spectrum(xp.concat([first, dy], axis=-1))
        ds += F.irfft(fdy * xp.conj(fk), axis=-1)[..., : s.shape[2]]
        dk = F.irfft(xp.sum(fdy * xp.conj(fs), axis=1), axis=-1)[:, : U + 1]
        return _gradients(k, past, U, dk, ds)

    return _outputs(y, s, U, backward)


def stepper(k: Array, dtype: Any) -> Callable:
    """One step of `recurrent` with nothing kept for a backward: `y, past = step(u, past)`, u, y (B, D)."""
    xp, _, k_ = _start(k, namespace(k).zeros((1, 1, k.shape[0]), dtype=dtype, device=device(k)), None)
    oldest_first = xp.flip(k_, axis=-1).T

    def step(u: Array, past: Array) -> tuple:
        s = xp.concat([past, u[:, None, :]], axis=1)  # (B, U + 1, D)
        return xp.sum(oldest_first * s, axis=1), s[:, 1:, :]

    return step


def _check(k: Array, u: Array, past: Array) -> None:
    """Argument checks."""
    check_arrays("scan", "u (B, L, D), k (D, U + 1), past (B, U, D) or None", u, k, past)


def _start(k: Array, u: Array, past: Array) -> tuple:
    """-> namespace, past and inputs concatenated (D, B, U + L), k in u's precision."""
    _check(k, u, past)
    xp = namespace(k, u, past)
    if past is None:
        past = xp.zeros((u.shape[0], k.shape[1] - 1, u.shape[2]), dtype=u.dtype, device=device(u))
    s = xp.concat([xp.permute_dims(a, (2, 0, 1)) for a in (cast(past, u), u)], axis=-1)
    return xp, s, xp.astype(k, u.dtype)


def _checked(u: Array, past: Array, y: Array, end: Array, back: Any) -> tuple:
    """A fast path's results, with the argument checks of its backward, and zeros for None."""

    def backward(dy: Array = None, dpast: Array = None) -> tuple:
        check_arrays("scan", f"dy {tuple(u.shape)} or None, dpast {tuple(end.shape)} or None", dy, dpast)
        dk, du, dpast = back(namespace(u).zeros_like(u) if dy is None else cast(dy, u), cast(dpast, u))
        return dk, du, cast(dpast, past)

    return y, end, backward


def _outputs(y: Array, s: Array, U: int, backward: Any) -> tuple:
    """y as (B, L, D), the new `past` (the last U inputs in s), and backward."""
    xp = namespace(y)
    past = xp.concat([s[..., s.shape[2] - U :]], axis=-1)  # a copy: a view would keep all of s alive with the state
    return xp.permute_dims(y, (1, 2, 0)), xp.permute_dims(past, (1, 2, 0)), backward


def _cotangents(s: Array, U: int, dy: Array, dpast: Array) -> tuple:
    """Argument checks of a backward. -> dy (D, B, L), zeros for None; ds, to be added to, with dpast at its end."""
    D, B, length = s.shape
    check_arrays("scan", f"dy {(B, length - U, D)} or None, dpast {(B, U, D)} or None", dy, dpast)
    xp = namespace(s, dy, dpast)
    ds = xp.zeros_like(s)
    if dpast is not None:
        ds[..., length - U :] += xp.permute_dims(cast(dpast, s), (2, 0, 1))
    return xp.zeros_like(s[..., U:]) if dy is None else xp.permute_dims(cast(dy, s), (2, 0, 1)), ds


def _gradients(k: Array, past: Array, U: int, dk: Array, ds: Array) -> tuple:
    """ds (D, B, U + L) -> du (B, L, D), dpast (B, U, D). dk and dpast in the precisions of k and past."""
    ds = namespace(ds).permute_dims(ds, (1, 2, 0))
    return cast(dk, k), ds[:, U:, :], cast(ds[:, :U, :], past)
