"""`sdlearn-train` from nothing to a pipeline folder: killed on the way, resumed, on a folder of pictures."""

import json
import os
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from sdlearn.checkpoints import load_parts
from sdlearn.data import Endless, WorldData
from sdlearn.judge import load_scorer
from sdlearn.pipeline import PromptWarning, generate
from sdlearn.recipe import STAGES, Budget, Training
from sdlearn.text import known_words
from sdlearn.training import train

COMMAND = shutil.which("sdlearn-train", path=Path(sys.executable).parent)


def start(out, *args):
    return subprocess.Popen(
        [COMMAND, "--out", str(out), *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(out, *args):
    process = start(out, *args)
    text = "".join(process.communicate(timeout=900))
    return process.returncode, text


def wait_for(path, process):
    for _ in range(9000):
        if path.exists():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    pytest.fail(f"{path} did not appear")


def batches_done(out, stage):
    path = out.with_name(f"{out.name}-training") / f"{stage}.safetensors"
    return len(load_file(path)["losses"])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A smoke training that was killed in the middle of its VAE, then resumed."""
    out = tmp_path_factory.mktemp("train") / "tiny"
    process = start(out, "--budget", "smoke")
    wait_for(out.parent / "tiny-training/vae.safetensors", process)
    process.kill()
    process.communicate()
    steps = batches_done(out, "vae")
    code, text = finish(out, "--budget", "smoke", "--resume")
    return out, steps, code, text


def test_killed_training_resumes(trained):
    out, steps, code, text = trained
    assert code == 0, text
    assert 0 < steps <= 10
    assert batches_done(out, "vae") == 10


def test_nothing_is_left_half_written(trained):
    out = trained[0]
    assert not [path for path in out.parent.rglob(".*") if path.is_file()]
    names = sorted(path.name for path in out.parent.iterdir())
    assert names == ["tiny", "tiny-training"]


def test_trained_folder_draws(trained):
    out = trained[0]
    parts = load_parts(out, device="cpu")
    result = generate(parts, "a red cat at the beach", num_inference_steps=2, seed=0)
    assert result.images[0].size == (64, 64)
    recipe = json.loads((out / "recipe.json").read_text(encoding="utf-8"))
    assert recipe["budget"] == "smoke" and recipe["vae_psnr"] > 5
    assert recipe["losses"].keys() == {"scorer", "clip", "vae", "decoder", "unet"}


def test_trained_folder_has_its_judge(trained):
    scorer = load_scorer(trained[0] / "scorer")
    assert "panda" in scorer.words["noun"]


def test_text_encoder_has_the_names_that_other_programs_read(trained):
    names = load_file(trained[0] / "text_encoder/model.safetensors")
    assert all(name.startswith("text_model.") for name in names)


def test_configs_name_one_dtype(trained):
    for part in ("clip", "text_encoder"):
        text = (trained[0] / part / "config.json").read_text(encoding="utf-8")
        assert json.loads(text)["dtype"] == "float32" and "float16" not in text


def test_two_trainings_do_not_mix(trained):
    code, text = finish(trained[0], "--budget", "smoke")
    assert code == 2 and "--resume" in text and "Traceback" not in text
    code, text = finish(trained[0], "--budget", "laptop", "--resume")
    assert code == 2 and "smoke" in text and "Traceback" not in text


@pytest.mark.skipif(
    sys.platform == "win32", reason="PyTorch's launcher needs libuv there"
)
def test_two_processes_share_the_batches(tmp_path):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    command = [COMMAND, "--out", str(tmp_path / "x"), "--budget", "smoke"]
    subprocess.run(
        [*launcher, "--no-python", *command, "--stage", "decoder"],
        check=True,
        timeout=900,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
    # One process takes 10 and 5; each of two takes as many as the other.
    assert batches_done(tmp_path / "x", "vae") == 10
    assert batches_done(tmp_path / "x", "decoder") == 6


def test_half_and_full_precision_in_one_process():
    numbers = Endless(lambda i: torch.tensor([float(i)]))

    def loss_fn(model, batch, generator):
        return model(batch).square().mean()

    def losses(precision):
        torch.manual_seed(0)
        model = torch.nn.Linear(1, 8)
        options = dict(steps=3, batch_size=2, mixed_precision=precision)
        return train(model, loss_fn, numbers, **options)

    half, full = losses("bf16"), losses("no")
    assert half != full == pytest.approx(half, rel=0.05)
    with pytest.raises(ValueError, match="'no' or 'bf16'"):
        losses("fp16")


def test_nothing_else_is_replaced(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/picture.png").write_bytes(b"precious")
    code, text = finish(tmp_path / "mine", "--budget", "smoke")
    assert code == 2 and "another --out" in text and "Traceback" not in text
    assert [path.name for path in tmp_path.rglob("*")] == ["mine", "picture.png"]


@pytest.mark.parametrize(
    "args, words", [(["--budget", "huge"], "budget"), (["--stage", "gan"], "stage")]
)
def test_wrong_names(tmp_path, args, words):
    code, text = finish(tmp_path / "x", *args)
    assert code == 2 and words in text and "Traceback" not in text
    assert not list(tmp_path.iterdir())


BUDGET = Budget(clip=1, vae=1, decoder=1, unet=1, scorer=1, scenes=4, captions=50)


def test_nothing_is_trained_before_it_is_asked_for(tmp_path):
    training = Training(tmp_path / "training", BUDGET, WorldData())
    assert training.stages == list(STAGES) and not training.results
    vars(training), repr(training)
    assert not list(tmp_path.iterdir())
    training.run("tokenizer")
    assert list(training.results) == ["tokenizer"]


def test_a_stage_makes_what_it_needs_first(tmp_path, monkeypatch):
    made = []
    for name, stage in STAGES.items():

        def make(training, *needed, name=name):
            made.append((name, *needed))
            return name

        monkeypatch.setitem(STAGES, name, type(stage)(make, stage.needs))
    training = Training(tmp_path, BUDGET, WorldData())
    assert training.run("unet") == training.run("unet") == "unet"
    assert made == [
        ("tokenizer",),
        ("clip", "tokenizer"),
        ("vae",),
        ("latents", "vae"),
        ("unet", "tokenizer", "clip", "latents"),
    ]
    with pytest.raises(ValueError, match="There is no stage 'gan'"):
        training.run("gan")


SIZES = [(64, 64), (120, 70), (40, 90), (30, 30)]
MODES = ["RGB", "RGBA", "L", "P", "I;16", "LA"]
TINTS = {"crimson": (200, 20, 60), "teal": (0, 128, 128)}
THINGS = ["lantern", "mushroom"]


def draw_picture(i):
    """One of 24 pictures, of several sizes and modes."""
    tint = list(TINTS.values())[i % 2]
    image = Image.new("RGB", SIZES[i % 4], tint)
    image.paste((250, 240, 200), (5, 5, 15 + i, 20))
    mode = MODES[i % 6]
    if mode == "I;16":
        return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    return image.convert(mode)


@pytest.fixture(scope="module")
def own_pictures(tmp_path_factory):
    """A folder of 24 captioned pictures, in words that the world does not have."""
    folder = tmp_path_factory.mktemp("own") / "pictures"
    folder.mkdir()
    lines = []
    for i in range(24):
        draw_picture(i).save(folder / f"{i}.png")
        caption = f"one {list(TINTS)[i % 2]} {THINGS[i // 12]}"
        lines.append(json.dumps({"file_name": f"{i}.png", "text": caption}))
    (folder / "metadata.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def own_model(own_pictures):
    """What a smoke training makes of that folder."""
    out = own_pictures.parent / "model"
    code, text = finish(out, "--data", str(own_pictures), "--budget", "smoke")
    assert code == 0, text
    return out


def test_own_pictures_train_the_whole_stack(own_model):
    parts = load_parts(own_model, device="cpu")
    own_words = ["crimson", "lantern", "mushroom", "one", "teal"]
    assert known_words(parts.tokenizer) == own_words
    with warnings.catch_warnings():
        warnings.simplefilter("error", PromptWarning)
        result = generate(parts, "one teal lantern", num_inference_steps=2, seed=0)
    assert result.images[0].size == (64, 64)
    with pytest.warns(PromptWarning, match="never seen 'panda'"):
        generate(parts, "one teal panda", num_inference_steps=2, seed=0)


def test_own_pictures_have_no_judge(own_model, own_pictures, tmp_path):
    assert not (own_model / "scorer").exists()
    recipe = json.loads((own_model / "recipe.json").read_text(encoding="utf-8"))
    assert recipe["data"].startswith("folder pictures")
    assert "scorer" not in recipe["losses"]
    args = ["--data", str(own_pictures), "--stage", "scorer"]
    code, text = finish(tmp_path / "x", *args)
    assert code == 2 and "judge" in text and "Traceback" not in text
    assert not list(tmp_path.iterdir())


def test_own_pictures_and_the_world_do_not_mix(own_model):
    code, text = finish(own_model, "--budget", "smoke", "--resume")
    assert code == 2 and "folder pictures" in text and "Traceback" not in text


def test_a_folder_without_pictures_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    code, text = finish(tmp_path / "x", "--data", str(tmp_path / "empty"))
    assert code == 2 and str(tmp_path / "empty") in text and text.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]
