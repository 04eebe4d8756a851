"""A bar on a terminal, plain lines elsewhere, and no bar under a debugger."""

import io
import sys
import time

import numpy as np
import pytest

from minissm import Model, fit, tasks
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


def test_a_finished_bar_leaves_one_line_in_a_notebook(monkeypatch, capsys, clock):
    on_a_terminal(monkeypatch)
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    with Progress(4, "copying") as bar:
        clock[0] += 7
        bar.update(3, "loss 1.5")
    with Progress(4, "copying", show=False) as bar:
        bar.update(3)
    assert capsys.readouterr().out == "copying: 3 of 4 steps in 7 s loss 1.5\n"


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


class Broken(Terminal):
    """A terminal that goes once it has shown the bar."""

    def write(self, text):
        if "0/3" in self.getvalue():
            raise RuntimeError("gone")  # tqdm passes over some errors of its own accord
        return super().write(text)


class Bare:
    """A logger in place of a stream: it has write alone."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize(
    "stream", [lambda: None, closed, object, Bare, Broken, lambda: io.TextIOWrapper(io.BytesIO(), "ascii")]
)
def test_a_training_needs_no_streams(stream, monkeypatch, clock):
    """pythonw, a frozen program or a logger in their place. Lines are due at each step, and one at the end."""

    def on_step(_):
        clock[0] += 11

    task, rng = tasks.Copying(), np.random.default_rng(0)
    monkeypatch.setattr(tasks.Copying, "spec", "\u00e9 \udcff")
    net = Model("fnn0", vocab=task.vocab, width=2)
    monkeypatch.setattr(sys, "gettrace", lambda: None)
    out, err = stream(), stream()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        with np.errstate(all="ignore"):
            _, log = fit(net, net.init(rng), task, 3, rng, batch=2, lr=1e30, evals=1, on_step=on_step)
    assert log.stopped.startswith("the loss was")
    if stream is Bare:
        assert out.text.startswith("fit: the loss was")
        assert err.text.startswith("training on \u00e9 \\udcff: ")


def test_a_command_is_told_that_a_line_could_not_be_printed(monkeypatch, capsys):
    def gone(_):
        raise BrokenPipeError

    with Progress(2, "copying") as bar, pytest.raises(BrokenPipeError):
        bar.say("a row", gone)
