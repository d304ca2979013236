"""The weights that the package ships."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors import safe_open
from torch.utils.data import default_collate
from transformers import CLIPModel

import sdlearn
from sdlearn.checkpoints import load_parts
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

FOLDER = Path(sdlearn.__file__).parent / "tiny_sd"


@pytest.fixture(scope="module")
def parts():
    return load_parts("tiny", device="cpu")


def unseen(n, split="train"):
    rng = random.Random("unseen")
    return to_tensor([draw(sample_scene(rng, split)) for _ in range(n)])


def test_files_are_small_safe_and_half():
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 25e6
    assert {path.suffix for path in files} <= {
        ".safetensors",
        ".json",
        ".txt",
        ".md",
        ".png",
    }
    for path in FOLDER.rglob("*.safetensors"):
        with safe_open(path, "pt") as tensors:
            dtypes = {tensors.get_slice(k).get_dtype() for k in tensors.keys()}
        assert dtypes <= {"F16", "I64"}, path


def test_recipe_is_complete():
    recipe = json.loads((FOLDER / "recipe.json").read_text(encoding="utf-8"))
    assert recipe["budget"] in BUDGETS
    assert set(recipe["losses"]) == {"scorer", "clip", "vae", "decoder", "unet"}
    assert all(
        losses[-1] < losses[0] / 2
        for k, losses in recipe["losses"].items()
        if k != "decoder"
    )


@pytest.mark.parametrize("split, decibels", [(None, 27), ("held-out", 26)])
def test_vae_on_unseen_scenes(parts, split, decibels):
    sample = unseen(256, split)
    assert psnr(sample, decode(parts.vae, encode(parts.vae, sample))) >= decibels


def test_latents_have_unit_spread(parts):
    latents = encode(parts.vae, unseen(64), make_generator(0))
    assert 0.9 < latents.std() < 1.1


def test_clip_matches_captions(parts):
    clip = CLIPModel.from_pretrained(FOLDER / "clip", dtype=torch.float32).eval()
    pairs = captioned_pictures(parts.tokenizer, WorldData(12345, split=None))
    batch = default_collate([pairs[i] for i in range(128)])
    assert matching_accuracy(clip, batch) > 0.9


def test_every_word_of_the_world_is_known(parts):
    everything = " ".join([*vocabulary(), *HELD_OUT_PROMPTS])
    assert unknown_words(parts.tokenizer, everything) == []
    assert known_words(parts.tokenizer) == vocabulary()
    for word in vocabulary():
        assert len(parts.tokenizer(word).input_ids) == 3, f"{word} is not one token"


def test_the_judge_keeps_its_words():
    config = json.loads((FOLDER / "scorer/config.json").read_text(encoding="utf-8"))
    assert config == load_scorer().words == world_words()


def test_stock_pipeline_draws_the_same(parts):
    pipe = StableDiffusionPipeline.from_pretrained(FOLDER, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    prompts = ["a red cat at the beach", "two fish in the river"]
    theirs = pipe(
        prompts, num_inference_steps=8, guidance_scale=5.0, generator=make_generator(3)
    ).images
    ours = generate(
        parts,
        prompts,
        num_inference_steps=8,
        guidance_scale=5.0,
        generator=make_generator(3),
    ).images
    for a, b in zip(ours, theirs, strict=True):
        assert np.abs(np.asarray(a, int) - np.asarray(b, int)).max() <= 1


def test_colors_are_obeyed(parts):
    """A plain color test: of a red, a green and a blue ball, each is most like its own color."""
    prompts = [f"a big {name} ball in the snow" for name in ("red", "green", "blue")]
    targets = torch.tensor([[216.0, 54, 56], [72, 160, 80], [52, 112, 204]])
    images = generate(parts, prompts, generator=make_generator(0)).images
    pixels = torch.from_numpy(np.stack([np.asarray(o) for o in images])).float()
    middles = pixels[:, 24:44, 20:44].flatten(1, 2).median(1).values  # (3, 3)
    assert torch.cdist(middles, targets).argmin(1).tolist() == [0, 1, 2]
