"""The settings of a comparison, and the runs that follow from them.

A sweep is data: `vary` maps the name of a setting to its values. A cell of the sweep is the same Config with one value
for each varied setting. Only settings that a model has are varied, so a model without the block is trained once.
"""

import ast
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np

from .. import calls, tasks
from ..backend import cupy, to
from ..checks import choice, flag, integer, number
from ..evaluate import inputs_of
from ..layers import NORMS
from ..model import DTYPES, TIMESCALES, Model
from ..scan import check_mode
from ..spec import DEPTH, parse, spell
from ..train import BATCH, CLIP, LR
from . import plugin
from .budget import at_budget, model_for
from .job import Job

MODELS = ("ssm", "ssm + fnn1", "ssm + fnn1 + ssm + fnn1", "attn + attn", "attn + fnn1 + attn + fnn1")
PROFILES: dict[str, dict] = {
    "quick": {"seeds": 3, "steps": 1500, "lrs": (LR,)},
    "full": {"seeds": 5, "steps": 4000, "lrs": (LR / 2, LR, 2 * LR)},
}
BUDGET = 30_000
LARGEST = 300_000_000  # numbers in an array of a run
RUNS = 100_000  # of a comparison
OF_MODEL = ("norm", "residual", "timescales", "width")  # what a model may fix for itself: Model("ssm", norm="rms")
OF_CONFIG = ("steps", "batch", "clip", "budget", *OF_MODEL)  # what `vary` replaces in the config


