# %% [markdown]
# # 5. What a filter can't do
#
# A filter weighs a token by how long ago it came, never by what it is. Take a simple job: copy a word, that is, read it
# and then give it back letter by letter. **Why does one layer of filters copy words of one length without an error, and
# fail at many lengths?** The proof that two close lengths are too many has four lines. With something more than
# filters, all lengths up to a bound can be copied. We write down such a network, follow one word through it, and break
# it.
#
# - **Goals**: know what a task, an embedding and a readout are; prove a limit of filters; see what an FNN adds.
# - **You need**: tutorial 1 (filter, kernel, channel, state).
# - **Time**: 50 minutes.
#
# The proof and the network are ours. The paper (arXiv 2405.19036) has others, and proves more.

# %%
import matplotlib.pyplot as plt
import numpy as np

import minissm as ms
from minissm.plots import COLOURS

plt.rcParams["axes.titlesize"] = 10.5
rng = np.random.default_rng(0)

# %% [markdown]
# ## The task
#
# So far tokens were numbers. From now on each is one out of a list of possible tokens, the **vocabulary**. Number i of
# the list is stored as the integer i, and `task.names[i]` is its name. A **task** draws sequences with questions and
# right answers, as many as one wants.
#
# `copying` shows a word between the markers `<BOS>` (begin) and `<COPY>`. Its letters are called **symbols**. Then it
# asks for them, one at a time. A **model** is what computes answers from tokens. It sees blanks `_` while it answers.
# Only the answers printed below count: the first at `<COPY>`, the others at the blanks. A **batch** is a number of
# sequences: their `inputs`, `targets` (the right answers) and `weights` (above 0 where an answer counts).
#
# A score needs a **baseline**: the best that can be reached without what the task tests. Copying tests the order of the
# symbols. Who knows which symbols are in the word, but not their order, does best to name the most frequent one.

# %%
task = ms.tasks.Copying(min_len=3, max_len=5, symbols=4, blank=True)
batch = task.batch(rng, 2)
for inputs, targets, weights in zip(*batch, strict=True):
    print("inputs  " + "".join(f"{task.names[token]:>7}" for token in inputs))
    print("answers " + "".join(f"{task.names[t] if on else '':>7}" for t, on in zip(targets, weights > 0, strict=True)))
print(f"baseline {task.baseline:.3f}")

# %% [markdown]
# ## A layer of filters, and a delay
#
# A filter needs numbers. So the **embedding**, a table with one row for each token of the vocabulary, turns each token
# into a vector. At the end the **readout**, a linear map, makes one number for each token of the vocabulary, the
# **logits**. The answer is the token with the largest logit. Between them stands a **linear layer**: a linear map of
# each vector to channels, `w_in`; a filter in each channel; a linear map back, `w_out`.
#
# In a word of n symbols each answer is the token of n steps ago. So a filter copies if $k_n = 1$ and all other
# $k_j = 0$: $y_t = u_{t-n}$. The layer `fir(window=n)` (finite impulse response) has no poles. The numbers
# $k_0, \dots, k_n$ are free in each channel; we write them down. `ms.Model` puts an embedding before the layer and a
# readout behind it. (`vocab` is the size of the vocabulary, `width` the numbers in a vector. `expand=1` means as many
# channels as that. `residual=False` switches off a path that tutorial 6 explains.)
#
# The embedding of a letter is one-hot: a 1 in a place of its own, and 0 elsewhere. The markers `<BOS>`, `<COPY>` and
# `_` get zeros. The **parameters** of a model are all numbers in it that one may choose: tables, matrices, kernels.
# `ms.zeros` returns them set to 0, and we set some to 1.


# %%
def delay(n, symbols):
    """The model y_t = u_{t-n}, with an embedding and a readout of one-hot symbols."""
    net = ms.Model(f"fir(window={n}, expand=1)", vocab=3 + symbols, width=symbols, residual=False, dtype="float64")
    params = ms.zeros(net)
    layer = params["blocks"][0]
    layer["w_in"][:] = layer["w_out"][:] = np.eye(symbols)
    layer["filter"]["k"][:, n] = 1
    params["embed"]["w"][3:] = params["head"]["w"][:, 3:] = np.eye(symbols)  # head: the readout
    return net, params


