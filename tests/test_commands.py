"""The three commands: names of files, messages, options, and nothing half-written."""

import re
import subprocess
import sys
import warnings

import pytest
from fastcore.script import anno_parser
from PIL import Image

from sdlearn.commands import (
    evaluate_main,
    generate_main,
    plain_messages,
    slug,
    train_main,
)
from sdlearn.parts import SCHEDULERS
from sdlearn.pipeline import PromptWarning
from sdlearn.recipe import BUDGETS, STAGES

from .train_command import PATIENCE


@pytest.mark.parametrize(
    "text, name",
    [
        ("A red cat, at the BEACH!", "a-red-cat-at-the-beach"),
        ("../../etc/passwd", "etc-passwd"),
        ("", "picture"),
        ("日本", "picture"),
        ("CON", "picture-con"),
        ("word " * 50, ("word-" * 12)[:-1]),
        ("C:\\x|y?*", "c-x-y"),
    ],
)
def test_slug(text, name):
    assert slug(text) == name


def test_errors_are_one_sentence_and_a_status(capsys):
    with pytest.raises(SystemExit) as stop, plain_messages():
        raise ValueError("The height must be a multiple of 8.")
    assert stop.value.code == 2
    assert capsys.readouterr().err == "Error: The height must be a multiple of 8.\n"


def test_warnings_about_prompts_are_notes_and_others_are_silent(capsys):
    with plain_messages():
        warnings.warn("not for the user", stacklevel=1)
        warnings.warn("The prompt is empty.", PromptWarning, stacklevel=1)
    assert capsys.readouterr().err == "Note: The prompt is empty.\n"


def test_a_mistake_of_ours_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError), plain_messages():
        1 / 0


@pytest.mark.parametrize(
    "command, names",
    [
        (generate_main, [*SCHEDULERS]),
        (train_main, [*BUDGETS, *STAGES, "all", "bf16"]),
        (evaluate_main, ["--quick", "--model"]),
    ],
    ids=["generate", "train", "evaluate"],
)
def test_help_names_the_choices(command, names):
    text = anno_parser(command.__wrapped__).format_help()
    words = re.split(r"[\s,:;]+", text)
    assert not set(names) - set(words)


def test_command_in_this_process(folder, tmp_path, capsys):
    out = tmp_path / "out"
    generate_main("A red cat!", steps=2, model=str(folder), out=str(out))
    written = sorted(path.name for path in out.iterdir())
    assert written == ["a-red-cat-stages.png", "a-red-cat.png"]
    assert Image.open(out / "a-red-cat.png").size == (64, 64)
    said = capsys.readouterr().out.splitlines()
    assert said == [str(out / "a-red-cat.png"), str(out / "a-red-cat-stages.png")]


def test_command_seed_decides_the_picture(folder, tmp_path):
    pictures = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        out = tmp_path / name
        generate_main("a cat", steps=1, seed=seed, model=str(folder), out=str(out))
        pictures.append((out / "a-cat.png").read_bytes())
    assert pictures[0] == pictures[1] != pictures[2]


def test_no_half_written_file(folder, tmp_path, monkeypatch):
    def fail(self, path, **kwargs):
        path.write_bytes(b"half")
        raise OSError("The disk is full.")

    monkeypatch.setattr(Image.Image, "save", fail)
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as stop:
        generate_main("a cat", steps=1, model=str(folder), out=str(out))
    assert stop.value.code == 2
    assert not list(out.iterdir())


SCRIPT = """
import sys
from sdlearn.commands import generate_main
if __name__ == '__main__':
    sys.exit(generate_main())
"""


@pytest.fixture
def run(tmp_path):
    """The command as pip installs it, in a folder of its own."""
    script = tmp_path / "sdlearn-generate.py"
    script.write_text(SCRIPT)

    def run(*args):
        command = [sys.executable, script, *map(str, args)]
        how = dict(capture_output=True, text=True, timeout=PATIENCE)
        return subprocess.run(command, cwd=tmp_path, **how)

    return run


@pytest.mark.slow
def test_command_as_installed(run, folder, tmp_path):
    drawing = ["--steps", 2, "--guidance", 3.5, "--seed", 3, "--scheduler", "euler"]
    done = run("a purple dragon", "--negative", "a yeti", *drawing, "--model", folder)
    assert done.returncode == 0, done.stderr
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["a-purple-dragon-stages.png", "a-purple-dragon.png"]
    lines = done.stderr.splitlines()
    notes = [line for line in lines if line.startswith("Note: ")]
    for word in ("'dragon'", "'yeti'"):
        assert [note for note in notes if word in note], notes


@pytest.mark.slow
def test_command_says_what_is_wrong_in_one_line(run):
    wrong = run("a cat", "--model", "no-such-folder")
    assert wrong.returncode == 2
    assert wrong.stderr.count("\n") == 1
    assert wrong.stderr.startswith("Error: There is no model folder")
