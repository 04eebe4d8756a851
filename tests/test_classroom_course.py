"""A course: its folder, what is drawn for a student, rosters, and what is refused in one sentence."""

import json
import os
import re
import stat

import pytest

from minissm.classroom import course as courses
from minissm.classroom.course import new, read, roster
from minissm.classroom.exercise import Exercise, every

STUDENTS = [f"student{i}@x.edu" for i in range(40)]
SOURCE = '''"""Exercise {n}. A test.     points: 10"""
#HINT 1 None.
KIND, RETURNS, MISTAKES = "write", {{}}, {{}}
CHOICES = {{"output": {{"after": "", "before": ""}}, "axes": {{"BLD": "", "LBD": ""}}}}
LIBRARY = [{{"output": "after", "axes": "BLD"}}]
'''
MAKE = """KIND, CHOICES, LIBRARY = "make", {}, []
def numbers(rng): return {"H": int(rng.integers(2, 6))}
"""


@pytest.fixture(autouse=True)
def nine(tmp_path_factory, monkeypatch):
    """Nine exercises with three variants each; ex2 catches the mistakes of ex1, ex3 has constants instead."""
    folder, found = tmp_path_factory.mktemp("exercises"), {}
    for n in range(1, 10):
        path = folder / f"ex{n}_test.py"
        path.write_text(SOURCE.format(n=n) + {2: 'OF = "ex1"\n', 3: MAKE}.get(n, ""))
        found[f"ex{n}"] = Exercise(path)
    monkeypatch.setattr(courses, "every", lambda: found)
    return found


@pytest.fixture
def home(tmp_path):
    new(tmp_path / "course")
    return tmp_path / "course"


def drawn(course, name):
    return [course.sheet(name, student) for student in STUDENTS]


def test_a_new_course_can_be_read_and_its_secret_is_closed(home):
    course = read(home)
    assert course.assignments == {1: ("ex1", "ex2", "ex3", "ex4"), 2: ("ex5", "ex6", "ex7"), 3: ("ex8", "ex9")}
    assert course.assignment("2") == course.assignment(2) == ("ex5", "ex6", "ex7")
    assert (course.variants, course.feedback, set(course.seconds.values())) == ("student", "visible", {5})
    assert [len(secret) for secret in course.secrets] == [32]
    if os.name == "posix":
        assert stat.S_IMODE((home / "secret").stat().st_mode) == 0o600


def test_a_folder_with_a_course_is_refused_and_stays_as_it_is(home, tmp_path):
    before = [(home / name).read_bytes() for name in ("course.toml", "secret")]
    for name in ("course.toml", "secret"):
        with pytest.raises(ValueError, match=r"^course: .*course: .*; .*another"):
            new(home)
        assert [(home / name).read_bytes() for name in ("course.toml", "secret")] == before
        kept = (home / name).rename(tmp_path / name)
        with pytest.raises(ValueError, match=r"^course: .*course: "):  # one of the two is enough
            new(home)
        assert os.listdir(home) == [{"course.toml": "secret", "secret": "course.toml"}[name]]
        kept.rename(home / name)


def test_a_failure_leaves_no_secret_behind(tmp_path, monkeypatch):
    def full(path, write):
        if path.name == "course.toml":
            raise OSError(28, "No space left on device", str(path))
        path.write_bytes(b"0\n")

    monkeypatch.setattr(courses, "write_whole", full)
    with pytest.raises(ValueError, match="No space left"):
        new(tmp_path / "course")
    assert os.listdir(tmp_path / "course") == []
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"^course: .*file: "):
        new(tmp_path / "file")


