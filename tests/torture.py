"""`kill -9` at random moments, by hand or once a week: `python -m tests.torture KIND`.

`training` kills a smoke training, `pictures` a command that writes pictures, `setup` the set-up of
a toy project. After each kill the next run must go on, and nothing half-written may be read.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from safetensors import safe_open

from tests import toy_project
from tests.train_command import COMMAND

DRAWING = """
import sys
from itertools import count
from sdlearn.commands import generate_main
for seed in count():
    generate_main("a red cat", seed=seed, steps=1, out=sys.argv[1])
"""
VERSIONS = """
import importlib, json, pkgutil, sys
found = {}
for name in sys.argv[1:]:
    package = importlib.import_module(name)
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(name + "." + module.name)
    found[name] = package.__version__
print(json.dumps(found))
"""


class Child:
    """A process with a group of its own, whose words go to a file."""

    def __init__(self, command, log, **how):
        self.log = log
        with open(log, "w") as file:
            streams = {"stdout": file, "stderr": subprocess.STDOUT}
            words = [str(word) for word in command]
            how = streams | {"start_new_session": True} | how
            self.process = subprocess.Popen(words, **how)

    def runs(self):
        return self.process.poll() is None

    def wait_until(self, done, seconds):
        """Until `done()`, for so many seconds at most, or to the end."""
        end = time.monotonic() + seconds
        while self.runs() and time.monotonic() < end and not done():
            time.sleep(0.0005)

    def kill(self, whole_group=True):
        """Was there something to kill?"""
        if not self.runs():
            return False
        kill = os.killpg if whole_group else os.kill
        kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        return True

    def text(self):
        return self.log.read_text(errors="replace")

    def must_succeed(self):
        code = self.process.wait()
        assert code == 0, f"status {code}:\n{self.text()}"


def never():
    return False


def environment():
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


# A training


def losses_kept(folder):
    """How many batches each checkpoint holds; all of each file is read."""
    kept = {}
    for path in folder.glob("[!.]*.safetensors"):
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        kept[path.stem] = len(tensors.get("losses", ()))
    for path in folder.glob("[!.]*.json"):
        json.loads(path.read_text(encoding="utf-8"))
    return kept


def batches_shown(text):
    """The stage at work and the batches that its bar showed last."""
    from sdlearn.recipe import STAGES

    done = re.findall(r"^(\w+): done", text.replace("\r", "\n"), re.MULTILINE)
    stages = list(STAGES)[len(done) :]
    shown = re.findall(r"(\d+)/\d+ \[", text.rpartition(": done")[2])
    return (stages or [None])[0], int(shown[-1]) if shown else 0


def check_training(folder, before, text):
    """Nothing is lost but the batch at work: a smoke training saves after each."""
    kept = losses_kept(folder)
    shrunk = {name for name in before if kept.get(name, -1) < before[name]}
    assert not shrunk, f"{shrunk} lost what was saved before"
    stage, shown = batches_shown(text)
    assert shown - kept.get(stage, 0) <= 1, f"{stage}: {shown} shown, {kept} kept"
    return kept


def train(out, log):
    options = ["--budget", "smoke", "--resume", "--out", out]
    return Child([COMMAND, *options], log, env=environment())


def torture_training(folder, kills, rng, window):
    """Trainings, one after another, each killed again and again until it has ended."""
    from sdlearn.checkpoints import load_parts

    done, trainings, kept = 0, 0, {}
    while True:
        out = folder / f"model-{trainings}"
        child = train(out, folder / "log.txt")
        if rng.random() < 0.8:
            child.wait_until(child.text, 600)  # its imports are less of a risk
        seconds = rng.uniform(0, window) if done < kills else 3600
        child.wait_until(never, seconds)
        if child.kill():
            done += 1
            kept = check_training(
                out.with_name(f"{out.name}-training"), kept, child.text()
            )
            print(f"kill {done} after {seconds:.1f} s: kept {kept}", flush=True)
            continue
        child.must_succeed()
        load_parts(str(out))
        trainings, kept = trainings + 1, {}
        if done >= kills:
            return f"{done} kills, {trainings} trainings came to their end"


# Pictures


def check_pictures(folder):
    """Every file with a picture's name is a whole picture."""
    whole = list(folder.glob("[!.]*"))
    for path in whole:
        with Image.open(path) as image:
            image.load()
    return len(whole)


def torture_pictures(folder, kills, rng, window):
    """Half of the kills at a random moment, half as soon as a file is being written."""
    out = folder / "out"
    halves = 0
    for i in range(kills):
        before = set(out.glob("*"))  # with the halves that earlier kills have left

        def appeared(pattern):
            return set(out.glob(pattern)) - before

        command = [sys.executable, "-c", DRAWING, out]
        child = Child(command, folder / "log.txt", env=environment())
        child.wait_until(lambda: appeared("[!.]*.png"), 600)
        child.wait_until(never, rng.uniform(0, window))
        if i % 2:
            child.wait_until(lambda: appeared(".*"), 60)
        assert child.kill(), child.text()
        halves += bool(appeared(".*"))
        print(f"kill {i + 1}: {check_pictures(out)} whole pictures", flush=True)
    return f"{kills} kills, {halves} of them in the middle of a file"


# The set-up


def check_setup(toy, torch):
    """All packages are whole, and of the version that was asked for."""
    names = ["torch", *toy_project.NAMES, *toy_project.TOOLS]
    python = toy / ".venv/bin/python"
    command = [python, "-I", "-c", VERSIONS, *names]
    found = json.loads(subprocess.check_output(command))
    expected = dict.fromkeys(names, toy_project.TORCH) | {"torch": torch}
    assert found == expected, found


def set_up(toy, log):
    command = [sys.executable, toy / "dev.py", "run", "a cat"]
    return Child(command, log, cwd=toy, env=toy_project.surroundings())


def torture_setup(folder, kills, rng, window):
    """New set-ups and changes of a pin; half of the kills spare pip, which goes on."""
    toy = toy_project.make_toy(folder / "toy")
    done = missed = 0
    while done < kills:
        if rng.random() < 0.3:
            shutil.rmtree(toy / ".venv", ignore_errors=True)
        torch = rng.choice([toy_project.TORCH, toy_project.NEWER_TORCH])
        (toy / "constraints.txt").write_text(f"torch=={torch}\n# {done} {missed}\n")
        child = set_up(toy, folder / "log.txt")
        seconds = rng.uniform(0, window)
        child.wait_until(never, seconds)
        was_killed = child.kill(whole_group=rng.random() < 0.5)
        done, missed = done + was_killed, missed + (not was_killed)
        again = set_up(toy, folder / "log.txt")
        again.must_succeed()
        check_setup(toy, torch)
        print(f"kill {done} after {seconds:.1f} s: set up", flush=True)
    return f"{done} kills"


KINDS = {
    "training": (torture_training, 30),
    "pictures": (torture_pictures, 3),
    "setup": (torture_setup, 15),
}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--window", type=float, help="seconds in which they lie")
    args = parser.parse_args()
    torture, window = KINDS[args.kind]
    with tempfile.TemporaryDirectory() as folder:
        rng = random.Random(args.seed)
        how = args.kills, rng, args.window or window
        print(f"{args.kind}: {torture(Path(folder), *how)}; all went on")


if __name__ == "__main__":
    main()
