"""The training loop."""

import importlib
import os
import re
import shutil
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from minissm import Model, evaluate, fit, losses, optim, reference, save, tasks, train, tree
from minissm.backend import REFERENCE
from minissm.checkpoint import load_tree, save_tree
from minissm.fast import parallel

TASK = tasks.Recall(2, 3, 3)
OTHER = Model("ssm + attn", vocab=TASK.vocab, width=4)


def setting(seed=0, spec="ssm + fnn1 + ssm + fnn1", **options):
    rng = np.random.default_rng(seed)
    net = Model(spec, vocab=TASK.vocab, **{"width": 12} | options)
    return net, net.init(rng), rng


def test_a_small_model_learns_a_small_task():
    net, params, rng = setting()
    before = evaluate(net, params, TASK, np.random.default_rng(9), 500)
    params, log = fit(net, params, TASK, 300, rng, progress=False)
    after = evaluate(net, params, TASK, np.random.default_rng(9), 500)
    assert before["token_accuracy"] < 0.6
    assert after["token_accuracy"] > 0.95
    assert after["loss"] < 0.3 * before["loss"]
    assert [row["step"] for row in log.rows] == list(range(20, 301, 20))
    assert log.rows[-1]["training_loss"] < 0.5 * log.rows[0]["training_loss"]
    assert log._repr_html_().count("<tr>") == 1 + 15
    assert f"<td>{after['loss']:.4g}</td>" in after._repr_html_()
    assert repr(after) == repr(dict(after)), "plain text is as it was"
    assert log.stopped == ""


def test_attention_learns_it_too():
    net, params, rng = setting(spec="attn + fnn1 + attn + fnn1")
    params, _ = fit(net, params, TASK, 300, rng, progress=False)
    assert evaluate(net, params, TASK, np.random.default_rng(9), 500)["token_accuracy"] > 0.98


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
    z = net(params, batch.inputs)[0]
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
    assert np.isfinite(evaluate(net, params, TASK, rng, 64)["loss"])
    assert all(np.isfinite(a).all() for a in tree.leaves(params))


def test_an_interrupt_keeps_what_is_done():
    net, params, rng = setting()

    def on_step(i):
        if i == 25:
            raise KeyboardInterrupt

    trained, log = fit(net, params, TASK, 100, rng, progress=False, on_step=on_step)
    assert log.stopped == "interrupted after 25 of 100 steps"
    assert [row["step"] for row in log.rows] == [7, 14, 21]
    net, params, rng = setting()
    assert any((a != b).any() for a, b in zip(tree.leaves(trained), tree.leaves(params), strict=True))


def test_evaluation_counts_tokens_and_whole_sequences():
    """A model that always answers token 3 (the first value): right where the target is 3."""
    net, params, _ = setting(spec="fnn0")
    params = tree.map(np.zeros_like, params)
    params["head"]["b"][3] = 1
    batch = TASK.batch(np.random.default_rng(5), 100)
    scores = evaluate(net, params, TASK, np.random.default_rng(5), 100)
    answers = batch.targets[:, -2:] == 3
    assert scores["token_accuracy"] == pytest.approx(answers.mean())
    assert scores["sequence_accuracy"] == pytest.approx(answers.all(axis=1).mean())
    z = np.log(np.exp(1) + 5)
    assert scores["loss"] == pytest.approx(z - answers.mean(), rel=1e-5)


def test_the_number_of_sequences_does_not_have_to_fill_batches():
    net, params, _ = setting(spec="fnn0")
    assert 0 <= evaluate(net, params, TASK, np.random.default_rng(0), 251)["token_accuracy"] <= 1
    assert 0 <= evaluate(net, params, TASK, np.random.default_rng(0), 1)["token_accuracy"] <= 1


@dataclass(frozen=True)
class Sometimes(tasks.Recall):
    """Every second sequence asks nothing, beginning with the first of each batch. The batches `silent` ask nothing."""

    silent: tuple[int, ...] = ()

    def batch(self, rng, n, step=0):
        batch = super().batch(rng, n, step)
        batch.weights[:: 1 if step in self.silent else 2] = 0
        return batch


