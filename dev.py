"""Set up sdlearn and run its commands. Needs nothing but Python; see `python dev.py --help`."""

import argparse
import configparser
import hashlib
import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "sdlearn-setup.json"
INPUTS = "constraints.txt", "settings.ini", "pyproject.toml", "setup.py"
PROBE = """
import importlib.util, sys
names = "sdlearn", "torch", "diffusers", "pytest"
sys.exit(any(importlib.util.find_spec(name) is None for name in names))
"""
TORCH = "from importlib.metadata import version; print(version('torch'))"
TEST_ENV = {"OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"}
# Another system rounds the last digits otherwise: there the cells run and check
# themselves, and their text is not compared.
NBVAL = [
    "--nbval" if sys.platform == "linux" else "--nbval-lax",
    "--nbval-current-env",
    "--nbval-sanitize-with=tests/sanitize.cfg",
    "--nbval-cell-timeout=300",
]


def fail(message):
    sys.exit(f"dev.py: {message}")


def min_python():
    config = configparser.ConfigParser()
    config.read(ROOT / "settings.ini", encoding="utf-8")
    return tuple(map(int, config["DEFAULT"]["min_python"].split(".")))


def check_python():
    low = min_python()
    if sys.version_info < low:
        fail(
            f"this is Python {sys.version.split()[0]}, and sdlearn needs "
            f"{'.'.join(map(str, low))} or newer: run dev.py with a newer one, "
            "such as `python3.11 dev.py`."
        )


def succeeds(*args):
    try:
        return subprocess.run([PYTHON, *args], capture_output=True).returncode == 0
    except OSError:
        return False


def fingerprint():
    text = [(ROOT / name).read_bytes().replace(b"\r\n", b"\n") for name in INPUTS]
    # The path counts, because a copied clone must not go on importing the original.
    return hashlib.sha256(b"\0".join([*text, str(ROOT).encode()])).hexdigest()


def read_stamp():
    try:
        return json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def torch_version():
    found = subprocess.run([PYTHON, "-c", TORCH], capture_output=True, text=True)
    return found.stdout.strip() if found.returncode == 0 else None


def make_venv():
    print(f"Making {VENV}", flush=True)
    shutil.rmtree(VENV, ignore_errors=True)
    try:
        venv.create(VENV, with_pip=True, symlinks=os.name != "nt")
    except (OSError, ValueError, subprocess.CalledProcessError):
        fail(
            "Python could not make a virtual environment here: check that the disk has "
            "room and that Python's venv module is installed (python3-venv on Debian "
            "and Ubuntu)."
        )


def install():
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = [pin for pin in pins if pin.startswith("torch==")]
    ours, found = read_stamp().get("torch"), torch_version()
    # Another torch than dev.py installed is the user's own, for a GPU say.
    own = found not in (None, ours) and f"torch=={found}" not in pinned
    if own:
        pins = [pin for pin in pins if pin not in pinned]
    limits = VENV / "constraints.txt"
    limits.write_text("\n".join(pins), encoding="utf-8")
    print("Installing the packages: a few minutes, once", flush=True)
    pip = [PYTHON, "-m", "pip", "install", "--disable-pip-version-check"]
    if subprocess.run([*pip, "-c", limits, "-e", ".[dev]"], cwd=ROOT).returncode:
        fail(
            "the set-up did not finish; pip's message is above. The first set-up needs "
            "the network and about 2 GB of disk (more for a CUDA build of PyTorch): "
            "connect, then run the same command again. Later runs need no network."
        )
    stamp = {"hash": fingerprint(), "torch": ours if own else torch_version()}
    STAMP.write_text(json.dumps(stamp), encoding="utf-8")


def setup():
    check_python()
    stamped = read_stamp().get("hash") == fingerprint()
    if stamped and succeeds("-P", "-c", PROBE):
        return
    if stamped or not succeeds("-m", "pip", "--version"):
        make_venv()
    install()


def call(*args, cwd=None, env=None):
    return subprocess.run(args, cwd=cwd, env={**os.environ, **(env or {})}).returncode


def script(name):
    return PYTHON.with_name(name + PYTHON.suffix)


def run(args):
    """`run "PROMPT" [options]`: draw into out/. Options are sdlearn-generate's."""
    return call(script("sdlearn-generate"), "--out", "out", *args)


def train(args):
    """`train [options]`: train the whole stack. Options are sdlearn-train's."""
    return call(script("sdlearn-train"), *args)


def evaluate(args):
    """`evaluate [options]`: score a model. Options are sdlearn-evaluate's."""
    return call(script("sdlearn-evaluate"), *args)


def names_tests(args):
    """Do pytest's arguments say where to look?"""
    return any((ROOT / arg.split("::")[0]).exists() for arg in args)


def test(args):
    """`test [--fast] [pytest options]`: run every test and notebook; --fast leaves out the slow ones."""
    fast = "--fast" in args
    args = [arg for arg in args if arg != "--fast"]
    if fast:
        what = ["-m", "not slow", "tests"]
    else:
        what = [*NBVAL, "--cov=sdlearn", "tests", "nbs"]
    if names_tests(args):
        what = [option for option in what if option not in ("tests", "nbs")]
    return call(PYTHON, "-m", "pytest", *what, *args, cwd=ROOT, env=TEST_ENV)


def notebooks(*args):
    return call(PYTHON, ROOT / "tests/notebooks.py", *args, cwd=ROOT, env=TEST_ENV)


def refresh(args):
    """`refresh [NAME ...]`: execute notebooks afresh and save clean outputs."""
    return notebooks("refresh", *args)


def clean(args):
    """`clean [NAME ...]`: take out of notebooks what changes from run to run."""
    return notebooks("clean", *args)


def export(args):
    """`export`: write the modules from the notebooks, and format them."""
    return call(PYTHON, ROOT / "tests/export.py", cwd=ROOT)


def tidy(args):
    """`tidy`: format notebooks, tests and modules, and name what is not tidy."""
    return ruff("format") or ruff("check")


def ruff(*args):
    return call(PYTHON, "-m", "ruff", *args, cwd=ROOT)


def lab(args):
    """`lab`: open JupyterLab on the first notebook."""
    return call(PYTHON, "-m", "jupyterlab", *(args or ["nbs/00_tour.ipynb"]), cwd=ROOT)


def only_set_up(args):
    """`setup`: only set up."""
    return 0


COMMANDS = {
    "setup": only_set_up,
    "run": run,
    "test": test,
    "lab": lab,
    "train": train,
    "evaluate": evaluate,
    "refresh": refresh,
    "clean": clean,
    "export": export,
    "tidy": tidy,
}


def main():
    about = "\n".join(f"  {command.__doc__.strip()}" for command in COMMANDS.values())
    parser = argparse.ArgumentParser(
        prog="dev.py",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Sets up .venv when needed, then runs a command.",
        epilog=f"commands:\n{about}",
    )
    parser.add_argument("command", choices=COMMANDS, metavar="command")
    command = parser.parse_args(sys.argv[1:2]).command
    try:
        setup()
        sys.exit(COMMANDS[command](sys.argv[2:]))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
