"""One linear recurrence, three ways to compute it.

    h_t = lam h_{t-1} + u_t        y_t = Re sum_n c_n h_{t,n}        lam = exp(log_lam)

separately for each channel, with N complex poles (S4D, arXiv 2206.11893, section 3.1). `recurrent` runs it as it is
written. `fft` is one long convolution with the kernel k_j = Re sum_n c_n lam_n^j. `chunked` is a short convolution
within each chunk and the recurrence from chunk to chunk. All three are

    y, h_last, backward = f(log_lam, c, u, h0=None)
    dlog_lam, dc, du, dh0 = backward(dy, dh_last=None)

    log_lam, c (D, N) complex    u, y (B, L, D) real    h0, h_last (B, D, N) complex    L >= 1

A gradient dz of a complex z means dL/dRe z + i dL/dIm z: where the forward multiplies by z, the backward multiplies
by conj(z).

Powers of lam are formed in double precision and rounded once. The state, and the factor that takes it on, are in double
precision even where u is single, if a memory is long (see backend.state_dtype).

An input that is nan or inf makes the later outputs of its channel nan. In `recurrent` it reaches nothing else, and
where cotangents are 0, no gradient. `chunked` spreads it over its chunk, so to up to 31 outputs before it (63 in large
batches), and `fft` over the whole sequence. Both spread it to dlog_lam and dc.

Costs, in real multiplications for each token and channel of the reference bodies (tutorial 3 counts them):

    recurrent   8 N, in L steps of a Python loop
    chunked     Q + 4 N + 4 N/Q, in products of matrices; Q is the length of a chunk. 12 N Q a channel for the matrices
    fft         4 log2(2 L) + 4 + 4 N. 12 N L + 2 L log2(2 L) a channel for the kernel and the matrices

All raise ValueError where shapes or dtypes don't fit.
"""

from collections.abc import Callable
from typing import Any

from .. import fast
from ..backend import cotangent, device, fft_of, fft_size, namespace, state_dtype, transpose
from ..checks import check_integer
from ..shapes import check_arrays
from ..tree import cast
from .matrices import as_complex, as_real, diagonal_sums, kernel_of, needed, power, powers, state_matrices, toeplitz

CHUNK = 32  # inputs of one chunk; in large batches a sequence of up to 64 is one chunk
Array = Any


def recurrent(log_lam: Array, c: Array, u: Array, h0: Array = None) -> tuple:
    """h_t = lam h_{t-1} + u_t,  y_t = Re sum_n c_n h_{t,n}, one step at a time.

    Cost: it keeps all L states for the backward.
    """
    xp, h = _start(log_lam, c, u, h0)
    if fast_path := fast.path("recurrent", u):
        return _checked((log_lam, c, u, h0), *fast_path(log_lam, c, u, h))
    x, lam, c_ = cast(u, xp.real(h)), *(xp.astype(a, h.dtype) for a in (power(log_lam, 1), c))
    states, ys = [h], []
    for t in range(x.shape[1]):
        h = lam * h + x[:, t, :, None]
        ys.append(xp.sum(xp.real(c_ * h), axis=-1))
        states.append(h)
    y = cast(xp.stack(ys, axis=1), u)

    def backward(dy: Array = None, dh_last: Array = None) -> tuple:
        dy, dh_last = _cotangents(y, h, dy, dh_last)
        dh = xp.zeros_like(h) if dh_last is None else dh_last
        dlam, dc, dus = xp.zeros_like(lam), xp.zeros_like(c_), []
        for t in range(dy.shape[1] - 1, -1, -1):
            dy_t = dy[:, t, :, None]
            dc = dc + xp.sum(dy_t * needed(dy_t, xp.conj(states[t + 1])), axis=0)
            dh = dh + dy_t * xp.conj(c_)
            dlam = dlam + xp.sum(dh * needed(dh, xp.conj(states[t])), axis=0)
            dus.append(xp.sum(xp.real(dh), axis=-1))
            dh = dh * xp.conj(lam)
        return tuple(cast((dlam * xp.conj(lam), dc, xp.stack(dus[::-1], axis=1), dh), (log_lam, c, y, h0)))

    return y, h, backward


