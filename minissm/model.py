"""A model: the blocks of a sentence one after another, between an embedding and a linear readout.

    x = embed(tokens);   for each block:  x = x + block(norm(x));   y = norm(x) w + b

A Model holds the shape and no weights: the weights are a tree that `init` draws and a call is given.
"""

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, fields
from typing import Any

import numpy as np

from . import layers, tree
from .backend import is_numpy, namespace
from .backend import like as put_like
from .checks import choice, flag, whole
from .scan import MODES
from .sentence import parse, read_call, spell
from .ssm import Ssm

Array = Any
DTYPES = ("float32", "float64")


@dataclass(frozen=True, repr=False)
class Model:
    """`Model("ssm + fnn1", vocab=16)`; y, backward = net(params, x);  dparams, dx = backward(dy).

    blocks: a sentence (see sentence.py) or a tuple of blocks.
    vocab or inputs: tokens x (B, L) from 0..vocab-1 (or one-hot floats (B, L, vocab)), or real vectors (B, L, inputs).
    outputs: numbers per token of y (B, L, outputs); vocab unless given.
    width: D of the residual stream.  norm: none, rms or layer, before each block and before the readout.
    residual: x + block(x), or block(x) alone.
    memory: the time scales of the filters. graded: short in the first filter block, long in the last; reversed; equal.
    """

    blocks: Any
    _: KW_ONLY
    vocab: int | None = None
    inputs: int | None = None
    outputs: int | None = None
    width: int = 32
    norm: str = "none"
    residual: bool = True
    memory: str = "graded"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        blocks = parse(self.blocks) if isinstance(self.blocks, str) else self.blocks
        if not isinstance(blocks, list | tuple) or any(isinstance(b, type) or not hasattr(b, "apply") for b in blocks):
            raise ValueError(f"Model: blocks={blocks!r}; expected a sentence or a tuple of blocks like (Ssm(), Fnn(1))")
        blocks = tuple(blocks)
        if not blocks:
            raise ValueError("Model: no blocks; give a sentence like 'ssm + fnn1' or a tuple of blocks")
        object.__setattr__(self, "blocks", blocks)
        if (self.vocab is None) == (self.inputs is None):
            raise ValueError("Model: give either vocab (tokens come in) or inputs (real vectors come in)")
        for name in ("vocab", "inputs", "outputs"):
            whole(self, "Model", name, least=1, optional=True)
        if self.outputs is None:
            if self.vocab is None:
                raise ValueError("Model: inputs without outputs; say how many numbers a token gets: outputs=...")
            object.__setattr__(self, "outputs", self.vocab)
        whole(self, "Model", "width", least=1)
        choice(self, "Model", "norm", layers.NORMS)
        flag(self, "Model", "residual")
        choice(self, "Model", "memory", ("graded", "reversed", "equal"))
        choice(self, "Model", "dtype", DTYPES)
        self.size  # noqa: B018  (blocks that don't fit the width say so here)

    # ---- what it is called

    @property
    def sentence(self) -> str:
        """The blocks in their canonical spelling."""
        return spell(self.blocks)

    def __repr__(self) -> str:
        """The whole model, as Python that makes it again: what rows and checkpoints store."""
        try:
            first = f'"{self.sentence}"'
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

    # ---- how large it is

    @property
    def size(self) -> int:
        """Parameters, counted without drawing them."""
        D = self.width
        embed = self.vocab * D if self.vocab else layers.linear_size(self.inputs or 0, D)
        norms = (len(self.blocks) + 1) * len(layers.NORM_LEAVES[self.norm]) * D
        return embed + sum(b.size(D) for b in self.blocks) + norms + layers.linear_size(D, self.outputs or 0)

    def state_size(self, length: int) -> int:
        """Real numbers that the model must remember after `length` tokens to go on with the next."""
        return sum(b.state_size(self.width, length) for b in self.blocks)

    # ---- what it computes

    def init(self, rng: np.random.Generator, like: Array = None) -> dict:
        """Draw the parameters (the draws stand beside each block); on NumPy, or where the array `like` lives."""
        D = self.width
        embed = {"w": rng.normal(0, 1, (self.vocab, D))} if self.vocab else layers.linear_init(rng, self.inputs or 0, D)
        params = {
            "embed": embed,
            "blocks": [b.init(rng, D, place) for b, place in zip(self.blocks, self._places(), strict=True)],
            "norms": [layers.norm_init(self.norm, D) for _ in range(len(self.blocks) + 1)],
            "head": layers.linear_init(rng, D, self.outputs or 0),
        }
        params = tree.map(lambda a: a.astype(self.dtype), params)
        return params if like is None else tree.map(lambda a: put_like(a, like), params)

    def _places(self) -> list[float | None]:
        filtered = [i for i, b in enumerate(self.blocks) if isinstance(b, Ssm)]
        places: list[float | None] = [None] * len(self.blocks)
        if len(filtered) > 1 and self.memory != "equal":
            for k, i in enumerate(filtered):
                f = k / (len(filtered) - 1)
                places[i] = f if self.memory == "graded" else 1 - f
        return places

    def __call__(self, params: dict, x: Array, mode: str = "auto") -> tuple:
        """x (B, L) or (B, L, V or D_in) -> y (B, L, outputs), backward;  `dparams, dx = backward(dy)`.

        dx is None for tokens. mode: how filters are computed: auto, recurrent, chunked or fft; other blocks ignore it.
        """
        self._check(params, x, mode)
        embedded, back_embed = self._embed(params, x)
        tape, y = [], embedded
        for _, _, _, y, back_norm, back_block in self._run(params, embedded, mode):  # noqa: B007 (the last y is used)
            tape.append((back_norm, back_block))
        n, back_norm = layers.NORMS[self.norm](params["norms"][-1], y)
        out, back_head = layers.linear(params["head"], n)

        def backward(dout: Array) -> tuple:
            dhead, dn = back_head(dout)
            dnorm, dy = back_norm(dn)
            dblocks, dnorms = [], [dnorm]
            for back_norm_i, back_block in reversed(tape):
                dp, dn = back_block(dy)
                dp_norm, dx = back_norm_i(dn)
                dy = dy + dx if self.residual else dx
                dblocks.append(dp)
                dnorms.append(dp_norm)
            dembed, dx = back_embed(dy)
            return {"embed": dembed, "blocks": dblocks[::-1], "norms": dnorms[::-1], "head": dhead}, dx

        return out, backward

    def trace(self, params: dict, x: Array, mode: str = "auto") -> dict[str, Array]:
        """What happens inside, by name: embed, blocks.0.kernel, .states, .output, blocks.1.weights, ..., y.

        An output is what the block leaves in the residual stream: x + block(x), where there is a residual.
        """
        self._check(params, x, mode)
        y, _ = self._embed(params, x)
        found = {"embed": y}
        for i, (block, p, n, stream, _, _) in enumerate(self._run(params, y, mode)):
            found |= {f"blocks.{i}.{name}": a for name, a in block.trace(p, n).items()}
            found[f"blocks.{i}.output"] = y = stream
        n, _ = layers.NORMS[self.norm](params["norms"][-1], y)
        found["y"], _ = layers.linear(params["head"], n)
        return found

    def _embed(self, params: dict, x: Array) -> tuple:
        return (layers.embed if self.vocab else layers.linear)(params["embed"], x)

    def _run(self, params: dict, y: Array, mode: str) -> Iterator[tuple]:
        """Block by block: the block, its parameters, its input, the stream behind it, the two backwards."""
        for block, p, p_norm in zip(self.blocks, params["blocks"], params["norms"], strict=False):
            n, back_norm = layers.NORMS[self.norm](p_norm, y)
            z, back_block = block.apply(p, n, mode)
            y = y + z if self.residual else z
            yield block, p, n, y, back_norm, back_block

    def _check(self, params: dict, x: Array, mode: str) -> None:
        """Doors: parameters of this model, tokens or floats that it can read, a mode that exists."""
        if mode not in ("auto", *MODES):
            raise ValueError(f"Model: unknown mode {mode!r}; expected one of auto, {', '.join(MODES)}")
        held = tree.size(params) if isinstance(params, dict) else 0
        if held != self.size:
            raise ValueError(f"Model: {held} parameters given, but {self!r} has {self.size}; use its own init")
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
