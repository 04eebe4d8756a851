"""Training on from the written weights: finished rows are kept; runs are those of `minissm run`; the page's numbers."""

from pathlib import Path
from statistics import median

import numpy as np
import pytest

import minissm as ms
from minissm.constructions import learning, recall
from minissm.lab import config, job
from tests.runs import few_sequences, lines

DOCS = Path(__file__).parent.parent / "docs"
CELLS = [{"a": 1, "steps": 2}, {"a": 2, "steps": 3}, {"a": 3, "steps": 1}]


def doubled(cell, on_step):
    for step in range(cell["steps"]):
        on_step(step + 1)
    return {"stopped": "", "twice": 2 * cell["a"]}


def test_an_interrupted_work_goes_on_after_its_last_finished_row(tmp_path):
    path, ran = tmp_path / "rows.jsonl", []

    def pressed(cell, on_step):
        return doubled(cell, on_step) | ({"stopped": "interrupted after 1 steps"} if cell["a"] == 2 else {})

    def counted(cell, on_step):
        ran.append(cell["a"])
        return doubled(cell, on_step)

    with pytest.raises(KeyboardInterrupt, match=r"rows\.jsonl has the finished rows; go on with the same command"):
        learning.finished(path, CELLS, pressed, show=False)
    assert [row["a"] for row in lines(path)] == [1]  # a whole file, without the row that was interrupted
    rows = learning.finished(path, CELLS, counted, show=False)
    assert ran == [2, 3]
    assert lines(path) == rows == [cell | {"stopped": "", "twice": 2 * cell["a"]} for cell in CELLS]
    assert learning.finished(path, CELLS[::-1], counted, show=False) == rows[::-1]
    assert ran == [2, 3]
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_in_a_run_loses_no_row(tmp_path):
    path = tmp_path / "new" / "folder" / "rows.jsonl"

    def broken(cell, on_step):
        return doubled(cell, on_step) | ({} if cell["a"] < 3 else {"twice": 1 / 0})

    with pytest.raises(ZeroDivisionError):
        learning.finished(path, CELLS, broken, show=False)
    assert [row["a"] for row in lines(path)] == [1, 2]


@pytest.mark.parametrize("text", ['{"a": 1, "steps": 2', "[1, 2]\n", "7\n", "\n", "\xff"])
def test_a_damaged_file_is_refused_in_one_sentence_and_stays_as_it_is(tmp_path, text):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"^constructions: .*rows\.jsonl has a line that is no row; remove the file$"):
        learning.finished(path, CELLS, doubled, show=False)
    assert path.read_bytes() == text.encode("latin-1")


@pytest.mark.parametrize("task", ["recall(keys=3, values=5, pairs=2)", "selective_copying(copied=2, context=5)"])
def test_a_training_anew_has_the_scores_of_a_run_to_the_last_bit(tmp_path, task, monkeypatch):
    few_sequences(monkeypatch)
    works = config.Config(task, ("ssm + fnn1",), 2, 3, width=5).work()
    rows = [job.run_job(work).row for work in works]
    found = learning.train(tmp_path, rows)
    scores = sorted(set(found[0]) - {"task", "model", "seed", "lr", "steps", "net", "stopped"})
    assert {"token_accuracy", "loss"} <= set(scores)
    for row, new in zip(rows, found, strict=True):
        assert {name: new[name] for name in scores} == {name: row[name] for name in scores}
    assert rows[0]["loss"] != rows[1]["loss"]


def test_learn_starts_from_the_weights_and_from_a_draw(tmp_path):
    cells = ({"steps": 4}, {"noise": 0.1, "steps": 4}, learning.DRAW | {"steps": 4, "residual": True})
    cells += (learning.DRAW | {"steps": 4}, learning.DRAW | {"act": "gelu", "steps": 4})
    cells += (learning.DRAW | {"dtype": "float64", "steps": 4},)
    rows = learning.learn(tmp_path, 2, cells)
    assert [row["seed"] for row in rows] == [0, 1] * 6
    assert rows[0]["curve"][0][1] == rows[1]["curve"][0][1] == 1  # written: all answers are right at once
    assert max(row["curve"][0][1] for row in rows[4:]) < 0.4
    assert rows[2]["curve"][0][1] < 0.9
    assert {row["parameters"] for row in rows} == {recall(6, 6, 4)[0].size}
    assert [step for step, *_ in rows[0]["curve"]] == [0, 1, 2, 3, 4]
    starts = [row["curve"][0] for row in rows[4::2]]
    assert all(a != b for i, a in enumerate(starts) for b in starts[:i])
    assert rows == lines(tmp_path / "constructions-learn.jsonl")
    assert (tmp_path / "constructions-learn.png").read_bytes().startswith(b"\x89PNG")
    assert learning.learn(tmp_path, 2, cells) == rows  # nothing is run again


def test_the_residual_is_all_that_differs_between_two_draws_of_a_seed():
    draws = [learning.FIRST | cell for cell in learning.CELLS if cell.get("start") == "draw"]
    with_residual = [cell for cell in draws if cell["residual"]]
    assert len(with_residual) == len(learning.RATES)
    assert all(cell | {"residual": False} in draws for cell in with_residual)


