"""A model: the blocks of a sentence one after another, between an embedding and a linear readout.

    x = embed(tokens);   for each block:  x = x + block(norm(x));   y = norm(x) w + b

A Model holds the shape and no weights: the weights are a tree that `init` draws and a call is given.

What a block is says blocks.py.
"""

from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from . import blocks, layers, states, tree
from .backend import is_numpy, namespace
from .backend import like as put_like
from .checks import check_integer, choice, flag, integer
from .scan import check_mode
from .spec import parse, read_call, spell

Array = Any
DTYPES = ("float32", "float64")


@dataclass(frozen=True, repr=False)
class Model:
    """`Model("ssm + fnn1", vocab=16)`; y, backward = net(params, x);  dparams, dx = backward(dy).

    blocks: a sentence (see spec.py) or a tuple of blocks.
    vocab or inputs: tokens x (B, L) from 0..vocab-1 (or one-hot floats (B, L, vocab)), or real vectors (B, L, inputs).
    outputs: numbers per token of y (B, L, outputs); vocab unless given.
    width: D of the residual stream.  norm: none, rms or layer, before each block and before the readout.
    residual: x + block(x), or block(x) alone.
    timescales: time scales. graded: short in the first of the blocks that have some, long in the last; reversed; equal.
    """

    blocks: Any
    _: KW_ONLY
    vocab: int | None = None
    inputs: int | None = None
    outputs: int | None = None
    width: int = 32
    norm: str = "none"
    residual: bool = True
    timescales: str = "graded"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        given = parse(self.blocks) if isinstance(self.blocks, str) else self.blocks
        if not isinstance(given, list | tuple) or not all(blocks.is_block(b) for b in given):
            raise ValueError(f"Model: blocks={given!r}; expected a sentence or a tuple of blocks like (Ssm(), Fnn(1))")
        if not given:
            raise ValueError("Model: no blocks; give a sentence like 'ssm + fnn1' or a tuple of blocks")
        object.__setattr__(self, "blocks", tuple(given))
        if (self.vocab is None) == (self.inputs is None):
            raise ValueError("Model: give either vocab (tokens come in) or inputs (real vectors come in)")
        for name in ("vocab", "inputs", "outputs"):
            integer(self, "Model", name, minimum=1, optional=True)
        if self.outputs is None:
            if self.vocab is None:
                raise ValueError("Model: inputs without outputs; say how many numbers a token gets: outputs=...")
            object.__setattr__(self, "outputs", self.vocab)
        integer(self, "Model", "width", minimum=1)
        choice(self, "Model", "norm", layers.NORMS)
        flag(self, "Model", "residual")
        choice(self, "Model", "timescales", ("graded", "reversed", "equal"))
        choice(self, "Model", "dtype", DTYPES)
        self.size  # noqa: B018  (blocks that don't fit the width say so here)

    # ---- what it is called

    @property
    def spec(self) -> str:
        """The blocks in their canonical spelling."""
        return spell(self.blocks)

    def __repr__(self) -> str:
        """The whole model, as Python that makes it again: what rows and checkpoints store."""
        try:
            first = f'"{self.spec}"'
        except ValueError:  # a block of one's own, without a word
            first = repr(self.blocks)
        defaults = {f.name: f.default for f in fields(self)[1:]} | {"outputs": self.vocab}
        given = {name: getattr(self, name) for name in defaults if getattr(self, name) != defaults[name]}
        options = [f'{name}="{v}"' if isinstance(v, str) else f"{name}={v}" for name, v in given.items()]
        return f"Model({', '.join([first, *options])})"

    @classmethod
    def read(cls, text: str) -> "Model":
        """The model that `repr` wrote. The text is parsed, never evaluated."""
        arguments, options = read_call(text, "Model")
        unknown = [o for o in options if o not in [f.name for f in fields(cls)[1:]]]
        if len(arguments) != 1 or not isinstance(arguments[0], str) or unknown:
            raise ValueError(f'Model: can\'t read {text[:80]!r}; expected Model("sentence", option=value, ...)')
        return cls(arguments[0], **options)

    @cached_property
    def placed(self) -> tuple:
        """The blocks with the options filled in that were left to their place (see `timescales`)."""
        scaled = [i for i, b in enumerate(self.blocks) if hasattr(getattr(b, "filter", b), "at")]
        placed = list(self.blocks)
        for k, i in enumerate(scaled):
            f = k / max(1, len(scaled) - 1)
            graded = len(scaled) > 1 and self.timescales != "equal"
            placed[i] = placed[i].at((f if self.timescales == "graded" else 1 - f) if graded else None)
        return tuple(placed)

    # ---- how large it is

    @property
    def size(self) -> int:
        """Parameters, counted without drawing them."""
        D = self.width
        embed = self.vocab * D if self.vocab else layers.linear_size(self.inputs or 0, D)
        norms = (len(self.blocks) + 1) * len(layers.NORM_LEAVES[self.norm]) * D
        return embed + sum(b.size(D) for b in self.placed) + norms + layers.linear_size(D, self.outputs or 0)

    def state_size(self, length: int | None = None) -> int:
        """Real numbers that the model must remember after `length` tokens to go on with the next.

        Only attention's memory grows with the length. None: the room that `start` makes for it.
        """
        if length is not None:
            check_integer("Model.state_size", "length", length, minimum=0)
        return sum(b.state_size(self.width, length) for b in self.placed if blocks.has_memory(b))

    # ---- what it computes

    def init(self, rng: np.random.Generator, like: Array = None) -> dict:
        """Draw the parameters (the draws stand beside each block); on NumPy, or where the array `like` lives."""
        D = self.width
        embed = {"w": rng.normal(0, 1, (self.vocab, D))} if self.vocab else layers.linear_init(rng, self.inputs or 0, D)
        params = {
            "embed": embed,
            "blocks": [b.init(rng, D) for b in self.placed],
            "norms": [layers.norm_init(self.norm, D) for _ in range(len(self.blocks) + 1)],
            "head": layers.linear_init(rng, D, self.outputs or 0),
        }
        params = tree.map(lambda a: a.astype(self.dtype), params)
        return params if like is None else tree.map(lambda a: put_like(a, like), params)

    def __call__(self, params: dict, x: Array, mode: str = "auto", rows: Array = None) -> tuple:
        """x (B, L) or (B, L, V or D_in) -> y (B, L, outputs), backward;  `dparams, dx = backward(dy)`.

        dx is None for tokens. mode: how filters are computed: auto, recurrent, chunked or fft; other blocks ignore it.
        rows (R,): the tokens whose outputs are wanted, -> y (R, outputs). They are counted through the batch, b L + t,
        in ascending order: `np.flatnonzero(weights)`. Nothing behind the last mixer is computed for the others.
        """
        y, _, backward = self.run(params, x, mode=mode, rows=rows)
        return y, lambda dy: backward(dy)[:2]

    def run(self, params: dict, x: Array, state: dict | None = None, mode: str = "auto", rows: Array = None) -> tuple:
        """A piece of a sequence -> y, state, backward;  `dparams, dx, dstate = backward(dy, dstate=None)`.

        state: what an earlier piece, or `start`, returned (None: the sequence begins here). It is not written to:
        position (tokens so far) and blocks (of each block with a memory its own, {} of the others), a tree that
        minissm.save_state writes. The pieces of a sequence give the same y as the whole, and the same gradients.
        """
        self._check(params, x, state, mode)
        if state is not None:
            starts = (self.start(params, x.shape[0], room) for room in (1, 2))
            states.check(state, *starts)
        if rows is not None:
            _check_rows(rows, x)
        embedded, back_embed = self._embed(params, x)
        passed = list(self._pass(params, embedded, state, mode, rows=rows))
        out, back_readout = self._readout(params, passed[-1].y)
        tape = [(one.back_norm, one.back_block, one.back_rows) for one in passed]

        def backward(dout: Array, dstate: dict | None = None) -> tuple:
            dafter = states.blocks(dstate, len(self.blocks))
            if dout is None:
                dout = namespace(out).zeros_like(out)
            if dout.shape != out.shape or dout.dtype != out.dtype:
                given = f"dy has shape {tuple(dout.shape)} and dtype {dout.dtype}"
                raise ValueError(f"Model: {given}; expected those of y, {tuple(out.shape)} and {out.dtype}")
            dhead, dnorm, dy = back_readout(dout)
            dblocks, dnorms, dbefore = [], [dnorm], []
            for (back_norm_i, back_block, back_rows), d in reversed(list(zip(tape, dafter, strict=True))):
                dy = back_rows(dy) if back_rows else dy
                dp, dn, dstate_i = back_block(dy, d)
                dp_norm, dx = back_norm_i(dn)
                dy = dy + dx if self.residual else dx
                dblocks.append(dp)
                dnorms.append(dp_norm)
                dbefore.append(dstate_i)
            dembed, dx = back_embed(dy)
            dparams = {"embed": dembed, "blocks": dblocks[::-1], "norms": dnorms[::-1], "head": dhead}
            return dparams, dx, None if state is None else {"position": None, "blocks": dbefore[::-1]}

        position = x.shape[1] + (state["position"] if state is not None else 0)
        return out, {"position": position, "blocks": [one.state for one in passed]}, backward

    def start(self, params: dict, batch: int, length: int | None = None) -> dict:
        """The state of `batch` sequences before their first token.

        length: the tokens that attention makes room for (None: its max_len). A step makes more where that runs out.
        """
        batch = check_integer("Model.start", "batch", batch)
        length = None if length is None else check_integer("Model.start", "length", length)
        self._check_params(params)
        pairs = zip(self.placed, params["blocks"], strict=True)
        return {"position": 0, "blocks": [b.start(p, batch, length) if blocks.has_memory(b) else {} for b, p in pairs]}

    def step(self, params: dict, state: dict, x_t: Array) -> tuple:
        """One token of each sequence -> y_t, state, as `stepper(params)` does it: make that once where many follow."""
        return self.stepper(params)(state, x_t)

    def stepper(self, params: dict) -> Callable:
        """`y_t, state = step(state, x_t)`: x_t (B,) integers or (B, V or D_in) -> y_t (B, outputs).

        What depends on the parameters alone is computed here, once: after a change to them make a new one. The given
        state is used up (its memory may hold the next): go on with the one returned, or keep a copy.
        """
        self._check_params(params)
        norm, norms = layers.NORMS[self.norm], params["norms"]
        steps = [blocks.stepper(block, p) for block, p in zip(self.placed, params["blocks"], strict=True)]

        def step(state: dict, x_t: Array) -> tuple:
            self._check_token(state, x_t)
            x, after = x_t[:, None, ...], []
            self._check_input(params, x)
            y, _ = self._embed(params, x)
            for step_i, p_norm, state_i in zip(steps, norms, states.blocks(state, len(steps)), strict=False):
                z, state_i = step_i(norm(p_norm, y)[0], state_i)
                y = y + z if self.residual else z
                after.append(state_i)
            out, _ = self._readout(params, y)
            return out[:, 0, :], {"position": state["position"] + 1, "blocks": after}

        return step

    def trace(self, params: dict, x: Array, mode: str = "auto") -> dict[str, Array]:
        """What happens inside, by name: embed, blocks.0.kernel, .states, .output, blocks.1.weights, ..., y.

        An output is what the block leaves in the residual stream: x + block(x), where there is a residual.
        """
        self._check(params, x, None, mode)
        y, _ = self._embed(params, x)
        found = {"embed": y}
        for i, one in enumerate(self._pass(params, y, None, mode)):
            inside = one.block.trace(one.p, one.x) if hasattr(one.block, "trace") else {}
            found |= {f"blocks.{i}.{name}": a for name, a in inside.items()}
            found[f"blocks.{i}.output"] = y = one.y
        found["y"], _ = self._readout(params, y)
        return found

    def _embed(self, params: dict, x: Array) -> tuple:
        return (layers.embed if self.vocab else layers.linear)(params["embed"], x)

    def _readout(self, params: dict, y: Array) -> tuple:
        """norm(y) w + b; its backward gives dhead, dnorm, dy."""
        n, back_norm = layers.NORMS[self.norm](params["norms"][-1], y)
        out, back_head = layers.linear(params["head"], n)

        def backward(dout: Array) -> tuple:
            dhead, dn = back_head(dout)
            return dhead, *back_norm(dn)

        return out, backward

    def _pass(
        self, params: dict, y: Array, state: dict | None, mode: str, rows: Array = None
    ) -> Iterator[blocks.Passed]:
        """Block by block; behind the last mixer, where each token is alone, only the rows go on."""
        before = states.blocks(state, len(self.blocks))
        last = max((i for i, b in enumerate(self.placed) if blocks.has_memory(b)), default=0)
        for i, (block, p, p_norm) in enumerate(zip(self.placed, params["blocks"], params["norms"], strict=False)):
            x, back_norm = layers.NORMS[self.norm](p_norm, y)
            z, after, back_block = blocks.run(block, p, x, before[i], mode)
            back_rows = None
            y = y + z if self.residual else z
            if rows is not None and i == last:
                y, back_rows = layers.take_rows(y, rows)
            yield blocks.Passed(block, p, x, y, after, back_norm, back_block, back_rows)

    def _check_params(self, params: dict) -> None:
        held = tree.size(params) if isinstance(params, dict) else 0
        if held != self.size:
            raise ValueError(f"Model: {held} parameters given, but {self!r} has {self.size}; use its own init")

    def _check(self, params: dict, x: Array, state: dict | None, mode: str) -> None:
        """Doors: this model's parameters and state, tokens or floats that it can read, a mode that exists."""
        check_mode("Model", mode)
        self._check_params(params)
        states.blocks(state, len(self.blocks))
        self._check_input(params, x)

    def _check_token(self, state: dict, x_t: Array) -> None:
        given = getattr(x_t, "shape", None)
        if given is None or len(given) not in (1, 2) or given[1:] not in ((), (self.vocab or self.inputs,)):
            got = type(x_t).__name__ if given is None else f"an array of shape {tuple(given)}"
            expected = f"(B,) integers or (B, {self.vocab})" if self.vocab else f"(B, {self.inputs})"
            raise ValueError(f"Model.step: x_t is {got}; expected one token of each sequence, {expected}")
        if state is None:
            raise ValueError("Model.step: state is None; begin with net.start(params, batch)")

    def _check_input(self, params: dict, x: Array) -> None:
        xp, dtype = namespace(x, params["embed"]["w"]), params["embed"]["w"].dtype
        tokens = self.vocab is not None and x.ndim == 2 and xp.isdtype(x.dtype, "integral")
        vectors = x.ndim == 3 and x.shape[2] == (self.vocab or self.inputs) and x.dtype == dtype
        if not (tokens or vectors):
            expected = f"tokens (B, L) or one-hot (B, L, {self.vocab})" if self.vocab else f"(B, L, {self.inputs})"
            given = f"x has shape {tuple(x.shape)} and dtype {x.dtype}"
            raise ValueError(f"Model: {given}; expected {expected}, floats as {dtype} like the parameters")
        if min(x.shape) < 1:
            raise ValueError(f"Model: x has shape {tuple(x.shape)}; expected at least one sequence of one token")
        if tokens and is_numpy(xp) and not (x.min() >= 0 and x.max() < (self.vocab or 0)):
            known = f"0..{(self.vocab or 0) - 1} (vocab={self.vocab})"
            raise ValueError(f"Model: tokens from {x.min()} to {x.max()}; expected {known}")


def _check_rows(rows: Array, x: Array) -> None:
    if not hasattr(rows, "dtype"):
        raise ValueError(f"Model: rows is {type(rows).__name__}; expected an array like np.flatnonzero(weights)")
    xp, n = namespace(rows, x), x.shape[0] * x.shape[1]
    fits = rows.ndim == 1 and 1 <= rows.shape[0] <= n and xp.isdtype(rows.dtype, "integral")
    if not fits or (is_numpy(xp) and not (rows[0] >= 0 and rows[-1] < n and (rows[1:] > rows[:-1]).all())):
        values = f" from {rows.min()} to {rows.max()}" if is_numpy(xp) and rows.size else ""
        given = f"rows has shape {tuple(rows.shape)} and dtype {rows.dtype}{values}"
        raise ValueError(f"Model: {given}; expected ascending integers below B L = {n}, like flatnonzero(weights)")
