"""The gradient check must pass what is right and name what is wrong."""

import importlib
import re

import numpy as np
import pytest

from minissm import GradientError, Model, gradcheck, layers, scan

from .oracles import draw


def broken_linear(change):
    def f(p, x):
        y, back = layers.linear(p, x)
        return y, lambda dy: change(*back(dy))

    return f


def linear_problem(rng):
    return {"w": draw(rng, 4, 3), "b": draw(rng, 3)}, draw(rng, 2, 7, 4)


def test_a_right_backward_passes_and_the_report_says_so(rng):
    report = gradcheck(layers.linear, *linear_problem(rng), names=("p", "x"))
    assert report.ok
    assert [row.leaf for row in report.rows] == ["p.w", "p.b", "x"]
    assert report.worst.error < 1e-8
    assert str(report).count("ok") == 3
    assert "expected below 1e-06" in str(report)
    assert report._repr_html_().count("<td>ok</td>") == 3


@pytest.mark.parametrize(
    ("wrong", "leaf"),
    [
        (lambda dp, dx: (dp, 1.01 * dx), "x"),
        (lambda dp, dx: (dp, dx[::-1]), "x"),
        (lambda dp, dx: (dp, np.zeros_like(dx)), "x"),
        (lambda dp, dx: (dp | {"b": dp["b"] / 14}, dx), "p.b"),
        (lambda dp, dx: (dp | {"w": -dp["w"]}, dx), "p.w"),
        (lambda dp, dx: (dp | {"w": dp["w"].astype(np.float32)}, dx), "p.w"),
        (lambda dp, dx: ({"b": dp["b"]}, dx), "p.w"),
        (lambda dp, dx: (dp, None), "x"),
        (lambda dp, dx: (dp | {"b": dp["b"][:2]}, dx), "p.b"),
        (lambda dp, dx: (dp, np.full_like(dx, np.nan)), "x"),
    ],
)
def test_a_wrong_backward_fails_and_the_leaf_is_named(wrong, leaf, rng):
    with pytest.raises(GradientError) as caught:
        gradcheck(broken_linear(wrong), *linear_problem(rng), names=("p", "x"))
    told = str(caught.value).splitlines()
    assert any(line.startswith(leaf) and ("WRONG" in line or "gives" in line) for line in told)
    assert not any("WRONG" in line and not line.startswith(leaf) for line in told)


def unconjugated(log_lam, c, u):
    """scan.recurrent with the conjugate of lam forgotten: for real u, that is the conjugate gradient."""
    y, h, back = scan.recurrent(log_lam, c, u)

    def backward(dy, dh=None):
        dlog_lam, dc, du, _ = back(dy, dh)
        return dlog_lam.conj(), dc, du

    return y, h, backward


def test_a_missing_conjugate_shows_with_complex_poles(rng):
    log_lam, c, u = (
        -rng.uniform(0.1, 1, (4, 3)) + 2j * draw(rng, 4, 3),
        draw(rng, 4, 3, dtype=complex),
        draw(rng, 2, 7, 4),
    )
    with pytest.raises(GradientError, match=r"log_lam .*WRONG"):
        gradcheck(unconjugated, log_lam, c, u, names=("log_lam", "c", "u"))


def test_both_parts_of_a_complex_gradient_are_checked(rng):
    def square(change):
        return lambda z: (z * z, lambda dy: change(2 * z.conj() * dy))

    z = draw(rng, 4, 3, dtype=complex)
    assert gradcheck(square(lambda dz: dz), z, rng=rng).ok
    for wrong in (lambda dz: dz.real + 0j, lambda dz: 1j * dz.imag, np.conj):
        with pytest.raises(GradientError, match="WRONG"):
            gradcheck(square(wrong), z, rng=rng)  # not of its own seed, which would draw z once more as the cotangent


def test_a_small_leaf_in_a_function_that_bends_soon_passes(rng):
    """Steps of the size that suits numbers near 1 would find another derivative here."""
    assert gradcheck(lambda z: (np.sin(1000 * z), lambda dy: 1000 * np.cos(1000 * z) * dy), 1e-3 * draw(rng, 5)).ok


def test_a_gradient_of_exactly_zero_is_accepted(rng):
    """The bias of the keys changes no softmax: zero against rounding is no error."""
    net = Model("attn", vocab=3, width=4, dtype="float64")
    assert gradcheck(net, net.init(rng), np.eye(3)[rng.integers(0, 3, (2, 5))]).ok


def test_single_precision_has_its_own_expectation(rng):
    p, x = linear_problem(rng)
    p, x = {k: v.astype(np.float32) for k, v in p.items()}, x.astype(np.float32)
    assert {row.expected for row in gradcheck(layers.linear, p, x).rows} == {1e-2}
    with pytest.raises(GradientError):
        gradcheck(broken_linear(lambda dp, dx: (dp, 1.1 * dx)), p, x)


def test_any_backend_is_checked(rng):
    strict = importlib.import_module("array_api_strict")
    p, x = linear_problem(rng)
    assert gradcheck(layers.linear, {k: strict.asarray(v) for k, v in p.items()}, strict.asarray(x)).ok


def test_the_inputs_are_left_as_they_were(rng):
    p, x = linear_problem(rng)
    before = x.copy()
    x.flags.writeable = False
    gradcheck(layers.linear, p, x)
    np.testing.assert_array_equal(x, before)


