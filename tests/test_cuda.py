"""The kernels of minissm/fast/cuda without a GPU: built by g++ they agree with the reference bodies, and a CUDA
compiler takes them. Neither is a pass on a GPU: that is tests/test_gpu.py.
"""

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from minissm import Model, Poles, fast, layers, scan, tree
from minissm.fast import cuda
from minissm.fast.cuda import launch
from minissm.gradcheck import gradcheck
from minissm.tasks import Copying
from minissm.train import step

from . import cuda_shim
from .cuda_shim import Shim
from .oracles import draw

FILES = sorted(path.name for path in Path(launch.__file__).parent.glob("*.cu"))
REAL = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    if cuda_shim.COMPILER is None:
        pytest.skip("kernels not built for the processor: g++ is not installed")
    return Shim(tmp_path_factory.mktemp("shim"))


@pytest.fixture
def shim(library, monkeypatch):
    """Launches go to the processor, and NumPy arrays to the kernels."""
    library.launched.clear()
    monkeypatch.setattr(launch, "function", library.function)
    monkeypatch.setattr(fast, "REFERENCE", False)
    monkeypatch.setattr(fast, "NUMPY", fast.CUPY)
    return library


def tolerance(dtype):
    return 1e-4 if np.finfo(dtype).eps > 1e-10 else 1e-11


def close(ours, plain, dtype):
    for a, b in zip(ours, plain, strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance(dtype) * max(1, abs(b).max()))


def plainly(monkeypatch, f, *inputs):
    with monkeypatch.context() as patch:
        patch.setattr(fast, "REFERENCE", True)
        return f(*inputs)


def linear_results(a, b, h0, dh, dh_last):
    h, last, back = scan.linear(a, b, h0)
    h_zero, _, back_zero = scan.linear(a, b)
    return h, last, *back(dh, dh_last), *back(None, dh_last), h_zero, *back_zero(dh)


def linear_problem(rng, shape, dtype):
    a = draw(rng, *shape, dtype=dtype) * np.dtype(dtype).type(0.7)
    a[abs(a) < 0.1] = 0
    state = (shape[0], *shape[2:])
    return a, *(draw(rng, *s, dtype=dtype) for s in (shape, state, shape, state))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
@pytest.mark.parametrize("shape", [(1, 1), (2, 7, 3), (3, 5, 2, 3), (2, 64, 32), (1, 65, 33), (2, 131, 5), (1, 519, 3)])
def test_the_linear_recurrence_agrees(shape, dtype, shim, rng, monkeypatch):
    problem = linear_problem(rng, shape, dtype)
    close(linear_results(*problem), plainly(monkeypatch, linear_results, *problem), dtype)
    assert ("chain" in shim.launched) == (shape[1] > 512)  # in two parts of 260 steps, the second is shorter


@pytest.mark.parametrize("shortest", [1, 3, 10])
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_the_linear_recurrence_agrees_in_any_number_of_parts(shortest, dtype, shim, rng, monkeypatch):
    """Parts of one step, too: most of them shorter than a tile."""
    monkeypatch.setattr(cuda.linear, "SHORTEST", shortest)
    for shape in ((2, 13, 5), (1, 41, 35)):
        problem = linear_problem(rng, shape, dtype)
        close(linear_results(*problem), plainly(monkeypatch, linear_results, *problem), dtype)
    assert "chain" in shim.launched


@pytest.mark.parametrize("shortest", [256, 10])
def test_products_may_overflow_where_the_recurrence_does_not(shortest, shim, monkeypatch):
    """The first channel grows from 0, which stays 0 as long as nothing is added; the second is as any other."""
    monkeypatch.setattr(cuda.linear, "SHORTEST", shortest)
    a, b = np.full((2, 90, 2), 1e60), np.zeros((2, 90, 2))
    a[..., 1], b[..., 1], b[:, 88, 0], a[:, 87, :] = 0.5, 1, 1, 0
    h0, dh = np.zeros((2, 2)), np.zeros((2, 90, 2))
    dh[:, 88:] = 1
    found = [*scan.linear(a, b, h0)[:2], *scan.linear(a, b, h0)[2](dh, h0)]
    plain = plainly(monkeypatch, lambda: [*scan.linear(a, b, h0)[:2], *scan.linear(a, b, h0)[2](dh, h0)])
    assert np.isfinite(found[0]).all()
    close(found, plain, np.float64)
    assert ("chain" in shim.launched) == (shortest == 10)


