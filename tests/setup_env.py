"""The set-up: makes `.venv`, and knows whether it is whole. Needs nothing but Python."""

import configparser
import csv
import errno
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from contextlib import contextmanager, suppress

from children import PYTHON, ROOT, VENV, environment, environment_of_pip
from children import fail, say, wait_for

PIP = [PYTHON, "-P", "-m", "pip", "--disable-pip-version-check"]
STAMP = VENV / "sdlearn-setup.json"
LOCK = ROOT / ".venv.lock"
# Packages brought along, for a set-up without a network; see `save_wheels`.
WHEELS = ROOT / "wheels"
INPUTS = "constraints.txt", "settings.ini", "pyproject.toml", "setup.py"
PLACE = "import sys; print(sys.prefix, sys.base_prefix, sys.version_info[:2])"


def set_up():
    """Makes or mends `.venv` unless it is ready, one process at a time."""
    if os.pathsep in str(ROOT):
        fail(
            f"no virtual environment can be made in {ROOT}: in its path {os.pathsep!r} "
            "would end the name of a folder. Rename the folder, then run dev.py again."
        )
    if is_ready():
        return
    try:
        with one_at_a_time() as held:
            if not is_ready():
                set_up_now(held)
    except OSError as error:
        fail(f"the set-up did not finish: {error}")


def set_up_now(held):
    """The stamp has a hash only when all is done."""
    own, ours = own_torch(), read_stamp().get("torch")
    if not is_ours():
        make_venv(held)
        ours = None
    place = venv_place()
    write_stamp(place=place, own=own, torch=ours)
    forget(broken_packages())
    install(own, held)
    if own is None:
        ours = torch_version()
    broken = broken_packages()
    write_stamp(place=place, torch=ours, broken=broken, hash=fingerprint())


# What is in .venv


def is_ready():
    stamp = read_stamp()
    if stamp.get("hash") != fingerprint() or not is_ours():
        return False
    newly_broken = set(broken_packages()) - set(stamp["broken"])
    return not newly_broken and required() <= set(packages())


def is_ours():
    """Was it made here, by this dev.py, with the Python that it has?"""
    place = read_stamp().get("place")
    has_pip = "pip" in packages() and is_whole(packages()["pip"])
    return has_pip and place is not None and place == venv_place()


def venv_place():
    """Where its Python is at home, and which it is; None if it does not run."""
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    command = [str(PYTHON), "-c", PLACE]
    try:
        asked = subprocess.run(command, env=environment(), text=True, **quiet)
    except OSError:
        return None
    return asked.stdout.strip() if asked.returncode == 0 else None


def packages():
    """By name, the folders in which pip keeps what it knows of each package."""
    found = {}
    for library in ("lib/python*", "Lib"):
        for folder in VENV.glob(f"{library}/site-packages/[!~]*.dist-info"):
            found[plain(folder.name.partition("-")[0])] = folder
    return found


