"""The house rules: what keeps notebooks, modules, settings and README telling the same story."""

import ast
import configparser
import importlib.util
import io
import json
import re
import shutil
import statistics
import subprocess
import sys
import tokenize
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tests.notebooks import MAX_BYTES, cleaned

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "nbs").glob("[0-9]*.ipynb"))
MODULES = sorted(
    p for p in (ROOT / "sdlearn").glob("*.py") if not p.name.startswith("_")
)
MAX_LINES, MAX_MEAN_FUNCTION = 1780, 10
IMPORT_NAMES = {"pillow": "PIL", "scikit-learn": "sklearn"}

each_notebook = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda p: p.stem)
each_module = pytest.mark.parametrize("module", MODULES, ids=lambda p: p.stem)


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def settings():
    config = configparser.ConfigParser()
    config.read(ROOT / "settings.ini", encoding="utf-8")
    return config["DEFAULT"]


def requirements(*kinds):
    return [Requirement(line) for kind in kinds for line in settings()[kind].split()]


def project():
    return tomllib.loads(read("pyproject.toml"))["project"]


def load_dev():
    spec = importlib.util.spec_from_file_location("dev", ROOT / "dev.py")
    dev = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(dev)
    return dev


def tracked():
    """The files of the repository, those included that are about to be added."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [
        p for name in listed.stdout.split("\0") if name and (p := ROOT / name).is_file()
    ]


# Notebooks and modules


def test_export_changes_nothing(tmp_path):
    shutil.copytree(
        ROOT / "nbs", tmp_path / "nbs", ignore=shutil.ignore_patterns("[!0-9]*")
    )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "sdlearn").mkdir()
    shutil.copy(ROOT / "sdlearn/__init__.py", tmp_path / "sdlearn")
    code = "from nbdev.doclinks import nbdev_export; nbdev_export()"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    names = {
        p.name for folder in (ROOT, tmp_path) for p in (folder / "sdlearn").glob("*.py")
    }

    def text(folder, name):
        path = folder / "sdlearn" / name
        return path.read_text(encoding="utf-8") if path.exists() else None

    differ = sorted(name for name in names if text(ROOT, name) != text(tmp_path, name))
    assert not differ, (
        f"{differ} differ from what the notebooks export: edit the notebook, then `python dev.py export`"
    )
    assert (tmp_path / "pyproject.toml").read_text(encoding="utf-8") == read(
        "pyproject.toml"
    )


def names_module(notebook):
    """The module that a notebook exports, if any."""
    sources = "\n".join(
        cell.source for cell in nbformat.read(notebook, as_version=4).cells
    )
    found = re.search(r"^#\|\s*default_exp:?\s+(\S+)", sources, re.MULTILINE)
    return found and found[1]


@each_notebook
def test_notebook_exports_its_own_module(notebook):
    assert re.fullmatch(r"\d\d_[a-z]+", notebook.stem)
    assert names_module(notebook) in (None, notebook.stem[3:])


def test_notebook_numbers_are_unique():
    numbers = [p.stem[:2] for p in NOTEBOOKS]
    assert len(numbers) == len(set(numbers))


def imported(module):
    """What a module imports, `.name` for a sibling; imports inside functions count."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (re.sub(r"^sdlearn\b", "", alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = "." * node.level + re.sub(
                r"^sdlearn\b", "" if node.level else ".", node.module or ""
            )
            yield from (
                [source]
                if source.strip(".")
                else [f".{alias.name}" for alias in node.names]
            )


@each_module
def test_module_imports_only_from_below(module):
    ladder = {name: p.stem[:2] for p in NOTEBOOKS if (name := names_module(p))}
    siblings = {
        name.strip(".").split(".")[0]
        for name in imported(module)
        if name.startswith(".")
    }
    above = sorted(
        s for s in siblings if s in ladder and ladder[s] >= ladder[module.stem]
    )
    assert not above, (
        f"{module.name} imports {above}, which stand above it: a module imports only from lower numbers"
    )
    assert siblings <= {*ladder, "__version__"}


def test_ruff():
    paths = ["sdlearn", "tests", "dev.py", "conftest.py", "setup.py"]
    checked = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--no-cache", *paths],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_init_holds_only_the_version():
    body = ast.parse(read("sdlearn/__init__.py")).body
    code = [ast.unparse(node) for node in body if not isinstance(node, ast.Expr)]
    assert code == [f"__version__ = '{settings()['version']}'"]


@each_notebook
def test_notebook_is_clean(notebook):
    text = notebook.read_text(encoding="utf-8")
    same = text == cleaned(nbformat.read(notebook, as_version=4))
    assert same, (
        f"{notebook.name} carries what changes from run to run: `python dev.py clean {notebook.stem}`"
    )


