"""What students get: a folder with stubs, hints and public tests. It needs NumPy and pytest alone, not this package."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from string import Template

from ..files import Name, shown
from .collect import file_names
from .course import Course
from .exercise import FOLDER, every

TO_DO = {
    "write": "write {functions}",
    "catch": "give one small input that exposes wrong solutions of {of}",
    "make": "write {functions}, which return numbers with given properties",
    "repair": "find and fix the two mistakes in {functions}",
}
PYTEST = "[pytest]\naddopts = -q --tb=short -rN\nmarkers =\n"


def write(out: Name, course: Course, assignment: int | str, students: Sequence[str] | None = None) -> int:
    """Write the folder of the class, or OUT/STUDENT for each student. -> how many folders are new.

    No folder appears before all are complete. One that has these files already stays as it is, so the command may run
    again when a student joins. ValueError, and nothing is written, where a folder has other files.
    """
    if students is None and course.variants == "student":
        expected = '--roster FILE, or variants = "class" in course.toml'
        raise ValueError(f"course: each student has a sheet; no list of students is given; expected {expected}")
    root = Path(os.path.realpath(os.fsdecode(out)))
    places = {root: ""} if students is None else {root / name: s for s, name in file_names(students).items()}
    texts = {place: contents(course, assignment, student) for place, student in places.items()}
    part = root.parent / f".{os.urandom(6).hex()}.part"
    try:
        new = {}
        for place, files in texts.items():
            if not place.exists() or (place.is_dir() and not any(place.iterdir())):
                new[place] = files
            elif any(not (place / name).is_file() or (place / name).read_bytes() != b for name, b in files.items()):
                raise ValueError(f"course: {shown(place)} has other files; expected a new folder; choose another --out")
        for i, files in enumerate(new.values()):
            for name, data in files.items():
                (part / str(i) / name).parent.mkdir(parents=True, exist_ok=True)
                (part / str(i) / name).write_bytes(data)
        for i, place in enumerate(new):
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.exists():  # and is empty: it stays, since a shell may stand in it
                for file in (part / str(i)).iterdir():
                    os.rename(file, place / file.name)
            else:
                os.rename(part / str(i), place)
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fsdecode(out)) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return len(new)


def contents(course: Course, assignment: int | str, student: str) -> dict[str, bytes]:
    """The files of the student's folder (student "": of the class) by name. The same course gives the same bytes."""
    files, table, names = {}, [], course.assignment(assignment)
    tests = [(FOLDER / "public" / "head.py").read_text(encoding="utf-8")]
    for name in names:
        exercise, sheet = every()[name], course.sheet(name, student)
        files[f"{name}.py"] = exercise.stub(sheet).replace(
            f"points: {exercise.points}", f"points: {course.points[name]:g}", 1
        )
        files |= {f"hints/{name}-{i}.txt": hint + "\n" for i, hint in enumerate(exercise.hints, 1)}
        tests.append(exercise.public(sheet))
        functions = ", ".join(f"`{function}`" for function in exercise.returns)
        to_do = TO_DO[exercise.kind].format(functions=functions, of=f"`{exercise.of}.py`")
        table.append(f"| `{name}.py` | {exercise.title} | {course.points[name]:g} | {to_do} |")
    files["test_public.py"] = "\n\n".join(text.strip() + "\n" for text in tests)
    files["pytest.ini"] = PYTEST + "".join(f"    {e.name}: {e.title}\n" for e in every().values())
    own = course.variants == "student"
    readme = Template((FOLDER / "public" / "README.md").read_text(encoding="utf-8"))
    files["README.md"] = readme.substitute(
        course=course.name,
        number=assignment,
        owner=f"This is the folder of student {student}." if own else "All students have the same folder.",
        table="\n".join(table),
        first=names[0],
        files=", ".join(f"`{name}.py`" for name in names),
        seconds=" or ".join(f"{s:g}" for s in sorted({course.seconds[name] for name in names})),
        sheet="Your sheet is your own, and another student's has other conventions."
        if own
        else "The sheet has conventions of its own.",
    )
    return {name: text.encode() for name, text in files.items()}
