"""A folder is held by one run at a time, and a killed one leaves nothing that stays."""

import errno
import os
import subprocess
import sys

import pytest

from minissm.lab.lock import alone_in, remove_parts


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
        "import sys; from pathlib import Path; from minissm.lab.lock import alone_in\n"
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