@pytest.mark.parametrize("shortest", [256, 10])
@pytest.mark.parametrize("factor", [2, 100])
def test_factors_that_grow_cost_no_digits_that_the_recurrence_keeps(factor, shortest, shim, monkeypatch):
    """1 = factor 1 - (factor - 1), for ever; but not for who multiplies factors first and subtracts then."""
    monkeypatch.setattr(cuda.linear, "SHORTEST", shortest)
    a, b = np.full((1, 600, 3), float(factor)), np.full((1, 600, 3), 1.0 - factor)
    h, last, backward = scan.linear(a, b, np.ones((1, 3)))
    assert (h == 1).all()
    assert (last == 1).all()
    dh = np.zeros((1, 600, 3))
    dh[:, :-1], dh_last = b[:, 1:], np.ones((1, 3))
    _, db, dh0 = backward(dh, dh_last)
    assert (db == 1).all()
    assert (dh0 == factor).all()
    assert "chain" in shim.launched


def test_what_is_not_finite_stays_where_it_is_in_the_plain_body(shim, rng, monkeypatch):
    a, b, h0, *_ = linear_problem(rng, (2, 131, 5), np.float64)
    b[0, 70, 2], a[1, 3, 1], a[1, 100, 1] = np.inf, np.nan, 0
    with np.errstate(invalid="ignore"):
        plain, _, _ = plainly(monkeypatch, scan.linear, a, b, h0)
    np.testing.assert_allclose(scan.linear(a, b, h0)[0], plain, rtol=1e-12)


def modes_problem(rng, B, L, D, N, dtype):
    log_lam = -rng.uniform(0.01, 0.5, (D, N)) + 1j * draw(rng, D, N)
    complex_ = np.result_type(dtype, np.complex64)
    inputs = log_lam, draw(rng, D, N, dtype=complex), draw(rng, B, L, D, dtype=dtype)
    return (
        *inputs,
        draw(rng, B, D, N, dtype=complex_),
        draw(rng, B, L, D, dtype=dtype),
        draw(rng, B, D, N, dtype=complex_),
    )


def modes_results(log_lam, c, u, h0, dy, dh):
    y, h, back = scan.recurrent(log_lam, c, u, h0)
    y_zero, _, back_zero = scan.recurrent(log_lam, c, u)
    return y, h, *back(dy, dh), *back(None, dh), y_zero, *back_zero(dy)


@REAL
@pytest.mark.parametrize(
    ("B", "L", "D", "N"), [(1, 1, 1, 1), (2, 7, 4, 3), (1, 16, 3, 2), (3, 17, 2, 5), (2, 259, 5, 3), (1, 1000, 3, 2)]
)
def test_the_scan_of_modes_agrees(B, L, D, N, dtype, shim, rng, monkeypatch):
    problem = modes_problem(rng, B, L, D, N, dtype)
    close(modes_results(*problem), plainly(monkeypatch, modes_results, *problem), dtype)
    assert ("chain" in shim.launched) == (L >= 256)


@pytest.mark.parametrize("shortest", [1, 32])
def test_the_scan_of_modes_agrees_in_any_number_of_parts(shortest, shim, rng, monkeypatch):
    monkeypatch.setattr(cuda.diagonal, "SHORTEST", shortest)
    for L in (33, 64, 101):
        problem = modes_problem(rng, 2, L, 3, 2, np.float64)
        close(modes_results(*problem), plainly(monkeypatch, modes_results, *problem), np.float64)
    assert "chain" in shim.launched


def test_powers_of_a_part_may_overflow_where_the_recurrence_does_not(shim, rng, monkeypatch):
    """A mode that grows, in a channel without inputs and gradients; the channel beside it is as any other."""
    monkeypatch.setattr(cuda.diagonal, "SHORTEST", 16)
    log_lam, c, u, h0, dy, dh = modes_problem(rng, 2, 70, 3, 2, np.float64)
    log_lam[1, 0] = 60 + 1j
    u[:, :60, 1], dy[:, 10:, 1], dh[:, 1], h0[:, 1] = 0, 0, 0, 0
    with np.errstate(over="ignore", invalid="ignore"):
        ours = modes_results(log_lam, c, u, h0, dy, dh)
        plain = plainly(monkeypatch, modes_results, log_lam, c, u, h0, dy, dh)
    assert "chain" in shim.launched
    assert np.isfinite(plain[0]).all()
    for a, b in zip(ours, plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * np.abs(b[np.isfinite(b)]).min(initial=1))


