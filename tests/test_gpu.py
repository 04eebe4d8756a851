"""Where there is a GPU, `pytest -m gpu`: CuPy computes what NumPy computes, and nothing is waited for."""

import json
import subprocess
import sys

import numpy as np
import pytest

from minissm import (
    Model,
    Poles,
    evaluate,
    fit,
    layers,
    load,
    load_state,
    save,
    save_state,
    scan,
    tasks,
    to,
    train,
    tree,
)
from minissm.cli import main

from . import test_cuda
from .test_device import SPECS, TASK

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("card")]

# keeps the card busy, for a quarter to a whole second, as clocks go; it always ends
SPIN = 'extern "C" __global__ void spin(long long n) { long long start = clock64(); while (clock64() - start < n); }'
CYCLES = 500_000_000


def close(found, expected, tolerance):
    """Arrays from the GPU, and numbers, against those of NumPy; relative to the largest of each array."""

    def check(a, b):
        if hasattr(b, "dtype"):
            assert type(a).__module__.startswith("cupy")
            np.testing.assert_allclose(to(a, "numpy"), b, rtol=0, atol=tolerance * max(1, abs(b).max(initial=0)))
        else:
            assert a == b

    tree.map(check, found, expected)


def copied(state):
    return tree.map(lambda a: a.copy() if hasattr(a, "dtype") else a, state)


def as_double(value):
    """float32 and complex64 as float64 and complex128: the reference has the numbers that the GPU has."""
    wide = {"f": np.float64, "c": np.complex128}
    return tree.map(lambda a: a.astype(wide.get(a.dtype.kind, a.dtype)) if hasattr(a, "dtype") else a, value)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-9), ("float32", 1e-4)])
@pytest.mark.parametrize("mode", scan.MODES)
@pytest.mark.parametrize("spec", SPECS)
def test_blocks_agree_with_numpy_forward_and_backward(spec, mode, dtype, tolerance, rng):
    """From a state to a state, against NumPy in double precision; and token by token."""
    options = {"vocab": 6, "width": 8}
    net, exact = (Model(spec, **options, dtype=d) for d in (dtype, "float64"))
    params = net.init(rng)
    _, state, _ = net.run(params, rng.integers(0, 6, (3, 2)))
    x = rng.normal(size=(3, 17, 6)).astype(dtype)
    given = (params, x, state)
    y, end, back = exact.run(*as_double(list(given)), mode)
    y_there, end_there, back_there = net.run(*(to(a, "cupy") for a in given), mode)
    close([y_there, end_there], [y, end], tolerance)
    dstate, dstate_there = (tree.map(lambda a: a if hasattr(a, "dtype") else None, state) for state in (end, end_there))
    close(list(back_there(y_there, dstate_there)), list(back(y, dstate)), 10 * tolerance)
    y_t, after = exact.step(as_double(params), as_double(state), x[:, 0].astype(float))
    y_t_there, after_there = net.step(to(params, "cupy"), to(copied(state), "cupy"), to(x[:, 0], "cupy"))
    close([y_t_there, after_there], [y_t, after], tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
@pytest.mark.parametrize("shape", [(1, 1), (2, 64, 32), (3, 150, 37), (1, 519, 3), (2, 5000, 70), (70, 300, 129)])
def test_the_linear_recurrence_agrees(shape, dtype, rng):
    """In one part and in several, in whole tiles and in others."""
    problem = test_cuda.linear_problem(rng, shape, dtype)
    expected = test_cuda.linear_results(*as_double(list(problem)))
    tolerance = 2e-5 if np.finfo(dtype).eps > 1e-10 else 1e-11
    close(list(test_cuda.linear_results(*to(problem, "cupy"))), list(expected), tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("B", "L", "D", "N"), [(1, 1, 1, 1), (3, 17, 2, 5), (2, 259, 5, 3), (1, 5000, 33, 16), (70, 300, 1000, 2)]
)
def test_the_scan_of_modes_agrees(B, L, D, N, dtype, rng):
    problem = test_cuda.modes_problem(rng, B, L, D, N, dtype)
    expected = test_cuda.modes_results(*as_double(list(problem)))
    tolerance = 1e-4 if dtype == np.float32 else 1e-11
    close(list(test_cuda.modes_results(*to(problem, "cupy"))), list(expected), tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-13), (np.float32, 1e-5)])
