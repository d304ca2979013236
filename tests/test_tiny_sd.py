"""The weights that the package ships."""

import json
import random

import numpy as np
import pytest
from diffusers import StableDiffusionPipeline
from safetensors import safe_open
from torch.utils.data import default_collate

from sdlearn.core import make_generator, to_tensor
from sdlearn.data import WorldData
from sdlearn.judge import load_scorer, world_words
from sdlearn.latents import decode, encode, psnr
from sdlearn.pipeline import generate
from sdlearn.recipe import BUDGETS
from sdlearn.scenes import draw
from sdlearn.text import (
    captioned_pictures,
    known_words,
    matching_accuracy,
    unknown_words,
)
from sdlearn.world import HELD_OUT_PROMPTS, sample_scene, vocabulary

from .conftest import SHIPPED, assert_same_picture

SUFFIXES = {".safetensors", ".json", ".txt", ".md", ".png"}


def read_json(name):
    return json.loads((SHIPPED / name).read_text(encoding="utf-8"))


def unseen(n, split="train"):
    rng = random.Random("unseen")
    return to_tensor([draw(sample_scene(rng, split)) for _ in range(n)])


def dtypes_in(path):
    """The dtypes of a safetensors file, as it names them."""
    with safe_open(path, "pt") as tensors:
        return {tensors.get_slice(name).get_dtype() for name in tensors.keys()}


def test_files_are_small_safe_and_half():
    files = [path for path in SHIPPED.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 25e6
    assert {path.suffix for path in files} <= SUFFIXES
    for path in SHIPPED.rglob("*.safetensors"):
        assert dtypes_in(path) <= {"F16", "I64"}, path


def test_recipe_is_complete():
    recipe = read_json("recipe.json")
    assert recipe["budget"] in [*BUDGETS, "gpu"]
    losses = recipe["losses"]
    assert set(losses) == {"scorer", "clip", "vae", "decoder", "unet"}
    for stage in ("scorer", "clip", "vae", "unet"):
        assert losses[stage][-1] < losses[stage][0] / 2, stage


@pytest.mark.slow
@pytest.mark.parametrize("split, decibels", [(None, 27), ("held-out", 26)])
def test_vae_on_unseen_scenes(shipped, split, decibels):
    sample = unseen(256, split)
    there_and_back = decode(shipped.vae, encode(shipped.vae, sample))
    assert psnr(sample, there_and_back) >= decibels


def test_latents_have_unit_spread(shipped):
    latents = encode(shipped.vae, unseen(64), make_generator(0))
    assert 0.9 < latents.std() < 1.1


def test_clip_matches_captions(shipped, shipped_clip):
    pairs = captioned_pictures(shipped.tokenizer, WorldData(12345, split=None))
    batch = default_collate([pairs[i] for i in range(128)])
    assert matching_accuracy(shipped_clip, batch) > 0.9


def test_every_word_of_the_world_is_known(shipped):
    everything = " ".join([*vocabulary(), *HELD_OUT_PROMPTS])
    assert unknown_words(shipped.tokenizer, everything) == []
    assert known_words(shipped.tokenizer) == vocabulary()
    for word in vocabulary():
        start_word_end = shipped.tokenizer(word).input_ids
        assert len(start_word_end) == 3, f"{word} is not one token"


def test_the_judge_keeps_its_words():
    assert read_json("scorer/config.json") == load_scorer().words == world_words()


def test_stock_pipeline_draws_the_same(shipped):
    pipe = StableDiffusionPipeline.from_pretrained(SHIPPED, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    prompts = ["a red cat at the beach", "two fish in the river"]
    how = dict(num_inference_steps=8, guidance_scale=5.0)
    theirs = pipe(prompts, generator=make_generator(3), **how).images
    ours = generate(shipped, prompts, generator=make_generator(3), **how).images
    for image, expected in zip(ours, theirs, strict=True):
        assert_same_picture(image, expected)


BALLS = {"red": (216, 54, 56), "green": (72, 160, 80), "blue": (52, 112, 204)}


def middle_color(image):
    """The median color in the middle of a picture, (3,)."""
    middle = np.asarray(image)[24:44, 20:44]
    return np.median(middle, axis=(0, 1))


def test_colors_are_obeyed(shipped):
    """Of a red, a green and a blue ball, each is most like its own color."""
    prompts = [f"a big {name} ball in the snow" for name in BALLS]
    images = generate(shipped, prompts, generator=make_generator(0)).images
    colors = np.array(list(BALLS.values()))
    for i, image in enumerate(images):
        distances = np.linalg.norm(colors - middle_color(image), axis=1)
        assert distances.argmin() == i, prompts[i]
