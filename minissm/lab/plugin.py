"""`minissm run --plugin FILE.py`: the user's file, which registers blocks, filters and tasks with ms.register."""

import hashlib
import sys
from pathlib import Path
from types import ModuleType

_loaded: dict[str, str] = {}  # path -> SHA-256 of the text that has run


class PluginError(ValueError):
    """The file is missing, fails, or differs from the file with which the run began."""


def load(path: str, expected: str | None = None) -> str:
    """Run the file, once in this process and again after a change. -> its SHA-256.

    expected: the SHA-256 of the file with which the run began. A different file is refused and not run.
    """
    try:
        text = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PluginError(f"run: plugin {path!r} can't be read ({reason}); give a Python file") from None
    digest = hashlib.sha256(text).hexdigest()
    if expected not in (None, digest):
        changed = f"plugin {path!r} has changed since the run began (SHA-256 {expected[:12]}, now {digest[:12]})"
        raise PluginError(f"run: {changed}; restore it, or start a new run")
    if _loaded.get(path) != digest:
        name = f"minissm_plugin_{Path(path).stem}"
        module = sys.modules[name] = ModuleType(name)  # dataclasses look up their module there
        module.__file__ = path
        try:
            exec(compile(text, path, "exec"), module.__dict__)  # importlib would write and read __pycache__
        except (Exception, SystemExit) as error:  # the user's code can raise anything
            reason = f"{type(error).__name__}: {error}"
            raise PluginError(f"run: plugin {path!r} can't be run ({reason}); mend it") from error
        _loaded[path] = digest
    return digest
