"""The tasks ask for what they claim to: the explicit rule scores 1, shortcuts fail, counting reaches the baseline."""

from collections import Counter
from itertools import pairwise, product

import numpy as np
import pytest

from minissm import tasks
from minissm.tasks.copying import ASK, BLANK, COPY, PAD
from minissm.tasks.counting import most_frequent
from minissm.tasks.lookup import LOOK, TRIGGER


def score(task, rule, n=2000):
    """Token accuracy of rule(tokens of a sequence) -> the answer at each of them."""
    batch = task.batch(np.random.default_rng(1), n)
    right = np.array([rule(row) for row in batch.inputs.tolist()]) == batch.targets
    return float(right[batch.weights > 0].mean())


# ---- the explicit rules


def copied(row):
    """The delay depends on the input: it is the position of <COPY>."""
    size = row.index(COPY) - 1
    return [row[t - size] if size < t <= 2 * size else None for t in range(len(row))]


def in_order(row):
    symbols = iter([token for token in row if token > ASK])
    return [next(symbols) if token == ASK else None for token in row]


def after_the_first(row):
    """What came after the first occurrence of the token."""
    return [row[row.index(token) + 1] if token in row[:t] else None for t, token in enumerate(row)]


def after_the_bigram(row):
    pairs = list(pairwise(row))
    return [
        row[pairs.index(pairs[t - 1]) + 2] if t and pairs[t - 1] in pairs[: t - 1] else None for t in range(len(row))
    ]


RULES = {
    "copying": copied,
    "recall": after_the_first,
    "selective_copying": in_order,
    "induction_heads": after_the_first,
    "mqar": after_the_first,
    "lookup": after_the_bigram,
}


OTHERS = ("copying(blank=True)", "recall(pairs=(2, 4), values=3)", "mqar(random_fill=True)")
each_task = pytest.mark.parametrize("spec", [*RULES, *OTHERS])


@each_task
def test_the_explicit_rule_scores_one(spec):
    assert score(tasks.parse(spec), RULES[spec.partition("(")[0]]) == 1


# ---- shortcuts


def table(task, width):
    """The best table from the last `width` tokens to the answer, counted on fresh sequences. 1: any token-wise net."""
    counts = {}
    for row, targets, weights in zip(*task.batch(np.random.default_rng(2), 4000), strict=True):
        for t in np.flatnonzero(weights):
            counts.setdefault(tuple(row[max(0, t + 1 - width) : t + 1]), Counter())[targets[t]] += 1
    best = {seen: answers.most_common(1)[0][0] for seen, answers in counts.items()}
    return lambda row: [best.get(tuple(row[max(0, t + 1 - width) : t + 1])) for t in range(len(row))]


def best_delay(task):
    """The score of the best of all fixed delays."""
    inputs, targets, weights = task.batch(np.random.default_rng(1), 2000)
    hits = [((inputs[:, :-d] == targets[:, d:]) * weights[:, d:]).sum() for d in range(1, task.length)]
    return max(hits) / weights.sum()


@each_task
def test_no_shortcut_comes_above_the_baseline(spec):
    """One delay, a table of one token or of two, one answer for all."""
    task = tasks.parse(spec)
    assert best_delay(task) < task.baseline + 0.03
    assert score(task, table(task, 1)) < task.baseline + 0.03
    assert score(task, table(task, 2)) < task.baseline + 0.03
    batch = task.batch(np.random.default_rng(1), 2000)
    answers = np.bincount(batch.targets[batch.weights > 0])
    assert answers.max() / answers.sum() < task.baseline + 0.03


def test_at_one_fixed_length_a_pure_delay_copies_perfectly():
    """Why the length varies: this is the task that a linear layer solves."""
    assert best_delay(tasks.Copying(8, 8)) == 1
    assert best_delay(tasks.Copying()) < 0.25


# ---- baselines


def may_answer(task, row):
    """The tokens of the sequence that the answer may be, as often as they may be it. The question is not used."""
    if isinstance(task, tasks.Lookup):
        string = row[1 : row.index(LOOK)]
        grams = [tuple(string[i : i + task.ngram]) for i in range(len(string) - task.ngram + 1)]
        return [string[i + task.ngram] for i, gram in enumerate(grams[:-1]) if grams.count(gram) == 1] or [None]
    if isinstance(task, tasks.Mqar):
        return row[1 : 2 * task.pairs : 2]
    if isinstance(task, tasks.Copying):
        row = row[: row.index(COPY)]
    kinds = task.kinds
    return [token for token in row if kinds[token] in ("symbol", "value")]


