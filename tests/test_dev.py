"""dev.py on other people's machines: their settings, their Pythons, their half-made `.venv`."""

import ast
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from tests import figures, notebooks, toy_project
from tests.figures import ROOT, text
from tests.test_house import load_dev, settings
from tests.toy_project import NEWER_TORCH, TORCH, dev, make_toy, start, surroundings

DEV = load_dev()
# dev.py imports its helpers by their bare names, as it must work without the package.
CHILDREN, SETUP = sys.modules["children"], sys.modules["setup_env"]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]

posix = pytest.mark.skipif(os.name == "nt", reason="signals and locks of POSIX")


# Old Pythons


def test_lowest_python_is_that_of_the_settings():
    assert DEV.LOWEST == tuple(map(int, settings()["min_python"].split(".")))


def modern(node):
    """Syntax that Python 2.7 or 3.0 refuses."""
    kinds = (
        ast.JoinedStr,
        ast.NamedExpr,
        ast.AnnAssign,
        ast.AsyncFunctionDef,
        ast.Match,
        ast.Nonlocal,
        ast.YieldFrom,
    )
    if isinstance(node, ast.FunctionDef):
        annotated = [x for x in node.args.args if x.annotation]
        return bool(node.args.kwonlyargs or annotated or node.returns)
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        return any(isinstance(x, ast.Starred) for x in node.elts)
    if isinstance(node, ast.Dict):
        return None in node.keys
    if isinstance(node, ast.Call):
        return sum(isinstance(x, ast.Starred) for x in node.args) > 1
    return isinstance(node, kinds)


def test_dev_is_written_as_old_pythons_write():
    tree = ast.parse(text(ROOT / "dev.py"))
    lines = [node.lineno for node in ast.walk(tree) if modern(node)]
    assert not lines, f"dev.py: Python 2.7 cannot read the lines {lines}"
    prints = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id == "print"]
    assert not prints


@pytest.mark.parametrize(
    "source", ["f'{x}'", "[*x]", "{**x}", "def f(*, x): 0", "x: int"]
)
def test_modern_syntax_is_seen(source):
    assert any(map(modern, ast.walk(ast.parse(source))))


