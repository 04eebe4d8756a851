"""A model: blocks one after another, between an embedding and a linear readout.

    x = embed(tokens);   for each block:  x = x + block(norm(x));   y = norm(x) w + b

A Model holds the structure and no weights. The weights are a tree of arrays: `init` draws it, and each call takes it.

See blocks.py for the block protocol.
"""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from . import blocks, calls, layers, tree
from .backend import cotangents, device, dtype_name, like as put_like, namespace, to
from .checks import check_generator, check_integer, choice, flag, integer
from .scan import check_mode
from .shapes import check_arrays, trusting
from .spec import parse, spell

Array = Any
DTYPES = ("float32", "float64")
TIMESCALES = ("graded", "reversed", "equal")


@dataclass(frozen=True, repr=False)
class Model:
    """`Model("ssm + fnn1", vocab=16)`; y, backward = net(params, x);  dparams, dx = backward(dy).

    blocks: a spec (see spec.py) or a tuple of blocks.
    vocab: size of the vocabulary. Then x is tokens (B, L) from 0 to vocab-1, or one-hot floats (B, L, vocab).
    inputs: numbers per token. Then x is real vectors (B, L, inputs). Give either vocab or inputs.
    outputs: numbers per token of y (B, L, outputs). Default: vocab; with inputs it must be given.
    width: D of the residual stream. Default 32.
    norm: "none" (default), "rms" or "layer", before each block and before the readout.
    residual: True (default) for x + block(x), False for block(x) alone.
    timescales: the initial memory of blocks with `draws_by_depth`. "graded" (default): short in the first of them, long
        in the last; "reversed": long first; "equal": the same at every depth.
    dtype: of the parameters, "float32" (default) or "float64". A tree may hold both: each leaf is trained and stored in
        its own. Filters may be in double for themselves; where other leaves differ, the model computes in double.

    ValueError for an option that doesn't fit.
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
        members = parse(self.blocks) if isinstance(self.blocks, str) else self.blocks
        if not isinstance(members, list | tuple) or not all(blocks.is_block(b) for b in members):
            raise ValueError(f"Model: blocks={members!r}; expected a spec or a tuple of blocks like (Ssm(), Fnn(1))")
        if not members:
            raise ValueError("Model: no blocks; give a spec like 'ssm + fnn1' or a tuple of blocks")
        object.__setattr__(self, "blocks", tuple(members))
        if (self.vocab is None) == (self.inputs is None):
            raise ValueError("Model: give either vocab (x is tokens) or inputs (x is real vectors)")
        for name in ("vocab", "inputs", "outputs"):
            integer(self, "Model", name, minimum=1, optional=True)
        if self.outputs is None:
            if self.vocab is None:
                raise ValueError("Model: inputs without outputs; give outputs=..., the numbers per token of y")
            object.__setattr__(self, "outputs", self.vocab)
        integer(self, "Model", "width", minimum=1)
        choice(self, "Model", "norm", layers.NORMS)
        flag(self, "Model", "residual")
        choice(self, "Model", "timescales", TIMESCALES)
        choice(self, "Model", "dtype", DTYPES)
        self.size  # noqa: B018  (raises for a block that doesn't fit the width)

    # ---- its spelling

    @property
    def spec(self) -> str:
        """The blocks in their canonical spelling."""
        return spell(self.blocks)

    def __repr__(self) -> str:
        """The whole model as a Python expression, which results and checkpoints store."""
        try:
            first = repr(self.spec) if '"' in self.spec else f'"{self.spec}"'
        except ValueError:  # a block without a name
            first = repr(self.blocks)
        defaults = {f.name: f.default for f in fields(self)[1:]} | {"outputs": self.vocab}
        options = {name: getattr(self, name) for name in defaults if getattr(self, name) != defaults[name]}
        spelled = [f'{name}="{v}"' if isinstance(v, str) else f"{name}={v}" for name, v in options.items()]
        return f"Model({', '.join([first, *spelled])})"

    @classmethod
    def read(cls, text: str) -> "Model":
        """The model of a `repr`. The text is parsed, never evaluated; ValueError where it is no model."""
        expected = 'Model("spec", option=value, ...)'
        name, arguments, options = calls.read(calls.expression(text, "Model", expected), text, "Model", expected)
        unknown = [o for o in options if o not in [f.name for f in fields(cls)[1:]]]
        if name != "Model" or len(arguments) != 1 or not isinstance(arguments[0], str) or unknown:
            raise ValueError(f"Model: can't read {text[:80]!r}; expected {expected}")
        return cls(arguments[0], **options)

    # ---- its size

    @property
    def size(self) -> int:
        """The number of parameters, without drawing them."""
        D = self.width
        embed = self.vocab * D if self.vocab else layers.linear_size(self.inputs or 0, D)
        norms = (len(self.blocks) + 1) * len(layers.NORM_LEAVES[self.norm]) * D
        return embed + sum(b.size(D) for b in self.blocks) + norms + layers.linear_size(D, self.outputs or 0)

    def state_size(self, length: int | None = None) -> int:
        """Real numbers in the state after `length` tokens.

        length: tokens so far; only attention's state grows with them. None (default): the state that `start` allocates.
        """
        if length is not None:
            check_integer("Model.state_size", "length", length, minimum=0)
        return sum(b.state_size(self.width, length) for b in self.blocks if blocks.has_memory(b))

    # ---- its parameters

    def init(self, rng: "np.random.Generator", like: Array = None) -> dict:
        """Draw the parameters -> a tree. like: an array; they go to its library and device. Default: NumPy."""
        check_generator("Model.init", rng)
        D = self.width
        embed = {"w": rng.normal(0, 1, (self.vocab, D))} if self.vocab else layers.linear_init(rng, self.inputs or 0, D)
        params = {
            "embed": embed,
            "blocks": [b.init(rng, D, *depth) for b, depth in zip(self.blocks, self._depths(), strict=True)],
            "norms": [layers.norm_init(self.norm, D) for _ in range(len(self.blocks) + 1)],
            "head": layers.linear_init(rng, D, self.outputs or 0),
        }
        params = tree.map(lambda a: a.astype(self.dtype), params)
        return params if like is None else tree.map(lambda a: put_like(a, like), params)

    def _depths(self) -> list[tuple]:
        """The last arguments of `init`, block by block: (relative depth,) if the draw depends on it, else ()."""
        by_depth = [getattr(b, "draws_by_depth", False) for b in self.blocks]
        last, k, depths = sum(by_depth) - 1, 0, []
        for counts in by_depth:
            f = k / max(1, last)
            graded = None if last < 1 or self.timescales == "equal" else 1 - f if self.timescales == "reversed" else f
            depths.append((graded,) if counts else ())
            k += counts
        return depths

    @cached_property
    def shapes(self) -> dict:
        """The tree of the parameters, with the shape of each in its place."""
        return tree.map(lambda leaf: leaf.shape, self.init(np.random.default_rng(0)))

    # ---- what it computes

    def __call__(self, params: dict, x: Array, mode: str = "auto", where: Array = None) -> tuple:
        """x (B, L) or (B, L, V or D_in) -> y (B, L, outputs), backward;  `dparams, dx = backward(dy)`.

        mode: how filters are computed: "auto" (default), "recurrent", "chunked" or "fft". Other blocks ignore it.
        where: a mask (B, L), True where an output is wanted. Then y is (R, outputs), equal to y[where] of the full y,
            and the layers after the last mixer see those R tokens alone. Default: all tokens.

        dx is None for tokens. ValueError where params, x or where don't fit. Trap: a mask on a device makes the host
        wait for it; a NumPy mask doesn't.
        """
        y, _, backward = self._run(params, x, None, mode, where, ends=False)
        return y, lambda dy: backward(dy)[:2]

    def run(self, params: dict, x: Array, state: dict | None = None, mode: str = "auto", where: Array = None) -> tuple:
        """A piece of a sequence -> y, state, backward;  `dparams, dx, dstate = backward(dy, dstate=None)`.

        state: the state after the piece before, from `run`, or the first state, from `start`. None (default): the
            first. `run` does not write into it. minissm.save_state stores it.
        mode, where: as in a call of the model.

        The pieces of a sequence give the same y as the whole, and the same gradients.
        """
        return self._run(params, x, state, mode, where, ends=True)

    def _run(self, params: dict, x: Array, state: dict | None, mode: str, where: Array, ends: bool) -> tuple:
        to_compute = self._check(params, x, mode)
        before, rows = blocks.states_of(state, self.blocks), _rows(where, x)
        position = 0 if state is None else check_integer("Model", "position", state["position"], minimum=0)
        y, after, back = self._trusted(to_compute, x, before, rows, mode, ends)

        def backward(dy: Array, dstate: dict | None = None) -> tuple:
            dparams, dx, dbefore = back(dy, blocks.states_of(dstate, self.blocks))
            if to_compute is not params:
                dparams, dx = tree.cast(dparams, params), tree.cast(dx, x)
            return dparams, dx, None if state is None else {"position": None, "blocks": dbefore}

        return y, {"position": position + x.shape[1], "blocks": after}, backward

    @trusting
    def _trusted(self, params: dict, x: Array, before: list, rows: Array, mode: str, ends: bool) -> tuple:
        """`run` without its argument checks: y, the states of the blocks after the piece, and backward."""
        norm, tape, after = layers.NORMS[self.norm], [], []
        y, back_embed = self._embed(params, x)
        for i, (block, p, p_norm) in enumerate(zip(self.blocks, params["blocks"], params["norms"], strict=False)):
            n, back_norm = norm(p_norm, y)
            apply = blocks.stateless(block, mode, ends)
            if apply:
                (z, back_block), state_i = apply(p, n), {}
            else:
                z, state_i, back_block = block.run(p, n, before[i], mode)
            y, back_rows = y + z if self.residual else z, None
            if rows is not None and i == self._last_mixer:
                y, back_rows = layers.take_rows(y, rows)
            tape.append((back_norm, back_block, back_rows, apply is None))
            after.append(state_i)
        n, back_last_norm = norm(params["norms"][-1], y)
        out, back_head = layers.linear(params["head"], n)

        def backward(dout: Array, dafter: list) -> tuple:
            record = list(zip(tape, dafter, strict=True))
            dhead, dn = back_head(*cotangents("Model", ("dy", dout, out)))
            dnorm, dy = back_last_norm(dn)
            dblocks, dnorms, dbefore = [], [dnorm], list[Any]()
            for (back_norm, back_block, back_rows, stateful), dstate_i in reversed(record):
                dy = back_rows(dy) if back_rows else dy
                dp, dn, *dstate_i = back_block(dy, dstate_i) if stateful else back_block(dy)
                dnorm, dx = back_norm(dn)
                dy = dy + dx if self.residual else dx
                dblocks.append(dp)
                dnorms.append(dnorm)
                dbefore += dstate_i or [{}]
            dembed, dx = back_embed(dy)
            dparams = {"embed": dembed, "blocks": dblocks[::-1], "norms": dnorms[::-1], "head": dhead}
            return dparams, dx, dbefore[::-1]

        return out, after, backward

    def start(self, params: dict, batch: int, length: int | None = None) -> dict:
        """The state of `batch` sequences before their first token.

        length: tokens that attention allocates for. None (default): its max_len. A step enlarges a full buffer.
        """
        batch = check_integer("Model.start", "batch", batch)
        length = None if length is None else check_integer("Model.start", "length", length)
        params = self.check_params(params)
        w = params["embed"]["w"]
        like = namespace(w).zeros((batch, self.width), dtype=w.dtype, device=device(w))
        pairs = zip(self.blocks, params["blocks"], strict=True)
        return {"position": 0, "blocks": [b.start(p, like, length) if blocks.has_memory(b) else {} for b, p in pairs]}

    def step(self, params: dict, state: dict, x_t: Array) -> tuple:
        """`y_t, state = stepper(params)(state, x_t)`, one token. For many tokens it is faster to make one stepper."""
        return self.stepper(params)(state, x_t)

    def stepper(self, params: dict) -> Callable:
        """`y_t, state = step(state, x_t)`: x_t (B,) integers or (B, V or D_in) -> y_t (B, outputs).

        Everything that depends on the parameters alone is computed here, once: make a new stepper when they change.
        Trap: a step may overwrite the state it is given. Go on with the state it returns, or keep a copy.
        """
        given, params = params, self.check_params(params)
        norm, norms = layers.NORMS[self.norm], params["norms"]
        steps = [blocks.stepper(block, p) for block, p in zip(self.blocks, params["blocks"], strict=True)]

        shapes = self._shapes(given, "x_t", "B,")

        def step(state: dict, x_t: Array) -> tuple:
            check_arrays("Model.step", shapes, given["embed"]["w"], x_t)
            if state is None:
                raise ValueError("Model.step: state is None; begin with net.start(params, batch)")
            return trusted(state, x_t)

        @trusting
        def trusted(state: dict, x_t: Array) -> tuple:
            (y, _), after = self._embed(params, x_t[:, None, ...]), []
            before = blocks.states_of(state, self.blocks)
            position = check_integer("Model.step", "position", state["position"], minimum=0)
            for step_i, p_norm, state_i in zip(steps, norms, before, strict=False):
                z, state_i = step_i(norm(p_norm, y)[0], state_i)
                y = y + z if self.residual else z
                after.append(state_i)
            out, _ = layers.linear(params["head"], norm(norms[-1], y)[0])
            return out[:, 0, :], {"position": position + 1, "blocks": after}

        return step

    def trace(self, params: dict, x: Array, mode: str = "auto", dy: Array = None) -> dict[str, Array]:
        """The inner arrays by name: embed, blocks.0.kernel, .states, .output, blocks.1.weights, ..., y.

        dy: a cotangent of y (B, L, outputs). Then also gradients: dembed, blocks.0.doutput, .dread, .dinput, ...
            None (default): no gradients.

        `.output` is the residual stream after the block: x + block(x), or block(x) without a residual. A gradient has
        the name and the shape of its array, with a d. ValueError where params, x or dy don't fit.
        """
        params = self._check(params, x, mode)
        norm, norms = layers.NORMS[self.norm], params["norms"]
        y, _ = self._embed(params, x)
        arrays, tape = {"embed": y}, []
        for i, (block, p, p_norm) in enumerate(zip(self.blocks, params["blocks"], norms, strict=False)):
            n, back_norm = norm(p_norm, y)
            inside = block.trace(p, n) if hasattr(block, "trace") else {}
            z, _, back_block = blocks.run(block, p, n, None, mode)
            y = y + z if self.residual else z
            arrays |= {f"blocks.{i}.{name}": a for name, a in inside.items()} | {f"blocks.{i}.output": y}
            tape.append((i, block, p, n, back_norm, back_block))
        n, back_norm = norm(norms[-1], y)
        arrays["y"], back_head = layers.linear(params["head"], n)
        if dy is None:
            return arrays

        _, dn = back_head(*cotangents("Model.trace", ("dy", dy, arrays["y"])))
        _, dy = back_norm(dn)
        for i, block, p, n, back_norm, back_block in reversed(tape):
            inside = block.dtrace(p, n, dy) if hasattr(block, "dtrace") else {}
            arrays |= {f"blocks.{i}.doutput": dy} | {f"blocks.{i}.{name}": a for name, a in inside.items()}
            _, dn, _ = back_block(dy, None)
            _, dz = back_norm(dn)
            dy = dy + dz if self.residual else dz
        return arrays | {"dembed": dy}

    def _embed(self, params: dict, x: Array) -> tuple:
        p, xp = params["embed"], namespace(x)
        x = x if xp.isdtype(x.dtype, "integral") else xp.astype(x, p["w"].dtype, copy=False)
        return (layers.embed if self.vocab else layers.linear)(p, x)

    @cached_property
    def _last_mixer(self) -> int:
        """The index of the last block in which tokens meet; 0 where there is none."""
        return max((i for i, b in enumerate(self.blocks) if blocks.has_memory(b)), default=0)

    # ---- argument checks

    def _check(self, params: dict, x: Array, mode: str) -> dict:
        check_mode("Model", mode)
        to_compute = self.check_params(params)
        check_arrays("Model", self._shapes(params, "x", "B, L"), params["embed"]["w"], x)
        return to_compute

    def check_params(self, params: dict) -> dict:
        """-> the parameters to compute with: all in double where leaves outside of filters differ, else the given ones.

        ValueError unless names and shapes equal those from `init`, and every leaf is float32 or float64.
        """
        given = tree.map(lambda a: getattr(a, "shape", type(a).__name__), params)
        if given != self.shapes:
            of, expected = tree.difference(given, self.shapes)
            raise ValueError(f"Model: parameters with {of}; expected {expected}; draw them with init of {self!r}")
        dtypes = {leaf.dtype for leaf in tree.arrays(params)}
        tree.check_floats("Model", params, dtypes)
        if len(dtypes) < 2 or len({a.dtype for name, a in tree.named(params) if "filter" not in name.split(".")}) < 2:
            return params
        return tree.map(lambda a: namespace(a).astype(a, namespace(a).float64), params)

    def _shapes(self, params: dict, x: str, axes: str) -> str:
        """What check_arrays asks of the embedding and of x, the name of tokens (axes) or vectors (axes, numbers)."""
        vectors = f"({axes.rstrip(',')}, {self.vocab or self.inputs}) {dtype_name(params['embed']['w'])}"
        return f"embedding (V, D), {x} " + (f"({axes}) integers or {vectors}" if self.vocab else vectors)


def zeros(net: Model) -> dict:
    """Zeros in the form of net's parameters, on NumPy, to set weights by hand."""
    if not isinstance(net, Model):
        raise TypeError(f"zeros: net is of type {type(net).__name__}; expected a Model")
    return tree.map(np.zeros_like, net.init(np.random.default_rng(0)))


def _rows(where: Array, x: Array) -> Array:
    """The indices b L + t of the wanted tokens, on x's device; None for None."""
    if where is None:
        return None
    shape, dtype = getattr(where, "shape", None), getattr(where, "dtype", type(where).__name__)
    mask = where if isinstance(where, np.ndarray) or shape is None else to(where, "numpy")
    namespace(where if shape is not None else None)
    if shape != tuple(x.shape[:2]) or mask.dtype.kind != "b" or not mask.any():
        given = f"where is {dtype} {shape}" + (", nowhere True" if shape is not None and not mask.any() else "")
        raise ValueError(f"Model: {given}; expected a mask {tuple(x.shape[:2])}, True somewhere, like weights > 0")
    return put_like(np.flatnonzero(mask), x)
