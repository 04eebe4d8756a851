# %% [markdown]
# # 6. Selection
#
# "Anna has 3, Bob has 1, Carl has 3. How many has Bob?" The answer is one token out of many, picked by what stands
# beside it. A filter can't do this: it weighs a token by how long ago it came (tutorial 5). **Two layers with FNNs can.
# What does each part of them do?** We train a small model, look inside, and break it part by part.
#
# - **Goals**: say what a residual stream is; train a model; find out by experiment what each part of it does.
# - **You need**: tutorials 1 (kernel, channel), 4 (loss, gradient) and 5 (embedding, readout, logit, baseline, FNN).
# - **Time**: 60 minutes.

# %%
import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import minissm as ms
from minissm.plots import COLOURS, DASHES

plt.rcParams["axes.titlesize"] = 10.5
HERE = Path(__file__).parent if "__file__" in globals() else Path(ms.__file__).parents[1] / "tutorials"
FILE = HERE / "trained" / "06_selection.npz"
TRAIN = "--train" in sys.argv or not FILE.exists()  # in a notebook, write TRAIN = True to train it yourself

# %% [markdown]
# ## The task
#
# `recall` shows 4 pairs of a key (a to f) and a value (0 to 5). Then it asks for the 4 keys, in any order. The answer
# to a key is the value that stood beside it. Each sequence has a new map from keys to values, so there is nothing to
# learn by heart. It has 12 tokens, and the vocabulary has 12: 6 keys and 6 values. Without a look at the keys, it is
# best to answer with the most frequent value shown. This gives the baseline.

# %%
task = ms.tasks.Recall()
batch = task.batch(np.random.default_rng(2), 200)
x, asked = batch.inputs, batch.weights > 0  # (200, 12) tokens, and True where an answer counts
print("tokens ", *[task.names[token] for token in x[0]])
print("answers", *[task.names[t] if on else "." for t, on in zip(batch.targets[0], asked[0], strict=True)])
print(f"baseline {task.baseline:.3f}")

# %% [markdown]
# ## The model
#
# `ms.Model` stacks **blocks**: here two state space layers, `ssm`, each followed by an FNN. The embedding makes a
# vector z of 32 numbers of each token. Each block reads these vectors and **adds** to them:
#
# $$ z \leftarrow z + \mathrm{block}(z). $$
#
# The vectors that run through the model in this way are the **residual stream**. A block needn't pass on what it
# doesn't change. At the end the readout makes 12 logits of each vector. A layer `ssm` has three steps: a linear map to
# 64 channels, $u = z W_{in} + b_{in}$; a filter of 8 poles in each channel, and around it a direct path, the **skip**,
# $v = \mathrm{filter}(u) + s u$; a linear map back, $v W_{out} + b_{out}$.
#
# The parameters are a tree: dicts and lists of arrays. `net.trace` returns what is inside a model, by name. Expected:
# the stream after layer 1 is the stream before it plus what the function `ms.ssm` returns.

# %%
net = ms.Model("ssm + fnn1 + ssm + fnn1", vocab=task.vocab, width=32)
start = net.init(np.random.default_rng(0))
inside = net.trace(start, x)
before, after = inside["embed"], inside["blocks.0.output"]
added, _, _ = ms.ssm(start["blocks"][0], before, filter=net.blocks[0].filter)
print(net, "has", net.size, "parameters. The stream has the shape", after.shape)
assert np.allclose(after, before + added, atol=1e-5)

# %% [markdown]
# ## Training
#
# `ms.fit` repeats one step: draw 64 fresh sequences, compute the loss and its gradient (tutorial 4), move all
# parameters a little against the gradient. The **loss** is the mean of $-\log p$ over the answers, where
# $p = e^{y_r} / \sum_i e^{y_i}$ is the probability that the logits y give to the right token r. The **learning rate**
# `lr` is about the most that a number moves in a step. (The optimizer is AdamW.) `log.rows` has scores on other
# sequences. Expected after 60 steps: the baseline. The model answers with values shown, and doesn't look at the keys.

# %%
_, log = ms.fit(net, start, task, steps=60, rng=np.random.default_rng(0), lr=8e-3, evals=3, progress=False)
for row in log.rows:
    print(f"step {row['step']:3d}   loss {row['loss']:.2f}   right answers {row['token_accuracy']:.3f}")
assert abs(log.rows[-1]["token_accuracy"] - task.baseline) < 0.08

# %% [markdown]
# 1500 steps take 10 to 40 s. So the repository keeps what `python tutorials/06_selection.py --train` wrote: the
# parameters, and the scores during this training and another one, of a model with one layer and the same size.


