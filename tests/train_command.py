"""The command `sdlearn-train` as a user runs it, in a process of its own."""

import shutil
import subprocess
import sys
from pathlib import Path

COMMAND = shutil.which("sdlearn-train", path=Path(sys.executable).parent)
PATIENCE = 900  # seconds; for a command that hangs, not for one that is slow


def finish(out, *args, command=(COMMAND,)):
    """The exit status of a training, and all that it said."""
    whole = [*command, "--out", out, *args]
    done = subprocess.run(
        [str(arg) for arg in whole],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    return done.returncode, done.stdout + done.stderr
