"""Every python block of every page runs, and every example of the reference; each link and file named exists."""

import doctest
import re
import shlex
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from docs.site import reference
from minissm import cli, spec, tasks
from minissm.tasks import task

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("**/*.md")])
EACH_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def code(page: Path, language: str = "python") -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(autouse=True)
def names_of_its_own():
    """The names that a page registers are gone after it."""
    tables = spec.BLOCKS, spec._names, tasks.TASKS, task._names
    before = [dict(table) for table in tables]
    yield
    for table, was in zip(tables, before, strict=True):
        table.clear()
        table.update(was)


@EACH_PAGE
def test_python_blocks_run_one_after_another(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    plt.switch_backend("Agg")  # no window, whatever the machine has
    names: dict = {}
    for block in code(page):
        exec(compile(block, str(page), "exec"), names)
    plt.close("all")


@pytest.mark.parametrize("module", reference.modules())
def test_every_public_name_has_an_example_in_the_reference_and_it_runs(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plt.switch_backend("Agg")
    examples = reference.examples(module)
    assert sorted(examples) == sorted(reference.entries(module))
    for name, text in examples.items():
        names: dict = {}
        exec(reference.PRELUDE, names)
        example = doctest.DocTestParser().get_doctest(text, names, f"{module}.{name}", None, None)
        assert example.examples, f"{module}.{name} has no example"
        report: list[str] = []
        doctest.DocTestRunner().run(example, out=report.append)
        assert not report, "".join(report)
    plt.close("all")


@EACH_PAGE
def test_links_and_files_named_exist(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)", text):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
    for name in re.findall(r"`((?:minissm|tests|docs|tutorials)/[\w./-]+)`", text):
        assert (ROOT / name).exists(), f"{page.name} names {name}"


@pytest.mark.parametrize("page", ["add-a-filter", "add-a-task"])
def test_the_first_block_of_the_page_is_a_plugin_for_the_command_line(page, tmp_path, monkeypatch, capsys):
    """The last command of the page as it stands there, but small and in this process."""
    monkeypatch.chdir(tmp_path)
    path = ROOT / "docs" / "howto" / f"{page}.md"
    commands = re.findall(r"^minissm (run .*--plugin (\S+\.py).*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    command, file = commands[-1]
    Path(file).write_text(code(path)[0], encoding="utf-8")
    small = ["--seeds", "1", "--steps", "2", "--width", "4", "--jobs", "1", "--out", "out"]
    assert cli.main([*shlex.split(command), *small]) == 0
