"""The table: which learning rate is shown, and how scores are printed."""

import re
from dataclasses import dataclass

import pytest

from minissm import tasks
from minissm.lab.report import spread, steps_to_learn, table
from minissm.lab.rows import chosen
from minissm.tasks import Copying, RealTask

TASK = Copying()


def row(model="ssm", seed=0, lr=1e-3, token=0.5, sequence=0.25, **more):
    return {
        "task": "copying",
        "model": model,
        "vary": {},
        "seed": seed,
        "lr": lr,
        "steps": 70,
        "net": f"Model({model})",
        "token_accuracy": token,
        "sequence_accuracy": sequence,
        "validation": token,
        "steps_to_95": None,
        "parameters": 2100,
        "state_size": 448,
        "seconds": 1.25,
        "stopped": "",
        "tests": {},
    } | more


def cells_of(line):
    return re.split(r"\s{2,}", line)


def rate(rows):
    return {mine[0]["model"]: mine[0]["lr"] for mine in chosen(rows)}


def test_the_spread_is_median_lowest_and_highest():
    rows = [row(token=t) for t in (0.9, 0.1, 0.3, 0.4)]
    assert spread(rows, "token_accuracy") == "0.350 (0.100 to 0.900)"
    assert spread(rows[:3], "token_accuracy") == "0.300 (0.100 to 0.900)"
    assert spread(rows[:1], "token_accuracy") == "0.900"
    assert spread([*rows, row(token=None)], "token_accuracy") == "0.400 (0.100 to inf)"


def test_the_steps_to_95_count_a_seed_that_never_gets_there():
    assert steps_to_learn([row(), row()]) == "never in 70"
    assert steps_to_learn([row(steps_to_95=s) for s in (1150, 50, None)]) == "1,150 (50 to never)"
    assert steps_to_learn([row(steps_to_95=s) for s in (None, 50, None)]) == "never (50 to never)"


@dataclass(frozen=True)
class Errors(RealTask):
    length = inputs = outputs = 1
    baseline = 2.5

    def batch(self, rng, n, step=0):
        raise NotImplementedError


def test_a_score_to_be_low_is_chosen_by_the_lowest_and_a_broken_run_is_the_worst(monkeypatch):
    """Medians over seeds: 0.3 and 0.2 at the rates; a seed without a finite score counts as infinitely bad."""
    monkeypatch.setitem(tasks.TASKS, "errors", Errors)
    monkeypatch.setitem(tasks._names, Errors, "errors")
    errors = {1e-3: (0.1, 0.3, 0.9), 1e-2: (0.2, 0.2, 7.0), 1e-1: (0.1, None, None)}
    rows = [
        row(task="errors", seed=s, lr=lr, mean_squared_error=9 * lr, share_of_variance=None, validation=error)
        for lr, three in errors.items()
        for s, error in enumerate(three)
    ]
    assert rate(rows) == {"ssm": 1e-2}
    _, names, line, baseline = table(rows).splitlines()
    assert cells_of(line)[4:6] == ["0.01", "0.090 (0.090 to 0.090)"]
    assert baseline.split() == ["baseline", "2.500"]
    assert baseline.index("2.500") == names.index("mean squared error")


def test_the_rate_is_chosen_by_the_validation_and_not_by_the_test():
    rows = [row(lr=1e-3, token=0.9, validation=0.4), row(lr=1e-2, token=0.1, validation=0.5)]
    assert chosen(rows) == [[rows[1]]]
    assert "0.100" in table(rows)
    assert "0.900" not in table(rows)


def test_runs_with_and_without_an_early_end_are_not_averaged():
    rows = [row(seed=0), row(seed=1, until=0.99), row(seed=1) | {"until": None}]
    assert chosen(rows) == [[rows[0], rows[2]], [rows[1]]]


def test_each_model_has_its_own_rate_and_the_median_over_seeds_decides():
    validations = {
        ("ssm", 1e-3): (0.5, 0.5, 0.5),
        ("ssm", 1e-2): (0.4, 0.4, 1.0),
        ("ssm + fnn1", 1e-3): (0.9, 0.1, 0.1),
        ("ssm + fnn1", 1e-2): (0.0, 0.2, 0.2),
    }
    rows = [row(m, seed, lr, validation=v) for (m, lr), vs in validations.items() for seed, v in enumerate(vs)]
    assert rate(rows) == {"ssm": 1e-3, "ssm + fnn1": 1e-2}
    assert [r["seed"] for r in chosen(rows)[1]] == [0, 1, 2]


