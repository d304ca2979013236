"""What people change first is one place each: a noun, a sampler, their own pictures, a VAE.

Each change is written here as a newcomer would write it.
"""

import inspect
import random
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny
from PIL import Image

from sdlearn.checkpoints import load_parts
from sdlearn.core import make_generator, randn, to_images, to_tensor
from sdlearn.drawings import INK, noun
from sdlearn.edit import image_to_image, inpaint
from sdlearn.evaluate import judgments
from sdlearn.judge import load_scorer
from sdlearn.pipeline import PromptWarning, generate
from sdlearn.samplers import ddim_step
from sdlearn.scenes import Scene, Thing, draw, truth
from sdlearn.schedule import predict_original_sample
from sdlearn.sheet import stages_sheet
from sdlearn.text import known_words
from sdlearn.world import caption, parse, sample_scene, vocabulary

from .conftest import refused

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
def world_with_a_kite(nouns_restored):
    noun(("red", "blue"), seat=(0.5, 0.1), mouth=(0.9, 0.35))(kite)


@pytest.mark.usefixtures("world_with_a_kite")
def test_a_noun_is_drawn_captioned_parsed_and_true():
    assert lines_of(kite) <= 12
    scene = Scene((Thing("kite", "blue"),), place="at the beach")
    beach = Scene((Thing("ball", "blue"),), place="at the beach")
    assert np.asarray(draw(scene)).std() > 10
    assert draw(scene) != draw(beach)
    assert "kite" in caption(scene)
    assert parse("two red kites at night").things == (Thing("kite", "red", None, 2),)
    (record,) = truth(scene)
    assert record["noun"] == "kite"
    assert record["color"] == "blue"
    assert {"kite", "kites"} <= set(vocabulary())


@pytest.mark.usefixtures("world_with_a_kite")
def test_a_noun_is_sampled_in_every_role():
    rng = random.Random(0)
    found = set()
    for _ in range(4000):
        scene = sample_scene(rng, None)
        for i, thing in enumerate(scene.things):
            if thing.noun == "kite":
                found.add((scene.relation, i))
    assert {("above", 0), ("next to", 1), ("sitting on", 1), ("eating", 0)} <= found


@pytest.mark.usefixtures("world_with_a_kite")
def test_the_shipped_judge_says_that_it_does_not_know_a_new_noun():
    judge = load_scorer()
    picture = torch.zeros(1, 3, 64, 64)
    assert len(judgments(judge, picture, ["a blue ball"])) == 1
    with refused("does not know 'kite'"):
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


def painted(parts, prompt, images, **how):
    return inpaint(parts, prompt, images, half_white(), **how)


PROMPTS = [PROMPT, "two fish"]
PICTURES = to_images(randn((2, 3, 64, 64), make_generator(5)) / 2)
each_edit = pytest.mark.parametrize("edit", [image_to_image, painted])


@pytest.mark.parametrize("strength", [0.6, 1.0])
@each_edit
def test_a_sampler_edits(parts, edit, strength):
    how = dict(num_inference_steps=4, strength=strength, seed=3)
    mine = edit(parts, PROMPTS, PICTURES, scheduler=plain_step, **how)
    theirs = edit(parts, PROMPTS, PICTURES, scheduler="ddim", **how)
    torch.testing.assert_close(mine.latents, theirs.latents, rtol=0, atol=1e-4)
    restless = edit(parts, PROMPTS, PICTURES, scheduler=restless_step, **how)
    assert restless.latents.isfinite().all()


# Your own pictures are one argument


@pytest.mark.slow
def test_a_folder_trains_the_whole_stack(own_model):
    parts = load_parts(own_model, device="cpu")
    own = ["crimson", "ivory", "lantern", "mushroom", "on", "one", "teal", "velvet"]
    assert known_words(parts.tokenizer) == own
    how = dict(num_inference_steps=2, seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", PromptWarning)
        result = generate(parts, "one teal lantern on velvet", **how)
    assert result.images[0].size == (64, 64)
    with pytest.warns(PromptWarning, match="never seen 'panda'.*velvet"):
        generate(parts, "one teal panda", **how)


# A VAE is one class


@pytest.fixture(scope="module")
def with_tiny_vae(parts):
    torch.manual_seed(0)
    narrow = (8, 8, 8, 8)
    vae = AutoencoderTiny(
        encoder_block_out_channels=narrow, decoder_block_out_channels=narrow
    )
    return replace(parts, vae=vae.eval())


def test_another_vae_draws_and_shows_its_stages(with_tiny_vae):
    how = dict(num_inference_steps=2, seed=0)
    result = generate(with_tiny_vae, PROMPT, **how, trajectory=True, attention=True)
    assert result.images[0].size == (64, 64)
    assert stages_sheet(with_tiny_vae, result).width == 1600
    encoded = with_tiny_vae.encode(to_tensor(result.images))
    assert encoded.shape == (1, 4, 8, 8)


@each_edit
def test_another_vae_edits(with_tiny_vae, edit):
    how = dict(num_inference_steps=4, strength=0.6, seed=0)
    result = edit(with_tiny_vae, PROMPTS, PICTURES, **how)
    assert [image.size for image in result.images] == [(64, 64)] * 2
    assert result.latents.isfinite().all()
