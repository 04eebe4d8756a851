"""Exercises 5 to 7 against other libraries and other algorithms. What all exercises share: test_classroom_ex_a.py."""

import numpy as np
import pytest
from scipy.linalg import expm

from minissm import scan
from minissm.classroom import catch
from minissm.classroom.exercise import every
from minissm.classroom.grade import grade
from minissm.classroom.judge import error, judge

from .trusted import trusted

SHEETS = {name: every()[name].variants for name in ("ex5", "ex6", "ex7")}


def rng():
    return np.random.default_rng(5)


# ---- exercise 5


@pytest.mark.parametrize("sheet", SHEETS["ex5"], ids=lambda sheet: "-".join(sheet.values()))
def test_the_rules_of_exercise_5_are_those_of_scipy(sheet):
    exercise = every()["ex5"]
    for _, _, function, (A, B, dt) in exercise.cases(rng(), sheet):
        full = A if sheet["matrix"] == "dense" else np.diag(A)
        full, weights = (full, B) if sheet["state"] == "column" else (full.T, B.T)
        N, M = weights.shape
        if function == "zoh":
            both = expm(dt * np.block([[full, weights], [np.zeros((M, N + M))]]))
            A_bar, B_bar = both[:N, :N], both[:N, N:]
        else:
            left = np.eye(N) - dt / 2 * full
            A_bar, B_bar = np.linalg.solve(left, np.eye(N) + dt / 2 * full), np.linalg.solve(left, dt * weights)
        A_bar, B_bar = (A_bar, B_bar) if sheet["state"] == "column" else (A_bar.T, B_bar.T)
        A_bar = A_bar if sheet["matrix"] == "dense" else np.diag(A_bar)
        right = A_bar, B_bar / (1 if sheet["input"] == "step" else dt)
        for found, expected in zip(exercise.answer(sheet, function, [A, B, dt]), right, strict=True):
            assert error(found, expected) < 1e-13


def test_zoh_by_a_division_by_a_matrix_stays_far_within_the_tolerance():
    """A student may divide by A where it has an inverse: in the small step, too, where 1 - exp(dt A) loses digits."""
    exercise, sheet, worst = every()["ex5"], SHEETS["ex5"][0], 0.0
    for seed in range(50):
        for title, _, function, (A, B, dt) in exercise.cases(np.random.default_rng(seed), sheet):
            if function == "zoh" and "singular" not in title and A.any():
                B_bar = np.linalg.solve(A, (expm(dt * A) - np.eye(len(A))) @ B)
                worst = max(worst, error(B_bar, exercise.answer(sheet, function, [A, B, dt])[1]))
    assert worst < 2e-12


# ---- exercise 6


def forward(sheet, lam, c, u, h0):
    return every()["ex1"].answer(sheet | {"time": "forward"}, "scan", [lam, c, u, h0])


@pytest.mark.parametrize("sheet", SHEETS["ex6"], ids=lambda sheet: "-".join(sheet.values()))
def test_the_gradients_of_exercise_6_fit_small_steps_of_exercise_1(sheet):
    exercise = every()["ex6"]
    *inputs, dy, dh_last = next(case.arrays for case in exercise.cases(rng(), sheet) if "last state" in case.title)
    factor = 1 if sheet["gradient"] == "sum" else 2

    def loss(*inputs):
        y, h_last = forward(sheet, *inputs)
        return (dy * y).sum() + factor * (dh_last.conj() * h_last).real.sum()

    for i, gradient in enumerate(exercise.answer(sheet, "scan_backward", [*inputs, dy, dh_last])):
        e = 1e-6 * (rng().normal(size=gradient.shape) + 1j * rng().normal(size=gradient.shape))
        e = e.astype(gradient.dtype) if np.iscomplexobj(gradient) else e.real
        ends = [loss(*inputs[:i], inputs[i] + step, *inputs[i + 1 :]) for step in (e, -e)]
        change = (gradient.conj() * e).real.sum() * (factor if np.iscomplexobj(gradient) else 1)
        assert abs((ends[0] - ends[1]) / 2 - change) < 1e-8 * abs(change)


def test_a_gradient_by_differences_is_nearly_right_and_no_more():
    exercise = every()["ex6"]
    for sheet in exercise.drawn():
        cases = exercise.cases(rng(), sheet)[:2]
        for case in cases:
            *inputs, dy, _ = case.arrays
            right, found = exercise.answer(sheet, "scan_backward", case.arrays), []
            for i, a in enumerate(inputs):
                found.append(np.zeros_like(a))
                for place in np.ndindex(a.shape):
                    for way in (1, 1j)[: 1 + np.iscomplexobj(a)]:
                        e = np.zeros_like(a)
                        e[place] = 1e-5 * way
                        ends = [forward(sheet, *inputs[:i], a + step, *inputs[i + 1 :])[0] for step in (e, -e)]
                        found[i][place] += way * (dy * (ends[0] - ends[1])).sum() / 2e-5
                half = sheet["gradient"] == "half" and np.iscomplexobj(a)
                found[i] = found[i] / 2 if half else found[i]
            assert judge(exercise, sheet, case, ("ok", found, True), right)[0] == "nearly"


