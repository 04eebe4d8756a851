"""Networks whose weights are written down: no wrong answer, in all modes; each weight matters; circuits and counts."""

import math
import re
from itertools import combinations, permutations, product

import numpy as np
import pytest

import minissm as ms
from minissm import layers, scan, tasks, tree
from minissm.constructions import (
    Circuit,
    copying,
    gate,
    hat,
    one_hot,
    recall,
    relu,
    selection,
    selective_copying,
    signed_gate,
    stats,
    write_fnn,
)
from minissm.constructions.networks import NEVER

from .fake_device import agree_there
from .oracles import draw


def last(rows, answers):
    """tokens, mask and answers: the answers stand at the last tokens of each row; the rows are filled up with 2."""
    length = max(map(len, rows))
    x, targets = np.full((2, len(rows), length), 2)
    for i, (row, answer) in enumerate(zip(rows, answers, strict=True)):
        x[i, : len(row)] = row
        targets[i] = -1
        targets[i, len(row) - len(answer) : len(row)] = answer
    return x, targets >= 0, targets[targets >= 0]


def words(lengths):
    return [word for n in lengths for word in product((0, 1), repeat=n)]


def all_recalls():
    """Keys 0 to 2, values 3 and 4; two pairs, both queries."""
    cases = [
        (k, v, q) for k in permutations(range(3), 2) for v in product((3, 4), repeat=2) for q in permutations((0, 1))
    ]
    rows = [[k[0], v[0], k[1], v[1], k[a], k[b]] for k, v, (a, b) in cases]
    return last(rows, [[v[a], v[b]] for _, v, (a, b) in cases])


def all_copies(longest, blank):
    symbols = [[3 + s for s in word] for word in words(range(1, longest + 1))]
    rows = [[0, *word, 1, *([2] * len(word) if blank else word)][:-1] for word in symbols]
    return last(rows, symbols)


def all_selective_copies(longest, context):
    rows, answers = [], []
    for word in words(range(1, longest + 1)):
        for positions in combinations(range(context), len(word)):
            symbols = dict(zip(positions, (2 + s for s in word), strict=True))
            rows.append([symbols.get(t, 0) for t in range(context)] + [1] * len(word))
            answers.append(list(symbols.values()))
    return last(rows, answers)


def all_selections(bins, d, length):
    """Every mu on an edge between bins or in the middle of a bin, in each order, with the gap met exactly or more."""
    grid = [j for j in product(range(1, 2 * bins + 1), repeat=length) if np.diff(sorted(j))[-1] >= 2]
    u = np.random.default_rng(1).uniform(-1, 1, (len(grid), length, d))
    x = np.concatenate([np.array(grid)[..., None] / (2 * bins), u], axis=2)
    return x, u[np.arange(len(grid)), np.argmax(grid, axis=1)]


# ---- no wrong answer


def test_recall_answers_all_sequences_of_two_pairs():
    net, params = recall(3, 2, 2)
    x, mask, answers = all_recalls()
    np.testing.assert_array_equal(net(params, x, where=mask)[0].argmax(axis=1), answers)


@pytest.mark.parametrize("blank", [False, True])
def test_copying_answers_all_binary_words_up_to_six(blank):
    net, params = copying(2, 6, 2)
    x, mask, answers = all_copies(6, blank)
    np.testing.assert_array_equal(net(params, x, where=mask)[0].argmax(axis=1), answers)


def test_selective_copying_answers_all_binary_words_up_to_six_at_all_positions():
    net, params = selective_copying(6, 7, 2)
    x, mask, answers = all_selective_copies(6, 7)
    np.testing.assert_array_equal(net(params, x, where=mask)[0].argmax(axis=1), answers)


def test_selection_is_exact_on_edges_and_middles_of_bins():
    net, params = selection(5, 2, 3)
    x, u = all_selections(5, 2, 3)
    np.testing.assert_allclose(net(params, x)[0][:, -1], u, rtol=0, atol=1e-13)


