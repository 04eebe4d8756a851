"""The reference: a page for `minissm` and each of its modules, from the docstrings and docs/site/examples/*.txt.

Nothing here needs Sphinx, so that a quick test can ask whether each public name has an entry and an example.
"""

import argparse
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import minissm as ms
from minissm import cli

EXAMPLES = Path(__file__).parent / "examples"
FIRST = ["model", "train", "evaluate", "spec", "layers", "ssm", "attention", "selective", "lstm", "mean", "filters"]
PRELUDE = """import numpy as np
import minissm as ms

rng = np.random.default_rng(0)
x = rng.normal(size=(2, 7, 4))    # B 2, L 7, D 4"""
ARGUMENT = re.compile(r"(\*{0,2}[a-z_]\w*(?:\(.*?\))?(?:, [a-z_]\w*)*): (.*)", re.DOTALL)


def modules() -> list[str]:
    """The public modules, as attributes of minissm; "" for minissm itself."""
    return ["", *(name for name in ms.__all__ if inspect.ismodule(getattr(ms, name)))]


def module_of(name: str) -> ModuleType:
    return getattr(ms, name) if name else ms


def entries(name: str) -> dict[str, Any]:
    """The public functions and classes of a module, by name: its __all__, or what is defined below it.

    A name that minissm itself has is left to its page.
    """
    module = module_of(name)
    names = getattr(module, "__all__", None) or [n for n in vars(module) if not n.startswith("_")]
    found = {n: getattr(module, n) for n in names if not inspect.ismodule(getattr(module, n))}
    if hasattr(module, "__all__"):
        return found
    here = {n: o for n, o in found.items() if callable(o) and getattr(o, "__module__", "").startswith(module.__name__)}
    return {n: o for n, o in here.items() if getattr(ms, n, None) is not o}


def examples(name: str) -> dict[str, str]:
    """The examples of a module's names. In the file, a name stands at the left margin above its indented example."""
    file = EXAMPLES / f"{name or 'minissm'}.txt"
    parts = re.split(r"^(?=\S)", file.read_text(encoding="utf-8"), flags=re.MULTILINE) if file.exists() else []
    return {head.strip(): inspect.cleandoc(f"\n{body}") for head, _, body in (p.partition("\n") for p in parts if p)}


def signature(thing: Any) -> str:
    """The arguments with their defaults, without types: the docstring has the shapes."""
    try:
        parameters = inspect.signature(thing).parameters.values()
    except ValueError:  # an exception class
        return ""
    kept = [p.replace(annotation=inspect.Parameter.empty) for p in parameters if not p.name.startswith("_")]
    return str(inspect.Signature(kept))


def escaped(text: str) -> str:
    """Text of a docstring as Markdown: only what stands in backticks is marked up."""
    parts = re.split(r"(`[^`]+`)", text)
    return "".join(p if p.startswith("`") else re.sub(r"([\\*_<>\[\]$|#~^])", r"\\\1", p) for p in parts)


def markdown(docstring: str) -> str:
    """A docstring as Markdown: prose, indented blocks, and lists of arguments, one a line."""
    return "\n\n".join(map(_paragraph, re.split(r"\n\s*\n", docstring.strip("\n"))))


def _paragraph(text: str) -> str:
    if all(line.startswith("    ") for line in text.split("\n")):
        return f"```text\n{inspect.cleandoc(text)}\n```"
    items = re.split(r"\n(?=\S)", text)
    if not any(ARGUMENT.match(item) or item.startswith(("-> ", "- ")) for item in items):
        return escaped(" ".join(line.strip() for line in text.split("\n")))
    return "\n".join(_item(" ".join(line.strip() for line in item.split("\n"))) for item in items)


def _item(text: str) -> str:
    """One argument, one returned value or one point of a list."""
    if match := ARGUMENT.match(text):
        return f"- `{match[1]}`: {escaped(match[2])}"
    if text.startswith("-> "):
        return f"- returns {escaped(text[3:])}"
    return f"- {escaped(text.removeprefix('- '))}"


