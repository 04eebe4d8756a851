"""The protocol of a task: batches, specs, names of tokens, presets, scores."""

import tracemalloc
from dataclasses import dataclass, field

import numpy as np
import pytest

from minissm import constructions, tasks

SIZES = {
    "copying": {"min_len": 3, "max_len": 9, "symbols": 5, "blank": True},
    "recall": {"pairs": (2, 3), "keys": 5, "values": 4},
    "selective_copying": {"copied": 3, "context": 7, "symbols": 30},
    "induction_heads": {"length": 7, "symbols": 3},
    "mqar": {"pairs": 3, "length": 17, "vocab": 11, "power": 0.5, "random_fill": True},
    "lookup": {"ngram": 3, "min_len": 5, "max_len": 7, "symbols": 6, "queries": 2},
}
TOKENS = [name for name, cls in tasks.TASKS.items() if issubclass(cls, tasks.TokenTask)]


@pytest.mark.parametrize("name", TOKENS)
@pytest.mark.parametrize("sized", [False, True], ids=["defaults", "other sizes"])
def test_a_batch_is_what_the_task_promises(name, sized, rng):
    task = tasks.TASKS[name](**(SIZES[name] if sized else {}))
    batch = task.batch(rng, 50)
    assert batch.inputs.shape == batch.targets.shape == batch.weights.shape == (50, task.length)
    assert min(batch.inputs.min(), batch.targets.min()) >= 0
    assert max(batch.inputs.max(), batch.targets.max()) < task.vocab
    assert (batch.inputs.dtype, batch.targets.dtype, batch.weights.dtype) == (int, int, float)
    assert set(np.unique(batch.weights)) == {0, 1}
    asked = batch.weights.any(axis=1).mean()
    assert asked == 1 or (name == "lookup" and asked > 0.9)  # a string of one symbol asks nothing
    assert len(task.names) == len(set(task.names)) == len(task.kinds) == task.vocab


@pytest.mark.parametrize("name", TOKENS)
def test_the_same_seed_gives_the_same_bits_and_another_other_ones(name):
    task = tasks.TASKS[name]()
    first, again, other = (task.batch(np.random.default_rng(seed), 20) for seed in (3, 3, 4))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (first.inputs != other.inputs).any()


@pytest.mark.parametrize("name", TOKENS)
@pytest.mark.parametrize("sized", [False, True], ids=["defaults", "other sizes"])
def test_the_source_of_an_answer_is_the_token_that_it_repeats(name, sized, rng):
    """A token before the answer or at it."""
    task = tasks.TASKS[name](**(SIZES[name] if sized else {}))
    batch = task.batch(rng, 50)
    source, counts = task.source(batch), batch.weights > 0
    assert ((source >= 0) == counts).all()
    assert (source <= np.arange(task.length)).all()
    assert (np.take_along_axis(batch.inputs, source, axis=1) == batch.targets)[counts].all()


def test_selection_asks_for_the_vector_of_the_largest_mu(rng):
    """The source is far enough above the others, and the baseline is the error of the mean of all vectors."""
    task = tasks.Selection(length=5, gap=0.2, d=3)
    inputs, targets, weights = batch = task.batch(rng, 20_000)
    assert inputs.shape == (20_000, 5, 4) and targets.shape == (20_000, 5, 3)  # noqa: PT018
    mu, u = np.sort(inputs[..., 0], axis=1), inputs[..., 1:]
    assert (mu[:, -1] - mu[:, -2]).min() > 0.2 - 1e-12
    assert (mu.min(), mu.max()) == pytest.approx((0, 1), abs=0.01)
    assert (u.min(), u.max()) == pytest.approx((-1, 1), abs=0.01)
    source = task.source(batch)
    assert ((source >= 0) == (weights > 0)).all()
    assert (weights[:, :-1] == 0).all()
    np.testing.assert_array_equal(u[np.arange(20_000), source[:, -1]], targets[:, -1])
    assert len(set(source[:, -1])) == 5
    error = ((u.mean(axis=1) - targets[:, -1]) ** 2).sum(axis=1).mean()
    assert task.baseline == pytest.approx(error, rel=0.03)
    for a, b in zip(task.batch(np.random.default_rng(3), 20), task.batch(np.random.default_rng(3), 20), strict=True):
        np.testing.assert_array_equal(a, b)


def test_written_weights_answer_selection_without_an_error(rng):
    """Off the ramps after the 9 edges of the bins, 1e-6 wide: the largest mu of one sequence in 100,000 is on one.

    The error is 1e-15 if the two units of a ramp, up to 1e6, are subtracted before u is added. A BLAS kernel may add u
    first.
    """
    task = tasks.Selection()
    net, params = constructions.selection(bins=10, d=task.d, length=task.length)
    for _ in range(5):
        batch = task.batch(rng, 2000)
        error = net(params, batch.inputs, where=batch.weights > 0)[0] - batch.targets[:, -1]
        after = (10 * batch.inputs[..., 0].max(axis=1)) % 1
        assert (after > 1e-5).mean() > 0.999
        assert np.abs(error[after > 1e-5]).max() < 1e-9


