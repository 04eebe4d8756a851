"""Progress of long work: a bar on a terminal or in a notebook, lines of text elsewhere and under a debugger.

Progress never stops the work: a stream that is missing, closed or broken shows nothing.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import Any


def tell(text: str, to: str = "stdout") -> None:
    """Print a line to "stdout" or "stderr" if that is possible. Characters that it lacks are escaped."""
    with suppress(Exception):  # it may be None, or a stream of the user's, which can raise anything
        stream = getattr(sys, to)
        code = getattr(stream, "encoding", None) or "utf-8"
        stream.write(text.encode(code, "backslashreplace").decode(code) + "\n")
        stream.flush()


@contextmanager
def usable_streams() -> Iterator[None]:
    """For a command: a stream that is missing or closed takes all and shows nothing, and none lacks a character."""
    with ExitStack() as stack:
        for stream, redirect in ((sys.stdout, redirect_stdout), (sys.stderr, redirect_stderr)):
            if stream is None or getattr(stream, "closed", False):
                stack.enter_context(redirect(stack.enter_context(open(os.devnull, "w"))))
            elif hasattr(stream, "reconfigure"):
                with suppress(Exception):  # it flushes the stream
                    stream.reconfigure(errors="backslashreplace")
                stack.callback(_empty, stream)
        yield


def _empty(stream: Any) -> None:
    """Flush the stream, or drop what it can't write: Python flushes it again when it ends."""
    try:
        stream.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class Progress:
    """`with Progress(total, "copying") as bar: bar.update(1); bar.say("a line")`. Writes to stderr; say() to stdout."""

    def __init__(self, total: int, name: str, show: bool = True) -> None:
        self.total, self.name, self.done, self.note = total, name, 0, ""
        self.start = self.printed = time.monotonic()
        self.show: bool = show
        self.bar: Any = None
        if show and draws_bars():
            import tqdm.auto

            tqdm.auto.tqdm.monitor_interval = 0  # tqdm starts no thread
            with suppress(Exception):
                self.bar = tqdm.auto.tqdm(total=total, desc=name, unit="step", leave=False, dynamic_ncols=True)

    def update(self, n: int, note: str = "") -> None:
        """n more steps are done."""
        self.done, self.note = self.done + n, note
        if self.bar is not None:
            self._draw("set_postfix_str", note, refresh=False)
            self._draw("update", n)
        elif self.show and time.monotonic() - self.printed > 10:
            self.printed = time.monotonic()
            tell(self._line(), "stderr")

    def say(self, text: str, write: Callable[[str], Any] = tell) -> None:
        """Print a line above the bar. write: how; an error of it is raised."""
        self._draw("clear")
        write(text)
        self._draw("refresh")

    def _draw(self, method: str, *args: Any, **options: Any) -> None:
        """Call a method of the bar, if there is one. A bar that fails is given up."""
        try:
            if self.bar is not None:
                getattr(self.bar, method)(*args, **options)
        except Exception:
            self.bar.disable, self.bar = True, None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: Any) -> None:
        drawn = self.bar is not None
        self._draw("close")
        if drawn and "ipykernel" in sys.modules:  # a terminal scrolls, a notebook is read again
            tell(self._line())

    def _line(self) -> str:
        spent = time.monotonic() - self.start
        return f"{self.name}: {self.done} of {self.total} steps in {spent:.0f} s {self.note}".rstrip()


def draws_bars() -> bool:
    """True on a terminal or in a notebook, without a debugger: a bar that redraws itself hides its prompt."""
    terminal = "ipykernel" in sys.modules
    with suppress(Exception):  # no stderr, a closed one, or one of the user's
        terminal = terminal or sys.stderr.isatty()
    return terminal and sys.gettrace() is None
