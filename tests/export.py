"""Write the modules from the notebooks: `python tests/export.py`, in the project's folder."""

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from nbdev.doclinks import nbdev_export

sys.path.insert(0, str(Path(__file__).resolve().parent))
from notebooks import LESSON, NotebookError, lessons, module_of, read, remedy, strays


def relative(source):
    """The same imports, all relative: nbdev leaves out those of several lines."""
    return re.sub(r"^from sdlearn\.", "from .", source, flags=re.MULTILINE)


def writers(paths):
    """For each module the notebooks that write it."""
    found = defaultdict(list)
    for path in paths:
        module = module_of(read(path))
        if module:
            found[module].append(path.name)
    return found


def check(paths):
    """Refuse notebooks that write one module, or another one than their own."""
    for module, names in writers(paths).items():
        own = [name for name in names if name.endswith(f"_{module}.ipynb")]
        if names == own and len(names) == 1:
            continue
        raise NotebookError(
            f"{' and '.join(names)} would write sdlearn/{module}.py: that is for one "
            f"notebook, called NN_{module}.ipynb; move a copy to work/, or give it a "
            "name and a `#| default_exp` of its own."
        )


def main():
    nbs = Path("nbs").resolve()
    try:
        check(lessons(nbs))
    except NotebookError as error:
        sys.exit(f"Nothing is exported: {error}")
    for stray in strays(nbs):
        print(remedy(stray), file=sys.stderr, flush=True)
    nbdev_export(file_re=rf"^{LESSON}\.ipynb$")
    for module in Path("sdlearn").glob("*.py"):
        source = module.read_text(encoding="utf-8")
        module.write_text(relative(source), encoding="utf-8", newline="\n")
    ruff = [sys.executable, "-m", "ruff", "format", "--quiet", "sdlearn"]
    subprocess.run(ruff, check=True)


if __name__ == "__main__":
    main()
