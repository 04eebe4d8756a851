"""A stranger's functions are called in a child: what goes in, what comes out, and how it ends."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from minissm.classroom import isolation, sandbox, worker

ISOLATION = isolation.best() or "none"
HONEST = b'''
from __future__ import annotations
import dataclasses, functools, sys, typing, warnings
import numpy as np

@dataclasses.dataclass
class Pair:
    y: float

def double(x, h=None):
    """The honest one."""
    assert h is None
    return 2 * x

def pair(x): return [Pair(x).y, (x + 1j).astype("c8")]
def scalar(x): return x.sum()
def number(x): return 1.5
def truth(x): return x > 1
def big_endian(x): return x.astype(">f8")
def writes(x):
    x[0] += 0
    x[1] = -0.0 if x[1] == 0 else 0.0
    return x
def nothing(x): print("it was called")
def dictionary(x): return {"y": x}
def objects(x): return np.array([object()])
def words(x): return np.array(["y"])
def records(x): return np.zeros(2, [("y", "f8")])
def many(x): return list(range(100))
def fails(x):
    def inner():
        raise ValueError("n" * 999)
    inner()
def library(x): import minissm
def leaves(x): sys.exit(3)
def unshown(x):
    class Bad(Exception):
        def __str__(self): raise OSError
    raise Bad
def chance(x):
    np.linalg.inv(np.eye(3)); np.fft.rfft(x); np.random.default_rng(0).normal(size=2)
    return np.array([hash("the same in every call") % 1000])
'''


@pytest.fixture(scope="module")
def answers():
    names = (
        "double pair scalar number truth big_endian writes nothing dictionary objects words records many fails library"
    )
    names += " leaves unshown chance missing"
    x = np.array([0.0, 1, 2])
    reply = sandbox.call(HONEST, [(name, [x, None] if name == "double" else [x]) for name in names.split()], ISOLATION)
    assert reply.ended == ""
    assert reply.log == "it was called\n"
    assert 0 < reply.cpu < 60
    return dict(zip(names.split(), reply.answers, strict=True))


def test_arrays_scalars_and_numbers_are_answers(answers):
    x = np.array([0.0, 1, 2])
    expected = {"double": [2 * x], "pair": [x, (x + 1j).astype("c8")], "scalar": [np.array(3.0)], "big_endian": [x]}
    expected |= {"number": [np.array(1.5)], "truth": [x > 1]}
    for name, arrays in expected.items():
        word, found, unchanged = answers[name]
        assert (word, unchanged, len(found)) == ("ok", True, len(arrays)), name
        for a, b in zip(found, arrays, strict=True):
            assert (a.dtype, a.shape, a.tolist()) == (b.dtype, b.shape, b.tolist()), name


def test_an_input_that_was_written_to_is_seen_even_if_it_is_equal(answers):
    assert answers["writes"][0] == "ok"
    assert not answers["writes"][2]


def test_an_error_is_one_short_sentence_with_the_line_of_the_submission(answers):
    for name, text in {
        "nothing": "TypeError: nothing returned NoneType; expected arrays of numbers",
        "dictionary": "TypeError: dictionary returned dict; expected arrays of numbers",
        "objects": "TypeError: objects returned an array of object; expected arrays of numbers",
        "words": "TypeError: words returned an array of <U1; expected arrays of numbers",
        "records": "TypeError: records returned an array of [('y', '<f8')]; expected arrays of numbers",
        "many": "TypeError: many returned 100 values; expected one array for each output",
        "library": "ModuleNotFoundError: No module named 'minissm' (line 34)",
        "leaves": "SystemExit: 3 (line 35)",
        "unshown": "an exception that can't be shown",
        "missing": "NameError: there is no function missing",
    }.items():
        assert answers[name] == ("error", text)
    word, text = answers["fails"]
    assert word == "error"
    assert text.endswith("nnn (line 32)")
    assert len(text) < 300


def test_the_isolation_of_this_machine_is_named_and_its_hashes_are_the_same_in_every_call(answers):
    assert isolation.describe(ISOLATION).startswith("isolation: " if isolation.best() else "NOT ISOLATED: ")
    (again,) = sandbox.call(HONEST, [("chance", [np.zeros(3)])], ISOLATION).answers
    assert again[1][0].tolist() == answers["chance"][1][0].tolist()


def test_limits_alone_are_no_isolation():
    assert not isolation.holds("none")


def test_trusted_hand_ins_run_without_linux_but_not_on_windows(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    call, name, first = isolation.isolated(True)
    assert (name, first[:13]) == ("none", "NOT ISOLATED:")
    assert call(b"def f(x): return 2 * x\n", [("f", [np.ones(2)])]).answers[0][1][0].tolist() == [2, 2]
    monkeypatch.setattr(sys, "platform", "win32")
    isolation.best.cache_clear()
    try:
        with pytest.raises(ValueError, match="run on Linux, as in WSL"):
            isolation.isolated(True)
    finally:
        isolation.best.cache_clear()


def test_numpy_is_seen_in_the_packages_of_python_itself_and_what_lies_beside_it_is_not(monkeypatch, tmp_path):
    library = tmp_path / "lib" / "python3"
    packages = library / "site-packages"
    for folder in (packages / "numpy", packages / "numpy.libs", packages / "minissm", library / "json"):
        folder.mkdir(parents=True)
    monkeypatch.setattr(sandbox, "LIBRARY", str(library))
    monkeypatch.setattr(sandbox, "HOME", str(packages))
    sandbox.readable.cache_clear()
    try:
        seen, words = sandbox.readable(), sandbox.command("bwrap")
    finally:
        sandbox.readable.cache_clear()
    assert {path for path in seen if path.startswith(str(tmp_path))} == {
        str(path) for path in (packages / "numpy", packages / "numpy.libs", library / "json")
    }
    hidden, mounted = words.index("--tmpfs"), words.index(str(packages / "numpy"))
    assert words[hidden + 1] == str(packages)
    assert words.index(str(library)) < hidden < mounted


def test_more_bytes_than_asked_for_are_not_read():
    source = b"import numpy as np\ndef f(): return np.zeros(1000)\n"
    requests = [("f", [])] * 3
    reply = sandbox.call(source, requests, ISOLATION, most=8500)
    assert reply.answers[0][0] == "ok"
    assert (reply.answers[1:], reply.ended) == ([None, None], "size")


@pytest.mark.parametrize(
    "line",
    [
        ["ok", [["f8", [2**31, 2**31, 2**31]]], True],
        ["ok", [["f8", [0, 2**31]]], True],
        ["ok", [["f8", [-1, -2]]], True],
        ["ok", [["f8", [2.0]]], True],
        ["ok", [["f8", [True]]], True],
        ["ok", [["f8", [2] * 9]], True],
        ["ok", [["f8", [1] * 9]], True],
        ["ok", [["f8", [99]]], True],
        ["ok", [["O", [1]]], True],
        ["ok", [["U8", [1]]], True],
        ["ok", [[["f8"], [1]]], True],
        ["ok", [["f8", [1]]] * 17, True],
        ["ok", {"f8": 1}, True],
        ["ok", None, True],
        ["ok"],
        ["error", [], ["a list"]],
        ["error", [], None],
        ["yes", [], "what"],
        {"ok": 1},
        1,
        None,
    ],
)
def test_an_answer_that_lies_about_itself_is_no_answer(line):
    honest = worker.frame("ok", [np.zeros(2)], True)
    found, memory = sandbox.unpack(honest + json.dumps(line).encode() + b"\n" + bytes(16) + honest, 3, 1 << 20)
    assert found[0][0] == "ok"
    assert found[1:] == [None, None]
    assert not memory


@pytest.mark.parametrize(
    "data", [b"", b"[" * 4000 + b"\n", b"x" * 5000 + b"\n", b"\n\n", b"[1e999, 2, 3]\n", b'["ok", [], 1']
)
def test_what_is_no_answer_is_none(data):
    assert sandbox.unpack(data, 2, 1 << 20) == ([None, None], False)


def test_a_long_line_is_not_parsed_and_bytes_are_no_booleans():
    assert sandbox.unpack(json.dumps(["error", [], "x" * 5000]).encode() + b"\n", 1, 1 << 20)[0] == [None]
    assert sandbox.unpack(json.dumps(["error", [], "x" * 4000]).encode() + b"\n", 1, 1 << 20)[0] == [
        ("error", "x" * 300)
    ]
    ((_, (truth,), unchanged),), _ = sandbox.unpack(b'["ok", [["b1", [3]]], 1]\n\x00\x01\xff', 1, 1 << 20)
    assert truth.view("u1").tolist() == [0, 1, 1]
    assert unchanged is False


@pytest.mark.parametrize(
    "source",
    [
        b"\xef\xbb\xbfdef f():\r\n\tif True:\r\n\t\treturn 1\r\n",
        b"# coding: latin-1\ndef f(): return 1 if '\xe9' == '\\u00e9' else 0\n",
        b"#!/usr/bin/python\n# -*- coding: cp1252 -*-\nf = lambda: len('\x80')\n",
        b"# a comment by Andr\xe9\nf = lambda: 1\n",
        b"x = 1\n\x0c\ndef f():\n    return x  # \xfc\n",
        b"def f(): return 1",
        "# α, 'β'\ndef f(): return len('λ')\n".encode(),
    ],
)
def test_a_source_is_decoded_as_python_does_and_a_comment_in_another_encoding_does_no_harm(source, monkeypatch):
    monkeypatch.setitem(sys.modules, "submission", None)
    assert worker.load(source)["f"]() == 1


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (b"\xef\xbb\xbf\r\ndef f(:\r\n", "SyntaxError: invalid syntax (line 2)"),
        (b"x = 1\nd\xe9f = 2\n", "SyntaxError: invalid character '\ufffd' (U+FFFD) (line 2)"),
        (b"if 1:\n\tx = 1\n        y = 2\n", "TabError: inconsistent use of tabs and spaces in indentation (line 3)"),
        (b"x = 1\n\ny = 1 / 0\n", "ZeroDivisionError: division by zero (line 3)"),
    ],
)
def test_an_error_of_the_source_has_its_line(source, text, monkeypatch):
    monkeypatch.setitem(sys.modules, "submission", None)
    with pytest.raises((SyntaxError, ArithmeticError)) as caught:
        worker.load(source)
    assert json.loads(worker.failure(caught.value).split(b"\n")[0])[2] == text


def test_the_advice_names_what_is_missing(monkeypatch, tmp_path):
    assert isolation.advice().endswith("or trust the hand-ins with --trust")
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    monkeypatch.setattr(isolation.ctypes.util, "find_library", lambda name: None)
    monkeypatch.setattr(sys, "platform", "linux")
    assert "apt install bubblewrap libseccomp2" in isolation.advice()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "needs Linux" in isolation.advice()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "ended"),
    [
        ("while True: pass", "time"),
        ("import time; time.sleep(1e6)", "clock"),
        ("return np.ones(10**11)", "memory"),
        ("return np.zeros(80 << 20, 'u1')", "size"),
        ("import os; os._exit(0)", "ended"),
    ],
)
def test_a_reply_says_why_an_answer_is_missing(body, ended, monkeypatch):
    monkeypatch.setattr(sandbox, "PAUSE", 30.0 if ended == "time" else 3.0)
    source = f"import numpy as np\ndef g(): return 1\ndef f():\n    {body}\n".encode()
    reply = sandbox.call(source, [("g", []), ("f", []), ("g", [])], ISOLATION, seconds=1)
    assert (reply.answers[0][0], reply.answers[1:], reply.ended) == ("ok", [None, None], ended)
    assert (reply.cpu > 0.9) == (ended == "time")


@pytest.mark.slow
def test_forty_calls_two_at_a_time_are_all_answered_and_leave_nothing():
    def count():
        return (
            len(os.listdir("/proc/self/fd")),
            threading.active_count(),
            {p for task in Path("/proc/self/task").iterdir() for p in (task / "children").read_text().split()},
        )

    def once(i):
        return sandbox.call(b"def f(x): return 2 * x\n", [("f", [np.full(3, i)])] * 3, ISOLATION)

    before = count()
    with ThreadPoolExecutor(2) as pool:
        for i, reply in enumerate(pool.map(once, range(40))):
            assert reply.ended == ""
            assert [answer[1][0].tolist() for answer in reply.answers] == [[2 * i] * 3] * 3
    assert count() == before


@pytest.mark.slow
@pytest.mark.parametrize("how", ["ctrl-c", "stop", "killed"])
def test_the_child_ends_with_its_parent(how):
    mark = os.urandom(8).hex()
    script = f"""
import signal, sys, threading
from minissm.classroom import sandbox
sandbox.WORKER += "\\n# {mark}"
call = lambda: print(sandbox.call(b"import time\\nprint(0)\\ntime.sleep(1e6)", [("f", [])], {ISOLATION!r}, 999).ended)
if {how == "stop"}:
    thread = threading.Thread(target=call)
    thread.start()
    sys.stdin.read(1)
    sandbox.stop()
    thread.join()
else:
    call()
"""

    def children():
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                text = path.read_bytes()
                found += [path.parent.name] if mark.encode() in text and worker.__doc__.encode() in text else []
        return found

    def until(done):
        for _ in range(600):
            if done():
                return True
            time.sleep(0.1)
        return False

    parent = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert until(children)
    if how == "stop":
        said, _ = parent.communicate(b"x", timeout=60)
        assert said == b"ended\n"
    else:
        parent.send_signal(signal.SIGINT if how == "ctrl-c" else signal.SIGKILL)
        _, said = parent.communicate(timeout=60)
        assert (b"KeyboardInterrupt" in said) == (how == "ctrl-c")
    assert until(lambda: not children())
