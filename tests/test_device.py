"""Every block and function on array_api_strict's fake device: what runs there moves nothing to the host in secret."""

import importlib
import json
import sys
from itertools import product
from types import SimpleNamespace

import array_api_compat
import numpy as np
import pytest

from minissm import (
    Model,
    attention_weights,
    evaluate,
    filters,
    fit,
    gradcheck,
    layers,
    load,
    load_state,
    losses,
    optim,
    save,
    save_state,
    scan,
    selective_scan,
    tasks,
    train,
    tree,
)
from minissm.cli import main
from minissm.lab import config, job
from minissm.selective import softplus
from minissm.spec import BLOCKS

from .fake_device import DEVICE, agree_there, here, is_there, same, strict, there
from .oracles import draw
from .runs import few_sequences

# each block, with each option that changes what is computed
SPECS = (
    *("ssm(poles=3)", "ssm(poles=3, variant='inv', expand=1)", "ssm(poles=2, variant='real')"),
    *("trig(window=3)", "fir(window=2)", "s6(d_state=3)", "lstm", "mean"),
    *("attn(max_len=20)", "attn(heads=1, positions='none')"),
    *("fnn0", "fnn1", "fnn2(width=5, act='relu')", "fnn1(act='silu')"),
)
TASK = tasks.Recall(2, 3, 3)


def test_no_block_is_left_out():
    names = {spec.split("(")[0] for spec in SPECS}
    assert names >= {*BLOCKS, "fnn0", "fnn1"}


def setting(spec, rng, **options):
    net = Model(spec, **{"vocab": TASK.vocab, "width": 4, "dtype": "float64"} | options)
    return net, net.init(rng)


FILTERS = ("ssm", "trig", "fir")  # other blocks have no modes


@pytest.mark.parametrize(
    ("spec", "mode"), [(s, m) for s in SPECS for m in scan.MODES if m == "fft" or s.startswith(FILTERS)]
)
def test_blocks_from_a_state_to_a_state(spec, mode, rng, never_read):
    net, params = setting(spec, rng)
    _, state, _ = net.run(params, rng.integers(0, TASK.vocab, (2, 2)))
    x = np.eye(TASK.vocab)[rng.integers(0, TASK.vocab, (2, 9))]
    agree_there(lambda p, x, s: net.run(p, x, s, mode), params, x, state)
    agree_there(lambda p, x: net(p, x, mode), params, x)
    y, after = net.step(params, tree.map(lambda a: a.copy() if hasattr(a, "dtype") else a, state), x[:, 0])
    y_there, after_there = net.step(there(params), there(state), there(x[:, 0]))
    same(y_there, y)
    same(after_there, after)


@pytest.fixture
def never_read(monkeypatch):
    """float(a), int(a), bool(a), `if a` raise, which would make a GPU wait. (The fake device itself allows them.)"""

    def read(self):
        raise AssertionError("the value of an array is asked for, which would make a GPU wait")

    for name in ("__float__", "__int__", "__bool__", "__complex__", "__index__"):
        monkeypatch.setattr(type(strict.zeros(1)), name, read)


def test_values_that_are_asked_for_are_noticed(never_read):
    for ask in (float, int, bool, complex, range):
        with pytest.raises(AssertionError, match="would make a GPU wait"):
            ask(strict.zeros((), dtype=strict.int64, device=DEVICE))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("spec", SPECS)
def test_a_training_step_of_each_block(spec, dtype, rng, never_read):
    """From a batch of the host to new parameters and a loss, all there."""
    net, params = setting(spec, rng, dtype=dtype)
    batch, tolerance = TASK.batch(rng, 8), 1e-9 if dtype == "float64" else 2e-3
    state, state_there = None, None
    for _ in range(2):
        params_there = there(params)
        params, state, loss = train.step(net, params, batch, state, 1e-3)
        params_there, state_there, loss_there = train.step(net, params_there, batch, state_there, 1e-3)
        same(loss_there, loss, tolerance)
        same(params_there, params, tolerance)
        same(list(state_there), list(state), tolerance)
        state_there = optim.AdamWState(*there(list(state)))


