"""The house rules: what keeps notebooks, modules, settings and README telling the same story."""

import ast
import configparser
import importlib.util
import io
import json
import re
import shutil
import subprocess
import sys
import tokenize
import tomllib

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tests import figures
from tests.figures import FLOORS, ROOT, imported, text
from tests.notebooks import MAX_BYTES, cleaned

NOTEBOOKS = figures.notebooks()
MODULES = figures.modules()
IMPORT_NAMES = {"pillow": "PIL", "scikit-learn": "sklearn"}

each_notebook = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda p: p.stem)
each_module = pytest.mark.parametrize("module", MODULES, ids=lambda p: p.stem)


def read(name):
    return text(ROOT / name)


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
    paths = [ROOT / name for name in files_of_git()] or files_of_archive()
    return [path for path in paths if path.is_file()]


def files_of_git():
    """None without git, in an unpacked archive, or where git does not trust the folder."""
    if not shutil.which("git") or not (ROOT / ".git").exists():
        return []
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return [name for name in listed.stdout.split("\0") if name]


# What `.gitignore` has, for those who unpacked an archive.
MADE_HERE = re.compile(
    r"\.venv.*|\.git|out|work|build|dist|_proc|_docs|__pycache__|.*\.egg-info"
    r"|node_modules|public|fixtures"
    r"|\.(ipynb_checkpoints|pytest_cache|ruff_cache|coverage.*|last_checked)"
)


def files_of_archive(folder=ROOT):
    for path in sorted(folder.iterdir()):
        if MADE_HERE.fullmatch(path.name):
            continue
        if path.is_dir():
            yield from files_of_archive(path)
        else:
            yield path


# Notebooks and modules


def export_into(folder):
    """Export all notebooks into another folder."""
    others = shutil.ignore_patterns("[!0-9]*")
    shutil.copytree(ROOT / "nbs", folder / "nbs", ignore=others)
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "sdlearn").mkdir()
    shutil.copy(ROOT / "sdlearn/__init__.py", folder / "sdlearn")
    export = ROOT / "tests/export.py"
    subprocess.run([sys.executable, export], cwd=folder, check=True)


def sources_in(folder):
    return {path.name: text(path) for path in (folder / "sdlearn").glob("*.py")}


def test_export_changes_nothing(tmp_path):
    export_into(tmp_path)
    ours, theirs = sources_in(ROOT), sources_in(tmp_path)
    names = sorted(ours.keys() | theirs.keys())
    differ = [name for name in names if ours.get(name) != theirs.get(name)]
    assert not differ, (
        f"{differ} differ from what the notebooks export: "
        "edit the notebook, then `python dev.py export`"
    )
    assert text(tmp_path / "pyproject.toml") == read("pyproject.toml")


def names_module(notebook):
    """The module that a notebook exports, if any."""
    sources = "\n".join(figures.code_cells(notebook))
    found = re.search(r"^#\|\s*default_exp:?\s+(\S+)", sources, re.MULTILINE)
    return found and found[1]


@each_notebook
def test_notebook_exports_its_own_module(notebook):
    assert re.fullmatch(r"\d\d[a-z]?_[a-z]+", notebook.stem)
    assert names_module(notebook) in (None, notebook.stem.partition("_")[2])


def test_notebook_numbers_are_unique():
    numbers = [p.stem.partition("_")[0] for p in NOTEBOOKS]
    assert len(numbers) == len(set(numbers))


def test_every_module_has_its_floor():
    assert sorted(FLOORS) == sorted(p.stem for p in MODULES)


def test_modules_import_only_from_below():
    above = figures.upward_imports()
    assert not above, f"{above}: a module imports only from those before it in FLOORS"


def test_exported_means_used():
    unused = figures.unused_exports()
    assert not unused, f"{unused}: begin the name with _, or take it out"


@pytest.mark.parametrize("command", [["format", "--check"], ["check"]], ids=" ".join)
def test_ruff(command):
    ruff = [sys.executable, "-m", "ruff", *command, "--no-cache", "."]
    checked = subprocess.run(ruff, cwd=ROOT, capture_output=True, text=True)
    said = checked.stdout + checked.stderr
    assert checked.returncode == 0, f"`python dev.py tidy` mends most of it:\n{said}"


def test_init_holds_only_the_version():
    body = ast.parse(read("sdlearn/__init__.py")).body
    code = [ast.unparse(node) for node in body if not isinstance(node, ast.Expr)]
    assert code == [f"__version__ = '{settings()['version']}'"]


@each_notebook
def test_notebook_is_clean(notebook):
    same = text(notebook) == cleaned(nbformat.read(notebook, as_version=4))
    assert same, (
        f"{notebook.name} carries what changes from run to run: "
        f"`python dev.py clean {notebook.stem}`"
    )


