"""The whole self-test, in the sandbox: minutes, so that .ci/run leaves it to a release."""

import re

import pytest

from minissm.classroom.isolation import best
from minissm.cli import main


@pytest.mark.slow
@pytest.mark.skipif(not best(), reason="no isolation works on this machine")
def test_every_solution_mistake_and_other_sheet_has_the_right_verdict_and_a_name(capsys):
    assert main(["course", "selftest"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    graded, wrong, named, rejected = map(int, re.findall(r"\d+", last))
    assert graded >= 500
    assert wrong == 0
    assert named >= 0.98 * rejected, last
