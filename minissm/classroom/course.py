"""A course is a folder: `course.toml`, which the instructor edits, and `secret`, which is open to its owner alone.

A student's sheets and hidden cases are drawn from HMAC-SHA256(secret, what, exercise, student). They are the same for
every hand-in and on every machine, and can't be computed without the secret.
"""

import csv
import hmac
import io
import json
import os
import re
import tomllib
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..files import Name, shown, write_whole
from .exercise import Exercise, P, every

SETTINGS, SECRET, SECONDS = "course.toml", "secret", 5
TEMPLATE = Path(__file__).with_name(SETTINGS).read_text(encoding="utf-8")  # a new course; what is left out is as here
VARIANTS = ("student", "class")
FEEDBACK = ("visible", "after_due_date", "after_published", "hidden")  # as Gradescope says it
COLUMNS = ("github_username", "id", "identifier", "email", "student")  # of the platforms; of our grades.csv
RULES: dict[str, tuple[Callable[[Any], object], str]] = {  # of course.toml: what a value is, and in words
    "name": (lambda v: isinstance(v, str) and v.isprintable(), "a line of text"),
    "variants": (VARIANTS.__contains__, " or ".join(VARIANTS)),
    "feedback": (FEEDBACK.__contains__, " or ".join(FEEDBACK)),
    "assignments": (lambda v: isinstance(v, list) and v and all(isinstance(x, str) for x in v), "a list of exercises"),
    "points": (lambda v: type(v) in (int, float) and 0.01 <= v <= 1000, "a number from 0.01 to 1000"),
    "seconds": (lambda v: type(v) in (int, float) and 1 <= v <= 600, "a number from 1 to 600"),
    "left_out": (lambda v: isinstance(v, list) and all(isinstance(x, dict) for x in v), "a list of sheets"),
}


@dataclass(frozen=True, eq=False)
class Course:
    """A course that was checked. The keys of points, seconds and left_out are names of exercises."""

    folder: Path
    secrets: tuple[bytes, ...]  # this year's, last year's, ...
    name: str
    variants: str
    feedback: str
    assignments: dict[int, tuple[str, ...]]
    points: dict[str, float]
    seconds: dict[str, float]
    left_out: dict[str, list[P]]

    def assignment(self, number: int | str) -> tuple[str, ...]:
        """The names of its exercises. ValueError if there is no such assignment."""
        known = {str(n): names for n, names in self.assignments.items()}
        if str(number) not in known:
            raise ValueError(f"course: assignment {number!r:.40} isn't in {SETTINGS}; expected {', '.join(known)}")
        return known[str(number)]

    def sheet(self, exercise: str, student: str) -> P:
        """The student's variant, constants and planted mistakes. A class course has one sheet for all students.

        A catch has the sheet of the exercise whose mistakes it exposes. Sheets of earlier courses are not drawn while
        another variant is left.
        """
        of = every()[every()[exercise].of or exercise]
        earlier, sheet = list(self.left_out.get(of.name, ())), {}
        for secret in reversed(self.secrets):  # from the oldest: each year left out those before it
            rng = _generator(secret, "sheet", of.name, student if self.variants == "student" else "")
            sheet = _draw(of, rng, earlier)
            earlier.append(sheet)
        return sheet

    def generator(self, exercise: str, student: str) -> np.random.Generator:
        """The generator of the hidden cases. Each student has other cases, in a class course, too."""
        return _generator(self.secrets[0], "cases", exercise, student)

    def fingerprint(self) -> str:
        """A hash of the secret, "-", a hash of all else that changes a grade. The secret can't be computed from it."""
        settings = [self.variants, self.left_out, self.points, self.seconds, __version__]
        sources = {name: exercise.source for name, exercise in every().items()}
        key = b"".join(self.secrets)
        return f"{_mac(key, 'secret').hex()[:16]}-{_mac(key, 'settings', settings, sources).hex()[:16]}"