@each_notebook
def test_notebook_shows_its_outputs(notebook):
    cells = nbformat.read(notebook, as_version=4).cells
    shown = any(cell.get("outputs") for cell in cells)
    assert shown, f"nothing to see: `python dev.py refresh {notebook.stem}`"
    size = notebook.stat().st_size
    assert size < MAX_BYTES, f"{size} bytes are too many: draw smaller figures or fewer"


@each_notebook
def test_pictures_keep_their_colors(notebook):
    squeezed = [cell for cell in figures.code_cells(notebook) if "quantize(" in cell]
    remedy = "a palette shows what was never drawn: use core's show and page"
    assert not squeezed, remedy


@each_notebook
def test_pictures_have_words(notebook):
    nb = nbformat.read(notebook, as_version=4)
    told = [metadata.get("image/png", {}).get("alt", "") for metadata in shown_with(nb)]
    assert all(len(alt.split()) >= 3 for alt in told), (
        f"{told}: a sentence of alternative text for each, "
        "by show or page of core, or by described of pictures"
    )


def shown_with(nb):
    """The metadata of every output that holds a picture."""
    for cell in nb.cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                yield output.get("metadata", {})


@each_notebook
def test_answers_are_folded(notebook):
    cells = nbformat.read(notebook, as_version=4).cells
    telling = [
        cell for cell in cells if cell.source.startswith(("# check\n", "predict("))
    ]
    hidden = [
        cell.metadata.get("jupyter") == {"source_hidden": True} for cell in telling
    ]
    assert all(hidden), f"`python dev.py clean {notebook.stem}` folds the answers"


# The shape of the code


def public(module):
    """The functions and classes that a module offers."""
    offered = figures.exported(module)
    kinds = ast.FunctionDef | ast.ClassDef
    body = ast.parse(text(module)).body
    return [n for n in body if isinstance(n, kinds) and n.name in offered]


def comment_lines(module):
    tokens = tokenize.generate_tokens(io.StringIO(text(module)).readline)
    return {t.start[0] for t in tokens if t.type == tokenize.COMMENT}


def parameters(function):
    a = function.args
    given = [*a.posonlyargs, *a.args, a.vararg, *a.kwonlyargs, a.kwarg]
    return [x for x in given if x and x.arg not in ("self", "cls")]


def undocumented(function, comments):
    """Parameters without a comment that is theirs alone."""
    given = parameters(function)
    lines = [x.lineno for x in given]
    # A comment on the line of `->` belongs to the result.
    result = function.returns.lineno if function.returns else None
    own = {n for n in lines if n in comments and lines.count(n) == 1 and n != result}
    return [x.arg for x in given if x.lineno not in own]


def is_init(node):
    return isinstance(node, ast.FunctionDef) and node.name == "__init__"


def signatures(definition):
    """The function itself, or the `__init__` of a class."""
    if isinstance(definition, ast.FunctionDef):
        return [definition]
    return [node for node in definition.body if is_init(node)]


@each_module
def test_public_names_are_documented(module):
    comments = comment_lines(module)
    bare = [n.name for n in public(module) if not ast.get_docstring(n)]
    assert not bare, f"no docstring: {bare}"
    missing = {
        definition.name: undocumented(function, comments)
        for definition in public(module)
        for function in signatures(definition)
    }
    missing = {name: which for name, which in missing.items() if which}
    assert not missing, f"parameters without a comment of their own: {missing}"


@pytest.fixture(scope="module")
def lines():
    return figures.line_figures()


def test_lines_can_be_read_aloud(lines):
    assert lines["growth by formatting"] <= 1.1
    assert lines["nodes a line"] <= 7.0
    assert lines["widest line"] <= 110


def test_functions_stay_short(lines):
    assert lines["mean function"] <= 8
    assert not {name: n for name, n in lines["longest functions"].items() if n > 30}


def test_modules_stay_thin(lines):
    longest = lines["longest modules"]
    fat = {name: n for name, n in longest.items() if n > 320 and name != "drawings"}
    assert not fat, f"{fat}: more than 320 lines"


# Packaging


def test_settings_and_pyproject_agree():
    ours, theirs = settings(), project()
    assert theirs["requires-python"] == f">={ours['min_python']}"
    assert theirs["name"] == ours["lib_name"]
    assert theirs["description"] == ours["description"]
    assert theirs["license"] == ours["license"]
    assert theirs["authors"][0]["name"] == ours["author"]
    dynamic = {"version", "dependencies", "optional-dependencies", "readme", "urls"}
    assert set(theirs["dynamic"]) == dynamic


def test_constraints_pin_what_we_ask_for():
    lines = read("constraints.txt").splitlines()
    lines = [line for line in lines if not line.startswith("#")]
    exact = re.compile(r"[A-Za-z0-9_.-]+==[0-9][A-Za-z0-9.]*")
    assert all(exact.fullmatch(line) for line in lines), "only exact public versions"
    pairs = [line.split("==") for line in lines]
    pins = {canonicalize_name(name): version for name, version in pairs}
    for wanted in requirements("requirements", "dev_requirements", "fast_requirements"):
        assert pins.get(canonicalize_name(wanted.name)) in wanted.specifier, wanted


