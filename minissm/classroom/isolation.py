"""Which isolation works on this machine: each is tried with a real attack before it is trusted."""

import ctypes.util
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from typing import Any

import numpy as np

from . import sandbox

NAMES = {
    "bwrap": "isolation: bubblewrap (own files, no network, no other process)",
    "landlock": "isolation: Landlock and seccomp (no other files, network or processes; names of files can be seen)",
    "none": "NOT ISOLATED: limits on time and memory alone; the hand-ins can read, write and connect",
}
PROBE = b"""
import dataclasses, os, socket
import numpy as np
def attack(path, honest):
    name = bytes(path).decode()
    acts = [lambda: os.fork() or os._exit(0), socket.socket, lambda: open(name), lambda: open(name + "+", "w"),
            lambda: os.chmod(name, 0o777)]
    for i, act in enumerate(acts):
        try:
            act()
            return np.array(i)
        except OSError:
            pass
    return np.linalg.inv(honest)
"""


@cache
def best() -> str:
    """The strongest isolation that held a small attack and let honest work through; "" if none did."""
    return next((name for name in ("bwrap", "landlock") if holds(name)), "")


def holds(isolation: str) -> bool:
    """Try to start a process, open a socket, read a file, write one and change one."""
    if sys.platform != "linux":
        return False
    with tempfile.TemporaryDirectory() as folder, open(os.path.join(folder, "secret"), "wb") as secret:
        os.chmod(folder, 0o777)
        asked = [np.frombuffer(os.fsencode(secret.name), "u1"), 2 * np.eye(3)]
        with suppress(OSError):  # no bubblewrap
            answer = sandbox.call(PROBE, [("attack", asked)], isolation).answers[0]
            return answer is not None and answer[0] == "ok" and np.array_equal(answer[1][0], np.eye(3) / 2)
    return False


def describe(isolation: str) -> str:
    """The first line of every output."""
    return NAMES[isolation]


def advice() -> str:
    """What to do where no isolation works."""
    parts = {"bubblewrap": shutil.which("bwrap"), "libseccomp2": ctypes.util.find_library("seccomp")}
    missing = " ".join(name for name, found in parts.items() if not found)
    if sys.platform == "win32":
        return "hand-ins run on Linux, as in WSL, or with --trust on macOS"
    if sys.platform != "linux":
        todo = "isolation needs Linux: grade there"
    elif missing:
        todo = f"install what is missing (apt install {missing})"
    else:
        todo = "bubblewrap needs user namespaces, and Landlock needs Linux 5.13; neither works here: grade elsewhere"
    return f"{todo}, or trust the hand-ins with --trust"


def isolated(trust: bool) -> tuple[Callable[..., Any], str, str]:
    """-> call of the sandbox, the isolation's name, the first line of every output.

    ValueError where nothing isolates and the hand-ins are not trusted.
    """
    name = "none" if trust and sys.platform != "win32" else best()
    if not name:
        raise ValueError(f"course: hand-ins can't be isolated here; {advice()}")
    return partial(sandbox.call, isolation=name), name, describe(name)
