"""The tasks ask for what they claim to: shortcuts fail, the explicit rule scores 1.0, guessing reaches the floor."""

from collections import Counter
from itertools import product

import numpy as np
import pytest

from minissm import tasks
from minissm.tasks.sequences import COPY, PAD, most_frequent

SIZES = {"copying": {"min_len": 3, "max_len": 9, "symbols": 5}, "recall": {"pairs": 3, "keys": 5, "values": 4}}


def score(task, rule, n=4000):
    """Token accuracy of rule(tokens) -> answers (B, L)."""
    batch = task.batch(np.random.default_rng(1), n)
    answers = rule(batch.tokens)
    return float((answers == batch.targets)[batch.weights > 0].mean())


def copy_rule(tokens):
    """The letter n + 1 places back, where n is the place of <COPY> minus 1: the delay depends on the input."""
    answers = np.zeros_like(tokens)
    for b, row in enumerate(tokens):
        size = int(np.argmax(row == COPY)) - 1
        for t in range(size + 1, min(2 * size + 1, len(row))):
            answers[b, t] = row[t - size]
    return answers


def recall_rule(pairs):
    """The value beside the earlier occurrence of the same key."""

    def rule(tokens):
        answers = np.zeros_like(tokens)
        for b, row in enumerate(tokens):
            beside = dict(zip(row[: 2 * pairs : 2], row[1 : 2 * pairs : 2], strict=True))
            answers[b, 2 * pairs :] = [beside[key] for key in row[2 * pairs :]]
        return answers

    return rule


def most_frequent_value(pairs):
    def rule(tokens):
        best = [Counter(row[1 : 2 * pairs : 2]).most_common(1)[0][0] for row in tokens]
        return np.broadcast_to(np.array(best)[:, None], tokens.shape)

    return rule


def delay(d):
    return lambda tokens: np.concatenate([np.zeros((len(tokens), d), int), tokens[:, : tokens.shape[1] - d]], axis=1)


def bigram(task):
    """The best table from the last token to the answer, counted on fresh sequences."""
    batch = task.batch(np.random.default_rng(2), 4000)
    counts = np.zeros((task.vocab, task.vocab))
    np.add.at(counts, (batch.tokens, batch.targets), batch.weights)
    return lambda tokens: counts.argmax(axis=1)[tokens]


@pytest.mark.parametrize("name", tasks.TASKS)
@pytest.mark.parametrize("sized", [False, True], ids=["defaults", "other sizes"])
def test_a_batch_is_what_the_task_promises(name, sized, rng):
    task = tasks.TASKS[name](**(SIZES[name] if sized else {}))
    batch = task.batch(rng, 50)
    assert batch.tokens.shape == batch.targets.shape == batch.weights.shape == (50, task.length)
    assert batch.lengths.shape == (50,)
    assert min(batch.tokens.min(), batch.targets.min()) >= 0
    assert max(batch.tokens.max(), batch.targets.max()) < task.vocab
    assert set(np.unique(batch.weights)) == {0, 1}
    beyond = np.arange(task.length) >= batch.lengths[:, None]
    assert not batch.weights[beyond].any(), "no loss on padding"
    assert batch.weights.any(axis=1).all()


@pytest.mark.parametrize("name", tasks.TASKS)
def test_the_same_seed_gives_the_same_bits_and_another_other_ones(name):
    task = tasks.TASKS[name]()
    first, again, other = (task.batch(np.random.default_rng(seed), 20) for seed in (3, 3, 4))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (first.tokens != other.tokens).any()


def test_a_copying_sequence_reads_as_written(rng):
    batch = tasks.copying(3, 6, 4).batch(rng, 200)
    assert set(batch.lengths) == {7, 9, 11, 13}
    for tokens, targets, weights, length in zip(*batch, strict=True):
        n = (length - 1) // 2
        word = tokens[1 : n + 1]
        assert (word > PAD).all()
        assert list(tokens[:length]) == [0, *word, COPY, *word[:-1]]
        assert list(targets[weights > 0]) == list(word)
        assert list(np.flatnonzero(weights)) == list(range(n + 1, 2 * n + 1))
        assert (tokens[length + 1 :] == PAD).all()


def test_every_token_comes(rng):
    """The last letter, key and value too; letters and values as often as one another."""
    copying, recall = tasks.copying(3, 6, 4), tasks.associative_recall(3, 5, 4)
    batch = copying.batch(rng, 4000)
    assert set(np.unique(batch.tokens)) == set(range(copying.vocab))
    letters = np.bincount(batch.targets[batch.weights > 0])[3:]
    np.testing.assert_allclose(letters / letters.sum(), 1 / 4, atol=0.02)
    batch = recall.batch(rng, 4000)
    assert set(np.unique(batch.tokens)) == set(range(recall.vocab))
    values = np.bincount(batch.targets[batch.weights > 0])[5:]
    np.testing.assert_allclose(values / values.sum(), 1 / 4, atol=0.02)


