# %% [markdown]
# # 8. The selective layer
#
# A filter treats every token alike: the same pole, the same weights. In Mamba, a state space model of 2023 (Gu & Dao,
# arXiv 2312.00752), each token chooses them. **What does this add, and what is dt now?** First we compute six tokens by
# hand. Then a trained model reads a sequence with noise. We look at its dt, and change it.
#
# - **Goals**: compute the selective layer by hand; say what a small and a large dt do; test whether dt shows
#   importance.
# - **You need**: tutorials 1 and 2 (pole, state, step dt, Mamba's mixed rule), 5 and 6 (task, FNN, `fit`, `trace`).
# - **Time**: 60 minutes.

# %%
import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import minissm as ms
from minissm.plots import COLOURS, DASHES, MARKS

plt.rcParams["axes.titlesize"] = 10.5
HERE = Path(__file__).parent if "__file__" in globals() else Path(ms.__file__).parents[1] / "tutorials"
FILE = HERE / "trained" / "08_the_selective_layer.npz"
TRAIN = "--train" in sys.argv or not FILE.exists()  # in a notebook, write TRAIN = True to train it yourself

# %% [markdown]
# ## A step for each token
#
# Tutorial 2 ended with tokens that have their own steps. With Mamba's mixed rule, and a weight B of the input,
#
# $$ h_t = e^{\Delta_t a}\, h_{t-1} + \Delta_t\, B\, u_t, \qquad a < 0. $$
#
# If $\Delta_t$ (`dt` in the code) is near 0, the state keeps everything and takes in nothing: the token is *ignored*.
# If $\Delta_t$ is large, the state keeps nothing: the token *overwrites* it. In a filter $\Delta$ is a parameter of the
# channel. **In the selective layer it is computed from the token.** It must be above 0. So it is the **softplus** of a
# number z of any sign, $\log(1 + e^z)$. This is near z for large z, and near $e^z$ for z far below 0.
#
# There are six tokens, and the two that matter are marked. Take $a = -1$, $B = 1$, and $z = 8 \cdot \mathrm{mark} - 4$.
# Then $\Delta$ is 4.02 at a marked token and 0.018 at another. Expected: the state jumps at the marked tokens, and
# hardly moves in between.


# %%
def softplus(z):
    return np.logaddexp(0, z)  # log(e^0 + e^z), without overflow


def states_by_hand(dt, u):
    """h_t = exp(-dt_t) h_{t-1} + dt_t u_t, from h_0 = 0."""
    h, states = 0.0, []
    for dt_t, u_t in zip(dt, u, strict=True):
        h = np.exp(-dt_t) * h + dt_t * u_t
        states.append(h)
    return np.array(states)


u, mark = np.array([3.0, 1, -2, 5, 1, -1]), np.array([1, 0, 0, 1, 0, 0])
dt = softplus(8 * mark - 4)
h = states_by_hand(dt, u)
print("dt:", dt.round(3), " states:", h.round(2))
assert np.allclose(h[[0, 3]], dt[[0, 3]] * u[[0, 3]], rtol=0.02)  # overwritten: 98 % of it is the token
assert np.allclose(h[[2, 5]], h[[0, 3]], rtol=0.06)  # ignored

# %% [markdown]
# The state is 4.02 times the token: the written number grows with $\Delta$. With the zero-order hold the factor is the
# gate $g = 1 - e^{-\Delta}$ of tutorial 2, below 1. Why the softplus, of all positive functions? With it, this gate is
# the **sigmoid** of z, $1 / (1 + e^{-z})$, a smooth switch from 0 to 1 (Gu & Dao 2023, theorem 1).

# %%
z = np.linspace(-6, 6, 25)
assert np.allclose(1 - np.exp(-softplus(z)), 1 / (1 + np.exp(-z)))

figure, (steps, state) = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
t = np.arange(1, 7)
steps.bar(t, dt, color=[COLOURS[1] if m else COLOURS[0] for m in mark])
steps.set(xlabel="token t", ylabel=r"$\Delta_t$", xticks=t, title="Two tokens of six get a large dt")
for i, (name, curve) in enumerate({"dt from the token": h, "dt = 1 for all": states_by_hand(np.ones(6), u)}.items()):
    state.plot(t, curve, MARKS[i], linestyle=DASHES[i], color=COLOURS[i], label=name)
state.set(xlabel="token t", ylabel="state $h_t$", xticks=t, title="So the state holds the last marked token")
state.legend(frameon=False)
plt.show()