def test_a_sheet_is_that_of_secret_exercise_and_student_on_every_machine(home, nine):
    (home / "secret").write_text("07" * 32 + "\n")
    course = read(home)
    sheets = [course.sheet("ex1", student) for student in STUDENTS[:8]]
    assert " ".join(s["output"][0] + s["axes"][0] for s in sheets) == "bB aL bB bL bL bB bL bB"
    assert course.generator("ex1", "anna").integers(0, 1 << 30, 2).tolist() == [203184864, 741435375]
    assert course.sheet("ex1", " Anna  Lee@X.edu") == course.sheet("ex1", "anna lee@x.edu")
    assert course.generator("ex4", "Jose\u0301").random() == course.generator("ex4", "Jos\u00e9").random()
    assert {json.dumps(sheet) for sheet in drawn(course, "ex1")} == {json.dumps(v) for v in nine["ex1"].drawn()}
    assert drawn(course, "ex1") != drawn(course, "ex4")
    assert drawn(course, "ex2") == drawn(course, "ex1"), "a catch has the sheet of what it catches"


def test_words_are_not_confused_and_each_student_has_cases_of_their_own(home):
    course = read(home)
    ways = [("ex1", "1"), ("ex11", ""), ("ex1", '","'), ("ex1", "a"), ("ex1", "b"), ("ex4", "a")]
    assert len({course.generator(*way).random() for way in ways}) == len(ways)
    assert courses._mac(b"k", "a", "b") != courses._mac(b"k", 'a", "b')


def test_a_class_has_one_sheet_and_each_student_other_cases(tmp_path):
    new(tmp_path / "course", variants="class")
    course = read(tmp_path / "course")
    for name in ("ex1", "ex3"):
        assert len({json.dumps(sheet) for sheet in drawn(course, name)}) == 1
    assert course.generator("ex1", "a").random() != course.generator("ex1", "b").random()


def test_after_a_class_course_its_sheets_are_left_out_until_none_is_left(tmp_path, nine):
    new(tmp_path / "0", variants="class")
    for year in range(1, 5):
        new(tmp_path / str(year), after=tmp_path / str(year - 1), variants="class")
    sheets = [read(tmp_path / str(year)).sheet("ex1", "") for year in range(5)]
    assert sorted(map(json.dumps, sheets[:3])) == sorted(map(json.dumps, nine["ex1"].drawn()))
    assert sheets[3:] == sheets[:2], "the oldest come back first"
    constants = [read(tmp_path / str(year)).sheet("ex3", "")["H"] for year in range(4)]
    assert sorted(constants) == [2, 3, 4, 5]
    assert (tmp_path / "4" / "secret").read_text().count("\n") == 1
    new(tmp_path / "next", after=tmp_path / "0", variants="student")
    assert all(sheet != sheets[0] for sheet in drawn(read(tmp_path / "next"), "ex1"))


def test_who_comes_back_to_a_student_course_gets_another_sheet(tmp_path):
    new(tmp_path / "0")
    for year in range(1, 4):
        new(tmp_path / str(year), after=tmp_path / str(year - 1))
    years = [read(tmp_path / str(year)) for year in range(4)]
    for student in STUDENTS:
        sheets = [year.sheet("ex1", student) for year in years]
        assert len({json.dumps(sheet) for sheet in sheets[:3]}) == 3
        assert sheets[3] == sheets[0]
        assert years[1].sheet("ex3", student) != years[0].sheet("ex3", student)
    assert len({json.dumps(sheet) for sheet in drawn(years[1], "ex1")}) == 3, "for others all variants are drawn"


@pytest.mark.parametrize("variants", ["student", "class"])
def test_a_new_course_has_every_exercise_and_the_next_one_other_sheets(tmp_path, monkeypatch, variants):
    monkeypatch.setattr(courses, "every", every)
    new(tmp_path / "old", variants=variants)
    new(tmp_path / "new", after=tmp_path / "old", variants=variants)
    old, course = read(tmp_path / "old"), read(tmp_path / "new")
    assert course.points == {name: exercise.points for name, exercise in every().items()}
    assert [name for names in course.assignments.values() for name in names] == list(every())
    assert list(course.seconds) == list(every())
    for name in every():
        for student in STUDENTS[:5]:
            assert course.sheet(name, student) != old.sheet(name, student), name


