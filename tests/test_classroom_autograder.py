"""The zip for Gradescope: what is in it, and what it does with a submission when it is unpacked and run."""

import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from minissm.classroom import autograder, course as courses, isolation
from minissm.classroom.autograder import find, pack
from minissm.classroom.exercise import every
from minissm.classroom.grade import Graded
from minissm.classroom.judge import Check
from tests.test_house import FILES, imports

ROOT = Path(__file__).parent.parent
ANNA, BEN = ({"email": f"{name}@x.edu", "id": i, "name": name.title()} for i, name in enumerate(("anna", "ben"), 7))


@pytest.fixture
def course(tmp_path):
    courses.new(tmp_path / "course")
    (tmp_path / "course" / "course.toml").write_text('[assignments]\n1 = ["ex1", "ex6"]\n')
    return courses.read(tmp_path / "course")


def unpacked(course, folder, exercises=("ex1",), users=(ANNA,), **options):
    """A folder as Gradescope's /autograder, with nothing handed in yet."""
    pack(course, exercises, folder.parent / "autograder.zip", **options)
    with zipfile.ZipFile(folder.parent / "autograder.zip") as archive:
        archive.extractall(folder / "source")
    (folder / "submission").mkdir()
    (folder / "submission_metadata.json").write_text(json.dumps({"id": 1, "users": list(users)}))
    return folder


def graded(folder, python=sys.executable, within=()):
    """What run_autograder writes to results.json, and what it prints. within: a command to run it by."""
    environment = {"AUTOGRADER_ROOT": str(folder), "AUTOGRADER_PYTHON": str(python), "PATH": os.environ["PATH"]}
    command = [*within, "bash", folder / "source" / "run_autograder"]
    run = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return json.loads((folder / "results" / "results.json").read_text()), run.stdout + run.stderr


def solution(course, exercise, user, mistakes=()):
    return every()[exercise].solution(course.sheet(exercise, user["email"]), mistakes)


def test_the_same_course_gives_the_same_zip_and_others_cannot_open_it(course, tmp_path):
    pack(course, ("ex1",), tmp_path / "1.zip")
    for path in (ROOT / "minissm" / "classroom").glob("*.py"):
        os.utime(path)
    pack(course, ("ex1",), tmp_path / "2.zip")
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()
    pack(course, ("ex2",), tmp_path / "3.zip")
    assert (tmp_path / "1.zip").read_bytes() != (tmp_path / "3.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "1.zip") as archive:
        entries = archive.infolist()
        assert [e.filename for e in entries] == sorted(e.filename for e in entries)
        modes = {e.filename: stat.S_IMODE(e.external_attr >> 16) for e in entries}
        assert archive.read("course/secret") == (course.folder / "secret").read_bytes()
        setup = archive.read("setup.sh").decode()
    assert modes.pop("setup.sh") == modes.pop("run_autograder") == 0o755
    assert set(modes.values()) == {0o600}
    assert f'"numpy<={np.__version__}"' in setup
    assert "@" not in setup
    if os.name == "posix":
        assert stat.S_IMODE((tmp_path / "1.zip").stat().st_mode) == 0o600


def test_the_zip_has_all_files_that_the_grader_imports_and_needs_numpy_alone(course, tmp_path):
    folder = unpacked(course, tmp_path / "root")
    needed, todo = set(), {"classroom.autograder"}
    while todo:
        needed |= todo
        todo = {other for module in todo for other in imports(FILES[module])} - needed
    for module in needed:
        assert (folder / "source" / FILES[module].relative_to(ROOT)).exists(), module
    code = (
        "import sys, minissm.classroom.autograder, minissm.classroom.exercise as e\n"
        "print(minissm.__file__, *e.every())\n"
        "print(*sorted({m.split('.')[0] for m in sys.modules} - set(sys.stdlib_module_names)))"
    )
    options = {"env": {"PYTHONPATH": str(folder / "source")}, "cwd": folder, "text": True}
    first, second = subprocess.check_output([sys.executable, "-P", "-s", "-c", code], **options).splitlines()
    assert first == f"{folder}/source/minissm/__init__.py {' '.join(every())}"
    assert {name for name in second.split() if name[0] != "_"} - {"cython_runtime"} == {"minissm", "numpy"}


def test_a_zip_that_cannot_be_written_is_one_sentence(course, tmp_path):
    with pytest.raises(ValueError, match=r"^course: .*none.a\.zip: No such file.*; expected .*; choose another --out"):
        pack(course, ("ex1",), tmp_path / "none" / "a.zip")


def test_the_file_that_lies_least_deep_is_graded_and_links_are_not_followed(tmp_path):
    def hand(*names):
        for i, name in enumerate(names):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(f"{i}")
        return find(str(tmp_path), "ex1")

    assert hand("other.py", "util/ex10.py").problem == "ex1.py is missing"
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / "ex1.py").symlink_to(tmp_path / "other.py")
    assert find(str(tmp_path), "ex1")[2:4] == (None, "ex1.py is a link, which is not followed")
    (tmp_path / "link" / "ex1.py").unlink()
    assert hand("repo/a/ex1.py").source == b"0"
    assert hand("repo/a/b/ex1.py", "repo/ex1 (1).py", ".git/ex1.py").source == b"1"
    assert hand("other/Ex1.py")[2:4] == (None, "ex1.py is there more than once")
    assert hand("ex1.py").source == b"0"
    (tmp_path / "ex1.py").write_bytes(b"#" * (1 << 18) + b"#")
    assert find(str(tmp_path), "ex1")[2:4] == (None, "ex1.py is larger than 256 KB")