# %%
def train(spec, width):
    """Draw parameters and train them -> model, params, rows."""
    net, rng = ms.Model(spec, vocab=task.vocab, width=width), np.random.default_rng(0)
    params, log = ms.fit(net, net.init(rng), task, steps=1500, rng=rng, lr=8e-3)
    return net, params, log.rows


if TRAIN:
    (net, params, rows), (_, _, rows_one) = train("ssm + fnn1 + ssm + fnn1", 32), train("ssm + fnn1", 46)
else:
    net, params = ms.load(FILE)
    rows, rows_one = json.loads(FILE.with_suffix(".json").read_text(encoding="utf-8"))
if "--train" in sys.argv:
    FILE.parent.mkdir(exist_ok=True)
    ms.save(FILE, net, params)
    FILE.with_suffix(".json").write_text(json.dumps([rows, rows_one]) + "\n", encoding="utf-8")


def accuracy(params, net=net):
    """The fraction of right answers to our 200 sequences."""
    return (net(params, x, where=asked)[0].argmax(axis=1) == batch.targets[asked]).mean()


print(f"two layers {accuracy(params):.3f}   one layer {rows_one[-1]['token_accuracy']:.3f}")
assert accuracy(params) > 0.97
assert rows_one[-1]["token_accuracy"] < 0.55

figure, axes = plt.subplots(figsize=(7.5, 3.4), layout="constrained")
for i, (label, curve) in enumerate({"ssm + fnn1 + ssm + fnn1": rows, "ssm + fnn1, same size": rows_one}.items()):
    score = [row["token_accuracy"] for row in curve]
    axes.plot([row["step"] for row in curve], score, color=COLOURS[i], linestyle=DASHES[i], label=label)
axes.axhline(task.baseline, color="0.4", linestyle=":", label="baseline: values without keys")
axes.set(xlabel="steps of training", ylabel="right answers", ylim=(0, 1.05))
axes.set_title("Two layers leave the baseline, one layer doesn't in 1500 steps")
axes.legend(frameon=False, loc="center right", bbox_to_anchor=(1, 0.3))
plt.show()

# %% [markdown]
# One layer doesn't learn it *in these steps at this rate*. At half the rate, with four times the steps, it did in two
# of three trials (docs/experiments.md). So this is no proof, as tutorial 5 has one, but a large difference.
#
# ## Which tokens does an answer need?
#
# We exchange one token for each of the 5 others of its kind, a key for keys and a value for values. What does it cost?
# We measure the **lead**: the logit of the right value less the mean logit of all values. For comparison we take the
# gradient of the lead with respect to each token's vector, and its length. `net.trace` returns it as `dembed`, if it
# gets `dy`, the gradient with respect to the logits. Expected: of the 8 tokens of the pairs, an answer needs two, the
# key that is asked and the value beside it.

