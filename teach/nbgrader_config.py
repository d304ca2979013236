"""How nbgrader takes marks: `nbgrader autograde LESSON` in the folder of this file."""

import json
import re
from pathlib import Path

import nbformat
from nbgrader.preprocessors import (
    CheckCellMetadata,
    ClearHiddenTests,
    ClearOutput,
    ComputeChecksums,
    DeduplicateIds,
    LockCells,
    NbGraderPreprocessor,
    OverwriteCells,
    OverwriteKernelspec,
    SaveCells,
)

HERE = Path(__file__).resolve().parent
VERDICT = re.compile(r"^verdict\((\w+),", re.MULTILINE)


def id_of(cell):
    """What nbgrader calls a cell; an answer that lost its name is known by its verdict."""
    name = cell.metadata.get("nbgrader", {}).get("grade_id")
    if name or cell.cell_type != "code":
        return name
    found = VERDICT.search(cell.source)
    return f"answer-{found[1]}" if found else None


def answers_in(cells, known):
    """The student's answers, each with the cells of their own that stand above it."""
    answers, above = {}, []
    for cell in cells:
        name = id_of(cell) or ""
        if name.startswith("answer-"):
            answers[name], above = [*above, cell], []
        elif not name and cell.get("id") not in known:
            above.append(cell)
    return answers


class Restore(NbGraderPreprocessor):
    """The exercises as the master has them, with a student's answers and numbers.

    The rest of the lesson is left out: it need not be run again to mark exercises.
    """

    def preprocess(self, nb, resources):
        where = resources["nbgrader"]
        lesson, name = where["assignment"], where["notebook"] + ".ipynb"
        master = nbformat.read(HERE / "source" / lesson / name, 4)
        answers = answers_in(nb.cells, {cell.id for cell in master.cells})
        marked = [cell for cell in master.cells if "nbgrader" in cell.metadata]
        marked.sort(key=lambda cell: not id_of(cell).startswith("setup"))
        nb.cells = []
        for cell in marked:
            given = answers.get(id_of(cell), [cell])
            given[-1].metadata["nbgrader"] = dict(cell.metadata["nbgrader"])
            nb.cells += given
        return nb, resources


class OwnNumbers(NbGraderPreprocessor):
    """Each student is marked by the numbers that their notebook asked with."""

    def preprocess(self, nb, resources):
        where = resources["nbgrader"]
        record = json.loads((HERE / "class.json").read_text(encoding="utf-8"))
        own = record.get(where["student"], {}).get(where["notebook"], {})
        for cell in nb.cells:
            cell.source = own.get(id_of(cell), cell.source)
        return nb, resources


c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "sdlearn"
c.CourseDirectory.root = str(HERE)
# The sources hold no solutions that would have to be cleared.
c.GenerateAssignment.preprocessors = [
    LockCells,
    ClearOutput,
    CheckCellMetadata,
    ComputeChecksums,
    SaveCells,
    ClearHiddenTests,
    ComputeChecksums,
    CheckCellMetadata,
]
c.Autograde.sanitize_preprocessors = [
    ClearOutput,
    DeduplicateIds,
    Restore,
    OverwriteKernelspec,
    OverwriteCells,
    OwnNumbers,
    CheckCellMetadata,
]
c.Execute.timeout = 300  # seconds a cell: some exercises draw
c.IncludeHeaderFooter.header = ""
