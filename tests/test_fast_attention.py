"""The fast path of attention against the reference, in both of its ways: all heads at once, and tile by tile."""

import tracemalloc

import numpy as np
import pytest

from minissm import attention, attention_weights, fast, gradcheck
from minissm.attention import join_heads
from minissm.fast import attention as body, parallel

from .oracles import draw

B, H, P = 3, 2, 5
WAYS = [body.at_once, body.blocked]
SIZES = [(1, 1), (1, 9), (2, 2), (5, 7), (13, 13), (8, 24), (11, 37)]  # queries, keys


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    """Tiles of 12 x 4 at most and groups of two batch items, so that small sizes have many."""
    monkeypatch.setattr(body, "COLUMNS", 4)
    monkeypatch.setattr(body, "PRODUCT", 4 * 12 * (P + 1))
    monkeypatch.setattr(body, "GROUP", 2 * H * 37 * 11)


def inputs(rng, length, places, dtype=np.float64):
    """q, k, v and do, as they come from a layer: (B, H, L, P) that lies in memory as (B, L, H, P)."""
    return [draw(rng, B, n, H, P, dtype=dtype).transpose(0, 2, 1, 3) for n in (length, places, places, length)]


def plain(monkeypatch, q, k, v, do):
    with monkeypatch.context() as patch:
        patch.setattr(fast, "REFERENCE", True)
        o, backward = attention(q, k, v)
        return o, *backward(do)


def assert_close(ours, expected, tolerance):
    for a, b in zip(ours, expected, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(1, abs(b).max()))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("length", "places"), SIZES)
def test_it_agrees_with_the_plain_body(length, places, dtype, way, rng, monkeypatch):
    q, k, v, do = inputs(rng, length, places, dtype)
    o, backward = way(q, k, v)
    assert_close((o, *backward(do)), plain(monkeypatch, q, k, v, do), 1e-5 if dtype == np.float32 else 1e-13)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("axes", [(3, 2, 1, 0), (1, 0, 2, 3), (2, 3, 0, 1)])
@pytest.mark.parametrize(("length", "places"), [(1, 9), (5, 7)])
def test_the_layout_in_memory_changes_no_number(length, places, axes, way, rng, monkeypatch):
    """A product of arrays whose heads come before their batch has that layout too, where NumPy may choose."""
    given = [np.ascontiguousarray(a.transpose(axes)).transpose(np.argsort(axes)) for a in inputs(rng, length, places)]
    o, backward = way(*given[:3])
    assert_close((o, *backward(given[3])), plain(monkeypatch, *given), 1e-13)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("large", ["all", "some queries", "the last key"])
@pytest.mark.parametrize(("length", "places"), SIZES)
def test_large_scores_do_not_overflow_nor_vanish(length, places, large, way, rng, monkeypatch):
    """Scores of some thousands, of which exp is infinite or 0; the last key's are hidden from all queries but one."""
    q, k, v, do = inputs(rng, length, places)
    q[:, :, {"all": slice(None), "some queries": slice(1, None, 3), "the last key": slice(0, 0)}[large]] *= 1000
    k[:, :, {"all": slice(0, 0), "some queries": slice(0, 0), "the last key": slice(-1, None)}[large]] *= 1000
    o, backward = way(q, k, v)
    assert_close((o, *backward(do)), plain(monkeypatch, q, k, v, do), 1e-10)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("far", [80, -80, 800])
def test_single_precision_where_all_scores_are_far_from_zero(far, way, rng, monkeypatch):
    """exp(110) is infinite in float32 and exp(-110) is 0, although no score is far from the others of its row.

    What the plain body loses in float32 on the same processor is the measure. Over 200 draws, no part lost more than
    5.1 times that; a dq that multiplies by keys far from zero loses 50 times that at 800.
    """
    q, k, v, do = (np.abs(a).astype(np.float32) for a in inputs(rng, 13, 13))
    k += np.float32(far)
    o, backward = way(q, k, v)
    expected = plain(monkeypatch, *(a.astype(np.float64) for a in (q, k, v, do)))
    assert abs(q @ k.mT).max() > 110 * P**0.5
    for a, b, e in zip((o, *backward(do)), plain(monkeypatch, q, k, v, do), expected, strict=True):
        assert a.dtype == np.float32
        assert abs(a - e).max() <= 10 * abs(b - e).max()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("length", "places"), SIZES)
def test_gradients(length, places, way, rng):
    gradcheck(way, *inputs(rng, length, places)[:3], names=("q", "k", "v"))


@pytest.mark.parametrize("way", WAYS)
def test_the_number_of_threads_changes_no_bit(way, rng, monkeypatch):
    monkeypatch.setattr(parallel, "ENOUGH", 1)
    q, k, v, do = inputs(rng, 11, 37, np.float32)
    results = []
    for limit in (1, 2):
        with parallel.threads(limit):
            o, backward = way(q, k, v)
            results.append((o, *backward(do)))
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_written_to_and_backward_may_be_called_twice(way, rng):
    arrays = inputs(rng, 11, 37)
    for a in arrays:
        a.flags.writeable = False
    *qkv, do = arrays
    o, backward = way(*qkv)
    o.flags.writeable = False
    first = [a.copy() for a in backward(do)]
    for a, b in zip(first, backward(do), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("way", WAYS)
def test_joining_the_heads_copies_nothing(way, rng):
    q, k, v, do = inputs(rng, 7, 7)
    o, backward = way(q, k, v)
    assert all(np.shares_memory(a, join_heads(a)) for a in (o, *backward(do)))


def test_attention_chooses_it(rng, monkeypatch):
    """A head of at most AT_ONCE scores goes with the others, and so does one query; the rest goes in tiles."""
    monkeypatch.setattr(fast, "REFERENCE", False)
    monkeypatch.setattr(body, "AT_ONCE", 7 * 8)
    calls = []
    for way in WAYS:
        monkeypatch.setattr(body, way.__name__, lambda *qkv, name=way.__name__: calls.append(name) or (qkv[0], None))
    for length, places in ((7, 8), (8, 8), (1, 99)):
        attention(*inputs(rng, length, places)[:3])
    assert calls == ["at_once", "blocked", "at_once"]


def test_weights_are_those_of_the_outputs(rng):
    q, k, v, _ = inputs(rng, 5, 7)
    a = attention_weights(q, k)
    np.testing.assert_allclose(body.attention(q, k, v)[0], a @ v, atol=1e-14)
    assert (a > 0).sum() == B * H * (3 + 4 + 5 + 6 + 7)


def test_memory_grows_with_the_length_and_not_with_its_square(rng, monkeypatch):
    monkeypatch.undo()  # tiles of the ordinary size
    peaks = {}
    for length in (512, 2048):
        q, k, v, do = (draw(rng, 1, 2, length, 8, dtype=np.float32) for _ in range(4))
        tracemalloc.start()
        with parallel.threads(1):  # each thread has a tile of its own
            body.attention(q, k, v)[1](do)
        peaks[length] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peaks[2048] < 4.5 * peaks[512]
    assert peaks[2048] < 2048 * 2048 * 4 / 4  # a quarter of the scores of one head


def test_scores_that_are_not_small_meet_large_values(monkeypatch):
    monkeypatch.undo()
    q = np.full((1, 1, 300, 1), 59.0, np.float32)
    k, v = np.ones_like(q), np.full_like(q, 1e13)
    np.testing.assert_allclose(body.attention(q, k, v)[0], v, rtol=1e-5)
