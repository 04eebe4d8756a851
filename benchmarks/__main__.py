"""python -m benchmarks [--quick] [--only lti,attention] [--backend cupy] [--json FILE] [--write-docs]

Exit codes: 0 done; 1 a method of minissm failed; 2 the request can't be met; 130 ended by Ctrl-C, with a whole file.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from minissm.files import check_place
from minissm.progress import tell, usable_streams

from .harness import report as reports
from .harness.measure import measure, workloads


def main(argv: Sequence[str] | None = None) -> int:
    with usable_streams():
        return _main(argv)


def _main(argv: Sequence[str] | None) -> int:
    known = workloads()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="minissm against PyTorch, JAX and Numba.")
    parser.add_argument(
        "--quick", action="store_true", help="fewer calls, two cases of most workloads, one on all cores"
    )
    parser.add_argument("--only", metavar="NAMES", help=f"some of {', '.join(known)}, joined by commas")
    parser.add_argument("--backend", choices=("numpy", "cupy"), default="numpy", help="default numpy; cupy: on a GPU")
    parser.add_argument("--json", metavar="FILE", help="the report, written whole after each case")
    parser.add_argument("--write-docs", action="store_true", help="measure nothing; pages from docs/results")
    arguments = parser.parse_args(argv)
    try:
        return write() if arguments.write_docs else run(arguments, known)
    except (ValueError, RuntimeError, OSError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2


def write() -> int:
    for path, text in reports.pages(Path(__file__).parents[1]).items():
        reports.write_text(path, text)
    return 0


def run(arguments: argparse.Namespace, known: dict) -> int:
    names = list(known) if arguments.only is None else arguments.only.split(",")
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"--only: {unknown[0]!r} is no workload; expected some of {', '.join(known)}")
    path = arguments.json
    if path is not None:
        check_place("--json", path)

    def keep(report: dict) -> None:
        if path is not None:
            try:
                reports.write_text(Path(path), json.dumps(report, indent=1) + "\n")
            except OSError as error:  # the cases that were measured are printed at the end
                tell(f"benchmarks: the report was not written: {error}", "stderr")

    report = measure({name: known[name] for name in names}, arguments.backend, arguments.quick, keep)
    print(reports.markdown(report), flush=True)
    if report["ended"]:
        print(f"benchmarks: ended {report['ended']}; the cases before it are shown", file=sys.stderr)
        return 130
    failed = [f for f in report["failures"] if f["library"] in ("minissm", "") and not f["memory"]]
    if failed:
        print(f"benchmarks: {len(failed)} of minissm's own failed; the reasons stand above", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
