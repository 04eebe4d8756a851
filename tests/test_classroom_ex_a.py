"""Exercises 1 to 7 in common; what is special in 1 to 4. The whole self-test is slow, and elsewhere."""

import re
import warnings
from functools import cache
from itertools import islice
from pathlib import Path
from types import CodeType

import numpy as np
import pytest

from minissm.classroom import catch, isolation, sandbox, selftest
from minissm.classroom.exercise import FOLDER, Exercise, every
from minissm.classroom.grade import grade
from minissm.classroom.judge import judge

from .trusted import trusted

ROOT = Path(__file__).parent.parent
NAMES = [name for name in every() if name < "ex8"]


def drawn(exercise: Exercise) -> list[dict]:
    """A sheet of each variant that a course may draw."""
    return [exercise.draw(np.random.default_rng(i), variant=v) for i, v in enumerate(exercise.drawn())]


@pytest.fixture
def exercise(request, monkeypatch) -> Exercise:
    """The exercise of this name, without its large cases: they cost a second each."""
    exercise = every()[request.param]
    if cases := exercise.module.get("cases"):
        small = [case for case in cases(np.random.default_rng(0), exercise.variants[0]) if size(case[3]) < 1000]
        monkeypatch.setitem(exercise.module, "cases", lambda rng, sheet: list(islice(cases(rng, sheet), len(small))))
    return exercise


def size(arrays: list) -> int:
    return sum(np.size(a) for a in arrays)


by_name = pytest.mark.parametrize("exercise", NAMES, indirect=True)


@by_name
def test_every_replacement_does_something_and_no_two_mistakes_look_alike(exercise):
    assert selftest.faults(exercise) == []
    count = 5 * (len(exercise.returns) if exercise.kind in ("write", "make") else 1)
    assert len(exercise.mistakes) >= count


@by_name
def test_on_one_sheet_the_solution_is_accepted_and_each_mistake_rejected_and_named(exercise):
    hands = list(selftest.hands(exercise, drawn(exercise)[-1]))
    assert len(hands) > 5
    others = [hand for hand in hands if hand.other]
    for hand in [hand for hand in hands if not hand.other] + others[:2]:
        right, named, found = selftest.verdict(exercise, hand, trusted)
        assert (right, named) == (True, True), (hand.mistakes, hand.other, found)


@pytest.mark.parametrize("name", NAMES)
def test_the_points_of_the_cases_add_up_to_those_of_the_sheet(name):
    exercise = every()[name]
    for sheet in drawn(exercise):
        assert sum(case.points for case in exercise.cases(np.random.default_rng(0), sheet)) == exercise.points
        assert len(exercise.hints) == 3


@pytest.mark.parametrize("name", NAMES)
def test_what_a_mistake_is_told_to_read_is_a_heading_of_a_tutorial(name):
    for place in filter(None, every()[name].module.get("READ", {}).values()):
        number, heading = re.fullmatch(r"tutorial (\d\d), '(.+)'", place).groups()
        (tutorial,) = (ROOT / "tutorials").glob(f"{number}_*.py")
        assert f"# ## {heading}\n" in tutorial.read_text(), place


# ---- public tests


@cache
def compiled(text: str) -> CodeType:
    return compile(text, "test_public.py", "exec")


def outcomes(exercise: Exercise, sheet: dict, source: str, folder: Path) -> dict[str, str]:
    """{public test: "" or how it failed}"""
    (folder / f"{exercise.name}.py").write_text(source)
    if exercise.of:
        (folder / f"{exercise.of}.py").write_text(every()[exercise.of].solution(sheet))
    text = (FOLDER / "public" / "head.py").read_text() + exercise.public(sheet)
    space = {"__name__": "test_public", "__file__": str(folder / "test_public.py")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pytest.PytestUnknownMarkWarning)  # the folder of a student names its marks
        exec(compiled(text), space)
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


@by_name
def test_public_tests_accept_every_solution_and_refuse_the_stub_in_one_sentence(exercise, tmp_path):
    for sheet in selftest.sheets(exercise):
        assert set(outcomes(exercise, sheet, exercise.solution(sheet), tmp_path).values()) == {""}
        for test, sentence in outcomes(exercise, sheet, exercise.stub(sheet), tmp_path).items():
            assert re.fullmatch(rf"Failed: {exercise.name}.py: \w+ is still to be written", sentence), (test, sentence)


