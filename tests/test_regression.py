"""The figure of regression, from rows that are given."""

import json
from pathlib import Path
from statistics import median

import numpy as np
import pytest

from minissm.lab import sweep
from minissm.lab.regression import Slope, figure, risks, short, slope, yardstick
from minissm.tasks import Regression
from minissm.tasks.smooth import series_risks

DOCS = Path(__file__).parent.parent / "docs"


def rows_of(risk, sizes=(64, 128, 256), seeds=3, **more):
    return [
        {
            "task": Regression(n=n).spec,
            "model": model,
            "vary": {"n": n},
            "seed": seed,
            "lr": 0.012,
            "steps": 9,
            "net": "",
        }
        | {"mean_squared_error": risk(n, seed), "influence": 0.5 + 0.1 * seed, "influence_top": 0.9}
        | more
        for n in sizes
        for seed in range(seeds)
        for model in Regression.recipe["models"]
    ]


def test_slopes_are_those_of_each_seed_with_their_interval():
    found = risks(rows_of(lambda n, seed: 5 * n ** -(0.5 + 0.25 * seed)))
    assert len(found) == 5
    for by_seed in found.values():
        one = slope(by_seed)
        half = 4.302653 * 0.25 / 3**0.5  # the 0.975 quantile of t with 2 degrees of freedom
        np.testing.assert_allclose(one, [-0.75, -0.75 - half, -0.75 + half], rtol=1e-6)
        assert str(one) == "-0.75 (-1.37 to -0.13)"
    alone = slope(risks(rows_of(lambda n, _: n**-2.0, seeds=1))["ssm + ssm, no norm"])
    assert str(alone) == "-2.00"
    assert slope({0: {64: 0.5}}) is None


def test_a_risk_that_is_not_finite_is_left_out():
    found = risks(rows_of(lambda n, seed: None if seed == 1 else 1 / n))
    assert all(by_seed.keys() == {0, 2} for by_seed in found.values())


def test_the_yardstick_sees_the_samples_of_the_rows():
    found = yardstick(rows_of(lambda *_: 1.0, sizes=(64, 500), seeds=2))
    assert found == {s: {n: series_risks(Regression(n=n, seed=s))[0] for n in (64, 500)} for s in (0, 1)}


@pytest.mark.parametrize(
    ("model", "label"),
    [
        ('Model("fnn2 + ssm(dt=(0.001, 0.01)) + fnn2", norm="rms")', "fnn2 + ssm + fnn2, rms norm"),
        ('Model("ssm + ssm", norm="none")', "ssm + ssm, no norm"),
        ("s6(dt=(0.1, 1.0), d_state=4) + fnn1", "s6 + fnn1"),
    ],
)
def test_a_model_has_a_short_label(model, label):
    assert short(model) == label


def test_the_figure_has_all_models_seeds_and_slopes(tmp_path):
    png, svg = sweep.figures(rows_of(lambda n, seed: (1 + seed) / n), [], tmp_path)
    text = svg.read_text()
    assert png.exists()
    assert text.count("-1.00 (-1.00 to -1.00)") == 5
    assert "The important token, n = 256" in text
    some = rows_of(lambda n, seed: 1 / n, sizes=(64,), seeds=1, influence=None, influence_top=None)
    assert "n = 64" in figure(some, tmp_path / "one")[1].read_text(), "one seed and size, no influence"
    assert str(Slope(-1.0)) == "-1.00"


def test_the_table_of_the_page_is_that_of_the_committed_rows():
    """It prints the lines that the page lacks."""
    rows = committed("regression")
    found = {"a series that knows the token": (yardstick(rows), "")}
    for model, by_seed in risks(rows).items():
        spec, norm = model.rsplit(", ", 1)
        (size,) = {row["parameters"] for row in rows if short(row["model"]) == model}
        found[f"`{spec}` ({norm})"] = by_seed, f"{size:,}"
    lines = []
    for name, (by_seed, size) in found.items():
        cells = [[r[n] for r in by_seed.values() if n in r] for n in (1024, 4096, 8192)]
        shown = [f"{median(values):.4f} ({min(values):.4f} to {max(values):.4f})" for values in cells]
        lines.append(f"| {' | '.join([name, size, *shown, str(slope(by_seed))])} |".replace("|  |", "| |"))
    missing = [line for line in lines if line not in (DOCS / "regression.md").read_text()]
    assert not missing, "\n".join(missing)


def committed(name):
    return [json.loads(line) for line in (DOCS / "results" / f"{name}.jsonl").read_text().splitlines()]


def on_test(rows, name):
    return f"{median(row['tests'][name] for row in rows):.3f}"


def test_the_other_tables_of_the_page_are_those_of_the_committed_rows():
    """Other gaps, what comes closer, two smoothnesses: all cells but the name of the model."""
    hard, easy = (f"regression(gap={gap})" for gap in (0.05, 0.3))
    lines = []
    for model in Regression.recipe["models"][:3]:
        mine = [row for row in committed("regression") if row["model"] == model and row["vary"]["n"] == 8192]
        risk = median(row["mean_squared_error"] for row in mine)
        lines.append(f"` | {on_test(mine, hard)} | {risk:.3f} | {on_test(mine, easy)} |")
    closer = committed("regression-closer")
    for model in list(dict.fromkeys(row["model"] for row in closer))[:2]:
        mine = [row for row in closer if row["model"] == model]
        found = [row["mean_squared_error"] for row in mine]
        spread = f"{median(found):.3f} ({min(found):.3f} to {max(found):.3f})"
        lines.append(f"` | {mine[0]['parameters']:,} | {spread} | {on_test(mine, hard)} | {on_test(mine, easy)} |")
    two = committed("regression-two-smoothness")
    for model in dict.fromkeys(row["model"] for row in two):
        cells = []
        for task in two[0]["tests"]:
            small, large = ([r for r in two if r["model"] == model and r["vary"]["n"] == n] for n in (1024, 8192))
            slopes = [
                np.log(b["tests"][task] / a["tests"][task]) / np.log(8) for a, b in zip(small, large, strict=True)
            ]
            cells += [on_test(small, task), on_test(large, task), f"{median(slopes):.2f}"]
        lines.append(f"` | {' | '.join(cells)} |")
    page = (DOCS / "regression.md").read_text()
    assert [line for line in lines if line not in page] == []
