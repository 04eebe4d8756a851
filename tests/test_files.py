"""Files appear whole or not at all."""

import errno
import os
import stat
import sys
from functools import partial

import numpy as np
import pytest

from minissm import Model, load, load_state, save
from minissm.files import check_place, write_whole


def test_the_file_is_what_was_written(tmp_path):
    write_whole(tmp_path / "a.txt", lambda file: file.write(b"one"))
    write_whole(str(tmp_path / "a.txt"), lambda file: file.write(b"two"))
    assert (tmp_path / "a.txt").read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_nothing_is_seen_before_the_file_is_complete(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")

    def write(file):
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"

    write_whole(path, write)
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), OSError(errno.ENOSPC, "full")], ids=repr)
@pytest.mark.parametrize("old", [b"old", None], ids=["over a file", "a new file"])
def test_a_failure_in_the_middle_changes_nothing(tmp_path, error, old):
    path = tmp_path / "a.txt"
    if old is not None:
        path.write_bytes(old)

    def write(file):
        file.write(b"x" * 100_000)
        raise error

    with pytest.raises(type(error)):
        write_whole(path, write)
    assert os.listdir(tmp_path) == ([] if old is None else ["a.txt"])
    assert old is None or path.read_bytes() == old


@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_a_full_disk_names_the_file_and_changes_nothing(tmp_path, monkeypatch, name):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "a.txt").write_bytes(b"old")
    monkeypatch.setattr(os, name, full)
    with pytest.raises(OSError, match="No space") as caught:
        write_whole(tmp_path / "a.txt", lambda file: file.write(b"new"))
    assert caught.value.filename == str(tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_missing_folder_is_not_made(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        write_whole(tmp_path / "none" / "a.txt", lambda file: file.write(b""))
    assert caught.value.filename == str(tmp_path / "none" / "a.txt"), "not the temporary name"
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask to speak of")
@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_others_may_read_the_file_as_the_umask_says(tmp_path, mask):
    before = os.umask(mask)
    try:
        write_whole(tmp_path / "a.txt", lambda file: file.write(b""))
        assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o666 & ~mask
        assert os.umask(mask) == mask
    finally:
        os.umask(before)


def new(file):
    file.write(b"new")


@pytest.mark.skipif(os.name == "nt", reason="links as POSIX has them")
@pytest.mark.parametrize("target", ["old", "none"], ids=["to a file", "to no file"])
def test_a_link_stays_and_its_target_is_written(tmp_path, target):
    (tmp_path / "old").write_bytes(b"old")
    (tmp_path / "below").mkdir()
    os.symlink(f"../{target}", tmp_path / "below" / "link")
    os.symlink("below/link", tmp_path / "link")
    write_whole(tmp_path / "link", new)
    assert (os.readlink(tmp_path / "link"), os.readlink(tmp_path / "below" / "link")) == ("below/link", f"../{target}")
    assert not (tmp_path / target).is_symlink()
    assert (tmp_path / target).read_bytes() == b"new"
    assert sorted(os.listdir(tmp_path)) == sorted({"below", "link", "old", target})


@pytest.mark.skipif(os.name == "nt", reason="modes as POSIX has them")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755, 0o666])
def test_a_file_keeps_its_mode_and_owner_and_is_never_open_to_others_meanwhile(tmp_path, mode):
    def write(file):
        (part,) = set(os.listdir(tmp_path)) - {"a"}
        assert stat.S_IMODE(os.stat(tmp_path / part).st_mode) == 0o600
        new(file)

    (tmp_path / "a").write_bytes(b"old")
    os.chmod(tmp_path / "a", mode)
    if os.getuid() == 0:
        os.chown(tmp_path / "a", 1234, 4321)
    before = os.stat(tmp_path / "a")
    write_whole(tmp_path / "a", write)
    after = os.stat(tmp_path / "a")
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert (tmp_path / "a").read_bytes() == b"new"


def test_the_umask_is_not_touched(tmp_path, monkeypatch):
    """It belongs to the process: another thread's file would appear without it."""
    monkeypatch.setattr(os, "umask", lambda _: pytest.fail("set"))
    write_whole(tmp_path / "a", new)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes as POSIX has them")