@pytest.mark.parametrize("shortest", [128, 2**15], ids=["in parts", "in one part"])
def test_single_precision_is_exact_over_a_long_memory(shortest, shim, rng, monkeypatch):
    """Constant inputs, to which rounding in each step would answer with a wrong constant."""
    monkeypatch.setattr(cuda.diagonal, "SHORTEST", shortest)
    _, c, u, h0, dy, dh = modes_problem(rng, 1, 2**14 + 5, 4, 1, np.float32)
    log_lam = np.array([[-0.3 + 1j], [-1e-4 + 1.2345j], [-1e-4], [3j]])
    u[..., 2] = dy[..., 2] = 1
    single = modes_results(log_lam, c, u, h0, dy, dh)
    double = (a.astype(np.result_type(a, np.float64)) for a in (u, h0, dy, dh))
    monkeypatch.setattr(scan, "recurrent", scan.fft)
    monkeypatch.setattr(fast, "REFERENCE", True)
    for a, b in zip(single, modes_results(log_lam, c, *double), strict=True):
        axis = -1 if a.shape[-1] == 4 else -2  # of the channels
        largest = abs(b).max(axis=tuple({*range(b.ndim)} - {axis % b.ndim}), keepdims=True)
        assert (abs(a - b) <= 1e-5 * largest).all()
    assert ("chain" in shim.launched) == (shortest == 128)


def test_many_steps_of_a_long_memory_lose_nothing_in_single_precision(shim):
    """Nor if the caller begins anew with one sequence of the batch."""
    log_lam, u = np.array([[-1e-7 + 0j], [-1e-3 + 2.6j]]), np.ones((2, 2), np.float32)
    step, h = scan.stepper(Poles(log_lam, np.ones((2, 1), complex)), np.float32), np.zeros((2, 2, 1), np.complex64)
    for _ in range(1001):
        y, h = step(u, h)
        u = np.zeros_like(u)
        h[1] = 0
    np.testing.assert_allclose(y, [np.exp(1000 * log_lam[:, 0]).real, [0, 0]], rtol=0, atol=1e-6)


def test_inputs_that_are_not_finite_stay_where_they_are(shim, rng):
    """From token 50 on, in their channel; and behind cotangents of 0, they reach no gradient."""
    log_lam, c, u, h0, dy, _ = modes_problem(rng, 2, 100, 3, 2, np.float64)
    dy[:, 40:], bad = 0, u.copy()
    bad[1, 50, 1] = np.inf
    (y, _, back), (y_bad, _, back_bad) = scan.recurrent(log_lam, c, u, h0), scan.recurrent(log_lam, c, bad, h0)
    assert {tuple(at) for at in np.argwhere(y_bad != y)} == {(1, t, 1) for t in range(50, 100)}
    for a, b in zip(back(dy), back_bad(dy), strict=True):
        np.testing.assert_array_equal(a, b)


@REAL
def test_steps_agree_and_states_from_elsewhere_are_only_read(dtype, shim, rng, monkeypatch):
    log_lam, c, u, h0, *_ = modes_problem(rng, 3, 7, 5, 4, dtype)
    y, last, _ = plainly(monkeypatch, scan.recurrent, log_lam, c, u, h0)
    one, before, h = scan.stepper(Poles(log_lam, c), dtype), h0.copy(), h0
    outputs = []
    for t in range(7):
        y_t, h = one(u[:, t], h)
        outputs.append(y_t)
    close([np.stack(outputs, axis=1), h], [y, last.astype(complex)], dtype)
    assert shim.launched == ["step"] * 7
    in_the_kernels_layout = h0.swapaxes(1, 2).copy().swapaxes(1, 2)
    one(u[:, 0], in_the_kernels_layout)
    for state in (h0, in_the_kernels_layout):
        np.testing.assert_array_equal(state, before)


def gelu_results(x, dy):
    y, back = layers.gelu(x)
    return y, back(dy), back(None)