def directive(kind: str, head: str, body: str) -> str:
    fence = "`" * (5 if kind in ("method", "property") else 6)  # a class holds its methods
    return f"{fence}{{py:{kind}}} {head}\n\n{body}\n{fence}\n"


def entry(module: str, name: str, thing: Any, example: str | None) -> str:
    """A function or class with its docstring, its public methods and its example."""
    body = place(module, name, thing) + markdown(inspect.getdoc(thing) or "")
    if example:
        body += f"\n\n```pycon\n{example}\n```"
    if not inspect.isclass(thing):
        return directive("function", name + signature(thing), body)
    for own, method in vars(thing).items():
        plain = method.__func__ if isinstance(method, classmethod | staticmethod) else method
        if own.startswith("_") or not (documented := inspect.getdoc(plain)):
            continue
        text = place(module, f"{name}.{own}", thing, f".{own}") + markdown(documented)
        if callable(plain):
            first = "" if isinstance(method, staticmethod) else r"\((self|cls)(, )?"
            body += "\n\n" + directive("method", own + re.sub(first, "(", signature(plain), count=1), text)
        elif isinstance(method, property) or hasattr(method, "func"):
            body += "\n\n" + directive("property", own, text)
    return directive("class", name + signature(thing), body)


def place(module: str, name: str, thing: Any, own: str = "") -> str:
    """An anchor for the name in the file that defines it, where the listing of that file links to."""
    defined = f"{thing.__module__}.{thing.__qualname__}{own}"
    return "" if defined == f"{module}.{name}" else f'<span id="{defined}"></span>\n\n'


def page(name: str) -> str:
    """The page of a module. Names of minissm itself are grouped by the files that define them."""
    module, found, shown = module_of(name), entries(name), examples(name)
    head, _, about = (module.__doc__ or "").partition("\n")
    lines = [f"# {module.__name__}\n", f"{escaped(head)}\n", f"{markdown(inspect.cleandoc(about))}\n"]
    lines.append(f"```{{py:module}} {module.__name__}\n```\n")
    files = dict.fromkeys(t.__module__ for t in found.values()) if not name else [""]
    order = {f"minissm.{file}": i for i, file in enumerate(FIRST)}
    for file in sorted(files, key=lambda f: (order.get(f, len(order)), f)):
        if not name:
            lines.append(f"## {_title(file)}\n")
        lines += [entry(module.__name__, n, t, shown.get(n)) for n, t in found.items() if name or t.__module__ == file]
    return "\n".join(lines)


def _title(module: str) -> str:
    """The first sentence of a module's docstring, as a heading."""
    return escaped((sys.modules[module].__doc__ or "").split("\n")[0].rstrip("."))


def commands() -> str:
    """The help of each command."""
    lines = ["# Commands\n", "Each command with its options, as `minissm COMMAND --help` prints them.\n"]
    for parser in _parsers(cli._parser()):
        lines.append(f"## {parser.prog}\n\n```text\n{parser.format_help()}```\n")
    return "\n".join(lines)


def _parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The parsers of the commands, each with those of its own commands."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield below
                yield from _parsers(below)


def docnames() -> list[str]:
    return ["reference/index", "reference/commands", *(f"reference/{name or 'minissm'}" for name in modules())]


def pages() -> dict[str, str]:
    """The text of every page of the reference, by its file."""
    own = {"reference/index.md": index(), "reference/commands.md": commands()}
    return own | {f"reference/{name or 'minissm'}.md": page(name) for name in modules()}


def index() -> str:
    """All public names, each with its first line."""
    lines = ["# Reference\n", "Everything differentiable follows one rule: `*outputs, backward = f(*inputs)`.\n"]
    lines += ["The examples continue these lines; the tests run them:\n", f"```python\n{PRELUDE}\n```\n"]
    for name in modules():
        module = module_of(name).__name__
        lines += [f"## [{module}]({name or 'minissm'}.md)\n", "| name | |\n|---|---|"]
        for n, thing in entries(name).items():
            first = escaped((inspect.getdoc(thing) or "").split("\n")[0])
            lines.append(f"| {{py:obj}}`{n} <{module}.{n}>` | {first} |")
        lines.append("")
    return "\n".join(lines)
