"""The numbers of README and docs/experiments.md are those of the committed rows, made by the shipped defaults."""

import json
from pathlib import Path
from statistics import median

import numpy as np
import pytest

import minissm
from minissm import train
from minissm.lab import studies
from minissm.lab.config import MODELS
from minissm.lab.report import steps_to_learn
from minissm.tasks import parse

ROOT = Path(__file__).parent.parent
README, EXPERIMENTS = ((ROOT / name).read_text() for name in ("README.md", "docs/experiments.md"))
MINORS = {"0.5", "0.6", "0.7"}  # they train models to the same bits; rows of 0.5 lack the fields that 0.6 added
INFLUENCE = ("influence", "influence_top")
RESULTS = sorted(path.stem for path in (ROOT / "docs" / "results").glob("*.jsonl") if path.stem in studies.STUDIES)


def results(name: str) -> list[dict]:
    return [json.loads(line) for line in (ROOT / "docs" / "results" / f"{name}.jsonl").read_text().splitlines()]


def scores(rows: list[dict]) -> list[str]:
    """Accuracy, steps to .95, state and the accuracies on other tasks, as a table shows them."""
    values = [row["token_accuracy"] for row in rows]
    accuracy = f"{median(values):.3f} ({min(values):.3f} to {max(values):.3f})"
    tests = [f"{median(row['tests'][spec] for row in rows):.3f}" for spec in rows[0].get("tests", ())]
    return [accuracy, steps_to_learn(rows) if "steps_to_95" in rows[0] else "", f"{rows[0]['state_size']:,}", *tests]


def line(*cells: str) -> str:
    return " ".join(["|", *(f"{cell} |".lstrip() for cell in cells)])


def table(name: str) -> list[str]:
    """The table of a study: model, the varied settings, accuracy, steps to .95, state; and the baselines."""
    rows, cells = results(name), dict[tuple, list[dict]]()
    several = len({row["lr"] for row in rows}) > 1
    for row in rows:
        varied = [*map(str, row.get("vary", {}).values()), *([f"{row['lr']:g}"] if several else [])]
        cells.setdefault((row["model"], *varied), []).append(row)
    lines = [line(f"`{key[0]}`", *key[1:], *scores(mine)) for key, mine in cells.items()]
    more = [""] * (2 + len(rows[0].get("tests", ())))
    baselines = {(*key[1:],): parse(mine[0]["task"]).baseline for key, mine in cells.items()}
    if len(set(baselines.values())) == 1:
        baselines = {("",) * len(next(iter(baselines))): next(iter(baselines.values()))}
    return lines + [line("baseline", *key, f"{value:.3f}", *more) for key, value in baselines.items()]


def by_model(name: str) -> dict[str, list[dict]]:
    rows = results(name)
    return {model: [row for row in rows if row["model"] == model] for model in studies.config(name).models}


def vocabulary() -> list[str]:
    """Accuracies by the number of values, over the parameters."""
    rows, cells = results("recall-vocabulary"), dict[int, list[str]]()
    for values, budget in dict.fromkeys((row["vary"]["values"], row["vary"]["budget"]) for row in rows):
        mine = [row for row in rows if row["vary"] == {"values": values, "budget": budget}]
        cells.setdefault(values, []).append(scores(mine)[0])
    return [line(str(n), *cell, f"{parse(f'recall(values={n})').baseline:.3f}") for n, cell in cells.items()]


def selection() -> list[str]:
    """Errors, and the influence of the right token."""
    lines = []
    for model, rows in by_model("selection").items():
        e = sorted(row["mean_squared_error"] for row in rows)
        cells = f"{median(e):.2g} ({e[0]:.2g} to {e[-1]:.2g})", f"{median(row['influence_top'] for row in rows):.2f}"
        lines.append(line(f"`{model}`", *cells, f"{rows[0]['state_size']:,}"))
    return [*lines, line("baseline", f"{parse('selection').baseline:.2g}", "", "")]


def lines_of_tables() -> dict[str, str]:
    """The lines that each page must have, as the rows give them. -> line, the page."""
    lines, (copying, recall) = {}, (by_model("copying"), by_model("recall"))
    for model in MODELS:
        lines[line(f"`{model}`", *scores(copying[model]), *scores(recall[model]))] = README
    baselines = [f"{parse(name).baseline:.3f}" for name in ("copying", "recall")]
    lines[line("baseline", baselines[0], "", "", baselines[1], "", "")] = README
    lines |= dict.fromkeys(lines, EXPERIMENTS + README)
    for name in RESULTS:
        own = ("copying", "recall", "recall-one-layer-long", "recall-vocabulary", "selection")
        if name not in own and not name.startswith("regression"):
            lines |= dict.fromkeys(table(name), EXPERIMENTS)  # docs/regression.md has a test of its own
    for model in MODELS:
        shares = [f"{median(r[n] for r in rows[model]):.2f}" for rows in (recall, copying) for n in INFLUENCE]
        lines[line(f"`{model}`", *shares)] = EXPERIMENTS
    lines |= dict.fromkeys([*vocabulary(), *selection()], EXPERIMENTS)
    for row in results("recall-one-layer-long"):
        lines[f"| {row['seed']} | {row['token_accuracy']:.3f} |"] = EXPERIMENTS
    return lines


def test_the_tables_are_the_results_that_were_committed():
    missing = [line for line, page in lines_of_tables().items() if line not in page]
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize("name", RESULTS)
def test_the_results_were_made_by_the_command_of_their_study(name):
    """The rows are of the models, sizes, seeds, steps and rates that the command would use today, in its order."""
    fields = ("task", "net", "seed", "lr", "steps")
    rows, jobs = results(name), studies.config(name).work()
    assert [[row[f] for f in fields] for row in rows] == [[getattr(job, f) for f in fields] for job in jobs]
    assert {row["versions"]["minissm"].rsplit(".", 1)[0] for row in rows} <= MINORS


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
