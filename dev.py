"""Set up sdlearn and run its commands. Needs nothing but Python; see `python dev.py --help`."""

import os
import sys

LOWEST = (3, 11)
# Old Pythons read this file as far as here, so all of it is written as they write.
if sys.version_info < LOWEST:
    sys.exit(
        "dev.py: this is Python %d.%d, and sdlearn needs %d.%d or newer: run dev.py "
        "with a newer one, such as `python3.11 dev.py`."
        % (sys.version_info[:2] + LOWEST)
    )

HERE = os.path.dirname(os.path.abspath(__file__))
if __name__ == "__main__" and sys.path[0] == HERE:
    del sys.path[0]  # a reader's own random.py may lie here
sys.path.insert(0, os.path.join(HERE, "tests"))

import argparse  # noqa: E402
import re  # noqa: E402

from children import PYTHON, ROOT, can_write, environment, wait_for  # noqa: E402
from children import environment_of_tests, say  # noqa: E402
from setup_env import save_wheels, set_up  # noqa: E402

# Another system rounds the last digits otherwise: there the cells run and check
# themselves, and their text is not compared.
NBVAL = [
    "--nbval" if sys.platform == "linux" else "--nbval-lax",
    "--nbval-current-env",
    "--nbval-sanitize-with=tests/sanitize.cfg",
    "--nbval-cell-timeout=300",
]


def command_of_ours(name, *args):
    script = PYTHON.with_name(name + PYTHON.suffix)
    return wait_for([script] + list(args), env=environment())


def run(args):
    """`run "PROMPT" [options]`: draw into out/. Options are sdlearn-generate's."""
    return command_of_ours("sdlearn-generate", "--out", "out", *args)


def train(args):
    """`train [options]`: train the whole stack. Options are sdlearn-train's."""
    return command_of_ours("sdlearn-train", *args)


def evaluate(args):
    """`evaluate [options]`: score a model. Options are sdlearn-evaluate's."""
    return command_of_ours("sdlearn-evaluate", *args)


def race(args):
    """`race [options]`: check and score an entry of RACE.md. Options are sdlearn-race's."""
    return command_of_ours("sdlearn-race", *args)


def doctor(args):
    """`doctor [MODEL_OR_TRAINING] [--json]`: what is wrong? Options are sdlearn-doctor's."""
    return command_of_ours("sdlearn-doctor", *args)


def bench(args):
    """`bench [--quick] [--out FILE]`: how long all takes beside the stock pipeline."""
    return python("-m", "tests.bench", *args)


def python(*args):
    return wait_for((PYTHON,) + args, cwd=ROOT, env=environment())


def python_for_tests(*args):
    return wait_for((PYTHON,) + args, cwd=ROOT, env=environment_of_tests())


def names_a_file(args):
    return any((ROOT / arg.split("::")[0]).exists() for arg in args)


def test(args):
    """`test [--fast] [pytest options]`: run every test and notebook; --fast leaves out the slow ones."""
    fast = "--fast" in args
    args = [arg for arg in args if arg != "--fast"]
    if fast:
        what = ["-m", "not slow", "tests"]
    else:
        what = NBVAL + ["--cov=sdlearn", "tests", "nbs"]
    if names_a_file(args):
        what = [option for option in what if option not in ("tests", "nbs")]
    if not can_write(ROOT):
        say("Nothing can be written here: no coverage is measured, no cache kept.")
        what += ["--no-cov", "-p", "no:cacheprovider"]
    return python_for_tests("-m", "pytest", *(what + args))


def refresh(args):
    """`refresh [NAME ...]`: execute notebooks afresh and save clean outputs."""
    return python_for_tests("tests/notebooks.py", "refresh", *args)


def clean(args):
    """`clean [NAME ...]`: take out of notebooks what changes from run to run."""
    return python("tests/notebooks.py", "clean", *args)


def export(args):
    """`export`: write the modules from the notebooks, and format them."""
    return python("tests/export.py")


def tidy(args):
    """`tidy`: format notebooks, tests and modules, and name what is not tidy."""
    return ruff("format") or ruff("check")


def ruff(*args):
    return python("-P", "-m", "ruff", *args)


