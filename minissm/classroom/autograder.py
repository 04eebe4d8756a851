"""Gradescope: the zip that its page "Configure Autograder" takes, and what runs from it there for each submission.

The zip holds the grader, the solutions and the secret. There they are closed to all but root, and a submission runs as
another user, isolated as everywhere. Where nothing isolates, nothing is graded, and results.json says so.
"""

import io
import json
import os
import re
import shlex
import sys
import traceback
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..files import Name, write_whole
from .collect import HandIn, below, plain_name, source_of
from .course import Course, one_sentence, read
from .grade import Graded
from .isolation import isolated
from .judge import clean
from .marking import DOUBTFUL, grade_one
from .outputs import gradescope

WING = Path(__file__).parent
SCRIPTS = ("setup.sh", "run_autograder")
FAILED = (
    "Not graded: the grader doesn't work here. This says nothing about your work, which is stored. Instructor: {}. "
    "The output of the run says more; minissm course grade grades the downloaded submissions."
)


def pack(course: Course, exercises: Sequence[str], out: Name, key: str = "email") -> None:
    """Write the zip. The same course gives the same bytes. ValueError if it can't be written.

    key: what submission_metadata.json calls the students of the roster: "email", "name" or "id" (Gradescope's own)
    """
    words = {"@NUMPY@": np.__version__, "@WORDS@": shlex.join([key, *exercises])}
    files = {}
    for name in SCRIPTS:
        text = (WING / "gradescope" / name).read_text(encoding="utf-8")  # as bash needs it: without Windows's \r
        files[name] = re.sub("@[A-Z]+@", lambda m: words[m[0]], text).encode()
    files["minissm/__init__.py"] = f'__version__ = "{__version__}"\n'.encode()  # the wing needs no more of the library
    files["minissm/files.py"] = (WING.parent / "files.py").read_bytes()
    for path in (*WING.glob("*.py"), *WING.glob("exercises/*.py"), WING / "course.toml"):
        files[f"minissm/classroom/{path.relative_to(WING).as_posix()}"] = path.read_bytes()
    for name in ("course.toml", "secret"):
        files[f"course/{name}"] = (course.folder / name).read_bytes()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name)  # of 1980
            info.create_system, info.external_attr = 3, (0o100755 if name in SCRIPTS else 0o100600) << 16
            archive.writestr(info, files[name])
    mask = os.umask(0o077)  # the secret is in it
    try:
        with one_sentence(out, "a file that can be written; choose another --out"):
            write_whole(out, lambda file: file.write(packed.getvalue()))
    finally:
        os.umask(mask)


def results(root: Path, key: str, exercises: Sequence[str]) -> dict[str, Any]:
    """What results.json says about root/submission. An exception if nothing can be graded here.

    For a group, each exercise is graded on each member's sheet, and the best counts.
    """
    course = read(root / "source" / "course")
    call, _, first = isolated(False)
    users = json.loads((root / "submission_metadata.json").read_bytes())["users"]
    students = sorted(str(user[key]) for user in users if user.get(key))[: 1 if course.variants == "class" else None]
    if not students:
        raise ValueError(f"course: submission_metadata.json has no {key} of a user; pack the zip with another --key")
    graded = {}
    for exercise in exercises:
        hand = find(str(root / "submission"), exercise)
        tries = [_graded(course, hand._replace(student=student), call) for student in students]
        graded[exercise] = max(tries, key=lambda one: one.score)
    return gradescope(graded, course.feedback, first)


def _graded(course: Course, hand: HandIn, call: Callable[..., Any]) -> Graded:
    """Grade; once more if a busy machine may have stopped the hand-in."""
    graded = grade_one(course, hand, call)
    return grade_one(course, hand, call) if graded.stopped in DOUBTFUL else graded


def find(folder: str, exercise: str) -> HandIn:
    """The exercise's file in the outermost folder: a submission may be files, a folder or a repository."""
    file = f"{exercise}.py"
    found = {name: read for name, read in below(folder) if plain_name(os.path.basename(name)) == file}
    least = min((name.count(os.sep) for name in found), default=0)
    first = [read for name, read in found.items() if name.count(os.sep) == least]
    if len(first) != 1:
        return HandIn("", exercise, None, f"{file} is {'there more than once' if found else 'missing'}")
    source, problem = source_of(first[0])
    return HandIn("", exercise, source, problem and f"{file} {problem}")


def main(root: str, key: str, *exercises: str) -> None:
    """Write results.json. If something goes wrong, students read one sentence and the instructor the traceback."""
    try:
        found = results(Path(root), key, exercises)
    except Exception as error:
        traceback.print_exc()
        why = clean(str(error)) if isinstance(error, ValueError) else type(error).__name__
        found = {"score": 0, "visibility": "visible", "stdout_visibility": "hidden", "output": FAILED.format(why)}
    text = json.dumps(found, indent=1) + "\n"
    write_whole(Path(root, "results", "results.json"), lambda file: file.write(text.encode()))


if __name__ == "__main__":
    main(*sys.argv[1:])
