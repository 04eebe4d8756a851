"""Which isolation works on this machine: each is tried with a real attack before it is trusted."""

import ctypes
import os
import shutil
import sys
import tempfile
from functools import cache

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
    def works(act):
        try:
            act()
        except OSError:
            return False
        return True
    acts = [lambda: os.fork() or os._exit(0), socket.socket, lambda: open(name), lambda: open(name + "+", "w"),
            lambda: os.chmod(name, 0o777)]
    return np.linalg.inv(honest), np.array([works(act) for act in acts])
"""


@cache
def best() -> str:
    """The strongest isolation that held a small attack and let honest work through; "" if none did."""
    return next((name for name in ("bwrap", "landlock") if holds(name)), "")


def holds(isolation: str) -> bool:
    """Try to start a process, open a socket, read a file, write one and change one."""
    if sys.platform != "linux":
        return False
    with tempfile.TemporaryDirectory() as folder:
        secret = os.path.join(folder, "secret")
        with open(secret, "wb"):
            os.chmod(folder, 0o777)
        asked = ("attack", [np.frombuffer(os.fsencode(secret), "u1"), 2 * np.eye(3)])
        try:
            (answer,) = sandbox.call(PROBE, [asked], isolation).answers
        except OSError:  # no such program
            return False
    if answer is None or answer[0] != "ok" or len(answer[1]) != 2:
        return False
    inverse, works = answer[1]
    return np.array_equal(inverse, np.eye(3) / 2) and works.shape == (5,) and not works.any()


def describe(isolation: str) -> str:
    """The first line of every output."""
    return NAMES[isolation]


def advice() -> str:
    """What to do where no isolation works."""
    if sys.platform != "linux":
        return "isolation needs Linux: grade there, by Gradescope, or trust the hand-ins with --trust"
    missing = [] if shutil.which("bwrap") else ["bubblewrap"]
    try:
        ctypes.CDLL("libseccomp.so.2")
    except OSError:
        missing.append("libseccomp2")
    if missing:
        return f"install {' and '.join(missing)} (apt install {' '.join(missing)}), or trust the hand-ins with --trust"
    return (
        "bubblewrap needs user namespaces, Landlock a kernel from 5.13 on, and neither is here: "
        "grade on another machine, or trust the hand-ins with --trust"
    )
