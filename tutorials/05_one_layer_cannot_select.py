# %% [markdown]
# # 5. What one layer can't select
#
# A state space layer is a linear filter: it weighs a token by how long ago it came, never by what it is. This
# tutorial asks what such a layer can copy. A pure delay copies perfectly, as long as all words have one length. Two
# lengths can already be too many, and the proof has four lines. Then comes a network that copies words of all
# lengths up to the one it is built for. Its weights are written down, not trained. So we can follow one word
# through it, wire by wire, and break it.
#
# The proof and the network are ours. They are not those of the paper (arXiv 2405.19036), which proves more.

# %%
import matplotlib.pyplot as plt
import numpy as np

import minissm as ms
from minissm.lab.plots import COLOURS

rng = np.random.default_rng(0)

# %% [markdown]
# ## The task
#
# `copying` shows a word between the tokens `<BOS>` and `<COPY>`, then asks for its symbols, one at a time. Here the
# model sees blanks while it answers. Only the answers printed below count: the first at `<COPY>`, the others at the
# blanks.

# %%
task = ms.tasks.Copying(min_len=3, max_len=5, symbols=4, blank=True)


def show(batch, names):
    """The first sequence of the batch: its inputs, and the answers that count."""
    asked = batch.weights[0] > 0
    answers = [names[token] if on else "" for token, on in zip(batch.targets[0], asked, strict=True)]
    print("inputs  " + "".join(f"{names[token]:>7}" for token in batch.inputs[0]))
    print("answers " + "".join(f"{answer:>7}" for answer in answers))


show(task.batch(rng, 1), task.names)

# %% [markdown]
# ## A delay copies words of one length
#
# In a word of n symbols, each answer is the token of n steps ago. So a filter copies if k_n = 1 and all other k_j =
# 0: y_t = u_{t-n}. The block `fir` has a free kernel, and we write this one down. The embedding of a symbol is
# one-hot, the embedding of a marker is 0, and the readout passes the symbols on.


# %%
def delay(n, symbols):
    """The model y_t = u_{t-n}, with an embedding and a readout of one-hot symbols."""
    net = ms.Model(f"fir(window={n}, expand=1)", vocab=3 + symbols, width=symbols, residual=False, dtype="float64")
    params = ms.zeros(net)
    layer = params["blocks"][0]
    layer["w_in"][:] = layer["w_out"][:] = np.eye(symbols)
    layer["filter"]["k"][:, n] = 1
    params["embed"]["w"][3:] = params["head"]["w"][:, 3:] = np.eye(symbols)
    return net, params


def accuracy(net, params, shortest, longest):
    """The fraction of right answers for 500 words of 8 different symbols, with blanks."""
    words = ms.tasks.Copying(min_len=shortest, max_len=longest, symbols=8, blank=True)
    return ms.evaluate(net, params, words, np.random.default_rng(1), 500)["token_accuracy"]


# %% [markdown]
# Expected: with a delay of 8, words of 8 symbols are copied without an error. In all other words, the answer is a
# symbol from another position, or a marker. Such a symbol is right by luck once in 8 times, a marker never. So for
# words of 4 to 12 symbols few answers are right, and more than half of these are in words of 8.

# %%
net, params = delay(8, symbols=8)
lengths = np.arange(4, 13)
reached = np.array([accuracy(net, params, n, n) for n in lengths])
print(dict(zip(lengths.tolist(), reached.round(3).tolist(), strict=True)))
drawn = accuracy(net, params, 4, 12)
print(f"lengths from 4 to 12: {drawn:.3f}")
assert reached[lengths == 8] == 1
assert reached[lengths != 8].max() < 0.15
assert drawn < 0.25

# %%
figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
axes.bar(lengths, reached, color=[COLOURS[1] if n == 8 else COLOURS[0] for n in lengths])
axes.axhline(1 / 8, color="0.3", linestyle=":")
axes.text(12.55, 1 / 8, "a guess, 1/8", va="center", fontsize=9, color="0.3")
axes.set(xlabel="symbols in the word", ylabel="right answers", xlim=(3.4, 12.5), ylim=(0, 1.05), xticks=lengths)
axes.set_title("A delay of 8 tokens", fontsize=10.5)
axes.spines[["top", "right"]].set_visible(False)
plt.show()