CASES = {
    "recall": (lambda dtype: recall(17, 11, 9, dtype=dtype), tasks.Recall(pairs=(3, 9), keys=17, values=11)),
    "copying": (lambda dtype: copying(3, 13, 11, dtype=dtype), tasks.Copying(3, 13, 11)),
    "copying, blanks": (lambda dtype: copying(3, 13, 11, dtype=dtype), tasks.Copying(3, 13, 11, blank=True)),
    "selective copying": (lambda dtype: selective_copying(6, 19, 11, dtype=dtype), tasks.SelectiveCopying(6, 19, 11)),
    "selection": (lambda dtype: selection(10, 3, 14, dtype=dtype), tasks.Selection(14, 0.1001, 3)),
}


@pytest.fixture(scope="module", params=CASES)
def case(request):
    """A large network, in float64: net, params, a batch of 200 sequences."""
    build, task = CASES[request.param]
    return request.param, *build("float64"), task.batch(np.random.default_rng(7), 200)


def assert_right(name, y, batch, tolerance=1e-12):
    mask = batch.weights > 0
    if name == "selection":
        np.testing.assert_allclose(y[mask], batch.targets[mask], rtol=0, atol=tolerance)
    else:
        np.testing.assert_array_equal(y[mask].argmax(axis=1), batch.targets[mask])


@pytest.mark.parametrize("mode", [*scan.MODES, "auto"])
def test_a_large_network_is_right_in_every_mode(case, mode):
    name, net, params, batch = case
    assert_right(name, net(params, batch.inputs, mode)[0], batch)


def test_a_large_network_is_right_in_single_precision(case):
    name, net, params, batch = case
    small, params32 = CASES[name][0]("float32")
    assert {leaf.dtype for leaf in tree.leaves(params32)} == {np.dtype("float32")}
    single = batch._replace(inputs=batch.inputs.astype("f4") if name == "selection" else batch.inputs)
    y, mask = small(params32, single.inputs)[0], batch.weights > 0
    assert_right(name, y, batch, 1e-5)
    np.testing.assert_allclose(y[mask], net(params, batch.inputs)[0][mask], rtol=0, atol=1e-5)


def test_a_large_network_is_right_in_steps_and_in_pieces_and_by_the_reference_bodies(case):
    """On a few sequences."""
    name, net, params, batch = case
    few = type(batch)(*(a[:9] for a in batch))
    x = few.inputs
    with ms.reference():
        y, _ = net(params, x)
    assert_right(name, y, few)
    first, state, _ = net.run(params, x[:, :5])
    np.testing.assert_allclose(np.concatenate([first, net.run(params, x[:, 5:], state)[0]], 1), y, atol=1e-10)
    step, state = net.stepper(params), net.start(params, len(x))
    for t in range(x.shape[1]):
        y_t, state = step(state, x[:, t])
        np.testing.assert_allclose(y_t, y[:, t], atol=1e-10)


def test_the_modes_don_t_differ_in_recall(case):
    name, net, params, batch = case
    if name == "recall":
        y = net(params, batch.inputs, "recurrent")[0]
        np.testing.assert_array_equal(net(params, batch.inputs, "chunked")[0], y)
        np.testing.assert_allclose(net(params, batch.inputs, "fft")[0], y, rtol=0, atol=1e-12)


def test_the_right_logit_is_one_and_no_other_above_one_less_two_over_the_bits(case):
    name, net, params, batch = case
    if name != "selection":
        mask = batch.weights > 0
        y, right = net(params, batch.inputs)[0][mask], batch.targets[mask]
        np.testing.assert_allclose(y[np.arange(len(right)), right], 1, atol=1e-12)
        y[np.arange(len(right)), right] = -9
        assert y.max() <= 1 - 2 / 4 + 1e-12
        markers = net.outputs - 11  # have a bias and no weight
        np.testing.assert_array_equal(y[:, :markers], NEVER)


