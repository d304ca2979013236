"""What people change first is one place each: a noun, a sampler, their own pictures, a VAE.

Each change is written here as a newcomer would write it.
"""

import inspect
import json
import random
import shutil
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny
from PIL import Image, ImageDraw

from sdlearn.checkpoints import load_parts
from sdlearn.core import make_generator
from sdlearn.drawings import INK, NOUNS, noun
from sdlearn.edit import image_to_image, inpaint
from sdlearn.evaluate import judgments
from sdlearn.judge import load_scorer
from sdlearn.pipeline import PromptWarning, generate
from sdlearn.samplers import ddim_step
from sdlearn.scenes import Scene, Thing, draw, truth
from sdlearn.schedule import predict_original_sample
from sdlearn.world import caption, parse, sample_scene, vocabulary

PROMPT = "a red cat at the beach"


def lines_of(function):
    return len(inspect.getsource(function).strip().splitlines())


# A noun is one function


def kite(p):
    p.limb([(0.5, 0.6), (0.4, 0.8), (0.55, 1)], 0.04, INK)
    p.poly([(0.5, 0), (0.9, 0.35), (0.5, 0.75), (0.1, 0.35)])
    p.poly([(0.5, 0), (0.9, 0.35), (0.5, 0.35)], p.dark)
    p.poly([(0.5, 0.75), (0.1, 0.35), (0.5, 0.35)], p.light)


@pytest.fixture
def world_with_a_kite():
    before = dict(NOUNS)
    noun(("red", "blue"), seat=(0.5, 0.1), mouth=(0.9, 0.35))(kite)
    yield
    NOUNS.clear()
    NOUNS.update(before)


def test_a_noun_is_drawn_captioned_parsed_and_true(world_with_a_kite):
    assert lines_of(kite) <= 12
    scene = Scene((Thing("kite", "blue"),), place="at the beach")
    beach = Scene((Thing("ball", "blue"),), place="at the beach")
    assert np.asarray(draw(scene)).std() > 10 and draw(scene) != draw(beach)
    assert "kite" in caption(scene)
    assert parse("two red kites at night").things == (Thing("kite", "red", None, 2),)
    (record,) = truth(scene)
    assert record["noun"] == "kite" and record["color"] == "blue"
    assert {"kite", "kites"} <= set(vocabulary())


def test_a_noun_is_sampled_in_every_role(world_with_a_kite):
    rng = random.Random(0)
    scenes = [sample_scene(rng, None) for _ in range(4000)]
    places = {
        (scene.relation, scene.things.index(thing))
        for scene in scenes
        for thing in scene.things
        if thing.noun == "kite"
    }
    assert {("above", 0), ("next to", 1), ("sitting on", 1), ("eating", 0)} <= places


def test_the_shipped_judge_says_that_it_does_not_know_a_new_noun(world_with_a_kite):
    judge = load_scorer()
    picture = torch.zeros(1, 3, 64, 64)
    assert len(judgments(judge, picture, ["a blue ball"])) == 1
    with pytest.raises(ValueError, match="does not know 'kite'"):
        judgments(judge, picture, ["a blue kite"])


# A sampler is one function


def plain_step(sample, noise_pred, a, a_prev, noise=None, last=None):
    picture = predict_original_sample(sample, noise_pred, a)
    return a_prev**0.5 * picture + (1 - a_prev) ** 0.5 * noise_pred


def restless_step(sample, noise_pred, a, a_prev, noise=None, last=None):
    picture = predict_original_sample(sample, noise_pred, a)
    mixed = 0.8 * noise_pred + 0.6 * noise
    return a_prev**0.5 * picture + (1 - a_prev) ** 0.5 * mixed


def drawn(parts, scheduler, seed=0, steps=5):
    how = dict(num_inference_steps=steps, scheduler=scheduler)
    return generate(parts, PROMPT, generator=make_generator(seed), **how).latents


