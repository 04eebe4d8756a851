"""The training loop."""

import numpy as np
import pytest

from minissm import Model, evaluate, fit, tasks, train, tree

TASK = tasks.associative_recall(2, 3, 3)


def setting(seed=0, sentence="ssm + fnn1 + ssm + fnn1", **options):
    rng = np.random.default_rng(seed)
    net = Model(sentence, vocab=TASK.vocab, **{"width": 12} | options)
    return net, net.init(rng), rng


def test_a_small_model_learns_a_small_task():
    net, params, rng = setting()
    before = evaluate(net, params, TASK, np.random.default_rng(9), 500)
    params, log = fit(net, params, TASK, 300, rng, progress=False)
    after = evaluate(net, params, TASK, np.random.default_rng(9), 500)
    assert before.token_accuracy < 0.6
    assert after.token_accuracy > 0.95
    assert after.loss < 0.3 * before.loss
    assert [row["step"] for row in log.rows] == list(range(20, 301, 20))
    assert log.rows[-1]["training_loss"] < 0.5 * log.rows[0]["training_loss"]
    assert log.stopped == ""


def test_attention_learns_it_too():
    net, params, rng = setting(sentence="attn + fnn1 + attn + fnn1")
    params, _ = fit(net, params, TASK, 300, rng, progress=False)
    assert evaluate(net, params, TASK, np.random.default_rng(9), 500).token_accuracy > 0.98


def test_the_same_seed_gives_the_same_bits_and_the_given_parameters_stay():
    results = []
    for _ in range(2):
        net, params, rng = setting()
        before = tree.map(np.copy, params)
        results.append(fit(net, params, TASK, 12, rng, progress=False))
        tree.map(np.testing.assert_array_equal, params, before)
    (first, log), (second, log2) = results
    tree.map(np.testing.assert_array_equal, first, second)
    assert log == log2


def test_a_step_is_forward_loss_backward_clip_update():
    net, params, rng = setting(dtype="float64")
    batch = TASK.batch(rng, 8)
    new, state, loss = train.step(net, params, batch, None, 0.01)
    assert state.n == 1
    assert loss == pytest.approx(evaluate_loss(net, params, batch), rel=1e-12)
    assert evaluate_loss(net, new, batch) < loss


def evaluate_loss(net, params, batch):
    z = net(params, batch.tokens)[0]
    log_p = z - np.log(np.exp(z).sum(axis=-1, keepdims=True))
    picked = np.take_along_axis(log_p, batch.targets[..., None], axis=-1)[..., 0]
    return -(picked * batch.weights).sum() / batch.weights.sum()


def test_divergence_stops_with_a_sentence_and_the_last_finite_parameters():
    net, params, rng = setting()
    with np.errstate(all="ignore"):
        params, log = fit(net, params, TASK, 200, rng, lr=1e20, progress=False)
    assert "the loss was" in log.stopped
    assert "try a smaller lr than 1e+20" in log.stopped
    assert "\n" not in log.stopped
    assert np.isfinite(evaluate(net, params, TASK, rng, 64).loss)
    assert all(np.isfinite(a).all() for a in tree.leaves(params))


def test_an_interrupt_keeps_what_is_done():
    net, params, rng = setting()

    def on_step(i):
        if i == 25:
            raise KeyboardInterrupt

    trained, log = fit(net, params, TASK, 100, rng, progress=False, on_step=on_step)
    assert log.stopped == "interrupted after 25 of 100 steps"
    assert [row["step"] for row in log.rows] == [6, 12, 18, 24]
    net, params, rng = setting()
    assert any((a != b).any() for a, b in zip(tree.leaves(trained), tree.leaves(params), strict=True))


def test_evaluation_counts_tokens_and_whole_sequences():
    """A model that always answers token 3 (the first value): right where the target is 3."""
    net, params, _ = setting(sentence="fnn0")
    params = tree.map(np.zeros_like, params)
    params["head"]["b"][3] = 1
    batch = TASK.batch(np.random.default_rng(5), 100)
    scores = evaluate(net, params, TASK, np.random.default_rng(5), 100)
    answers = batch.targets[:, -2:] == 3
    assert scores.token_accuracy == pytest.approx(answers.mean())
    assert scores.sequence_accuracy == pytest.approx(answers.all(axis=1).mean())
    z = np.log(np.exp(1) + 5)
    assert scores.loss == pytest.approx(z - answers.mean(), rel=1e-5)


def test_the_number_of_sequences_does_not_have_to_fill_batches():
    net, params, _ = setting(sentence="fnn0")
    assert 0 <= evaluate(net, params, TASK, np.random.default_rng(0), 251).token_accuracy <= 1
    assert 0 <= evaluate(net, params, TASK, np.random.default_rng(0), 1).token_accuracy <= 1
