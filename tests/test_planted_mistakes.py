"""planted.txt fits the code, and its runner distinguishes a mistake that a test notices from one that survives."""

import time

import pytest

from tests import planted

LIBRARY = "def double(x):\n    y = x + x\n    return y\n"
TEST = "from minissm.double import double\n\n\ndef test_two_and_two():\n    assert double(2) == 4\n"
ENTRIES = """# a comment
double.py: nothing is added
- y = x + x
-     return y
+ return x
tests: double

double.py: the product instead of the sum
- x + x
+ x * x
tests: double
"""


def test_every_entry_fits_the_code():
    mistakes = planted.read(planted.FILE.read_text())
    assert len(mistakes) > 100
    if stale := planted.problems(mistakes):
        lines = "\n".join(stale)
        pytest.fail(f"{len(stale)} entries of tests/planted.txt don't fit the code:\n{lines}", pytrace=False)


def test_entries_are_sorted_by_file():
    files = [m.file for m in planted.read(planted.FILE.read_text())]
    assert files == sorted(files)


def test_an_entry_may_have_several_lines_or_none_that_are_new():
    first, second = planted.read(ENTRIES.replace("+ x * x\n", ""))
    assert first == ("double.py", "nothing is added", "y = x + x\n    return y", "return x", ("double",))
    assert second.new == ""


def test_an_entry_without_tests_is_an_error_with_its_line():
    with pytest.raises(ValueError, match="line 8"):
        planted.read(ENTRIES.replace("x * x\ntests: double", "x * x"))


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("double.py: nothing", "single.py: nothing", "no file minissm/single.py"),
        ("- x + x", "- x", "occurs 3 times"),
        ("+ x * x", "+ x + x", "are the same"),
        ("+ x * x", "+ x *", "not Python"),
        ("x * x\ntests: double", "x * x\ntests: single", "no tests/test_single.py"),
        ("x * x\ntests: double", "x * x\ntests: double::test_three", "no tests/test_double.py::test_three"),
        ("double.py: the product instead of the sum", "double.py: nothing is added", "two such entries"),
    ],
)
def test_an_entry_that_does_not_fit_is_named(project, before, after, message):
    assert planted.problems(planted.read(ENTRIES), project) == []
    stale = planted.problems(planted.read(ENTRIES.replace(before, after)), project)
    assert len(stale) == 1
    assert message in stale[0]


def test_a_caught_mistake_and_one_that_survives(project, capsys):
    mistakes = planted.read(ENTRIES)
    end = time.monotonic() + planted.LIMIT
    assert planted.run(mistakes, mistakes, project, 1, False, end) == 1
    *outcomes, total, survivor = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in sorted(outcomes)] == ["caught", "survived"]
    assert sorted(outcomes)[0].endswith("tests/test_double.py::test_two_and_two")
    assert total == "1 caught, 1 survived, 0 failed, 0 not run"
    assert survivor == "survived: double.py: the product instead of the sum"
    assert (project / "minissm" / "double.py").read_text() == LIBRARY


def test_a_test_that_fails_without_a_mistake_catches_none(project, capsys):
    mistakes = planted.read(ENTRIES)[1:]
    (project / "tests" / "test_double.py").write_text(TEST.replace("4", "5"))
    assert planted.run(mistakes, mistakes, project, 1, False, time.monotonic() + planted.LIMIT) == 1
    assert "fails without a mistake too, and so catches none: tests/test_double.py" in capsys.readouterr().out


def test_what_time_does_not_allow_is_named(project, capsys):
    mistakes = planted.read(ENTRIES)
    assert planted.run(mistakes, mistakes, project, 2, False, time.monotonic()) == 0
    assert capsys.readouterr().out.splitlines()[0] == "0 caught, 0 survived, 0 failed, 2 not run"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A library of one function with one test."""
    monkeypatch.setattr(planted, "PRELOADED", ("pytest",))
    texts = {"minissm/__init__.py": "", "minissm/double.py": LIBRARY, "tests/test_double.py": TEST}
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path
