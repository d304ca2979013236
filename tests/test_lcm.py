"""A UNet that reads the guidance scale (latent consistency) draws as diffusers' own pipelines do."""

import functools
from dataclasses import replace

import diffusers
import pytest
import torch

from sdlearn.checkpoints import load_parts
from sdlearn.core import make_generator
from sdlearn.edit import edit_prompt
from sdlearn.parts import Settings, make_scheduler
from sdlearn.pipeline import PromptWarning, generate
from sdlearn.sheet import stages_sheet

from .conftest import assert_identical, assert_same_latents, refused
from .random_parts import build_parts, build_scheduler
from .test_edit import assert_same, each_edit

pytestmark = pytest.mark.usefixtures("one_thread")

PROMPT = "a red cat at the beach"
PROMPTS = [PROMPT, "two fish", "a car"]
FOUR = dict(num_inference_steps=4)
LCM = diffusers.LCMScheduler
OTHERS = [
    pytest.param(name, marks=pytest.mark.slow)
    for name in ("ddim", "euler-a", "pndm", "heun")
]


@functools.cache
def build(kind="tiny", width=16, **kwargs):
    """Parts whose UNet reads the guidance scale as so many numbers."""
    return build_parts(kind, time_cond_proj_dim=width, **kwargs)


def draw(parts, prompt=PROMPT, seed=0, **kwargs):
    return generate(parts, prompt, generator=make_generator(seed), **FOUR | kwargs)


def stock(parts, scheduler, prompt=PROMPT, **kwargs):
    """The library's own answer."""
    pipe = parts.to_pipeline()
    pipe.scheduler = make_scheduler(parts, scheduler)
    pipe.set_progress_bar_config(disable=True)
    usual = dict(generator=make_generator(0), output_type="latent", **FOUR)
    return pipe(prompt, **usual | kwargs).images


@pytest.mark.parametrize("guidance_scale", [0.0, 1.0, 1.5, 8.5])
@pytest.mark.parametrize("scheduler", [LCM, *OTHERS])
def test_schedulers(scheduler, guidance_scale):
    how = dict(guidance_scale=guidance_scale, prompt=PROMPTS)
    expected = stock(build(), scheduler, **how)
    assert_same_latents(draw(build(), scheduler=scheduler, **how).latents, expected)