def new(folder: Name, after: Name | None = None, variants: str = "student") -> None:
    """Make a course. ValueError in one sentence if it can't be made; no file of it is left then.

    after: the folder of an earlier course, whose sheets are not drawn again as far as that is possible. Of a class
    course, these are its sheet and those that it left out. From a student course to a student course, the old secret
    is kept as a further line of the new one: a student who repeats the course gets another sheet. A class course after
    a student course repeats some student's sheet.
    """
    path, old = Path(os.fsdecode(folder)), None if after is None else read(after)
    with one_sentence(path, "a folder without a course; choose another"):
        _need(variants in VARIANTS, f"variants {variants!r:.40}", " or ".join(VARIANTS))
        _need(not os.path.lexists(path / SETTINGS), f"it has a {SETTINGS}", "a folder without a course")
        chain = old.secrets if old and old.variants == variants == "student" else ()
        text = TEMPLATE.replace('\nvariants = "student"', f'\nvariants = "{variants}"') + _left_out(old)
        path.mkdir(parents=True, exist_ok=True)
        (path / SECRET).touch(0o600, exist_ok=False)
        try:
            secrets = "".join(f"{secret.hex()}\n" for secret in (os.urandom(32), *chain))
            write_whole(path / SECRET, lambda file: file.write(secrets.encode()))
            write_whole(path / SETTINGS, lambda file: file.write(text.encode()))
        except BaseException:
            os.unlink(path / SECRET)
            raise


def _left_out(old: Course | None) -> str:
    """The end of course.toml: sheets of the old course, and those that it left out itself."""
    left_out = dict(old.left_out) if old else {}
    if old and old.variants == "class":
        for name in (name for name, exercise in every().items() if not exercise.of):
            left_out[name] = [*left_out.get(name, ()), old.sheet(name, "")]
    text = ""
    for name, sheets in left_out.items():
        tables = (", ".join(f"{key} = {json.dumps(value)}" for key, value in sheet.items()) for sheet in sheets)
        text += f"{name} = [\n" + "".join(f"    {{{table}}},\n" for table in tables) + "]\n"
    return text


def read(folder: Name) -> Course:
    """Read the course. ValueError in one sentence if something is wrong with it."""
    path = Path(os.fsdecode(folder))
    with one_sentence(path / SETTINGS, "the folder of a course; minissm course new makes one"):
        settings = _settings(tomllib.loads((path / SETTINGS).read_bytes().decode("utf-8-sig")))
    with one_sentence(path / SECRET, "the secret of the course; restore it from a copy"):
        mode, lines = os.stat(path / SECRET).st_mode, (path / SECRET).read_bytes().decode().split()
        closed = os.name != "posix" or not mode & 0o077
        _need(closed, "others may open it", f"a file for its owner alone: chmod 600 {shown(path / SECRET)}")
        whole = lines and all(re.fullmatch("[0-9a-f]{64}", line) for line in lines)
        _need(whole, "it is damaged" if lines else "it is empty", "lines of 64 hexadecimal digits, from a copy")
    return Course(path, tuple(map(bytes.fromhex, lines)), **settings)


def _settings(found: dict[str, Any]) -> dict[str, Any]:
    """What course.toml says, or what a new one says. ValueError("what it says; expected what") if it is wrong."""
    usual, exercises = tomllib.loads(TEMPLATE), f"one of {', '.join(every())}"
    for key, value in found.items():
        _need(key in usual, f"{key!r:.60} is unknown", f"one of {', '.join(usual)}")
        right, words = RULES[key]
        if not isinstance(usual[key], dict):
            _need(right(value), f"{key} is {value!r:.60}", words)
            continue
        _need(isinstance(value, dict), f"{key} is {value!r:.60}", f"a table [{key}]")
        for name, item in value.items():
            known = re.fullmatch("[1-9][0-9]?", name) if key == "assignments" else name in every()
            _need(known, f"{name!r:.60} in {key} is unknown", "a number" if key == "assignments" else exercises)
            _need(right(item), f"{name} in {key} is {item!r:.60}", words)
    settings = {key: found.get(key) or value for key, value in usual.items()}
    settings["points"] = {name: exercise.points for name, exercise in every().items()} | settings["points"]
    settings["seconds"] = dict.fromkeys(every(), SECONDS) | settings["seconds"]
    handed_in = [name for names in settings["assignments"].values() for name in names]
    for name in handed_in:
        _need(name in every(), f"{name!r:.60} in assignments is unknown", exercises)
        _need(handed_in.count(name) == 1, f"{name} is twice in assignments", "each exercise once")
    return settings | {"assignments": {int(n): tuple(names) for n, names in settings["assignments"].items()}}