def test_a_network_is_an_ordinary_model(rng, tmp_path):
    net, params = recall(3, 2, 2)
    ms.save(tmp_path / "recall.npz", net, params)
    again, loaded = ms.load(tmp_path / "recall.npz")[:2]
    assert again == net
    tree.map(np.testing.assert_array_equal, loaded, params)
    x, _, _ = all_recalls()
    agree_there(net, params, x[:5])
    off_the_kinks = tree.map(lambda a: a + 0.05 * draw(rng, *a.shape), params)
    ms.gradcheck(net, off_the_kinks, np.eye(5)[x[:2]], names=("p", "x"))


# ---- the length that a network serves


def test_recall_serves_the_length_that_stats_names_and_not_two_tokens_more():
    """Its first token, a key, stores nothing yet: one token more does no harm."""
    net, params = recall(3, 2, 2, length=9)
    longest = stats(net, params).length
    assert longest == 9
    x = np.array([[0, 4, 1, 3, *[1] * (longest - 3), 0]])
    right = [net(params, np.delete(x, slice(4, 4 + gone), 1))[0][0, -1].argmax() == 4 for gone in (2, 1, 0)]
    assert x.shape[1] == longest + 2
    assert right == [True, True, False]


def test_selection_serves_the_length_that_stats_names_and_not_one_token_more():
    net, params = selection(4, 2, 6)
    assert stats(net, params).length == 6
    x = np.full((1, 7, 3), 0.1)
    x[0, 0] = 0.9, 0.5, -0.7
    y = net(params, x)[0][0]
    np.testing.assert_allclose(y[:6], 6 * [[0.5, -0.7]], atol=1e-12)
    assert abs(y[6] - y[5]).max() > 0.1


def test_copying_serves_words_up_to_max_len_and_not_one_symbol_more():
    net, params = copying(1, 4, 2)
    assert stats(net, params).length == 9
    for n, wrong in ((4, False), (5, True)):
        word = [3, 4, 4, 3, 4][:n]
        y = net(params, np.array([[0, *word, 1, *word[:-1]]]))[0][0, n + 1 :]
        assert (y.argmax(axis=1) != word).any() == wrong
    assert stats(*selective_copying(3, 8, 2)).length == 11


# ---- each weight matters


def idle_weights(built, *inputs):
    """Names of the nonzero weights that change no answer where they are 0, and for how many accuracy stays 1."""
    net, params = built
    expected = [net(params, x, where=mask)[0] for x, mask in inputs]
    idle, unseen = [], 0
    for name, leaf in tree.named(params):
        flat = leaf.reshape(-1)
        for i in np.flatnonzero(flat):
            weight, flat[i] = flat[i], 0.0
            found = [net(params, x, where=mask)[0] for x, mask in inputs]
            flat[i] = weight
            if all(abs(a - b).max() < 1e-9 for a, b in zip(found, expected, strict=True)):
                idle.append(name)
            unseen += all((a.argmax(1) == b.argmax(1)).all() for a, b in zip(found, expected, strict=True))
    return idle, unseen


def test_each_weight_of_recall_changes_a_logit_though_not_each_an_answer():
    x, mask, _ = all_recalls()
    idle, unseen = idle_weights(recall(3, 2, 2), (x, mask))
    assert not idle
    assert unseen > 20
    # of random codes, those that have both signs in each column
    assert not idle_weights(recall(3, 2, 2, codes=4, seed=2), (x, mask))[0]


def test_each_weight_of_selective_copying_changes_a_logit():
    x, mask, _ = all_selective_copies(2, 3)
    assert not idle_weights(selective_copying(2, 3, 2), (x, mask))[0]


def test_each_weight_of_copying_changes_a_logit_but_a_hat_s_third():
    """Behind a gate, it is enough that a hat is 0 or less elsewhere: 2 units of a hat would do, where there are 3."""
    inputs = [all_copies(3, blank)[:2] for blank in (False, True)]
    idle, _ = idle_weights(copying(1, 3, 2), *inputs)
    assert idle == ["blocks.1.1.w"] * 2 + ["blocks.3.1.w"] * 2


def test_each_weight_of_selection_changes_an_answer():
    x, _ = all_selections(3, 1, 3)
    idle, _ = idle_weights(selection(3, 1, 3), (x, np.ones(x.shape[:2], bool)))
    assert idle == []


