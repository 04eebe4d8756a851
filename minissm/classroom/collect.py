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
import hashlib
import os
import re
import stat
import unicodedata
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from ..files import shown
from .judge import CONTROL, clean

MOST_BYTES, MOST_FILES, MOST_IN_ALL, MOST_LISTED, COPIES, DEEPEST, LONGEST = 1 << 18, 20_000, 1 << 28, 100, 20, 12, 500
PLATFORM = re.compile(r".+?_\d+_assignsubmission_file_?|submission_\d+")  # their names of a student's folder
CANVAS = re.compile(r"(?:(?P<name>.+?)_)??(?P<late>LATE_)?(?P<id>\d+|anon_\w{5})_\d+_(?P<file>.+)")
SHAPES = (  # of names, the first that fits; where there is no id, a submission's metadata or the folder around has it
    re.compile(r"(?P<name>[^/]+?)_(?P<id>\d+)_assignsubmission_file_?/?(?:.*/)?(?P<file>[^/]+)"),
    re.compile(r"(?P<submission>submission_\d+)/(?:.*/)?(?P<file>[^/]+)"),
    re.compile(r"(?P<id>[^/]+)/(?:.*/)?(?P<file>[^/]+)"),
    CANVAS,
    re.compile(r"(?P<id>.+)_(?P<file>[^_]+)"),
    re.compile(r"(?P<file>.+)"),
)
TWO_IDS = re.compile(r"(?:^|_)(?:anon_\w{5}|\d+)_(?:\d+(?=_)|assignsubmission_file).*_\d+_assignsubmission_file")
METADATA = "submission_metadata.yml"
COPY = re.compile(r"(?:-\d{1,3}|[ _]?\(\d{1,3}\))+(?=\.\w+$)")  # ex1-2.py of Canvas, ex1 (1).py of a browser
HANDED_OUT = re.compile(r"(?i)(readme|test_public|conftest|pytest)(\.\w+)?|thumbs\.db|desktop\.ini")
IGNORED = re.compile(r"(?i)[.~].*|__\w*__|__macosx|venv|hints")  # files and folders of ours, of systems and editors
UNSAFE = ("Cc", "Cs", "Zl", "Zp")  # categories: control characters, bytes that are no text, line separators
Read = Callable[[int], bytes]  # the first bytes, at most so many; ValueError: the reason why not


class HandIn(NamedTuple):
    """One file of one student."""

    student: str
    exercise: str
    source: bytes | None
    problem: str = ""  # why there is no source
    origin: str = ""  # where it lies
    late: bool = False


Found = tuple[list[HandIn], list[str]]


def collect(path: str, exercises: Iterable[str], students: Iterable[str] = ()) -> Found:
    """The hand-ins of a folder, a zip or one file, and a sentence on each name that could not be matched.

    An ex1.py right inside a folder or a zip, with no folder beside it, belongs to the student whose name this has.
    students: of the course, if known. Gradescope's are called by the address or the number that stands there, and a
        folder that was handed out is its student's, whatever the name
    ValueError: nothing is there, too much, or no readable zip.
    """
    wanted = {f"{exercise}.py": exercise for exercise in exercises}
    known = {name: student for student, name in file_names(students).items()}
    full = os.path.abspath(path)
    folder, name = os.path.split(full)
    if os.path.isdir(full):
        return _matched(below(full), name, wanted, known)
    if not os.path.isfile(full):
        raise ValueError(f"course: {shown(path)} is not there; expected a folder, a zip or a .py file of hand-ins")
    if name.lower().endswith(".py"):
        return _matched([(name, partial(_read, os.path.realpath(full)))], os.path.basename(folder), wanted, known)
    try:
        archive = zipfile.ZipFile(full)
    except Exception:  # zipfile raises eight kinds
        expected = "expected a folder, a zip or a .py file of hand-ins; download it again"
        raise ValueError(f"course: {shown(path)} is not a zip, or a damaged one; {expected}") from None
    with archive:
        inside = [(i.filename, partial(_extract, archive, i)) for i in archive.infolist() if not i.is_dir()]
        return _matched(inside, os.path.splitext(name)[0], wanted, known)


