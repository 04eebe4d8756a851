"""The page of claims: verdicts follow from rows by rules, figures are their CSV files, nothing comes from elsewhere."""

import csv
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from markupsafe import escape

from minissm.cli import main
from minissm.lab import studies
from minissm.lab.claims import command, cost, figures, page, rules, verdicts
from minissm.lab.claims.rows import Rows, merged, read, written
from minissm.lab.studies import ATTN, ONE, REGRESSION, SSM, config
from minissm.lab.timing import Rounds
from minissm.tasks import parse

RESULTS = Path(__file__).parent.parent / "docs" / "results"
VERSIONS = {"minissm": "0.6.0", "processor": "an abacus"}
WEAK = ("ssm", ONE)  # models that fail in `fake`


def fake(study, **scores):
    """Rows of the study. scores: model -> its main score, in the place of .98, or .5 for WEAK ones; by n for risks."""
    c = config(study)
    for model, vary, cell in c.cells():
        task = parse(cell.task)
        for lr in c.lrs:
            for seed in range(c.seeds):
                score = scores.get(model, 0.5 if model in WEAK else 0.98)
                score = score[vary["n"]] if isinstance(score, dict) else score
                score += 0.001 * seed
                row = {"task": cell.task, "model": model, "vary": vary, "seed": seed, "lr": lr, "steps": cell.steps}
                row |= {"state_size": 300, "validation": score, task.main[0]: score, "influence_top": 0.75}
                row |= {"steps_to_95": 350 + 50 * seed if score > 0.95 else None, "cpu_seconds": 7.5, "seconds": 8.5}
                yield row | {"tests": dict.fromkeys(c.tests, 0.25), "versions": VERSIONS, "here": False}


def fake_constructions(wrong=0, margin=0.25):
    """Rows of constructions.json. margin: of the lengths that one linear layer can copy."""
    sizes = {"answers": 77, "wrong": wrong, "S": 5, "size": 9}
    found = {"networks": [sizes | {"name": name, "task": "recall"} for name in rules.NETWORKS]}
    limits = [(lengths, fed_back, margin * can) for (lengths, fed_back), can in rules.LINEAR.items()]
    found["limits"] = [{"lengths": list(n), "fed_back": fed_back, "margin": value} for n, fed_back, value in limits]
    sizes = [(7, 3, 2, 5), (11, 4, 2, None)]
    found["nonzeros"] = [dict(zip(("vocab", "written", "between", "trained"), n, strict=True)) for n in sizes]
    return merged(written(found | {"seconds": 2.5, "versions": VERSIONS}), [])


@pytest.fixture(scope="module")
def every():
    """Rows of all studies."""
    costs = cost.measure((5, 9), Rounds(1, 1, 0), show=False)
    others = {"cost": [row | {"here": True} for row in costs], "constructions": fake_constructions()}
    return {name: list(fake(name)) for name in studies.STUDIES} | others


def verdict(name, **studies):
    return verdicts.verdict(
        (rules.CLAIMS | rules.QUESTIONS)[name].checks(Rows({k: list(v) for k, v in studies.items()}))
    )


def built(folder, only, **studies):
    rows = Rows({name.replace("_", "-"): list(rows) for name, rows in studies.items()})
    return page.build(rows, folder, only).read_text()


# ---- verdicts


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ((True, True), "holds"),
        ((True, None), "holds"),
        ((True, False, None), "holds in part"),
        ((False, False), "not seen here"),
        ((None,), "not measured here"),
        ((), "not measured here"),
    ],
)
def test_a_verdict_follows_from_the_checks(found, expected):
    assert verdicts.verdict(verdicts.Check("solved", (), holds, {}) for holds in found) == expected


def test_a_verdict_turns_with_the_rows():
    copying, recall = list(fake("copying")), list(fake("recall"))
    assert verdict("single", copying=copying, recall=recall) == "holds"
    solved = list(fake("recall", ssm=0.9485))  # one seed of three reaches .95
    assert verdict("single", copying=copying, recall=solved) == "holds in part"
    assert verdict("single", recall=solved) == "not seen here"
    assert verdict("single") == "not measured here"


def test_comparable_means_close_in_the_median():
    assert verdict("g", selective_copying=fake("copying")) == "holds"
    for score, expected in ((0.961, "holds"), (0.959, "holds in part")):
        assert verdict("d", recall=fake("recall", **{SSM: score, "attn + attn": 0.5})) == expected