@pytest.mark.parametrize("width", [33, pytest.param(256, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["sd1", "sd2"])
def test_kinds_and_widths(kind, width):
    parts, how = build(kind, width), dict(guidance_scale=8.5)
    expected = stock(parts, LCM, **how)
    assert_same_latents(draw(parts, scheduler=LCM, **how).latents, expected)


@pytest.mark.parametrize("negative_prompt", ["a horse", ["a horse", "", "a tree"]])
def test_a_negative_prompt_is_not_read(negative_prompt):
    how = dict(prompt=PROMPTS, guidance_scale=8.5)
    with pytest.warns(PromptWarning, match="the negative prompt is not read: leave"):
        mine = draw(build(), negative_prompt=negative_prompt, scheduler=LCM, **how)
    theirs = ["a horse"] * 3 if negative_prompt == "a horse" else negative_prompt
    expected = stock(build(), LCM, negative_prompt=theirs, **how)
    assert_same_latents(mine.latents, expected)


@pytest.mark.parametrize("negative_prompt", [None, "", ["", "", ""]])
def test_no_negative_prompt_no_word(negative_prompt, recwarn):
    draw(build(), PROMPTS, negative_prompt=negative_prompt)
    assert not [w for w in recwarn if w.category is PromptWarning]


def test_the_scale_changes_the_picture():
    drawn = [draw(build(), guidance_scale=s).latents for s in (1.0, 4.0, 8.5)]
    assert not torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[1], drawn[2])


def test_the_unet_is_asked_once_a_picture_and_the_text_encoder_once():
    parts, rows = build(), []

    def count(network, args, kwargs):
        first = [*args, *kwargs.values()][0]
        rows.append((type(network).__name__, len(first)))

    networks = parts.text_encoder, parts.unet
    hooks = [n.register_forward_pre_hook(count, with_kwargs=True) for n in networks]
    draw(parts, PROMPTS[:2], guidance_scale=8.5)
    for hook in hooks:
        hook.remove()
    steps = len(make_scheduler(parts, None, 4).timesteps)
    encoded = ("CLIPTextModel", 2)
    assert rows == [encoded, *[("UNet2DConditionModel", 2)] * steps]


@pytest.mark.parametrize("guidance_scale", [1.0, 8.5])
@pytest.mark.parametrize("scheduler", [LCM, *OTHERS[:2]])
@each_edit
def test_editing(edit, scheduler, guidance_scale):
    for strength in (0.6, 1.0):
        how = dict(strength=strength, guidance_scale=guidance_scale)
        assert_same(edit, build(), scheduler, **how)


def test_inpainting_with_nine_channels():
    parts = build(in_channels=9, out_channels=4)
    paint_part = each_edit.args[1][1]
    for strength in (0.5, 1.0):
        assert_same(paint_part, parts, LCM, strength=strength, guidance_scale=8.5)


@pytest.mark.parametrize("guidance_scale", [1.0, 8.5])
def test_stages_and_word_maps(guidance_scale):
    how = dict(scheduler=LCM, guidance_scale=guidance_scale)
    plain = draw(build(), PROMPTS, **how)
    kept = draw(build(), PROMPTS, trajectory=True, attention=True, **how)
    torch.testing.assert_close(kept.latents, plain.latents, atol=1e-3, rtol=1e-3)
    assert len(kept.trajectory) == 4
    for index, prompt in enumerate(PROMPTS):
        words, maps = kept.word_maps(index)
        assert words == prompt.split()
        assert maps.shape == (len(words), 8, 8)
        assert stages_sheet(build(), kept, index).width == 1600
    first, last = kept.word_maps(0)[1][0], kept.word_maps(2)[1][0]
    assert not torch.equal(first, last)  # "a" of two pictures


def test_prompt_edits():
    noise = torch.randn(1, 4, 8, 8, generator=make_generator(2))
    edited = "a blue cat at the beach"
    how = dict(latents=noise, guidance_scale=8.5, **FOUR)
    free = edit_prompt(build(), PROMPT, edited, share=0.0, **how)
    shared = edit_prompt(build(), PROMPT, edited, share=0.5, **how)
    both = dict(how, latents=noise.repeat(2, 1, 1, 1))
    plain = generate(build(), [PROMPT, edited], **both)
    assert_identical(free.latents, plain.latents)
    torch.testing.assert_close(
        shared.latents[0], plain.latents[0], atol=1e-4, rtol=1e-4
    )
    assert not torch.allclose(shared.latents[1], plain.latents[1], atol=1e-4)


def saved(folder, original_inference_steps=50):
    """Such a model as a folder, with the scheduler that belongs to it."""
    steps = dict(original_inference_steps=original_inference_steps)
    parts = replace(build("sd1"), scheduler=build_scheduler(cls=LCM, **steps))
    parts.to_pipeline().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("original_inference_steps", [50, 40])
def test_a_folder(tmp_path, original_inference_steps):
    folder = saved(tmp_path, original_inference_steps)
    parts = load_parts(folder, device="cpu")
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    how = dict(guidance_scale=8.5, num_inference_steps=4)
    noise = dict(generator=make_generator(0), output_type="latent")
    expected = pipe(PROMPT, **noise, **how).images
    result = draw(parts, **how)
    assert_same_latents(result.latents, expected)
    assert result.settings == Settings(**how)
    timesteps = make_scheduler(parts, None, 4).timesteps
    assert timesteps.tolist() == pipe.scheduler.timesteps.tolist()
    with refused("LCMScheduler cannot be used here", str(original_inference_steps)):
        draw(parts, num_inference_steps=original_inference_steps + 1)
