"""The command `minissm course` on bad input: exit code 2, one sentence, and nothing half-written."""

import errno
import os
import zipfile

import pytest

from minissm.classroom import class_run, collect, marking
from minissm.classroom.course import read
from minissm.classroom.exercise import every
from minissm.cli import main

from .trusted import trusted

GRADE = ["grade", "course", "1", "in", "--out", "out"]
FILL = [*GRADE, "--worksheet", "sheet.csv", "--column"]
SHEETS = ["sheets", "course", "1", "--out", "out", "--roster"]
BAD = [
    (["grade", "nowhere", *GRADE[2:]], "nowhere/course.toml: No such file"),
    (["grade", "course", "7", *GRADE[3:]], "assignment '7' isn't in course.toml; expected 1, 2, 3"),
    (["grade", "course", "1", "nowhere", "--out", "out"], "nowhere is not there"),
    (["grade", "course", "1", "empty.zip", "--out", "out"], "empty holds no hand-ins"),
    (["grade", "course", "1", "broken.zip", "--out", "out"], "broken.zip is not a zip, or a damaged one"),
    (["grade", "course", "1", "many.zip", "--out", "out"], "many has over 3 files"),
    ([*GRADE[:-1], "ann.txt"], "ann.txt/graded (Not a directory)"),
    ([*GRADE[:-1], ""], "an empty argument"),
    ([*GRADE[:-1], "in/out"], "--out in/out is inside the submissions"),
    (["grade", "course", "1", "ann.zip", "--out", "out"], "has no hand-in of a student: ann/ex1.txt is not one of"),
    ([*GRADE, "--jobs", "0"], "--jobs=0; expected an integer, 1 or more"),
    ([*GRADE, "--roster", "twice.txt"], "it names Ann twice"),
    ([*GRADE, "--column", "Grade"], "one of --worksheet and --column is given"),
    ([*FILL, "Note"], "no column 'Note'; expected one of Name, ID, Grade"),
    ([*FILL, "Grade", "--key", "Nr"], "no column 'Nr'"),
    ([*FILL, "Grade", "--key", "Name"], "no row of its column 'Name' has the ids"),
    ([*GRADE, "--worksheet", "latin.csv", "--column", "Grade"], "latin.csv is not in UTF-8"),
    (["sheets", "course", "1", "--out", "out"], "no list of students is given"),
    ([*SHEETS, "nowhere"], "nowhere: No such file"),
    ([*SHEETS, "twice.txt"], "it names Ann twice"),
    (["zip", "course", "9", "--out", "out"], "assignment '9' isn't in course.toml"),
    (["zip", "course", "1", "--out", "nowhere/a.zip"], "nowhere/a.zip: No such file"),
    (["new", "course"], "it has a course.toml"),
    (["new", "next", "--after", "nowhere"], "nowhere/course.toml: No such file"),
    (["try", "ex99"], "exercise ex99; expected one of ex1, ex2"),
    (["try", "ex1", "nowhere.py"], "can't read or write nowhere.py"),
    (["selftest", "ex1", "ex0"], "exercise ex0; expected one of"),
    (["selftest", "--jobs", "0"], "--jobs=0"),
]


@pytest.fixture
def there(tmp_path, monkeypatch):
    """A course, a student's right hand-in, and files with something wrong."""
    monkeypatch.chdir(tmp_path)
    assert main(["course", "new", "course"]) == 0
    (tmp_path / "in" / "ann").mkdir(parents=True)
    for name in ("ex1", "ex3"):
        solution = every()[name].solution(read("course").sheet(name, "ann"))
        (tmp_path / "in" / "ann" / f"{name}.py").write_text(solution)
    (tmp_path / "ann.txt").write_text("ann\n")
    (tmp_path / "twice.txt").write_text("ann\nbob\nAnn\n")
    (tmp_path / "sheet.csv").write_text("Name,ID,Grade\nÄnne,ann,\n", encoding="utf-8")
    (tmp_path / "latin.csv").write_text("Name,ID,Grade\nÄnne,ann,\n", encoding="latin-1")
    (tmp_path / "broken.zip").write_bytes(b"PK\3\4 and no more")
    for name, inside in (("empty", []), ("ann", ["ann/ex1.txt"]), ("many", ["1/ex1.py", "2/ex1.py", "3/ex1.py", "4"])):
        with zipfile.ZipFile(f"{name}.zip", "w") as archive:
            for member in inside:
                archive.writestr(member, "")
    return tmp_path


def contents(folder):
    return {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}


def test_bad_input_is_one_sentence_and_leaves_nothing(there, monkeypatch, capsys):
    monkeypatch.setattr(collect, "MOST_FILES", 3)
    before = contents(there)
    capsys.readouterr()
    for arguments, sentence in BAD:
        code, said = main(["course", *arguments]), capsys.readouterr()
        assert (code, said.out, said.err.count("\n")) == (2, "", 1), (arguments, said)
        assert said.err.startswith("minissm course: "), said.err
        assert sentence in said.err, arguments
    assert contents(there) == before


@pytest.mark.parametrize("change", ["open", "missing", "other"])
def test_a_secret_that_is_open_missing_or_another_is_refused(there, monkeypatch, capsys, change):
    monkeypatch.setattr(class_run, "isolated", lambda trust: (trusted, "none", "first"))
    assert main(["course", *GRADE]) == 0
    before, secret = contents(there / "out"), there / "course" / "secret"
    if change == "open":
        secret.chmod(0o644)
    elif change == "missing":
        secret.unlink()
    else:
        secret.write_text("ab" * 32 + "\n")
    capsys.readouterr()
    assert main(["course", *GRADE]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    expected = {"open": "chmod 600", "missing": "secret: No such file", "other": "made with another secret"}[change]
    assert expected in said.err
    assert contents(there / "out") == before


def test_a_full_disk_is_one_sentence_and_what_is_graded_stays(there, monkeypatch, capsys):
    calls, real = [], marking.write_whole

    def call(*arguments, **options):
        calls.append(1)
        return trusted(*arguments, **options)

    def full(path, write):
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        real(path, write)

    monkeypatch.setattr(class_run, "isolated", lambda trust: (call, "none", "first"))
    monkeypatch.setattr(marking, "write_whole", full)
    assert main(["course", *GRADE]) == 2
    said = capsys.readouterr().err
    assert "No space left on device); what was done stays" in said
    assert said.count("\n") == 1
    assert not (there / "out" / "grades.csv").exists()
    monkeypatch.setattr(marking, "write_whole", real)
    assert main(["course", *GRADE]) == 0
    assert len(calls) == 3
    assert (there / "out" / "grades.csv").read_text().splitlines()[1].startswith("ann,10,,10,,20,")
