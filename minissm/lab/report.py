"""What came out of a comparison, as a table: a line a model, and what guessing reaches as a line of its own."""

from statistics import median

from ..tasks import Task
from .compare import Config


def best_rate(rows: list[dict], curves: list[dict]) -> dict[str, float]:
    """model -> the learning rate whose last look (not the test) had the best median over the seeds."""
    last = {(r["model"], r["lr"], r["seed"]): r["token_accuracy"] for r in curves}
    looks: dict[str, dict[float, list[float]]] = {}
    for r in rows:  # a run that broke off before its first look counts as 0
        seen = last.get((r["model"], r["lr"], r["seed"]), 0.0)
        looks.setdefault(r["model"], {}).setdefault(r["lr"], []).append(seen)
    return {model: max(rates, key=lambda lr: median(rates[lr])) for model, rates in looks.items()}


def chosen(rows: list[dict], curves: list[dict]) -> dict[str, list[dict]]:
    """model -> its rows at its best learning rate."""
    rate = best_rate(rows, curves)
    return {model: [r for r in rows if r["model"] == model and r["lr"] == lr] for model, lr in rate.items()}


def table(rows: list[dict], curves: list[dict], task: Task, config: Config) -> str:
    """Median over seeds, with the lowest and the highest, of the accuracy on fresh sequences."""
    sizes = f"width {config.width}, no budget" if config.width else f"budget {config.budget:,} parameters"
    cells = [("model", "parameters", "state", "lr", "token accuracy", "whole sequences", "seconds")]
    for model, mine in chosen(rows, curves).items():
        first = mine[0]
        miss = "" if config.width else f" ({first['parameters'] / config.budget - 1:+.1%})"
        scores = spread(mine, "token_accuracy"), spread(mine, "sequence_accuracy")
        seconds = f"{median(r['seconds'] for r in mine):.1f}"
        size = f"{first['parameters']:,}{miss}"
        cells.append((model, size, f"{first['state_size']:,}", f"{first['lr']:g}", *scores, seconds))
    cells.append(("guessing", "", "", "", f"{task.floor:.3f}", "", ""))
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    head = f"{task.name}: {config.steps} steps, {sizes}; median over seeds (lowest to highest), on fresh sequences"
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join([head, *lines])


def spread(rows: list[dict], key: str) -> str:
    values = [r[key] for r in rows]
    return f"{median(values):.3f} ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else f"{values[0]:.3f}"
