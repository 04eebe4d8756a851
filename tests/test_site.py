"""The site without Sphinx: no page is forgotten, each public name has an entry. `.ci/run` builds it (docs/build.py)."""

import inspect
from pathlib import Path

import minissm as ms
from docs import build
from docs.site import pages, reference

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


def test_without_sphinx_one_sentence_says_what_to_install(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(build, "find_spec", lambda name: None if name == "furo" else name)
    assert build.main(["--out", str(tmp_path)]) == 2
    assert (
        capsys.readouterr().out == "docs.build: without furo; the site needs the extra docs; pip install -e '.[docs]'\n"
    )