def test_a_sequence_that_asks_nothing_counts_in_no_score():
    task, (net, params, _) = Sometimes(2, 3, 3), setting(spec="fnn0")
    params = tree.map(np.zeros_like, params)
    params["head"]["b"][3] = 1
    scores = [evaluate(net, params, task, np.random.default_rng(0), n) for n in (250, 251)]
    assert scores[0] == scores[1], "the last one is a batch of its own"
    scores.append(evaluate(net, params, Sometimes(2, 3, 3, silent=(0,)), np.random.default_rng(0), 500))
    rng = np.random.default_rng(0)
    for found in (scores[0], scores[2]):
        right = TASK.batch(rng, 250).targets[1::2, -2:] == 3
        assert found["sequence_accuracy"] == pytest.approx(right.all(axis=1).mean())
        assert found["token_accuracy"] == pytest.approx(right.mean())
    with pytest.raises(ValueError, match="evaluate: no answer of 251 sequences counts; expected a weight above 0"):
        evaluate(net, params, Sometimes(2, 3, 3, silent=(0, 1)), np.random.default_rng(0), 251)


def test_a_loss_that_breaks_in_the_last_step_is_seen():
    net, params, rng = setting()
    with np.errstate(all="ignore"):
        trained, log = fit(net, params, TASK, 1, rng, lr=1e30, progress=False)
    assert "after step 1 of 1" in log.stopped
    tree.map(np.testing.assert_array_equal, trained, params)


def test_a_step_clips_the_gradient():
    net, params, rng = setting(dtype="float64")
    batch = TASK.batch(rng, 8)
    logits, backward = net(params, batch.inputs)
    grads, _ = backward(losses.cross_entropy(logits, batch.targets, batch.weights)[1]())
    expected, _ = optim.adamw(params, optim.clip(grads, 1e-9)[0], lr=0.01)
    new, _, _ = train.step(net, params, batch, None, 0.01, clip=1e-9)
    tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=0), new, expected)
    assert any(
        (a != b).any()
        for a, b in zip(*map(tree.leaves, (new, train.step(net, params, batch, None, 0.01)[0])), strict=True)
    )


def test_fit_follows_the_schedule_and_hands_its_options_on(monkeypatch):
    net, params, rng = setting()
    seen, clips = [], []
    monkeypatch.setattr(train, "loss_and_gradient", lambda *a: seen.append(a[-2:]) or ZERO)
    monkeypatch.setattr(optim, "clip", lambda g, limit: clips.append(limit) or (g, None))
    monkeypatch.setattr(optim, "adamw_vector", lambda w, g, state, *, lr: seen.append(lr) or (w, state))
    ZERO = np.float32(1), np.float32(0)
    fit(net, params, TASK, 10, rng, lr=0.3, clip=0.7, mode="fft", progress=False)
    assert seen[::2] == [(TASK.loss, "fft")] * 10
    assert seen[1::2] == [0.3 * optim.warmup_cosine(i, 10) for i in range(10)]
    assert clips == [0.7] * 10


def test_evaluations_change_nothing():
    results = []
    for evals in (1, 7):
        net, params, rng = setting()
        results.append(fit(net, params, TASK, 20, rng, evals=evals, progress=False))
    tree.map(np.testing.assert_array_equal, results[0][0], results[1][0])
    assert [len(log.rows) for _, log in results] == [1, 7]
    assert results[1][1].rows[-1]["step"] == 20, "the last step is evaluated"


def broken_losses(monkeypatch, change):
    """The loss of step i (the first is 1) becomes change(i, loss), however often it is computed."""
    compute, count = train.loss_and_gradient, iter(range(1, 10**6))

    def changed(*args):
        value, gradient = compute(*args)
        return change(next(count), value), gradient

    monkeypatch.setattr(train, "loss_and_gradient", changed)


