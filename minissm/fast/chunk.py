"""The matrices of a chunk of Q inputs and their adjoints: as scan/matrices.py, in fewer passes over memory.

v (Q + 1, D, N) complex128     powers of lam; the power comes first, so that each doubling is one long product
k (D, Q), toeplitz (D, Q, Q)   the kernel, and the matrix that convolves with it
state_in, state_out (D, Q, 2N) real      input s adds state_in[s] to the state at the end; the state h at the start adds
                               <state_out[t], h> to output t.  A complex number is stored as Re, Im.
"""

from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import as_strided

MOST = 32  # up to this Q, the matrix of zeros and ones of `diagonal_sums` is small


def powers(log_lam: np.ndarray, n: int) -> np.ndarray:
    """v_j = lam^j, j < n, by doubling: (D, N) -> (n, D, N), n >= 2."""
    v = np.empty((n, *log_lam.shape), np.complex128)
    v[0] = 1
    np.exp(log_lam, out=v[1], dtype=v.dtype)
    last = 1
    while last + 1 < n:
        more = min(last, n - 1 - last)
        np.multiply(v[1 : more + 1], v[last], out=v[last + 1 : last + more + 1])
        last += more
    return v


def kernel_of(c: np.ndarray, v: np.ndarray) -> np.ndarray:
    """k_j = Re sum_n c_n v_{j,n}: (D, N), (Q, D, N) -> (D, Q) in double precision."""
    return (as_real(v).transpose(1, 0, 2) @ as_real(np.ascontiguousarray(c.conj(), v.dtype))[:, :, None])[..., 0]


def back_kernel(c: np.ndarray, v: np.ndarray, dk: np.ndarray) -> tuple:
    """The adjoint of `powers` and `kernel_of`. -> dlog_lam, dc.  sum_j j dk_j conj(v_j) and sum_j dk_j conj(v_j)."""
    moments = np.empty((dk.shape[0], 2, dk.shape[1]))
    moments[:, 0] = dk
    np.multiply(dk, np.arange(dk.shape[1]), out=moments[:, 1])
    dc, dlog_lam = (moments @ as_real(v).transpose(1, 0, 2)).view(v.dtype).conj().transpose(1, 0, 2)
    return c.conj() * dlog_lam, dc


def state_in_of(v: np.ndarray, real: np.dtype) -> np.ndarray:
    """state_in[s] = lam^(Q-1-s): (Q + 1, D, N) -> (D, Q, 2N)."""
    return channels_first(v[-2::-1], real)


def state_out_of(c: np.ndarray, v: np.ndarray, real: np.dtype) -> np.ndarray:
    """state_out[t] = conj(c lam^(t+1)), and <.., h> = Re(c lam^(t+1) h): (Q + 1, D, N) -> (D, Q, 2N)."""
    return channels_first((c * v[1:]).conj(), real)


def back_state_matrices(
    c: np.ndarray, v: np.ndarray, dstate_in: np.ndarray, dstate_out: np.ndarray, dlam: np.ndarray
) -> tuple:
    """The adjoint of `powers`, `state_in_of`, `state_out_of` and lam^Q, with gradient dlam (D, N). -> dlog_lam, dc."""
    Q = len(v) - 1
    j = np.arange(Q + 1.0)
    at_state_out, at_state_in = v[1:].conj(), v[:-1].conj()
    at_state_out *= as_complex(dstate_out).transpose(1, 0, 2).conj()
    at_state_in *= as_complex(dstate_in).transpose(1, 0, 2)[::-1]
    dc, dlog_out = _sums(np.stack([np.ones(Q), j[1:]]), at_state_out)
    (dlog_in,) = _sums(j[None, :-1], at_state_in)
    return c.conj() * dlog_out + dlog_in + Q * v[-1].conj() * dlam, dc


def _sums(weights: np.ndarray, z: np.ndarray) -> np.ndarray:
    """(S, Q), (Q, D, N) -> (S, D, N), as one product: sums along the first axis cost several times as much."""
    return (weights @ as_real(z.reshape(len(z), -1))).view(z.dtype).reshape(-1, *z.shape[1:])


def toeplitz(k: np.ndarray) -> np.ndarray:
    """T[s, t] = k[t - s] for t >= s, else 0: (D, Q) -> (D, Q, Q).  Each row is the one above, shifted by one."""
    D, Q = k.shape
    padded = np.zeros((D, 2 * Q - 1), k.dtype)
    padded[:, Q - 1 :] = k
    row, item = padded.strides
    return np.ascontiguousarray(as_strided(padded[:, Q - 1 :], (D, Q, Q), (row, -item, item)))


def diagonal_sums(dT: np.ndarray) -> np.ndarray:
    """The adjoint of `toeplitz`: dk_j = sum_s dT[s, s + j]."""
    D, Q, _ = dT.shape
    if Q <= MOST:
        return dT.reshape(D, Q * Q) @ _diagonals(Q, dT.dtype)
    padded = np.zeros((D, Q, 2 * Q), dT.dtype)
    padded[..., :Q] = dT
    plane, row, item = padded.strides
    return as_strided(padded, (D, Q, Q), (plane, row + item, item)).sum(axis=1)


@lru_cache(maxsize=64)
def _diagonals(Q: int, dtype: np.dtype) -> np.ndarray:
    """(Q Q, Q): a one where the entry (s, t) of a matrix lies on diagonal t - s."""
    s, t, j = np.ogrid[:Q, :Q, :Q]
    return (t - s == j).astype(dtype).reshape(Q * Q, Q)


def channels_first(z: np.ndarray, real: np.dtype) -> np.ndarray:
    """(Q, D, N) complex -> (D, Q, 2N) real, contiguous."""
    return np.ascontiguousarray(z.transpose(1, 0, 2), np.result_type(real, np.complex64)).view(real)


def transposed(a: np.ndarray) -> np.ndarray:
    """(D, X, Y) -> (D, Y, X), a copy: BLAS multiplies by it almost twice as fast as by a transposed view."""
    return np.ascontiguousarray(a.transpose(0, 2, 1))


def as_real(z: np.ndarray) -> np.ndarray:
    """(..., N) complex -> (..., 2N) real, a view."""
    return z.view(z.real.dtype)


def as_complex(a: np.ndarray) -> np.ndarray:
    """The inverse of `as_real`, a view."""
    return a.view(np.result_type(a.dtype, np.complex64))
