"""Figures over a varied setting: medians, ranges, every seed, runs that never get there, models without the setting."""

import pytest

from minissm import plots
from minissm.lab import sweep
from minissm.train import LR


def row(model, vary, seed=0, lr=LR, accuracy=0.5, steps_to=None, **more):
    task = f"recall(pairs={vary['pairs']})" if isinstance(vary.get("pairs"), int) else "recall"
    key = {"task": task, "model": model, "vary": vary, "seed": seed, "lr": lr, "steps": 300, "net": model}
    return key | {"token_accuracy": accuracy, "validation": accuracy, "steps_to_95": steps_to, "parameters": 9} | more


@pytest.fixture
def drawn(monkeypatch):
    """Figures are laid out and not written. -> them, by the name of the file."""
    figures = {}

    def keep(figure, path):
        figures[path.name] = figure
        figure.draw_without_rendering()
        return path

    monkeypatch.setattr(plots, "save", keep)
    return figures


def curve(axes, i):
    return [list(data) for data in axes.lines[i].get_data()]


def test_medians_and_every_run_stand_over_the_numbers_and_a_level_has_none(tmp_path, drawn):
    rows = [row("ssm", {"ssm.poles": p}, s, accuracy=0.1 * p + 0.01 * s) for p in (4, 1, 16) for s in (0, 1, 2)]
    rows += [row("attn", {}, s, accuracy=[0.3, 0.9, 0.5][s]) for s in (0, 1, 2)]
    assert sweep.figures(rows, [], tmp_path) == [tmp_path / "figure.png", tmp_path / "figure.svg"]
    (axes,) = drawn["figure.png"].axes
    assert (axes.get_xlabel(), axes.get_xscale()) == ("ssm.poles", "log")
    assert curve(axes, 0) == [[1, 4, 16], pytest.approx([0.11, 0.41, 1.61])]
    assert curve(axes, 1) == [[1, 4, 16], [0.5] * 3]
    assert sum(len(marks.get_offsets()) for marks in axes.collections[1:2]) == 9
    assert [text.get_text() for text in drawn["figure.png"].legends[0].texts] == ["ssm", "attn", "baseline"]


def test_steps_to_95_are_drawn_with_the_runs_that_never_get_there(tmp_path, drawn):
    steps = {2: (50, 100, 150), 4: (200, None, None), 8: (None, None, None)}
    rows = [row("ssm", {"pairs": p}, s, steps_to=n) for p in steps for s, n in enumerate(steps[p])]
    sweep.over("pairs", rows, tmp_path / "a")
    scores, learnt = drawn["a.png"].axes
    never = learnt.get_yticks()[-1]
    assert learnt.get_yticklabels()[-1].get_text() == "never"
    assert never > 300
    assert curve(learnt, 0) == [[2, 4, 8], [100, never, never]]
    baseline = curve(scores, 1)
    assert baseline[1] == sorted(baseline[1], reverse=True), "it falls with the number of pairs"


def test_words_and_tuples_are_apart_and_not_joined(tmp_path, drawn):
    rows = [row(m, {"pairs": p, "norm": n}) for m in ("ssm", "s6") for p in ((1, 8), 4) for n in ("rms", "none")]
    sweep.figures(rows, [], tmp_path)
    assert set(drawn) == {"figure.png", "figure.svg", "figure-norm.png", "figure-norm.svg"}
    axes = drawn["figure.png"].axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["4", "(1, 8)"]
    assert [line.get_linestyle() for line in axes.lines[:4]] == ["None"] * 4
    assert len({line.get_xdata()[0] for line in axes.lines[:4]}) == 4


def test_the_window_of_each_model_has_the_shipped_rate_marked(tmp_path, drawn):
    rows = [row(m, {}, s, lr, 0.5) for m in ("ssm", "attn") for s in (0, 1) for lr in (LR / 4, LR, 4 * LR)]
    curves = [r | {"step": 300} for r in rows]
    assert [path.name for path in sweep.figures(rows, curves, tmp_path)][::2] == ["figure.png", "rates.png"]
    axes = drawn["rates.png"].axes[0]
    assert axes.get_xlabel() == "learning rate"
    assert [text.get_text() for text in axes.texts] == ["as shipped"]
    assert curve(axes, 0)[0] == [LR, LR], "the mark"
    assert curve(axes, 1)[0] == [LR / 4, LR, 4 * LR]


def test_an_error_is_drawn_on_a_logarithmic_scale(tmp_path, drawn):
    rows = [
        row("ssm", {"gap": gap}) | {"task": f"regression(gap={gap})", "mean_squared_error": e}
        for gap, e in ((0.2, 0.1), (0.4, None))
    ]
    sweep.figures(rows, [], tmp_path)
    (axes,) = drawn["figure.png"].axes
    assert axes.get_yscale() == "log"
    assert curve(axes, 0) == [[0.2], [0.1]]
