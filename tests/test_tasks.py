"""The tasks ask for what they claim to: shortcuts fail, the explicit rule scores 1.0, counting reaches the baseline."""

from collections import Counter
from dataclasses import dataclass, field
from itertools import product

import numpy as np
import pytest

from minissm import tasks
from minissm.tasks.sequences import COPY, PAD, most_frequent

SIZES = {"copying": {"min_len": 3, "max_len": 9, "symbols": 5}, "recall": {"pairs": (2, 3), "keys": 5, "values": 4}}


def score(task, rule, n=4000):
    """Token accuracy of rule(tokens) -> answers (B, L)."""
    batch = task.batch(np.random.default_rng(1), n)
    answers = rule(batch.inputs)
    return float((answers == batch.targets)[batch.weights > 0].mean())


def copy_rule(tokens):
    """The symbol n + 1 positions back, where n is the position of <COPY> minus 1: the delay depends on the input."""
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
    np.add.at(counts, (batch.inputs, batch.targets), batch.weights)
    return lambda tokens: counts.argmax(axis=1)[tokens]


TOKENS = [name for name, cls in tasks.TASKS.items() if issubclass(cls, tasks.TokenTask)]


@pytest.mark.parametrize("name", TOKENS)
@pytest.mark.parametrize("sized", [False, True], ids=["defaults", "other sizes"])
def test_a_batch_is_what_the_task_promises(name, sized, rng):
    task = tasks.TASKS[name](**(SIZES[name] if sized else {}))
    batch = task.batch(rng, 50)
    assert batch.inputs.shape == batch.targets.shape == batch.weights.shape == (50, task.length)
    assert min(batch.inputs.min(), batch.targets.min()) >= 0
    assert max(batch.inputs.max(), batch.targets.max()) < task.vocab
    assert set(np.unique(batch.weights)) == {0, 1}
    assert batch.weights.any(axis=1).all()


@pytest.mark.parametrize("name", TOKENS)
def test_the_same_seed_gives_the_same_bits_and_another_other_ones(name):
    task = tasks.TASKS[name]()
    first, again, other = (task.batch(np.random.default_rng(seed), 20) for seed in (3, 3, 4))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (first.inputs != other.inputs).any()


def test_a_copying_sequence_reads_as_written(rng):
    batch = tasks.Copying(3, 6, 4).batch(rng, 200)
    assert set(batch.weights.sum(axis=1)) == {3, 4, 5, 6}
    for tokens, targets, weights in zip(*batch, strict=True):
        n = int(weights.sum())
        length = 2 * n + 1
        word = tokens[1 : n + 1]
        assert (word > PAD).all()
        assert list(tokens[:length]) == [0, *word, COPY, *word[:-1]]
        assert list(targets[weights > 0]) == list(word)
        assert list(np.flatnonzero(weights)) == list(range(n + 1, 2 * n + 1))
        assert (tokens[length + 1 :] == PAD).all()


def test_every_token_comes(rng):
    """The last letter, key and value too; symbols and values as often as one another."""
    copying, recall = tasks.Copying(3, 6, 4), tasks.Recall(3, 5, 4)
    batch = copying.batch(rng, 4000)
    assert set(np.unique(batch.inputs)) == set(range(copying.vocab))
    symbols = np.bincount(batch.targets[batch.weights > 0])[3:]
    np.testing.assert_allclose(symbols / symbols.sum(), 1 / 4, atol=0.02)
    batch = recall.batch(rng, 4000)
    assert set(np.unique(batch.inputs)) == set(range(recall.vocab))
    values = np.bincount(batch.targets[batch.weights > 0])[5:]
    np.testing.assert_allclose(values / values.sum(), 1 / 4, atol=0.02)


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


@pytest.mark.parametrize("queries", [None, 2])
def test_the_baseline_of_a_range_is_weighted_by_the_queries(queries):
    task = tasks.Recall((2, 4), values=3, queries=queries)
    parts = [(tasks.Recall(m, values=3).baseline, queries or m) for m in (2, 3, 4)]
    assert task.baseline == pytest.approx(sum(b * q for b, q in parts) / sum(q for _, q in parts))

    def rule(tokens):  # the most frequent value of each sequence, at all its tokens
        best = [Counter(t for t in row if t >= 6).most_common(1)[0][0] for row in tokens.tolist()]
        return np.broadcast_to(np.array(best)[:, None], tokens.shape)

    assert score(task, rule, 20_000) == pytest.approx(task.baseline, abs=0.01)


