"""A lock, so that one run at a time works in a folder; and the removal of a killed run's partial files."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


def remove_parts(folder: Path) -> None:
    """Remove the partial files of a killed process below the folder, which must be locked."""
    for path in folder.rglob(".*.part"):
        path.unlink(missing_ok=True)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Lock the folder; ValueError if another process has locked it. The system unlocks it if this process is killed."""
    path = folder / ".lock"
    with open(path, "ab") as file:
        if not _locked(file) or not _is_at(file, path):
            raise ValueError(f"run: another run works in {folder}; wait for its end or choose another folder")
        try:
            yield
        finally:
            with suppress(OSError):  # Windows can't remove an open file; an empty one may stay
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
    except OSError:  # a file system without locks: run without one
        pass
    return True


def _is_at(file: Any, path: Path) -> bool:
    """False if the process that held the lock removed the file between our opening and our locking of it."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
