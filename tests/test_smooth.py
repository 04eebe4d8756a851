"""Regression: gamma-smooth functions with exact norms, a finite sample, and the series that knows the token."""

import math
from dataclasses import replace

import numpy as np
import pytest

from minissm import Model, evaluate, fit, tasks
from minissm.tasks import Regression
from minissm.tasks.smooth import Series, blocks, series_risks

A = [((1, 2), "mixed"), ((1, 2), "anisotropic"), ((1.5, 1, 3), "mixed")]


@pytest.mark.parametrize(("a", "kind"), A)
def test_the_basis_is_orthonormal_and_the_norm_is_that_of_the_coefficients(a, kind, rng):
    g = Series.draw(a, kind, 4, rng)
    points = 2 * g.r.max() + 2  # the mid-point rule is exact for products of two cosines
    axis = (np.arange(points) + 0.5) / points
    u = np.stack([x.ravel() for x in np.meshgrid(*[axis] * len(a))], axis=1)
    psi = g.features(u)
    np.testing.assert_allclose(psi.T @ psi / len(u), np.eye(g.c.size), atol=1e-10)
    np.testing.assert_allclose(g(u), psi @ g.c, atol=1e-12)
    assert (g.c**2).sum() == pytest.approx(1)
    assert abs(psi.mean(axis=0)).max() < 1e-10, "there is no constant"
    monte_carlo = (g(rng.random((100_000, len(a)))) ** 2).mean()
    assert monte_carlo == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize(("a", "kind"), A)
def test_the_norm_of_a_block_falls_with_its_smoothness(a, kind, rng):
    g, found = Series.draw(a, kind, 5, rng), blocks(a, kind, 5)
    norms = [np.linalg.norm(c) for c in np.split(g.c, g.ends[:-1])]
    gamma = [(np.sum if kind == "mixed" else np.max)(np.multiply(a, s)) for _, s in found]
    assert [value for value, _ in found] == gamma == sorted(gamma)
    assert gamma[-1] <= 5 * min(a) < gamma[-1] + min(a)
    np.testing.assert_allclose(np.log2(norms), np.log2(norms[0]) + gamma[0] - gamma, atol=1e-9)
    for (_, s), r in zip(found, np.split(g.r, g.ends[:-1]), strict=True):
        octave = [[*range(2 ** (k - 1), 2**k)] if k else [0] for k in s]
        assert [sorted({*column}) for column in r.T.tolist()] == octave
        assert len(r) == len(np.unique(r, axis=0)) == math.prod(map(len, octave))


def test_the_best_series_has_the_rate_of_the_theory():
    """White noise, in closed form: the least over N of N sigma^2 / n + tail(N) falls as n^(-2 a / (2 a + 1)), a = 1."""
    found = blocks((1, 2), "mixed", 40)
    sizes = np.cumsum([2.0 ** sum(k - 1 for k in s if k) for _, s in found])
    energy = np.array([4.0**-gamma for gamma, _ in found])
    tail = energy.sum() - np.cumsum(energy)
    n = 2.0 ** np.arange(20, 33)
    risk = [(sizes * 0.09 * energy.sum() / m + tail).min() for m in n]
    assert np.polyfit(np.log(n), np.log(risk), 1)[0] == pytest.approx(-2 / 3, abs=0.03)


def test_the_series_that_knows_the_token_learns_at_this_rate():
    """Levels 8: at 6 the function has 91 terms, and the larger samples learn all of it."""
    n = [256, 2048]
    risks = [[series_risks(Regression(n=m, seed=s, levels=8))[0] for s in range(3)] for m in n]
    slope = np.polyfit(np.log(n), np.log(risks).mean(axis=1), 1)[0]
    assert slope == pytest.approx(-2 / 3, abs=0.15)
    risks = [np.median([series_risks(Regression(n=m, seed=s))[0] for s in range(3)]) for m in (1024, 8192)]
    np.testing.assert_allclose(risks, [0.008, 0.0014], rtol=0.3)


