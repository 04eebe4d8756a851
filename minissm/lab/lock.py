"""One run at a time in a folder, and what a killed one left in it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


def remove_parts(folder: Path) -> None:
    """Remove what a killed process had not finished writing, below a folder that nobody else works in."""
    for path in folder.rglob(".*.part"):
        path.unlink(missing_ok=True)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold the folder; ValueError if another process does. The system lets go of it when this process ends, however."""
    path = folder / ".lock"
    with open(path, "ab") as file:
        if not _locked(file) or not _is_at(file, path):
            raise ValueError(f"run: another run works in {folder}; wait for its end or choose another folder")
        try:
            yield
        finally:
            with suppress(OSError):  # Windows removes no open file; an empty one may stay
                path.unlink()


def _locked(file: Any) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError:
            return False
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: better to run than not
        pass
    return True


def _is_at(file: Any, path: Path) -> bool:
    """The one who held it may have removed it between our opening and locking."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
