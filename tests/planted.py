"""Does the suite notice? Plants the mistakes of planted.txt one at a time, and names the test that fails first.

    python -m tests.planted             mistakes in files that changed since the last release
    python -m tests.planted --all       every mistake, as before a release
    python -m tests.planted taps adamw  mistakes whose file or name contains one of these words

A mistake that no test notices is a missing test: the exit code is 1. The working tree is never touched.
"""

import argparse
import ast
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, closing, contextmanager
from importlib.util import cache_from_source
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
FILE = Path(__file__).with_suffix(".txt")
LIMIT = 600  # seconds for one run of pytest; the whole suite takes some 250 beside another run
PRELOADED = ("pytest", "numpy", "scipy.signal", "hypothesis.strategies", "autograd.numpy", "array_api_strict")
ENTRY = re.compile(r"(\S+): (.+)\n((?:-(?: .*)?\n)+)((?:\+(?: .*)?\n)*)tests: (.+)")


class Mistake(NamedTuple):
    """`old`, which occurs once in minissm/`file`, becomes `new`; `tests` run first."""

    file: str
    name: str
    old: str
    new: str
    tests: tuple[str, ...]  # scan: tests/test_scan.py; scan::test_x: one test of it

    @property
    def title(self) -> str:
        return f"{self.file}: {self.name}"


class Outcome(NamedTuple):
    mistake: Mistake
    kind: str  # caught, survived, not run, or failed: the tests themselves could not run
    seconds: float = 0.0
    detail: str = ""  # the test that caught it, or why it failed


def read(text: str) -> list[Mistake]:
    """The entries of planted.txt, whose first lines explain the format."""
    mistakes, line = [], 1
    for block in text.split("\n\n"):
        entry = "\n".join(row for row in block.split("\n") if not row.startswith("#")).strip("\n")
        if entry:
            parts = ENTRY.fullmatch(entry)
            if parts is None:
                expected = "`file: name`, `- old` lines, `+ new` lines and `tests: names`"
                raise ValueError(f"{FILE.name}: the entry at line {line} reads {entry!r}; expected {expected}")
            old, new = ("\n".join(row[2:] for row in parts[i].splitlines()) for i in (3, 4))
            mistakes.append(Mistake(parts[1], parts[2], old, new, tuple(parts[5].split())))
        line += block.count("\n") + 2
    return mistakes


def problems(mistakes: list[Mistake], root: Path = ROOT) -> list[str]:
    """One sentence for each entry that no longer fits the code."""
    twice = [title for title, n in Counter(m.title for m in mistakes).items() if n > 1]
    twice += [f"{edit[0]}: {edit[1]!r}" for edit, n in Counter(m[:1] + m[2:4] for m in mistakes).items() if n > 1]
    stale = [f"{m.title}: {sentence}" for m in mistakes if (sentence := problem(m, root))]
    return [f"{title}: there are two such entries" for title in twice] + stale


def problem(mistake: Mistake, root: Path) -> str:
    path = root / "minissm" / mistake.file
    if not path.is_file():
        return f"there is no file minissm/{mistake.file}"
    text = path.read_text()
    if (n := text.count(mistake.old)) != 1:
        return f"the text after `- ` occurs {n} times, expected once: {mistake.old!r}"
    if mistake.old == mistake.new:
        return "`- ` and `+ ` are the same"
    if missing := [node(name) for name in mistake.tests if not exists(root, name)]:
        return f"there is no {missing[0]}"
    if path.suffix == ".py":
        try:
            ast.parse(text.replace(mistake.old, mistake.new))
        except SyntaxError as error:
            return f"with the mistake the file is not Python: {error}"
    return ""


def node(name: str) -> str:
    """What pytest calls the tests of this name in planted.txt."""
    file, *test = name.split("::")
    return "::".join([f"tests/test_{file}.py", *test])


def exists(root: Path, name: str) -> bool:
    file, *test = node(name).split("::")
    return (root / file).exists() and all(f"def {t}(" in (root / file).read_text() for t in test)


