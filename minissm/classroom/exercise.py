"""An exercise is one source, exercises/exN_name.py: its sheet, stub, solution, hints, mistakes, variants and cases.

A line that ends in `#? choice=value` belongs to that variant only. The solution stands between #BEGIN and #END. The
hints (#HINT 1 ...) end what a student may see. The rest is Python:

    KIND      "write", "catch" (inputs that expose the mistakes of another exercise), "make" (numbers with a property)
              or "repair" (the sheet is the solution with planted mistakes)
    CHOICES   the conventions: {choice: {value: sentence}}; the first value of each is the plain one
    LIBRARY   the conventions of minissm itself, which no course draws
    RETURNS   names of the arrays that each function returns
    MISTAKES  {sentence: {old text: new text}}, for the self-test, the diagnoses, "catch" and "repair"
    READ      {part of a mistake's sentence: where to read}
    cases     (rng, P) -> (title, points, function, arrays) ..., from simple to all at once
    judge     (function, arrays, P) -> "" or what is wrong: the property of "make", the shapes of "catch"

P is one sheet: the value of each choice, the student's constants (`<H>` in the text), and P["planted"] of a repair.
"""

import functools
import itertools
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

FOLDER = Path(__file__).parent
P = dict[str, Any]


class Case(NamedTuple):
    """One call of a function of the hand-in, and the points for its answer."""

    title: str
    points: float
    function: str
    arrays: list