def test_models_that_have_not_learnt_the_task_are_not_comparable():
    failed = {SSM: 0.46, ATTN: 0.46, "attn + attn": 0.46, "attn + fnn1": 0.46, ONE: 0.46}
    baseline = dict.fromkeys((SSM, ATTN), 0.46)
    checks = rules.essential(Rows({"recall": list(fake("recall", **baseline))}))
    assert [c.holds for c in checks if c.text == "comparable" and c.holds is not None] == [False]
    mixers = {"recall": fake("recall", **failed), "recall-mixers": fake("recall-mixers", **failed)}
    *_, one_layer = (
        c for c in rules.attention_with_fnn(Rows({k: list(v) for k, v in mixers.items()})) if c.holds is not None
    )
    assert one_layer.holds, "one mixer before one FNN, the same whatever the mixer"


def test_written_networks_hold_if_no_answer_is_wrong_and_a_linear_layer_copies_where_it_can_alone():
    assert verdict("provable", constructions=fake_constructions()) == "holds"
    assert verdict("provable", constructions=fake_constructions(wrong=1)) == "holds in part"
    assert verdict("provable", constructions=fake_constructions(margin=0)) == "holds in part"
    impossible = [row | {"margin": 0.1} if "margin" in row else row for row in fake_constructions(wrong=1)]
    holds = [check.holds for check in rules.provable(Rows({"constructions": impossible}))]
    assert holds == [False] * 4 + [True, False, True, False, False]
    assert verdict("provable") == "not measured here"


def test_a_run_that_broke_off_has_no_part_in_a_slope():
    rows = list(fake("regression"))
    for row in rows:
        row["mean_squared_error"] = None if row["seed"] == 0 else row["vary"]["n"] ** -0.75
    slopes, falls, *_ = rules.regression(Rows({"regression": rows}))
    assert (slopes.holds, falls.holds) == (True, True)
    assert slopes.values["a"] == pytest.approx(-0.75)


def test_slopes_are_compared_seed_by_seed_and_risks_at_the_largest_n():
    def risks(first, last):
        return {1024: first, 4096: (first * last) ** 0.5, 8192: last}

    ssm, attention, *_, pooled, linear = REGRESSION
    same = {ssm: risks(0.2, 0.02), attention: risks(0.1, 0.01), pooled: risks(0.3, 0.3), linear: risks(0.9, 0.9)}
    holds = [c.holds for c in rules.regression(Rows({"regression": list(fake("regression", **same))})) if c.counts]
    assert holds == [True, True, False, True, True]  # a factor of 2 apart
    same |= {attention: risks(0.1, 0.05), pooled: risks(0.3, 0.03)}  # other slopes, and a control that selects
    holds = [c.holds for c in rules.regression(Rows({"regression": list(fake("regression", **same))})) if c.counts]
    assert holds == [False, False, True, False, True]
    rows = list(fake("regression"))
    for row in rows:  # median slopes are equal
        steeper = {ssm: row["seed"], attention: 2 - row["seed"]}.get(row["model"], 1)
        row["mean_squared_error"] = row["vary"]["n"] ** (-0.7 - 0.3 * steeper)
    slopes, *_ = rules.regression(Rows({"regression": rows}))
    assert slopes.values["a"] == pytest.approx(slopes.values["b"])
    assert not slopes.holds


def test_two_splits_of_a_budget_are_apart_where_the_seeds_of_one_are_above_those_of_the_other():
    def holds(best):
        rows = list(fake("recall-budget"))
        for row in rows:
            row["token_accuracy"] = best[row["seed"]] if row["vary"]["fnn.expand"] == 4 else 0.5 + 0.2 * row["seed"]
        ssm, attention, _ = rules.split(Rows({"recall-budget": rows}))
        assert (ssm.values["top"], ssm.holds) == (4, attention.holds)
        return ssm.holds

    assert holds((0.8, 0.9))
    assert not holds((0.6, 0.99)), "the median is higher, one seed is not"


def test_the_best_rate_is_chosen_by_validation_and_not_by_the_test():
    rows = [row | {"validation": row["lr"], "token_accuracy": 1 - row["lr"]} for row in fake("recall-rates")]
    assert Rows({"recall-rates": rows}).level("recall-rates", SSM).rows[0]["lr"] == 3.2e-2


