"""The command line: the parser, and the message for each error. The commands are in lab/command.py and lab/bench.py.

Exit codes:

    0      done
    1      some runs stopped early
    2      the request can't be met; one sentence on stderr gives the reason
    130    interrupted by Ctrl-C; finished work is saved, and the message shows how to continue
    143    ended by SIGTERM; the same holds
"""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

MEMORY = "run: not enough memory ({}); choose a smaller --width or --budget"


class Parser(argparse.ArgumentParser):
    """A parser that reports an error in one sentence."""

    def error(self, message: str) -> NoReturn:
        page = f"{self.prog} run" if message.startswith("unrecognized") else self.prog  # of the outer parser
        self.exit(2, _one_line(f"{self.prog}: {message}; see {page} --help") + "\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line argv (None: sys.argv[1:]) -> exit code."""
    benching = (sys.argv[1:] if argv is None else argv)[:1] == ["bench"]
    try:
        arguments = _parser().parse_args(argv)
        code = arguments.command(arguments)
        sys.stdout.flush()
        return code
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        _say(f"minissm {error}")
    except MemoryError as error:
        how = "bench: not enough memory ({}); choose a smaller --batch, --length or --width" if benching else MEMORY
        _say(f"minissm {how.format(error)}")
    except BrokenPipeError:  # `minissm run copying | head`: the rest of the buffer has no reader either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _say("minissm: the reader of the output has gone; give it a file instead")
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        gone = isinstance(error, FileNotFoundError)
        how = "its folder was removed, start again" if gone else "free some space and go on with --resume"
        how = "free some space, or give another file" if benching else f"{how}, or choose another --out"
        _say(f"minissm: can't write{where} ({error.strerror or error}); {how}")
    except KeyboardInterrupt as stop:
        _say(f"minissm: interrupted; {stop}" if str(stop) else "minissm: interrupted")
        return getattr(stop, "code", 130)
    except Exception as error:
        if not type(error).__module__.startswith("cupy"):  # CuPy's compiler error has none of the types above
            raise
        _say(f"minissm: CuPy can't go on ({type(error).__name__}: {error}); docs/gpu.md has remedies")
    return 2


def _say(text: str) -> None:
    print(_one_line(text), file=sys.stderr)


def _one_line(text: str) -> str:
    """The text on one line; of a long text, the first and the last 250 characters."""
    text = " ".join(text.split())
    return text if len(text) <= 500 else f"{text[:250]} ... {text[-250:]}"


def _parser() -> Parser:
    from .lab import bench, command

    parser = Parser(
        prog="minissm", description="State space models, FNNs and attention in NumPy, every gradient by hand."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)
    command.add(commands)
    bench.add(commands)
    return parser
