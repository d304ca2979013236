"""The three commands: names of files, messages, options, and nothing half-written."""

import os
import re
import shutil
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from fastcore.script import anno_parser
from PIL import Image
from safetensors.torch import save_file

import sdlearn
from sdlearn import runs
from sdlearn import studio
from sdlearn.adapt import add_lora, add_word, save_lora, save_word
from sdlearn.checkpoints import load_parts
from sdlearn.commands import (
    evaluate_main,
    generate_main,
    plain_messages,
    race_main,
    train_main,
)
from sdlearn.core import make_generator
from sdlearn.edit import image_to_image, inpaint
from sdlearn.engines import threads_for
from sdlearn.lora import LORA_FILE
from sdlearn.metadata import read_record
from sdlearn.orders import split_lora
from sdlearn.pipeline import generate
from sdlearn.prompts import PromptWarning
from sdlearn.recipe import BUDGETS, STAGES
from sdlearn.schedulers import SCHEDULERS
from sdlearn.studio import at_most_threads

from .conftest import refused
from .train_command import PATIENCE


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
        (race_main, ["--quick", "--model"]),
    ],
    ids=["generate", "train", "evaluate", "race"],
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


@pytest.mark.slow
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


@pytest.fixture
def draw(folder, tmp_path, monkeypatch, capsys):
    """The command in a folder of its own; gives the record of its first picture, and what it said."""
    monkeypatch.chdir(tmp_path)

    def draw(*prompt, **options):
        usual = dict(model=str(folder), steps=1) if "like" not in options else {}
        generate_main(*prompt, **(usual | options))
        said = capsys.readouterr()
        path, *_ = said.out.splitlines()
        return read_record(path), said

    return draw


def assert_alike(pixels, picture):
    """By other weights in memory the last digits are others, and so a byte by one."""
    assert abs(pixels - np.asarray(picture, int)).max() <= 1


def drawn(name):
    return np.asarray(Image.open(Path("out") / f"{name}.png").convert("RGB"), int)


def test_nothing_is_replaced(draw):
    for seed in (1, 2, 1):
        draw("кот!", seed=seed)
    names = sorted(path.stem for path in Path("out").iterdir())
    stems = ["кот", "кот-2", "кот-3"]
    assert names == sorted([*stems, *(f"{stem}-stages" for stem in stems)])
    assert (drawn("кот") == drawn("кот-3")).all()
    assert (drawn("кот") != drawn("кот-2")).any()


def test_several_pictures_are_those_of_their_seeds(draw):
    _, said = draw("a cat", n=3, seed=4)
    names = ["a-cat", "a-cat-stages", "a-cat-2", "a-cat-3", "a-cat-grid"]
    assert [Path(line).stem for line in said.out.splitlines()] == names
    draw("a cat", seed=6, out="alone")
    alone = np.asarray(Image.open("alone/a-cat.png"), int)
    assert (drawn("a-cat-3") == alone).all()
    assert read_record("out/a-cat-3.png")["seed"] == 6
    assert Image.open("out/a-cat-grid.png").width > 2 * 128


@pytest.mark.slow
def test_a_grid_keeps_the_shape_of_its_pictures(draw):
    draw("a cat", n=2, width=32, height=64)
    grid = drawn("a-cat-grid")
    white = (grid == 255).all(axis=2).all(axis=0)
    # Beside each picture, which takes half of its square, there is nothing.
    assert 0.45 < white.mean() < 0.6


def test_like_a_picture_is_the_same_picture(draw, folder):
    options = dict(guidance=2.5, scheduler="euler", negative="a dog", steps=2)
    first, _ = draw('a cat: "big", кот', seed=9, width=72, clip_skip=1, **options)
    again, said = draw(like="out/a-cat-big-кот.png", model=str(folder))
    assert again == first
    assert (drawn("a-cat-big-кот") == drawn("a-cat-big-кот-2")).all()
    notes = [line for line in said.err.splitlines() if "Note: " in line]
    assert all("never seen" in note for note in notes), notes


@pytest.mark.slow
def test_like_a_picture_but_for_what_is_said(draw, folder):
    first, _ = draw("a cat", seed=9, scale=2)
    changes = dict(prompt="a dog", seed=1, guidance=1.0)
    other, _ = draw(like="out/a-cat.png", model=str(folder), **changes)
    assert other == first | changes