# %% [markdown]
# ## Where to write, where to read
#
# The state of a channel has N numbers. The token also chooses $B_t$, the weights with which it is written into them,
# and $C_t$, the weights with which they are read:
#
# $$ h_{t,n} = e^{\Delta_t A_n} h_{t-1,n} + \Delta_t\, u_t\, B_{t,n}, \qquad y_t = \sum_n C_{t,n}\, h_{t,n}. $$
#
# So the state can be a small table. Take six other tokens. The first writes 3 into number 1, and the second 5 into
# number 2. Two are noise. The last two read number 2, then number 1. $\Delta$ is 0.049 at the first two and 0.0001 at
# the others. Expected: the answers are near 0.049 times 5 and 3.

# %%
A = np.array([-1.0, -1])
u, dt = np.array([3.0, 5, 9, -7, 0, 0]), softplus(np.array([-3.0, -3, -9, -9, -9, -9]))
B = np.array([[1.0, 0], [0, 1], [1, 1], [1, 1], [0, 0], [0, 0]])  # (L, N)
C = np.array([[0.0, 0], [0, 0], [0, 0], [0, 0], [0, 1], [1, 0]])

h, y = np.zeros(2), []
for u_t, dt_t, B_t, C_t in zip(u, dt, B, C, strict=True):
    h = np.exp(dt_t * A) * h + dt_t * u_t * B_t
    y.append(h @ C_t)
print("asked for number 2 and 1:", (y[4:] / dt[0]).round(2), "times 0.049")
assert np.allclose(y[4:] / dt[0], [5, 3], rtol=0.06)

# %% [markdown]
# Number 1 is 5 % too small: the second token also faded it, since one dt fades all numbers of a channel. Compare with
# tutorial 7: $B_t$ is like a key, $C_t$ like a query, $\Delta_t u_t$ like a value, with fading in place of a softmax
# (Dao & Gu 2024, arXiv 2405.21060). The library has `ms.selective_scan(u, dt, A, B, C)`; a **scan** runs a recurrence.
# u and dt are (B, L, E), A is (E, N), B and C are (B, L, N): all channels share them. Expected: the same y. If dt, B
# and C are the same for all tokens, y is the output of a filter with $\log\lambda = \Delta A$ and $c = \Delta B C$.

# %%
x = u[None, :, None]  # (B, L, E) = (1, 6, 1)
y_library, _, _ = ms.selective_scan(x, dt[None, :, None], A[None], B[None], C[None])
assert np.allclose(y_library[0, :, 0], y)

A, b, c = np.array([[-1.0, -3]]), np.array([0.5, 2]), np.array([1.0, -1])
y_same, _, _ = ms.selective_scan(x, np.full((1, 6, 1), 0.3), A, np.tile(b, (1, 6, 1)), np.tile(c, (1, 6, 1)))
y_filter, _, _ = ms.scan.recurrent(0.3 * A + 0j, (0.3 * b * c + 0j)[None], x)
assert np.allclose(y_same, y_filter)

# %% [markdown]
# Otherwise it is not a filter: the weight of a token depends on the tokens, not only on the distance. So there is no
# kernel, and no convolution or FFT computes it. Only the recurrence is left. (It needn't run token by token: the
# doubling of tutorial 3, third thing to try, allows a factor for each token. On a GPU, Mamba computes like that.)
#
# ## The layer `s6`, and Mamba
#
# The layer learns how tokens choose. As in `ssm`, a linear map takes D numbers to $E = 2D$ channels u, another map
# takes them back, and a skip leads around the scan. Between the maps, for each token,
#
# $$ \Delta = \mathrm{softplus}(u\, W_{low} W_{dt} + b_{dt}), \; B = u W_B, \; C = u W_C, \; A = -e^{\log a}. $$
#
# A is the same for all tokens. $W_{low}$ is (E, R) and $W_{dt}$ is (R, E). R is small: $D/16$, at least 1. With
# $D = 24$ it is 1: each token makes **one** number, and each channel turns it into its own dt. (Mamba rounds up, to 2.
# In its code, `log_a` is `A_log`, `w_low`, `w_b` and `w_c` are together `x_proj`, and `w_dt` and `b_dt` are `dt_proj`.)
# Mamba's block has two more parts. Before the scan, it has a convolution over 4 tokens in each channel and an
# activation; after it, a second gate, a factor from the token. `s6` has neither. Its scores don't apply to Mamba.
#
# ## A sequence with noise
#
# **Selective copying**: 4 symbols at random places among 12 blanks, then 4 times `<ASK>`. The answers are the symbols
# in order. The blanks are noise. Training takes about 15 s a model. So the repository keeps the results of
# `python tutorials/08_the_selective_layer.py --train`: an `s6` model, and the scores of an `ssm` model of its size.
# Both were trained with 16 tokens before the questions (`context`). They are also tested with 64 and 256: more blanks.

