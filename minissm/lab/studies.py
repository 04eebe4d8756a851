"""Studies: the comparisons with rows in docs/results. A study is data: the options of one `minissm run` command.

for name in STUDIES:
    print(command(name))                # the command; its rows are docs/results/NAME.jsonl
"""

import re
from typing import Any, NamedTuple

from ..tasks import Regression
from .config import Config, config_of, read_vary

SSM, ATTN, S6, LSTM = "ssm + fnn1 + ssm + fnn1", "attn + fnn1 + attn + fnn1", "s6 + fnn1 + s6 + fnn1", "lstm"
TRIG = "trig(window=3) + fnn1 + trig(window=32) + fnn1"
FIR = "fir(window=3) + fnn1 + fir(window=32) + fnn1"
ONE = "ssm + fnn1"
ATTN_NO_POSITIONS = 'attn(positions="none") + fnn1 + attn(positions="none") + fnn1'
BETWEEN = "ssm(poles=1) + fnn1(expand=8) + ssm(poles=1, dt=(0.001, 0.01)) + fnn1(expand=2)"
LAYERS = (TRIG, FIR, S6, LSTM)
MIXERS = ("attn + fnn1", "fir + fnn1", "s6 + fnn1", "ssm + ssm + fnn1")
FNNS = (  # depth and place of the FNNs; "recall" has depth 1 after each mixer
    *(f"{m} + fnn{depth} + {m} + fnn{depth}" for m, depth in (("ssm", 0), ("ssm", 2), ("ssm", 3), ("attn", 2))),
    *("fnn1 + ssm + ssm", "ssm + fnn1 + ssm", "ssm + ssm + fnn1", "fnn1 + ssm + ssm + fnn1"),
    *("fnn1 + attn + attn", "attn + fnn1 + attn"),
)
TASKS = (SSM, ONE, ATTN)
REGRESSION = tuple(Regression.recipe["models"])  # two to compare, a third that selects, and two that can't
TWO = "regression(a=(0.5, 1), levels=10, b=(3, 6))"  # with fewer levels, the larger samples have all of both functions
SMOOTHNESS = tuple(f"{TWO[:-1]}, mark={mark})" for mark in (-1, 1))  # the rough one first
CLOSER = (  # what comes closer to attention than the first model of the recipe; a control with a norm, which divides
    REGRESSION[0].replace("fnn2", "fnn2(expand=6)", 1).replace(" fnn2", " fnn2(expand=3)"),
    'Model("fnn2 + s6 + fnn2 + s6 + fnn2", norm="rms")',
    'Model("fnn2 + ssm", norm="rms")',
)
GAPS = ("regression(gap=0.05)", "regression(gap=0.3)")  # hard and easy to select from; the function is the same


class Study(NamedTuple):
    """A comparison. An option that is () or None has the default of the command, or of the task's recipe.

    task: a task's spec.
    models: specs.
    vary: values of --vary, like "pairs=2,4,8".
    tests: specs of more tasks to test the trained models on.
    lr: value of --lr, like "4e-3,8e-3".
    seeds: number of seeds.
    steps: training steps of each run.
    """

    task: str
    models: tuple[str, ...] = ()
    vary: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    lr: str | None = None
    seeds: int | None = None
    steps: int | None = None

    @property
    def argv(self) -> list[str]:
        """The arguments of `minissm run`."""
        given: list[tuple[str, Any]] = [("models", "; ".join(self.models)), *[("vary", text) for text in self.vary]]
        given += [("test", "; ".join(self.tests)), ("lr", self.lr), ("seeds", self.seeds), ("steps", self.steps)]
        return [self.task, *[word for name, value in given if value for word in (f"--{name}", str(value))]]


STUDIES: dict[str, Study] = {
    "copying": Study("copying"),
    "recall": Study("recall"),
    "layers-copying": Study("copying", LAYERS),
    "layers-recall": Study("recall", LAYERS),
    "recall-rates": Study("recall", (SSM, TRIG, ATTN), lr="2e-3,4e-3,8e-3,1.6e-2,3.2e-2"),
    "recall-timescales": Study("recall", (SSM,), ("timescales=graded,equal,reversed",), lr="4e-3,8e-3,1.6e-2"),
    "recall-one-layer-long": Study("recall", (ONE,), lr="4e-3", steps=6000),
    "recall-mixers": Study("recall", MIXERS),
    "copying-mixers": Study("copying", MIXERS[:2]),
    "recall-fnns": Study("recall", FNNS, seeds=2),
    "recall-budget": Study("recall(pairs=8, values=8)", (SSM, ATTN), ("fnn.expand=1,4,16",), seeds=2),
    "recall-pairs": Study("recall(values=8)", (SSM, BETWEEN, ATTN), ("pairs=2,4,8",), steps=3000),
    "recall-pairs-16": Study("recall(pairs=16, values=16)", (BETWEEN, ATTN), steps=3000, seeds=2),
    "recall-poles": Study("recall(pairs=8, values=8)", (SSM,), ("ssm.poles=1,4,16",), seeds=2),
    "recall-vocabulary": Study("recall", (SSM,), ("values=6,14,30,62", "budget=7500,15000,30000,60000,120000")),
    "copying-length": Study(
        "copying",
        (SSM, ATTN, ATTN_NO_POSITIONS),
        seeds=2,
        tests=("copying(min_len=13, max_len=16)", "copying(min_len=17, max_len=24)"),
    ),
    "linear-copying": Study("copying", ("fir(window=24)", "ssm(poles=32)")),
    **{task: Study(task, TASKS) for task in ("selective_copying", "induction_heads", "mqar", "lookup")},
    "selection": Study("selection"),
    "regression": Study("regression", vary=("n=1024,4096,8192",), tests=GAPS),
    "regression-closer": Study("regression(n=8192)", CLOSER, tests=GAPS),
    "regression-two-smoothness": Study(TWO, REGRESSION[:2], ("n=1024,8192",), tests=SMOOTHNESS, seeds=2),
}


def config(name: str, **options: Any) -> Config:
    """The settings of the study. options: fields of Config that replace the study's."""
    study = STUDIES[name]
    given: dict[str, Any] = {
        "models": study.models,
        "vary": dict(read_vary(text) for text in study.vary),
        "tests": study.tests,
        "lrs": tuple(map(float, study.lr.split(","))) if study.lr else (),
        "seeds": study.seeds,
        "steps": study.steps,
    }
    return config_of(study.task, **{name: value for name, value in given.items() if value} | options)


def runs(name: str) -> int:
    """The number of runs of the study."""
    settings = config(name)
    return len(list(settings.cells())) * settings.seeds * len(settings.lrs)


def command(name: str) -> str:
    """The command of the study, for a shell."""
    return " ".join(["minissm run", *map(quoted, STUDIES[name].argv), "--out", f"runs/{name}"])


def quoted(text: str) -> str:
    """The text as one word of a shell. Double quotes where possible: Windows has no others."""
    if re.fullmatch(r"[\w.,=:/+-]+", text):
        return text
    return f"'{text}'" if '"' in text else f'"{text}"'