@pytest.mark.parametrize(("variants", "score"), [("student", 7), ("class", 3)])
def test_a_group_gets_the_best_of_its_sheets_and_a_doubtful_end_a_second_run(tmp_path, monkeypatch, variants, score):
    courses.new(tmp_path / "course", variants=variants)
    (tmp_path / "course" / "course.toml").write_text(
        f'variants = "{variants}"\nfeedback = "after_due_date"\n[assignments]\n1 = ["ex1"]\n'
    )
    folder = unpacked(courses.read(tmp_path / "course"), tmp_path / "root", users=(BEN, ANNA))
    (folder / "source" / "course" / "secret").chmod(0o600)
    (folder / "submission" / "ex1.py").write_text("source")
    runs = []

    def grade_one(course, hand, call):
        runs.append((hand.student, hand.source, call))
        first = len(runs) == 1
        earned = 0 if first else 7 if hand.student == "ben@x.edu" else 3
        return Graded("ex1", (Check("case", 10, earned, "ok", ""),), stopped="ended" if first else "")

    monkeypatch.setattr(autograder, "grade_one", grade_one)
    monkeypatch.setattr(autograder, "isolated", lambda trust: ("call", "", f"trust: {trust}"))
    found = autograder.results(folder, "email", ["ex1"])
    assert (found["tests"][0]["score"], found["tests"][0]["visibility"]) == (score, "after_due_date")
    assert found["output"] == "trust: False"
    students = ["anna@x.edu", "anna@x.edu", "ben@x.edu"][: 3 if variants == "student" else 2]
    assert runs == [(student, b"source", "call") for student in students]


@pytest.mark.slow
def test_a_submission_is_graded_as_on_gradescope(course, tmp_path):
    folder = unpacked(course, tmp_path / "root", ("ex1", "ex6"), (BEN, ANNA))
    exercise = every()["ex1"]
    mistake = next(m for m in exercise.mistakes if exercise.changes(course.sheet("ex1", ANNA["email"]), m))
    (folder / "submission" / "ex1.py").write_text(solution(course, "ex1", ANNA))
    found, log = graded(folder)
    assert log == ""
    assert found["output"] == isolation.describe(isolation.best())
    scores = {test["name"]: (test["score"], test["max_score"], test["visibility"]) for test in found["tests"]}
    assert sum(score for score, *_ in scores.values()) == 10
    assert sum(most for _, most, _ in scores.values()) == 30
    assert {visibility for *_, visibility in scores.values()} == {"visible"}
    assert found["tests"][-1]["output"] == "ex6.py is missing"
    (folder / "submission" / "ex1.py").write_text(solution(course, "ex1", ANNA, [mistake]))
    found, _ = graded(folder)
    assert any(f"looks like: {mistake}" in test["output"] for test in found["tests"])
    assert sum(test["score"] for test in found["tests"]) < 10


@pytest.mark.slow
@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() or not shutil.which("setpriv"),
    reason="needs root, and setpriv to give up a right",
)
def test_as_root_of_a_container_landlock_takes_over(course, tmp_path):
    """Docker's root has no CAP_SYS_ADMIN: bubblewrap can't begin."""
    folder = unpacked(course, tmp_path / "root", users=(ANNA,))
    (folder / "submission" / "ex1.py").write_text(solution(course, "ex1", ANNA))
    found, _ = graded(folder, within=["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"])
    assert found["output"] == isolation.describe("landlock")
    assert sum(test["score"] for test in found["tests"]) == 10


@pytest.mark.slow
def test_a_submission_reads_neither_secret_nor_solutions(course, tmp_path):
    folder = unpacked(course, tmp_path / "root")
    names = [str(folder / "source" / name) for name in ("course/secret", "minissm/classroom/exercises/ex1_scan.py")]
    spy = (
        f"found = []\nfor name in {names}:\n    try:\n        found.append(open(name).read())\n"
        "    except OSError as error:\n        pass\n"
        "raise ValueError(f'read {len(found)}')\n"
    )
    (folder / "submission" / "ex1.py").write_text(spy)
    found, _ = graded(folder)
    assert "read 0" in found["tests"][0]["output"]
    assert sum(test["score"] for test in found["tests"]) == 0
    modes = {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in (folder / "source").rglob("*")}
    assert modes == {0}


@pytest.mark.parametrize("failure", ["start", "users", "secret", "isolation", "trouble"])
def test_what_keeps_the_grader_from_work_is_said_and_no_silent_zero(course, tmp_path, monkeypatch, capsys, failure):
    folder, expected = unpacked(course, tmp_path / "root"), {"start": "the grader could not start"}
    (folder / "source" / "course" / "secret").chmod(0o600)  # as run_autograder does
    if failure == "users":
        (folder / "submission_metadata.json").write_text('{"users": [{"name": "Anna"}]}')
        expected["users"] = "no email of a user; pack the zip with another --key"
    elif failure == "secret":
        (folder / "source" / "course" / "secret").write_text("")
        expected["secret"] = "secret: it is empty"
    elif failure == "isolation":
        monkeypatch.setattr(isolation, "best", lambda: "")
        expected["isolation"] = "hand-ins can't be isolated here"
    else:
        monkeypatch.setattr(autograder, "grade_one", lambda *_: 1 / 0)
        expected["trouble"] = "Instructor: ZeroDivisionError"
    if failure == "start":
        found, _ = graded(folder, "/bin/false")
    else:
        (folder / "results").mkdir()
        autograder.main(str(folder), "email", "ex1")
        found = json.loads((folder / "results" / "results.json").read_text())
        assert "Traceback" in capsys.readouterr().err
    assert (found["score"], found["visibility"], found["stdout_visibility"]) == (0, "visible", "hidden")
    assert found["output"].startswith("Not graded: ")
    assert expected[failure] in found["output"]
    assert found["output"].isprintable()
