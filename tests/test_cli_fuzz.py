"""Whatever is typed: exit code 0, 1 or 2, no traceback; with 2 one sentence, and nothing on the disk has changed.

2,000 random requests, good, bad and half-good, in one process, with trainings of one step.
"""

import argparse
import contextlib
import io
import os
import random
import shutil
import sys
from collections import Counter

import pytest

from minissm import train
from minissm.cli import main
from minissm.lab import bench, compare, config, job, machine, sweep
from minissm.progress import Progress

LISTS, SEEDS, FAST = 150, 6, 1  # in a test, tests, those that are not slow

TASKS = ["copying", "recall", "recall(pairs=2, values=3)", "copying(max_len=5)", " recall( keys=9 )"]
SPECS = [
    "ssm",
    "fnn1",
    "attn",
    "ssm + fnn1",
    "ssm(poles=2)+fnn0",
    "attn(heads=1)",
    "(ssm + fnn2(act='relu'))",
    'Model("ssm", norm="rms")',
]
VALUES = {
    "--profile": ["quick", "full"],
    "--models": [*SPECS, "ssm;fnn1", "attn ; ssm(variant='inv')"],
    "--seeds": ["1", "2"],
    "--steps": ["1", "30", "+7", " 7 ", "1_0", "\u0663"],  # all of which int() reads
    "--budget": ["600", "2000", "3000"],
    "--width": ["2", "6", "8"],
    "--lr": ["1e-3", "8e-3,1e-2", "0.5", " 1e-3", "1e30", "1e300", "5e-324"],
    "--vary": ["pairs=1,2", "ssm.poles=1,3", "fnn.act=relu,gelu", "lr=1e-3", "norm=none,rms", "steps=1, 2", "width=2"],
    "--test": ["recall", "recall(queries=2)", "copying;recall"],
    "--mode": ["auto", "recurrent", "chunked", "fft"],
    "--backend": ["numpy", "cupy"],
    "--dtype": ["float32", "float64"],
    "--plugin": ["mine.py", "./mine.py", "mine.py", "notes.txt", "nowhere.py"],
    "--out": ["out", "new/deep", "empty", "../beside", "out put", "\u00fcml\u00e4ut", "\u65e5\u672c", "./out/", "a=b"],
    "--jobs": ["1", "2", "64"],
    "--resume": ["old", "empty", "out", "notes.txt", "nowhere"],
    "--row": ["old:1", "out/results.jsonl:1", "out:2", "old/results.jsonl:1", "nowhere:1"],
}
BENCH = {
    "--batch": ["1", "2", "+3"],
    "--length": ["1", "5", "64"],
    "--width": ["2", "6"],
    "--out": ["b.png", "empty/b.png", "empty", "nowhere/b.png", "b.svg", "notes.txt"],
}
TABLE = {"--by": ["model", "model,lr", "seed", "pairs", "lr,steps,model"]}
HUGE = ["1" + "0" * 16, "9" * 40, "9" * 5000, "1e999", "-" + "9" * 40]  # beyond any array, so that nothing is tried
PIECES = """
0 -1 -0 1.5 nan -nan inf -inf 1e3 0x10 two None True 1,2,3 , - -- --- -x --colour --see --models= = --out= -h --help
@file %s %(prog)s ( ) [ ] { } ' " ` \\ \\n \0 a\0b \x1b[31m {0} f'{x}' b'ssm' gru fnn fnn-1 fnn1.5 fnn1(depth=2) ssm.x
ssm( ssm) ssm(poles= ssm(poles=) ssm(poles=2 ssm(poles=' ssm;ssm ssm(poles=2)(3) ssm[0] ssm(poles=-1) ssm(poles=nan)
ssm(poles=1e999) ssm(dt=(1,)) ssm(dt='ab') ssm(**{}) ssm(*[]) ssm(window=3) ssm(expand=0) attn(heads=5) attn(max_len=1)
recall( recall() recall(pairs=0) recall(queries=9) recall(8) recall+copying recall(keys='a') fnn\u0661 ｓｓｍ --ｓeeds
notes.txt notes.txt/below old . .. nowhere/../.. /dev/null /dev/null/x ~ caf\u00e9 \u2603 \U0001f600 \u202e \ufeff
"""
BAD = [
    *(
        "",
        " ",
        "\n",
        "\t",
        "a\nb",
        "\r",
        "ssm +",
        "+ ssm",
        "ssm + + fnn1",
        "; ;",
        "lambda: 0",
        "1 + 1",
        "\u2028",
        "e\u0301",
    ),
    *("a" * 300, *HUGE, *PIECES.split()),
]
LETTERS = " ()[]{}'\"+;,=*-_.:#\\\n\0\u00e9"  # no digit: a size must not grow into one that a machine could try


def value(draw: random.Random, option: str, known: dict[str, list[str]]) -> str:
    """Mostly one that means something for this option."""
    if draw.random() < 0.75:
        text = draw.choice(known[option])
        return text if draw.random() < 0.9 or option in ("--seeds", "--width", "--budget") else damaged(draw, text)
    return draw.choice(BAD)


def damaged(draw: random.Random, text: str) -> str:
    """One letter more, one less, or only the first half."""
    place = draw.randrange(len(text) + 1)
    return draw.choice(
        [text[:place] + draw.choice(LETTERS) + text[place:], text[:place] + text[place + 1 :], text[:place]]
    )


