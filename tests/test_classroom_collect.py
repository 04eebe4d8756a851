"""What a class hands in, the platforms' worksheets, and what goes out."""

import csv
import io
import json
import os
import socket
import stat
import struct
import unicodedata
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from minissm.classroom import collect as collecting
from minissm.classroom.collect import HandIn, collect, file_names
from minissm.classroom.grade import Graded
from minissm.classroom.judge import Check
from minissm.classroom.outputs import cell, lines, summary, write
from minissm.classroom.worksheet import fill

DATA = Path(__file__).parent / "data" / "classroom"
EXERCISES = ("ex1", "ex2", "ex3", "ex4")


def zipped(path, files):
    """A zip of {name: bytes}, in this order; a name may come twice in a list of pairs."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items() if isinstance(files, dict) else files:
            archive.writestr(zipfile.ZipInfo(name) if isinstance(name, str) else name, data)
    return str(path)


def laid(root, files):
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return str(root)


def found(path):
    """{(student, exercise): source or the problem}, and the sentences."""
    hand_ins, listed = collect(str(path), EXERCISES)
    return {(h.student, h.exercise): h.problem if h.source is None else h.source for h in hand_ins}, listed


# ---- whose is it


@pytest.mark.parametrize("way", ["folder", "zip"])
def test_each_platform_says_whose_a_file_is(tmp_path, way):
    platforms = {
        "Canvas": {
            "smithann_1234_501_ex1.py": b"1",
            "smithann_1234_502_ex2-3.py": b"2",
            "o_neilbo_LATE_1240_503_EX1.PY": b"3",
            "anon_Ab3x9_504_ex1 (1).py": b"4",
            "LATE_anon_12345_505_ex2.py": b"5",
        },
        "Moodle": {
            "Ann Smith_1234_assignsubmission_file_/ex1.py": b"1",
            "Ann Smith_1234_assignsubmission_file_/work/ex2.py": b"2",
            "Bo O'Neil_1240_assignsubmission_file/Ex1.py": b"3",
            "Çağla_1251_assignsubmission_file_ex1.py": b"4",
        },
        "Gradescope": {
            "export/submission_metadata.yml": (DATA / "submission_metadata.yml").read_bytes(),
            "export/submission_101/ex1.py": b"1",
            "export/submission_102/ex1.py": b"2",
        },
        "GitHub": {
            "hw-1-submissions/hw-1-ann-smith/ex1.py": b"1",
            "hw-1-submissions/hw-1-ann-smith/.git/ex1.py": b"9",
            "hw-1-submissions/hw-1-bo/ex1.py": b"2",
        },
        "by hand": {"ann/ex1.py": b"1", "bo/ex1.py": b"2", "bo/week 1/ex2.py": b"3", "cy_d_ex4.py": b"4"},
    }
    expected = {
        "Canvas": "1234 ex1 1, 1234 ex2 2, 1240 ex1 3, anon_12345 ex2 5, anon_Ab3x9 ex1 4",
        "Moodle": "1234 ex1 1, 1234 ex2 2, 1240 ex1 3, 1251 ex1 4",
        "Gradescope": "1234 ex1 1, bo@school.edu ex1 2, cm@school.edu ex1 2",
        "GitHub": "ann-smith ex1 1, bo ex1 2",
        "by hand": "ann ex1 1, bo ex1 2, bo ex2 3, cy_d ex4 4",
    }
    for name, files in platforms.items():
        path = laid(tmp_path / name, files) if way == "folder" else zipped(tmp_path / f"{name}.zip", files)
        hand_ins, listed = collect(path, EXERCISES, ["1234", "BO@school.edu", "no.9"])
        assert ", ".join(f"{h.student} {h.exercise} {h.source.decode()}" for h in hand_ins) == expected[name]
        assert listed == []
        late = {h.student for h in hand_ins if h.late}
        assert late == ({"1240", "anon_12345"} if name == "Canvas" else set())


def test_one_file_and_one_folder_belong_to_whom_they_are_named_by(tmp_path):
    laid(tmp_path / "ann", {"ex1.py": b"1", "ex2.py": b"2"})
    assert found(tmp_path / "ann")[0] == {("ann", "ex1"): b"1", ("ann", "ex2"): b"2"}
    assert found(tmp_path / "ann" / "ex1.py")[0] == {("ann", "ex1"): b"1"}
    assert found(zipped(tmp_path / "bo.zip", {"ex1.py": b"1"}))[0] == {("bo", "ex1"): b"1"}
    assert found(laid(tmp_path / "class", {"ann/ex1.py": b"1"}))[0] == {("ann", "ex1"): b"1"}
    laid(tmp_path / "other", {"cy_ex1.py": b"3"})
    assert found(tmp_path / "other" / "cy_ex1.py")[0] == {("cy", "ex1"): b"3"}


def test_a_folder_as_it_was_handed_out_is_its_student_s(tmp_path):
    students = ["Ann Smith", "Bo O'Neil", "1001"]
    laid(tmp_path / "in", {f"{name}/ex1.py": name.encode() for name in file_names(students).values()})
    hand_ins, listed = collect(str(tmp_path / "in"), EXERCISES, students)
    assert (sorted(hand.student for hand in hand_ins), listed) == (sorted(students), [])


def test_a_file_beside_the_students_folders_is_listed_not_given_to_the_class(tmp_path):
    files, listed = found(laid(tmp_path / "class", {"ex1.py": b"0", "ann/ex1.py": b"1", "bo/ex1.py": b"2"}))
    assert files == {("ann", "ex1"): b"1", ("bo", "ex1"): b"2"}
    assert listed == ["ex1.py names no student; put it into a folder named after the student's id"]


def test_a_students_file_name_changes_nothing_about_whose_it_is(tmp_path):
    files = {
        "Ann_5_assignsubmission_file_/Bo_6_assignsubmission_file_/ex1.py": b"1",
        "Ann_5_assignsubmission_file_/bo_6_70_ex2.py": b"2",
        "Cy_7_assignsubmission_file_x_6_assignsubmission_file_ex1.py": b"3",
        "Cy_7_assignsubmission_file_/submission_metadata.yml": b"submission_1:\n  :submitters:\n  - :sid: 6\n",
    }
    assert set(found(zipped(tmp_path / "moodle.zip", files))[0]) == {("5", "ex1")}
    assert found(zipped(tmp_path / "canvas.zip", {"ann_5_60_bo_6_70_ex1.py": b"1"}))[0] == {}
    moodle, canvas = "6_assignsubmission_file_", "ann_5_60_"
    for name in (canvas + moodle + "ex1.py", f"{canvas}x_{moodle}ex1.py", f"{moodle}_5{moodle[1:]}/ex1.py",
                 "1_6_1__5_assignsubmission_file_ex1.py"):  # fmt: skip
        hand_ins, listed = found(zipped(tmp_path / "both.zip", {name: b"1", "cy_7_80_ex1.py": b"2"}))
        assert set(hand_ins) == {("7", "ex1")}
        assert listed == [f"{name!r} is not a safe name; it was not read"]
    data = b"submission_1:\n  :submitters:\n  - :name: A\n    :sid: 5\n"
    files = {"submission_metadata.yml": data, "submission_1/submission_metadata.yml": data.replace(b"5", b"6")}
    assert set(found(zipped(tmp_path / "g.zip", files | {"submission_1/ex1.py": b"1"}))[0]) == {("5", "ex1")}


def test_files_of_the_handed_out_folder_are_ignored_and_others_are_listed(tmp_path):
    ignored = ["README.md", "test_public.py", "hints/ex1-1.txt", "__pycache__/ex1.pyc", ".DS_Store", "pytest.ini"]
    files = {f"{s}/{name}": b"x" for s in ("ann", "bo") for name in ignored} | {"__MACOSX/ann/._ex1.py": b"x"}
    files |= {"ann/ex1.py": b"1", "bo/ex1.py": b"2", "bo/ex7.py": b"7", "bo/all.zip": b"z", "bo/ex2.ipynb": b"n"}
    sentences = [
        "bo/all.zip is not one of ex1.py, ex2.py, ex3.py, ex4.py; rename or unpack it if it is a hand-in",
        "bo/ex2.ipynb is not one of ex1.py, ex2.py, ex3.py, ex4.py; rename or unpack it if it is a hand-in",
        "bo/ex7.py is not one of ex1.py, ex2.py, ex3.py, ex4.py; rename or unpack it if it is a hand-in",
    ]
    for path in (laid(tmp_path / "class", files), zipped(tmp_path / "class.zip", files)):
        assert found(path) == ({("ann", "ex1"): b"1", ("bo", "ex1"): b"2"}, sentences)
    canvas = {"ann_1_2_README-1.md": b"x", "ann_1_3_test_public.py": b"x", "ann_1_4_ex1.py": b"1"}
    assert found(zipped(tmp_path / "canvas.zip", canvas)) == ({("1", "ex1"): b"1"}, [])


def test_who_is_not_in_the_metadata_of_gradescope_is_listed_and_so_is_not_everything(tmp_path):
    files = {f"submission_{i}/ex1.py": b"1" for i in range(103)}
    metadata = b"submission_3:\n  :submitters:\n  - :name: A\n    :sid:\n    :email: ann@school.edu\n"
    metadata += b"submission_4:\n  :submitters:\n  - :name: B\n    :sid: '77'\n    :email:\n"
    hand_ins, listed = found(zipped(tmp_path / "class.zip", files | {"submission_metadata.yml": metadata}))
    assert hand_ins == {("ann@school.edu", "ex1"): b"1", ("77", "ex1"): b"1"}
    assert listed[0] == "submission_0/ex1.py names no student; put it into a folder named after the student's id"
    assert listed[100:] == ["and 1 more names could not be matched"]
    link = zipfile.ZipInfo("submission_metadata.yml")
    link.external_attr = stat.S_IFLNK << 16
    with pytest.raises(ValueError, match=r"^course: submission_metadata.yml is a link.*; download it again"):
        found(zipped(tmp_path / "link.zip", [("submission_1/ex1.py", b"1"), (link, b"/etc/passwd")]))


def test_a_students_id_is_kept_whatever_it_looks_like(tmp_path):
    ids = ["readme", "0xdeadbeef", "pytest.x", "1" * 100, "ann.smith-jones@school.edu", "desktop", "=1+1", "a;b"]
    assert set(found(zipped(tmp_path / "class.zip", {f"{s}/ex1.py": b"1" for s in ids}))[0]) == {
        (s, "ex1") for s in ids
    }


def test_two_different_files_of_one_exercise_are_listed_and_not_guessed(tmp_path):
    files = {"ann_1_2_ex1.py": b"1", "ann_1_3_ex1-1.py": b"2", "bo_2_4_ex1.py": b"3", "bo_2_5_ex1-1.py": b"3"}
    hand_ins, listed = found(zipped(tmp_path / "class.zip", files))
    assert hand_ins[("2", "ex1")] == b"3"  # twice the same file is no question
    assert hand_ins[("1", "ex1")] == "1 has more than one ex1.py: ann_1_2_ex1.py, ann_1_3_ex1-1.py; keep one"
    assert len(listed) == 1
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = zipped(tmp_path / "twice.zip", [("ann/ex1.py", b"1"), ("ann/ex1.py", b"2")])
    assert "more than one ex1.py" in found(path)[0][("ann", "ex1")]


def test_a_student_with_a_thousand_copies_does_not_stop_the_class(tmp_path, monkeypatch):
    files = {f"bo/{i:03}/ex1.py": b"%d" % i + bytes(1000) for i in range(1000)}
    monkeypatch.setattr(collecting, "MOST_IN_ALL", 50_000)
    hand_ins, _ = found(zipped(tmp_path / "class.zip", files | {"cy/ex1.py": b"1"}))
    assert hand_ins[("cy", "ex1")] == b"1"
    origins = ", ".join(list(files)[:4])
    assert hand_ins[("bo", "ex1")] == f"bo has more than one ex1.py: {origins}, 996 more; keep one"


def test_students_whose_ids_collide_are_listed(tmp_path):
    files = {"Ann\u200b/ex1.py": b"1", "Ann\u200c/ex1.py": b"2", "bo/ex1.py": b"3"}
    hand_ins, _ = found(zipped(tmp_path / "class.zip", files))
    assert hand_ins[("bo", "ex1")] == b"3"
    assert "have one id, Ann?" in hand_ins[("Ann?", "ex1")]
    files = {"smith_1_2_ex1.py": b"1", "jones_1_3_ex2.py": b"2"}
    hand_ins, _ = found(zipped(tmp_path / "canvas.zip", files))
    assert "'jones' and 'smith' have one id, 1" in hand_ins[("1", "ex1")]
    hand_ins, _ = found(zipped(tmp_path / "case.zip", {"Ann/ex1.py": b"1", "ann/ex2.py": b"2"}))
    assert "'Ann' and 'ann' have one id" in hand_ins[("Ann", "ex1")]
    assert not any(isinstance(value, bytes) for value in hand_ins.values())
    files = {"Zoe\u0308/ex1.py": b"1", "Zo\u00eb/ex2.py": b"2"}  # one name in two spellings of Unicode
    assert set(found(zipped(tmp_path / "accents.zip", files))[0]) == {("Zo\u00eb", "ex1"), ("Zo\u00eb", "ex2")}


# ---- what must not be followed or trusted


def test_links_pipes_sockets_and_large_files_are_not_read(tmp_path):
    secret = tmp_path / "secret.py"
    secret.write_bytes(b"secret")
    root = tmp_path / "class"
    laid(root, {"ok/ex1.py": b"1", "large/ex1.py": b"x" * (1 << 18) + b"x", "most/ex1.py": b"x" * (1 << 18)})
    for name in ("link", "pipe", "socket", "folder", "{0}"):
        (root / name).mkdir()
    os.symlink(secret, root / "{0}" / "ex1.py")
    os.symlink(secret, root / "link" / "ex1.py")
    os.symlink(tmp_path, root / "folder" / "ex2.py")
    os.symlink(root / "ok", root / "linked")
    os.mkfifo(root / "pipe" / "ex1.py")
    here = os.getcwd()
    os.chdir(root / "socket")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("ex1.py")
    os.chdir(here)
    with open(root / "ok" / "ex2.py", "wb") as sparse:
        sparse.truncate(1 << 30)
    hand_ins, listed = found(root)
    sources = {key for key, value in hand_ins.items() if isinstance(value, bytes)}
    assert sources == {("ok", "ex1"), ("most", "ex1")}
    assert "is a link, which is not followed" in hand_ins["link", "ex1"]
    assert "is a link, which is not followed" in hand_ins["folder", "ex2"]
    assert "is not a plain file" in hand_ins["pipe", "ex1"]
    assert "can't be read" in hand_ins["socket", "ex1"]
    assert "is larger than 256 KB" in hand_ins["large", "ex1"]
    assert "is larger than 256 KB" in hand_ins["ok", "ex2"]
    assert hand_ins["{0}", "ex1"] == "{0}/ex1.py is a link, which is not followed; hand in a plain ex1.py"
    assert len(listed) == 8
    assert any(sentence.startswith("linked ") for sentence in listed)


def test_members_of_a_zip_that_lie_are_not_trusted(tmp_path):
    link = zipfile.ZipInfo("link/ex1.py")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    bzip2 = zipfile.ZipInfo("bzip2/ex1.py")
    bzip2.compress_type = zipfile.ZIP_BZIP2
    bomb = zipfile.ZipInfo("bomb/ex1.py")
    bomb.compress_type = zipfile.ZIP_DEFLATED
    path = zipped(tmp_path / "class.zip", [(link, b"/etc/passwd"), (bzip2, b"1"), (bomb, bytes(1 << 23))])
    with zipfile.ZipFile(path, "a") as archive:
        for name in ("short/ex1.py", "long/ex1.py", "secret/ex1.py", "crc/ex1.py", "ok/ex1.py"):
            archive.writestr(name, b"a hand-in")
    data = bytearray(Path(path).read_bytes())

    def patch(name, offset, value):
        at = data.rindex(name.encode()) - 46  # its entry in the central directory
        data[at + offset : at + offset + len(value)] = value

    patch("short/ex1.py", 24, struct.pack("<I", 3))  # sizes after unpacking
    patch("long/ex1.py", 24, struct.pack("<I", 1000))
    patch("secret/ex1.py", 8, struct.pack("<H", 1))  # encrypted
    patch("crc/ex1.py", 16, b"0000")
    Path(path).write_bytes(data)
    hand_ins, listed = found(path)
    assert {key for key, value in hand_ins.items() if isinstance(value, bytes)} == {("ok", "ex1")}
    assert "is larger than 256 KB" in hand_ins["bomb", "ex1"]
    for name in ("link", "bzip2", "secret"):
        assert "is a link, or encrypted, or packed in an unusual way" in hand_ins[name, "ex1"]
    for name in ("short", "long", "crc"):
        assert "is damaged, or has another size than the zip says" in hand_ins[name, "ex1"]
    assert len(listed) == 7


@pytest.mark.parametrize(
    "name", ["../ex1.py", "ann/../../ex1.py", "/ann/ex1.py", "C:/ann/ex1.py", "a\nb/ex1.py", "\x1b[2Jann/ex1.py",
             "..\\ann\\ex1.py", "ann//ex1.py", "ann/./ex1.py", "a/" * 30 + "ex1.py", "anon_" * 100 + "/ex1.py"]
)  # fmt: skip
def test_unsafe_names_are_listed_and_not_read(tmp_path, name):
    hand_ins, listed = found(zipped(tmp_path / "class.zip", {name: b"1", "bo/ex1.py": b"2", "cy/ex1.py": b"3"}))
    assert set(hand_ins) == {("bo", "ex1"), ("cy", "ex1")}
    (sentence,) = listed
    assert sentence.endswith("is not a safe name; it was not read")
    assert sentence.isprintable()


def test_a_zip_of_windows_with_backslashes_is_read(tmp_path):
    path = zipped(tmp_path / "class.zip", {"ann\\ex1.py": b"1", "bo\\ex1.py": b"2"})
    assert found(path)[0] == {("ann", "ex1"): b"1", ("bo", "ex1"): b"2"}


def test_a_folder_without_end_and_names_that_are_no_text_do_not_stop_the_class(tmp_path):
    root = tmp_path / "class"
    laid(root, {"ann/ex1.py": b"1", "bo/" + "d/" * 60 + "ex1.py": b"2", "bo/ex2.py": b"3"})
    os.mkdir(os.fsencode(root) + b"/M\xfcller")
    Path(os.fsdecode(os.fsencode(root) + b"/M\xfcller/ex1.py")).write_bytes(b"4")
    hand_ins, listed = found(root)
    assert set(hand_ins) == {("ann", "ex1"), ("bo", "ex2")}
    assert listed == ["'M?ller/ex1.py' is not a safe name; it was not read"]


def test_what_is_no_class_is_refused_in_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "broken.zip").write_bytes(b"PK\3\4 and no more")
    (tmp_path / "empty").mkdir()
    zipped(tmp_path / "empty.zip", {})
    (tmp_path / "notes.txt").write_text("notes")
    os.mkfifo(tmp_path / "pipe.zip")
    for name, words in (
        ("nowhere", "is not there"), ("broken.zip", "is not a zip, or a damaged one"), ("empty", "holds no hand-ins"),
        ("empty.zip", "holds no hand-ins"), ("notes.txt", "is not a zip"), ("pipe.zip", "is not there"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=f"^course: .*{words}.*; ") as error:
            collect(str(tmp_path / name), EXERCISES)
        assert "\n" not in str(error.value)
    monkeypatch.setattr(collecting, "MOST_FILES", 300)
    zipped(tmp_path / "many.zip", {f"s{i}/ex1.py": b"" for i in range(301)})
    with pytest.raises(ValueError, match=r"has over 300 files, up to s300/ex1.py; give fewer"):
        collect(str(tmp_path / "many.zip"), EXERCISES)
    monkeypatch.setattr(collecting, "MOST_IN_ALL", 1 << 20)
    zipped(tmp_path / "bomb.zip", {f"s{i}/ex1.py": bytes(1 << 18) for i in range(5)})
    with pytest.raises(ValueError, match="has more than 1 MB"):
        collect(str(tmp_path / "bomb.zip"), EXERCISES)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_damage_to_a_zip_gives_more_than_a_refusal(tmp_path, data):
    """Any bytes changed or cut: the files as they were, a sentence, or a ValueError."""
    path = tmp_path / "class.zip"
    if not (whole := tmp_path / "whole.zip").exists():
        zipped(whole, {"ann/ex1.py": b"a" * 50, "bo/ex1.py": b"b" * 50, "bo/ex2.py": bytes(300)})
    raw = bytearray(whole.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw[: data.draw(st.integers(len(raw) - 40, len(raw)))])
    try:
        hand_ins, listed = collect(str(path), EXERCISES)
    except ValueError as error:
        hand_ins, listed = [], [str(error)]
    assert all(sentence.isprintable() for sentence in listed)
    assert {h.source for h in hand_ins} <= {b"a" * 50, b"b" * 50, bytes(300), None}


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.sets(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1), min_size=1, max_size=4)
)
def test_no_name_breaks_anything(tmp_path, names):
    path = zipped(
        tmp_path / "class.zip", dict.fromkeys(names | {f"{name}/ex1.py" for name in names} | {"bo/ex1.py"}, b"x")
    )
    hand_ins, listed = collect(path, EXERCISES)
    for text in [*listed, *(h.student for h in hand_ins)]:
        assert not any(unicodedata.category(c) in ("Cc", "Zl", "Zp") for c in text)


# ---- worksheets


CANVAS = "State space models, part 1 (4314282)"


@pytest.mark.parametrize(
    ("name", "column", "ids", "edits"),
    [
        ("canvas.csv", CANVAS, ("1234", "1251", "77"), [('edu,A,,3.5', 'edu,A,38.5,3.5'), ('A,"7",', 'A,"40",')]),
        ("canvas.csv", CANVAS, ("s-77", "S-79", "77"), [('edu,A,,3.5', 'edu,A,38.5,3.5'), ('A,"7",', 'A,"40",')]),
        ("moodle.csv", "Grade", ("1234", "1251", "77"), [('- ",,40', '- ",38.5,40'), ('"3.00"', '"40"')]),
        ("moodle.csv", "Grade", ("ann@school.edu", "CM@SCHOOL.EDU", "x@y"), [('",,4', '",38.5,4'), ('"3.00"', '"40"')]),
        ("moodle_german_excel.csv", "Bewertung", ("1234", "1251", "77"), [("n@school.edu;;", "n@school.edu;38.5;"),
                                                                          ("m@school.edu;;", "m@school.edu;40;")]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
def test_a_worksheet_is_filled_and_no_other_byte_of_it_changes(tmp_path, name, column, ids, edits, encoding):
    text = (DATA / name).read_bytes().decode()
    if encoding != "utf-8":
        text = "\ufeff" + text.removeprefix("\ufeff")
    sheet, out = tmp_path / "sheet.csv", tmp_path / "filled.csv"
    sheet.write_bytes(text.encode(encoding))
    scores = dict(zip(ids, (38.5, 40, 1), strict=True))
    assert fill(str(sheet), str(out), column, scores) == (2, [ids[2]])
    for old, new in edits:
        assert text.count(old) == 1
        text = text.replace(old, new)
    assert out.read_bytes() == text.encode(encoding)


def test_a_worksheet_that_does_not_fit_is_refused_in_one_sentence(tmp_path):
    out = tmp_path / "filled.csv"
    scores = {"1234": 3.0, "1240": 4.0}
    sheet = tmp_path / "sheet.csv"
    for text, options, words in (
        ("ID,Grade\n1234,\n", {"column": "Grades"}, "no column 'Grades'; expected one of ID, Grade; did you mean 'Gra"),
        ("ID,Grade\n1234,\n", {"key": "Id number"}, "no column 'Id number'"),
        ("ID,Grade,Grade\n1234,,\n", {}, "two columns 'Grade'"),
        ("Name,Grade\nAnn,\n", {}, r"none of its columns \(Name, Grade\) has the ids of these students, such as '12"),
        ("ID,Quiz 1 (21),Quiz 2 (31)\n1234,,\n", {"column": "Quiz 1"}, "did you mean 'Quiz 1"),
        ("ID,Name,Grade\n1234,Ann,\n", {"key": "Name"}, "no row of its column 'Name' has the ids"),
        ("Grade\n3\n", {}, "none of its columns"),
        ("", {}, "no column 'Grade'"),
        ("ID,Grade\n1234,\n1234,\n", {}, "has '1234' in two rows of 'ID'"),
        ("ID,Grade\n1234\n", {}, "row 2 has 1 cells; expected 2"),
        ('ID,Grade\n"1234,\n', {}, "a quote is not closed"),
        ("ID,Grade\nM\xfcller,\n", {"encoding": "latin-1"}, "is not in UTF-8; download it again"),
        ("ID,Grade\n1234,\n", {"encoding": "utf-16-le"}, "is not in UTF-8; download it again"),
    ):  # fmt: skip
        sheet.write_bytes(text.encode(options.get("encoding", "utf-8")))
        with pytest.raises(ValueError, match=f"^course: .*sheet.csv.*{words}") as error:
            fill(str(sheet), str(out), options.get("column", "Grade"), scores, options.get("key"))
        assert "\n" not in str(error.value)
        assert not out.exists()
    sheet.write_text("ID,Grade\n1234,\n")
    assert fill(str(sheet), os.devnull, "Grade", {}) == (0, [])
    with pytest.raises(ValueError, match="is the worksheet itself"):
        fill(str(sheet), str(tmp_path / "." / "sheet.csv"), "Grade", scores)
    with pytest.raises(FileNotFoundError):
        fill(str(tmp_path / "none.csv"), str(out), "Grade", scores)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cells=st.lists(st.lists(st.text('a ,;"\n\t\xfc=1', max_size=6), min_size=3, max_size=3), max_size=4),
    delimiter=st.sampled_from(",;\t"),
    end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_a_spreadsheet_reads_the_filled_worksheet_as_before(tmp_path, cells, delimiter, end, quoting):
    rows = [["Name", "ID", "Grade", "Note"], *([row[0], f"s{i}", *row[1:]] for i, row in enumerate(cells))]
    rows.append(["", "last", "", ""])
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=quoting).writerows(rows)
    (tmp_path / "sheet.csv").write_text(text.getvalue(), encoding="utf-8", newline="")
    scores = {f"s{i}": i + 0.25 for i in range(len(cells))} | {"last": 7}
    assert fill(str(tmp_path / "sheet.csv"), str(tmp_path / "out.csv"), "Grade", scores, "ID") == (len(scores), [])
    for row in rows[1:]:
        row[2] = f"{scores[row[1]]:g}"
    with open(tmp_path / "out.csv", encoding="utf-8", newline="") as file:
        assert list(csv.reader(file, delimiter=delimiter)) == rows


# ---- what goes out

GOOD = Graded("ex1", (Check("one real pole", 1, 1, "ok", ""), Check("all", 9, 9, "ok", "")), seconds=0.4)
WRONG = Graded(
    "ex1",
    (Check("one real pole", 1, 1, "ok", ""), Check("complex poles", 9, 0, "values", "wrong: y; looks like: no conj")),
    mistakes=("no conj",),
    sheet="output=before",
    log="first\n\x1b[2Jsecond",
    seconds=1.3,
)
CATCH = Graded("ex2", (Check("one small input", 10, 10 / 3, "share", "exposes 4 of 12"),))
LOOP = Graded("ex2", (Check("one small input", 10, 0, "none", "no answer within 5 seconds"),), stopped="time")
COURSE = SimpleNamespace(assignments={1: ("ex1", "ex2")}, feedback="after_published")
FIRST = "isolation: bubblewrap (own files, no network, no other process)"
FORMULA = '=HYPERLINK("http://a.b")\x1b[2J'


def test_the_outputs_of_a_class_are_these_bytes(tmp_path):
    results = {"bo": {"ex1": WRONG, "ex2": LOOP}, "ann": {"ex1": GOOD, "ex2": CATCH}, FORMULA: {"ex2": LOOP}}
    write(str(tmp_path), results, COURSE, 1, FIRST, late={"bo"})
    assert (tmp_path / "grades.csv").read_bytes().decode() == (
        "student,ex1,ex2,total,late,note\n"
        '"\'=HYPERLINK(""http://a.b"")?[2J",,0,0,,ex2: no answer within 5 seconds\n'
        "ann,10,3.33,13.33,,\n"
        'bo,1,0,1,late,"ex1: no conj, the sheet with output=before; ex2: no answer within 5 seconds"\n'
    )
    names = {"ann", "bo", file_names([FORMULA])[FORMULA]}
    assert {p.name for p in (tmp_path / "feedback").iterdir()} == {f"{name}.txt" for name in names}
    assert {p.name for p in (tmp_path / "gradescope").iterdir()} == {f"{name}.json" for name in names}
    assert (tmp_path / "feedback" / "bo.txt").read_bytes().decode() == (
        f"{FIRST}\n\n"
        "ex1: 1 of 10 points\npassed  one real pole (1)\n"
        "FAILED  complex poles (9): wrong: y; looks like: no conj\nprinted | first\nprinted | ?[2Jsecond\n\n"
        "ex2: 0 of 10 points\nFAILED  one small input (10): no answer within 5 seconds\n"
    )
    assert lines(CATCH)[1] == "partly  one small input (3.33 of 10): exposes 4 of 12"
    before = {p: p.read_bytes() for p in tmp_path.rglob("*.*")}
    write(str(tmp_path), dict(reversed(results.items())), COURSE, 1, FIRST, late={"bo"})
    assert {p: p.read_bytes() for p in tmp_path.rglob("*.*")} == before


def test_the_json_is_what_gradescope_specifies(tmp_path):
    write(str(tmp_path), {"bo": {"ex1": WRONG}}, COURSE, 1, FIRST)
    assert json.loads((tmp_path / "gradescope" / "bo.json").read_bytes()) == {
        "execution_time": 1,
        "output": FIRST,
        "stdout_visibility": "hidden",
        "tests": [
            {"name": "ex1: one real pole", "score": 1, "max_score": 1, "status": "passed", "output": ""}
            | {"output_format": "text", "visibility": "after_published"},
            {"name": "ex1: complex poles", "score": 0, "max_score": 9, "status": "failed"}
            | {"output": "wrong: y; looks like: no conj", "output_format": "text", "visibility": "after_published"},
        ],
    }


def test_a_cell_is_no_formula_and_a_number_stays():
    for text in ("=1+1", "+cmd", "-cmd", "@SUM(1)", " =1", "\uff1d1", "-1+1", "-2;=3"):
        assert cell(text).lstrip().startswith("'")
    assert cell("\t=1") == "?=1"
    assert cell("a;=1") == "a;'=1"
    assert cell("a, @b") == "a, '@b"
    for text in ("-1.5", "+7", 12, 0.5, "ann", "a-b", "x = 1", ""):
        assert cell(text) == str(text)


def test_names_of_files_are_plain_and_differ():
    students = [
        "ann",
        "Ann",
        "bo@school.edu",
        "..",
        ".hidden",
        "a/b",
        "a?b",
        "M\u00fcller",
        "x" * 90,
        FORMULA,
        "",
        "CY.D",
    ]
    names = file_names(students)
    assert [names[s] for s in ("bo@school.edu", "CY.D")] == ["bo@school.edu", "CY.D"]
    assert len({name.casefold() for name in names.values()}) == len(students)
    for name in names.values():
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@.~-")
        assert not name.startswith(".")


def test_the_summary_says_what_an_instructor_looks_at():
    results = {"ann": {"ex1": GOOD}, "bo": {"ex1": WRONG, "ex2": LOOP}, "cy": {"ex1": WRONG._replace(sheet="")}}
    hand_ins = [HandIn(s, "ex1", b"the same") for s in ("bo", "cy")] + [HandIn("ann", "ex1", b"other")]
    hand_ins += [HandIn("eve", "ex1", None)]

    def sheets(exercise, student):
        return "output=before" if student == "ann" else "output=after"

    assert summary(results, hand_ins, ["ANN", "bo", "cy", "dee"], sheets) == [
        "2 times in ex1: no conj",
        "the same ex1.py, byte for byte: bo, cy",
        "bo: ex1 follows the sheet of ann (output=before)",
        "bo: ex2: no answer within 5 seconds",
        "nothing from dee",
        "not in the roster: eve",
    ]
    many = {"s": {"ex1": GOOD._replace(mistakes=("a", "b", "c", "d"))}, "t": {"ex1": GOOD._replace(mistakes=("d",))}}
    assert summary(many, [], [], sheets) == ["2 times in ex1: d", "once in ex1: a", "once in ex1: b"]
