"""The grader's verdict, in one process: judge, diagnosis, catch and the self-test."""

from types import SimpleNamespace

import numpy as np
import pytest

from minissm.classroom import catch, selftest
from minissm.classroom.diagnose import Answered, diagnose
from minissm.classroom.exercise import Case, Exercise, every
from minissm.classroom.grade import grade
from minissm.classroom.judge import clean, judge

from .trusted import trusted

TINY = '''"""Exercise 1. Twice.    points: 4   about 1 line

    y_t = 2 x_t          #? order=same
    y_t = 2 x_{L-1-t}    #? order=reversed
"""
import numpy as np


def twice(x):
    """-> y, last"""
    #BEGIN
    x = x[::-1]  #? order=reversed
    y = 2 * x
    return y, y[-1:]
    #END


#HINT 1 One line
# is enough.
#HINT 2 Two.
#HINT 3 Three.
KIND = "write"
CHOICES = {"order": {"same": "the same order", "reversed": "the other order"}}
RETURNS = {"twice": ("y", "last")}
MISTAKES = {
    "three times": {"2 * x": "3 * x"},
    "the first for the last": {"y[-1:]": "y[:1]"},
    "the square": {"2 * x": "x * x"},
}
READ = {"three": "tutorial 03", "square": "tutorial 04"}


def cases(rng, P):
    yield "two numbers", 1, "twice", [rng.normal(size=2)]
    yield "seven", 2, "twice", [rng.normal(size=7)]
    yield "float32", 1, "twice", [rng.normal(size=5).astype("f4")]
'''
SHEET = {"order": "same"}


def written(folder, text=TINY) -> Exercise:
    path = folder / "ex1_twice.py"
    path.write_text(text)
    return Exercise(path)


@pytest.fixture
def tiny(tmp_path):
    return written(tmp_path)


def graded(exercise, source, sheet=SHEET):
    call = trusted
    return grade(exercise, sheet, np.random.default_rng(0), source.encode(), call)


def test_sheet_stub_solution_and_hints_come_from_one_source(tiny):
    assert "2 x_{L-1-t}" in tiny.stub({"order": "reversed"})
    assert "2 x_{L-1-t}" not in tiny.stub(SHEET)
    assert "2 * x" not in tiny.stub(SHEET)
    assert "#" not in tiny.stub(SHEET) + tiny.solution(SHEET)
    assert tiny.hints == ["One line is enough.", "Two.", "Three."]
    with pytest.raises(NotImplementedError, match=r"^ex1: write twice$"):
        exec(tiny.stub(SHEET) + "twice(1)", {})
    with pytest.raises(NotImplementedError):
        exec(tiny.stub(SHEET).replace("def twice", "def g(): pass\n\ndef twice") + "twice(1)", {})


def test_the_constants_of_a_student_stand_in_the_text(tmp_path):
    text = TINY.replace("y_t = 2 x_t", "y_t = <F> x_t").replace("y = 2 * x", 'y = float("<F>") * x')
    exercise = written(tmp_path, text + "\ndef numbers(rng): return {'F': int(rng.integers(5, 8))}\n")
    sheet = exercise.draw(np.random.default_rng(0), variant=SHEET)
    assert f"y_t = {sheet['F']} x_t" in exercise.stub(sheet)
    assert f"""float("{sheet["F"]}") * x""" in exercise.solution(sheet)


def test_no_course_draws_the_conventions_of_the_library_or_those_left_out(tmp_path):
    exercise = written(tmp_path, TINY + 'LIBRARY = [{"order": "same"}]\n')
    assert exercise.drawn() == [{"order": "reversed"}]
    assert exercise.drawn([{"order": "reversed"}]) == [{"order": "reversed"}]  # nothing else is left
    exercise = written(tmp_path)
    assert exercise.drawn([SHEET]) == [{"order": "reversed"}]


def test_a_repair_hands_out_mistakes_that_can_stand_together(tmp_path):
    exercise = written(tmp_path, TINY.replace('"write"', '"repair"\nPLANTED = 2'))
    drawn = {exercise.draw(np.random.default_rng(i))["planted"] for i in range(20)}
    assert drawn == {("three times", "the first for the last"), ("the first for the last", "the square")}
    sheet = exercise.draw(np.random.default_rng(1))
    result = graded(exercise, exercise.stub(sheet), sheet)
    assert (result.mistakes, result.score, result.most) == (sheet["planted"], 0, 4)


