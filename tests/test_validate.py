"""Held-out sequences: `fit` evaluates them, and keeps the parameters of the best evaluation."""

from dataclasses import dataclass

import numpy as np
import pytest

from minissm import Model, evaluate, fit, tasks, tree
from minissm.checkpoint import load_tree, save_tree


@dataclass(frozen=True)
class Few(tasks.RealTask):
    """Items 0, 1, 2, ... of a noisy set, in order: the same few to train on, again and again, and others held out."""

    items: int = 20
    part: str = "train"
    length: int = 3
    inputs: int = 2
    outputs: int = 1
    baseline: float = 1.0

    @property
    def sequences(self):
        return self.items

    @property
    def held_out(self):
        return Few(17, "held out")

    def batch(self, rng, n, step=0):
        data = np.random.default_rng(len(self.part))
        x, noise = data.normal(size=(self.items, 3, 2)), data.normal(size=(self.items, 1, 1))
        which = np.arange(step * n, (step + 1) * n) % self.items
        targets, weights = x[which, :, :1] + 0.7 * noise[which], np.zeros((n, 3))
        weights[:, -1] = 1
        return tasks.Batch(x[which].astype(np.float32), targets, weights)


TASK = Few()
NET = Model("fnn1", inputs=2, outputs=1, width=13)


def trained(path=None, steps=60, on_step=None, **options):
    options = {
        "lr": 0.01,
        "batch": 10,
        "evals": 12,
        "progress": False,
        "validate": TASK.held_out,
        "keep": "best",
    } | options
    params = NET.init(np.random.default_rng(0))
    return fit(NET, params, TASK, steps, np.random.default_rng(1), on_step=on_step, checkpoint=path, **options)


def same(one, other):
    assert one[1] == other[1]
    tree.map(np.testing.assert_array_equal, one[0], other[0])


def test_the_best_parameters_are_those_of_the_lowest_held_out_error():
    at = {}
    for steps in range(5, 61, 5):  # the parameters after each evaluation, from a training that is interrupted there

        def stop(done, steps=steps):
            if done == steps:
                raise KeyboardInterrupt

        at[steps], _ = trained(on_step=stop, keep="last")
    errors = {s: evaluate(NET, p, TASK.held_out, np.random.default_rng(0), 17) for s, p in at.items()}
    params, log = trained()
    assert [row["mean_squared_error"] for row in log.rows] == [e["mean_squared_error"] for e in errors.values()]
    assert log.kept == min(errors, key=lambda s: errors[s]["mean_squared_error"])
    assert 5 < log.kept < 60, "it overfits, so that the last parameters are not the best"
    tree.map(np.testing.assert_array_equal, params, at[log.kept])


def test_the_options_change_no_other_bit():
    last, log = trained(keep="last")
    plain, plain_log = trained(keep="last", validate=None)
    tree.map(np.testing.assert_array_equal, last, plain)
    assert log.kept is None
    assert [r["training_loss"] for r in log.rows] == [r["training_loss"] for r in plain_log.rows]
    assert log.rows[-1]["loss"] > 2 * plain_log.rows[-1]["loss"], "the sample itself is learned by heart"


def test_the_best_parameters_survive_a_kill_and_an_interrupt(tmp_path):
    whole, path = trained(), tmp_path / "fit.npz"
    best = whole[1].kept

    def killed(done):
        if done in (best - 3, best, best + 3, best + 17):
            raise SystemExit

    for at in (best - 3, best, best + 3, best + 17):
        with pytest.raises(SystemExit):
            trained(path, on_step=lambda done, at=at: killed(done) if done == at else None, every=0)
    same(trained(path), whole)
    same(trained(path), whole)  # finished
    path.unlink()
    rng, params = np.random.default_rng(1), None

    def stop(done):
        if done == best + 5:
            raise KeyboardInterrupt

    def cell(on_step):
        start = NET.init(np.random.default_rng(0)) if params is None else params
        options = {"lr": 0.01, "batch": 10, "evals": 12, "progress": False, "checkpoint": path, "on_step": on_step}
        return fit(NET, start, TASK, 60, rng, validate=TASK.held_out, keep="best", **options)

    params, log = cell(stop)  # it returns the best so far, and a second run of the notebook's cell is given them
    assert log.kept == best
    tree.map(np.testing.assert_array_equal, params, whole[0])
    same(cell(None), whole)