@pytest.mark.parametrize(
    "options", [{"norm": "rms"}, {"norm": "layer"}, {"residual": False}, {"timescales": "reversed"}]
)
def test_a_training_step_of_a_model_of_all_blocks(options, rng, never_read):
    net, params = setting(" + ".join(SPECS), rng, **options)
    batch = TASK.batch(rng, 4)
    new, _, loss = train.step(net, params, batch, None, 1e-3)
    new_there, _, loss_there = train.step(net, there(params), batch, None, 1e-3)
    same(loss_there, loss, 1e-9)
    same(new_there, new, 1e-7)


@pytest.mark.parametrize("spec", SPECS)
def test_init_and_start_where_the_given_array_lives(spec, rng):
    net, params = setting(spec, rng)
    found = net.init(np.random.default_rng(0), like=strict.zeros(1, device=DEVICE))
    same(found, params)
    same(net.start(found, 3), net.start(params, 3))


def test_vectors_for_tokens(rng):
    net, params = setting("ssm(poles=3) + fnn1", rng, vocab=None, inputs=3, outputs=2)
    agree_there(net, params, draw(rng, 2, 7, 3))


def squared(y):
    rng = np.random.default_rng(1)
    targets, weights = rng.normal(size=(2, 7, 5)), rng.integers(0, 2, (2, 7)).astype(float)
    if not isinstance(y, np.ndarray):
        targets, weights = there(targets), there(weights)
    loss, back = losses.squared_error(y, targets, weights)
    return loss, lambda d: back()


def weighted(logits):
    rng = np.random.default_rng(1)
    targets, weights = rng.integers(0, 5, (2, 7)), rng.integers(0, 2, (2, 7)).astype(float)
    if not isinstance(logits, np.ndarray):
        targets, weights = there(targets), there(weights)
    loss, back = losses.cross_entropy(logits, targets, weights)
    return loss, lambda d: back()


def rows_of(x):
    rows = np.array([0, 3, 13])
    return layers.take_rows(x, rows if isinstance(x, np.ndarray) else there(rows))


def functions(rng):
    """name -> a differentiable function, its inputs."""
    x, complex_ = draw(rng, 2, 7, 5), {"dtype": complex}
    norm = {"g": draw(rng, 5), "b": draw(rng, 5)}
    u, dt, A, B, C, h0 = (draw(rng, *s) for s in ((2, 7, 4), (2, 7, 4), (4, 3), (2, 7, 3), (2, 7, 3), (2, 4, 3)))
    found = {
        "linear": (layers.linear, {"w": draw(rng, 5, 3), "b": draw(rng, 3)}, x),
        "relu": (layers.relu, x),
        "gelu": (layers.gelu, x),
        "rms_norm": (layers.rms_norm, {"g": norm["g"]}, x),
        "layer_norm": (layers.layer_norm, norm, x),
        "no_norm": (layers.no_norm, {}, x),
        "add_positions": (lambda w, x: layers.add_positions(w, x, 2), draw(rng, 9, 5), x),
        "take_rows": (rows_of, x),
        "cross_entropy": (weighted, x),
        "squared_error": (squared, x),
        "tanh": (layers.tanh, x),
        "sigmoid": (layers.sigmoid, x),
        "silu": (layers.silu, x),
        "softplus": (softplus, 9 * x),
        "selective_scan": (selective_scan, u, np.exp(dt), -np.exp(A), B, C, h0),
        "selective_scan without h0": (selective_scan, u, np.exp(dt), -np.exp(A), B, C),
        "scan.linear": (scan.linear, 0.9 * x, x, draw(rng, 2, 5)),
        "scan.linear, complex": (scan.linear, *(draw(rng, *s, **complex_) for s in ((2, 7, 4), (2, 7, 4), (2, 4)))),
        "kernel": (lambda a, c: scan.kernel(a, c, 9), draw(rng, 4, 3, **complex_) - 2, draw(rng, 4, 3, **complex_)),
    }
    for filter_ in (*(filters.S4d(3, v) for v in ("lin", "inv", "real")), filters.Trig(3), filters.Fir(3)):
        found[repr(filter_)] = (filter_, filter_.init(rng, 4))
    return found


@pytest.mark.parametrize("name", functions(np.random.default_rng(0)))
def test_functions(name, rng, never_read):
    agree_there(*functions(rng)[name])


def test_what_has_no_gradient(rng):
    q = draw(rng, 2, 3, 7, 4)
    same(attention_weights(there(q), there(q)), attention_weights(q, q))


