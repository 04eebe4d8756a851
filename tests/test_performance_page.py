"""docs/performance.md is written from the committed reports, so that page and files can't part."""

import json
from pathlib import Path

import pytest

from minissm.lab.bench import document, goals

from .test_bench import report, row
from .test_bench_card import of_card

DOCS = Path(__file__).parent.parent / "docs"


def test_the_page_is_what_its_reports_say():
    """After a new report, `python -m minissm.lab.bench.document` writes it anew."""
    text = (DOCS / "performance.md").read_text()
    assert text == document.page(text, DOCS / "results")


def test_readme_shows_what_the_reports_say():
    text = (DOCS.parent / "README.md").read_text()
    assert text == document.readme(text, DOCS / "results")
    with pytest.raises(ValueError, match=r"README\.md has no lines"):
        document.readme("nothing", DOCS / "results")


def test_the_summary_names_the_best_peer_and_what_is_missing():
    rows = [row("minissm", 10), row("torch", 44), row("jax", 60), row("minissm", 8, threads=2)]
    lines = document.summary([report(rows)]).splitlines()
    assert lines[0] == "| forward and backward | A CPU, one core | A CPU, 2 cores |"
    assert lines[2].endswith("| **4.4** (torch m: 44 ms, minissm: 10 ms) | not measured |")
    assert lines[3].endswith("| not measured | not measured |")


def check_names(results):
    for path in results.glob("bench-*.json"):
        held = json.loads(path.read_text())
        assert path.name == f"bench-{document.slug(goals.subject(held))}.json"
        assert (held["quick"], held["interrupted"], held["warnings"]) == (False, "", [])
        assert goals.card(held) or held["missing"] == []  # torch and JAX for a card are for its owner to install


def test_reports_are_named_after_what_they_measured_and_are_whole(tmp_path):
    check_names(DOCS / "results")
    told = of_card([row("minissm", 10)], missing=["jax"])
    (tmp_path / "bench-nvidia-x1.json").write_text(json.dumps(told))
    check_names(tmp_path)
    (tmp_path / "bench-nvidia-x1.json").rename(tmp_path / "bench-a-cpu.json")
    with pytest.raises(AssertionError):
        check_names(tmp_path)


@pytest.mark.parametrize(
    ("processor", "slug"),
    [
        ("AMD EPYC 9R14", "amd-epyc-9r14"),
        ("Intel(R) Xeon(R) Platinum 8375C CPU @ 2.90GHz", "intel-xeon-platinum-8375c-cpu-2-90ghz"),
    ],
)
def test_a_processor_has_a_slug(processor, slug):
    assert document.slug(processor) == slug


def test_a_report_becomes_a_section(tmp_path):
    grown = [
        {
            "mixer": "ssm, chunked",
            "points": [{"L": 8, "seconds": 0.1, "bytes": 7}],
            "seconds exponent": 1.2,
            "bytes exponent": None,
            "stopped": "",
        }
    ]
    limits = [{"threads": 1, "copy": 30.0, "product": 1.0, "thin product": 1.0, "exp": 1.0, "rfft": 1.0}]
    rows = [
        row("minissm", 10),
        row("torch", 44),
        row("jax", 60),
        row("minissm", 8, threads=2),
        row("jax", 16, threads=2),
    ]
    (tmp_path / "bench-a-cpu.json").write_text(json.dumps(report(rows, limits=limits, growth=grown)))
    text = document.page(f"by hand\n{document.MEASURED}\nold\n", tmp_path)
    assert text.startswith(
        f"by hand\n{document.MEASURED}\n\n## A CPU\n\nminissm bench, full, 2026-11-25: A CPU, 2 cores\n\n"
    )
    assert "old" not in text
    assert "| W1 state space scan | B 8, L 4096 | 10 | 44 (torch m) | 4.40 | >= 5 | MISSED |  |" in text
    assert "| W1 state space scan | B 8, L 4096 | 8 | 16 (jax m) | 2.00 |" in text
    assert "| W1 state space scan | ssm, chunked | exponent in L of time | 1.20 | <= 1.1 | MISSED |" in text
    assert "Not installed, so not measured: jax; pip install" in text


def test_a_page_without_the_line_is_refused(tmp_path):
    with pytest.raises(ValueError, match="has no line"):
        document.page("by hand", tmp_path)