def test_conda_installs_the_same():
    wanted = yaml.safe_load(read("environment.yml"))["dependencies"]
    pip = [d["pip"] for d in wanted if isinstance(d, dict)]
    assert pip == [["-c constraints.txt", "-e .[dev]"]]
    named = [d for d in wanted if isinstance(d, str)]
    python = next(d.removeprefix("python") for d in named if d.startswith("python"))
    assert SpecifierSet(python) == SpecifierSet(project()["requires-python"])


def test_requirements_are_those_imported():
    names = {name for module in MODULES for name in imported(module)}
    packages = {name.partition(".")[0] for name in names}
    third_party = packages - set(sys.stdlib_module_names) - {""}
    offered = {IMPORT_NAMES.get(r.name, r.name) for r in requirements("requirements")}
    optional = {r.name for r in requirements("fast_requirements")}
    missing = sorted(third_party - offered - optional)
    assert not missing, f"missing in settings.ini: {missing}"
    cells = [cell for p in NOTEBOOKS for cell in figures.code_cells(p)]
    sources = "\n".join([*map(text, MODULES), *cells])
    used = re.findall(r"^\s*(?:from|import) (\w+)", sources, re.MULTILINE)
    unused = sorted(offered - set(used))
    assert not unused, f"required but imported nowhere: {unused}"


def test_entry_points_exist():
    for target in project()["scripts"].values():
        module, function = target.split(":")
        source = read(module.replace(".", "/") + ".py")
        assert re.search(rf"^def {function}\b", source, re.MULTILINE), target


# README and the rest


def test_readme_lists_every_lesson():
    listed = re.findall(r"\]\(nbs/(\w+)\.ipynb\)", read("README.md"))
    assert sorted(set(listed)) == [p.stem for p in NOTEBOOKS]


def test_readme_commands_exist():
    pages = read("README.md") + read("CONTRIBUTING.md")
    commands = re.findall(r"python3?\S* dev\.py (\w+)", pages)
    assert {"run", "test"} <= set(commands) <= set(load_dev().COMMANDS)
    scripts = set(re.findall(r"\b(sdlearn-\w+)\b", read("README.md")))
    assert scripts <= set(project()["scripts"])


def options_of_the_commands():
    """What `sdlearn-...` takes, by the parameters of its functions."""
    body = ast.parse(read("sdlearn/commands.py")).body
    mains = [n for n in body if isinstance(n, ast.FunctionDef)]
    mains = [n for n in mains if n.name.endswith("_main")]
    return {x.arg for main in mains for x in parameters(main)}


def test_readme_options_exist():
    # The launcher has options of its own.
    readme = re.sub(r"torchrun .*? (?=sdlearn-)", "", read("README.md"))
    calls = re.compile(r"sdlearn-\w+|dev\.py (run|train|evaluate)|^o=\(")
    lines = [line for line in readme.splitlines() if calls.search(line)]
    options = re.findall(r"(?<=\s)--([a-z][a-z-]*)", "\n".join(lines))
    used = {option.replace("-", "_") for option in options}
    assert used <= options_of_the_commands()


def test_readme_links_lead_somewhere():
    readme = read("README.md")
    targets = re.findall(r"\]\(([^)#\s]+)", readme)
    targets += re.findall(r'src="([^"]+)"', readme)
    local = [target for target in targets if "://" not in target]
    assert not [target for target in local if not (ROOT / target).exists()]


def words_of(path):
    """The text of a file, nothing if it is no text, a notebook without its pictures."""
    try:
        words = text(path)
    except UnicodeDecodeError:
        return ""
    if path.suffix == ".ipynb":
        # A picture's letters could spell anything.
        words = re.sub(r'"image/\w+": "[^"]*"', "", words)
    return words


def test_files_are_found_without_git():
    found = set(files_of_archive())
    assert {ROOT / "dev.py", ROOT / "nbs/00_tour.ipynb"} <= found
    assert not {path for path in found if ".venv" in path.parts}
    assert set(tracked()) <= found


MACHINES = re.compile(
    r"(?<![\w.])/(?:root|home|Users|tmp|opt|work|var|mnt)/\w"
    r"|[A-Z]:\\+Users|file:[/]{2}"
    r"|[p]ypi\.org|[p]ythonhosted|[d]ownload\.pytorch"
    r"|--(?:extra-)?index-url[ =]\w|[-]-find-links"
)


def test_no_machine_in_the_files():
    found = {path: MACHINES.search(words_of(path)) for path in tracked()}
    assert not {str(path): match[0] for path, match in found.items() if match}


def test_weights_are_safetensors():
    pickles = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5"}
    assert not [p for p in tracked() if p.suffix in pickles]
    for path in (ROOT / "sdlearn").rglob("*.safetensors"):
        assert path.stat().st_size < 20_000_000


@each_notebook
def test_notebook_json_has_no_widget_state(notebook):
    assert "widgets" not in json.loads(text(notebook))["metadata"]
