"""Every word of the sentences: alone, in twos, in a model of four blocks, its gradients are right."""

from itertools import product

import numpy as np
import pytest

from minissm import Model, gradcheck, tree
from minissm.spec import FILTER_WORDS, WORDS

from .oracles import draw

B, V, D = 2, 3, 4
ALL = (*FILTER_WORDS, *WORDS, "fnn1")
OPTIONS = {"ssm": "(poles=3)", "trig": "(window=3)", "fir": "(window=2)", "attn": "(max_len=12)", "s6": "(d_state=3)"}
LENGTHS = pytest.mark.parametrize("length", [1, 5])


def check(words, length, rng, **options):
    """From a state in the midst of a sequence, with the state behind it as an output."""
    net = Model(
        " + ".join(word + OPTIONS.get(word, "") for word in words), vocab=V, width=D, dtype="float64", **options
    )
    params = tree.map(lambda a: a + 0.1 * draw(rng, *a.shape), net.init(rng))
    _, state, _ = net.run(params, rng.integers(0, V, (B, 2)))
    x = np.eye(V)[rng.integers(0, V, (B, length))]
    gradcheck(net.run, params, x, state, names=("params", "x", "state"), directions=1)
    gradcheck(net, params, x, names=("params", "x"), directions=1)


@LENGTHS
@pytest.mark.parametrize("word", ALL)
def test_a_word_alone(word, length, rng):
    check([word], length, rng)


@LENGTHS
@pytest.mark.parametrize("pair", list(product(ALL, ALL)), ids=" + ".join)
def test_words_in_twos(pair, length, rng):
    check(pair, length, rng)


@LENGTHS
@pytest.mark.parametrize("norm", ["none", "rms", "layer"])
@pytest.mark.parametrize("residual", [True, False])
def test_a_model_of_four_blocks(norm, residual, length, rng):
    check(["trig", "fnn1", "s6", "attn"], length, rng, norm=norm, residual=residual)
