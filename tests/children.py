"""What `dev.py` starts, and the surroundings that it gives them. Needs nothing but Python."""

import atexit
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

# A user's settings for other projects, which would lead ours astray ...
FOREIGN = re.compile("PIP_|PYTHON|__PYVENV_LAUNCHER__|JUPYTER_PATH")
# ... less those that say where packages come from, or how Python reads and writes.
KEPT = re.compile(
    "PIP_((EXTRA_)?INDEX_URL|FIND_LINKS|NO_INDEX|TRUSTED_HOST|PROXY|(CLIENT_)?CERT"
    "|(DEFAULT_)?TIMEOUT|RETRIES|(NO_)?CACHE_DIR|KEYRING_PROVIDER|NO_INPUT)"
    "|PYTHON(UTF8|IOENCODING|UNBUFFERED|DONTWRITEBYTECODE|PYCACHEPREFIX)"
    "|PYTHON_KEYRING_BACKEND"
)
# What people like in a notebook; tests want notebooks as they come.
TASTES = re.compile("IPYTHON|JUPYTER|MPL|MATPLOTLIB|PYTEST|COVERAGE|TQDM")
# `user = true` in a file would make `pip config list` show nothing else.
LISTS_ALL = dict.fromkeys(("PIP_USER", "PIP_GLOBAL", "PIP_SITE", "PIP_QUIET"), "0")


def say(message):
    print(message, flush=True)


def fail(message):
    sys.exit(f"dev.py: {message}")


def wait_for(command, **how):
    """Run a child to its end. Ctrl-C reaches it, too, and it decides what to do."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:  # which the child would inherit
        signal.signal(signal.SIGINT, lambda *_: None)
    try:
        code = subprocess.call([str(word) for word in command], **how)
    except OSError as error:
        fail(f"{command[0]} cannot be started: {error.strerror}.")
    finally:
        signal.signal(signal.SIGINT, before)
    return code if code >= 0 else 128 - code


def can_write(folder):
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def environment(**ours):
    """The user's environment, less what is meant for other projects."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if KEPT.fullmatch(name) or not FOREIGN.match(name)
    }
    return kept | {"PYTHONNOUSERSITE": "1"} | ours


def environment_of_tests():
    """One thread, and nothing of what a user's home holds for notebooks and figures."""
    env = environment(OMP_NUM_THREADS="1", PYTHONUTF8="1")
    env = {name: value for name, value in env.items() if not TASTES.match(name)}
    home = home_of_tests()
    env |= {
        "IPYTHONDIR": str(home / "ipython"),
        "JUPYTER_CONFIG_DIR": str(home / "jupyter/config"),
        "JUPYTER_DATA_DIR": str(home / "jupyter/data"),
        "JUPYTER_RUNTIME_DIR": str(home / "jupyter/runtime"),
        "MPLCONFIGDIR": str(home / "matplotlib"),
    }
    if not list(home.glob("matplotlib/fontlist*")):
        # A notebook that had to find the fonts would say so in its output.
        wait_for([PYTHON, "-P", "-c", "import matplotlib.font_manager"], env=env)
    return env


def home_of_tests():
    """A folder for what programs would keep in the user's home."""
    home = VENV / "home"
    if not can_write(VENV):
        home = Path(tempfile.mkdtemp(prefix="sdlearn-"))
        atexit.register(shutil.rmtree, home, ignore_errors=True)
    for name in ("ipython", "matplotlib"):
        (home / name).mkdir(parents=True, exist_ok=True)
    return home


def environment_of_pip(pip):
    """Of the user's files for pip counts what says where packages come from."""
    env = environment(**LISTS_ALL)
    if "PIP_CONFIG_FILE" in os.environ:
        env["PIP_CONFIG_FILE"] = os.environ["PIP_CONFIG_FILE"]
    listed = subprocess.run(
        [*pip, "config", "list"], env=env, stdout=subprocess.PIPE, encoding="utf-8"
    )
    in_files = {}
    for section in ("global", "install"):
        in_files |= settings_of(section, listed.stdout)
    return in_files | environment(PIP_CONFIG_FILE=os.devnull)


def settings_of(section, listed):
    """Of lines such as `global.index-url='...'` those that are kept, as variables."""
    settings = {}
    for name, value in re.findall(rf"(?m)^{section}\.([\w-]+)='(.*)'", listed):
        variable = "PIP_" + name.upper().replace("-", "_")
        if KEPT.fullmatch(variable):
            settings[variable] = value.replace("\\n", " ").strip()
    return settings