# %%
CONTEXTS = (16, 64, 256)
tasks = [ms.tasks.SelectiveCopying(copied=4, context=n, symbols=6) for n in CONTEXTS]
task, rng = tasks[0], np.random.default_rng(1)
batches = [tasks[i].batch(rng, n) for i, n in enumerate((200, 100, 50))]
batch = batches[0]
net = ms.Model("s6 + fnn1", vocab=task.vocab, width=24)
ssm = ms.Model("ssm + fnn1", vocab=task.vocab, width=24)


def train(net):
    rng = np.random.default_rng(0)
    params, _ = ms.fit(net, net.init(rng), task, steps=800, rng=rng, lr=1.6e-2)
    return params


def accuracy(y, batch):
    counts = batch.weights > 0
    return float((y.argmax(axis=-1) == batch.targets)[counts].mean())


if TRAIN:
    params, params_ssm = train(net), train(ssm)
    of_ssm = [accuracy(ssm(params_ssm, more.inputs)[0], more) for more in batches]
else:
    loaded, params = ms.load(FILE)
    assert loaded == net
    of_ssm = json.loads(FILE.with_suffix(".json").read_text(encoding="utf-8"))
if "--train" in sys.argv:
    FILE.parent.mkdir(exist_ok=True)
    ms.save(FILE, net, params)
    FILE.with_suffix(".json").write_text(json.dumps(of_ssm) + "\n", encoding="utf-8")
print(f"parameters: s6 {net.size:,}, ssm {ssm.size:,}")

# %% [markdown]
# Here is the model by hand, with an argument that changes dt. Without a change it must be equal to `net`.


# %%
def model(tokens, change=None, fade_only=False):
    """The outputs (B, L, vocab). change: a function of dt (B, L, E) and the tokens (B, L) that returns another dt."""
    p = params["blocks"][0]
    f, x = p["filter"], params["embed"]["w"][tokens]
    u = x @ p["w_in"] + p["b_in"]
    old = softplus(u @ f["w_low"] @ f["w_dt"] + f["b_dt"])
    dt = old if change is None else change(old, tokens)
    written = u * old / dt if fade_only else u  # with fade_only, dt u B stays as it was
    v, _, _ = ms.selective_scan(written, dt, -np.exp(f["log_a"]), u @ p["w_b"], u @ p["w_c"])
    x = x + (v + p["skip"] * u) @ p["w_out"] + p["b_out"]
    z, _ = ms.layers.fnn(params["blocks"][1], x)
    return (x + z) @ params["head"]["w"] + params["head"]["b"]


assert np.allclose(model(batch.inputs), net(params, batch.inputs)[0], atol=1e-3)

# %% [markdown]
# ## Is dt small at blanks?
#
# `trace` returns dt as `steps`. No layer comes before this one, so its dt depends only on the token: a blank has the
# same dt everywhere. Is this dt small? Make a guess before you read on.

# %%
kinds = np.array(task.kinds)[batch.inputs]  # "blank", "marker" or "symbol" for each token
dt = net.trace(params, batch.inputs)["blocks.0.steps"]
at = {kind: dt[kinds == kind].mean(axis=0) for kind in ("blank", "symbol", "marker")}  # (E,) each
print("mean over all channels:", {kind: round(float(mean.mean()), 3) for kind, mean in at.items()})
ratio = at["blank"] / at["symbol"]
shut = ratio < 0.1  # the channels that a blank shuts
print(f"of {len(ratio)} channels, {shut.sum()} have a dt ten times smaller at blanks, {(ratio > 1).sum()} a larger one")
assert min(shut.sum(), (ratio > 1).sum()) > 10

figure, axis = plt.subplots(figsize=(9, 4.4), layout="constrained")
image = axis.imshow(np.log10(dt[0, :, np.argsort(ratio)].clip(1e-4)), aspect="auto", cmap="viridis")
axis.set_xticks(range(20), [task.names[token].replace("<ASK>", "?") for token in batch.inputs[0]])
axis.set(xlabel="token (_ blank, ? asks for an answer)", ylabel="channel")
axis.set_title("At blanks the upper channels nearly stop (dark), and the lower ones run faster")
figure.colorbar(image, label="log10 of dt")
plt.show()

