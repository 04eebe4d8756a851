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

MEMORY = 1 << 30  # bytes of a child's address space
LOG = 1 << 16  # bytes of what it prints
LINE = 1 << 12  # bytes of the line before an answer
PAUSE = 10.0  # seconds of the clock on top of twice the CPU's, so that a loaded machine isn't the student's fault
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "PYTHONUTF8": "1"}
WORKER = Path(worker.__file__).read_text(encoding="utf-8")
PYTHON = os.path.realpath(getattr(sys, "_base_executable", sys.executable))  # not that of a virtual environment
LIBRARY = os.path.realpath(sysconfig.get_path("stdlib"))
HOME = os.path.dirname(os.path.dirname(np.__file__))  # where NumPy is installed, and much else

_waiting: set[threading.Event] = set()  # of the calls that run


class Reply(NamedTuple):
    """What came of a call."""

    answers: list  # one a request: ("ok", arrays, inputs unchanged), ("error", text), or None: no answer
    log: str  # the beginning of what it printed
    ended: str  # why an answer is missing: "time" (of CPU), "clock", "memory", "size", "ended"; "" if none is
    cpu: float  # seconds


def call(
    source: bytes, requests: Sequence[tuple[str, list]], isolation: str, seconds: float = 5, most: int = 16 << 20
) -> Reply:
    """Run the source in a child and call its functions: requests = [(name, [array or None, ...]), ...].

    isolation: one of isolation.NAMES. seconds: of CPU; the clock's limit is twice that and ten. most: bytes of answers.
    The arrays are trusted, the source is not. Several threads may call at a time. See `stop` for Ctrl-C.
    """
    head = [isolation, readable() if isolation == "landlock" else [], HOME, seconds, MEMORY, len(source)]
    asked = [json.dumps(head).encode() + b"\n", source, *(worker.frame(name, arrays) for name, arrays in requests)]
    answers, log, over, pipe = bytearray(), bytearray(), threading.Event(), subprocess.PIPE
    _waiting.add(over)
    with (
        _sealed(b"".join(asked)) as file,
        subprocess.Popen(
            command(isolation), stdin=file, stdout=pipe, stderr=pipe, env=ENVIRONMENT, cwd="/", start_new_session=True
        ) as child,
    ):
        readers = [
            threading.Thread(target=_read, args=(child.stdout, most, answers, over), daemon=True),
            threading.Thread(target=_read, args=(child.stderr, LOG, log, threading.Event()), daemon=True),
        ]
        try:
            for reader in readers:
                reader.start()
            in_time = over.wait(2 * seconds + PAUSE)
        finally:
            cpu = _end(child, readers)
            _waiting.discard(over)
    found, memory = unpack(bytes(answers), len(requests), most)
    size, time = len(answers) > most, cpu > 0.95 * seconds
    reasons = {"": None not in found, "memory": memory, "size": size, "time": time, "clock": not in_time, "ended": True}
    ended = next(reason for reason, holds in reasons.items() if holds)
    return Reply(found, log.decode("utf-8", "replace"), ended, cpu)


def stop() -> None:
    """End the children of all calls, which then return: for a Ctrl-C while other threads wait for them."""
    for over in list(_waiting):
        over.set()


def _read(pipe: IO[bytes], most: int, into: bytearray, over: threading.Event) -> None:
    """Read to the end and keep one byte more than `most`. over: set at the end, or where there is more."""
    with suppress(OSError, ValueError):  # closed meanwhile
        while piece := os.read(pipe.fileno(), 1 << 16):
            into += piece[: most + 1 - len(into)]
            if len(into) > most:
                over.set()
    over.set()


def _end(child: subprocess.Popen, readers: list[threading.Thread]) -> float:
    """Kill and reap the child -> the CPU seconds that it used."""
    family = ""
    with suppress(OSError):  # bubblewrap counts and reaps its own child, if that goes first
        family = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text()
    for pid in (*map(int, family.split()), -child.pid):  # its group: bubblewrap with a child that has just begun
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        for reader in readers:
            reader.join(1)  # at once, unless another process holds the pipe
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime


