"""Regression on a finite sample: noisy values of a gamma-smooth function of one token of the sequence.

    g(u) = sum_r c_r psi_r(u),    psi_r(u) = prod_i (1 where r_i = 0, else sqrt 2 cos(pi r_i u_i)),    u in [0, 1]^d
    f(X) = g(u of the token with the largest importance mu),    X = tokens (mu, u)

gamma-smooth functions: Okumoto & Suzuki, ICLR 2022. The input decides which token matters: Takakura & Suzuki 2023,
arXiv 2305.18699. The cosines, the random draw and the sample are ours. The psi_r are orthonormal, so norms and the
risks of series are exact: |g|^2 = sum_r c_r^2.
"""

import itertools
import math
import numbers
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ..checks import check_draw, choice, integer, number
from .task import Batch, RealTask

FUNCTION, SAMPLE, NOISE, ORDER = 10, 11, 12, 13  # generators of a task: default_rng([seed, one of these, ...])
TERMS = 20_000  # of a series, at most
SLOW = "ssm(dt=(0.001, 0.01))"  # it sums over the sequence


def blocks(a: tuple, kind: str, levels: int) -> list[tuple[float, tuple]]:
    """The dyadic blocks with gamma(s) <= levels min a, smallest gamma first, as (gamma, s), without the constant s = 0.

    Block s holds the frequencies r with 2^(s_i - 1) <= r_i < 2^s_i (r_i = 0: s_i = 0). kind: gamma(s) = sum_i a_i s_i
    ("mixed") or max_i a_i s_i ("anisotropic").
    """
    most, add = levels * min(a) + 1e-9, sum if kind == "mixed" else max
    every = itertools.product(*[range(int(most / a_i) + 1) for a_i in a])
    found = ((float(add(a_i * k for a_i, k in zip(a, s, strict=True))), s) for s in every)
    return sorted((gamma, s) for gamma, s in found if 0 < gamma <= most)


class Series(NamedTuple):
    """g: frequencies r (N, d), coefficients c (N,), and the end of each block. Blocks with small gamma come first."""

    r: np.ndarray
    c: np.ndarray
    ends: tuple[int, ...]

    @classmethod
    def draw(cls, a: tuple, kind: str, levels: int, rng: "np.random.Generator") -> "Series":
        """Gaussian coefficients; the norm of block s is proportional to 2^-gamma(s); |g| = 1."""
        r, c, ends = [], [], []
        for gamma, s in blocks(a, kind, levels):
            inside = list(itertools.product(*[range(2 ** (k - 1), 2**k) if k else range(1) for k in s]))
            z = rng.normal(size=len(inside))
            r += inside
            c += list(z * 2.0**-gamma / np.linalg.norm(z))
            ends.append(len(r))
        return cls(np.array(r), np.array(c) / np.linalg.norm(c), tuple(ends))

    def features(self, u: np.ndarray) -> np.ndarray:
        """psi_r(u): u (points, d) -> (points, N)."""
        found: Any = 1.0
        for x, r in zip(u.T, self.r.T, strict=True):
            k = np.arange(r.max() + 1)
            found = found * (np.where(k > 0, math.sqrt(2), 1.0) * np.cos(np.pi * x[:, None] * k))[:, r]
        return found

    def __call__(self, u: np.ndarray) -> np.ndarray:
        """g(u): (points, d) -> (points,)."""
        some = (u[i : i + 500] for i in range(0, len(u) or 1, 500))
        return np.concatenate([(self.features(part) * self.c).sum(axis=1) for part in some])


