"""Progress of long work: a bar on a terminal or in a notebook, lines of text elsewhere and under a debugger."""

import sys
import time
from typing import Any


class Progress:
    """`with Progress(total, "copying") as bar: bar.update(1); bar.say("a line")`. Writes to stderr; say() to stdout."""

    def __init__(self, total: int, name: str, show: bool = True) -> None:
        self.total, self.name, self.done = total, name, 0
        self.start = self.printed = time.monotonic()
        self.show, self.bar = show, None
        if show and draws_bars():
            import tqdm.auto

            tqdm.auto.tqdm.monitor_interval = 0  # tqdm starts no thread
            self.bar = tqdm.auto.tqdm(total=total, desc=name, unit="step", leave=False, dynamic_ncols=True)

    def update(self, n: int, note: str = "") -> None:
        """n more steps are done."""
        self.done += n
        if self.bar is not None:
            self.bar.set_postfix_str(note, refresh=False)
            self.bar.update(n)
        elif self.show and time.monotonic() - self.printed > 10:
            self.printed = time.monotonic()
            spent = self.printed - self.start
            line = f"{self.name}: {self.done} of {self.total} steps in {spent:.0f} s {note}"
            print(line.rstrip(), file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        if self.bar is not None:
            self.bar.write(text)
        else:
            print(text, flush=True)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: Any) -> None:
        if self.bar is not None:
            self.bar.close()


def draws_bars() -> bool:
    """True on a terminal or in a notebook, without a debugger: a bar that redraws itself hides its prompt."""
    notebook = "ipykernel" in sys.modules
    return sys.gettrace() is None and (notebook or sys.stderr.isatty())