def test_the_fingerprint_names_what_changes_a_grade(home, tmp_path, nine, monkeypatch):
    def changed(old, fresh):
        text = (home / "course.toml").read_text()
        assert old in text
        (tmp_path / "course.toml").write_text(text.replace(old, fresh))
        (tmp_path / "secret").write_bytes((home / "secret").read_bytes())
        (tmp_path / "secret").chmod(0o600)
        return read(tmp_path).fingerprint()

    first = read(home).fingerprint()
    secret = first.split("-")[0]
    for same in ("name = ", "# "), ('feedback = "visible"', 'feedback = "hidden"'), ("3 = [", "7 = ["):
        assert changed(*same) == first
    others = {
        changed('variants = "student"', 'variants = "class"'),
        changed("ex1 = 10", "ex1 = 11"),
        changed("ex1 = 5", "ex1 = 6"),
        changed("[left_out]", '[left_out]\nex1 = [{output = "before", axes = "BLD"}]'),
    }
    monkeypatch.setattr(nine["ex1"], "source", nine["ex1"].source + "#")
    others.add(read(home).fingerprint())
    monkeypatch.undo()
    monkeypatch.setattr(courses, "every", lambda: nine)
    monkeypatch.setattr(courses, "__version__", "0.0")
    others.add(read(home).fingerprint())
    monkeypatch.undo()
    monkeypatch.setattr(courses, "every", lambda: nine)
    assert len(others) == 6
    assert first not in others
    assert {other.split("-")[0] for other in others} == {secret}
    with open(home / "secret", "a") as file:
        file.write("ab" * 32 + "\n")
    assert read(home).fingerprint().split("-")[0] != secret


@pytest.mark.parametrize(
    ("old", "fresh", "found"),
    [
        ('variants = "student"', 'variants = "both"', "variants is 'both'; expected student or class"),
        ('variants = "student"', "variants = 3", "variants is 3; expected student or class"),
        ('variants = "student"', "variant = 3", "'variant' is unknown; expected one of name, variants"),
        ('feedback = "visible"', 'feedback = "later"', "feedback is 'later'; expected visible or after_due_date"),
        ("name = ", "name = 1  #", "name is 1; expected a line of text"),
        ('name = "', 'name = "\\u001b', "name is '\\x1b"),
        ("name = ", "name.x = ", "name is {'x': 'State space models'}; expected a line of text"),
        ('["ex8", "ex9"]', '["ex8", "ex10"]', "'ex10' in assignments is unknown; expected one of ex1, ex2"),
        ('["ex8", "ex9"]', '["ex8", "ex1"]', "ex1 is twice in assignments; expected each exercise once"),
        ('["ex8", "ex9"]', '["ex8", "ex8"]', "ex8 is twice in assignments; expected each exercise once"),
        ('["ex8", "ex9"]', "[]", "3 in assignments is []; expected a list"),
        ('["ex8", "ex9"]', '[["ex8"]]', "3 in assignments is [['ex8']]; expected a list"),
        ('["ex8", "ex9"]', '"ex8"', "3 in assignments is 'ex8'; expected a list"),
        ("3 = [", "third = [", "'third' in assignments is unknown; expected a number"),
        ("3 = [", '"\\u001b" = [', "'\\x1b' in assignments is unknown; expected a number"),
        ("ex1 = 10", "ex1 = 0", "ex1 in points is 0; expected a number from 0.01 to 1000"),
        ("ex1 = 10", "ex1 = -1", "ex1 in points is -1; expected a number from 0.01 to 1000"),
        ("ex1 = 10", "ex1 = nan", "ex1 in points is nan; expected a number from 0.01 to 1000"),
        ("ex1 = 10", "ex1 = true", "ex1 in points is True; expected a number from 0.01 to 1000"),
        ("ex1 = 10", 'ex1 = "10"', "ex1 in points is '10'; expected a number from 0.01 to 1000"),
        ("ex1 = 10", "ex10 = 10", "'ex10' in points is unknown; expected one of ex1, ex2"),
        ("ex1 = 5", "ex1 = 0.5", "ex1 in seconds is 0.5; expected a number from 1 to 600"),
        ("ex1 = 5", "ex1 = 601", "ex1 in seconds is 601; expected a number from 1 to 600"),
        ("[left_out]", "[left_out]\nex1 = [1]", "ex1 in left_out is [1]; expected a list of sheets"),
        ("[left_out]", "[left_out]\nex1 = [", "(at end of document); correct it"),
        ("ex1 = 10", "ex1 = ", "Invalid value (at line 26, column 9); correct it"),
        ("ex1 = 10", "ex1 = " + "[" * 5000, "recursion"),
        ("ex1 = 10", "ex1 = " + "9" * 5000, "4300 digits"),
    ],
)
def test_a_wrong_setting_is_one_sentence(home, old, fresh, found):
    path = home / "course.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, fresh, 1))
    sentence = rf"^course: .*course\.toml: .*{re.escape(found)}"
    with pytest.raises(ValueError, match=sentence) as e:
        read(home)
    assert str(e.value).isprintable()