@pytest.mark.parametrize(
    "spec",
    [
        "recall",
        "recall(pairs=8, values=8)",
        "recall(pairs=(2, 4), values=3)",
        "recall(pairs=(2, 4), values=3, queries=2)",
        "copying(blank=True)",
        "copying(blank=True, min_len=3, max_len=7, symbols=3)",
        "selective_copying",
        "selective_copying(copied=7, context=9, symbols=3)",
        "induction_heads",
        "induction_heads(length=7, symbols=3)",
        "mqar",
        "mqar(pairs=3, length=14, random_fill=True)",
        "lookup",
        "lookup(ngram=1, min_len=5, max_len=7, symbols=9, queries=2)",
    ],
)
def test_the_most_frequent_of_the_possible_answers_reaches_the_baseline(spec):
    task = tasks.parse(spec)

    def rule(row):
        return [Counter(may_answer(task, row)).most_common(1)[0][0]] * len(row)

    assert score(task, rule, 6000) == pytest.approx(task.baseline, abs=0.015)


def most_frequent_left(rng):
    """The most frequent of the symbols that are still to come, ties at random: their order is not used."""

    def rule(row):
        size = row.index(COPY) - 1
        left, answers = np.bincount(row[1 : size + 1], minlength=max(row) + 1).astype(float), [0] * len(row)
        for t in range(size + 1, min(2 * size + 1, len(row))):
            if t > size + 1:
                left[row[t]] -= 1
            answers[t] = np.argmax(left + rng.random(left.size) / 2)
        return answers

    return rule


@pytest.mark.parametrize("options", [{}, {"min_len": 3, "max_len": 9, "symbols": 5}])
def test_the_baseline_of_copying_is_counting_without_order(options, rng):
    task = tasks.Copying(**options)
    assert score(task, most_frequent_left(rng), 2000) == pytest.approx(task.baseline, abs=0.012)
    if not options:
        assert task.baseline == pytest.approx(0.4748, abs=5e-5)


def test_baselines_are_the_numbers_that_counting_gives():
    """By hand where it is short: 5 symbols of 8, 4 values of 6, 18 symbols of 8."""
    assert tasks.Recall().baseline == pytest.approx(0.4560, abs=5e-5)
    assert tasks.Recall(pairs=8, values=8).baseline == pytest.approx(0.3247, abs=5e-5)
    assert 0.01 < tasks.Recall(200, 200, 200).baseline < 0.03
    assert tasks.SelectiveCopying(2, 9, 3).baseline == pytest.approx((1 + 1 / 3) / 2)
    assert tasks.Copying(2, 2, 3, blank=True).baseline == pytest.approx((1 + 1 / 3) / 2)
    assert tasks.InductionHeads(4, 3).baseline == pytest.approx((1 + 1 / 3) / 2)
    assert tasks.Mqar(pairs=3).baseline == pytest.approx(1 / 3)


def test_the_baseline_of_a_range_is_weighted_by_the_queries():
    for queries in (None, 2):
        parts = [(tasks.Recall(m, values=3).baseline, queries or m) for m in (2, 3, 4)]
        expected = sum(b * q for b, q in parts) / sum(q for _, q in parts)
        assert tasks.Recall((2, 4), values=3, queries=queries).baseline == pytest.approx(expected)


def test_the_baseline_of_lookup_is_the_mean_over_all_strings():
    task = tasks.Lookup(ngram=2, min_len=6, max_len=6, symbols=3)
    shares = []
    for string in product(range(3, 6), repeat=6):
        possible = may_answer(task, [0, *string, LOOK])
        if possible != [None]:
            shares.append(max(Counter(possible).values()) / len(possible))
    assert task.baseline == pytest.approx(np.mean(shares), abs=0.005)


def test_a_lookup_in_which_nothing_can_be_asked_has_no_baseline():
    for spec in ("lookup(symbols=1)", "lookup(ngram=1, min_len=99, max_len=99, symbols=2)"):
        with pytest.raises(ValueError, match=r"^lookup: no n-gram of .* occurs once; give more symbols"):
            assert tasks.parse(spec).baseline


def test_the_end_of_an_ngram_alone_comes_above_the_baseline_of_lookup():
    """As the docstring says: only a score near 1 shows that all of the n-gram is used."""
    task = tasks.Lookup()

    def rule(row):
        string, answers = row[1 : row.index(LOOK)], []
        for token in row:
            after = [b for a, b in pairwise(string[task.ngram - 1 :]) if a == token]
            answers.append(Counter(after).most_common(1)[0][0] if after else None)
        return answers

    assert task.baseline + 0.15 < score(task, rule) < 0.9


