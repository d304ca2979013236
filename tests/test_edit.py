"""Editing equals diffusers' own pipelines, and bad input ends in one clear sentence."""

import functools
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderTiny,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
)
from PIL import Image, ImageDraw

from sdlearn.attention import attention
from sdlearn.checkpoints import load_parts
from sdlearn.core import make_generator, randn, to_images
from sdlearn.edit import edit_prompt, image_to_image, inpaint, share_attention, slerp
from sdlearn.parts import GUIDANCE_SCALE, Settings, make_scheduler
from sdlearn.pipeline import generate
from sdlearn.samplers import ddim_step, ddpm_step, dpm_step, euler_step
from sdlearn.text import encode_prompt

from .conftest import sentence
from .random_parts import build_parts

pytestmark = pytest.mark.usefixtures("one_thread")

PROMPTS = ["a red cat at the beach", "two fish"]
EDITED = "a blue cat at the beach"
IMAGES = to_images(randn((2, 3, 64, 64), make_generator(5)) / 2)
MASK = Image.new("L", (64, 64))
ImageDraw.Draw(MASK).ellipse((10, 13, 50, 55), fill=255)
FOUR = dict(num_inference_steps=4)
KINDS = ("tiny", "sd1", "sd2", "shipped")
SCHEDULERS = ("ddim", "pndm", "euler", "dpm++", "heun")

paint_part = functools.partial(inpaint, mask=MASK)
each_edit = pytest.mark.parametrize(
    "edit", [image_to_image, paint_part], ids=["image_to_image", "inpaint"]
)
no_warning = pytest.mark.filterwarnings("ignore::sdlearn.pipeline.PromptWarning")


@functools.cache
def build(kind):
    return load_parts("tiny", device="cpu") if kind == "shipped" else build_parts(kind)