@REAL
@pytest.mark.parametrize("shape", [(), (1,), (7,), (2, 7, 3), (5, 127), (3, 129), (0, 4)])
def test_gelu_and_its_slope_agree(shape, dtype, shim, rng, monkeypatch):
    x, dy = np.asarray(3 * draw(rng, *shape), dtype), np.asarray(draw(rng, *shape), dtype)
    expected = plainly(monkeypatch, gelu_results, x, dy)
    ours = gelu_results(x, dy)
    assert shim.launched == ["gelu", "gelu_backward", "gelu_backward"]
    for a, b in zip(ours, expected, strict=True):
        assert (type(a), a.dtype, a.shape) == (np.ndarray, dtype, shape)
        np.testing.assert_allclose(a, b, rtol=0, atol=64 * np.finfo(dtype).eps)


@REAL
def test_gelu_of_large_and_non_finite_numbers_agrees_with_the_reference_body(dtype, shim, monkeypatch):
    numbers = [0, 1e-30, 5, 49.9, 50, 50.1, 1e10, 1e30, np.inf]
    x = np.array([*numbers, *(-z for z in numbers), np.nan], dtype)
    with np.errstate(invalid="ignore"):
        for dy in (1, -2.5, np.inf, np.nan):
            problem = x, np.full_like(x, dy)
            for ours, plain in zip(gelu_results(*problem), plainly(monkeypatch, gelu_results, *problem), strict=True):
                np.testing.assert_allclose(ours, plain, rtol=4 * np.finfo(dtype).eps, atol=np.finfo(dtype).tiny)
    assert np.isnan(layers.gelu(x)[0][-1])


def test_fnn_takes_the_kernels_of_gelu(shim, rng, monkeypatch):
    p = [layers.linear_init(rng, 5, 7), layers.linear_init(rng, 7, 3)]
    x, dy = draw(rng, 3, 11, 5), draw(rng, 3, 11, 3)

    def results():
        y, back = layers.fnn(p, x)
        dp, dx = back(dy)
        return [y, dx, *tree.leaves(dp)]

    close(results(), plainly(monkeypatch, results), np.float64)
    assert shim.launched == ["gelu", "gelu_backward"]


def test_gradients_of_the_kernels_are_right(shim, rng, monkeypatch):
    monkeypatch.setattr(cuda.diagonal, "SHORTEST", 16)
    monkeypatch.setattr(cuda.linear, "SHORTEST", 10)
    log_lam, c, u, h0, *_ = modes_problem(rng, 2, 37, 3, 2, np.float64)
    assert gradcheck(scan.recurrent, log_lam, c, u, h0).ok
    for dtype in (np.float64, np.complex128):
        a, b, h0, *_ = linear_problem(rng, (2, 37, 3), dtype)
        assert gradcheck(scan.linear, a, b, h0).ok
    assert gradcheck(layers.gelu, draw(rng, 2, 7, 3)).ok


def test_inputs_are_only_read_and_a_backward_may_be_called_twice(shim, rng):
    for results, problem in (
        (linear_results, linear_problem(rng, (2, 71, 3), np.float64)),
        (modes_results, modes_problem(rng, 2, 37, 3, 2, np.float64)),
        (gelu_results, (draw(rng, 5, 7), draw(rng, 5, 7))),
    ):
        before = [a.copy() for a in problem]
        close(results(*(np.asfortranarray(a) for a in problem)), results(*problem), np.float64)  # any strides
        for a, b in zip(problem, before, strict=True):
            np.testing.assert_array_equal(a, b)
    problem = linear_problem(rng, (2, 71, 3), np.float64)
    h, last, back = scan.linear(*problem[:2])
    first = [d.copy() for d in back(h, last)]
    last[...] = 0  # the caller's own
    for a, b in zip(back(h, h[:, -1]), first, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_whole_training_step_takes_the_kernels_and_the_plain_way_to_the_same_weights(shim, rng, monkeypatch):
    task = Copying(2, 5)
    net = Model("ssm(poles=3) + fnn1 + s6(d_state=2)", vocab=task.vocab, width=6, dtype="float64")
    params, batch = net.init(rng), task.batch(rng, 3)
    ours, _, loss = step(net, params, batch, None, 0.1, mode="recurrent")
    assert set(shim.launched) == {"forward", "backward", "outputs", "gradients", "gelu", "gelu_backward"}
    plain, _, loss_plain = plainly(monkeypatch, lambda: step(net, params, batch, None, 0.1, mode="recurrent"))
    assert abs(loss - loss_plain) < 1e-12
    tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-8), ours, plain)


