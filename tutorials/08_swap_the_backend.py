# %% [markdown]
# # 8. Swap the backend
#
# The library has no switch for the GPU: the arrays that a function is given decide where it computes. This tutorial
# gives the same functions NumPy's arrays and CuPy's, shows what moving between them costs and how to time what runs on
# a GPU, and measures from which length on a GPU pays.
#
# It runs with and without a GPU. Without one it says so, shows on a third library that the code does not depend on
# NumPy, and measures this machine's processor alone. **No number of a GPU is printed that was not measured on one.**
#
# As a notebook: `jupytext --to ipynb tutorials/08_swap_the_backend.py`. On Colab, where the library isn't there yet,
# upload the clone as a zip file too. In cells above this one, run `!unzip -q CLONE.zip`, `%cd CLONE` and
# `%pip install -e '.[test]'`, and restart. The CuPy that Colab has is used; don't install a second one (docs/gpu.md).

# %%
import os
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import minissm as ms
from minissm import train
from minissm.backend import PLAIN, cupy, is_numpy  # PLAIN: True where MINISSM_REFERENCE=1 switches the kernels off
from minissm.fast.parallel import threads
from minissm.lab import machine, plots  # plots: styles that every reader can tell apart, and in grey print
from minissm.lab.timing import reference as plain

try:
    cp = cupy()  # CuPy, after a small kernel has run on the GPU
except RuntimeError as reason:
    cp = None
    print("no GPU here:", reason)
BACKENDS = ("numpy",) if cp is None else ("numpy", "cupy")

one_core = threads(1)  # as `fit` does
one_core.__enter__()
rng = np.random.default_rng(0)
card = "" if cp is None else cp.cuda.runtime.getDeviceProperties(0)["name"].decode()
print("processor:", machine.processor(), "· GPU:", card or "none")

# %% [markdown]
# ## The arrays decide
#
# A function asks its arrays for their library, and calls that: `xp` is NumPy for NumPy's arrays, CuPy for CuPy's. So it
# is written once, and its result lives where its input lives. Here is one of our own:


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
log_lam, c, _ = filter_(filter_.init(rng, 16))
u = rng.normal(size=(2, 200, 16)).astype(np.float32)

net = ms.Model("ssm + fnn1 + ssm + fnn1", vocab=8, width=16)
params, tokens = net.init(rng), rng.integers(0, 8, (2, 60))


def error(a, b):
    """The largest difference over the largest value, of two trees on any backend."""
    a, b = (ms.tree.flatten(ms.to(t, "numpy")) for t in (a, b))
    return float(abs(a - b).max() / abs(b).max())


def scanned(scan, *inputs):
    y, h_last, backward = scan(*inputs)
    return [y, abs(h_last), *(abs(g) for g in backward(y)[:3])]


def modelled(params, tokens):
    y, backward = net(params, tokens)
    return {"y": y, "gradient": backward(y)[0]}


for backend in BACKENDS:
    inputs = ms.to([log_lam, c, u], backend)
    for name, scan in ms.scan.MODES.items():
        e = error(scanned(scan, *inputs), scanned(ms.scan.recurrent, log_lam, c, u))
        print(f"{backend:6s} scan.{name:10s} differs by {e:.1e} from scan.recurrent on NumPy")
        assert e < 1e-4
    e = error(modelled(*ms.to([params, tokens], backend)), modelled(params, tokens))
    print(f"{backend:6s} the model        differs by {e:.1e} from the model on NumPy")
    assert e < 1e-4

# %% [markdown]
# ## A library that is not NumPy, on every machine
#
# That code does not secretly need NumPy can be shown without a GPU. `array_api_strict` is a small library for tests. It
# has what the array standard has and nothing else, and a second "device" whose arrays no NumPy function may touch. It
# computes on the processor all the same: **that a model runs there says nothing about CuPy or a GPU**, only about our
# code. (It comes with `pip install -e '.[test]'`.)

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
    e = error(fetch(modelled(put(params), put(tokens))), modelled(params, tokens))
    print(f"the model on array_api_strict differs by {e:.1e} from the model on NumPy")
    assert e < 1e-4

# %% [markdown]
# Now a function with a mistake: it calls `np.sqrt` on what may live elsewhere. (CuPy would forgive this one: it answers
# NumPy's functions itself. Other libraries don't, and `np.asarray` it refuses as well.) And two arrays of different
# libraries in one call, which the library refuses with the remedy.