def test_settings_that_are_left_away_are_the_usual_ones_and_a_mark_or_crlf_is_no_error(home):
    (home / "course.toml").write_bytes("\ufeffname = 'Räume'\r\n[points]\r\nex1 = 2.5\r\n".encode())
    course = read(home)
    assert (course.name, course.points["ex1"], course.points["ex6"], course.seconds["ex1"]) == ("Räume", 2.5, 10, 5)
    assert list(course.assignments) == [1, 2, 3]


def test_an_exercise_of_ones_own_has_its_own_points_until_the_course_says_others(home, nine):
    nine["ex10"] = nine["ex9"]
    course = read(home)
    assert (course.points["ex10"], course.seconds["ex10"]) == (10, 5)
    text = (home / "course.toml").read_text()
    (home / "course.toml").write_text(text.replace('"ex9"]', '"ex10"]').replace("[points]", "[points]\nex10 = 7"))
    course = read(home)
    assert (course.assignment(3), course.points["ex10"]) == (("ex8", "ex10"), 7)


def test_a_course_that_cannot_be_read_is_one_sentence(home, tmp_path):
    with pytest.raises(
        ValueError, match=r"^course: .*none.course\.toml: No such file.*; expected .*; minissm course new"
    ):
        read(tmp_path / "none")
    (home / "course.toml").write_bytes(b"name = '\xe4'\n")
    with pytest.raises(ValueError, match="byte 8 isn't UTF-8"):
        read(home)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "it is empty"),
        ("abc\n", "it is damaged"),
        ("07" * 31, "damaged"),
        ("07" * 32 + "x", "damaged"),
        (None, "No such"),
    ],
)
def test_a_secret_that_is_none_is_one_sentence(home, text, found):
    (home / "secret").unlink() if text is None else (home / "secret").write_text(text)
    with pytest.raises(ValueError, match=rf"^course: .*secret: .*{found}.*; expected .*copy"):
        read(home)


@pytest.mark.skipif(os.name != "posix", reason="no permissions here")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_secret_that_others_can_open_is_refused(home, mode):
    (home / "secret").chmod(mode)
    with pytest.raises(ValueError, match=r"^course: .*secret: others may open it; expected .*chmod 600 .*secret"):
        read(home)


def test_an_unknown_assignment_lists_those_there_are(home):
    for number in ("7", 0, "", "1x", "one\n"):
        with pytest.raises(ValueError, match=r"^course: assignment .* isn't in course\.toml; expected 1, 2, 3$") as e:
            read(home).assignment(number)
        assert str(e.value).isprintable()