def test_a_fresh_row_replaces_the_stored_one_of_the_same_run():
    stored = list(fake("recall"))
    fresh = stored[4] | {"token_accuracy": 0.125, "vary": {}}
    rows = merged([{k: v for k, v in row.items() if k != "vary"} for row in stored], [fresh])
    assert [row["here"] for row in rows] == [row is stored[4] for row in stored]
    assert rows[4]["token_accuracy"] == 0.125


# ---- the page


def test_a_page_needs_nothing_from_elsewhere_and_shows_its_csv_files(tmp_path):
    rows = list(fake("recall"))
    text = built(tmp_path, ["single", "a"], copying=fake("copying"), recall=rows, linear_copying=fake("linear-copying"))
    assert not re.search(
        r"<script|<link|<img|@import|url\((?!#)|src=|nan|None|\{|\}(?!\n)", text.partition("</style>")[2]
    )
    links, ids = set(re.findall(r'href="([^"]*)"', text)), re.findall(r' id="([^"]*)"', text)
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in links if link[0] == "#"} <= set(ids)
    assert {link for link in links if link[0] != "#" and not (tmp_path / link).exists()} == {
        "https://arxiv.org/abs/2405.19036"
    }
    assert "A partial set" not in text
    assert text.count("<svg") == len(list((tmp_path / "csv").iterdir())) == 4
    points = list(csv.DictReader((tmp_path / "csv" / "budgets-recall.csv").read_text().splitlines()))
    shown = sorted((p["series"], int(p["seed"]), float(p["token_accuracy"])) for p in points)
    assert shown == sorted((row["model"], row["seed"], row["token_accuracy"]) for row in rows)


def test_a_partial_set_says_so_on_top(tmp_path):
    rows = list(fake("recall"))
    top = built(tmp_path, ["a"], recall=rows[:-1], copying=fake("copying")).partition("<h2")[0]
    assert "A partial set" in top
    assert "(14 of 15 rows)" in top
    assert "(no rows)" in built(tmp_path, ["a"], recall=rows).partition("<h2")[0]


def test_rows_of_older_versions_make_a_page(tmp_path):
    """They have no `vary`, `validation`, `steps_to_95` or influence."""
    names = ("copying", "recall", "linear-copying", "recall-one-layer-long")
    old = {name: [row | {"here": False} for row in read(RESULTS / f"{name}.jsonl")] for name in names}
    for rows in old.values():
        for row in rows:
            for field in ("vary", "validation", "steps_to_95", "influence_top", "cpu_seconds", "tests"):
                row.pop(field, None)
    text = page.build(Rows(old), tmp_path, ["solved", "single"]).read_text()
    assert "older rows lack fields, in recall-pairs, recall-pairs-16, copying, recall." in text


def test_every_text_of_a_check_has_its_values(every):
    rows = Rows(every)
    for claim in (rules.CLAIMS | rules.QUESTIONS).values():
        for check in claim.checks(rows):
            assert check.holds is not None, check
            assert page.sentence(check)
    for name, draw in figures.FIGURES.items():
        for figure in draw(rows):
            assert figure.points, (name, figure.name)
            assert figure.name in page.texts()["figures"], figure.name


def test_a_claim_names_the_studies_that_it_reads(every):
    class Watched(Rows):
        def where(self, study, **given):
            read.add(study)
            return super().where(study, **given)

    rows = Watched(every)
    for name, claim in (rules.CLAIMS | rules.QUESTIONS).items():
        read = set()
        _ = list(claim.checks(rows)), list(figures.FIGURES[name](rows))
        assert read <= set(claim.studies), name


def test_the_page_in_docs_is_that_of_the_stored_rows():
    """If it is not: minissm claims --profile stored --out docs/claims"""
    folder = RESULTS.parent / "claims"
    text = (folder / "claims.html").read_text()
    names = {study for claim in (rules.CLAIMS | rules.QUESTIONS).values() for study in claim.studies}
    rows = Rows({name: merged(read(RESULTS / f"{name}.jsonl"), []) for name in names})
    for name, claim in (rules.CLAIMS | rules.QUESTIONS).items():
        for check in claim.checks(rows):
            assert check.holds is None or str(escape(page.sentence(check))) in text, name
        for figure in figures.FIGURES[name](rows):
            assert not figure.points or (folder / "csv" / f"{figure.name}.csv").read_text() == figure.csv


