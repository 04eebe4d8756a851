"""The folders that students get: what is in them, what is not, and what pytest says there."""

import dataclasses
import os
import re
import shutil
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import pytest

from minissm.classroom import course, selftest, sheets
from minissm.classroom.exercise import every

STUDENTS = ["anna", "4711", "José Ñ", "=HYPERLINK(1)", "../up"]


@pytest.fixture
def own(tmp_path: Path) -> course.Course:
    """A course with a sheet for each student."""
    course.new(tmp_path / "course")
    return course.read(tmp_path / "course")


class Fixed(course.Course):
    """A course whose students are numbers of variants."""

    def sheet(self, exercise, student):
        drawn = selftest.sheets(every()[every()[exercise].of or exercise])
        return drawn[int(student) % len(drawn)]


@pytest.fixture
def fixed(own):
    return Fixed(**{field.name: getattr(own, field.name) for field in dataclasses.fields(own)})


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def pytested(folder: Path, *options: str) -> str:
    """What pytest prints there, without this repository on the path."""
    command = [sys.executable, "-I", "-m", "pytest", "-p", "no:cacheprovider", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600).stdout


# ---- the folders


def test_each_student_gets_a_folder_that_is_complete_and_the_same_each_time(own, tmp_path):
    out = tmp_path / "out"
    assert sheets.write(out, own, 1, STUDENTS) == len(STUDENTS)
    names = own.assignment(1)
    expected = {f"{name}.py" for name in names} | {f"hints/{name}-{i}.txt" for name in names for i in (1, 2, 3)}
    folders = sorted(out.iterdir())
    assert len(folders) == len(STUDENTS)
    for folder in folders:
        assert set(tree(folder)) == expected | {"README.md", "pytest.ini", "test_public.py"}
        assert re.fullmatch(r"[\w@.~-]+", folder.name, re.ASCII)
    assert len({(folder / "ex1.py").read_bytes() for folder in folders}) > 1
    sheets.write(tmp_path / "again", course.read(own.folder), 1, STUDENTS[::-1])
    assert tree(tmp_path / "again") == tree(out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "course", "out"]


def test_a_student_who_joins_gets_a_folder_and_the_others_keep_theirs(own, tmp_path):
    out = tmp_path / "out"
    (out / "anna").mkdir(parents=True)  # an empty folder is as good as none
    assert sheets.write(out, own, 3, STUDENTS[:2]) == 2
    (out / "anna" / "my_notes.txt").write_text("mine")
    assert sheets.write(out, own, 3, STUDENTS) == len(STUDENTS) - 2
    assert sheets.write(out, own, 3, STUDENTS) == 0
    assert (out / "anna" / "my_notes.txt").read_text() == "mine"


@pytest.mark.parametrize("there", ["another assignment", "a file that was edited", "a file of that name"])
def test_a_folder_with_other_files_is_refused_before_anything_is_written(own, tmp_path, there):
    out = tmp_path / "out"
    if there == "a file of that name":
        out.mkdir()
        (out / "anna").write_text("")
    else:
        sheets.write(out, own, 3 if there == "another assignment" else 1, ["anna"])
    if there == "a file that was edited":
        (out / "anna" / "ex1.py").write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(
        ValueError, match=r"^course: .*anna has other files; expected a new folder; choose another --out$"
    ):
        sheets.write(out, own, 1, STUDENTS)
    assert tree(tmp_path) == before


def test_a_class_has_one_folder_and_single_sheets_need_a_list_of_students(own, tmp_path):
    with pytest.raises(ValueError, match="expected --roster FILE, or variants"):
        sheets.write(tmp_path / "out", own, 1)
    assert not (tmp_path / "out").exists()
    shared = dataclasses.replace(own, variants="class")
    assert sheets.write(tmp_path / "out", shared, 1) == 1
    assert (tmp_path / "out" / "ex1.py").is_file()
    assert "All students have the same folder" in (tmp_path / "out" / "README.md").read_text()
    with pytest.raises(ValueError, match=r"^course: assignment 9 "):
        sheets.write(tmp_path / "out", shared, 9)


def test_the_sheet_and_the_readme_name_the_points_of_the_course(own):
    files = sheets.contents(dataclasses.replace(own, points=own.points | {"ex1": 2.5}), 1, "anna")
    assert b"points: 2.5 " in files["ex1.py"].split(b"\n")[0]
    assert b"points: 10 " in files["ex2.py"].split(b"\n")[0]
    assert b"| `ex1.py` | The recurrence | 2.5 |" in files["README.md"]


