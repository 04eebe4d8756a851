"""List the tutorials, or write them as executed notebooks.

    python -m tutorials                     the list
    python -m tutorials --notebooks DIR     DIR/01_a_filter_with_a_memory.ipynb, ...; runs each, some 2 minutes in all
    python -m tutorials 1 6 --notebooks DIR only these

Notebooks need `pip install -e '.[docs]'`.
"""

import argparse
import os
import sys
from pathlib import Path

from minissm.files import write_whole

FOLDER = Path(__file__).parent
PATHS = sorted(FOLDER.glob("[0-9]*.py"))


def title(path: Path) -> str:
    """ "6. Selection": the second line, without its marks."""
    return path.read_text(encoding="utf-8").splitlines()[1].removeprefix("# # ")


def main(argv: list[str] | None = None) -> int:
    """-> exit code"""
    parser = argparse.ArgumentParser(
        "python -m tutorials", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("numbers", nargs="*", help="numbers of tutorials; default: all")
    parser.add_argument("--notebooks", metavar="DIR", type=Path, help="where to write notebooks")
    arguments = parser.parse_args(argv)
    numbered = {str(int(path.name.split("_")[0])): path for path in PATHS}
    unknown = [n for n in arguments.numbers if n.lstrip("0") not in numbered]
    if unknown:
        parser.error(f"no tutorial {unknown[0]}; expected a number from {', '.join(numbered)}")
    chosen = [numbered[n.lstrip("0")] for n in arguments.numbers] or PATHS
    if arguments.notebooks is None:
        for path in chosen:
            print(f"{title(path):40s} tutorials/{path.name}")
        return 0
    try:
        import ipykernel  # noqa: F401  (the kernel)
        import nbformat

        from docs.site.notebooks import TutorialError, executed

        arguments.notebooks.mkdir(parents=True, exist_ok=True)
        for path in chosen:
            print(f"{title(path)} ...", end=" ", flush=True)
            try:
                text = nbformat.writes(executed(path)).encode()
            except TutorialError as error:
                print(error)
                return 1
            target = arguments.notebooks / f"{path.stem}.ipynb"
            write_whole(target, lambda file, text=text: file.write(text))
            print(target)
    except ImportError as error:
        parser.error(f"notebooks need {error.name}; pip install -e '.[docs]'")
    except OSError as error:
        parser.error(f"can't write {error.filename} ({os.strerror(error.errno or 0)}); choose another --notebooks")
    except KeyboardInterrupt:
        print("interrupted; the notebooks named above are complete", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