# ---- random keys


@pytest.mark.parametrize(("codes", "pairs", "draws", "sequences"), [(64, 17, 12, 9), (128, 33, 6, 5), (256, 33, 2, 5)])
def test_random_keys_are_wrong_as_rarely_as_proven_and_as_often_as_predicted(codes, pairs, draws, sequences):
    """Over several draws of the codes: for one draw, errors cluster. The prediction: a sum that is normal."""
    task, errors = tasks.Recall(pairs=pairs, keys=35, values=2), []
    for seed in range(draws):
        net, params = recall(35, 2, pairs, codes=codes, seed=seed, dtype="float32")
        batch = task.batch(np.random.default_rng(seed), sequences)
        mask = batch.weights > 0
        errors.append((net(params, batch.inputs, where=mask)[0].argmax(1) != batch.targets[mask]).mean())
    error, deviation = np.mean(errors), np.std(errors, ddof=1) / math.sqrt(draws)
    predicted = math.erfc(math.sqrt(codes / (pairs - 1) / 2)) / 2
    assert error <= math.exp(-codes / (2 * (pairs - 1))) + 3 * deviation
    assert abs(error - predicted) <= 4 * deviation + 0.005


def test_random_keys_are_drawn_by_their_seed():
    a, b, c = (recall(5, 3, 2, codes=7, seed=s)[1]["embed"]["w"] for s in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()
    assert set(a[:5, :7].ravel()) == {-1.0, 1.0}


def test_one_pair_with_a_random_key_has_no_error():
    net, params = recall(5, 3, 1, codes=7)
    y = net(params, np.array([[2, 6, 2], [4, 7, 4]]))[0][:, -1]
    np.testing.assert_allclose(y[[0, 1], [6, 7]], 1, atol=1e-13)


# ---- circuits


def evaluate(circuit, x):
    """The outputs for rows of inputs, by the library's fnn, in a block wider than the circuit."""
    width = max(circuit.sizes) + 2
    (block,) = ms.parse(circuit.spec)
    p = [{k: np.zeros_like(a) for k, a in q.items()} for q in block.init(np.random.default_rng(0), width)]
    write_fnn(p, circuit)
    x = np.asarray(x, float).reshape(len(x), -1)
    y, _ = layers.fnn(p, np.pad(x, ((0, 0), (0, width - x.shape[1]))), "relu")
    n = circuit.sizes[-1]
    assert not y[:, n:].any()
    return y[:, :n]


def test_gates_are_exact(rng):
    limit = 7.3
    v = np.concatenate([rng.uniform(-limit, limit, 50), [0, limit, -limit]])
    for times, bits in ((gate, (0, 1)), (signed_gate, (-1, 0, 1))):
        for b in bits:
            c = Circuit(2)
            c.outputs = [times(*c.inputs, limit)]
            assert c.sizes == [2, 2 if times is gate else 4, 1]
            y = evaluate(c, np.stack([np.full(v.shape, b), v], 1))[:, 0]
            np.testing.assert_allclose(y, b * v, rtol=0, atol=limit * 1e-15)


def test_a_gate_passes_a_wire_of_a_lower_level():
    c = Circuit(2)
    x, v = c.inputs
    c.outputs = [gate(hat(x, 2), v, 3.0)]
    assert c.sizes == [2, 5, 2, 1]  # hat 3, v 2; a gate has two units
    xs = [[x, v] for x in range(5) for v in (-3, -1.5, 0, 2)]
    np.testing.assert_allclose(evaluate(c, xs)[:, 0], [v * (x == 2) for x, v in xs], atol=1e-14)


def test_hats_and_indicators_are_exact():
    c, n = Circuit(1), 5
    (x,) = c.inputs
    c.outputs = [hat(x, 3), *one_hot(x, n)]
    assert c.sizes == [1, n, n + 1]  # the hat's units are among those of the indicators
    integers = np.arange(-9, n + 1)
    y = evaluate(c, integers)
    np.testing.assert_array_equal(y[:, 0], integers == 3)
    np.testing.assert_array_equal(y[:, 1:], integers[:, None] == np.arange(1, n + 1))
    np.testing.assert_allclose(evaluate(c, [2.25, 3.5])[:, 0], [0.25, 0.5])


def test_a_circuit_computes_what_numpy_computes(rng):
    """Random arithmetic on wires of several levels, beside the same on numbers."""
    x = draw(rng, 11, 3)
    for _ in range(40):
        c = Circuit(3)
        pool = list(zip(c.inputs, x.T, strict=True))
        for _ in range(rng.integers(1, 12)):
            (a, p), (b, q) = (pool[i] for i in rng.integers(len(pool), size=2))
            s, t = np.round(rng.normal(size=2), 1)
            choices = [
                (relu(a), np.maximum(p, 0)),
                (s * a + b * t - 1.5, s * p + q * t - 1.5),
                (t - a, t - p),
                (a - b, p - q),
                (-a + t, t - p),
            ]
            pool.append(choices[rng.integers(len(choices))])
        chosen = [pool[i] for i in rng.integers(len(pool), size=4)]
        c.outputs = [wire for wire, _ in chosen]
        np.testing.assert_allclose(evaluate(c, x), np.stack([y for _, y in chosen], 1), atol=1e-12)


def test_units_are_shared_and_lifted_wires_take_few():
    c = Circuit(2)
    x, y = c.inputs
    first = relu(x + 2.0 * y - 1.0)
    relu(2.0 * y - 1.0 + x)
    assert c.sizes[1:-1] == [1]
    relu(x + 2.0 * y)  # another bias: another unit
    assert c.sizes[1:-1] == [2]
    deep = relu(relu(first - 1.0) - 1.0)
    assert [len(units) for units in c.layers] == [2, 1, 1]
    c.outputs = [first, deep]  # a sum of units is lifted by one unit a level
    assert c.sizes == [2, 2, 2, 2, 2]
    c.outputs = [x, x - x + 3.0, 0.0 * x, deep]  # an input by two, a constant by none
    assert c.sizes == [2, 4, 4, 4, 4]
    np.testing.assert_array_equal(evaluate(c, [[-5, 2], [4, 1]]), [[-5, 3, 0, 0], [4, 3, 0, 3]])
    c.outputs = [first - 9.0, deep]  # a sum of units that may be below 0, by two
    np.testing.assert_array_equal(evaluate(c, [[-5, 2], [4, 1]]), [[-9, 0], [-4, 3]])


def test_a_circuit_without_units_is_an_affine_map():
    c = Circuit(2)
    c.outputs = [c.inputs[0] - 3.0 * c.inputs[1] + 0.5]
    assert c.spec == "fnn0"
    np.testing.assert_array_equal(evaluate(c, [[1, 2], [0, 0]]), [[-4.5], [0.5]])


# ---- counts


def test_stats_are_those_of_a_count_by_hand():
    """A network of two units: 3 |x - y| + 1 = 3 relu(x - y) + 3 relu(y - x) + 1."""
    c = Circuit(2)
    x, y = c.inputs
    c.outputs = [3.0 * relu(x - y) + 3.0 * relu(y - x) + 1.0]
    net = ms.Model(
        f"trig(window=6, expand=1) + {c.spec}", inputs=2, outputs=1, width=4, residual=False, dtype="float64"
    )
    params = ms.zeros(net)
    params["embed"]["w"][[0, 1], [0, 1]] = params["head"]["w"][0, 0] = 1
    write_fnn(params["blocks"][1], c)
    s = stats(net, params)
    assert (s.L, s.W, s.S, s.B) == (2, 4, 2 + 4 + 2 + 1 + 1, 3.0)  # embedding, w, w and b, readout
    filter_size, fnn_size = 4 * 4 + 4 + 4 * 4 + 4 + 4 * 4 + 4, 4 * 2 + 2 + 2 * 4 + 4
    assert (s.size, s.state, s.length) == (2 * 4 + 4 + filter_size + fnn_size + 4 + 1, 4 * 6, None)
    params["blocks"][0]["filter"]["c"][2] = (-4, 0)
    s = stats(net, params)
    assert (s.S, s.B, s.length) == (11, 4.0, 7)
    two = ms.Model("trig(window=3) + trig(window=6)", vocab=2, width=2)
    params = two.init(np.random.default_rng(0))
    for p in params["blocks"]:
        p["filter"]["a"][1], p["filter"]["c"][1] = 0, (1, 0)
    assert stats(two, params).length == 4  # the shorter of two sums
    for build in (recall(5, 3, 2), copying(2, 3, 4), selective_copying(2, 4, 3), selection(3, 2, 4)):
        leaves = tree.leaves(build[1])
        nonzeros, size = stats(*build).S, stats(*build).size
        assert nonzeros == sum(np.count_nonzero(leaf) for leaf in leaves)
        assert size == sum(leaf.size for leaf in leaves)


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda: recall(6, 6, 4), (4, 42, 471, 10.0, 7098, 288, 12)),
        (lambda: recall(16, 64, 12), (4, 208, 2834, 12.0, 159968, 4032, 36)),
        (lambda: copying(4, 12, 8), (6, 84, 1168, 24.0, 31210, 1776, 25)),
        (lambda: selective_copying(5, 16, 8), (6, 35, 503, 10.0, 6040, 640, 21)),
        (lambda: selection(10, 2, 8), (7, 49, 489, 1e6, 15251, 203, 8)),
        (lambda: selection(10, 2, 32), (7, 49, 489, 1e6, 15251, 899, 32)),
    ],
)
def test_the_sizes_of_the_four(build, expected):
    """L, W, S, B, size, state, length."""
    s = stats(*build())
    assert tuple(s) == (*expected[:3], pytest.approx(expected[3]), *expected[4:])


