"""Slides of the lessons' own figures: `python dev.py slides [--out FOLDER] [NAME ...]`.

Whatever a notebook shows becomes a slide: its heading, its picture, and the sentence
that stands below it. Its questions come with their answers hidden.
"""

import argparse
import html
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbconvert.filters import markdown2html

from sdlearn.core import replace_on_success
from tests.copies import find
from tests.notebooks import NBS, without_appendices

ROOT = Path(__file__).resolve().parent.parent
NODE = ROOT / "site" / "node_modules"
REVEAL = NODE / "reveal.js" / "dist"
MATHJAX = NODE / "mathjax" / "es5"
FONTS = "output/chtml/fonts"
PAGE = (Path(__file__).parent / "slides.html").read_text(encoding="utf-8")
END = "Check yourself"  # exercises are no slides
LONGEST = 420  # letters of a text on a slide
MOST_LINES = 8  # of a list or table on a slide


@dataclass
class Slide:
    """What one slide shows."""

    title: str
    body: str = ""  # HTML
    then: str = ""  # HTML that comes at the next key


def blocks(markdown):
    """What blank lines part: paragraphs, lists, tables, code."""
    return re.split(r"\n\s*\n", markdown.strip())


def is_prose(block):
    """Can it be read out? Headings, tables, code and pictures cannot."""
    return re.match(r"\s*(#|\||```|<|>|!\[)", block) is None


def is_list(block):
    return re.match(r"(- |1\. )", block) is not None


def shortened(markdown):
    """As many whole sentences as a slide has room for; a list may be twice as long."""
    text = markdown.strip()
    room = 2 * LONGEST if is_list(text) else LONGEST
    sentences = re.finditer(r"(?<!\d)(?<! al)[.?!]\)?(?=\s|$)", text)
    ends = [found.end() for found in sentences] or [len(text)]
    fitting = [end for end in ends if end <= room]
    return text[: max(fitting, default=ends[0])]


def as_html(markdown):
    """Without links: a slide leads nowhere."""
    return markdown2html(re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", markdown))


def headings(markdown):
    return re.findall(r"^#+ (.+)$", markdown, re.MULTILINE)


def outputs(cell):
    """What a code cell has shown, by kind."""
    return [output.data for output in cell.get("outputs", ()) if "data" in output]


def question(text):
    """The question of a `predict`, its choices and its answer, as it is saved as text."""
    lines = text.splitlines()
    asked = [line.removeprefix("Predict: ") for line in lines[:1]]
    choices = [line.removeprefix("- ") for line in lines if line.startswith("- ")]
    answers = [line for line in lines if line.startswith("Answer: ")]
    return asked[0], choices, answers[0].removeprefix("Answer: ")


def question_slide(text):
    asked, choices, answer = question(text)
    items = "".join(f"<li>{as_html(choice)}</li>" for choice in choices)
    listed = f"<ul>{items}</ul>" if choices else ""
    return Slide("Predict", as_html(asked) + listed, as_html(answer))


def figure_slide(title, data, below):
    """A picture, and what the text below it says of it."""
    alt = re.search(r'alt="([^"]*)"', data.get("text/html", ""))
    words = alt[1] if alt else html.escape(title)
    source = f"data:image/png;base64,{data['image/png'].strip()}"
    picture = f'<img src="{source}" alt="{words}">'
    prose = [text for text in blocks(below) if text and is_prose(text)]
    said = [as_html(shortened(text)) for text in prose[:1]]
    return Slide(title, picture, "".join(said))


def slides_of_cell(cell, title, below):
    for data in outputs(cell):
        if data.get("text/plain", "").startswith("Predict: "):
            yield question_slide(data["text/plain"])
        elif "image/png" in data:
            yield figure_slide(title, data, below)


def text_below(cells, i):
    """The text that follows a cell, if it does not begin something new."""
    texts = [o.source for o in cells[i + 1 : i + 3] if o.cell_type == "markdown"]
    if not texts:
        return ""
    begins_with_a_heading = texts[0].lstrip().startswith("#")
    return "" if begins_with_a_heading else texts[0]


def announced(texts):
    """The list or table that follows a first paragraph, if there is a short one."""
    found = [text for text in texts[1:2] if is_list(text) or text[0] == "|"]
    return [text for text in found if text.count("\n") < MOST_LINES]


def opening_slide(markdown, title):
    """A heading, the first words below it, and the list or table that they announce."""
    below = markdown.rpartition(f"# {title}\n")[2]
    texts = [text for text in blocks(below) if is_prose(text) or text[0] == "|"]
    shown = [shortened(text) for text in texts[:1]] + announced(texts)
    return Slide(title, as_html("\n\n".join(shown)))


def slides_of(notebook):
    """All slides of a notebook, in its order."""
    title = ""
    for i, cell in enumerate(notebook.cells):
        found = headings(cell.source) if cell.cell_type == "markdown" else []
        if END in found:
            return
        if found:
            title = found[-1]
            yield opening_slide(cell.source, title)
        if cell.cell_type == "code":
            yield from slides_of_cell(cell, title, text_below(notebook.cells, i))


def section(slide):
    then = f'<div class="fragment">{slide.then}</div>' if slide.then else ""
    title = markdown2html(slide.title).removeprefix("<p>").removesuffix("</p>")
    return f"<section><h2>{title}</h2>{slide.body}{then}</section>"


def page(path):
    """The slides of a notebook as one page."""
    notebook = nbformat.read(path, as_version=4)
    sections = "\n".join(section(slide) for slide in slides_of(notebook))
    return PAGE.replace("TITLE", path.stem).replace("SECTIONS", sections)


def write(folder, paths):
    """One page for each notebook, with all that they need beside them."""
    shutil.copytree(
        REVEAL, folder / "reveal.js", ignore=shutil.ignore_patterns("*.map")
    )
    shutil.copytree(MATHJAX / FONTS, folder / "mathjax" / FONTS)
    shutil.copy(MATHJAX / "tex-mml-chtml.js", folder / "mathjax")
    for path in paths:
        target = folder / f"{path.stem}.html"
        target.write_text(page(path), encoding="utf-8")


def wanted(names):
    """The notebooks of these names; of none: all lessons, without their appendices."""
    if names:
        return [NBS / name for name in dict.fromkeys(map(find, names))]
    return without_appendices()


def main():
    parser = argparse.ArgumentParser(prog="dev.py slides", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="such as 06 or 06_samplers"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "slides")
    args = parser.parse_args()
    paths = wanted(args.names)
    if not REVEAL.exists():
        sys.exit(
            "dev.py: the slides need reveal.js, which comes with the site's packages: "
            "install Node, run `npm ci --ignore-scripts` in site/, then run this again."
        )
    with replace_on_success(args.out) as folder:
        folder.mkdir()
        write(folder, paths)
    print(f"{len(paths)} sets of slides in {args.out}: open one of them in a browser.")


if __name__ == "__main__":
    main()