@dataclass(frozen=True)
class Config:
    """The settings of a comparison.

    task: a spec, like "recall(pairs=8)". A task with an option `seed` is drawn anew for each seed.
    models: specs, or models with options of their own, like 'Model("ssm + fnn1", norm="rms")'.
    seeds: number of seeds, counted from 0.
    steps: training steps of each run.
    lrs: learning rates. Each model is trained with each of them.
    budget: number of parameters of each model, if width is None.
    width: one width for all models, in place of a budget.
    batch, clip, until: options of the training, as in `fit`.
    norm, residual, timescales: options of all models, as in `Model`.
    vary: settings with several values, by name: a field of the task ("pairs"), one of OF_CONFIG, or an option of all
        blocks with one name ("ssm.poles", "fnn.depth"). "lr" is another name for lrs. All combinations are run.
    tests: specs of more tasks to test each trained model on.
    mode: mode of the filters.
    backend: "numpy" or "cupy".
    dtype: dtype of the parameters.
    plugin: a Python file that registers blocks, filters and tasks.
    plugin_sha256: the SHA-256 that the file must have. None: the SHA-256 of the file as it is.
    """

    task: str
    models: tuple[str, ...] = MODELS
    seeds: int = 3
    steps: int = 1500
    lrs: tuple[float, ...] = (LR,)
    budget: int = BUDGET
    width: int | None = None
    batch: int = BATCH
    clip: float = CLIP
    norm: str = "none"
    residual: bool = True
    timescales: str = "graded"
    vary: Mapping[str, tuple] = field(default_factory=dict)
    tests: tuple[str, ...] = ()
    mode: str = "auto"
    backend: str = "numpy"
    dtype: str = "float32"
    plugin: str | None = None
    plugin_sha256: str | None = None
    until: float | None = None

    def __post_init__(self) -> None:
        if self.plugin is not None:
            object.__setattr__(self, "plugin_sha256", plugin.load(self.plugin, self.plugin_sha256))
        object.__setattr__(self, "task", tasks.parse(self.task).spec)
        object.__setattr__(self, "tests", tuple(tasks.parse(test).spec for test in self.tests))
        object.__setattr__(self, "models", tuple(label(text) for text in self.models))
        vary = {name: tuple(_plain(v) for v in values) for name, values in self.vary.items()}
        object.__setattr__(self, "lrs", tuple(vary.pop("lr", self.lrs)))
        object.__setattr__(self, "vary", vary)
        choice(self, "run", "dtype", DTYPES)
        choice(self, "run", "norm", NORMS)
        choice(self, "run", "timescales", TIMESCALES)
        flag(self, "run", "residual")
        for name in ("seeds", "steps", "budget", "batch"):
            integer(self, "run", name, minimum=1)
        integer(self, "run", "width", minimum=1, optional=True)
        number(self, "run", "clip", "a number above 0, to 1e30", lambda v: 0 < v <= 1e30)
        if self.until is not None:
            number(self, "run", "until", "a score, or None", math.isfinite)
        for model in self.models:
            if self.models.count(model) > 1:
                raise ValueError(f"run: the model {model!r} is given twice; give it once")
        if not self.models or not self.lrs:
            raise ValueError("run: expected at least one model and one learning rate; leave them out for the defaults")
        numbers = all(isinstance(lr, int | float | np.floating) for lr in self.lrs)
        if not numbers or not all(0 < lr <= 1e30 for lr in self.lrs) or len(set(self.lrs)) < len(self.lrs):
            given = ", ".join(f"{lr:g}" if isinstance(lr, float) else str(lr) for lr in self.lrs)
            raise ValueError(f"run: lr={given}; expected different numbers above 0, to 1e30")
        object.__setattr__(self, "lrs", tuple(float(lr) for lr in self.lrs))
        check_mode("run", self.mode)
        if self.backend == "cupy":
            cupy()
        elif self.backend != "numpy":
            raise ValueError(f"run: backend={self.backend!r}; expected numpy or cupy")
        if {"width", "budget"} <= self.vary.keys():
            raise ValueError("run: vary: both width and budget given; a width replaces the budget, vary one of them")
        for name, values in self.vary.items():
            self._check_varied(name, values)
        if self.seeds * len(self.lrs) * len(self.models) * math.prod(map(len, self.vary.values())) > RUNS:
            raise ValueError(f"run: seeds={self.seeds}; that is more than {RUNS:,} runs, give fewer")

    def _check_varied(self, name: str, values: tuple) -> None:
        """ValueError for an unknown name, for no values, and for equal values."""
        options = calls.options_of(type(tasks.parse(self.task)))
        blocks = {block for model in self.models for block in _blocks(model)}
        if name not in (*OF_CONFIG, *options) and not ("." in name and name.split(".")[0] in blocks):
            known = f"one of {', '.join(('lr', *OF_CONFIG, *options))}, or an option of a block, like ssm.poles"
            raise ValueError(f"run: vary: unknown name {calls.shorten(name)}; expected {known}")
        plain = all(isinstance(v, bool | int | float | str | tuple | None) and v == v for v in values)
        if not values or not plain or any(values.count(value) > 1 for value in values):
            given = ",".join(map(str, values)) or "no value"
            raise ValueError(f"run: vary: {name}={given}; expected different numbers, words or tuples")

    def cells(self) -> Iterator[tuple[str, dict, "Config"]]:
        """The combinations of the varied settings, model by model.

        -> the model as it was given, its varied settings, and the config of this cell, with an empty `vary`.
        """
        for model in self.models:
            names = [name for name in self.vary if _meets(model, name)]
            for values in product(*(self.vary[name] for name in names)):
                vary = dict(zip(names, values, strict=True))
                own = {name: value for name, value in vary.items() if name in OF_CONFIG}
                of_task = {n: v for n, v in vary.items() if n not in OF_CONFIG and "." not in n}
                if "budget" in own:
                    own.setdefault("width", None)
                yield (
                    model,
                    vary,
                    replace(
                        self,
                        models=(_with_options(model, {n: v for n, v in vary.items() if "." in n}),),
                        task=_with(self.task, of_task),
                        vary={},
                        **own,
                    ),
                )

    def net(self, model: str) -> Model:
        """The model in the size that is trained. First it runs on one sequence of the task and of each test."""
        spec, options = read_model(model)
        task, *tests = (tasks.parse(spec) for spec in (self.task, *self.tests))
        for test in tests:
            if test.sizes != task.sizes:
                sizes = [", ".join(f"{n} {v}" for n, v in t.sizes.items()) for t in (test, task)]
                clash = f"the test {test.spec} has {sizes[0]}, but {task.spec} has {sizes[1]}"
                raise ValueError(f"run: {clash}; give their options so that these agree")
        shared = {name: getattr(self, name) for name in ("norm", "residual", "timescales", "dtype")}
        width = options.pop("width", self.width)
        shared |= options | {"length": max(t.length for t in (task, *tests))}
        if width is not None:
            net = model_for(spec, task, width, **shared)
        else:
            net = at_budget(spec, task, self.budget, **shared)
        numbers = net.size, self.batch * task.length * net.width, self.batch * net.state_size(task.length)
        if max(numbers) > LARGEST:  # before any of them is drawn
            given = "{:,} parameters, {:,} numbers a layer and {:,} in the states of a batch".format(*numbers)
            raise ValueError(
                f"run: {calls.shorten(spec)} has {given}; expected {LARGEST:,} at most, give smaller sizes"
            )
        params = to(net.init(np.random.default_rng(0)), self.backend)
        for t in (task, *tests):
            net(params, inputs_of(t.batch(np.random.default_rng(0), 1), params), self.mode)
        return net

    def work(self) -> list[Job]:
        """All runs, in the order of their rows."""
        same = {name: getattr(self, name) for name in ("mode", "backend", "plugin", "plugin_sha256", "until")}
        cells = [(model, vary, cell, repr(cell.net(cell.models[0]))) for model, vary, cell in self.cells()]
        return [
            Job(
                task=cell.task,
                model=model,
                vary=json.loads(json.dumps(vary, allow_nan=False)),
                seed=seed,
                lr=lr,
                net=net,
                **{name: getattr(cell, name) for name in ("steps", "batch", "clip")},
                tests=list(self.tests),
                **same,
            )
            for seed in range(self.seeds)
            for lr in self.lrs
            for model, vary, cell, net in cells
        ]