def test_arrays_of_cupy_are_given_to_the_kernels(monkeypatch):
    monkeypatch.setattr(fast, "REFERENCE", False)
    monkeypatch.setattr(fast, "namespace", lambda *arrays: ModuleType("array_api_compat.cupy"))
    assert fast.path("linear", None) is cuda.linear.linear
    assert fast.path("recurrent", None) is cuda.diagonal.recurrent
    assert fast.path("stepper", None) is cuda.step.stepper
    assert fast.path("gelu", None) is cuda.gelu.gelu
    assert fast.path("chunked", None) is None
    monkeypatch.setattr(fast, "REFERENCE", True)
    assert fast.path("linear", None) is None


def test_cupy_compiles_a_file_once_for_all_kernels_of_a_type(monkeypatch):
    """By its text, for CuPy looks into no header to see whether a kernel that it keeps is still the same."""
    made = []

    def module(**given):
        made.append(given)
        return SimpleNamespace(get_function=lambda name: name)

    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(RawModule=module))
    for cached in (launch.function, launch._module):
        cached.cache_clear()
    found = [launch.function("linear.cu", kernel, "Complex<float>") for kernel in ("forward", "chain", "forward")]
    for cached in (launch.function, launch._module):
        cached.cache_clear()
    assert found == ["forward<Complex<float>>", "chain<Complex<float>>", "forward<Complex<float>>"]
    (given,) = made
    assert "#include" not in given["code"]
    assert "struct alignas(2 * sizeof(T)) Complex" in given["code"]
    assert set(found) < set(given["name_expressions"])
    assert given["options"] == ("-std=c++17",)


def test_a_launch_hands_on_whole_numbers_of_64_bits(monkeypatch):
    seen = []
    monkeypatch.setattr(launch, "function", lambda *asked: lambda *given: seen.append((asked, given)))
    a = np.zeros(3)
    launch.each("step.cu", "step", a.dtype, 257, a, 3)
    ((asked, (grid, block, (array, number))),) = seen
    assert (asked, grid, block) == (("step.cu", "step", "double"), (3,), (128,))
    assert array is a
    assert (type(number), number) == (np.int64, 3)
    launch.each("step.cu", "step", a.dtype, 0, a)
    assert seen[1][1][0] == (1,), "CUDA refuses an empty grid"
    with pytest.raises(ValueError, match=r"step.cu: step got an array of strides \(16,\); make it contiguous"):
        launch.each("step.cu", "step", a.dtype, 1, np.zeros(6)[::2])


def test_a_dtype_without_a_kernel_is_refused(shim):
    with pytest.raises(ValueError, match=r"linear.cu: float16 on a GPU; expected one of float32, .* convert it"):
        launch.launch("linear.cu", "forward", np.dtype("float16"), 1, (1,))


def test_the_sizes_in_the_kernels_are_those_that_the_launches_count_on():
    linear, modes = launch.source("linear.cu"), launch.source("diagonal.cu")
    for name in ("LANES", "PIECES"):
        assert f"constexpr int {name} = {getattr(cuda.linear, name)};" in linear
    assert f"constexpr int Q = {cuda.diagonal.Q};" in modes
    assert f"constexpr double FAR = {layers.FAR:g};" in launch.source("gelu.cu")


def test_every_kernel_is_in_the_package():
    assert [launch.kernels(file) for file in FILES] == [
        ["ends", "outputs", "back_ends", "gradients", "chain"],
        ["gelu", "gelu_backward"],
        ["forward", "backward", "forward_ends", "backward_ends", "chain"],
        ["step"],
    ]
    packed = (Path(__file__).parent.parent / "setup.cfg").read_text()
    assert "fast/cuda/*.cu, fast/cuda/*.cuh" in packed


