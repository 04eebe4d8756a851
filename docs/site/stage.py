"""Writes the folder that Sphinx reads: pages with links that hold in the site, tutorials with outputs, the reference.

A page of the repository links to files (../tutorials/03_x.py, ../minissm/ssm.py), so that it reads well there. In the
site, the link leads to the page of that file; source files get a page that lists them.
"""

import os
import re
import shutil
from pathlib import Path

import numpy as np

from minissm import load, watch
from minissm.tasks import Recall

from . import notebooks, pages, reference
from .pages import ROOT

WATCHED = ROOT / "tutorials" / "trained" / "06_selection.npz"  # of the page of `minissm watch`
WATCH = """It shows a trained model token by token: the state of each layer, the answer, and the way back from an answer
to the tokens. `minissm watch MODEL.npz` writes such a page for a model of your own."""
CLAIMS = """For each claim of the paper it has a verdict, the numbers and their spread. `minissm claims` writes it
from the rows."""
LISTED = {
    ".py": "python",
    ".cu": "cpp",
    ".cuh": "cpp",
    ".toml": "toml",
    ".txt": "text",
    ".md": "text",
    ".cff": "yaml",
    "": "text",
}
LINK = re.compile(r"\[([^\]\n]*(?:\n[^\]\n]+)?)\]\(([^)#\s]+)(#[^)\s]*)?\)")  # its text may go on in a second line
NAMED = re.compile(r"(?<!\[)`((?:minissm|tests|docs|tutorials|benchmarks)/[\w./-]+\.\w+)`(?!\])")


class Staged:
    """The folder, and which files it must still get, because a page links to them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paged = {pages.START, "README.md", *(str(f.relative_to(ROOT)) for g in pages.groups().values() for f in g)}
        self.listed: set[str] = set()

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def place(self, file: str) -> str:
        """Where a file of the repository is in the folder; it is brought there if it has no page."""
        if file in ("README.md", pages.START):
            return "index.md"
        if file in self.paged:
            return pages.docname(ROOT / file) + (".ipynb" if file.endswith(".py") else ".md")
        if Path(file).suffix in LISTED:
            self.listed.add(file)
            return f"source/{file}.md"
        path = self.folder / file.removeprefix("docs/")
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, path)
        return file.removeprefix("docs/")

    def relinked(self, text: str, file: str, page: str) -> str:
        """The text of a file of the repository, with links that lead from its page in the folder."""

        def path_to(target: str, base: Path) -> str | None:
            found = Path(os.path.normpath(ROOT / base / target))
            if not found.is_file() or not found.is_relative_to(ROOT):
                return None
            return os.path.relpath(self.place(str(found.relative_to(ROOT))), Path(page).parent)

        def link(match: re.Match) -> str:
            words, target, anchor = match[1], match[2], match[3] or ""
            path = path_to(target, Path(file).parent)
            if path and path.endswith(".html"):  # a page that Sphinx doesn't make: see `finished_pages`
                return f'<a href="{path}{anchor}">{words}</a>'
            return f"[{words}]({path}{anchor})" if path else match[0]

        def name(match: re.Match) -> str:
            path = path_to(match[1], Path())
            return f"[`{match[1]}`]({path})" if path and not path.endswith(".html") else match[0]

        parts = re.split(r"(^```.*?^```\s*?$)", text, flags=re.MULTILINE | re.DOTALL)
        return "".join(part if part.startswith("```") else LINK.sub(link, NAMED.sub(name, part)) for part in parts)


def everything(folder: Path, kept: Path | None) -> None:
    """Fill the folder. kept: where the outputs of tutorials are kept between builds, or None."""
    shutil.rmtree(folder, ignore_errors=True)
    staged = Staged(folder)
    for files in pages.groups().values():
        for file in files:
            name = str(file.relative_to(ROOT))
            place = staged.place(name)
            if file.suffix == ".py":
                print(name, flush=True)
                notebook = notebooks.executed(file, kept)
                staged.write(place, notebooks.page(notebook, file, lambda t, n=name, p=place: staged.relinked(t, n, p)))
            else:
                staged.write(place, staged.relinked(file.read_text(encoding="utf-8"), name, place))
    for name, text in reference.pages().items():
        staged.write(name, text)
    staged.write("claims.md", frame("What the paper claims, measured", "claims/claims.html", CLAIMS))
    staged.write("watching.md", frame("Step through a model", "watch.html", WATCH))
    start = (ROOT / pages.START).read_text(encoding="utf-8")
    staged.write("index.md", staged.relinked(start, pages.START, "index.md") + contents())
    while staged.listed:
        listing(staged, staged.listed.pop())


def contents() -> str:
    """The tables of contents of the start page; furo shows them at the left."""
    entries = {caption: [pages.docname(f) for f in files] for caption, files in pages.groups().items()}
    entries["Reference"] = reference.docnames()
    *first, speed, project = pages.GROUPS
    entries["Experiments"].append("claims")
    entries["Learn"].append("watching")
    return "".join(
        f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n:maxdepth: 1\n\n" + "\n".join(entries[caption]) + "\n```\n"
        for caption in [*first, "Reference", speed, project]
    )


def frame(title: str, file: str, text: str) -> str:
    """A page that leads to a page which isn't Sphinx's: a toctree holds only Sphinx's own."""
    return f'# {title}\n\n<a href="{file}"><strong>Open the page</strong></a>. {text}\n'


def listing(staged: Staged, file: str) -> None:
    """A page that lists a source file."""
    (staged.folder / "files" / file).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / file, staged.folder / "files" / file)
    language = LISTED[Path(file).suffix]
    include = f"```{{literalinclude}} /files/{file}\n:language: {language}\n:linenos:\n```"
    staged.write(
        f"source/{file}.md",
        f"---\norphan: true\nnosearch: true\n---\n\n# {file}\n\n{{download}}`Download </files/{file}>`\n\n{include}\n",
    )


def finished_pages(out: Path) -> None:
    """Pages that are HTML already: the claims, and the model that one steps through."""
    shutil.copytree(ROOT / "docs" / "claims", out / "claims", dirs_exist_ok=True)
    net, params = load(WATCHED)
    text = watch.page(net, params, Recall(), np.random.default_rng(0))
    (out / "watch.html").write_text(text, encoding="utf-8")
