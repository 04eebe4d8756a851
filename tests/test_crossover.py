"""The data of the crossover: which points are there, and what its table and its figure say."""

import pytest

from minissm import fast
from minissm.lab.bench import crossover, page, table
from minissm.lab.bench.crossover import METHODS
from minissm.lab.bench.timing import Rounds

from . import fake_cupy

SMALL = {"lengths": (4, 16), "widths": (2,), "rounds": Rounds(1, 1, 0.0), "B": 1, "N": 2}


def point(place, method, L, milliseconds, D=16):
    seconds = dict.fromkeys(("median", "q1", "q3", "min", "max"), milliseconds / 1e3) | {"runs": 1}
    return {"backend": place, "method": method, "B": 8, "D": D, "N": 16, "L": L, "seconds": seconds}


def test_a_point_a_method_and_length_with_what_the_reader_needs():
    rows = list(crossover.crossover(("numpy",), **SMALL))
    found = [(r["backend"], r["method"], r["B"], r["D"], r["N"], r["L"]) for r in rows]
    assert found == [("numpy", m, 1, 2, 2, L) for L in (4, 16) for m in ("plain loop", "chunked", "fft")]
    assert set(rows[0]["seconds"]) == {"median", "q1", "q3", "min", "max", "runs"}


def test_both_places_in_one_run_and_the_kernel_where_there_is_one(monkeypatch):
    fake_cupy.install(monkeypatch)
    before = fast.path

    def body(name, *arrays):
        return kernel if name == "recurrent" else before(name, *arrays)

    def kernel(log_lam, c, u, h0):
        return crossover.scan.chunked(log_lam, c, u, h0)

    assert {r["method"] for r in crossover.crossover(("cupy",), **SMALL)} == {"plain loop", "chunked", "fft"}
    monkeypatch.setattr(crossover.fast, "body", body)
    found = {(r["backend"], r["method"]) for r in crossover.crossover(("cupy",), **SMALL | {"lengths": (4,)})}
    assert found == {("cupy", m) for m in METHODS}


def test_the_plain_loop_is_plain_and_the_kernel_is_not(monkeypatch):
    seen = []

    def recurrent(log_lam, c, u):
        seen.append(fast.REFERENCE)
        return u, None, lambda dy: (dy, dy, dy)

    monkeypatch.setitem(crossover.scan.MODES, "recurrent", recurrent)
    monkeypatch.setattr(crossover.fast, "body", lambda name, *arrays: len)
    monkeypatch.setattr(fast, "REFERENCE", False)
    runs = dict(crossover._runs(crossover.lti(1, 4, 2, 2), "numpy"))
    runs["plain loop"]()
    runs["kernel"]()
    assert seen == [True, False]


def test_what_would_take_too_long_or_too_much_is_left_out(monkeypatch):
    monkeypatch.setattr(crossover, "spread", lambda times: {"median": 1.0})
    found = [r["L"] for r in crossover.crossover(("numpy",), **SMALL, patience=3.9)]
    assert found == [4] * 3  # the next is four times as long
    assert len(list(crossover.crossover(("numpy",), **SMALL, patience=4.1))) == 6
    monkeypatch.setattr(crossover, "ROOM", 8 * 1 * 4 * 2 * 2)
    found = {(r["method"], r["L"]) for r in crossover.crossover(("numpy",), **SMALL, patience=99)}
    assert ("plain loop", 4) in found
    assert ("plain loop", 16) not in found


def test_what_does_not_fit_on_the_card_is_told(monkeypatch):
    def full(log_lam, c, u):
        raise fake_cupy.OutOfMemoryError("full")

    fake_cupy.install(monkeypatch)
    monkeypatch.setitem(crossover.scan.MODES, "fft", full)
    lost = []
    rows = list(crossover.crossover(("cupy",), **SMALL, lost=lost))
    assert {r["method"] for r in rows} == {"plain loop", "chunked"}
    assert [(what["method"], what["failed"]) for what in lost] == [("fft", False)] * 2


@pytest.mark.parametrize("where", ["the move", "in turn"])
def test_a_card_that_is_full_leaves_the_processor(monkeypatch, where):
    fake_cupy.install(monkeypatch)
    to, timed = crossover.backend.to, crossover.interleave

    def full(tree, name):
        if name == "cupy":
            raise fake_cupy.OutOfMemoryError("full")
        return to(tree, name)

    def full_later(runs, rounds, clock):
        if clock is not crossover.by_clock:
            raise fake_cupy.OutOfMemoryError("full")
        return timed(runs, rounds, clock)

    if where == "the move":
        monkeypatch.setattr(crossover.backend, "to", full)
    else:
        monkeypatch.setattr(crossover, "interleave", full_later)
    lost = []
    rows = list(crossover.crossover(("numpy", "cupy"), **SMALL, lost=lost))
    assert {r["backend"] for r in rows} == {"numpy"}
    assert [what["method"] for what in lost] == ["" if where == "the move" else "in turn"] * 2


def test_the_table_says_from_which_length_on_which_is_fastest():
    times = {64: (1, 4), 256: (2, 3), 1024: (9, 3), 4096: (40, 4)}
    rows = [
        point(*p) for L, (cpu, gpu) in times.items() for p in (("numpy", "chunked", L, cpu), ("cupy", "kernel", L, gpu))
    ]
    rows += [point("cupy", "fft", L, 50) for L in times] + [point("numpy", "fft", 64, 7, D=128)]
    assert table.crossover_rows({"crossover": rows})[1:] == [
        ("16", "64", "256", "CPU, chunked", "2", "1.50 at 256"),
        ("16", "1024", "4096", "GPU, kernel", "4", "10.00 at 4096"),
        ("128", "64", "64", "CPU, fft", "7", "-"),
    ]
    longer = [*rows, point("cupy", "kernel", 16384, 9)]  # there the processor took too long
    last = table.crossover_rows({"crossover": longer})[2]
    assert last == ("16", "1024", "16384", "GPU, kernel", "9", "10.00 at 4096")


@pytest.mark.parametrize("widths", [(16,), (16, 128, 1024)])
def test_the_figure_has_a_panel_a_width_and_names_every_line_once(widths):
    rows = [point(p, m, L, L / 9, D) for D in widths for p in table.PLACES for m in METHODS for L in (64, 256)]
    drawn = page._figure(page._crossover, [r for r in rows if (r["backend"], r["method"]) != ("numpy", "kernel")])
    assert [drawn.count(f">{D} channels<") for D in widths] == [1] * len(widths)
    for place, method in [("GPU", m) for m in METHODS] + [("CPU", m) for m in METHODS if m != "kernel"]:
        assert drawn.count(f">{place}, {method}<") == 1
