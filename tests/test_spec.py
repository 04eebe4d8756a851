"""The spec of a model: read, spelled, refused, and extended by blocks and filters of one's own."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, strategies as st

import minissm as ms
from minissm import Attn, Fir, Fnn, Mean, Model, S4d, Ssm, Trig, parse, spec
from minissm.spec import spell

ranges = st.tuples(st.floats(1e-4, 1), st.floats(1, 10))
ssms = st.builds(
    Ssm,
    filter=st.builds(S4d, st.integers(1, 64), st.sampled_from(["lin", "inv", "real"]), st.none() | ranges)
    | st.builds(Trig, st.integers(1, 99), st.none() | st.floats(0, 1))
    | st.builds(Fir, st.integers(1, 99), st.none() | st.floats(0, 1)),
    expand=st.integers(1, 4),
)
attns = st.builds(Attn, st.integers(1, 8), st.just("learned"), st.integers(1, 999)) | st.builds(
    Attn, st.integers(1, 8), st.just("none")
)
fnns = st.builds(Fnn, st.integers(1, 12), st.none() | st.integers(1, 999), st.sampled_from(["relu", "gelu"])) | st.just(
    Fnn(0)
)
specs = st.lists(ssms | attns | fnns | st.just(Mean()), min_size=1, max_size=5).map(tuple)


@given(specs)
def test_what_is_spelled_is_read_back(blocks):
    assert parse(spell(blocks)) == blocks


@given(
    specs,
    st.sampled_from(["none", "rms", "layer"]),
    st.booleans(),
    st.sampled_from(["graded", "reversed", "equal"]),
)
def test_a_repr_is_the_whole_model_in_python_and_for_read(blocks, norm, residual, timescales):
    net = Model(blocks, vocab=7, outputs=3, width=840, norm=norm, residual=residual, timescales=timescales)
    assert eval(repr(net)) == net  # as a user may do with text of their own
    assert Model.read(repr(net)) == net


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("ssm + fnn1", (Ssm(), Fnn(1))),
        ("  ssm+fnn2(width=48)  ", (Ssm(), Fnn(2, width=48))),
        ("ssm + fnn1(expand=8.0)", (Ssm(), Fnn(1, expand=8))),
        ("ssm(poles=16, dt=(0.1, 1)) + attn(heads=4)", (Ssm(S4d(poles=16, dt=(0.1, 1.0))), Attn(heads=4))),
        ("ssm(variant='inv', expand=3)", (Ssm(S4d(variant="inv"), expand=3),)),
        ("ssm(poles=4.0)", (Ssm(S4d(poles=4)),)),
        ("ssm() + fnn0", (Ssm(), Fnn(0))),
        ("trig + fir(window=5, expand=1)", (Ssm(Trig()), Ssm(Fir(window=5), expand=1))),
        ("trig(moving_sums=0) + mean", (Ssm(Trig(moving_sums=0.0)), Mean())),
        ("(ssm + fnn1) + attn(positions='none')", (Ssm(), Fnn(1), Attn(positions="none"))),
        ("ssm + (fnn1 + (attn + fnn2))", (Ssm(), Fnn(1), Attn(), Fnn(2))),
    ],
)
def test_a_spec_means_blocks(text, blocks):
    assert parse(text) == blocks


def test_only_what_differs_from_the_defaults_is_spelled():
    assert spell(parse("ssm(poles=8, expand=2) + fnn1(act='gelu') + attn(heads=3)")) == "ssm + fnn1 + attn(heads=3)"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "the spec is empty"),
        (
            "ssm + fn2",
            r"unknown block 'fn2' in 'ssm \+ fn2'; expected one of ssm, trig, .*ms.register\('fn2', \.\.\.\)",
        ),
        ("fnn", "unknown block 'fnn'"),
        ("ssm(mode=3)", "ssm: unknown option 'mode'; expected one of expand, poles, variant, dt"),
        ("fnn1(depth=2)", "fnn1: unknown option 'depth'; expected one of width, act, expand"),
        ("ssm(poles=1, poles=2)", "option poles given twice"),
        ("ssm(**{})", "given twice"),
        ("ssm(16)", r"ssm: a value without a name in 'ssm\(16\)'; write ssm\(option=value\)"),
        ("ssm(filter='trig')", "ssm: unknown option 'filter'; expected one of expand, poles, variant, dt"),
        ("trig()x", "can't read"),
        ("trig(poles=3)", "trig: unknown option 'poles'; expected one of expand, window, moving_sums"),
        ("ssm(dt=(1, 0.1))", r"s4d: dt=\(1, 0.1\); expected 0 < low <= high"),
        ("ssm(poles=open('x'))", "an option in .* is not a plain value"),
        ("ssm - fnn1", "can't read 'ssm - fnn1'; expected blocks joined by"),
        ("ssm(", r"can't read 'ssm\('; expected a call like"),
        ("os.system('x')", "can't read"),
        ("ssm + 3", "can't read"),
        ("ssm\0", "can't read"),
        ("(" * 5000, "can't read"),
    ],
)
def test_a_wrong_spec_is_refused_in_one_sentence(text, error):
    with pytest.raises(ValueError, match=error) as caught:
        parse(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "text",
    ["", "Model()", "Modell('ssm', vocab=2)", "Model('ssm', voc=2)", "Model(3, vocab=2)", "Model('ssm', vocab=x)"],
)
def test_a_model_is_read_from_nothing_else(text):
    with pytest.raises(ValueError, match="Model: "):
        Model.read(text)


def test_a_block_without_a_name_has_a_repr_but_no_spec():
    class Mine(S4d):
        pass

    net = Model((Ssm(Mine()),), vocab=3)
    assert "Mine" in repr(net)
    with pytest.raises(ValueError, match=r"no name spells the block .*; call ms.register\('name', ...\)"):
        net.spec  # noqa: B018


def test_strings_of_numpy_print_like_others():
    assert repr(S4d(variant=np.str_("inv"))) == repr(S4d(variant="inv"))


def test_what_is_no_spec_and_no_blocks_is_refused():
    for wrong in (None, 3, Ssm(), ("ssm", "fnn1"), (Ssm, Fnn)):
        with pytest.raises(ValueError, match=r"Model: blocks=.*; expected a spec or a tuple of blocks"):
            Model(wrong, vocab=3)
    with pytest.raises(ValueError, match="None is no text"):
        parse(None)
    with pytest.raises(ValueError, match="fnn: depth=1000; expected 999 at most"):
        Fnn(1000)
    with pytest.raises(ValueError, match="s4d: dt="):
        S4d(dt=(1, 10**400))


# ---- names of one's own


@pytest.fixture
def registered(monkeypatch):
    """What a test registers is forgotten after it."""
    monkeypatch.setattr(spec, "BLOCKS", dict(spec.BLOCKS))
    monkeypatch.setattr(spec, "_names", dict(spec._names))
    monkeypatch.setattr(ms.tasks, "TASKS", dict(ms.tasks.TASKS))


def fade():
    """A filter class, another one at each call, as a notebook's cell makes it."""

    @dataclass(frozen=True)
    class Fade(Trig):
        strength: float = 1.0

    return Fade


