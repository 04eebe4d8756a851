"""The site: `python -m docs.build` in the root of a clone writes docs/_build/html, without any request to anywhere.

stage      copies the pages, runs the tutorials, writes the reference (docs/site/stage.py)
sphinx     makes HTML of them; a warning is an error
check      finds dead links and requests to other machines (docs/site/check.py)
"""

import argparse
import shutil
import sys
import time
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parent.parent
NEEDS = "sphinx", "myst_nb", "furo", "latex2mathml", "ziamath", "jupytext", "ipykernel"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m docs.build", description="Build the site, offline.")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "_build" / "html", help="folder for the pages")
    parser.add_argument("--reuse", action="store_true", help="keep the outputs of tutorials that didn't change")
    options = parser.parse_args(argv)
    if missing := [name for name in NEEDS if not find_spec(name)]:
        print(f"docs.build: without {', '.join(missing)}; the site needs the extra docs; pip install -e '.[docs]'")
        return 2
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        if any(options.out.iterdir()) and not (options.out / ".buildinfo").exists():
            print(f"docs.build: --out {options.out}: has files of its own; expected an empty folder or an earlier site")
            return 2
    except OSError as error:
        print(f"docs.build: --out {options.out}: {error.strerror}; expected a folder that can be written")
        return 2
    return build(options.out.resolve(), reuse=options.reuse)


def build(out: Path, *, reuse: bool) -> int:
    from sphinx.cmd.build import build_main  # here, since main() says what to install without it

    from .site import check, notebooks, stage

    start = time.perf_counter()
    work = ROOT / "build" / "site"
    try:
        stage.everything(work / "source", work / "notebooks" if reuse else None)
    except notebooks.TutorialError as error:
        print(f"docs.build: {error}")
        return 1
    print("pages", flush=True)
    html = work / "html"  # `out` is replaced at the end: a build that fails leaves the earlier site as it was
    shutil.rmtree(html, ignore_errors=True)
    config = str(ROOT / "docs" / "site")
    strict = ["-q", "-W", "--keep-going", "-E"]
    if build_main([*strict, "-c", config, "-d", str(work / "tree"), str(work / "source"), str(html)]):
        return 1
    stage.finished_pages(html)
    faults = check.faults(html)
    shutil.rmtree(out)
    shutil.copytree(html, out)
    print("\n".join(faults) or f"{out / 'index.html'}: built and checked in {time.perf_counter() - start:.0f} s")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
