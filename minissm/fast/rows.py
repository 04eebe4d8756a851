"""Pieces of sequences as rows of a product: a row is one chunk of one channel, Q inputs.

A piece has some chunks of some sequences, and its rows have the order (sequence, chunk). If the inputs of a channel are
contiguous, as in ssm, the rows are a view, and a piece has up to ROWS of them. Its products then take a few channels at
a time, so that they stay in the cache. Otherwise the cache limits the size of a piece. Rows that are not a view are
copied, once for all channels: in another layout, or if a remainder (L mod Q) lies between short sequences.
"""

from typing import NamedTuple

import numpy as np

from . import layout
from .layout import cuts

ROWS = 256  # rows of a product; with 32, a scan of 16 sequences of 1,024 took 1.3 times as long


class Piece(NamedTuple):
    """chunks: of each of these sequences.  rows: the same chunks, numbered in the batch (chunk k of b: b M + k)."""

    sequences: slice
    chunks: slice
    rows: slice


def pieces(u: np.ndarray, Q: int) -> tuple[list[Piece], list[slice]]:
    """The pieces of u (B, M Q, D), in order within each sequence, and the channels of each product."""
    (B, L, D), (step, token, _) = u.shape, u.strides
    M = L // Q
    together = token == u.itemsize and (B == 1 or step == L * token or M >= ROWS)  # the rows of a piece are a view
    size = min(ROWS, B * M) if together else max(1, layout.PIECE // (D * Q))
    found = []
    for g in cuts(0, B, max(1, size // M)):
        for k in cuts(0, M, size):
            found.append(Piece(g, k, slice(g.start * M + k.start, (g.stop - 1) * M + k.stop)))
    return found, cuts(0, D, max(1, layout.PIECE // (size * Q)) if together else D)


def room(a: np.ndarray, piece: Piece, Q: int) -> np.ndarray:
    """An array for the rows of a (B, M Q, D) in a piece, (D, rows, Q): a view if the layout allows it, else new."""
    part = _part(a, piece, Q)
    g, n, D = part.shape
    if part.strides[1] == part.itemsize and (g == 1 or part.strides[0] == n * part.itemsize):
        return part.transpose(2, 0, 1).reshape(D, g * n // Q, Q)
    return layout.memory(D, g * n, a.dtype).reshape(D, g * n // Q, Q)


def gather(a: np.ndarray, piece: Piece, Q: int) -> np.ndarray:
    """The rows of a (B, M Q, D) in a piece, (D, rows, Q): a view, or copies."""
    x = room(a, piece, Q)
    if not np.may_share_memory(x, a):
        source, target = _chunks(a, piece, x)
        layout.move(source, target, max(1, layout.STRIP // Q))
    return x


def scatter(x: np.ndarray, a: np.ndarray, piece: Piece) -> None:
    """Copy x, from `room`, to the rows of a in a piece, unless it is a view of a."""
    if not np.may_share_memory(x, a):
        target, source = _chunks(a, piece, x)
        layout.move(source, target, max(1, layout.STRIP // x.shape[2]))


def _part(a: np.ndarray, piece: Piece, Q: int) -> np.ndarray:
    return a[piece.sequences, piece.chunks.start * Q : piece.chunks.stop * Q]


def _chunks(a: np.ndarray, piece: Piece, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A piece of a (B, M Q, D) and its rows x (D, rows, Q), both as (D, chunks, sequences, Q)."""
    part, Q = _part(a, piece, x.shape[2]), x.shape[2]
    g, n, D = part.shape
    return part.reshape(g, n // Q, Q, D).transpose(3, 1, 0, 2), x.reshape(D, g, n // Q, Q).transpose(0, 2, 1, 3)
