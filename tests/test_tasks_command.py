"""`minissm tasks`: what can be run, and how a sequence of it looks."""

import re
import sys
from unittest.mock import patch

import pytest

from minissm import tasks
from minissm.cli import main
from minissm.lab import tasks_command


def printed(capsys, *arguments):
    assert main(["tasks", *arguments]) == 0
    return capsys.readouterr().out


def test_all_tasks_and_presets_are_listed_by_specs_that_can_be_run(capsys):
    lines = printed(capsys).splitlines()
    assert max(map(len, lines)) <= 100
    text = re.sub(r"\n +", " ", "\n".join(lines))
    calls = [line.partition(") ")[0] + ")" for line in text.splitlines() if re.match(r"[a-z_]+\(", line)]
    assert [tasks.parse(call) for call in calls] == [make() for make in tasks.TASKS.values()]
    for name, preset in tasks.PRESETS.items():
        assert f"  {name}  {preset.spec}" in lines


def test_an_example_has_its_answers_below_their_questions(capsys):
    """In a narrow terminal it goes on in more lines, and lines without an answer are left out."""
    inputs, answers = (line for line in printed(capsys, "recall").splitlines() if line[:4] in ("  in", "  an"))
    beside = {inputs[t]: inputs[t + 2] for t in range(10, 26, 4)}
    assert [answers[t] for t in range(26, len(answers), 2)] == [beside[inputs[t]] for t in range(26, len(inputs), 2)]
    assert len(inputs) == len(answers) == 33
    lines = tasks_command.example(tasks.parse("recall"), 21, lambda text, _: text)
    assert "".join(line[10:] + " " for line in lines if line.startswith("  inputs")).split() == inputs[10:].split()
    assert [line.split()[0] for line in lines] == ["inputs", "inputs", "answers"]


def test_real_vectors_are_shown_by_their_numbers(capsys):
    text = printed(capsys, "regression(length=2)")
    assert "length 2, inputs 3, outputs 1; baseline 1.000" in text
    assert re.search(r"inputs  (-?\d.\d\d,?){3} (-?\d.\d\d,?){3}\n  answers +-?\d.\d\d\n", text)


@pytest.mark.parametrize("setting", [None, "NO_COLOR", "TERM"])
def test_colours_are_for_terminals_and_can_be_switched_off(setting, capsys, monkeypatch):
    assert "\033" not in printed(capsys, "recall")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    if setting:
        monkeypatch.setenv(setting, "dumb")
    assert ("\033[36mkey\033[0m" in printed(capsys, "recall")) == (setting is None)


def test_a_task_of_a_plugin_is_shown(capsys, tmp_path):
    file = tmp_path / "own.py"
    file.write_text("import minissm as ms\nclass Own(ms.tasks.Recall): pass\nms.register('own', Own)")
    with patch.dict(tasks.TASKS), patch.dict(tasks._names):
        assert printed(capsys, "own(pairs=3)", "--plugin", str(file)).startswith("own(pairs=3, ")
        assert "\nown(pairs=4, " in printed(capsys)


def test_the_name_of_a_preset_is_a_task(capsys):
    assert printed(capsys, "h3-induction").startswith("induction_heads(length=31, symbols=18)\n")
