"""The house in figures, as `tests/test_house.py` holds them: `python -m tests.figures`."""

import ast
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
# From the ground up: a module imports only from those before it.
FLOORS = [
    "core",
    "drawings",
    "scenes",
    "world",
    "data",
    "schedule",
    "denoiser",
    "training",
    "samplers",
    "text",
    "latents",
    "attention",
    "conditioning",
    "judge",
    "evaluate",
    "guidance",
    "parts",
    "pipeline",
    "canvas",
    "sheet",
    "checkpoints",
    "edit",
    "adapt",
    "recipe",
    "commands",
]
NEUTRAL_WIDTH = 100


def notebooks(folder=ROOT):
    return sorted((folder / "nbs").glob("[0-9]*.ipynb"))


def modules(folder=ROOT):
    return sorted(p for p in (folder / "sdlearn").glob("*.py") if p.name[0] != "_")


def text(path):
    return path.read_text(encoding="utf-8")


def code_cells(notebook):
    cells = nbformat.read(notebook, as_version=4).cells
    return [cell.source for cell in cells if cell.cell_type == "code"]


# Lines and functions


def formatted(folder):
    """Copies of the modules, formatted by ruff at a neutral width."""
    for module in modules():
        shutil.copy(module, folder)
    how = ["--quiet", "--isolated", f"--line-length={NEUTRAL_WIDTH}"]
    command = [sys.executable, "-m", "ruff", "format", *how, str(folder)]
    subprocess.run(command, check=True)
    return sorted(Path(folder).glob("*.py"))


def functions(tree):
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return [node for node in ast.walk(tree) if isinstance(node, kinds)]


def body_lines(function):
    """The lines of a function, less its signature and docstring."""
    body = function.body
    if ast.get_docstring(function) and len(body) > 1:
        body = body[1:]
    return body[-1].end_lineno - body[0].lineno + 1


def is_code(line):
    return bool(line.strip()) and not line.strip().startswith("#")


def line_figures():
    """How long and how dense the modules are, after neutral formatting."""
    before = sum(len(text(module).splitlines()) for module in modules())
    with tempfile.TemporaryDirectory() as folder:
        sources = {path.stem: text(path) for path in formatted(folder)}
    trees = {name: ast.parse(source) for name, source in sources.items()}
    lines = {name: len(source.splitlines()) for name, source in sources.items()}
    bodies = {
        f"{name}.{function.name}": body_lines(function)
        for name, tree in trees.items()
        for function in functions(tree)
    }
    code = sum(is_code(line) for s in sources.values() for line in s.splitlines())
    nodes = sum(1 for tree in trees.values() for _ in ast.walk(tree))
    return {
        "growth by formatting": sum(lines.values()) / before,
        "mean function": statistics.mean(bodies.values()),
        "longest functions": top(bodies, 5),
        "nodes a line": nodes / code,
        "widest line": max(len(s) for m in modules() for s in text(m).splitlines()),
        "longest modules": top(lines, 5),
    }


def top(numbers, count):
    ranked = sorted(numbers.items(), key=lambda item: -item[1])
    return dict(ranked[:count])


# Imports


def imported(module):
    """What a module imports, `.name` for a sibling; imports inside functions count."""
    for node in ast.walk(ast.parse(text(module))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield re.sub(r"^sdlearn\b", "", alias.name)
        elif isinstance(node, ast.ImportFrom):
            source = re.sub(r"^sdlearn\b", "" if node.level else ".", node.module or "")
            source = "." * node.level + source
            if source.strip("."):
                yield source
            else:
                yield from (f".{alias.name}" for alias in node.names)


def siblings(module):
    names = {
        name.strip(".").split(".")[0] for name in imported(module) if name[0] == "."
    }
    return names - {"__version__"}


def upward_imports():
    """Imports from a floor that is not below: (module, imported)."""
    floor = {name: i for i, name in enumerate(FLOORS)}
    pairs = [(m.stem, other) for m in modules() for other in siblings(m)]
    return [(a, b) for a, b in pairs if floor.get(b, 99) >= floor.get(a, -1)]


# Names


def exported(module):
    """The names in a module's `__all__`."""
    for node in ast.parse(text(module)).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "__all__":
            return ast.literal_eval(node.value)
    return []


def imported_names(source):
    """The names that a source takes from sdlearn, as (module, name)."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.level or is_ours(node.module)):
            module = (node.module or "").removeprefix("sdlearn").strip(".")
            yield from ((module, alias.name) for alias in node.names)


def is_ours(module):
    return (module or "").split(".")[0] == "sdlearn"


def lesson_names(notebook):
    """Every name that the cells of a notebook read, its exported cells aside."""
    for source in code_cells(notebook):
        if not source.startswith("#| export"):
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.Name):
                    yield node.id
                elif isinstance(node, ast.Attribute):
                    yield node.attr


def unused_exports():
    """Exported names that no other module, no lesson and no page uses."""
    used = {name for m in modules() for _, name in imported_names(text(m))}
    for notebook in notebooks():
        used.update(lesson_names(notebook))
    pages = text(ROOT / "README.md") + text(ROOT / "pyproject.toml")
    used.update(re.findall(r"\w+", pages))
    names = [(m.stem, name) for m in modules() for name in exported(m)]
    return [f"{module}.{name}" for module, name in names if name not in used]


def main():
    for name, figure in line_figures().items():
        print(
            f"{name:22} {figure:.2f}"
            if isinstance(figure, float)
            else f"{name:22} {figure}"
        )
    print(f"{'upward imports':22} {upward_imports()}")
    print(f"{'unused exports':22} {unused_exports()}")


if __name__ == "__main__":
    main()
