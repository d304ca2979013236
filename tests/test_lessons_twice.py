"""A reader runs a cell again, or all of them: lessons bear it."""

import os
import subprocess

import nbformat
import pytest

from .notebooks import KERNEL_ENV, NBS, client_of

pytestmark = pytest.mark.slow
CHEAP = ["01_core", "02_world", "03_schedule"]


def doubled(cells):
    """Each code cell again, right after itself."""
    twice = []
    for cell in cells:
        twice.append(cell)
        if cell.cell_type == "code":
            again = nbformat.v4.new_code_cell(cell.source)
            twice.append(again)
    return twice


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


@pytest.mark.parametrize("name", CHEAP)
def test_every_cell_runs_twice(name):
    nb = lesson(name)
    nb.cells = doubled(nb.cells)
    run_all(nb, allow_errors=True)
    failed = failures(nb)
    assert not failed, "\n\n".join(failed)


def test_run_all_reaches_the_end():
    nb = lesson("01_core")
    run_all(nb)
    code = [cell for cell in nb.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)


def test_a_cell_that_fails_again_is_found():
    nb = nbformat.v4.new_notebook()
    sources = ["kept = [1]", "kept.pop()", "len(kept)"]
    nb.cells = doubled(map(nbformat.v4.new_code_cell, sources))
    run_all(nb, allow_errors=True)
    assert [failure.splitlines()[-1] for failure in failures(nb)] == ["kept.pop()"]