@pytest.mark.parametrize("name", TOKENS)
@pytest.mark.parametrize("sized", [False, True], ids=["defaults", "other sizes"])
def test_the_source_of_an_answer_is_the_token_that_it_repeats(name, sized, rng):
    """And no later one than the answer's own."""
    task = tasks.TASKS[name](**(SIZES[name] if sized else {}))
    batch = task.batch(rng, 50)
    source, counts = task.source(batch), batch.weights > 0
    assert ((source >= 0) == counts).all()
    assert (source <= np.arange(task.length)).all()
    assert (np.take_along_axis(batch.inputs, source, axis=1) == batch.targets)[counts].all()


def test_recall_asks_for_its_keys_in_every_order_alike(rng):
    """In the order of the pairs, the place of a query would tell where its value stands."""
    tokens = tasks.Recall().batch(rng, 4800).inputs
    asked = (tokens[:, 8:, None] == tokens[:, None, 0:8:2]).argmax(axis=2)
    counts = Counter(map(tuple, asked.tolist()))
    assert len(counts) == 24
    assert max(counts.values()) < 300  # 200 expected, give or take 14


def test_the_explicit_rule_scores_one():
    assert score(tasks.Copying(), copy_rule) == 1
    assert score(tasks.Recall(), recall_rule(4)) == 1
    assert score(tasks.Recall(3, 5, 4, 2), recall_rule(3)) == 1


def test_no_shortcut_copies_at_varying_length():
    task = tasks.Copying()
    assert max(score(task, delay(d)) for d in range(1, task.length)) < 0.25
    assert score(task, bigram(task)) < 0.2
    majority = [score(task, lambda tokens, v=v: np.full_like(tokens, v)) for v in range(task.vocab)]
    assert max(majority) < 0.15


def most_frequent_left(rng):
    """The most frequent of the symbols that are still to come, ties at random: their order is not used."""

    def rule(tokens):
        answers = np.zeros_like(tokens)
        for b, row in enumerate(tokens):
            size = int(np.argmax(row == COPY)) - 1
            left = np.bincount(row[1 : size + 1], minlength=tokens.max() + 1).astype(float)
            for t in range(size + 1, min(2 * size + 1, len(row))):
                if t > size + 1:
                    left[row[t]] -= 1
                answers[b, t] = np.argmax(left + rng.random(left.size) / 2)
        return answers

    return rule


@pytest.mark.parametrize("options", [{}, {"min_len": 3, "max_len": 9, "symbols": 5}])
def test_the_baseline_of_copying_is_counting_without_order(options, rng):
    task = tasks.Copying(**options)
    assert score(task, most_frequent_left(rng), 2000) == pytest.approx(task.baseline, abs=0.012)
    if not options:
        assert task.baseline == pytest.approx(0.4748, abs=5e-5)


def test_at_one_fixed_length_a_pure_delay_copies_perfectly():
    """Why the length varies: this is the task that a linear layer solves."""
    assert score(tasks.Copying(8, 8), delay(8)) == 1


def test_no_shortcut_recalls():
    task = tasks.Recall()
    assert max(score(task, delay(d)) for d in range(1, task.length)) < 0.3
    assert score(task, bigram(task)) < 0.25


def test_the_baseline_of_recall_is_the_most_frequent_value_shown():
    task = tasks.Recall()
    assert task.baseline == pytest.approx(0.4560, abs=5e-5)
    assert score(task, most_frequent_value(4), n=20_000) == pytest.approx(task.baseline, abs=0.01)
    assert tasks.Recall(pairs=8, values=8).baseline == pytest.approx(0.3247, abs=5e-5)
    assert 0.01 < tasks.Recall(200, 200, 200).baseline < 0.03


# ---- the spec and the identity of a task


