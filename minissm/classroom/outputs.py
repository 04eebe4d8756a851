"""What goes out: grades.csv, a text and Gradescope's JSON for each student, and what an instructor looks at."""

import csv
import io
import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from ..files import write_whole
from .collect import HandIn, file_names
from .grade import Graded
from .judge import clean

FORMULA = re.compile(r"(^|[,;\t])(\s*)(?=[=+\-@＝＋－＠])")  # where a spreadsheet begins a cell; wide signs in Japanese
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
Results = Mapping[str, Mapping[str, Graded]]  # by student and exercise
Sheets = Callable[[str, str], str]


def cell(text: Any) -> str:
    """Fit for a spreadsheet: no control character, and no formula. A number stays."""
    line = clean(str(text), 1000)
    return line if NUMBER.fullmatch(line) else FORMULA.sub(r"\1\2'", line)


def lines(graded: Graded) -> list[str]:
    """A line for the exercise, one a check, then what the hand-in printed."""
    found, above = [f"{graded.exercise}: {graded.score:g} of {graded.most:g} points"], ""
    for c in graded.checks:
        text, above = "the same as above" if c.text and c.text == above else c.text, c.text
        worth = f"{c.earned:.3g} of {c.points:.3g}" if 0 < c.earned < c.points else f"{c.points:.3g}"
        word = "passed" if c.kind == "ok" else "partly" if c.earned else "FAILED"
        found.append(f"{word}  {c.title} ({worth}){text and ': '}{text}")
    return found + [f"printed | {clean(line, 120)}" for line in graded.log.splitlines()[:20]]


def gradescope(results: Mapping[str, Graded], visibility: str, first: str) -> dict[str, Any]:
    """results.json of one student: https://gradescope-autograders.readthedocs.io/en/latest/specs/"""
    shown = {"output_format": "text", "visibility": visibility}
    tests = [
        {"name": f"{exercise}: {c.title}", "score": round(c.earned, 4), "max_score": round(c.points, 4)}
        | {"status": "passed" if c.kind == "ok" else "failed", "output": c.text}
        | shown
        for exercise, graded in results.items()
        for c in graded.checks
    ]
    seconds = round(sum(graded.seconds for graded in results.values()))
    return {"execution_time": seconds, "output": first, "stdout_visibility": "hidden", "tests": tests}


def write(out: str, results: Results, course: Any, assignment: int, first: str, late: Collection[str] = ()) -> None:
    """Write grades.csv, and feedback/NAME.txt and gradescope/NAME.json for each student, into the folder `out`.

    first: the first line of each text, which names the isolation
    late: students whose files the platform marks
    """
    exercises = course.assignments[assignment]
    table = [["student", *exercises, "total", "late", "note"]]
    for student, name in file_names(results).items():
        handed = {e: results[student][e] for e in exercises if e in results[student]}
        scores = [f"{handed[e].score:g}" if e in handed else "" for e in exercises]
        total = f"{round(sum(graded.score for graded in handed.values()), 2):g}"
        notes = {
            e: ", ".join(filter(None, [*g.mistakes, g.sheet and f"the sheet with {g.sheet}", _unanswered(g)]))
            for e, g in handed.items()
        }
        note = "; ".join(f"{e}: {text}" for e, text in notes.items() if text)
        table.append([student, *scores, total, "late" if student in late else "", note])
        text = "\n\n".join([first, *("\n".join(lines(graded)) for graded in handed.values())])
        _write(out, "feedback", f"{name}.txt", text + "\n")
        tests = json.dumps(gradescope(handed, course.feedback, first), indent=1, ensure_ascii=False)
        _write(out, "gradescope", f"{name}.json", tests + "\n")
    grades = io.StringIO()
    csv.writer(grades, lineterminator="\n").writerows([cell(value) for value in row] for row in table)
    _write(out, "", "grades.csv", grades.getvalue())


def _write(out: str, folder: str, name: str, text: str) -> None:
    os.makedirs(os.path.join(out, folder), exist_ok=True)
    write_whole(os.path.join(out, folder, name), lambda file: file.write(text.encode("utf-8", "replace")))


def summary(results: Results, hand_ins: Iterable[HandIn], roster: Iterable[str], sheets: Sheets) -> list[str]:
    """What an instructor looks at: mistakes, equal files, other sheets, who was stopped, is missing or unknown.

    sheets: sheets(exercise, student) -> the conventions of the student's sheet, as `Graded.sheet` spells them
    """
    graded = [(student, g) for student in sorted(results) for g in results[student].values()]
    mistakes = Counter((g.exercise, mistake) for _, g in graded for mistake in g.mistakes)
    common = sorted(mistakes.items(), key=lambda item: (-item[1], item[0]))[:3]
    found = [f"{f'{n} times' if n > 1 else 'once'} in {exercise}: {mistake}" for (exercise, mistake), n in common]
    sources: dict[tuple[str, bytes], set[str]] = defaultdict(set)
    for h in hand_ins:
        sources[h.exercise, h.source or b""].add(h.student)
    for (exercise, source), who in sorted(sources.items()):
        if source.strip() and len(who) > 1:
            found.append(f"the same {exercise}.py, byte for byte: {', '.join(sorted(who))}")
    for student, g in graded:
        if g.sheet:
            whose = ", ".join(s for s in sorted(results) if s != student and sheets(g.exercise, s) == g.sheet)
            found.append(f"{student}: {g.exercise} follows the sheet of {whose or 'nobody here'} ({g.sheet})")
        if g.stopped and (why := _unanswered(g)):
            found.append(f"{student}: {g.exercise}: {why}")
    handed = {student.casefold(): student for student in sorted(set().union(*sources.values()))}
    known = {student.casefold(): student for student in roster}
    for words, some, others in (("nothing from", known, handed), ("not in the roster:", handed, known)):
        if known and (missing := [student for key, student in some.items() if key not in others]):
            found.append(f"{words} {', '.join(missing)}")
    return found


def _unanswered(graded: Graded) -> str:
    """Why the first check without an answer has none, or ""."""
    return next((check.text for check in graded.checks if check.kind == "none"), "")
