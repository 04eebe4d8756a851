"""The figure is drawn without a screen, without a warning, and without touching the user's matplotlib."""

import hashlib
import os
import re
import subprocess
import sys
from dataclasses import dataclass

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from minissm import Log, Model, plots, scan, spec, tasks
from minissm.lab import figures
from minissm.lab.config import MODELS, Config
from minissm.tasks import Copying, RealTask

LONG = tuple(
    " + ".join(f"ssm(poles={i + j}, dt=(0.001, 0.1)) + fnn{j}(width=4{i})" for j in (1, 2, 3)) for i in range(1, 11)
)


@pytest.fixture(autouse=True)
def no_pyplot(monkeypatch):
    """pyplot opens windows and keeps figures alive: importing it is an error here."""
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)


@dataclass(frozen=True)
class Errors(RealTask):
    baseline, length, inputs, outputs = 3.25, 1, 1, 1

    def batch(self, rng, n, step=0):
        raise NotImplementedError


@pytest.fixture(autouse=True)
def errors(monkeypatch):
    monkeypatch.setitem(tasks.TASKS, "errors", Errors)
    monkeypatch.setitem(tasks._names, Errors, "errors")


def key(model, seed, lr, task="copying"):
    more = {"vary": {}, "steps": 30, "net": model, "parameters": 29_900 + len(model)}
    return {"task": task, "model": model, "seed": seed, "lr": lr} | more


def draw(folder, models, seeds=3, evals=3, lr=8e-3, task=None, most=1.0):
    """A figure of made-up results, the median of model i at most (i + 1 + a bit) / (models + 1). -> its two files."""
    task, rows, curves = task or Copying(), [], []
    score = task.main[0]
    for i, model in enumerate(Config("copying", models=models).models):
        for seed in range(seeds):
            run = key(model, seed, lr, task.spec)
            reached = most * (i + 1 + 0.1 * seed) / (len(models) + 1)
            rows.append(run | {score: reached})
            curves += [run | {"step": 10 * k, score: reached * k / evals} for k in range(1, evals + 1)]
    return figures.comparison(rows, curves, folder)


