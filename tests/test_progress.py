"""A bar on a terminal, plain lines elsewhere, and no bar under a debugger."""

import io
import sys
import time

import pytest

from minissm.progress import Progress, draws_bars


class Terminal(io.StringIO):
    def isatty(self):
        return True


def on_a_terminal(monkeypatch):
    """stderr is a terminal and nobody is stepping."""
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(sys, "gettrace", lambda: None)
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    return sys.stderr


@pytest.fixture
def clock(monkeypatch):
    """A clock to be set: clock[0] seconds."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_a_terminal_gets_a_bar_that_is_gone_in_the_end(capsys, monkeypatch):
    terminal = on_a_terminal(monkeypatch)
    with Progress(4, "copying") as bar:
        bar.update(3, "loss 1.5")
        bar.bar.refresh()
        bar.say("a line that stays")
    drawn = terminal.getvalue()
    assert "copying" in drawn
    assert "3/4" in drawn
    assert "loss 1.5" in drawn
    assert drawn.endswith("\r")
    assert capsys.readouterr().out == "a line that stays\n"


def test_a_notebook_gets_a_bar_too(monkeypatch):
    on_a_terminal(monkeypatch)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert not draws_bars()
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    assert draws_bars()


def test_no_bar_under_a_debugger(monkeypatch):
    on_a_terminal(monkeypatch)
    assert draws_bars()
    monkeypatch.undo()
    monkeypatch.setattr(sys, "stderr", Terminal())
    before = sys.gettrace()
    sys.settrace(lambda *_: None)  # what a debugger does
    try:
        with Progress(4, "copying") as bar:
            bar.update(3)
            drawn = bar.bar
    finally:
        sys.settrace(before)
    assert drawn is None
    assert sys.stderr.getvalue() == ""


def test_no_terminal_gets_a_plain_line_now_and_then(clock, capsys):
    with Progress(200, "copying") as bar:
        assert bar.bar is None
        for second in range(1, 25):
            clock[0] = 100.0 + second
            bar.update(2, "loss 1.5")
        bar.say("done")
    told = capsys.readouterr()
    assert told.err.splitlines() == [
        "copying: 22 of 200 steps in 11 s loss 1.5",
        "copying: 44 of 200 steps in 22 s loss 1.5",
    ]
    assert told.out == "done\n"
    assert "\r" not in told.err


def test_nothing_is_shown_where_nothing_was_asked_for(clock, monkeypatch):
    terminal = on_a_terminal(monkeypatch)
    with Progress(200, "copying", show=False) as bar:
        clock[0] += 60
        bar.update(2)
    assert terminal.getvalue() == ""
    assert bar.done == 2
