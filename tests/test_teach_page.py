"""docs/howto/teach.md: its own exercise passes the self-test, a course reads its settings, and its tables are true."""

import errno
import os
import re
import shutil
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest

from minissm.classroom import course, exercise, isolation, selftest
from minissm.classroom.exercise import Exercise, every
from minissm.classroom.grade import grade
from tests import hostile

from .trusted import trusted

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "howto" / "teach.md").read_text(encoding="utf-8")


def block(language: str, part: str = "") -> str:
    """The first block of this language that contains the part."""
    return next(text for text in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) if part in text)


def table(first: str) -> list[list[str]]:
    """The cells of the table whose head begins so, without the head."""
    rows = PAGE[PAGE.index(f"| {first} |") :].split("\n\n")[0].strip().split("\n")[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An install with the page's exercise alone."""
    (tmp_path / "exercises").mkdir()
    shutil.copytree(exercise.FOLDER / "public", tmp_path / "public")
    (tmp_path / "exercises" / "ex10_mean.py").write_text(block("python"))
    (tmp_path / "public" / "ex10.py").write_text(block("py", "load("))
    monkeypatch.setattr(exercise, "FOLDER", tmp_path)
    return tmp_path


def test_the_exercise_of_the_page_is_short_and_the_self_test_accepts_it(folder):
    own = Exercise(folder / "exercises" / "ex10_mean.py")
    assert max(block("python").count("\n"), block("py", "load(").count("\n")) < 40
    assert selftest.faults(own) == []
    hands = [hand for sheet in selftest.sheets(own) for hand in selftest.hands(own, sheet)]
    assert len(hands) == 10
    for hand in hands:
        right, named, _ = selftest.verdict(own, hand, trusted)
        assert right, hand
        assert named, hand


def test_its_public_test_takes_the_solution_and_refuses_the_stub_in_each_variant(folder, monkeypatch):
    own = Exercise(folder / "exercises" / "ex10_mean.py")
    for sheet in own.variants:
        test = folder / "test_public.py"
        public = own.public(sheet).replace("@pytest.mark.ex10\n", "")  # a mark that this run of pytest doesn't know
        test.write_text((folder / "public" / "head.py").read_text() + public)
        for text, right in ((own.solution(sheet), True), (own.stub(sheet), False)):
            (folder / "ex10.py").write_text(text)
            names = {"__name__": "test_public", "__file__": str(test)}
            exec(compile(test.read_text(), test, "exec"), names)
            if right:
                names["test_ex10_of_ones"]()
            else:
                with pytest.raises(pytest.fail.Exception, match="moving_mean is still to be written"):
                    names["test_ex10_of_ones"]()


def test_the_page_s_own_exercise_stands_behind_the_others(folder):
    for path in Path(exercise.__file__).parent.glob("exercises/ex[19]_*.py"):
        shutil.copy(path, folder / "exercises")
    assert list(every.__wrapped__()) == ["ex1", "ex9", "ex10"]


def test_the_script_of_the_page_names_feedback_as_the_platforms_named_the_hand_ins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("grades1/feedback").mkdir(parents=True)
    names = {
        "17": ["Ann Smith_17_assignsubmission_file/ex1.py", "Ann Smith_17_assignsubmission_file/ex2.py"],
        "18": ["Bo_18_assignsubmission_file_ex1.py"],
        "1001": ["doecleo_LATE_1001_555_ex1-2.py", "doecleo_1001_556_ex2.py"],
    }
    with zipfile.ZipFile("submissions.zip", "w") as file:
        for student, members in names.items():
            Path(f"grades1/feedback/{student}.txt").write_text(student)
            for name in members:
                file.writestr(name, "")
    exec(block("py", "feedback.zip"), {})
    with zipfile.ZipFile("feedback.zip") as file:
        assert {name: file.read(name) for name in file.namelist()} == {
            "Ann Smith_17_assignsubmission_file_feedback.txt": b"17",
            "Bo_18_assignsubmission_file_feedback.txt": b"18",
            "doecleo_LATE_1001_555_feedback.txt": b"1001",
        }


def test_the_mistake_that_the_page_plants_is_named(tmp_path):
    source = every()["ex1"].source
    (tmp_path / "ex1_scan.py").write_text(
        source.replace("MISTAKES = {\n", "MISTAKES = {\n" + block("text", "imaginary part"))
    )
    changed = Exercise(tmp_path / "ex1_scan.py")
    (new,) = changed.mistakes.keys() - every()["ex1"].mistakes.keys()
    sheet = changed.variants[3]
    hand = changed.solution(sheet, [new]).encode()
    found = grade(changed, sheet, np.random.default_rng(0), hand, trusted)
    assert found.mistakes == (new,)
    assert found.score < found.most


def test_a_course_reads_the_settings_of_the_page(tmp_path):
    course.new(tmp_path / "course")
    (tmp_path / "course" / "course.toml").write_text(block("toml"))
    found = course.read(tmp_path / "course")
    assert (found.variants, found.points["ex1"], found.seconds["ex6"]) == ("class", 5, 20)
    assert found.assignments == {1: ("ex1", "ex2"), 2: ("ex6", "ex7")}
    assert found.points["ex2"] == 10


def test_the_tables_have_every_exercise_its_kind_its_points_and_one_sum_of_minutes():
    rows = {row[0].split()[0]: row for row in table("exercise")}
    assert list(rows) == list(every())
    for name, row in rows.items():
        assert (row[1], float(row[4])) == (every()[name].kind, every()[name].points)
        assert all(list((ROOT / "tutorials").glob(f"{n}_*.py")) for n in row[2].split(", "))
    assert sum(int(row[3]) for row in rows.values()) == 11 * 60
    for number, names in tomllib.loads(course.TEMPLATE)["assignments"].items():
        week = next(row for row in table("week") if f"assignment {number}" in row[3])
        assert int(week[4]) == sum(int(rows[name][3]) for name in names)
        assert int(week[5]) == sum(every()[name].points for name in names)


def minutes(first: int, last: int) -> int:
    """The time that these tutorials name, in all."""
    texts = [next((ROOT / "tutorials").glob(f"{n:02}_*.py")).read_text() for n in range(first, last + 1)]
    return sum(int(re.search(r"\*\*Time\*\*: (\d+) minutes", text)[1]) for text in texts)


def test_the_minutes_to_read_are_those_of_the_tutorials():
    found = [re.findall(r"tutorials? (\d\d)(?: to (\d\d))? \((\d+)\)", row[2]) for row in table("week")]
    assert [len(match) for match in found] == [1, 1, 1, 1, 0]
    for ((first, last, time),) in found[:4]:
        assert minutes(int(first), int(last or first)) == int(time)


def test_each_message_under_problems_is_one_that_the_commands_have():
    code = "\n".join(path.read_text() for path in exercise.FOLDER.glob("*.py"))
    for message, _ in table("message"):
        for words in re.findall("`(.+?)`", message):
            fixed = re.sub(r"ex1\.py |ssm-course/secret: |: 1003| ex1\.py", "", words)
            assert fixed in code or fixed == os.strerror(errno.ENOENT), words


def test_the_rubric_adds_up_and_the_numbers_of_the_text_hold():
    assert sum(int(row[0]) for row in table("of 20")) == 20
    attacks = int(re.search(r"tries (\d+) attacks", PAGE)[1])
    assert len(hostile.LOOKS) + len(hostile.ACTS) >= attacks
    known = sum(len(own.mistakes) for own in every().values() if not own.of)  # a catch names none
    assert known > int(re.search(r"more than (\d+) wrong answers", PAGE)[1])


def test_the_page_shows_what_the_isolation_is_called():
    assert isolation.NAMES["bwrap"] in PAGE
    assert isolation.NAMES["none"].split(":")[0] in PAGE