def plain(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def broken_packages():
    """Those that pip began and did not finish, or whose modules are gone."""
    return [name for name, folder in packages().items() if not is_whole(folder)]


def is_whole(folder):
    try:
        record = (folder / "RECORD").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False
    names = {row[0] for row in csv.reader(record.splitlines()) if row}
    # The record in a wheel does not have this file; the one that pip writes last has.
    is_finished = f"{folder.name}/INSTALLER" in names
    modules = [folder.parent / name for name in names if name.endswith(".py")]
    return is_finished and all(map(os.path.exists, modules))


def torch_version():
    folder = packages().get("torch")
    return folder and folder.stem.partition("-")[2]


def required():
    names = [re.split(r"[^\w.-]", line)[0] for line in requirements()]
    return {plain(name) for name in ["sdlearn", *names]}


def requirements():
    """The lines of settings.ini, such as torch>=2.6."""
    config = configparser.ConfigParser()
    config.read(ROOT / "settings.ini", encoding="utf-8")
    ours = config["DEFAULT"]
    return f"{ours['requirements']} {ours['dev_requirements']}".split()


def fingerprint():
    text = [(ROOT / name).read_bytes().replace(b"\r\n", b"\n") for name in INPUTS]
    return hashlib.sha256(b"\0".join(text)).hexdigest()


def read_stamp():
    try:
        return dict(json.loads(STAMP.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def write_stamp(**stamp):
    temporary = STAMP.with_suffix(".tmp")
    temporary.write_text(json.dumps(stamp), encoding="utf-8")
    os.replace(temporary, STAMP)


# One at a time


@contextmanager
def one_at_a_time():
    """The block runs in one process at a time. Gives what its children must hold, too."""
    try:
        file = open(LOCK, "a")
    except OSError as error:
        fail(f"the set-up must write in {ROOT}, and cannot: {error.strerror}.")
    with file:
        if not try_lock(file):
            say("Another set-up is at work here: waiting for its end.")
        while not try_lock(file):
            time.sleep(0.5)
        # If dev.py is killed, its pip goes on, and so does the lock.
        yield {} if os.name == "nt" else {"pass_fds": [file.fileno()]}


def try_lock(file):
    """The system lets go of the lock when its holder ends, however it ends."""
    try:
        lock(file)
    except OSError as error:
        # Some disks of a network know no locks.
        return error.errno not in (errno.EACCES, errno.EAGAIN)
    return True


def lock(file):
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


# Making it


def make_venv(held):
    say(f"Making {VENV}")
    with suppress(OSError):  # no stamp, or no folder
        STAMP.unlink()
    command = [sys.executable, "-I", "-m", "venv", "--clear", VENV]
    code = wait_for(command, env=environment(), **held)
    if code:
        stop(code, "Python could not make .venv; what it says is above.")


def stop(code, message):
    """After Ctrl-C there is nothing to explain."""
    if code == 130:
        sys.exit(code)
    fail(message)


def own_torch():
    """The version of a torch that the user put there, for a GPU say, or None."""
    stamp, found = read_stamp(), torch_version()
    if found is None:
        return stamp.get("own")
    is_unfinished = "place" in stamp and "hash" not in stamp
    came_by_us = is_unfinished and stamp.get("own") is None
    is_pinned = f"torch=={found}" in pins()
    if came_by_us or is_pinned or found == stamp.get("torch"):
        return None
    return found


def pins(own=None):
    """The versions to install, with the user's own torch in place of ours."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if own is None:
        return lines
    return [line for line in lines if not line.startswith("torch==")] + [
        f"torch=={own}"
    ]


def forget(names):
    """What pip does not know, it installs afresh."""
    for name in names:
        shutil.rmtree(packages()[name])


def install(own, held):
    limits, log = VENV / "constraints.txt", VENV / "pip.log"
    limits.write_text("\n".join(pins(own)), encoding="utf-8")
    log.unlink(missing_ok=True)
    say("Installing the packages: a few minutes, once")
    command = [*PIP, "install", "--log", log, "-c", limits, "-e", ".[dev]"]
    env = environment_of_pip(PIP) | from_wheels()
    code = wait_for(command, cwd=ROOT, env=env, **held)
    if code:
        stop(code, f"the set-up did not finish: {reason(log, own)}")


def from_wheels():
    """Where there is a folder of wheels, pip takes all from it and asks no index."""
    if not WHEELS.is_dir():
        return {}
    say(f"The packages come from {WHEELS}, and not from the network.")
    # As an address, for pip splits the variable at spaces.
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": WHEELS.as_uri()}


def to_build():
    """What pip needs to build the package, such as setuptools>=77."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return project["build-system"]["requires"]


def save_wheels(args):
    """Download all packages into `wheels/`, which is replaced as a whole."""
    partial = WHEELS.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    what = [*to_build(), *requirements(), *args]
    command = [*PIP, "download", "--dest", partial, "-c", "constraints.txt", *what]
    code = wait_for(command, cwd=ROOT, env=environment_of_pip(PIP))
    if code:
        stop(code, "the packages did not all come; what pip says is above.")
    shutil.rmtree(WHEELS, ignore_errors=True)
    os.replace(partial, WHEELS)
    say(f"{len(list(WHEELS.iterdir()))} packages in {WHEELS}: copy that folder into")
    say("another clone, on the same kind of machine, and run dev.py there.")
    return 0


# What pip's words mean; the first that fits.
REASONS = {
    "Operation cancelled": "it was stopped. The same command goes on.",
    "No space left|Errno 28|not enough space": (
        "the disk is full. It takes about 2 GB, more for a CUDA build of PyTorch."
    ),
    "Long Path": "Windows takes no longer paths. Move this folder to a shorter one.",
    "NewConnectionError|NameResolutionError|Max retries|[Tt]imed out|ConnectTimeout"
    "|ProxyError|SSLError|Connection (refused|reset|aborted|broken)|IncompleteRead"
    "|Temporary failure in name|getaddrinfo|unreachable": (
        "the package index cannot be reached. The first set-up needs the network and "
        "about 2 GB of disk: connect, then run the same command again. Later runs need "
        "no network."
    ),
    r"No matching distribution|requested \(constraint\)": (
        "your package index does not have what pip names above for this system and "
        "this Python."
    ),
    "Permission denied|Errno 13|WinError 5": "a file may not be written; pip names it.",
}
LACKS_TORCH = r"(No matching distribution found for|requested \(constraint\)) torch=="
SAYS_WHY = "ERROR|WARNING|Could not fetch|requested .constraint"


def reason(log, own):
    """Why pip failed, by what it said."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    said = "\n".join(re.findall(f".*(?:{SAYS_WHY}).*", text))
    if WHEELS.is_dir() and "No matching distribution" in said:
        return (
            f"{WHEELS} does not have what pip names above. Delete that folder and use "
            "the network, or make it again on a machine of this kind that has one: "
            "`python dev.py wheels`."
        )
    if own and re.search(LACKS_TORCH, said):
        return (
            f"your package index does not have your own build of PyTorch, {own}. "
            "Install it with the Python of .venv as you did before, then run the same "
            "command again."
        )
    fitting = [REASONS[pattern] for pattern in REASONS if re.search(pattern, said)]
    return fitting[0] if fitting else "what pip says is above."
