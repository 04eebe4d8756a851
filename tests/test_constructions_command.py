"""`minissm constructions`: networks are checked, damage is seen, docs/constructions.md has the numbers of the file."""

import json
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

import minissm as ms
from minissm.cli import main
from minissm.constructions import cases, command, figures, learning

RESULTS = Path(__file__).parent.parent / "docs" / "results"
STORED = json.loads((RESULTS / "constructions.json").read_text())


def run(folder, *argv, code=0):
    assert main(["constructions", *argv, "--out", str(folder)]) == code
    name = argv[0] if argv and not argv[0].startswith("-") else None
    return json.loads((folder / command.file_of(name)).read_text())


@pytest.fixture(autouse=True, scope="module")
def one_mode():
    """tests/test_constructions.py has all modes."""
    with patch.object(cases, "MODES", ["chunked"]):
        yield


@pytest.fixture(scope="module")
def fresh(one_mode, tmp_path_factory):
    """What the command finds, with fewer numbers for the figures."""
    few = {pairs: codes[:1] for pairs, codes in figures.CODES.items()}
    with patch.object(figures, "CODES", few), patch.object(figures, "VOCAB", figures.VOCAB[:2]):
        folder = tmp_path_factory.mktemp("constructions")
        return folder, run(folder)


def test_no_answer_is_wrong_and_the_stored_file_says_the_same(fresh):
    folder, found = fresh
    assert [n["wrong"] for n in found["networks"]] == [0, 0, 0, 0]
    assert found["networks"] == STORED["networks"]  # spec, sizes, number of answers, rows of trained models
    assert found["limits"] == [
        limit | {"margin": pytest.approx(limit["margin"], abs=1e-5)} for limit in STORED["limits"]
    ]
    assert found["nonzeros"] == STORED["nonzeros"][:2]
    assert {path.name for path in folder.iterdir()} == set(command.FILES)


def test_the_errors_with_random_keys_are_the_stored_ones_up_to_ties(fresh):
    stored = {(row["codes"], row["pairs"]): row for row in STORED["codes"]}
    for row in fresh[1]["codes"]:
        assert row == stored[row["codes"], row["pairs"]] | {"error": pytest.approx(row["error"], abs=0.01)}
    for row in STORED["codes"]:
        spread = (row["error"] * (1 - row["error"]) / row["sequences"]) ** 0.5
        assert row["error"] <= row["bound"] + 3 * spread
        assert abs(row["error"] - row["gauss"]) < 0.05


def test_the_network_and_its_sum_alone_fail_equally_often():
    for codes in (9, 17):
        network, alone = figures.by_network(codes, 7, 3, 300), figures.by_sum(codes, 7, 5000)
        assert (network.size, alone.size) == (900, 5000)
        assert abs(network.mean() - alone.mean()) < 0.08


@pytest.mark.parametrize("name", cases.CASES)
def test_a_broken_weight_gives_wrong_answers(name):
    """Each layer has one that does."""
    net, params = cases.built(name)
    *_, drawn = cases.batches(cases.CASES[name])

    def breaks(leaf, i):
        kept, leaf[i] = leaf[i], 0
        seen = cases.wrong(net, params, drawn).any()
        leaf[i] = kept
        return seen

    for p in params["blocks"]:
        leaf = p["w_out"] if isinstance(p, dict) else p[-1]["w"]
        assert any(breaks(leaf, tuple(i)) for i in np.argwhere(leaf))
    assert not cases.wrong(net, params, drawn).any()


def test_an_answer_is_wrong_if_it_is_so_in_one_mode(monkeypatch):
    class Net:
        def __call__(self, params, inputs, mode, where):
            modes.append(mode)
            return np.eye(3)[[0, 1 if mode == params else 2]], None

    monkeypatch.setattr(cases, "MODES", ms.scan.MODES)
    modes, batch = [], ms.tasks.Batch(np.zeros((1, 2)), np.array([[0, 2]]), np.ones((1, 2)))
    for mode in ms.scan.MODES:
        assert cases.wrong(Net(), mode, batch).tolist() == [False, True]
    assert modes == [*ms.scan.MODES] * 3
    assert not cases.wrong(Net(), "", batch).any()


def test_all_sequences_are_the_answers_of_the_task():
    """All 8 symbols stand in all places, and the tasks draw the same kinds of sequences."""
    count = {name: [batch.inputs.shape[0] for batch in cases.batches(case)] for name, case in cases.CASES.items()}
    assert count["recall"] == [6 * 5 * 6 * 6 * 4, 500]
    assert count["copying"] == [2 * 8, 2 * 8**2, 2 * 8**3, 2 * 8**4, 500, 500]
    assert sum(count["selective_copying"]) == 9**4 - 1 + 500
    batch = next(iter(cases.batches(cases.CASES["selection"])))
    mu, asked = batch.inputs[..., 0], batch.weights > 0
    assert (asked == [False, False, True]).all()
    assert (np.sort(mu)[:, -1] - np.sort(mu)[:, -2]).min() == pytest.approx(0.1)
    assert set((20 * mu).round(9).ravel()) == set(range(1, 21))


def test_a_wrong_answer_is_seen():
    y = np.array([[3.0, 1.0, 2.0], [1.0, 1.0, 0.0], [np.nan, 0.0, 0.0], [0.0, 2.0, 3.0]])
    assert cases.right(y, np.array([0, 0, 1, 2])).tolist() == [True, False, False, True]
    assert cases.right(np.array([[0.5, 1.0], [0.5, np.nan]]), np.array([[0.5, 1.0], [0.5, 1.0]])).tolist() == [
        True,
        False,
    ]


