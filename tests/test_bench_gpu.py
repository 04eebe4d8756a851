"""The bench on a card that is there: every method is right there, and events measure what a clock does."""

import time

import numpy as np
import pytest

from minissm.lab.bench import card as cards
from minissm.lab.bench import crossover, events, methods, peers
from minissm.lab.bench.case import errors
from minissm.lab.bench.timing import Rounds

from .test_bench_methods import CASES

pytestmark = pytest.mark.gpu
ONCE = Rounds(1, 1, 0.0)


def on_card():
    """Modules of the peers that are installed with CUDA."""
    found, _ = peers.find(None, "cupy")
    return [peer for peer in (peers.load(name, "cupy") for name in found) if peer.has_card()]


@pytest.mark.parametrize("name", CASES)
def test_all_methods_agree_with_the_reference_on_the_card(card, name):
    case = CASES[name]()
    reference = case.reference()
    for m in methods.methods_of(case, "cupy", on_card()):
        error_y, error_gradient = errors(case.part(m.check()), reference)
        assert error_y < 1e-4, m
        assert error_gradient is None or error_gradient < 2e-4, m


def test_events_and_a_clock_that_waits_agree(card):
    a = card.ones((4096, 4096), dtype=card.float32)
    timed = events.by_events(card)
    timed(lambda: a @ a, 3)
    start = time.perf_counter()
    (told,) = timed(lambda: a @ a, 10)
    waited = (time.perf_counter() - start) / 10
    assert 0.5 * waited < told < 1.05 * waited


def test_a_card_says_what_it_is_and_what_it_can(card):
    told = cards.device(card)
    assert told["name"]
    assert told["memory"] > 1e9
    rates = cards.limits(card, ONCE, events.by_events(card), size=1024)
    assert all(np.isfinite(rate) and rate > 0 for rate in rates.values())


def test_memory_is_what_a_call_takes_from_the_card(card):
    assert 40e6 <= cards.taken(card, lambda: card.zeros(40_000_000, dtype=card.uint8)) <= 50e6


def test_what_does_not_fit_is_told(card):
    lost = []
    with cards.fitting(lambda why, failed: lost.append(failed)):
        card.zeros(1 << 50, dtype=card.uint8)
    assert lost == [False]


def test_the_plans_of_transforms_give_their_memory_back(card):
    rows = card.zeros((64, 1 << 20), dtype=card.complex64)
    card.fft.fft(rows)
    cards.free(card, ())
    assert card.get_default_memory_pool().used_bytes() <= rows.nbytes + 1e6
    assert card.fft.config.get_plan_cache().get_curr_size() == 0


def test_the_crossover_has_all_methods_of_both(card):
    rows = crossover.crossover(("numpy", "cupy"), lengths=(64,), widths=(16,), rounds=ONCE)
    found = {(r["backend"], r["method"]) for r in rows}
    assert found == {("cupy", m) for m in crossover.METHODS} | {
        ("numpy", m) for m in crossover.METHODS if m != "kernel"
    }