def test_a_fixed_filter_comes_above_the_baseline_of_selective_copying():
    """As the docstring says: where a symbol stands tells roughly which of them it is."""
    task = tasks.SelectiveCopying()
    inputs, targets, _ = task.batch(np.random.default_rng(4), 2000)
    symbols = np.arange(ASK + 1, task.vocab)
    one_hot = np.pad(inputs[..., None] == symbols, ((0, 0), (task.length, 0), (0, 0))).astype(float)
    asks = np.arange(task.context, task.length)
    seen = np.stack([one_hot[:, asks + task.length - lag] for lag in range(1, task.length)], axis=-1)
    right = (targets[:, task.context :, None] == symbols).astype(float)
    weights = np.linalg.lstsq(seen.reshape(-1, task.length - 1), right.ravel(), rcond=None)[0]
    found = symbols[(seen @ weights).argmax(axis=2)] == targets[:, task.context :]
    assert task.baseline + 0.02 < found.mean() < 0.5


@pytest.mark.parametrize(("draws", "kinds"), [(1, 1), (1, 6), (4, 6), (5, 2), (3, 4), (6, 3)])
def test_the_most_frequent_is_counted_exactly(draws, kinds):
    counts = [max(Counter(outcome).values()) for outcome in product(range(kinds), repeat=draws)]
    assert most_frequent(draws, kinds) == pytest.approx(np.mean(counts), rel=1e-12)


# ---- sequences read as written


@each_task
def test_every_token_comes_and_the_answers_are_alike(spec, rng):
    """The last letter, key and value too; symbols and values as often as one another."""
    task = tasks.parse(spec)
    batch = task.batch(rng, 4000)
    assert set(np.unique(batch.inputs)) == set(range(task.vocab))
    answers = np.bincount(batch.targets[batch.weights > 0])
    first = np.flatnonzero(answers)[0]
    assert {task.kinds[token] for token in range(first, task.vocab)} <= {"symbol", "value"}
    frequency = answers[first:] / answers.sum()
    np.testing.assert_allclose(frequency, 1 / (task.vocab - first), atol=0.02)


@pytest.mark.parametrize("blank", [False, True])
def test_a_copying_sequence_reads_as_written(blank, rng):
    batch = tasks.Copying(3, 6, 4, blank).batch(rng, 200)
    assert set(batch.weights.sum(axis=1)) == {3, 4, 5, 6}
    for tokens, targets, weights in zip(*batch, strict=True):
        n = int(weights.sum())
        length = 2 * n + 1
        word = tokens[1 : n + 1]
        assert (word > PAD).all()
        assert list(tokens[:length]) == [0, *word, COPY, *([PAD] * (n - 1) if blank else word[:-1])]
        assert list(targets[weights > 0]) == list(word)
        assert list(np.flatnonzero(weights)) == list(range(n + 1, 2 * n + 1))
        assert (tokens[length + 1 :] == PAD).all()


def test_a_recall_sequence_reads_as_written(rng):
    batch = tasks.Recall(3, 5, 4, queries=2).batch(rng, 200)
    for tokens, targets, weights in zip(*batch, strict=True):
        keys, values, asked = tokens[0:6:2], tokens[1:6:2], tokens[6:]
        assert len(set(keys)) == 3
        assert (keys < 5).all()
        assert (values >= 5).all()
        assert len(set(asked)) == 2
        assert list(targets[weights > 0]) == [values[list(keys).index(k)] for k in asked]
        assert list(np.flatnonzero(weights)) == [6, 7]


def test_recall_draws_the_number_of_pairs_of_each_sequence(rng):
    """Every key is asked, or the given number of them; what fills a sequence up has no weight."""
    batch = tasks.Recall((2, 5), values=4).batch(rng, 300)
    for tokens, targets, weights in zip(*batch, strict=True):
        m = int(weights.sum())
        keys, values, asked = tokens[0 : 2 * m : 2], tokens[1 : 2 * m : 2], tokens[2 * m : 3 * m]
        assert sorted(keys) == sorted(asked) == sorted(set(keys))
        assert (values >= 7).all()
        assert list(targets[2 * m : 3 * m]) == [values[list(keys).index(k)] for k in asked]
        assert list(np.flatnonzero(weights)) == list(range(2 * m, 3 * m))
        assert (tokens[3 * m :] == 0).all()
    numbers = Counter(batch.weights.sum(axis=1))
    assert set(numbers) == {2, 3, 4, 5}
    assert max(numbers.values()) < 120  # 75 expected, give or take 8
    assert set(tasks.Recall((2, 5), queries=2).batch(rng, 300).weights.sum(axis=1)) == {2}


def test_recall_of_a_range_has_the_sizes_of_its_largest_number():
    task = tasks.Recall((1, 8), values=8)
    assert (task.vocab, task.length) == (18, 24)
    assert task.spec == "recall(pairs=(1, 8), values=8)"
    assert tasks.Recall([8, 8]) == tasks.Recall(8)