@pytest.mark.slow
def test_like_a_grid_draws_as_many(draw, folder):
    draw("a cat", n=2)
    _, said = draw(like="out/a-cat-grid.png", model=str(folder))
    assert len(said.out.splitlines()) == 4


@pytest.mark.slow
def test_a_picture_opens_nothing_outside(draw, folder):
    draw("a cat", width=32)
    record, said = draw(like="out/a-cat.png", steps=1)
    assert f"drawn with --model {folder.name}" in said.err
    assert record["model"] == "tiny"
    assert record["width"] == 64
    assert "another model" in said.err


@pytest.mark.slow
def test_a_model_beside_is_used_again(draw, folder):
    shutil.copytree(folder, "mine")
    first, _ = draw("a cat", model="mine")
    again, said = draw(like="out/a-cat.png")
    assert again == first
    assert (drawn("a-cat") == drawn("a-cat-2")).all()
    assert "--model" not in said.err


def test_pictures_keep_no_folder_of_yours(draw):
    draw("a cat")
    with Image.open("out/a-cat.png") as image:
        texts = "".join(image.text.values())
    assert str(Path.cwd().parent) not in texts


@pytest.mark.slow
def test_enlarged_without_smoothing(draw):
    draw("a cat")
    draw("a cat", scale=3)
    large = drawn("a-cat-2")
    assert large.shape == (192, 192, 3)
    for i in range(3):
        assert (large[i::3, i::3] == drawn("a-cat")).all()


@pytest.mark.slow
def test_the_sheet_says_what_it_shows(draw):
    """Another seed, scheduler or model is another line below the sheet."""
    lines = []
    for options in ({}, {"seed": 1}, {"scheduler": "heun"}, {"model": "tiny"}):
        draw("a cat", out=f"{len(lines)}", **options)
        sheet = Image.open(f"{len(lines)}/a-cat-stages.png")
        lines.append(sheet.crop((0, sheet.height - 60, 1600, sheet.height)).tobytes())
    assert len(set(lines)) == 4


# Editing, and what is added to a model


def photo(name, size=(64, 64), mode="RGB", **how):
    Image.effect_noise(size, 90).convert(mode).save(name, **how)
    return name


