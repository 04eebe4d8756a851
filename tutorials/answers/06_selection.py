# %% [markdown]
# # Answers to tutorial 6, selection

# %%
from pathlib import Path

import numpy as np

import minissm as ms

HERE = Path(__file__).parents[1] if "__file__" in globals() else Path(ms.__file__).parents[1] / "tutorials"
net, params = ms.load(HERE / "trained" / "06_selection.npz")
x, right, _ = ms.tasks.Recall().batch(np.random.default_rng(2), 500)


def answers(x):
    """The tokens that the model answers with, (500, 4)."""
    return net(params, x)[0][:, 8:].argmax(axis=2)


# %% [markdown]
# ## 1. Exchange the first and the last pair
#
# Hardly an answer changes. This fits a sum: $z_1 + z_2 + z_3 + z_4$ doesn't depend on the order. The few changes show
# that the kernels of layer 2 are not quite constant. If a value is put before its key, all is lost: layer 1 then joins
# a value with the key of the pair before.

# %%
other = x[:, [6, 7, 2, 3, 4, 5, 0, 1, 8, 9, 10, 11]]
changed = (answers(other) != answers(x)).mean()
print(f"pairs exchanged: {changed:.4f} of the answers change")
assert changed < 0.03

reversed_pairs = x[:, [1, 0, 3, 2, 5, 4, 7, 6, 8, 9, 10, 11]]
accuracy = (answers(reversed_pairs) == right[:, 8:]).mean()
print(f"values before keys: {accuracy:.2f} of the answers are right (by chance {1 / 6:.2f})")
assert accuracy < 0.4

# %% [markdown]
# ## 2. Show a key twice, with two values
#
# The model has never seen such a sequence. A sum holds both pairs and doesn't know which came last. So it answers with
# one of the two values, about as often with either. A model that looked for the first or the last would always take
# the same one.

# %%
other = x.copy()
other[:, 4] = other[:, 8] = other[:, 0]  # the key of pair 1 is the key of pair 3 and is asked first
two_values = other[:, 1] != other[:, 5]
given = answers(other)[two_values, 0]
first, second = (float((given == other[two_values, t]).mean()) for t in (1, 5))
print(f"the first value {first:.2f}, the second {second:.2f}, another one {1 - first - second:.2f}")
assert first + second > 0.9
assert min(first, second) > 0.25

# %% [markdown]
# ## 3. Other numbers of pairs
#
# With 3 pairs it is as good as with 4. With 5 and 6 pairs more and more answers are wrong, but more are right than the
# baseline. So it is a rule, but not for any number of pairs. The cell doesn't show why. A guess: FNN 2 has learnt to
# read sums of 4 terms. A sum of 6 is a larger crowd, and a sum of 2 is also one that it never saw in training.

# %%
for pairs in range(2, 7):
    task = ms.tasks.Recall(pairs=pairs, keys=6)
    accuracy = ms.evaluate(net, params, task, np.random.default_rng(0))["token_accuracy"]
    print(f"{pairs} pairs: {accuracy:.3f}   baseline {task.baseline:.3f}")
    assert accuracy > task.baseline + 0.05
    assert (accuracy > 0.95) == (pairs in (3, 4))