def test_update_rules(rng, never_read):
    _, params = setting("ssm(poles=3) + fnn1", rng)
    grads = tree.map(lambda a: draw(rng, *a.shape), params)
    same(optim.sgd(there(params), there(grads), 0.1), optim.sgd(params, grads, 0.1))
    for limit in (0.5, 1e9, float("inf")):
        same(list(optim.clip(there(grads), limit)), list(optim.clip(grads, limit)))
    one, two = None, None
    for _ in range(3):
        moved, one = optim.adamw(there(params), there(grads), one, lr=0.01)
        params, two = optim.adamw(params, grads, two, lr=0.01)
        same(moved, params)
        same(list(one), list(two))


def test_gradients_are_checked_there(rng):
    net, params = setting("ssm(poles=3) + fnn1", rng)
    x = np.eye(TASK.vocab)[rng.integers(0, TASK.vocab, (2, 5))]
    assert gradcheck(net, there(params), there(x), directions=1).ok


# ---- trainings, for which reading is allowed where it is meant


@pytest.fixture
def host(monkeypatch):
    """minissm.to(..., "numpy") moves from the fake device too. -> the shapes of all that was moved, in order."""
    moved = []

    def to(value, backend):
        assert backend == "numpy"
        moved.extend(tuple(a.shape) for a in tree.leaves(value) if is_there(a))
        return here(value)

    for module in ("checkpoint", "evaluate", "resume", "train"):
        monkeypatch.setattr(importlib.import_module(f"minissm.{module}"), "to", to)
    return moved


def training(params, steps=30, **options):
    options = {"batch": 4, "evals": 2, "progress": False} | options
    net, _ = setting("ssm(poles=3) + fnn1", np.random.default_rng(0))
    return fit(net, params, TASK, steps, np.random.default_rng(1), **options)


def drawn():
    return setting("ssm(poles=3) + fnn1", np.random.default_rng(0))[1]


def test_a_training_there_is_that_of_numpy(host, never_read):
    params, log = training(drawn())
    params_there, log_there = training(there(drawn()))
    same(params_there, params, 1e-7)
    for row, expected in zip(log_there.rows, log.rows, strict=True):
        assert row == pytest.approx(expected, rel=1e-6)


def test_nothing_is_read_between_two_log_points(host, monkeypatch):
    monkeypatch.setattr(train, "READ", 10)
    seen = {}
    training(there(drawn()), on_step=lambda done: seen.setdefault(done, list(host)))
    reads = [done for done in seen if done == 1 or seen[done] != seen[done - 1]]
    assert reads in ([1, 10, 15, 20, 30], [10, 15, 20, 30])
    losses_read = [shape for shape in seen[15] if len(shape) == 1 and shape[0] < 100]
    assert losses_read[:2] == [(1,), (15,)], "for the bar the last loss, for a row all since the last row at once"


def test_a_loss_that_breaks_there_ends_it_as_on_numpy(host):
    with np.errstate(all="ignore"):
        (params, log), (params_there, log_there) = (training(p, lr=1e20) for p in (drawn(), there(drawn())))
    assert log.stopped == log_there.stopped != ""
    same(params_there, params, 1e-7)


def test_evaluation_there_is_that_of_numpy(host):
    net, params = setting("attn(max_len=20) + fnn1", np.random.default_rng(0))
    one, other = (evaluate(net, p, TASK, np.random.default_rng(5), 300) for p in (params, there(params)))
    assert one == pytest.approx(other, rel=1e-12)


@pytest.mark.parametrize("order", ["from there to numpy", "from numpy to there"])
def test_a_training_goes_on_on_another_backend(host, tmp_path, order):
    path = tmp_path / "fit.npz"

    def pause(done):
        if done == 16:
            raise KeyboardInterrupt

    first, second = (there, lambda p: p) if order == "from there to numpy" else (lambda p: p, there)
    _, log = training(first(drawn()), checkpoint=path, on_step=pause, keep="best")
    assert log.stopped == "interrupted after 16 of 30 steps"
    params, log = training(second(drawn()), checkpoint=path, keep="best")
    expected, log_expected = training(drawn(), keep="best")
    assert log.kept == log_expected.kept
    tree.map(lambda a, b: np.testing.assert_allclose(here(a), b, atol=1e-7), params, expected)
    assert [row["step"] for row in log.rows] == [row["step"] for row in log_expected.rows]
    if order == "from numpy to there":
        assert {a.device for a in tree.leaves(params)} == {DEVICE}