def test_tokens_have_names_and_kinds():
    task = tasks.Recall(2, 3, 2)
    assert task.names == ("a", "b", "c", "0", "1")
    assert task.kinds == ("key", "key", "key", "value", "value")
    assert tasks.Copying(symbols=27).names[:5] == ("<BOS>", "<COPY>", "_", "s0", "s1")

    class Own(tasks.TokenTask):
        vocab = 3

    assert (Own().names, Own().kinds) == (("0", "1", "2"), ("token",) * 3)


@pytest.mark.parametrize("name", tasks.PRESETS)
def test_a_preset_is_a_spec_with_a_source(name, rng):
    preset, task = tasks.PRESETS[name], tasks.parse(name)
    assert task.spec == preset.spec
    assert task == tasks.parse(preset.spec)
    assert "arXiv" in preset.source
    batch = task.batch(rng, 2)
    assert (np.take_along_axis(batch.inputs, task.source(batch), axis=1) == batch.targets)[batch.weights > 0].all()


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("jelassi-copying", {"length": 41, "vocab": 29}),  # their 30 tokens have an end besides
        ("s4-copying", {"length": 120, "vocab": 10}),
        ("mamba-copying", {"length": 4112, "vocab": 16}),
        ("mamba-induction", {"length": 256, "vocab": 16}),
        ("h3-induction", {"length": 31, "vocab": 19}),  # their 20 tokens have a dot besides
        ("zoology-fig2-64", {"length": 64, "vocab": 8192, "pairs": 4, "power": 0.01, "random_fill": False}),
        ("zoology-fig2-256", {"length": 256, "vocab": 8192, "pairs": 16}),
    ],
)
def test_a_preset_has_the_numbers_of_its_source(name, sizes):
    task = tasks.parse(name)
    assert {option: getattr(task, option) for option in sizes} == sizes


# ---- the spec and the identity of a task


def test_the_name_of_a_preset_is_read_as_a_spec_is():
    assert tasks.parse(" h3-induction ") == tasks.parse("h3-induction")
    with pytest.raises(ValueError, match=r"task: can't read 'h3-inductio'; expected one of copying, .*, or a preset"):
        tasks.parse("h3-inductio")


def test_a_lookup_in_a_long_string_needs_no_square_of_its_length(rng):
    """Numbers of 10,000 x 10,000 pairs of n-grams would take 100 MB a sequence."""
    tracemalloc.start()
    task = tasks.Lookup(ngram=5, min_len=9000, max_len=10_000)
    batch = task.batch(rng, 2)
    source = task.source(batch)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (np.take_along_axis(batch.inputs, source, axis=1) == batch.targets)[batch.weights > 0].all()
    assert peak < 30e6


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
        (tasks.Copying, {"blank": 2}, "copying: blank=2; expected True or False"),
        (
            tasks.SelectiveCopying,
            {"copied": 17},
            "selective_copying: copied=17, context=16; expected copied <= context",
        ),
        (tasks.InductionHeads, {"length": 2}, "induction_heads: length=2; expected an integer, 3 or more"),
        (tasks.Mqar, {"length": 15}, "mqar: length=15, pairs=4; expected a length of 4 x pairs or more"),
        (tasks.Mqar, {"vocab": 9}, "mqar: vocab=9, pairs=4; expected a vocab of 2 x pairs \\+ 2 or more"),
        (tasks.Mqar, {"power": -1}, "mqar: power=-1; expected a number from 0 to 10"),
        (
            tasks.Lookup,
            {"ngram": 4},
            "lookup: ngram=4, min_len=4, max_len=8; expected ngram < min_len <= max_len",
        ),
        (tasks.Recall, {"values": 10**9}, "recall: a vocab of 1,000,000,006; expected 2,000,000 at most"),
        (tasks.Copying, {"symbols": 10**9}, "copying: a vocab of 1,000,000,003"),
        (tasks.Copying, {"max_len": 10**9}, "copying: a length of 2,000,000,001; expected 2,000,000 at most"),
        (tasks.SelectiveCopying, {"context": 10**9}, "selective_copying: a length of 1,000,000,005"),
        (tasks.InductionHeads, {"length": 10**9}, "induction_heads: a length of 1,000,000,000"),
        (tasks.Mqar, {"vocab": 10**9}, "mqar: a vocab of 1,000,000,000"),
        (tasks.Lookup, {"queries": 10**9}, "lookup: a length of 3,000,000,009"),
        (tasks.Selection, {"length": 0}, "selection: length=0; expected an integer, 1 or more"),
        (tasks.Selection, {"gap": 1}, "selection: gap=1; expected a number from 0 to below 1"),
        (tasks.Selection, {"d": 10**9}, "selection: vectors of 1,000,000,001"),
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
