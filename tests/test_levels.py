"""The levels that README names, reached by the shipped defaults (slow: some minutes on two cores)."""

import json
from statistics import median

import pytest

from minissm.cli import main

pytestmark = pytest.mark.slow


OTHERS = "trig + fnn1 + trig + fnn1; s6 + fnn1 + s6 + fnn1; fir + fnn1 + fir + fnn1; lstm"


def run(task, folder, *options):
    assert main(["run", task, "--out", str(folder), *options]) == 0
    rows = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    return {m: median(r["token_accuracy"] for r in rows if r["model"] == m) for m in {r["model"] for r in rows}}


def test_copying(tmp_path):
    reached = run("copying", tmp_path / "out")
    assert reached["ssm"] <= 0.62
    assert reached["ssm + fnn1"] >= 0.98
    assert reached["ssm + fnn1 + ssm + fnn1"] >= 0.99
    assert reached["attn + fnn1 + attn + fnn1"] >= 0.99


def test_recall(tmp_path):
    reached = run("recall", tmp_path / "out")
    assert reached["ssm"] == pytest.approx(0.456, abs=0.02)
    assert reached["ssm + fnn1 + ssm + fnn1"] >= 0.98
    assert reached["attn + fnn1 + attn + fnn1"] >= 0.99


@pytest.mark.parametrize(
    ("task", "trig", "s6", "fir", "lstm"), [("copying", 0.97, 0.98, 0.95, 0.9), ("recall", 0.98, 0.99, 0.97, 0.95)]
)
def test_other_layers(task, trig, s6, fir, lstm, tmp_path):
    """One seed; docs/experiments.md has three."""
    reached = run(task, tmp_path / "out", "--models", OTHERS, "--seeds", "1")
    assert reached["trig + fnn1 + trig + fnn1"] >= trig
    assert reached["s6 + fnn1 + s6 + fnn1"] >= s6
    assert reached["fir + fnn1 + fir + fnn1"] >= fir
    assert reached["lstm"] >= lstm