def test_the_training_loss_is_the_mean_since_the_last_evaluation(monkeypatch):
    net, params, rng = setting()
    broken_losses(monkeypatch, lambda i, _: np.float32(i))
    _, log = fit(net, params, TASK, 6, rng, evals=3, progress=False)
    assert [row["training_loss"] for row in log.rows] == [1.5, 3.5, 5.5]


def test_blas_has_one_thread_while_training_unless_told(monkeypatch):
    def on_step(_):
        found.append([i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"])

    net, params, rng = setting()
    monkeypatch.setattr(parallel, "_cores", lambda: 2)
    importlib.import_module("scipy.linalg")  # the first training would load SciPy's BLAS
    with threadpool_limits(2, "blas"):
        outside = [i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"]
        for threads, expected in ((1, [1] * len(outside)), (None, outside)):
            found = []
            fit(net, params, TASK, 1, rng, threads=threads, progress=False, on_step=on_step)
            assert found == [expected]
        found = []
        fit(net, params, TASK, 1, rng, progress=False, on_step=on_step)
        assert found == [[1] * len(outside)]


@pytest.mark.parametrize("at_once", [1, 2])
def test_trainings_in_two_threads_have_the_bits_of_one(at_once):
    """Both threads live on, as those of an event loop or a notebook do."""
    overlap, found = threading.Barrier(at_once, timeout=600), []

    def on_step(i):
        found.append({i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"})
        if i == 5:
            overlap.wait()

    def training(on_step=on_step):
        net, params, rng = setting()
        return fit(net, params, TASK, 9, rng, progress=False, on_step=on_step)

    whole = training(None)
    with threadpool_limits(3, "blas"), ThreadPoolExecutor(1) as a, ThreadPoolExecutor(1) as b:
        first = a.submit(training)
        if at_once == 1:
            first.result()
        for future in (first, b.submit(training)):
            same(future.result(), whole)
        assert {i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"} == {3}
    assert found == [{1}] * 18


def test_a_numpy_rate_does_not_change_the_precision():
    net, params, rng = setting()
    params, _ = fit(net, params, TASK, 2, rng, lr=np.float64(1e-3), clip=np.float64(1), progress=False)
    assert {a.dtype for a in tree.leaves(params)} == {np.dtype(np.float32)}


def test_wrong_requests_are_refused_in_one_sentence():
    net, params, rng = setting()
    with pytest.raises(ValueError, match="fit: steps=-3; expected an integer, 1 or more"):
        fit(net, params, TASK, -3, rng)
    with pytest.raises(ValueError, match="fit: batch=0; expected an integer"):
        fit(net, params, TASK, 3, rng, batch=0)
    with pytest.raises(ValueError, match="fit: until=nan; expected a score, or None"):
        fit(net, params, TASK, 3, rng, until=float("nan"))
    with pytest.raises(ValueError, match="evaluate: n=0; expected an integer"):
        evaluate(net, params, TASK, rng, 0)
    other = Model("ssm", vocab=TASK.vocab, outputs=2, width=4)
    with pytest.raises(
        ValueError, match=r"fit: .* for the task recall\(.*\); expected vocab=6, and outputs for all answers"
    ):
        fit(other, other.init(rng), TASK, 3, rng)


# ---- a training that is interrupted


class Pause(KeyboardInterrupt):
    """Ctrl-C after so many steps."""

    def __init__(self, at):
        self.at = at

    def __call__(self, done):
        if done == self.at:
            raise self


def trained(path, steps=30, on_step=None, *, seed=0, bits=np.random.PCG64, generator=None, task=TASK, **options):
    net = Model("ssm + attn", vocab=task.vocab, width=4)
    params = options.pop("params", None) or net.init(np.random.default_rng(0))
    rng = generator or np.random.Generator(bits(seed))
    options = {"batch": 8, "evals": 4, "progress": False, "on_step": on_step, "checkpoint": path} | options
    return fit(net, params, task, steps, rng, **options)


def same(one, other):
    (params, log), (params2, log2) = one, other
    assert log == log2
    assert [a.tobytes() for a in tree.leaves(params)] == [a.tobytes() for a in tree.leaves(params2)]


@pytest.mark.parametrize("bits", [np.random.PCG64, np.random.MT19937, np.random.SFC64])
def test_a_training_goes_on_to_the_same_bits_however_often_it_is_interrupted(tmp_path, bits):
    path, whole = tmp_path / "fit.npz", trained(None, bits=bits)
    for at in (1, 2, 7, 8, 9, 21, 29):
        _, log = trained(path, on_step=Pause(at), bits=bits)
        assert log.stopped == f"interrupted after {at} of 30 steps"
    same(trained(path, bits=bits), whole)
    assert os.listdir(tmp_path) == ["fit.npz"]


@pytest.mark.parametrize("place", ["loss_and_gradient", "evaluate"])
def test_an_interrupt_in_the_midst_of_a_step_loses_that_step_alone(place, tmp_path, monkeypatch):
    """Drawn, but not trained on: the generators go back too, so that the same one may go on."""
    path, whole, rng = tmp_path / "fit.npz", trained(None), np.random.default_rng(0)
    with monkeypatch.context() as patched:
        call, calls = getattr(train, place), []

        def interrupted(*args):
            calls.append(args)
            result = call(*args)
            if len(calls) == 2:
                raise KeyboardInterrupt
            return result

        patched.setattr(train, place, interrupted)
        assert "interrupted" in trained(path, generator=rng)[1].stopped
    same(trained(path, generator=rng), whole)


def test_a_checkpoint_is_written_every_so_many_seconds(tmp_path):
    """Nothing is caught here, as at kill -9: what goes on is the last checkpoint."""
    path, seen = tmp_path / "fit.npz", []

    def killed(done):
        seen.append(path.exists())
        if done == 17:
            raise SystemExit

    with pytest.raises(SystemExit):
        trained(path, on_step=killed, every=1000)
    assert not any(seen)
    with pytest.raises(SystemExit):
        trained(path, on_step=killed, every=0)
    assert seen[-16:] == [True] * 16
    assert load_tree(path)["state"]["done"] == 16
    same(trained(path), trained(None))


def test_a_finished_training_returns_at_once_and_says_so(tmp_path, capsys):
    path = tmp_path / "fit.npz"
    first = trained(path)
    found = load_tree(path)
    save_tree(path, found | {"state": found["state"] | {"seconds": 1000.0}})
    again = trained(path, on_step=lambda _: pytest.fail("trained again"), progress=True)
    same(again, first)
    assert 1000 <= again[1].seconds < 1100
    assert "holds this training, finished; delete it to train anew" in capsys.readouterr().out


@pytest.mark.parametrize("main", [("token_accuracy", "higher"), ("loss", "lower")])
def test_until_ends_a_training_at_its_first_evaluation_that_is_as_good(main, tmp_path, monkeypatch):
    """An interruption before it changes nothing, and a training that it has ended has no step to do."""
    monkeypatch.setattr(tasks.Recall, "main", main)
    rows = trained(None, evals=6)[1].rows
    until = rows[3][main[0]]
    first = next(i for i, r in enumerate(rows) if (r[main[0]] >= until if main[1] == "higher" else r["loss"] <= until))
    whole = trained(None, evals=6, until=until)
    assert (whole[1].rows, whole[1].stopped) == (rows[: first + 1], "")
    for at in (7, 0, 1):
        again = trained(tmp_path / "fit.npz", on_step=Pause(at), evals=6, until=until)
    same(again, whole)


def test_a_notebook_cell_that_is_run_again_goes_on(tmp_path):
    """params and rng as the interrupted fit left them, or one of them as it was at the beginning."""
    whole, path = trained(None), tmp_path / "fit.npz"
    for keep_params in (False, True):
        rng, params = np.random.default_rng(0), None
        for at in (3, 8, 21):
            left, log = trained(path, on_step=Pause(at), generator=rng, params=params)
            assert log.stopped == f"interrupted after {at} of 30 steps"
            params = None if keep_params else left
        same(trained(path, generator=rng, params=params), whole)
        same(trained(path, generator=rng), whole)
        path.unlink()


def test_a_training_that_broke_off_stays_broken_off(tmp_path):
    path = tmp_path / "fit.npz"
    with np.errstate(all="ignore"):
        first = trained(path, lr=1e20)
        assert "the loss was" in first[1].stopped
        same(trained(path, lr=1e20), first)


def test_the_seconds_before_an_interruption_count(tmp_path):
    path = tmp_path / "fit.npz"
    trained(path, on_step=Pause(3))
    found = load_tree(path)
    save_tree(path, found | {"state": found["state"] | {"seconds": 1000.0}})
    assert 1000 < trained(path)[1].seconds < 1100


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"steps": 31}, "steps=30; steps=31 was given"),
        ({"lr": 1e-3}, "lr=0.008; lr=0.001"),
        ({"batch": 9}, "batch=8; batch=9"),
        ({"clip": 2}, "clip=1.0; clip=2.0"),
        ({"evals": 5}, "evals=4; evals=5"),
        ({"mode": "fft"}, "mode=auto; mode=fft"),
        ({"bits": np.random.MT19937}, "began with another seed"),
        ({"seed": 1}, "began with another seed"),
        (
            {"params": Model("ssm + attn", vocab=6, width=4).init(np.random.default_rng(1))},
            "began with other parameters",
        ),
        ({"task": tasks.Copying()}, "net=Model"),
        (
            {"task": tasks.Recall(2, 4, 2)},
            "task=recall(pairs=2, keys=3, values=3); task=recall(pairs=2, keys=4, values=2)",
        ),
    ],
    ids=lambda v: str(v)[:40],
)
def test_a_checkpoint_of_another_training_is_refused_and_stays(tmp_path, changed, words):
    path = tmp_path / "fit.npz"
    trained(path, on_step=Pause(3))
    before = path.read_bytes()
    with pytest.raises(ValueError, match=rf"^fit: .*fit.npz holds a training .*{re.escape(words)}.*; give") as caught:
        trained(path, **changed)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before


def test_a_file_that_is_no_checkpoint_is_refused_and_stays(tmp_path):
    path = tmp_path / "fit.npz"
    net, params, _ = setting()
    save(path, net, params)
    with pytest.raises(ValueError, match=r"^fit: .*fit.npz holds no training; give another name"):
        trained(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"^load: .*fit.npz is not a whole checkpoint .*; delete it to train anew"):
        trained(path)


@pytest.mark.parametrize("name", ["", "gone/fit.npz", "file/fit.npz", "folder", "x" * 256, "loop"])
def test_a_checkpoint_that_cannot_be_written_is_refused_before_the_first_step(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    before = os.listdir(tmp_path)
    with pytest.raises(OSError, match=r"fit: .*; expected the name of a file that can be written") as caught:
        trained(name, on_step=lambda _: pytest.fail("trained"))
    assert caught.value.filename == name
    assert os.listdir(tmp_path) == before


@pytest.mark.parametrize("back", [None, 8])
def test_a_checkpoint_that_can_no_longer_be_written_costs_no_step(tmp_path, capsys, back):
    folder, whole = tmp_path / "folder", trained(None, 12)

    def on_step(done):
        if done == 4:
            shutil.rmtree(folder)
        if done == back:
            folder.mkdir()

    folder.mkdir()
    params, log = trained(folder / "fit.npz", 12, every=0, on_step=on_step, progress=True)
    same((params, train.Log(log.rows)), whole)
    assert "the checkpoint was not written after step 4: " in capsys.readouterr().out
    if back:
        assert log.stopped == ""
        same(trained(folder / "fit.npz", 12, on_step=lambda _: pytest.fail("trained again")), whole)
    else:
        assert log.stopped.startswith("the checkpoint was not written after step 12: [Errno 2] No such file")


def made(loss=losses.cross_entropy, first=0):
    """A task of a user, with a loss of its own, or another first token."""

    @dataclass(frozen=True)
    class Made(tasks.Recall):
        def batch(self, rng, n, step=0):
            return super().batch(rng, n, step)

    if first:
        Made.batch = lambda self, rng, n, step=0: super(Made, self).batch(rng, n, step + first)
    Made.loss = staticmethod(loss)
    return Made(2, 3, 3)


@pytest.mark.parametrize(
    ("changed", "words"),
    [({"threads": 2}, "had threads 1, now 2: "), ({"task": made(first=1)}, "had code of your own "), ({}, "")],
    ids=str,
)
def test_a_training_goes_on_elsewhere_with_a_note(tmp_path, capsys, changed, words):
    path, options = tmp_path / "fit.npz", {"task": made(), "steps": 12}
    trained(path, on_step=Pause(3), **options)
    for again in (changed, changed, {}):  # it is finished after the first time
        outcome = trained(path, **options | again | {"progress": True})
        same(outcome, trained(None, **options))
        assert len(outcome[1].notes) == bool(words)
        for note in outcome[1].notes:
            assert words in note
            assert f"fit: {note}" in capsys.readouterr().out


@pytest.mark.skipif(REFERENCE, reason="every training has reference bodies")
def test_reference_bodies_are_noted_and_another_loss_is_refused(tmp_path):
    path, options = tmp_path / "fit.npz", {"task": made(), "steps": 12}
    trained(path, on_step=Pause(3), **options)
    with reference():
        assert "fast paths on, now off" in trained(path, on_step=Pause(9), **options)[1].notes[0]
    first, second = trained(path, **options)[1].notes
    assert first.startswith(f"the first 3 steps of {path} had ")
    assert second.startswith(f"the first 9 steps of {path} had fast paths off, now on")
    with pytest.raises(ValueError, match="loss=cross_entropy; loss=other was given"):
        trained(path, steps=12, task=made(loss=other))


def other(*args):
    return losses.cross_entropy(*args)


def test_a_checkpoint_of_an_earlier_version_is_gone_on_with(tmp_path):
    path = tmp_path / "fit.npz"
    trained(path, on_step=Pause(3))
    content = load_tree(path)
    del content["surroundings"], content["plan"]["loss"], content["state"]["notes"]
    save_tree(path, content)
    same(trained(path), trained(None))


def test_a_batch_without_an_answer_or_of_wrong_shapes_is_refused_in_one_sentence():
    net, params, rng = setting()
    batch = TASK.batch(rng, 2)
    with pytest.raises(ValueError, match="train: no answer of the batch counts"):
        train.step(net, params, batch._replace(weights=0 * batch.weights), None, 0.01)
    with pytest.raises(ValueError, match=r"train: a batch with inputs .*, targets \(2,\), weights \(2, 6\); expected"):
        train.step(net, params, batch._replace(targets=batch.targets[:, -1]), None, 0.01)
    with pytest.raises(TypeError, match="fit: task is Recaller; expected a TokenTask or RealTask"):
        fit(net, params, type("Recaller", (), {})(), 3, rng)


# ---- losses that are read now and then, as from a device


def read_every(monkeypatch, steps):
    """On NumPy, as if reading made a device wait. -> how many steps were done at each look at `alive`."""
    done, read = [], train.Plan.read
    monkeypatch.setattr(train, "is_numpy", lambda xp: False)
    monkeypatch.setattr(train, "READ", steps)
    monkeypatch.setattr(train.Plan, "read", lambda plan, now: done.append(now.done) or read(plan, now))
    return done


@pytest.mark.parametrize("every", [5, 50])
@pytest.mark.parametrize("at", [1, 8, 20, 30, None])
def test_reading_losses_now_and_then_changes_no_bit(tmp_path, monkeypatch, every, at):
    """Whether it ends well or the loss breaks, at an evaluation or between two: rows, parameters, why it stopped."""
    found = []
    for reading in (None, every):
        with monkeypatch.context() as patched:
            broken_losses(patched, lambda i, loss: np.float32("nan") if i == at else loss)
            if reading:
                read_every(patched, reading)
            found.append(trained(tmp_path / f"{reading}.npz"))
    same(*found)
    assert bool(found[0][1].stopped) == bool(at)
    if at:
        advice = "try a smaller lr" if at > 1 else "look for nan in the batches"
        assert found[1][1].stopped.startswith(f"the loss was nan at step {at} of 30; {advice}")
        stored = load_tree(tmp_path / f"{every}.npz")["state"]
        assert (stored["done"], stored["accepted"]) == (at - 1, at - 1)


def test_the_latch_never_opens_again(monkeypatch):
    """One loss that is not finite ends the training, though the losses after it are finite again."""
    broken_losses(monkeypatch, lambda i, loss: np.float32("inf") if i == 4 else loss)
    read_every(monkeypatch, 50)
    seen = []
    params, log = trained(None, evals=1, on_step=seen.append)
    assert log.stopped.startswith("the loss was inf at step 4 of 30")
    assert seen == list(range(1, 30)), "nothing is read before the evaluation, at step 30"
    monkeypatch.undo()
    same_start, _ = trained(None, on_step=Pause(2), evals=1)
    tree.map(np.testing.assert_array_equal, params, same_start)  # after 3 accepted steps, those of the third's loss


def test_an_interrupt_between_two_reads_keeps_what_is_done(tmp_path, monkeypatch):
    expected = trained(None, on_step=Pause(13))
    read_every(monkeypatch, 50)
    same(trained(tmp_path / "fit.npz", on_step=Pause(13)), expected)
    assert expected[1].stopped.startswith("interrupted after 13 of 30")
    same(trained(tmp_path / "fit.npz"), trained(None))
    broken_losses(monkeypatch, lambda i, loss: np.float32("nan") if i == 4 else loss)
    assert trained(None, on_step=Pause(6))[1].stopped.startswith("the loss was nan at step 4 of 30")


def test_a_checkpoint_between_two_reads_reads(tmp_path, monkeypatch):
    path = tmp_path / "fit.npz"
    whole, done = trained(None), read_every(monkeypatch, 50)

    def killed(i):
        if i == 13:
            raise SystemExit

    with pytest.raises(SystemExit):
        trained(path, on_step=killed, every=0)
    assert set(done) == set(range(1, 14))
    stored = load_tree(path)["state"]
    assert (stored["done"], len(stored["losses"])) == (12, 4)
    same(trained(path), whole)


@pytest.mark.parametrize("every", [0, 1000])
def test_the_bar_counts_every_step_though_it_moves_at_reads_only(tmp_path, monkeypatch, every):
    moves, update = [], train.Progress.update
    monkeypatch.setattr(train.Progress, "update", lambda bar, n, note="": (moves.append(n), update(bar, n, note)))
    read_every(monkeypatch, 7)
    trained(tmp_path / "fit.npz", every=every)
    assert sum(moves) == 30
    assert moves == ([0, *[1] * 30] if not every else [0, 7, 7, 7, 7, 2])


# ---- real vectors


@dataclass(frozen=True)
class Largest(tasks.RealTask):
    """Each token is (marker, value); the answer, at the last token, is the value at the largest marker."""

    length: int = 6
    inputs: int = 2
    outputs: int = 1
    baseline: float = 1.0

    def batch(self, rng, n, step=0):
        x = np.stack([rng.uniform(-1, 1, (n, self.length)), rng.normal(size=(n, self.length))], axis=2)
        targets, weights = np.zeros((n, self.length, 1)), np.zeros((n, self.length))
        targets[:, -1, 0] = np.take_along_axis(x[..., 1], x[..., 0].argmax(axis=1)[:, None], axis=1)[:, 0]
        weights[:, -1] = 1
        return tasks.Batch(x.astype(np.float32), targets, weights)


def test_a_real_valued_task_is_learned_by_the_same_loop():
    task, rng = Largest(), np.random.default_rng(0)
    net = Model("ssm + fnn1 + ssm + fnn1", inputs=2, outputs=1, width=16)
    params, log = fit(net, net.init(rng), task, 400, rng, progress=False)
    scores = evaluate(net, params, task, rng, 1000)
    assert scores["mean_squared_error"] < 0.6, "of a variance of 1"
    assert scores["share_of_variance"] == pytest.approx(1 - scores["mean_squared_error"], abs=0.1)
    assert set(log.rows[0]) == {"step", "training_loss", *task.score_names}
    other = Model("ssm", inputs=3, outputs=1, width=4)
    with pytest.raises(ValueError, match=r"fit: .* for the task Largest; expected inputs=2, outputs=1"):
        fit(other, other.init(rng), task, 3, rng)
    with pytest.raises(ValueError, match="squared_error: targets"):
        train.step(net, params, task.batch(rng, 3)._replace(targets=np.zeros((3, 6, 2))), None, 0.1, task.loss)


# ---- what a step costs


COMPREHENSIONS = ("<genexpr>", "<listcomp>", "<setcomp>", "<dictcomp>", "<lambda>")


def test_a_training_step_is_flat():
    """At most 110 functions of the library, and 12 of them deep."""
    net, params, rng = setting(width=32)
    depth, deepest, functions = 0, 0, set()
    home = os.path.dirname(train.__file__)

    def watch(frame, event, _):
        nonlocal depth, deepest
        code = frame.f_code
        if not code.co_filename.startswith(home) or code.co_name in COMPREHENSIONS:
            return
        if event == "call":
            depth += 1
            deepest = max(deepest, depth)
            functions.add((code.co_filename, code.co_firstlineno))
        elif event == "return":
            depth -= 1

    plan = train.Plan(net, TASK, 10, 0.01, 64, 1.0, "auto", 1)
    states = plan.train_states(train.TrainState.start(params, rng, rng), rng, rng)
    next(states)
    sys.setprofile(watch)
    try:
        next(states)
    finally:
        sys.setprofile(None)
    print(deepest, len(functions))
    assert deepest - 1 <= 12  # without the generator itself
    assert len(functions) <= 111


def test_an_evaluation_of_a_finite_set_takes_each_item_once():
    @dataclass(frozen=True)
    class Counted(tasks.RealTask):
        length: int = 1
        inputs: int = 1
        outputs: int = 1
        baseline: float = 1.0

        def batch(self, rng, n, step=0):
            seen.append(np.arange(step * n, (step + 1) * n))
            return tasks.Batch(*(np.zeros((n, 1, 1), np.float32) for _ in range(2)), np.ones((n, 1)))

    seen = []
    net = Model("fnn0", inputs=1, outputs=1, width=2)
    evaluate(net, net.init(np.random.default_rng(0)), Counted(), np.random.default_rng(0), 600)
    items = np.concatenate(seen)
    assert len(set(items)) == len(items) >= 600


@pytest.mark.parametrize("base", [tasks.TokenTask, tasks.RealTask])
def test_tokens_may_be_answered_by_fewer_outputs(base):
    """Ten tokens, two classes or two numbers."""

    @dataclass(frozen=True)
    class Two(base):
        length: int = 4
        vocab: int = 10
        outputs: int = 2
        baseline: float = 0.5

        def batch(self, rng, n, step=0):
            shape = (n, 4) if base is tasks.TokenTask else (n, 4, 2)
            return tasks.Batch(
                rng.integers(0, 10, (n, 4)), np.zeros(shape, int if len(shape) == 2 else float), np.ones((n, 4))
            )

    net, rng = Model("ssm + mean", vocab=10, outputs=2, width=4), np.random.default_rng(0)
    params, log = fit(net, net.init(rng), Two(), 3, rng, progress=False)
    assert log.stopped == ""
    assert np.isfinite(evaluate(net, params, Two(), rng, 10)["loss"])