def test_a_repair_as_handed_out_has_no_points(tmp_path):
    text = TINY.replace('"write"', '"repair"\nPLANTED = 2').replace("y[:1]", "y[:1] if len(y) > 5 else y[-1:]")
    exercise = written(tmp_path, text.replace('"2 * x": "x * x"', '"2 * x": "2 * x + (len(x) > 5)"'))
    sheet = SHEET | {"planted": ("the first for the last", "the square")}
    result = graded(exercise, exercise.stub(sheet), sheet)
    assert [(check.points, check.kind) for check in result.checks] == [(0, "ok"), (4, "values"), (0, "ok")]
    assert graded(exercise, exercise.solution(sheet), sheet).score == 4


def test_feedback_on_a_repair_names_mistakes_of_the_student_and_not_those_to_be_found(tmp_path):
    exercise = written(tmp_path, TINY.replace('"write"', '"repair"\nPLANTED = 2'))
    sheet = SHEET | {"planted": ("the first for the last", "the square")}
    for mistakes, said in (
        (sheet["planted"], "looks like: both planted mistakes are still there"),
        (sheet["planted"][:1], "looks like: one of the planted mistakes is still there"),
        (("three times", sheet["planted"][0]), "three times; and one of the planted mistakes is still there; read"),
    ):
        result = graded(exercise, exercise.solution(sheet, mistakes), sheet)
        texts = "\n".join(check.text for check in result.checks)
        assert set(result.mistakes) == set(mistakes)
        assert said in texts
        assert not any(mistake in texts for mistake in sheet["planted"])


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (('"y[-1:]": "y[:1]"', '"y[-2:]": "y[:1]"'), "is in no variant"),
        (('"y[-1:]": "y[:1]"', '"y[-1:]": "y[-1:]"'), "changes nothing"),
        (('"2 * x": "x * x"', '"2 * x": "x * 3"'), "no check tells it from: three times"),
    ],
)
def test_a_mistake_that_does_nothing_or_looks_like_another_is_a_fault(tmp_path, change, fault):
    assert selftest.faults(written(tmp_path)) == []
    assert any(fault in f for f in selftest.faults(written(tmp_path, TINY.replace(*change))))


def test_the_self_test_prints_a_wrong_verdict_and_says_so_by_its_exit_code(tmp_path, capsys):
    assert selftest.run([written(tmp_path)], trusted, 1) == 0
    assert "10 hand-ins graded; 0 wrong verdicts or sources; 8 of 8 wrong hand-ins named" in capsys.readouterr().out
    blind = TINY.replace('yield "seven"', 'return\n    yield "seven"').replace("rng.normal(size=2)", "np.full(2, 3.0)")
    assert selftest.run([written(tmp_path, blind)], trusted, 1) == 1
    assert "WRONG VERDICT ex1  order=same: the first for the last: 4 of 4" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (("KIND = ", "KINDS = "), r"missing 'KIND'"),
        (("    points: 4", ""), "IndexError"),
        (("MISTAKES = {", "MISTAKES = "), "SyntaxError"),
    ],
)
def test_a_source_that_is_no_exercise_is_one_sentence(tmp_path, change, what):
    with pytest.raises(ValueError, match=rf"^course: .*ex1_twice.py is no exercise \({what}.*; correct it$"):
        written(tmp_path, TINY.replace(*change))


X, Y = np.array([1.5, 2.0, 4.0]), np.array([3.0, 4.0, 8.0])
LAST = np.array([8.0])