@contextmanager
def one_sentence(path: Name, expected: str) -> Iterator[None]:
    """What can be wrong with the file, as a ValueError. expected: what the file is; what to do."""
    try:
        yield
    except OSError as error:
        raise ValueError(f"course: {shown(path)}: {error.strerror}; expected {expected}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"course: {shown(path)}: byte {error.start} isn't UTF-8; save the file as UTF-8") from None
    except (ValueError, RecursionError, csv.Error) as error:
        raise ValueError(f"course: {shown(path)}: {error}; correct it, or give another") from None


def _need(right: object, found: str, expected: str) -> None:
    if not right:
        raise ValueError(f"{found}; expected {expected}")


def _draw(exercise: Exercise, rng: np.random.Generator, earlier: list[P]) -> P:
    """A sheet that is none of the earlier ones. Where no variant is left, the oldest come back first."""
    kept = earlier
    while all(any(variant.items() <= sheet.items() for sheet in kept) for variant in exercise.drawn()):
        kept = kept[1:]
    for _ in range(100):  # constants and planted mistakes can come out as before
        sheet = exercise.draw(rng, kept)
        if json.dumps(sheet) not in map(json.dumps, earlier):
            break
    return sheet


def _mac(key: bytes, *words: Any) -> bytes:
    """JSON joins the words so that no other words have the same text."""
    return hmac.digest(key, json.dumps(words, sort_keys=True).encode(), "sha256")


def _generator(secret: bytes, what: str, exercise: str, student: str) -> np.random.Generator:
    """A sheet takes integers alone from it: NumPy keeps those of PCG64, but may make normal numbers another way."""
    return np.random.Generator(np.random.PCG64(int.from_bytes(_mac(secret, what, exercise, _same(student)))))


def _same(student: str) -> str:
    """One name for Anna@x.edu and anna@x.edu, for an accent of one character or of two, for one space or two."""
    return " ".join(unicodedata.normalize("NFC", student).split()).casefold()


def roster(path: Name, key: str | None = None) -> list[str]:
    """The students of a list: a text file with one a line, or a table as the platforms export it.

    key: the column of the table; by default the first of COLUMNS that is there. ValueError in one sentence.
    """
    students: dict[str, str] = {}
    with one_sentence(path, "a list of students; give another"):
        with open(path, "rb") as file:
            data = file.read((1 << 18) + 1)
        _need(len(data) <= 1 << 18, "it has more than 256 KB", "a list of students")
        text = data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n").strip("\n")
        first = text.partition("\n")[0]
        mark = max(",;\t", key=first.count)
        table = key is not None or mark in first or first.strip().casefold() in COLUMNS
        rows = csv.reader(io.StringIO(text), delimiter=mark)
        for student in filter(None, map(str.strip, _column(list(rows), key) if table else text.split("\n"))):
            fit = student.isprintable() and len(student) <= 60  # as much as is kept of a hand-in's name
            _need(fit, f"a student is {student!r:.80}", "at most 60 printable characters")
            _need(_same(student) not in students, f"it names {student:.60} twice", "each student once")
            students[_same(student)] = student
        _need(students, "it names no student", "one per line, or a table with one per row")
    return list(students.values())


def _column(rows: list[list[str]], key: str | None) -> list[str]:
    """The cells below the key. Of Moodle's "Participant 123", in any language, the number."""
    head = [cell.strip().casefold() for cell in rows[0]] if rows else []
    found = [name for name in (COLUMNS if key is None else [key.strip().casefold()]) if name in head]
    what = "no column that names students" if key is None else f"no column {key!r:.60}"
    _need(found, what, f"a --key of {', '.join(map(repr, rows[0] if rows else ())):.300}")
    at = head.index(found[0])
    cells = [row[at].strip() if at < len(row) else "" for row in rows[1:] if any(map(str.strip, row))]
    whole = "" not in cells[2:] or found[0] == COLUMNS[0]  # on GitHub, a student who hasn't joined has no name
    _need(whole, f"a row without {found[0]!r:.60}", "one in each row, except for Canvas's extra rows")
    return [re.sub(r"^\D*[\s/]\D*(\d+)$", r"\1", cell) for cell in cells]
