# %% [markdown]
# # 8. Swap the backend
#
# The library has no switch for the GPU: the arrays that a function gets decide where it computes. This tutorial calls
# the same functions with NumPy's arrays and with CuPy's. It shows the cost of moving between them, how to time work on
# a GPU, and from which length on a GPU pays.
#
# It runs with and without a GPU. Without one it says so, shows on a third library that the code does not depend on
# NumPy, and measures this machine's processor alone. **Every number of a GPU that it prints was measured on one.**
#
# As a notebook: `jupytext --to ipynb tutorials/08_swap_the_backend.py`. docs/howto/use-in-a-notebook.md shows how to
# run it on Colab, docs/gpu.md how to install CuPy.

# %%
import statistics
import time
from contextlib import contextmanager, nullcontext

import matplotlib.pyplot as plt
import numpy as np
from threadpoolctl import threadpool_limits

import minissm as ms
from minissm import train
from minissm.backend import REFERENCE, cupy, is_numpy  # REFERENCE: True where MINISSM_REFERENCE=1 is set
from minissm.lab import machine
from minissm.lab.plots import COLOURS, MARKS  # distinct for every reader, also in grey print

try:
    cp = cupy()  # CuPy, after a small kernel has run on the GPU
except RuntimeError as reason:
    cp = None
    print("no GPU here:", reason)
BACKENDS = ("numpy",) if cp is None else ("numpy", "cupy")

threadpool_limits(1)  # one core
rng = np.random.default_rng(0)
card = "" if cp is None else cp.cuda.runtime.getDeviceProperties(0)["name"].decode()
print("processor:", machine.processor(), "· GPU:", card or "none")

# %% [markdown]
# ## The arrays decide
#
# A function asks its arrays for their library, and calls that: `xp` is NumPy for NumPy's arrays, CuPy for CuPy's. So it
# is written once, and its result lives where its input lives. Here is a function of our own:


# %%
def rms_norm(x):
    """x (..., D), each row divided by the root of its mean square."""
    xp = ms.namespace(x)
    return x / xp.sqrt(xp.mean(x * x, axis=-1, keepdims=True))


x = rng.normal(size=(3, 5)).astype(np.float32)
for backend in BACKENDS:
    there = ms.to(x, backend)  # "numpy" or "cupy"; an array that is there already is not copied
    y = rms_norm(there)
    print(f"{backend:6s}", ms.namespace(there).__name__, "->", type(y).__module__.split(".")[0], y.dtype)
    assert type(y) is type(there)
    assert np.allclose(ms.to(y, "numpy"), rms_norm(x), atol=1e-6)

# %% [markdown]
# Every function of the library is written like this. Below, the scan in its three modes and a whole model, forward and
# backward, on each backend that this machine has. `ms.to` moves whole trees. The results agree to rounding, not to the
# bit: two libraries add the same numbers in another order.

# %%
filter_ = ms.S4d(poles=8)
(log_lam, c), _ = filter_(filter_.init(rng, 16))
u = rng.normal(size=(2, 200, 16)).astype(np.float32)

net = ms.Model("ssm + fnn1 + ssm + fnn1", vocab=8, width=16)
params, tokens = net.init(rng), rng.integers(0, 8, (2, 60))


def error(a, b):
    """The largest difference over the largest value, of two trees on any backend."""
    a, b = (ms.tree.flatten(ms.to(t, "numpy")) for t in (a, b))
    return float(abs(a - b).max() / abs(b).max())


def of_scan(scan, *inputs):
    y, h_last, backward = scan(*inputs)
    return [y, abs(h_last), *(abs(g) for g in backward(y)[:3])]


def of_model(params, tokens):
    y, backward = net(params, tokens)
    return {"y": y, "gradient": backward(y)[0]}


for backend in BACKENDS:
    inputs = ms.to([log_lam, c, u], backend)
    for name, scan in ms.scan.MODES.items():
        e = error(of_scan(scan, *inputs), of_scan(ms.scan.recurrent, log_lam, c, u))
        print(f"{backend:6s} scan.{name:10s} differs by {e:.1e} from scan.recurrent on NumPy")
        assert e < 1e-4
    e = error(of_model(*ms.to([params, tokens], backend)), of_model(params, tokens))
    print(f"{backend:6s} the model        differs by {e:.1e} from the model on NumPy")
    assert e < 1e-4

