"""Files are written whole: under a temporary name in the same folder, then renamed."""

import errno
import os
import stat
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


def check_place(who: str, path: Any) -> None:
    """TypeError or OSError unless `write_whole` could write to `path` now. It tries with a temporary file."""
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"{who}: the name of a file is {type(path).__name__}; expected a string or a path")
    place = os.path.realpath(path)  # where a symbolic link leads
    try:
        with suppress(FileNotFoundError):
            if stat.S_ISDIR(os.stat(place).st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        tempfile.TemporaryFile(dir=os.path.dirname(place)).close()
    except OSError as error:
        expected = f"{who}: {error.strerror}; expected the name of a file that can be written"
        raise OSError(error.errno, expected, os.fspath(path)) from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
