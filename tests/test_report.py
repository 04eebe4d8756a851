"""The table: which learning rate is shown, and how scores are printed."""

import re

import pytest

from minissm.lab.compare import Config
from minissm.lab.report import best_rate, chosen, spread, table
from minissm.tasks import Copying, RealTask

TASK = Copying()
CONFIG = Config("copying", models=("ssm", "ssm + fnn1"), seeds=3, steps=70, lrs=(1e-3, 1e-2), budget=2000)


def row(model="ssm", seed=0, lr=1e-3, token=0.5, sequence=0.25, **more):
    return {
        "model": model,
        "seed": seed,
        "lr": lr,
        "token_accuracy": token,
        "sequence_accuracy": sequence,
        "parameters": 2100,
        "state_size": 448,
        "seconds": 1.25,
        "stopped": "",
    } | more


def evaluation(model="ssm", seed=0, lr=1e-3, step=70, token=0.5):
    return {"model": model, "seed": seed, "lr": lr, "step": step, "token_accuracy": token}


def test_the_spread_is_median_lowest_and_highest():
    rows = [row(token=t) for t in (0.9, 0.1, 0.3, 0.4)]
    assert spread(rows, "token_accuracy") == "0.350 (0.100 to 0.900)"
    assert spread(rows[:3], "token_accuracy") == "0.300 (0.100 to 0.900)"
    assert spread(rows[:1], "token_accuracy") == "0.900"
    assert spread([*rows, row(token=None)], "token_accuracy") == "0.400 (0.100 to inf)"


class Errors(RealTask):
    spec, baseline = "errors", 2.5


def test_a_score_to_be_low_is_chosen_by_the_lowest_and_a_broken_run_is_the_worst():
    """Medians over seeds: 0.3 and 0.2 at the rates; a seed without a finite score counts as infinitely bad."""
    errors = {1e-3: (0.1, 0.3, 0.9), 1e-2: (0.2, 0.2, 7.0), 1e-1: (0.1, None, None)}
    curves = [
        {"model": "ssm", "seed": seed, "lr": lr, "step": step, "mean_squared_error": error if step == 70 else 0.0}
        for lr, three in errors.items()
        for seed, error in enumerate(three)
        for step in (35, 70)
    ]
    rows = [row(seed=s, lr=lr, mean_squared_error=9 * lr, share_of_variance=None) for lr in errors for s in range(3)]
    assert best_rate(rows, curves, Errors()) == {"ssm": 1e-2}
    _, names, line, baseline = table(rows, curves, Errors(), CONFIG).splitlines()
    assert re.split(r"\s{2,}", line)[3:5] == ["0.01", "0.090 (0.090 to 0.090)"]
    assert baseline.split() == ["baseline", "2.500"]
    assert baseline.index("2.500") == names.index("mean squared error")


def test_the_rate_is_chosen_by_the_last_evaluation_and_not_by_the_test():
    rows = [row(lr=1e-3, token=0.9), row(lr=1e-2, token=0.1)]
    curves = [
        evaluation(lr=1e-3, step=35, token=0.99),
        evaluation(lr=1e-3, step=70, token=0.4),
        evaluation(lr=1e-2, step=35, token=0.0),
        evaluation(lr=1e-2, step=70, token=0.5),
    ]
    assert best_rate(rows, curves, TASK) == {"ssm": 1e-2}
    assert chosen(rows, curves, TASK) == {"ssm": [rows[1]]}
    assert "0.100" in table(rows, curves, TASK, CONFIG)
    assert "0.900" not in table(rows, curves, TASK, CONFIG)


def test_each_model_has_its_own_rate_and_the_median_over_seeds_decides():
    rows = [row(model, seed, lr) for model in CONFIG.models for seed in range(3) for lr in CONFIG.lrs]
    tokens = {
        ("ssm", 1e-3): (0.5, 0.5, 0.5),
        ("ssm", 1e-2): (0.4, 0.4, 1.0),
        ("ssm + fnn1", 1e-3): (0.9, 0.1, 0.1),
        ("ssm + fnn1", 1e-2): (0.0, 0.2, 0.2),
    }
    curves = [evaluation(m, seed, lr, token=t) for (m, lr), ts in tokens.items() for seed, t in enumerate(ts)]
    assert best_rate(rows, curves, TASK) == {"ssm": 1e-3, "ssm + fnn1": 1e-2}
    assert [r["seed"] for r in chosen(rows, curves, TASK)["ssm + fnn1"]] == [0, 1, 2]


def test_runs_that_broke_off_before_their_first_evaluation_count():
    """Else the one of three seeds that survived a rate would speak for the rate."""
    rows = [row(seed=seed, lr=lr) for seed in range(3) for lr in CONFIG.lrs]
    curves = [evaluation(seed=seed, lr=1e-3, token=0.5) for seed in range(3)] + [evaluation(seed=1, lr=1e-2, token=0.9)]
    assert best_rate(rows, curves, TASK) == {"ssm": 1e-3}
    assert best_rate(rows, [], TASK) == {"ssm": 1e-3}


def test_the_table_is_a_line_a_model_and_one_for_the_baseline():
    rows = [row(model, seed, token=0.1 * seed) for model in CONFIG.models for seed in range(3)]
    curves = [evaluation(model, seed) for model in CONFIG.models for seed in range(3)]
    head, names, *lines, baseline = table(rows, curves, TASK, CONFIG).splitlines()
    assert head == (
        "copying: 70 steps, budget 2,000 parameters; median over seeds (lowest to highest), on fresh sequences"
    )
    cells = ["2,100 (+5.0%)", "448", "0.001", "0.100 (0.000 to 0.200)", "0.250 (0.250 to 0.250)", "1.2"]
    assert [re.split(r"\s{2,}", line) for line in lines] == [["ssm", *cells], ["ssm + fnn1", *cells]]
    assert baseline.split() == ["baseline", f"{TASK.baseline:.3f}"]
    assert baseline.index("0.") == names.index("token accuracy") == lines[0].index("0.100 (")


def test_a_width_without_a_budget_is_named():
    config = Config("copying", models=("ssm",), width=7)
    text = table([row()], [evaluation()], TASK, config)
    assert "width 7, no budget" in text
    assert "%" not in text


@pytest.mark.parametrize("count", [1, 4])
def test_the_seconds_are_the_median(count):
    rows = [row(seed=i, seconds=1.5 + i) for i in range(count)]
    line = table(rows, [evaluation(seed=i) for i in range(count)], TASK, CONFIG).splitlines()[2]
    assert line.split()[-1] == {1: "1.5", 4: "3.0"}[count]
