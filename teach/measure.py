"""What a lesson costs a machine: `python -m teach.measure [--at-once 2] [NAME ...]`.

Executes lessons in kernels of their own, some at once as in a class (on Linux), and writes
into `teach/cost.json` for each the seconds of the processor, the largest memory, and the
sections that take the longest. `--table` writes these into `teach/trouble.md`.
"""

import argparse
import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

import nbformat
from nbclient import NotebookClient

from sdlearn.core import replace_on_success
from tests.notebooks import NBS, without_appendices

HERE = Path(__file__).resolve().parent
OUT = HERE / "cost.json"
LOCK = Lock()
PAGE = HERE / "trouble.md"
TABLE = re.compile("(?<=<!-- cost -->\n).*?(?=<!-- /cost -->)", re.DOTALL)
LONG = 5  # seconds from which on a section is named
# The kernel's own clock: what other programs do does not count.
BEFORE = """
import IPython as _ipython, json as _json, resource as _resource, time as _time
_begun, _seconds = [], []
_events = _ipython.get_ipython().events
_events.register("pre_run_cell", lambda info: _begun.append(_time.process_time()))
_events.register(
    "post_run_cell", lambda result: _seconds.append(_time.process_time() - _begun[-1])
)
"""
AFTER = """
_peak = _resource.getrusage(_resource.RUSAGE_SELF).ru_maxrss
print(_json.dumps([_time.process_time(), _peak / 1024, _seconds]))
"""


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
    keep(
        path.stem,
        seconds=round(seconds),
        megabytes=round(peak),
        longest={title: round(by_section[title]) for title in longest},
    )


def keep(lesson, **cost):
    """Into the file, as soon as it is known."""
    print(f"{lesson:16} {cost['seconds']:6} s {cost['megabytes']:6} MB", flush=True)
    with LOCK:
        known = json.loads(OUT.read_text(encoding="utf-8")) if OUT.exists() else {}
        text = json.dumps(known | {lesson: cost}, indent=1, sort_keys=True)
        with replace_on_success(OUT) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")


def table(costs):
    """What lessons cost, in Markdown."""
    rows = [
        "| lesson | seconds | MB | takes the longest |",
        "|---|---|---|---|",
    ]
    for lesson, cost in costs.items():
        long = [f"*{t}* ({s} s)" for t, s in cost["longest"].items() if t and s >= LONG]
        seconds, megabytes = cost["seconds"], cost["megabytes"]
        rows.append(f"| `{lesson}` | {seconds} | {megabytes:,} | {', '.join(long)} |")
    return "\n".join(rows) + "\n"


def write_table():
    """The table of `teach/cost.json`, where `teach/trouble.md` has its marks."""
    text = table(json.loads(OUT.read_text(encoding="utf-8")))
    page = PAGE.read_text(encoding="utf-8")
    with replace_on_success(PAGE) as temporary:
        temporary.write_text(TABLE.sub(lambda found: text, page), encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    if args.table:
        return write_table()
    paths = [p for p in without_appendices() if not args.names or p.stem in args.names]
    os.environ |= {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", "HF_HUB_OFFLINE": "1"}
    with ThreadPoolExecutor(args.at_once) as pool:
        list(pool.map(measure, paths))


if __name__ == "__main__":
    main()