@by_name
def test_public_tests_let_some_mistakes_through_for_the_hidden_ones(exercise, tmp_path):
    sheet, through = drawn(exercise)[-1], []
    for mistake in exercise.mistakes:
        found = outcomes(exercise, sheet, exercise.solution(sheet, [mistake]), tmp_path)
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
    "ex4": """
import numpy as np
import minissm as ms
def kernel(lam, c, L):
    return ms.scan.kernel(np.log(lam), c, int(L))[0]
def fft_conv(u, k, skip):
    return ms.scan.taps.fft(k, u)[0]
""",
}


def failing(name: str, sheet: dict) -> set[str]:
    """The functions of the sheet for which the library's are wrong."""
    exercise = every()[name]
    cases = [case for case in exercise.cases(np.random.default_rng(5), sheet) if size(case.arrays) < 1000]
    answers = trusted(PASTED[name].encode(), [(case.function, case.arrays) for case in cases], 5).answers
    right = [exercise.answer(sheet, case.function, case.arrays) for case in cases]
    kinds = [judge(exercise, sheet, *of)[0] for of in zip(cases, answers, right, strict=True)]
    return {case.function for case, kind in zip(cases, kinds, strict=True) if kind != "ok"}


@pytest.mark.parametrize("name", PASTED)
def test_no_function_of_a_sheet_is_the_librarys(name):
    for sheet in drawn(every()[name]):
        assert failing(name, sheet) == set(every()[name].returns), sheet


def test_the_librarys_functions_are_right_on_the_sheets_that_no_course_draws():
    assert failing("ex1", every()["ex1"].module["LIBRARY"][0]) == set()
    for time in ("forward", "backward"):
        assert failing("ex4", every()["ex4"].module["LIBRARY"][0] | {"time": time}) == {"fft_conv"}


# ---- exercise 2


def test_the_sheet_of_the_catch_tells_how_many_mistakes_can_be_exposed():
    exercise = every()["ex2"]
    for sheet in selftest.sheets(exercise):
        exposed = catch.exposed(exercise, sheet, exercise.answer(sheet, "inputs", []))
        possible = [m for m in every()["ex1"].mistakes if every()["ex1"].changes(sheet, m) and "precision" not in m]
        assert sorted(exposed) == sorted(possible)
        assert f"{len(exposed)} wrong scans in all" in exercise.stub(sheet)


POLES, WEIGHTS = np.array([[0.5 + 0.6j, 0.8j]]), np.array([[1 + 1j, 2 - 1j]])
ONE = np.full((1, 1), 0.9), np.ones((1, 1))
RANDOM = np.random.default_rng(1).normal(size=(2, 8, 1))
TYPICAL = {  # lam, c, u, h0; and how many of the twelve mistakes they expose
    "ones on a real pole": ((*ONE, np.ones((1, 8, 1)), np.zeros((1, 1, 1))), 3),
    "random numbers on it": ((*ONE, RANDOM[:1], np.zeros((1, 1, 1))), 4),
    "two complex poles": ((POLES, WEIGHTS, RANDOM[:1], np.zeros((1, 1, 2))), 8),
    "and an initial state": ((POLES, WEIGHTS, RANDOM[:1], np.ones((1, 1, 2))), 10),
    "and two sequences": ((POLES, WEIGHTS, RANDOM[:, :3], np.ones((2, 1, 2))), 12),
}


@pytest.mark.parametrize("name", TYPICAL)
def test_each_thing_that_an_input_has_exposes_more_mistakes(name):
    arrays, count = TYPICAL[name]
    found = catch.exposed(every()["ex2"], every()["ex2"].variants[0], list(arrays))
    assert len(found) == count, found


def test_a_catch_with_shapes_that_only_broadcast_is_refused():
    exercise = every()["ex2"]
    sheet = drawn(exercise)[0]
    for wrong in ("lam, c, u, h0[0]", "lam, c[:, :1], u, h0", "lam[0], c, u, h0"):
        source = exercise.solution(sheet).replace("return lam, c, u, h0", f"return {wrong}").encode()
        found = grade(exercise, sheet, np.random.default_rng(5), source, trusted)
        assert (found.checks[0].kind, found.score) == ("property", 0)


# ---- exercise 3


def made(sheet: dict, function: str, log_lam: object, c: object) -> str:
    """What the exercise says of these numbers. They must also have a view, whatever their shapes."""
    module, arrays = every()["ex3"].module, [np.asarray(log_lam), np.asarray(c)]
    module["view"](function, arrays, sheet)
    return module["judge"](function, arrays, sheet)


