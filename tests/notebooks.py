"""Execute and clean notebooks: `python tests/notebooks.py refresh|clean [NAME ...]`."""

import argparse
import json
import os
import re
import subprocess
import sys
from base64 import b64decode, b64encode
from io import BytesIO
from pathlib import Path

import nbformat
from fastcore.nbio import dict2nb, nb2str
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal, DeadKernelError
from nbdev.clean import clean_nb
from nbval.kernel import CURRENT_ENV_KERNEL_NAME, NbvalKernelspecManager
from PIL import Image

NBS = Path(__file__).resolve().parent.parent / "nbs"
LESSON = r"\d\d[a-z]?_[a-z]+"  # what a notebook of the course is called
# The markers of git, between the lines of the file or in cells of their own.
CONFLICT = re.compile(r'^[ \t]*"?`?(<{7}|>{7}) ', re.MULTILINE)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
MODULE = re.compile(r"^#\|\s*default_exp:?\s+(\S+)", re.MULTILINE)
CELL_TIMEOUT = 120
MAX_BYTES = 1_000_000
ROUNDING = (1, 3, 5)  # of 255; as little as the size of the notebook demands
WIDGET = "application/vnd.jupyter.widget-view+json"
PNG = "image/png"
TAGS = {"NBVAL_SKIP": "skip-execution", "NBVAL_RAISES_EXCEPTION": "raises-exception"}
METADATA = {
    "kernelspec": {"display_name": "python3", "language": "python", "name": "python3"},
    # Without it `nbconvert --to script` writes a .txt.
    "language_info": {"file_extension": ".py", "name": "python"},
}
KERNEL_ENV = {
    "OMP_NUM_THREADS": "1",
    "TQDM_DISABLE": "1",
    "HF_HUB_OFFLINE": "1",
    "PYTHONUTF8": "1",
    "PYTHONSTARTUP": str(Path(__file__).resolve().parent / "kernel_startup.py"),
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
}


class NotebookError(Exception):
    """A notebook that cannot be read, or a cell that failed or took too long."""


def is_lesson(path):
    """Is the notebook called as one of the course, and not as a copy or a try?"""
    return re.fullmatch(LESSON, path.stem) is not None


def lessons(folder=NBS):
    """The notebooks of the course, appendices included."""
    return sorted(filter(is_lesson, folder.glob("*.ipynb")))


def without_appendices(folder=NBS):
    """The lessons alone, whose numbers have no letter."""
    return [path for path in lessons(folder) if path.stem[2] == "_"]


def strays(folder=NBS):
    """The other notebooks among them: copies, conflicting versions, tries."""
    visible = [p for p in folder.glob("*.ipynb") if p.name[0] not in "_."]
    return sorted(path for path in visible if not is_lesson(path))


def remedy(stray):
    """A sentence on a notebook that is no lesson."""
    return (
        f"{stray.parent.name}/{stray.name} is not called as a lesson is "
        "(06_samplers, 02a_drawings) and is left out: move it to work/, or rename it."
    )


def fault_of(source):
    """Why a file is no notebook; None if it is one."""
    if not source.strip():
        return "it is empty"
    try:
        content = json.loads(source)
    except ValueError as error:
        return f"it is not JSON: {error}"
    version = content.get("nbformat") if isinstance(content, dict) else None
    return None if version else "it has no nbformat"


def source_of(path):
    """The text of a notebook; of one that cannot be read, a sentence with the way out."""
    where = f"{path.parent.name}/{path.name}"
    source = path.read_text(encoding="utf-8", errors="replace")
    if CONFLICT.search(source):
        raise NotebookError(
            f"{where} holds git's conflict markers: take one side, "
            f"`git checkout --ours {where}` or --theirs, or delete the cells that you "
            f"do not want, then `python dev.py refresh {path.stem}`."
        )
    fault = fault_of(source)
    if fault:
        raise NotebookError(
            f"{where} is no notebook ({fault}): bring it back, "
            f"`git restore {where}`, or move it to work/."
        )
    return source


def read(path):
    """The content of a notebook, or a sentence."""
    return nbformat.reads(source_of(path), as_version=4)


def module_of(nb):
    """The module that a notebook writes, if any."""
    code = [cell.source for cell in nb.cells if cell.cell_type == "code"]
    found = MODULE.search("\n".join(code))
    return found and found[1]


def names_of(path):
    """What a notebook may be called: 13_pipeline, 13 or pipeline."""
    number, _, module = path.stem.partition("_")
    return {path.stem, number, module}


def find(names):
    """Lessons whose file name, number or module is in `names`; all of them if there is none."""
    paths = lessons()
    wanted = {Path(name).name.removesuffix(".ipynb") for name in names}
    for stray in strays():
        if stray.stem in wanted:
            sys.exit(remedy(stray))
        if not wanted:
            print(remedy(stray), file=sys.stderr, flush=True)
    missing = wanted.difference(*map(names_of, paths))
    if missing:
        known = ", ".join(p.stem for p in paths)
        sys.exit(f"No such notebook among {known}: {', '.join(sorted(missing))}")
    return [p for p in paths if not wanted or wanted & names_of(p)]


