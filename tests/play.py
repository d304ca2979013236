"""The playground alone, by Voila: `python tests/play.py [options of Voila]`."""

import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat
from jupyter_core.paths import jupyter_path
from traitlets.config import Config
from voila.app import Voila

APP = "from sdlearn.playground import play\n\nplay()"
# A kernel, half a GB of memory, ends five minutes after its page was left.
ENDS = Config(MappingKernelManager={"cull_idle_timeout": 300, "cull_interval": 60})
ELSEWHERE = re.compile(r'<link [^>]*href="https?://[^>]*>')


def write_app(folder):
    """A notebook of one cell, and nothing in it but the app."""
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(APP)])
    nb.metadata["kernelspec"] = {"name": "python3", "display_name": "python3"}
    path = Path(folder) / "playground.ipynb"
    nbformat.write(nb, path)
    return path


def write_templates(folder):
    """Voila's own templates, without the icon fonts that they ask of another host:
    the style that Voila itself serves has these icons, too."""
    for root in reversed(jupyter_path("voila", "templates")):  # the first one counts
        for template in Path(root).glob("*/*.*"):
            text = template.read_text(encoding="utf-8")
            if ELSEWHERE.search(text):
                copy = Path(folder, "voila/templates", template.relative_to(root))
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_text(ELSEWHERE.sub("", text), encoding="utf-8")


def let_jupyter_find(folder):
    """Whatever Jupyter looks for, it looks for in this folder first."""
    known = os.environ.get("JUPYTER_PATH")
    os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, [str(folder), known]))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        write_templates(folder)
        let_jupyter_find(folder)
        options = [str(write_app(folder)), *sys.argv[1:]]
        Voila.launch_instance(options, config=ENDS)