# %% [markdown]
# ## A library that is not NumPy, on every machine
#
# Even without a GPU we can show that the code does not secretly need NumPy. `array_api_strict` is a small library for
# tests. It has the functions of the array standard and nothing else. It also has a second "device", whose arrays no
# NumPy function may touch. It computes on the processor all the same: **a model that runs there proves nothing about
# CuPy or a GPU**, only about our code. (It comes with `pip install -e '.[test]'`.)

# %%
try:
    import array_api_strict as strict
except ImportError:
    strict = None
    print("array_api_strict isn't installed, so the cells about it do nothing: pip install -e '.[test]'")


def put(tree):
    """A tree of NumPy arrays on array_api_strict's second device."""
    return ms.tree.map(lambda a: strict.asarray(a, device=strict.Device("device1")), tree)


def fetch(tree):
    return ms.tree.map(lambda a: np.asarray(a.to_device(strict.Device("CPU_DEVICE"))), tree)


if strict:
    e = error(fetch(of_model(put(params), put(tokens))), of_model(params, tokens))
    print(f"the model on array_api_strict differs by {e:.1e} from the model on NumPy")
    assert e < 1e-4

# %% [markdown]
# Now a function with a mistake: it calls `np.sqrt` on an array that may live elsewhere. (CuPy would forgive this one:
# it answers NumPy's functions itself. Other libraries don't, and CuPy refuses `np.asarray`.) Then two arrays of
# different libraries in one call. The library refuses them and names the remedy.


# %%
def careless(x):
    xp = ms.namespace(x)
    return x / np.sqrt(xp.mean(x * x))  # should be xp.sqrt


def refusal(work, *args):
    """The error of work(*args), or ""."""
    try:
        work(*args)
    except (RuntimeError, TypeError) as reason:
        return f"{type(reason).__name__}: {reason}"
    return ""


assert not refusal(careless, x)  # on NumPy the mistake doesn't show
linear = {"w": np.ones((2, 5), np.float32), "b": np.ones(2, np.float32)}
elsewhere = [put(linear)] if strict else []
elsewhere += [ms.to(linear, "cupy")] if cp else []
for p in elsewhere:
    print("mixed:", refusal(ms.layers.linear, p, x))
    assert "move them with minissm.to" in refusal(ms.layers.linear, p, x)
if strict:
    print("careless:", refusal(careless, put(x)))
    assert refusal(careless, put(x))
    assert not refusal(rms_norm, put(x))

# %% [markdown]
# ## What waits, and why a training step must not
#
# Python does not wait for a GPU. A call puts work into the GPU's queue and returns. The GPU does the work later, in
# order. A question for a *value* waits until the queue is empty and the number has been copied to the host. So these
# lines stop Python, and leave the GPU idle until Python has filled the queue again:
#
# | in the code | on CuPy |
# |---|---|
# | `float(loss)`, `int(n)`, `a.item()`, `print(a)` | waits for the queue, copies to the host |
# | `if (a > 0).any():`, `while error > tolerance:` | the same, hidden in the question |
# | `a[mask]`, `xp.nonzero(a)` | the same: the size of the result depends on values |
# | `ms.to(a, "numpy")` | the same, for all of the array |
# | `np.asarray(a)` | refused: TypeError |
#
# array_api_strict lets `float()` and `if` pass. But it is Python: we can make them raise for the length of a `with`. If
# a training step raises nothing there, it asks for no value.


# %%
@contextmanager
def no_questions():
    """Inside, array_api_strict refuses to give a value to Python."""

    def refuse(self, *_):
        raise RuntimeError("a question for a value: on a GPU Python would wait here")

    array = type(strict.zeros(1))
    asks = {name: getattr(array, name) for name in ("__float__", "__int__", "__bool__", "__complex__", "__index__")}
    try:
        for name in asks:
            setattr(array, name, refuse)
        yield
    finally:
        for name, ask in asks.items():
            setattr(array, name, ask)


def halving(x):
    xp = ms.namespace(x)
    while xp.max(abs(x)) > 1:  # seems harmless
        x = x / 2
    return x


