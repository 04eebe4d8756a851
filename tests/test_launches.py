"""A training step has as many kernels, fills and copies as docs/gpu.md states: each costs microseconds."""

import re
from pathlib import Path

import numpy as np
import pytest

from minissm import Model, tasks, train

from .launches import XP, launches, there

PAGE = Path(__file__).parent.parent / "docs" / "gpu.md"
STATED = dict(re.findall(r"^\| `(.+?)` \| (\d+) launches \|$", PAGE.read_text(), re.M))


@pytest.mark.parametrize("mixer", ["ssm", "attn"])
def test_a_training_step_makes_as_many_launches_as_stated(mixer, monkeypatch):
    """At 64 x 25 tokens, from the second step on. The step also reads no number."""
    task, spec, rng = tasks.Copying(), f"{mixer} + fnn1 + {mixer} + fnn1", np.random.default_rng(0)
    net = Model(spec, vocab=task.vocab)
    batch, state = task.batch(rng, 64), [there(net.init(rng)), None, None]
    assert batch.inputs.shape == (64, 25)

    def step():
        state[:] = train.step(net, state[0], batch, state[1], 1e-3)

    first, count = launches(monkeypatch, step), launches(monkeypatch, step)
    assert first >= count
    stated = int(STATED[spec])
    assert abs(count - stated) <= stated / 10, (
        f"a training step of {spec} makes {count} launches, docs/gpu.md states {stated}: "
        "find the launches that the change adds to a step; if they are worth it, state the new count there"
    )


@pytest.mark.parametrize(
    ("expected", "f"),
    [
        (1, lambda a: a + 1),
        (1, lambda a: 1 / a),
        (1, lambda a: a @ a.T),
        (1, lambda a: a.__iadd__(1)),
        (1, lambda a: a.__setitem__((slice(None), 0), 0)),
        (1, lambda a: XP.sum(a, axis=0)),
        (1, lambda a: XP.zeros_like(a)),
        (1, lambda a: XP.asarray(np.ones(3))),
        (1, lambda a: XP.astype(a, a.dtype)),
        (1, lambda a: XP.reshape(a.T, (-1,))),
        (3, lambda a: XP.concat([a, a, a])),
        (1, lambda a: XP.concat([a] * 9)),
        (0, lambda a: a.T[1:, None, ...]),
        (0, lambda a: XP.reshape(a, (-1,))),
        (0, lambda a: XP.astype(a, a.dtype, copy=False)),
        (0, lambda a: XP.empty_like(a)),
        (0, lambda a: XP.isdtype(a.dtype, "integral")),
    ],
)
def test_calls_count_and_views_do_not(expected, f, monkeypatch):
    a = there(np.ones((2, 3)))
    assert launches(monkeypatch, lambda: f(a)) == expected


@pytest.mark.parametrize("read", [float, bool, np.asarray, list])
def test_reading_a_number_is_refused(read):
    with pytest.raises(AssertionError, match="would make a GPU wait"):
        read(there(np.ones(1)))