def git(*arguments: str) -> list[str]:
    """Lines of output. Raises CalledProcessError or FileNotFoundError where there is no repository or no git."""
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def last_release() -> str:
    """The last commit before HEAD that changed the version, "" if the history doesn't say."""
    try:
        if git("rev-parse", "--is-shallow-repository") == ["true"]:
            return ""  # its first commit seems to change everything
        commits = git("log", "--format=%H", "-G^__version__ =", "--", "minissm/__init__.py")
        return next((commit for commit in commits if [commit] != git("rev-parse", "HEAD")), "")
    except (subprocess.CalledProcessError, FileNotFoundError):
        return ""


def changed_since(revision: str) -> set[str]:
    """Files of minissm/, relative to it, that differ from the revision or are not tracked yet."""
    try:
        changed = git("diff", "--name-only", revision, "--", "minissm")
        changed += git("ls-files", "--others", "--exclude-standard", "--", "minissm")
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"planted: git knows no revision {revision!r}: {error.stderr.strip()}") from None
    return {name.removeprefix("minissm/") for name in changed}


def chosen(mistakes: list[Mistake], options: argparse.Namespace) -> list[Mistake]:
    """The mistakes that the options ask for. Says which these are."""
    if options.words:
        return [m for m in mistakes if any(word in m.title for word in options.words)]
    if options.all:
        return mistakes
    revision = options.since or last_release()
    if not revision:
        print("git's history holds no release: mistakes in all files")
        return mistakes
    changed = changed_since(revision)
    print(f"mistakes in files that changed since {revision[:12]} (--all: in all files)")
    return [m for m in mistakes if m.file in changed]


class Copy:
    """A copy of the repository, and a process that runs pytest in it."""

    def __init__(self, root: Path, folder: Path) -> None:
        """Without what git, Python and pytest store, and without the check of planted.txt."""
        stored = (".git", ".venv", ".*_cache", "__pycache__", ".hypothesis", "runs", "build", "dist", "*.egg-info")
        unwanted = shutil.ignore_patterns(*stored, "test_planted_mistakes.py")
        self.folder = shutil.copytree(root, folder, ignore=unwanted)
        one_thread = dict.fromkeys(("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"), "1")
        # no plugins: they take time, and the tests need none. CI: Hypothesis draws the same examples each time
        environment = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "CI": "1", "COLUMNS": "300", "PYTHONPATH": str(folder)}
        self.server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("fork_server.py")), *PRELOADED],
            cwd=folder,
            env=os.environ | one_thread | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def failures(self, tests: list[str], *options: str, limit: float = LIMIT) -> list[str]:
        """Tests that fail. Raises TimeoutError after `limit` seconds, RuntimeError if pytest can't run."""
        assert self.server.stdin
        assert self.server.stdout
        request = [limit, "-q", "-rfE", "-p", "no:cacheprovider", *options, *tests]
        print(json.dumps(request), file=self.server.stdin, flush=True)
        code, output = json.loads(self.server.stdout.readline() or '[3, "the server of pytest has ended"]')
        if code is None:
            raise TimeoutError(f"no end after {limit:.0f} seconds")
        failed = re.findall(r"^(?:FAILED|ERROR) (tests/.+?)(?: - |$)", output, re.MULTILINE)
        if code and not failed:
            raise RuntimeError(f"pytest ends with {code}: {output.strip().splitlines()[-1:]}")
        return failed

    @contextmanager
    def planted(self, mistake: Mistake) -> Iterator[None]:
        """The mistake stands in the copy, and afterwards doesn't."""
        path = self.folder / "minissm" / mistake.file
        text = path.read_text()
        try:
            write(path, text.replace(mistake.old, mistake.new))
            yield
        finally:
            write(path, text)

    def close(self) -> None:
        with self.server:  # closes its input, which ends it, and waits
            pass


def write(path: Path, text: str) -> None:
    """Removes the bytecode too: Python takes it for that of any text of the same length and second."""
    path.write_text(text)
    Path(cache_from_source(str(path))).unlink(missing_ok=True)


@contextmanager
def copies(root: Path, count: int) -> Iterator[SimpleQueue[Copy]]:
    with TemporaryDirectory() as folder, ExitStack() as stack:
        queue: SimpleQueue[Copy] = SimpleQueue()
        for i in range(count):
            queue.put(stack.enter_context(closing(Copy(root, Path(folder) / f"copy{i}"))))
        yield queue