def test_the_series_learns_two_functions_apart():
    task = Regression(n=500, a=(3,), b=(0.5,), levels=7, seed=3)
    smooth, rough = series_risks(task)
    assert 3 * smooth < rough < 0.5
    assert series_risks(replace(task, mark=-1))[1] == pytest.approx(1)
    assert series_risks(replace(task, noise=0, n=4000))[1] < 1e-12


@pytest.mark.parametrize("options", [{}, {"gap": 0.3, "length": 5, "a": (1, 2, 3)}, {"gap": 0}, {"b": (2, 1)}], ids=str)
def test_a_sequence_is_what_the_task_promises(options, rng):
    task = Regression(n=400, seed=2, **options).fresh
    X, targets, weights = task.batch(rng, 300)
    assert X.shape == (300, task.length, task.inputs)
    assert targets.shape == (300, task.length, 1)
    assert abs(X).max() <= 1
    assert (weights[:, -1] == 1).all()
    assert weights.sum() == 300
    mu = np.sort(X[..., 0], axis=1)
    assert (mu[:, -1] - mu[:, -2]).min() >= 2 * task.gap - 1e-12
    place = task.source(tasks.Batch(X, targets, weights))
    assert (place[:, :-1] == -1).all()
    assert len({*place[:, -1]}) == task.length
    token = X[np.arange(300), place[:, -1]]
    first, second = [g((token[:, -len(task.a) :] + 1) / 2) for g in (task.functions * 2)[:2]]
    expected = np.where(token[:, 1] > 0, second, first) if task.b else first
    np.testing.assert_allclose(targets[:, -1, 0], expected, atol=1e-12)
    assert (targets[:, -1, 0] ** 2).mean() == pytest.approx(1, rel=0.5)


def test_the_mark_of_the_important_token_chooses_the_function(rng):
    task = Regression(b=(2, 3), seed=1)
    for mark in (-1, 1):
        X = replace(task, mark=mark).fresh.batch(rng, 200).inputs
        assert (X[np.arange(200), X[..., 0].argmax(axis=1), 1] == mark).all()
        assert {*X[..., 1].ravel()} == {-1, 1}


def test_the_sample_is_noisy_and_drawn_once_and_its_last_fifth_is_held_out(rng):
    task = Regression(n=1003, seed=5)
    part = task.held_out
    assert (task.sequences, part.sequences, task.fresh.sequences, part.held_out) == (803, 200, None, None)
    np.testing.assert_array_equal(task.batch(rng, 64, 2).inputs, Regression(n=1003, seed=5).batch(rng, 64, 2).inputs)
    both = [t.batch(rng, t.sequences).inputs.reshape(-1, 24) for t in (task, part)]
    assert len(np.unique(np.concatenate(both), axis=0)) == 1003
    X, targets, _ = task.batch(rng, 803)
    which, u = task.important(X)
    noise = targets[:, -1, 0] - task.functions[0](u)
    assert which.max() == 0
    assert noise.std() == pytest.approx(0.3, rel=0.1)
    assert abs(np.corrcoef(noise, X[:, 0, 0])[0, 1]) < 0.2
    other = Regression(n=1003, seed=6)
    assert abs(other.batch(rng, 50).inputs - task.batch(rng, 50).inputs).max() > 0.1
    assert len({task.identity, part.identity, task.fresh.identity, other.identity}) == 4


