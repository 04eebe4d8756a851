"""Filters: their poles and taps, their gradients, their draws."""

import numpy as np
import pytest

from minissm import Fir, Poles, S4d, Taps, Trig, gradcheck, scan, tree

from .oracles import assert_matches_autograd

CHANNELS = 5
VARIANTS = pytest.mark.parametrize("variant", ["lin", "inv", "real"])


def drawn(rng, variant="lin", **options):
    f = S4d(poles=3, variant=variant, **options)
    return f, f.init(rng, CHANNELS)


@VARIANTS
def test_gradients(variant, rng):
    f, p = drawn(rng, variant)
    gradcheck(f, p, names=("p",))
    assert_matches_autograd(f, p, rng=rng)


@VARIANTS
def test_parameters_and_gradients_are_real_and_keep_their_dtype(variant, rng):
    f, p = drawn(rng, variant)
    p = tree.map(lambda a: a.astype(np.float32), p)
    (log_lam, c), backward = f(p)
    assert log_lam.dtype == c.dtype == np.complex128
    assert {a.dtype for a in backward(Poles(log_lam, c)).values()} == {np.dtype(np.float32)}


def test_the_poles_are_those_of_the_paper(rng):
    """S4D-Lin: -1/2 + i pi n; S4D-Inv: -1/2 + i (M/pi) (M/(2n+1) - 1), M = 2N; real: -(n+1)."""
    n = np.arange(3)
    expected = {
        "lin": -0.5 + 1j * np.pi * n,
        "inv": -0.5 + 1j * (6 / np.pi) * (6 / (2 * n + 1) - 1),
        "real": -(n + 1.0) + 0j,
    }
    for variant, a in expected.items():
        f, p = drawn(rng, variant)
        (log_lam, _), _ = f(p)
        np.testing.assert_allclose(log_lam / np.exp(p["log_dt"])[:, None], np.tile(a, (CHANNELS, 1)), atol=1e-12)


def test_a_pole_stands_for_a_conjugate_pair(rng):
    """2/N Re sum_n C_n exp(dt a_n j) is the mean of the poles and of their conjugates, over N."""
    f, p = drawn(rng)
    (log_lam, c), _ = f(p)
    k, _ = scan.kernel(log_lam, c, 9)
    C = p["c"][..., 0] + 1j * p["c"][..., 1]
    v = np.exp(log_lam[..., None] * np.arange(9))
    pair = (C[..., None] * v).sum(axis=1) + (C.conj()[..., None] * v.conj()).sum(axis=1)
    np.testing.assert_allclose(k, pair.real / 3, atol=1e-12)
    np.testing.assert_allclose(pair.imag, 0, atol=1e-12)


@pytest.mark.parametrize(
    ("depth", "low", "high"), [(0, 0.1, 1), (1, 0.01, 0.1), (0.5, 0.0316, 0.316), (None, 0.01, 0.3)]
)
def test_steps_are_drawn_log_uniformly_from_the_range_of_the_depth(depth, low, high, rng):
    dt = np.exp(S4d().init(rng, 4000, depth)["log_dt"])
    assert (dt.min(), dt.max()) == (pytest.approx(low, rel=0.01), pytest.approx(high, rel=0.01))
    assert np.median(dt) == pytest.approx(np.sqrt(low * high), rel=0.1)


def test_a_range_of_steps_given_overrides_the_depth(rng):
    p = S4d(dt=(0.2, 0.2)).init(rng, 4, 0.0)
    np.testing.assert_allclose(np.exp(p["log_dt"]), 0.2)


@VARIANTS
def test_size_counts_what_is_drawn(variant, rng):
    f, p = drawn(rng, variant)
    assert f.size(CHANNELS) == tree.size(p)
    (log_lam, c), _ = f(p)
    _, h, _ = scan.recurrent(log_lam, c, np.zeros((1, 1, CHANNELS)))
    assert f.state_size(CHANNELS) == h.size * (1 if variant == "real" else 2)


def test_wrong_options_are_refused_in_one_sentence():
    with pytest.raises(ValueError, match="s4d: poles=0; expected an integer, 1 or more"):
        S4d(poles=0)
    with pytest.raises(ValueError, match="s4d: variant='legs'; expected one of lin, inv, real"):
        S4d(variant="legs")
    for dt in [(1, 0.1), (0, 1), (0.1,), "ab", (0.1, float("nan")), (0.1, float("inf"))]:
        with pytest.raises(ValueError, match=r"s4d: dt=.*; expected"):
            S4d(dt=dt)


def test_values_are_coerced_so_that_equal_filters_print_alike():
    assert repr(S4d(poles=4.0, dt=[1, np.float32(2)])) == repr(S4d(poles=np.int64(4), dt=(1.0, 2.0)))


