"""Whose file is it? A class as Canvas, Moodle, Gradescope or GitHub Classroom give it out; nothing is unpacked.

    Canvas      smithann_LATE_1234_56789_ex1-2.py; -2 is Canvas's mark of a second resubmission
    Moodle      Ann Smith_1234_assignsubmission_file_/ex1.py, or without folders ..._assignsubmission_file_ex1.py
    Gradescope  submission_1234/ex1.py; submission_metadata.yml says whose it is
    GitHub      SLUG-submissions/SLUG-USER/ex1.py, as `gh classroom clone student-repos` makes them
    by hand     STUDENT/ex1.py, or STUDENT_ex1.py

A name is read from the outside in: what a student calls a file changes nothing about whose it is. What doesn't fit is
listed, never guessed.
"""

import errno
import os
import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from ..files import shown
from .judge import clean

MOST_BYTES, MOST_FILES, MOST_IN_ALL, DEEPEST = 1 << 18, 20_000, 1 << 28, 12
CANVAS = re.compile(r"(?:(?P<name>.+?)_)??(?P<late>LATE_)?(?P<id>\d+|anon_\w{5})_\d+_(?P<file>.+)")
MOODLE = re.compile(r"(?P<name>.+?)_(?P<id>\d+)_assignsubmission_file_?(?P<file>.*)")
GRADESCOPE, METADATA = re.compile(r"submission_\d+"), "submission_metadata.yml"
COPY = re.compile(r"(?:-\d{1,3}|[ _]?\(\d{1,3}\))+(?=\.\w+$)")  # ex1-2.py of Canvas, ex1 (1).py of a browser
HANDED_OUT = re.compile(  # and what systems and editors leave behind
    r"[.~].*|__.*__|__MACOSX|hints|venv|readme(\.\w+)?|test_public\.py|conftest\.py|pytest\.ini|thumbs\.db|desktop\.ini",
    re.IGNORECASE,
)
ARCHIVE = re.compile(r".*\.(zip|7z|rar|tar|tgz|gz|xz)", re.IGNORECASE)
UNSAFE = ("Cc", "Cs", "Zl", "Zp")  # categories: control characters, bytes that are no text, line separators
BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError, ValueError, OverflowError)

Read = Callable[[int], bytes]  # read(most) raises ValueError with the reason why not
File = tuple[list[str], Read, str]  # the parts of a name, and the whole of it for a sentence


class HandIn(NamedTuple):
    """One file of one student."""

    student: str
    exercise: str
    source: bytes | None
    problem: str = ""  # why there is no source
    origin: str = ""  # where it lies
    late: bool = False


def collect(path: str, exercises: Iterable[str]) -> tuple[list[HandIn], list[str]]:
    """The hand-ins of a folder, a zip or one file, and a sentence on each name that could not be matched.

    An ex1.py right inside a folder or a zip, with no folder beside it, belongs to the student that this is named by.
    ValueError: nothing is there, too much, or no readable zip.
    """
    full, exercises = os.path.abspath(path), tuple(exercises)
    folder, name = os.path.split(full)
    if os.path.isdir(full):
        return _matched(_below(full), name, exercises)
    if not os.path.isfile(full):
        raise ValueError(f"course: {shown(path)} is not there; expected a folder, a zip or a .py file of hand-ins")
    if name.lower().endswith(".py"):
        return _matched([(name, partial(_read, os.path.realpath(full)))], os.path.basename(folder), exercises)
    try:
        archive = zipfile.ZipFile(full)
    except BROKEN:
        expected = "expected a folder, a zip or a .py file of hand-ins; download it again"
        raise ValueError(f"course: {shown(path)} is no zip, or a broken one; {expected}") from None
    with archive:
        inside = [(i.filename, partial(_extract, archive, i)) for i in archive.infolist() if not i.is_dir()]
        return _matched(inside, os.path.splitext(name)[0], exercises)