def marked(cell, marker):
    """Does the cell carry this comment of nbval's?"""
    lines = [line.strip() for line in cell.source.splitlines()]
    comments = [line.lstrip("# ") for line in lines if line.startswith("#")]
    return marker in comments


def clean_outputs(cell):
    """Take out of a cell's outputs what changes from run to run: widget ids and the frames of a traceback."""
    if marked(cell, "NBVAL_IGNORE_OUTPUT"):
        # The picture under a slider stays, the slider's repr goes.
        cell.outputs = [o for o in cell.outputs if WIDGET not in o.get("data", {})]
    for output in cell.outputs:
        data = output.get("data", {})
        data.pop(WIDGET, None)
        if PNG in data:  # Pillow offers its pictures twice
            data.pop("image/jpeg", None)
        if output["output_type"] == "error":
            output["traceback"] = [f"{output['ename']}: {output['evalue']}"]


def last_heading(cell):
    """The heading that a text leaves its reader under, if it has any."""
    titles = HEADING.findall(cell.source)
    return titles[-1] if titles else None


def add_alt(cell, heading):
    """Give each picture of a cell words for those who cannot see it, unless it brought its own."""
    for output in cell.outputs:
        if PNG in output.get("data", {}):
            told = output["metadata"].get(PNG, {}).get("alt")
            alt = told or f"A picture of the section: {heading}"
            output["metadata"] = {PNG: {"alt": alt}}


def hide_answer(cell):
    """JupyterLab folds the source of a check or a question, which would give the answer away."""
    if cell.source.startswith(("# check\n", "predict(")):
        cell["metadata"]["jupyter"] = {"source_hidden": True}


def cleaned(nb):
    """The text of a clean notebook."""
    nb = dict2nb(nb)
    clean_nb(nb, allowed_out_metadata_keys=[PNG])
    kept = {k: v for k, v in nb.metadata.items() if k == "nbdev"}
    nb.metadata = {**METADATA, **kept}
    heading = None
    for cell in nb.cells:
        if cell.cell_type == "code":
            clean_outputs(cell)
            add_alt(cell, heading)
            hide_answer(cell)
        else:
            heading = last_heading(cell) or heading
    return nb2str(nb)


class Client(NotebookClient):
    """Executes a notebook with no browser beside it, so that what a widget draws stays in its cell."""

    def handle_comm_msg(self, outs, msg, cell_index):
        """Let the messages to a browser go."""


def pictures(nb):
    """The outputs of a notebook that hold a picture, as data to be changed."""
    for cell in nb.cells:
        for output in cell.get("outputs", []):
            if PNG in output.get("data", {}):
                yield output["data"]


def squeezed(png, step):
    """The same picture in fewer bytes, its colors rounded to multiples of `step`."""
    image, buffer = Image.open(BytesIO(b64decode(png))), BytesIO()
    if step > 1:
        rounded = [min(255, (i + step // 2) // step * step) for i in range(256)]
        image = image.convert("RGB").point(rounded * 3)
    image.save(buffer, "PNG", optimize=True)
    return b64encode(buffer.getvalue()).decode()


def fit(nb):
    """Make the pictures small; where they are too many, by rounding by 2 of 255 at most (42 dB or better)."""
    shown = [data[PNG] for data in pictures(nb)]
    for step in ROUNDING:
        for png, data in zip(shown, pictures(nb)):
            data[PNG] = min(png, squeezed(png, step), key=len)
        if len(cleaned(nb).encode()) < MAX_BYTES:
            break
    if step > 1:
        print(f"colors rounded to multiples of {step} of 255", flush=True)


def client_of(nb, folder):
    """What executes a notebook in a fresh kernel of this environment."""
    manager = AsyncKernelManager(
        kernel_name=CURRENT_ENV_KERNEL_NAME,
        kernel_spec_manager=NbvalKernelspecManager(),
    )
    return Client(
        nb,
        manager,
        timeout=CELL_TIMEOUT,
        raise_on_iopub_timeout=True,
        iopub_timeout=30,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
    )


def execute(path):
    """Run a notebook in a fresh kernel."""
    nb = read(path)
    for cell in nb.cells:
        cell.metadata.tags = [TAGS[marker] for marker in TAGS if marked(cell, marker)]
    try:
        client_of(nb, path.parent).execute(
            cleanup_kc=True,
            env={**os.environ, **KERNEL_ENV},
            stderr=subprocess.DEVNULL,
        )
    except (CellControlSignal, DeadKernelError) as error:
        raise NotebookError(f"{path.name} is left as it was: {error}") from None
    fit(nb)
    return nb


def save(path, text):
    """Write a notebook whole or not at all."""
    temp = path.with_suffix(".tmp")
    temp.write_text(text, encoding="utf-8", newline="\n")
    os.replace(temp, path)


def process(path, afresh):
    """Clean a notebook, executed or as it is, and report its size."""
    nb = execute(path) if afresh else read(path)
    save(path, cleaned(nb))
    size = path.stat().st_size
    remark = ", too large" if size > MAX_BYTES else ""
    print(f"{path.name}: {size / 1000:.0f} kB{remark}", flush=True)


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
            print(error, file=sys.stderr, flush=True)
            failed = True
    sys.exit(failed)


if __name__ == "__main__":
    main()