@each_notebook
def test_notebook_shows_its_outputs(notebook):
    cells = [
        c for c in nbformat.read(notebook, as_version=4).cells if c.cell_type == "code"
    ]
    assert any(c.outputs for c in cells), (
        f"nothing to see: `python dev.py refresh {notebook.stem}`"
    )
    assert notebook.stat().st_size < MAX_BYTES, (
        "too large: draw smaller figures or fewer"
    )


# The shape of the code


def public(module):
    """The definitions that a module offers: those in its `__all__`."""
    body = ast.parse(module.read_text(encoding="utf-8")).body
    offered = next(
        ast.literal_eval(n.value)
        for n in body
        if isinstance(n, ast.Assign) and n.targets[0].id == "__all__"
    )
    return [
        n
        for n in body
        if isinstance(n, ast.FunctionDef | ast.ClassDef) and n.name in offered
    ]


def comment_lines(module):
    tokens = tokenize.generate_tokens(
        io.StringIO(module.read_text(encoding="utf-8")).readline
    )
    return {t.start[0] for t in tokens if t.type == tokenize.COMMENT}


def undocumented(function, comments):
    """Parameters without a comment of their own; one on the line of `->` belongs to the result."""
    a = function.args
    args = [
        x
        for x in [*a.posonlyargs, *a.args, a.vararg, *a.kwonlyargs, a.kwarg]
        if x and x.arg not in ("self", "cls")
    ]
    lines = [x.lineno for x in args]
    result = function.returns.lineno if function.returns else None
    return [
        x.arg
        for x in args
        if x.lineno not in comments or lines.count(x.lineno) > 1 or x.lineno == result
    ]


def functions_of(node):
    if isinstance(node, ast.FunctionDef):
        return [node]
    return [
        m for m in node.body if isinstance(m, ast.FunctionDef) and m.name == "__init__"
    ]


@each_module
def test_public_names_are_documented(module):
    comments = comment_lines(module)
    bare = [n.name for n in public(module) if not ast.get_docstring(n)]
    assert not bare, f"no docstring: {bare}"
    missing = {
        n.name: u
        for n in public(module)
        for f in functions_of(n)
        if (u := undocumented(f, comments))
    }
    assert not missing, (
        f"parameters without a comment that says what they are: {missing}"
    )


def body_lines(function):
    body = (
        function.body[1:]
        if ast.get_docstring(function) and len(function.body) > 1
        else function.body
    )
    return body[-1].end_lineno - body[0].lineno + 1


