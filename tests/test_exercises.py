"""The exercises: blanks are refused with a reason, solutions pass, each section stands alone."""

import contextlib
import functools
import io
import re

import nbformat
import pytest

from tests.figures import notebooks

TITLE = "## Check yourself"
SOLUTION = re.compile(r"<details>.*?```python\n(.*?)```.*?</details>", re.DOTALL)


def has_heading(cell, text="## "):
    """Does a line of the cell begin with this? A title may stand below other text."""
    lines = cell.source.splitlines() if cell.cell_type == "markdown" else []
    return any(line.startswith(text) for line in lines)


def is_exercise(cell):
    return cell.cell_type == "code" and cell.source.startswith("# exercise")


def section(cells):
    """The cells below the title, up to the next section of the same rank."""
    titles = [i for i, cell in enumerate(cells) if has_heading(cell, TITLE)]
    if not titles:
        return []
    found = []
    for cell in cells[titles[0] + 1 :]:
        if has_heading(cell):
            break
        found.append(cell)
    return found


def solution_in(cell):
    """The code of a cell that unfolds; None if it holds none."""
    found = SOLUTION.search(cell.source) if cell.cell_type == "markdown" else None
    return found and found[1]


def pieces(cells):
    """Each code cell with the solution that replaces it; None where there is none."""
    for i, cell in enumerate(cells):
        below = cells[i + 1 : i + 2]
        if is_exercise(cell) and below:
            yield cell, solution_in(below[0])
        elif cell.cell_type == "code":
            yield cell, None


def solved(cell, solution):
    """An exercise with its solution in place of the blank; its verdict stays."""
    verdict = cell.source.splitlines()[-1]
    return solution if "verdict(" in solution else f"{solution}\n{verdict}"


def complaints(cells):
    """What a section lacks."""
    exercises = [piece for piece in pieces(cells) if is_exercise(piece[0])]
    if not 2 <= len(exercises) <= 4:
        yield f"{len(exercises)} exercises: two to four are wanted"
    for number, (cell, solution) in enumerate(exercises, 1):
        if not cell.source.splitlines()[-1].startswith("verdict("):
            yield f"exercise {number} does not end in its verdict"
        if "..." not in cell.source:
            yield f"exercise {number} has no blank"
        if not solution:
            yield f"exercise {number} has no solution in the cell below it"


def run(cells, with_solutions):
    """What each exercise prints when the section runs alone."""
    names = {"__name__": "__main__", "display": lambda *args: None}
    printed = []
    for cell, solution in pieces(cells):
        source = cell.source
        if with_solutions and solution:
            source = solved(cell, solution)
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(compile(source, TITLE, "exec"), names)
        if is_exercise(cell):
            printed.append(out.getvalue().strip())
    return printed


@functools.cache
def section_of(path):
    return section(nbformat.read(path, as_version=4).cells)


@functools.cache
def verdicts(path, with_solutions):
    return run(section_of(path), with_solutions)


# An appendix has a letter after its number (02a_drawings), and needs no exercises.
LESSONS = [path for path in notebooks() if path.stem[2] == "_"]
NOTEBOOKS = [path for path in notebooks() if section_of(path)]
EXERCISES = [
    pytest.param(path, number, id=f"{path.stem}-{number + 1}")
    for path in NOTEBOOKS
    for number in range(sum(map(is_exercise, section_of(path))))
]


def test_every_lesson_has_a_section():
    assert LESSONS
    assert not [path.stem for path in LESSONS if path not in NOTEBOOKS]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_section_is_complete(path):
    assert not list(complaints(section_of(path)))


@pytest.mark.parametrize("path, number", EXERCISES)
def test_blank_is_refused_with_a_reason(path, number):
    verdict = verdicts(path, with_solutions=False)[number]
    assert verdict.startswith("Not yet: ") and "Error" not in verdict, verdict


@pytest.mark.parametrize("path, number", EXERCISES)
def test_solution_is_right(path, number):
    assert verdicts(path, with_solutions=True)[number] == "Right."


def code(source):
    return nbformat.v4.new_code_cell(source)


def markdown(source):
    return nbformat.v4.new_markdown_cell(source)


EXERCISE = code("# exercise\nanswer = ...\nverdict(print, answer)")
NO_VERDICT = code("# exercise\nanswer = ...")
NO_BLANK = code("# exercise\nverdict(print, 1)")
ANSWER = markdown(
    "<details><summary>Solution</summary>\n\n```python\nanswer = 1\n```\n\n</details>"
)
INCOMPLETE = {
    "0 exercises": [],
    "exercise 2 has no solution": [EXERCISE, ANSWER, EXERCISE],
    "exercise 1 has no solution": [EXERCISE, EXERCISE, ANSWER],
    "does not end in its verdict": [NO_VERDICT, ANSWER] * 2,
    "has no blank": [NO_BLANK, ANSWER] * 2,
}


@pytest.mark.parametrize("words, cells", INCOMPLETE.items(), ids=INCOMPLETE)
def test_an_incomplete_section_is_found(words, cells):
    said = complaints(section([markdown(TITLE), *cells]))
    assert [complaint for complaint in said if words in complaint]


def test_a_complete_section_is_not_complained_of():
    complete = [markdown(TITLE), EXERCISE, ANSWER, EXERCISE, ANSWER]
    assert not list(complaints(section(complete)))
