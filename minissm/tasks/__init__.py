"""Tasks: rng -> batch. They know no model."""

from collections.abc import Callable

from .sequences import associative_recall, copying
from .task import Batch, Task

TASKS: dict[str, Callable[..., Task]] = {"copying": copying, "recall": associative_recall}
__all__ = ["TASKS", "Batch", "Task", "associative_recall", "copying"]
