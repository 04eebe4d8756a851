"""Figures: of a training, of kernels, poles and attention weights; and what every figure of the library shares.

`curves`, `kernel`, `poles` and `attention` draw with pyplot, so that a notebook shows the figure and a script shows it
with `plt.show()`. Figures in files are drawn by `new_figure` and `save`: they need no screen and leave the user's
settings of matplotlib alone.
"""

import io
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from .backend import to
from .checks import check_integer
from .files import write_whole
from .filters import Poles
from .model import Model
from .progress import tell
from .train import Log

if TYPE_CHECKING:  # pathlib is slow to import
    from pathlib import Path

# Okabe & Ito's colours, which colour-blind readers can distinguish; dashes and marks are for grey print
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")
DASHES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (3, 1)), (0, (1, 1)))
MARKS = ("o", "s", "^", "D", "v", "P", "X")


def style(i: int) -> dict:
    """The style of line i; 49 lines have different ones."""
    j = (i + i // 7) % 7
    return {"color": COLOURS[i % 7], "linestyle": DASHES[j], "marker": MARKS[j], "markersize": 4}


@contextmanager
def new_figure(width: float, height: float) -> Iterator[Any]:
    """A figure in matplotlib's own settings, whatever the user's are. Save it before the context ends."""
    matplotlib = _matplotlib()
    own = {name: value for name, value in matplotlib.rcParamsDefault.items() if name != "backend"}
    with matplotlib.rc_context(own | {"svg.hashsalt": "minissm"}):
        from matplotlib.figure import Figure

        yield Figure(figsize=(width, height), layout="constrained")


def _matplotlib() -> Any:
    """Import matplotlib. MPLBACKEND with a backend that isn't installed and a damaged matplotlibrc are passed over."""
    with suppress(ValueError):
        return import_module("matplotlib")
    for name in [name for name in sys.modules if name.startswith("matplotlib.")]:
        del sys.modules[name]  # the failed import left them
    home = os.path.dirname(find_spec("matplotlib").origin)  # type: ignore[union-attr, arg-type]
    own = {"MPLBACKEND": "agg", "MATPLOTLIBRC": os.path.join(home, "mpl-data")}
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    try:
        return import_module("matplotlib")
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def save(figure: Any, path: "Path") -> "Path":
    """Write the figure in the format that the name of the file ends in."""
    buffer = io.BytesIO()
    metadata = {"Date": None} if path.suffix == ".svg" else None
    figure.savefig(buffer, format=path.suffix[1:], dpi=150, metadata=metadata)
    write_whole(path, lambda file: file.write(buffer.getvalue()))
    return path


def drawn(draw: Callable[[], "Path"]) -> str:
    """Draw -> "figure: FILE". A failure prints one line on stderr, and costs nothing else."""
    try:
        return f"figure: {draw()}"
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        tell(f"minissm: the figure can't be drawn ({reason}); the results are complete without it", "stderr")
        return "figure: none"


# ---- figures to look at


def curves(
    logs: Log | Mapping[str, Log], score: str = "token_accuracy", baseline: float | None = None, axes: Any = None
) -> Any:
    """A score over the training steps, a line for each training. -> axes.

    logs: the log of `fit`, or several by label.
    score: a name in `log.rows`. Default "token_accuracy". `training_loss` is always there.
    baseline: a level to compare with, like `task.baseline`. Default: none.
    axes: where to draw. Default: a new figure.
    """
    by_label = {"": logs} if isinstance(logs, Log) else logs
    if not isinstance(by_label, Mapping) or not by_label:
        kind = type(logs).__name__
        raise ValueError(f"plots.curves: logs is {kind}; expected a log of fit, or a dict of one or more by label")
    for label, log in by_label.items():
        missing = [] if isinstance(log, Log) and log.rows else ["a log of fit with evaluations"]
        missing += [] if missing or score in log.rows[0] else [f"a score among {', '.join(log.rows[0])}"]
        if missing:
            raise ValueError(f"plots.curves: {label or 'logs'}, score={score!r}; expected {missing[0]}")
    (axes,) = _axes([axes] if axes is not None else None, 1, (6, 3.2))
    for i, (label, log) in enumerate(by_label.items()):
        axes.plot([row["step"] for row in log.rows], [row[score] for row in log.rows], label=label, **style(i))
    if baseline is not None:
        axes.axhline(baseline, color="0.4", linewidth=1, linestyle=(0, (1, 2)), label=f"baseline {baseline:.3f}")
    axes.set(xlabel="training step", ylabel=score.replace("_", " "))
    if baseline is not None or "" not in by_label:
        axes.legend(frameon=False)
    return axes


def kernel(net: Model, params: dict, length: int = 64, axes: Sequence | None = None) -> list:
    """The kernels of all channels, a panel for each linear filter of the model. -> list of axes.

    A row is a channel, without its skip, divided by its largest entry. Rows are sorted by memory, the mean lag of |k|.

    length: lags to show. Default 64.
    axes: where to draw, one for each filter. Default: a new figure.
    """
    length = check_integer("plots.kernel", "length", length)
    x = np.zeros((1, length), int) if net.vocab else np.zeros((1, length, net.inputs or 0), net.dtype)
    inside = to(net.trace(to(params, "numpy"), x), "numpy")
    found = {name: k for name, k in inside.items() if name.endswith(".kernel")}
    panels = _axes(axes, len(found), (4.6 * len(found), 3.6), net, "a linear filter (ssm, trig, fir)")
    for panel, (name, k) in zip(panels, found.items(), strict=True):
        i, lags, k = int(name.split(".")[1]), np.arange(length), k.copy()
        k[:, 0] -= to(params["blocks"][i]["skip"], "numpy")
        size = np.abs(k) + 1e-30
        order = np.argsort((size * lags).sum(1) / size.sum(1), kind="stable")
        shown = (k / size.max(1, keepdims=True))[order]
        image = panel.imshow(shown, aspect="auto", cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
        panel.set(xlabel="lag, tokens", ylabel="channel, by memory", title=f"blocks[{i}]: what a channel keeps")
    panels[-1].figure.colorbar(image, ax=panels[-1], label="kernel / its largest entry")
    return panels


def poles(net: Model, params: dict, axes: Any = None) -> Any:
    """The poles lam = exp(dt a) of each layer with poles, in the unit circle. -> axes.

    |lam| near 1 is a long memory; the angle is the turn in a token.
    """
    found = {}
    for i, (block, p) in enumerate(zip(net.blocks, to(params, "numpy")["blocks"], strict=True)):
        coefficients = block.filter(p["filter"])[0] if hasattr(block, "filter") else None
        if isinstance(coefficients, Poles):
            found[i] = np.exp(coefficients.log_lam).ravel()
    (axes,) = _axes([axes] if axes is not None else None, 1 if found else 0, (4.6, 4.6), net, "poles (ssm)")
    axes.add_patch(import_module("matplotlib.patches").Circle((0, 0), 1, fill=False, color="0.6", linestyle=":"))
    for n, (i, lam) in enumerate(found.items()):
        look = style(n) | {"linestyle": "none", "alpha": 0.6}
        axes.plot(lam.real, lam.imag, label=f"blocks[{i}]", **look)
    ticks = (-1, -0.5, 0, 0.5, 1)
    axes.set(
        xlabel="Re lam", ylabel="Im lam", aspect="equal", title="poles in the unit circle", xticks=ticks, yticks=ticks
    )
    axes.legend(frameon=False, loc="center")
    return axes


def attention(
    net: Model, params: dict, x: Any, names: Sequence[str] | None = None, axes: Sequence | None = None
) -> list:
    """The attention weights over the first sequence of x, a panel for each head of each block. -> list of axes.

    Row t, column s: the weight of token s in the output at token t.

    x: (B, L) tokens, or real vectors, as the model takes them.
    names: of the tokens of the vocabulary, like `task.names`. Default: their numbers.
    axes: where to draw, one for each head. Default: a new figure.
    """
    inside = to(net.trace(params, x), "numpy")
    found = [(name, h, w[0, h]) for name, w in inside.items() if name.endswith(".weights") for h in range(w.shape[1])]
    first = to(x, "numpy")[0]
    if names is not None and first.ndim == 1 and first.max() >= len(names):
        raise ValueError(f"plots.attention: {len(names)} names; expected one for each token, to {first.max()}")
    labels = [str(t) if names is None else names[t] for t in first] if first.ndim == 1 else range(len(first))
    panels = _axes(axes, len(found), (3.4 * len(found), 3.6), net, "attention (attn)")
    for panel, (name, h, weights) in zip(panels, found, strict=True):
        panel.imshow(weights, cmap="Greys", vmin=0, vmax=1, interpolation="nearest")
        panel.set(title=f"blocks[{name.split('.')[1]}], head {h}", xlabel="looks at", ylabel="token")
        if len(labels) <= 40:
            panel.set_xticks(range(len(labels)), labels, fontsize=8)
            panel.set_yticks(range(len(labels)), labels, fontsize=8)
    return panels


def _axes(axes: Sequence | None, count: int, size: tuple[float, float], net: Any = None, what: str = "") -> list:
    """`count` axes: the given ones, or those of a new figure of pyplot."""
    if not count:
        raise ValueError(f"plots: {net!r} has no block with {what}; give a model with one")
    if axes is None:
        figure = import_module("matplotlib.pyplot").figure(figsize=size, layout="constrained")
        return list(figure.subplots(1, count, squeeze=False)[0])
    if not isinstance(axes, Sequence | np.ndarray) or len(axes) != count:
        raise ValueError(f"plots: axes={axes!r}; expected a list of {count} axes")
    return list(axes)