@pytest.mark.parametrize(
    ("models", "seeds"), [(MODELS, 3), (("ssm",), 1), (LONG, 3)], ids=["default", "one", "ten long"]
)
def test_a_figure_is_drawn_without_warnings_and_without_touching_matplotlibs_settings(tmp_path, models, seeds):
    before = matplotlib.rcParams.copy()
    png, svg = draw(tmp_path, models, seeds)
    assert matplotlib.rcParams.copy() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figure.png", "figure.svg"]
    assert png.read_bytes().startswith(b"\x89PNG")
    text = svg.read_text()
    assert text.startswith("<?xml")
    assert re.search(r"copying, [0-9,]+ (to [0-9,]+ )?parameters: ", text)
    assert f"baseline {Copying().baseline:.3f}" in text
    assert "token accuracy on fresh sequences" in text
    assert ("(3 seeds, median)" if seeds == 3 else "(1 seed)") in text
    medians = [(i + 1 + 0.1 * (seeds // 2)) / (len(models) + 1) for i in range(len(models))]
    for value in medians:
        assert f"{value:.3f}" in text
    for label in figures.short(list(Config("copying", models=models).models)):
        for line in label.splitlines():
            assert line.replace("'", "&apos;") in text or line in text


@pytest.fixture
def unsaved(monkeypatch):
    """Figures are laid out and not written: writing takes most of the time. -> the figures."""
    figures = []

    def keep(figure, path):
        figures.append(figure)
        figure.draw_without_rendering()
        return path

    monkeypatch.setattr(plots, "save", keep)
    return figures


def test_runs_that_broke_off_before_the_first_evaluation_are_drawn_too(tmp_path, unsaved):
    draw(tmp_path, ("ssm", "ssm + fnn1"), evals=0)
    learning, reached = unsaved[0].axes
    assert all(len(line.get_xdata()) == 0 for line in learning.lines[:2])
    assert [text.get_text() for text in reached.texts] == ["0.367", "0.700"]


def test_an_error_is_drawn_on_the_scale_of_its_values_and_a_score_that_is_not_finite_is_left_out(tmp_path, unsaved):
    draw(tmp_path, ("ssm", "attn"), task=Errors(), most=60.0)
    learning, reached = unsaved[0].axes
    assert (learning.get_ylabel(), reached.get_xlabel()) == ("mean squared error on fresh sequences",) * 2
    assert reached.get_xlim()[1] > 42
    assert [(t.get_text(), t.get_ha()) for t in reached.texts] == [("22.000", "left"), ("42.000", "right")]
    rows = [key("ssm", s, 1, "errors") | {"mean_squared_error": [2.0, None][s], "step": 9} for s in (0, 1)]
    rows += [key("attn", 0, 1, "errors") | {"mean_squared_error": None, "step": 9}]
    figures.comparison(rows, rows, tmp_path)
    learning, reached = unsaved[-1].axes
    assert [text.get_text() for text in reached.texts] == ["2.000"]
    assert [list(line.get_ydata()) for line in learning.lines[:2]] == [[2.0], []]


USERS = {  # settings of a user, and of styles
    "text.usetex": True,
    "font.size": 20,
    "savefig.bbox": "tight",
    "savefig.format": "pdf",
    "savefig.dpi": 20,
    "svg.fonttype": "none",
    "axes.facecolor": "red",
    "lines.linewidth": 9,
}


def test_the_same_results_give_the_same_bytes_whatever_the_users_settings_are(tmp_path):
    first = [path.read_bytes() for path in draw(tmp_path, ("ssm",), 1)]
    with matplotlib.rc_context(USERS):
        assert [path.read_bytes() for path in draw(tmp_path, ("ssm",), 1)] == first


def test_a_backend_that_is_not_installed_and_a_damaged_matplotlibrc_do_no_harm(tmp_path):
    """A notebook's kernel sets MPLBACKEND, for programs that it starts as well."""
    code = (
        "import os, sys, hashlib; from pathlib import Path; from minissm import plots\n"
        "with plots.new_figure(2, 1) as figure:\n"
        "    print(hashlib.sha256(plots.save(figure, Path(sys.argv[1])).read_bytes()).hexdigest())\n"
        "print(os.environ['MPLBACKEND'])"
    )
    (tmp_path / "matplotlibrc").write_bytes(b"text.usetex: True\nfont.family: \xff\n")
    env = os.environ | {"MPLBACKEND": "module://not_installed.backend", "MPLCONFIGDIR": str(tmp_path)}
    asked = [sys.executable, "-c", code, str(tmp_path / "a.png")]
    done = subprocess.run(asked, env=env, capture_output=True, text=True)
    with plots.new_figure(2, 1) as figure:
        path = plots.save(figure, tmp_path / "b.png")
    assert done.stdout.split() == [hashlib.sha256(path.read_bytes()).hexdigest(), env["MPLBACKEND"]], done.stderr


def test_a_figure_that_fails_is_a_sentence(capsys):
    def draw():
        raise RuntimeError("no\nfont")

    assert plots.drawn(draw) == "figure: none"
    why = "minissm: the figure can't be drawn (RuntimeError: no font); the results are complete without it\n"
    assert capsys.readouterr() == ("", why)


def test_labels_are_short_and_differ():
    assert figures.short(list(MODELS)) == list(MODELS)
    labels = figures.short(list(LONG))
    alike = figures.short([LONG[0] + " + attn", LONG[0] + " + fnn0"])
    for found in (labels, alike):
        assert len(set(found)) == len(found)
        for label in found:
            assert len(label.splitlines()) <= 3
            assert max(map(len, label.splitlines())) <= 33


def test_many_models_are_told_apart_in_colour_and_in_grey():
    styles = [plots.style(i) for i in range(49)]
    assert len({(s["color"], s["linestyle"]) for s in styles}) == 49
    assert len({(s["linestyle"], s["marker"]) for s in styles[:7]}) == 7
    assert [s["color"] for s in styles[:7]] == list(plots.COLOURS)


def test_every_block_is_explained_in_the_title():
    assert set(figures.BLOCKS) == {*spec.BUILT_IN, "fnn"}


# ---- figures to look at


def panels(count):
    return list(Figure().subplots(1, count, squeeze=False)[0])


def test_curves_show_a_score_of_each_training_and_the_baseline():
    logs = {
        name: Log([{"step": 5 * i, "token_accuracy": i / k} for i in (1, 2, 3)]) for name, k in (("a", 3), ("b", 4))
    }
    axes = plots.curves(logs, baseline=0.25, axes=panels(1)[0])
    assert [list(line.get_ydata()) for line in axes.lines] == [[1 / 3, 2 / 3, 1], [1 / 4, 1 / 2, 3 / 4], [0.25, 0.25]]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b", "baseline 0.250"]
    assert not plots.curves(logs["a"], axes=panels(1)[0]).get_legend()


def test_kernels_are_those_of_the_filters_sorted_by_memory(rng):
    net = Model("trig(window=3) + fnn1 + ssm", vocab=5, width=4, dtype="float64")
    params = net.init(rng)
    params["blocks"][0]["skip"][:] = 9  # not part of the kernel
    for axes, i in zip(plots.kernel(net, params, length=7, axes=panels(2)), (0, 2), strict=True):
        coefficients, _ = net.blocks[i].filter(params["blocks"][i]["filter"])
        impulse = np.eye(7)[0].reshape(1, 7, 1) * np.ones(8)
        k = scan.family(coefficients).recurrent(*coefficients, impulse)[0][0].T
        k /= abs(k).max(axis=1, keepdims=True)
        shown = axes.images[0].get_array().data
        memory = (abs(shown) * np.arange(7)).sum(1) / abs(shown).sum(1)
        assert (np.diff(memory) >= 0).all()
        np.testing.assert_allclose(np.sort(shown, axis=0), np.sort(k, axis=0), atol=1e-12)


def test_poles_lie_in_the_unit_circle(rng):
    net = Model("ssm(poles=3) + trig + ssm(poles=2)", vocab=5, width=4)
    axes = plots.poles(net, net.init(rng), panels(1)[0])
    assert [len(line.get_xdata()) for line in axes.lines] == [3 * 8, 2 * 8]
    assert all(np.hypot(*line.get_data()).max() < 1 for line in axes.lines)


def test_attention_weights_are_named_by_their_tokens(rng):
    net = Model("attn(heads=2) + attn(heads=1)", vocab=3, width=4)
    params, x = net.init(rng), np.array([[0, 2, 1, 1], [0, 0, 0, 0]])
    axes = plots.attention(net, params, x, names=("k", "l", "m"), axes=panels(3))
    inside = net.trace(params, x)
    expected = [inside["blocks.0.weights"][0, 0], inside["blocks.0.weights"][0, 1], inside["blocks.1.weights"][0, 0]]
    for one, weights in zip(axes, expected, strict=True):
        np.testing.assert_array_equal(one.images[0].get_array().data, weights)
        assert [label.get_text() for label in one.get_xticklabels()] == ["k", "m", "l", "l"]


def test_without_axes_a_figure_of_pyplot_is_made_and_wrong_ones_are_refused(rng, monkeypatch):
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot")
    import matplotlib.pyplot as plt

    plt.switch_backend("Agg")
    net = Model("ssm + ssm", vocab=3, width=4)
    params = net.init(rng)
    assert len(plots.kernel(net, params, length=5)) == 2
    plt.close("all")
    with pytest.raises(ValueError, match=r"plots: axes=.*; expected a list of 2 axes"):
        plots.kernel(net, params, axes=panels(1))
    with pytest.raises(ValueError, match=r"has no block with attention \(attn\); give a model with one"):
        plots.attention(net, params, np.zeros((1, 3), int))
    with pytest.raises(ValueError, match=r"plots.curves: logs, score='accuracy'; expected a score among step, loss"):
        plots.curves(Log([{"step": 1, "loss": 2.0}]), "accuracy")
    with pytest.raises(ValueError, match=r"plots.curves: .*; expected a log of fit with evaluations"):
        plots.curves(Log())
    for logs in (3, [Log()], {}):
        with pytest.raises(
            ValueError, match=r"plots.curves: logs is .*; expected a log of fit, or a dict of one or more"
        ):
            plots.curves(logs)
    with pytest.raises(ValueError, match=r"plots.kernel: length=2.5; expected an integer, 1 or more"):
        plots.kernel(net, params, length=2.5)
    looking = Model("attn", vocab=3, width=4)
    with pytest.raises(ValueError, match=r"plots.attention: 1 names; expected one for each token, to 2"):
        plots.attention(looking, looking.init(rng), np.array([[0, 2, 1]]), names=["a"])
