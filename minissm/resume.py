"""The checkpoint of a training: what it holds, and whether a training may go on from it.

A file has the settings of the training (`plan`), digests of its initial parameters and generator (`began`), what else
may change the bits (`surroundings`), and the state. Other settings, parameters or seeds are refused; other surroundings
are a note in the log. `plan` and `now` are the Plan and the TrainState of train.py.
"""

import importlib
import inspect
from contextlib import suppress
from typing import Any

import numpy as np

from . import fast, optim, tree
from .backend import like, namespace, to
from .checkpoint import load_tree, save_tree
from .fast.parallel import blas

Array = Any


def digest(now: Any) -> dict[str, str]:
    """SHA-256 of the parameters that `fit` returns and of the state of the generator that draws the batches."""
    generator = sorted((name, str(np.asarray(leaf).tolist())) for name, leaf in tree.named(now.rng))
    dtypes = [str(a.dtype).split(".")[-1] for a in tree.leaves(now.kept)]
    mixture = repr(dtypes).encode() * (len(set(dtypes)) > 1)
    parts = {"params": to(tree.flatten(now.kept), "numpy").tobytes() + mixture, "rng": repr(generator).encode()}
    return {name: _sha256(text) for name, text in parts.items()}


def surroundings(plan: Any, flat: Array) -> dict[str, str]:
    """What may change the bits and is no setting: a training goes on elsewhere, with a note."""
    from . import __version__

    libraries = [i for i in blas().info() if i["user_api"] == "blas"]
    kernels = [f"{i['internal_api']} {i['version']} {i.get('architecture', '')}" for i in libraries]
    parts = [part for block in plan.net.blocks for part in (block, *getattr(block, "__dict__", {}).values())]
    return {
        "threads": str(max((i["num_threads"] for i in libraries), default=0)),
        "backend": namespace(flat).__name__.split(".")[-1],
        "fast paths": "off" if fast.path("linear", flat) is None else "on",
        "minissm": __version__,
        "NumPy": np.__version__,
        "SciPy": importlib.import_module("scipy").__version__,
        "BLAS": ", ".join(dict.fromkeys(kernels)),
        "vector instructions": str(np.show_config(mode="dicts").get("SIMD Extensions", {}).get("found")),
        "code of your own": source_digest([plan.task.loss, *map(type, [plan.task, plan.validate, *parts])]),
    }


def source_digest(values: list) -> str:
    """A digest of the source of functions and of the methods of classes, without Python's and ours."""
    functions = {f for v in values for f in (v, *getattr(v, "__dict__", {}).values()) if inspect.isfunction(f)}
    sources = set()
    for function in functions:
        if str(function.__module__).split(".")[0] != __package__:  # None: from exec
            with suppress(Exception):  # written by @dataclass, or Python has no source, or can't read it
                sources.add(inspect.getsource(function))
    return _sha256("".join(sorted(sources)).encode())[:12]


def _sha256(text: bytes) -> str:
    return importlib.import_module("hashlib").sha256(text).hexdigest()


def write_checkpoint(path: str, plan: Any, began: dict, here: dict, now: Any) -> str:
    """Write the settings, `began` (the digest of the initial state), `here` (the surroundings) and the state.

    -> the reason if the file can't be written, else "".
    """
    state = now._asdict() | {"adamw": now.adamw._asdict(), "params": None}  # params are views of flat
    try:
        save_tree(path, {"plan": plan.settings(), "began": began, "surroundings": here, "state": state})
    except OSError as error:
        return f"the checkpoint was not written after step {now.done}: {error}"
    return ""


def read_checkpoint(path: str, plan: Any, initial: Any, here: dict) -> tuple[Any, dict]:
    """-> the state in the file and the digest of its initial state; ValueError for a file of another training.

    The state has a note more where the surroundings in the file are not `here`.
    """
    content = load_tree(path, "delete it to train anew")
    if not isinstance(content, dict) or content.keys() - {"surroundings"} != {"plan", "began", "state"}:
        raise ValueError(f"fit: {path} holds no training; give another name for the checkpoint")
    before = {"validate": None, "keep": "last", "until": None} | content["plan"]  # 0.5 had none of them
    for setting, value in plan.settings().items():
        if (stored := before.get(setting, value)) != value:
            clash = f"{path} holds a training with {setting}={stored}; {setting}={value} was given"
            raise ValueError(f"fit: {clash}; give the stored setting, or another checkpoint")
    state = tree.map(lambda a: like(a, initial.flat) if isinstance(a, np.ndarray) else a, content["state"])
    state |= {"adamw": optim.AdamWState(**state["adamw"]), "params": tree.unflatten(initial.params, state["flat"])}
    state |= {name: content["state"][name] for name in ("rng", "eval_rng")}
    state |= {name: tuple(state.get(name, ())) for name in ("rows", "losses", "notes")}
    now, there = initial._replace(**state), content.get("surroundings", {"minissm": "0.5.0"})  # which stored none
    changed = [f"{n} {there[n]}, now {v}" for n, v in here.items() if there.get(n, v) != v]
    if changed and not plan.ended(now) and not now.stopped:
        note = f"the first {now.done} steps of {path} had {'; '.join(changed)}: the result may differ"
        now = now._replace(notes=(*now.notes, note))
    last, start = digest(now), digest(initial)
    for part, what in (("params", "other parameters"), ("rng", "another seed")):
        if start[part] not in (content["began"][part], last[part]):
            clash = f"{path} holds a training that began with {what}"
            raise ValueError(f"fit: {clash}; give what it began with, another checkpoint, or delete it to train anew")
    return now, content["began"]
