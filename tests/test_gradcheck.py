"""The gradient check must pass what is right and name what is wrong."""

import importlib

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
    with pytest.raises(GradientError, match="backward gave 1 gradients for 2 inputs"):
        gradcheck(broken_linear(lambda dp, dx: (dx,)), *linear_problem(rng))
