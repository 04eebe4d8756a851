# %% [markdown]
# # 7. Attention
#
# A state space layer keeps a state of fixed size, and what it didn't keep is gone. Attention keeps every token, and
# looks back at all of them for each answer. **What does looking back cost?** First six tokens by hand, then the cost:
# time and memory, in training and when a model writes.
#
# - **Goals**: compute attention by hand; say at which lengths it is cheaper than a state space layer.
# - **You need**: tutorials 1, 3 and 4 (state, chunks, backward), 5 and 6 (vocabulary, recall, two layers).
# - **Time**: 60 minutes.

# %%
import time
import tracemalloc

import matplotlib.pyplot as plt
import numpy as np

import minissm as ms
from minissm.backend import REFERENCE  # True where MINISSM_REFERENCE=1 turns the fast paths off
from minissm.fast.parallel import threads
from minissm.plots import COLOURS, DASHES, MARKS

plt.rcParams["axes.titlesize"] = 10.5
rng = np.random.default_rng(0)

# %% [markdown]
# ## One look back
#
# The task is recall, as in tutorial 6: after the pairs "a 2" and "b 1" comes the question "a", and the answer is 2.
# With a first token "^" these are six tokens. Each is a one-hot vector: a 1 in the place of its name, 0 elsewhere.

# %%
NAMES = "^ab12"


def one_hot(text):
    return np.array([[float(name == other) for other in NAMES] for name in text])


x = one_hot("^a2b1a")  # (L, 5), L = 6

# %% [markdown]
# Attention computes three vectors from each token. A trained model uses three matrices; we choose the vectors.
#
# - The **query** $q_t$ says what token t looks for.
# - The **key** $k_s$ says how token s is found.
# - The **value** $v_s$ is the content that token s gives. (The task's keys and values only have the same names.)
#
# Query t is compared with key s by a scalar product, the **score** $z_{ts} = q_t \cdot k_s$. The **softmax** turns the
# scores of token t into weights above 0 whose sum is 1. The output is the mean of the values with these weights:
#
# $$ w_{ts} = \frac{e^{z_{ts}}}{\sum_{r \le t} e^{z_{tr}}}, \qquad o_t = \sum_{s \le t} w_{ts}\, v_s. $$
#
# The sums end at t: a token sees itself and the tokens before it. This is the **mask**, which hides the future.


# %%
def look_back(q_t, keys, values):
    """Token t looks at all tokens so far -> its output, and its weights."""
    z = np.array([q_t @ k_s for k_s in keys])
    e = np.exp(z - z.max())  # the same weights, and no overflow: the factor exp(z.max()) cancels
    weights = e / e.sum()
    return weights @ np.array(values), weights


def attend(q, k, v):
    """Each token looks at itself and the tokens before it -> outputs, and weights (L, L)."""
    L = len(q)
    o, weights = np.zeros((L, v.shape[1])), np.zeros((L, L))
    for t in range(L):
        o[t], weights[t, : t + 1] = look_back(q[t], k[: t + 1], v[: t + 1])
    return o, weights


# %% [markdown]
# **Layer 1 looks at the token before, by position.** The key of token s is $p_s$, a one-hot vector of its position. The
# query of token t is $8\, p_{t-1}$. (8 is our choice. A larger number gives sharper weights.) So one score is 8, and
# the others are 0. Against $t - 1$ scores of 0 it gets the weight $e^8 / (e^8 + t - 1)$, 0.998 at $t = 6$. The values
# are the tokens. Expected: each output is nearly the token before.

# %%
before, weights_1 = attend(8 * np.eye(6, k=-1), np.eye(6), x)  # row t of eye(6, k=-1) has its 1 at t - 1
assert np.isclose(weights_1[5, 4], np.exp(8) / (np.exp(8) + 5))
assert [NAMES[i] for i in before.argmax(axis=1)] == list("^^a2b1")  # the first token sees itself alone

# %% [markdown]
# **Layer 2 looks for the same key, by content.** A token now knows itself and the token before it. Its query and its
# value are itself, its key is the token before it. Expected: the last token, a, looks at the 2, because the token
# before the 2 is an a. The others find no match and look at all tokens equally.