# %%
value_at = task.source(batch)[:, 8:]  # (200, 4): where the right value stands; its key is one earlier
pick = np.eye(12)[batch.targets[:, 8:]] - np.r_[np.zeros(6), np.ones(6) / 6]  # lead = sum of pick * logits
cost, slope = np.zeros((2, 200, 4, 12))  # sequence, question, token
for t in range(12):
    kind = 6 * (x[:, t] // 6)  # 0, the first key, or 6, the first value
    for shift in range(6):  # 0 exchanges nothing
        other = x.copy()
        other[:, t] = kind + (x[:, t] - kind + shift) % 6
        lead = (pick * net(params, other)[0][:, 8:]).sum(axis=2)  # (200, 4)
        cost[:, :, t] += lead if shift == 0 else -lead / 5
for question in range(4):
    dy = np.zeros((200, 12, 12), "float32")
    dy[:, 8 + question] = pick[:, question]
    slope[:, question] = np.linalg.norm(net.trace(params, x, dy=dy)["dembed"], axis=2)

for name, measure in {"exchange": cost, "gradient": slope}.items():
    two = np.sort(measure[:, :, :8].argsort(axis=2)[:, :, -2:], axis=2)
    found = (two == np.stack([value_at - 1, value_at], axis=2)).all(axis=2).mean()
    print(f"{name}: the two largest of 8 are the pair in {found:.2f} of 800 answers (by chance {1 / 28:.2f})")
    assert found > 0.7 if name == "exchange" else found < 0.6

figure, panels = plt.subplots(1, 2, figsize=(10, 2.7), layout="constrained")
titled = {"Exchanging a token: the pair stands out": cost, "The gradient: it often doesn't": slope}
for axes, (title, measure) in zip(panels, titled.items(), strict=True):
    axes.imshow(measure[0], cmap="Blues", vmin=0)
    for question, t in enumerate(value_at[0]):
        axes.add_patch(plt.Rectangle((t - 1.5, question - 0.5), 2, 1, fill=False, edgecolor=COLOURS[1], linewidth=2))
    axes.set_xticks(range(12), [task.names[token] for token in x[0]])
    axes.set_yticks(range(4), [f"{task.names[key]} ?" for key in x[0, 8:]])
    axes.set(xlabel="token (dark: it counts much; box: the pair with the answer)", title=title)
plt.show()

# %% [markdown]
# The gradient is about a tiny change of a vector, but no token changes by a tiny bit. **A gradient isn't importance.**
#
# ## Which blocks? Which lags?
#
# We set all parameters of one block to 0. Then it adds nothing to the stream. Expected: all four are needed.

# %%
for i, name in enumerate(("layer 1", "FNN 1", "layer 2", "FNN 2")):
    blocks = [*params["blocks"]]
    blocks[i] = ms.tree.map(np.zeros_like, blocks[i])
    print(f"without {name}: {accuracy({**params, 'blocks': blocks}):.3f}")
    assert accuracy({**params, "blocks": blocks}) < 0.55

# %% [markdown]
# That a block is needed doesn't say for what. In 12 tokens a kernel has 12 numbers, for the lags 0 to 11. A layer
# `fir` has a free kernel (tutorial 5). We copy the trained kernels into `fir` layers, skip included, and set them to 0
# at one lag, or in one channel. In layer 2 we also split off the mean of each kernel over the lags 1 to 11: a constant
# kernel makes a sum. Expected: in layer 1 lags 0 and 1 are enough, and lag 1 is needed. Layer 2 needs the sum.

# %%
inside, lags = net.trace(params, x), np.arange(12)
first, second = inside["blocks.0.kernel"], inside["blocks.2.kernel"]  # (64, 12)
free = ms.Model("fir(window=11) + fnn1 + fir(window=11) + fnn1", vocab=task.vocab, width=32)


def with_kernels(*kernels):
    """The accuracy with these kernels in layers 1 and 2."""
    blocks = [*params["blocks"]]
    for i, k in zip((0, 2), kernels, strict=True):
        blocks[i] = {**blocks[i], "filter": {"k": k}, "skip": np.zeros(64, "float32")}
    return accuracy({**params, "blocks": blocks}, free)


without_1 = [with_kernels(first * (lags != j), second) for j in lags]
without_2 = [with_kernels(first, second * (lags != j)) for j in lags]
mean = np.where(lags > 0, second[:, 1:].mean(axis=1, keepdims=True), 0)
only_two, only_mean = with_kernels(first * (lags < 2), second), with_kernels(first, second * (lags == 0) + mean)
no_mean = with_kernels(first, second - mean)
single = [with_kernels(first * (np.arange(64) != e)[:, None], second) for e in range(64)]
print(f"layer 1: lags 0 and 1 alone {only_two:.3f}; without lag 0 {without_1[0]:.3f}, lag 1 {without_1[1]:.3f}")
print(f"layer 2: lag 0 and the mean alone {only_mean:.3f}; without the mean {no_mean:.3f}")
print(f"layer 1 without channel {np.argmin(single)}: {min(single):.3f}; in the median {np.median(single):.3f}")
assert abs(with_kernels(first, second) - accuracy(params)) < 0.01
assert min(only_two, only_mean, *without_1[2:], np.median(single)) > 0.9
assert max(without_1[1], no_mean) < 0.55

# %% [markdown]
# Lag 0 counts less in layer 1: this token is in the stream anyway. (In layer 2 lag 0 is the question.) Most channels
# can be spared alone. The picture has the ten loudest kernels (a channel is as loud as $|w_{in}|\, |w_{out}|\, |k|$;
# purple: positive, orange: negative); what is left without lag j; what enters and leaves one channel, u and v. We take
# the loudest at lag 1, and the one with the loudest sum. (If its kernel is negative, we draw $-u$.)


# %%
def loud(params, kernel, i):
    """The kernels (E, 12) of block i, each times the length of its column of w_in and of its row of w_out."""
    p = params["blocks"][i]
    return kernel * (np.linalg.norm(p["w_in"], axis=0) * np.linalg.norm(p["w_out"], axis=1))[:, None]


one, two = loud(params, first, 0), loud(params, second, 2)
chosen = abs(one[:, 1]).argmax(), abs(two.sum(axis=1)).argmax()
figure, panels = plt.subplots(3, 2, figsize=(10, 7), layout="constrained", height_ratios=(1.5, 1, 1.5))
for column, (k, without) in enumerate(((one, without_1), (two, without_2))):
    (top, middle, bottom), i, e = panels[:, column], 2 * column, chosen[column]
    ten = k[np.linalg.norm(k, axis=1).argsort()[:-11:-1]]
    top.imshow(ten, cmap="PuOr", vmin=-abs(k).max(), vmax=abs(k).max(), aspect="auto")
    title = ("Layer 1: lag 1 brings the token before", "Layer 2: nearly constant kernels, a sum")[column]
    top.set(ylabel="channel", yticks=[], xticks=lags, title=title)
    middle.bar(lags, without, color=COLOURS[0])
    middle.set(xlabel="lag j that is set to 0", ylabel="right answers", ylim=(0, 1.05), xticks=lags, xlim=(-0.5, 11.5))
    u = inside[f"blocks.{i}.input"][0, :, e]  # and "read" is filter(u)
    v = inside[f"blocks.{i}.read"][0, :, e] + params["blocks"][i]["skip"][e] * u
    assert np.allclose(v, np.convolve(u, (first, second)[column][e])[:12], atol=1e-3)
    bottom.bar(lags, u * np.sign(k[e].sum()), color="0.8")
    bottom.plot(lags, v, marker="o", color=COLOURS[1])
    bottom.set_xticks(lags, [task.names[token] for token in x[0]])
    bottom.set_title(f"Channel {e}: v (line) " + ("repeats the u (bar) before", "adds up u (bars)")[column])
plt.show()

# %% [markdown]
# ## FNN 1 joins
#
# Layer 1 brings the key to the place of its value. But it is linear: there it writes f(key) + g(value). A sum over the
# pairs, $f(a) + g(1) + f(b) + g(3)$, doesn't show that 1 was a's. A pair needs a term of its own. We take all 36 pairs,
# and split the stream at the value into its mean, f, g, and what is left, the **interaction**. Expected: none after
# layer 1, a large one after FNN 1.

# %%
pairs = np.array([[key, value] for key in range(6) for value in range(6, 12)])
for i, name in enumerate(("layer 1", "FNN 1")):
    s = net.trace(params, pairs)[f"blocks.{i}.output"][:, 1].reshape(6, 6, 32).astype("float64")
    s -= s.mean(axis=(0, 1))
    rest = s - s.mean(axis=0) - s.mean(axis=1, keepdims=True)
    part = (rest**2).sum() / (s**2).sum()
    print(f"after {name}: the interaction is {part:.3f} of all differences")
    assert part < 1e-6 if i == 0 else part > 0.25

# %% [markdown]
# ## The network that we could have written
#
# `ms.constructions.recall` has this mechanism in weights written by hand (docs/constructions.md). Layer 1 delays keys
# by one token. FNN 1 multiplies the key before with the value. Layer 2 adds up. FNN 2 reads the sum at the asked key.
# All its answers are right. We compare the kernels. Which part of the sum of their squares is at lag 1? Which is left
# if each kernel is replaced by its mean? Expected: training takes both nearer to the written network.

# %%
written, weights = ms.constructions.recall(keys=6, values=6, pairs=4)
assert accuracy(weights, written) == 1
parts = []
for name, model, p in (("drawn", net, start), ("trained", net, params), ("written", written, weights)):
    one, two = (loud(p, model.trace(p, x[:1])[f"blocks.{i}.kernel"], i) for i in (0, 2))
    parts.append([(one[:, 1] ** 2).sum() / (one**2).sum(), 12 * (two.mean(axis=1) ** 2).sum() / (two**2).sum()])
    print(f"{name:8} layer 1, lag 1: {parts[-1][0]:.2f}   layer 2, its mean: {parts[-1][1]:.2f}")
assert (np.diff(parts, axis=0) > [[0.05], [-0.1]]).all()

# %% [markdown]
# **Layer 1 puts the key beside its value, FNN 1 joins the two, layer 2 adds up the joined pairs, FNN 2 picks the one
# that is asked.** (All of this is one model. With the seeds 1 and 2 in place of 0, all asserts hold as well.)
#
# ## To try
#
# 1. Layer 2 adds up, so the order of the pairs shouldn't count. Exchange the first and the last: `other = x[:, [6, 7,
#    2, 3, 4, 5, 0, 1, 8, 9, 10, 11]]`. How many answers change?
# 2. Show a key twice, with two values: `other = x.copy(); other[:, 4] = other[:, 8] = other[:, 0]`. Does the model
#    answer with the first value or with the second? What would you expect of a sum?
# 3. Is it a rule, or 4 pairs learnt by heart? Try 2 to 6 pairs: `ms.evaluate(net, params, ms.tasks.Recall(pairs=6,
#    keys=6), np.random.default_rng(0))`.