def test_batches_walk_through_permutations_whatever_the_generator(rng):
    task = Regression(n=50, seed=3)  # 40 of them are trained on
    seen = np.concatenate([task.batch(rng, 7, step).inputs[:, 0] for step in range(40)])
    epochs = seen.reshape(7, 40, 3)
    for epoch in epochs:
        assert len(np.unique(epoch, axis=0)) == 40
    assert (epochs[0] != epochs[1]).any()
    np.testing.assert_array_equal(task.batch(rng, 130, 2).inputs[:20, 0], epochs[6, 20:])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n": 31}, "n=31; expected an integer, 32 or more"),
        ({"gap": 1}, "gap=1; expected a number from 0 to below 1"),
        ({"noise": -1}, "noise=-1; expected a number, 0 or more"),
        ({"a": 1}, r"a=1; expected a tuple of numbers from 0.001 to 1e6, like \(1, 2\)"),
        ({"a": ()}, r"a=\(\); expected a tuple"),
        ({"a": (0, 1)}, r"a=\(0, 1\); expected a tuple"),
        ({"a": (True, 1)}, r"a=\(True, 1\); expected a tuple"),
        ({"a": (10**400, 1)}, r"a=\(1000.*, 1\); expected a tuple"),
        ({"b": (1, 2), "mark": True}, "mark=True; expected None"),
        ({"b": (1,)}, r"a=\(1, 2\), b=\(1,\); expected two tuples of one length"),
        ({"levels": 0}, "levels=0; expected an integer, 1 or more"),
        ({"levels": 30}, r"a=\(1, 2\), levels=30: a series of more than 20,000 terms; give fewer levels"),
        ({"a": (1,) * 30}, r"a=\(1, 1, .*\), levels=6: a series of more than 20,000 terms"),
        ({"kind": "isotropic"}, "kind='isotropic'; expected one of mixed, anisotropic"),
        ({"part": "test"}, "part='test'; expected one of sample, held_out, fresh"),
        ({"mark": 1}, "mark=1; expected None, or -1 or 1 if b is given"),
        ({"b": (1, 2), "mark": 0}, "mark=0; expected None"),
        ({"width": 3}, "unknown option 'width'; expected one of n, length, gap"),
    ],
)
def test_a_wrong_option_is_refused_in_one_sentence(options, words):
    with pytest.raises(ValueError, match=f"^regression: {words}"):
        tasks.parse(f"regression({', '.join(f'{k}={v!r}' for k, v in options.items())})")


def test_equal_smoothnesses_have_one_spec_and_infinite_ones_are_refused():
    """NumPy's numbers are no literals: a spec with them could not be read back."""
    for a, b in [((np.float64(1.5), 3.0), (1, np.int64(2))), ([1.5, 3], [1.0, 2])]:
        task = Regression(a=a, b=b, mark=np.float64(-1))
        assert task.spec == "regression(a=(1.5, 3), b=(1, 2), mark=-1)"
        assert tasks.parse(task.spec) == task
    for a in ("(1e999, 1)", "(1e308, 1)", "(1e-320, 1)"):
        with pytest.raises(ValueError, match=r"expected a tuple of numbers from 0\.001 to 1e6"):
            tasks.parse(f"regression(a={a})")


def test_the_series_learns_from_the_sample_whichever_part_is_given():
    task = Regression(n=100, seed=3)
    assert series_risks(task) == series_risks(task.held_out) == series_risks(task.fresh)


def trained(task, spec, steps, *, width=12, norm="none", lr=2e-2, **options):
    net, rng = Model(spec, inputs=task.inputs, outputs=1, width=width, norm=norm), np.random.default_rng(7)
    options = {"evals": 6, "validate": task.held_out, "keep": "best", "progress": False} | options
    params, log = fit(net, net.init(rng), task, steps, rng, lr=lr, **options)
    return evaluate(net, params, task.fresh, rng, 1000)["mean_squared_error"], params, log


def test_a_model_that_cannot_select_stays_at_a_high_risk_and_one_that_selects_does_not():
    """A smooth function and four tokens need few steps. The control has no norm: a norm divides, and selects."""
    task = Regression(n=2000, a=(3, 3), length=4, noise=0.1)
    selects, _, log = trained(task, "attn + fnn1", 100)
    pooled, _, _ = trained(task, "fnn1 + mean", 100)
    assert log.rows[-1]["mean_squared_error"] < log.rows[0]["mean_squared_error"]
    assert selects < 0.2 < 0.4 < pooled
