"""Models on disk: one .npz with a leaf an array and the Model inside as text. Nothing in it is ever executed."""

import io
import os
from pathlib import Path

import numpy as np

from . import tree
from .backend import to
from .files import write_whole
from .model import Model

MODEL = "model"  # the entry with repr(net); the others are named after their leaves: params.blocks.0.w_in


def save(path: str | os.PathLike, net: Model, params: dict) -> None:
    """Write net and params to `path`, whole or not at all. Arrays of any backend; ValueError if they aren't net's."""
    net.sentence  # noqa: B018  (a block without a word can't be read back, and says so here)
    arrays = {f"params.{name}": leaf for name, leaf in tree.named(to(params, "numpy"))}
    _template(f"save: {os.fspath(path)}", net, arrays)
    buffer = io.BytesIO()
    np.savez(buffer, **{MODEL: np.array(repr(net)), **arrays})
    write_whole(path, lambda file: file.write(buffer.getbuffer()))


def load(path: str | os.PathLike) -> tuple[Model, dict]:
    """-> net, params (on NumPy). ValueError in one sentence for any file that `save` did not write whole."""
    who, found = f"load: {os.fspath(path)}", {}
    if not Path(path).is_file():
        raise FileNotFoundError(f"{who}: no such file; give the .npz that minissm.save wrote")
    try:
        with open(path, "rb") as handle, np.load(handle, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except Exception as error:  # of many types: zipfile, zlib, tokenize and NumPy each have their own
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise ValueError(f"{who} is not a whole checkpoint ({reason}); save it again") from None
    arrays = all(isinstance(entry, np.ndarray) for entry in found.values())
    if not arrays or MODEL not in found or found[MODEL].dtype.kind != "U" or found[MODEL].ndim:
        raise ValueError(f"{who} holds no minissm model; expected a file that minissm.save wrote")
    try:
        net = Model.read(str(found.pop(MODEL)))
    except (ValueError, TypeError, OverflowError, MemoryError) as error:
        raise ValueError(f"{who} holds no model of this minissm ({error}); save it again") from None
    template = _template(who, net, found)
    leaves = (found[f"params.{name}"] for name, _ in tree.named(template))
    return net, tree.map(lambda _: next(leaves), template)


def _template(who: str, net: Model, arrays: dict[str, np.ndarray]) -> dict:
    """Parameters of net, drawn anew; ValueError where the arrays have other names, shapes or dtypes."""
    held = sum(a.size for a in arrays.values())
    if net.size > 2 * held:  # before a model that is much too large for its file is drawn
        raise ValueError(f"{who}: {net!r} has {net.size} parameters, {held} given; save a model with its own")
    template = net.init(np.random.default_rng(0))
    expected = {f"params.{name}": leaf for name, leaf in tree.named(template)}
    for name in sorted(expected.keys() ^ arrays.keys()):
        state = "missing" if name in expected else "one too many"
        raise ValueError(f"{who}: the array {name} is {state} for {net!r}; save a model with its own parameters")
    for name, leaf in expected.items():
        if arrays[name].shape != leaf.shape or arrays[name].dtype != leaf.dtype:
            got = f"{arrays[name].dtype} {arrays[name].shape}"
            raise ValueError(
                f"{who}: the array {name} is {got}; {net!r} needs {leaf.dtype} {leaf.shape}; save a model with its own"
            )
    return template