def site(args):
    """`site [--serve]`: build the explorer and the course's pages; needs Node."""
    return python("tests/build_site.py", *args)


# JupyterLab would ask the package index whether there is a newer one.
NO_NEW_VERSION = "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"


def lab(args):
    """`lab [options]`: JupyterLab on copies of the notebooks, in work/.
    `lab --reset NAME`: a fresh copy; yours is kept beside it."""
    if "--reset" in args:
        return python("tests/copies.py", *args)
    if not can_write(ROOT):
        say("Nothing can be written here: these are the notebooks themselves.")
        return jupyterlab(args, "nbs/00_tour.ipynb")
    return python("tests/copies.py") or jupyterlab(args, "work/00_tour.ipynb")


def jupyterlab(args, first):
    """JupyterLab on the notebook `first`, unless its arguments say what to do."""
    begins_with_a_word = bool(args) and not args[0].startswith("-")
    other_folder = any(re.match("--.*(dir|url)\\b", arg) for arg in args)
    if not (begins_with_a_word or other_folder or names_a_file(args)):
        # Not by its path: that would open it in a browser of this machine only.
        args = args + ["--LabApp.default_url=/lab/tree/" + first]
    env = environment(**threads_of_lessons())
    command = [PYTHON, "-P", "-m", "jupyterlab"] + args + [NO_NEW_VERSION]
    return wait_for(command, cwd=ROOT, env=env)


def play(args):
    """`play [options]`: the playground in a browser, without a notebook. Options are Voila's."""
    env = environment(**threads_of_lessons())
    return wait_for([PYTHON, "tests/play.py"] + args, cwd=ROOT, env=env)


def threads_of_lessons():
    """One thread for networks of the lessons' size: on a busy machine more are far slower."""
    if "OMP_NUM_THREADS" in os.environ or "SDLEARN_MODEL" in os.environ:
        return {}
    say("Lessons compute with one thread; OMP_NUM_THREADS, if you set it, wins.")
    return {"OMP_NUM_THREADS": "1"}


def progress(args):
    """`progress`: the exercises of the course, and which of them you have solved."""
    show = "from sdlearn.progress import course_map; print(course_map('work'))"
    return python("tests/copies.py") or python("-c", show)


def teach(args):
    """`teach --out FOLDER [--students FILE] [NAME ...]`: a class's notebooks, each with
    numbers of their own, and what nbgrader needs. `teach --report FOLDER`: who copied."""
    module = "teach.report" if "--report" in args else "teach.versions"
    return python("-m", module, *args)


def slides(args):
    """`slides [--out FOLDER] [NAME ...]`: the lessons' figures as slides for a class."""
    return python("-m", "teach.slides", *args)


def challenge(args):
    """`challenge FILE`: score a sampler of one, two and four passes."""
    return python("-m", "teach.challenge", *args)


def wheels(args):
    """`wheels [options of pip download]`: all packages into wheels/. A clone that has
    this folder is set up without a network."""
    return save_wheels(args)


def only_set_up(args):
    """`setup`: only set up."""
    return 0


COMMANDS = {
    "setup": only_set_up,
    "run": run,
    "test": test,
    "lab": lab,
    "play": play,
    "progress": progress,
    "train": train,
    "evaluate": evaluate,
    "race": race,
    "doctor": doctor,
    "bench": bench,
    "refresh": refresh,
    "clean": clean,
    "export": export,
    "tidy": tidy,
    "site": site,
    "teach": teach,
    "slides": slides,
    "challenge": challenge,
    "wheels": wheels,
}


def about(command):
    lines = [line.strip() for line in command.__doc__.splitlines()]
    return "".join("\n  " + line for line in lines)


def main():
    parser = argparse.ArgumentParser(
        prog="dev.py",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Sets up .venv when needed, then runs a command.",
        epilog="commands:" + "".join(map(about, COMMANDS.values())),
    )
    parser.add_argument("command", choices=COMMANDS, metavar="command")
    command = parser.parse_args(sys.argv[1:2]).command
    try:
        set_up()
        sys.exit(COMMANDS[command](sys.argv[2:]))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
