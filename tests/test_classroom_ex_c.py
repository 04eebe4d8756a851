"""Exercises 8 and 9, their hidden cases and their public tests. The whole self-test is slow, and elsewhere."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

from minissm.classroom import selftest
from minissm.classroom.exercise import Exercise, every
from minissm.classroom.judge import error, judge, tolerance

from .test_classroom_ex_a import drawn, outcomes
from .trusted import trusted

ROOT = Path(__file__).parent.parent
EACH = pytest.mark.parametrize("exercise", [every()["ex8"], every()["ex9"]], ids=lambda exercise: exercise.name)


def failed(exercise: Exercise, sheet: dict, source: str) -> set[str]:
    """The functions whose answers the hidden cases refuse."""
    cases = exercise.cases(np.random.default_rng(5), sheet)
    answers = trusted(source.encode(), [(case.function, case.arrays) for case in cases], 5).answers
    right = [exercise.answer(sheet, case.function, case.arrays) for case in cases]
    kinds = [judge(exercise, sheet, *of)[0] for of in zip(cases, answers, right, strict=True)]
    return {case.function for case, kind in zip(cases, kinds, strict=True) if kind != "ok"}


@EACH
def test_on_one_sheet_the_solution_is_accepted_and_each_mistake_rejected_and_named(exercise):
    hands = [hand for hand in selftest.hands(exercise, drawn(exercise)[-1]) if not hand.other]
    assert len(hands) > 10
    for hand in hands:
        right, named, found = selftest.verdict(exercise, hand, trusted)
        assert (right, named) == (True, True), (hand.mistakes, found)


@pytest.mark.slow
@EACH
def test_every_replacement_does_something_and_no_two_mistakes_look_alike(exercise):
    assert selftest.faults(exercise) == []


@EACH
def test_every_replacement_is_found_and_changes_something(exercise):
    for mistake, changes in exercise.mistakes.items():
        texts = [exercise.rendered(sheet) for sheet in exercise.variants]
        assert all(any(old in text for text in texts) for old in changes), mistake
        assert any(exercise.changes(sheet, mistake) for sheet in exercise.drawn()), mistake


@EACH
def test_points_add_up_and_places_to_read_are_headings(exercise):
    for sheet in exercise.variants:
        assert sum(case.points for case in exercise.cases(np.random.default_rng(0), sheet)) == exercise.points
    for place in filter(None, exercise.module["READ"].values()):
        file, heading = re.fullmatch(r"(tutorial \d\d|docs/\w+\.md), '(.+)'", place).groups()
        (page,) = ROOT.glob(file if file.startswith("docs") else f"tutorials/{file[-2:]}_*.py")
        assert f"## {heading}\n" in page.read_text(), place


PASTED = {
    "ex8": """
import numpy as np
import minissm as ms
def attention(q, k, v):
    return ms.attention(q[:, None], k[:, None], v[:, None])[0][:, 0]
def attention_backward(q, k, v, do):
    return tuple(d[:, 0] for d in ms.attention(q[:, None], k[:, None], v[:, None])[1](do[:, None]))
""",
    "ex9": """
import numpy as np
from minissm.selective import selective_scan as scan, softplus
def selective_scan(u, raw, log_a, b, c, skip, h0=None):
    y, h, _ = scan(u, softplus(raw)[0], -np.exp(log_a), b, c, h0)
    return y + skip * u, h