def request(draw: random.Random) -> list[str]:
    """A command line."""
    if draw.random() < 0.1:
        return draw.choices([*BAD, *TASKS, *VALUES, "run", "info"], k=draw.randrange(5))
    if draw.random() < 0.05:
        more = draw.choice([[], ["--jobs", "2"], ["--steps", "9"], TASKS[:1]])
        return ["run", "--resume", value(draw, "--resume", VALUES), *more]
    if draw.random() < 0.1:
        asked = draw.choices([*BENCH], k=draw.randrange(4))
        return ["bench", *(text for option in asked for text in (option, value(draw, option, BENCH)))]
    if draw.random() < 0.1:
        paths = draw.choices(["out", "old", "empty", "out/results.jsonl", "notes.txt", "nowhere"], k=draw.randrange(3))
        return ["table", *paths, *draw.choice([[], ["--by", value(draw, "--by", TABLE)]])]
    arguments = [draw.choice(["info", "walk", "ru", "RUN"]) if draw.random() < 0.03 else "run"]
    arguments += [draw.choice(BAD) if draw.random() < 0.05 else draw.choice(TASKS)]
    for option in draw.choices([*VALUES], k=draw.randrange(6)):
        text = value(draw, option, VALUES)
        arguments += [f"{option}={text}"] if draw.random() < 0.5 else [option, text]
    while draw.random() < 0.1:
        place = draw.randrange(len(arguments) + 1)
        arguments[place : place + draw.randrange(2)] = [draw.choice([*BAD, *arguments])]
    if draw.random() < 0.05:
        draw.shuffle(arguments)
    return arguments


def asked(arguments: list[str]) -> tuple[int, str, str]:
    """Exit code, stdout, stderr, with streams that encode as those of a terminal do."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", errors) for errors in ("strict", "backslashreplace"))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(arguments)
        except SystemExit as error:
            code = error.code
    for stream in (out, err):
        stream.flush()
    return code, *(stream.buffer.getvalue().decode() for stream in (out, err))


def fresh(folder) -> None:
    """A working directory with a file, an empty folder and an earlier run in it."""
    shutil.rmtree(folder)
    for name in ("here/empty", "here/old"):
        (folder / name).mkdir(parents=True)
    (folder / "here" / "notes.txt").write_text("no Python")
    (folder / "here" / "mine.py").write_text("import minissm")
    (folder / "here" / "old" / "results.jsonl").write_text("rows")
    os.chdir(folder / "here")


def contents(folder) -> dict:
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """All is as it is, but a training is one step (of the first 20: later ones end with such a log at once),
    evaluations see two sequences, and nothing is drawn or synced."""
    logs = []

    def fit(net, params, task, steps, rng, **options):
        if len(logs) < 20:
            params, log = one_step(net, params, task, 1, rng, **options | {"batch": 2, "evals": 1})
            logs.append(log)
        return params, logs[-1]

    def evaluate(net, params, task, rng, n=1000, mode="auto"):
        return scores(net, params, task, rng, 2, mode)

    def comparison(rows, curves, folder):
        (folder / "figure.png").write_bytes(b"")
        return [folder / "figure.png"]

    one_step, scores = train.fit, train.evaluate
    small = {"models": ("attn + fnn1",), "seeds": 1, "lrs": (1e-3,), "width": 2, "budget": 600}
    monkeypatch.setattr(job, "fit", fit)
    monkeypatch.setattr(job, "evaluate", evaluate)
    monkeypatch.setattr(train, "evaluate", evaluate)
    monkeypatch.setattr(config, "PROFILES", {name: p | small for name, p in config.PROFILES.items()})
    monkeypatch.setattr(compare, "versions", dict)
    monkeypatch.setattr(job, "versions", dict)
    monkeypatch.setattr(compare, "in_processes", lambda f, work, bar, *_: compare.in_process(f, work, bar))
    monkeypatch.setattr(sweep, "figures", comparison)
    monkeypatch.setattr(machine, "cores", lambda: 1)
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    monkeypatch.setattr(bench, "measure", lambda *sizes: [])
    monkeypatch.setattr(bench, "text", lambda rows, *sizes: "table")
    monkeypatch.setattr(bench, "draw", lambda rows, *sizes_and_path: sizes_and_path[-1].write_bytes(b""))
    monkeypatch.setattr(compare, "Progress", lambda total, name: Progress(total, name, show=False))
    monkeypatch.setattr(argparse, "_", str)  # it looks for a translation each time
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "disk"


@pytest.mark.parametrize("seed", [*range(FAST), *(pytest.param(s, marks=pytest.mark.slow) for s in range(FAST, SEEDS))])
def test_whatever_is_typed_there_is_an_answer_and_no_traceback(seed, quick):
    draw, codes = random.Random(seed), Counter()
    quick.mkdir()
    fresh(quick)
    before = contents(quick)
    for _ in range(LISTS):
        arguments = request(draw)
        code, out, err = asked(arguments)
        assert code in (0, 1, 2), arguments
        assert "Traceback" not in out + err, arguments
        if code == 2:
            assert out == "", arguments
            assert err.startswith("minissm"), arguments
            assert err.endswith("\n"), arguments
            assert len(err.splitlines()) == 1, arguments
            assert contents(quick) == before, arguments
        else:
            assert err == "", arguments
            assert out, arguments
            if draw.random() < 0.5:  # what is left of earlier runs is in the way of later ones
                fresh(quick)
            before = contents(quick)
        codes[code] += 1
    assert min(codes[0] + codes[1], codes[2]) > LISTS // 10, "requests of both kinds"
    assert codes[0]