# %% [markdown]
# **This is how one layer fakes copying.** A test at one length can't distinguish a model that looks for the right
# symbol from one that counts tokens. So the tasks of this library draw a new length for each word.
#
# ## Two lengths that no linear layer copies
#
# Could a cleverer kernel serve several lengths? Take two symbols, and write them as s = 1 and s = -1. The layer may
# have any number of channels, any kernels and any embedding. The difference of the two logits is then a constant
# plus
#
# $$ z_t = \sum_j g_j\, s_{t-j}, $$
#
# where g_j says how much a symbol counts j tokens later. The answer is right for *all* words only if the g of the
# right symbol is larger than the sum of |g| over all others. The reason is the word in which all others disagree
# with the right symbol.
#
# Now take the lengths 6 and 8. Call the symbols x_0, x_1, ..., and the questions 0, 1, ...
#
# 1. In a word of 8, question 0 asks for x_0, 8 tokens ago. Then x_2 is 6 tokens ago. So g_8 > |g_6|.
# 2. In a word of 6, question 2 asks for x_2, 6 tokens ago. Then x_0 is 8 tokens ago. So g_6 > |g_8|.
# 3. Both can't be true.
# 4. Nothing was special about 6 and 8. The same holds for n and n + D, if the shorter word has a question D, that
#    is, if D is less than n.
#
# `ms.constructions.lti_margin` decides the question for any lengths up to 20. A linear program finds the best g
# with no |g_j| above 1. The margin is the excess of the right symbol's g over the sum of |g| of all others, in the
# worst case. A margin of 0 means that no linear layer copies these lengths.
#
# Expected: 1 for one length (the delay), 0 for two close ones. Lengths 6 and 12 are possible: a word of 6 has no
# question 6, so step 2 fails. With 18 as a third length, the margin is 0, since 12 and 18 are close again (D = 6).

# %%
margins = {(6,): 1.0, (6, 8): 0.0, (6, 7): 0.0, (6, 12): 0.5, (6, 12, 18): 0.0}
for words, expected in margins.items():
    found = ms.constructions.lti_margin(words, fed_back=False)
    print(f"lengths {words}: margin {found:.2f}")
    assert np.isclose(found, expected, atol=1e-6)

# %% [markdown]
# If the model sees the right answers instead of blanks, it can subtract what it has answered. This helps only for n
# and n + 1, and there the margin falls quickly with the length. The figure has all pairs of lengths up to 12.
#
# Expected: with blanks, n and n + D are impossible for D from 1 to n - 1. With answers, they are impossible for D
# from 2 to n - 1.


# %%
def pairs(fed_back, longest=12):
    """(n, m) -> the margin of the lengths n < m, nan for others."""
    table = np.full((longest + 1, longest + 1), np.nan)
    for n in range(1, longest):
        for m in range(n + 1, longest + 1):
            table[n, m] = ms.constructions.lti_margin([n, m], fed_back)
    return table