# %% [markdown]
# In many channels a blank is ignored, in others it overwrites, and the mean over the channels hides both. (With $R = 1$
# a channel's dt only rises or falls with the token's one number. The sign is drawn at random, and most channels keep
# it.) Does the model *use* the small dt? We change dt at the blanks. Expected:
#
# - the dt of a symbol, in the channels that a blank shuts: the answers are destroyed, even by the fading alone;
# - the same in all other channels: little changes, if they carry nothing;
# - dt = 0 in all channels: nothing is lost, if the model ignores blanks.


# %%
def at_blanks(value, channels=True):
    """The change that sets dt at blanks, in these channels, to this value."""
    return lambda dt, tokens: np.where((tokens == 0)[..., None] & channels, value, dt).astype(dt.dtype)


changes = {
    "as it is": None,
    "shut channels: dt of a symbol": at_blanks(at["symbol"], shut),
    "other channels: dt of a symbol": at_blanks(at["symbol"], ~shut),
    "all channels: dt = 0": at_blanks(0),
}
scores = {name: accuracy(model(batch.inputs, change), batch) for name, change in changes.items()}
scores["shut channels: its fading alone"] = accuracy(model(batch.inputs, at_blanks(at["symbol"], shut), True), batch)
for name, score in scores.items():
    print(f"{name:32s} {score:.3f}")
assert scores["as it is"] > 0.97
assert max(scores["shut channels: dt of a symbol"], scores["shut channels: its fading alone"]) < 0.5
assert scores["other channels: dt of a symbol"] > 0.95
assert scores["all channels: dt = 0"] > 0.97

# %% [markdown]
# Now there are more blanks. They change the distances, by which the filter weighs tokens. Expected: the filter fails.
# The selective layer slowly gets worse, since a small dt isn't 0. With dt = 0 at blanks, their number can't matter.

# %%
curves = {
    "s6 + fnn1, dt = 0 at blanks": [accuracy(model(more.inputs, at_blanks(0)), more) for more in batches],
    "s6 + fnn1": [accuracy(net(params, more.inputs)[0], more) for more in batches],
    "ssm + fnn1": of_ssm,
}
assert of_ssm[1] < 0.5 < 0.9 < curves["s6 + fnn1"][1]
assert curves["s6 + fnn1, dt = 0 at blanks"][2] > 0.95 > curves["s6 + fnn1"][2]
figure, axis = plt.subplots(figsize=(7.5, 3.6), layout="constrained")
for i, (name, curve) in enumerate(curves.items()):
    print(f"{name:28s}", *(f"{n}: {score:.3f} " for n, score in zip(CONTEXTS, curve, strict=True)))
    axis.plot(CONTEXTS, curve, MARKS[i], linestyle=DASHES[i], color=COLOURS[i], label=name)
axis.axhline(task.baseline, color="0.4", linestyle=":", label="baseline")
axis.set(xlabel="tokens before the questions (trained with 16)", ylabel="accuracy", ylim=(0, 1.03), xticks=CONTEXTS)
axis.set_title("A filter fails with more blanks, the selective layer fades")
axis.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
plt.show()

# %% [markdown]
# **What this shows**: for these parameters the small dt at blanks keeps the symbols. A larger one fades the state and
# destroys the answers. **What it doesn't**: that dt measures importance. Some channels have a large dt at blanks and
# don't matter, and $B_t$ can keep a token out as well. This is one model on one task. And a blank is known by itself.
# The dt of a first layer can't know that a token matters *because of others* (Mamba's convolution shows it 3 others).
#
# So what does Mamba add? A token decides how much of the state it replaces, where it is written, and what is read.
#
# ## To try
#
# 1. How many blanks does a state survive? It is halved after $\log 2 / (\Delta |A|)$ of them. Begin with
#    `A = -np.exp(params["blocks"][0]["filter"]["log_a"])`, (E, N), and compare the channels in `shut` with the figure.
# 2. What does `<ASK>`, token 1, do? Set its dt to 0: `y = model(batch.inputs, lambda dt, tokens: ...)`. Why are the
#    four answers of a sequence then the same?
# 3. Which channels does a blank shut? Begin with `u = params["embed"]["w"] @ p["w_in"] + p["b_in"]`, the input of each
#    token of the vocabulary, and `s = u @ f["w_low"]`, its one number (p and f as in `model`).
