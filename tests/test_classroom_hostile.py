"""Hostile hand-ins, under every isolation that this machine has, as this user and as a plain one."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from minissm.classroom import isolation, sandbox
from tests import hostile

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="no isolation but on Linux")]
ROOT = Path(__file__).parent.parent
PLAIN = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
SCRIPT = """
import json, sys
from minissm.classroom import isolation
from tests import hostile
found = {name: isolation.holds(name) for name in ("bwrap", "landlock")}
name = isolation.best() if sys.argv[1] == "best" else sys.argv[1]
names = [*hostile.LOOKS, *sys.argv[2:]] if len(sys.argv) > 2 else None
troubles = hostile.attack(hostile.sandboxed(name), name, names=names) if found.get(name) else None
print(json.dumps([found, name, troubles]))
"""
LIMITS = [
    "fork bomb",
    "thread bomb",
    "fills the disk",
    "infinite loop",
    "stops itself",
    "aborts",
    "32-bit system calls",
]


@pytest.mark.parametrize("name", ["bwrap", "landlock"])
def test_every_attack_is_held(name):
    if not isolation.holds(name):
        pytest.skip(f"{name} doesn't work on this machine")
    names = None if name == "bwrap" or os.getuid() else [*hostile.LOOKS, *LIMITS]  # a plain user's Landlock has all
    assert hostile.attack(hostile.sandboxed(name), name, names=names) == []


def test_attacks_succeed_and_are_noticed_where_nothing_holds_them():
    """Limits alone. Left out: what would slow down this process, or break it."""
    names = ["reads files", "network", "writes", "changes what it can't open", "kills", "leaves kernel memory behind"]
    names += ["names and sizes of files"]
    troubles = hostile.attack(hostile.sandboxed("none"), "bwrap", names=names)
    assert {trouble.split(": ")[0] for trouble in troubles} >= {*names}
    assert {"received on tcp", "received on udp", "the victim was killed", "shm of the kernel is changed"} <= {
        trouble.split(": ")[-1] for trouble in troubles
    }


def test_system_calls_are_held_where_landlock_is_as_old_as_its_first_version(monkeypatch):
    if not isolation.holds("landlock"):
        pytest.skip("Landlock doesn't work on this machine")
    assert sandbox.WORKER.count("abi = LIBC.syscall(444, None, 0, 1)") == 1
    monkeypatch.setattr(sandbox, "WORKER", sandbox.WORKER.replace("abi = LIBC", "abi = 1 or LIBC"))
    assert hostile.attack(hostile.sandboxed("landlock"), "landlock", names=[*hostile.LOOKS, *LIMITS]) == []


@pytest.fixture(scope="module")
def plain():
    """A command that runs Python as a plain user with this package, and its environment."""
    if os.getuid() != 0:
        pytest.skip("not root: the other tests here are those of a plain user")
    if not shutil.which("setpriv"):
        pytest.skip("there is no setpriv (util-linux) to become a plain user")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        shutil.copytree(ROOT / "minissm", f"{folder}/minissm", ignore=shutil.ignore_patterns("__pycache__"))
        os.mkdir(f"{folder}/tests")
        for name in ("__init__.py", "hostile.py"):
            shutil.copy(ROOT / "tests" / name, f"{folder}/tests")
        path = os.pathsep.join([folder, *(p for p in sys.path if p.endswith("-packages"))])
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"}
        said = ""
        for python in (sys.executable, "/usr/bin/python{}.{}".format(*sys.version_info)):
            command = [*PLAIN, python, "-B", "-c"]
            try:
                subprocess.run(
                    [*command, "import tests.hostile as h; open(h.sandbox.PYTHON)"],
                    env=environment,
                    check=True,
                    capture_output=True,
                )
            except (OSError, subprocess.CalledProcessError) as error:
                said += f"; {error} {getattr(error, 'stderr', b'')[-200:]!r}"
            else:
                yield command, environment
                return
        pytest.skip(f"a plain user can read no Python of this version with its packages{said}")


def run(command, environment, *arguments):
    done = subprocess.run([*command, SCRIPT, *arguments], env=environment, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", ["bwrap", "landlock"])
def test_a_plain_user_holds_every_attack(plain, name):
    held, _, troubles = run(*plain, name, *(LIMITS if name == "bwrap" else []))  # answers are read by the same parent
    if not held[name]:
        pytest.skip(f"{name} doesn't work on this machine for a plain user")
    assert troubles == []


def test_landlock_takes_over_where_root_has_no_rights_and_user_namespaces_are_off():
    outer = [
        "unshare",
        "--user",
        "--map-root-user",
        "sh",
        "-c",
        'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"',
        "-",
    ]
    outer += ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"]
    if (
        not all(map(shutil.which, ("unshare", "setpriv")))
        or subprocess.run([*outer, "true"], capture_output=True).returncode
    ):
        pytest.skip("user namespaces don't work on this machine, so they can't be turned off")
    environment = dict(os.environ) | {"PYTHONPATH": os.pathsep.join([os.fspath(ROOT), *sys.path])}
    held, name, troubles = run([*outer, sys.executable, "-c"], environment, "best", *LIMITS)
    assert not held["bwrap"]
    if not held["landlock"]:
        pytest.skip("Landlock doesn't work on this machine")
    assert name == "landlock"
    assert troubles == []


def test_without_bubblewrap_and_seccomp_nothing_isolates(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: f"/nowhere/{name}")
    assert not isolation.holds("bwrap")
    monkeypatch.setattr(sandbox, "WORKER", sandbox.WORKER.replace("libseccomp.so.2", "libnothing.so.2"))
    isolation.best.cache_clear()
    try:
        assert isolation.best() == ""
    finally:
        isolation.best.cache_clear()