# %%
answer, weights_2 = attend(8 * x, before, x)
print("weights of the last token:", weights_2[5].round(4), " answer:", NAMES[answer[5].argmax()])
assert weights_2[5, 2] > 0.99

# %% [markdown]
# One such layer isn't enough: a search for the key a finds the a, not its value. Layer 1 has to bring the two together,
# as in tutorial 6. There, a filter did this. A filter could do it here, too: the weights of layer 1 are the same for
# every text. Those of layer 2 depend on the tokens. Expected: if the last token is b, the answer is 1.

# %%
x_b = one_hot("^a2b1b")
before_b, weights_1b = attend(8 * np.eye(6, k=-1), np.eye(6), x_b)
answer_b, weights_2b = attend(8 * x_b, before_b, x_b)
assert [NAMES[o[5].argmax()] for o in (answer, answer_b)] == ["2", "1"]
assert np.array_equal(weights_1b, weights_1)
assert abs(weights_2b - weights_2).max() > 0.9

figure, axes = plt.subplots(1, 2, figsize=(9, 4.2), layout="compressed")
titles = {"Layer 1: a token looks\nat the one before": weights_1, "Layer 2: the last a looks\nat its value": weights_2}
for axis, (title, weights) in zip(axes, titles.items(), strict=True):
    image = axis.imshow(np.where(np.tri(6), weights, np.nan), cmap="Blues", vmin=0, vmax=1)
    axis.set_xticks(range(6), "^a2b1a")
    axis.set_yticks(range(6), "^a2b1a")
    axis.set(xlabel="is looked at, s", ylabel="looks, t", title=title)
figure.colorbar(image, ax=axes, label="weight (white above the diagonal: masked)")
plt.show()

# %% [markdown]
# ## The library, and heads
#
# A layer can run attention several times in parallel, in **heads**. Each of the H heads has its own queries, keys and
# values of P numbers, and the outputs are concatenated: $D = HP$. `ms.attention` takes q, k, v of shape (B, H, L, P).
# It divides the scores by $\sqrt P$, since sums of P random products grow like this. So we first multiply q by
# $\sqrt P$. It computes all t at once: a masked score is $-\infty$, its weight 0. Here head 1 looks one token back,
# head 2 two. Expected: the outputs of `attend`, and a new last token changes no earlier output.

# %%
q = np.array([[8 * np.eye(6, k=-1), 8 * np.eye(6, k=-2)]])  # (B, H, L, P) = (1, 2, 6, 6)
k, v = np.array([[np.eye(6)] * 2]), np.array([[x] * 2])
o, _ = ms.attention(np.sqrt(6) * q, k, v)
for head in (0, 1):
    assert np.allclose(o[0, head], attend(q[0, head], k[0, head], v[0, head])[0])
assert np.allclose(ms.attention(np.sqrt(6) * q, k, np.array([[x_b] * 2]))[0][:, :, :5], o[:, :, :5])

# %% [markdown]
# ## The cache
#
# When a model writes (**generation**), each answer is the next token. So tokens come one by one. Each needs the keys
# and values of all earlier tokens. These don't change, so they are kept, in the **cache**. Expected: the same outputs.

# %%
keys, values = [], []
for t in range(6):
    keys.append(before[t])
    values.append(x[t])
    o_t, _ = look_back(8 * x[t], keys, values)
    assert np.allclose(o_t, answer[t])

# %% [markdown]
# The cache is attention's state: $2D$ numbers a token and layer. (Models whose heads share keys and values, GQA, have
# less.) The state of an `ssm` layer has $E = 2D$ channels with N complex poles: $2EN = 4DN$ real numbers at any length.
# With $N = 8$ the two are equal after $2N = 16$ tokens. Recall has 12. In the first table of
# [experiments.md](../docs/experiments.md) two ssm layers carry 2,048 numbers, and two attention layers 1,632. (`attn`
# is the library's block. It can add a learned vector for each position to its input; here it doesn't.)