@pytest.mark.parametrize(
    ("answer", "kind", "sentence"),
    [
        (("error", "ValueError: no \x1b[2J (line 3)"), "error", "ValueError: no ?[2J (line 3)"),
        (("error", "ModuleNotFoundError: No module named 'minissm'"), "error", "library are available"),
        (("ok", [Y], True), "count", "1 array is returned; expected 2: y, last"),
        (("ok", [Y[None], LAST], True), "shape", "y has shape (1, 3); expected (3,)"),
        (("ok", [Y.astype("f4"), LAST], True), "dtype", "y is float32; expected float64"),
        (("ok", [Y * [np.nan, 1, 1], LAST], False), "finite", "y has nan or inf"),
        (("ok", [Y, LAST], False), "written", "an input was written to: work on a copy"),
        (("ok", [Y * (1 + 1e-9), LAST], True), "nearly", "finite differences, or single precision somewhere? y"),
        (("ok", [Y * 1.03, LAST], True), "values", "wrong: y (off by less than 10 %)"),
        (("ok", [Y * 1.09, LAST], True), "values", "wrong: y (off by less than 10 %)"),
        (("ok", [Y * 1.003, LAST], True), "values", "wrong: y (off by less than 1 %)"),
        (("ok", [-Y, LAST], True), "values", "wrong: y (off by more than 100 %)"),
        (("ok", [Y * (1 + 1e-12), LAST], True), "ok", ""),
    ],
)
def test_the_first_thing_that_is_wrong_gives_the_sentence(tiny, answer, kind, sentence):
    found, text = judge(tiny, SHEET, Case("three", 1, "twice", [X]), answer, [Y, LAST])
    assert found == kind
    assert sentence in text if sentence else text == ""


def test_an_address_and_a_long_text_do_not_get_through():
    assert clean("<f at 0x7f3a12345678>\u202e\ud800") == "<f at 0x...>??"
    assert len(clean("A" * 10**6)) == 300


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (("2 * x", "3 * x"), "; looks like: three times; read tutorial 03"),
        (
            ("y = 2 * x\n    return y, y[-1:]", "y = x * x\n    return y, y[:1]"),
            "the first for the last; and the square",
        ),
        (("2 * x\n", "2 * x[::-1]\n"), "; looks like: another sheet's convention (yours: the same order)"),
        (
            ("2 * x\n", "3 * x[::-1]\n"),
            "three times; and another sheet's convention (yours: the same order); read tutorial 03",
        ),
        (("2 * x\n", "0 * x\n"), "; y is all zeros"),
        (("2 * x\n", "-2 * x\n"), "; y has the wrong sign"),
        (("2 * x\n", "5 * x\n"), "; y is right up to a constant factor"),
        (("return y, y[-1:]", "return y, 7 + y[-1:] ** 3"), "; correct so far: y"),
        (("2 * x\n", "2 * z\n"), "NameError: name 'z' is not defined"),
    ],
)
def test_a_diagnosis_is_the_fewest_mistakes_in_this_convention_or_another(tiny, change, text):
    source = tiny.solution(SHEET)
    assert change[0] in source
    result = graded(tiny, source.replace(*change))
    failed = [check for check in result.checks if check.kind != "ok"]
    assert text in failed[0].text
    assert not any("looks like" in check.text for check in failed[1:])


def test_shifted_and_right_up_to_an_entry_are_seen(tiny):
    right = np.arange(1.0, 8) ** 2
    for got, text in (
        (np.r_[0, right[:-1]], "shifted by one along axis 0"),
        (right[::-1], "reversed along axis 0"),
        (np.full(7, 1e308), ""),  # too large for a product
        (np.r_[right[:4], 0, 0, 0], "is correct only up to entry 3 along axis 0"),
        (np.r_[0, 0, right[2:]], "is correct only after entry 1 along axis 0"),
    ):
        case = Case("seven", 1, "twice", [right])
        found = diagnose(tiny, SHEET, [Answered(case, ("ok", [got, LAST], True), [right, LAST], "values")])
        assert text in found.text


def test_results_in_another_order_are_seen(tiny):
    case, right, swapped = Case("one", 1, "twice", [X[:1]]), [X[:1], LAST], [LAST, X[:1]]
    found = diagnose(tiny, SHEET, [Answered(case, ("ok", swapped, True), right, "values")])
    assert found.text == "; y is what last should be"


@pytest.mark.parametrize("other", ["2 * x", "4 * x"])
def test_a_mistake_that_fits_to_one_check_alone_is_not_named_where_others_pass_or_fail_in_another_way(tiny, other):
    source = tiny.solution(SHEET).replace("2 * x", f"3 * x if x.size == 2 else {other}")
    assert graded(tiny, source).mistakes == ()


def test_an_answer_that_fails_on_a_large_case_alone_is_not_compared_with_a_thousand_mistakes(tiny, monkeypatch):
    right = np.arange(20_000.0)
    case, tried = Case("large", 1, "twice", [right]), []
    monkeypatch.setattr(Exercise, "answer", lambda *_: tried.append(1))
    found = diagnose(tiny, SHEET, [Answered(case, ("ok", [np.r_[right[:-1], 0], LAST], True), [right, LAST], "values")])
    assert (found.text, tried) == ("; y is correct only up to entry 19998 along axis 0", [])