def test_a_recall_sequence_reads_as_written(rng):
    batch = tasks.associative_recall(3, 5, 4, queries=2).batch(rng, 200)
    for tokens, targets, weights in zip(*batch[:3], strict=True):
        keys, values, asked = tokens[0:6:2], tokens[1:6:2], tokens[6:]
        assert len(set(keys)) == 3
        assert (keys < 5).all()
        assert (values >= 5).all()
        assert len(set(asked)) == 2
        assert list(targets[weights > 0]) == [values[list(keys).index(k)] for k in asked]
        assert list(np.flatnonzero(weights)) == [6, 7]


def test_recall_asks_for_its_keys_in_every_order_alike(rng):
    """In the order of the pairs, the place of a query would tell where its value stands."""
    tokens = tasks.associative_recall().batch(rng, 4800).tokens
    asked = (tokens[:, 8:, None] == tokens[:, None, 0:8:2]).argmax(axis=2)
    counts = Counter(map(tuple, asked.tolist()))
    assert len(counts) == 24
    assert max(counts.values()) < 300  # 200 expected, give or take 14


def test_the_explicit_rule_scores_one():
    assert score(tasks.copying(), copy_rule) == 1
    assert score(tasks.associative_recall(), recall_rule(4)) == 1
    assert score(tasks.associative_recall(3, 5, 4, 2), recall_rule(3)) == 1


def test_no_shortcut_copies_at_varying_length():
    task = tasks.copying()
    assert max(score(task, delay(d)) for d in range(1, task.length)) < 0.25
    assert score(task, bigram(task)) < 0.2
    majority = [score(task, lambda tokens, v=v: np.full_like(tokens, v)) for v in range(task.vocab)]
    assert max(majority) < 0.15


def test_counting_the_letters_without_their_order_is_not_copying():
    """The most frequent of the letters that are still to come: .545, near to what ssm alone reaches."""

    def rule(tokens):
        answers = np.zeros_like(tokens)
        for b, row in enumerate(tokens):
            size = int(np.argmax(row == COPY)) - 1
            left = Counter(row[1 : size + 1])
            for t in range(size + 1, min(2 * size + 1, len(row))):
                left -= Counter(row[t : t + 1] if t > size + 1 else [])
                answers[b, t] = left.most_common(1)[0][0]
        return answers

    assert score(tasks.copying(), rule) == pytest.approx(0.545, abs=0.01)


def test_at_one_fixed_length_a_pure_delay_copies_perfectly():
    """Why the length varies: this is the task that a linear layer solves."""
    assert score(tasks.copying(8, 8), delay(8)) == 1


def test_no_shortcut_recalls():
    task = tasks.associative_recall()
    assert max(score(task, delay(d)) for d in range(1, task.length)) < 0.3
    assert score(task, bigram(task)) < 0.25


def test_the_floor_is_what_guessing_reaches():
    task = tasks.associative_recall()
    assert task.floor == pytest.approx(0.4560, abs=5e-5)
    assert score(task, most_frequent_value(4), n=20_000) == pytest.approx(task.floor, abs=0.01)
    assert tasks.copying(symbols=5).floor == 0.2


def test_the_floor_of_a_large_task_is_finite():
    assert 0.01 < tasks.associative_recall(200, 200, 200).floor < 0.03


@pytest.mark.parametrize(("draws", "kinds"), [(1, 1), (1, 6), (4, 6), (5, 2), (3, 4), (6, 3)])
def test_the_most_frequent_is_counted_exactly(draws, kinds):
    counts = [max(Counter(outcome).values()) for outcome in product(range(kinds), repeat=draws)]
    assert most_frequent(draws, kinds) == pytest.approx(np.mean(counts), rel=1e-12)


@pytest.mark.parametrize(
    ("make", "options", "told"),
    [
        (tasks.copying, {"min_len": 0}, "copying: min_len=0; expected an integer, 1 or more"),
        (tasks.copying, {"symbols": 2.5}, "copying: symbols=2.5"),
        (tasks.copying, {"min_len": 9, "max_len": 8}, "copying: min_len=9, max_len=8; expected min_len <= max_len"),
        (
            tasks.associative_recall,
            {"pairs": 7},
            "recall: queries=7, pairs=7, keys=6; expected queries <= pairs <= keys",
        ),
        (tasks.associative_recall, {"queries": 5}, "recall: queries=5, pairs=4"),
        (tasks.associative_recall, {"values": True}, "recall: values=True"),
    ],
)
def test_wrong_sizes_are_refused_in_one_sentence(make, options, told):
    with pytest.raises(ValueError, match=told):
        make(**options)
