"""Tables for notebooks: the HTML that they show for a record in place of its plain text."""

from collections.abc import Iterable, Mapping
from typing import Any


def table(rows: Iterable[Mapping[str, Any]], note: str = "") -> str:
    """A line for each row, a column for each of their keys; numbers have four digits. note: a line below."""
    from html import escape  # slow to import

    rows = list(rows)
    names = dict.fromkeys(name for row in rows for name in row)
    lines = ["".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in names)]
    lines += ["".join(f"<td>{escape(_shown(row.get(name, '')))}</td>" for name in names) for row in rows]
    below = f"<p>{escape(note)}</p>" if note else ""
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>{below}"


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
