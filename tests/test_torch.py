"""torch as an outside oracle, where it is installed."""

import numpy as np
import pytest

from minissm import attention, layers, losses

from .oracles import draw

torch = pytest.importorskip("torch", reason="torch is not installed: values not compared with torch")
B, L, D = 2, 7, 4


def compare(ours, theirs, *inputs, rng):
    """Value and gradients of the inputs, in float64."""
    y, back = ours(*inputs)
    tensors = [torch.tensor(a, requires_grad=True) for a in inputs]
    expected = theirs(*tensors)
    dy = draw(rng, *np.shape(y))
    expected.backward(torch.tensor(dy))
    np.testing.assert_allclose(y, expected.detach().numpy(), atol=1e-12)
    gradients = back(dy)
    for g, t in zip(gradients if isinstance(gradients, tuple) else [gradients], tensors, strict=True):
        np.testing.assert_allclose(g, t.grad.numpy(), atol=1e-12)


def test_attention(rng):
    def theirs(q, k, v):
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)

    compare(attention, theirs, *(draw(rng, B, 3, L, D) for _ in range(3)), rng=rng)


def test_gelu(rng):
    compare(layers.gelu, lambda x: torch.nn.functional.gelu(x, approximate="tanh"), draw(rng, B, L, D), rng=rng)


def test_norms(rng):
    def layer(g, b, x):
        y, back = layers.layer_norm({"g": g, "b": b}, x)
        return y, lambda dy: (back(dy)[0]["g"], back(dy)[0]["b"], back(dy)[1])

    def rms(g, x):
        y, back = layers.rms_norm({"g": g}, x)
        return y, lambda dy: (back(dy)[0]["g"], back(dy)[1])

    f = torch.nn.functional
    g, b, x = draw(rng, D), draw(rng, D), draw(rng, B, L, D)
    compare(layer, lambda g, b, x: f.layer_norm(x, (D,), g, b, eps=1e-5), g, b, x, rng=rng)
    compare(rms, lambda g, x: f.rms_norm(x, (D,), g, eps=1e-6), g, x, rng=rng)


def test_cross_entropy(rng):
    targets, weights = rng.integers(0, D, (B, L)), rng.integers(0, 2, (B, L)).astype(float)

    def theirs(z):
        each = torch.nn.functional.cross_entropy(z.reshape(-1, D), torch.tensor(targets.reshape(-1)), reduction="none")
        w = torch.tensor(weights.reshape(-1))
        return (each * w).sum() / w.sum()

    compare(lambda z: losses.cross_entropy(z, targets, weights), theirs, draw(rng, B, L, D), rng=rng)
