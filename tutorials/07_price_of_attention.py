# %% [markdown]
# # 7. The price of attention
#
# Attention compares every token with every token before it. A state space model carries a state of fixed size from
# token to token. The cost of the first grows with the square of the length, the cost of the second with the length.
# This tutorial counts the work of both. It measures both on this machine, in training and in generation, and finds the
# lengths at which the curves cross.
#
# Counts and memory are the same on every machine, and are checked below. Times belong to this machine and this run:
# read them, but don't expect them on the next machine. None is asserted.

# %%
import statistics
import time
import tracemalloc

import matplotlib.pyplot as plt
import numpy as np
from threadpoolctl import threadpool_limits

import minissm as ms
from minissm.backend import REFERENCE  # True where MINISSM_REFERENCE=1 turns the fast paths off
from minissm.lab import machine
from minissm.lab.plots import COLOURS, DASHES, MARKS  # distinct for every reader, also in grey print

threadpool_limits(1)  # one core, as in the counts below
rng = np.random.default_rng(0)
print(machine.processor(), "·", machine.blas())

# %% [markdown]
# ## The count
#
# Take a model of width D. Both mixers begin and end with products of each token and a matrix. Attention makes queries,
# keys and values. An ssm goes to E = 2D channels and back. Both need 4 D^2 multiplications a token. Between the
# matrices they differ:
#
# - **attention**, causal: token t is compared with t keys and adds up t values, D multiplications each. Over L tokens
#   that is L^2 D. (We leave out an exponential for each pair.)
# - **ssm**, chunked: a token takes part in a product with a Q by Q matrix, and it enters and leaves N complex states.
#   That is E (Q + 4N) multiplications a token, at any L.

# %%
D, N, Q = 32, 8, 32
E = 2 * D


def attention_count(L):
    return 4 * L * D**2 + L**2 * D


def ssm_count(L):
    return 4 * L * D**2 + L * E * (Q + 4 * N)


print(f"{'L':>6} {'attention':>14} {'ssm':>14} {'ratio':>7}")
for L in (32, 128, 512, 2048, 8192, 65536):
    print(f"{L:>6} {attention_count(L):>14,} {ssm_count(L):>14,} {attention_count(L) / ssm_count(L):>7.2f}")

# %% [markdown]
# They are equal where L D = E (Q + 4N), that is at L = 2 (Q + 4N). Far above this length the count of attention grows
# fourfold when L doubles, the count of the ssm twofold.

# %%
equal = 2 * (Q + 4 * N)
print("as many multiplications at L =", equal)
assert attention_count(equal) == ssm_count(equal)
assert attention_count(2**17) / attention_count(2**16) > 3.9
assert ssm_count(2**17) / ssm_count(2**16) == 2

# %% [markdown]
# ## Time in training
#
# Now the measurement: forward and backward of a model with two mixers, one sequence at a time. We take the median of
# three calls. A call before them doesn't count: it loads code and allocates memory.

# %%
MODELS = {
    "ssm": ms.Model("ssm + fnn1 + ssm + fnn1", vocab=16, width=D),
    "attention": ms.Model("attn(positions='none') + fnn1 + attn(positions='none') + fnn1", vocab=16, width=D),
}
PARAMS = {name: net.init(rng) for name, net in MODELS.items()}
LENGTHS = 2 ** np.arange(5, 11 if REFERENCE else 12)


def forward_backward(name, tokens):
    y, backward = MODELS[name](PARAMS[name], tokens)
    backward(y)


def seconds(work, repeats=3):
    work()
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return statistics.median(found)


sequences = {L: rng.integers(0, 16, (1, L)) for L in LENGTHS}
times = {
    name: np.array([seconds(lambda name=name, L=L: forward_backward(name, sequences[L])) for L in LENGTHS])
    for name in MODELS
}
print(f"{'L':>6} {'ssm ms':>10} {'attention ms':>14} {'ratio':>7}")
for L, s, a in zip(LENGTHS, times["ssm"], times["attention"], strict=True):
    print(f"{L:>6} {1e3 * s:>10.2f} {1e3 * a:>14.2f} {a / s:>7.2f}")

# %% [markdown]
# The slope of a curve on logarithmic axes is its exponent. It is 1 where twice the length takes twice the time, and 2
# where it takes four times as long. We fit it to the upper half of the lengths. At small L neither slope is the slope
# of the count: there the time goes into calls of functions, not into arithmetic.


# %%
def exponent(lengths, values):
    half = len(lengths) // 2
    return np.polyfit(np.log(lengths[half:]), np.log(values[half:]), 1)[0]


def crossing(lengths, low, high):
    """The length from which `high` stays above `low`, interpolated; None if it never does."""
    gap = np.log(high) - np.log(low)
    below = np.flatnonzero(gap <= 0)
    if len(below) == 0:
        return lengths[0]
    i = below[-1]
    if i == len(lengths) - 1:
        return None
    f = gap[i] / (gap[i] - gap[i + 1])
    return float(np.exp((1 - f) * np.log(lengths[i]) + f * np.log(lengths[i + 1])))


cross = crossing(LENGTHS, times["ssm"], times["attention"])
for name, t in times.items():
    print(f"time of {name}: L to the power of {exponent(LENGTHS, t):.2f}")
print("in training, attention costs more from L =", "beyond the longest" if cross is None else f"{cross:.0f}", "on")

# %% [markdown]
# ## Memory in training
#
# A backward needs values of its forward. Written down directly, attention keeps the weight of every pair, L^2 numbers a
# head. It can do without. From queries, keys and one number a token (the logarithm of the sum in its softmax) the
# backward can compute any block of the weights again. `minissm/fast/attention.py` does that. Its time still grows with
# L^2, its memory with L.

