"""From the poles of a recurrence to its kernel and to the matrices of a chunk, each with its adjoint.

Shapes: log_lam, c (D, N) complex; v (D, N, n) powers of lam; everything else real. `as_real` turns a complex (..., N)
into a real (..., 2N), so that products of matrices need no complex arithmetic.
"""

from typing import Any

from ..backend import complex_dtype, cotangent, device, namespace, transpose
from ..checks import check_integer
from ..shapes import check_arrays

Array = Any


def kernel(log_lam: Array, c: Array, length: int) -> tuple:
    """k_j = Re sum_n c_n lam_n^j, j < length, the impulse response. k (D, length); `dlog_lam, dc = backward(dk)`."""
    xp = check_arrays("scan.kernel", "log_lam (D, N) complex, c (D, N) complex", log_lam, c)
    v, back_powers = powers(log_lam, check_integer("scan.kernel", "length", length), log_lam.dtype)
    k, back_kernel = kernel_of(c, v)

    def backward(dk: Array) -> tuple:
        dc, dv = back_kernel(cotangent("scan.kernel", dk, k, "dk"))
        return back_powers(dv), xp.astype(dc, c.dtype)

    return k, backward


def power(log_lam: Array, j: int) -> Array:
    """lam^j in double precision, whatever the precision of log_lam: many steps multiply their errors."""
    xp = namespace(log_lam)
    return xp.exp(j * xp.astype(log_lam, xp.complex128))


def powers(log_lam: Array, n: int, dtype: Any) -> tuple:
    """v_j = lam^j, j < n, along a new last axis, by doubling: log2(n) products instead of n exponentials.

    (D, N) -> (D, N, n). The products run in double precision, and only the result is rounded to dtype.
    """
    xp, lam = namespace(log_lam), power(log_lam, 1)[..., None]
    v, step = xp.ones_like(lam), lam
    while (have := v.shape[-1]) < n:
        step = lam if have == 1 else step * step  # lam^have
        v = xp.concat([v, v[..., : min(have, n - have)] * step], axis=-1)
    v = xp.astype(v, dtype)

    def backward(dv: Array) -> Array:
        j = xp.arange(n, dtype=xp.real(v).dtype, device=device(v))
        return xp.astype(xp.sum(j * (xp.conj(v) * dv), axis=-1), log_lam.dtype)  # d lam^j / d log_lam = j lam^j

    return v, backward


def needed(d: Array, z: Array) -> Array:
    """z, but 0 where its cotangent d is 0: the product 0 z would be nan where z is not finite."""
    xp = namespace(d, z)
    return xp.where(d == 0, xp.zeros_like(z), z)


def kernel_of(c: Array, v: Array) -> tuple:
    """k_j = Re sum_n c_n v_{n,j}: (D, N), (D, N, Q) -> (D, Q)."""
    xp = namespace(c, v)

    def backward(dk: Array) -> tuple:
        dk = xp.astype(dk, v.dtype)[:, None, :]
        return xp.sum(dk * xp.conj(v), axis=-1), dk * xp.conj(c)[..., None]

    return xp.sum(xp.real(c[..., None] * v), axis=1), backward


def state_matrices(c: Array, v: Array) -> tuple:
    """The maps from the inputs of a chunk to the state after it, and from the state before it to its outputs.

    c (D, N), v (D, N, Q + 1), the powers 0 to Q of lam. The matrices are real and act on pairs (Re h, Im h).
    -> state_in (D, Q, 2N): input u_s adds lam^(Q-1-s) u_s to the state after the chunk.
       state_out (D, 2N, Q): the state h before the chunk adds Re c lam^(t+1) h to output t.
    """
    xp, (D, N, Q) = namespace(c, v), v[..., 1:].shape

    def rows(z: Array) -> Array:
        """(D, N, Q) complex -> (D, 2N, Q) real, in the order of `as_real`."""
        return xp.reshape(xp.stack([xp.real(z), xp.imag(z)], axis=2), (D, 2 * N, Q))

    def back_rows(a: Array) -> Array:
        a = xp.astype(xp.reshape(a, (D, N, 2, Q)), v.dtype)
        return a[:, :, 0, :] + 1j * a[:, :, 1, :]

    def backward(dstate_in: Array, dstate_out: Array) -> tuple:
        dv = xp.zeros_like(v)
        dv[..., :-1] = xp.flip(back_rows(transpose(dstate_in)), axis=-1)
        dw = xp.conj(back_rows(dstate_out))  # w = c v[..., 1:]; state_out holds its conjugate
        dv[..., 1:] += dw * xp.conj(c)[..., None]
        return xp.sum(dw * xp.conj(v[..., 1:]), axis=-1), dv

    state_in = transpose(rows(xp.flip(v[..., :-1], axis=-1)))
    state_out = rows(xp.conj(c[..., None] * v[..., 1:]))
    return state_in, state_out, backward


def toeplitz(k: Array) -> Array:
    """T[s, t] = k[t - s] for t >= s, else 0: (D, Q) -> (D, Q, Q)."""
    Q = k.shape[1]
    return transpose(band(k, Q)[..., Q - 1 :])


def diagonal_sums(dT: Array) -> Array:
    """The adjoint of `toeplitz`: dk_j = sum_s dT[s, s + j]."""
    before = namespace(dT).zeros_like(dT)[..., 1:]
    return band_sums(namespace(dT).concat([before, transpose(dT)], axis=-1))


def band(k: Array, rows: int) -> Array:
    """M[t, s] = k[U + t - s] for 0 <= U + t - s <= U, else 0: (D, U + 1) -> (D, rows, U + rows).

    Row t is the reversed kernel, shifted by t: copies of length n + 1 behind each other, cut into rows of length n.
    """
    xp, (D, width), n = namespace(k), k.shape, k.shape[1] - 1 + rows
    padded = xp.concat([xp.flip(k, axis=-1), xp.zeros((D, n + 1 - width), dtype=k.dtype, device=device(k))], axis=1)
    return xp.reshape(xp.tile(padded, (1, rows))[:, : rows * n], (D, rows, n))


def band_sums(dM: Array) -> Array:
    """The adjoint of `band`: dk_j = sum_t dM[t, U + t - j]."""
    xp, (D, rows, n) = namespace(dM), dM.shape
    tail = xp.zeros((D, rows), dtype=dM.dtype, device=device(dM))
    copies = xp.reshape(xp.concat([xp.reshape(dM, (D, rows * n)), tail], axis=1), (D, rows, n + 1))
    return xp.flip(xp.sum(copies[..., : n + 1 - rows], axis=1), axis=-1)


def as_real(z: Array) -> Array:
    """Complex (..., N) -> real (..., 2N): Re z_0, Im z_0, Re z_1, ..."""
    xp = namespace(z)
    return xp.reshape(xp.stack([xp.real(z), xp.imag(z)], axis=-1), (*z.shape[:-1], 2 * z.shape[-1]))


def as_complex(a: Array) -> Array:
    """The inverse of `as_real`."""
    xp = namespace(a)
    complex_ = complex_dtype(xp, a.dtype)
    return xp.astype(a[..., ::2], complex_) + 1j * xp.astype(a[..., 1::2], complex_)
