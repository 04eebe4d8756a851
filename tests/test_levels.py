"""The accuracies that README names, reached by the shipped defaults (slow: some minutes on two cores)."""

import json
from statistics import median

import pytest

from minissm.cli import main

pytestmark = pytest.mark.slow
TRIG, FIR = (f"{name}(window=3) + fnn1 + {name} + fnn1" for name in ("trig", "fir"))  # the second window is 32
S6 = "s6 + fnn1 + s6 + fnn1"


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
    reached = run(task, tmp_path / "out", "--models", ";".join([TRIG, S6, FIR, "lstm"]), "--seeds", "1")
    assert reached[TRIG] >= trig
    assert reached[S6] >= s6
    assert reached[FIR] >= fir
    assert reached["lstm"] >= lstm
