"""Call a stranger's functions in a child process: bytes and arrays go in, arrays come out, nothing else.

The parent never imports, compiles or unpacks the submission. Source and arrays are one sealed file that the child reads
(worker.py). The child has one pipe for answers, which are read as numbers, and one for what it prints.
"""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from . import worker

if sys.platform == "linux":
    import fcntl

MEMORY = 1 << 30  # bytes of a child's address space
LOG = 1 << 16  # bytes of what it prints
LINE = 1 << 12  # bytes of the line before an answer
PAUSE = 10.0  # seconds of the clock on top of twice the CPU's, so that a loaded machine isn't the student's fault
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "PYTHONUTF8": "1"}
WORKER = Path(worker.__file__).read_text(encoding="utf-8")

Request = tuple[str, Sequence[Any]]  # the name of a function, its arrays (None: no array)
Answer = tuple[Any, ...]  # ("ok", arrays, inputs unchanged) or ("error", text)


class Reply(NamedTuple):
    """What came of a call."""

    answers: list[Answer | None]  # one a request; None: no answer
    log: str  # the beginning of what it printed
    ended: str  # why an answer is missing: "time" (of CPU), "clock", "memory", "size", "ended"; "" if none is
    cpu: float  # seconds


def call(source: bytes, requests: Sequence[Request], isolation: str, seconds: float = 5, most: int = 64 << 20) -> Reply:
    """Run the source in a child and call its functions, one after the other.

    isolation: one of isolation.NAMES. seconds: of CPU; the clock's limit is twice that and ten. most: bytes of answers.
    The arrays are trusted, the source is not. Several threads may call at a time. See `stop` for Ctrl-C.
    """
    head = {
        "isolation": isolation,
        "readable": readable() if isolation == "landlock" else [],
        "numpy": _numpy()[0],
        "seconds": seconds,
        "memory": MEMORY,
        "source": len(source),
    }
    asked = [json.dumps(head).encode() + b"\n", source, *(worker.frame(name, arrays) for name, arrays in requests)]
    answers, log, over = bytearray(), bytearray(), threading.Event()
    with _sealed(b"".join(asked)) as file, _child(isolation, file) as child:
        readers = [
            threading.Thread(target=_read, args=(child.stdout, most, answers, over), daemon=True),
            threading.Thread(target=_read, args=(child.stderr, LOG, log, threading.Event()), daemon=True),
        ]
        for reader in readers:
            reader.start()
        try:
            in_time = over.wait(2 * seconds + PAUSE)
        finally:
            cpu = _end(child, readers, isolation)
    found, memory = unpack(bytes(answers), len(requests), most)
    if None not in found:
        ended = ""
    elif memory or len(answers) > most:
        ended = "memory" if memory else "size"
    else:
        ended = "time" if cpu > 0.95 * seconds else "ended" if in_time else "clock"
    return Reply(found, log.decode("utf-8", "replace"), ended, cpu)


def stop() -> None:
    """End the children of all calls, which then return: for a Ctrl-C while other threads wait for them."""
    with _lock:
        for child in _running:
            child.kill()


_lock, _running = threading.Lock(), set[subprocess.Popen]()


def _child(isolation: str, asked: IO[bytes]) -> subprocess.Popen:
    """The process, with nothing of this one but its three files."""
    environment = ENVIRONMENT | {k: os.environ[k] for k in ("SYSTEMROOT",) if k in os.environ}  # of Windows
    pipe = subprocess.PIPE
    child = subprocess.Popen(
        command(isolation), stdin=asked, stdout=pipe, stderr=pipe, env=environment, cwd=os.sep, start_new_session=True
    )
    with _lock:
        _running.add(child)
    return child


def _read(pipe: IO[bytes], most: int, into: bytearray, over: threading.Event) -> None:
    """Read to the end and keep one byte more than `most`. over: set at the end, or where there is more."""
    with suppress(OSError, ValueError):  # closed meanwhile
        while piece := os.read(pipe.fileno(), 1 << 16):
            into += piece[: most + 1 - len(into)]
            if len(into) > most:
                over.set()
    over.set()