def test_recall_asks_for_its_keys_in_every_order_alike(rng):
    """In the order of the pairs, the place of a query would tell where its value stands."""
    tokens = tasks.Recall().batch(rng, 4800).inputs
    asked = (tokens[:, 8:, None] == tokens[:, None, 0:8:2]).argmax(axis=2)
    counts = Counter(map(tuple, asked.tolist()))
    assert len(counts) == 24
    assert max(counts.values()) < 300  # 200 expected, give or take 14


def test_a_sequence_of_selective_copying_reads_as_written(rng):
    batch = tasks.SelectiveCopying(3, 7, 4).batch(rng, 1000)
    places = Counter()
    for tokens, targets, weights in zip(*batch, strict=True):
        assert (tokens[7:] == ASK).all()
        assert list(np.flatnonzero(weights)) == [7, 8, 9]
        assert list(targets[7:]) == list(tokens[:7][tokens[:7] != BLANK])
        places[tuple(np.flatnonzero(tokens[:7]))] += 1
    assert len(places) == 35
    assert max(places.values()) < 60  # 29 expected, give or take 5


def test_a_sequence_of_induction_heads_reads_as_written(rng):
    batch = tasks.InductionHeads(9, 4).batch(rng, 1600)
    first = []
    for tokens, targets, weights in zip(*batch, strict=True):
        triggers = np.flatnonzero(tokens == TRIGGER)
        assert (len(triggers), triggers[1]) == (2, 8)
        assert list(np.flatnonzero(weights)) == [8]
        assert targets[8] == tokens[triggers[0] + 1]
        first.append(triggers[0])
    counts = np.bincount(first)
    assert (counts.size, counts.min() > 160) == (7, True)  # 229 expected, give or take 14


@pytest.mark.parametrize("random_fill", [False, True])
def test_a_sequence_of_mqar_reads_as_written(random_fill, rng):
    batch = tasks.Mqar(3, 19, 13, 0.3, random_fill).batch(rng, 300)
    for tokens, targets, weights in zip(*batch, strict=True):
        keys, values, asked = tokens[0:6:2], tokens[1:6:2], np.flatnonzero(weights)
        assert len(set(keys)) == len(set(values)) == 3
        assert set(keys) <= set(range(1, 6))
        assert set(values) <= set(range(6, 13))
        assert all(place >= 6 and place % 2 == 0 for place in asked)
        assert sorted(tokens[asked]) == sorted(keys)
        assert list(targets[asked]) == [values[list(keys).index(k)] for k in tokens[asked]]
        rest = np.delete(tokens, [*range(6), *asked])
        assert not set(keys) & set(rest)
        assert random_fill or not rest.any()
    rest = np.delete(batch.inputs, range(6), axis=1)
    assert len(np.unique(rest)) == (13 if random_fill else 6)


@pytest.mark.parametrize("power", [0.01, 1])
def test_mqar_asks_at_gaps_of_a_power_law_in_any_order(power):
    """One query after another, without replacement; the first place and the last by hand."""
    task = tasks.Mqar(2, 12, 9, power)  # places 4, 6, 8, 10
    batch = task.batch(np.random.default_rng(3), 6000)
    p = np.arange(1.0, 5) ** (power - 1)
    p /= p.sum()
    for i in range(4):
        expected = p[i] + sum(p[j] * p[i] / (1 - p[j]) for j in range(4) if j != i)
        assert batch.weights[:, 4 + 2 * i].mean() == pytest.approx(expected, abs=0.03)
    first = batch.weights.argmax(axis=1)
    asked = batch.inputs[np.arange(6000), first]
    assert (asked == batch.inputs[:, 0]).mean() == pytest.approx(0.5, abs=0.03)


def test_a_sequence_of_lookup_reads_as_written(rng):
    batch = tasks.Lookup(ngram=2, min_len=4, max_len=6, symbols=4, queries=3).batch(rng, 500)
    places = Counter()
    for tokens, targets, weights in zip(*batch, strict=True):
        row = tokens.tolist()
        looks = [t for t, token in enumerate(row) if token == LOOK]
        size = looks[0] - 1
        assert 4 <= size <= 6
        assert looks == [size + 1, size + 4, size + 7]
        assert all(token == PAD for token in row[size + 10 :])
        string = row[1 : size + 1]
        grams = list(pairwise(string))
        if not weights.any():
            assert not any(grams.count(gram) == 1 for gram in grams[:-1])
            continue
        assert list(np.flatnonzero(weights)) == [t + 2 for t in looks]
        for t in looks:
            gram = (row[t + 1], row[t + 2])
            assert grams.count(gram) == 1
            assert targets[t + 2] == string[grams.index(gram) + 2]
            places[size, grams.index(gram)] += 1
    assert {size for size, _ in places} == {4, 5, 6}
    assert {place for _, place in places} == {0, 1, 2, 3}