# ---- the command


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--only", "a,zz"], "minissm claims: --only 'zz'; expected some of cost, theory, "),
        (["--profile", "all"], "minissm claims: --profile 'all'; expected one of quick, full, stored\n"),
        (["--rows", "none"], "minissm claims: no folder none; give --rows, the folder docs/results of a clone\n"),
        (["--out", __file__], f"minissm claims: --out {__file__} is a file; expected a folder\n"),
        (["--out", ""], "minissm claims: --out is empty; give the name of a folder, or leave --out away\n"),
        (["--rows", ""], "minissm claims: --rows is empty; give the name of a folder, or leave --rows away\n"),
        (["--rows", ".", "--profile", "stored"], "minissm claims: can't read recall.jsonl ("),
    ],
)
def test_bad_input_is_one_sentence(argv, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("recall.jsonl").write_text("{")
    assert main(["claims", *argv]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(message)
    assert captured.err.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["recall.jsonl"]


@pytest.mark.parametrize(
    "line", ["{}", "[]", '{"model": "ssm", "versions": {}}', '{"model": 3, "versions": {}, "L": 5}']
)
def test_a_stored_line_that_is_no_row_is_one_sentence(line, tmp_path):
    (tmp_path / "recall.jsonl").write_text(line + "\n")
    with pytest.raises(ValueError, match=r"^claims: .*recall.jsonl has a line that is no row; restore it"):
        read(tmp_path / "recall.jsonl")


@pytest.mark.parametrize("content", ["{", "{}", "[]", '{"networks": [{}], "limits": [], "nonzeros": []}'])
def test_a_damaged_file_of_the_written_networks_is_one_sentence(content, tmp_path):
    (tmp_path / "constructions.json").write_text(content)
    with pytest.raises(ValueError, match=r"^claims: can't read .*constructions.json \("):
        read(tmp_path / "constructions.jsonl")


def test_a_profile_trains_its_studies_once_and_goes_on(tmp_path, monkeypatch, capsys):
    small = studies.Study("copying", ("ssm", "attn"), seeds=1, steps=10)
    monkeypatch.setattr(
        studies, "STUDIES", studies.STUDIES | {"copying": small, "recall": small._replace(task="recall")}
    )
    monkeypatch.setattr(command, "QUICK", {"copying": {"width": 4}, "recall": {"width": 4}})
    monkeypatch.setattr(page, "build", lambda rows, out, only: sum(map(len, rows.studies.values())))
    argv = ["claims", "--only", "a", "--out", str(tmp_path), "--rows", str(tmp_path), "--jobs", "1"]
    assert main(argv) == 0
    out = capsys.readouterr().out
    assert out.count("runs of 10 steps") == 2
    assert out.endswith("page: 4\n")
    assert main(argv) == 0
    assert capsys.readouterr().out == "page: 4\n"
    (tmp_path / "rows" / "quick" / "recall.jsonl").unlink()
    monkeypatch.setattr(command, "QUICK", {"recall": {"width": 6}})
    assert main(argv) == 2
    assert "was begun with other settings; choose another --out" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium")
def test_a_browser_shows_the_page_without_scrolling_sideways(every, tmp_path):
    path = page.build(Rows(every), tmp_path)
    script = "<script>parent.postMessage(innerWidth + ' ' + document.documentElement.scrollWidth, '*')</script></body>"
    path.write_text(path.read_text().replace("</body>", script))
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--dump-dom"]
    options += ["--virtual-time-budget=10000", f"--user-data-dir={tmp_path / 'browser'}", "--window-size=1300,900"]
    for width in (1200, 390):  # in a frame: a window is at least 500 wide
        frame = f'<iframe src="{path.name}" width="{width}" height="900" style="border: 0"></iframe>'
        title = "<title></title><script>onmessage = (event) => { document.title = event.data }</script>"
        (path.parent / "frame.html").write_text(title + frame)
        argv = ["chromium", *options, (path.parent / "frame.html").as_uri()]
        dom = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=True).stdout
        seen, needed = map(int, re.search(r"<title>(\d+) (\d+)</title>", dom).groups())
        assert needed <= seen == width
