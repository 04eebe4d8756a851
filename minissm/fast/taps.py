"""scan.taps for NumPy. s (D, U + L) is a sequence with the U inputs before it.

The last U inputs of s are the past of the next piece.
Both fast paths need one function and its adjoints: correlate(k, s)_t = sum_j k_j s_{t+j}. The output correlates s with
the reversed k. The gradient ds correlates dy with k, where dy has U zeros before it and after it.
"""

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..backend import fft_of, fft_size, namespace
from . import layout, parallel


def fft(k: np.ndarray, u: np.ndarray, past: np.ndarray | None) -> tuple:
    """One convolution of s with the kernel, by an FFT of U + L. The first U outputs, where it wraps, are cut."""
    (B, L, D), U = u.shape, k.shape[1] - 1
    n, F = fft_size(U + L), fft_of(namespace(u))
    fk = F.rfft(k.astype(u.dtype), n)
    y, spectra, halves = np.empty_like(u), [fk] * B, parallel.halves(B, u.size)

    def forward(half: slice) -> None:
        s, product = layout.channels(D, n, u.dtype), np.empty_like(fk)
        now = s[:, U : U + L]
        for b in range(half.start, half.stop):
            if past is not None:
                layout.move(past[b].T, s[:, :U])
            layout.move(u[b].T, now)
            spectra[b] = F.rfft(s)
            np.multiply(spectra[b], fk, out=product)
            now[...] = F.irfft(product, n, overwrite_x=True)[:, U : U + L]  # into s's padded rows, then transposed
            layout.move(now, y[b].T)

    def backward(dy: np.ndarray, dpast: np.ndarray | None) -> tuple:
        du, dpast_ = np.empty_like(u), np.empty((D, B, U), u.dtype).transpose(1, 2, 0)

        def work(half: slice) -> np.ndarray:
            dfk, s, product = np.zeros_like(fk), layout.channels(D, n, u.dtype), np.empty_like(fk)
            now = s[:, U : U + L]
            for b in range(half.start, half.stop):
                layout.move(dy[b].T, now)
                fdy = F.rfft(s)
                dfk += np.multiply(fdy, np.conjugate(spectra[b], out=product), out=product)
                fdy *= np.conjugate(fk, out=product)
                ds = F.irfft(fdy, n, overwrite_x=True)
                if dpast is not None:
                    ds[:, L : U + L] += dpast[b].T
                dpast_[b] = ds[:, :U].T
                now[...] = ds[:, U : U + L]
                layout.move(now, du[b].T)
            return dfk

        dfk = sum(parallel.each(work, halves), np.zeros_like(fk))
        return F.irfft(dfk, n)[:, : U + 1].astype(k.dtype), du, dpast_

    parallel.each(forward, halves)
    return y, _end(u, past, U), backward


def chunked(k: np.ndarray, u: np.ndarray, past: np.ndarray | None, Q: int) -> tuple:
    """Many chunks of Q outputs at a time: one product of their windows with a band matrix of the kernel."""
    (B, L, D), U, k_ = u.shape, k.shape[1] - 1, k.astype(u.dtype)
    zeros = np.zeros_like(u, shape=(B, U, D))
    before = zeros if past is None else past
    forwards, y = _band(k_[:, ::-1], Q), np.empty_like(u)
    groups = [list(layout.groups(half, (U + L) * D)) for half in parallel.halves(B, u.size)]

    def forward(group: list[slice]) -> None:
        for g in group:
            _correlate(_windows(Q, U, L, before[g], u[g]), forwards, y[g])

    def backward(dy: np.ndarray, dpast: np.ndarray | None) -> tuple:
        du, dpast_, backwards = np.empty_like(u), np.empty_like(zeros), _band(k_, Q)

        def work(group: list[slice]) -> np.ndarray:
            dband = np.zeros_like(forwards)
            for g in group:
                of_dy = _windows(Q, U, L, dy[g])
                _correlate(of_dy, backwards, du[g])
                _correlate(_windows(Q, U, U, zeros[g], dy[g, :U]), backwards, dpast_[g])
                _add_band(_windows(Q, U, L, before[g], u[g]), of_dy[..., :Q], dband)
            return dband

        dk = _band_sums(sum(parallel.each(work, groups), np.zeros_like(forwards)))[:, ::-1]
        if dpast is not None:
            new = min(U, L)
            du[:, L - new :] += dpast[:, U - new :]
            dpast_[:, new:] += dpast[:, : U - new]
        return dk.astype(k.dtype), du, dpast_

    parallel.each(forward, groups)
    return y, _end(u, past, U), backward