@pytest.mark.parametrize("name", ["2.7", "3.6", "3.7", "3.8", "3.9", "3.10"])
def test_old_python_gets_a_sentence(name, tmp_path):
    python = shutil.which(f"python{name}")
    asked = [python or sys.executable, "-c", "import sys; print(sys.version_info[:2])"]
    version = subprocess.run(asked, capture_output=True, text=True).stdout.strip()
    if version != str(tuple(map(int, name.split(".")))):
        pytest.skip(f"there is no Python {name} here")
    done = subprocess.run(
        [python, ROOT / "dev.py", "setup"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"dev.py: this is Python {name}, and sdlearn needs")
    assert done.stderr.count("\n") == 1


# The user's settings

FOREIGN = [
    "PIP_USER",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_ROOT",
    "PIP_REQUIRE_VIRTUALENV",
    "PIP_NO_DEPS",
    "PIP_CONSTRAINT",
    "PIP_REQUIREMENT",
    "PIP_ONLY_BINARY",
    "PIP_NO_BINARY",
    "PIP_PRE",
    "PIP_DRY_RUN",
    "PIP_CONFIG_FILE",
    "PIP_PYTHON",
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONSTARTUP",
    "PYTHONUSERBASE",
    "PYTHONOPTIMIZE",
    "PYTHONWARNINGS",
    "PYTHONINSPECT",
    "PYTHONSAFEPATH",
    "PYTHONHASHSEED",
    "PYTHONBREAKPOINT",
    "__PYVENV_LAUNCHER__",
    "JUPYTER_PATH",
]
ON_PURPOSE = [
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_NO_INDEX",
    "PIP_TRUSTED_HOST",
    "PIP_PROXY",
    "PIP_CERT",
    "PIP_CLIENT_CERT",
    "PIP_TIMEOUT",
    "PIP_DEFAULT_TIMEOUT",
    "PIP_CACHE_DIR",
    "PIP_NO_CACHE_DIR",
    "PYTHONUTF8",
    "PYTHONUNBUFFERED",
    "HTTPS_PROXY",
    "SSL_CERT_FILE",
    "OMP_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES",
    "HF_HOME",
    "HF_TOKEN",
    "TORCH_HOME",
    "SDLEARN_MODEL",
    "PATH",
    "HOME",
    "LANG",
]
TASTES = [
    "IPYTHONDIR",
    "JUPYTER_CONFIG_DIR",
    "JUPYTER_RUNTIME_DIR",
    "MPLBACKEND",
    "MPLCONFIGDIR",
    "MATPLOTLIBRC",
    "PYTEST_ADDOPTS",
    "PYTEST_PLUGINS",
    "COVERAGE_FILE",
    "TQDM_ASCII",
]


@pytest.mark.parametrize("name", FOREIGN)
def test_settings_for_other_projects_stay_outside(name, monkeypatch):
    monkeypatch.setenv(name, "theirs")
    assert name not in CHILDREN.environment()


@pytest.mark.parametrize("name", ON_PURPOSE + TASTES)
def test_what_is_set_on_purpose_comes_through(name, monkeypatch):
    monkeypatch.setenv(name, "theirs")
    assert CHILDREN.environment()[name] == "theirs"


@pytest.fixture
def venv(tmp_path, monkeypatch):
    """An empty folder in place of `.venv`; commands are kept instead of run."""
    monkeypatch.setattr(CHILDREN, "VENV", tmp_path)
    ran = []

    def keep(command, **how):
        ran.append(([str(word) for word in command], how))
        return 0

    monkeypatch.setattr(CHILDREN, "wait_for", keep)
    monkeypatch.setattr(DEV, "wait_for", keep)
    return ran


@pytest.mark.parametrize("name", TASTES)
def test_tests_take_notebooks_as_they_come(name, venv, monkeypatch):
    monkeypatch.setenv(name, "theirs")
    assert CHILDREN.environment_of_tests().get(name) != "theirs"


def test_tests_have_a_home_of_their_own(venv, tmp_path):
    env = CHILDREN.environment_of_tests()
    assert env["OMP_NUM_THREADS"] == "1"
    for name in ("IPYTHONDIR", "MPLCONFIGDIR", "JUPYTER_RUNTIME_DIR"):
        assert Path(env[name]).is_relative_to(tmp_path / "home")
    [(command, how)] = venv
    assert "matplotlib.font_manager" in command[-1]
    assert how["env"]["MPLCONFIGDIR"] == env["MPLCONFIGDIR"]
    (tmp_path / "home/matplotlib/fontlist-v1.json").write_text("{}")
    CHILDREN.environment_of_tests()
    assert len(venv) == 1, "the fonts are looked for once"


def test_tests_find_a_home_where_nothing_can_be_written(venv, monkeypatch, tmp_path):
    monkeypatch.setattr(CHILDREN, "can_write", lambda folder: False)
    home = Path(CHILDREN.environment_of_tests()["IPYTHONDIR"])
    assert home.is_dir()
    assert not home.is_relative_to(tmp_path / "home")


def test_can_write(tmp_path):
    assert CHILDREN.can_write(tmp_path)
    assert not list(tmp_path.iterdir())
    assert not CHILDREN.can_write(tmp_path / "none")


PIP_FILE = """
[global]
index-url = https://example.invalid/simple
user = true
quiet = 2
timeout = 7
find-links =
    /one
    /two
[install]
target = elsewhere
no-deps = yes
timeout = 9
[list]
format = json
"""


def test_files_of_pip_say_where_packages_come_from(tmp_path, monkeypatch):
    file = tmp_path / "pip.conf"
    file.write_text(PIP_FILE)
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
    monkeypatch.setenv("PIP_PROXY", "http://localhost:9")
    env = CHILDREN.environment_of_pip(PIP)
    # The machine's own files for pip count, too.
    ours = {name: env[name] for name in env if name.startswith("PIP_")}
    assert ours["PIP_INDEX_URL"] == "https://example.invalid/simple"
    assert ours["PIP_TIMEOUT"] == "9"
    assert ours["PIP_FIND_LINKS"].split() == ["/one", "/two"]
    assert ours["PIP_PROXY"] == "http://localhost:9"
    assert ours["PIP_CONFIG_FILE"] == os.devnull
    assert not {"PIP_USER", "PIP_TARGET", "PIP_NO_DEPS", "PIP_FORMAT"} & ours.keys()


def test_variables_win_over_files_of_pip(tmp_path, monkeypatch):
    file = tmp_path / "pip.conf"
    file.write_text(PIP_FILE)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
    monkeypatch.setenv("PIP_INDEX_URL", "https://other.invalid/simple")
    env = CHILDREN.environment_of_pip(PIP)
    assert env["PIP_INDEX_URL"] == "https://other.invalid/simple"


# Is a .venv whole?


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A `.venv` with one package as pip leaves it."""
    monkeypatch.setattr(SETUP, "VENV", tmp_path)
    monkeypatch.setattr(SETUP, "STAMP", tmp_path / "stamp.json")
    site = tmp_path / "lib/python3.11/site-packages"
    info = site / "Some_Thing-1.0+cpu.dist-info"
    info.mkdir(parents=True)
    (site / "thing.py").write_text("")
    (site / "thing, with comma.py").write_text("")
    names = ["thing.py,sha,1", '"thing, with comma.py",,', "data.bin,,"]
    lines = [*names, f"{info.name}/INSTALLER,,", f"{info.name}/RECORD,,"]
    (info / "RECORD").write_text("\n".join(lines))
    (info / "METADATA").write_text("")
    return info


def test_whole_package(installed):
    assert SETUP.packages() == {"some-thing": installed}
    assert SETUP.broken_packages() == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda info: (info / "RECORD").unlink(),
        lambda info: (info / "RECORD").write_text("thing.py,,\n"),
        lambda info: (info / "RECORD").write_text(""),
        lambda info: (info / "RECORD").write_bytes(b"\xff\xfe"),
        lambda info: (info.parent / "thing.py").unlink(),
        lambda info: (info.parent / "thing, with comma.py").unlink(),
    ],
    ids=["no record", "a wheel's record", "empty", "no text", "no module", "comma"],
)
def test_half_a_package(installed, damage):
    damage(installed)
    assert SETUP.broken_packages() == ["some-thing"]
    SETUP.forget(SETUP.broken_packages())
    assert not installed.exists()


def test_what_pip_calls_invalid_is_no_package(installed):
    installed.rename(installed.with_name("~ome_thing-1.0.dist-info"))
    assert SETUP.packages() == {}


@pytest.mark.parametrize(
    "stamp, found, own",
    [
        ({}, None, None),
        ({}, "2.0", None),  # the pinned one
        ({}, "2.0+cu", "2.0+cu"),
        ({"torch": "2.0+cpu"}, "2.0+cpu", None),  # by the pin, under a longer name
        ({"torch": "2.0+cpu"}, "2.0+cu", "2.0+cu"),
        ({"place": "here", "own": None}, "2.0+cpu", None),  # our set-up was cut off
        ({"place": "here", "own": "1.9"}, "1.9", "1.9"),
        ({"place": "here", "own": "1.9"}, None, "1.9"),
        ({"place": "here", "own": "1.9"}, "1.8", "1.8"),
        ({"place": "here", "hash": "h", "torch": "1.9"}, "2.1", "2.1"),
    ],
)
def test_whose_torch(stamp, found, own, monkeypatch):
    monkeypatch.setattr(SETUP, "read_stamp", lambda: stamp)
    monkeypatch.setattr(SETUP, "torch_version", lambda: found)
    monkeypatch.setattr(SETUP, "pins", lambda own=None: ["numpy==1.0", "torch==2.0"])
    assert SETUP.own_torch() == own


def test_own_torch_takes_the_place_of_the_pin():
    ours = [line for line in SETUP.pins() if line.startswith("torch==")]
    theirs = [line for line in SETUP.pins("9.9+cu") if line.startswith("torch==")]
    assert len(ours) == 1
    assert theirs == ["torch==9.9+cu"]
    assert len(SETUP.pins("9.9+cu")) == len(SETUP.pins())


@pytest.mark.parametrize("content", ["", "{", "[1]", "7", "\xff"])
def test_damaged_stamp_is_none(installed, content):
    SETUP.STAMP.write_text(content, encoding="latin-1")
    assert SETUP.read_stamp() == {}
    assert not SETUP.is_ready()


# Why pip failed

NO_NETWORK = "WARNING: Retrying after connection broken by 'NewConnectionError(...)'"
NO_TORCH = "ERROR: No matching distribution found for torch==2.0+cu"
CONFLICT = """ERROR: Cannot install sdlearn[dev]==0.1.0 because these package versions have
The conflict is caused by:
    sdlearn[dev] 0.1.0 depends on torch
    The user requested (constraint) torch==2.0+cu"""


@pytest.mark.parametrize(
    "said, own, words",
    [
        (NO_NETWORK + "\n" + NO_TORCH, None, "connect, then"),
        ("WARNING: getaddrinfo failed", None, "connect, then"),
        ("Could not fetch URL https://x: Max retries exceeded", None, "connect, then"),
        ("ERROR: ReadTimeoutError: Read timed out.", None, "connect, then"),
        (NO_TORCH, None, "your package index does not have"),
        (CONFLICT, None, "your package index does not have"),
        (CONFLICT, "2.0+cu", "your own build of PyTorch, 2.0+cu"),
        (CONFLICT.replace("torch", "numpy"), "2.0+cu", "pip names above"),
        (NO_TORCH, "2.0+cu", "your own build of PyTorch, 2.0+cu"),
        ("ERROR: No matching distribution found for six", "2.0+cu", "pip names above"),
        ("ERROR: [Errno 28] No space left on device", None, "disk is full"),
        ("ERROR: [Errno 13] Permission denied: 'x'", None, "may not be written"),
        ("ERROR: Operation cancelled by user", None, "was stopped"),
        ("ERROR: Can not perform a '--user' install", None, "what pip says is above"),
        ("a debug line: Permission denied", None, "what pip says is above"),
        ("", None, "what pip says is above"),
    ],
)
def test_reason(said, own, words, tmp_path):
    log = tmp_path / "pip.log"
    log.write_text(f"2030-01-01T00:00:00,000 {said}\n")
    assert words in SETUP.reason(log, own)
    if "connect" not in words:
        assert "connect" not in SETUP.reason(log, own)


def test_reason_where_packages_were_brought_along(tmp_path, monkeypatch):
    monkeypatch.setattr(SETUP, "WHEELS", tmp_path)
    log = tmp_path / "pip.log"
    log.write_text("ERROR: No matching distribution found for six\n")
    assert "Delete that folder" in SETUP.reason(log, None)


def test_no_log_no_reason(tmp_path):
    assert SETUP.reason(tmp_path / "none", None) == "what pip says is above."


# Packages brought along


def test_packages_come_from_the_index_unless_they_lie_here(tmp_path, monkeypatch):
    folder = tmp_path / "my wheels"
    monkeypatch.setattr(SETUP, "WHEELS", folder)
    assert SETUP.from_wheels() == {}
    folder.mkdir()
    found = SETUP.from_wheels()
    assert found["PIP_NO_INDEX"] == "1"
    assert " " not in found["PIP_FIND_LINKS"], "pip would split it there"


@pytest.mark.parametrize("code, kept", [(0, "new.whl"), (1, "old.whl")])
def test_wheels_are_replaced_as_a_whole_or_not(code, kept, tmp_path, monkeypatch):
    def pip(command, **how):
        folder = command[command.index("--dest") + 1]
        folder.mkdir()
        (folder / "new.whl").write_text("")
        assert {"torch>=2.6", "setuptools>=77", "--no-cache-dir"} <= set(command)
        return code

    monkeypatch.setattr(SETUP, "wait_for", pip)
    monkeypatch.setattr(SETUP, "environment_of_pip", lambda pip: {})
    monkeypatch.setattr(SETUP, "WHEELS", tmp_path / "wheels")
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels/old.whl").write_text("")
    if code:
        with pytest.raises(SystemExit, match="did not all come"):
            SETUP.save_wheels(["--no-cache-dir"])
    else:
        SETUP.save_wheels(["--no-cache-dir"])
    assert [path.name for path in (tmp_path / "wheels").iterdir()] == [kept]


# Ctrl-C, and two at once

PARENT = """
import sys
sys.path.insert(0, {tests!r})
from children import wait_for
code = wait_for([sys.executable, "-c", {child!r}])
print("status", code, flush=True)
"""
ASKS = """
import signal, sys, time
def ask(*_):
    print("shut down?", flush=True)
    time.sleep(0.3)
    print("yes", flush=True)
    sys.exit(7)
signal.signal(signal.SIGINT, ask)
print("ready", flush=True)
time.sleep(60)
"""
IGNORES = """
import signal, time
signal.signal(signal.SIGINT, lambda *_: print("not now", flush=True))
print("ready", flush=True)
time.sleep(2)
print("done", flush=True)
"""
DIES = """
import signal, time
signal.signal(signal.SIGINT, signal.SIG_DFL)
print("ready", flush=True)
time.sleep(60)
"""
ENDS = """
import signal, time
# Where the tests run in the background, Python starts with Ctrl-C ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    print("ready", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("summary", flush=True)
"""


@posix
@pytest.mark.parametrize(
    "child, said",
    [
        (ASKS, ["shut down?", "yes", "status 7"]),
        (IGNORES, ["not now", "done", "status 0"]),
        (DIES, ["status 130"]),
        (ENDS, ["summary", "status 0"]),
    ],
    ids=["asks", "ignores", "dies", "ends"],
)
def test_child_decides_what_ctrl_c_does(child, said):
    source = PARENT.format(tests=str(ROOT / "tests"), child=child)
    how = {"stdout": subprocess.PIPE, "text": True, "start_new_session": True}
    parent = subprocess.Popen([sys.executable, "-c", source], **how)
    assert parent.stdout.readline() == "ready\n"
    os.killpg(parent.pid, signal.SIGINT)
    rest, _ = parent.communicate(timeout=120)
    assert rest.splitlines() == said
    assert parent.returncode == 0


def test_what_cannot_be_started_is_a_sentence(tmp_path):
    with pytest.raises(SystemExit, match="dev.py: .*none cannot be started: .*[.]"):
        CHILDREN.wait_for([tmp_path / "none"])


def test_ctrl_c_is_ours_again_after_a_child():
    before = signal.getsignal(signal.SIGINT)
    assert CHILDREN.wait_for([sys.executable, "-c", "raise SystemExit(3)"]) == 3
    assert signal.getsignal(signal.SIGINT) == before


HOLDER = """
import sys, time
sys.path.insert(0, {tests!r})
import setup_env
from pathlib import Path
setup_env.LOCK = Path({lock!r})
with setup_env.one_at_a_time():
    print("mine", flush=True)
    time.sleep(float(sys.argv[1]))
"""


@pytest.mark.parametrize("killed", [True, False])
def test_second_set_up_waits_for_the_first(killed, tmp_path):
    source = HOLDER.format(tests=str(ROOT / "tests"), lock=str(tmp_path / "lock"))

    def hold(seconds):
        command = [sys.executable, "-c", source, str(seconds)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    first = hold(60 if killed else 2)
    assert first.stdout.readline() == "mine\n"
    second = hold(0)
    assert "waiting" in second.stdout.readline()
    if killed:
        first.kill()
    assert second.stdout.readline() == "mine\n"
    assert second.wait(60) == 0
    assert (first.wait(60) != 0) is killed


def test_set_up_where_nothing_can_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(SETUP, "LOCK", tmp_path / "none" / "lock")
    with pytest.raises(SystemExit, match="must write in .* and cannot"):
        with SETUP.one_at_a_time():
            pass


def test_file_in_place_of_the_environment(tmp_path):
    toy = make_toy(tmp_path / "toy")
    (toy / ".venv").write_text("")
    code, said = dev(toy, "setup")
    assert code == 1
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith("dev.py: Python could not make .venv")


def test_disk_that_fails_is_a_sentence(monkeypatch, tmp_path):
    def fail(held):
        raise OSError(28, "No space left on device", "a file")

    monkeypatch.setattr(SETUP, "is_ready", lambda: False)
    monkeypatch.setattr(SETUP, "LOCK", tmp_path / "lock")
    monkeypatch.setattr(SETUP, "set_up_now", fail)
    with pytest.raises(SystemExit, match="did not finish: .*No space left"):
        SETUP.set_up()


@pytest.mark.parametrize("name", ["a%sb", "lesson 1%s tour"])
def test_path_that_no_environment_can_have(name, tmp_path):
    toy = make_toy(tmp_path / (name % os.pathsep))
    code, said = dev(toy, "setup")
    assert code == 1
    assert said.startswith("dev.py: no virtual environment can be made in")
    assert said.count("\n") == 1
    assert not (toy / ".venv").exists()


def test_file_named_like_a_module_does_not_matter(tmp_path):
    toy = make_toy(tmp_path / "toy")
    for name in ("random", "csv", "signal", "argparse"):
        (toy / f"{name}.py").write_text("raise SystemExit('not me')")
    code, said = dev(toy, "--help")
    assert code == 0, said


# Commands


@pytest.mark.parametrize(
    "args, opened",
    [
        ([], "work/00_tour.ipynb"),
        (["--no-browser"], "work/00_tour.ipynb"),
        (["--allow-root"], "work/00_tour.ipynb"),
        (["--port", "8899"], "work/00_tour.ipynb"),
        (["--port=8899", "--allow-root"], "work/00_tour.ipynb"),
        (["nbs/06_samplers.ipynb"], None),
        (["--no-browser", "nbs"], None),
        (["list"], None),
        (["--notebook-dir=..", "--no-browser"], None),
        (["--ServerApp.root_dir=.."], None),
    ],
)
def test_lab_keeps_its_notebook(args, opened, venv, monkeypatch):
    monkeypatch.setattr(DEV, "can_write", lambda folder: True)
    assert DEV.lab(args) == 0
    copied, lab = [command for command, _ in venv]
    assert copied[1:] == ["tests/copies.py"]
    address = [f"--LabApp.default_url=/lab/tree/{opened}"] if opened else []
    assert lab[4:] == args + address + [DEV.NO_NEW_VERSION]


@pytest.mark.parametrize(
    "given, threads",
    [
        ({}, "1"),
        ({"OMP_NUM_THREADS": "3"}, "3"),
        ({"SDLEARN_MODEL": "sd-1.5"}, None),
    ],
)
def test_lessons_choose_their_threads(given, threads, venv, monkeypatch, capsys):
    for name in ("OMP_NUM_THREADS", "SDLEARN_MODEL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    DEV.lab([])
    _, how = venv[-1]
    assert how["env"].get("OMP_NUM_THREADS") == threads
    assert ("one thread" in capsys.readouterr().out) == (not given)


def test_lab_where_nothing_can_be_written(venv, monkeypatch, capsys):
    monkeypatch.setattr(DEV, "can_write", lambda folder: False)
    DEV.lab([])
    [(lab, _)] = venv
    assert lab[-2].endswith("/lab/tree/nbs/00_tour.ipynb")
    assert "Nothing can be written here" in capsys.readouterr().out


def test_reset_opens_nothing(venv):
    DEV.lab(["--reset", "06"])
    [(command, _)] = venv
    assert command[1:] == ["tests/copies.py", "--reset", "06"]


@pytest.mark.parametrize("fast", [[], ["--fast"]])
@pytest.mark.parametrize("writable", [True, False])
def test_read_only_clone_is_tested(fast, writable, venv, monkeypatch, capsys):
    monkeypatch.setattr(DEV, "can_write", lambda folder: writable)
    monkeypatch.setattr(DEV, "environment_of_tests", dict)
    DEV.test(fast)
    [(command, _)] = venv
    assert ("--no-cov" in command) is not writable
    assert ("no:cacheprovider" in command) is not writable
    assert ("Nothing can be written" in capsys.readouterr().out) is not writable


# Copies of the notebooks


@pytest.fixture
def copies(tmp_path, monkeypatch):
    """The module, at work on a course of two notebooks and a picture."""
    import copies

    nbs = tmp_path / "nbs"
    (nbs / "images").mkdir(parents=True)
    for name in ("00_tour.ipynb", "06_samplers.ipynb", "images/a.png"):
        (nbs / name).write_text(f"first {name}")
    for name in ("Untitled.ipynb", "06_samplers-Copy1.ipynb"):
        (nbs / name).write_text("not a lesson")
    monkeypatch.setattr(copies, "NBS", nbs)
    monkeypatch.setattr(copies, "WORK", tmp_path / "work")
    monkeypatch.setattr(sys, "argv", ["copies.py"])
    copies.main()
    return copies


def files_in(folder):
    paths = [path for path in folder.rglob("*") if path.is_file()]
    shown = [path for path in paths if path.name[0] != "."]
    return {path.relative_to(folder).as_posix(): path.read_text() for path in shown}


def test_names_of_lessons_are_those_of_notebooks():
    import copies

    assert copies.LESSON == notebooks.LESSON


def test_everything_is_copied_once(copies):
    names = ("00_tour.ipynb", "06_samplers.ipynb", "images/a.png")
    assert files_in(copies.WORK) == {name: f"first {name}" for name in names}


def test_new_version_replaces_an_unchanged_copy(copies, capsys):
    for name in ("06_samplers.ipynb", "images/a.png"):
        (copies.NBS / name).write_text("second")
        copies.main()
        assert (copies.WORK / name).read_text() == "second"
    assert not capsys.readouterr().out


def test_reader_keeps_what_is_changed(copies, capsys):
    mine = copies.WORK / "06_samplers.ipynb"
    mine.write_text("mine")
    copies.main()
    assert not capsys.readouterr().out
    (copies.NBS / mine.name).write_text("second")
    for _ in range(2):
        copies.main()
        assert mine.read_text() == "mine"
        assert "work/06_samplers.ipynb is yours" in capsys.readouterr().out


@pytest.mark.parametrize("record", [None, "{", "[]"])
def test_without_a_record_nothing_is_replaced(copies, record):
    mine = copies.WORK / "06_samplers.ipynb"
    mine.write_text("mine")
    (copies.NBS / mine.name).write_text("second")
    (copies.WORK / copies.RECORD).unlink()
    if record:
        (copies.WORK / copies.RECORD).write_text(record)
    copies.main()
    assert mine.read_text() == "mine"


@pytest.mark.parametrize(
    "name", ["06", "samplers", "06_samplers", "nbs/06_samplers.ipynb"]
)
def test_reset_keeps_both(copies, name, monkeypatch):
    mine = copies.WORK / "06_samplers.ipynb"
    monkeypatch.setattr(sys, "argv", ["copies.py", "--reset", name])
    for text_of_reader in ("mine", "mine again"):
        mine.write_text(text_of_reader)
        copies.main()
        assert mine.read_text() == "first 06_samplers.ipynb"
    copies.main()  # nothing to keep
    kept = {n: t for n, t in files_in(copies.WORK).items() if ".before-" in n}
    assert kept == {
        "06_samplers.before-1.ipynb": "mine",
        "06_samplers.before-2.ipynb": "mine again",
    }


def test_reset_of_what_is_not_there(copies, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["copies.py", "--reset", "99"])
    with pytest.raises(SystemExit, match="there is no notebook '99'"):
        copies.main()


def test_work_that_is_no_folder(copies, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(copies, "WORK", tmp_path / "file")
    with pytest.raises(SystemExit, match="cannot be copied into work/"):
        copies.main()


def test_copies_are_ignored_by_git():
    lines = text(ROOT / ".gitignore").splitlines()
    assert {"work/", ".venv/", ".venv.lock"} <= set(lines)


def local_links(notebook):
    cells = nbformat.read(notebook, as_version=4).cells
    prose = "\n".join(c.source for c in cells if c.cell_type == "markdown")
    prose = re.sub(r"`[^`]*`", "", prose)
    found = re.findall(r"\]\(([^)#\s]+)", prose)
    found += re.findall(r'(?:src|href)="([^"#]+)"', prose)
    return {link for link in found if "://" not in link}


def test_links_of_a_copy_lead_somewhere(tmp_path):
    import copies

    for name in copies.sources():
        (tmp_path / "work" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "work" / name).write_text("")
    links = {link for p in figures.notebooks() for link in local_links(p)}
    inside = {link for link in links if not link.startswith("../")}
    assert "images/growing.png" in inside
    dead = {link for link in inside if not (tmp_path / "work" / link).exists()}
    beside = {link.removeprefix("../") for link in links - inside}
    dead |= {link for link in beside if not (ROOT / link).exists()}
    assert not dead


# The set-up of a toy, whole


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    """A toy that is set up, with `.venv` as the tests of this section leave it."""
    toy = make_toy(tmp_path_factory.mktemp("toy") / "a toy")
    code, said = dev(toy, "setup")
    assert code == 0, said
    return toy


def installed_torch(toy):
    [info] = toy.glob(".venv/lib/python*/site-packages/torch-*.dist-info")
    return info.name.removesuffix(".dist-info").partition("-")[2]


def change_a_pin(toy):
    """So that pip has something to do, in all ways but one the same."""
    with open(toy / "constraints.txt", "a") as file:
        file.write(f"# {time.time()}\n")


def pip(toy, *args):
    command = [toy / ".venv/bin/python", "-m", "pip", *args]
    how = {"cwd": toy, "env": surroundings(), "capture_output": True}
    subprocess.run(command, check=True, **how)


def sent(toy, **more):
    """The arguments and the environment that a command gets from dev.py."""
    code, said = dev(toy, "run", "a cat", env=surroundings(**more))
    assert code == 0, said
    return json.loads(said.splitlines()[-1])


@posix
@pytest.mark.slow
class TestSetUp:
    def test_poisoned_surroundings(self, ready, tmp_path):
        (tmp_path / "pip").mkdir()
        (tmp_path / "pip/__init__.py").write_text("raise SystemExit('not this pip')")
        (tmp_path / "sitecustomize.py").write_text("raise SystemExit('not me')")
        (tmp_path / "pip.conf").write_text("[install]\nuser = true\ntarget = x\n")
        change_a_pin(ready)
        foreign = {
            "PIP_USER": "1",
            "PIP_PREFIX": str(tmp_path),
            "PIP_CONSTRAINT": str(tmp_path / "none.txt"),
            "PIP_NO_DEPS": "1",
            "PIP_CONFIG_FILE": str(tmp_path / "pip.conf"),
            "PYTHONSAFEPATH": "1",
            "PYTHONUSERBASE": str(tmp_path),
        }
        args, env = sent(ready, **foreign, HF_HOME="theirs", OMP_NUM_THREADS="3")
        assert args == ["--out", "out", "a cat"]
        assert not foreign.keys() & env.keys()
        assert (env["HF_HOME"], env["OMP_NUM_THREADS"]) == ("theirs", "3")

    def test_ready_is_left_alone(self, ready):
        stamp = (ready / ".venv/sdlearn-setup.json").stat().st_mtime_ns
        assert dev(ready, "setup") == (0, "")
        assert (ready / ".venv/sdlearn-setup.json").stat().st_mtime_ns == stamp

    @pytest.mark.parametrize("name", ["numpy/m3.py", "pytest-2.0.0.dist-info/RECORD"])
    def test_half_installed(self, ready, name):
        [site] = ready.glob(".venv/lib/python*/site-packages")
        (site / name).unlink()
        code, said = dev(ready, "setup")
        assert code == 0
        assert "Making" not in said, "what is whole is kept"
        assert (site / name).exists()

    def test_missing_package(self, ready):
        pip(ready, "uninstall", "-y", "diffusers")
        assert "Installing" in dev(ready, "setup")[1]
        assert dev(ready, "setup") == (0, "")

    def test_copied_with_its_clone(self, ready, tmp_path):
        copy = Path(shutil.copytree(ready, tmp_path / "copy", symlinks=True))
        code, said = dev(copy, "setup")
        assert code == 0
        assert "Making" in said
        first = (copy / ".venv/bin/sdlearn-generate").read_text().splitlines()[:2]
        assert str(copy) in "".join(first)

    @pytest.mark.parametrize("stamp", [None, {"place": "another", "hash": "x"}])
    def test_made_by_others_is_made_anew(self, ready, stamp):
        path = ready / ".venv/sdlearn-setup.json"
        path.unlink()
        if stamp:
            path.write_text(json.dumps(stamp))
        (ready / ".venv/theirs").write_text("")
        assert "Making" in dev(ready, "setup")[1]
        assert not (ready / ".venv/theirs").exists()

    def test_own_torch_stays(self, ready):
        pip(ready, "install", f"torch=={NEWER_TORCH}")
        change_a_pin(ready)
        assert dev(ready, "setup")[0] == 0
        assert installed_torch(ready) == NEWER_TORCH
        (ready / ".venv/sdlearn-setup.json").unlink()
        assert "Making" in dev(ready, "setup")[1]
        assert installed_torch(ready) == NEWER_TORCH, "the same one, in a new .venv"

    def test_own_torch_that_the_index_lacks(self, ready):
        [wheel] = ready.glob(f"shelf/torch-{NEWER_TORCH}-*")
        wheel.rename(ready / wheel.name)
        pip(ready, "install", "--no-index", ready / wheel.name)
        (ready / ".venv/sdlearn-setup.json").unlink()
        code, said = dev(ready, "setup")
        assert code == 1
        assert "your own build of PyTorch, 2.1.0" in said.splitlines()[-1]
        pip(ready, "install", "--no-index", ready / wheel.name)
        assert "Making" not in dev(ready, "setup")[1]
        assert installed_torch(ready) == NEWER_TORCH
        pip(ready, "install", f"torch=={TORCH}")

    def test_network_is_blamed_only_where_it_failed(self, ready):
        change_a_pin(ready)
        pip(ready, "uninstall", "-y", "tqdm")
        index = {"PIP_NO_INDEX": "0", "PIP_FIND_LINKS": "", "PIP_RETRIES": "0"}
        index["PIP_INDEX_URL"] = "http://127.0.0.1:9/simple"
        code, said = dev(ready, "setup", env=surroundings(**index))
        assert code == 1
        assert "connect, then run the same command again" in said.splitlines()[-1]
        empty = surroundings(PIP_FIND_LINKS="tests")
        code, said = dev(ready, "setup", env=empty)
        assert code == 1
        assert "your package index does not have" in said.splitlines()[-1]
        assert dev(ready, "setup")[0] == 0

    def test_set_up_from_wheels_without_a_network(self, ready, tmp_path):
        code, said = dev(ready, "wheels")
        assert code == 0, said
        other = tmp_path / "another clone"
        left_behind = shutil.ignore_patterns(".venv", "shelf")
        shutil.copytree(ready, other, ignore=left_behind)
        shutil.rmtree(ready / "wheels")
        nothing = {"PIP_NO_INDEX": "0", "PIP_FIND_LINKS": "", "PIP_RETRIES": "0"}
        nothing["PIP_INDEX_URL"] = "http://127.0.0.1:9/simple"
        code, said = dev(other, "setup", env=surroundings(**nothing))
        assert code == 0, said
        assert "not from the network" in said
        assert installed_torch(other) == TORCH

    def test_two_at_once(self, ready):
        (ready / ".venv/sdlearn-setup.json").unlink()
        first = start(ready, "setup")
        assert first.stdout.readline().startswith("Making")
        second = start(ready, "setup")
        said = second.communicate(timeout=600)[0]
        assert (first.wait(600), second.returncode) == (0, 0)
        assert "waiting" in said
        assert "Making" not in said
        first.stdout.close()


def test_toy_has_the_names_that_are_required():
    names = [*toy_project.NAMES, *toy_project.TOOLS, "torch"]
    assert set(names) <= SETUP.required()