def accuracy(shortest, longest):
    """The fraction of right answers of a delay of 8, for 500 words of 8 different symbols, freshly drawn."""
    words = ms.tasks.Copying(min_len=shortest, max_len=longest, symbols=8, blank=True)
    return ms.evaluate(*delay(8, symbols=8), words, np.random.default_rng(1), 500)["token_accuracy"]


# %% [markdown]
# Expected: words of 8 symbols are copied without an error. At another length an answer is the symbol of another place,
# or a marker. The first is right by luck once in 8 times, the second never. So if the length is drawn from 4 to 12, few
# answers are right, and most of these are in words of 8.

# %%
lengths = np.arange(4, 13)
reached = np.array([accuracy(n, n) for n in lengths])
baseline = ms.tasks.Copying(symbols=8, blank=True).baseline
print(dict(zip(lengths.tolist(), reached.round(3).tolist(), strict=True)))
print(f"lengths from 4 to 12: {accuracy(4, 12):.3f}, baseline {baseline:.3f}")
assert reached[lengths == 8] == 1
assert reached[lengths != 8].max() < 0.15
assert accuracy(4, 12) < baseline

figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
axes.bar(lengths, reached, color=[COLOURS[1] if n == 8 else COLOURS[0] for n in lengths])
axes.axhline(baseline, color="0.3", linestyle=":")
axes.text(12.55, baseline, "baseline", va="center", fontsize=9, color="0.3")
axes.set(xlabel="symbols in the word", ylabel="right answers", xlim=(3.4, 12.5), ylim=(0, 1.05), xticks=lengths)
axes.set_title("A delay of 8 tokens copies words of 8 symbols, and no others")
plt.show()

# %% [markdown]
# **This is how one layer fakes copying.** A test at one length can't tell a model that looks for the right symbol from
# one that counts tokens. So the tasks of this library draw a new length for each word.
#
# ## Two lengths that no linear layer copies
#
# Could a cleverer kernel serve several lengths? Take an alphabet of two letters, and write these as $s = 1$ and
# $s = -1$. The layer may have any number of channels, any kernels and any embedding. All of it is linear. So at each
# question the difference of the two logits is a constant (what the markers give) plus
#
# $$ z_t = \sum_j g_j\, s_{t-j}, $$
#
# where $g_j$ says how much a symbol counts j tokens later. This j is called the **lag**. The answer is right for *all*
# words only if the g of the right symbol is larger than the sum of |g| over all others. The reason is the word in which
# all others disagree with the right symbol. (The constant can't help: a word and its negative must both be right.)
#
# Now take the lengths 6 and 8. Call the symbols $x_0, x_1, \dots$, and the questions 0, 1, ...
#
# 1. In a word of 8, question 0 asks for $x_0$, 8 tokens ago. Then $x_2$ is 6 tokens ago. So $g_8 > |g_6|$.
# 2. In a word of 6, question 2 asks for $x_2$, 6 tokens ago. Then $x_0$ is 8 tokens ago. So $g_6 > |g_8|$.
# 3. Both can't be true.
# 4. Nothing was special about 6 and 8. The same holds for n and m, if the shorter word, n, has a question $m - n$. It
#    has the questions 0 to $n - 1$, so this means $m < 2n$.
#
# How clearly does the best layer win? Take the best g with no $|g_j|$ above 1. Its **margin** is the right symbol's g
# less the sum of |g| of all others, at the worst question. `ms.constructions.lti_margin` finds it for any lengths up to
# 20. (The conditions are linear inequalities, so it is a linear program.) A margin of 0 means that no layer copies.
#
# Expected: 1 for one length (the delay), 0 for two close ones. Lengths 6 and 12 are possible: a word of 6 has no
# question 6, so step 2 fails. With 18 as a third length the margin is 0, since $18 < 2 \cdot 12$.

# %%
margins = {(6,): 1.0, (6, 8): 0.0, (6, 7): 0.0, (6, 12): 0.5, (6, 12, 18): 0.0}
for words, expected in margins.items():
    found = ms.constructions.lti_margin(words, fed_back=False)  # it sees blanks, not its answers
    print(f"lengths {words}: margin {found:.2f}")
    assert np.isclose(found, expected, atol=1e-6)

# %% [markdown]
# Now all pairs $n < m$ of lengths up to 12. Expected: impossible if $m < 2n$, and possible otherwise.

