"""Execute and clean notebooks: `python tests/notebooks.py refresh|clean [NAME ...]`."""
import argparse
import os
import sys
from pathlib import Path

import nbformat
from fastcore.nbio import dict2nb, nb2str
from jupyter_client.kernelspec import KernelSpecManager
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbdev.clean import clean_nb

NBS = Path(__file__).resolve().parent.parent / "nbs"
CELL_TIMEOUT = 120
MAX_BYTES = 300_000
WIDGET = "application/vnd.jupyter.widget-view+json"
KERNELSPEC = {"display_name": "python3", "language": "python", "name": "python3"}
# Progress bars carry timings, and a notebook has to work without a hub.
KERNEL_ENV = {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", "HF_HUB_OFFLINE": "1", "PYTHONUTF8": "1",
              "MPLBACKEND": "module://matplotlib_inline.backend_inline"}


def find(names):
    """Notebooks whose file name, or module name, is in `names`; all of them if there is none."""
    paths = sorted(p for p in NBS.glob("*.ipynb") if p.name[0] not in "_.")
    wanted = {Path(name).stem for name in names}
    found = [p for p in paths if not wanted or wanted & {p.stem, p.stem[:2], p.stem[3:]}]
    if len(found) < len(wanted):
        sys.exit(f"No such notebook among {', '.join(p.stem for p in paths)}: {', '.join(names)}")
    return found


def clean_output(output):
    """Take out of a cell's output what changes from run to run: widget ids and the frames of a traceback."""
    output.get("data", {}).pop(WIDGET, None)
    if output["output_type"] == "error":
        output["traceback"] = [f"{output['ename']}: {output['evalue']}"]


def cleaned(nb):
    """The text of a clean notebook."""
    nb = dict2nb(nb)
    clean_nb(nb)
    nb.metadata = {"kernelspec": KERNELSPEC, **{k: v for k, v in nb.metadata.items() if k == "nbdev"}}
    for cell in nb.cells:
        for output in cell.get("outputs", []):
            clean_output(output)
    return nb2str(nb)


def marked(cell, marker):
    """Does the cell carry this comment of nbval's?"""
    return any(line.strip().lstrip("# ") == marker for line in cell.source.splitlines() if line.strip()[:1] == "#")


def tag(nb):
    """Tell nbclient what nbval's comments say; cleaning takes the tags out again."""
    tags = {"NBVAL_SKIP": "skip-execution", "NBVAL_RAISES_EXCEPTION": "raises-exception"}
    for cell in nb.cells:
        cell.metadata["tags"] = [t for marker, t in tags.items() if marked(cell, marker)]


def execute(path):
    """Run a notebook in a fresh kernel."""
    nb = nbformat.read(path, as_version=4)
    tag(nb)
    client = NotebookClient(nb, timeout=CELL_TIMEOUT, startup_timeout=60, record_timing=False, store_widget_state=False,
                            kernel_name="python3", resources={"metadata": {"path": str(path.parent)}})
    # A python3 kernel that the user has installed elsewhere must not win over this environment's.
    client.create_kernel_manager().kernel_spec_manager = KernelSpecManager(
        kernel_dirs=[str(Path(sys.prefix) / "share/jupyter/kernels")])
    client.execute(env={**os.environ, **KERNEL_ENV})
    return nb


def execute_patiently(path):
    """Run a notebook, and once more if its kernel stalls: with `interact`, nbclient does in a few runs of a hundred."""
    try:
        return execute(path)
    except (CellTimeoutError, DeadKernelError):
        return execute(path)


def save(path, text):
    """Write a notebook whole or not at all."""
    temp = path.with_suffix(".tmp")
    temp.write_text(text, encoding="utf-8", newline="\n")
    os.replace(temp, path)


def process(path, afresh):
    """Clean a notebook, executed or as it is, and report its size."""
    save(path, cleaned(execute_patiently(path) if afresh else nbformat.read(path, as_version=4)))
    size = path.stat().st_size
    print(f"{path.name}: {size / 1000:.0f} kB" + (", too large" if size > MAX_BYTES else ""), flush=True)


def main():
    """Refresh or clean the notebooks that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["refresh", "clean"])
    parser.add_argument("names", nargs="*", metavar="NAME")
    args = parser.parse_args()
    for path in find(args.names):
        process(path, args.action == "refresh")


if __name__ == "__main__":
    main()
