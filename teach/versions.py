"""Versions of the notebooks for a class: `python dev.py teach --out FOLDER`.

From the one master of each notebook: a student's version, one with the solutions, and
one that nbgrader takes marks from. With a list of names each student gets other numbers.
"""

import argparse
import ast
import json
import re
import shutil
import sys
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import nbformat

from sdlearn.core import replace_on_success
from tests.notebooks import NBS, NotebookError, find, read

from .variants import VARIATIONS, choose, vary

TITLE = re.compile(r"^## Check yourself", re.MULTILINE)
HEADING = re.compile(r"^## ", re.MULTILINE)
SOLUTION = re.compile(r"<details>.*?```python\n(.*?)```.*?</details>", re.DOTALL)
VERDICT = re.compile(r"^verdict\((\w+), (\w+)\)$", re.MULTILINE)
CONFIG = Path(__file__).with_name("nbgrader_config.py")
POINTS = 1  # for each exercise
# The check runs among names of its own, so that it is the master's, and so are all
# names and builtins that it reads, whatever the notebook has made of them.
MARKS = """# marks for {check}
### BEGIN HIDDEN TESTS
import builtins as _builtins
import contextlib as _contextlib
import io as _io

assert "{answer}" in _builtins.globals(), "there is no {answer}: did its cell stop?"
_names = {{"__name__": "__main__"}}
with _contextlib.redirect_stderr(_io.StringIO()):
    _builtins.exec(r'''
{context}
''', _names)
    _names["{check}"]({answer})
### END HIDDEN TESTS"""


# Reading a master


@dataclass(frozen=True)
class Exercise:
    """Where an exercise stands in its notebook; of those with a solution."""

    check: str  # the name of its check
    answer: str  # the name of what is checked
    statement: int  # the numbers of its cells
    checked: int
    blank: int
    solution: int

    @property
    def cells(self):
        return self.statement, self.checked, self.blank, self.solution


def is_check(cell):
    return cell.cell_type == "code" and cell.source.startswith("# check")


def is_exercise(cell):
    return cell.cell_type == "code" and cell.source.startswith("# exercise")


def last_before(cells, i, is_wanted):
    return next(j for j in range(i - 1, -1, -1) if is_wanted(cells[j]))


def solution_in(cell):
    found = SOLUTION.search(cell.source) if cell.cell_type == "markdown" else None
    return found and found[1].rstrip()


def exercises(cells):
    """The exercises of a notebook that have a solution in the cell below."""
    for i, cell in enumerate(cells[:-1]):
        if is_exercise(cell) and solution_in(cells[i + 1]):
            check, answer = VERDICT.search(cell.source).groups()
            checked = last_before(cells, i, is_check)
            told = last_before(cells, checked, lambda o: o.cell_type == "markdown")
            yield Exercise(check, answer, told, checked, i, i + 1)


def section(cells):
    """The numbers of the cells below "Check yourself", up to the next heading."""
    texts = [i for i, cell in enumerate(cells) if cell.cell_type == "markdown"]
    titles = [i for i in texts if TITLE.search(cells[i].source)]
    first = titles[0] if titles else len(cells)
    headings = [i for i in texts if i > first and HEADING.search(cells[i].source)]
    return range(first, headings[0] if headings else len(cells))


def setups(cells):
    """The numbers of the code cells among the exercises that are none, nor checks."""
    for i in section(cells):
        is_code = cells[i].cell_type == "code"
        if is_code and not is_check(cells[i]) and not is_exercise(cells[i]):
            yield i


