"""The playground alone, by Voila: `python tests/play.py [options of Voila]`."""

import sys
import tempfile
from pathlib import Path

import nbformat
from voila.app import Voila

APP = "from sdlearn.playground import play\n\nplay()"


def write_app(folder):
    """A notebook of one cell, and nothing in it but the app."""
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(APP)])
    nb.metadata["kernelspec"] = {"name": "python3", "display_name": "python3"}
    path = Path(folder) / "playground.ipynb"
    nbformat.write(nb, path)
    return path


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        Voila.launch_instance([str(write_app(folder)), *sys.argv[1:]])