def stock(edit, parts, scheduler):
    """diffusers' own pipeline for the same job, of the same parts."""
    cls = StableDiffusionImg2ImgPipeline
    if edit is paint_part:
        cls = StableDiffusionInpaintPipeline
    theirs = vars(parts) | dict(scheduler=make_scheduler(parts, scheduler))
    pipe = cls(
        **theirs,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    if edit is paint_part:
        return functools.partial(pipe, mask_image=MASK, height=64, width=64)
    return pipe


def assert_same(edit, parts, scheduler, **kwargs):
    kwargs = dict(prompt=PROMPTS, image=IMAGES, **FOUR) | kwargs
    kwargs.setdefault("guidance_scale", GUIDANCE_SCALE)
    pipe = stock(edit, parts, scheduler)
    expected = pipe(generator=make_generator(3), output_type="latent", **kwargs).images
    mine = edit(parts, generator=make_generator(3), scheduler=scheduler, **kwargs)
    assert expected.isfinite().all() and expected.std() > 0
    torch.testing.assert_close(mine.latents, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("strength", [0.6, 1.0])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("kind", KINDS)
@each_edit
def test_equality(edit, kind, scheduler, strength):
    assert_same(edit, build(kind), scheduler, strength=strength)


@pytest.mark.parametrize(
    "kwargs",
    [
        dict(prompt=PROMPTS[:1], image=IMAGES[:1], strength=0.5),
        dict(strength=0.7, negative_prompt=["a dog", ""]),
        dict(strength=0.7, guidance_scale=1.0),
        dict(strength=0.55, num_inference_steps=7),
        dict(strength=0.3, num_inference_steps=4),
    ],
    ids=lambda kwargs: "-".join(kwargs),
)
@each_edit
@no_warning
def test_arguments(edit, kwargs):
    assert_same(edit, build("tiny"), "ddim", **kwargs)


@pytest.mark.parametrize("scheduler", ["ddpm", "euler-a"])
def test_random_schedulers(scheduler):
    assert_same(image_to_image, build("tiny"), scheduler, strength=0.7)


def test_a_wide_picture():
    wide = [image.resize((80, 48)) for image in IMAGES]
    assert_same(image_to_image, build("tiny"), "ddim", image=wide, strength=0.7)


def test_one_picture_for_all_prompts():
    result = image_to_image(build("tiny"), ["a cat"] * 2, IMAGES[0], seed=0, **FOUR)
    assert len(result.images) == 2
    assert not torch.equal(*result.latents)


def test_what_is_kept_stays():
    painted = torch.from_numpy(np.array(MASK))[::8, ::8] > 127
    one, two = (
        paint_part(build("tiny"), prompt, IMAGES[0], seed=0, **FOUR).latents
        for prompt in PROMPTS
    )
    assert torch.equal(one[..., ~painted], two[..., ~painted])
    assert not torch.equal(one[..., painted], two[..., painted])


def test_options_are_passed_on():
    seen = []

    def after_step(latents, t_next):
        seen.append(t_next)
        return latents

    result = image_to_image(
        build("tiny"),
        PROMPTS[0],
        IMAGES[0],
        0.5,
        seed=0,
        scheduler="ddim",
        trajectory=True,
        attention=True,
        after_step=after_step,
        **FOUR,
    )
    assert len(seen) == len(result.trajectory) == len(result.attention.steps) == 2
    assert seen[-1] is None and None not in seen[:-1]


@each_edit
def test_settings_and_changes_say_the_same(edit):
    settings = Settings(num_inference_steps=4, guidance_scale=3.0, seed=1)
    parts, both = build("tiny"), dict(prompt=PROMPTS, image=IMAGES)
    one = edit(parts, settings=settings, **both)
    two = edit(parts, num_inference_steps=4, guidance_scale=3.0, seed=1, **both)
    torch.testing.assert_close(one.latents, two.latents, rtol=0, atol=0)
    assert one.settings == two.settings == settings


# What a newcomer brings: a step, a VAE


def my_step(sample, noise_pred, a, a_prev, noise=None, last=None):
    pred_original_sample = (sample - (1 - a) ** 0.5 * noise_pred) / a**0.5
    return a_prev**0.5 * pred_original_sample + (1 - a_prev) ** 0.5 * noise_pred


@pytest.mark.parametrize("strength", [0.6, 1.0])
@each_edit
def test_a_step_of_ones_own(edit, strength):
    parts, both = build("tiny"), dict(prompt=PROMPTS, image=IMAGES, seed=3, **FOUR)
    mine = edit(parts, strength=strength, scheduler=my_step, **both)
    theirs = edit(parts, strength=strength, scheduler="ddim", **both)
    torch.testing.assert_close(mine.latents, theirs.latents, rtol=0, atol=1e-4)


@pytest.mark.parametrize("step", [ddim_step, ddpm_step, euler_step, dpm_step])
@each_edit
def test_every_step_of_ours(edit, step):
    both = dict(prompt=PROMPTS, image=IMAGES, strength=0.6, seed=0, **FOUR)
    result = edit(build("tiny"), scheduler=step, **both)
    assert result.latents.isfinite().all()


@each_edit
def test_another_vae(edit):
    torch.manual_seed(0)
    parts = replace(build("tiny"), vae=AutoencoderTiny().eval())
    both = dict(prompt=PROMPTS, image=IMAGES, strength=0.6, seed=0, **FOUR)
    result = edit(parts, **both)
    assert [image.size for image in result.images] == [(64, 64)] * 2
    assert result.latents.isfinite().all()


# Noises and prompts


def test_slerp():
    a, b = (randn((3, 4, 8, 8), make_generator(seed)) for seed in (0, 1))
    torch.testing.assert_close(slerp(a, b, 0.0), a)
    torch.testing.assert_close(slerp(a, b, 1.0), b)
    torch.testing.assert_close(slerp(a, a, 0.4), a)
    norms = [noise.flatten(1).norm(dim=1)[:, None, None, None] for noise in (a, b)]
    between = slerp(a / norms[0], b / norms[1], 0.3)
    torch.testing.assert_close(between.flatten(1).norm(dim=1), torch.ones(3))


def hooks(unet):
    return [module for module in unet.modules() if module._forward_hooks]


def first(unet, layer):
    return next(module for name, module in unet.named_modules() if name.endswith(layer))


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_shared_attention(kind):
    parts = build(kind)
    layer = first(parts.unet, "attn2")
    words = encode_prompt(parts.tokenizer, parts.text_encoder, [PROMPTS[0], EDITED])
    x = randn((2, 16, layer.to_q.in_features), make_generator(0))
    query, key, value = layer.to_q(x[:1]), layer.to_k(words[:1]), layer.to_v(words[1:])
    by_hand, _ = attention(query, key, value, layer.heads)
    plain = layer(x, words)
    with share_attention(parts.unet):
        shared = layer(x, words)
    torch.testing.assert_close(shared[1:], layer.to_out[0](by_hand))
    torch.testing.assert_close(shared[0], plain[0])
    torch.testing.assert_close(layer(x, words), plain)


@pytest.mark.parametrize("guidance_scale", [1.0, 5.0])
@pytest.mark.parametrize("share, self_attention", [(0, False), (0.5, False), (1, True)])
def test_edit_prompt(share, self_attention, guidance_scale):
    parts = build("tiny")
    same = dict(guidance_scale=guidance_scale, seed=0, **FOUR)
    one, two = (generate(parts, p, **same).latents for p in (PROMPTS[0], EDITED))
    result = edit_prompt(
        parts,
        PROMPTS[0],
        EDITED,
        share,
        self_attention=self_attention,
        attention=True,
        **same,
    ).latents
    torch.testing.assert_close(result[:1], one, rtol=0, atol=1e-4)
    alike = torch.allclose(result[1:], two, rtol=0, atol=1e-4)
    assert alike == (share == 0)
    assert not hooks(parts.unet)


def test_shared_maps_are_the_same():
    same = dict(attention=True, num_inference_steps=2, seed=0)
    result = edit_prompt(build("tiny"), PROMPTS[0], EDITED, 1, **same)
    for one, two in result.attention.means.values():
        torch.testing.assert_close(one, two)


def test_sharing_stops_in_time():
    layers, parts = [], build("tiny")

    def count(*args):
        layers.append(len(hooks(parts.unet)))

    watch = parts.unet.conv_out.register_forward_pre_hook(count)
    edit_prompt(parts, PROMPTS[0], EDITED, 0.5, scheduler="ddim", seed=0, **FOUR)
    watch.remove()
    assert [bool(n) for n in layers] == [True, True, False, False]


def test_hooks_are_gone_after_an_error():
    parts = build("tiny")

    def fail(*args):
        raise RuntimeError("stop")

    breaking = parts.unet.conv_out.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="stop"):
        edit_prompt(parts, PROMPTS[0], EDITED, 1, seed=0, **FOUR)
    breaking.remove()
    assert not hooks(parts.unet)


# Bad input

A_CAT = dict(prompt="a cat", image=IMAGES[0], **FOUR)
NARROW, SMALL = IMAGES[0].resize((60, 64)), IMAGES[1].resize((32, 32))
TENSOR = torch.zeros(1, 3, 64, 64)
BAD_PICTURES = [
    (dict(strength=0), ["strength", "above 0 and up to 1", "not 0"]),
    (dict(strength=-0.5), ["strength", "not -0.5"]),
    (dict(strength=1.01), ["strength", "not 1.01"]),
    (dict(strength=float("nan")), ["strength", "not nan"]),
    (dict(strength="0.5"), ["strength", "not '0.5'"]),
    (dict(strength=None), ["strength", "not None"]),
    (dict(strength=True), ["strength", "not True"]),
    (dict(strength=0.2), ["strength 0.2 of 4 steps leaves no step", "raise"]),
    (dict(image=NARROW), ["multiples of 8", "60 and 64", "resize"]),
    (dict(image=IMAGES), ["2 pictures", "1 texts"]),
    (dict(image=[]), ["0 pictures", "1 texts"]),
    (dict(image=IMAGES[:1], prompt=PROMPTS), ["1 pictures", "2 texts"]),
    (dict(image=[IMAGES[0], SMALL], prompt=PROMPTS), ["one size", "(32, 32)"]),
    (dict(image="cat.png"), ["PIL picture", "not str", "PIL.Image.open"]),
    (dict(image=TENSOR), ["PIL picture", "not Tensor", "to_images"]),
    (dict(image=None), ["PIL picture", "not NoneType"]),
    (dict(prompt=7), ["prompt must be a text"]),
    (dict(no_such_setting=1), ["no_such_setting"]),
]
BAD_MASKS = {
    "size": (MASK.resize((32, 64)), ["mask has 32x64 pixels", "64x64"]),
    "none": (None, ["mask must be a PIL picture", "NoneType"]),
    "tensor": (torch.zeros(64, 64), ["mask must be a PIL picture", "Tensor"]),
}
LONGER = "two blue cats at the beach today"
BAD_EDITS = [
    (dict(edited=LONGER), ["has 6 tokens", "has 11: change words"]),
    (dict(edited=7), ["prompt must be a text"]),
    (dict(share=1.5), ["share must be", "not 1.5"]),
    (dict(share="half"), ["share must be", "'half'"]),
    (dict(share=True), ["share must be", "not True"]),
    (dict(after_step=print), ["after_step"]),
]


def shortly(value):
    return str(value)[:60] if isinstance(value, dict) else ""


def assert_refused(words, function, *args, **kwargs):
    with pytest.raises(ValueError) as error:
        function(*args, **kwargs)
    for word in words:
        assert word in sentence(error)


@pytest.mark.parametrize("kwargs, words", BAD_PICTURES, ids=shortly)
@each_edit
def test_bad_pictures(edit, kwargs, words):
    assert_refused(words, edit, build("tiny"), **A_CAT | kwargs)


@pytest.mark.parametrize("mask, words", BAD_MASKS.values(), ids=BAD_MASKS)
def test_bad_masks(mask, words):
    assert_refused(words, inpaint, build("tiny"), mask=mask, **A_CAT)


@each_edit
def test_a_unet_made_for_inpainting(edit):
    parts = build("tiny")
    unet = type(parts.unet).from_config(parts.unet.config, in_channels=9)
    words = ["9 channels instead of the 4"]
    assert_refused(words, edit, replace(parts, unet=unet), **A_CAT)


@pytest.mark.parametrize("kwargs, words", BAD_EDITS, ids=shortly)
@no_warning
def test_bad_edits(kwargs, words):
    kwargs = dict(prompt=PROMPTS[0], edited=EDITED) | kwargs
    assert_refused(words, edit_prompt, build("tiny"), **kwargs)
