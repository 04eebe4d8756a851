"""The levels that README names, reached by the shipped defaults (slow: some minutes on two cores)."""

import json
from statistics import median

import pytest

from minissm.cli import main

pytestmark = pytest.mark.slow


def run(task, folder):
    assert main(["run", task, "--out", str(folder)]) == 0
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
