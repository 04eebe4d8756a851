"""The command line: the parser, and one sentence for each error. Commands add themselves by `add(commands)`.

Exit codes:

    0       done
    1       some runs broke off; written weights, or what `course try` and `selftest` grade, give a wrong answer
    2       an error, explained in one sentence
    130     interrupted by Ctrl-C; a run has saved and prints the command to resume
    143     ended by SIGTERM; the same
"""

import argparse
import difflib
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from .files import shown
from .progress import tell, usable_streams

MEMORY = "run: not enough memory ({}); choose a smaller --width or --budget"
EXAMPLES = """examples:
  minissm demo                 three models learn recall, or don't, in a minute
  minissm run copying --models "ssm; ssm + fnn1" --steps 500
                               compare models of your own
  minissm run --help           all options of a comparison
"""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, _one_line(f"{self.prog}: {message}; see {self.prog} --help") + "\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """No argument is left for the outer parser, which doesn't know the options of a command."""
        namespace, left = super().parse_known_args(args, namespace)
        if left:
            self.error(f"unrecognized arguments: {' '.join(left)}{self._hint(left[0], args or ())}")
        return namespace, left

    def _hint(self, word: str, words: Sequence[str]) -> str:
        """What was probably meant by the word that isn't recognized."""
        if word.startswith("+") or "+" in words:
            return '; a spec with spaces needs quotes: --models "ssm + fnn1"'
        options = [option for action in self._actions for option in action.option_strings]
        close = difflib.get_close_matches(word.partition("=")[0], options, 1)
        return f"; did you mean {close[0]}?" if close else ""

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Help that can't be printed is an error too."""
        sys.stdout.flush()
        super().exit(status, message)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. -> exit code."""
    with usable_streams():
        return _main(argv)


def _main(argv: Sequence[str] | None) -> int:
    benching = (sys.argv[1:] if argv is None else argv)[:1] == ["bench"]
    try:
        parser = _parser()
        arguments = parser.parse_args(argv)
        if not hasattr(arguments, "command"):
            parser.print_help()
            parser.exit()
        if [] in vars(arguments).values():  # what argparse makes of `--models=--`
            parser.error("an option is given the value --; expected another")
        code = arguments.command(arguments)
        sys.stdout.flush()
        return code
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        _say(f"minissm {error}")
    except MemoryError as error:
        how = "bench: not enough memory ({}); choose a smaller --batch, --length or --width" if benching else MEMORY
        _say(f"minissm {how.format(error)}")
    except OSError as error:
        if error.filename is None:  # stdout
            gone = isinstance(error, BrokenPipeError)
            what = "the reader of the output has gone" if gone else f"can't print ({error.strerror or error})"
            _say(f"minissm: {what}; give it a file instead")
        else:
            gone = isinstance(error, FileNotFoundError)
            how = "its folder was removed, start again" if gone else "free some space and go on with --resume"
            why = os.strerror(error.errno or 0)
            _say(f"minissm: can't write {shown(error.filename)} ({why}); {how}, or choose another --out")
    except KeyboardInterrupt as stop:
        _say(f"minissm: interrupted; {stop}" if str(stop) else "minissm: interrupted")
        return getattr(stop, "code", 130)
    except Exception as error:
        if not type(error).__module__.startswith("cupy"):  # CuPy's compiler has an error class of its own
            raise
        _say(f"minissm: CuPy can't go on ({type(error).__name__}: {error}); docs/gpu.md has remedies")
    return 2


def _say(text: str) -> None:
    tell(_one_line(text), "stderr")


def _one_line(text: str) -> str:
    """The text as one line; of a long one, the beginning and the end."""
    text = " ".join(text.split())
    return text if len(text) <= 500 else f"{text[:250]} ... {text[-250:]}"


def _parser() -> Parser:
    from . import __version__
    from .classroom import command as classroom
    from .constructions import command as constructions
    from .lab import bench, command, demo, tasks_command
    from .lab.claims import command as claims
    from .watch import command as watch

    parser = Parser(
        prog="minissm",
        description="State space models, FNNs and attention in NumPy, every gradient by hand.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"minissm {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", parser_class=Parser)
    demo.add(commands)
    command.add(commands)
    bench.add(commands)
    claims.add(commands)
    constructions.add(commands)
    tasks_command.add(commands)
    watch.add(commands)
    classroom.add(commands)
    return parser
