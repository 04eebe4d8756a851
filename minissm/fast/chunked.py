"""scan.chunked for NumPy: all chunks at once, in few large products.

The plain body multiplies chunk by chunk and adds up the gradients of its matrices after each. Here a product takes
all chunks together, only the states pass from chunk to chunk, and complex numbers are views of real pairs. Long
sequences go batch item by batch item, so that the buffers stay in the cache.
"""

import numpy as np

from ..kernels import diagonal_sums, edges, kernel_of, powers, toeplitz

GROUP = 1 << 19  # numbers in the buffers of one group of batch items


def chunked(log_lam: np.ndarray, c: np.ndarray, u: np.ndarray, h0: np.ndarray | None, chunk: int) -> tuple:
    """y = T u + out h,  h <- lam^Q h + into u;  shapes and gradients as in scan/modes.py."""
    (B, L, D), N, Q = u.shape, c.shape[1], chunk
    M = -(-L // Q)  # chunks, the last with q inputs
    q = L - (M - 1) * Q
    real, complex_ = u.dtype, np.result_type(u.dtype, np.complex64)
    v, back_powers = powers(log_lam, Q + 1, complex_)
    k, back_kernel = kernel_of(c.astype(complex_), v[..., :Q])
    into, out, back_edges = edges(c.astype(complex_), v)
    into_q, T = into[:, Q - q :], toeplitz(k)
    lam_Q, lam_q = v[:, None, :, Q], v[:, None, :, q]  # (D, 1, N)
    remembers = M > 1 or h0 is not None
    size = max(1, GROUP // (D * L))
    groups = [slice(b, min(b + size, B)) for b in range(0, B, size)]

    def gather(a: np.ndarray, group: slice) -> np.ndarray:
        """(B, L, D) -> (D, g, M, Q) of a group, zeros at the end; a view where the memory lies so already."""
        a = a[group].transpose(2, 0, 1)
        if L < M * Q or not a.flags.c_contiguous:
            a, given = np.zeros((D, a.shape[1], M * Q), real), a
            a[..., :L] = given
        return a.reshape(D, -1, M, Q)

    def rows(a: np.ndarray) -> np.ndarray:
        """(D, g, M, X) -> (D, g M, X)."""
        return a.reshape(D, -1, a.shape[-1])

    def pairs(s: np.ndarray) -> np.ndarray:
        """States (M, D, g, N) complex -> (D, g, M, 2N) real."""
        return np.ascontiguousarray(s.transpose(1, 2, 0, 3)).view(real)

    def states(a: np.ndarray) -> np.ndarray:
        """The inverse of `pairs`, as a view."""
        return a.view(complex_).transpose(2, 0, 1, 3)

    y, h_last = np.empty((D, B, L), real), np.empty((B, D, N), complex_)
    kept = []
    for group in groups:
        x = gather(u, group)
        s = np.zeros((M, D, x.shape[1], N), complex_)  # at the start of every chunk
        if h0 is not None:
            s[0] = h0[group].transpose(1, 0, 2)
        if M > 1:
            s[1:] = states(x[:, :, :-1] @ into[:, None])
            for i in range(1, M):
                s[i] += lam_Q * s[i - 1]
        ys = rows(x) @ T
        if remembers:
            ys += rows(pairs(s)) @ out
        y[:, group] = ys.reshape(D, -1, M * Q)[..., :L]
        h_last[group] = (lam_q * s[-1] + (x[:, :, -1, :q] @ into_q).view(complex_)).transpose(1, 0, 2)
        kept.append(s)

    def backward(dy: np.ndarray, dh_last: np.ndarray | None) -> tuple:
        dT, dinto, dout, dv_lam = (np.zeros_like(a) for a in (T, into, out, v))
        du, dh0 = np.empty((D, B, L), real), np.empty((B, D, N), complex_)
        for group, s in zip(groups, kept, strict=True):
            x, dys = gather(u, group), gather(dy, group)
            ds = np.ascontiguousarray(states((rows(dys) @ out.transpose(0, 2, 1)).reshape(D, -1, M, 2 * N)))
            dx = (rows(dys) @ T.transpose(0, 2, 1)).reshape(x.shape)
            if dh_last is not None:
                dh = np.ascontiguousarray(dh_last[group].transpose(1, 0, 2), complex_)
                ds[-1] += lam_q.conj() * dh
                dv_lam[..., q] += (s[-1].conj() * dh).sum(axis=1)
                dx[:, :, -1, :q] += dh.view(real) @ into_q.transpose(0, 2, 1)
                dinto[:, Q - q :] += x[:, :, -1, :q].transpose(0, 2, 1) @ dh.view(real)
            for i in range(M - 2, -1, -1):
                ds[i] += lam_Q.conj() * ds[i + 1]
            if M > 1:
                dp = pairs(ds[1:])
                dx[:, :, :-1] += dp @ into[:, None].transpose(0, 1, 3, 2)
                dinto += (x[:, :, :-1].transpose(0, 1, 3, 2) @ dp).sum(axis=1)
                dv_lam[..., Q] += (s[:-1].conj() * ds[1:]).sum(axis=(0, 2))
            dT += rows(x).transpose(0, 2, 1) @ rows(dys)
            if remembers:
                dout += rows(pairs(s)).transpose(0, 2, 1) @ rows(dys)
            du[:, group] = dx.reshape(D, -1, M * Q)[..., :L]
            dh0[group] = ds[0].transpose(1, 0, 2)
        dc_k, dv_k = back_kernel(diagonal_sums(dT))
        dc_e, dv = back_edges(dinto, dout)
        dv[..., :Q] += dv_k
        dv += dv_lam
        return back_powers(dv), (dc_k + dc_e).astype(c.dtype), du.transpose(1, 2, 0), dh0

    return y.transpose(1, 2, 0), h_last, backward
