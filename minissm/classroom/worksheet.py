"""The platform's own worksheet with one column filled, and every other byte as it came.

Canvas, Moodle and others name the columns of their worksheets by course and language, so none is written from scratch.
Cells are replaced in the text: byte order mark, quotes, delimiter and line ends stay.
"""

import codecs
import os
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path

from ..files import shown, write_whole
from .judge import clean

KEYS = ("id", "identifier", "sid", "student id", "sis user id", "sis login id", "id number", "email address", "email")
MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be", b"": "utf-8"}
Cell = tuple[str, int, int]  # its value, and where it stands in the text


def fill(
    path: str, out: str, column: str, scores: Mapping[str, float], key: str | None = None
) -> tuple[int, list[str]]:
    """Write the worksheet to `out` with the scores in `column` -> rows filled, students that have no row.

    key: the column with the students' ids; None: the one that has most of them
    ValueError: no such column, a student twice, a row cut off, an encoding that isn't Unicode, `out` is the worksheet
    """
    who = f"course: {shown(path)}"
    if os.path.exists(out) and os.path.samefile(path, out):
        raise ValueError(f"{who} is the worksheet itself; expected another name for the filled one")
    data = Path(path).read_bytes()
    mark = next(mark for mark in MARKS if data.startswith(mark))
    text = data[len(mark) :].decode(MARKS[mark], "surrogateescape")
    if re.search("[\0\ud800-\udfff]", text):
        raise ValueError(f"{who} is not in UTF-8; download it again, and don't save it from a spreadsheet")
    head, *rows = _rows(who, text)
    columns = [value.strip() for value, *_ in head]
    at = _place(who, columns, column)
    places = [k for k in range(len(columns)) if k != at] if key is None else [_place(who, columns, key)]
    found = {k: _found(rows, k, scores) for k in places}
    k = max(places, key=lambda k: (len(found[k]), columns[k].casefold() in KEYS), default=at)
    if scores and not found.get(k):
        where = f"none of its columns ({clean(', '.join(columns))})" if key is None else f"no row of its column {key!r}"
        raise ValueError(f"{who}: {where} has the ids of these students, such as {min(scores)!r}")
    filled = sorted(found.get(k, {}).values())
    for student in filled:
        if filled.count(student) > 1:
            raise ValueError(f"{who} has {clean(student)!r} in two rows of {columns[k]!r}; expected one row for each")
    for i in sorted(found.get(k, {}), reverse=True):  # from the end, so that what is in front stays in its place
        if len(rows[i]) <= at:
            raise ValueError(f"{who}: row {i + 2} has {len(rows[i])} cells; expected {len(columns)}")
        _, start, end = rows[i][at]
        quote = '"' * text.startswith('"', start)
        # A point, whatever the language of the spreadsheet: the platforms read it, and a comma may be the delimiter.
        text = f"{text[:start]}{quote}{round(scores[found[k][i]], 4):.12g}{quote}{text[end:]}"
    write_whole(out, lambda file: file.write(mark + text.encode(MARKS[mark])))
    return len(filled), sorted(set(scores) - set(filled))


def _rows(who: str, text: str) -> Iterator[list[Cell]]:
    """The cells of each row. The delimiter is the one that the first row has most of, outside of quotes."""
    first = re.sub(r'"[^"]*"', "", re.match(r'(?:"[^"]*"|[^"\r\n])*', text)[0])  # type: ignore[index]
    d = max(",;\t", key=first.count)
    pattern = re.compile(rf'("[^"]*(?:""[^"]*)*"|[^"{d}\r\n][^{d}\r\n]*|)({d}|\r\n|\r|\n|\Z)')
    row: list[Cell] = []
    position, end = 0, d
    while end:
        if not (m := pattern.match(text, position)):
            raise ValueError(f"{who}: a quote is not closed after {clean(text[position:], 30)!r}; download it again")
        raw, end, position = m[1], m[2], m.end()
        row.append((raw[1:-1].replace('""', '"') if raw.startswith('"') else raw, *m.span(1)))
        if end != d:
            yield row
            row = []


def _place(who: str, columns: list[str], name: str) -> int:
    if columns.count(name) == 1:
        return columns.index(name)
    begin = [c for c in columns if c.startswith(name)]  # Canvas's columns end in a number, which may hold any other
    close = get_close_matches(name, begin or columns, 1, 0.4)
    near = "".join(f"; did you mean {other!r}?" for other in close if other != name)
    number = "two columns" if name in columns else "no column"
    raise ValueError(f"{who} has {number} {clean(name)!r}; expected one of {clean(', '.join(columns), 600)}{near}")


def _found(rows: list[list[Cell]], k: int, scores: Mapping[str, float]) -> dict[int, str]:
    """The students by row, from the ids in column k. "Participant 123" of Moodle, in all languages, is 123."""
    students = {student.casefold(): student for student in scores}
    ids = {i: row[k][0].strip().casefold() for i, row in enumerate(rows) if len(row) > k and row[k][0].strip()}
    numbers = {i: m for i, value in ids.items() if (m := re.fullmatch(r"(\D*)(\d+)", value))}
    if not students.keys() & ids.values() and len(numbers) == len(ids) and len({m[1] for m in numbers.values()}) == 1:
        ids = {i: m[2] for i, m in numbers.items()}
    return {i: students[value] for i, value in ids.items() if value in students}
