"""Every study is one command of today's program, and makes runs."""

import shlex

import pytest

from minissm.lab.studies import STUDIES, command, quoted, runs


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_is_printed_as_the_command_that_runs_it(name):
    words = shlex.split(command(name))
    assert words == ["minissm", "run", *STUDIES[name].argv, "--out", f"runs/{name}"]
    assert runs(name) >= 3


def test_a_word_is_quoted_where_a_shell_would_split_it():
    assert quoted("ssm.poles=1,4,16") == "ssm.poles=1,4,16"
    assert quoted("ssm + fnn1; lstm") == '"ssm + fnn1; lstm"'
    assert quoted('attn(positions="none")') == "'attn(positions=\"none\")'"