def below(root: str) -> Iterator[tuple[str, Read]]:
    """All files in the folder. Links are not followed."""

    def fail(error: OSError) -> None:
        raise ValueError(f"course: {shown(error.filename)} can't be read: {error.strerror}; change its permissions")

    for here, folders, files in os.walk(root, onerror=fail):
        links = [name for name in folders if os.path.islink(os.path.join(here, name))]
        deep = here.count(os.sep) - root.count(os.sep) >= DEEPEST
        folders[:] = [] if deep else [name for name in folders if not IGNORED.fullmatch(name)]
        for full in (os.path.join(here, name) for name in files + links):
            yield os.path.relpath(full, root), partial(_read, full)


def _read(path: str, most: int) -> bytes:
    """A plain file, no link. Opening doesn't wait for the other end of a pipe."""
    flags = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        with open(path, "rb", opener=lambda name, f: os.open(name, f | flags)) as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return file.read(most)
        raise ValueError("is not a plain file")
    except OSError as error:
        link = error.errno == errno.ELOOP
        raise ValueError("is a link, which is not followed" if link else f"can't be read: {error.strerror}") from None


def _extract(archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int) -> bytes:
    """A plain member, read to the limit whatever its header says."""
    plain = stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG) and not info.flag_bits & 1
    if not plain or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # bzip2 stops at no limit
        raise ValueError("is a link, or encrypted, or packed in an unusual way")
    with suppress(Exception), archive.open(info) as file:
        data = file.read(most)
        if len(data) == min(info.file_size, most):
            return data
    raise ValueError("is damaged, or has another size than the zip says")


def _matched(entries: Iterable[tuple[str, Read]], root: str, wanted: dict[str, str], known: dict[str, str]) -> Found:
    """Match the names to students, and read the files.

    wanted: the exercises by the names of their files; known: students by the names of their folders
    """
    files, listed = _sifted(entries, root)
    if not files and not listed:
        raise ValueError(f"course: {shown(root)} holds no hand-ins; expected {', '.join(wanted)} of students")
    around = _around([name for name, _ in files], wanted)
    inside = sorted(((name[len(around) :], read) for name, read in files), key=lambda file: file[0])
    folder = around.split("/")[-2] if around else root
    slug = folder.removesuffix("submissions") if folder.endswith("-submissions") else ""
    alone = "" if any("/" in name for name, _ in inside) else folder
    metadata, reason = next((source_of(read, MOST_IN_ALL) for name, read in inside if name == METADATA), (b"", ""))
    if metadata is None:
        raise ValueError(f"course: {METADATA} {reason}; expected what Gradescope wrote; download it again")
    submitters = _submitters(metadata, {student.casefold() for student in known.values()})
    claims, names, copies, in_all = defaultdict(list), defaultdict(set), Counter[str](), 0
    for name, read in inside:
        m = next(filter(None, (shape.fullmatch(name) for shape in SHAPES))).groupdict()
        ids = submitters[m["submission"]] if "submission" in m else [m.get("id", alone).removeprefix(slug)]
        ids = [unicodedata.normalize("NFC", " ".join(student.split())) for student in ids if student.strip()]
        ids = [known.get(student, student) for student in ids]
        exercise, origin = wanted.get(plain_name(m["file"])), clean(around + name)
        if not exercise or not ids:
            reason = f"is not one of {', '.join(wanted)}; rename or unpack it if it is a hand-in"
            reason = "names no student; put it into a folder named after the student's id" if exercise else reason
            listed += [f"{origin} {reason}"] if name.split("/")[-1] != METADATA else []
            continue
        copies.update([copy := f"{ids} {exercise}"])
        source, reason = source_of(read) if copies[copy] <= COPIES else (None, "is one of too many")
        problem = reason and f"{origin} {reason}; hand in a plain {exercise}.py"
        if (in_all := in_all + len(source or b"")) > MOST_IN_ALL:
            raise ValueError(f"course: {shown(root)} has more than {MOST_IN_ALL >> 20} MB; expected those of a class")
        for student in ids:
            hand_in = HandIn(CONTROL.sub("?", student)[:120], exercise, source, problem, origin, bool(m.get("late")))
            names[hand_in.student.casefold()].add((m.get("name") or "", student))
            claims[hand_in.student.casefold(), exercise].append(hand_in)
    hand_ins = [_one(same, names[student]) for (student, _), same in sorted(claims.items())]
    if len(listed) > MOST_LISTED:
        listed[MOST_LISTED:] = [f"and {len(listed) - MOST_LISTED:,} more names could not be matched"]
    return hand_ins, [h.problem for h in hand_ins if h.problem] + listed