# %%
n, m = np.array([(n, m) for n in range(1, 12) for m in range(n + 1, 13)]).T
margin = np.array([ms.constructions.lti_margin(words, fed_back=False) for words in zip(n, m, strict=True)])
assert ((margin == 0) == (m < 2 * n)).all()
assert np.allclose(margin[margin > 0], 0.5)

figure, axes = plt.subplots(figsize=(6, 3.8), layout="constrained")
axes.plot(n[margin == 0], m[margin == 0], "x", color=COLOURS[1], markersize=8, label="impossible")
axes.plot(n[margin > 0], m[margin > 0], "o", color=COLOURS[0], markersize=8, label="possible")
axes.set(xlabel="shorter length", ylabel="longer length", xticks=range(1, 12), yticks=range(2, 13))
axes.set_title("One layer: the longer length must be twice the shorter, or more")
axes.legend(loc="lower right", frameon=False)
plt.show()

# %% [markdown]
# What is missing? Not **memory**. To give back n symbols out of V, a state must tell apart $V^n$ words, so it needs
# $n \log_2 V$ bits. A long window holds the whole word. But a linear layer can't use what it knows about the length
# to pick a symbol. A product could: "symbol, *if* its rank is r".
#
# ## What an FNN adds
#
# A fully connected network, **FNN**, sees one token at a time: $y = W_2\, \mathrm{relu}(W_1 x + b_1) + b_2$, with
# $\mathrm{relu}(x) = \max(x, 0)$ for each entry. `fnn1` has one relu between two linear maps, `fnn2` two between three.
# (Their default is gelu, a smooth relu. Here they have the option `act='relu'`.) An FNN isn't linear, so it can say
# "if". The product of a bit b (0 or 1) and a number v with $|v| \le R$ is
#
# $$ b\, v = \mathrm{relu}(v + R (b - 1)) - \mathrm{relu}(-v + R (b - 1)). $$
#
# Expected: for $b = 1$ the relus see v and $-v$, and one of them is 0. For $b = 0$ both see at most 0.

# %%
bit, v = np.meshgrid([0, 1], np.linspace(-3, 3, 7))
product = np.maximum(v + 3 * (bit - 1), 0) - np.maximum(-v + 3 * (bit - 1), 0)
assert (product == bit * v).all()

# %% [markdown]
# ## A network that copies, wire by wire
#
# `ms.constructions.copying` returns a model and parameters that we wrote down, for words of 1 to 4 symbols out of 4. A
# symbol is two signs. The kernels of `trig` are a cosine plus a sine over a window, each with a weight. Here they make
# sums. Around each filter there is a direct path with a weight `skip`, which passes on the token of now.
#
# 1. Filter 1 counts the symbols (**rank**: first, second, ...) and notes whether `<COPY>` has come. It passes on the
#    signs, and a mark on the tokens that can ask: `<COPY>` and all that may follow it.
# 2. FNN 1 has a **slot** for each rank. It writes the signs into slot k if the rank is k. From `<COPY>` on it writes
#    nothing. There, a token that can ask is a question.
# 3. Filter 2 keeps what was written (a sum over time) and counts the questions.
# 4. FNN 2 reads slot r at question r.
#
# Counting is linear, so filters do it. "If the rank is k" and "times" are not linear, so FNNs do them.

# %%
net, params = ms.constructions.copying(min_len=1, max_len=4, symbols=4)
task = ms.tasks.Copying(min_len=1, max_len=4, symbols=4, blank=True)
scores = ms.evaluate(net, params, task, rng)
print(net.spec, "  right answers:", scores["token_accuracy"])
print(f"needs {ms.constructions.memory_bits(4, 4):.0f} bits of memory, has {net.state_size()} numbers in its state")
assert scores["token_accuracy"] == 1

# %% [markdown]
# `net.trace` returns the output of each block, and we follow the word c a b through the four of them. A column of the
# output is called a wire here. Which wire is which stands in minissm/constructions/networks.py.
#
# Expected: the rank stops at 3, the questions count from `<COPY>` on, and the answers are c, a, b.

