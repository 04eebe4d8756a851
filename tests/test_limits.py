"""What no linear layer copies, by theorem and by linear program; the bound of memory."""

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest

import minissm as ms
from minissm.constructions import lti_margin, lti_taps, memory_bits
from minissm.tasks.copying import BOS, COPY, PAD

PAGE = Path(__file__).parent.parent / "docs" / "constructions.md"
POSSIBLE = [([6], False), ([6, 12], False), ([2, 3], True), ([5, 6], True), ([1, 2, 3], True), ([4], True)]
IMPOSSIBLE = [([6, 7], False), ([6, 8], False), ([6, 11], False), ([3, 5], True), ([6, 9], True), ([3, 4, 5], True)]


@pytest.mark.parametrize(("lengths", "fed_back"), IMPOSSIBLE)
def test_these_lengths_have_no_linear_layer(lengths, fed_back):
    assert lti_margin(lengths, fed_back) == 0
    with pytest.raises(ValueError, match=r"^lti_taps: .*; no linear layer copies words of all these lengths"):
        lti_taps(lengths, fed_back)


def test_the_best_margins_of_small_cases_are_known():
    assert lti_margin([6], fed_back=False) == pytest.approx(1, abs=1e-6)
    assert lti_margin([6, 12], fed_back=False) == pytest.approx(0.5, abs=1e-6)
    pell = [2, 2]  # fed back, n and n + 1: one over 2, 2, 6, 14, 34, 82, ...
    for n in range(1, 20):
        pell.append(2 * pell[-1] + pell[-2])
        assert lti_margin([n, n + 1]) == pytest.approx(1 / pell[n - 1], rel=1e-4)
    assert lti_margin((6, 6)) == lti_margin([6]) == lti_margin(range(6, 7)) == lti_margin(n for n in [6.0])


@pytest.mark.parametrize("fed_back", [False, True], ids=["blank", "fed back"])
def test_the_linear_program_agrees_with_the_theorem(fed_back):
    """Two lengths n and n + D: impossible for 1 <= D < n with blanks, 2 <= D < n fed back, else possible."""
    for n in range(1, 7):
        for more in range(1, n + 3):
            impossible = (2 if fed_back else 1) <= more < n
            assert (lti_margin([n, n + more], fed_back) == 0) == impossible, (n, more)


def test_three_lengths_can_fail_where_each_two_of_them_do_not():
    """Fed back. With blanks, three lengths up to 12 fail only where two of them do."""
    assert min(map(lti_margin, ([2, 3], [2, 4], [3, 4]))) > 0.1
    assert lti_margin([2, 3, 4]) == 0
    for lengths in itertools.combinations(range(1, 13), 3):
        pairs = [more - n >= n for n, more in itertools.combinations(lengths, 2)]
        assert (lti_margin(lengths, fed_back=False) > 0) == all(pairs), lengths


def test_one_more_length_does_not_help():
    for lengths, fed_back in POSSIBLE:
        for more in (1, 9):
            assert lti_margin([*lengths, more], fed_back) <= lti_margin(lengths, fed_back) + 1e-6


def test_taps_are_zero_at_lags_without_a_symbol():
    g = lti_taps([4, 2], fed_back=False)  # lags 1 to 7
    assert (len(g), g[0]) == (8, 0)
    assert lti_taps([1]).tolist() == [0, 1]
    assert not np.signbit(lti_taps([4, 8, 16], fed_back=False)[0])


def words(n: int, fed_back: bool) -> ms.tasks.Batch:
    """All binary words of n symbols, in the form of tasks.Copying."""
    word = np.array(list(itertools.product((PAD + 1, PAD + 2), repeat=n)))
    ones = np.ones((len(word), 1), int)
    shown = word if fed_back else np.full_like(word, PAD)
    inputs = np.hstack([BOS * ones, word, COPY * ones, shown])[:, :-1]
    targets, weights = np.zeros_like(inputs), np.zeros(inputs.shape)
    targets[:, n + 1 :], weights[:, n + 1 :] = word, 1
    return ms.tasks.Batch(inputs, targets, weights)


@pytest.mark.parametrize("fed_back", [False, True], ids=["blank", "fed back"])
def test_words_have_the_form_of_the_task(fed_back, rng):
    task = ms.tasks.Copying(min_len=3, max_len=3, symbols=2, blank=not fed_back)
    every = {tuple(x): y for x, y, _ in zip(*words(3, fed_back), strict=True)}
    for x, y, w in zip(*task.batch(rng, 20), strict=True):
        assert w.tolist() == [0, 0, 0, 0, 1, 1, 1]
        assert every[tuple(x)][-3:].tolist() == y[-3:].tolist()