def test_wrong_answers_are_exit_code_1(tmp_path, capsys):
    net, params = ms.constructions.selective_copying(5, 16, 8)
    params["head"]["w"][0] *= -1
    with patch.object(cases, "built", lambda name: (net, params)):
        found = run(tmp_path, "selective_copying", code=1)
    (network,) = found["networks"]
    assert network["wrong"] > 0
    assert f"each in three modes, {network['wrong']:,} wrong" in " ".join(capsys.readouterr().out.split())


def test_one_network_is_checked_printed_and_saved(tmp_path, capsys):
    file = tmp_path / "selection.npz"
    found = run(tmp_path / "new" / "deep", "selection", "--save", str(file))
    assert [len(found[part]) for part in ("networks", "codes", "nonzeros", "limits")] == [1, 0, 0, 0]
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in lines if not line.startswith("results: ")) <= 100
    text = " ".join(" ".join(lines).split())
    n, t = found["networks"][0], found["networks"][0]["trained"]
    assert f"{n['S']} of {n['size']:,} parameters are not 0 (B 1,000,000); L {n['L']}, W {n['W']}" in text
    assert f"{t['parameters']:,} parameters, state {t['state']:,}; mean_squared_error {t['score']:.3g}" in text
    net, params = ms.load(file)
    batch = ms.tasks.Selection().batch(np.random.default_rng(1), 9)
    y, _ = net(params, batch.inputs)
    assert abs(y[:, -1] - batch.targets[:, -1]).max() < 1e-9


def test_without_rows_no_trained_model_is_shown(tmp_path, capsys):
    (tmp_path / "rows").mkdir()
    found = run(tmp_path, "selective_copying", "--rows", str(tmp_path / "rows"))
    assert found["networks"][0]["trained"] is None
    assert "\n  trained" not in capsys.readouterr().out


def test_the_smallest_size_that_learns_is_that_of_the_median():
    scores = {(5, 100): (0.94, 0.94, 1.0), (5, 200): (0.2, 0.95, 0.96), (5, 300): (1.0,), (7, 300): (0.1,)}
    rows = [
        {"vary": {"values": values, "budget": budget}, "token_accuracy": score}
        for (values, budget), found in scores.items()
        for score in found
    ]
    found = [figures.nonzeros(vocab, rows) for vocab in (11, 13, 15)]
    assert [(n["trained"], n["tried"]) for n in found] == [(200, 300), (None, 300), (None, None)]
    assert found[0]["written"] == ms.constructions.stats(*ms.constructions.recall(6, 5, 4)).S
    assert found[0]["between"] < found[0]["written"]


def test_models_are_trained_anew(tmp_path):
    """In place of their rows stand the new ones; sizes stay."""

    def train(out, rows):
        assert out == tmp_path
        assert [row["seed"] for row in rows] == [0, 1, 2]
        return [{"token_accuracy": 0.25, "stopped": ""} for _ in rows]

    with patch.object(learning, "train", train):
        found = run(tmp_path, "selective_copying", "--train")
    stored = {n["name"]: n["trained"] for n in STORED["networks"]}["selective_copying"]
    assert found["networks"][0]["trained"] == stored | {"score": 0.25, "lowest": 0.25, "highest": 0.25}


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["rnn"], "argument NAME: invalid choice: 'rnn' (choose from "),
        (["--out", ""], "--out is empty; give a name, or leave --out away\n"),
        (["--rows", ""], "--rows is empty; give a name, or leave --rows away\n"),
        (["recall", "--save", ""], "--save is empty; give a name, or leave --save away\n"),
        (["--save", "x.npz"], "--save without NAME; expected one of recall, copying, selective_copying, selection\n"),
        (["copying", "--learn"], "--learn with copying; it trains recall, leave NAME away or give recall\n"),
        (["--rows", "none"], "no folder none; give --rows, the folder docs/results of a clone\n"),
        (["--rows", "."], "recall.jsonl has a line that is no row; give other --rows\n"),
        (["--out", "recall.jsonl"], "can't write recall.jsonl (File exists); choose another name\n"),
        (
            ["recall", "--save", "none/x.npz"],
            "can't write none/x.npz (No such file or directory); choose another name\n",
        ),
    ],
)
def test_bad_input_is_one_sentence_before_any_work(argv, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("recall.jsonl").write_text("{}\n")
    with pytest.raises(SystemExit, match="2") if argv == ["rnn"] else patch.object(command, "network"):
        assert main(["constructions", *argv]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"minissm constructions: {message}")
    assert (captured.err.count("\n"), captured.out) == (1, "")
    assert {path.name for path in tmp_path.iterdir()} <= {"recall.jsonl", "runs"}


# ---- docs/constructions.md


def table(networks):
    """The lines of the table of the four networks."""
    yield "| network | answers | wrong | not 0 (S) | of all | L | W | B | state | trained: score | parameters | state |"
    yield "|---" * 12 + "|"
    for n in networks:
        t = n["trained"]
        score = f"{t['score']:.3f} ({t['lowest']:.3f} to {t['highest']:.3f})"
        score = f"error {score}" if t["measure"] == "mean_squared_error" else score
        sizes = [n["answers"], n["wrong"], n["S"], n["size"], n["L"], n["W"], int(n["B"]), n["state"]]
        cells = [f"`{n['call']}`", *[f"{size:,}" for size in sizes], score, f"{t['parameters']:,}", f"{t['state']:,}"]
        yield f"| {' | '.join(cells)} |"


def test_the_table_in_docs_is_that_of_the_stored_file():
    page = (RESULTS.parent / "constructions.md").read_text()
    expected = "\n".join(table(STORED["networks"]))
    assert expected in page, f"docs/constructions.md: expected this table\n{expected}"
