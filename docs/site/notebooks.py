"""Tutorials as notebooks: run, kept, and with the lines that the site adds. `python -m tutorials` uses it as well."""

import hashlib
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

TITLE = re.compile(r"""title(?:=|\()\s*f?(["'])(.*?)\1""")
KERNEL = ["--InlineBackend.figure_formats=retina", "--IPKernelApp.log_level=ERROR"]  # sharp figures, no chatter


class TutorialError(Exception):
    """A cell of a tutorial raised."""


def executed(script: Path, kept: Path | None = None) -> Any:
    """The notebook of a py:percent script with the outputs of its cells.

    kept: a folder. If it has the outputs of this very script, they are taken from there.
    """
    stored = kept and kept / f"{script.stem}-{hashlib.sha256(script.read_bytes()).hexdigest()[:16]}.ipynb"
    if stored and stored.exists():
        return nbformat.read(stored, 4)
    notebook = jupytext.read(script)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    environment = os.environ | {"PYTHONPATH": str(script.parents[1])}  # this clone, whatever else is installed
    environment |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")  # two spin on a busy machine
    try:
        with tempfile.TemporaryDirectory() as folder:  # a cell that writes a file writes it there
            place = {"metadata": {"path": folder}}
            NotebookClient(notebook, timeout=3600, resources=place, extra_arguments=KERNEL).execute(env=environment)
    except CellExecutionError as error:
        plain = re.sub(r"\x1b\[[\d;]*m", "", str(error))
        raise TutorialError(f"{script.name} can't be shown with its outputs: {plain}") from None
    if stored:
        stored.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, stored)
    return notebook


def page(notebook: Any, script: Path, relinked: Callable[[str], str]) -> str:
    """The notebook as JSON, with links that hold in the site and a line of downloads below the title."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = relinked(cell.source)
        elif "plt.show" in cell.source:  # what a screen reader says of the figure
            titles = [title for _, title in TITLE.findall(cell.source) if "{" not in title]
            cell.metadata["mystnb"] = {"image": {"alt": "Figure: " + ("; ".join(titles) or "see the text above")}}
    found = (script.parent / "answers" / script.name).exists()
    answers = relinked(f" · [Answers](answers/{script.name})") if found else ""
    title, _, rest = notebook.cells[0].source.partition("\n")
    notebook.cells[0].source = f"{title}\n\n{{download}}`Download as a notebook <{script.stem}.ipynb>`{answers}\n{rest}"
    return nbformat.writes(notebook)