def test_gelu_and_its_slope_agree(dtype, tolerance, rng):
    """Large and non-finite numbers, too; the last block has one number."""
    far = [50, 1e10, 1e30, np.inf, -50, -1e10, -1e30, -np.inf, np.nan]
    x, dy = rng.normal(size=(2, 128 * 9 + 1)).astype(dtype)
    x[: len(far)] = far
    found = test_cuda.gelu_results(*to([x, dy], "cupy"))
    for a, b in zip(found, test_cuda.gelu_results(x, dy), strict=True):
        np.testing.assert_allclose(to(a, "numpy"), b, rtol=tolerance, atol=tolerance)


def test_factors_that_grow_where_the_state_is_0_leave_it_finite(card):
    a, b = card.full((2, 600, 3), 1e60), card.zeros((2, 600, 3))
    b[:, 599] = 1
    h, last, _ = scan.linear(a, b)
    assert (to(h[:, :599], "numpy") == 0).all()
    assert (to(last, "numpy") == 1).all()
    log_lam, c, u = card.full((3, 2), 60 + 1j), card.ones((3, 2), complex), card.zeros((2, 600, 3))
    u[:, 599] = 1
    y, _, _ = scan.recurrent(log_lam, c, u)
    np.testing.assert_array_equal(to(y[:, -1], "numpy"), np.full((2, 3), 2.0))
    assert (to(y[:, :-1], "numpy") == 0).all()


def test_a_stepper_moves_its_state_on_and_only_reads_others(rng):
    log_lam, c, u, h0, *_ = test_cuda.modes_problem(rng, 3, 7, 5, 4, np.float64)
    y, last, _ = scan.recurrent(log_lam, c, u, h0)
    log_lam, c, u, h0_there = to([log_lam, c, u, h0], "cupy")
    step, h, outputs = scan.stepper(Poles(log_lam, c), u.dtype), h0_there, []
    for t in range(7):
        y_t, h = step(u[:, t], h)
        outputs.append(to(y_t, "numpy"))
    np.testing.assert_allclose(np.stack(outputs, axis=1), y, atol=1e-11)
    close([h, h0_there], [last, h0], 1e-11)


def trained(spec, backend, steps, **options):
    net = Model(spec, vocab=TASK.vocab, width=12)
    params = to(net.init(np.random.default_rng(0)), backend)
    return net, *fit(net, params, TASK, steps, np.random.default_rng(1), progress=False, **options)


@pytest.mark.parametrize("spec", ["ssm + fnn1 + ssm + fnn1", "attn + fnn1 + attn + fnn1"])
def test_a_small_model_learns_as_well_as_on_the_processor(spec):
    scores = []
    for backend in ("numpy", "cupy"):
        net, params, log = trained(spec, backend, 300)
        assert log.stopped == ""
        scores.append(evaluate(net, params, TASK, np.random.default_rng(9), 500)["token_accuracy"])
    assert min(scores) > 0.93
    assert abs(scores[0] - scores[1]) < 0.05


def test_evaluation_is_that_of_numpy():
    net = Model("ssm + attn + fnn1", vocab=TASK.vocab, width=12, dtype="float64")
    params = net.init(np.random.default_rng(0))
    one, other = (evaluate(net, p, TASK, np.random.default_rng(5), 300) for p in (params, to(params, "cupy")))
    assert one == pytest.approx(other, rel=1e-9)


@pytest.mark.parametrize("mode", ["auto", "recurrent"])
@pytest.mark.parametrize("spec", SPECS)
def test_the_same_seed_gives_the_same_bits(spec, mode):
    (_, one, log), (_, other, log2) = (trained(spec, "cupy", 30, mode=mode) for _ in range(2))
    assert log == log2
    one, other = to([one, other], "numpy")
    assert [a.tobytes() for a in tree.leaves(one)] == [a.tobytes() for a in tree.leaves(other)]


