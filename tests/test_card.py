"""benchmarks/card.sh with stand-ins for the interpreter and nvidia-smi: order, files, limits and exit code."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "card.sh"
PARTS = re.findall(r"^part (\d) (\w+) (\d+) \w+$", SCRIPT.read_text(), re.M)
FILES = [f"{number}-{name}.txt" for number, name, _ in PARTS]
# writes its arguments, and the files that exist by then; then it hangs, fails or passes
INTERPRETER = """#!/bin/sh
echo "$*"
echo "$* |" $(ls "{folder}") >> "{asked}"
case "$*" in *"{hangs}"*) exec sleep 60 ;; *"{fails}"*) exit 3 ;; esac
"""


@pytest.fixture
def run(tmp_path):
    """run(hangs=..., fails=...) -> the finished process, the calls of the stand-in, and the folder."""
    if missing := [name for name in ("bash", "timeout", "realpath") if shutil.which(name) is None]:
        pytest.skip(f"benchmarks/card.sh not run: {', '.join(missing)} not installed")
    folder, asked, place = tmp_path / "found", tmp_path / "asked", tmp_path / "bin"
    place.mkdir()

    def run(hangs="nothing", fails="nothing", limit=60):
        text = INTERPRETER.format(folder=folder, asked=asked, hangs=hangs, fails=fails)
        for name, content in (("python", text), ("nvidia-smi", "#!/bin/sh\necho FAKE card\n")):
            (place / name).write_text(content)
            (place / name).chmod(0o755)
        env = os.environ | {"PATH": f"{place}:{os.environ['PATH']}", "PYTHON": "python", "LIMIT": str(limit)}
        done = subprocess.run(["bash", SCRIPT, folder], env=env, capture_output=True, text=True, timeout=300)
        return done, asked.read_text().splitlines() if asked.exists() else [], folder

    return run


def test_every_part_writes_its_file_before_the_next_one_begins(run):
    done, asked, folder = run()
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.name for path in folder.iterdir()) == [*FILES, "summary.txt"]
    outcomes = [f"{name} passed" for _, name, _ in PARTS]
    assert done.stdout.splitlines()[-6:-1] == outcomes
    assert (folder / "summary.txt").read_text().splitlines() == outcomes
    assert "FAKE card" in (folder / FILES[0]).read_text()
    commands = ["minissm info", "pytest", "benchmarks --backend cupy", "benchmarks.harness.parts", "minissm bench"]
    for i, command in enumerate(commands):
        (there,) = [line.partition(" | ")[2].split() for line in asked if line.startswith(f"-m {command}")]
        assert [name for name in there if name in FILES] == FILES[: i + 1]
        assert f"-m {command}" in (folder / FILES[i]).read_text()


def test_a_part_that_fails_or_hangs_stops_no_other(run):
    done, _, folder = run(hangs="-m benchmarks ", fails="-m pytest", limit=2)
    assert done.returncode == 1
    summary = (folder / "summary.txt").read_text().splitlines()
    assert [line.partition(" ")[2] for line in summary] == [
        "passed",
        "failed with exit code 3",
        "was stopped after 2 s",
        "passed",
        "passed",
    ]


def test_without_a_gpu_the_parts_that_check_for_one_fail(run):
    """Without this check, pytest would skip all tests of a GPU, and exit with 0."""
    done, asked, folder = run(fails="import cupy")
    assert done.returncode == 1
    assert [line.split()[1] for line in (folder / "summary.txt").read_text().splitlines()].count("passed") == 2
    assert not any(line.startswith(("-m pytest", "-m minissm bench")) for line in asked)


def test_an_existing_folder_is_refused(run):
    _, before, _ = run()
    done, asked, _ = run()
    assert done.returncode == 2
    assert "give a folder that does not exist" in done.stderr
    assert asked == before


def test_it_takes_at_most_ten_minutes():
    assert [int(number) for number, *_ in PARTS] == [1, 2, 3, 4, 5]
    assert sum(int(limit) + 5 for *_, limit in PARTS) <= 600  # five seconds from Ctrl-C to the kill
