"""scan.fft for NumPy: sequence by sequence, channels contiguous, and with about 2 sqrt(L) powers of lam."""

from typing import NamedTuple

import numpy as np

from ..backend import fft_of, fft_size, namespace, state_dtype
from . import layout, parallel
from .levels import Levels


def fft(log_lam: np.ndarray, c: np.ndarray, u: np.ndarray, h0: np.ndarray | None) -> tuple:
    """y = k * u + (the part of h0);  shapes and gradients as in scan/diagonal.py.

    With sums(x) = sum_r x_r lam^r:  h_last = lam^L h0 + sums(u, the last input first). The part of h0 in y is the
    kernel of c lam h0. The backward holds the spectra of u, twice the size of u.
    """
    (B, L, D), N, n, F = u.shape, c.shape[1], fft_size(2 * u.shape[1]), fft_of(namespace(u))
    double = log_lam.astype(np.complex128)
    levels, lam_L = Levels(double, L, u.dtype), np.exp(L * double)
    complex_ = levels.high.dtype
    c_, lam = c.astype(complex_), np.exp(double).astype(complex_)
    maps = StateMaps(levels, c_, lam, lam_L)
    fk = F.rfft(levels.kernel(c_), n)
    h_last = np.empty((B, D, N), state_dtype(log_lam, u.dtype))
    y, spectra = np.empty_like(u), [fk] * B
    halves = parallel.halves(B, u.size)

    def forward(half: slice) -> None:
        x, product = layout.channels(D, n, u.dtype), np.empty_like(fk)
        for b in range(half.start, half.stop):
            layout.move(u[b].T, x[:, :L])
            h_last[b] = levels.sums(x[:, L - 1 :: -1])
            spectra[b] = F.rfft(x)
            np.multiply(spectra[b], fk, out=product)
            x[:, :L] = F.irfft(product, n, overwrite_x=True)[:, :L]  # into x's padded rows, then transposed
            if h0 is not None:
                x[:, :L] += maps.of_start(h0[b])
                h_last[b] += lam_L * h0[b]
            layout.move(x[:, :L], y[b].T)

    def backward(dy: np.ndarray, dh_last: np.ndarray | None) -> tuple:
        du, dh0 = np.empty_like(u), np.empty_like(h_last)

        def work(half: slice) -> tuple:
            dfk, dlog_lam, dc = np.zeros_like(fk), np.zeros_like(c_), np.zeros_like(c_)
            x, product = layout.channels(D, n, u.dtype), np.empty_like(fk)
            for b in range(half.start, half.stop):
                layout.move(dy[b].T, x[:, :L])
                dh0[b], dlog_b, dc_b = maps.back_start(x[:, :L], None if h0 is None else h0[b])
                dlog_lam += dlog_b
                dc += dc_b
                fdy = F.rfft(x)
                dfk += np.multiply(fdy, np.conjugate(spectra[b], out=product), out=product)
                fdy *= np.conjugate(fk, out=product)
                x[:, :L] = F.irfft(fdy, n, overwrite_x=True)[:, :L]
                if dh_last is not None:
                    du_b, dlog_b = maps.back_end(u[b], dh_last[b], None if h0 is None else h0[b])
                    x[:, :L] += du_b
                    dh0[b] += lam_L.conj() * dh_last[b]
                    dlog_lam += dlog_b
                layout.move(x[:, :L], du[b].T)
            return dfk, dlog_lam, dc

        dfk, dlog_h, dc_h = (sum(p[1:], p[0]) for p in zip(*parallel.each(work, halves), strict=True))
        z, dz = levels.both_sums(F.irfft(dfk, n)[:, :L])
        dlog_lam, dc = (c_ * dz).conj() + dlog_h, z.conj() + dc_h
        return dlog_lam.astype(log_lam.dtype), dc.astype(c.dtype), du, dh0

    parallel.each(forward, halves)
    return y, h_last, backward


class StateMaps(NamedTuple):
    """The maps from the initial state to the outputs and from the inputs to the final state. h (D, N)."""

    levels: Levels
    c: np.ndarray
    lam: np.ndarray
    decay: np.ndarray  # lam^L

    def of_start(self, h0: np.ndarray) -> np.ndarray:
        """The part of h0 in y (D, L)."""
        return self.levels.kernel(self.c * self.lam * h0)

    def back_start(self, dy: np.ndarray, h0: np.ndarray | None) -> tuple:
        """The adjoint of `of_start`. -> dh0, dlog_lam, dc; the last two are 0 if h0 is None."""
        if h0 is None:
            return (self.c * self.lam * self.levels.sums(dy)).conj(), 0, 0
        z, dz = self.levels.both_sums(dy)
        at_start = self.c * self.lam
        return (at_start * z).conj(), (at_start * h0 * (z + dz)).conj(), (self.lam * h0 * z).conj()

    def back_end(self, u: np.ndarray, dh: np.ndarray, h0: np.ndarray | None) -> tuple:
        """The gradients through h_last. u (L, D) -> du (D, L), dlog_lam."""
        _, dz = self.levels.both_sums(u[::-1].T)
        dlog_lam = dz.conj() * dh
        if h0 is not None:
            dlog_lam += len(u) * (self.decay * h0).conj() * dh
        return self.levels.kernel(dh.conj())[:, ::-1], dlog_lam