def _sifted(entries: Iterable[tuple[str, Read]], root: str) -> tuple[list[tuple[str, Read]], list[str]]:
    """The files with safe names that can be hand-ins, and a sentence on each unsafe name."""
    files, listed = [], []
    for count, (name, read) in enumerate(entries):
        if count == MOST_FILES:
            raise ValueError(f"course: {shown(root)} has over {MOST_FILES:,} files, up to {clean(name)}; give fewer")
        parts = name.replace("\\", "/").split("/")
        own = plain_name(CANVAS.sub(r"\g<file>", parts[-1]))
        control = any(unicodedata.category(c) in UNSAFE for c in name)
        long = len(parts) > 2 * DEEPEST or len(name) > LONGEST
        if control or long or {"", ".", ".."} & {*parts} or name[1:2] == ":" or any(map(TWO_IDS.search, parts)):
            listed.append(f"{clean(name)!r} is not a safe name; it was not read")
        elif not any(map(IGNORED.fullmatch, parts)) and not HANDED_OUT.fullmatch(own):
            files.append(("/".join(parts), read))
    return files, listed


def source_of(read: Read, most: int = MOST_BYTES) -> tuple[bytes | None, str]:
    """What is read, or None and why it isn't."""
    try:
        source = read(most + 1)
    except ValueError as error:
        return None, str(error)
    return (source, "") if len(source) <= most else (None, f"is larger than {most >> 10} KB")


def plain_name(file: str) -> str:
    return COPY.sub("", file).lower()


def file_names(students: Iterable[str]) -> dict[str, str]:
    """A file name for each student, sorted: the student's own where it is plain and no other differs in case alone."""
    names = {student: student for student in sorted(students)}
    alike = Counter(student.casefold() for student in names)
    for student in names:
        if alike[student.casefold()] > 1 or not re.fullmatch(r"[\w@-][\w.@-]{0,59}", student, re.ASCII):
            mark = hashlib.sha256(student.encode("utf-8", "replace")).hexdigest()[:12]
            names[student] = re.sub(r"\W+", "_", student[:40], flags=re.ASCII) + "~" + mark
    return names


def _around(names: list[str], wanted: dict[str, str]) -> str:
    """The folders around all files, down to the first with an exercise right inside: that one is a student's."""
    top, slash, _ = names[0].partition("/") if names else ("", "", "")
    inside = [name[len(top) + 1 :] for name in names if name.startswith(top + "/")]
    if not slash or len(inside) < len(names) or PLATFORM.fullmatch(top) or any(plain_name(n) in wanted for n in inside):
        return ""
    return top + slash + _around(inside, wanted)


def _one(same: list[HandIn], names: set[tuple[str, str]]) -> HandIn:
    """The hand-in, without its source if it isn't clear which file it is, or whose."""
    first, origins = same[0], ", ".join([h.origin for h in same[:4]] + [f"{len(same) - 4} more"] * (len(same) > 4))
    if len(names) > 1:
        called = " and ".join(sorted(repr(clean(name or student)) for name, student in names))
        return first._replace(source=None, problem=f"{called} have one id, {first.student}: {origins}; rename one")
    if len({(h.source, h.problem) for h in same}) > 1:
        problem = f"{first.student} has more than one {first.exercise}.py: {origins}; keep one"
        return first._replace(source=None, problem=problem)
    return first


def _submitters(data: bytes, known: set[str]) -> dict[str, list[str]]:
    """Who handed in each submission, from Gradescope's metadata: the address or number that is known, or the first.

    The keys of interest stand at fixed indents, and what students wrote is indented more: no YAML library is needed.
    The address comes first, as in Gradescope's autograder and roster: so a student has one sheet everywhere.
    """
    found: dict[str, list[str]] = defaultdict(list)
    blocks = re.split(r"^(submission_\d+):\s*\n", data.decode("utf-8", "replace"), flags=re.M)
    for name, block in zip(blocks[1::2], blocks[2::2], strict=True):
        people = re.search(r"^  :submitters:\s*\n((?:  - .*\n|    .*\n)*)", block, re.M)
        for person in re.split(r"^  - ", people[1] if people else "", flags=re.M)[1:]:
            keys = dict(re.findall(r"^(?:    )?:(sid|email): *['\"]?(.*?)['\"]?\s*$", person, re.M))
            names = [keys[key] for key in ("email", "sid") if keys.get(key)]
            found[name] += sorted(names, key=lambda student: student.casefold() not in known)[:1]
    return found
