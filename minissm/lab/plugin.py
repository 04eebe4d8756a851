"""`minissm run --plugin FILE.py`: a file of one's own that registers blocks, filters and tasks by ms.register."""

import hashlib
import importlib.util
import sys
from pathlib import Path

_loaded: dict[str, str] = {}  # path -> SHA-256 of the text that was run


def load(path: str) -> str:
    """Run the file, once in this process and again where it has changed. -> its SHA-256. ValueError where it fails."""
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"run: plugin {path!r} can't be read ({error.strerror}); give a Python file") from None
    digest = hashlib.sha256(text).hexdigest()
    if _loaded.get(path) != digest:
        name = f"minissm_plugin_{Path(path).stem}"
        found = importlib.util.spec_from_file_location(name, path)
        if found is None or found.loader is None:
            raise ValueError(f"run: plugin {path!r} is no Python file; give one that ends in .py")
        module = sys.modules[name] = importlib.util.module_from_spec(found)
        try:
            found.loader.exec_module(module)
        except Exception as error:  # whatever a file of one's own can raise
            reason = f"{type(error).__name__}: {error}"
            raise ValueError(f"run: plugin {path!r} can't be run ({reason}); mend it") from error
        _loaded[path] = digest
    return digest