def lying(name):
    """A picture as a phone stores it, on its side."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return photo(name, (80, 64), exif=exif)


@pytest.mark.slow
def test_image_and_strength(draw, folder):
    photo("a.png")
    record, _ = draw("a cat", image="a.png", strength=0.5, steps=4)
    parts = load_parts(str(folder), device="cpu")
    image = Image.open("a.png")
    expected = image_to_image(parts, "a cat", image, 0.5, seed=0, num_inference_steps=4)
    assert_alike(drawn("a-cat"), expected.images[0])
    assert (record["image"], record["strength"]) == ("a.png", 0.5)
    again, _ = draw(like="out/a-cat.png", model=str(folder))
    assert again == record
    assert (drawn("a-cat-2") == drawn("a-cat")).all()


@pytest.mark.slow
def test_mask(draw, folder):
    photo("a.png")
    mask = Image.new("L", (64, 64))
    mask.paste(255, (0, 0, 32, 64))
    mask.save("mask.png")
    record, _ = draw("a cat", image="a.png", mask="mask.png", steps=2)
    parts = load_parts(str(folder), device="cpu")
    expected = inpaint(
        parts, "a cat", Image.open("a.png"), mask, seed=0, num_inference_steps=2
    )
    assert_alike(drawn("a-cat"), expected.images[0])
    assert record["mask"] == "mask.png"


@pytest.mark.slow
def test_photographs_are_upright_and_fitted(draw):
    draw("a cat", image=lying("a.jpg"), steps=2)
    assert drawn("a-cat").shape == (80, 64, 3)
    mask = photo("mask.png", (64, 80), "RGBA")
    draw("a cat", image="a.jpg", mask=mask, width=64, height=64)
    assert drawn("a-cat-2").shape == (64, 64, 3)


def ink(folder, name, **how):
    """A LoRA that changes the picture."""
    parts = load_parts(str(folder), device="cpu")
    add_lora(parts.unet, rank=2)
    generator = make_generator(len(name))
    for key, weight in parts.unet.named_parameters():
        if "lora_B" in key:
            weight.data = torch.randn(weight.shape, generator=generator) * 0.3
    save_lora(name, parts.unet)
    return f"{name}/{LORA_FILE}"


@pytest.mark.slow
def test_lora_files(draw, folder):
    one, two = ink(folder, "one"), ink(folder, "three")
    record, _ = draw("a cat", lora=[f"{one}:0.5", two], steps=2)
    assert record["lora"] == [f"{one}:0.5", two]
    pipe = load_parts(str(folder), device="cpu").to_pipeline()
    pipe.set_progress_bar_config(disable=True)
    pipe.load_lora_weights("one", adapter_name="one")
    pipe.load_lora_weights("three", adapter_name="two")
    pipe.set_adapters(["one", "two"], [0.5, 1.0])
    drawing = dict(num_inference_steps=2, guidance_scale=5.0)
    (theirs,) = pipe("a cat", generator=make_generator(0), **drawing).images
    assert abs(drawn("a-cat") - np.asarray(theirs, int)).max() <= 1
    draw("a cat", steps=2)
    assert abs(drawn("a-cat") - drawn("a-cat-2")).max() > 1


@pytest.mark.slow
def test_words(draw, folder):
    parts = load_parts(str(folder), device="cpu")
    vector = torch.randn(parts.text_encoder.config.hidden_size)
    save_word("toy.safetensors", add_word(parts, "<toy>", vector), "<toy>")
    record, said = draw("a <toy>", word=["toy.safetensors"])
    assert record["word"] == ["toy.safetensors"]
    assert "<toy>" not in said.err
    _, said = draw("a cat", word="toy.safetensors")
    assert "teaches the word <toy>, which is not in the prompt" in said.err


@pytest.mark.parametrize(
    "text, expected",
    [
        ("a.safetensors", ("a.safetensors", 1.0)),
        ("a.safetensors:0.5", ("a.safetensors", 0.5)),
        ("a.safetensors:-1", ("a.safetensors", -1.0)),
        ("C:\\styles\\a.safetensors", ("C:\\styles\\a.safetensors", 1.0)),
        ("C:\\styles\\a.safetensors:1.5", ("C:\\styles\\a.safetensors", 1.5)),
        ("C:styles", ("C:styles", 1.0)),
        ("styles:.8", ("styles", 0.8)),
    ],
)
def test_scale_of_a_lora(text, expected):
    assert split_lora(text) == expected


@pytest.mark.parametrize("text", ["a.safetensors:", "a.safetensors:strong"])
def test_a_scale_that_is_no_number(text):
    with refused("The scale of --lora must be a number"):
        split_lora(text)


# What cannot be drawn

BAD = {
    "no prompt": (dict(prompt=" "), "There is nothing to draw"),
    "n": (dict(n=0), "n must be a whole number from 1 to 64, not 0."),
    "many": (dict(n=65), "from 1 to 64"),
    "seed": (dict(seed=-1), "seed must be a whole number from 0"),
    "last seed": (dict(seed=2**64 - 1, n=2), "seed must be"),
    "scale": (dict(scale=0), "scale must be a whole number from 1 to 16"),
    "width": (dict(width=-8), "width must be a whole number from 8"),
    "height": (dict(height=10**9), "height must be a whole number from 8 to 2048"),
    "multiple": (dict(width=65), "multiples of 8"),
    "mask alone": (dict(mask="a.png"), "--mask says how to change a picture"),
    "strength alone": (dict(strength=0.5), "--strength says how to change a picture"),
    "strength": (dict(image="a.png", strength=1.5), "strength must be"),
    "weak": (dict(image="a.png", strength=0.1), "leaves no step"),
    "no image": (dict(image="none.png"), "There is no file none.png"),
    "no picture": (dict(image="a.txt"), "a.txt is damaged or no picture"),
    "large": (dict(image="large.png"), "large.png has 2056x8 pixels, too many"),
    "odd": (dict(image="odd.png"), "multiples of 8"),
    "mask size": (dict(image="a.png", mask="large.png"), "mask has 2056x8"),
    "mask file": (dict(image="a.png", mask="a.txt"), "a.txt is damaged"),
    "lora": (dict(lora=["none.safetensors"]), "There is no file none.safetensors"),
    "lora scale": (dict(lora=["a.safetensors:x"]), "must be a number"),
    "lora nan": (dict(lora=["ink:nan"]), "scale must be a number"),
    "other lora": (dict(lora=["other.safetensors"]), "other.safetensors"),
    "word": (dict(word=["a.txt"]), "a.txt is not a .safetensors file"),
    "like": (dict(like="none.png"), "There is no file none.png"),
    "like plain": (dict(like="a.png"), "a.png holds no prompt and settings"),
    "like text": (dict(like="a.txt"), "a.txt is damaged or no picture"),
    "out": (dict(out="a.txt/b"), "cannot be written"),
    "out file": (dict(out="a.txt"), "cannot be written"),
    "clip skip": (dict(clip_skip=-1), "clip_skip must be"),
    "guidance": (dict(guidance=float("inf")), "guidance_scale must be"),
    "steps": (dict(steps=10**30), "num_inference_steps must be"),
}
FAST = {"no prompt", "many", "mask alone", "like plain", "out", "lora scale", "odd"}


def bad_case(name):
    marks = [] if name in FAST else [pytest.mark.slow]
    return pytest.param(*BAD[name], id=name, marks=marks)


@pytest.mark.parametrize("options, words", [bad_case(name) for name in BAD])
def test_what_cannot_be_drawn_is_one_sentence(
    folder, tmp_path, monkeypatch, capsys, options, words
):
    monkeypatch.chdir(tmp_path)
    photo("a.png")
    photo("odd.png", (63, 64))
    photo("large.png", (2056, 8))
    Path("a.txt").write_text("no picture")
    save_file({"strange": torch.zeros(2, 2)}, "other.safetensors")
    if "ink" in str(options):
        ink(folder, "ink")
    before = sorted(Path().iterdir())
    usual = dict(prompt="a cat", model=str(folder), steps=2)
    with pytest.raises(SystemExit) as stop:
        generate_main(**usual | options)
    assert stop.value.code == 2
    said = capsys.readouterr()
    *_, last = said.err.splitlines()
    assert last.startswith("Error: ")
    assert last.endswith(".")
    assert words in last
    assert said.out == ""
    left = set(Path().iterdir()) - set(before)
    assert not [path for one in left for path in one.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "error, words",
    [
        (RuntimeError("CUDA out of memory. Tried to allocate"), "memory"),
        (MemoryError(), "memory"),
        (FileNotFoundError(2, "No such file", "a.png"), "a.png: No such file."),
        (ValueError("two\nlines"), "two lines."),
        (OSError(), "OSError."),
    ],
    ids=str,
)
def test_errors_of_others_are_one_line(error, words, capsys):
    with pytest.raises(SystemExit), plain_messages():
        raise error
    said = capsys.readouterr().err
    assert said.startswith("Error: ")
    assert words in said
    assert said.count("\n") == 1


def test_a_note_is_said_once(capsys):
    with plain_messages():
        for sentence in ("One.", "Two.", "One."):
            warnings.warn(sentence, PromptWarning, stacklevel=1)
    assert capsys.readouterr().err == "Note: One.\nNote: Two.\n"


# The line that is typed


def typed(monkeypatch, command, *args):
    monkeypatch.setattr(sys, "argv", ["sdlearn-command", *args])
    with pytest.raises(SystemExit) as stop:
        command()
    return stop.value.code


@pytest.mark.parametrize(
    "has_gpu, options, words",
    [
        (False, {}, "needs a CUDA device, and there is none"),
        (True, dict(data="pictures"), "takes no --data"),
        (True, dict(stage="vae"), "trains all stages at once"),
        (True, dict(resume=True), "cannot resume"),
    ],
)
def test_what_the_budget_gpu_cannot_do(has_gpu, options, words, monkeypatch, capsys):
    monkeypatch.setattr(runs.torch.cuda, "is_available", lambda: has_gpu)
    with pytest.raises(SystemExit):
        train_main(budget="gpu", **options)
    said = capsys.readouterr().err
    assert words in said
    assert said.endswith("pass one of smoke, hour.\n")


def test_the_budget_gpu_trains_by_the_clock(monkeypatch, tmp_path, capsys):
    asked = []
    monkeypatch.setattr(runs.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(runs, "train_on_gpu", lambda *a, **k: asked.append((a, k)))
    train_main(budget="gpu", out=str(tmp_path / "sd"), seed=3)
    assert asked == [((str(tmp_path / "sd"),), dict(seed=3))]
    assert "load_parts" in capsys.readouterr().out


@pytest.mark.parametrize(
    "command", [generate_main, train_main, evaluate_main, race_main]
)
def test_version(command, monkeypatch, capsys):
    assert typed(monkeypatch, command, "--version") == 0
    assert capsys.readouterr().out == f"sdlearn {sdlearn.__version__}\n"


@pytest.mark.parametrize(
    "command, args, words",
    [
        (generate_main, [], "There is nothing to draw"),
        (generate_main, [""], "There is nothing to draw"),
        (generate_main, ["a", "red", "cat"], "unrecognized arguments: red cat"),
        (generate_main, ["a", "--steps", "many"], "--steps: invalid int value: 'many'"),
        (generate_main, ["a", "--guidance", "x"], "--guidance: invalid float value"),
        (generate_main, ["a", "--n"], "--n: expected one argument"),
        (generate_main, ["a", "--colour"], "unrecognized arguments: --colour"),
        (train_main, ["--budget", "night"], "There is no budget 'night'"),
        (train_main, ["--seed", "x"], "--seed: invalid int value"),
        (evaluate_main, ["--quick", "3"], "unrecognized arguments: 3"),
        (race_main, [], "Three models of three seeds"),
        (race_main, ["--model", "nowhere"], "recipe.json is missing"),
    ],
)
def test_slips_are_one_sentence(command, args, words, monkeypatch, capsys):
    assert typed(monkeypatch, command, *args) == 2
    said = capsys.readouterr().err
    assert said.startswith("Error: ")
    assert words in said
    assert said.endswith(".\n")
    assert said.count("\n") == 1


def test_help_waits_for_no_library(tmp_path):
    script = """
