# %% [markdown]
# # 7. The price of attention
#
# Attention compares every token with every token before it. A state space model carries a state of fixed size from
# token to token. The first costs more the longer the sequence is; the second doesn't. This tutorial counts what each
# must do, measures what each does on this machine, in training and in generation, and finds the lengths at which the
# curves cross.
#
# Counts and memory are the same on every machine, and are checked below. Times are this machine's, of this run: read
# them, but don't expect those of the next machine. (`python -m benchmarks` measures with more care,
# against other libraries.)

# %%
import statistics
import time
import tracemalloc

import matplotlib.pyplot as plt
import numpy as np

import minissm as ms
from minissm.attention import attention, attention_weights
from minissm.backend import PLAIN  # True where MINISSM_REFERENCE=1 switches the fast versions off
from minissm.fast.parallel import threads
from minissm.lab import machine
from minissm.lab.plots import COLOURS, DASHES, MARKS  # told apart by every reader, and in grey print

one_core = threads(1)  # the counts below know of no second one
one_core.__enter__()
rng = np.random.default_rng(0)
print(machine.processor(), "·", machine.blas())

# %% [markdown]
# ## What must be computed
#
# Take a model of width D. Both mixers first multiply each token by matrices and last multiply it by another: attention
# makes queries, keys and values, an ssm goes to E = 2D channels and back. Both need 4 D^2 multiplications a token for
# that. Between the matrices they differ:
#
# - **attention**, causal: token t is compared with t keys and adds up t values, D multiplications each. Over L tokens
#   that is L^2 D (and an exponential for each pair, which we leave out).
# - **ssm**, chunked: within chunks of Q tokens a product with a Q by Q matrix, and for each of N modes a complex state
#   that each token enters and leaves: E (Q + 4N) multiplications a token, whatever L is.

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
# They are equal where L D = E (Q + 4N), at L = 2 (Q + 4N). A long way up from there the count of attention grows
# fourfold when L doubles, that of the ssm twofold.

# %%
equal = 2 * (Q + 4 * N)
print("as many multiplications at L =", equal)
assert attention_count(equal) == ssm_count(equal)
assert attention_count(2**17) / attention_count(2**16) > 3.9
assert ssm_count(2**17) / ssm_count(2**16) == 2

# %% [markdown]
# ## What training costs
#
# Now the real thing: forward and backward of a model of two layers, one sequence at a time. We take the median of
# some repetitions, after one that doesn't count (it loads code and makes room).

# %%
MODELS = {
    "ssm": ms.Model("ssm + fnn1 + ssm + fnn1", vocab=16, width=D),
    "attention": ms.Model("attn(positions='none') + fnn1 + attn(positions='none') + fnn1", vocab=16, width=D),
}
PARAMS = {name: net.init(rng) for name, net in MODELS.items()}
LENGTHS = 2 ** np.arange(5, 11 if PLAIN else 13)
if PLAIN:
    print("reference bodies only, so shorter lengths: compare with the first lines of a run without MINISSM_REFERENCE")


def forward_backward(name, tokens):
    y, backward = MODELS[name](PARAMS[name], tokens)
    backward(y)


def seconds(work, repeats=5):
    work()
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


sequences = {L: rng.integers(0, 16, (1, L)) for L in LENGTHS}
times = {
    name: np.array([seconds(lambda name=name, L=L: forward_backward(name, sequences[L])) for L in LENGTHS])
    for name in MODELS
}
print(f"{'L':>6} {'ssm ms':>10} {'attention ms':>14} {'ratio':>7}")
for L, s, a in zip(LENGTHS, times["ssm"], times["attention"], strict=True):
    print(f"{L:>6} {1e3 * s:>10.2f} {1e3 * a:>14.2f} {a / s:>7.2f}")

# %% [markdown]
# The slope of a curve on logarithmic axes is its exponent: 1 where twice the length takes twice the time, 2 where it
# takes four times as long. We fit it to the upper half of the lengths. At small L neither slope is what the counts say:
# there, the time goes into calling functions, not into arithmetic.


# %%
def exponent(lengths, values):
    half = len(lengths) // 2
    return np.polyfit(np.log(lengths[half:]), np.log(values[half:]), 1)[0]


def crossing(lengths, low, high):
    """The length from which on `high` is above `low` for good, between two measured ones; None if it never is."""
    gap = np.log(high) - np.log(low)
    below = np.flatnonzero(gap <= 0)
    if len(below) == 0:
        return lengths[0]
    i = below[-1]
    if i == len(lengths) - 1:
        return None
    f = gap[i] / (gap[i] - gap[i + 1])
    return float(np.exp((1 - f) * np.log(lengths[i]) + f * np.log(lengths[i + 1])))


where = crossing(LENGTHS, times["ssm"], times["attention"])
for name, t in times.items():
    print(f"time of {name}: L to the power of {exponent(LENGTHS, t):.2f}")
print("in training, attention costs more from L =", "beyond the longest" if where is None else f"{where:.0f}", "on")

# %% [markdown]
# ## What training remembers
#
# A backward needs what the forward has seen. Written down directly, attention keeps the weight of every pair, L^2
# numbers a head. It need not: from the queries, the keys and one number a token (the logarithm of the sum in its
# softmax) any block of the weights can be computed again when the backward wants it. `minissm.fast.attention` does
# that: the time still grows with L^2, the memory with L.

