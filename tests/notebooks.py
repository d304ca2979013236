"""Execute and clean notebooks: `python tests/notebooks.py refresh|clean [NAME ...]`."""

import argparse
import os
import subprocess
import sys
from base64 import b64decode, b64encode
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import nbformat
from fastcore.nbio import dict2nb, nb2str
from jupyter_client import KernelManager
from nbdev.clean import clean_nb
from nbformat.v4 import output_from_msg
from nbval.kernel import CURRENT_ENV_KERNEL_NAME, NbvalKernelspecManager
from PIL import Image

NBS = Path(__file__).resolve().parent.parent / "nbs"
CELL_TIMEOUT = 120
MAX_BYTES = 300_000
WIDGET = "application/vnd.jupyter.widget-view+json"
KERNELSPEC = {"display_name": "python3", "language": "python", "name": "python3"}
KERNEL_ENV = {
    "OMP_NUM_THREADS": "1",
    "TQDM_DISABLE": "1",
    "HF_HUB_OFFLINE": "1",
    "PYTHONUTF8": "1",
    "PYTHONSTARTUP": str(Path(__file__).resolve().parent / "kernel_startup.py"),
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
}


class NotebookError(Exception):
    """A cell that failed or took too long."""


def find(names):
    """Notebooks whose file name, or module name, is in `names`; all of them if there is none."""
    paths = sorted(p for p in NBS.glob("*.ipynb") if p.name[0] not in "_.")
    wanted = {Path(name).stem for name in names}
    found = [
        p for p in paths if not wanted or wanted & {p.stem, p.stem[:2], p.stem[3:]}
    ]
    if missing := wanted - {
        name for p in found for name in (p.stem, p.stem[:2], p.stem[3:])
    }:
        sys.exit(
            f"No such notebook among {', '.join(p.stem for p in paths)}: {', '.join(sorted(missing))}"
        )
    return found


def marked(cell, marker):
    """Does the cell carry this comment of nbval's?"""
    return any(
        line.strip().lstrip("# ") == marker
        for line in cell.source.splitlines()
        if line.strip()[:1] == "#"
    )


def clean_outputs(cell):
    """Take out of a cell's outputs what changes from run to run: widget ids and the frames of a traceback."""
    if marked(
        cell, "NBVAL_IGNORE_OUTPUT"
    ):  # the picture under a slider stays, the slider's repr goes
        cell.outputs = [o for o in cell.outputs if WIDGET not in o.get("data", {})]
    for output in cell.outputs:
        data = output.get("data", {})
        data.pop(WIDGET, None)
        if "image/png" in data:  # Pillow offers its pictures twice
            data.pop("image/jpeg", None)
        if output["output_type"] == "error":
            output["traceback"] = [f"{output['ename']}: {output['evalue']}"]


def cleaned(nb):
    """The text of a clean notebook."""
    nb = dict2nb(nb)
    clean_nb(nb)
    nb.metadata = {
        "kernelspec": KERNELSPEC,
        **{k: v for k, v in nb.metadata.items() if k == "nbdev"},
    }
    for cell in nb.cells:
        if cell.cell_type == "code":
            clean_outputs(cell)
    return nb2str(nb)


@contextmanager
def kernel(folder):
    """A client of a fresh kernel of this environment."""
    manager = KernelManager(
        kernel_name=CURRENT_ENV_KERNEL_NAME,
        kernel_spec_manager=NbvalKernelspecManager(),
    )
    manager.start_kernel(
        cwd=str(folder), env={**os.environ, **KERNEL_ENV}, stderr=subprocess.DEVNULL
    )
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def collect(outputs, message):
    """Add what the kernel says to a cell's outputs; `interact` first clears what was there."""
    kind, content = message["msg_type"], message["content"]
    if kind == "clear_output":
        outputs.clear()
    elif kind == "stream" and outputs and outputs[-1].get("name") == content["name"]:
        outputs[-1].text += content["text"]
    elif kind in ("stream", "display_data", "execute_result", "error"):
        outputs.append(output_from_msg(message))


def run_cell(client, cell, number):
    """Run one cell and keep its outputs."""
    cell.outputs = []
    try:
        reply = client.execute_interactive(
            cell.source,
            allow_stdin=False,
            timeout=CELL_TIMEOUT,
            output_hook=lambda message: collect(cell.outputs, message),
        )
    except TimeoutError:
        raise NotebookError(
            f"cell {number} took longer than {CELL_TIMEOUT} seconds:\n{cell.source}"
        ) from None
    if reply["content"]["status"] == "error" and not marked(
        cell, "NBVAL_RAISES_EXCEPTION"
    ):
        raise NotebookError(
            "\n".join(
                [f"cell {number} failed:", cell.source, *reply["content"]["traceback"]]
            )
        )


def squeeze(data):
    """The same picture in fewer bytes: Pillow shows its pictures hardly compressed."""
    if "image/png" in data:
        png, buffer = b64decode(data["image/png"]), BytesIO()
        Image.open(BytesIO(png)).save(buffer, "PNG", optimize=True)
        data["image/png"] = b64encode(min(png, buffer.getvalue(), key=len)).decode()


def execute(path):
    """Run a notebook in a fresh kernel."""
    nb = nbformat.read(path, as_version=4)
    with kernel(path.parent) as client:
        for number, cell in enumerate(nb.cells):
            if (
                cell.cell_type == "code"
                and cell.source.strip()
                and not marked(cell, "NBVAL_SKIP")
            ):
                run_cell(client, cell, number)
                for output in cell.outputs:
                    squeeze(output.get("data", {}))
    return nb


def save(path, text):
    """Write a notebook whole or not at all."""
    temp = path.with_suffix(".tmp")
    temp.write_text(text, encoding="utf-8", newline="\n")
    os.replace(temp, path)


def process(path, afresh):
    """Clean a notebook, executed or as it is, and report its size."""
    save(path, cleaned(execute(path) if afresh else nbformat.read(path, as_version=4)))
    size = path.stat().st_size
    print(
        f"{path.name}: {size / 1000:.0f} kB"
        + (", too large" if size > MAX_BYTES else ""),
        flush=True,
    )


def main():
    """Refresh or clean the notebooks that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["refresh", "clean"])
    parser.add_argument("names", nargs="*", metavar="NAME")
    args = parser.parse_args()
    failed = False
    for path in find(args.names):
        try:
            process(path, args.action == "refresh")
        except NotebookError as error:
            print(f"{path.name} is left as it was: {error}", flush=True)
            failed = True
    sys.exit(failed)


if __name__ == "__main__":
    main()
