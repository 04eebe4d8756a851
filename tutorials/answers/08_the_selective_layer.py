# %% [markdown]
# # Answers to tutorial 8, the selective layer

# %%
from pathlib import Path

import numpy as np

import minissm as ms

HERE = Path(__file__).parents[1] if "__file__" in globals() else Path(ms.__file__).parents[1] / "tutorials"
net, params = ms.load(HERE / "trained" / "08_the_selective_layer.npz")
task = ms.tasks.SelectiveCopying(copied=4, context=16, symbols=6)
batch = task.batch(np.random.default_rng(1), 300)
p = params["blocks"][0]
f = p["filter"]


def softplus(z):
    return np.logaddexp(0, z)


# %% [markdown]
# ## 1. How many blanks a state survives
#
# A blank multiplies a state by exp(dt A). So the state is halved after log 2 / (dt |A|) blanks. In the channels that a
# blank shuts, the lifetimes differ greatly: dt differs from channel to channel, and A is near -1, ..., -8 within a
# channel. Some states are halved after fewer than 48 more blanks, and many after fewer than 240. These are the
# additional blanks of 64 and 256 tokens in the figure, where the accuracy has fallen a little and a lot.

# %%
u = params["embed"]["w"] @ p["w_in"] + p["b_in"]  # of each token of the vocabulary
s = (u @ f["w_low"])[:, 0]
dt = softplus(s[:, None] * f["w_dt"][0] + f["b_dt"])  # (vocab, E); token 0 is the blank, 2 to 7 are the symbols
shut = dt[0] < 0.1 * dt[2:].mean(axis=0)
A = -np.exp(f["log_a"])
half = np.log(2) / (dt[0][shut, None] * -A[shut])
for more in (48, 240):
    print(f"{100 * (half < more).mean():.0f} % of the states are halved by {more} blanks")
assert 0 < (half < 48).mean() < (half < 240).mean() < 1

# %% [markdown]
# ## 2. What `<ASK>` does
#
# With dt = 0 at `<ASK>` the state stays as it was at the first question. The four questions are the same token, so they
# read the same state with the same C: the four outputs are equal, and most answers are wrong. The model needs dt at
# `<ASK>` to go on to the next symbol. So `<ASK>` isn't only a question. It also moves the state.


# %%
def model(tokens, change):
    """The outputs (B, L, vocab), with change(dt, tokens) in place of dt."""
    x = params["embed"]["w"][tokens]
    u = x @ p["w_in"] + p["b_in"]
    dt = change(softplus(u @ f["w_low"] @ f["w_dt"] + f["b_dt"]), tokens).astype(u.dtype)
    v, _, _ = ms.selective_scan(u, dt, -np.exp(f["log_a"]), u @ p["w_b"], u @ p["w_c"])
    x = x + (v + p["skip"] * u) @ p["w_out"] + p["b_out"]
    z, _ = ms.layers.fnn(params["blocks"][1], x)
    return (x + z) @ params["head"]["w"] + params["head"]["b"]


counts = batch.weights > 0
for name, change in {
    "as it is": lambda dt, tokens: dt,
    "dt = 0 at <ASK>": lambda dt, tokens: np.where((tokens == 1)[..., None], 0, dt),
}.items():
    y = model(batch.inputs, change)
    right = (y.argmax(axis=-1) == batch.targets)[counts]
    print(f"{name}: accuracy {right.mean():.3f}")
assert right.mean() < 0.6
assert np.allclose(y[:, 16:], y[:, 16:17], atol=1e-4)  # the four answers are the same

# %% [markdown]
# ## 3. Which channels a blank shuts
#
# Each token makes one number s, and channel e has dt = softplus(s w_e + b_e). The blank's s lies on one side, far from
# those of the symbols. Suppose that it lies below. Then dt is smaller at blanks in the channels with w above 0, much
# smaller for large w, and larger in the channels with w below 0. The sign of w was drawn before the training, and most
# channels kept it.

# %%
print("s:", *(f"{name} {number:.2f} " for name, number in zip(task.names, s, strict=True)))
blank, symbols = s[0], s[2:]
assert not symbols.min() <= blank <= symbols.max()

slower = dt[0] < dt[2:].mean(axis=0)
towards = np.sign(f["w_dt"][0]) == np.sign(symbols.mean() - blank)
print(f"{slower.sum()} of {slower.size} channels are slower at blanks; the sign of w says so for {towards.sum()}")
assert (slower == towards).mean() > 0.95

drawn = net.init(np.random.default_rng(0))["blocks"][0]["filter"]["w_dt"][0]  # the parameters before the training
kept = (np.sign(drawn) == np.sign(f["w_dt"][0])).mean()
print(f"{100 * kept:.0f} % of the channels kept their sign")
assert kept > 0.6