def defined(source):
    """The names that the top level of a source makes."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (o.id for o in node.targets if isinstance(o, ast.Name))


def read_names(source):
    nodes = ast.walk(ast.parse(source))
    return {node.id for node in nodes if isinstance(node, ast.Name)}


def context(cells, exercise):
    """All that a check needs to be run alone: what stands above it and gives it names."""
    numbers = [i for i in setups(cells) if i < exercise.blank]
    before = range(min(numbers, default=exercise.checked), exercise.checked)
    own = cells[exercise.checked].source
    for i in before:
        if is_check(cells[i]) and read_names(own) & set(defined(cells[i].source)):
            numbers.append(i)
    return "\n\n".join(cells[i].source for i in [*sorted(numbers), exercise.checked])


# Making versions


def with_numbers(nb, numbers):
    """A copy of a notebook with other numbers: {check: {old text: new text}}."""
    nb, missing = deepcopy(nb), set(numbers)
    for exercise in exercises(nb.cells):
        missing.discard(exercise.check)
        if exercise.check in numbers:
            sources = [nb.cells[i].source for i in exercise.cells]
            varied = vary(sources, numbers[exercise.check])
            for i, source in zip(exercise.cells, varied):
                nb.cells[i].source = source
    if missing:
        raise ValueError(
            f"teach/variants.py: no exercise has {missing.pop()} any more."
        )
    return nb


def mark(cell, name, **kind):
    """What nbgrader has to know of a cell."""
    plain = {"schema_version": 3, "grade": False, "solution": False, "locked": True}
    cell.metadata["nbgrader"] = {**plain, "task": False, "grade_id": name, **kind}
    cell.metadata["deletable"] = False
    if not kind.get("solution"):
        cell.metadata["editable"] = False


def mark_all(nb):
    for number, i in enumerate(setups(nb.cells), 1):
        mark(nb.cells[i], f"setup-{number}")
    for exercise in exercises(nb.cells):
        mark(nb.cells[exercise.statement], f"asked-{exercise.check}")
        mark(nb.cells[exercise.checked], f"above-{exercise.check}")
        blank = nb.cells[exercise.blank]
        mark(blank, f"answer-{exercise.check}", solution=True, locked=False)
        blank.outputs, blank.execution_count = [], None
    for cell in filter(is_check, nb.cells):
        cell.metadata["jupyter"] = {"source_hidden": True}


def student_version(nb, numbers):
    """Solutions out, checks folded, exercises as if nobody had tried them."""
    nb = with_numbers(nb, numbers)
    mark_all(nb)
    solutions = {exercise.solution for exercise in exercises(nb.cells)}
    nb.cells = [cell for i, cell in enumerate(nb.cells) if i not in solutions]
    return nb


def solved(blank, solution):
    """The source of an exercise with its solution; the verdict stays its last line."""
    verdict = blank.splitlines()[-1]
    whole = solution if "verdict(" in solution else f"{solution}\n\n\n{verdict}"
    return f"# exercise\n{whole}"


def remark(cell):
    """What a solution says beside its code."""
    code = SOLUTION.search(cell.source)[1]
    text = cell.source.replace(f"```python\n{code}```", "")
    return re.sub(r"</?details>|<summary>.*?</summary>", "", text).strip()


def solution_version(nb, numbers):
    """Each blank filled, and below it what the solution says in words."""
    nb = with_numbers(nb, numbers)
    mark_all(nb)
    for exercise in reversed(list(exercises(nb.cells))):
        blank, below = nb.cells[exercise.blank], nb.cells[exercise.solution]
        blank.source = solved(blank.source, solution_in(below))
        below.source = remark(below)
        if not below.source:
            del nb.cells[exercise.solution]
    return nb


def marks_of(nb, exercise):
    """The source of the cell that gives the marks of an exercise."""
    alone = context(nb.cells, exercise)
    assert "'''" not in alone, f"{exercise.check} holds three quotes in a row"
    return MARKS.format(check=exercise.check, answer=exercise.answer, context=alone)


def graded_version(nb):
    """nbgrader's source: a student's version with a cell of marks below each exercise."""
    graded = student_version(nb, {})
    sources = {o.check: marks_of(nb, o) for o in exercises(nb.cells)}
    cells = []
    for cell in graded.cells:
        cells.append(cell)
        if is_exercise(cell) and VERDICT.search(cell.source)[1] in sources:
            check = VERDICT.search(cell.source)[1]
            cells.append(nbformat.v4.new_code_cell(sources[check], id=f"m{cell.id}"))
            mark(cells[-1], f"marks-{check}", grade=True, points=POINTS)
    graded.cells = cells
    return graded


def without_outputs(nb):
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return nb


# A class


def students_in(path):
    """The names in a file, one a line, as folders are called."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    names = [re.sub(r"\s+", "_", line.strip()) for line in lines if line.strip()]
    strange = [name for name in names if not re.fullmatch(r"[\w.-]*\w[\w.-]*", name)]
    if strange:
        raise ValueError(f"{strange[0]!r}: write names in letters, digits, - and _.")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(
            f"{twice[0]!r} stands twice in {path}: name each student once."
        )
    if not names:
        raise ValueError(f"{path} is empty: write a name on each line.")
    return names


