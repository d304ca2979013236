"""Write the modules from the notebooks: `python tests/export.py`, in the project's folder."""

import re
import subprocess
import sys
from pathlib import Path

from nbdev.doclinks import nbdev_export


def relative(source):
    """The same imports, all relative: nbdev leaves out those of several lines."""
    return re.sub(r"^from sdlearn\.", "from .", source, flags=re.MULTILINE)


def main():
    nbdev_export()
    for module in Path("sdlearn").glob("*.py"):
        source = module.read_text(encoding="utf-8")
        module.write_text(relative(source), encoding="utf-8", newline="\n")
    ruff = [sys.executable, "-m", "ruff", "format", "--quiet", "sdlearn"]
    subprocess.run(ruff, check=True)


if __name__ == "__main__":
    main()