# ---- the library is open, and no answer to a sheet

PASTED = {
    "ex5": """
import numpy as np
def phi(z):  # tutorial 02
    safe = np.where(z == 0, 1, z)
    return np.where(z == 0, 1, np.expm1(safe) / safe)
def zoh(A, B, dt):
    return np.exp(dt * A), (dt * phi(dt * A))[:, None] * B
def bilinear(A, B, dt):
    return (1 + dt * A / 2) / (1 - dt * A / 2), (dt / (1 - dt * A / 2))[:, None] * B
""",
    "ex6": """
import numpy as np
import minissm as ms
def scan_backward(lam, c, u, h0, dy, dh_last):
    dlog_lam, *others = ms.scan.recurrent(np.log(lam), c, u, h0)[2](dy, dh_last)
    return dlog_lam / np.conj(lam), *others
""",
}


@pytest.mark.parametrize("name", PASTED)
def test_no_function_of_a_sheet_is_that_of_a_tutorial_or_of_the_library(name):
    exercise = every()[name]
    known = exercise.module["LIBRARY"][0]
    for sheet in [known, *exercise.drawn()]:
        cases = exercise.cases(rng(), sheet)
        answers = trusted(PASTED[name].encode(), [(case.function, case.arrays) for case in cases], 5).answers
        right = [exercise.answer(sheet, case.function, case.arrays) for case in cases]
        kinds = [judge(exercise, sheet, *of)[0] for of in zip(cases, answers, right, strict=True)]
        failed = {case.function for case, kind in zip(cases, kinds, strict=True) if kind != "ok"}
        assert failed == (set() if sheet is known else set(exercise.returns)), (sheet, kinds)


def test_the_gradient_of_exercise_6_is_the_librarys_in_its_convention():
    exercise, (sheet,) = every()["ex6"], every()["ex6"].module["LIBRARY"]
    for case in exercise.cases(rng(), sheet):
        lam, c, u, h0, dy, dh_last = case.arrays
        dlog_lam, *others = scan.recurrent(np.log(lam), c, u, h0)[2](dy, dh_last)
        found = exercise.answer(sheet, case.function, case.arrays)
        single = lam.dtype == np.complex64
        for a, b in zip(found, [dlog_lam / np.conj(lam), *others], strict=True):
            assert error(a, b) < (1e-5 if single else 1e-13)


# ---- exercise 7


def small(B, L, N, real=False, start=True, last=True):
    """lam, c, u, h0, dy, dh_last with the axes (B, L, D): random numbers, and zeros where something isn't there."""
    draw = np.random.default_rng(1)

    def z(*shape):
        return draw.normal(size=shape) + (0 if real else 1j) * draw.normal(size=shape)

    return [z(1, N) / 2, z(1, N), z(B, L, 1).real, start * z(B, 1, N), z(B, L, 1).real, last * z(B, 1, N)]


def test_each_thing_that_an_input_of_exercise_7_has_exposes_more():
    """Six inputs from poor to rich: their shares grow, and the last one has them all."""
    exercise = every()["ex7"]
    for sheet in exercise.drawn()[::3]:
        shares = []
        for arrays in (
            small(1, 3, 1, real=True, start=False, last=False),
            small(1, 3, 1, start=False, last=False),
            small(1, 3, 2, start=False, last=False),
            small(1, 3, 2, last=False),
            small(1, 3, 2),
            small(2, 2, 2),
        ):
            if sheet["axes"] == "LBD":
                arrays[2], arrays[4] = (np.moveaxis(a, 1, 0) for a in (arrays[2], arrays[4]))
            assert sum(a.size for a in arrays) <= exercise.module["MOST"]
            shares.append(catch.share(exercise, sheet, arrays)[0])
        assert sorted(set(shares)) == shares, shares
        assert shares[0] < 0.4
        assert shares[-1] == 1


def test_the_sheet_of_exercise_7_tells_how_many_mistakes_can_be_exposed():
    exercise, other = every()["ex7"], every()["ex6"]
    for sheet in SHEETS["ex7"]:
        exposed = catch.exposed(exercise, sheet, exercise.answer(sheet, "inputs", []))
        assert exposed == {m for m in other.mistakes if other.changes(sheet, m)}
        assert f"{len(exposed)} wrong functions in all" in exercise.stub(sheet)


def test_shapes_that_only_broadcast_are_refused_in_exercise_7():
    exercise = every()["ex7"]
    sheet = exercise.drawn()[0]
    for wrong in ("lam, c[:, :1], u, h0, dy", "lam[0], c, u, h0, dy", "lam, c, u, h0[:1], dy", "lam, c, u, h0, dy[:1]"):
        source = exercise.solution(sheet).replace("return lam, c, u, h0, dy", f"return {wrong}").encode()
        found = grade(exercise, sheet, rng(), source, trusted)
        assert (found.checks[0].kind, found.score) == ("property", 0), wrong
