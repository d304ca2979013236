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

from .notebooks import lessons

ROOT = Path(__file__).resolve().parent.parent
# From the ground up: a module imports only from those before it.
FLOORS = [
    "scratch",
    "pictures",
    "progress",
    "core",
    "checks",
    "predict",
    "quiz",
    "drawings",
    "scenes",
    "world",
    "data",
    "schedule",
    "denoiser",
    "choices",
    "muon",
    "training",
    "samplers",
    "schedulers",
    "words",
    "text",
    "latents",
    "attention",
    "conditioning",
    "together",
    "judge",
    "tasks",
    "evaluate",
    "guidance",
    "parts",
    "prompts",
    "pipeline",
    "canvas",
    "sheet",
    "files",
    "hub",
    "single",
    "checkpoints",
    "masks",
    "edit",
    "inversion",
    "lora",
    "fits",
    "adapt",
    "distill",
    "clock",
    "recipe",
    "supply",
    "graphs",
    "gpu",
    "engines",
    "fast",
    "saving",
    "metadata",
    "orders",
    "studio",
    "browser",
    "explorer",
    "paintbox",
    "desk",
    "playground",
    "runs",
    "race",
    "listen",
    "guesses",
    "overheard",
    "probe",
    "records",
    "answers",
    "exam",
    "hearing",
    "readings",
    "slips",
    "failing",
    "trainings",
    "faults",
    "doctor",
    "chart",
    "clinic",
    "commands",
]
NEUTRAL_WIDTH = 100
# One file on purpose, to be copied away: `tests/test_scratch.py` holds its length.
APART = "scratch"


def notebooks(folder=ROOT):
    return lessons(folder / "nbs")


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


def all_lines(sources):
    return [line for source in sources for line in source.splitlines()]


def line_figures():
    """How long and how dense the modules are, after neutral formatting."""
    ours = all_lines(text(module) for module in modules())
    with tempfile.TemporaryDirectory() as folder:
        sources = {path.stem: text(path) for path in formatted(folder)}
    sources.pop(APART, None)
    neutral = all_lines(sources.values())
    lengths = {name: len(source.splitlines()) for name, source in sources.items()}
    trees = {name: ast.parse(source) for name, source in sources.items()}
    bodies = {}
    for name, tree in trees.items():
        for function in functions(tree):
            bodies[f"{name}.{function.name}"] = body_lines(function)
    code = [line for line in neutral if is_code(line)]
    nodes = [node for tree in trees.values() for node in ast.walk(tree)]
    return {
        "growth by formatting": len(neutral) / len(ours),
        "mean function": statistics.mean(bodies.values()),
        "longest functions": top(bodies, 5),
        "nodes a line": len(nodes) / len(code),
        "widest line": max(map(len, ours)),
        "longest modules": top(lengths, 5),
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
            dots = "." * node.level
            source = dots + re.sub(
                r"^sdlearn\b", "" if dots else ".", node.module or ""
            )
            if source.strip("."):
                yield source
            else:
                yield from (f".{alias.name}" for alias in node.names)


def siblings(module):
    """The modules of the package that a module imports from."""
    inside = [name.strip(".") for name in imported(module) if name[0] == "."]
    return {name.split(".")[0] for name in inside} - {"__version__"}


def upward_imports():
    """Imports from a floor that is not below: (module, imported)."""
    upward = []
    for module in modules():
        below = FLOORS[: FLOORS.index(module.stem)] if module.stem in FLOORS else []
        strangers = siblings(module) - set(below)
        upward += [(module.stem, name) for name in sorted(strangers)]
    return upward


# Names


def exported(module):
    """The names in a module's `__all__`."""
    for node in ast.parse(text(module)).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "__all__":
            return ast.literal_eval(node.value)
    return []


def names_from_us(source):
    """The names that a source takes from the modules of sdlearn."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and is_ours(node):
            yield from (alias.name for alias in node.names)


def is_ours(statement):
    """Does `from ... import ...` take something from sdlearn?"""
    package = (statement.module or "").split(".")[0]
    return statement.level > 0 or package == "sdlearn"


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
    used = {name for module in modules() for name in names_from_us(text(module))}
    for notebook in notebooks():
        used.update(lesson_names(notebook))
    pages = text(ROOT / "README.md") + text(ROOT / "pyproject.toml")
    used.update(re.findall(r"\w+", pages))
    unused = []
    for module in modules():
        names = [name for name in exported(module) if name not in used]
        unused += [f"{module.stem}.{name}" for name in names]
    return unused


def main():
    for name, figure in line_figures().items():
        shown = f"{figure:.2f}" if isinstance(figure, float) else figure
        print(f"{name:22} {shown}")
    print(f"{'upward imports':22} {upward_imports()}")
    print(f"{'unused exports':22} {unused_exports()}")


if __name__ == "__main__":
    main()