def try_out(copy: Copy, mistake: Mistake, stages: list[list[str]], end: float) -> Outcome:
    """Runs the stages, lists of test files, until a test fails. At the time `end` it gives up."""
    start = time.monotonic()
    kind, detail = "survived", ""
    try:
        with copy.planted(mistake):
            for tests in stages:
                if (left := end - time.monotonic()) <= 0:
                    raise TimeoutError
                if failed := copy.failures(tests, "-x", limit=min(LIMIT, left)):
                    kind, detail = "caught", failed[0]
                    break
    except TimeoutError as error:
        kind, detail = ("not run", "") if time.monotonic() >= end else ("failed", str(error))
    except RuntimeError as error:
        kind, detail = "failed", str(error)
    return Outcome(mistake, kind, time.monotonic() - start, detail)


def stages(mistake: Mistake, mistakes: list[Mistake], whole: bool) -> list[list[str]]:
    """The tests that the entry names; then the whole suite, or the files named for mistakes in the same folder."""
    folder = Path(mistake.file).parent
    near = {name.split("::")[0] for m in mistakes if Path(m.file).parent == folder for name in m.tests}
    rest = [node(name) for name in sorted(near.difference(mistake.tests))]
    return [[node(name) for name in mistake.tests], *([[]] if whole else [rest] if rest else [])]


def run(selected: list[Mistake], mistakes: list[Mistake], root: Path, jobs: int, whole: bool, end: float) -> int:
    """Tries out the selected ones, `jobs` at a time, and prints each outcome. -> exit code."""
    with copies(root, jobs) as queue:

        def one(mistake: Mistake) -> Outcome:
            copy = queue.get()
            try:
                return try_out(copy, mistake, stages(mistake, mistakes, whole), end)
            finally:
                queue.put(copy)

        pool, outcomes = ThreadPoolExecutor(jobs), []
        try:
            # the kernels at the end: their threads are emulated, and a run takes minutes where others take seconds
            for future in as_completed([pool.submit(one, m) for m in sorted(selected, key=needs_kernels)]):
                outcomes.append(future.result())
                show(outcomes[-1])
        finally:
            pool.shutdown(cancel_futures=True)  # after Ctrl-C the rest doesn't start
        tests = {outcome.detail for outcome in outcomes if outcome.kind == "caught"}
        broken = queue.get().failures(sorted(tests)) if tests else []
    return summary(outcomes, broken)


def needs_kernels(mistake: Mistake) -> bool:
    return any(name.startswith("cuda") for name in mistake.tests)


def show(outcome: Outcome) -> None:
    if outcome.kind != "not run":  # these are in the summary
        print(f"{outcome.kind:8} {outcome.seconds:6.1f} s  {outcome.mistake.title}  {outcome.detail}", flush=True)


def summary(outcomes: list[Outcome], broken: list[str]) -> int:
    """Prints what survived and what did not run. -> exit code. `broken` tests fail without a mistake too."""
    kinds = Counter(outcome.kind for outcome in outcomes)
    print(", ".join(f"{kinds[kind]} {kind}" for kind in ("caught", "survived", "failed", "not run")))
    for kind in ("not run", "failed", "survived"):
        for outcome in sorted(outcome for outcome in outcomes if outcome.kind == kind):
            print(f"{kind}: {outcome.mistake.title}  {outcome.detail}".rstrip())
    for test in broken:
        print(f"fails without a mistake too, and so catches none: {test}")
    return 1 if broken or kinds["survived"] or kinds["failed"] else 0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m tests.planted", description=__doc__.split("\n")[0])
    parser.add_argument("words", nargs="*", metavar="NAME-PART", help="only mistakes whose file or name contains one")
    parser.add_argument("--all", action="store_true", help="mistakes in all files; the whole suite tries to catch each")
    parser.add_argument("--since", metavar="REV", help="mistakes in files that changed since (default: last release)")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time (default: 2)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop then, and name the rest as not run")
    options = parser.parse_args(arguments)
    mistakes = read(FILE.read_text())
    selected = chosen(mistakes, options)
    if stale := problems(selected):
        print(*stale, sep="\n", file=sys.stderr)
        return 2
    return run(selected, mistakes, ROOT, options.jobs, options.all, time.monotonic() + options.seconds)


if __name__ == "__main__":
    sys.exit(main())