def _end(child: subprocess.Popen, readers: list[threading.Thread], isolation: str) -> float:
    """Kill and reap the child -> the CPU seconds that it used."""
    if isolation == "bwrap":  # it counts and reaps its own child, if that goes first
        with suppress(OSError):
            for pid in Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split():
                os.kill(int(pid), signal.SIGKILL)
        for reader in readers:
            reader.join(1)
    with _lock:
        _running.discard(child)
    if sys.platform == "win32":
        child.kill()
        child.wait()
        return 0.0
    with suppress(OSError):
        os.killpg(child.pid, signal.SIGKILL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    for reader in readers:
        reader.join(1)  # at once, unless a child without isolation left a process that holds the pipe
    return usage.ru_utime + usage.ru_stime


def _sealed(data: bytes) -> IO[bytes]:
    """A file without a name, at its beginning. On Linux nobody can write to it again."""
    if sys.platform != "linux":
        file: Any = tempfile.TemporaryFile()  # noqa: SIM115
    else:
        file = os.fdopen(os.memfd_create("asked", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "w+b")
    file.write(data)
    file.flush()
    if sys.platform == "linux":
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, 15)
    file.seek(0)
    return file


def unpack(data: bytes, count: int, most: int) -> tuple[list[Answer | None], bool]:
    """The answers as far as they can be read, None from there on; and whether the child ran out of memory."""
    answers: list[Answer | None] = []
    at, word = 0, ""
    try:
        while len(answers) < count and at < len(data):
            end = data.index(b"\n", at, at + LINE)
            word, kinds, more = json.loads(data[at:end])
            at = end + 1
            if word == "error":
                answers.append(("error", more[:300] + ""))
            elif word == "ok" and len(kinds) <= worker.MOST_ARRAYS:
                arrays = []
                for kind, shape in kinds:
                    array, at = _array(data, at, kind, shape, most)
                    arrays.append(array)
                answers.append(("ok", arrays, more is True))
            else:
                break
    except Exception:  # whatever it is, it is no answer, and what follows can't be trusted to be one
        word = ""
    return answers + [None] * (count - len(answers)), word == "memory"


def _array(data: bytes, at: int, kind: str, shape: list[int], most: int) -> tuple[np.ndarray, int]:
    """The array whose numbers begin at `at`, and where they end. ValueError: not of a known kind, or too large."""
    if kind not in worker.KINDS or len(shape) > 8 or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError
    itemsize = np.dtype(kind).itemsize
    if math.prod(max(n, 1) for n in shape) * itemsize > most:  # no rows without end, even of no elements
        raise ValueError
    end = at + math.prod(shape) * itemsize
    numbers = np.frombuffer(data[at:end], "u1" if kind == "b1" else kind).reshape(shape)
    return numbers != 0 if kind == "b1" else numbers, end


# ---- what the child may see


def _interpreter() -> str:
    return os.path.realpath(getattr(sys, "_base_executable", sys.executable))


def _library() -> str:
    return os.path.realpath(sysconfig.get_path("stdlib"))


def _installed(name: str) -> bool:
    """What lies in the folder of the standard library and isn't of it: the solutions may be there."""
    return name.endswith("-packages")


@cache
def _numpy() -> list[str]:
    """The folder that NumPy lies in, and of the folder what belongs to NumPy."""
    home = os.path.dirname(os.path.dirname(np.__file__))
    return [home, *(p for p in (f"{home}/numpy", f"{home}/numpy.libs") if os.path.isdir(p))]


@cache
def readable() -> list[str]:
    """Files and folders: Python, its standard library and nothing installed, NumPy, the system's libraries."""
    library = _library()
    found = [f"{library}/{name}" for name in sorted(os.listdir(library)) if not _installed(name)]
    machine = sysconfig.get_config_var("MULTIARCH")
    for folder in (os.path.dirname(library), "/lib64", f"/lib/{machine}", f"/usr/lib/{machine}"):
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        whole = names and not any(n.startswith("python") for n in names)
        found += [folder] if whole else [f"{folder}/{n}" for n in names if ".so" in n]
    found += [_interpreter(), "/etc/ld.so.cache", "/etc/alternatives", *_numpy()[1:]]
    return [path for path in found if os.path.exists(path)]


def command(isolation: str) -> list[str]:
    """How the child is started. bubblewrap: its own files, processes, network; root keeps the right to be another."""
    python = [_interpreter(), "-s", "-S", "-P", "-B", "-u", "-c", WORKER]
    if isolation != "bwrap":
        return python
    user = ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"] if os.getuid() == 0 else ["--unshare-user"]
    library = _library()
    files = ["--ro-bind", library, library]  # as a whole: a mount takes 2 ms
    files += [word for name in os.listdir(library) if _installed(name) for word in ("--tmpfs", f"{library}/{name}")]
    others = [path for path in readable() if not path.startswith(f"{library}/")]
    files += [word for path in others for word in ("--ro-bind", path, path)]
    own = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try", "--as-pid-1"]
    end = ["--die-with-parent", "--new-session", "--remount-ro", "/", "--chdir", "/"]
    return [shutil.which("bwrap") or "bwrap", *own, *user, *files, *end, *python]
