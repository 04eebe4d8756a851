"""Files appear whole or not at all."""

import errno
import os
import stat

import pytest

from minissm.files import write_whole


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