# %%
heads, P = 2, D // 2


def peak(work):
    """Bytes that `work` needs beyond what was there before."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    work()
    most = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    return most


def attention_alone(L):
    q, k, v = (rng.normal(size=(1, heads, L, P)).astype("float32") for _ in range(3))
    o, backward = attention(q, k, v)
    backward(o)


def weights_alone(L):
    q, k = (rng.normal(size=(1, heads, L, P)).astype("float32") for _ in range(2))
    attention_weights(q, k)


log_lam, c, _ = ms.filters.S4d(poles=N)(ms.filters.S4d(poles=N).init(rng, E))


def scan_alone(L):
    y, _, backward = ms.scan.chunked(log_lam, c, rng.normal(size=(1, L, E)).astype("float32"))
    backward(y)


memory = {
    "ssm": np.array([peak(lambda L=L: scan_alone(L)) for L in LENGTHS]),
    "attention": np.array([peak(lambda L=L: attention_alone(L)) for L in LENGTHS]),
    "attention, all weights": np.array([peak(lambda L=L: weights_alone(L)) for L in LENGTHS]),
}
for name, bytes_ in memory.items():
    print(f"memory of {name}: {bytes_[-1] / 1e6:.1f} MB at L = {LENGTHS[-1]}, L^{exponent(LENGTHS, bytes_):.2f}")
assert exponent(LENGTHS, memory["attention, all weights"]) > 1.8
assert PLAIN or exponent(LENGTHS, memory["attention"]) < 1.2
assert PLAIN or exponent(LENGTHS, memory["ssm"]) < 1.2

# %% [markdown]
# ## What generation costs
#
# One token at a time, `step` needs what the past has left behind. For an ssm that is its state, of the same size after
# every token. For attention it is the keys and values of all tokens so far: the "KV cache". `net.state_size` counts
# both in real numbers.

# %%
for t in (1, 16, 256, 4096):
    print(f"after {t:>5} tokens: " + ", ".join(f"{name} {net.state_size(t):,}" for name, net in MODELS.items()))
assert MODELS["ssm"].state_size(1) == MODELS["ssm"].state_size(4096) == 2 * E * N * 2  # 2 layers, complex states
assert MODELS["attention"].state_size(4096) == 2 * 4096 * 2 * D  # 2 layers, keys and values

# %% [markdown]
# So the cache outgrows the state after E N / D = 16 tokens. A token then costs the reading of all that is remembered:
# attention's step takes longer the more tokens there were. We generate, and time blocks of steps.

# %%
TOKENS, BLOCK = (256, 32) if PLAIN else (4096, 256)


def generate(name):
    """Milliseconds a token, block by block, feeding back the likeliest token."""
    net, taken = MODELS[name], []
    step, state = net.stepper(PARAMS[name]), net.start(PARAMS[name], batch=1, length=TOKENS)
    token = np.array([1])
    for _ in range(TOKENS // BLOCK):
        start = time.perf_counter()
        for _ in range(BLOCK):
            y, state = step(state, token)
            token = y.argmax(axis=-1)
        taken.append(1e3 * (time.perf_counter() - start) / BLOCK)
    return np.array(taken)


steps = {name: generate(name) for name in MODELS}
places = BLOCK * np.arange(1, TOKENS // BLOCK + 1)
for name, t in steps.items():
    print(f"{name}: {t[0]:.3f} ms a token in the first block, {t[-1]:.3f} ms in the last, behind {TOKENS} tokens")

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
left.set(xlabel="length L", ylabel="ms, forward and backward", title="Training: time")
for name, bytes_ in memory.items():
    middle.loglog(LENGTHS, bytes_ / 1e6, label=name, **STYLES[name])
middle.set(xlabel="length L", ylabel="MB at the peak, one mixer", title="Training: memory")
for name, t in steps.items():
    right.plot(places, t, label=name, **STYLES[name])
right.set(xlabel="tokens so far", ylabel="ms a token", title="Generation: time", ylim=(0, None))
for axes in (left, middle, right):
    axes.legend()
    axes.grid(alpha=0.3)
plt.show()

# %% [markdown]
# ## Why they cross where they do
#
# By the count, attention should cost more from L = 128 on. The measured crossing is elsewhere, because a
# multiplication isn't always worth the same. Products of large matrices run near the processor's peak; short sums,
# exponentials and copies don't, and below some length both models mostly wait for Python. The slopes come nearer to the
# counts' 1 and 2 the longer the sequences are (those printed above are still below: fixed costs weigh), and the slopes
# win: however cheap a pair of tokens is, there are L^2 / 2 of them.
#
# What is the price paid for? Attention can look back at any single token, exactly, whenever it turns out to matter. An
# ssm must decide what to keep while it reads. The paper behind this library shows that nonlinear layers between the
# ssm layers let it choose by content what to keep, for functions in which few tokens matter; `minissm run recall`
# trains both on a task where that is all that counts.
#
# **Try it:** (1) give the ssm 64 modes: where should the curves cross by the count, and where do they? (2) Time a batch
# of 16 sequences instead of one. Which model gains more, and why at small L? (3) Set `MINISSM_REFERENCE=1` and run this
# again, up to the generation: at equal lengths, which of the curves have another slope, and which only lie higher?
