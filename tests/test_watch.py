"""The page that steps through a model: its numbers are the library's, in a browser too; bad input is one sentence."""

import base64
import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest

import minissm as ms
from minissm import tasks
from minissm.cli import main
from minissm.lab import compare
from minissm.lab.config import config_of
from minissm.watch import data, models, needs, page as page_of, sequences
from minissm.watch.exchange import costs
from minissm.watch.lead import weights
from tests.runs import few_sequences, records

SPEC = "ssm(poles=3) + fnn1 + attn + s6(d_state=3) + lstm + mean + fir(window=3)"
TASK = tasks.Recall(pairs=3)


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Tests draw few sequences."""
    monkeypatch.setattr(sequences, "PIECE", 50)
    monkeypatch.setattr(data, "SEARCHED", 100)
    monkeypatch.setattr(needs, "ANSWERS", 20)


@pytest.fixture(scope="module")
def model():
    net = ms.Model(SPEC, vocab=TASK.vocab, width=6)
    return net, net.init(np.random.default_rng(0))


@pytest.fixture(scope="module")
def html(model):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "SEARCHED", 100)
        patch.setattr(needs, "ANSWERS", 20)
        return page_of(*model, TASK, np.random.default_rng(1))


@pytest.fixture(scope="module")
def shown(html):
    """The data in the page, with its arrays."""
    text = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL).group(1)

    def unpacked(value):
        if "float32" not in value:
            return value
        return np.frombuffer(base64.b64decode(value["float32"]), "<f4").reshape(value["shape"])

    return json.loads(text, object_hook=unpacked)


# ---- the numbers


def test_a_channel_is_a_recurrence_and_a_convolution_forwards_and_backwards(shown):
    """The sums that the script of the page takes. The shown read and gradients are the library's."""
    for i in (0, 6):
        kernel, skip = shown["blocks"][i]["kernel"], shown["blocks"][i]["skip"]
        for example in shown["examples"]:
            now, L = example["blocks"][i], len(example["tokens"])
            for t in range(L):
                terms = [kernel[:, t - s] * now["input"][:, s] for s in range(t + 1)]
                assert np.allclose(sum(terms), now["read"][:, t], atol=1e-5)
            for asked, answer in zip(example["asked"], example["answers"], strict=True):
                dread, dinput = (answer["blocks"][i][name] for name in ("dread", "dinput"))
                for t in range(asked + 1):
                    terms = [kernel[:, s - t] * dread[:, s] for s in range(t, asked + 1)]
                    assert np.allclose(sum(terms) + skip * dread[:, t], dinput[:, t], atol=1e-6)


def test_the_lead_its_gradient_and_the_probabilities_are_the_models(model, shown):
    net, params = model
    values = [t for t, kind in enumerate(TASK.kinds) if kind == "value"]
    assert len(shown["examples"]) == 3
    for example in shown["examples"]:
        tokens = np.array([example["tokens"]])
        y, _ = net(params, tokens)
        p = np.exp(y[0]) / np.exp(y[0]).sum(axis=1, keepdims=True)
        assert example["shown"] == values
        assert np.allclose(p[:, values].T, example["p"], atol=1e-6)
        for asked, target, said, answer in zip(
            *(example[n] for n in ("asked", "targets", "said", "answers")), strict=True
        ):
            assert said == y[0, asked].argmax()
            assert np.isclose(y[0, asked, target] - y[0, asked, values].mean(), answer["lead"], atol=1e-5)
            dy = np.zeros_like(y)
            dy[0, asked] = weights(TASK, target, net.outputs)
            trace = net.trace(params, tokens, dy=dy)
            gradients = [trace["dembed"], *(trace[f"blocks.{i}.doutput"] for i in range(7))]
            assert np.allclose([np.linalg.norm(g[0], axis=1) for g in gradients], answer["path"], rtol=1e-4, atol=1e-7)
            assert np.allclose(trace["blocks.4.doutput"][0].T, answer["blocks"][4]["doutput"], atol=1e-6)
            dinput = trace["blocks.6.dinput"][0].T[shown["blocks"][6]["rows"]]
            assert np.allclose(dinput, answer["blocks"][6]["dinput"], atol=1e-6)