# %%
def careless(x):
    xp = ms.namespace(x)
    return x / np.sqrt(xp.mean(x * x))  # should be xp.sqrt


def refused(work, *args):
    """What it was refused with."""
    try:
        work(*args)
    except (RuntimeError, TypeError) as reason:
        return f"{type(reason).__name__}: {reason}"
    return ""


assert not refused(careless, x)  # on NumPy nobody would notice
linear = {"w": np.ones((2, 5), np.float32), "b": np.ones(2, np.float32)}
elsewhere = [put(linear)] if strict else []
elsewhere += [ms.to(linear, "cupy")] if cp else []
for p in elsewhere:
    told = refused(ms.layers.linear, p, x)
    print("mixed:", told)
    assert "move them with minissm.to" in told
if strict:
    print("careless:", refused(careless, put(x)))
    assert refused(careless, put(x))
    assert not refused(rms_norm, put(x))

# %% [markdown]
# ## What waits, and why a training step must not
#
# Python does not wait for a GPU. A call puts work into the GPU's queue and returns; the work is done later, in order.
# Whoever asks for a *value* has to wait until the queue is empty and the number has been copied to the host. So these
# stop Python, and leave the GPU idle until Python has filled the queue again:
#
# | what one writes | on CuPy |
# |---|---|
# | `float(loss)`, `int(n)`, `a.item()`, `print(a)` | waits for the queue, copies to the host |
# | `if (a > 0).any():`, `while error > tolerance:` | the same, hidden in the question |
# | `a[mask]`, `xp.nonzero(a)` | the same: the size of the result is not known before |
# | `ms.to(a, "numpy")` | the same, for all of the array |
# | `np.asarray(a)` | refused: TypeError |
#
# array_api_strict lets `float()` and `if` pass. But it is Python: we can make them raise for the length of a `with`.
# A training step in which nothing raises asks for no value.


# %%
@contextmanager
def no_questions():
    """Inside, array_api_strict refuses to give a value to Python."""

    def refuse(self, *_):
        raise RuntimeError("a value was asked for: on a GPU Python would wait here")

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
    while xp.max(abs(x)) > 1:  # looks harmless
        x = x / 2
    return x


task = ms.tasks.copying()
learner = ms.Model("ssm + fnn1 + ssm + fnn1", vocab=task.vocab, width=16)
start = learner.init(rng)
batch = task.batch(rng, 16)
if strict:
    with no_questions():
        moved, _, loss = train.step(learner, put(start), batch, None, lr=1e-3)  # loss is an array, not yet a number
        print("halving:", refused(halving, put(x)))
        assert refused(halving, put(x))
    _, _, loss_here = train.step(learner, start, batch, None, lr=1e-3)
    print(f"a training step asked nothing; the losses {float(loss):.5f} and {float(loss_here):.5f} are read after it")
    assert abs(float(loss) - float(loss_here)) < 1e-4
    assert all(a.device == strict.Device("device1") for a in ms.tree.leaves(moved))

# %% [markdown]
# So `train.step` returns its loss as an array on the device. Read it when you print it, every hundredth step say, not
# in each step:
#
#     params, state, loss = train.step(net, params, batch, state, lr)
#     if step % 100 == 0:
#         print(float(loss))        # the only place where Python waits
#
# And what does moving cost? One batch of tokens is little; all parameters, back and forth in each step, are not. Moved
# is what must be, once: the parameters before the training (`ms.to(params, "cupy")`), each batch as it comes
# (`train.placed(batch, params)`; `fit` does it).

# %%
size = sum(a.nbytes for a in ms.tree.leaves(params))
print(f"a batch of 64 x 4096 tokens: {64 * 4096 * 8 / 1e6:.1f} MB; the parameters here: {size / 1e6:.3f} MB")
block = rng.normal(size=2**23).astype(np.float32)  # 34 MB
for _ in range(2):  # the second time counts: the first makes room
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
# 1. **The first call counts.** It compiles kernels, loads libraries, makes room in memory. Call once before measuring.
# 2. **The clock stops too early.** Python returns while the GPU computes. A clock in Python then measures how long it
#    takes to fill the queue. *Events* are marks that are put into the same queue; the GPU writes down when it passes
#    them. If it has to wait for Python between two marks, that time is in there too, as it should be.
# 3. **One call, one number.** Other programs disturb. Take the median of several.
#
# On a processor the second does not arise, for NumPy returns when it is done. `timed` does both: here, too, the arrays
# decide.


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


