"""The exercises: blanks are refused with a reason, solutions pass, and each section stands on its own."""

import contextlib
import functools
import io
import re
from pathlib import Path

import nbformat
import pytest

NBS = Path(__file__).resolve().parent.parent / "nbs"
TITLE, SOLUTION = (
    "## Check yourself",
    re.compile(r"<details>.*?```python\n(.*?)```.*?</details>", re.DOTALL),
)


def section(cells):
    """The cells below the title, up to the next section of the same rank."""
    start = next(
        (
            i + 1
            for i, c in enumerate(cells)
            if c.cell_type == "markdown" and c.source.startswith(TITLE)
        ),
        len(cells),
    )
    end = (
        i
        for i, c in enumerate(cells)
        if i > start and c.cell_type == "markdown" and c.source.startswith("## ")
    )
    return cells[start : next(end, len(cells))]


def is_exercise(cell):
    return cell.cell_type == "code" and cell.source.startswith("# exercise")


def pieces(cells):
    """Each code cell with the solution that replaces it; None where there is none."""
    for i, cell in enumerate(cells):
        if cell.cell_type == "code":
            below = cells[i + 1] if is_exercise(cell) and i + 1 < len(cells) else None
            yield (
                cell,
                SOLUTION.search(below.source)
                if below and below.cell_type == "markdown"
                else None,
            )


def solved(cell, solution):
    """An exercise with its solution in place of the blank; its verdict stays."""
    verdict = cell.source.splitlines()[-1]
    return solution[1] if "verdict(" in solution[1] else f"{solution[1]}\n{verdict}"


def complaints(cells):
    """What a section lacks."""
    exercises = [
        (cell, solution) for cell, solution in pieces(cells) if is_exercise(cell)
    ]
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
    names, printed = {"__name__": "__main__", "display": lambda *args: None}, []
    for cell, solution in pieces(cells):
        source = solved(cell, solution) if with_solutions and solution else cell.source
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


NOTEBOOKS = [p for p in sorted(NBS.glob("[0-9]*.ipynb")) if section_of(p)]
EXERCISES = [
    pytest.param(p, i, id=f"{p.stem}-{i + 1}")
    for p in NOTEBOOKS
    for i in range(sum(map(is_exercise, section_of(p))))
]


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


def cell(kind, source):
    return (
        nbformat.v4.new_code_cell(source)
        if kind == "code"
        else nbformat.v4.new_markdown_cell(source)
    )


EXERCISE = cell("code", "# exercise\nanswer = ...\nverdict(print, answer)")
ANSWER = cell(
    "markdown",
    "<details><summary>Solution</summary>\n\n```python\nanswer = 1\n```\n\n</details>",
)


@pytest.mark.parametrize(
    "cells, words",
    [
        ([], "0 exercises"),
        ([EXERCISE, ANSWER, EXERCISE], "exercise 2 has no solution"),
        ([EXERCISE, EXERCISE, ANSWER], "exercise 1 has no solution"),
        (
            [cell("code", "# exercise\nanswer = ..."), ANSWER] * 2,
            "does not end in its verdict",
        ),
        ([cell("code", "# exercise\nverdict(print, 1)"), ANSWER] * 2, "has no blank"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_incomplete_section_is_found(cells, words):
    title = cell("markdown", TITLE)
    assert any(words in complaint for complaint in complaints(section([title, *cells])))
    assert not list(complaints(section([title, EXERCISE, ANSWER, EXERCISE, ANSWER])))