@pytest.mark.parametrize("after", [None, "old"])
def test_unknown_variants_and_a_missing_old_course_are_refused(tmp_path, after):
    with pytest.raises(ValueError, match=r"^course: .*(variants 'both'; expected student or class|old.*No such file)"):
        new(tmp_path / "course", after and tmp_path / after, "both")
    assert not (tmp_path / "course").exists()


CANVAS = """Student,ID,SIS Login ID,Section,"Assignment 1 (77)"
    Points Possible,,,,10
"Doe, Jane",1001,jdoe,A,
"Müller, Jörg",1002,jm,A,
"""
ROSTERS = [
    ("anna\n\n  ben  \n", None, ["anna", "ben"]),
    ("email\na@x.edu\nb@x.edu\n", None, ["a@x.edu", "b@x.edu"]),
    (CANVAS, None, ["1001", "1002"]),
    (CANVAS, "sis login id", ["jdoe", "jm"]),
    ("Identifier,Full name\nParticipant 123,Jane 2\nParticipant 77,Jörg\n", None, ["123", "77"]),
    ("ID;Vollständiger Name\nTeilnehmer/in123;Jane\n", None, ["123"]),
    ("First Name,Last Name,SID,Email\nJane,Doe,7,j1@x.edu\n", None, ["j1@x.edu"]),
    ("First Name,Last Name,SID,Email\nJane,Doe,7,j1@x.edu\n", "SID", ["7"]),
    ("identifier,github_username,github_id,name\nj@x.edu,jane-d,5,\n" + 2 * "k@x.edu,,,\n", None, ["jane-d"]),
    ('name\tid\n"a\nb"\ts01\n\n\t\n', None, ["s01"]),
]


@pytest.mark.parametrize(("text", "key", "students"), ROSTERS)
@pytest.mark.parametrize("form", ["\ufeff{}", "{}"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_roster_is_read_as_each_platform_exports_it(tmp_path, text, key, students, form, end):
    (tmp_path / "roster").write_bytes(form.format(text).replace("\n", end).encode())
    assert roster(tmp_path / "roster", key) == students


@pytest.mark.parametrize(
    ("text", "key", "found"),
    [
        (b"", None, "it names no student; expected one per line"),
        (b"\xef\xbb\xbf\n \n", None, "it names no student"),
        (b"name,id\n", None, "it names no student"),
        (b"", "id", "no column 'id'"),
        (b"anna\nben\nAnna\n", None, "it names Anna twice"),
        (b"name,id\na,1\nb,1\n", None, "it names 1 twice"),
        (b"name,place\na,b\n", None, r"no column that names students; expected a --key of 'name', 'place'"),
        (b"name,id\na,1\n", "number", r"no column 'number'; expected a --key of 'name', 'id'"),
        (b"name,id\na,1\nb,2\nc,\n", None, "a row without 'id'"),
        (b"name,id\na,1\nb,2\nc\n", None, "a row without 'id'"),
        (b"an\x1b[31mna\n", None, r"a student is 'an.x1b\[31mna'"),
        ("an\u202ena\n".encode(), None, "a student is 'an.u202ena'"),
        (b"name,id\na,1\x002\n", None, "a student is '1.x002'"),
        (b"a" * 61, None, "a student is 'a{61}'; expected at most 60 printable characters"),
        (b"anna\n" * 60000, None, "it has more than 256 KB"),
        (b"name,id\n\xe4,1\n", None, "byte 8 isn't UTF-8"),
        (b'name,id\n"' + b"a" * 140000, None, "field larger than field limit"),
    ],
)
def test_a_wrong_roster_is_one_sentence(tmp_path, text, key, found):
    (tmp_path / "roster").write_bytes(text)
    with pytest.raises(ValueError, match=rf"^course: .*roster: {found}.*; ") as e:
        roster(tmp_path / "roster", key)
    assert str(e.value).isprintable()
    with pytest.raises(ValueError, match=r"^course: .*none: No such file"):
        roster(tmp_path / "none")