def numbers_of(lesson, choices):
    """The numbers of one student in a lesson: {check: {old text: new text}}."""
    return {
        check: VARIATIONS[stem, check].numbers(choice)
        for (stem, check), choice in choices.items()
        if stem == lesson
    }


def own_cells(nb, numbers):
    """The cells in which a student's numbers stand, by what nbgrader calls them."""
    varied, own = with_numbers(nb, numbers), {}
    for exercise in exercises(varied.cells):
        check = exercise.check
        if check in numbers:
            own[f"asked-{check}"] = varied.cells[exercise.statement].source
            own[f"above-{check}"] = varied.cells[exercise.checked].source
            own[f"marks-{check}"] = marks_of(varied, exercise)
    return own


# Writing


def write(nb, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nb, path)


def write_pair(nb, name, out, student, numbers):
    """A notebook for a student, and the same with the solutions."""
    for kind, version in (("student", student_version), ("solution", solution_version)):
        folder = out / kind / student
        write(version(nb, numbers), folder / name)
        shutil.copytree(NBS / "images", folder / "images", dirs_exist_ok=True)


def write_class(masters, out, students, seed):
    """Each student's notebooks; returns what is each student's own in them."""
    bare = {stem: without_outputs(deepcopy(nb)) for stem, nb in masters.items()}
    record = {student: {} for student in students}
    for student, choices in choose(students, list(VARIATIONS), seed).items():
        for stem, nb in bare.items():
            numbers = numbers_of(stem, choices)
            write_pair(nb, f"{stem}.ipynb", out, student, numbers)
            record[student][stem] = own_cells(nb, numbers)
    return record


def write_all(masters, out, students, seed):
    """All versions, in three folders."""
    course = out / "nbgrader"
    for stem, nb in masters.items():
        if any(exercises(nb.cells)):
            graded = without_outputs(graded_version(nb))
            write(graded, course / "source" / stem / f"{stem}.ipynb")
        if not students:
            write_pair(nb, f"{stem}.ipynb", out, student="", numbers={})
    record = write_class(masters, out, students, seed)
    course.mkdir(parents=True, exist_ok=True)
    shutil.copy(CONFIG, course)
    (course / "class.json").write_text(json.dumps(record), encoding="utf-8")


def build(out, students=(), names=(), seed=0):
    """Writes the whole folder or nothing; what is there already is never touched."""
    out = Path(out).resolve()
    if out.exists():
        raise FileExistsError(
            f"{out} is there already, and may hold marks: name another folder."
        )
    masters = {path.stem: read(path) for path in find(names)}
    with replace_on_success(out) as temporary:
        write_all(masters, temporary, list(students), seed)
    return masters


def parsed(args):
    parser = argparse.ArgumentParser(prog="dev.py teach", description=__doc__)
    parser.add_argument("--out", required=True, help="a folder that is not there yet")
    parser.add_argument("--students", help="a file of names, one a line, as they sit")
    parser.add_argument("--seed", default=0, help="another one, other numbers")
    parser.add_argument("names", nargs="*", help="notebooks, such as 03; or all")
    return parser.parse_args(args)


def main(args=None):
    args = parsed(args)
    try:
        students = students_in(args.students) if args.students else []
        masters = build(args.out, students, args.names, args.seed)
    except (NotebookError, OSError, ValueError) as error:
        sys.exit(f"dev.py: {error}")
    print(f"{len(masters)} notebooks for {len(students) or 'all'} in {args.out}")


if __name__ == "__main__":
    main()
