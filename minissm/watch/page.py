"""Write the page: template, style, script and data, joined to one file that asks for nothing else."""

import base64
import json
from importlib.resources import files
from typing import Any

import numpy as np

from ..model import Model
from .data import collect


def page(net: Model, params: dict, task: Any, rng: np.random.Generator) -> str:
    """The page of a trained model, as HTML.

    task: a task with tokens that fits the model, and sequences of at most 64 tokens.
    rng: draws the sequences.

    ValueError where they don't fit.
    """
    return joined(collect(net, params, task, rng))


def joined(data: dict[str, Any]) -> str:
    """The page that shows the data."""
    html = _file("page.html")
    for name in ("page.css", "page.js", "blocks.js"):  # blocks.js stands in page.js
        html = html.replace(f"/* {name} */", _file(name))
    text = json.dumps(packed(data), separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return html.replace("/* data */", text)


def packed(value: Any) -> Any:
    """Types of JSON. An array becomes {"shape": ..., "float32": base64}: short, and with all digits."""
    if isinstance(value, dict):
        return {name: packed(child) for name, child in value.items()}
    if isinstance(value, list | tuple):
        return [packed(child) for child in value]
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype.kind in "iu":
        return value.tolist()
    text = base64.b64encode(np.ascontiguousarray(value, "<f4").tobytes()).decode()
    return {"shape": value.shape, "float32": text}


def _file(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