def chunked(log_lam: Array, c: Array, u: Array, h0: Array = None, chunk: int | None = None, ends: bool = True) -> tuple:
    """Chunk by chunk:  y = T u + state_out h,  h <- lam^Q h + state_in u,  with T the Toeplitz matrix of the kernel.

    chunk: Q, inputs of one chunk. None (default): 32, or L if L <= max(32, min(B, 64)).
    ends: False for whole sequences, without h0: h_last and dh0 are None. On the fast path, a sequence of one chunk
        then costs less. Default True.
    """
    xp, h = _start(log_lam, c, u, h0)
    if not ends and h0 is not None:
        raise ValueError("scan: h0 and ends=False given; leave one of them out")
    B, L, _ = u.shape
    chunk = chunk if chunk is None else check_integer("scan", "chunk", chunk, also=", or None")
    whole = max(CHUNK, min(B, 2 * CHUNK))  # a larger product pays off if B rows share its matrix
    Q = min(L, chunk or (CHUNK if whole < L else L))
    if fast_path := fast.path("chunked", u):
        h = None if h0 is None else h  # a step may overwrite h0
        return _checked((log_lam, c, u, h0), *fast_path(log_lam, c, u, h, Q, ends))
    x = cast(xp.permute_dims(u, (2, 0, 1)), xp.real(h))  # (D, B, L): each channel multiplies its own matrices
    v, back_powers = powers(log_lam, Q + 1, h.dtype)
    c_ = xp.astype(c, h.dtype)
    k, back_kernel = kernel_of(c_, v[..., :Q])
    state_in, state_out, back_state_matrices = state_matrices(c_, v)
    T, lam = toeplitz(k), v[:, None, ...]  # lam[..., q] = lam^q, (D, 1, N)
    h = xp.permute_dims(h, (1, 0, 2))
    bounds = [(i, min(i + Q, L)) for i in range(0, L, Q)]
    ys, states = [], []
    for i, j in bounds:
        x_i, q = x[:, :, i:j], j - i  # q is Q, or less in the last chunk
        y = x_i @ T[:, :q, :q]
        ys.append(y + as_real(h) @ state_out[..., :q] if i or h0 is not None else y)
        states.append(h)
        h = lam[..., q] * h + as_complex(x_i @ state_in[:, Q - q :, :])
    h_last = xp.permute_dims(h, (1, 0, 2)) if ends else None

    def backward(dy: Array = None, dh_last: Array = None) -> tuple:
        dy, dh_last = _cotangents(u, h_last, dy, dh_last)
        dx = cast(xp.permute_dims(dy, (2, 0, 1)), x)
        dh = xp.zeros_like(h) if dh_last is None else xp.permute_dims(dh_last, (1, 0, 2))
        dT, dstate_in, dstate_out, dlam, dxs = (*(xp.zeros_like(a) for a in (T, state_in, state_out, lam)), [])
        for (i, j), state in reversed(list(zip(bounds, states, strict=True))):
            x_i, dy_i, q = x[:, :, i:j], dx[:, :, i:j], j - i
            dx_i = dy_i @ transpose(T[:, :q, :q])
            if j < L or dh_last is not None:
                dx_i = dx_i + as_real(dh) @ transpose(state_in[:, Q - q :, :])
                dstate_in[:, Q - q :, :] += transpose(x_i) @ as_real(dh)
                dlam[..., q] += xp.sum(xp.conj(state) * dh, axis=1, keepdims=True)
            dT[:, :q, :q] += transpose(x_i) @ dy_i
            if i or h0 is not None:
                dstate_out[..., :q] += transpose(as_real(state)) @ dy_i
            dh = xp.conj(lam[..., q]) * dh + as_complex(dy_i @ transpose(state_out[..., :q]))
            dxs.append(dx_i)
        dc_k, dv_k = back_kernel(diagonal_sums(dT))
        dc_e, dv = back_state_matrices(dstate_in, dstate_out)
        dv[..., :Q] += dv_k
        dv += dlam[:, 0, :, :]
        du = xp.permute_dims(xp.concat(dxs[::-1], axis=2), (1, 2, 0))
        dh0 = xp.permute_dims(dh, (1, 0, 2)) if ends else None
        return tuple(cast((back_powers(dv), dc_k + dc_e, du, dh0), (log_lam, c, u, h0)))

    return cast(xp.permute_dims(xp.concat(ys, axis=2), (1, 2, 0)), u), h_last, backward


