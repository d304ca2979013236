"""Builds the course's site: `python site/course/build.py FOLDER`."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import quiz
from pages import write

HERE = Path(__file__).resolve().parent
MATHJAX = HERE.parent / "node_modules" / "mathjax" / "es5"
FONTS = Path("output/chtml/fonts")


def vendor(static):
    """MathJax and the style beside the pages, so that no other host is asked."""
    mathjax = static / "mathjax"
    shutil.copytree(MATHJAX / FONTS, mathjax / FONTS)
    shutil.copy(MATHJAX / "tex-mml-chtml.js", mathjax)
    shutil.copy(HERE / "course.css", static)


def build(folder):
    """All pages; a warning of Sphinx is an error."""
    with tempfile.TemporaryDirectory() as place:
        source, pages = Path(place) / "source", Path(place) / "pages"
        write(source)
        quiz.write(source)
        vendor(source / "_static")
        for name in ("conf.py", "anchors.py", "icon.svg"):
            shutil.copy(HERE / name, source)
        how = ["-q", "-W", "--keep-going", "-b", "html", "-d", f"{place}/trees"]
        command = [sys.executable, "-m", "sphinx", *how, str(source), str(pages)]
        code = subprocess.run(command).returncode
        if code == 0:
            shutil.copytree(pages, folder, dirs_exist_ok=True)
        return code


if __name__ == "__main__":
    sys.exit(build(Path(sys.argv[1])))
