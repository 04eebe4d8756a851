"""The lead of an answer: its logit minus the mean logit of its kind. It is what the page follows back.

log p is no measure for this: where the model is sure, p rounds to 1 and its gradient to 0. Nor is the distance to the
best other answer: its gradient shows the tokens of that answer as much as those of the right one.
"""

from typing import Any

import numpy as np


def of_its_kind(task: Any, token: int) -> np.ndarray:
    """The tokens of this token's kind, with itself; all tokens if it is the only one."""
    kinds = np.array(task.kinds)
    same = np.flatnonzero(kinds == kinds[token])
    return same if same.size > 1 else np.arange(kinds.size)


def weights(task: Any, target: int, outputs: int) -> np.ndarray:
    """(outputs,): lead = logits @ weights, and so the gradient of the lead with respect to the logits."""
    same, w = of_its_kind(task, target), np.zeros(outputs)
    w[same] = -1 / same.size
    w[target] += 1
    return w