def fft(log_lam: Array, c: Array, u: Array, h0: Array = None) -> tuple:
    """y = k * u + the response to h0. The FFTs are padded to 2 L or more, so that the convolution can't wrap around."""
    xp, h = _start(log_lam, c, u, h0)
    F, (B, L, D) = fft_of(xp), u.shape
    if fast_path := fast.path("fft", u):
        return _checked((log_lam, c, u, h0), *fast_path(log_lam, c, u, None if h0 is None else h))
    x = cast(xp.permute_dims(u, (2, 0, 1)), xp.real(h))
    pad = xp.zeros((D, B, fft_size(2 * L) - L), dtype=x.dtype, device=device(u))
    h = xp.permute_dims(h, (1, 0, 2))
    v, back_powers = powers(log_lam, L + 1, h.dtype)
    c_, lam = xp.astype(c, h.dtype), v[:, None, :, L]  # lam^L, (D, 1, N)
    k, back_kernel = kernel_of(c_, v[..., :L])
    state_in, state_out, back_state_matrices = state_matrices(c_, v)

    def spectrum(a: Array) -> Array:
        return F.rfft(xp.concat([a, pad[:, : a.shape[1], :]], axis=2), axis=2)

    def first(fa: Array) -> Array:
        return F.irfft(fa, axis=2)[..., :L]

    fx, fk = spectrum(x), spectrum(k[:, None, :])
    y = first(fx * fk) + as_real(h) @ state_out
    h_last = xp.permute_dims(lam * h + as_complex(x @ state_in), (1, 0, 2))

    def backward(dy: Array = None, dh_last: Array = None) -> tuple:
        dy, dh_last = _cotangents(u, h_last, dy, dh_last)
        dy = cast(xp.permute_dims(dy, (2, 0, 1)), x)
        dh = xp.zeros_like(h) if dh_last is None else xp.permute_dims(dh_last, (1, 0, 2))
        fdy = spectrum(dy)
        dx = first(fdy * xp.conj(fk)) + as_real(dh) @ transpose(state_in)
        dk = first(xp.sum(fdy * xp.conj(fx), axis=1, keepdims=True))[:, 0, :]
        dc_k, dv_k = back_kernel(dk)
        dc_e, dv = back_state_matrices(transpose(x) @ as_real(dh), transpose(as_real(h)) @ dy)
        dv[..., :L] += dv_k
        dv[..., L] += xp.sum(xp.conj(h) * dh, axis=1)
        dh0 = xp.conj(lam) * dh + as_complex(dy @ transpose(state_out))
        gradients = back_powers(dv), dc_k + dc_e, xp.permute_dims(dx, (1, 2, 0)), xp.permute_dims(dh0, (1, 0, 2))
        return tuple(cast(gradients, (log_lam, c, u, h0)))

    return cast(xp.permute_dims(y, (1, 2, 0)), u), h_last, backward


def stepper(log_lam: Array, c: Array, dtype: Any) -> Callable:
    """One step of `recurrent` with nothing kept for a backward: `y, h = step(u, h)`, u, y (B, D), h (B, D, N)."""
    one = namespace(log_lam).zeros((1, 1, log_lam.shape[0]), dtype=dtype, device=device(log_lam))
    xp, h = _start(log_lam, c, one, None)
    if fast_path := fast.path("stepper", log_lam):
        return fast_path(log_lam, c, one.dtype)
    lam, c_ = (xp.astype(a, h.dtype) for a in (power(log_lam, 1), c))

    def step(u: Array, h: Array) -> tuple:
        h = lam * xp.astype(h, lam.dtype, copy=False) + u[..., None]
        return cast(xp.sum(xp.real(c_ * h), axis=-1), u), h

    return step


def _start(log_lam: Array, c: Array, u: Array, h0: Array) -> tuple:
    """Argument checks. -> namespace, and the initial state, zeros where none is given, in its dtype."""
    shapes = "u (B, L, D), log_lam (D, N) complex, c (D, N) complex, h0 (B, D, N) complex or None"
    xp = check_arrays("scan", shapes, u, log_lam, c, h0)
    h = xp.zeros((u.shape[0], *log_lam.shape), dtype=state_dtype(log_lam, u.dtype), device=device(u))
    return xp, h if h0 is None else xp.astype(h0, h.dtype)


def _checked(given: tuple, y: Array, h_last: Array, back: Callable) -> tuple:
    """A fast path's results, with the argument checks of its backward, and gradients in the dtypes of what is given."""
    return y, h_last, lambda dy=None, dh_last=None: tuple(cast(back(*_cotangents(y, h_last, dy, dh_last)), given))


def _cotangents(y: Array, h: Array, dy: Array, dh_last: Array) -> tuple:
    """Argument checks of a backward. -> dy in the precision of y, zeros for None; dh_last in that of h."""
    if h is None and dh_last is not None:
        raise ValueError("scan: dh_last given, but ends=False gives no h_last; expected None")
    return cotangent("scan", dy, y), None if dh_last is None else cotangent("scan", dh_last, h, "dh_last")
