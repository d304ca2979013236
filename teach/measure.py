"""What a lesson costs a machine: `python teach/measure.py [--at-once 2] [NAME ...]`.

Executes lessons in kernels of their own, some at once as in a class, and writes into
`teach/cost.json` for each the seconds of the processor, the largest memory, and the
sections that take the longest.
"""

import argparse
import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent
NBS = HERE.parent / "nbs"
OUT = HERE / "cost.json"
# The kernel's own clock: what other programs do does not count.
BEFORE = """
import time, IPython
_begun, _seconds = [], []
_shell = IPython.get_ipython()
_shell.events.register("pre_run_cell", lambda info: _begun.append(time.process_time()))
_shell.events.register(
    "post_run_cell", lambda result: _seconds.append(time.process_time() - _begun[-1])
)
"""
AFTER = """
import json, resource
_peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([time.process_time(), _peak / 1024, _seconds]))
"""


def lessons():
    """The lessons, without their appendices."""
    return sorted(
        p for p in NBS.glob("*.ipynb") if re.fullmatch(r"\d\d_[a-z]+", p.stem)
    )


def sections(cells):
    """For each code cell the heading that it stands under."""
    title, titles = "", []
    for cell in cells:
        if cell.cell_type == "code":
            titles.append(title)
        else:
            found = re.findall(r"^## (.+)$", cell.source, re.MULTILINE)
            title = found[-1] if found else title
    return titles


def execute(path):
    """Processor seconds, megabytes, and the seconds of each code cell."""
    notebook = nbformat.read(path, as_version=4)
    titles = sections(notebook.cells)
    first, last = map(nbformat.v4.new_code_cell, (BEFORE, AFTER))
    notebook.cells = [first, *notebook.cells, last]
    resources = {"metadata": {"path": str(NBS)}}
    NotebookClient(notebook, timeout=900, resources=resources).execute()
    seconds, peak, of_cells = json.loads(notebook.cells[-1].outputs[0].text)
    # The first entry is that of the cell which begins to listen.
    return seconds, peak, list(zip(titles, of_cells[-len(titles) :]))


def measure(path):
    seconds, peak, of_cells = execute(path)
    by_section = {}
    for title, one in of_cells:
        by_section[title] = by_section.get(title, 0) + one
    longest = sorted(by_section, key=by_section.get, reverse=True)[:3]
    print(f"{path.stem:16} {seconds:6.0f} s {peak:6.0f} MB", flush=True)
    return dict(
        seconds=round(seconds),
        megabytes=round(peak),
        longest={title: round(by_section[title]) for title in longest},
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--at-once", type=int, default=2)
    args = parser.parse_args()
    paths = [p for p in lessons() if not args.names or p.stem in args.names]
    os.environ |= {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", "HF_HUB_OFFLINE": "1"}
    with ThreadPoolExecutor(args.at_once) as pool:
        measured = list(pool.map(measure, paths))
    old = json.loads(OUT.read_text(encoding="utf-8")) if OUT.exists() else {}
    new = old | {path.stem: one for path, one in zip(paths, measured)}
    OUT.write_text(json.dumps(new, indent=1, sort_keys=True), encoding="utf-8")


if __name__ == "__main__":
    main()
