"""What nbval needs to test notebooks that nbdev has cleaned."""

import functools
import os

import nbval.kernel
import pytest
from nbval.plugin import IPyNbCell

from tests.notebooks import (
    KERNEL_ENV,
    NBS,
    NotebookError,
    is_lesson,
    lessons,
    source_of,
)

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("OMP_NUM_THREADS", "1")


def execute_with_history(self, source, allow_stdin=None):
    """Run a cell as Jupyter does; without history a trailing `;` would not silence it."""
    return self.kc.execute(
        source, store_history=True, allow_stdin=allow_stdin, stop_on_error=False
    )


nbval.kernel.RunningKernel.execute_cell_input = execute_with_history
nbval.kernel.start_new_kernel = functools.partial(
    nbval.kernel.start_new_kernel, env={**os.environ, **KERNEL_ENV}
)


def pytest_sessionstart():
    """Notebooks that cannot be read are named before anything reads them."""
    try:
        for path in lessons():
            source_of(path)
    except NotebookError as error:
        pytest.exit(str(error), returncode=2)


def pytest_ignore_collect(collection_path):
    """Copies of notebooks are named by a test of the house, and not run."""
    notebook = NBS in collection_path.parents and collection_path.suffix == ".ipynb"
    return True if notebook and not is_lesson(collection_path) else None


def pytest_collection_modifyitems(items):
    """Mark cells as run: a cleaned notebook has no counts, and nbval would compare nothing."""
    for item in items:
        if isinstance(item, IPyNbCell) and item.cell.execution_count is None:
            item.cell.execution_count = 1
