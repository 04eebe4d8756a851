"""Sums over many powers of lam without forming them: lam^r = lam^(w i) lam^j for r = w i + j, with w near sqrt(L).

    kernel(a)       Re sum_n a_n lam_n^r, r < L             (D, N) complex -> (D, L) real
    sums(x)         z = sum_r x_r lam^r                     (D, L) real -> (D, N) complex
    both_sums(x)    z, and sum_r r x_r lam^r

The adjoint of the kernel, da = conj(z) and dlog_lam = conj(a sum_r r x_r lam^r) for x = dk, consists of such sums.
Each is one product of matrices; the memory is D N sqrt(L) instead of D N L.
"""

from typing import Any

import numpy as np

from . import layout
from .chunk import as_complex, as_real, channels_first, powers, transposed


class Levels:
    """`high` (D, m, N): lam^(w i), i < m;  `low` (D, w, 2N) real: lam^j, j < w;  w m >= L."""

    def __init__(self, log_lam: np.ndarray, L: int, real: Any) -> None:
        self.w = w = 1 << (L.bit_length() + 1) // 2
        self.m, self.L = -(-L // w), L
        self.low = channels_first(powers(log_lam, w), real)
        self.high = as_complex(channels_first(powers(w * log_lam, self.m + 1)[:-1], real))
        self.lowT = transposed(self.low)

    def kernel(self, a: np.ndarray) -> np.ndarray:
        left = (a[:, None].astype(self.high.dtype) * self.high).conj()
        return (as_real(left) @ self.lowT).reshape(len(a), -1)[:, : self.L]

    def sums(self, x: np.ndarray) -> np.ndarray:
        return (self.high * self._low_sums(self._blocks(x))).sum(axis=1)

    def both_sums(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        blocks = self._blocks(x)
        z = self._low_sums(blocks)
        start = np.arange(0, self.m * self.w, self.w, dtype=x.dtype)[:, None]
        dz = self._low_sums(blocks * np.arange(self.w, dtype=x.dtype)) + start * z
        return (self.high * z).sum(axis=1), (self.high * dz).sum(axis=1)

    def _blocks(self, x: np.ndarray) -> np.ndarray:
        """(D, L) in any memory layout -> (D, m, w), with zeros at the end."""
        blocks = np.zeros((len(x), self.m * self.w), x.dtype)
        layout.move(x, blocks[:, : self.L])
        return blocks.reshape(len(x), self.m, self.w)

    def _low_sums(self, blocks: np.ndarray) -> np.ndarray:
        """sum_j x_{w i + j} lam^j for each i."""
        return as_complex(blocks @ self.low)