def _end(u: np.ndarray, past: np.ndarray | None, U: int) -> np.ndarray:
    """The last U of past and inputs together, (B, U, D). A copy: a view would keep all of u alive."""
    B, L, D = u.shape
    new, end = min(U, L), np.zeros_like(u, shape=(B, U, D))
    end[:, U - new :] = u[:, L - new :]
    if past is not None:
        end[:, : U - new] = past[:, new:]
    return end


def _windows(Q: int, U: int, L: int, *parts: np.ndarray) -> np.ndarray:
    """The windows (D, g, M, U + Q) of M chunks of outputs, L outputs in all.

    They cover the parts (g, ., D), concatenated in time and followed by zeros.
    """
    g, _, D = parts[0].shape
    M = -(-L // Q)
    s, at = np.zeros((D, g, U + M * Q), parts[0].dtype), 0
    for part in parts:
        layout.move(part.transpose(2, 1, 0), s[:, :, at : at + part.shape[1]].transpose(0, 2, 1))
        at += part.shape[1]
    return as_strided(s, (D, g, M, U + Q), (*s.strides[:2], Q * s.itemsize, s.itemsize))


def _correlate(windows: np.ndarray, band: np.ndarray, y: np.ndarray) -> None:
    """y_t = sum_j k_j s_{t+j}, from the windows of s and the band of k. y (g, L, D) is written."""
    D, g, M, width = windows.shape
    Q = band.shape[2]
    for i, j in layout.pieces(M, g * D * width):
        chunks = (_rows(windows[:, :, i:j]) @ band).reshape(D, g, -1).transpose(0, 2, 1)
        target = y.transpose(2, 1, 0)[:, i * Q : j * Q]
        layout.move(chunks[:, : target.shape[1]], target)


def _add_band(windows: np.ndarray, dy: np.ndarray, dband: np.ndarray) -> None:
    """Add the gradient of the band in y = windows band to dband. dy (D, g, M or more, Q)."""
    D, g, M, width = windows.shape
    for i, j in layout.pieces(M, g * D * width):
        dband += _rows(windows[:, :, i:j]).transpose(0, 2, 1) @ _rows(dy[:, :, i:j])


def _rows(windows: np.ndarray) -> np.ndarray:
    """(D, g, M, X) -> (D, g M, X), a copy if windows overlap: BLAS can't read overlapping rows."""
    return np.ascontiguousarray(windows).reshape(len(windows), -1, windows.shape[-1])


def _band(k: np.ndarray, Q: int) -> np.ndarray:
    """band[s, t] = k[s - t] for 0 <= s - t <= U, else 0: (D, U + 1) -> (D, U + Q, Q)."""
    D, width = k.shape
    padded = np.zeros((D, width + 2 * (Q - 1)), k.dtype)
    padded[:, Q - 1 : Q - 1 + width] = k
    row, item = padded.strides
    return np.ascontiguousarray(as_strided(padded[:, Q - 1 :], (D, width + Q - 1, Q), (row, item, -item)))


def _band_sums(dband: np.ndarray) -> np.ndarray:
    """The adjoint of `_band`: dk_j = sum_t dband[t + j, t]."""
    D, length, Q = dband.shape
    plane, row, item = dband.strides
    return as_strided(dband, (D, Q, length - Q + 1), (plane, row + item, row)).sum(axis=1)