task = ms.tasks.Copying()
learner = ms.Model("ssm + fnn1 + ssm + fnn1", vocab=task.vocab, width=16)
start = learner.init(rng)
batch = task.batch(rng, 16)  # NumPy arrays; a step moves them to the device of the parameters
if strict:
    with no_questions():
        moved, _, loss = train.step(learner, put(start), batch, None, lr=1e-3)  # loss is an array, not yet a number
        print("halving:", refusal(halving, put(x)))
        assert refusal(halving, put(x))
    _, _, loss_here = train.step(learner, start, batch, None, lr=1e-3)
    print(f"a training step asked nothing; after it, the losses are {float(loss):.5f} and {float(loss_here):.5f}")
    assert abs(float(loss) - float(loss_here)) < 1e-4
    assert all(a.device == strict.Device("device1") for a in ms.tree.leaves(moved))

# %% [markdown]
# So `train.step` returns its loss as an array on the device. Read it when you print it, every hundredth step say, not
# in each step:
#
#     params, adamw, loss = train.step(net, params, batch, adamw, lr)
#     if step % 100 == 0:
#         print(float(loss))        # the only line where Python waits
#
# And the cost of moving? A batch of tokens is small, and a step moves it. The parameters are larger. Move them once,
# before the training, with `ms.to(params, "cupy")`. From then on they stay on the device.

# %%
size = sum(a.nbytes for a in ms.tree.leaves(params))
print(f"a batch of 64 x 4096 tokens: {64 * 4096 * 8 / 1e6:.1f} MB; the parameters here: {size / 1e6:.3f} MB")
block = rng.random(2**22, dtype=np.float32)  # 17 MB
for _ in range(2):  # the second copy counts: the first allocates
    begin = time.perf_counter()
    moved = block.copy() if cp is None else cp.asarray(block)
    if cp is not None:
        cp.cuda.Device().synchronize()
    taken = time.perf_counter() - begin
print("copied within memory:" if cp is None else "to the GPU:", f"{block.nbytes / taken / 1e9:.1f} GB/s")

# %% [markdown]
# ## Timing done right
#
# Three mistakes make most timings of a GPU worthless:
#
# 1. **The first call counts.** It compiles kernels, loads libraries, allocates memory. Call once before measuring.
# 2. **The clock stops too early.** Python returns while the GPU computes. A clock in Python then measures how long it
#    takes to fill the queue. *Events* are marks in the same queue. The GPU notes the time when it passes them. If it
#    has to wait for Python between two marks, the wait counts too, as it should.
# 3. **One call, one number.** Other programs disturb. Take the median of several.
#
# On a processor the second mistake can't happen: NumPy returns when it is done. `timed` serves both. Here, too, the
# arrays decide.


# %%
def by_clock(work, arrays):
    begin = time.perf_counter()
    work(*arrays)
    return time.perf_counter() - begin


def by_events(work, arrays):
    begin, end = cp.cuda.Event(), cp.cuda.Event()
    begin.record()
    work(*arrays)
    end.record()
    end.synchronize()  # Python waits until the GPU has passed the second mark
    return cp.cuda.get_elapsed_time(begin, end) / 1e3  # it counts milliseconds


def timed(work, *arrays, enough=0.02, most=15):
    """Seconds of work(*arrays): the median of 3 to `most` calls, `enough` seconds of them, after one to warm up."""
    once = by_clock if is_numpy(ms.namespace(*arrays)) else by_events
    work(*arrays)
    found = []
    while len(found) < 3 or (sum(found) < enough and len(found) < most):
        found.append(once(work, arrays))
    return statistics.median(found)


def product(a):
    return a @ a


a = ms.to(rng.random((500, 500), dtype=np.float32), BACKENDS[-1])
first = (by_clock if cp is None else by_events)(product, [a])
seconds = timed(product, a)
print(f"a product of two matrices on {BACKENDS[-1]}: the first call {1e3 * first:.3f} ms")
print(f"timed: {1e3 * seconds:.3f} ms, that is {2 * 500**3 / seconds / 1e9:.0f} thousand million operations a second")
if cp is None:
    print("no GPU here, so the wrong timing can't be shown: without events a GPU seems far too fast")
else:
    print(f"wrong, by Python's clock that does not wait: {1e3 * by_clock(product, [a]):.3f} ms")