def test_a_task_is_spelled_and_read_back():
    for task in (tasks.Copying(), tasks.Copying(3, 9), tasks.Recall(8, values=8), tasks.Recall(keys=9, queries=2)):
        assert tasks.parse(task.spec) == task
    assert tasks.Recall(pairs=8, keys=None, values=8).spec == "recall(pairs=8, values=8)"
    assert tasks.parse("recall(pairs=8)").vocab == 10 + 6


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("walking", "task: unknown task 'walking'; expected one of copying, recall"),
        ("recall(4)", r"recall: a value without a name in 'recall\(4\)'; write recall\(option=value\)"),
        ("recall(pears=4)", "recall: unknown option 'pears'; expected one of pairs, keys, values, queries"),
        ("recall(pairs=x)", "is not a plain value"),
        ("recall + copying", "can't read"),
        ("recall(", "can't read"),
    ],
)
def test_a_wrong_task_is_refused_in_one_sentence(text, error):
    with pytest.raises(ValueError, match=error) as caught:
        tasks.parse(text)
    assert "\n" not in str(caught.value)


@dataclass(frozen=True)
class Held(tasks.RealTask):
    """A finite data set, held by the task: item i of a permutation a pass."""

    x: np.ndarray = field(repr=False, compare=False)
    length: int = 3
    inputs: int = 2
    outputs: int = 1

    def batch(self, rng, n, step=0):
        i = np.random.default_rng([7, step * n // len(self.x)]).permutation(len(self.x))[step * n % len(self.x) :][:n]
        x = self.x[i]
        return tasks.Batch(x, x.sum(axis=2, keepdims=True), np.ones(x.shape[:2]))


def test_the_identity_of_a_task_has_its_arrays(rng):
    x = rng.normal(size=(8, 3, 2))
    same, other = Held(x.copy()), Held(x + 1e-9)
    assert Held(x).identity == same.identity != other.identity
    assert Held(x).spec == "Held"
    assert tasks.Recall().identity == "recall"


# ---- scores and batches


def test_scores_of_tokens_are_counted_over_batches(rng):
    task, parts = tasks.Recall(2, 3, 3), []
    batch = task.batch(rng, 40)
    y = rng.normal(size=(int((batch.weights > 0).sum()), task.vocab))
    for start in (0, 25):
        piece = tasks.Batch(*(a[start : start + 25] for a in batch))
        before = int((batch.weights[:start] > 0).sum())
        parts.append(task.tally(y[before : before + int((piece.weights > 0).sum())], piece))
    sums = {name: parts[0][name] + parts[1][name] for name in parts[0]}
    scores, whole = task.scores(sums), task.scores(task.tally(y, batch))
    assert scores == pytest.approx(whole)
    right = (y.argmax(axis=1) == batch.targets[batch.weights > 0]).reshape(40, 2)
    assert scores["token_accuracy"] == pytest.approx(right.mean())
    assert scores["sequence_accuracy"] == pytest.approx(right.all(axis=1).mean())
    log_p = y - np.log(np.exp(y).sum(axis=1, keepdims=True))
    assert scores["loss"] == pytest.approx(-log_p[np.arange(80), batch.targets[batch.weights > 0]].mean())
    assert set(scores) == set(task.score_names)


def test_scores_of_vectors_are_error_and_share_of_variance(rng):
    task = Held(rng.normal(size=(8, 3, 2)))
    batch = task.batch(rng, 8)._replace(weights=rng.integers(0, 3, (8, 3)).astype(float))
    counts = batch.weights > 0
    w, t = batch.weights[counts], batch.targets[counts]
    scores = task.scores(task.tally(t + 0.5, batch))
    assert scores["mean_squared_error"] == pytest.approx(0.25) == scores["loss"]
    mean = (w[:, None] * t).sum(axis=0) / w.sum()
    variance = (w[:, None] * (t - mean) ** 2).sum() / w.sum()
    assert scores["share_of_variance"] == pytest.approx(1 - 0.25 / variance)
    assert task.scores(task.tally(np.broadcast_to(mean, t.shape), batch))["share_of_variance"] == pytest.approx(0)
    assert set(scores) == set(task.score_names)


@pytest.mark.parametrize("change", [{"targets": 0}, {"weights": 0}, {"inputs": 0}])
def test_a_batch_of_arrays_that_do_not_belong_together_is_refused(change, rng):
    batch = tasks.Recall().batch(rng, 5)
    wrong = batch._replace(**{name: getattr(batch, name)[:, 0] for name in change})
    with pytest.raises(ValueError, match=r"who: a batch with inputs .*, targets .*, weights .*; expected"):
        tasks.check_batch("who", wrong)


@pytest.mark.parametrize(("draws", "kinds"), [(1, 1), (1, 6), (4, 6), (5, 2), (3, 4), (6, 3)])
def test_the_most_frequent_is_counted_exactly(draws, kinds):
    counts = [max(Counter(outcome).values()) for outcome in product(range(kinds), repeat=draws)]
    assert most_frequent(draws, kinds) == pytest.approx(np.mean(counts), rel=1e-12)


@pytest.mark.parametrize(
    ("make", "options", "error"),
    [
        (tasks.Copying, {"min_len": 0}, "copying: min_len=0; expected an integer, 1 or more"),
        (tasks.Copying, {"symbols": 2.5}, "copying: symbols=2.5"),
        (tasks.Copying, {"min_len": 9, "max_len": 8}, "copying: min_len=9, max_len=8; expected min_len <= max_len"),
        (
            tasks.Recall,
            {"pairs": 7, "keys": 6},
            "recall: queries=7, pairs=7, keys=6; expected queries <= pairs <= keys",
        ),
        (tasks.Recall, {"queries": 5}, "recall: queries=5, pairs=4"),
        (tasks.Recall, {"values": True}, "recall: values=True"),
        (tasks.Recall, {"pairs": (8, 1)}, r"recall: pairs=\(8, 1\); expected low <= high"),
        (
            tasks.Recall,
            {"pairs": (1, 2, 3)},
            r"recall: pairs=\(1, 2, 3\); expected an integer, or a pair \(low, high\)",
        ),
        (tasks.Recall, {"pairs": (0, 2)}, r"recall: pairs=0; expected an integer, 1 or more, or a pair \(low, high\)"),
        (
            tasks.Recall,
            {"pairs": (1, 8), "queries": 2},
            r"recall: queries=2, pairs=\(1, 8\), keys=10; expected queries",
        ),
    ],
)
def test_wrong_sizes_are_refused_in_one_sentence(make, options, error):
    with pytest.raises(ValueError, match=error):
        make(**options)


def test_tasks_with_other_arrays_are_not_equal(rng):
    x = rng.normal(size=(8, 3, 2))
    assert Held(x) == Held(x.copy()) != Held(x + 1)
    assert tasks.Recall() == tasks.Recall(keys=None) != tasks.Recall(keys=6)
    assert tasks.Recall() != tasks.Copying()


def test_targets_that_would_broadcast_are_not_scored(rng):
    task = Held(rng.normal(size=(8, 3, 2)))
    batch = task.batch(rng, 4)
    for targets in (batch.targets[..., 0], np.repeat(batch.targets, 2, axis=2), batch.targets.astype(int)):
        with pytest.raises(ValueError, match="squared_error: targets"):
            task.tally(np.zeros((12, 1)), batch._replace(targets=targets))


def test_the_loss_of_tokens_is_weighted_over_batches(rng):
    """sum w l / sum w, as in one batch."""
    task = tasks.Recall(2, 3, 3)
    batch = task.batch(rng, 6)
    batch = batch._replace(weights=batch.weights * rng.uniform(0.1, 9, (6, 1)))
    y = rng.normal(size=(12, task.vocab))
    parts = [task.tally(y[4 * i : 4 * i + 4], tasks.Batch(*(a[2 * i : 2 * i + 2] for a in batch))) for i in range(3)]
    sums = {name: sum(part[name] for part in parts) for name in parts[0]}
    assert task.scores(sums)["loss"] == pytest.approx(task.scores(task.tally(y, batch))["loss"], rel=1e-12)


@pytest.mark.parametrize("weight", [-1.0, float("nan")])
def test_a_weight_that_is_no_weight_is_refused(weight, rng):
    batch = tasks.Recall().batch(rng, 3)
    batch.weights[0, -1] = weight
    with pytest.raises(ValueError, match="who: a batch with a weight below 0 or nan"):
        tasks.check_batch("who", batch)
