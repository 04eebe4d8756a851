"""Exercises 1 to 4, their hidden cases and their public tests. The whole self-test is slow, and elsewhere."""

import re
import warnings
from pathlib import Path

import numpy as np
import pytest

from minissm.classroom import catch, selftest
from minissm.classroom.exercise import FOLDER, Exercise, every
from minissm.classroom.grade import grade
from minissm.classroom.judge import judge

ROOT = Path(__file__).parent.parent
NAMES = [name for name in every() if name < "ex8"]
TRUSTED = selftest.trusted


def drawn(exercise: Exercise) -> list[dict]:
    """A sheet of each variant that a course may draw."""
    return [exercise.draw(np.random.default_rng(i), variant=v) for i, v in enumerate(exercise.drawn())]


@pytest.mark.parametrize("name", NAMES)
def test_every_replacement_does_something_and_no_two_mistakes_look_alike(name):
    exercise = every()[name]
    assert selftest.faults(exercise) == []
    count = 5 * (len(exercise.returns) if exercise.kind in ("write", "make") else 1)
    assert len(exercise.mistakes) >= count


@pytest.mark.parametrize("name", NAMES)
def test_on_one_sheet_the_solution_is_accepted_and_each_mistake_rejected_and_named(name):
    exercise = every()[name]
    hands = list(selftest.hands(exercise, drawn(exercise)[-1]))
    assert len(hands) > 5
    others = [hand for hand in hands if hand.other]
    for hand in [hand for hand in hands if not hand.other] + others[:2]:
        right, named, found = selftest.verdict(exercise, hand, TRUSTED)
        assert (right, named) == (True, True), (hand.mistakes, hand.other, found)


@pytest.mark.parametrize("name", NAMES)
def test_the_points_of_the_cases_add_up_to_those_of_the_sheet(name):
    exercise = every()[name]
    for sheet in drawn(exercise):
        assert sum(case.points for case in exercise.cases(np.random.default_rng(0), sheet)) == exercise.points
        assert len(exercise.hints) == 3


@pytest.mark.parametrize("name", NAMES)
def test_what_a_mistake_is_told_to_read_is_a_heading_of_a_tutorial(name):
    for place in every()[name].module.get("READ", {}).values():
        number, heading = re.fullmatch(r"tutorial (\d\d), '(.+)'", place).groups()
        (tutorial,) = (ROOT / "tutorials").glob(f"{number}_*.py")
        assert f"# ## {heading}\n" in tutorial.read_text(), place


# ---- public tests


def outcomes(exercise: Exercise, sheet: dict, source: str, folder: Path) -> dict[str, str]:
    """{public test: "" or how it failed}"""
    (folder / f"{exercise.name}.py").write_text(source)
    if exercise.of:
        (folder / f"{exercise.of}.py").write_text(every()[exercise.of].solution(sheet))
    text = (FOLDER / "public" / "head.py").read_text() + exercise.public(sheet)
    space = {"__name__": "test_public", "__file__": str(folder / "test_public.py")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pytest.PytestUnknownMarkWarning)  # the folder of a student names its marks
        exec(compile(text, "test_public.py", "exec"), space)
    found = {}
    for name, function in space.items():
        if name.startswith("test_"):
            assert [mark.name for mark in function.pytestmark] == [exercise.name]
            try:
                function()
                found[name] = ""
            except (Exception, pytest.fail.Exception) as error:
                found[name] = f"{type(error).__name__}: {error}"
    return found


@pytest.mark.parametrize("name", NAMES)
def test_public_tests_accept_every_solution_and_refuse_the_stub_in_one_sentence(name, tmp_path):
    exercise = every()[name]
    for i, sheet in enumerate(selftest.sheets(exercise)):
        (folder := tmp_path / str(i)).mkdir()
        assert set(outcomes(exercise, sheet, exercise.solution(sheet), folder).values()) == {""}
        (folder := tmp_path / f"stub{i}").mkdir()
        for test, sentence in outcomes(exercise, sheet, exercise.stub(sheet), folder).items():
            assert re.fullmatch(rf"Failed: {name}.py: \w+ is still to be written", sentence), (test, sentence)


@pytest.mark.parametrize("name", NAMES)
def test_public_tests_let_some_mistakes_through_for_the_hidden_ones(name, tmp_path):
    exercise = every()[name]
    sheet, through = drawn(exercise)[-1], []
    for i, mistake in enumerate(exercise.mistakes):
        (folder := tmp_path / str(i)).mkdir()
        found = outcomes(exercise, sheet, exercise.solution(sheet, [mistake]), folder)
        if exercise.changes(sheet, mistake) and not any(found.values()):
            through.append(mistake)
    assert 1 <= len(through) <= len(exercise.mistakes) / 2, through


# ---- the library is open, and no answer to a sheet

PASTED = {
    "ex1": """
import numpy as np
import minissm as ms
def scan(lam, c, u, h0=None):
    return ms.scan.recurrent(np.log(lam), c, u, h0)[:2]
""",
}


@pytest.mark.parametrize("name", [name for name in PASTED if name in NAMES])
def test_no_function_of_a_sheet_is_the_librarys(name):
    exercise = every()[name]
    for sheet in [*drawn(exercise), None]:
        known = exercise.module["LIBRARY"][0] if sheet is None else sheet
        cases = exercise.cases(np.random.default_rng(5), known)
        answers = TRUSTED(PASTED[name].encode(), [(case.function, case.arrays) for case in cases], 5).answers
        right = [exercise.answer(known, case.function, case.arrays) for case in cases]
        kinds = [judge(exercise, known, *of)[0] for of in zip(cases, answers, right, strict=True)]
        failed = {case.function for case, kind in zip(cases, kinds, strict=True) if kind != "ok"}
        assert failed == (set() if sheet is None else set(exercise.returns)), (known, kinds)


# ---- exercise 2


def test_the_sheet_of_the_catch_tells_how_many_mistakes_can_be_exposed():
    exercise = every()["ex2"]
    for sheet in selftest.sheets(exercise):
        exposed = catch.exposed(exercise, sheet, exercise.answer(sheet, "inputs", []))
        possible = [m for m in every()["ex1"].mistakes if every()["ex1"].changes(sheet, m) and "precision" not in m]
        assert sorted(exposed) == sorted(possible)
        assert f"{len(exposed)} wrong scans in all" in exercise.stub(sheet)


def test_a_catch_with_shapes_that_only_broadcast_is_refused():
    exercise = every()["ex2"]
    sheet = drawn(exercise)[0]
    for wrong in ("lam, c, u, h0[0]", "lam, c[:, :1], u, h0", "lam[0], c, u, h0"):
        source = exercise.solution(sheet).replace("return lam, c, u, h0", f"return {wrong}").encode()
        found = grade(exercise, sheet, np.random.default_rng(5), source, TRUSTED)
        assert (found.checks[0].kind, found.score) == ("property", 0)