# %% [markdown]
# With it we can measure the cost of a question in each step. Five steps of training, with the loss read in each and in
# none. On a processor there is nothing to wait for, so both are the same but for chance. On a GPU the difference grows
# with the part of the time in which it computes and Python could run ahead.

# %%
on_device = ms.to(start, BACKENDS[-1])


def five_steps(params, reading):
    adamw = None
    for _ in range(5):
        params, adamw, loss = train.step(learner, params, batch, adamw, lr=1e-3)
        if reading:
            float(loss)


for reading in (False, True):
    seconds = timed(lambda _, r=reading: five_steps(on_device, r), on_device["embed"]["w"])
    print(f"a step on {BACKENDS[-1]}, its loss {'read' if reading else 'left there'}: {1e3 * seconds / 5:.2f} ms")

# %% [markdown]
# ## How many calls?
#
# The recurrence as it is written is a loop of Python. How many array calls does it make a token? We let NumPy count: an
# array that notes each computing call on it. (Views and slices compute nothing and are not counted, nor are calls that
# only copy.)


# %%
class Counted(np.ndarray):
    calls = 0
    __array_namespace__ = np.ndarray.__array_namespace__  # a subclass computes like its base only if it says so

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        def bare(arrays):
            return tuple(a.view(np.ndarray) if isinstance(a, Counted) else a for a in arrays)

        Counted.calls += 1
        if out is not None:
            options["out"] = bare(out)
        result = getattr(ufunc, method)(*bare(inputs), **options)
        return result.view(Counted) if isinstance(result, np.ndarray) else result


def forward_backward(method, log_lam, c, u):
    """One of four methods. "kernel" is the fast path of `recurrent` on CuPy; `ms.reference()` turns it off."""
    scan = ms.scan.MODES["recurrent" if method in ("loop", "kernel") else method]
    with ms.reference() if method == "loop" else nullcontext():
        y, _, backward = scan(log_lam, c, u)
        return backward(y)


def calls(method, L, D):
    """Computing calls of the reference bodies. CuPy runs these for chunked and fft."""
    log_lam, c, u = np.zeros((D, 8), complex), np.ones((D, 8), complex), np.ones((1, L, D))
    Counted.calls = 0
    with ms.reference():
        forward_backward(method, *(a.view(Counted) for a in (log_lam, c, u)))
    return Counted.calls


for method in ("loop", "chunked", "fft"):
    few, more, wide = calls(method, 128, 4), calls(method, 256, 4), calls(method, 256, 32)
    assert wide == more
    print(f"{method:10s} {more:6,} calls for 256 tokens; {(more - few) / 128:5.2f} for each token more, at any width")
assert calls("loop", 256, 4) > 20 * calls("chunked", 256, 4)

# %% [markdown]
# From this we can predict the loop on a GPU. Each call puts a kernel into the queue. That takes Python some
# microseconds, whether the kernel adds eight numbers or a million. While the arrays are small the GPU waits for Python:
# the time is L times calls a token times microseconds a call, *at any width*. A processor pays less for a call, but
# does the arithmetic itself: there the time grows with the width. (The microseconds are printed below.)
#
# `chunked` makes about as many calls for 32 tokens at once, `fft` a fixed number for all of them. A kernel written for
# this recurrence keeps the state in the GPU's registers and runs through all tokens in a few calls (docs/gpu.md shows
# how). Python's part then doesn't grow with L at all.
#
# ## Where they cross
#
# Forward and backward of the scan, one sequence of L tokens, 8 poles a channel, at two widths: on one core of this
# machine, and on its GPU if it has one.

# %%
METHODS = {"numpy": ("loop", "chunked", "fft"), "cupy": ("loop", "kernel", "chunked", "fft")}
LENGTHS = [int(L) for L in 2 ** np.arange(5, 11 if cp is None else 13)]
WIDTHS = (16, 128)

curves = {}  # (width, backend, method) -> seconds at each length
for D in WIDTHS:
    (log_lam, c), _ = filter_(filter_.init(rng, D))
    for L in LENGTHS:
        u = rng.normal(size=(1, L, D)).astype(np.float32)
        for backend in BACKENDS:
            arrays = ms.to([log_lam, c, u], backend)
            for method in METHODS[backend]:
                if not (method == "kernel" and REFERENCE):
                    seconds = timed(lambda *a, m=method: forward_backward(m, *a), *arrays)
                    curves.setdefault((D, backend, method), []).append(seconds)