def test_noise_has_the_size_asked_for_and_relative_noise_leaves_zeros_alone():
    _, params = recall(6, 6, 4)
    flat = ms.tree.flatten(params)
    moved = ms.tree.flatten(learning.noisy(params, {"noise": 0.5, "relative": 0}, np.random.default_rng(3)))
    assert np.std(moved - flat) == pytest.approx(0.5, rel=0.05)  # of 7,098 numbers: six standard errors
    moved = ms.tree.flatten(learning.noisy(params, {"noise": 0, "relative": 0.5}, np.random.default_rng(3)))
    assert np.all((moved != flat) == (flat != 0))
    where = flat != 0
    assert np.std(moved[where] / flat[where] - 1) == pytest.approx(0.5, rel=0.2)


def test_lags_are_fractions_of_the_energy_of_a_layers_kernels():
    net, params = recall(3, 5, 2)
    first, second = params["blocks"][0], params["blocks"][2]
    exact = {"now": 6 / 9, "before": 3 / 9, "sum": 0.5}  # 3 bits and 3 keys now, 3 keys before; two taps
    assert learning.lags(net, params)[0] == {name: round(x, 4) for name, x in exact.items()}
    energy = 9 * 6 + 3  # 9 sums over 6 tokens; 3 keys now
    exact = {"now": (9 + 3) / energy, "before": 9 / energy, "sum": (9 * 6 + 3 / 6) / energy}
    assert learning.lags(net, params)[1] == {name: round(x, 4) for name, x in exact.items()}
    first["w_out"][:3] *= 3  # the delays
    second["w_in"][:, :9] *= 0  # the sums, which no input reaches
    assert learning.lags(net, params)[0]["before"] == round(27 / 33, 4)
    assert learning.lags(net, params)[1] == {"now": 1, "before": 0, "sum": round(1 / 6, 4)}


# ---- the page


def spread(numbers):
    """The median, and the lowest and the highest where they differ in three decimals."""
    low, middle, high = (f"{f(numbers):.3f}" for f in (min, median, max))
    return middle if low == high else f"{middle} ({low} to {high})"


def table_of(rows):
    """The lines of the page's tables that rows of `minissm constructions --learn` make."""

    def found(cell):
        whole = learning.FIRST | cell
        some = [row for row in rows if row.items() >= whole.items()]
        assert [row["seed"] for row in some] == [0, 1, 2]
        return some

    def accuracy(cell, step):
        return spread([next(a for s, a, _ in row["curve"] if s == step) for row in found(cell)])

    weights = [cell for cell in learning.CELLS if "start" not in cell]
    for cell in weights:
        whole = learning.FIRST | cell
        what = f"relative, {whole['relative']:g}" if whole["relative"] else f"{whole['noise']:g}"
        what += ", double precision" if whole["dtype"] == "float64" else ""
        loss = f"{median(row['curve'][-1][2] for row in found(cell)):.2g}"
        yield f"| {what} | {whole['lr']:g} | {' | '.join(accuracy(cell, step) for step in (0, 100, 300))} | {loss} |"
    draws = [cell for cell in learning.CELLS if cell.get("start") == "draw" and not cell.get("residual")]
    for cell in draws:
        what = {("gelu", "float32"): ", gelu", ("relu", "float64"): ", double precision"}
        kind = what.get((cell.get("act", "relu"), cell.get("dtype", "float32")), "")
        plain = [accuracy(cell, step) for step in (1500, 3000)]
        other = [accuracy(cell | {"residual": True}, step) for step in (1500, 3000)] if not kind else ["-", "-"]
        yield f"| {cell['lr']:g}{kind} | {' | '.join(plain + other)} |"
    net, params = recall(**learning.SIZES)
    yield from (lag_line("written", i, [learning.lags(net, params)]) for i in (0, 1))
    cell = next(cell for cell in learning.CELLS if cell.get("start") == learning.LIBRARY)
    for k, name in enumerate(("drawn", "trained")):
        yield from (lag_line(name, i, [row["lags"][k] for row in found(cell)]) for i in (0, 1))
    yield f"Its accuracy is {accuracy(cell, 1500)} after 1,500 steps."


def lag_line(name, layer, models):
    shown = [spread([layers[layer][part] for layers in models]) for part in ("now", "before", "sum")]
    return f"| {name} | {layer + 1} | {' | '.join(shown)} |"


def test_the_page_has_the_numbers_of_the_rows():
    page = (DOCS / "constructions.md").read_text(encoding="utf-8")
    rows = lines(DOCS / "results" / "constructions-learn.jsonl")
    made = list(table_of(rows))
    assert [line for line in made if line not in page] == []
    assert len(made) == 10 + 8 + 7
    above = dict.fromkeys((False, True), 0)
    for row in rows:
        if row["start"] == "draw" and (row["act"], row["dtype"]) == ("relu", "float32"):
            above[row["residual"]] += row["curve"][-1][1] > 0.9
    assert f"{above[False]} of 15 runs without a residual end above .9, and {above[True]} of 15 with one." in page
