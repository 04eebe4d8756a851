"""The edges: what users trip over, one case a line: (name, call, expected). A report of a new one goes here.

expected is a value (a number, an array or a tree of them; dtypes and nan are compared too), or `refused("text")`: then
the call raises ValueError or TypeError, in one sentence that contains the text.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minissm as ms
from minissm import train
from minissm.fast.parallel import threads


class refused(str):  # noqa: N801
    """A part of the sentence in which the call is refused."""


def f4(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def f8(*values: float) -> np.ndarray:
    return np.array(values, np.float64)


Case = tuple[str, Callable[[], Any], Any]

# ---- huge and tiny numbers, masks, long memories

NUMBERS: list[Case] = []

# ---- shapes, dtypes, ranges

ARGUMENTS: list[Case] = []

# ---- options of a training and its surroundings


class Untouched(ms.tasks.Recall):
    """A task that fails where work begins."""

    def batch(self, *_: Any) -> Any:  # type: ignore[override]
        raise AssertionError("a batch was drawn")


def fit(**options: Any) -> Any:
    net, rng = ms.Model("ssm", vocab=Untouched().vocab, width=2), np.random.default_rng(0)
    given = {"net": net, "params": net.init(rng), "task": Untouched(), "steps": 1, "rng": rng, "progress": False}
    return ms.fit(**given | options)


def evaluate(**options: Any) -> Any:
    net, rng = ms.Model("ssm", vocab=Untouched().vocab, width=2), np.random.default_rng(0)
    return ms.evaluate(**{"net": net, "params": net.init(rng), "task": Untouched(), "rng": rng} | options)


def step(**options: Any) -> Any:
    task, rng = ms.tasks.Recall(), np.random.default_rng(0)
    net = ms.Model("ssm", vocab=task.vocab, width=2)
    given = {"net": net, "params": net.init(rng), "batch": task.batch(rng, 2), "adamw": None, "lr": 0.1}
    return train.step(**given | options)


def wrong(f: Callable, who: str, **values: Any) -> list[Case]:
    """Each value of each option is refused in a sentence that names the option."""
    return [
        (f"{who}({name}={value!r:.20})", lambda n=name, v=value: f(**{n: v}), refused(f"{who}: {name}"))
        for name, group in values.items()
        for value in group
    ]


NAN, INF = float("nan"), float("inf")
OPTIONS: list[Case] = [
    *wrong(fit, "fit", steps=(0, 1.5, "3", None), batch=(0, True), evals=(0, INF), threads=(0, -1, 2.5, "all", True)),
    *wrong(fit, "fit", clip=(0, -1, NAN, None, "x", True), lr=(0, -1, NAN, INF, None, "x", True, 10**400, 1j)),
    *wrong(fit, "fit", every=(-1, NAN, None), progress=(2, None), rng=(0, None, np.random.RandomState(0))),
    *wrong(fit, "fit", net=(None, "ssm"), task=("recall", None)),
    *wrong(evaluate, "evaluate", n=(0, 2.5, None, NAN), rng=(0, None, np.random.RandomState(0)), task=(None,)),
    *wrong(step, "step", clip=(0, -1, NAN, None, "x"), lr=(-1, NAN, INF, None, "x")),
    ("step(mode)", lambda: step(mode="x"), refused("unknown mode 'x'")),
    ("step(loss)", lambda: step(loss="x"), refused("expected a Model, and a function of y, targets, weights")),
    ("step(net)", lambda: step(net="ssm"), refused("train: net='ssm'")),
    ("step(adamw)", lambda: step(adamw=3), refused("step: adamw is int; expected the state of the step before")),
    ("step(params)", lambda: step(params=None), refused("Model: parameters with")),
    ("fit(on_step)", lambda: fit(on_step=3), refused("expected a bool, and a function or None")),
    ("fit(checkpoint=3)", lambda: fit(checkpoint=3), refused("fit: the name of a file is int")),
    ("fit(mode)", lambda: fit(mode="x"), refused("fit: unknown mode 'x'")),
    ("fit(params)", lambda: fit(params=[]), refused("Model: parameters with")),
    ("evaluate(mode)", lambda: evaluate(mode=None), refused("evaluate: unknown mode None")),
    ("evaluate(params)", lambda: evaluate(params={}), refused("Model: parameters with")),
    (
        "threads(0)",
        lambda: threads(0).__enter__(),
        refused("threads: limit=0; expected an integer, 1 or more, or None"),
    ),
]

# ---- files, streams, memory

FILES: list[Case] = []


def same(given: Any, expected: Any) -> None:
    """Equal to six digits in single precision, to twelve in double, with the dtypes of arrays."""
    given, expected = (list(ms.tree.named(tree)) for tree in (given, expected))
    assert [name for name, _ in given] == [name for name, _ in expected]
    for (name, a), (_, b) in zip(given, expected, strict=True):
        if isinstance(b, np.ndarray):
            assert a.dtype == b.dtype, name
        if a is None or b is None or isinstance(b, str | bool):
            assert a == b, name
        else:
            single = np.asarray(a).dtype in (np.float32, np.complex64)
            np.testing.assert_allclose(a, b, rtol=1e-6 if single else 1e-12, atol=0, err_msg=name)


@pytest.mark.parametrize(
    ("call", "expected"),
    [pytest.param(call, expected, id=name) for name, call, expected in [*NUMBERS, *ARGUMENTS, *OPTIONS, *FILES]],
)
def test_an_edge(call: Callable[[], Any], expected: Any) -> None:
    if not isinstance(expected, refused):
        same(call(), expected)
        return
    with pytest.raises((ValueError, TypeError)) as error:
        call()
    sentence = str(error.value)
    assert expected in sentence, sentence
    assert "\n" not in sentence, sentence
    assert len(sentence) <= 300, sentence