@pytest.mark.parametrize(("lengths", "fed_back"), POSSIBLE)
def test_a_solution_run_as_an_ordinary_model_copies_all_words(lengths, fed_back):
    """With the margin of the linear program: in the worst word, the two logits are twice the margin apart."""
    g = lti_taps(lengths, fed_back)
    net = ms.Model(f"fir(window={len(g) - 1}, expand=1)", vocab=5, width=1, residual=False, dtype="float64")
    params = ms.zeros(net)
    layer = params["blocks"][0]
    params["embed"]["w"][PAD + 1 :, 0] = params["head"]["w"][0, PAD + 1 :] = 1, -1
    layer["w_in"][:] = layer["w_out"][:] = 1
    layer["filter"]["k"][0] = g
    params["head"]["b"][: PAD + 1] = -10
    closest = np.inf
    for n in lengths:
        batch = words(n, fed_back)
        y, _ = net(params, batch.inputs, where=batch.weights > 0)
        assert (y.argmax(axis=1) == batch.targets[batch.weights > 0]).all()
        closest = min(closest, abs(y[:, PAD + 1] - y[:, PAD + 2]).min())
    assert abs(g).max() == pytest.approx(1)
    assert closest == pytest.approx(2 * lti_margin(lengths, fed_back), rel=1e-6)


def test_memory_grows_with_the_items_and_the_logarithm_of_the_symbols():
    assert memory_bits(4, 8) == 12
    assert memory_bits(12, 26) == pytest.approx(np.log2(26.0**12))
    assert memory_bits(7, 1) == 0


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: lti_margin([]), r"lti_margin: lengths=\[\]; expected a list of integers, 1 to 20"),
        (lambda: lti_margin(6), "lti_margin: lengths=6; expected a list of integers"),
        (lambda: lti_taps(6), "lti_taps: lengths=6; expected a list of integers"),
        (lambda: lti_taps(np.array(6)), r"lti_taps: lengths=array\(6\); expected a list of integers"),
        (lambda: lti_margin(n for n in ()), "lti_margin: lengths=<generator .*; expected a list of integers"),
        (lambda: lti_margin([3, 0]), "lti_margin: lengths=0; expected an integer, 1 or more"),
        (lambda: lti_taps([2.5]), "lti_taps: lengths=2.5; expected an integer, 1 or more"),
        (lambda: lti_margin("67"), "lti_margin: lengths='6'; expected an integer, 1 or more"),
        (lambda: lti_margin([3, 10**6]), r"lti_margin: lengths=\[1000000\]; expected a list of integers, 1 to 20"),
        (lambda: lti_margin([3], fed_back="no"), "lti_margin: fed_back='no'; expected True or False"),
        (lambda: memory_bits(0, 2), "memory_bits: items=0; expected an integer, 1 or more"),
        (lambda: memory_bits(2, True), "memory_bits: symbols=True"),
    ],
)
def test_wrong_arguments_are_refused_in_one_sentence(call, error):
    with pytest.raises(ValueError, match=f"^{error}"):
        call()


def test_the_page_has_the_margins_of_the_program():
    rows = re.findall(
        r"^\| \{([\d, ]+)\} \| (blanks|fed back) \| ([\d.]+|0, impossible) \|", PAGE.read_text(), re.MULTILINE
    )
    assert len(rows) > 9
    for lengths, shown, margin in rows:
        best = lti_margin(map(int, lengths.split(", ")), shown == "fed back")
        assert margin == (f"{best:.4f}".rstrip("0").rstrip(".") if best else "0, impossible"), lengths


def test_the_page_has_the_bits_and_the_states_of_the_networks():
    networks = {
        "recall, 4 pairs, 6 values": (memory_bits(4, 6), ms.constructions.recall(6, 6, 4)),
        "copying, 12 symbols out of 8": (memory_bits(12, 8), ms.constructions.copying(4, 12, 8)),
        "selective copying, 5 symbols out of 8": (memory_bits(5, 8), ms.constructions.selective_copying(5, 16, 8)),
    }
    text = PAGE.read_text()
    for name, (bits, (net, params)) in networks.items():
        bits = f"{bits:.1f}".removesuffix(".0")
        assert f"| {name} | {bits} bits | {ms.constructions.stats(net, params).state:,} numbers |" in text, name


def test_the_page_has_what_training_reaches_with_one_filter():
    rows = [json.loads(line) for line in (PAGE.parent / "results" / "copying.jsonl").read_text().splitlines()]
    score = {m: np.median([row["token_accuracy"] for row in rows if row["model"] == m]) for m in ("ssm + fnn1", "ssm")}
    text = " ".join(PAGE.read_text().split())
    (found,) = re.findall(r"`ssm \+ fnn1` gives (\.\d+) of the answers right, and `ssm` alone (\.\d+)", text)
    assert found == tuple(f"{s:.3f}"[1:] for s in score.values())
