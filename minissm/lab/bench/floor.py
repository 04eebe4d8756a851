"""What causal attention can't do without: its products, of inner size P, and its exponentials; nothing else of it.

The rows come in blocks of T, and a block meets only the keys up to its end. The forward needs two products, and the
backward five, as it makes the weights again.
"""

from collections.abc import Callable, Iterator

import numpy as np

from .case import Case

T = 128


def attend(case: Case) -> Iterator[tuple[str, Callable[[], None]]]:
    q, k, v, do = (a.reshape(-1, *a.shape[2:]) for a in case.arrays.values())
    L, P = q.shape[1:]
    q = q / np.float32(np.sqrt(P))  # or exp would overflow, which has a time of its own
    keys, values = np.ascontiguousarray(k.transpose(0, 2, 1)), np.ascontiguousarray(v.transpose(0, 2, 1))
    first, second = np.empty((2, T * L), np.float32)
    rows, columns = np.empty((T, P), np.float32), np.empty((L, P), np.float32)

    def run() -> None:
        for b in range(len(q)):
            for i in range(0, L, T):
                j = min(i + T, L)
                w, dw = (a[: (j - i) * j].reshape(j - i, j) for a in (first, second))
                for _ in range(2):  # forward, and again in the backward
                    np.matmul(q[b, i:j], keys[b, :, :j], out=w)
                    np.exp(w, out=w)
                np.matmul(w, v[b, :j], out=rows[: j - i])
                np.matmul(w.T, do[b, i:j], out=columns[:j])
                np.matmul(do[b, i:j], values[b, :, :j], out=dw)
                np.matmul(dw, k[b, :j], out=rows[: j - i])
                np.matmul(dw.T, q[b, i:j], out=columns[:j])

    yield "products and exp alone", run


METHODS = {"W6": attend}
