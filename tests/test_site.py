"""The site without Sphinx: no page is forgotten, each public name has an entry. `.ci/run` builds it (docs/build.py)."""

import inspect
from pathlib import Path

import pytest

import minissm as ms
from docs import build
from docs.site import check, pages, reference

ROOT = Path(__file__).parent.parent


def test_every_page_is_in_the_table_of_contents():
    shown = [file for files in pages.groups().values() for file in files]
    assert len(shown) == len(set(shown))
    assert {*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "howto").glob("*.md")} == {
        ROOT / pages.START,
        *(file for file in shown if file.is_relative_to(ROOT / "docs")),
    }
    assert set((ROOT / "tutorials").glob("[0-9]*.py")) <= set(shown)
    assert all(file.exists() for file in shown)


def test_every_public_name_has_an_entry_in_the_reference():
    text = reference.pages()
    for name in ms.__all__:
        thing = getattr(ms, name)
        if inspect.ismodule(thing):
            assert f"reference/{name}.md" in text
        else:
            assert name in reference.entries("")
    for module in reference.modules():
        for name, thing in reference.entries(module).items():
            assert inspect.getdoc(thing), f"{module}.{name} has no docstring"
            assert f"}} {name}{reference.signature(thing)}\n" in text[f"reference/{module or 'minissm'}.md"]


def test_dead_links_and_requests_to_other_machines_are_faults_of_a_site(tmp_path):
    (tmp_path / "a.html").write_text(
        '<h1 id="top">A</h1><a href="b.html#end">good</a> <a href="https://x.org">good</a> <a href="c.html">dead</a>'
        '<a href="b.html#start">no such place</a> <script src="https://x.org/y.js"></script>'
    )
    (tmp_path / "b.html").write_text('<p id="end"></p><img src="data:,"><a href="#end">good</a>')
    (tmp_path / "s.css").write_text('@import "//x.org/font.css"; p { background: url("own.png"); }')
    assert check.faults(tmp_path) == [
        "a.html: loads https://x.org/y.js",
        "a.html: a dead link to c.html",
        "a.html: a link to a missing place, b.html#start",
        "s.css: loads //x.org/font.css",
    ]


@pytest.mark.parametrize("kept", ["a file", "a folder"])
def test_nothing_that_is_not_a_site_is_overwritten(kept, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(build, "find_spec", lambda name: name)
    (tmp_path / "notes.txt").write_text("mine")
    out = tmp_path if kept == "a folder" else tmp_path / "notes.txt"
    assert build.main(["--out", str(out)]) == 2
    assert capsys.readouterr().out.startswith(f"docs.build: --out {out}: ")
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_without_sphinx_one_sentence_says_what_to_install(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(build, "find_spec", lambda name: None if name == "furo" else name)
    assert build.main(["--out", str(tmp_path)]) == 2
    assert (
        capsys.readouterr().out == "docs.build: without furo; the site needs the extra docs; pip install -e '.[docs]'\n"
    )