# %%
D, E, N, Q = 32, 64, 8, 32  # width, channels inside of ssm, poles, tokens of a chunk: the library's defaults
NETS = {
    "ssm": ms.Model("ssm + fnn1 + ssm + fnn1", vocab=16, width=D),
    "attention": ms.Model("attn(positions='none') + fnn1 + attn(positions='none') + fnn1", vocab=16, width=D),
}
for t in (4, 16, 256, 4096):
    print(f"after {t:>5} tokens: " + ", ".join(f"{name} {net.state_size(t):,}" for name, net in NETS.items()))
    assert [net.state_size(t) for net in NETS.values()] == [2 * 4 * D * N, 2 * 2 * D * t]  # two layers

# %% [markdown]
# ## Multiplications
#
# Both layers begin and end with products of each token and matrices, $4 D^2$ multiplications a token. Between them,
# attention compares token t with t keys and adds up t values, D multiplications each: $L^2 D$ for L tokens. The ssm, in
# chunks of Q tokens, takes $E\,(Q + 4N + 4N/Q)$ a token, and $12\,E N Q$ once for its matrices (tutorial 3). We leave
# out exponentials. Expected, for one sequence: attention multiplies less up to $L = 166$, and more beyond.

# %%
for L in (32, 166, 167, 2048):
    attention = 4 * L * D**2 + L**2 * D
    ssm = 4 * L * D**2 + L * E * (Q + 4 * N + 4 * N / Q) + E * 12 * N * Q
    print(f"L {L:>4}: ssm {ssm:>10,.0f}   attention {attention:>11,}")
    assert (attention < ssm) == (L <= 166)

# %% [markdown]
# ## Time
#
# A training step is a forward and a backward, here of one sequence. For generation, 8 sequences are read, then tokens
# come one by one. Expected, but not asserted, because times depend on the machine: in training the curves cross at
# several hundred tokens. One more token always costs the ssm the same, attention more. (In training this holds up to
# $2^{15}$ tokens. Then memory costs more: see "Large batches" in [performance.md](../docs/performance.md).)


# %%
def low(step, count):
    """Milliseconds: a fifth of the steps take less. In slow steps the machine does other work. The first loads code."""
    times = [time.perf_counter()]
    for _ in range(count + 1):
        step()
        times.append(time.perf_counter())
    return 1e3 * np.quantile(np.diff(times)[1:], 0.2)


def train_once(name, x):
    y, backward = NETS[name](params[name], x)
    backward(y)


def generate(name, x):
    """A function that feeds one more token after those of x, from the state that they leave."""
    _, state, _ = NETS[name].run(params[name], x)
    step = NETS[name].stepper(params[name])

    def feed():
        nonlocal state
        _, state = step(state, x[:, 0])

    return feed


LENGTHS, READ = 2 ** np.arange(5, 10 if REFERENCE else 12), (16, 256, 512) if REFERENCE else (16, 512, 1024, 2048)
tokens, params = rng.integers(0, 16, (8, 2048)), {n: net.init(rng) for n, net in NETS.items()}
with threads(1):  # one core
    training = {n: [low(lambda n=n, L=L: train_once(n, tokens[:1, :L]), 4) for L in LENGTHS] for n in NETS}
    generation = {n: [low(generate(n, tokens[:, :t]), 20) for t in READ] for n in NETS}
print("L =", LENGTHS, "tokens so far:", READ)
for name in NETS:
    print(f"{name}, ms: training", np.round(training[name], 1), "one token", np.round(generation[name], 2))

# %% [markdown]
# ## Memory in training
#
# A backward needs arrays of its forward. In its direct form, attention keeps the weight of every pair: L numbers a
# token and head. But the backward can compute the weights again, a few at a time (Dao et al. 2022;
# `minissm/fast/attention.py`). It needs q, k and one number a token, the logarithm of the sum in the softmax. Kept, for
# each token:
#
# - attention: q, k, v, o and the output, D numbers each, and one for each of the two heads: $5D + 2 = 162$;
# - ssm: input and output of the filters, $E = 2D$ each, the output, D, and a state for each chunk, $2EN/Q$: 192.
#
# **The ssm keeps more**, because its inner width is $2D$. It also keeps the matrices of its filters, 212,000 numbers
# for any number of tokens. `tracemalloc` counts the bytes: one layer, 16 sequences, forward and backward. Expected: at
# $L = 512$ the ssm needs more, at 1024 a little less. Attention with all weights needs most from 128 on.