@dataclass(frozen=True)
class Regression(RealTask):
    """Tokens (mu, u); the answer, at the last token, is g(u) of the token with the largest mu. A finite noisy sample.

    n: sequences of the sample (default 1024). The last fifth is held out. Below 1024, models overfit in the warm-up.
    length: tokens of a sequence (default 8).
    gap: the largest mu is at least this much above the others (default 0.1). mu is in [0, 1], before the scaling. With
        a gap of 0, no finite network selects the right token in all sequences.
    noise: standard deviation of the noise on an answer (default 0.3; |g| = 1).
    a: smoothness of g in each coordinate of u (default (1, 2)). A large number makes a coordinate irrelevant.
    kind: "mixed" (default) or "anisotropic", see `blocks`.
    levels: frequencies go up to 2^levels in the least smooth coordinate (default 6).
    b: a second smoothness (default None: one function). Each token then has one more number, a mark of -1 or 1. The
        mark of the important token decides the answer. -1: g(u), of smoothness a. 1: a function of smoothness b.
    mark: -1 or 1: draw only sequences in which the important token has this mark. Needs b. Default None: both.
    part: "sample" (default), "held_out" or "fresh": new sequences without noise.
    seed: of the functions and of the sample.

    Inputs are scaled to [-1, 1]. Score: on fresh sequences, mean_squared_error is the risk |f_hat - f|^2. On held-out
    sequences, it is noise^2 larger. Baseline: 1, the risk of the mean.
    """

    n: int = 1024
    length: int = 8
    gap: float = 0.1
    noise: float = 0.3
    a: tuple[float, ...] = (1, 2)
    kind: str = "mixed"
    levels: int = 6
    b: tuple[float, ...] | None = None
    mark: int | None = None
    part: str = "sample"
    seed: int = 0

    outputs: ClassVar[int] = 1
    baseline: ClassVar[float] = 1.0
    tested_on: ClassVar[int] = 10_000
    recipe: ClassVar[dict] = {
        "models": (  # a norm divides, and division selects: models that must not select have none
            f'Model("fnn2 + {SLOW} + fnn2 + {SLOW} + fnn2", norm="rms")',
            'Model("attn + fnn2 + attn + fnn2", norm="rms")',
            'Model("s6 + fnn2 + s6 + fnn2", norm="rms")',
            'Model("fnn2 + ssm", norm="none")',
            'Model("ssm + ssm", norm="none")',
        ),
        "steps": 2000,
        "lrs": (1.2e-2,),
        "budget": 23_400,
    }

    def __post_init__(self) -> None:
        integer(self, "regression", "n", minimum=32)
        for name, minimum in (("length", 1), ("levels", 1), ("seed", 0)):
            integer(self, "regression", name, minimum)
        number(self, "regression", "gap", "a number from 0 to below 1", lambda v: 0 <= v < 1)
        number(self, "regression", "noise", "a number, 0 or more", lambda v: 0 <= v < math.inf)
        choice(self, "regression", "kind", ("mixed", "anisotropic"))
        choice(self, "regression", "part", ("sample", "held_out", "fresh"))
        for name in ("a", "b") if self.b is not None else ("a",):
            self._check_smoothness(name)
        if self.mark is not None:
            if self.b is None or not _is_real(self.mark) or self.mark not in (-1, 1):
                raise ValueError(f"regression: mark={self.mark!r}; expected None, or -1 or 1 if b is given")
            object.__setattr__(self, "mark", int(self.mark))

    def _check_smoothness(self, name: str) -> None:
        a = getattr(self, name)
        if not isinstance(a, tuple | list) or not a or not all(_is_real(v) and 1e-3 <= v <= 1e6 for v in a):
            raise ValueError(f"regression: {name}={a!r}; expected a tuple of numbers from 0.001 to 1e6, like (1, 2)")
        if len(a) != len(self.a):
            raise ValueError(f"regression: a={self.a}, {name}={a}; expected two tuples of one length")
        a = tuple(int(v) if v == int(v) else float(v) for v in a)  # equal ones have one spec
        object.__setattr__(self, name, a)
        many = math.prod(int(self.levels * min(a) / v) + 1 for v in a) > TERMS  # blocks
        if many or sum(2 ** sum(k - 1 for k in s if k) for _, s in blocks(a, self.kind, self.levels)) > TERMS:
            given = f"{name}={a}, levels={self.levels}"
            raise ValueError(f"regression: {given}: a series of more than {TERMS:,} terms; give fewer levels")

    @property
    def inputs(self) -> int:
        return 1 + (self.b is not None) + len(self.a)

    @property
    def sequences(self) -> int | None:
        return {"sample": self.n - self.n // 5, "held_out": self.n // 5, "fresh": None}[self.part]

    @property
    def held_out(self) -> "Regression | None":
        return replace(self, part="held_out") if self.part == "sample" else None

    @property
    def fresh(self) -> "Regression":
        return replace(self, part="fresh")

    @cached_property
    def functions(self) -> tuple[Series, ...]:
        """g, and the function of smoothness b if b is given."""
        rng = np.random.default_rng([self.seed, FUNCTION])
        return tuple(Series.draw(a, self.kind, self.levels, rng) for a in (self.a, self.b) if a is not None)

    @cached_property
    def sample(self) -> tuple[np.ndarray, np.ndarray]:
        """The sequences of this part of the sample (sequences, L, inputs), and their noisy answers (sequences,)."""
        X, y = self.draw(np.random.default_rng([self.seed, SAMPLE]), self.n)
        y += self.noise * np.random.default_rng([self.seed, NOISE]).normal(size=self.n)
        mine = slice(self.n - self.n // 5) if self.part == "sample" else slice(self.n - self.n // 5, None)
        return X[mine], y[mine]

    def draw(self, rng: "np.random.Generator", n: int) -> tuple[np.ndarray, np.ndarray]:
        """n new sequences X (n, L, inputs) and their answers f(X) (n,), without noise."""
        X, rows = rng.random((n, self.length, self.inputs)), np.arange(n)
        important = X[..., 0].argmax(axis=1)
        X[..., 0] *= 1 - self.gap
        X[rows, important, 0] += self.gap
        if self.b is not None:
            X[..., 1] = X[..., 1] < 0.5
            if self.mark is not None:
                X[rows, important, 1] = self.mark > 0
        X, y = 2 * X - 1, np.zeros(n)
        which, u = self.important(X)
        for k, g in enumerate(self.functions):
            y[which == k] = g(u[which == k])
        return X, y

    def important(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The index of the function that applies to the token with the largest mu (n,), and its u (n, d)."""
        token = X[np.arange(len(X)), X[..., 0].argmax(axis=1)]
        which = (token[:, 1] > 0).astype(int) if self.b is not None else np.zeros(len(X), int)
        return which, (token[:, -len(self.a) :] + 1) / 2

    def batch(self, rng: "np.random.Generator", n: int, step: int = 0) -> Batch:
        """n sequences: fresh ones, or items step n, step n + 1, ... of permutations of this part of the sample."""
        n = check_draw("regression", rng, n)
        X, y = self.draw(rng, n) if self.sequences is None else (a[self._items(n, step)] for a in self.sample)
        targets, weights = np.zeros((n, self.length, 1)), np.zeros((n, self.length))
        targets[:, -1, 0], weights[:, -1] = y, 1
        return Batch(X, targets, weights)

    def _items(self, n: int, step: int) -> np.ndarray:
        """The order of epoch e is a permutation by default_rng([seed, ORDER, e]), so that a training can be resumed."""
        size = self.sequences or 1
        epochs = range(step * n // size, ((step + 1) * n - 1) // size + 1)
        order = [np.random.default_rng([self.seed, ORDER, e]).permutation(size) for e in epochs]
        return np.concatenate(order)[step * n - epochs[0] * size :][:n]

    def source(self, batch: Batch) -> np.ndarray:
        """The position of the largest mu, at the last token."""
        found = np.full(batch.weights.shape, -1)
        found[:, -1] = batch.inputs[..., 0].argmax(axis=1)
        return found


def _is_real(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def series_risks(task: Regression) -> list[float]:
    """The risk of least squares on the first blocks of the basis, for each function. It knows the important token.

    This is the yardstick for models, which must find the token. The held-out sequences choose the number of blocks, 0
    or more. The risk |c_hat - c|^2 is exact and needs no test.
    """
    both = (replace(task, part=part) for part in ("sample", "held_out"))
    parts = [(*t.important(t.sample[0]), t.sample[1]) for t in both]
    risks = []
    for k, g in enumerate(task.functions):
        (A, y), (A_held, y_held) = ((g.features(u[which == k]), y[which == k]) for which, u, y in parts)
        gram, moments, best = A.T @ A + 1e-9 * len(y) * np.eye(g.c.size), A.T @ y, (math.inf, 1.0)
        for N in (0, *(end for end in g.ends if 2 * end <= len(y))):
            c = np.linalg.solve(gram[:N, :N], moments[:N])
            error = float(((A_held[:, :N] @ c - y_held) ** 2).sum())
            best = min(best, (error, float(((c - g.c[:N]) ** 2).sum() + (g.c[N:] ** 2).sum())))
        risks.append(best[1])
    return risks
