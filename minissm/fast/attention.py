"""attention for NumPy: in long sequences no weights are kept, so memory grows linearly with the length.

Long sequences are computed head by head, in tiles of scores that stay in the cache. Fully masked tiles are skipped.
The forward keeps o and the logarithm of each row's sum of exp; the backward recomputes the weights (Dao et al. 2022).
The offset of a row is subtracted inside the product of its scores: an extra column of offsets meets a row of ones.
If no score can be large, exp needs no row maximum. Short sequences do many heads at once and keep their weights.
A score that is not finite also spoils rows that the mask hides from it, if they are computed together with it.
"""

import math
from collections.abc import Iterator
from functools import lru_cache, partial, reduce

import numpy as np

from .layout import PRODUCT, cuts
from .parallel import each, halves

AT_ONCE = 1 << 15  # scores of a head; up to this many, heads are computed together and the weights kept
GROUP = 1 << 18  # scores that are computed together
COLUMNS = 64  # columns of a tile
SMALL = 30  # exp of a score between -SMALL and SMALL, times a v up to 1e20, neither overflows nor vanishes in float32


def attention(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> tuple:
    """o = softmax(q k^T / sqrt(P)) v, masked; shapes and gradients as in minissm/attention.py.

    The memory layout of o and the gradients is (B, L, H, P), so that joining the heads copies nothing.
    """
    L, S = q.shape[2], k.shape[2]
    return at_once(q, k, v) if L == 1 or L * S <= AT_ONCE else blocked(q, k, v)


def at_once(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> tuple:
    """Keep the weights. All heads of a group of batch items are computed together."""
    (B, H, L, P), S = q.shape, k.shape[2]
    scale, o = 1 / math.sqrt(P), _heads((B, H, L, v.shape[3]), np.result_type(q, k, v))
    size = max(1, GROUP // (H * L * S))
    groups = cuts(0, B, size)

    def forward(g: slice) -> np.ndarray:
        a = _by_transposed(q[g], k[g], scale)
        rows = a.reshape(-1, S)
        small = L > 1 and a.min(initial=0) > -SMALL and a.max(initial=0) < SMALL  # one row costs less than this test
        if L > 1:
            a.reshape(-1, L * S)[:] += _hidden(L, S, a.dtype).reshape(-1)
        if not small:
            rows -= rows.max(axis=1, keepdims=True)
        np.exp(a, out=a)
        rows *= 1 / _row_sums(rows)
        np.matmul(a, v[g], out=o[g])
        return a

    kept = list(zip(groups, each(forward, groups), strict=True))

    def backward(do: np.ndarray) -> tuple:
        dq, dk, dv = (_heads(x.shape, x.dtype) for x in (q, k, v))

        def back(part: tuple[slice, np.ndarray]) -> None:
            g, a = part
            dz = _by_transposed(do[g], v[g], scale)  # with the factor of dq and dk
            dz *= a
            dz -= a * _row_sums(dz.reshape(-1, S)).reshape(-1, H, L, 1)
            np.matmul(dz, k[g], out=dq[g])
            np.matmul(dz.mT, q[g], out=dk[g])
            np.matmul(a.mT, do[g], out=dv[g])

        each(back, kept)
        return dq, dk, dv

    return o, backward


def _by_transposed(q: np.ndarray, k: np.ndarray, scale: float) -> np.ndarray:
    """scale q k^T, C-contiguous. For more than one row, k is transposed in memory: that makes BLAS twice as fast."""
    if q.shape[2] == 1:
        return np.matmul(q * scale, k.mT, order="C")
    return np.matmul(q, np.multiply(k.mT, scale, order="C"), order="C")


def _row_sums(rows: np.ndarray) -> np.ndarray:
    return rows @ np.ones((rows.shape[1], 1), rows.dtype)


@lru_cache(maxsize=8)
def _hidden(L: int, S: int, dtype: np.dtype) -> np.ndarray:
    """(L, S): -inf where the key comes after the query, else 0."""
    return np.triu(np.full((L, S), -np.inf, dtype), S - L + 1)


def blocked(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> tuple:
    """Keep o and the logarithm of each row's sum of exp."""
    (B, H, L, _), S, dtype = q.shape, k.shape[2], np.result_type(q, k, v)
    heads = [(b, h) for b in range(B) for h in range(H)]
    parts = halves(len(heads), B * H * L * S)
    o, log_sums = _heads((B, H, L, v.shape[3]), dtype), np.empty((B, H, L), dtype)

    def forward(part: slice) -> None:
        for at in heads[part]:
            o[at], log_sums[at] = _forward(q[at], k[at], v[at])

    each(forward, parts)

    def backward(do: np.ndarray) -> tuple:
        gradients = tuple(_heads(a.shape, a.dtype) for a in (q, k, v))

        def back(part: slice) -> None:
            for at in heads[part]:
                of_head = _backward(q[at], k[at], v[at], o[at], log_sums[at], do[at])
                for whole, gradient in zip(gradients, of_head, strict=True):
                    whole[at] = gradient

        each(back, parts)
        return gradients

    return o, backward


def _forward(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One head: o (L, P), and the log sums (L,). The rows of a tile are keys, its columns queries."""
    (L, P), S, scale, dtype = q.shape, len(k), 1 / math.sqrt(q.shape[1]), np.result_type(q, k, v)
    keys, values, scaled = _with_column(k, 1, dtype), _with_column(v, 1, dtype), q * scale
    small = math.sqrt(np.vecdot(scaled, scaled).max() * np.vecdot(k, k).max()) < SMALL  # |q . k| <= |q| |k|
    tile, mask = _tile(S, P, dtype), _hidden(COLUMNS, COLUMNS, dtype).T.copy()
    sums, largest = np.zeros((L, values.shape[1]), dtype), np.zeros(L, dtype)
    for block in cuts(0, L, COLUMNS):
        queries = _with_row(scaled[block], 0, dtype)
        scores = partial(_scores, keys, queries, (0, S - L + block.stop), S - L + block.start, mask, tile)
        if not small:
            largest[block] = reduce(np.maximum, (s.max(axis=0) for _, s in scores()))
            queries[P] = -largest[block]
        for rows, a in scores():
            np.exp(a, out=a)
            sums[block] += a.T @ values[rows]
    return sums[:, :-1] / sums[:, -1:], largest + np.log(sums[:, -1])


def _backward(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, o: np.ndarray, log_sums: np.ndarray, do: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One head: dq (L, P), dk and dv (S, P). The rows of a tile are queries, its columns keys."""
    (L, P), S, scale, dtype = q.shape, len(k), 1 / math.sqrt(q.shape[1]), o.dtype
    queries, cotangents = _with_column(q * scale, -log_sums, dtype), _with_column(do, -np.vecdot(do, o), dtype)
    tile, other, mask = _tile(L, P, dtype), _tile(L, P, dtype), _hidden(COLUMNS, COLUMNS, dtype)
    dq, dk, dv = (np.zeros(a.shape, dtype) for a in (q, k, v))
    near = k - k.mean(axis=0)  # serves as k in dq: rows of dz sum to 0, up to rounding, which far keys would enlarge
    near = np.where(abs(near).max(axis=0) < abs(k).min(axis=0), near, k)
    for block in cuts(0, S, COLUMNS):
        diagonal = L - S + block.start
        keys, values = _with_row(k[block], 1, dtype), _with_row(v[block], 1, dtype)
        for rows, a in _scores(queries, keys, (max(0, diagonal), L), diagonal, mask, tile):
            np.exp(a, out=a)
            dz = np.matmul(cotangents[rows], values, out=other[: a.shape[0], : a.shape[1]])
            dz *= a
            dq[rows] += dz @ near[block]
            dk[block] += dz.T @ queries[rows, :-1]
            dv[block] += a.T @ cotangents[rows, :-1]
    dq *= scale
    return dq, dk, dv


def _scores(
    rows: np.ndarray, columns: np.ndarray, span: tuple[int, int], diagonal: int, mask: np.ndarray, tile: np.ndarray
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield rows[span] @ columns in tiles: the rows as a slice, and their scores. The mask starts at row `diagonal`."""
    width, end = columns.shape[1], span[1]
    for i in range(*span, len(tile)):
        e = min(i + len(tile), end)
        s = np.matmul(rows[i:e], columns, out=tile[: e - i, :width])
        low, high = max(i, diagonal), min(e, diagonal + width)
        if low < high:
            s[low - i : high - i] += mask[low - diagonal : high - diagonal, :width]
        yield slice(i, e), s


def _heads(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An empty array (B, H, L, P) with the memory layout (B, L, H, P)."""
    B, H, L, P = shape
    return np.empty((B, L, H, P), dtype).transpose(0, 2, 1, 3)


def _tile(most: int, P: int, dtype: np.dtype) -> np.ndarray:
    """An empty tile, with as many rows of scores as one small product has, and at most `most`."""
    return np.empty((min(most, max(COLUMNS, PRODUCT // (COLUMNS * (P + 1)))), COLUMNS), dtype)


def _with_column(a: np.ndarray, last: float | np.ndarray, dtype: np.dtype) -> np.ndarray:
    """(N, P) -> (N, P + 1)."""
    wide = np.empty((a.shape[0], a.shape[1] + 1), dtype)
    wide[:, :-1], wide[:, -1] = a, last
    return wide


def _with_row(a: np.ndarray, last: float, dtype: np.dtype) -> np.ndarray:
    """(N, P) -> (P + 1, N)."""
    high = np.empty((a.shape[1] + 1, a.shape[0]), dtype)
    high[:-1], high[-1] = a.T, last
    return high