def _sealed(data: bytes) -> IO[bytes]:
    """A file without a name, at its beginning. On Linux nobody can write to it again."""
    linux = sys.platform == "linux"
    memory = os.fdopen(os.memfd_create("asked", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "w+b") if linux else None
    file: Any = memory or tempfile.TemporaryFile()  # noqa: SIM115
    file.write(data)
    file.seek(0)  # and flush
    if linux:
        import fcntl

        fcntl.fcntl(file, fcntl.F_ADD_SEALS, 15)
    return file


def unpack(data: bytes, count: int, most: int) -> tuple[list, bool]:
    """The answers as far as they can be read, None from there on; and whether the child ran out of memory."""
    answers: list = []
    at, word = 0, ""
    with suppress(Exception):  # whatever it is, it is no answer, and what follows can't be trusted to be one
        while len(answers) < count:
            end = data.index(b"\n", at, at + LINE)
            word, kinds, more = json.loads(data[at:end])
            at, arrays = end + 1, []
            if word not in ("ok", "error") or len(kinds) > worker.MOST_ARRAYS:
                break
            for kind, shape in kinds:
                size = int(kind[1:]) * math.prod(max(n, 1) for n in shape)  # not 0, or rows of nothing have no bound
                if kind not in worker.KINDS or size > most or len(shape) > 8 or min(shape, default=0) < 0:
                    raise ValueError
                end = at + size * (0 not in shape)
                numbers = np.frombuffer(data[at:end], kind.replace("b1", "u1")).reshape(shape)
                arrays.append(numbers != 0 if kind == "b1" else numbers)  # a byte of 2 is no bool
                at = end
            answers.append((word, arrays, more is True) if word == "ok" else (word, more[:300] + ""))
    return answers + [None] * (count - len(answers)), word == "memory"


@cache
def readable() -> list[str]:
    """Files and folders: Python, its standard library and nothing installed, NumPy, the system's libraries."""
    found = [f"{LIBRARY}/{name}" for name in sorted(os.listdir(LIBRARY)) if not name.endswith("-packages")]
    machine = sysconfig.get_config_var("MULTIARCH")
    for folder in (os.path.dirname(LIBRARY), "/lib64", f"/lib/{machine}", f"/usr/lib/{machine}"):
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        python = any(name.startswith("python") for name in names)  # and what is installed there
        found += [f"{folder}/{name}" for name in names if ".so" in name] if python else [folder]
    found += [PYTHON, "/etc/ld.so.cache", "/etc/alternatives", f"{HOME}/numpy", f"{HOME}/numpy.libs"]
    return [path for path in found if os.path.exists(path)]


def command(isolation: str) -> list[str]:
    """How the child is started. bubblewrap: its own files, processes, network; root keeps the right to be another."""
    python = [PYTHON, "-s", "-S", "-P", "-B", "-u", "-c", WORKER]
    if isolation != "bwrap":
        return python
    user = ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"] if os.getuid() == 0 else ["--unshare-user"]
    files: list[tuple[str, ...]] = [("--ro-bind", LIBRARY, LIBRARY)]  # as a whole: a mount takes 2 ms
    files += [("--tmpfs", f"{LIBRARY}/{name}") for name in os.listdir(LIBRARY) if name.endswith("-packages")]
    files += [("--ro-bind", path, path) for path in readable() if os.path.dirname(path) != LIBRARY]
    own = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try", "--as-pid-1"]
    end = ["--die-with-parent", "--new-session", "--remount-ro", "/", "--chdir", "/"]
    end += ["--setenv", "LD_LIBRARY_PATH", os.path.dirname(LIBRARY)]  # libpython, wherever it was built for
    return [shutil.which("bwrap") or "bwrap", *own, *user, *(word for words in files for word in words), *end, *python]