def code_lines(node):
    """The lines of a tree's statements; documented signatures and docstrings are not code to be understood."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return set()
    if isinstance(node, ast.stmt) and not hasattr(node, "body"):
        return set(range(node.lineno, node.end_lineno + 1))
    own = {node.lineno} if isinstance(node, ast.stmt) else set()
    return own.union(
        *(
            code_lines(child)
            for child in ast.iter_child_nodes(node)
            if isinstance(child, ast.stmt | ast.ExceptHandler)
        )
    )


def test_package_stays_small():
    lines = {
        m.name: len(code_lines(ast.parse(m.read_text(encoding="utf-8"))))
        for m in MODULES
    }
    assert sum(lines.values()) <= MAX_LINES, lines


def test_functions_stay_short():
    nodes = [
        n for m in MODULES for n in ast.walk(ast.parse(m.read_text(encoding="utf-8")))
    ]
    mean = statistics.mean(
        body_lines(n) for n in nodes if isinstance(n, ast.FunctionDef)
    )
    assert mean < MAX_MEAN_FUNCTION, f"functions have {mean:.1f} lines on average"


# Packaging


def test_settings_and_pyproject_agree():
    ours, theirs = settings(), project()
    assert theirs["requires-python"] == f">={ours['min_python']}"
    assert [
        theirs["name"],
        theirs["description"],
        theirs["license"],
        theirs["authors"][0]["name"],
    ] == [ours["lib_name"], ours["description"], ours["license"], ours["author"]]
    assert set(theirs["dynamic"]) == {
        "version",
        "dependencies",
        "optional-dependencies",
    }


def test_constraints_pin_what_we_ask_for():
    lines = [
        line
        for line in read("constraints.txt").splitlines()
        if not line.startswith("#")
    ]
    assert all(
        re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][A-Za-z0-9.]*", line) for line in lines
    ), "only exact public versions"
    pins = {
        canonicalize_name(name): version
        for name, version in (line.split("==") for line in lines)
    }
    for wanted in requirements("requirements", "dev_requirements"):
        assert pins.get(canonicalize_name(wanted.name)) in wanted.specifier, wanted


def test_conda_installs_the_same():
    wanted = yaml.safe_load(read("environment.yml"))["dependencies"]
    assert [d["pip"] for d in wanted if isinstance(d, dict)] == [
        ["-c constraints.txt", "-e .[dev]"]
    ]
    python = next(d for d in wanted if isinstance(d, str) and d.startswith("python"))
    assert SpecifierSet(python.removeprefix("python")) == SpecifierSet(
        project()["requires-python"]
    )


def test_requirements_are_those_imported():
    code = [m.read_text(encoding="utf-8") for m in MODULES]
    names = {
        name.split(".")[0]
        for m in MODULES
        for name in imported(m)
        if not name.startswith(".")
    }
    third_party = names - set(sys.stdlib_module_names) - {""}
    offered = {IMPORT_NAMES.get(r.name, r.name) for r in requirements("requirements")}
    assert third_party <= offered, (
        f"missing in settings.ini: {sorted(third_party - offered)}"
    )
    cells = [
        c.source
        for p in NOTEBOOKS
        for c in nbformat.read(p, as_version=4).cells
        if c.cell_type == "code"
    ]
    used = set(
        re.findall(
            r"^\s*(?:from|import) (\w+)", "\n".join([*code, *cells]), re.MULTILINE
        )
    )
    assert offered <= used, f"required but imported nowhere: {sorted(offered - used)}"


def test_entry_points_exist():
    for target in project()["scripts"].values():
        module, function = target.split(":")
        assert re.search(
            rf"^def {function}\b", read(module.replace(".", "/") + ".py"), re.MULTILINE
        ), target


# README and the rest


def test_readme_commands_exist():
    commands = re.findall(
        r"python3?\S* dev\.py (\w+)", read("README.md") + read("CONTRIBUTING.md")
    )
    assert {"run", "test"} <= set(commands) <= set(load_dev().COMMANDS)
    scripts = set(re.findall(r"\b(sdlearn-\w+)\b", read("README.md")))
    assert scripts <= set(project()["scripts"])


def test_readme_options_exist():
    source = read("sdlearn/pipeline.py")
    mains = [
        n
        for n in ast.parse(source).body
        if isinstance(n, ast.FunctionDef) and n.name.endswith("_main")
    ]
    offered = {a.arg for n in mains for a in [*n.args.args, *n.args.kwonlyargs]} | set(
        re.findall(r'"--([a-z-]+)"', source)
    )
    readme = re.sub(
        r"torchrun .*? (?=sdlearn-)", "", read("README.md")
    )  # the launcher's own options
    lines = [
        s
        for s in readme.splitlines()
        if re.search(r"sdlearn-\w+|dev\.py (run|train|evaluate)|^o=\(", s)
    ]
    options = {
        o for line in lines for o in re.findall(r"(?<=\s)--([a-z][a-z-]*)", line)
    }
    assert {o.replace("-", "_") for o in options} <= {
        o.replace("-", "_") for o in offered
    }


def test_readme_links_lead_somewhere():
    targets = re.findall(r"\]\(([^)#\s]+)", read("README.md")) + re.findall(
        r'src="([^"]+)"', read("README.md")
    )
    assert not [t for t in targets if "://" not in t and not (ROOT / t).exists()]


def text_of(path):
    """The text of a file, or nothing if it is no text; a notebook without its pictures, which could spell anything."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""
    return (
        re.sub(r'"image/\w+": "[^"]*"', "", text) if path.suffix == ".ipynb" else text
    )


def test_no_machine_in_the_files():
    machine = re.compile(
        r"(?<![\w.])/(?:root|home|Users|tmp|opt|work|var|mnt)/\w|[A-Z]:\\+Users|file:[/]{2}"
        r"|[p]ypi\.org|[p]ythonhosted|[d]ownload\.pytorch|--(?:extra-)?index-url[ =]\w|[-]-find-links"
    )
    found = {
        f"{p.relative_to(ROOT)}: {m.group()}"
        for p in tracked()
        if (m := machine.search(text_of(p)))
    }
    assert not found


def test_weights_are_safetensors():
    pickles = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5"}
    assert not [p for p in tracked() if p.suffix in pickles]
    for path in (ROOT / "sdlearn").rglob("*.safetensors"):
        assert path.stat().st_size < 20_000_000


def test_notebook_json_has_no_widget_state():
    assert not [
        p.name
        for p in NOTEBOOKS
        if "widgets" in json.loads(p.read_text(encoding="utf-8"))["metadata"]
    ]
