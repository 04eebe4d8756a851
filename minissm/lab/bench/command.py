"""`minissm bench`: measure, print, write the files."""

import json
import signal
import tempfile
from pathlib import Path
from typing import Any

from ...files import write_whole
from ..workers import Terminated, stop_signals
from .measure import Request, measure
from .page import html
from .peers import ON_CARD
from .table import text


def bench(request: Request, json_path: str | None, html_path: str | None) -> list[str]:
    """-> which of our own methods failed. The JSON file is written after each part, and is whole each time.

    KeyboardInterrupt where it was interrupted, RuntimeError where an error ended it, after what was done has been
    printed and written.
    """
    for path in (json_path, html_path):
        if path is not None:
            _check(Path(path))

    def keep(report: dict[str, Any]) -> None:
        if json_path is not None:
            write_text(json_path, json.dumps(report, indent=1) + "\n")

    with stop_signals(at_once=True) as pressed:
        report = measure(request, keep=keep)
    print(text(report), flush=True)
    keep(report)
    if html_path is not None:
        write_text(html_path, html(report))
    said = f"bench ended {report['interrupted']}; what was done is shown above"
    if report["broke"]:
        raise RuntimeError(said)
    if report["interrupted"]:
        raise (Terminated if signal.SIGTERM in pressed else KeyboardInterrupt)(said)
    return [_named(lost) for lost in report["lost"] if lost["failed"] and lost["owner"] not in ("all", *ON_CARD)]


def _named(lost: dict[str, Any]) -> str:
    return ", ".join(lost[what] for what in ("workload", "case", "owner", "method") if lost[what])


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
