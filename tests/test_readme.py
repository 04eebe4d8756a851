"""The numbers of README and docs/experiments.md are those of the committed rows, made by the shipped defaults."""

import json
import re
from pathlib import Path
from statistics import median

import numpy as np
import pytest

import minissm
from minissm import train
from minissm.lab import config as settings
from minissm.tasks import TASKS

ROOT = Path(__file__).parent.parent
README, EXPERIMENTS = ((ROOT / name).read_text() for name in ("README.md", "docs/experiments.md"))
QUICK = settings.PROFILES["quick"]
LAYERS = tuple(re.search(r'minissm run copying --models "(trig.*)"', EXPERIMENTS)[1].split(";"))
FILES = {  # rows -> the options of the command that made them
    "copying": {},
    "recall": {},
    "layers-copying": {"models": LAYERS},
    "layers-recall": {"models": LAYERS},
    "linear-copying": {"models": ("fir(window=24)", "ssm(poles=32)")},
    "recall-one-layer-long": {"models": ("ssm + fnn1",), "lrs": (4e-3,), "steps": 6000},
}


def results(name: str) -> list[dict]:
    return [json.loads(line) for line in (ROOT / "docs" / "results" / f"{name}.jsonl").read_text().splitlines()]


def config(name: str) -> settings.Config:
    return settings.Config(next(task for task in ("copying", "recall") if task in name), **QUICK | FILES[name])


def cell(rows: list[dict]) -> str:
    values = [row["token_accuracy"] for row in rows]
    return f"{median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def by_model(name: str) -> dict[str, list[dict]]:
    rows = results(name)
    return {model: [row for row in rows if row["model"] == model] for model in config(name).models}


def lines_of_tables() -> dict[str, str]:
    """The lines that each page must have, as the rows give them. -> line, the page."""
    lines, (copying, recall) = {}, (by_model("copying"), by_model("recall"))
    for model in settings.MODELS:
        lines[f"| `{model}` | {cell(copying[model])} | {cell(recall[model])} |"] = README
    baselines = " | ".join(f"{TASKS[name]().baseline:.3f}" for name in ("copying", "recall"))
    lines[f"| baseline | {baselines} |"] = README
    lines |= dict.fromkeys(lines, EXPERIMENTS + README)
    copying, recall = by_model("layers-copying"), by_model("layers-recall")
    for model in copying:
        lines[f"| `{model}` | {cell(copying[model])} | {cell(recall[model])} |"] = EXPERIMENTS
    for model, rows in by_model("linear-copying").items():
        lines[f"| `{model}` | {cell(rows)} |"] = EXPERIMENTS
    for row in results("recall-one-layer-long"):
        lines[f"| {row['seed']} | {row['token_accuracy']:.3f} |"] = EXPERIMENTS
    return lines


def test_the_tables_are_the_results_that_were_committed():
    missing = [line for line, page in lines_of_tables().items() if line not in page]
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize("name", FILES)
def test_the_results_were_made_by_the_shipped_defaults(name):
    """The rows are of the models, sizes, seeds, steps and rates that the command would use today, in its order."""
    jobs = config(name).work()
    found = [(row["net"], row["seed"], row["lr"], row["steps"]) for row in results(name)]
    assert found == [(job.net, job.seed, job.lr, job.steps) for job in jobs]
    minor = minissm.__version__.rsplit(".", 1)[0]  # a patch release changes no bit of a row
    assert {row["versions"]["minissm"].rsplit(".", 1)[0] for row in results(name)} == {minor}


def test_the_commands_of_readme_are_those_that_ci_runs():
    test = "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/pytest"
    assert test in README
    assert test in (ROOT / ".ci" / "run").read_text()
    assert len(README.splitlines()) <= 90, "a front page: what is added replaces something"


def test_the_version_is_said_once():
    assert f"## {minissm.__version__} " in (ROOT / "CHANGELOG.md").read_text()
    assert f"version: {minissm.__version__}" in (ROOT / "CITATION.cff").read_text()


def test_the_recipe_is_the_one_that_docs_describe():
    """docs/experiments.md, "The recipe"; the draws are tested with their layers."""
    s4d, net = minissm.S4d(), minissm.Model("ssm + fnn1 + attn", vocab=3)
    assert (train.LR, train.BATCH, train.CLIP) == (8e-3, 64, 1)
    assert (s4d.poles, s4d.variant, minissm.Ssm().expand) == (8, "lin", 2)
    assert (net.norm, net.residual, net.timescales, net.dtype) == ("none", True, "graded", "float32")
    assert (minissm.Attn().heads, minissm.Attn().positions, minissm.Fnn().act) == (2, "learned", "gelu")
    params = minissm.Model("ssm + fnn1", vocab=300, width=100).init(np.random.default_rng(0))
    assert params["embed"]["w"].std() == pytest.approx(1, rel=0.02)
    assert params["blocks"][1][0]["w"].shape == (100, 400)