# %%
heads, P = 2, D // 2


def peak(work):
    """Bytes that `work` allocates at its peak."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    work()
    most = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    return most


def attention_alone(L):
    q, k, v = (rng.normal(size=(1, heads, L, P)).astype("float32") for _ in range(3))
    o, backward = ms.attention(q, k, v)
    backward(o)


def weights_alone(L):
    q, k = (rng.normal(size=(1, heads, L, P)).astype("float32") for _ in range(2))
    ms.attention_weights(q, k)


filter_ = ms.S4d(poles=N)
poles, _ = filter_(filter_.init(rng, E))


def scan_alone(L):
    y, _, backward = ms.scan.chunked(*poles, rng.normal(size=(1, L, E)).astype("float32"))
    backward(y)


memory = {
    "ssm": np.array([peak(lambda L=L: scan_alone(L)) for L in LENGTHS]),
    "attention": np.array([peak(lambda L=L: attention_alone(L)) for L in LENGTHS]),
    "attention, all weights": np.array([peak(lambda L=L: weights_alone(L)) for L in LENGTHS]),
}
for name, size in memory.items():
    print(f"memory of {name}: {size[-1] / 1e6:.1f} MB at L = {LENGTHS[-1]}, L^{exponent(LENGTHS, size):.2f}")
assert exponent(LENGTHS, memory["attention, all weights"]) > 1.8
assert REFERENCE or exponent(LENGTHS, memory["attention"]) < 1.2
assert REFERENCE or exponent(LENGTHS, memory["ssm"]) < 1.2

# %% [markdown]
# ## Time and memory in generation
#
# One token at a time, a step needs a memory of the past. An ssm has its state, of the same size after every token.
# Attention has the keys and values of all tokens so far: the "KV cache". `net.state_size` counts both in real numbers.

# %%
for t in (1, 16, 256, 4096):
    print(f"after {t:>5} tokens: " + ", ".join(f"{name} {net.state_size(t):,}" for name, net in MODELS.items()))
assert MODELS["ssm"].state_size(1) == MODELS["ssm"].state_size(4096) == 2 * E * N * 2  # 2 layers, complex states
assert MODELS["attention"].state_size(4096) == 2 * 4096 * 2 * D  # 2 layers, keys and values

# %% [markdown]
# So the cache outgrows the state after E N / D = 16 tokens. Each token then costs the reading of the whole memory:
# attention's step takes longer the more tokens there were. To see it we `run` a model over a text of some length, and
# go on from its state token by token. We take the fastest of 30 steps: others wait for other programs.

# %%
READ = (16, 256, 1024) if REFERENCE else (16, 256, 1024, 2048, 4096)


def generate(name, length):
    """Milliseconds a token after `length` tokens, feeding back the likeliest token."""
    net, found = MODELS[name], [time.perf_counter()]
    y, state, _ = net.run(PARAMS[name], rng.integers(0, 16, (1, length)))
    step, token = net.stepper(PARAMS[name]), y[:, -1].argmax(axis=-1)
    for _ in range(30):
        y, state = step(state, token)
        token = y.argmax(axis=-1)
        found.append(time.perf_counter())
    return 1e3 * np.diff(found).min()


steps = {name: [generate(name, length) for length in READ] for name in MODELS}
for name, t in steps.items():
    print(f"{name}: {t[0]:.3f} ms a token after {READ[0]} tokens, {t[-1]:.3f} ms after {READ[-1]}")

# %% [markdown]
# ## All of it at one glance

# %%
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
STYLES = {
    name: {"color": COLOURS[i], "linestyle": DASHES[i], "marker": MARKS[i], "markersize": 5}
    for i, name in enumerate(memory)
}
for name, t in times.items():
    left.loglog(LENGTHS, 1e3 * t, label=name, **STYLES[name])
left.set(xlabel="length L", ylabel="ms, forward and backward", title="Training: time (one core, this machine)")
for name, size in memory.items():
    middle.loglog(LENGTHS, size / 1e6, label=name, **STYLES[name])
middle.set(xlabel="length L", ylabel="MB at the peak, one mixer", title="Training: memory")
for name, t in steps.items():
    right.plot(READ, t, label=name, **STYLES[name])
right.set(xlabel="tokens so far", ylabel="ms a token", title="Generation: time", ylim=(0, None))
for axis in (left, middle, right):
    axis.legend(frameon=False)
    axis.grid(alpha=0.25)
plt.show()

# %% [markdown]
# ## Why they cross where they do
#
# By the count, attention should cost more from L = 128 on. The measured crossing is elsewhere, because a multiplication
# isn't always worth the same. Products of large matrices run near the processor's peak. Short sums, exponentials and
# copies don't, and at small L both models mostly wait for Python. The longer the sequences, the nearer the slopes come
# to the counts' 1 and 2. (The slopes printed above are still below: fixed costs weigh.) In the end the slopes win:
# however cheap a pair of tokens is, there are L^2 / 2 of them.
#
# What does attention buy for this price? It can look back at any single token, exactly, whenever it turns out to
# matter. An ssm must decide what to keep while it reads. The paper behind this library shows that nonlinear layers
# between the ssm layers let it choose by content, for functions in which few tokens matter. `minissm run recall` trains
# both on a task that needs nothing else.
#
# ## To try
#
# * Give the ssm 64 poles. Where should the curves cross by the count, and where do they?
# * Time a batch of 16 sequences instead of one. Which model gains more, and why at small L?
# * Set `MINISSM_REFERENCE=1` and run this again, up to the generation. At equal lengths, which of the curves have
#   another slope, and which only lie higher?
