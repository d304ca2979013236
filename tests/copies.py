"""Copies of the notebooks to read and change: `python tests/copies.py [--reset NAME ...]`.

They lie in `work/`, which git ignores. What a reader has changed is never replaced.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import sys
from itertools import count
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NBS = ROOT / "nbs"
WORK = ROOT / "work"
LESSON = r"\d\d[a-z]?_[a-z]+"  # as in notebooks.py, which needs a second to be imported
RECORD = ".copied.json"  # in that folder: what each file was when it was copied


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_record():
    try:
        return dict(json.loads((WORK / RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def write_record(record):
    temporary = WORK / f"{RECORD}.partial"
    temporary.write_text(json.dumps(record, indent=1), encoding="utf-8")
    os.replace(temporary, WORK / RECORD)


def sources():
    """The notebooks and their pictures, by their names below `nbs/`."""
    notebooks = [p for p in NBS.glob("*.ipynb") if re.fullmatch(LESSON, p.stem)]
    paths = [*notebooks, *NBS.glob("images/*")]
    return {path.relative_to(NBS).as_posix(): path for path in sorted(paths)}


def copy(source, target):
    """A whole copy or none."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.partial")
    shutil.copyfile(source, temporary)
    os.replace(temporary, target)


def refresh():
    """Copy what is new; leave what a reader has changed, and name what is newer in `nbs/`."""
    record = read_record()
    for name, source in sources().items():
        target, new = WORK / name, digest(source)
        here = digest(target) if target.exists() else None
        if here in (None, record.get(name)) and here != new:
            copy(source, target)
        elif here != new and record.get(name) != new:
            print(f"work/{name} is yours; nbs/{name} has changed since.", flush=True)
            continue
        record[name] = new
    write_record(record)


def find(name):
    """The name of the notebook that somebody calls 13_pipeline, 13 or pipeline."""
    stem = Path(name).stem
    for path in map(Path, sources()):
        number, _, module = path.stem.partition("_")
        if path.suffix == ".ipynb" and stem in (path.stem, number, module):
            return path.name
    sys.exit(f"dev.py: there is no notebook {name!r} in nbs/: pass a name such as 06.")


def aside(path):
    """A free name beside a notebook for what a reader has made of it."""
    for i in count(1):
        free = path.with_name(f"{path.stem}.before-{i}.ipynb")
        if not free.exists():
            return free


def reset(name):
    """A fresh copy of a notebook; the reader's stays beside it, unless it is the same."""
    source, target = NBS / name, WORK / name
    record, new = read_record(), digest(source)
    if target.exists() and digest(target) not in (new, record.get(name)):
        kept = aside(target)
        os.replace(target, kept)
        print(f"yours is now work/{kept.name}", flush=True)
    copy(source, target)
    write_record(record | {name: new})
    print(f"work/{name} is as it is in nbs/", flush=True)


def main():
    parser = argparse.ArgumentParser(prog="dev.py lab", description=__doc__)
    parser.add_argument("--reset", nargs="+", metavar="NAME")
    args = parser.parse_args()
    try:
        # `verdict` marks there what is solved.
        (WORK / "solved").mkdir(parents=True, exist_ok=True)
        if args.reset is None:
            refresh()
        for name in [find(name) for name in args.reset or ()]:
            reset(name)
    except OSError as error:
        sys.exit(f"dev.py: the notebooks cannot be copied into work/: {error}")


if __name__ == "__main__":
    main()
