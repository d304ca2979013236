"""The source folder of the course's site: `python site/course/pages.py FOLDER`."""

import importlib
import inspect
import re
import shutil
import sys
from pathlib import Path

import badges
import nbformat
from fastcore.docments import docments
from nbformat.v4 import new_markdown_cell

ROOT = Path(__file__).resolve().parent.parent.parent
WIDGET = "application/vnd.jupyter.widget-view+json"
MARKERS = re.compile(r"^(#\||# NBVAL_|# check$)")  # for machines, not for readers
LINK = re.compile(r"\[([^\]]*)\]\(([\w./-]+)(#[^)]*)?\)")
EXPLORER = (
    '<p><a href="../index.html">The explorer: the tiny model, live in your browser</a>'
    "</p>\n\n"
)
# Where a page of the repository stands on the site.
PLACES = {
    "README.md": "index",
    "RACE.md": "race",
    "CONTRIBUTING.md": "contributing",
    "CHANGELOG.md": "changelog",
    "sdlearn/tiny_sd/README.md": "model_card",
}
PICTURES = [
    *ROOT.glob("nbs/images/*.png"),
    *ROOT.glob("sdlearn/tiny_sd/*.png"),
    *ROOT.glob("site/screenshots/*.png"),
]
# A lesson, and the panel of the explorer that lets a reader play with it.
PANELS = {
    "08_latents": "latents",
    "09_attention": "attention",
    "10_conditioning": "break",
    "12_guidance": "guidance",
    "13_pipeline": "film",
    "15_edit": "noise",
}


# Lessons


def for_readers(cell):
    """A code cell without the lines that only machines read; what tells an answer is folded."""
    lines = cell.source.splitlines()
    if "# check" in lines:
        cell.metadata["tags"] = ["hide-input"]
    if cell.source.startswith("predict("):
        cell.metadata["tags"] = ["remove-input"]
    cell.source = "\n".join(line for line in lines if not MARKERS.match(line)).strip()
    cell.outputs = [out for out in cell.outputs if WIDGET not in out.get("data", {})]
    alt = alternative_text(cell.outputs)
    if alt:
        cell.metadata["mystnb"] = {"image": {"alt": alt}}
    return cell


def alternative_text(outputs):
    """What the first picture among the outputs shows; None without one."""
    for output in outputs:
        alt = output.get("metadata", {}).get("image/png", {}).get("alt")
        if alt:
            return alt
    return None


def for_machines(cell):
    """Is a code cell of no use to a reader?"""
    return cell.source.startswith(("#| hide", "#| default_exp")) or not cell.source


def live_panel(name, text=""):
    """A cell that opens the explorer at one panel."""
    address = f"../../index.html?panel={name}"
    frame = f'<iframe class="explorer" src="{address}" title="The explorer: {name}"'
    return new_markdown_cell(f'{text}{frame} loading="lazy"></iframe>')


PLAY = "## Play with it here\n\nThe tiny model runs in this page.\n\n"


def lesson(path):
    """A notebook as the site shows it."""
    notebook = nbformat.read(path, as_version=4)
    cells = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            if for_machines(cell):
                continue
            cell = for_readers(cell)
        else:
            cell.source = relinked(cell.source, path.parent, "../")
        cells.append(cell)
        if cell.source.endswith("\nexplorer()"):  # here it needs no picture of itself
            cell.outputs = []
            cells.append(live_panel("prompt"))
    name = badges.repository()
    if name:
        where = path.relative_to(ROOT).as_posix()
        cells.insert(1, new_markdown_cell(badges.links(name, where)))
    if path.stem in PANELS:
        cells.insert(len(cells) - 1, live_panel(PANELS[path.stem], PLAY))
    notebook.cells = cells
    return notebook


# Pages


def relinked(text, home, up):
    """The links of a page that lies in the folder `home`, as they are on the site."""

    def moved(link):
        path = (home / link[2]).resolve()
        inside = path.relative_to(ROOT).as_posix() if path.exists() else link[2]
        anchor = link[3] or ""
        if path.suffix == ".ipynb":
            return f"[{link[1]}]({up}lessons/{path.name}{anchor})"
        if inside in PLACES:
            return f"[{link[1]}]({up}{PLACES[inside]}.md{anchor})"
        if path.suffix == ".png":
            return f"[{link[1]}]({up}images/{path.name})"
        return link[1]

    return LINK.sub(moved, text)


def page(name):
    """A page of the repository as the site shows it."""
    path = ROOT / name
    text = badges.without(path.read_text(encoding="utf-8"))
    return relinked(text, path.parent, "")


# The package


def documented(name, thing):
    """Signature, docstring and parameters of one exported name."""
    head = f"## {name}\n\n"
    text = inspect.getdoc(thing) or ""
    if not callable(thing):
        return f"{head}`{thing!r}`\n" if len(repr(thing)) < 300 else head
    rows = [row(*pair) for pair in docments(thing, full=True).items()]
    table = "\n".join(["| parameter | | what it is |", "|---|---|---|", *rows])
    return f"{head}```python\n{signature(name, thing)}\n```\n\n{text}\n\n{table}\n"


def signature(name, thing):
    """A call with the names and defaults of its parameters."""
    try:
        parameters = inspect.signature(thing).parameters.values()
    except ValueError:
        return name
    plain = [p.replace(annotation=inspect.Parameter.empty) for p in parameters]
    return f"{name}{inspect.Signature(plain)}"


def row(name, about):
    """A line of the table of parameters."""
    annotation = about["anno"]
    kind = (
        ""
        if annotation is inspect.Parameter.empty
        else inspect.formatannotation(annotation)
    )
    comment = about["docment"] or ""
    name = "gives" if name == "return" else f"`{name}`"
    return f"| {name} | {escaped(kind)} | {escaped(comment)} |"


def escaped(text):
    """Text for a cell of a table."""
    return str(text).replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def module_page(name):
    """All that a module offers."""
    module = importlib.import_module(f"sdlearn.{name}")
    parts = [documented(one, getattr(module, one)) for one in module.__all__]
    head = f"# sdlearn.{name}\n\n{inspect.getdoc(module) or ''}\n"
    return "\n".join([head, *parts])


# All together


def contents(title, pages):
    """A table of contents, in MyST."""
    lines = [f"```{{toctree}}\n:caption: {title}\n:maxdepth: 1", *pages, "```\n"]
    return "\n".join(lines)


def write(folder):
    """The whole source folder."""
    lessons = sorted((ROOT / "nbs").glob("[0-9]*_*.ipynb"))
    modules = sorted(p.stem for p in (ROOT / "sdlearn").glob("[a-z]*.py"))
    for name in ("lessons", "api", "images"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for picture in PICTURES:
        shutil.copy(ROOT / picture, folder / "images")
    for path in lessons:
        nbformat.write(lesson(path), folder / "lessons" / path.name)
    for name in modules:
        (folder / "api" / f"{name}.md").write_text(module_page(name), encoding="utf-8")
    for source, place in PLACES.items():
        (folder / f"{place}.md").write_text(page(source), encoding="utf-8")
    main = [f"lessons/{p.stem}" for p in lessons if p.stem[2] == "_"]
    side = [f"lessons/{p.stem}" for p in lessons if p.stem[2] != "_"]
    pages = ["race", "model_card", "contributing", "changelog"]
    with (folder / "index.md").open("a", encoding="utf-8") as index:
        index.write(EXPLORER)
        index.write(contents("Lessons", main) + contents("Side roads", side))
        index.write(contents("The package", [f"api/{name}" for name in modules]))
        index.write(contents("About", pages))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
