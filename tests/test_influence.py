"""The share of what an answer depends on that falls on the token with the answer."""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from minissm import Model
from minissm.lab.influence import influence
from minissm.tasks import Batch, RealTask, TokenTask


@dataclass(frozen=True)
class Tokens(TokenTask):
    """Two answers a sequence, at 2 and 4, from the tokens 0 and 3; in every third sequence only the latter counts."""

    length, vocab, baseline = 5, 3, 0.5

    def batch(self, rng, n, step=0):
        tokens, weights = rng.integers(0, 3, (n, 5)), np.zeros((n, 5))
        weights[:, [2, 4]] = 1
        weights[::3, 2] = 0
        return Batch(tokens, np.roll(tokens, 1, axis=1), weights)

    def source(self, batch):
        return np.where(batch.weights > 0, np.array([-1, -1, 0, -1, 3]), -1)


@dataclass(frozen=True)
class Vectors(RealTask):
    """One answer a sequence, at 3, which is the input of token 1."""

    length, inputs, outputs, baseline = 4, 2, 2, 1.0

    def batch(self, rng, n, step=0):
        x, weights = rng.normal(size=(n, 4, 2)), np.zeros((n, 4))
        weights[:, 3] = 1
        return Batch(x, np.roll(x, 2, axis=1), weights)

    def source(self, batch):
        return np.where(batch.weights > 0, 1, -1)


class Linear:
    """y_tk = sum over s and v of K_tsvk x_sv: the gradient of every answer is known."""

    dtype, vocab = "float64", None

    def __init__(self, kernel):
        self.kernel = kernel

    def __call__(self, params, x, mode, where):
        b, t = np.nonzero(where)

        def backward(dy):
            dx = np.zeros_like(x)
            np.add.at(dx, b, np.einsum("rsvk,rk->rsv", self.kernel[t], dy))
            return None, dx

        return np.einsum("tsvk,bsv->btk", self.kernel, x)[where], backward


class Copier:
    """The answer at t is the token at source[t]; all other tokens are ignored but those in `also`, by a half."""

    def __init__(self, source, also=()):
        self.source, self.also = source, also

    def __call__(self, params, x, mode, where):
        b, t = np.nonzero(where)
        p = 2.0 * np.eye(3)[x[b, np.asarray(self.source)[t]]]
        for s in self.also:
            p = p + np.eye(3)[x[b, s]]
        return np.log(p / p.sum(axis=1, keepdims=True) + 1e-300), None


PARAMS = {"embed": {"w": np.zeros((1, 1))}}


def test_the_answer_of_a_copier_depends_on_the_token_that_it_copies():
    def of(model):
        return influence(model, PARAMS, Tokens(), np.random.default_rng(3), 90)

    assert of(Copier([0, 0, 0, 0, 3])) == {"influence": pytest.approx(1), "influence_top": 1.0}
    assert of(Copier([1, 1, 1, 1, 1])) == {"influence": 0.0, "influence_top": 0.0}
    assert of(Copier([0, 0, 0, 0, 3], also=[1])) == {"influence": pytest.approx(2 / 3), "influence_top": 1.0}


def test_only_tokens_of_the_kind_of_a_source_are_replaced():
    """Here 0 and 1 are sources and 2 says where to look: the answer depends on it, and it has no share."""

    @dataclass(frozen=True)
    class Marked(Tokens):
        def batch(self, rng, n, step=0):
            batch = super().batch(rng, n)
            tokens = batch.inputs % 2
            tokens[:, 1] = 2
            return batch._replace(inputs=tokens, targets=np.roll(tokens, 1, axis=1))

    net = Copier([0, 0, 0, 0, 3], also=[1])
    assert influence(net, PARAMS, Marked(), np.random.default_rng(3), 9)["influence"] == pytest.approx(1)


def test_real_inputs_have_the_share_of_the_sum_of_the_outputs(rng):
    kernel = rng.normal(size=(4, 4, 2, 2))
    size = np.abs(kernel[3].sum(axis=2)).sum(axis=1)
    found = influence(Linear(kernel), PARAMS, Vectors(), rng, 7)
    assert found == {"influence": pytest.approx(size[1] / size.sum()), "influence_top": float(size.argmax() == 1)}


def test_a_model_of_ours_has_the_share_that_its_equation_gives(rng):
    """y_3 = x_3 + (x_0 + .. + x_3) / 4, so x_1 has (1/4) / 2."""
    net = Model("mean", inputs=2, outputs=2, width=2, dtype="float64")
    params = net.init(rng)
    params["embed"]["w"] = params["head"]["w"] = np.eye(2)
    assert influence(net, params, Vectors(), rng, 5) == {"influence": pytest.approx(1 / 8), "influence_top": 0.0}


def test_a_task_without_a_source_has_none():
    task = SimpleNamespace(length=4, batch=Vectors().batch, source=lambda batch: None)
    assert influence(Linear(0), PARAMS, task, np.random.default_rng(0)) == {"influence": None, "influence_top": None}
