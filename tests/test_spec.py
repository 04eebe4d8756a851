"""A model as a sentence: read, spelled, and refused."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minissm import Attn, Fir, Fnn, Model, S4d, Ssm, Trig, parse
from minissm.filters import FILTERS
from minissm.spec import KNOWN, spell

ranges = st.tuples(st.floats(1e-4, 1), st.floats(1, 10))
ssms = st.builds(
    Ssm,
    filter=st.builds(S4d, st.integers(1, 64), st.sampled_from(["lin", "inv", "real"]), st.none() | ranges)
    | st.builds(Trig, st.none() | st.integers(1, 99), st.none() | st.floats(0, 1))
    | st.builds(Fir, st.none() | st.integers(1, 99), st.none() | st.floats(0, 1)),
    expand=st.integers(1, 4),
)
attns = st.builds(Attn, st.integers(1, 8), st.just("learned"), st.integers(1, 999)) | st.builds(
    Attn, st.integers(1, 8), st.just("none")
)
fnns = st.builds(Fnn, st.integers(1, 12), st.none() | st.integers(1, 999), st.sampled_from(["relu", "gelu"])) | st.just(
    Fnn(0)
)
sentences = st.lists(ssms | attns | fnns, min_size=1, max_size=5).map(tuple)


@given(sentences)
def test_what_is_spelled_is_read_back(blocks):
    assert parse(spell(blocks)) == blocks


@given(
    sentences,
    st.sampled_from(["none", "rms", "layer"]),
    st.booleans(),
    st.sampled_from(["graded", "reversed", "equal"]),
)
def test_a_repr_is_the_whole_model_in_python_and_for_read(blocks, norm, residual, timescales):
    net = Model(blocks, vocab=7, outputs=3, width=840, norm=norm, residual=residual, timescales=timescales)
    assert eval(repr(net)) == net  # as a user may do with text of their own
    assert Model.read(repr(net)) == net


@pytest.mark.parametrize(
    ("sentence", "blocks"),
    [
        ("ssm + fnn1", (Ssm(), Fnn(1))),
        ("  ssm+fnn2(width=48)  ", (Ssm(), Fnn(2, width=48))),
        ("ssm(poles=16, dt=(0.1, 1)) + attn(heads=4)", (Ssm(S4d(poles=16, dt=(0.1, 1.0))), Attn(heads=4))),
        ("ssm(variant='inv', expand=3)", (Ssm(S4d(variant="inv"), expand=3),)),
        ("ssm(filter='s4d', poles=4.0)", (Ssm(S4d(poles=4)),)),
        ("ssm() + fnn0", (Ssm(), Fnn(0))),
        ("trig + fir(window=5, expand=1)", (Ssm(Trig()), Ssm(Fir(window=5), expand=1))),
        ("ssm(filter='trig', moving_sums=0)", (Ssm(Trig(moving_sums=0.0)),)),
        ("(ssm + fnn1) + attn(positions='none')", (Ssm(), Fnn(1), Attn(positions="none"))),
        ("ssm + (fnn1 + (attn + fnn2))", (Ssm(), Fnn(1), Attn(), Fnn(2))),
    ],
)
def test_sentences_mean_blocks(sentence, blocks):
    assert parse(sentence) == blocks


def test_only_what_differs_from_the_defaults_is_spelled():
    assert spell(parse("ssm(poles=8, expand=2) + fnn1(act='gelu') + attn(heads=3)")) == "ssm + fnn1 + attn(heads=3)"


@pytest.mark.parametrize(
    ("sentence", "told"),
    [
        ("", "the sentence is empty"),
        ("ssm + fn2", r"unknown block 'fn2' in 'ssm \+ fn2'; expected one of " + re.escape(KNOWN)),
        ("fnn", "unknown block 'fnn'"),
        ("ssm(mode=3)", "ssm: unknown option 'mode'; expected one of expand, poles, variant, dt"),
        ("fnn1(depth=2)", "fnn1: unknown option 'depth'; expected one of width, act"),
        ("ssm(poles=1, poles=2)", "option poles given twice"),
        ("ssm(**{})", "given twice"),
        ("ssm(16)", r"ssm: a value without a name in 'ssm\(16\)'; write ssm\(option=value\)"),
        ("ssm(filter='cosine')", "ssm: filter='cosine'; expected one of s4d, trig, fir"),
        ("trig(filter='trig')x", "can't read"),
        ("trig(filter='fir')", r"trig: filter='fir'; trig names its filter already, write ssm\(filter='fir'\)"),
        ("trig(poles=3)", "trig: unknown option 'poles'; expected one of expand, window, moving_sums"),
        ("ssm(dt=(1, 0.1))", r"s4d: dt=\(1, 0.1\); expected 0 < low <= high"),
        ("ssm(poles=open('x'))", "an option in .* is not a plain value"),
        ("ssm - fnn1", "can't read 'ssm - fnn1'; expected words joined by"),
        ("ssm(", r"can't read 'ssm\('; expected a call like"),
        ("os.system('x')", "can't read"),
        ("ssm + 3", "can't read"),
        ("ssm\0", "can't read"),
        ("(" * 5000, "can't read"),
    ],
)
def test_a_wrong_sentence_is_refused_in_one_sentence(sentence, told):
    with pytest.raises(ValueError, match=told) as caught:
        parse(sentence)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "text",
    ["", "Model()", "Modell('ssm', vocab=2)", "Model('ssm', voc=2)", "Model(3, vocab=2)", "Model('ssm', vocab=x)"],
)
def test_a_model_is_read_from_nothing_else(text):
    with pytest.raises(ValueError, match="Model: "):
        Model.read(text)


def test_a_block_without_a_word_has_a_repr_but_no_sentence():
    class Mine(S4d):
        pass

    net = Model((Ssm(Mine()),), vocab=3)
    assert "Mine" in repr(net)
    with pytest.raises(ValueError, match="no word spells the block"):
        net.spec  # noqa: B018


def test_strings_of_numpy_print_like_others():
    assert repr(S4d(variant=np.str_("inv"))) == repr(S4d(variant="inv"))


def test_what_is_no_sentence_and_no_blocks_is_refused():
    for wrong in (None, 3, Ssm(), ("ssm", "fnn1"), (Ssm, Fnn)):
        with pytest.raises(ValueError, match=r"Model: blocks=.*; expected a sentence or a tuple of blocks"):
            Model(wrong, vocab=3)
    with pytest.raises(ValueError, match="None is no sentence"):
        parse(None)
    with pytest.raises(ValueError, match="fnn: depth=1000; expected 999 at most"):
        Fnn(1000)
    with pytest.raises(ValueError, match="s4d: dt="):
        S4d(dt=(1, 10**400))


def test_a_filter_without_a_word_is_spelled_by_its_name(monkeypatch):
    class Fade(Trig):
        pass

    monkeypatch.setitem(FILTERS, "fade", Fade)
    net = Model((Ssm(Fade(window=4), expand=1), Fnn(1)), vocab=3)
    assert net.spec == "ssm(filter='fade', window=4, expand=1) + fnn1"
    assert Model.read(repr(net)) == net