def test_a_wrong_number_of_gradients_is_told(rng):
    with pytest.raises(GradientError, match="the backward gives 1 gradients for 2 inputs; expected one for each"):
        gradcheck(broken_linear(lambda dp, dx: (dx,)), *linear_problem(rng))


def test_a_small_error_in_a_small_gradient_is_seen(rng):
    """Of 1e-4, in a leaf that hardly moves the loss, beside outputs of another size."""

    def f(a, b):
        return 1e-3 * a**2 + b, lambda dy: (2e-3 * (1 + 1e-4) * a * dy, dy)

    with pytest.raises(GradientError, match=r"a .*WRONG"):
        gradcheck(f, draw(rng, 5), draw(rng, 5), names=("a", "b"))


def test_small_inputs_take_small_steps(rng):
    """Where the forward bends at the scale of its input, a step of fixed size would find fault with what is right."""
    assert gradcheck(layers.rms_norm, {"g": draw(rng, 4)}, 1e-2 * draw(rng, 2, 3, 4)).ok


def test_one_direction_may_not_hide_the_others(rng):
    """nan compares with nothing: it must not win, nor lose, by being compared."""
    calls = []

    def f(a):
        calls.append(1)
        return a * (np.nan if len(calls) == 6 else 1), lambda dy: dy

    with pytest.raises(GradientError, match="WRONG"):
        gradcheck(f, draw(rng, 5))


def test_a_backward_that_keeps_something_is_caught(rng):
    total = []

    def f(a):
        def backward(dy):
            total.append(dy)
            return sum(total)

        return a * 1, backward

    with pytest.raises(GradientError, match="gives other numbers when it is called again"):
        gradcheck(f, draw(rng, 5))


def test_a_gradient_of_something_that_is_not_there_is_caught(rng):
    with pytest.raises(GradientError, match="p: the backward gives v, which the input does not have"):
        gradcheck(broken_linear(lambda dp, dx: (dp | {"v": dx}, dx)), *linear_problem(rng), names=("p", "x"))


def test_a_leaf_may_stand_in_two_places(rng):
    a = draw(rng, 3)
    assert gradcheck(lambda p: (p["a"] * p["b"], lambda dy: {"a": dy * p["b"], "b": dy * p["a"]}), {"a": a, "b": a}).ok


def test_wrong_requests_are_refused():
    f = layers.relu
    with pytest.raises(ValueError, match="directions=0"):
        gradcheck(f, np.ones(3), directions=0)
    with pytest.raises(ValueError, match=r"no input has a real or complex leaf, .* try np\.array"):
        gradcheck(lambda x: (x * 1, lambda dy: 1 * dy), np.arange(3))


BEGINNERS = {
    "no backward": (lambda x: 2 * x, "f returns ndarray and no backward; expected `return y, backward`"),
    "a gradient for a backward": (lambda x: (2 * x, 2 * x), "f returns ndarray, ndarray and no backward"),
    "nothing": (lambda x: None, "f returns NoneType and no backward"),
    "a list of both": (lambda x: [2 * x, lambda dy: 2 * dy], "f returns list and no backward"),
    "no array": (lambda x: (None, lambda dy: 2 * dy), "f returns a backward and no array"),
    "a float": (lambda x: (float(x @ x), lambda dy: 2 * x * dy), "output 0 of f is a Python float; expected an array,"),
    "a list": (lambda x: ([2 * v for v in x], lambda dy: 2 * dy), "output 0 of f is a list of numbers; expected an a"),
    "a gradient that is a float": (
        lambda x: (2 * x, lambda dy: 2.0),
        "x: the backward gives a Python float for a leaf",
    ),
    "a gradient that is a list": (lambda x: (2 * x, lambda dy: [*dy]), "x: the backward gives a list for an array"),
    "no return": (lambda x: (2 * x, lambda dy: None), "the backward returns nothing; expected one gradient for each"),
}


@pytest.mark.parametrize(("f", "words"), BEGINNERS.values(), ids=BEGINNERS)
def test_each_mistake_of_a_beginner_has_its_own_sentence(f, words, rng):
    with pytest.raises((TypeError, GradientError), match=re.escape(words)):
        gradcheck(f, draw(rng, 3), names=("x",))


def test_a_list_and_pythons_numbers_are_no_inputs(rng):
    def f(p, x):
        return np.asarray(p) * x, lambda dy: (x * dy, p * dy)

    with pytest.raises(TypeError, match=r"gradcheck: p is a list of numbers; expected an array, np.array\(...\)"):
        gradcheck(f, [1.0, 2.0], draw(rng, 2), names=("p", "x"))
    with pytest.raises(TypeError, match=r"gradcheck: p is a Python float; expected an array, np.array\(3.0\)"):
        gradcheck(f, 3.0, draw(rng, 2), names=("p", "x"))
    with pytest.raises(TypeError, match=r"gradcheck: p.b is a Python complex; expected an array, np.array\(1j\)"):
        gradcheck(f, {"a": draw(rng, 2), "b": 1j}, draw(rng, 2), names=("p", "x"))
    assert gradcheck(f, 3, draw(rng, 2)).ok, "an integer is an option"
