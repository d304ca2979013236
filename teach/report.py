"""What a teacher should look at: `python dev.py teach --report FOLDER`.

It reads the notebooks in FOLDER/nbgrader/submitted, and runs nothing of them.
"""

import argparse
import ast
import json
import sys
from itertools import combinations
from pathlib import Path

import nbformat

from .versions import VERDICT, is_exercise

MEDDLING = {"builtins", "__builtins__", "setattr", "exec", "eval", "globals", "inspect"}


def submissions(course):
    """What was handed in: {(student, lesson): notebook}."""
    found = {}
    for path in sorted(course.glob("submitted/*/*/*.ipynb")):
        try:
            found[path.parts[-3], path.stem] = nbformat.read(path, 4)
        except ValueError:
            raise ValueError(f"{path} is no notebook: ask for it again.") from None
    return found


def answers(nb):
    """The exercises of a notebook as they were answered: {check: syntax tree}."""
    given = {}
    for cell in filter(is_exercise, nb.cells):
        found = VERDICT.search(cell.source)
        try:
            tree = ast.parse(cell.source)
        except SyntaxError:
            continue
        if found:
            given[found[1]] = tree
    return given


def name_of(student, lesson):
    return f"{student}, {lesson}"


def asked_of(record, student, lesson):
    """What the exercises with numbers ask a student: {check: text}."""
    cells = record.get(student, {}).get(lesson, {})
    asked = [name for name in cells if name.startswith("asked-")]
    return {name.removeprefix("asked-"): cells[name] for name in asked}


def foreign_numbers(student, lesson, nb, record):
    """Exercises that ask with the numbers of somebody else."""
    texts = {cell.source for cell in nb.cells if cell.cell_type == "markdown"}
    for check, own in asked_of(record, student, lesson).items():
        for other in record:
            asked = asked_of(record, other, lesson).get(check)
            if asked != own and asked in texts and own not in texts:
                yield f"{name_of(student, lesson)}: {check} has the numbers of {other}."


def same_answers(handed_in, record):
    """Pairs who answered alike, to the letter, although their numbers differ."""
    given = {key: answers(nb) for key, nb in handed_in.items()}
    for one, other in combinations(given, 2):
        if one[1] == other[1]:
            yield from alike(one, given[one], other, given[other], record)


def alike(one, given, other, given_too, record):
    asked, asked_too = asked_of(record, *one), asked_of(record, *other)
    for check in asked:
        trees = [o.get(check) for o in (given, given_too)]
        is_copy = all(trees) and len({ast.dump(tree) for tree in trees}) == 1
        is_blank = is_copy and any(has_dots(node) for node in ast.walk(trees[0]))
        if asked[check] != asked_too[check] and is_copy and not is_blank:
            yield (
                f"{one[1]}: {one[0]} and {other[0]} answered {check} alike, "
                "though their numbers differ."
            )


def has_dots(node):
    return isinstance(node, ast.Constant) and node.value is ...


def meddling(student, lesson, nb):
    """Answers that reach into other modules, as none has to."""
    for check, tree in answers(nb).items():
        for node in ast.walk(tree):
            into = isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
            named = isinstance(node, ast.Name) and node.id in MEDDLING
            if into or named:
                what = ast.unparse(node)
                yield f"{name_of(student, lesson)}: {check} meddles with {what}."


def remarks(course):
    """All sentences about what was handed in."""
    record = json.loads((course / "class.json").read_text(encoding="utf-8"))
    handed_in = submissions(course)
    known = {
        key: nb for key, nb in handed_in.items() if key[1] in record.get(key[0], {})
    }
    for (student, lesson), nb in handed_in.items():
        yield from meddling(student, lesson, nb)
        if (student, lesson) in known:
            yield from foreign_numbers(student, lesson, nb, record)
        elif record:
            yield f"{name_of(student, lesson)}: not in the list of the class."
    yield from same_answers(known, record)


def main():
    parser = argparse.ArgumentParser(prog="dev.py teach", description=__doc__)
    parser.add_argument("--report", metavar="FOLDER", required=True)
    folder = Path(parser.parse_args().report)
    try:
        found = list(remarks(folder / "nbgrader"))
    except (OSError, ValueError) as error:
        sys.exit(f"dev.py: {error}")
    print("\n".join(found) or "Nothing to look at.")


if __name__ == "__main__":
    main()