def test_the_sizes_of_recall_grow_as_the_docs_say():
    for K, V in ((3, 5), (7, 16), (11, 2)):
        b = max(1, math.ceil(math.log2(V)))
        nonzeros = stats(*recall(K, V, 2)).S
        assert nonzeros == 19 * K * b + 14 * K + 3 * b + 2 * V * b


def test_stats_count_trained_models_too(rng):
    net = ms.Model("trig(window=3) + fnn2(width=50) + attn(max_len=9)", vocab=5, width=6)
    s = stats(net, net.init(rng))
    assert (s.L, s.W, s.length, s.size) == (3, 50, None, net.size)
    assert 0.5 * net.size < s.S <= net.size
    assert s.state == net.state_size()
    fir = ms.Model("fir(window=4)", vocab=5, width=2, dtype="float64")
    p = ms.zeros(fir)
    assert stats(fir, p)[2:4] == (0, 0.0)
    p["blocks"][0]["filter"]["k"][1] = -3.0
    assert stats(fir, p)[2:] == (5, 3.0, fir.size, 16, 5)


# ---- wrong arguments


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: recall(0, 6, 4), "recall: keys=0; expected an integer, 1 or more"),
        (lambda: recall(6, 2.5, 4), "recall: values=2.5; expected an integer"),
        (lambda: recall(6, 6, True), "recall: pairs=True; expected an integer"),
        (lambda: recall(6, 6, 7), "recall: keys=6, pairs=7; the keys of a sequence differ, expected pairs <= keys"),
        (lambda: recall(6, 6, 4, length=8), "recall: length=8; 4 pairs and a query have 9 tokens, give more"),
        (lambda: recall(6, 6, 4, length="x"), "recall: length='x'; expected an integer"),
        (lambda: recall(6, 6, 4, codes=0), "recall: codes=0; expected an integer, 1 or more, or None"),
        (lambda: recall(6, 6, 4, codes=8, seed=-1), "recall: seed=-1; expected an integer, 0 or more"),
        (lambda: recall(6, 6, 4, dtype="float16"), "Model: dtype='float16'; expected one of float32, float64"),
        (lambda: recall(10**6, 6, 4), "recall: an array of .* numbers; expected 100,000,000 at most"),
        (lambda: recall(9, 10**15, 4), "recall: an array of .* numbers; expected 100,000,000 at most"),
        (lambda: recall(6, 6, 4, codes=10**9), "recall: an array of .* numbers; expected 100,000,000 at most"),
        (lambda: recall(6, 6, 4, length=10**9), "recall: an array of .* numbers; expected 100,000,000 at most"),
        (lambda: copying(0, 6, 2), "copying: min_len=0; expected an integer, 1 or more"),
        (lambda: copying(7, 6, 2), "copying: min_len=7, max_len=6; expected min_len <= max_len"),
        (lambda: copying(1, 6, None), "copying: symbols=None; expected an integer"),
        (lambda: copying(1, 10**6, 2), "copying: an array of .* numbers; expected 100,000,000 at most"),
        (lambda: selective_copying(9, 8, 2), "selective_copying: copied=9, context=8; expected copied <= context"),
        (lambda: selective_copying(2, 10**9, 2), "selective_copying: an array of .* numbers"),
        (lambda: selection(0, 2, 8), "selection: bins=0; expected an integer, 1 or more"),
        (lambda: selection(10, 2, 0), "selection: length=0; expected an integer, 1 or more"),
        (
            lambda: selection(10, 2, 8, delta=0.2),
            r"selection: delta=0.2; expected a number above 0, to 1 / bins = 0.1",
        ),
        (lambda: selection(10, 2, 8, delta=0), r"selection: delta=0; expected a number above 0"),
        (lambda: selection(10, 10**7, 8), "selection: an array of .* numbers; expected 100,000,000 at most"),
        (lambda: Circuit(0), "Circuit: inputs=0; expected an integer, 1 or more"),
        (lambda: Circuit(1).inputs[0] + Circuit(1).inputs[0], "Wire: a sum of wires of two circuits"),
        (lambda: Circuit(1).inputs[0] + "x", "Wire: term='x'; expected a wire or number"),
        (lambda: Circuit(1).inputs[0] * np.inf, "Wire: factor=inf; expected a number"),
        (lambda: Circuit(1).inputs[0] * Circuit(1).inputs[0], "Wire: factor=.*; for b v of two wires see gate"),
        (lambda: one_hot(Circuit(1).inputs[0], 0), "one_hot: n=0; expected an integer, 1 or more"),
        (lambda: setattr(Circuit(1), "outputs", []), "Circuit: 0 outputs; expected a list of wires of this circuit"),
        (lambda: setattr(Circuit(1), "outputs", Circuit(1).inputs), "Circuit: 1 outputs; expected a list of wires"),
    ],
)
def test_wrong_arguments_are_one_sentence(call, sentence):
    with pytest.raises(ValueError, match="^" + sentence.replace("(", r"\(")) as error:
        call()
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 200


def test_what_is_no_wire_no_model_and_no_room_is_refused():
    c = Circuit(2)
    c.outputs = [relu(x) for x in c.inputs] * 2
    with pytest.raises(ValueError, match="Circuit: 2 outputs; expected a list of wires of this circuit"):
        c.outputs = [c.inputs[0], Circuit(2).inputs[0]]
    small = [{"w": np.zeros((3, 3)), "b": np.zeros(3)}, {"w": np.zeros((3, 3)), "b": np.zeros(3)}]
    for p in (small, small[:1], []):
        with pytest.raises(ValueError, match=re.escape("write_fnn: p doesn't hold fnn1(width=2, act='relu')")):
            write_fnn(p, c)
    with pytest.raises(ValueError, match="write_fnn: p doesn't hold"):
        write_fnn(None, c)
    assert not any(leaf.any() for leaf in tree.leaves(small))
    net, params = recall(3, 2, 2)
    with pytest.raises(ValueError, match="Model: parameters with"):
        stats(net, params["blocks"])
    with pytest.raises(TypeError, match="stats: net is of type NoneType; expected a Model"):
        stats(None, params)