def test_models_and_states_from_there_are_saved_and_come_back_on_numpy(host, tmp_path):
    net, params = setting("ssm(poles=3) + attn(max_len=20)", np.random.default_rng(0), dtype="float32")
    save(tmp_path / "net.npz", net, there(params))
    found, loaded = load(tmp_path / "net.npz")
    assert found == net
    tree.map(np.testing.assert_array_equal, loaded, params)
    assert {type(a) for a in tree.leaves(loaded)} == {np.ndarray}
    _, state, _ = net.run(params, np.array([[0, 1, 2]]))
    save_state(tmp_path / "state.npz", there(state))
    tree.map(np.testing.assert_array_equal, load_state(tmp_path / "state.npz"), state)


def test_the_command_trains_there_and_keeps_what_numpy_reads(host, monkeypatch, tmp_path):
    """As `--backend cupy` does, with the fake device for the card."""
    monkeypatch.setattr(config, "cupy", lambda: None)
    for module in (config, job, sys.modules["minissm.lab.influence"]):
        monkeypatch.setattr(module, "to", lambda value, backend: (there if backend == "cupy" else here)(value))
    few_sequences(monkeypatch)
    asked = [
        "run",
        "copying",
        "--steps",
        "3",
        "--seeds",
        "1",
        "--models",
        "ssm + fnn1; s6",
        "--width",
        "4",
        "--jobs",
        "1",
    ]
    rows = []
    for backend in ("numpy", "cupy"):
        assert (
            main([*asked, "--jobs", "1", "--dtype", "float64", "--backend", backend, "--out", str(tmp_path / backend)])
            == 0
        )
        text = (tmp_path / backend / "results.jsonl").read_text()
        rows.append([json.loads(line) for line in text.splitlines()])
    for one, other in zip(*rows, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-9)
        (_, params), (_, params_there) = (load(tmp_path / b / one["weights"]) for b in ("numpy", "cupy"))
        tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-7), params_there, params)
    assert host, "the fake device was used"


# ---- what CuPy must have


class Recorded:
    """A namespace that notes the names it is asked for."""

    def __init__(self, module, names, prefix=""):
        self.module, self.names, self.prefix = module, names, prefix

    def __getattr__(self, name):
        found = getattr(self.module, name)
        if name == "fft":
            return Recorded(found, self.names, "fft.")
        if not name.startswith("__"):
            self.names.add(self.prefix + name)
        return found


def asked(monkeypatch):
    """The names of all that the library asks of a namespace."""
    names, original = set(), array_api_compat.array_namespace
    with monkeypatch.context() as patched:
        patched.setattr(array_api_compat, "array_namespace", lambda *a, **k: Recorded(original(*a, **k), names))
        rng = np.random.default_rng(0)
        for f, *inputs in functions(rng).values():
            *ys, back = f(*map(there, inputs))
            back(*ys)
        for spec in SPECS:
            for mode, dtype in product(scan.MODES, ("float32", "float64")):
                net, params = setting(spec, rng, norm="layer", dtype=dtype)
                batch, params = TASK.batch(rng, 2), there(params)
                params, _, _ = train.step(net, params, batch, None, 1e-3, mode=mode)
                _, state, _ = net.run(params, there(batch.inputs), net.start(params, 2), mode)
                net.step(params, state, there(batch.inputs[:, 0]))
                net.trace(params, there(batch.inputs))
        training(there(drawn()), 2)
        test_gradients_are_checked_there(rng)
    return names


def test_cupy_has_all_that_is_asked_of_a_namespace(host, monkeypatch):
    try:
        cupy = importlib.import_module("array_api_compat.cupy")
    except ImportError as error:
        pytest.skip(f"CuPy is not installed, so its names are not compared: {error}")
    names = asked(monkeypatch)
    assert names >= {"concat", "searchsorted", "vecdot", "log1p", "fft.rfft", "isfinite", "isdtype", "complex64"}
    places = SimpleNamespace(**{"": cupy, "fft": cupy.fft})
    missing = [n for n in sorted(names) if not hasattr(getattr(places, n.rpartition(".")[0]), n.rpartition(".")[2])]
    assert missing == []