def config_of(task: str, profile: str | None = None, **options: Any) -> Config:
    """The config of a command. The profile, the task's recipe and the options replace defaults, in this order.

    profile: a key of PROFILES. Default "quick".
    options: fields of Config. A budget also replaces a width of the recipe.
    """
    if options.get("plugin") is not None:
        plugin.load(options["plugin"])
    settings = settings_of(task, profile)
    if "budget" in options:
        settings.pop("width", None)
    return Config(task, **settings | options)


def settings_of(task: str, profile: str | None = None) -> dict[str, Any]:
    """The settings of the profile. The task's recipe replaces some of them."""
    if profile not in (None, *PROFILES):
        raise ValueError(f"run: unknown profile {profile!r}; expected one of {', '.join(PROFILES)}")
    return PROFILES[profile or "quick"] | dict(tasks.parse(task).recipe)


def read_vary(text: str) -> tuple[str, tuple]:
    """A sweep as the command line spells it: "pairs=2, (1, 8)" -> "pairs", (2, (1, 8)). A bare word is a string."""
    name, _, values = text.partition("=")
    try:
        node = calls.expression(f"({values},)", "", "")
        if not isinstance(node, ast.Tuple):
            raise ValueError
        return name.strip(), tuple(v.id if isinstance(v, ast.Name) else ast.literal_eval(v) for v in node.elts)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        expected = "NAME=VALUE,VALUE,... like pairs=2,4,8"
        raise ValueError(f"run: vary: can't read {calls.shorten(text)}; expected {expected}") from None


def read_model(text: str) -> tuple[str, dict]:
    """'ssm + fnn1' or 'Model("ssm + fnn1", norm="rms")' -> the canonical spec, and the options given."""
    if not isinstance(text, str) or not text.lstrip().startswith("Model("):
        return spell(parse(text)), {}
    expected = f'Model("ssm + fnn1", option=value), with options from {", ".join(OF_MODEL)}'
    _, arguments, options = calls.read(calls.expression(text, "run", expected), text, "run", expected)
    if len(arguments) != 1 or not isinstance(arguments[0], str):
        raise ValueError(f"run: can't read {calls.shorten(text)}; expected {expected}")
    calls.check_options("Model", options, list(OF_MODEL))
    return spell(parse(arguments[0])), {name: options[name] for name in OF_MODEL if name in options}


def label(text: str) -> str:
    """The model in its canonical spelling, as in its rows."""
    spec, options = read_model(text)
    return _labelled(spec, options)


def _labelled(spec: str, options: dict) -> str:
    quoted = repr(spec) if '"' in spec else f'"{spec}"'
    more = (f'{name}="{v}"' if isinstance(v, str) else f"{name}={v}" for name, v in options.items())
    return f"Model({', '.join([quoted, *more])})" if options else spec


def _terms(spec: str) -> list[tuple[str, dict]]:
    """The blocks of a spec as (name, options)."""
    return [calls.read(term, spec, "Model", "blocks")[::2] for term in calls.terms(calls.expression(spec, "Model", ""))]


def _blocks(model: str) -> set[str]:
    """The names of the model's blocks. An FNN of any depth is "fnn"."""
    return {"fnn" if DEPTH.fullmatch(name) else name for name, _ in _terms(read_model(model)[0])}


def _meets(model: str, name: str) -> bool:
    """True if the varied setting changes the model or its training."""
    own = read_model(model)[1]
    if "." in name:
        return name.split(".")[0] in _blocks(model)
    return name not in own and not (name == "budget" and "width" in own)


def _with_options(model: str, options: dict[str, Any]) -> str:
    """The model with options like {"ssm.poles": 4} in all its blocks of that name."""
    spec, own = read_model(model)
    terms = []
    for name, given in _terms(spec):
        kind = "fnn" if DEPTH.fullmatch(name) else name
        mine = {key.split(".", 1)[1]: value for key, value in options.items() if key.split(".")[0] == kind}
        if kind == "fnn" and "depth" in mine:
            name = f"fnn{mine.pop('depth')}"
        terms.append(calls.spell(name, given | mine))
    return _labelled(spell(parse(" + ".join(terms))), own)


def _with(task: str, options: dict[str, Any]) -> str:
    """The spec of the task with these options."""
    if not options:
        return task
    name, _, given = calls.read(calls.expression(task, "task", ""), task, "task", "a call like recall(pairs=8)")
    return tasks.parse(calls.spell(name, given | options)).spec


def _plain(value: Any) -> Any:
    """As call syntax has it: tuples for the lists of JSON, Python's numbers for NumPy's."""
    if isinstance(value, list | tuple):
        return tuple(_plain(v) for v in value)
    return value.item() if hasattr(value, "item") else value