@pytest.mark.parametrize(("spec", "mode"), [*((s, "auto") for s in SPECS), *((s, "recurrent") for s in SPECS[:3])])
def test_a_training_step_waits_for_nothing(spec, mode, card, rng):
    """The card is kept busy; a step that is asked for meanwhile returns before the card comes to it."""
    net = Model(f"{spec} + fnn1", vocab=TASK.vocab, width=8, norm="rms")
    params = to(net.init(rng), "cupy")
    batch, state = TASK.batch(rng, 8), None
    spin, stream, event = card.RawKernel(SPIN, "spin"), card.cuda.get_current_stream(), card.cuda.Event()
    for _ in range(3):  # at first it compiles, and takes the memory that a step needs whose card lags behind
        spin((1,), (1,), (np.int64(CYCLES),))
        event.record(stream)
        params, state, loss = train.step(net, params, batch, state, 1e-3, mode=mode)
        waited = event.done
        assert np.isfinite(float(loss))
        assert event.done, "reading the loss waits, or this test tells nothing"
    assert not waited


def test_models_states_and_trainings_go_from_one_to_the_other(tmp_path):
    net = Model("ssm + attn(max_len=20)", vocab=TASK.vocab, width=8)
    params = net.init(np.random.default_rng(0))
    save(tmp_path / "net.npz", net, to(params, "cupy"))
    found, loaded = load(tmp_path / "net.npz")
    assert found == net
    assert {type(a) for a in tree.leaves(loaded)} == {np.ndarray}
    tree.map(np.testing.assert_array_equal, loaded, params)
    _, state, _ = net.run(to(params, "cupy"), to(np.array([[0, 1, 2]]), "cupy"))
    save_state(tmp_path / "state.npz", state)
    back = to(load_state(tmp_path / "state.npz"), "cupy")
    y, _ = net.step(to(params, "cupy"), back, to(np.array([3]), "cupy"))
    expected = net(params, np.array([[0, 1, 2, 3]]))[0][:, -1]
    np.testing.assert_allclose(to(y, "numpy"), expected, atol=1e-4)


@pytest.mark.parametrize(("first", "second"), [("cupy", "numpy"), ("numpy", "cupy"), ("cupy", "cupy")])
def test_a_training_goes_on_on_the_other_backend(first, second, tmp_path):
    def pause(done):
        if done == 11:
            raise KeyboardInterrupt

    path = tmp_path / "fit.npz"
    assert "interrupted after 11" in trained("ssm + fnn1", first, 30, checkpoint=path, on_step=pause)[2].stopped
    _, params, log = trained("ssm + fnn1", second, 30, checkpoint=path)
    _, expected, log_expected = trained("ssm + fnn1", second, 30)
    params, expected = to([params, expected], "numpy")
    for a, b in zip(tree.leaves(params), tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, atol=0 if first == second else 0.02)
    assert [row["step"] for row in log.rows] == [row["step"] for row in log_expected.rows]


def test_mixed_arrays_are_refused_with_the_remedy(rng):
    p, x = layers.linear_init(rng, 4, 3), rng.normal(size=(2, 4))
    message = r"arrays live on different backends: cupy, numpy; move them with minissm.to\(tree, backend\)"
    with pytest.raises(TypeError, match=message):
        layers.linear(to(p, "cupy"), x)


def test_info_names_the_card(card, capsys):
    assert main(["info"]) == 0
    text = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("GPU: "))
    assert f"CuPy {card.__version__}; usable with --backend cupy" in text
    digits = card.cuda.Device().compute_capability  # "90", "100"
    assert f"compute capability {digits[:-1]}.{digits[-1]}" in text


def test_the_command_trains_on_the_gpu(tmp_path):
    command = [sys.executable, "-m", "minissm", "run", "copying", "--backend", "cupy", "--steps", "20", "--seeds", "1"]
    more = ["--models", "ssm + fnn1; attn + fnn1", "--width", "8", "--out", str(tmp_path / "there")]
    done = subprocess.run([*command, *more], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (tmp_path / "there" / "results.jsonl").read_text().splitlines()]
    assert len(rows) == 2
    assert all(0 <= row["token_accuracy"] <= 1 and row["stopped"] == "" for row in rows)
    assert tasks.Copying().vocab == load(next((tmp_path / "there" / "weights").iterdir()))[0].vocab