def test_real_poles_stand_for_themselves(rng):
    f, p = drawn(rng, "real")
    np.testing.assert_allclose(f(p)[0].c, p["c"][..., 0] / 3)


def test_the_draw_of_c_is_standard_normal(rng):
    """Complex normal, half of the variance in each part; real poles have all of it."""
    for variant, variance in (("lin", 0.5), ("inv", 0.5), ("real", 1)):
        c = S4d(poles=50, variant=variant).init(rng, 100)["c"]
        assert c.var() == pytest.approx(variance, rel=0.05)


WINDOWED = pytest.mark.parametrize(
    "f", [Trig(window=6), Fir(window=6), Trig(window=1, moving_sums=0), Fir(window=1, moving_sums=1)]
)


@WINDOWED
def test_gradients_of_windowed_filters(f, rng):
    p = f.init(rng, CHANNELS)
    gradcheck(f, p, names=("p",))
    assert_matches_autograd(f, p, rng=rng)


@WINDOWED
def test_windowed_filters_have_the_sizes_they_say(f, rng):
    p = f.init(rng, CHANNELS)
    (k,), _ = f(p)
    assert k.shape == (CHANNELS, f.window + 1)
    assert f.size(CHANNELS) == tree.size(p)
    past = scan.start(Taps(k), 1, np.float64)
    assert f.state_size(CHANNELS) == past.size
    single = tree.map(lambda a: a.astype(np.float32), p)
    assert {a.dtype for a in f(single)[-1](Taps(k)).values()} == {np.dtype(np.float32)}


def test_trig_is_the_filter_of_the_paper(rng):
    """k_j = c1 cos(2 pi a1 j / (U + 1)) + c2 sin(2 pi a2 j / (U + 1)) for 0 <= j <= U, one number at a time."""
    U = 6
    p = Trig(window=U).init(rng, CHANNELS)
    (k,), _ = Trig(window=U)(p)
    for d, j in np.ndindex(CHANNELS, U + 1):
        (a1, a2), (c1, c2) = p["a"][d], p["c"][d]
        expected = c1 * np.cos(2 * np.pi * a1 * j / (U + 1)) + c2 * np.sin(2 * np.pi * a2 * j / (U + 1))
        assert k[d, j] == pytest.approx(expected, abs=1e-13)


def test_trig_is_exact_in_single_precision_over_a_long_window(rng):
    """The phases are formed in double precision: in single they would be off by 1e-3 after 4,096 steps."""
    p = {"a": rng.uniform(0, 2000, (CHANNELS, 2)).astype(np.float32), "c": np.ones((CHANNELS, 2), np.float32)}
    (k,), _ = Trig(window=4096)(p)
    (double,), _ = Trig(window=4096)(tree.map(lambda a: a.astype(np.float64), p))
    np.testing.assert_allclose(k, double, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("depth", "part"), [(0, 0), (1, 0.5), (0.5, 0.25), (None, 0.5)])
def test_sums_follow_the_depth_and_the_function_does_not(depth, part, rng):
    """As many channels of 400 begin as sums; the window is the filter's own."""
    for f in (Trig(window=7), Fir(window=7)):
        p = f.init(rng, 400, depth)
        sums = (p["a"] < 0.02 * 7).all(axis=1) if "a" in p else (p["k"] == 1 / np.sqrt(7)).all(axis=1)
        assert sums.sum() == pytest.approx(400 * part, abs=2)
        assert f(p)[0].k.shape == (400, 8)
    k = Fir(window=7, moving_sums=1).init(rng, 4, depth)["k"]
    np.testing.assert_allclose(k, 1 / np.sqrt(7))


def test_the_draw_of_trig_has_sums_and_free_frequencies(rng):
    p = Trig().init(rng, 400)
    U = 32
    slow = (p["a"] < 0.02 * U).all(axis=1)
    assert slow.sum() == pytest.approx(200, abs=3)
    assert p["a"][~slow].max() == pytest.approx(U / 2, rel=0.02)
    assert p["c"].std() == pytest.approx(1 / np.sqrt(U), rel=0.05)


def test_the_draw_of_fir_has_sums_shifts_and_identities(rng):
    k = Fir().init(rng, 400)["k"]
    sums = (k == 1 / np.sqrt(32)).all(axis=1)
    assert sums.sum() == 200
    quick = k[~sums]
    assert [(abs(quick[:, j] - 1) < 0.5).sum() for j in (0, 1)] == [100, 100]
    assert quick[:, 2:].std() == pytest.approx(0.1, rel=0.05)


def test_wrong_windows_are_refused_in_one_sentence():
    with pytest.raises(ValueError, match="trig: window=0; expected an integer, 1 or more"):
        Trig(window=0)
    for slow in (-0.1, 1.5, "half", True, float("nan")):
        with pytest.raises(ValueError, match=r"fir: moving_sums=.*; expected a number from 0 to 1, or None"):
            Fir(moving_sums=slow)