import sys
from sdlearn.commands import generate_main
sys.argv = ["sdlearn-generate", "--help"]
try:
    generate_main()
except SystemExit:
    heavy = {"torch", "diffusers", "transformers", "matplotlib"}
    sys.exit(", ".join(heavy & set(sys.modules)))
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.stderr == "\n"
    for option in ("--like", "--lora", "--mask", "--n ", "--scale"):
        assert option in done.stdout


# Threads


@pytest.fixture
def four_threads(monkeypatch):
    """PyTorch as it starts on a machine of four cores."""
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(studio, "_UNTOUCHED", 4)
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def threads_inside(most):
    with at_most_threads(most):
        return torch.get_num_threads()


def test_few_threads_where_many_are_of_no_use(four_threads):
    assert [threads_inside(most) for most in (1, 2, 8, None)] == [1, 2, 4, 4]
    assert torch.get_num_threads() == 4


def test_threads_that_were_chosen_stay(four_threads, monkeypatch):
    torch.set_num_threads(3)
    assert threads_inside(1) == 3
    torch.set_num_threads(4)
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert threads_inside(1) == 4


def test_large_networks_take_all_threads():
    assert threads_for(torch.nn.Linear(1000, 1000)) == 1
    with torch.device("meta"):
        assert threads_for(torch.nn.Linear(30_000, 30_000)) is None


