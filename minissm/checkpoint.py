"""Models on disk: one .npz with a leaf an array and the Model inside as text. Nothing in it is ever executed."""

import os
import zipfile
from pathlib import Path

import numpy as np

from . import tree
from .backend import to
from .files import write_whole
from .model import Model

MODEL = "model"  # the entry with repr(net); the others are named after their leaves: params.blocks.0.w_in


def save(path: str | os.PathLike, net: Model, params: dict) -> None:
    """Write net and params to `path`, whole or not at all. Arrays come from any backend; their dtype is kept."""
    net.sentence  # noqa: B018  (a block without a word can't be read back, and says so here)
    arrays = {f"params.{name}": leaf for name, leaf in tree.named(to(params, "numpy"))}
    write_whole(path, lambda file: np.savez(file, allow_pickle=False, **{MODEL: np.array(repr(net))}, **arrays))


def load(path: str | os.PathLike) -> tuple[Model, dict]:
    """-> net, params (on NumPy). ValueError in one sentence for any file that `save` did not write whole."""
    who, found = f"load: {os.fspath(path)}", {}
    if not Path(path).is_file():
        raise FileNotFoundError(f"{who}: no such file; give the .npz that minissm.save wrote")
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except (
        OSError,
        EOFError,
        ValueError,
        TypeError,
        KeyError,
        NotImplementedError,
        zipfile.BadZipFile,
        zipfile.error,
    ) as error:
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise ValueError(f"{who} is not a whole checkpoint ({reason}); save it again") from None
    if MODEL not in found or found[MODEL].dtype.kind != "U" or found[MODEL].ndim:
        raise ValueError(f"{who} holds no minissm model; expected a file that minissm.save wrote")
    net = Model.read(str(found.pop(MODEL)))
    template = net.init(np.random.default_rng(0))
    expected = {f"params.{name}": leaf for name, leaf in tree.named(template)}
    for name in sorted(expected.keys() ^ found.keys()):
        raise ValueError(
            f"{who}: the array {name} is {'missing' if name in expected else 'not part of ' + repr(net)}; save it again"
        )
    for name, leaf in expected.items():
        if found[name].shape != leaf.shape or found[name].dtype != leaf.dtype:
            got = f"{found[name].dtype} {found[name].shape}"
            raise ValueError(
                f"{who}: the array {name} is {got}; {net!r} needs {leaf.dtype} {leaf.shape}; save it again"
            )
    names = iter(expected)
    return net, tree.map(lambda _: found[next(names)], template)