def test_two_sequences_without_a_mistake_are_shown_and_one_with(monkeypatch):
    """A model that says value 0 everywhere."""
    task = tasks.Recall(pairs=1, values=2)
    net = ms.Model("fnn1", vocab=task.vocab, width=2)
    params = ms.zeros(net)
    params["head"]["b"][task.kinds.index("value")] = 1
    for seed in range(5):
        found = sequences.search(net, params, task, np.random.default_rng(seed), 50)
        assert [one.mistakes for one in found.shown] == [0, 0, 1]
        assert found.accuracy == 1 - found.wrong / 50
    always = sequences.search(net, params, tasks.Recall(pairs=1, values=1), np.random.default_rng(0), 50)
    assert ([one.mistakes for one in always.shown], always.wrong) == ([0, 0, 0], 0)


def test_the_states_of_other_layers_are_those_of_the_trace(model, shown):
    net, params = model
    example = shown["examples"][0]
    trace = net.trace(params, np.array([example["tokens"]]))
    attention, selective, lstm, mean = (example["blocks"][i] for i in (2, 3, 4, 5))
    assert np.allclose(attention["weights"], trace["blocks.2.weights"][0], atol=1e-6)
    assert np.allclose(selective["dt"], trace["blocks.3.steps"][0].T, atol=1e-6)
    assert np.allclose(selective["size"], np.linalg.norm(trace["blocks.3.states"][0], axis=2).T, atol=1e-6)
    assert np.allclose(lstm["output"], lstm["gates"][:, 2] * np.tanh(lstm["cell"]), atol=1e-6)
    assert np.allclose(lstm["output"], trace["blocks.4.states"][0].T, atol=1e-6)
    assert np.allclose(mean["adds"], (trace["blocks.5.output"] - trace["blocks.4.output"])[0].T, atol=1e-6)
    assert [b["view"] for b in shown["blocks"]] == [
        "filter", None, "attention", "selective", "lstm", "stream", "filter"
    ]  # fmt: skip


def test_the_cost_of_a_token_is_the_mean_loss_of_the_lead(model, rng):
    net, params = model
    batch = TASK.batch(rng, 1)
    tokens, asked = batch.inputs[0], np.flatnonzero(batch.weights[0])
    found = costs(net, params, TASK, tokens, asked, batch.targets[0, asked])
    lead = [weights(TASK, target, net.outputs) for target in batch.targets[0, asked]]
    y, _ = net(params, tokens[None])
    for t in (0, 3):
        kind = [other for other, name in enumerate(TASK.kinds) if name == TASK.kinds[tokens[t]] and other != tokens[t]]
        exchanged = np.tile(tokens, (len(kind), 1))
        exchanged[:, t] = kind
        z, _ = net(params, exchanged)
        for a, at in enumerate(asked):
            assert np.isclose(found[a, t], y[0, at] @ lead[a] - (z[:, at] @ lead[a]).mean(), atol=1e-5)
    assert np.isnan(found[0, asked[0] + 1 :]).all()
    assert np.isfinite(found[-1]).all()


def test_a_token_alone_of_its_kind_has_no_cost(rng):
    task = tasks.InductionHeads(length=7, symbols=3)
    net = ms.Model("ssm(poles=2)", vocab=task.vocab, width=3)
    batch = task.batch(rng, 1)
    found = costs(net, net.init(rng), task, batch.inputs[0], [6], batch.targets[:, 6])
    assert (np.isnan(found[0]) == (batch.inputs[0] == 0)).all()


def test_exchange_finds_the_pair_in_the_network_with_written_weights():
    """A model that recalls without a mistake: the page says so, and shows three sequences that are right."""
    from minissm.constructions import recall

    net, params = recall(5, 6, 3)
    found = data.collect(net, params, TASK, np.random.default_rng(0))
    assert (found["wrong"], found["accuracy"], len(found["examples"])) == (0, 1.0, 3)
    print(found["needs"])
    assert found["needs"]["exchange"] > 15


