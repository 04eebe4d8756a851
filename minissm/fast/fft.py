"""scan.fft for NumPy: sequence by sequence, channels contiguous, and with no more powers of lam than 2 sqrt(L)."""

import numpy as np

from ..backend import fft_of, fft_size, namespace
from . import layout, parallel
from .levels import Levels


def fft(log_lam: np.ndarray, c: np.ndarray, u: np.ndarray, h0: np.ndarray | None) -> tuple:
    """y = k * u + (what h0 still adds);  shapes and gradients as in scan/modes.py.

    With sums(x) = sum_r x_r lam^r:  h_last = lam^L h0 + sums(u, the last input first), and the kernel of c lam h0 is
    what h0 adds to y. Keeps the spectra of u for the backward, twice its size.
    """
    (B, L, D), N, n, F = u.shape, c.shape[1], fft_size(2 * u.shape[1]), fft_of(namespace(u))
    levels = Levels(log_lam, L, u.dtype)
    complex_ = levels.high.dtype
    c_, lam, lam_L = (a.astype(complex_) for a in (c, np.exp(log_lam), np.exp(L * log_lam)))
    fk = F.rfft(levels.kernel(c_), n)
    y, h_last, spectra = np.empty_like(u), np.empty((B, D, N), complex_), [fk] * B
    halves = parallel.halves(B, u.size)

    def forward(half: slice) -> None:
        x, product = layout.channels(D, n, u.dtype), np.empty_like(fk)
        for b in range(half.start, half.stop):
            layout.move(u[b].T, x[:, :L])
            h_last[b] = levels.sums(x[:, L - 1 :: -1])
            spectra[b] = F.rfft(x)
            np.multiply(spectra[b], fk, out=product)
            x[:, :L] = F.irfft(product, n, overwrite_x=True)[:, :L]  # back into rows with room between them
            if h0 is not None:
                x[:, :L] += levels.kernel(c_ * lam * h0[b])
                h_last[b] += lam_L * h0[b]
            layout.move(x[:, :L], y[b].T)

    def backward(dy: np.ndarray, dh_last: np.ndarray | None) -> tuple:
        du, dh0 = np.empty_like(u), np.empty_like(h_last)

        def work(half: slice) -> tuple:
            dfk, dlog_lam, dc = np.zeros_like(fk), np.zeros_like(c_), np.zeros_like(c_)
            x, product = layout.channels(D, n, u.dtype), np.empty_like(fk)
            for b in range(half.start, half.stop):
                layout.move(dy[b].T, x[:, :L])
                dh0[b], dlog_b, dc_b = from_start(b, x[:, :L])
                dlog_lam += dlog_b
                dc += dc_b
                fdy = F.rfft(x)
                dfk += np.multiply(fdy, np.conjugate(spectra[b], out=product), out=product)
                fdy *= np.conjugate(fk, out=product)
                x[:, :L] = F.irfft(fdy, n, overwrite_x=True)[:, :L]
                if dh_last is not None:
                    du_b, dlog_b = from_end(b, dh_last[b])
                    x[:, :L] += du_b
                    dh0[b] += lam_L.conj() * dh_last[b]
                    dlog_lam += dlog_b
                layout.move(x[:, :L], du[b].T)
            return dfk, dlog_lam, dc

        dfk, dlog_h, dc_h = (sum(p[1:], p[0]) for p in zip(*parallel.each(work, halves), strict=True))
        z, dz = levels.both_sums(F.irfft(dfk, n)[:, :L])
        dlog_lam, dc = (c_ * dz).conj() + dlog_h, z.conj() + dc_h
        return dlog_lam.astype(log_lam.dtype), dc.astype(c.dtype), du, dh0

    def from_start(b: int, dy: np.ndarray) -> tuple:
        """What y says to h0, log_lam and c by way of h0: the adjoint of kernel(c lam h0)."""
        if h0 is None:
            return (c_ * lam * levels.sums(dy)).conj(), 0, 0
        z, dz = levels.both_sums(dy)
        return (c_ * lam * z).conj(), (c_ * lam * h0[b] * (z + dz)).conj(), (lam * h0[b] * z).conj()

    def from_end(b: int, dh: np.ndarray) -> tuple:
        """What h_last says to u and log_lam."""
        _, dz = levels.both_sums(u[b, ::-1].T)
        dlog_lam = dz.conj() * dh
        if h0 is not None:
            dlog_lam += L * (lam_L * h0[b]).conj() * dh
        return levels.kernel(dh.conj())[:, ::-1], dlog_lam

    parallel.each(forward, halves)
    return y, h_last, backward