@pytest.mark.slow
def test_the_command_draws_with_one_thread(four_threads, folder, tmp_path, monkeypatch):
    seen = []

    def look(*args, **options):
        seen.append(torch.get_num_threads())
        return generate(*args, **options)

    monkeypatch.setattr(studio, "generate", look)
    generate_main("a cat", steps=1, model=str(folder), out=str(tmp_path))
    assert seen == [1]
    assert torch.get_num_threads() == 4


# In a process of its own

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
        how = dict(capture_output=True, encoding="utf-8", timeout=PATIENCE)
        env = {**os.environ, "PYTHONUTF8": "1"}
        return subprocess.run(command, cwd=tmp_path, env=env, **how)

    return run


@pytest.mark.slow
def test_command_as_installed(run, folder, tmp_path):
    drawing = ["--steps", 2, "--guidance", 3.5, "--seed", 3, "--scheduler", "euler"]
    done = run("a purple dragon", "--negative", "a yeti", *drawing, "--model", folder)
    assert done.returncode == 0, done.stderr
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["a-purple-dragon-stages.png", "a-purple-dragon.png"]
    assert len(done.stdout.splitlines()) == 2
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


@pytest.mark.slow
def test_the_same_picture_from_several_processes(run, folder, tmp_path):
    """All want one name at once, and a terminal that lacks the letters."""
    run("море", "--model", folder, "--steps", 1)
    like = ["--like", Path("out") / "море.png", "--model", folder]
    with ThreadPoolExecutor(3) as several:
        done = list(several.map(lambda _: run(*like), range(3)))
    assert [one.returncode for one in done] == [0, 0, 0], done
    names = {path.stem for path in (tmp_path / "out").iterdir()}
    sheets = {name for name in names if name.endswith("-stages")}
    pictures = names - sheets
    assert len(pictures) == 4, names
    assert sheets == {f"{name}-stages" for name in pictures}
