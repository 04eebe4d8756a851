"""`minissm bench`: measure, print, write the files."""

import json
import tempfile
from pathlib import Path
from typing import Any

from ...files import write_whole
from .measure import Request, measure
from .page import html
from .table import text


def bench(request: Request, json_path: str | None, html_path: str | None) -> None:
    """KeyboardInterrupt where it was interrupted, after what was done has been printed and written."""
    for path in (json_path, html_path):
        if path is not None:
            _check(Path(path))
    report = measure(request)
    print(text(report), flush=True)
    for path, written in ((json_path, lambda: json.dumps(report, indent=1) + "\n"), (html_path, lambda: html(report))):
        if path is not None:
            write_text(path, written())
    if report["interrupted"]:
        raise KeyboardInterrupt(f"bench ended {report['interrupted']}; what was done is shown above")


def write_text(path: Any, written: str) -> None:
    write_whole(path, lambda file: file.write(written.encode()))


def _check(path: Path) -> None:
    """A folder that isn't there should not show after twenty minutes."""
    if path.is_dir():
        raise ValueError(f"bench: {path} is a folder; give the name of a file")
    if not path.parent.is_dir():
        raise ValueError(f"bench: {path.parent}, where {path.name} would be written, is no folder; make it first")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise ValueError(f"bench: can't write to {path.parent} ({error.strerror}); choose another folder") from None
