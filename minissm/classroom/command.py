"""The command `minissm course`: make a course, hand out sheets, grade, pack for Gradescope, test the grader itself."""

import argparse
import os
from functools import partial
from pathlib import Path
from typing import Any

from ..checks import check_integer
from ..files import shown
from ..progress import tell

ARGUMENTS = {
    "dir": "the folder of the course",
    "assignment": "its number in course.toml",
    "submissions": "a folder or a zip as the platform gives it, or one .py file",
    "exercise": "its name: ex1, ...",
}
TRUST = "run hand-ins without isolation: they can read, write and delete what you can"


def add(commands: Any) -> None:
    """Add the command to the parser."""
    course = commands.add_parser("course", help="exercises, sheets for students, and a grader", allow_abbrev=False)
    verbs = course.add_subparsers(metavar="VERB", required=True, parser_class=type(course))

    def verb(name: str, run: Any, text: str, *arguments: str) -> Any:
        parser = verbs.add_parser(name, help=text, description=text, allow_abbrev=False)
        parser.set_defaults(command=partial(_run, run))
        for argument in arguments:
            parser.add_argument(argument, metavar=argument.upper(), help=ARGUMENTS[argument])
        return parser

    new = verb("new", _new, "make a course: DIR/course.toml, which you edit, and DIR/secret", "dir")
    new.add_argument("--after", metavar="OLD", help="last year's course: its conventions are left out")
    new.add_argument(
        "--variants",
        choices=("student", "class"),
        default="student",
        help="draw conventions for each student, or once for the class (default student)",
    )
    sheets = verb("sheets", _sheets, "write what students get for an assignment", "dir", "assignment")
    sheets.add_argument("--out", required=True, help="the folder to write")
    sheets.add_argument("--roster", metavar="FILE", help="a list of students (CSV or text): one folder for each")
    sheets.add_argument("--key", metavar="COLUMN", help="the roster's column of ids (default: found by its name)")
    grade = verb("grade", _grade, "grade what students handed in", "dir", "assignment", "submissions")
    grade.add_argument("--out", required=True, help="the folder of grades; given again, the command continues there")
    grade.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="parallel jobs (default: one per core)")
    grade.add_argument("--again", action="store_true", help="grade all hand-ins, even those that have not changed")
    grade.add_argument("--roster", metavar="FILE", help="a list of students: those without a hand-in are listed")
    grade.add_argument("--worksheet", metavar="FILE", help="the platform's own CSV; a filled copy goes to --out")
    grade.add_argument("--column", metavar="NAME", help="the worksheet's column of points")
    grade.add_argument("--key", metavar="COLUMN", help="the roster's and worksheet's column of ids (default: by name)")
    grade.add_argument("--trust", action="store_true", help=TRUST)
    pack = verb("zip", _zip, "pack the grader of an assignment for Gradescope", "dir", "assignment")
    pack.add_argument("--out", required=True, metavar="FILE.zip", help="the file to write")
    pack.add_argument("--key", choices=("email", "name", "id"), default="email", help="the roster's id (default email)")
    test = verb("selftest", _selftest, "grade every solution and every planted mistake, in every variant")
    test.add_argument("exercises", nargs="*", default=(), metavar="EXERCISE", help="ex1, ... (default: all)")
    test.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="parallel jobs (default: one per core)")
    test.add_argument("--trust", action="store_true", help=TRUST)
    look = verb("try", _try, "print an exercise, or grade a file of yours; no course needed", "exercise")
    look.add_argument("file", nargs="?", metavar="FILE.py", help="your solution, in the convention that is printed")
    look.add_argument("--trust", action="store_true", help=TRUST)


def _run(command: Any, a: argparse.Namespace) -> int:
    """The command, with a sentence for what can't be read or written."""
    if "" in vars(a).values():  # an empty name is the folder in which the shell stands
        raise ValueError("course: an empty argument; expected a name; is a variable of the shell not set?")
    try:
        return command(a)
    except OSError as error:
        if error.filename is None:  # stdout: the same for all commands
            raise
        why, file = os.strerror(error.errno or 0), shown(error.filename)
        remedy = "what was done stays; correct this and give the same command again"
        raise ValueError(f"course: can't read or write {file} ({why}); {remedy}") from None


def _new(a: argparse.Namespace) -> int:
    from .course import new

    new(Path(a.dir), a.after and Path(a.after), a.variants)
    tell(f"course: {a.dir}   (edit course.toml; show the file secret to nobody, and keep a copy of it)")
    return 0


def _sheets(a: argparse.Namespace) -> int:
    from .course import read, roster
    from .sheets import write

    course = read(Path(a.dir))
    students = roster(Path(a.roster), a.key) if a.roster else None
    write(a.out, course, a.assignment, students)
    tell(f"sheets: {a.out}   ({len(students)} students)" if students else f"sheets: {a.out}")
    return 0


def _grade(a: argparse.Namespace) -> int:
    from .class_run import grade_class

    return grade_class(a)


def _zip(a: argparse.Namespace) -> int:
    from .autograder import pack
    from .course import read

    course = read(Path(a.dir))
    pack(course, course.assignment(a.assignment), a.out, a.key)
    tell(f"autograder: {a.out}   (upload it on Gradescope; it holds the secret)")
    return 0


def _selftest(a: argparse.Namespace) -> int:
    from .isolation import isolated
    from .selftest import run

    chosen, jobs = [exercise(name) for name in a.exercises], check_integer("course", "--jobs", a.jobs)
    call, _, first = isolated(a.trust)
    tell(first)
    return run(chosen, call, jobs)


def _try(a: argparse.Namespace) -> int:
    import numpy as np

    from .grade import grade
    from .isolation import isolated
    from .outputs import lines

    chosen = exercise(a.exercise)
    sheet = chosen.draw(np.random.default_rng(0), variant=chosen.variants[0])
    if a.file is None:
        tell(chosen.stub(sheet))
        return 0
    source = Path(a.file).read_bytes()
    call, _, first = isolated(a.trust)
    tell(first)
    graded = grade(chosen, sheet, np.random.default_rng(0), source, call)
    tell("\n".join(lines(graded)))
    return int(graded.score < graded.most)


def exercise(name: str) -> Any:
    """The exercise of this name. ValueError if there is none."""
    from .exercise import every

    if name not in every():
        raise ValueError(f"course: exercise {shown(name)}; expected one of {', '.join(every())}")
    return every()[name]