def test_an_exception_of_a_planted_mistake_is_named(tiny):
    tiny.mistakes["an exception"] = {"2 * x": "2 * x[9]"}
    result = graded(tiny, tiny.solution(SHEET, ["an exception"]))
    assert result.mistakes == ("an exception",)


def test_points_of_the_course_scale_those_of_the_checks(tiny):
    call = trusted
    source = tiny.solution(SHEET, ["the first for the last"]).replace(
        "y[:1]", "y[-1:] if y.dtype == np.float32 else y[:1]"
    )
    result = grade(tiny, SHEET, np.random.default_rng(0), source.encode(), call, points=40)
    assert (result.score, result.most) == (10, 40)


@pytest.mark.parametrize("ended", ["time", "clock", "memory", "size", "ended", ""])
def test_no_answer_has_a_sentence_of_its_own(tiny, ended):
    reply = SimpleNamespace(answers=[None] * 3, log="", ended=ended)
    result = grade(tiny, SHEET, np.random.default_rng(0), b"", lambda *_, **__: reply)
    assert {check.kind for check in result.checks} == {"none"}
    assert "no answer" in result.checks[0].text or "more was returned" in result.checks[0].text
    assert (result.score, result.stopped) == (0, ended)


def a_catch(most=16):
    scan = every()["ex1"]
    module = {"FUNCTION": "scan", "MOST": most}
    return SimpleNamespace(
        name="ex2",
        kind="catch",
        of="ex1",
        points=10,
        module=module,
        returns={"inputs": ("lam", "c", "u", "h0")},
        cases=lambda rng, sheet: [Case("one small input", 10, "inputs", [])],
        answer=lambda *_: [np.array([[0.5 + 0.6j, 0.8j]]), np.array([[1 + 1j, 2 - 1j]]), two, np.ones((2, 1, 2))],
        choices=scan.choices,
    )


two = np.array([[[1.0], [-0.5], [2.0]], [[0.3], [1.0], [0.7]]])
PLAIN = {"output": "after", "time": "forward", "axes": "BLD"}


@pytest.mark.parametrize(
    ("arrays", "kind"),
    [
        ([np.full((1, 1), 0.9), np.ones((1, 1)), np.ones((1, 8, 1)), np.zeros((1, 1, 1))], "share"),
        ([np.full((1, 1), 0.9)] * 3 + [np.zeros((2**31 - 1, 0))], "shape"),
        ([np.full((1, 1), 0.9), np.ones((1, 1)), np.ones((1, 20, 1)), np.zeros((1, 1, 1))], "shape"),
        ([np.full((1, 1), np.nan), np.ones((1, 1)), np.ones((1, 8, 1)), np.zeros((1, 1, 1))], "finite"),
        ([np.full((1, 1), True), np.ones((1, 1)), np.ones((1, 8, 1)), np.zeros((1, 1, 1))], "dtype"),
    ],
)
def test_a_catch_is_scored_by_the_share_of_the_mistakes_that_it_exposes(arrays, kind):
    reply = SimpleNamespace(answers=[("ok", arrays, True)], log="", ended="")
    result = grade(a_catch(), PLAIN, np.random.default_rng(0), b"", lambda *_, **__: reply)
    assert result.checks[0].kind == kind
    assert (0 < result.score < 5) if kind == "share" else result.score == 0
    if kind == "share":
        assert "planted mistakes are exposed" in result.checks[0].text


def test_a_catch_that_exposes_what_can_be_exposed_has_all_points():
    exercise = a_catch()
    reply = SimpleNamespace(answers=[("ok", exercise.answer(), True)], log="", ended="")
    assert grade(exercise, PLAIN, np.random.default_rng(0), b"", lambda *_, **__: reply).score == 10
    for wrong, word in (
        ([two, two, two, two], "shapes"),
        ([*exercise.answer()[:2], two + 0j, np.ones((2, 1, 2))], "u is complex"),
        ([np.full((1, 1), 1e300), np.ones((1, 1)), np.ones((1, 8, 1)), np.ones((1, 1, 1))], "overflows"),
    ):
        part, text = catch.share(exercise, PLAIN, wrong)
        assert part == 0
        assert word in text