""",
}


@EACH
def test_the_librarys_function_is_right_in_its_own_convention_and_wrong_in_every_other(exercise):
    (known,) = exercise.module["LIBRARY"]
    assert failed(exercise, known, PASTED[exercise.name]) == set()
    for sheet in drawn(exercise):
        assert failed(exercise, sheet, PASTED[exercise.name]) == set(exercise.returns), sheet


# ---- public tests


@EACH
def test_public_tests_accept_every_solution(exercise, tmp_path):
    for sheet in exercise.variants:
        assert set(outcomes(exercise, sheet, exercise.solution(sheet), tmp_path).values()) == {""}


@EACH
def test_public_tests_see_all_mistakes_but_for_one_of_the_repair(exercise, tmp_path):
    through = set()
    for mistake in exercise.mistakes:
        sheet = next(sheet for sheet in drawn(exercise) if exercise.changes(sheet, mistake))
        if not any(outcomes(exercise, sheet, exercise.solution(sheet, [mistake]), tmp_path).values()):
            through.add(mistake.partition(":")[0])
    assert through == ({"softplus by its formula"} if exercise.name == "ex9" else set())


# ---- exercise 8


def test_attention_by_loops_agrees_far_below_the_tolerance():
    """Another algorithm: a token at a time, with the logarithm of the sum, and rowsum(a da) = do . o."""
    exercise = every()["ex8"]
    for sheet in exercise.variants:
        for case in exercise.cases(np.random.default_rng(3), sheet)[:-1]:
            q, k, v, *do = case.arrays
            (B, L, P), one = q.shape, q.dtype.type(1)
            scale = one / (P if sheet["scale"] == "full" else P**0.5)
            o, a = np.zeros_like(v), np.zeros((B, L, L), q.dtype)
            for i, t in itertools.product(range(B), range(L)):
                first = max(0, t - 3) if sheet["sees"] == "window" else 0
                z = k[i, first : t + 1] @ (q[i, t] * scale)
                if sheet["fades"] == "yes":
                    z = z - np.arange(t - first, -1, -1, q.dtype) / 4
                a[i, t, first : t + 1] = np.exp(z - z.max() - np.log(np.exp(z - z.max()).sum()))
                o[i, t] = a[i, t] @ v[i]
            found = [o]
            if do:
                dz = a * (np.einsum("btp,bsp->bts", do[0], v) - (do[0] * o).sum(-1)[..., None])
                pairs = ("bts,bsp->btp", dz * scale, k), ("bts,btp->bsp", dz * scale, q), ("bts,btp->bsp", a, do[0])
                found = [np.einsum(*pair) for pair in pairs]
            right = exercise.answer(sheet, case.function, case.arrays)
            for x, y in zip(found, right, strict=True):
                assert error(x, y) < tolerance(y) / 20, (case.title, sheet)


def test_a_gradient_by_differences_is_not_accepted():
    exercise = every()["ex8"]
    differences = """
def attention_backward(q, k, v, do):
    def slope(i, at):
        ends = []
        for step in (1e-6, -1e-6):
            arrays = [x.copy() for x in (q, k, v)]
            arrays[i][at] += step
            ends.append((do * attention(*arrays)).sum())
        return (ends[0] - ends[1]) / 2e-6
    return tuple(np.reshape([slope(i, at) for at in np.ndindex(x.shape)], x.shape) for i, x in enumerate((q, k, v)))
"""
    sheet = drawn(exercise)[0]
    source = exercise.solution(sheet) + differences
    cases = [c for c in exercise.cases(np.random.default_rng(0), sheet)[:-1] if c.function == "attention_backward"]
    answers = trusted(source.encode(), [(case.function, case.arrays) for case in cases], 5).answers
    for case, answer in zip(cases, answers, strict=True):
        right = exercise.answer(sheet, case.function, case.arrays)
        assert judge(exercise, sheet, case, answer, right)[0] in ("nearly", "values"), case.title


# ---- exercise 9


def test_the_sheet_of_the_repair_runs_and_no_comment_tells_where_the_mistakes_are():
    exercise = every()["ex9"]
    sheet = drawn(exercise)[-1]
    case = exercise.cases(np.random.default_rng(0), sheet)[5]
    for pair in itertools.combinations(exercise.mistakes, 2):
        assert exercise.compatible(sheet, pair)
        assert "#" not in exercise.stub(sheet | {"planted": pair})
        assert isinstance(exercise.answer(sheet, case.function, case.arrays, pair), list)


@pytest.mark.slow
def test_any_two_planted_mistakes_have_other_numbers_than_one_of_them_and_earn_little():
    exercise = every()["ex9"]
    earned = []
    for sheet in drawn(exercise):
        cases = exercise.cases(np.random.default_rng(2), sheet)

        def answers(*mistakes, sheet=sheet, cases=cases):
            return [exercise.answer(sheet, case.function, case.arrays, mistakes) for case in cases]

        def same(found, others):
            return [
                all(error(x, y) <= tolerance(y) for x, y in zip(*of, strict=True))
                for of in zip(found, others, strict=True)
            ]

        right, single = answers(), {mistake: answers(mistake) for mistake in exercise.mistakes}
        for pair in itertools.combinations(exercise.mistakes, 2):
            both = answers(*pair)
            assert not any(all(same(both, single[mistake])) for mistake in pair), pair
            assert not all(same(both, right)), pair
            earned.append(sum(case.points for case, ok in zip(cases, same(both, right), strict=True) if ok))
    assert len(earned) == 135
    assert np.mean(earned) < 2
    assert max(earned) <= 11  # of 20
