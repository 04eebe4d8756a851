# %% [markdown]
# # Answers to tutorial 10, an experiment that holds

# %%
import json
from collections import Counter
from pathlib import Path

import numpy as np

import minissm as ms

rng = np.random.default_rng(0)

# %% [markdown]
# ## 1. How many seeds does it take, if B is .1 better than A?
#
# We draw k seeds for each from the same 20 runs, and add .1 to B. With one seed each, B wins only a little more often
# than by chance. To win nine of ten comparisons, B needs seven or eight seeds each. The difference of two means has a
# standard deviation of $\sigma \sqrt{2 / k}$, and 9 in 10 corresponds to 1.28 standard deviations:
# $k = 2 (1.28 \sigma / 0.1)^2$. Three seeds are enough only if the difference is large compared with the spread
# $\sigma$.

# %%
FILE = Path(ms.__file__).parents[1] / "tutorials" / "trained" / "10_an_experiment_that_holds.jsonl"
reached = np.array([json.loads(line)["token_accuracy"] for line in FILE.read_text().splitlines()])
wins = {}
for k in range(1, 21):
    a, b = rng.choice(reached, (2, 4000, k))
    wins[k] = (a.mean(axis=1) < b.mean(axis=1) + 0.1).mean()
enough = min(k for k in wins if wins[k] > 0.9)
print(*(f"{k}: {wins[k]:.2f}" for k in (1, 2, 3, 5, 7, 10)), f" enough: {enough}", sep="  ")
print(f"by the formula: {2 * (1.28 * reached.std() / 0.1) ** 2:.1f}")
assert wins[1] < 0.8
assert 3 <= enough <= 14

# %% [markdown]
# ## 2. Does the slip with the ties change the baseline of recall?
#
# No. The first of the most frequent values is an answer like any other: the keys are asked in random order, so the
# order of the values says nothing about the question. In copying, the question itself is the order.

# %%
task = ms.tasks.Recall()
batch = task.batch(np.random.default_rng(0), 2500)
first, fair = [], []
for shown, targets, weights in zip(batch.inputs[:, 1:8:2], batch.targets, batch.weights, strict=True):
    counts = Counter(shown)
    most = max(counts.values())
    for answer in targets[weights > 0]:
        first.append(counts.most_common(1)[0][0] == answer)
        fair.append(rng.choice([value for value, count in counts.items() if count == most]) == answer)
print(f"the first of several {np.mean(first):.3f}, one at random {np.mean(fair):.3f}, baseline {task.baseline:.3f}")
assert abs(np.mean(first) - task.baseline) < 0.015
assert abs(np.mean(fair) - task.baseline) < 0.015

# %% [markdown]
# ## 3. The best of ten equal models
#
# The standard error of a share of .8 of 638 is .016, and the best of ten lies about 1.5 standard errors above the mean.
# So the best model seems to reach .824. On other pieces it has .8, like all of them. The same happens with ten learning
# rates, ten seeds or ten steps at which the training stops. So choose on validation, and test once.

# %%
scores = rng.binomial(638, 0.8, (2000, 10)) / 638
best = scores.max(axis=1)
again = rng.binomial(638, 0.8, 2000) / 638  # the chosen one, on other pieces
print(f"the best of ten: {best.mean():.3f}; on other pieces: {again.mean():.3f}")
assert 0.815 < best.mean() < 0.835
assert abs(again.mean() - 0.8) < 0.005
