"""Which pages the site has, and in which order: caption of a group -> files of the repository, by pattern.

A page that an earlier group holds is left out of later ones.
"""

from pathlib import Path

ROOT = Path(__file__).parents[2]
GROUPS = {
    "Learn": ("tutorials/[0-9]*.py", "docs/constructions.md"),
    "Teach": ("docs/howto/teach.md", "docs/howto/computer-lab.md"),
    "How to": ("docs/howto/*.md",),
    "Understand": ("docs/glossary.md", "docs/notation.md", "docs/gradients.md", "docs/architecture.md"),
    "Experiments": ("docs/experiments.md", "docs/regression.md"),
    "Speed and GPU": ("docs/performance.md", "docs/gpu.md"),
    "Project": ("docs/comparison.md", "CONTRIBUTING.md", "CHANGELOG.md"),
}
START = "docs/index.md"


def groups() -> dict[str, list[Path]]:
    """The files of each group."""
    found: dict[str, list[Path]] = {}
    for caption, patterns in GROUPS.items():
        held = {file for files in found.values() for file in files}
        found[caption] = [file for pattern in patterns for file in sorted(ROOT.glob(pattern)) if file not in held]
    return found


def docname(file: Path) -> str:
    """The page of the file in the site, without a suffix: docs/gpu.md is gpu, tutorials/01_x.py is tutorials/01_x."""
    return file.relative_to(ROOT).with_suffix("").as_posix().removeprefix("docs/")
