"""A class is graded once, goes on after a kill, and a doubtful hand-in is run again alone."""

import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from minissm.classroom.collect import HandIn
from minissm.classroom.exercise import every
from minissm.classroom.marking import Store, mark
from minissm.classroom.outputs import summary

from .trusted import trusted

SHEET = {"output": "before", "time": "forward", "axes": "BLD"}
RIGHT = every()["ex1"].solution(SHEET).encode()
COURSE = SimpleNamespace(
    folder=Path("course"),
    points={"ex1": 10},
    seconds={"ex1": 5},
    sheet=lambda exercise, student: SHEET,
    generator=lambda exercise, student: np.random.default_rng(len(student)),
    fingerprint=lambda: "secret-settings",
)


class Caller:
    """Counts the calls of the sandbox. doubtful: sources that get no answer in their first so many calls."""

    def __init__(self, doubtful=()):
        self.calls, self.running, self.most = [], 0, 0
        self.doubtful, self.lock = dict(doubtful), threading.Lock()

    def __call__(self, source, requests, seconds):
        with self.lock:
            self.calls.append(source)
            self.running += 1
            self.most = max(self.most, self.running)
            lost, self.doubtful[source] = self.doubtful.get(source, 0) > 0, self.doubtful.get(source, 0) - 1
        try:
            if lost:
                return SimpleNamespace(answers=[None] * len(requests), log="", ended="clock")
            return trusted(source, requests, seconds)
        finally:
            with self.lock:
                self.running -= 1


def marked(tmp_path, hands, caller, course=COURSE, again=False, isolation="bwrap", number=1, done=lambda *_: None):
    return mark(course, hands, Store(tmp_path / "graded", course, number, isolation, again), caller, 2, done)


def hand(student, source=RIGHT, problem=""):
    return HandIn(student, "ex1", source, problem, f"{student}/ex1.py")


def test_what_has_not_changed_is_not_graded_again(tmp_path):
    hands = [hand("ann"), hand("bob", b"def scan(): pass"), hand("eve", None, "ex1.py is a link")]
    caller, told = Caller(), []
    first = marked(tmp_path, hands, caller, done=lambda student, _: told.append(student))
    assert sorted(told) == list(first) == ["ann", "bob", "eve"]
    assert [first[s]["ex1"].score for s in first] == [10, 0, 0]
    assert first["eve"]["ex1"].checks[0].text == "ex1.py is a link"
    assert len(caller.calls) == 2
    assert marked(tmp_path, hands, caller) == first
    assert len(caller.calls) == 2
    second = marked(tmp_path, [hands[0], hand("bob")], caller)
    assert second["bob"]["ex1"].score == 10
    assert len(caller.calls) == 3
    for options in ({"again": True}, {"isolation": "none"}):
        marked(tmp_path, hands[:1], caller, **options)
    assert len(caller.calls) == 5


def test_a_killed_grading_goes_on_and_a_damaged_file_is_graded_again(tmp_path):
    def killed(student, _):
        if student == "bob":
            raise KeyboardInterrupt

    caller, hands = Caller(), [hand("ann"), hand("bob", RIGHT + b"\n")]
    with pytest.raises(KeyboardInterrupt):
        marked(tmp_path, hands, caller, done=killed)
    assert len(marked(tmp_path, hands, caller)) == len(caller.calls) == 2
    for file in (tmp_path / "graded").glob("*.json"):
        file.write_bytes(file.read_bytes()[:50])
    marked(tmp_path, hands, caller)
    assert len(caller.calls) == 4


@pytest.mark.parametrize(("lost", "score", "calls"), [(1, 10, 3), (9, 0, 3)])
def test_a_hand_in_that_ran_out_of_clock_is_run_once_more_alone(tmp_path, lost, score, calls):
    caller, told = Caller({RIGHT: lost}), []
    results = marked(
        tmp_path, [hand("ann"), hand("bob", b"x = 1")], caller, done=lambda student, _: told.append(student)
    )
    assert results["ann"]["ex1"].score == score
    assert len(caller.calls) == calls
    assert caller.calls[-1] == RIGHT
    assert told == ["bob", "ann"]
    assert marked(tmp_path, [hand("ann")], caller) == {"ann": results["ann"]}


def test_an_answer_on_which_the_grader_fails_is_told_and_the_others_are_graded(tmp_path, monkeypatch):
    monkeypatch.setattr("minissm.classroom.grade.diagnose", lambda *_: [][0])
    results = marked(tmp_path, [hand("ann", b"def scan(*a): return 1, 2"), hand("bob")], Caller())
    (check,) = results["ann"]["ex1"].checks
    assert (check.points, check.earned, results["bob"]["ex1"].score) == (10, 0, 10)
    (line,) = summary(results, [], [], None)
    assert line == "ann: ex1: not graded: the grader failed on this answer (IndexError); tell your instructor"


def test_grades_of_another_secret_are_refused_and_other_settings_grade_anew(tmp_path):
    caller = Caller()
    marked(tmp_path, [hand("ann")], caller)
    other = SimpleNamespace(**{**vars(COURSE), "fingerprint": lambda: "secret-others"})
    marked(tmp_path, [hand("ann")], caller, other)
    assert len(caller.calls) == 2
    with pytest.raises(
        ValueError, match=r"^course: the grades in .* are those of assignment 1; expected assignment 2 of"
    ):
        marked(tmp_path, [hand("ann")], caller, number=2)
    stranger = SimpleNamespace(**{**vars(COURSE), "fingerprint": lambda: "another-settings"})
    with pytest.raises(
        ValueError, match=r"^course: the grades in .* were made with another secret; expected assignment 1 of course;"
    ):
        marked(tmp_path, [hand("ann")], caller, stranger)


def test_after_ctrl_c_a_student_who_is_being_graded_is_not_graded_on(tmp_path, monkeypatch):
    """Of ann's two files the second doesn't begin; bob's grading, by which Ctrl-C came, stays."""
    stopped, calls = threading.Event(), []

    def caller(source, requests, seconds):
        calls.append(source)
        if source == b"slow":
            assert stopped.wait(60)
        return SimpleNamespace(answers=[None] * len(requests), log="", ended="ended" if source == b"slow" else "time")

    def interrupted(student, _):
        raise KeyboardInterrupt

    monkeypatch.setattr("minissm.classroom.sandbox.stop", stopped.set)
    two = [hand("ann", b"slow"), hand("ann", b"second")._replace(exercise="ex2")]
    with pytest.raises(KeyboardInterrupt):
        marked(tmp_path, [*two, hand("bob", b"x = 1")], caller, done=interrupted)
    assert sorted(calls) == [b"slow", b"x = 1"]
    assert len(list((tmp_path / "graded").glob("*.json"))) == 1