def test_a_sampler_is_one_function(parts):
    assert lines_of(plain_step) <= 8
    ddim = drawn(parts, "ddim")
    torch.testing.assert_close(drawn(parts, plain_step), ddim, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(drawn(parts, ddim_step), ddim, rtol=1e-4, atol=1e-4)


def test_a_sampler_with_fresh_noise_repeats_by_its_seed(parts):
    first, again, other = (drawn(parts, restless_step, seed) for seed in (0, 0, 1))
    torch.testing.assert_close(first, again)
    assert (first - other).abs().max() > 0.1
    assert (first - drawn(parts, plain_step)).abs().max() > 0.1


def half_white():
    mask = Image.new("L", (64, 64))
    mask.paste(255, (32, 0, 64, 64))
    return mask


@pytest.mark.parametrize("step", [plain_step, restless_step])
def test_a_sampler_edits(parts, step):
    red = Image.new("RGB", (64, 64), "red")
    how = dict(num_inference_steps=4, scheduler=step)
    for strength in (0.5, 1.0):
        seed = make_generator(0)
        edited = image_to_image(parts, PROMPT, red, strength, generator=seed, **how)
        assert edited.latents.isfinite().all()
        mask = half_white()
        painted = inpaint(parts, PROMPT, red, mask, strength, generator=seed, **how)
        assert painted.latents.isfinite().all()


# Your own pictures are one argument

COLORS = {"teal": (0, 128, 128), "coral": (255, 127, 80), "ivory": (255, 255, 240)}


def gem(color, size, mode):
    "A gem on grey, of any size and mode."
    image = Image.new("RGB", size, (90, 90, 90))
    x, y = size[0] / 2, size[1] / 2
    r = 0.4 * min(size)
    corners = [(x, y - r), (x + r, y), (x, y + r), (x - r, y)]
    ImageDraw.Draw(image).polygon(corners, fill=color)
    return image.convert(mode)


@pytest.fixture(scope="module")
def gems(tmp_path_factory):
    "A folder of 24 captioned pictures."
    folder = tmp_path_factory.mktemp("gems")
    rows = []
    for i in range(24):
        name, rgb = list(COLORS.items())[i % 3]
        size = [(64, 64), (100, 70), (48, 90), (200, 300)][i % 4]
        file = f"{i:02}.{['png', 'jpg'][i % 2]}"
        mode = ["RGBA", "RGB", "P", "L"][i % 4]
        gem(rgb, size, mode).save(folder / file)
        rows.append({"file_name": file, "text": f"a {name} gemstone on velvet"})
    lines = [json.dumps(row) for row in rows]
    (folder / "metadata.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


@pytest.mark.slow
def test_a_folder_trains_the_whole_stack(gems, tmp_path):
    command = shutil.which("sdlearn-train", path=Path(sys.executable).parent)
    out = tmp_path / "gems"
    how = ["--data", gems, "--budget", "smoke", "--out", out]
    done = subprocess.run([command, *how], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    parts = load_parts(out, device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("error", PromptWarning)
        draws = generate(parts, "a teal gemstone on velvet", num_inference_steps=2)
    assert draws.images[0].size == (64, 64)
    with pytest.warns(PromptWarning, match="never seen 'cat'.*velvet"):
        generate(parts, "a teal cat", num_inference_steps=2)


# A VAE is one class


@pytest.fixture(scope="module")
def with_tiny_vae(parts):
    torch.manual_seed(0)
    channels = (8, 8, 8, 8)
    vae = AutoencoderTiny(
        encoder_block_out_channels=channels, decoder_block_out_channels=channels
    )
    return replace(parts, vae=vae.eval())


def test_another_vae_draws_edits_and_inpaints(with_tiny_vae):
    parts, how = with_tiny_vae, dict(num_inference_steps=2)
    picture = generate(parts, PROMPT, generator=make_generator(0), **how).images[0]
    assert picture.size == (64, 64)
    edited = image_to_image(parts, PROMPT, picture, generator=make_generator(1), **how)
    assert edited.latents.isfinite().all()
    mask = half_white()
    painted = inpaint(parts, PROMPT, picture, mask, generator=make_generator(1), **how)
    assert painted.latents.isfinite().all()
