"""Files are written whole: under a temporary name in the folder of the file, then renamed."""

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from typing import Any

Name = str | bytes | os.PathLike


def write_whole(path: Name, write: Callable[[Any], Any] | None) -> None:
    """Call write(file) on a binary file that appears at `path` once it is complete. A failure changes nothing.

    A link stays a link, and its target is written. An existing file keeps its permissions and, where the system allows
    it, its owner; a hard link to it keeps the old content. A device or a pipe is written to directly.

    write: None to try the place alone, see `check_place`. OSError, with `path` as its file name, if writing fails.
    """
    name, part = os.fsdecode(path), ""
    try:
        target, old = _target(name)
        if old is not None and not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        if old is not None and (not stat.S_ISREG(old.st_mode) or os.path.islink(target)):
            if write is not None:
                with open(target, "wb") as file:
                    write(file)
            return
        part = os.path.join(os.path.dirname(target), f".{os.urandom(6).hex()}.part")
        mode = 0o666 if old is None else 0o600  # until it is complete; the system takes the umask off
        with open(part, "xb", opener=lambda file, flags: os.open(file, flags, mode)) as file:
            if write is None:
                return
            write(file)
            file.flush()
            os.fsync(file.fileno())
        if old is not None:
            with suppress(OSError, AttributeError):  # Windows has no owners
                os.chown(part, old.st_uid, old.st_gid)
            os.chmod(part, stat.S_IMODE(old.st_mode))
        os.replace(part, target)
    except UnicodeEncodeError as error:  # a name with an accent, say, where the locale is C
        raise OSError(errno.EILSEQ, os.strerror(errno.EILSEQ), name) from error
    except OSError as error:  # a full disk names no file, a deleted folder the temporary one
        raise OSError(error.errno, error.strerror or str(error), name) from error
    finally:
        with suppress(OSError):
            os.unlink(part)


def check_place(who: str, path: Any) -> None:
    """TypeError or OSError unless `write_whole` can write to `path`: a check before long work. It leaves no trace."""
    if not isinstance(path, Name):
        raise TypeError(f"{who}: the name of a file is {type(path).__name__}; expected a string or a path")
    try:
        write_whole(path, None)
    except OSError as error:
        expected = f"{who}: {error.strerror}; expected the name of a file that can be written"
        raise OSError(error.errno, expected, error.filename) from None


def shown(path: Name) -> str:
    """The path as text for an error, in quotes if it is empty or has a character that can't be printed."""
    name = os.fsdecode(path)
    return name if name and name.isprintable() else repr(name)


def _target(name: str) -> tuple[str, os.stat_result | None]:
    """Where the links at the name end, and what is there (None: nothing). A link of /proc, as to a pipe, has no end."""
    try:
        old = os.stat(name)
    except FileNotFoundError:
        old = None
    if not name or (old is not None and stat.S_ISDIR(old.st_mode)):
        code = errno.EISDIR if name else errno.ENOENT
        raise OSError(code, os.strerror(code))
    while os.path.islink(name) and not os.path.realpath(os.path.dirname(name)).startswith("/proc/"):
        name = os.path.join(os.path.dirname(name), os.readlink(name))
    return name, old