# %% [markdown]
# The slope on logarithmic axes is the exponent p of L^p. We fit it to the upper half of the lengths: below, the fixed
# cost of every call hides it. By the counts we expect about 1 for the loop on any backend. The same holds for chunked
# and fft once there is enough to compute. On a GPU that is not yet full it stays below 1: more tokens only use idle
# units.

# %%
PLACE = {"numpy": "CPU", "cupy": "GPU"}
half = len(LENGTHS) // 2
for (D, backend, method), found in curves.items():
    slope = np.polyfit(np.log(LENGTHS[half:]), np.log(found[half:]), 1)[0]
    ends = f"{1e3 * found[0]:8.3f} ms at L = {LENGTHS[0]}, {1e3 * found[-1]:8.3f} ms at {LENGTHS[-1]}"
    print(f"width {D:3d}  {PLACE[backend]} {method:8s} {ends}, L^{slope:.2f}")
per_token = calls("loop", 256, 4) / 256
for (D, backend, method), found in curves.items():
    if method == "loop":
        us = 1e6 * found[-1] / LENGTHS[-1] / per_token
        print(f"width {D:3d}  {PLACE[backend]} loop: {us:.1f} microseconds a call")
for D in WIDTHS if cp else ():
    best = {b: np.min([t for (d, b_, _), t in curves.items() if (d, b_) == (D, b)], axis=0) for b in BACKENDS}
    slower = np.flatnonzero(best["cupy"] >= best["numpy"])
    first = 0 if len(slower) == 0 else slower[-1] + 1
    print(f"width {D:3d}  the GPU is faster from L =", LENGTHS[first] if first < len(LENGTHS) else "beyond the longest")

# %% [markdown]
# The figure. Colour and mark show the method. A full line with filled marks is the processor, a dashed line with open
# marks the GPU.

# %%
NAMES = ("loop", "chunked", "fft", "kernel")
figure, axes = plt.subplots(1, len(WIDTHS), figsize=(11, 4.4), layout="constrained", sharey=True)
figure.suptitle(f"The scan on: {machine.processor()}, one core" + (f"; {card}" if card else ""), fontsize=11)
for (D, backend, method), found in curves.items():
    i, filled = NAMES.index(method), backend == "numpy"
    style = {"marker": MARKS[i], "color": COLOURS[i], "linestyle": "-" if filled else "--"}
    style["fillstyle"] = "full" if filled else "none"
    axes[WIDTHS.index(D)].loglog(LENGTHS, 1e3 * np.array(found), label=f"{PLACE[backend]}: {method}", **style)
for axis, D in zip(axes, WIDTHS, strict=True):
    axis.set_xticks(LENGTHS, LENGTHS)
    axis.minorticks_off()
    axis.grid(alpha=0.25)
    axis.set_title(f"width {D}, 8 poles a channel", fontsize=10.5)
    axis.set(xlabel="length L")
axes[0].set(ylabel="milliseconds, forward and backward")
axes[-1].legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1), handlelength=4)
plt.show()

# %% [markdown]
# `pytest -m gpu` runs the tests that compare CuPy with NumPy: values, gradients, a training, files. Where there is no
# GPU they are skipped and counted: **skipped tests prove nothing about a GPU.** docs/gpu.md says what has been measured
# on one.
#
# ## To try
#
# * Predict, then measure: how does each curve change if B is 64 instead of 1? If the width is 4096? Which method gains
#   most on the processor, which on a GPU? (Change `WIDTHS`, and the 1 in the shape of `u`.)
# * How wide must a layer be until the loop on a processor is as slow as on a GPU, where the calls alone decide? Compute
#   it from the microseconds a call, and check it.
# * Write a function with a hidden question to the device: an `if` in a clipping of gradients, a `float()` in a learning
#   rate, `x[x > 0]`. Which of them does `put` find, which `no_questions`, which neither?
# * Leave out `threadpool_limits(1)` at the top. Which curves get faster, and from which size on?
