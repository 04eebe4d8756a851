"""Files appear whole or not at all."""

import errno
import os
import stat
import subprocess
import sys

import pytest

from minissm.files import alone_in, remove_parts, write_whole


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


# ---- one at a time


def test_a_folder_is_held_by_one_at_a_time(tmp_path):
    for _ in range(2):
        with alone_in(tmp_path):
            with (
                pytest.raises(ValueError, match=r"^run: another run works in .*; wait for its end"),
                alone_in(tmp_path),
            ):
                pass
            assert os.listdir(tmp_path) == [".lock"]
        assert os.listdir(tmp_path) == []


def test_a_process_that_is_killed_holds_nothing(tmp_path):
    code = (
        "import sys; from pathlib import Path; from minissm.files import alone_in\n"
        "with alone_in(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(ValueError, match="another run works"), alone_in(tmp_path):
            pass
        process.kill()
        process.wait()
    assert os.listdir(tmp_path) == [".lock"]
    with alone_in(tmp_path):
        pass
    assert os.listdir(tmp_path) == []


def test_a_lock_that_was_removed_while_we_waited_for_it_is_none(tmp_path, monkeypatch):
    """Two could hold one folder: we a file that is gone, another the one that is there now."""
    fcntl = pytest.importorskip("fcntl")
    flock = fcntl.flock

    def late(*args):
        (tmp_path / ".lock").unlink()
        return flock(*args)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(ValueError, match="another run works"), alone_in(tmp_path):
        pass


def test_a_file_system_without_locks_is_worked_on_all_the_same(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def none(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", none)
    with alone_in(tmp_path):
        pass
    assert os.listdir(tmp_path) == []


def test_half_written_files_are_removed_and_nothing_else(tmp_path):
    (tmp_path / "below").mkdir()
    for name in (".a.txt.x1.part", "below/.b.npz.x2.part", "mine.part", ".mine"):
        (tmp_path / name).write_text("half")
    remove_parts(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == [".mine", "below", "mine.part"]
