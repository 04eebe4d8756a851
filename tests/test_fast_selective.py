"""The selective scan's fast path: blocks and groups of any size give what the reference body gives."""

import numpy as np
import pytest

from minissm import fast
from minissm.fast import parallel, selective as second
from minissm.gradcheck import gradcheck
from minissm.selective import selective_scan

from .oracles import draw

NAMES = ("u", "dt", "A", "B", "C", "h0")
SIZES = [(1, 1, 1, 1), (2, 7, 4, 3), (3, 13, 1, 5), (5, 11, 2, 1), (1, 37, 3, 2), (7, 1, 3, 2)]


def problem(rng, batch, L, E, N, dtype=np.float64):
    """u, dt, A, B, C, h0, dy, dh_last."""
    dt, A = rng.uniform(0.01, 1, (batch, L, E)).astype(dtype), -rng.uniform(0.1, 3, (E, N)).astype(dtype)
    shapes = ((batch, L, E), (batch, L, N), (batch, L, N), (batch, E, N), (batch, L, E), (batch, E, N))
    u, *rest = (draw(rng, *shape, dtype=dtype) for shape in shapes)
    return u, dt, A, *rest


def small(monkeypatch, step=12, block=60):
    """Sizes at which a few numbers make several blocks and groups, the last ones shorter."""
    monkeypatch.setattr(second, "STEP", step)
    monkeypatch.setattr(second, "BLOCK", block)


def results(u, dt, A, B, C, h0, dy, dh_last):
    y, h_last, back = selective_scan(u, dt, A, B, C, h0)
    y_zero, h_zero, back_zero = selective_scan(u, dt, A, B, C)
    return y, h_last, *back(dy, dh_last), *back(dy), *back(None, dh_last), y_zero, h_zero, *back_zero(dy)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize(("step", "block"), [(1, 1), (12, 60), (1 << 13, 1 << 18)])
def test_the_bodies_agree(step, block, sizes, dtype, rng, monkeypatch):
    small(monkeypatch, step, block)
    inputs = problem(rng, *sizes, dtype)
    monkeypatch.setattr(fast, "REFERENCE", True)
    plain = results(*inputs)
    monkeypatch.setattr(fast, "REFERENCE", False)
    tolerance = 1e-4 if dtype == np.float32 else 1e-11
    for a, b in zip(results(*inputs), plain, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * (abs(b).max() or 1))


@pytest.mark.parametrize("sizes", [(3, 13, 4, 2), (2, 5, 1, 3)])
def test_gradients_match_differences(sizes, rng, monkeypatch):
    small(monkeypatch)
    monkeypatch.setattr(fast, "REFERENCE", False)
    inputs = problem(rng, *sizes)[:6]
    gradcheck(selective_scan, *inputs, names=NAMES)
    gradcheck(selective_scan, *inputs[:5], None, names=NAMES)


def test_the_bits_do_not_depend_on_the_threads(rng, monkeypatch):
    small(monkeypatch)
    monkeypatch.setattr(parallel, "ENOUGH", 1)
    monkeypatch.setattr(fast, "REFERENCE", False)
    inputs, runs = problem(rng, 5, 23, 3, 2, np.float32), []
    for limit in (1, 2):
        with parallel.threads(limit):
            runs.append(results(*inputs))
    for one, two in zip(*runs, strict=True):
        np.testing.assert_array_equal(one, two)


def test_arguments_stay_unwritten_and_backward_may_be_called_again(rng, monkeypatch):
    small(monkeypatch)
    monkeypatch.setattr(fast, "REFERENCE", False)
    given = problem(rng, 3, 13, 4, 2)
    for x in given:
        x.flags.writeable = False
    *inputs, dy, dh_last = given
    y, h_last, back = selective_scan(*inputs)
    y.flags.writeable = h_last.flags.writeable = False
    first = [g.copy() for g in back(dy, dh_last)]
    back(2 * dy)
    for a, b in zip(back(dy, dh_last), first, strict=True):
        np.testing.assert_array_equal(a, b)


def test_arrays_that_are_views_are_as_good(rng, monkeypatch):
    small(monkeypatch)
    monkeypatch.setattr(fast, "REFERENCE", False)
    given = problem(rng, 3, 13, 4, 2)
    for a, b in zip(results(*(np.asfortranarray(x) for x in given)), results(*given), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


def test_states_are_kept_at_the_starts_of_blocks_only(rng):
    """What the backward holds grows with the number of blocks, not with the number of states."""
    u, dt, A, B, C, *_ = problem(rng, 2, 600, 40, 16, np.float32)
    _, _, back = second.selective_scan(u, dt, A, B, C, None)
    held = [c.cell_contents for c in back.__closure__ if isinstance(c.cell_contents, np.ndarray)]
    assert sum(a.size for a in held) < 2 * 600 * 40 * 16 / 2
