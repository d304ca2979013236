"""A reader runs a cell again, or all of them: lessons bear it."""

import os
import subprocess

import nbformat
import pytest

from .notebooks import KERNEL_ENV, NBS, client_of

pytestmark = pytest.mark.slow
CHEAP = ["01_core", "02_world", "03_schedule", "05_training", "12a_parts"]
# Keeps what `interact` makes, and draws with its sliders at both of their ends.
KEEP = """
import ipywidgets as _widgets

_interact, _made, _drawn = _widgets.interact, [], []

def _kept(function, **given):
    _made.append((function, _interact(function, **given).widget))

def _draw(function, widget):
    pictures = []
    for end in ("min", "max"):
        values = {w._kwarg: w.get_interact_value() for w in widget.kwargs_widgets}
        moved = {w._kwarg: getattr(w, end) for w in widget.children if hasattr(w, end)}
        pictures.append(function(**(values | moved)).tobytes())
    assert pictures[0] != pictures[1], "the slider moves nothing"
    return pictures

_widgets.interact = _kept
"""
MOVE = "_drawn.append(_draw(*_made[-1]))"
MOVE_AGAIN = "assert _drawn == [_draw(*made) for made in _made], 'the sliders broke'"
COUNT = "print(len(_made))"


def code(source):
    return nbformat.v4.new_code_cell(source)


def doubled(cells):
    """Each code cell again, right after itself."""
    twice = []
    for cell in cells:
        twice.append(cell)
        if cell.cell_type == "code":
            twice.append(code(cell.source))
    return twice


def with_moves(cells):
    """Each slider is moved where it is made, and again when all cells have run."""
    moved = [code(KEEP)]
    for cell in cells:
        moved.append(cell)
        if cell.cell_type == "code" and "interact(" in cell.source:
            moved.append(code(MOVE))
    return [*moved, code(MOVE_AGAIN), code(COUNT)]


def run_all(nb, **how):
    """Runs the cells as Run All does: markers of the tests mean nothing to it."""
    client = client_of(nb, NBS)
    for name, value in how.items():
        setattr(client, name, value)
    env = {**os.environ, **KERNEL_ENV}
    client.execute(cleanup_kc=True, env=env, stderr=subprocess.DEVNULL)


def lesson(name):
    return nbformat.read(NBS / f"{name}.ipynb", as_version=4)


def errors_of(cell):
    """What went wrong in a cell that has run."""
    outputs = cell.get("outputs", [])
    return [o for o in outputs if o["output_type"] == "error"]


def failures(nb):
    """The errors of the cells that have run, each with the beginning of its cell."""
    found = []
    for cell in nb.cells:
        for error in errors_of(cell):
            found.append(f"{error['ename']}: {error['evalue']}\n{cell.source[:300]}")
    return found


@pytest.fixture(scope="module", params=CHEAP)
def ran_twice(request):
    """A lesson whose cells have all run twice, its sliders moved."""
    nb = lesson(request.param)
    nb.cells = with_moves(doubled(nb.cells))
    run_all(nb, allow_errors=True)
    return nb


def test_every_cell_runs_twice_and_sliders_go_on(ran_twice):
    failed = failures(ran_twice)
    assert not failed, "\n\n".join(failed)
    sources = [cell.source for cell in ran_twice.cells]
    sliders = sum("interact(" in source for source in sources) - 1  # less KEEP itself
    assert ran_twice.cells[-1].outputs[0]["text"].strip() == str(sliders)


def test_a_cell_that_fails_again_is_found():
    nb = nbformat.v4.new_notebook()
    sources = ["kept = [1]", "kept.pop()", "len(kept)"]
    nb.cells = doubled(map(nbformat.v4.new_code_cell, sources))
    run_all(nb, allow_errors=True)
    assert [failure.splitlines()[-1] for failure in failures(nb)] == ["kept.pop()"]


SLIDER = [
    "from ipywidgets import IntSlider, interact\nfrom PIL import Image\nsize = 2",
    "def at(t):\n    return Image.new('L', (size, size), t)",
    "interact(at, t=IntSlider(4, 0, 9));",
]


@pytest.mark.parametrize("last, broken", [("size = 3", True), ("size = 2", False)])
def test_a_slider_that_breaks_is_found(last, broken):
    nb = nbformat.v4.new_notebook()
    nb.cells = with_moves(map(code, [*SLIDER, last]))
    run_all(nb, allow_errors=True)
    assert ["the sliders broke" in failure for failure in failures(nb)] == [
        True
    ] * broken
