"""Files are written whole: under a temporary name in the same folder, then renamed."""

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any


def write_whole(path: str | os.PathLike, write: Callable[[Any], Any]) -> None:
    """Call write(file) on a binary file that appears at `path` once it is complete. A failure changes nothing."""
    path, name = Path(path), ""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException as error:
        if name:
            with suppress(OSError):
                os.unlink(name)
        if isinstance(error, OSError):  # a full disk names no file, a deleted folder the temporary one
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
