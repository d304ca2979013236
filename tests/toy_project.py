"""A project in the shape of this one, small and offline, for trials of its set-up.

It has the same dev.py, and packages of a few files under the names that dev.py asks for.
This file lies in the toy, too: there it is what builds the toy's own package.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

HERE = Path(__file__).resolve().parent
TORCH, NEWER_TORCH = "2.0.0", "2.1.0"
NAMES = ["diffusers", "numpy", "pillow", "tqdm"]
TOOLS = ["pytest", "nbdev", "ruff"]
MODULES = 15  # of each package
COMMANDS = "[console_scripts]\nsdlearn-generate = sdlearn:main\n"
PACKAGE = """
import json, os, sys

def main():
    "Tells the arguments and the environment that came here."
    print(json.dumps([sys.argv[1:], dict(os.environ)]))
"""

METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: toy\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
PYPROJECT = """
[build-system]
requires = []
build-backend = "toy_project"
backend-path = ["tests"]
"""
SETTINGS = """
[DEFAULT]
lib_name = sdlearn
requirements = torch>=1 {names}
dev_requirements = {tools}
"""


def write_wheel(folder, name, version, files, more=""):
    """A wheel as others build them: the record comes last, and does not name pip."""
    info = f"{name}-{version}.dist-info"
    metadata = METADATA.format(name=name, version=version) + more
    files = files | {f"{info}/METADATA": metadata, f"{info}/WHEEL": WHEEL}
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    path = Path(folder) / f"{name}-{version}-py3-none-any.whl"
    with ZipFile(path, "w") as wheel:
        for file, text in (files | {f"{info}/RECORD": record}).items():
            wheel.writestr(file, text)
    return path.name


def module_text(name, version):
    return f"__version__ = {version!r}\n" + f"# {name}\n" * 100


def write_package(folder, name, version):
    files = {f"{name}/m{i}.py": module_text(name, version) for i in range(MODULES)}
    files |= {f"{name}/__init__.py": module_text(name, version)}
    write_wheel(folder, name, version, files)


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    """What pip asks for when it installs the toy's own package."""
    needs = [f"Requires-Dist: {name}\n" for name in ["torch", *NAMES]]
    needs += [f'Requires-Dist: {name}; extra == "dev"\n' for name in TOOLS]
    files = {
        "sdlearn.pth": f"{os.getcwd()}\n",
        "sdlearn-0.1.0.dist-info/entry_points.txt": COMMANDS,
    }
    more = "Provides-Extra: dev\n" + "".join(needs)
    return write_wheel(wheel_directory, "sdlearn", "0.1.0", files, more)


def make_toy(folder):
    """The toy in a new folder, with an index of its packages in `shelf`."""
    (folder / "tests").mkdir(parents=True)
    (folder / "sdlearn").mkdir()
    (folder / "shelf").mkdir()
    (folder / "sdlearn/__init__.py").write_text(PACKAGE)
    shutil.copy(HERE.parent / "dev.py", folder)
    for name in ("children", "setup_env", "copies", "toy_project"):
        shutil.copy(HERE / f"{name}.py", folder / "tests")
    names, tools = " ".join(NAMES), " ".join(TOOLS)
    (folder / "settings.ini").write_text(SETTINGS.format(names=names, tools=tools))
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / "setup.py").write_text("")
    (folder / "constraints.txt").write_text(f"torch=={TORCH}\n")
    for name in ["torch", *NAMES, *TOOLS]:
        write_package(folder / "shelf", name, TORCH)
    write_package(folder / "shelf", "torch", NEWER_TORCH)
    return folder


def surroundings(**more):
    """Variables for a run of the toy: its own index, none of the user's."""
    foreign = ("PIP_", "PYTHON", "COV_", "COVERAGE")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
    ours = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "shelf"}
    return kept | ours | {"PIP_CONFIG_FILE": os.devnull} | more


def start(toy, *args, python=sys.executable, env=None, **how):
    """dev.py of the toy, in a process of its own; all that it says goes to one pipe."""
    command = [python, toy / "dev.py", *args]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    env = surroundings() if env is None else env
    return subprocess.Popen(command, cwd=toy, env=env, **streams, **how)


def dev(toy, *args, **how):
    """The exit status of dev.py in the toy, and what it said."""
    child = start(toy, *args, **how)
    said, _ = child.communicate(timeout=600)
    return child.returncode, said