figure, both = plt.subplots(1, 2, figsize=(9.5, 4.4), layout="constrained")
for axes, fed_back, title in zip(both, (False, True), ("sees blanks", "sees its right answers"), strict=True):
    table = pairs(fed_back)
    n, m = np.nonzero(~np.isnan(table))
    impossible = table[n, m] == 0
    assert (impossible == ((m - n >= (2 if fed_back else 1)) & (m - n < n))).all()
    axes.plot(n[impossible], m[impossible], "x", color=COLOURS[1], markersize=8, label="impossible")
    some = axes.scatter(
        n[~impossible], m[~impossible], 90, np.log10(table[n, m][~impossible]), cmap="Blues", vmin=-4.5, vmax=0
    )
    some.set_edgecolor("0.4")
    axes.scatter([], [], 90, color=plt.get_cmap("Blues")(0.8), edgecolor="0.4", label="possible")
    axes.set(xlabel="shorter length", ylabel="longer length", xticks=range(1, 12, 2), yticks=range(2, 13, 2))
    axes.set_title(f"The layer {title}", fontsize=10.5)
    axes.legend(loc="lower right", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
bar = figure.colorbar(some, ax=both, label="margin", shrink=0.8)
bar.set_ticks([-4, -3, -2, -1, 0], labels=["0.0001", "0.001", "0.01", "0.1", "1"])
plt.show()

# %% [markdown]
# The statement is about a *linear* layer that answers without any error. Memory is not what is missing: a long
# window holds the whole word. But a linear layer can't use what it knows about the length to pick a symbol. A
# product can: "symbol, **if** its rank is r". One nonlinear layer after the filter is enough in principle, and two
# filters with two FNNs make it easy.
#
# ## A network that copies, wire by wire
#
# `ms.constructions.copying` returns an ordinary model and parameters that we wrote down. We take 4 different
# symbols, so a symbol is two signs. Words have at most 4 symbols.
#
# 1. Filter 1 counts the symbols (rank) and notes whether `<COPY>` has come. It passes on the signs, and a mark on
#    the tokens that can ask: `<COPY>` and all that may follow it.
# 2. FNN 1 opens slot k if the rank is k, and writes the signs into it. From `<COPY>` on it opens no slot. There, a
#    token that can ask is a question.
# 3. Filter 2 keeps what was written (a sum over time) and counts the questions.
# 4. FNN 2 reads slot r at question r.
#
# Counting is linear, so filters do it. "If the rank is k" and "times" are not linear, so FNNs do them.

# %%
net, params = ms.constructions.copying(min_len=1, max_len=4, symbols=4)
print(net.spec)
print(ms.constructions.stats(net, params))
task = ms.tasks.Copying(min_len=1, max_len=4, symbols=4, blank=True)
print(ms.evaluate(net, params, task, rng))
assert ms.evaluate(net, params, task, rng)["token_accuracy"] == 1

# %% [markdown]
# S counts the parameters that are not 0, out of `size`. The loss is far from 0, because the right logit is 1 and
# the others are close: an answer needs the largest logit, not a probability near 1.
#
# Which wire is which? The order is the one in minissm/constructions/networks.py. `net.trace` returns the output of
# each block. We follow the word c a b.
#
# Expected: the rank stops at 3, the questions count from `<COPY>` on, and the answers are c, a, b.

# %%
names = {
    0: ["sign 1", "sign 2", "rank", "<COPY> came", "can ask"],
    1: [f"slot {k}, sign {e}" for k in (1, 2, 3, 4) for e in (1, 2)] + ["a question"],
    2: [f"slot {k}, sign {e}" for k in (1, 2, 3, 4) for e in (1, 2)] + ["question r"],
    3: ["answer, sign 1", "answer, sign 2"],
}
titles = ("Filter 1 counts", "FNN 1 writes into slots", "Filter 2 keeps the slots", "FNN 2 reads slot r")
a, b, c, d = 3, 4, 5, 6
word = np.array([[0, c, a, b, 1, 2, 2]])  # <BOS> c a b <COPY> _ _
inner = net.trace(params, word)
wires = [inner[f"blocks.{i}.output"][0, :, : len(names[i])].T for i in range(4)]
assert wires[0][2].tolist() == [0, 1, 2, 3, 3, 3, 3]  # the rank
assert wires[2][-1].tolist() == [0, 0, 0, 0, 1, 2, 3]  # the questions so far
answers = inner["y"].argmax(axis=-1)[0, 4:]
print("answers:", [task.names[token] for token in answers])
assert answers.tolist() == [c, a, b]

# %%
figure, panels = plt.subplots(4, 1, figsize=(8.5, 9), layout="constrained", height_ratios=[len(w) for w in wires])
for i, (axes, values) in enumerate(zip(panels, wires, strict=True)):
    axes.imshow(values, cmap="PuOr", vmin=-4, vmax=4, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        if value:
            colour = "white" if abs(value) > 2 else "black"
            axes.text(column, row, f"{value:g}", ha="center", va="center", fontsize=9, color=colour)
    axes.set_yticks(range(len(values)), names[i], fontsize=9)
    axes.set_xticks(range(7), [task.names[token] for token in word[0]] if i == 3 else [""] * 7)
    axes.set_title(titles[i], fontsize=10.5, loc="left")
plt.show()

# %% [markdown]
# ## Break one weight
#
# Filter 2 sums slot 2 because its kernel is cos(0) = 1 at every lag: c = (1, 0), a = 0. We set the c of one channel
# to 0. Then slot 2 forgets its first sign at once.
#
# Expected: the second answer of each word loses one sign, and all other answers stay right. With one sign left, two
# of the four symbols get the same logit, and `argmax` takes the first of the two. So the second answer is wrong for
# every other symbol: b is answered as a, and d as c.

# %%
broken = ms.tree.map(np.copy, params)
channel = names[2].index("slot 2, sign 1")
broken["blocks"][2]["filter"]["c"][channel, 0] = 0

for x in (word, np.array([[0, c, d, a, b, 1, 2, 2, 2]])):
    size = x.shape[1] // 2
    y, _ = net(broken, x)
    given = y.argmax(axis=-1)[0, size + 1 :]
    print("word", *[task.names[token] for token in x[0, 1 : size + 1]], "answers", *[task.names[i] for i in given])
assert given.tolist() == [c, c, a, b]

batch = task.batch(rng, 2000)
where = batch.weights > 0
number = (np.cumsum(batch.weights, axis=1) * where)[where].astype(int)  # of each question: 1, 2, ...
y, _ = net(broken, batch.inputs, where=where)
wrong = y.argmax(axis=1) != batch.targets[where]
for r in (1, 2, 3, 4):
    print(f"question {r}: {wrong[number == r].mean():.2f} of the answers are wrong")
assert not wrong[number != 2].any()
assert np.isclose(wrong[number == 2].mean(), 0.5, atol=0.05)

# %% [markdown]
# **A written network is not a trained one.** That such weights exist doesn't mean that training finds them.
# docs/constructions.md trains on from written weights, and from random ones.
#
# ## Exercises
#
# 1. Set the weights that aren't 0 to 0, one at a time. For about a third of them, all answers to all words stay
#    right. What are these weights for? Look at the logits. For a few weights of FNN 1, only third answers go wrong.
#    Which weights are they?
# 2. Lengths 4, 8 and 16 with blanks have a margin above 0. Print the g of `ms.constructions.lti_taps([4, 8, 16],
#    fed_back=False)`. At which lags is g not 0, and why is that enough?
# 3. Train `ssm` and `ssm + fnn1` on `copying` (see docs/experiments.md). Both have one filter layer, but the second
#    gives almost all answers right. Which step of the proof fails if an FNN follows the layer?
