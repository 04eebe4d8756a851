"""Runs pytest in the current folder, each time in a fork: most of a short run is imports, which are done once here.

The arguments are the modules to import. A line of stdin is a JSON list: seconds, and the arguments of pytest. A line of
stdout answers it: the exit code, null if time ran out, and the output. minissm and the tests are imported in the forks
alone, so their files may change.
"""

import contextlib
import importlib
import json
import os
import signal
import sys
import tempfile
import time


def main() -> None:
    sys.path[0] = os.getcwd()  # which holds the tests, rather than this file's folder
    for name in sys.argv[1:]:
        importlib.import_module(name)
    for line in sys.stdin:
        limit, *arguments = json.loads(line)
        with tempfile.TemporaryFile("w+", errors="replace") as output:
            code = run(arguments, output.fileno(), limit)
            output.seek(0)
            print(json.dumps([code, output.read()]), flush=True)


def run(arguments: list[str], output: int, limit: float) -> int | None:
    """The exit code of pytest, which writes to the file descriptor `output`, or None after `limit` seconds."""
    end = time.monotonic() + limit
    child = os.fork()
    if not child:
        pytest_in_fork(arguments, output)
    try:
        while time.monotonic() < end:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.02)
        return None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # and what the tests have started and left behind
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, 0)


def pytest_in_fork(arguments: list[str], output: int) -> None:
    code = 3  # pytest's for an error inside it
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        code = int(sys.modules["pytest"].main(arguments))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