def test_a_loss_that_breaks_later_leaves_the_best_parameters(monkeypatch):
    whole = trained()

    def stop(done):
        if done == whole[1].kept + 2:
            monkeypatch.setattr(Few, "batch", lambda self, rng, n, step=0: tasks.Batch(*broken))

    broken = (np.full((10, 3, 2), np.nan, np.float32), np.zeros((10, 3, 1)), np.ones((10, 3)))
    with np.errstate(all="ignore"):
        params, log = trained(on_step=stop)
    assert log.stopped.startswith(f"the loss was nan at step {whole[1].kept + 3} of 60")
    assert log.kept == whole[1].kept
    tree.map(np.testing.assert_array_equal, params, whole[0])


@pytest.mark.parametrize(
    ("items", "words"),
    [
        (20, "at step 1 of 60; look for nan in the batches and in the initial parameters"),
        (17, "after step 5 of 60; try a smaller lr than 0.01, or look for nan in the sequences of validate"),
    ],
)
def test_nan_in_the_data_is_not_blamed_on_the_rate(monkeypatch, items, words):
    """No rate has acted on the loss of the first step. Held-out sequences may have nan that the sample has not."""
    batch = Few.batch

    def broken(self, rng, n, step=0):
        found = batch(self, rng, n, step)
        return found._replace(inputs=found.inputs * np.float32(np.nan)) if self.items == items else found

    monkeypatch.setattr(Few, "batch", broken)
    with np.errstate(all="ignore"):
        params, log = trained()
    assert log.stopped == f"the loss was nan {words}"
    assert log.kept is None
    assert all(np.isfinite(a).all() for a in tree.leaves(params))


def test_before_the_first_evaluation_the_last_parameters_are_returned(tmp_path):
    whole, path = trained(), tmp_path / "fit.npz"

    def stop(done):
        if done == 3:
            raise KeyboardInterrupt

    params, log = trained(path, on_step=stop)
    assert (log.rows, log.kept) == ([], None)
    same((params, log), trained(on_step=stop, keep="last"))
    assert log.stopped == "interrupted after 3 of 60 steps"
    same(trained(path), whole)


def test_all_of_a_finite_set_is_evaluated_and_two_hundred_of_a_fresh_one(monkeypatch):
    drawn = []
    batch = Few.batch
    monkeypatch.setattr(
        Few, "batch", lambda self, rng, n, step=0: drawn.append((self.items, n)) or batch(self, rng, n, step)
    )
    trained(steps=1, evals=1)
    assert drawn == [(20, 10), (17, 17)]
    drawn.clear()
    trained(steps=1, evals=1, validate=Few(5000, "many"))
    assert drawn == [(20, 10), *[(5000, 250)] * 8]
    drawn.clear()
    monkeypatch.setattr(Few, "sequences", None)
    trained(steps=1, evals=1, validate=None)
    assert drawn == [(20, 10), (20, 200)]


def test_of_equal_evaluations_the_first_is_kept(monkeypatch):
    monkeypatch.setattr(Few, "scores", lambda self, sums: {"mean_squared_error": 0.5, "loss": 0.5})
    assert trained()[1].kept == 5


def test_what_can_choose_nothing_is_refused_in_one_sentence():
    with pytest.raises(ValueError, match=r"fit: validate is the training task itself; give its task.held_out"):
        trained(validate=TASK)
    with pytest.raises(ValueError, match="fit: keep='best' would choose on the training sample; give held-out"):
        trained(validate=None)
    with pytest.raises(ValueError, match="fit: keep='first'; expected 'last' or 'best'"):
        trained(keep="first")
    with pytest.raises(TypeError, match="fit: validate: task is int; expected a TokenTask or RealTask"):
        trained(validate=3)
    with pytest.raises(ValueError, match=r"fit: validate: .* for the task recall; expected vocab=12"):
        trained(validate=tasks.Recall())


@pytest.mark.parametrize(
    ("changed", "words"), [({"keep": "last"}, "keep=best; keep=last"), ({"validate": Few(9, "x")}, "validate=Few")]
)
def test_a_checkpoint_of_another_choice_is_refused(tmp_path, changed, words):
    path = tmp_path / "fit.npz"
    trained(path, steps=20)
    with pytest.raises(ValueError, match=words):
        trained(path, steps=20, **changed)


def test_a_checkpoint_of_an_earlier_version_has_no_held_out_data(tmp_path):
    path, options = tmp_path / "fit.npz", {"steps": 20, "validate": None, "keep": "last"}
    whole = trained(path, **options)
    content = load_tree(path)
    del content["plan"]["validate"], content["plan"]["keep"], content["state"]["best"]
    save_tree(path, content)
    with pytest.raises(ValueError, match="validate=None; validate=Few"):
        trained(path, steps=20)
    same(trained(path, **options), whole)
