"""Where a second body is chosen, and where not. The bodies themselves: test_fast_*.py."""

import importlib

import numpy as np

from minissm import fast
from minissm.backend import PLAIN
from minissm.fast import chunked


def test_the_switch_turns_second_bodies_off(monkeypatch):
    u = np.zeros((1, 2, 3))
    assert (fast.body("chunked", u) is None) == PLAIN
    monkeypatch.setattr(fast, "PLAIN", True)
    assert fast.body("chunked", u) is None
    monkeypatch.setattr(fast, "PLAIN", False)
    assert fast.body("chunked", u) is chunked.chunked
    assert fast.body("no such body", u) is None


def test_other_arrays_get_the_plain_body(monkeypatch):
    strict = importlib.import_module("array_api_strict")
    monkeypatch.setattr(fast, "PLAIN", False)
    assert fast.body("chunked", strict.zeros((1, 2, 3))) is None
