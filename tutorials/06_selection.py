# %% [markdown]
# # 6. Selection
#
# What do two layers and an FNN between them do that one layer can't? This tutorial trains a small model that recalls:
# it reads pairs of keys and values, and answers a key with its value.

# %%
import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import minissm as ms

HERE = Path(__file__).parent if "__file__" in globals() else Path(ms.__file__).parents[1] / "tutorials"
FILE = HERE / "trained" / "06_selection.npz"
TRAIN = "--train" in sys.argv or not FILE.exists()  # in a notebook, write TRAIN = True to train it yourself

# %% [markdown]
# ## Two models of one size
#
# Training takes 15 to 30 s a model. So the repository keeps what `python tutorials/06_selection.py --train` wrote: the
# parameters of the model with two layers, and the scores during both trainings.

# %%
task = ms.tasks.Recall()
two = ms.Model("ssm + fnn1 + ssm + fnn1", vocab=task.vocab, width=32)
one = ms.Model("ssm + fnn1", vocab=task.vocab, width=46)
print(two.size, one.size)


def train(net):
    """Draw the parameters and train them for 1500 steps -> params, and the rows of the log."""
    rng = np.random.default_rng(0)
    params, log = ms.fit(net, net.init(rng), task, steps=1500, rng=rng, lr=8e-3)
    return params, log.rows


if TRAIN:
    (params, rows), (_, rows_one) = train(two), train(one)
else:
    net, params = ms.load(FILE)
    assert net == two
    rows, rows_one = json.loads(FILE.with_suffix(".json").read_text(encoding="utf-8"))
if "--train" in sys.argv:
    FILE.parent.mkdir(exist_ok=True)
    ms.save(FILE, two, params)
    FILE.with_suffix(".json").write_text(json.dumps([rows, rows_one]) + "\n", encoding="utf-8")

scores = ms.evaluate(two, params, task, np.random.default_rng(1), 2000)
print(scores)
assert scores["token_accuracy"] > 0.97

# %%
figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
for label, curve in {"two layers, two FNNs": rows, "one layer, one FNN": rows_one}.items():
    axes.plot([row["step"] for row in curve], [row["token_accuracy"] for row in curve], label=label)
axes.axhline(task.baseline, color="0.4", linestyle=":", label="baseline")
axes.set(xlabel="steps", ylabel="right answers", ylim=(0, 1.05))
axes.set_title("Two layers learn to recall, one layer of the same size doesn't", fontsize=10.5)
axes.legend(frameon=False)
plt.show()