def _below(root: str) -> Iterator[tuple[str, Read]]:
    """All files in the folder. Links are not followed."""

    def fail(error: OSError) -> None:
        raise ValueError(f"course: {shown(error.filename)} can't be read: {error.strerror}; change its permissions")

    for here, folders, files in os.walk(root, onerror=fail):
        links = [name for name in folders if os.path.islink(os.path.join(here, name))]
        deep = here.count(os.sep) - root.count(os.sep) >= DEEPEST
        folders[:] = [] if deep else [name for name in folders if not HANDED_OUT.fullmatch(name)]
        for full in (os.path.join(here, name) for name in files + links):
            yield os.path.relpath(full, root), partial(_read, full)


def _read(path: str, most: int) -> bytes:
    """A plain file, no link. Opening doesn't wait for the other end of a pipe."""
    flags = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        with open(path, "rb", opener=lambda name, f: os.open(name, f | flags)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ValueError("is no plain file")
            return file.read(most + 1)
    except OSError as error:
        link = error.errno == errno.ELOOP
        raise ValueError("is a link, which is not followed" if link else f"can't be read: {error.strerror}") from None


def _extract(archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int) -> bytes:
    """A plain member, read to the limit whatever its header says."""
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
        raise ValueError("is a link, which is not followed")
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError("is encrypted, or packed in an unusual way")  # bzip2 doesn't stop at a limit
    try:
        with archive.open(info) as file:
            data = file.read(most + 1)
    except BROKEN:
        data = None
    if data is None or len(data) != min(info.file_size, most + 1):
        raise ValueError("is damaged, or not of the size that the zip says")
    return data


def _matched(
    entries: Iterable[tuple[str, Read]], root: str, exercises: Sequence[str]
) -> tuple[list[HandIn], list[str]]:
    """Sort the names by student and exercise, and read the files."""
    files: list[File] = []
    listed: list[str] = []
    for count, (name, read) in enumerate(entries):
        if count == MOST_FILES:
            raise ValueError(f"course: {shown(root)} has more than {MOST_FILES:,} files; expected those of one class")
        parts = name.replace("\\", "/").split("/")
        if {"", ".", ".."} & {*parts} or name[1:2] == ":" or any(unicodedata.category(c) in UNSAFE for c in name):
            listed.append(f"{clean(name)!r} is no safe name; it was not read")
        elif not any(HANDED_OUT.fullmatch(part) for part in parts):
            files.append((parts, read, clean(name)))
    if not files and not listed:
        raise ValueError(f"course: {shown(root)} holds no hand-ins; expected {exercises[0]}.py of students")
    files, root = _unwrapped(files, root, exercises)
    claims: dict[tuple[str, str], list[HandIn]] = {}
    names: dict[str, set[tuple[str, str]]] = {}
    submitters: dict[str, list[str]] = {}
    in_all = 0
    for parts, read, origin in files:
        try:
            if parts == [METADATA]:
                submitters = _submitters(read(MOST_IN_ALL))
                continue
            owners, file, late = _owners(parts, root, len(files[-1][0]) > 1, submitters)
            if not (exercise := _exercise(file, exercises)):
                if not HANDED_OUT.fullmatch(COPY.sub("", file)):
                    advice = "unpack it into a folder named by the student's id" if ARCHIVE.fullmatch(file) else ""
                    raise ValueError(
                        f"is not one of {', '.join(f'{e}.py' for e in exercises)}{advice and '; '}{advice}"
                    )
                continue
            if not owners:
                raise ValueError("names no student; put it into a folder named by the student's id")
        except ValueError as error:
            listed.append(f"{origin} {error}")
            continue
        source, problem = None, f"{origin} is larger than {MOST_BYTES >> 10} KB"
        try:
            if len(data := read(MOST_BYTES)) <= MOST_BYTES:
                source, problem = data, ""
        except ValueError as error:
            problem = f"{origin} {error}"
        if (in_all := in_all + len(source or b"")) > MOST_IN_ALL:
            raise ValueError(f"course: {shown(root)} has more than {MOST_IN_ALL >> 20} MB; expected those of one class")
        for name, student in owners:
            known = unicodedata.normalize("NFC", " ".join(student.split()))
            hand_in = HandIn(clean(known, 60), exercise, source, problem, origin, late)
            names.setdefault(hand_in.student, set()).add((name, known))
            claims.setdefault(hand_in[:2], []).append(hand_in)
    hand_ins = [_one(same, names[student]) for (student, _), same in sorted(claims.items())]
    return hand_ins, listed + [f"{h.problem}; ask for {h.exercise}.py again" for h in hand_ins if h.problem]


def _exercise(file: str, exercises: Sequence[str]) -> str:
    """The exercise that the name says, or ""."""
    return next((e for e in exercises if COPY.sub("", file).lower() == f"{e}.py"), "")


def _unwrapped(files: list[File], root: str, exercises: Sequence[str]) -> tuple[list[File], str]:
    """Without the folders around all files, sorted; a folder with an exercise right inside is a student's."""
    while files and all(len(parts) > 1 for parts, *_ in files):
        top = files[0][0][0]
        direct = any(len(parts) == 2 and _exercise(parts[1], exercises) for parts, *_ in files)
        if direct or {parts[0] for parts, *_ in files} != {top} or MOODLE.fullmatch(top) or GRADESCOPE.fullmatch(top):
            break
        root, files = top, [(parts[1:], read, origin) for parts, read, origin in files]
    return sorted(files, key=lambda file: (file[0] != [METADATA], len(file[0]) > 1, file[0])), root


def _owners(
    parts: list[str], root: str, folders: bool, submitters: dict[str, list[str]]
) -> tuple[list[tuple[str, str]], str, bool]:
    """[(full name, id)] of the students, the name that the file had, whether it is late."""
    first, last = parts[0], parts[-1]
    if m := MOODLE.fullmatch(first):
        return [(m["name"], m["id"])], m["file"] or last, False
    if len(parts) > 1 and GRADESCOPE.fullmatch(first):
        return [("", student) for student in submitters.get(first, [])], last, False
    if len(parts) > 1:
        slug = root.removesuffix("-submissions")
        return [("", first.removeprefix(f"{slug}-") if slug != root else first)], last, False
    if m := CANVAS.fullmatch(last):
        return [(m["name"] or "", m["id"])], m["file"], bool(m["late"])
    student, _, file = last.rpartition("_")
    return [("", student or root)] if student or not folders else [], file, False


def _one(same: list[HandIn], names: set[tuple[str, str]]) -> HandIn:
    """The hand-in, without its source if it isn't clear which file it is, or whose."""
    first, origins = same[0], ", ".join(h.origin for h in same)
    if len(names) > 1:
        called = " and ".join(sorted(repr(clean(name or student)) for name, student in names))
        return first._replace(source=None, problem=f"{called} have one id, {first.student}: {origins}")
    if len({(h.source, h.problem) for h in same}) > 1:
        return first._replace(source=None, problem=f"{first.student} has more than one {first.exercise}.py: {origins}")
    return first


def _submitters(data: bytes) -> dict[str, list[str]]:
    """The numbers of who handed in each submission, else their addresses, from Gradescope's metadata.

    The keys of interest stand at fixed indents, and what students wrote is indented more: no YAML library is needed.
    """
    found = {}
    blocks = re.split(r"^(submission_\d+):\s*\n", data.decode("utf-8", "replace"), flags=re.M)
    for name, block in zip(blocks[1::2], blocks[2::2], strict=True):
        people = re.search(r"^  :submitters:\s*\n((?:  - .*\n|    .*\n)*)", block, re.M)
        keys = [
            dict(re.findall(r"^(?:    )?:(sid|email): *['\"]?(.*?)['\"]?\s*$", person, re.M))
            for person in re.split(r"^  - ", people[1] if people else "", flags=re.M)[1:]
        ]
        found[name] = [student for k in keys if (student := k.get("sid") or k.get("email", ""))]
    return found