# %%
def memory(block, L, B=16):
    """Numbers a token, of 4 bytes: kept after the forward, and the most at any time."""
    p = ms.tree.map(lambda a: a.astype("float32"), block.init(rng, D))
    x = rng.normal(size=(B, L, D)).astype("float32")
    tracemalloc.start()
    y, _, backward = block.run(p, x, None, "auto")  # the block alone: no state before, the usual mode
    kept, _ = tracemalloc.get_traced_memory()
    backward(y)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return kept / (4 * B * L), most / (4 * B * L)


SHORT, ATTENTION = 2 ** np.arange(4, 10 if REFERENCE else 11), ms.Attn(positions="none")
with threads(1):
    numbers = {"ssm": [memory(ms.Ssm(), L) for L in SHORT], "attention": [memory(ATTENTION, L) for L in SHORT]}
    with ms.reference():  # the attention that is written down directly
        numbers["attention, all weights kept"] = [memory(ATTENTION, L) for L in SHORT[:6]]
for name, found in numbers.items():
    print(f"{name}: kept {found[-1][0]:.0f}, at most {found[-1][1]:.0f} numbers a token, L = {SHORT[len(found) - 1]}")
if not REFERENCE:
    assert abs(numbers["attention"][-1][0] - 162) < 2
    assert abs(numbers["ssm"][-1][0] - (192 + 212_000 / (16 * 1024))) < 6
    needs_more = [a[1] > b[1] for a, b in zip(numbers["ssm"], numbers["attention"], strict=True)]
    assert needs_more == [True] * 3 + [False, True, True, False]  # at L = 128, attention still keeps all weights
    needs_most = [a[1] > b[1] for a, b in zip(numbers["attention, all weights kept"], numbers["ssm"], strict=False)]
    assert needs_most == [False] * 3 + [True] * 3  # L = 16, 32, 64, then 128, 256, 512

figure, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
most = {name: [m for _, m in found] for name, found in numbers.items()}
panels = (
    (LENGTHS, training, "Time: attention is cheap when short", "length L", "ms, a training step", None),
    (SHORT, most, "Memory: the ssm needs more when short", "length L, batch of 16", "numbers a token, training", 2500),
    (READ, generation, "Time of one more token: attention grows", "tokens so far", "ms a token", None),
)
for axis, (lengths, curves, title, xlabel, ylabel, top) in zip(axes, panels, strict=True):
    for i, (name, curve) in enumerate(curves.items()):
        axis.plot(lengths[: len(curve)], curve, MARKS[i], linestyle=DASHES[i], color=COLOURS[i], label=name)
    axis.set(xlabel=xlabel, ylabel=ylabel, ylim=(0, top), title=title)
    axis.legend(frameon=False)
plt.show()

# %% [markdown]
# So what does looking back cost? For short texts little. At these sizes attention has the smaller state below 16
# tokens, less to compute below 167, and less to keep for training below some 10,000 in a batch. For long texts it costs
# more: there are $L^2 / 2$ pairs. In return, attention can look at each earlier token as it was. An ssm must decide
# what to keep while it reads.
#
# ## To try
#
# 1. The text "^a1a2a" shows the key a twice. What does the written attention answer? Make the later value win. Begin
#    with `x = one_hot("^a1a2a")`, and give the keys of layer 2 one more number that grows with s (the queries: 1).
# 2. Give the ssm 64 poles: `net = ms.Model("ssm(poles=64) + fnn1 + ssm(poles=64) + fnn1", vocab=16, width=D)`. From
#    which length on is its state smaller than the cache, and from which does it multiply less?
# 3. Take one sequence instead of 16: `with threads(1): found = [memory(ms.Ssm(), L, B=1) for L in SHORT]`. Does the ssm
#    still need more memory than attention at $L = 1024$, and why does the batch matter?
