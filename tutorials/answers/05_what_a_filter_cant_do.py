# %% [markdown]
# # Answers to tutorial 5, what a filter can't do

# %%
import numpy as np

import minissm as ms

# %% [markdown]
# ## 1. At which lags is g not 0 for the lengths 4, 8 and 16?
#
# At the three lengths themselves: 1/4, 1/2 and 1. In a word of n symbols the right one is n tokens ago, and the others
# are at lags up to 2n - 1. So in a word of 4 no other symbol counts. In a word of 8 at most one other counts, at lag 4,
# with 1/4 against 1/2. In a word of 16 there are two, at lags 4 and 8, with 3/4 together against 1. The right symbol
# always wins by 1/4.

# %%
lengths = [4, 8, 16]
g = ms.constructions.lti_taps(lengths, fed_back=False)
print({int(j): round(float(g[j]), 3) for j in np.flatnonzero(abs(g) > 1e-9)})
assert np.allclose(g[lengths], [0.25, 0.5, 1])
assert np.allclose(np.delete(g, lengths), 0)

for n in lengths:
    lead = [g[n] - sum(abs(g[n + r - i]) for i in range(n) if i != r) for r in range(n)]  # at each question r
    print(f"words of {n:2d}: the right symbol wins by {min(lead):.2f} at least")
    assert min(lead) > 0.25 - 1e-9

# %% [markdown]
# ## 2. How much do fed back answers help?
#
# Then n and n + 1 are possible, but the margin is 1 over 2, 2, 6, 14, 34, 82, ... Each of these numbers is twice the
# last plus the one before. So the margin falls by a factor of 2.4 with each symbol, and soon a little noise turns an
# answer over. Two symbols further, n and n + 2, are still impossible for n above 2.

# %%
margins = np.array([ms.constructions.lti_margin([n, n + 1], fed_back=True) for n in range(1, 11)])
print("1 / margin:", (1 / margins).round(2).tolist())
assert np.allclose(1 / margins[:2], 2)
assert np.allclose(1 / margins[2:], 2 / margins[1:-1] + 1 / margins[:-2], rtol=1e-3)
assert all(ms.constructions.lti_margin([n, n + 2], fed_back=True) == 0 for n in range(3, 8))

# %% [markdown]
# ## 3. Every answer is the first symbol
#
# Filter 2 counts the questions: its kernel is 1 at every lag. If it passes on the mark instead of summing it, the
# number of the question is 1 at every question, and FNN 2 reads slot 1. So the weight of the cosine becomes 0, and
# the skip, the direct path around the filter, becomes 1.

# %%
net, params = ms.constructions.copying(min_len=1, max_len=4, symbols=4)
layer, e = params["blocks"][2], 8  # after four slots of two signs
layer["filter"]["c"][e, 0] = 0
layer["skip"][e] = 1

task = ms.tasks.Copying(min_len=1, max_len=4, symbols=4, blank=True)
batch = task.batch(np.random.default_rng(0), 500)
asked = batch.weights > 0
answers = net(params, batch.inputs, where=asked)[0].argmax(axis=1)
first = np.broadcast_to(batch.inputs[:, 1:2], asked.shape)[asked]  # <BOS> is token 0, the first symbol is token 1
print(f"{(answers == first).mean():.3f} of the answers are the first symbol of the word")
assert (answers == first).all()