UNDER_A_SANITIZER = """
import sys
from pathlib import Path
import numpy as np
from minissm import Poles, fast, layers, scan
from minissm.fast import cuda
from minissm.fast.cuda import launch
from tests.cuda_shim import Shim
from tests.test_cuda import linear_problem, linear_results, modes_problem, modes_results
one = lambda file: ["Complex<float>" if file == "linear.cu" else "float"]
options = [f"-fsanitize={sys.argv[2]}"] + ["-DSHIM_THREADS"] * (sys.argv[2] == "thread")
launch.function = Shim(Path(sys.argv[1]), *options, made=one).function
fast.NUMPY, fast.REFERENCE, rng = fast.CUPY, False, np.random.default_rng(0)
for shortest in (256, 16):
    cuda.linear.SHORTEST = cuda.diagonal.SHORTEST = shortest
    for B, L, C, N in ((1, 67, 33, 2), (2, 7, 3, 5))[: 2 if sys.argv[2] == "address" else 1]:
        linear_results(*linear_problem(rng, (B, L, C), np.complex64))
        if sys.argv[2] == "address":  # the threads of the other kernels don't meet
            modes_results(*modes_problem(rng, B, L, C, N, np.float32))
if sys.argv[2] == "address":
    log_lam, c, u, h, *_ = modes_problem(rng, 3, 7, 5, 4, np.float32)
    step = scan.stepper(Poles(log_lam, c), np.float32)
    for t in range(7):
        y, h = step(u[:, t], h)
    y, back = layers.gelu(u)
    back(y)
print("done")
"""


@pytest.mark.parametrize("kind", ["address", pytest.param("thread", marks=pytest.mark.slow)])
def test_a_sanitizer_finds_nothing(kind, library, tmp_path):
    """No number outside of its array, no shared number that a thread writes while another reads it.

    In a process of its own, into which the sanitizer comes before everything else.
    """
    asked = [cuda_shim.COMPILER, f"-print-file-name=lib{kind[0]}san.so"]
    runtime = subprocess.run(asked, capture_output=True, text=True).stdout.strip()
    if "/" not in runtime:
        pytest.skip(f"kernels not run under the {kind} sanitizer: lib{kind[0]}san is not installed")
    env = {"LD_PRELOAD": runtime, "ASAN_OPTIONS": "detect_leaks=0"}
    env |= {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parent.parent), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", UNDER_A_SANITIZER, str(tmp_path), kind]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=3000)
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout == "done\n"
    assert "WARNING: ThreadSanitizer" not in done.stderr


# Hopper, Turing, Ampere, Blackwell. What is compiled has not run
TARGETS = [90, *(pytest.param(n, marks=pytest.mark.slow) for n in (75, 80, 100))]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("file", FILES)
def test_nvcc_takes_them(file, target, tmp_path):
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("kernels not compiled for GPUs by nvcc: it is not installed")
    asked = (f"{k}<{t}>" for k in launch.kernels(file) for t in cuda_shim.types(file))
    lines = [f"void *ask_{i}() {{ return (void *)({name}); }}" for i, name in enumerate(asked)]
    (tmp_path / file).write_text("\n".join([launch.source(file), *lines]))
    command = [nvcc, "-std=c++17", "-cubin", "-Werror=all-warnings", f"-arch=sm_{target}", file, "-o", "kernels.cubin"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("file", FILES)
def test_nvrtc_takes_them_as_cupy_asks_for_them(file, target):
    """CuPy's own compiler, which needs neither a GPU nor a driver; every name is found in what it makes."""
    try:
        nvrtc = importlib.import_module("cupy_backends.cuda.libs.nvrtc")
        nvrtc.getVersion()
    except Exception as error:  # CuPy's own, too, where its library is missing
        pytest.skip(f"kernels not compiled for GPUs by NVRTC: {error}")
    for type_ in cuda_shim.types(file):
        names = [f"{kernel}<{type_}>" for kernel in launch.kernels(file)]
        program = nvrtc.createProgram(launch.source(file), file, (), ())
        for name in names:
            nvrtc.addNameExpression(program, name)
        try:
            nvrtc.compileProgram(program, (f"-arch=sm_{target}", "-ftz=true", *launch.OPTIONS))
        except nvrtc.NVRTCError:
            pytest.fail(nvrtc.getProgramLog(program))
        assert all(nvrtc.getLoweredName(program, name) for name in names)
        assert len(nvrtc.getCUBIN(program)) > 1000
