"""Models, states and trainings on disk: an .npz with one array for each leaf. Loading a file executes nothing in it.

The file also holds `layout`, the tree as JSON, and `digest`, a SHA-256 of all the rest. A damaged or truncated file is
refused, and never gives wrong numbers. So is a compressed one: a small file must not ask for much work.
"""

import io
import json
import os
from importlib import import_module
from typing import Any

import numpy as np

from . import tree
from .backend import to
from .files import Name, shown, write_whole
from .model import Model
from .spec import UnknownBlockError, parse, spell

Tree = Any  # dict[str, Tree] | list[Tree] | None | bool | int | float | str | array
LAYOUT, DIGEST = "layout", "digest"
FORMAT = 5  # version of a model's file; it changes when a spec gets another meaning


def save(path: Name, net: Model, params: dict) -> None:
    """Write net and params to `path`, whole or not at all.

    params: parameters of net, on NumPy or CuPy.

    ValueError where params don't fit net, or a block has no name (see `register`).
    """
    who = f"save: {shown(path)}"
    if spell(parse(net.spec)) != net.spec:  # a block without a name says so here, an option that is no literal too
        raise ValueError(f"{who}: {net!r} is not read back as it is; give its options as plain numbers and texts")
    _check(who, net, params)
    save_tree(path, {"format": FORMAT, "model": repr(net), "params": params})


def load(path: Name) -> tuple[Model, dict]:
    """Read the file that `save` wrote -> net, params (on NumPy).

    ValueError for any other file and for a damaged one. A block of your own needs `register` first.
    """
    who, content = f"load: {shown(path)}", load_tree(path)
    if not (isinstance(content, dict) and content.keys() >= {"model", "params"} and isinstance(content["model"], str)):
        raise ValueError(f"{who} holds no minissm model; expected a file that minissm.save wrote")
    if content.get("format") != FORMAT:
        raise ValueError(f"{who} was written by another version, in which specs mean other models; save it again")
    try:
        net = Model.read(content["model"])
    except UnknownBlockError as error:
        raise ValueError(f"{who} uses the block {error.name}; call ms.register({error.name!r}, ...) first") from None
    except (ValueError, TypeError, OverflowError, MemoryError) as error:
        raise ValueError(f"{who} holds no model of this minissm ({error}); save it again") from None
    _check(who, net, content["params"])
    return net, content["params"]


def save_state(path: Name, state: Tree) -> None:
    """Write the state of a model to `path`: nested dicts and lists of arrays, numbers, strings and None."""
    save_tree(path, {"state": state})


def load_state(path: Name) -> Tree:
    """Read the state that `save_state` wrote (arrays on NumPy, tuples as lists). ValueError for any other file."""
    content = load_tree(path)
    if not isinstance(content, dict) or content.keys() != {"state"}:
        raise ValueError(f"load: {shown(path)} holds no state; expected a file that minissm.save_state wrote")
    return content["state"]


def save_tree(path: Name, tree: Tree) -> None:
    """Write nested dicts and lists of arrays, numbers, strings and None to `path`, whole or not at all."""
    arrays: dict[str, np.ndarray] = {}

    def layout(leaf: Tree, name: str) -> Any:
        """The leaf as JSON, with {"": name} for each array."""
        if isinstance(leaf, dict):
            for key in leaf:
                if not isinstance(key, str) or not key or "." in key:
                    raise ValueError(f"save: {shown(path)}: the key {key!r}; expected a string without a dot")
            return {key: layout(leaf[key], f"{name}.{key}" if name else key) for key in leaf}
        if isinstance(leaf, list | tuple):
            return [layout(child, f"{name}.{i}" if name else str(i)) for i, child in enumerate(leaf)]
        if leaf is None or (isinstance(leaf, int | float | str) and not isinstance(leaf, np.generic)):
            return leaf
        arrays[name] = np.asarray(to(leaf, "numpy"))
        if name in (LAYOUT, DIGEST) or arrays[name].dtype.kind not in "biufc":
            given = f"{name} is of type {type(leaf).__name__}"
            raise ValueError(f"save: {shown(path)}: {given}; expected numbers, not named {LAYOUT} or {DIGEST}")
        return {"": name}

    text = json.dumps(layout(tree, ""))
    buffer = io.BytesIO()
    np.savez(buffer, **sealed({LAYOUT: np.array(text.encode())} | arrays))
    write_whole(path, lambda file: file.write(buffer.getbuffer()))


def load_tree(path: Name, remedy: str = "save it again") -> Tree:
    """Read the tree that `save_tree` wrote, with lists for tuples. ValueError for any other file, with the remedy."""
    who = f"load: {shown(path)}"
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{who}: no such file; give the .npz that minissm.save wrote")
    if not import_module("zipfile").is_zipfile(path):
        raise ValueError(f"{who} is not a whole checkpoint (not an .npz, or truncated); {remedy}")
    try:
        with open(path, "rb") as handle, np.load(handle, allow_pickle=False) as file:
            declared, size = sum(entry.file_size for entry in file.zip.infolist()), os.fstat(handle.fileno()).st_size
            if declared > size:  # before anything is unpacked
                raise ValueError(f"it is compressed, {declared:,} bytes in {size:,}")
            arrays = {name: file[name] for name in file.files} if {LAYOUT, DIGEST} <= {*file.files} else {}
    except Exception as error:  # zipfile, zlib, tokenize and NumPy each raise their own types
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise ValueError(f"{who} is not a whole checkpoint ({reason}); {remedy}") from None
    if not arrays or not all(isinstance(a, np.ndarray) for a in arrays.values()):
        raise ValueError(f"{who} holds no minissm model or state, or one without a digest; {remedy}")
    if arrays[DIGEST].tobytes() != sealed(arrays)[DIGEST].tobytes():
        raise ValueError(f"{who} is not a whole checkpoint (its digest doesn't match); {remedy}")
    try:
        return json.loads(arrays[LAYOUT].item(), object_hook=lambda o: arrays[o[""]] if "" in o else o)
    except Exception as error:  # another program sealed the file
        raise ValueError(f"{who} has no layout that can be read ({type(error).__name__}); {remedy}") from None


def sealed(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """The arrays, with a digest of their names, dtypes, shapes and bytes added."""
    digest = import_module("hashlib").sha256()
    for name, array in sorted(arrays.items()):
        if name != DIGEST:
            digest.update(repr((name, array.dtype.str, array.shape)).encode())
            digest.update(array.tobytes())
    return arrays | {DIGEST: np.array(digest.hexdigest().encode())}


def _check(who: str, net: Model, params: Tree) -> None:
    """ValueError unless params have the names and shapes of net's parameters, and some of them its dtype."""
    numbers = sum(getattr(leaf, "size", 0) for _, leaf in tree.named(params))
    if net.size > 2 * numbers:  # don't draw a model that is much larger than its file
        text = repr(net) if len(repr(net)) <= 120 else f"{repr(net)[:117]}..."
        raise ValueError(f"{who}: {text} has {net.size} parameters, {numbers} given; save a model with its own")
    try:
        net.check_params(params)
    except ValueError as error:
        raise ValueError(f"{who}: {error}") from None
    dtypes = {str(leaf.dtype).split(".")[-1] for leaf in tree.leaves(params)}  # array_api_strict.float32
    if net.dtype not in dtypes:
        raise ValueError(f"{who}: the arrays are {', '.join(dtypes)}; {net!r} needs {net.dtype}; convert them")