def timed(work, *arrays, enough=0.15, most=25):
    """Seconds of work(*arrays): the median of 3 to `most` calls, `enough` seconds of them, after one to warm up."""
    once = by_clock if is_numpy(ms.namespace(*arrays)) else by_events
    work(*arrays)
    found = []
    while len(found) < 3 or (sum(found) < enough and len(found) < most):
        found.append(once(work, arrays))
    return statistics.median(found)


def product(a):
    return a @ a


a = ms.to(rng.normal(size=(1000, 1000)).astype(np.float32), BACKENDS[-1])
first = (by_clock if cp is None else by_events)(product, [a])
seconds = timed(product, a)
print(f"a product of two matrices on {BACKENDS[-1]}: the first call {1e3 * first:.3f} ms")
print(f"timed: {1e3 * seconds:.3f} ms, that is {2 * 1000**3 / seconds / 1e9:.0f} thousand million operations a second")
if cp is None:
    print("no GPU here, so the wrong timing can't be shown: without events a GPU looks far too fast")
else:
    print(f"wrong, by Python's clock that does not wait: {1e3 * by_clock(product, [a]):.3f} ms")

# %% [markdown]
# With it we can see what a question in each step costs. Twenty steps of training, with the loss read in each and in
# none. On a processor there is nothing to wait for, so both are the same but for chance. On a GPU the difference grows
# with the share of the time in which it computes and Python could run ahead.


# %%
on_device = ms.to(start, BACKENDS[-1])
placed = train.placed(batch, on_device)  # nothing of the batch is moved in a step


def twenty_steps(params, reading):
    state = None
    for _ in range(20):
        params, state, loss = train.step(learner, params, placed, state, lr=1e-3)
        if reading:
            float(loss)


for reading in (False, True):
    seconds = timed(lambda _, r=reading: twenty_steps(on_device, r), on_device["embed"]["w"], enough=0.5)
    print(f"a step on {BACKENDS[-1]}, its loss {'read' if reading else 'left there'}: {1e3 * seconds / 20:.2f} ms")

# %% [markdown]
# ## How many calls?
#
# The plain recurrence is a loop of Python. How many array calls does it make a token? We let NumPy count: an array that
# notes each computing call that is made on it. (Views and slices compute nothing and are not counted, nor are calls
# that only copy.)


# %%
class Counted(np.ndarray):
    calls = 0

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        def bare(arrays):
            return tuple(a.view(np.ndarray) if isinstance(a, Counted) else a for a in arrays)

        Counted.calls += 1
        if out is not None:
            options["out"] = bare(out)
        result = getattr(ufunc, method)(*bare(inputs), **options)
        return result.view(Counted) if isinstance(result, np.ndarray) else result


def forward_backward(method, log_lam, c, u):
    """One of four methods. "kernel" is what `recurrent` runs on CuPy's arrays; `plain()` switches that off."""
    scan = ms.scan.MODES["recurrent" if method in ("plain loop", "kernel") else method]
    with plain() if method == "plain loop" else nullcontext():
        y, _, backward = scan(log_lam, c, u)
        return backward(y)


def calls(method, L, D):
    """Computing calls of the bodies that one reads, which are those that CuPy runs for chunked and fft."""
    log_lam, c, u = np.zeros((D, 8), complex), np.ones((D, 8), complex), np.ones((1, L, D))
    Counted.calls = 0
    with plain():
        forward_backward(method, *(a.view(Counted) for a in (log_lam, c, u)))
    return Counted.calls


for method in ("plain loop", "chunked", "fft"):
    few, more, wide = calls(method, 512, 4), calls(method, 1024, 4), calls(method, 1024, 32)
    assert wide == more
    print(f"{method:10s} {more:6,} calls for 1024 tokens; {(more - few) / 512:5.2f} for each token more, at any width")
assert calls("plain loop", 1024, 4) > 20 * calls("chunked", 1024, 4)

