"""`minissm demo`: the paper's point in a minute. Three models learn recall until 99 % of the answers are right."""

import argparse
from typing import Any

SETTINGS: dict[str, Any] = {
    "models": ("ssm + fnn1", "ssm + fnn1 + ssm + fnn1", "attn + fnn1 + attn + fnn1"),
    "seeds": 1,
    "until": 0.99,
}
BEFORE = """\
Recall: a sequence shows keys with values, then asks for the value of a key. Three models of one size learn it.
Expected: one layer with an FNN stays near the baseline; two of them, and attention, end early, at an accuracy of .99.

"""
AFTER = """
Step through the second model, token by token and back:   minissm watch {folder}
Learn how it works, in ten tutorials, from the first:     tutorials/01_a_filter_with_a_memory.py"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    demo = commands.add_parser(
        "demo", help="three models learn recall, or don't: a figure in a minute", allow_abbrev=False
    )
    demo.set_defaults(command=_demo)
    demo.add_argument("--out", metavar="DIR", help="folder for the results (default: a new dated one under runs/)")


def _demo(a: argparse.Namespace) -> int:
    from . import compare, machine
    from .command import show
    from .config import config_of
    from .studies import quoted

    config = config_of("recall", **SETTINGS)
    folder, rows, curves = compare.run(config, a.out, machine.cores(), about=BEFORE)
    code = show(config, folder, rows, curves)
    print(AFTER.format(folder=quoted(str(folder))))
    return code