def test_a_model_without_a_memory_names_no_tokens_and_a_tie_does_not_count(rng):
    net = ms.Model("fnn1", vocab=TASK.vocab, width=3)
    found = data.collect(net, net.init(rng), TASK, rng)
    assert found["needs"]["gradient"] == 0
    assert found["blocks"][0]["view"] is None


def test_where_the_page_would_grow_it_shows_fewer_channels_evenly_in_the_order_of_memory(model, monkeypatch, shown):
    monkeypatch.setattr(data, "NUMBERS", 9_000)
    found = data.collect(*model, TASK, np.random.default_rng(1))
    every, few = shown["blocks"][0], found["blocks"][0]
    assert (len(every["rows"]), every["of"]) == (12, 12)
    assert 1 < len(few["rows"]) < 8
    assert few["of"] == 12
    assert (few["rows"][0], few["rows"][-1]) == (every["rows"][0], every["rows"][-1])
    assert (np.diff(few["memory"]) > 0).all()
    assert found["examples"][2]["blocks"][0]["read"].shape == (len(few["rows"]), 9)


@pytest.mark.slow
@pytest.mark.parametrize("spec", ["ssm + ssm", "s6 + lstm + ssm + attn"])
def test_the_page_of_long_sequences_stays_below_a_megabyte(spec, rng):
    task = tasks.Copying(min_len=31, max_len=31)
    net = ms.Model(spec, vocab=task.vocab, width=32)
    assert len(page_of(net, net.init(rng), task, rng)) < 1e6


# ---- in a browser