# %% [markdown]
# From this we can predict the plain loop on a GPU. Each call puts a kernel into the queue, and that takes Python some
# microseconds, whether the kernel adds eight numbers or a million. While the arrays are small the GPU waits for Python,
# and the time is L times calls a token times microseconds a call, *whatever the width*. A processor pays less for a
# call, but does the arithmetic itself: there the time grows with the width. (The microseconds are printed below.)
#
# `chunked` makes about as many calls for 32 tokens at once, `fft` a fixed number for all of them. And a kernel written
# for this recurrence keeps the state in the GPU's registers and runs through all tokens in a few calls (docs/gpu.md
# says how): Python's part doesn't grow with L at all.
#
# ## Where they cross
#
# Forward and backward of the scan, one sequence of L tokens, 8 modes a channel, at two widths; on one core of this
# machine, and on its GPU if it has one.

# %%
METHODS = {"numpy": ("plain loop", "chunked", "fft"), "cupy": ("plain loop", "kernel", "chunked", "fft")}
LENGTHS = [int(L) for L in 2 ** np.arange(5, 11 if PLAIN else 13)]
WIDTHS, MODES = (16, 256), 8

if PLAIN:
    print("reference bodies only: no kernels, and shorter lengths")
rows = []  # one a measurement
for D in WIDTHS:
    filter_ = ms.S4d(poles=MODES)
    log_lam, c, _ = filter_(filter_.init(rng, D))
    for L in LENGTHS:
        u = rng.normal(size=(1, L, D)).astype(np.float32)
        for backend in BACKENDS:
            arrays = ms.to([log_lam, c, u], backend)
            for method in METHODS[backend]:
                if method == "kernel" and PLAIN:
                    continue
                seconds = timed(lambda *a, m=method: forward_backward(m, *a), *arrays)
                row = {"backend": backend, "method": method, "B": 1, "D": D, "N": MODES, "L": L}
                rows.append(row | {"seconds": {"median": seconds}})


def curves(rows):
    """{(backend, method): (lengths, seconds)}."""
    found = {}
    for row in rows:
        found.setdefault((row["backend"], row["method"]), []).append((row["L"], row["seconds"]["median"]))
    return {name: np.array(sorted(points)).T for name, points in found.items()}


def by_size(rows):
    """{(B, D, N): its rows}."""
    found = {}
    for row in rows:
        found.setdefault((row["B"], row["D"], row["N"]), []).append(row)
    return found


# %% [markdown]
# The slope on logarithmic axes is the exponent p of L^p. We fit it to the upper half of the lengths, for below it what
# every call costs hides it. By the counts we expect about 1 for the loop on any backend (calls in proportion to L) and
# for chunked and fft once there is enough to compute. On a GPU that is not yet filled it stays below 1: more tokens
# only use what lay idle.

# %%
PLACE = {"numpy": "CPU", "cupy": "GPU"}


