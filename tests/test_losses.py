"""Cross-entropy and squared error."""

import numpy as np
import pytest
import scipy.special

from minissm import gradcheck, losses, reference

from .oracles import draw


def problem(rng):
    logits, targets = 3 * draw(rng, 2, 7, 5), rng.integers(0, 5, (2, 7))
    return logits, targets, rng.integers(0, 3, (2, 7)).astype(float)


def test_cross_entropy_is_the_weighted_mean_of_the_negative_log_probability(rng):
    logits, targets, weights = problem(rng)
    log_p = np.take_along_axis(scipy.special.log_softmax(logits, axis=-1), targets[..., None], axis=-1)[..., 0]
    loss, _ = losses.cross_entropy(logits, targets, weights)
    assert loss == pytest.approx(-(weights * log_p).sum() / weights.sum(), rel=1e-13)


def test_its_gradient(rng):
    logits, targets, weights = problem(rng)

    def f(z):
        return losses.cross_entropy(z, targets, weights)

    gradcheck(f, logits)
    np.testing.assert_allclose(f(logits)[1](2.0), 2 * f(logits)[1](), rtol=1e-14)
    np.testing.assert_array_equal(f(logits)[1]()[weights == 0], 0)


def test_large_logits_do_not_overflow():
    logits = np.array([[[1e4, 0.0, -1e4]]])
    loss, backward = losses.cross_entropy(logits, np.array([[0]]), np.array([[1.0]]))
    assert loss == 0
    loss, backward = losses.cross_entropy(logits, np.array([[2]]), np.array([[1.0]]))
    assert loss == 2e4
    np.testing.assert_array_equal(backward()[0, 0], [1, 0, -1])


def test_single_precision_stays_single(rng):
    logits, targets, weights = problem(rng)
    loss, backward = losses.cross_entropy(logits.astype(np.float32), targets, weights)
    assert loss.dtype == backward().dtype == np.float32


def test_what_would_be_wrong_in_silence_is_refused(rng):
    logits, targets, weights = problem(rng)
    with pytest.raises(ValueError, match=r"cross_entropy: targets from 1000 to .*; expected 0\.\.4"):
        losses.cross_entropy(logits, targets + 1000, weights)
    for target in (5, -1):
        with pytest.raises(ValueError, match=r"cross_entropy: targets from .*; expected 0\.\.4"):
            losses.cross_entropy(logits, np.full_like(targets, target), weights)
    with pytest.raises(ValueError, match=r"weights is float64 \(2, 1\); expected .*\(2, 7\)"):
        losses.cross_entropy(logits, targets, weights[:, :1])
    with pytest.raises(ValueError, match=r"targets is float64 \(2, 7\); expected .* integers"):
        losses.cross_entropy(logits, targets.astype(float), weights)


# ---- squared error


def vectors(rng):
    return 3 * draw(rng, 2, 7, 5), draw(rng, 2, 7, 5), rng.integers(0, 3, (2, 7)).astype(float)


def test_squared_error_is_the_weighted_mean_of_the_squared_distance(rng):
    y, targets, weights = vectors(rng)
    loss, _ = losses.squared_error(y, targets, weights)
    expected = np.average((np.linalg.norm(y - targets, axis=-1) ** 2).reshape(-1), weights=weights.reshape(-1))
    assert loss == pytest.approx(expected, rel=1e-13)


def test_the_gradient_of_squared_error(rng):
    y, targets, weights = vectors(rng)

    def f(y):
        return losses.squared_error(y, targets, weights)

    gradcheck(f, y)
    expected = 2 * weights[..., None] * (y - targets) / weights.sum()
    np.testing.assert_allclose(f(y)[1](), expected, rtol=1e-13, atol=0)
    np.testing.assert_allclose(f(y)[1](2.0), 2 * f(y)[1](), rtol=1e-14)
    np.testing.assert_array_equal(f(y)[1]()[weights == 0], 0)


def test_squared_error_stays_single_and_refuses_what_would_broadcast(rng):
    y, targets, weights = vectors(rng)
    loss, backward = losses.squared_error(y.astype(np.float32), targets, weights)
    assert loss.dtype == backward().dtype == np.float32
    for wrong in ((y, targets[..., :1], weights), (y, targets, weights[:, :1]), (y, targets.astype(int), weights)):
        with pytest.raises(ValueError, match=r"squared_error: (targets|weights) is .*; expected .*\(2, 7"):
            losses.squared_error(*wrong)


# ---- the fast path


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_fast_path_has_the_bits_of_the_reference_body(dtype, rng):
    logits, targets, weights = problem(rng)
    logits, targets = logits.astype(dtype), targets.astype(np.uint8)
    logits[0, 0, 3], logits[weights == 0] = -np.inf, np.nan
    with reference():
        expected, back_expected = losses.cross_entropy(logits, targets, weights)
    loss, backward = losses.cross_entropy(logits, targets, weights)
    assert loss == expected
    for _ in range(2):
        np.testing.assert_array_equal(backward(), back_expected())
    np.testing.assert_allclose(backward(3.0), back_expected(3.0), rtol=1e-6)
    assert backward().dtype == backward(3.0).dtype == loss.dtype == dtype
