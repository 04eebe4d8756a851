"""A class from course to grades, by the command: right hand-ins, planted mistakes and hostile ones."""

import csv
import json
from functools import partial

import numpy as np
import pytest

from minissm.classroom import sandbox
from minissm.classroom.course import read
from minissm.classroom.exercise import every
from minissm.classroom.grade import grade
from minissm.classroom.isolation import best, holds
from minissm.classroom.outputs import lines
from minissm.cli import main

from . import hostile

ATTACKS = [*sorted(hostile.LOOPS)[:3], *(name for name in hostile.ACTS if name not in hostile.LOOPS | hostile.WAITS)]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not best(), reason="no isolation works on this machine")]


def write_class(folder, course, exercises, right, wrong, attacks):
    """Write folders of students. -> {student: (exercise, mistake)}; mistake: "" if hostile, None if right."""
    expected = {}
    encodings = [lambda t: t.encode("utf-8-sig"), lambda t: t.replace("\n", "\r\n").encode()]
    encodings += [lambda t: b"# -*- coding: latin-1 -*-\n# \xfc\n" + t.encode("latin-1")]
    for i in range(right + wrong + len(attacks)):
        student = f"s{i:03d}"
        (folder / student).mkdir(parents=True)
        texts = {e: every()[e].solution(course.sheet(e, student)) for e in exercises}
        sources = {e: encodings[i](t) if i < 3 else t.encode() for e, t in texts.items()}
        expected[student] = ("", None)
        if i >= right:
            name = exercises[i % len(exercises)] if i < right + wrong else exercises[0]
            exercise, sheet = every()[name], course.sheet(name, student)
            if i < right + wrong:
                planted = [m for m in exercise.mistakes if exercise.changes(sheet, m)]
                mistake = planted[i % len(planted)]
                sources[name], expected[student] = exercise.solution(sheet, [mistake]).encode(), (name, mistake)
            else:
                sources[name], expected[student] = attacks[i - right - wrong], (name, "")
        for name, source in sources.items():
            (folder / student / f"{name}.py").write_bytes(source)
    return expected


def check(out, expected, exercises):
    """Every verdict right, every mistake named."""
    rows = {row["student"]: row for row in csv.DictReader((out / "grades.csv").read_text().splitlines())}
    assert sorted(rows) == sorted(expected)
    for student, (exercise, mistake) in expected.items():
        for name in exercises:
            score, most = float(rows[student][name]), every()[name].points
            assert (score == most) == (name != exercise), (student, name, mistake, rows[student])
            if name == exercise and not mistake:
                assert score == 0, rows[student]
        text = (out / "feedback" / f"{student}.txt").read_text()
        if mistake and every()[exercise].kind != "catch":
            assert f"looks like: {mistake}" in text, (student, mistake, text)
        report = json.loads((out / "gradescope" / f"{student}.json").read_text())
        assert sum(test["score"] for test in report["tests"]) == pytest.approx(float(rows[student]["total"]), abs=0.01)


def run_class(tmp_path, right, wrong, attacks):
    """A class that hands in assignment 1 -> the arguments of the command."""
    assert main(["course", "new", str(tmp_path / "course")]) == 0
    course, exercises = read(tmp_path / "course"), ("ex1", "ex2", "ex3", "ex4")
    with hostile.World() as world:
        sources = [world.source(hostile.ACTS[name], "scan") for name in ATTACKS[:attacks]]
        return grade_class(
            tmp_path, course, exercises, write_class(tmp_path / "in", course, exercises, right, wrong, sources)
        )


def grade_class(tmp_path, course, exercises, expected):
    arguments = ["course", "grade", str(tmp_path / "course"), "1", str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    check(tmp_path / "out", expected, exercises)
    return arguments


def test_a_class_of_thirty_is_graded_and_nothing_is_graded_twice(tmp_path):
    arguments = run_class(tmp_path, 15, 10, 5)
    before = {f: f.read_bytes() for f in (tmp_path / "out").rglob("*") if f.is_file()}  # seconds, too
    assert main(arguments) == 0
    assert {f: f.read_bytes() for f in (tmp_path / "out").rglob("*") if f.is_file()} == before


@pytest.mark.parametrize("name", ["bwrap", "landlock"])
def test_the_whole_grader_holds_every_attack(name):
    if not holds(name):
        pytest.skip(f"{name} doesn't work on this machine")
    exercise = every()["ex1"]
    sheet = exercise.drawn()[0]

    def call(source):
        calling = partial(sandbox.call, isolation=name)
        graded = grade(exercise, sheet, np.random.default_rng(5), source, calling)
        return graded.score > 0, "\n".join(lines(graded)), graded.stopped

    without = hostile.LOOPS | hostile.WAITS | {"deep lists"}  # the tests of the sandbox alone have them
    assert hostile.attack(call, name, "scan", [n for n in (*hostile.LOOKS, *hostile.ACTS) if n not in without]) == []