def exponent(lengths, seconds):
    if len(lengths) < 2:
        return np.nan
    half = min(len(lengths) // 2, len(lengths) - 2)
    return np.polyfit(np.log(lengths[half:]), np.log(seconds[half:]), 1)[0]


def tell(rows):
    """A line a curve; then from which length on the GPU's best method is faster than the CPU's best, for good."""
    for (B, D, N), of_size in by_size(rows).items():
        print(f"B {B}, width {D}, {N} modes")
        best = {"numpy": {}, "cupy": {}}  # seconds of the fastest method by length
        for (backend, method), (lengths, seconds) in curves(of_size).items():
            print(
                f"  {PLACE[backend]} {method:10s} {1e3 * seconds[0]:9.3f} ms at L = {lengths[0]:.0f}, "
                f"{1e3 * seconds[-1]:9.3f} ms at {lengths[-1]:.0f}, {1e6 * seconds[-1] / lengths[-1]:7.2f} us a token, "
                f"L^{exponent(lengths, seconds):.2f}"
            )
            for L, s in zip(lengths, seconds, strict=True):
                best[backend][int(L)] = min(s, best[backend].get(int(L), np.inf))
        both = sorted(best["numpy"].keys() & best["cupy"].keys())
        if both:
            slower = [L for L in both if best["cupy"][L] >= best["numpy"][L]]
            faster = [L for L in both if not slower or slower[-1] < L]
            where = f"faster from L = {faster[0]} on" if faster else f"not faster at L = {both[-1]}"
            print(f"  the GPU's best method is {where}")


tell(rows)
for (_, D, _), of_size in by_size(rows).items():
    last = {name: seconds[-1] for name, (_, seconds) in curves(of_size).items()}
    for backend in BACKENDS:
        if WIDTHS[0] == D:  # where the loop does little in a step, its calls are all that it costs
            assert last[backend, "plain loop"] > last[backend, "chunked"]
        us = 1e6 * last[backend, "plain loop"] / calls("plain loop", LENGTHS[-1], 4)
        print(f"width {D}, plain loop on {PLACE[backend]}: {us:.1f} us a call")

# %% [markdown]
# The figure. Colour and mark say the method, a full line and filled marks the processor, a dashed line and open marks
# the GPU.


# %%
def draw(rows, title):
    sizes = by_size(rows)
    figure, axes = plt.subplots(
        1, len(sizes), figsize=(2 + 4.5 * len(sizes), 4.4), layout="constrained", sharey=True, squeeze=False
    )
    figure.suptitle(title, fontsize=11)
    for axis, ((B, D, N), of_size) in zip(axes[0], sizes.items(), strict=True):
        for (backend, method), (lengths, seconds) in curves(of_size).items():
            label = f"{PLACE[backend]}: {method}"
            axis.loglog(lengths, 1e3 * seconds, label=label, **plots.METHOD[method], **plots.PLACE[backend])
        ticks = sorted({row["L"] for row in of_size})
        axis.set_xticks(ticks, ticks, fontsize=8, rotation=45 if len(ticks) > 8 else 0)
        axis.minorticks_off()
        axis.grid(alpha=0.25)
        axis.set_title(f"B = {B}, width {D}, {N} modes", fontsize=10.5)
        axis.set(xlabel="length L")
    axes[0, 0].set(ylabel="milliseconds, forward and backward")
    axes[0, -1].legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1), handlelength=4)
    return figure


mine = machine.processor() + ", one core" + (f"; {card}" if card else "")
draw(rows, f"The scan, measured in this run on: {mine}")
plt.show()

# %% [markdown]
# `minissm bench` measures a whole layer in the same way, for the batch, length and width that you give it. It says
# from which length on another mode is the fastest, on the GPU too where there is one.

# %% [markdown]
# ## To try
#
# * Predict, then measure: what happens to each curve if B is 64 instead of 1? If the width is 4096? Which method gains
#   most on the processor, which on a GPU? (Change `WIDTHS`, and the 1 in the shape of `u`.)
# * How wide must a layer be until the plain loop on a processor is as slow as on a GPU, where the calls alone decide?
#   Compute it from the microseconds a token that were printed, and check it.
# * Write a function with a hidden question to the device: an `if` in a clipping of gradients, a `float()` in a learning
#   rate, `x[x > 0]`. Which of them does `put` find, which `no_questions`, which neither?
# * Leave out `threads(1)` at the top. Which curves get faster, and from which size on?
#
# ## The tests that need a GPU
#
# They compare CuPy with NumPy: values, gradients, a training, files. Where there is no GPU they are skipped and
# counted: **skipped tests say nothing about a GPU.**


# %%
FOLDERS = (Path(ms.__file__).parents[1], Path.cwd(), Path.cwd().parent)  # a clone, seen from script or notebook
CLONE = next((f for f in FOLDERS if (f / "tests" / "conftest.py").exists() and (f / "tutorials").exists()), None)


def gpu_tests():
    """What pytest -m gpu prints, and how it is to be understood."""
    options = ["-m", "pytest", "-m", "gpu", "--color=no", "-p", "no:cacheprovider"]  # leaves no file
    if CLONE is None or "PYTEST_CURRENT_TEST" in os.environ:  # there are no tests, or these are they
        return f"run this in a clone of the library: python {' '.join(options[:4])}"
    command = [sys.executable, *options]
    done = subprocess.run(command, cwd=CLONE, capture_output=True, text=True, encoding="utf-8", errors="replace")
    if "No module named pytest" in done.stderr:
        return "pytest isn't installed: pip install -e '.[test]'"
    told = [(done.stdout + done.stderr).strip()]
    if done.returncode:
        told.append(f"FAILED: pytest ended with {done.returncode}")
    if cp is None:
        told.append("no GPU here: this is not a GPU pass")
    return "\n".join(told)


print(gpu_tests())