def test_rows_of_before_0_6_have_no_validation(monkeypatch):
    rows = [{k: v for k, v in row(lr=lr).items() if k not in ("vary", "validation", "tests")} for lr in (0.1, 0.2)]
    assert chosen(rows[:1]) == [rows[:1]]
    with pytest.raises(ValueError, match=r"^table: rows without `validation`.* add --by model,lr$"):
        table(rows)
    assert len(table(rows, ["model", "lr"]).splitlines()) == 6


def test_the_table_is_a_line_a_model_and_one_for_the_baseline():
    rows = [row(model, seed, token=0.1 * seed) for model in ("ssm", "ssm + fnn1") for seed in range(3)]
    head, names, *lines, baseline = table(rows).splitlines()
    assert head == "copying: 70 steps; median over seeds (lowest to highest), on fresh sequences"
    cells = ["3", "2,100", "448", "0.001", "0.100 (0.000 to 0.200)", "0.250 (0.250 to 0.250)", "never in 70", "1.2"]
    assert [cells_of(line) for line in lines] == [["ssm", *cells], ["ssm + fnn1", *cells]]
    assert baseline.split() == ["baseline", f"{TASK.baseline:.3f}"]
    assert baseline.index("0.") == names.index("token accuracy") == lines[0].index("0.100 (")


def sweep():
    """ssm at two values of ssm.poles and of max_len, attn at those of max_len, each with two seeds and rates."""
    return [
        row(model, s, lr, 0.1 * s, vary=vary | {"max_len": n}, task=f"copying(max_len={n})", steps_to_95=None)
        for model, vary in (("ssm", {"ssm.poles": 1}), ("ssm", {"ssm.poles": 4}), ("attn", {}))
        for n in (13, 5)
        for s in (0, 1)
        for lr in (0.1, 0.01)
    ]


def test_varied_settings_have_columns_and_each_task_its_baseline():
    head, names, *lines = table(sweep()).splitlines()
    assert head.startswith("copying with 2 sets of options: 70 steps;")
    assert cells_of(names)[:4] == ["model", "ssm.poles", "max_len", "seeds"]
    assert [cells_of(line)[:4] for line in lines[:4]] == [
        ["ssm", poles, n, "2"] for poles in ("1", "4") for n in ("13", "5")
    ]
    assert cells_of(lines[4])[:3] == ["attn", "13", "2"]
    baselines = [f"{Copying(max_len=n).baseline:.3f}" for n in (13, 5)] * 3
    at = names.index("baseline")
    assert [line[at:].split()[0] for line in lines[:6]] == baselines
    assert lines[6] == "ssm, ssm.poles=1, max_len=13: no rate of 0.1, 0.01 reached .95"
    assert len(lines) == 12


def test_by_chooses_the_lines_sorts_them_and_shows_all_rates():
    _, names, *lines = table(sweep(), ["max_len", "lr"]).splitlines()
    assert cells_of(names)[:4] == ["max_len", "lr", "seeds", "parameters"]
    assert [cells_of(line)[:2] for line in lines[:4]] == [["5", "0.01"], ["5", "0.1"], ["13", "0.01"], ["13", "0.1"]]
    with pytest.raises(ValueError, match=r"^table: no field 'colour' in these rows; expected one of task, mod"):
        table(sweep(), ["colour"])


def test_rows_that_differ_in_size_or_steps_alone_are_not_taken_for_seeds():
    rows = [row(), row(steps=90), row(net="another")]
    _, names, *lines, _ = table(rows).splitlines()
    assert cells_of(names)[:4] == ["model", "steps", "net", "seeds"]
    assert len(lines) == 3


def test_tests_on_other_tasks_have_columns():
    rows = [row(seed=s, tests={"copying(max_len=20)": 0.3 + 0.1 * s}) for s in (0, 1)]
    _, names, line, _ = table(rows).splitlines()
    assert line[names.index("on copying(max_len=20)") :].startswith("0.350 (0.300 to 0.400)")


@pytest.mark.parametrize("count", [1, 4])
def test_the_seconds_are_the_median(count):
    rows = [row(seed=i, seconds=1.5 + i) for i in range(count)]
    assert table(rows).splitlines()[2].split()[-1] == {1: "1.5", 4: "3.0"}[count]
