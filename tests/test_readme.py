"""What README and the docs claim is run, or compared with the results that were committed."""

import json
import re
import statistics
from pathlib import Path

import numpy as np
import pytest

import minissm
from minissm import train
from minissm.lab import compare
from minissm.tasks import TASKS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_commands_of_readme_are_those_that_ci_runs():
    install_and_test = "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/pytest"
    assert install_and_test in README
    assert install_and_test in (ROOT / ".ci" / "run").read_text()
    assert "python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/minissm run copying" in README


def results(task: str) -> list[dict]:
    return [json.loads(line) for line in (ROOT / "docs" / "results" / f"{task}.jsonl").read_text().splitlines()]


def cell(values: list[float]) -> str:
    return f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("page", ["README.md", "docs/experiments.md"])
def test_the_tables_are_the_results_that_were_committed(task, page):
    """| model | copying | recall |, the median token accuracy over seeds and its range."""
    table = {}
    for line in (ROOT / page).read_text().splitlines():
        cells = [c.strip() for c in line.strip("|").split("|")]
        if len(cells) == 3 and cells[0].strip("`") in (*compare.MODELS, "guessing"):
            table[cells[0].strip("`")] = cells[1 + list(TASKS).index(task)]
    rows = results(task)
    assert set(table) == {*compare.MODELS, "guessing"}
    for model in compare.MODELS:
        values = [r["token_accuracy"] for r in rows if r["model"] == model]
        assert len(values) == compare.PROFILES["quick"]["seeds"]
        assert table[model] == cell(values), model
    assert table["guessing"] == f"{TASKS[task]().floor:.3f}"


@pytest.mark.parametrize("task", TASKS)
def test_the_results_were_made_by_the_shipped_defaults(task):
    """The rows name the models, sizes, steps and rates that `minissm run` would use today."""
    config = compare.Config(task, **compare.PROFILES["quick"])
    nets = {name: repr(net) for name, net in config.nets().items()}
    for row in results(task):
        assert row["net"] == nets[row["model"]]
        assert (row["steps"], row["lr"]) == (config.steps, config.lrs[0])
        assert row["versions"]["minissm"] == minissm.__version__


@pytest.mark.parametrize("task", TASKS)
def test_the_table_of_other_layers_is_the_results_that_were_committed(task):
    """| model | copying | recall | seconds |, from the command that stands above it, as shipped."""
    page = (ROOT / "docs" / "experiments.md").read_text()
    sentences = re.search(rf'minissm run {task} --models "(trig.*)"', page)[1]
    rows = results(f"layers-{task}")
    config = compare.Config(task, tuple(sentences.split(";")), **compare.PROFILES["quick"])
    assert {row["net"] for row in rows} == {repr(net) for net in config.nets().values()}
    assert {(row["steps"], row["lr"], row["versions"]["minissm"]) for row in rows} == {
        (config.steps, config.lrs[0], minissm.__version__)
    }
    for model in config.models:
        (told,) = re.findall(rf"^\| `{re.escape(model)}` \|(.*)\|(.*)\|(.*)\|$", page, re.MULTILINE)
        of_model = [r for r in rows if r["model"] == model]
        assert told[list(TASKS).index(task)].strip() == cell([r["token_accuracy"] for r in of_model])
        seconds = [part.strip() for part in told[2].split(",")][list(TASKS).index(task)]
        assert seconds == f"{statistics.median(r['seconds'] for r in of_model):.0f}"


def test_the_version_is_said_once():
    assert f"## {minissm.__version__} " in (ROOT / "CHANGELOG.md").read_text()
    assert f"version: {minissm.__version__}" in (ROOT / "CITATION.cff").read_text()


def test_the_recipe_is_the_one_that_docs_describe():
    """docs/experiments.md, "The recipe"; the draws are tested beside their layers."""
    s4d, net = minissm.S4d(), minissm.Model("ssm + fnn1 + attn", vocab=3)
    assert (train.LR, train.BATCH, train.CLIP) == (8e-3, 64, 1)
    assert (s4d.poles, s4d.variant, minissm.Ssm().expand) == (8, "lin", 2)
    assert (net.norm, net.residual, net.timescales, net.dtype) == ("none", True, "graded", "float32")
    assert (minissm.Attn().heads, minissm.Attn().positions, minissm.Fnn().act) == (2, "learned", "gelu")
    params = minissm.Model("ssm + fnn1", vocab=300, width=100).init(np.random.default_rng(0))
    assert params["embed"]["w"].std() == pytest.approx(1, rel=0.02)
    assert params["blocks"][1][0]["w"].shape == (100, 400)


def test_the_longer_run_of_one_layer_is_told_as_it_was():
    rows = sorted(results("recall-one-layer-long"), key=lambda r: r["seed"])
    told = "{:.3f}, {:.3f} and {:.3f} (seeds 0, 1, 2;".format(*(r["token_accuracy"] for r in rows))
    assert told in (ROOT / "docs" / "experiments.md").read_text()
    assert {(r["model"], r["lr"], r["steps"]) for r in rows} == {("ssm + fnn1", 4e-3, 6000)}
