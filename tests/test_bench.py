"""`minissm bench`: what it measures, prints, draws and refuses; and the timing that it shares with benchmarks/."""

import math
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from minissm import scan
from minissm.cli import main
from minissm.lab import bench, timing
from minissm.lab.bench import Method
from minissm.lab.timing import PAUSE, TURN, Rounds, by_clock, interleave

from . import fake_cupy

SIZES = ["--batch", "2", "--length", "5", "--width", "3"]


class Clock:
    """A time that passes only by `take` and `sleep`."""

    def __init__(self):
        self.now, self.pauses = 0.0, []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.pauses.append(seconds)

    def take(self, seconds):
        self.now += seconds


@pytest.fixture
def clock():
    return Clock()


def measured(clock, rounds, **seconds):
    runs = {name: partial(clock.take, s) for name, s in seconds.items()}
    return interleave(runs, rounds, partial(by_clock, clock=clock), clock.sleep)


def test_methods_run_in_turn_and_slow_ones_less_often(clock):
    times = measured(clock, Rounds(2, 6, 2.5), slow=2.0, fast=0.5)
    assert times == {"slow": [2.0] * 2, "fast": [0.5] * 5}


def test_each_method_may_have_rounds_of_its_own(clock):
    rounds = {"slow": Rounds(1, 1, 9.0), "fast": Rounds(3, 9, 0.0)}
    assert measured(clock, rounds, slow=2.0, fast=0.5) == {"slow": [2.0], "fast": [0.5] * 3}


def test_no_method_always_follows_the_same_one(clock):
    order = []
    runs = {name: partial(order.append, name) for name in "abc"}
    interleave(runs, Rounds(12, 12, 0.0), lambda run, _: [run() or 1.0], clock.sleep)
    for name in "abc":
        assert {order[i - 1] for i in range(1, 36) if order[i] == name} >= set("abc") - {name}


@pytest.mark.parametrize(("seconds", "pause"), [(2.0, PAUSE), (0.02, 0.005)])
def test_a_pause_outside_of_the_time_follows_each_turn(seconds, pause, clock):
    assert measured(clock, Rounds(3, 3, 0.0), a=seconds)["a"] == pytest.approx([seconds] * 3)
    assert clock.pauses == pytest.approx([0.0, pause, pause])


def test_short_calls_are_repeated_within_their_turn(clock):
    times = measured(clock, Rounds(3, 3, 0.0), a=TURN / 4.5)
    assert times["a"] == pytest.approx([TURN / 4.5] * (1 + 4 + 4))


def test_a_time_on_a_gpu_is_the_mean_of_the_calls_between_two_marks(clock):
    log = []

    class Event:
        def record(self, stream):
            log.append(stream)
            self.at = clock.now

        def synchronize(self):
            log.append("end")

    device = SimpleNamespace(synchronize=lambda: log.append("idle"))
    cuda = SimpleNamespace(Event=Event, Device=lambda: device, get_current_stream=lambda: "mark")
    cuda.get_elapsed_time = lambda start, end: 1e3 * (end.at - start.at)  # CUDA's are milliseconds
    timer = timing.by_events(SimpleNamespace(cuda=cuda))
    assert timer(partial(clock.take, 0.003), 4) == pytest.approx([0.003])
    assert log == ["idle", "mark", "mark", "end"]


def test_spread_error_and_memory():
    assert timing.spread([4.0, 1.0, 2.0, 3.0, 5.0]) == {"median": 3.0, "q1": 2.0, "q3": 4.0, "min": 1.0, "runs": 5}
    assert timing.spread([3.0])["q1"] == 3.0
    expected = np.array([1.0, -4.0])
    assert timing.error(np.array([1.0, -3.0]), expected) == 0.25
    assert timing.error(np.array([np.nan, -4.0]), expected) == math.inf
    with pytest.raises(ValueError, match="shape"):
        timing.error(expected[:1], expected)
    assert 8e6 <= timing.numpy_memory(lambda: np.ones(10**6)) < 8.1e6


@pytest.fixture
def short(monkeypatch):
    """One call a method and length; no garbage collection, which takes long among the objects of a suite."""
    monkeypatch.setattr(timing, "gc", SimpleNamespace(collect=lambda: None))
    monkeypatch.setattr(bench, "ROUNDS", dict.fromkeys((True, False), Rounds(1, 1, 0.0)))


def test_all_methods_agree_and_one_is_what_auto_takes(short):
    rows = bench.measure(2, 5, 3, show=False)
    asked = [row for row in rows if row["L"] == 5]
    assert {row["L"] for row in rows} == {1, 2, 5, 10, 20}
    assert {row["method"].mode for row in asked} == set(scan.MODES)
    assert all(row["error"] < 1e-4 and row["bytes"] > 0 for row in asked)
    assert sum(row["auto"] for row in asked) == 1


def test_the_command_prints_a_table_and_draws_a_figure(short, tmp_path, capsys):
    path = tmp_path / "b.png"
    assert main(["bench", *SIZES, "--out", str(path)]) == 0
    printed = capsys.readouterr().out
    assert all(f"{mode}, reference" in printed for mode in scan.MODES)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [file.name for file in tmp_path.iterdir()] == ["b.png"]


def test_methods_on_a_gpu_are_measured_too(short, monkeypatch):
    fake_cupy.install(monkeypatch)
    rows = bench.measure(2, 5, 3, show=False)
    assert {row["method"].mode for row in rows if row["method"].backend == "cupy"} == set(scan.MODES)


def row(method, L, seconds, size=1):
    return {"method": method, "L": L, "seconds": {"min": seconds, "median": seconds}, "bytes": size}


def test_the_crossover_is_where_another_method_is_clearly_faster():
    a, b = Method("numpy", "recurrent", "reference"), Method("cupy", "fft", "arrays")
    rows = [row(a, 2, 1.0), row(b, 2, 2.0), row(a, 4, 2.0), row(b, 4, 1.9), row(a, 8, 4.0), row(b, 8, 2.1)]
    assert bench.fastest(rows) == f"{a} to length 4; {b} from 8"
    assert bench.fastest(rows[:4]) == f"{a} at every length"


def test_what_would_take_too_long_or_too_much_is_left_out():
    method = Method("numpy", "fft", "reference")
    assert bench.fits(row(method, 10, 0.1), 60, asked=False)
    assert not bench.fits(row(method, 10, 0.1), 80, asked=False)
    assert not bench.fits(row(method, 10, 0.1, bench.LARGEST // 2), 30, asked=True)


@pytest.mark.parametrize(
    "wrong",
    [
        ["--length", "0"],
        ["--batch", "two"],
        ["--width", "1000000"],
        ["--out", "figure.svg"],
        ["--out", "nowhere/figure.png"],
        ["--length", "10000000", "--batch", "1000"],
    ],
)
def test_a_request_that_cannot_be_met_is_one_sentence(wrong, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    try:
        code = main(["bench", *SIZES, *wrong])
    except SystemExit as error:
        code = error.code
    out, err = capsys.readouterr()
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_leaves_no_file(monkeypatch, tmp_path, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(bench, "run", interrupted)
    assert main(["bench", *SIZES, "--out", str(tmp_path / "b.png")]) == 130
    assert list(tmp_path.iterdir()) == []