def made_by(answer: bytes, sheet: dict) -> set[str]:
    """The verdicts on a hand-in that answers this."""
    source = b"import numpy as np\nhalving = ringing = beginning = lambda: (%b)\n" % answer
    return {check.kind for check in grade(every()["ex3"], sheet, np.random.default_rng(0), source, trusted).checks}


@pytest.mark.parametrize("variant", range(4))
def test_every_filter_with_the_property_is_right(variant):
    exercise = every()["ex3"]
    sheet = exercise.draw(np.random.default_rng(variant), variant=exercise.variants[variant])
    power, factor = float(sheet["first"] == "lam"), 2 if sheet["pairs"] == "two" else 1

    lam = np.array([0.5 ** (1 / sheet["H"])] * 2)  # two poles share the work
    assert made(sheet, "halving", np.log(lam), np.array([0.25, 0.75]) / lam**power / factor) == ""
    pole = sheet["r"] ** (1 / sheet["T"]) * np.exp(-2j * np.pi / sheet["T"])  # turns the other way
    assert made(sheet, "ringing", [np.log(pole)], [1 / pole**power / factor]) == ""
    pole = 0.8 * np.exp(1j)  # k_0 and k_1 from a complex pole, k_2 from a real one
    rows = np.array([[(z * w**j).real for w in (pole, 0.3) for z in (1, 1j)][:3] for j in power + np.arange(3)])
    a, b, d = np.linalg.solve(rows, [sheet["k0"], sheet["k1"], sheet["k2"]]) / factor
    assert made(sheet, "beginning", np.log([pole, 0.3]), [a + 1j * b, d]) == ""


def test_a_filter_without_the_property_is_told_what_is_wrong_with_it():
    sheet = {"first": "c", "pairs": "one", "H": 5, "T": 8, "r": 0.5, "k0": 1.0, "k1": 0.5, "k2": 0.25}
    half = -np.log(2)
    assert "begin at k_1" in made(sheet, "beginning", [half], [2.0])
    assert "begin at k_{-1}" in made(sheet, "beginning", [half], [0.5])
    assert "grows" in made(sheet, "halving", [0.1], [1.0])
    assert "k_0" in made(sheet, "halving", [half / 5], [2.0])
    assert "half" in made(sheet, "halving", [half], [1.0])
    assert "fall" in made(sheet, "halving", [0.0], [1.0])
    assert "oscillate" in made(sheet, "ringing", [half / 8], [1.0])
    assert "cosine" in made(sheet, "ringing", [half / 8 + 1j], [1.0])
    assert "shape" in made(sheet, "ringing", np.full(4, -1.0), np.full(4, 0.25))
    assert "shape" in made(sheet, "ringing", np.full(3, -1.0), [[1.0, 2.0]])
    assert "shape" in made(sheet, "ringing", -1.0, 1.0)
    assert made(sheet, "ringing", [-1e300, -1.0], [1e308, 1e308]) != ""
    assert made(sheet, "beginning", [-1.0, -2.0], [1e308, 1e308]) != ""
    assert made_by(b"np.zeros(0), np.zeros(0)", sheet) == {"shape"}
    later = made(sheet, "beginning", [-1e-3, -2e-3], [1e15, -1e15])  # a huge value later excuses nothing
    assert "three numbers" in later


# ---- exercise 4


def test_an_integer_arrives_in_a_hand_in_as_a_number():
    source = b"import numpy as np\ndef kernel(lam, c, L): return np.array([0.0] * L)\n"
    (answer,) = sandbox.call(source, [("kernel", [None, None, np.int64(3)])], isolation.best() or "none").answers
    assert answer[1][0].shape == (3,)


def test_a_convolution_by_another_algorithm_is_right_too():
    exercise = every()["ex4"]
    sheet = {"poles": "half", "time": "forward", "axes": "DL"}
    for case in exercise.cases(np.random.default_rng(3), sheet)[:-1]:
        if case.function == "fft_conv":
            u, k, skip = case.arrays
            y = [[np.convolve(a, b)[: len(a)] + s * a for a, b, s in zip(row, k, skip, strict=True)] for row in u]
            right = exercise.answer(sheet, "fft_conv", case.arrays)
            assert judge(exercise, sheet, case, ("ok", [np.array(y, u.dtype)], True), right) == ("ok", "")