class Exercise:
    """An exercise, read from its source."""

    def __init__(self, path: Path) -> None:
        try:
            self._read(path)
        except Exception as error:  # of Python that an instructor wrote
            what = f"missing {error}" if isinstance(error, KeyError) else f"{type(error).__name__}: {error}"
            expected = "expected what the head of minissm/classroom/exercise.py names"
            raise ValueError(f"course: {path} is no exercise ({what}); {expected}; correct it") from error

    def _read(self, path: Path) -> None:
        self.name = path.stem.split("_")[0]
        self.source = path.read_text(encoding="utf-8")
        module: dict[str, Any] = {"__name__": self.name}
        exec(compile(self.source, path, "exec"), module)
        self.kind: str = module["KIND"]
        self.choices: dict[str, dict[str, str]] = module.get("CHOICES", {})
        self.returns: dict[str, tuple[str, ...]] = module["RETURNS"]
        self.mistakes: dict[str, dict[str, str]] = module["MISTAKES"]
        self.module = module
        self.title, points = re.findall(r'^"""Exercise \d+\. (.+?)\. +points: (\d+)', self.source)[0]
        self.points = int(points)
        self.of: str = module.get("OF", "")
        if self.of:  # its conventions are those of the exercise whose mistakes it exposes
            other = Exercise(next(path.parent.glob(f"{self.of}_*.py")))
            self.choices, module["LIBRARY"] = other.choices, other.module.get("LIBRARY", [])
        hints = re.findall(r"(?<=\n#HINT \d )(.*(?:\n#(?!HINT).*)*)", self.source)
        self.hints = [" ".join(hint.replace("\n#", " ").split()) for hint in hints]

    @property
    def variants(self) -> list[P]:
        """All conventions; the plain one comes first."""
        return [dict(zip(self.choices, values, strict=True)) for values in itertools.product(*self.choices.values())]

    def drawn(self, left_out: Iterable[P] = ()) -> list[P]:
        """The conventions that a course may draw: never the library's, and those left out only if none remains."""
        own = self.module.get("LIBRARY", [])
        fit = [v for v in self.variants if not any(known.items() <= v.items() for known in own)]
        return [v for v in fit if not any(v.items() <= out.items() for out in left_out)] or fit

    def draw(self, rng: np.random.Generator, left_out: Iterable[P] = (), variant: P | None = None) -> P:
        """One sheet. variant: its conventions, if they are known."""
        drawn = self.drawn(left_out)
        sheet: P = dict(drawn[int(rng.integers(len(drawn)))] if variant is None else variant)
        if "numbers" in self.module:
            sheet |= self.module["numbers"](rng)
        if count := self.module.get("PLANTED"):
            fit = [c for c in itertools.combinations(self.mistakes, count) if self.compatible(sheet, c)]
            sheet["planted"] = fit[int(rng.integers(len(fit)))]
        return sheet

    def rendered(self, sheet: P, text: str | None = None) -> str:
        """The lines of this sheet, up to the hints, with the student's constants."""
        words = tuple((name, str(value)) for name, value in sheet.items())
        return _rendered(self.source.split("\n#HINT")[0] if text is None else text, words)

    def solution(self, sheet: P, mistakes: Iterable[str] = ()) -> str:
        """The solution, with these mistakes in it."""
        text = self.rendered(sheet)
        for mistake in mistakes:
            for old, new in self.mistakes[mistake].items():
                text = text.replace(old, new)
        return re.sub(r"\n *#(BEGIN|END)", "", text).rstrip() + "\n"

    def stub(self, sheet: P) -> str:
        """What is handed out: the text without its solution; of a repair, the solution with the planted mistakes."""
        if planted := sheet.get("planted"):
            return self.solution(sheet, planted)

        parts = re.split(r"( *)#BEGIN\n.*?#END", self.rendered(sheet), flags=re.S)
        for i in range(1, len(parts), 2):
            function = re.findall(r"\ndef (\w+)", parts[i - 1])[-1]
            parts[i] += f'raise NotImplementedError("{self.name}: write {function}")'
        return "".join(parts).rstrip() + "\n"

    def public(self, sheet: P) -> str:
        """The public tests of this sheet."""
        return self.rendered(sheet, (FOLDER / "public" / f"{self.name}.py").read_text(encoding="utf-8"))

    def cases(self, rng: np.random.Generator, sheet: P) -> list[Case]:
        """The hidden cases. The same generator gives the same ones."""
        if self.kind == "catch":
            return [Case("one small input", self.points, "inputs", [])]
        return [Case(*case) for case in self.module["cases"](rng, sheet)]

    def answer(self, sheet: P, function: str, arrays: list, mistakes: Iterable[str] = ()) -> list | str:
        """The arrays that the solution returns, or what kind of exception it raises; with these mistakes in it."""
        copies = [None if a is None else a.copy() for a in arrays]
        with np.errstate(all="ignore"):
            try:
                found = _functions(self.solution(sheet, mistakes))[function](*copies)
            except Exception as error:
                return f"{type(error).__name__}: {error}"
        return [np.asarray(a) for a in (found if isinstance(found, tuple) else (found,))]

    def changes(self, sheet: P, mistake: str) -> bool:
        """Whether the mistake changes this sheet's solution."""
        return self.solution(sheet, [mistake]) != self.solution(sheet)

    def compatible(self, sheet: P, mistakes: Iterable[str]) -> bool:
        """Whether these mistakes can stand together: in either order the text is the same, and has all of them."""
        one, other = self.solution(sheet, mistakes), self.solution(sheet, [*mistakes][::-1])
        return one == other and all(self.solution(sheet, {*mistakes} - {m}) != one for m in mistakes)

    def read(self, mistake: str) -> str:
        """Where to read about the mistake, or ""."""
        places = self.module.get("READ", {})
        return next((place for part, place in places.items() if part and part in mistake), places.get("", ""))

    def words(self, sheet: P, choices: Iterable[str] | None = None) -> str:
        """The sheet's conventions as text: "output=before, axes=LBD"."""
        return ", ".join(f"{c}={sheet[c]}" for c in (self.choices if choices is None else choices))


@functools.cache
def every() -> dict[str, Exercise]:
    """All exercises by name, in order."""
    found = [Exercise(path) for path in (FOLDER / "exercises").glob("ex*.py")]
    return {e.name: e for e in sorted(found, key=lambda e: (len(e.name), e.name))}  # ex10 comes after ex9


@functools.lru_cache(256)  # a diagnosis asks for the same few sheets a hundred times
def _rendered(text: str, words: tuple[tuple[str, str], ...]) -> str:
    kept, sheet = [], dict(words)
    for line in text.split("\n"):
        body, mark, tag = line.partition("#? ")
        if not mark or all(sheet[c] == v for c, v in (t.split("=") for t in tag.split())):
            kept.append(body.rstrip())
    body = re.sub(r"\n\n\n+(?= )", "\n\n", "\n".join(kept))  # where a line between two blank ones is gone
    return re.sub(r"<(\w+)>", lambda m: sheet.get(m[1], m[0]), body)


@functools.lru_cache(4096)
def _functions(text: str) -> dict[str, Any]:
    space: dict[str, Any] = {}
    exec(compile(text, "solution", "exec"), space)
    return space