def test_pipes_and_devices_are_written_to_and_stay(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    device = "/dev/null"
    if os.geteuid() == 0:  # who could replace the system's
        device = tmp_path / "device"
        os.mknod(device, stat.S_IFCHR | 0o600, os.stat("/dev/null").st_rdev)
    os.symlink(device, tmp_path / "null")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    inner, writer = os.pipe()
    try:
        for path in ("pipe", "null"):
            check_place("fit", tmp_path / path)
            write_whole(tmp_path / path, new)
        assert os.read(reader, 9) == b"new"
        assert stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode)
        assert os.path.islink(tmp_path / "null")
        if os.path.exists("/proc/self/fd"):  # what /dev/stdout is a link to
            write_whole(f"/proc/self/fd/{writer}", new)
            assert os.read(inner, 9) == b"new"
    finally:
        for file in (reader, inner, writer):
            os.close(file)
    assert stat.S_ISCHR(os.stat(tmp_path / "null").st_mode)
    assert set(os.listdir(tmp_path)) - {"device"} == {"null", "pipe"}


@pytest.mark.parametrize(
    "name",
    ["x" * 255, "caf\u00e9", "two\nlines", b"\xff", "~", " "],
    ids=["long", "accent", "lines", "bytes", "~", "_"],
)
@pytest.mark.skipif(os.name == "nt", reason="names as POSIX has them")
def test_any_name_of_the_file_system_will_do(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    if isinstance(name, str) and not name.isascii() and sys.getfilesystemencoding() == "ascii":
        with pytest.raises(OSError, match=r"fit: .*; expected the name of a file"):
            check_place("fit", name)
        return
    check_place("fit", name)
    assert os.listdir() == []
    write_whole(name, new)
    assert os.listdir(os.fsencode(os.curdir)) == [os.fsencode(name)]
    net = Model("fnn0", vocab=3, width=2)
    save(name, net, net.init(np.random.default_rng(0)))  # NumPy's savez would add .npz
    assert os.listdir(os.fsencode(os.curdir)) == [os.fsencode(name)]
    assert load(name)[0] == net
    with pytest.raises(ValueError, match="holds no state") as error:
        load_state(name)
    assert "\n" not in str(error.value)
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    "name", ["", "x" * 256, "none/x", "none/", "folder", "folder/", "file/", "file/x", "loop", "to"]
)
@pytest.mark.skipif(os.name == "nt", reason="links as POSIX has them")
def test_a_place_that_cannot_be_written_is_refused_before_the_work(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    os.mkdir("folder")
    (tmp_path / "file").write_bytes(b"old")
    os.symlink("loop", "loop")
    os.symlink("none/x", "to")
    before = sorted(os.listdir())
    for refuse in (partial(check_place, "fit"), lambda path: write_whole(path, lambda _: pytest.fail("begun"))):
        with pytest.raises(OSError, match=r"Errno") as error:
            refuse(name)
        assert error.value.filename == name
    assert sorted(os.listdir()) == before
    assert (tmp_path / "file").read_bytes() == b"old"
    assert os.listdir("folder") == []


@pytest.mark.parametrize("kind", ["a folder", "a file"])
def test_a_place_without_the_right_to_write_is_refused(tmp_path, monkeypatch, kind):
    """Renaming would replace a file that is protected. root may write all: os tells the one, the other is acted."""
    path = tmp_path / "a"
    if kind == "a file":
        path.write_bytes(b"old")
        monkeypatch.setattr(os, "access", lambda *_: False)
    else:
        monkeypatch.setattr(os, "open", lambda *_: (_ for _ in ()).throw(PermissionError(errno.EACCES, "denied")))
    for refuse in (partial(check_place, "fit"), lambda path: write_whole(path, new)):
        with pytest.raises(PermissionError) as error:
            refuse(path)
        assert error.value.filename == str(path)
    assert os.listdir(tmp_path) == (["a"] if kind == "a file" else [])
