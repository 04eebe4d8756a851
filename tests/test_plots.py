"""The figure is drawn without a screen, without a warning, and without touching the user's matplotlib."""

import sys

import matplotlib
import pytest

from minissm import sentence
from minissm.lab import plots
from minissm.lab.compare import MODELS, Config
from minissm.tasks import copying

LONG = tuple(
    " + ".join(f"ssm(poles={i + j}, dt=(0.001, 0.1)) + fnn{j}(width=4{i})" for j in (1, 2, 3)) for i in range(1, 11)
)


@pytest.fixture(autouse=True)
def no_pyplot(monkeypatch):
    """pyplot opens windows and keeps figures alive: importing it is an error here."""
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)


def draw(folder, models, seeds=3, looks=3, lr=8e-3):
    """A figure of made-up results. -> its two files."""
    config = Config("copying", models=models)
    rows, curves = [], []
    for i, model in enumerate(config.models):
        for seed in range(seeds):
            key = {"model": model, "seed": seed, "lr": lr}
            reached = (i + 1 + 0.1 * seed) / (len(models) + 1)
            rows.append(key | {"token_accuracy": reached})
            curves += [key | {"step": 10 * k, "token_accuracy": reached * k / looks} for k in range(1, looks + 1)]
    folder.mkdir(exist_ok=True)
    return plots.comparison(rows, curves, copying(), config, folder)


@pytest.mark.parametrize("models", [MODELS, ("ssm",), LONG, LONG[:3]], ids=["default", "one", "ten long", "three long"])
@pytest.mark.parametrize("seeds", [1, 3])
def test_a_figure_is_drawn_without_warnings(tmp_path, models, seeds):
    png, svg = draw(tmp_path, models, seeds)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figure.png", "figure.svg"]
    assert png.read_bytes().startswith(b"\x89PNG")
    text = svg.read_text()
    assert text.startswith("<?xml")
    assert "copying, about 30,000 parameters each" in text
    assert "guessing 0.125" in text
    assert ("(3 seeds, median)" if seeds == 3 else "(1 seed)") in text
    medians = [(i + 1 + 0.1 * (seeds // 2)) / (len(models) + 1) for i in range(len(models))]
    for value in medians:
        assert f"{value:.3f}" in text
    for label in plots.short(list(Config("copying", models=models).models)):
        for line in label.splitlines():
            assert line.replace("'", "&apos;") in text or line in text


def test_runs_that_broke_off_before_the_first_look_are_drawn_too(tmp_path):
    assert all(path.stat().st_size > 1000 for path in draw(tmp_path, ("ssm", "ssm + fnn1"), looks=0))


def test_the_same_results_give_the_same_bytes(tmp_path):
    first, second = (draw(tmp_path / name, ("ssm", "attn")) for name in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_the_settings_of_matplotlib_stay_as_they_are(tmp_path):
    before = matplotlib.rcParams.copy()
    draw(tmp_path, ("ssm",))
    assert matplotlib.rcParams.copy() == before


def test_labels_are_short_and_differ():
    assert plots.short(list(MODELS)) == list(MODELS)
    labels = plots.short(list(LONG))
    alike = plots.short([LONG[0] + " + attn", LONG[0] + " + fnn0"])
    for told in (labels, alike):
        assert len(set(told)) == len(told)
        for label in told:
            assert len(label.splitlines()) <= 3
            assert max(map(len, label.splitlines())) <= 33


def test_many_models_are_told_apart_in_colour_and_in_grey():
    styles = [plots._style(i) for i in range(49)]
    assert len({(s["color"], s["linestyle"]) for s in styles}) == 49
    assert len({(s["linestyle"], s["marker"]) for s in styles[:7]}) == 7
    assert [s["color"] for s in styles[:7]] == list(plots.COLOURS)


def test_every_word_is_explained_in_the_title():
    assert set(plots.WORDS) == {*sentence.FILTER_WORDS, *sentence.WORDS, "fnn"}
