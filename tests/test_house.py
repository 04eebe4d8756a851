"""The house (docs/architecture.md): a file imports from lower levels, or from a name further left in its own."""

import ast
import tokenize
from graphlib import TopologicalSorter
from io import StringIO
from pathlib import Path

ROOT = Path(__file__).parent.parent / "minissm"
LEVELS = [
    names.split()
    for names in (
        "gpu backend shapes checks files progress notebook calls",
        "tree fast losses layers filters optim gradcheck tasks",
        "scan",
        "mean ssm attention selective lstm",
        "blocks spec model check_block checkpoint resume evaluate train",
        "plots lab constructions watch classroom",  # of the folders none imports another
        "cli __main__",
    )
]
WINGS = LEVELS[5][1:]
OUTSIDE = {
    "gpu",
    "progress",
    "notebook",
    "tasks",
    "fast",
    "plots",
    "lab",
    "constructions",
    "watch",
    "classroom",
    "cli",
    "__main__",
}  # what is not the core of the library
CORE, PACKAGE = 3060, 9750  # lines of code. To be tightened: the aims are 2,000 and 4,700
CLASSROOM, EXERCISE = 1790, 120  # lines of code of the classroom, not in PACKAGE, and of one exercise
LONGEST = 380  # lines of one file, with its comments


def module_of(path: Path) -> str:
    """ "" for minissm itself, "lab" for minissm/lab/__init__.py."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


EXERCISES = [*ROOT.glob("classroom/exercises/*.py"), *ROOT.glob("classroom/public/*.py")]  # texts, never imported
FILES = {module_of(path): path for path in sorted(ROOT.rglob("*.py")) if path not in EXERCISES}


def imports(path: Path) -> set[str]:
    """Modules of minissm that the file imports, however deep in a function. Names of `minissm` itself are none."""
    package = list(path.relative_to(ROOT).parent.parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1] + (node.module.split(".") if node.module else [])
            whole = {".".join([*base, alias.name]) for alias in node.names}
            found |= {name if name in FILES else ".".join(base) for name in whole}
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        absolute = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else names
        assert not any(name.split(".")[0] == "minissm" for name in absolute), f"{path}: import relatively"
    return found - {""}


def place(module: str) -> tuple[int, int]:
    """The level of the file or of the folder that it lies in, and how far right it stands there."""
    for i, names in enumerate(LEVELS):
        if (name := module.split(".")[0]) in names:
            return i, names.index(name)
    raise AssertionError(f"{module} has no level: give it one here and in docs/architecture.md")


def test_a_file_imports_from_lower_levels_or_from_further_left():
    for module, path in FILES.items():
        for other in imports(path) if module else ():
            folder, of = module.split(".")[0], other.split(".")[0]
            assert folder == of or place(other) < place(module), f"{module} imports {other}, which is no lower"
            assert folder == of or not {folder, of} <= set(WINGS), f"{module} imports {other}, another wing"


def test_no_imports_form_a_circle():
    """Within a folder, too; what a function imports when it is called counts as well."""
    TopologicalSorter({module: imports(path) - {module} for module, path in FILES.items()}).prepare()


def code_lines(path: Path) -> int:
    """Lines with code on them: no blank lines, comments, docstrings or lists of exported names."""
    text = path.read_text()
    code = set()
    for token in tokenize.generate_tokens(StringIO(text).readline):
        if token.type not in (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT):
            code |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node, clean=False):
            code -= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            code -= set(range(node.lineno, (node.end_lineno or 0) + 1))
    return len(code & {i for i, line in enumerate(text.split("\n"), 1) if line.strip()})


def test_the_core_and_the_package_stay_small():
    sizes = {module: code_lines(path) for module, path in FILES.items()}
    core = {module: size for module, size in sizes.items() if module.split(".")[0] not in OUTSIDE}
    print(sum(core.values()), sum(sizes.values()), sizes)
    assert sum(core.values()) <= CORE, core  # delete before adding
    classroom = sum(size for module, size in sizes.items() if module.split(".")[0] == "classroom")
    assert classroom <= CLASSROOM, sizes  # a grader must not look heavier than what it teaches
    assert sum(sizes.values()) - classroom <= PACKAGE, sizes
    assert max(map(code_lines, EXERCISES)) <= EXERCISE, "an exercise has grown past what one sees at once"
    longest = {module: len(path.read_text().split("\n")) for module, path in FILES.items()}
    assert max(longest.values()) <= LONGEST, "a file has grown past what one reads in ten minutes"