def test_a_registered_filter_and_block_are_spelled_saved_and_loaded(registered, tmp_path, rng):
    Fade = fade()
    ms.register("fade", Fade)
    ms.register("mean2", dataclass(frozen=True)(type("Mean2", (Mean,), {})))
    net = Model("fade(window=4, strength=0.5, expand=1) + mean2 + fnn1", vocab=3, width=4)
    assert net.blocks[0] == Ssm(Fade(window=4, strength=0.5), expand=1)
    assert net.spec == "fade(window=4, strength=0.5, expand=1) + mean2 + fnn1"
    assert Model.read(repr(net)) == net
    ms.save(tmp_path / "x.npz", net, net.init(rng))
    assert ms.load(tmp_path / "x.npz")[0] == net
    del spec.BLOCKS["mean2"]
    wanted = r"^load: .*x.npz uses the block mean2; call ms.register\('mean2', ...\) first$"
    with pytest.raises(ValueError, match=wanted):
        ms.load(tmp_path / "x.npz")


def test_a_class_that_is_registered_again_keeps_the_spelling_of_the_old_one(registered):
    old, new = fade(), fade()
    ms.register("fade", old)
    net = Model((Ssm(old(window=5)),), vocab=3)
    ms.register("fade", new)
    assert net.spec == "fade(window=5)"
    assert type(Model.read(repr(net)).blocks[0].filter) is new


@pytest.mark.parametrize(
    ("name", "cls", "error"),
    [
        ("ssm", S4d, "register: 'ssm' is a block of minissm; choose another name"),
        ("fnn3", Fnn, "register: 'fnn3' is a block of minissm"),
        ("a b", Mean, "register: 'a b'; expected a name like 'mean2'"),
        (3, Mean, "register: 3; expected a name"),
        ("for", Mean, "register: 'for'; expected a name"),
        ("ﬁlt", Mean, "register: 'ﬁlt'; expected a name"),
        ("mine", Mean(), r"register: 'mine': Mean\(\); expected a class made with @dataclass"),
        ("mine", int, "register: 'mine': .*int.*; expected a class made with @dataclass"),
        ("mine", dataclass(type("Nothing", (), {})), "register: 'mine': Nothing is no block, filter or task"),
        ("recall", ms.tasks.Recall, "register: 'recall' is a task of minissm; choose another name"),
    ],
    ids=str,
)
def test_what_cannot_be_registered_is_refused(registered, name, cls, error):
    with pytest.raises(ValueError, match=error):
        ms.register(name, cls)


def test_what_would_be_spelled_as_something_else_is_refused(registered):
    @dataclass(frozen=True)
    class Wide(Trig):
        expand: int = 2

    with pytest.raises(ValueError, match="register: 'wide': its option expand is ssm's own"):
        ms.register("wide", Wide)

    @dataclass(frozen=True)
    class Bare(ms.tasks.TokenTask):
        def batch(self, rng, n, step=0):
            raise AssertionError

    with pytest.raises(ValueError, match="register: 'bare' has no length and no baseline; expected a TokenTask"):
        ms.register("bare", Bare)