class Cells(HTMLParser):
    """The rows of the page's table, and the text of elements with an id."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.ids, self.inside = [], {}, []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.rows += [[]] * (tag == "tr")
        if tag in ("th", "td"):
            self.rows[-1] = [*self.rows[-1], ""]
        self.inside.append((tag, attributes.get("id")))

    def handle_endtag(self, tag):
        while self.inside and self.inside.pop()[0] != tag:
            pass

    def handle_data(self, text):
        if any(tag in ("th", "td") for tag, _ in self.inside):
            self.rows[-1][-1] += text
        for _, name in self.inside:
            if name:
                self.ids[name] = self.ids.get(name, "") + text


def number(text):
    return float(text.replace("\N{MINUS SIGN}", "-"))


@pytest.fixture(scope="module")
def opened(html, tmp_path_factory):
    """opened(state, script="") -> the page after it was drawn. Nothing is written to the console."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
    if browser is None:
        pytest.skip("the page was not opened: no Chromium here; apt-get install chromium")
    folder = tmp_path_factory.mktemp("watch")

    def opened(state, script=""):
        path = folder / "page.html"
        path.write_text(html.replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")
        options = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--enable-logging=stderr",
            f"--user-data-dir={folder}",
        ]
        command = [browser, *options, "--dump-dom", f"{path.as_uri()}#{state}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        assert (done.returncode, console) == (0, [])
        return Cells(done.stdout)

    return opened


def test_an_address_opens_a_step_forwards_with_the_numbers_of_the_library(opened, shown):
    page = opened("sequence=1.5&token=7.2&block=0&row=4.9")  # of a fraction, the integer below counts
    example, kernel = shown["examples"][1], shown["blocks"][0]["kernel"][4]
    now = example["blocks"][0]
    head, *rows = page.rows
    assert len(rows) == len(example["tokens"]) == 9
    assert [name.rsplit(" ", 1)[-1] for name in head[-3:]] == ["input", "read", "kernel"]
    for t, cells in enumerate(rows):
        found = [*example["p"][:, t], now["input"][4, t], now["read"][4, t], kernel[t]]
        assert np.allclose([number(cell) for cell in cells[1:]], found, rtol=6e-4)
    for name in ("recurrence", "convolution"):
        assert np.isclose(number(page.ids[name]), now["read"][4, 7], rtol=6e-3, atol=1e-6)
    said = TASK.names[example["said"][1]]
    assert f"The model says {said}" in page.ids["say"]


def test_an_address_opens_a_step_backwards_with_the_numbers_of_the_library(opened, shown):
    page = opened("sequence=0&token=2&answer=8&block=6&row=1")
    answer, block = shown["examples"][0]["answers"][2], shown["blocks"][6]
    then = answer["blocks"][6]
    for t, cells in enumerate(page.rows[1:]):
        found = [answer["costs"][t], answer["path"][0, t], then["dread"][1, t], then["dinput"][1, t]]
        assert np.allclose([number(cell) for cell in cells[1:]], found, rtol=6e-4)
    through = then["dinput"][1, 2] - block["skip"][1] * then["dread"][1, 2]
    for name in ("recurrence", "convolution"):
        assert np.isclose(number(page.ids[name]), through, rtol=6e-3, atol=1e-6)
    assert np.isclose(number(page.ids["lead"]), answer["lead"], rtol=6e-3)
    assert f"{shown['needs']['exchange']} times" in page.ids["needs"]


@pytest.mark.slow
def test_buttons_and_keys_reach_every_state(opened, shown):
    """A script steps through all sequences, answers, blocks and tokens, and uses each control once."""
    script = """
    {
    let steps = 0;
    const seen = [], see = () => seen.push(S.token), click = what => document.querySelector(what).click();
    const set = (name, value) => { byId(name).value = value; byId(name).dispatchEvent(new Event("input")); };
    for (let s = 0; s < D.examples.length; s++)
      for (const a of [null, ...D.examples[s].asked.keys()])
        for (const i of VIEWED) {
          click(`[data-sequence="${s}"]`);
          if (a !== null) click(`[data-answer="${a}"]`);
          byId("block").value = i;
          byId("block").dispatchEvent(new Event("change"));
          set("row", 1);
          for (let t = 0; t <= last(); t++) { set("token", t); steps += S.token === t && S.block === i && S.row === 1; }
        }
    const type = key => document.body.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
    click('[data-sequence="0"]');
    const keys = ["Home", "ArrowRight", "ArrowRight", "ArrowLeft", "b", "ArrowLeft", "End", "b"];
    for (const key of keys) { type(key); see(); }
    for (const what of ["#right", "#left", '[data-token="3"]']) { click(what); see(); }
    location.hash = "sequence=99&token=-5&answer=nothing&block=1&row=1e9";
    read();
    seen.push(S.sequence, S.token, S.answer, S.block, S.row);
    document.body.insertAdjacentHTML("beforeend", `<p id="seen">${steps} ${seen}</p>`);
    }
    """
    page = opened("", script)
    steps, seen = page.ids["seen"].split(" ")
    assert int(steps) == 3 * 6 * (9 + 7 + 8 + 9)
    assert seen == "0,1,2,1,6,5,6,6,7,6,3,2,0,,6,11"


# ---- the command


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_page_asks_for_nothing_from_elsewhere(html):
    assert len(html) < 1e6
    assert not re.search(
        r"https?://|src=|@import|url\(|fetch\(", html.split("</style>")[1].replace('content="default-src', "")
    )
    assert "default-src 'none'" in html


def test_a_file_is_shown_with_the_task_that_has_its_vocabulary(here, capsys):
    net = ms.Model("ssm(poles=2)", vocab=12, width=3)
    ms.save("m.npz", net, net.init(np.random.default_rng(0)))
    assert main(["watch", "m.npz", "--out", "p.html"]) == 0
    assert "task: recall, which has its vocabulary" in capsys.readouterr().out
    assert 'Model("ssm(poles=2)"' in (here / "p.html").read_text(encoding="utf-8").replace("\\", "")


def test_without_a_model_one_is_trained_and_kept(here, capsys, monkeypatch):
    monkeypatch.setattr(models, "STEPS", 2)
    command = ["watch", "--model", "ssm(poles=2)", "--task", "copying(min_len=2, max_len=3)"]
    assert main(command) == 0
    first = capsys.readouterr().out
    assert "kept for the next call" in first
    monkeypatch.setattr(models, "fit", None)
    assert main(command) == 0
    assert "trained by an earlier call" in capsys.readouterr().out
    assert {path.suffix for path in (here / "runs" / "watch").iterdir()} == {".npz", ".html"}


def test_the_folder_of_a_run_shows_its_best_model_without_attention(here, capsys, monkeypatch):
    few_sequences(monkeypatch)
    task = "recall(pairs=2)"
    specs = ("attn", "ssm", "fnn1")
    compare.run(config_of(task, models=specs, seeds=1, steps=2, width=4, lrs=(8e-3,)), "r")
    rows = {record["row"]["model"]: record["row"]["token_accuracy"] for record in records(here / "r")}
    capsys.readouterr()
    assert main(["watch", "r", "--out", "p.html"]) == 0
    best = max(("fnn1", "ssm"), key=rows.get)
    out = capsys.readouterr().out
    assert "the best of 2 models without attention in r" in out
    assert f"weights/{best}-seed0-lr0.008.npz   task: {task}\n" in out
    assert main(["watch", "r/weights/attn-seed0-lr0.008.npz", "--out", "p.html"]) == 0
    assert f"task: {task}\n" in capsys.readouterr().out


BAD = {
    "no file": (["none.npz"], "watch: none.npz can't be read (no such file)"),
    "no model": (["text.npz"], "text.npz is not a whole checkpoint"),
    "an empty folder": (
        ["folder.html"],
        "watch: folder.html has no trained model; expected the folder of a finished",
    ),
    "the folder of all runs": (["all"], "watch: all holds runs; give one of them, the newest is all/new"),
    "a damaged record": (["broken"], "broken/runs/a.json is no record of a run"),
    "another vocabulary": (
        ["m.npz", "--task", "recall"],
        "the model has a vocabulary of 77, the task recall a vocabulary of 12; give --task",
    ),
    "a vocabulary of no task": (["m.npz"], "m.npz has a vocabulary of 77; give --task the task"),
    "real inputs": (["real.npz"], "real.npz has no vocabulary, but inputs of 3 numbers"),
    "a task of vectors": (["--task", "regression"], "has no tokens; expected a task with tokens"),
    "a long task": (["--task", "induction_heads(length=65)"], "up to 65 tokens; the page shows 64 at most"),
    "an unknown task": (["--task", "walking"], "unknown task 'walking'"),
    "an unknown block": (["--model", "gru"], "unknown block 'gru'"),
    "a model and what to train": (["m.npz", "--model", "ssm"], "both m.npz and --model given"),
    "no page": (["m.npz", "--out", "m.npz"], "--out m.npz; expected a name that ends in .html"),
    "no folder": (["--out", "none/p.html"], "can't write none/p.html (No such file or directory)"),
    "a folder": (["--out", "folder.html"], "can't write folder.html (Is a directory)"),
    "an empty name": (["--task", ""], "--task is empty"),
    "a seed below 0": (["--seed=-1"], "seed"),
    "no seed": (["--seed", "x"], "invalid int value"),
}


@pytest.mark.parametrize(("options", "words"), BAD.values(), ids=BAD)
def test_bad_input_is_one_sentence(options, words, here, capsys):
    (here / "folder.html").mkdir()
    (here / "text.npz").write_text("no model")
    for run, seconds in (("broken", 1), ("all/old", 1), ("all/new", 2), ("all/last", 0)):
        (here / run / "runs").mkdir(parents=True)
        (here / run / "runs" / "a.json").write_text("{}")
        os.utime(here / run, (seconds, seconds))
    for name, sizes in (("m", {"vocab": 77}), ("real", {"inputs": 3, "outputs": 2})):
        net = ms.Model("fnn1", width=2, **sizes)
        ms.save(f"{name}.npz", net, net.init(np.random.default_rng(0)))
    code = 0
    try:
        code = main(["watch", *options])
    except SystemExit as stop:
        code = stop.code
    error = capsys.readouterr().err
    assert (code, error.count("\n")) == (2, 1)
    assert words in error
    assert "Traceback" not in error
    assert not (here / "runs").exists()


def test_a_folder_that_may_not_be_written_is_refused_before_the_training(here, capsys):
    (here / "runs").write_text("a file")
    assert main(["watch"]) == 2
    assert "watch: can't write runs" in capsys.readouterr().err


def test_a_training_that_would_take_too_long_is_refused(here, capsys, monkeypatch):
    monkeypatch.setattr(models, "PATIENCE", 1e-9)
    assert main(["watch", "--model", "ssm(poles=2)"]) == 2
    assert "s here, 0 s are allowed; train it with minissm run" in capsys.readouterr().err