# %%
slots = [f"slot {k}, sign {e}" for k in (1, 2, 3, 4) for e in (1, 2)]
names = [["sign 1", "sign 2", "rank", "<COPY> came", "can ask"], [*slots, "a question"], [*slots, "question r"]]
names.append(["answer, sign 1", "answer, sign 2"])
a, b, c, d = 3, 4, 5, 6
word = np.array([[0, c, a, b, 1, 2, 2]])  # <BOS> c a b <COPY> _ _
inner = net.trace(params, word)
wires = [inner[f"blocks.{i}.output"][0, :, : len(names[i])].T for i in range(4)]
assert wires[0][2].tolist() == [0, 1, 2, 3, 3, 3, 3]  # the rank
assert wires[2][-1].tolist() == [0, 0, 0, 0, 1, 2, 3]  # the questions so far
answers = inner["y"].argmax(axis=-1)[0, 4:]
print("answers:", [task.names[token] for token in answers])
assert answers.tolist() == [c, a, b]

titles = ("Filter 1 counts", "FNN 1 writes into slots", "Filter 2 keeps the slots", "FNN 2 reads slot r")
figure, panels = plt.subplots(4, 1, figsize=(8.5, 9), layout="constrained", height_ratios=[len(w) for w in wires])
for i, (axes, values) in enumerate(zip(panels, wires, strict=True)):
    axes.imshow(values, cmap="PuOr", vmin=-4, vmax=4, aspect="auto")
    for row, column in np.argwhere(values):
        colour = "white" if abs(values[row, column]) > 2 else "black"
        axes.text(column, row, f"{values[row, column]:g}", ha="center", va="center", fontsize=9, color=colour)
    axes.set_yticks(range(len(values)), names[i], fontsize=9)
    axes.set_xticks(range(7), [task.names[token] for token in word[0]])
    axes.set_title(titles[i], loc="left")
plt.show()

# %% [markdown]
# ## Break one weight
#
# Filter 2 sums slot 2, because its kernel is $\cos 0 = 1$ at every lag j: its two weights, of cosine and sine, are
# $c = (1, 0)$. In one channel we set the first of them to 0. Then slot 2 forgets its first sign at once.
#
# Expected: the second answer of each word loses one sign, and all other answers stay right. With one sign left, two of
# the four symbols get the same logit, and `argmax` takes the first of the two. So the second answer is wrong for every
# other symbol: b is answered as a, and d as c.

# %%
broken = ms.tree.map(np.copy, params)
broken["blocks"][2]["filter"]["c"][names[2].index("slot 2, sign 1"), 0] = 0

x = np.array([[0, c, d, a, b, 1, 2, 2, 2]])
given = net(broken, x)[0].argmax(axis=-1)[0, 5:]
print("word c d a b, answers", *[task.names[token] for token in given])
assert given.tolist() == [c, c, a, b]

batch = task.batch(rng, 2000)
where = batch.weights > 0
number = (np.cumsum(batch.weights, axis=1) * where)[where].astype(int)  # of each question: 1, 2, ...
wrong = net(broken, batch.inputs, where=where)[0].argmax(axis=1) != batch.targets[where]
for r in (1, 2, 3, 4):
    print(f"question {r}: {wrong[number == r].mean():.2f} of the answers are wrong")
assert not wrong[number != 2].any()
assert np.isclose(wrong[number == 2].mean(), 0.5, atol=0.05)

# %% [markdown]
# So a filter only weighs and adds, and "this symbol, if its rank is r" is a product. FNNs between the filters multiply.
#
# **A written network is not a trained one.** That weights exist doesn't mean that training finds them. Tutorial 6
# trains two layers with FNNs. (If it sees its right answers instead of blanks, even one trained layer with one FNN
# behind it copies: 0.999 of the answers are right, against 0.577 without the FNN. See docs/experiments.md.)
#
# ## To try
#
# 1. Lengths 4, 8 and 16 have a margin above 0. At which lags j is $g_j$ not 0, and why is that enough? Begin with
#    `g = ms.constructions.lti_taps([4, 8, 16], fed_back=False)`.
# 2. If the layer sees its right answers instead of blanks, it can subtract what it has answered. How much does this
#    help for n and $n + 1$? Begin with `ms.constructions.lti_margin([6, 7], fed_back=True)`, and try n from 1 to 10.
# 3. Let the network answer every question with the first symbol of the word. Two numbers in filter 2 are enough. Begin
#    with `other = ms.tree.map(np.copy, params)`, `layer = other["blocks"][2]` and `e = names[2].index("question r")`.