def test_the_folder_in_which_the_shell_stands_is_filled_and_stays(own, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    sheets.write(".", dataclasses.replace(own, variants="class"), 3)
    assert Path("ex8.py").is_file()


def test_a_disk_that_is_full_leaves_nothing(own, tmp_path, monkeypatch):
    write, count = Path.write_bytes, iter(range(40))

    def full(path, data):
        if next(count) == 30:
            raise OSError(28, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left") as failure:
        sheets.write(tmp_path / "out", own, 1, STUDENTS)
    assert failure.value.filename == str(tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["course"]


def test_an_exercise_without_public_tests_is_named_by_the_file_that_is_missing(own, tmp_path, monkeypatch):
    monkeypatch.setattr(sheets.every()["ex8"].__class__, "public", lambda *_: Path("public/ex10.py").read_text())
    with pytest.raises(OSError, match=r"public/ex10\.py"):
        sheets.write(tmp_path / "out", own, 3, STUDENTS)


# ---- what is not in them


def lines(text: str) -> set[str]:
    """Its lines that say something."""
    return {line.strip() for line in text.splitlines() if len(line.strip()) > 12}


def test_no_solution_mistake_or_hidden_case_is_in_a_folder(fixed):
    for number, names in fixed.assignments.items():
        for i in (1, 6):
            files = {name: data.decode() for name, data in sheets.contents(fixed, number, str(i)).items()}
            handed_out = "\n".join(files.values())
            for exercise in (every()[name] for name in names):
                sheet = fixed.sheet(exercise.name, str(i))
                secret = lines(exercise.solution(sheet)) - lines(exercise.stub(sheet))
                assert len(secret) >= 2
                hints = "".join(files[name] for name in files if name.startswith("hints/"))
                short = {line for line in secret if len(line) < 20 and line in hints}  # a hint may name an expression
                assert not [line for line in secret - short if line in handed_out], exercise.name
                assert len(short) < 2
                for mistake in exercise.mistakes:
                    assert mistake not in handed_out
                below = exercise.source.partition("\nKIND = ")[2]
                assert not [line for line in lines(below) if line in handed_out], exercise.name
            assert not re.search(r"#BEGIN|#END|#HINT|#\?|(import|from) minissm|\$\w", handed_out)


def test_a_folder_names_each_test_once_and_imports_numpy_and_pytest_alone(fixed):
    for number, names in fixed.assignments.items():
        text = sheets.contents(fixed, number, "0")["test_public.py"].decode()
        defined = re.findall(r"^def (\w+)", text, re.MULTILINE)
        assert len(defined) == len(set(defined))
        tests = [name for name in defined if name.startswith("test_")]
        assert {name.split("_")[1] for name in tests} == set(names)
        assert len(re.findall(r"^@pytest.mark.(ex\d)\ndef test_\1_", text, re.MULTILINE)) == len(tests)
        imports = set(re.findall(r"^\s*(?:import|from) (\w+)", text, re.MULTILINE))
        assert imports - {"numpy", "pytest"} <= set(sys.stdlib_module_names)


# ---- pytest in them


def solved(fixed: Fixed, folder: Path, number: int, student: str) -> None:
    for name in fixed.assignment(number):
        (folder / f"{name}.py").write_text(every()[name].solution(fixed.sheet(name, student)))


def test_pytest_says_a_sentence_for_each_stub(fixed, tmp_path):
    sheets.write(tmp_path / "out", fixed, 1, ["1"])
    folder = tmp_path / "out" / "1"
    said = pytested(folder).strip().split("\n")
    failures = said[said.index(next(line for line in said if "FAILURES" in line)) + 1 : -1]
    assert len(failures) > 20
    assert all(re.fullmatch(r"_+ test_ex\d_\w+ _+", line) for line in failures[::2])
    assert all(re.fullmatch(r"ex\d\.py: \w+ is still to be written", line) for line in failures[1::2])
    assert re.fullmatch(rf"{len(failures) // 2} failed in .*", said[-1])


@pytest.mark.slow
def test_the_solutions_pass_all_public_tests_in_all_variants(fixed, tmp_path):
    """One run of pytest for all folders."""
    for number in fixed.assignments:
        sheets.write(tmp_path / str(number), fixed, number, [str(i) for i in range(8)])
    ini = tmp_path / "pytest.ini"
    shutil.copy(tmp_path / "1" / "0" / "pytest.ini", ini)
    options = "--import-mode=importlib", "-rA", "-c", str(ini), "--rootdir", str(tmp_path)
    stubs = pytested(tmp_path, *options)
    passed = re.findall(r"^PASSED \S+::test_(ex\d)", stubs, re.MULTILINE)
    assert set(passed) <= {"ex9"}  # the sheet of the repair runs
    assert "ERROR" not in stubs
    for number in fixed.assignments:
        for i in range(8):
            solved(fixed, tmp_path / str(number) / str(i), number, str(i))
    assert re.search(r"\n\d+ passed in", found := pytested(tmp_path, *options)), found[-2000:]


def by_hand(folder: Path, cells: list[str]) -> str:
    """What a notebook's kernel does with %%writefile and with !."""
    _, name = cells[0].partition("\n")[0].split()
    (folder / name).write_text(cells[0].partition("\n")[2])
    assert cells[1].startswith("!python -m pytest")
    return subprocess.run(cells[1][1:], shell=True, cwd=folder, capture_output=True, text=True).stdout


def by_kernel(folder: Path, cells: list[str]) -> str:
    nbclient = pytest.importorskip("nbclient", reason="no notebook was run: pip install nbclient ipykernel")
    nbformat = pytest.importorskip("nbformat")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    with warnings.catch_warnings(action="ignore"):  # of Jupyter, about its own paths
        nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    for name in [name for name in sys.modules if name.split(".")[0] == "ipykernel"]:
        del sys.modules[name]  # or a Progress of a later test would draw bars, as in a notebook
    return "".join(output.get("text", "") for output in notebook.cells[1].outputs)


@pytest.mark.slow
@pytest.mark.parametrize("run", [by_hand, by_kernel], ids=lambda run: run.__name__)
def test_the_recipe_of_the_readme_works_in_a_notebook(run, fixed, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    monkeypatch.setenv("NO_COLOR", "1")
    files = sheets.contents(fixed, 1, "1")
    recipe = files["README.md"].decode().partition("## In a notebook")[2]
    install, paste, test = re.findall(r"((?:^    .*\n)+)", recipe, re.MULTILINE)
    cells = [textwrap.dedent(paste).split("\n")[0] + "\n", textwrap.dedent(test).strip()]
    assert install.strip().startswith("!pip install")
    for name in ("test_public.py", "pytest.ini"):
        (tmp_path / name).write_bytes(files[name])
    exercise, sheet = every()["ex1"], fixed.sheet("ex1", "1")
    said = run(tmp_path, [cells[0] + exercise.stub(sheet), cells[1]])
    assert said.count("ex1.py: scan is still to be written") > 3
    assert re.search(r"\d+ passed, \d+ deselected in", run(tmp_path, [cells[0] + exercise.solution(sheet), cells[1]]))


# ---- the words of the common beginning


WRONG = {
    "def f(x): raise NotImplementedError": "ex1.py: f is still to be written",
    "def f(x) return x": "ex1.py is not valid Python: ",
    "import torch\ndef f(x): return x": "ex1.py imports torch; ",
    "def g(x): return x": "ex1.py has no function f; ",
    "def f(x): return x\n1 / 0": "ex1.py can't be loaded: ZeroDivisionError: ",
    "def f(x):\n    x *= 2\n    return x": "f writes to input 1; ",
    "def f(x): x + 1": "y is NoneType; expected an array: is a return statement missing?",
    "def f(x): return x.tolist()": "y is list; expected an array",
    "def f(x): return x[0]": "y has shape (3,); expected (2, 3)",
    "def f(x): return x.astype('f')": "y is float32; expected float64",
    "def f(x): return 0 * x": "y is 0 at [0, 0]; expected 1",
    "def f(x): return x * float('inf')": "y has nan or inf at [0, 0]",
    "def f(x): return x": "df: along some direction the loss has slope ",
    "def f(x): return 2 * x - 1": "",
}


@pytest.mark.parametrize("source", WRONG)
def test_the_common_beginning_says_in_a_sentence_what_is_wrong(source, tmp_path):
    space = {"__file__": str(tmp_path / "test_public.py")}
    exec((sheets.FOLDER / "public" / "head.py").read_text(), space)
    (tmp_path / "ex1.py").write_bytes(b"\xef\xbb\xbf" + source.encode() + b"  # caf\xe9\r\n")  # as Windows saves it
    np, ex1, one = space["np"], space["load"]("ex1"), space["np"].ones((2, 3))

    def public():
        y = space["unchanged"](ex1.f, one.copy())
        space["form"](y, (2, 3), np.float64, "y")
        space["close"](y, one, name="y")
        space["slopes"](lambda x: ex1.f(x).sum(), [one], {"df": 2 * one})

    if WRONG[source]:
        with pytest.raises(pytest.fail.Exception, match=re.escape(WRONG[source])):
            public()
    else:
        public()


def test_a_number_of_results_that_is_wrong_is_a_sentence_and_a_list_will_do(tmp_path):
    space = {"__file__": str(tmp_path / "test_public.py")}
    exec((sheets.FOLDER / "public" / "head.py").read_text(), space)
    (tmp_path / "ex1.py").write_text("def f(x): return x")
    f = space["load"]("ex1", f="y, h_last").f
    assert f([1, 2]) == [1, 2]
    for found in (None, (1, 2, 3), [1], 1):
        with pytest.raises(pytest.fail.Exception, match=r"f must return 2 arrays: y, h_last"):
            f(found)


def test_a_file_that_is_missing_fails_each_test(tmp_path):
    space = {"__file__": str(tmp_path / "test_public.py")}
    exec((sheets.FOLDER / "public" / "head.py").read_text(), space)
    with pytest.raises(pytest.fail.Exception, match=r"there is no ex1\.py in the folder"):
        space["load"]("ex1").f(1)
