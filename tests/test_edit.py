"""Editing equals diffusers' own pipelines, and bad input ends in one clear sentence."""

import functools
import warnings
from dataclasses import replace

import diffusers
import numpy as np
import pytest
import torch
from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionInpaintPipeline
from PIL import Image, ImageDraw

from sdlearn.attention import attention
from sdlearn.core import make_generator, randn, to_images, to_tensor
from sdlearn.edit import edit_prompt, image_to_image, inpaint, share_attention, slerp
from sdlearn.inversion import invert
from sdlearn.masks import MaskWarning
from sdlearn.parts import Settings, make_scheduler
from sdlearn.pipeline import generate
from sdlearn.samplers import ddim_step, ddpm_step, dpm_step, euler_step
from sdlearn.text import encode_prompt

from .conftest import assert_identical, assert_same_latents, refused, shortly
from .random_parts import build_parts

pytestmark = pytest.mark.usefixtures("one_thread")

PROMPTS = ["a red cat at the beach", "two fish"]
EDITED = "a blue cat at the beach"
IMAGES = to_images(randn((2, 3, 64, 64), make_generator(5)) / 2)
MASK = Image.new("L", (64, 64))
ImageDraw.Draw(MASK).ellipse((10, 13, 50, 55), fill=255)
FOUR = dict(num_inference_steps=4)
KINDS = ("tiny", "sd1", "sd2")
SCHEDULERS = ("ddim", "pndm", "euler", "dpm++", "heun")

paint_part = functools.partial(inpaint, mask=MASK)
each_edit = pytest.mark.parametrize(
    "edit", [image_to_image, paint_part], ids=["image_to_image", "inpaint"]
)

USUAL_GUIDANCE = Settings().guidance_scale
no_warning = pytest.mark.filterwarnings("ignore::sdlearn.pipeline.PromptWarning")


build = functools.cache(build_parts)


@pytest.fixture
def some(request, shipped):
    """Parts of the kind that a test asks for."""
    return shipped if request.param == "shipped" else build(request.param)


each_kind = pytest.mark.parametrize("some", [*KINDS, "shipped"], indirect=True)


def stock(edit, parts, scheduler):
    """diffusers' own pipeline for the same job, of the same parts."""
    painting = edit is paint_part
    cls = StableDiffusionImg2ImgPipeline
    if painting:
        cls = StableDiffusionInpaintPipeline
    theirs = parts.components | dict(scheduler=make_scheduler(parts, scheduler))
    unchecked = dict(safety_checker=None, requires_safety_checker=False)
    pipe = cls(**theirs, **unchecked, feature_extractor=None)
    pipe.set_progress_bar_config(disable=True)
    if painting:
        return functools.partial(pipe, mask_image=MASK, height=64, width=64)
    return pipe


def assert_same(edit, parts, scheduler, **kwargs):
    """Ours and diffusers' own end in the same latents."""
    usual = dict(prompt=PROMPTS, image=IMAGES, guidance_scale=USUAL_GUIDANCE, **FOUR)
    kwargs = usual | kwargs
    pipe = stock(edit, parts, scheduler)
    expected = pipe(generator=make_generator(3), output_type="latent", **kwargs).images
    mine = edit(parts, generator=make_generator(3), scheduler=scheduler, **kwargs)
    assert_same_latents(mine.latents, expected)


def slow_but(quick, names):
    """All of the names, those that are not quick marked as slow."""
    slow = pytest.mark.slow
    return [o if o in quick else pytest.param(o, marks=slow) for o in names]


@pytest.mark.parametrize("strength", [0.6, 1.0])
@pytest.mark.parametrize("scheduler", slow_but(["pndm"], SCHEDULERS))
@each_kind
@each_edit
def test_equality(edit, some, scheduler, strength):
    assert_same(edit, some, scheduler, strength=strength)


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


def random_dpm(parts):
    """DPM++ SDE as stock draws it, with the noise levels of the parts."""
    cls = diffusers.DPMSolverMultistepScheduler
    return cls.from_config(parts.scheduler.config, algorithm_type="sde-dpmsolver++")


@pytest.mark.parametrize("strength", [0.7, 1.0])
@pytest.mark.parametrize("scheduler", ["ddpm", "euler-a", "dpm++ sde"])
@each_edit
def test_random_schedulers(edit, scheduler, strength):
    parts = build("tiny")
    if scheduler == "dpm++ sde":
        scheduler = random_dpm(parts)
    assert_same(edit, parts, scheduler, strength=strength)


@pytest.mark.parametrize(
    "kwargs",
    [
        dict(image=IMAGES[0]),
        dict(prompt=PROMPTS[0], image=IMAGES[1], num_inference_steps=7),
        dict(prompt=["a cat", "a dog", "two fish"], image=IMAGES[0], strength=0.6),
        dict(guidance_scale=1.0),
        dict(eta=0.7),
    ],
    ids=lambda kwargs: "-".join(kwargs),
)
@pytest.mark.parametrize("scheduler", ["euler-a", "ddim"])
@no_warning
def test_random_inpainting(scheduler, kwargs):
    assert_same(paint_part, build("tiny"), scheduler, **kwargs)


# UNets of nine channels


@functools.cache
def reading_masks(kind):
    """Parts whose UNet was made for inpainting."""
    parts = build(kind)
    torch.manual_seed(2)
    unet = type(parts.unet).from_config(parts.unet.config, in_channels=9)
    return replace(parts, unet=unet.eval())


@pytest.mark.parametrize("strength", [0.6, 1.0])
@pytest.mark.parametrize("scheduler", ["ddim", "euler-a", "heun", "dpm++", "pndm"])
def test_a_unet_that_reads_masks(scheduler, strength):
    assert_same(paint_part, reading_masks("tiny"), scheduler, strength=strength)


@pytest.mark.parametrize("kind", ["sd1", "sd2"])
def test_kinds_that_read_masks(kind):
    assert_same(paint_part, reading_masks(kind), "ddim")


@pytest.mark.parametrize(
    "kwargs",
    [
        dict(image=IMAGES[0]),
        dict(prompt="a dog", image=IMAGES[1], guidance_scale=1.0),
        dict(negative_prompt=["a dog", ""], strength=0.5),
    ],
    ids=lambda kwargs: "-".join(kwargs),
)
@no_warning
def test_arguments_with_a_unet_that_reads_masks(kwargs):
    assert_same(paint_part, reading_masks("tiny"), "euler-a", **kwargs)


def test_a_unet_that_reads_masks_is_itself_again():
    parts = reading_masks("tiny")

    def fail(*args):
        raise RuntimeError("stop")

    breaking = parts.unet.conv_out.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="stop"):
        paint_part(parts, PROMPTS[0], IMAGES[0], **FOUR)
    breaking.remove()
    assert not any(module._forward_pre_hooks for module in parts.unet.modules())


def test_what_is_kept_of_a_unet_that_reads_masks():
    recorded = dict(trajectory=True, attention=True, seed=0, **FOUR)
    result = paint_part(reading_masks("tiny"), PROMPTS[0], IMAGES[0], **recorded)
    assert result.trajectory[0][1].shape == (1, 4, 8, 8)
    assert result.latents.isfinite().all()


# Pictures and masks as people have them


def turned(image, orientation):
    """The picture as a camera stores it that was held another way."""
    back = {3: "ROTATE_180", 6: "ROTATE_90", 8: "ROTATE_270"}[orientation]
    stored = image.transpose(getattr(Image.Transpose, back))
    stored.getexif()[0x0112] = orientation
    return stored


def on_disk(path, image):
    """A picture as it comes back from a file."""
    image.save(path, exif=image.getexif())
    return Image.open(path)


WIDE = IMAGES[0].resize((80, 48))
WIDE_MASK = MASK.resize((80, 48))


@pytest.mark.parametrize("orientation", [3, 6, 8])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_a_picture_that_lies(tmp_path, suffix, orientation):
    file = on_disk(tmp_path / f"lying.{suffix}", turned(WIDE, orientation))
    how = dict(strength=0.5, seed=0, **FOUR)
    expected = image_to_image(build("tiny"), "a cat", WIDE, **how)
    result = image_to_image(build("tiny"), "a cat", file, **how)
    assert_identical(result.latents, expected.latents)


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_picture_and_a_mask_that_lie(orientation):
    how = dict(prompt="a cat", seed=0, **FOUR)
    expected = inpaint(build("tiny"), image=WIDE, mask=WIDE_MASK, **how)
    lying = dict(image=turned(WIDE, orientation), mask=turned(WIDE_MASK, orientation))
    assert_identical(inpaint(build("tiny"), **lying, **how).latents, expected.latents)
    lying = dict(image=turned(WIDE, orientation), mask=WIDE_MASK)
    assert_identical(inpaint(build("tiny"), **lying, **how).latents, expected.latents)


def test_the_file_is_left_as_it_was():
    lying = turned(WIDE, 6)
    image_to_image(build("tiny"), "a cat", lying, **FOUR)
    assert lying.size == (48, 80) and lying.getexif()[0x0112] == 6


GRAY_MASK = np.asarray(MASK)


def clear_mask(mode):
    """White strokes on a transparent ground."""
    mask = Image.new(mode, MASK.size, "white")
    mask.putalpha(MASK)
    return mask


MASKS = {
    "1": MASK.convert("1"),
    "P": MASK.convert("P"),
    "RGB": MASK.convert("RGB"),
    "RGBA": MASK.convert("RGBA"),
    "CMYK": MASK.convert("CMYK"),
    "LA": MASK.convert("LA"),
    "I": MASK.convert("I"),
    "F": MASK.convert("F"),
    "I;16": Image.fromarray(GRAY_MASK.astype(np.uint16) * 257),
    "zero and one": Image.fromarray((GRAY_MASK > 0).astype(np.int32)),
    "fractions": Image.fromarray((GRAY_MASK / 255).astype(np.float32)),
    "bool": Image.fromarray(GRAY_MASK > 0),
    "transparent": clear_mask("RGB"),
    "transparent gray": clear_mask("L"),
}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_masks_of_every_mode(mask):
    how = dict(image=IMAGES[0], prompt="a cat", seed=0, num_inference_steps=2)
    expected = inpaint(build("tiny"), mask=MASK, **how).latents
    with warnings.catch_warnings():
        warnings.simplefilter("error", MaskWarning)
        assert_identical(inpaint(build("tiny"), mask=mask, **how).latents, expected)


def line(*box):
    """A mask with one white box."""
    mask = Image.new("L", (64, 64))
    ImageDraw.Draw(mask).rectangle(box, fill=255)
    return mask


NOTED_MASKS = {
    "empty": (Image.new("1", (64, 64)), "no white part"),
    "dark": (MASK.point(lambda value: value // 3), "no white part"),
    "labels": (MASK.point(lambda value: value // 255), "no white part"),
    "transparent": (Image.new("RGBA", (64, 64), (255, 255, 255, 0)), "no white part"),
    "thin": (line(0, 9, 63, 13), "so thin"),
    "a dot": (line(33, 33, 38, 38).convert("RGB"), "so thin"),
    "red": (Image.merge("RGB", (MASK, *[Image.new("L", (64, 64))] * 2)), "colors"),
    "yellow": (Image.merge("RGB", (MASK, MASK, Image.new("L", (64, 64)))), "colors"),
}


@pytest.mark.parametrize("mask, words", NOTED_MASKS.values(), ids=NOTED_MASKS)
def test_masks_that_are_noted(mask, words):
    with pytest.warns(MaskWarning, match=words) as caught:
        inpaint(build("tiny"), mask=mask, **A_CAT)
    assert {note.filename for note in caught} == {__file__}
    for note in caught:
        assert str(note.message).endswith(".")


def test_a_wide_picture():
    wide = [image.resize((80, 48)) for image in IMAGES]
    assert_same(image_to_image, build("tiny"), "ddim", image=wide, strength=0.7)


def test_one_picture_for_all_prompts():
    result = image_to_image(build("tiny"), ["a cat"] * 2, IMAGES[0], seed=0, **FOUR)
    assert len(result.images) == 2
    assert not torch.equal(*result.latents)


def test_what_is_kept_stays():
    painted = torch.from_numpy(np.array(MASK))[::8, ::8] > 127

    def latents(prompt):
        return paint_part(build("tiny"), prompt, IMAGES[0], seed=0, **FOUR).latents

    one, two = latents(PROMPTS[0]), latents(PROMPTS[1])
    torch.testing.assert_close(one[..., ~painted], two[..., ~painted])
    assert not torch.allclose(one[..., painted], two[..., painted])


def test_options_are_passed_on():
    seen = []

    def after_step(latents, t_next):
        seen.append(t_next)
        return latents

    recorded = dict(trajectory=True, attention=True, after_step=after_step)
    how = dict(strength=0.5, seed=0, scheduler="ddim", **FOUR)
    result = image_to_image(build("tiny"), PROMPTS[0], IMAGES[0], **how, **recorded)
    assert len(seen) == len(result.trajectory) == len(result.attention.steps) == 2
    assert seen[-1] is None
    assert None not in seen[:-1]


@each_edit
def test_settings_and_changes_say_the_same(edit):
    changes = dict(num_inference_steps=4, guidance_scale=3.0, seed=1)
    parts, both = build("tiny"), dict(prompt=PROMPTS, image=IMAGES)
    one = edit(parts, settings=Settings(**changes), **both)
    two = edit(parts, **changes, **both)
    assert_identical(one.latents, two.latents)
    assert one.settings == two.settings == Settings(**changes)


@pytest.mark.parametrize("step", [ddim_step, ddpm_step, euler_step, dpm_step])
@each_edit
def test_every_step_of_ours(edit, step):
    both = dict(prompt=PROMPTS, image=IMAGES, strength=0.6, seed=0, **FOUR)
    result = edit(build("tiny"), scheduler=step, **both)
    assert result.latents.isfinite().all()


# Noises and prompts


def norms(noise):
    """The length of each noise of a batch: (b, 1, 1, 1)."""
    return noise.flatten(1).norm(dim=1)[:, None, None, None]


def test_slerp():
    a, b = (randn((3, 4, 8, 8), make_generator(seed)) for seed in (0, 1))
    torch.testing.assert_close(slerp(a, b, 0.0), a)
    torch.testing.assert_close(slerp(a, b, 1.0), b)
    torch.testing.assert_close(slerp(a, a, 0.4), a)
    between = slerp(a / norms(a), b / norms(b), 0.3)
    torch.testing.assert_close(norms(between), torch.ones(3, 1, 1, 1))


def hooks(unet):
    return [module for module in unet.modules() if module._forward_hooks]


def first(unet, layer):
    return next(module for name, module in unet.named_modules() if name.endswith(layer))


@each_kind
@torch.no_grad()
def test_shared_attention(some):
    layer = first(some.unet, "attn2")
    words = encode_prompt(some.tokenizer, some.text_encoder, [PROMPTS[0], EDITED])
    x = randn((2, 16, layer.to_q.in_features), make_generator(0))
    query, key, value = layer.to_q(x[:1]), layer.to_k(words[:1]), layer.to_v(words[1:])
    by_hand, _ = attention(query, key, value, layer.heads)
    plain = layer(x, words)
    with share_attention(some.unet):
        shared = layer(x, words)
    torch.testing.assert_close(shared[1:], layer.to_out[0](by_hand))
    torch.testing.assert_close(shared[0], plain[0])
    assert_identical(layer(x, words), plain)


@pytest.mark.parametrize("guidance_scale", [1.0, 5.0])
@pytest.mark.parametrize("share, self_attention", [(0, False), (0.5, False), (1, True)])
def test_edit_prompt(share, self_attention, guidance_scale):
    parts = build("tiny")
    same = dict(guidance_scale=guidance_scale, seed=0, **FOUR)
    one = generate(parts, PROMPTS[0], **same).latents
    two = generate(parts, EDITED, **same).latents
    how = dict(self_attention=self_attention, attention=True)
    result = edit_prompt(parts, PROMPTS[0], EDITED, share, **how, **same).latents
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
    shares, parts = [], build("tiny")

    def look(*args):
        shares.append(bool(hooks(parts.unet)))

    watch = parts.unet.conv_out.register_forward_pre_hook(look)
    edit_prompt(parts, PROMPTS[0], EDITED, 0.5, scheduler="ddim", seed=0, **FOUR)
    watch.remove()
    assert shares == [True, True, False, False]


def test_hooks_are_gone_after_an_error():
    parts = build("tiny")

    def fail(*args):
        raise RuntimeError("stop")

    breaking = parts.unet.conv_out.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="stop"):
        edit_prompt(parts, PROMPTS[0], EDITED, 1, seed=0, **FOUR)
    breaking.remove()
    assert not hooks(parts.unet)


# A given picture's noise


def test_an_inverted_picture_comes_back(shipped):
    """A picture of the model's own, whose latents the VAE brings back: nothing else is lost."""
    drawn = generate(shipped, PROMPTS[0], seed=0, num_inference_steps=20).images[0]
    noise = invert(shipped, PROMPTS[0], drawn, corrections=2, num_inference_steps=20)
    how = dict(scheduler="ddim", num_inference_steps=20, guidance_scale=1.0)
    again = generate(shipped, PROMPTS[0], latents=noise, **how).latents
    latents = shipped.encode(to_tensor(drawn))
    apart = (again - latents).square().mean() / latents.square().mean()
    assert apart < 0.05
    elsewhere = generate(shipped, PROMPTS[0], seed=1, **how).latents
    assert (elsewhere - latents).square().mean() > 5 * (again - latents).square().mean()


def test_inversion_is_no_matter_of_seeds():
    parts = build("tiny")
    kept = [invert(parts, PROMPTS[0], IMAGES[0], seed=seed, **FOUR) for seed in (0, 1)]
    assert_identical(*kept)


def test_pictures_are_inverted_one_by_one():
    parts, prompts = build("tiny"), ["a red cat", "two fish"]
    both = invert(parts, prompts, IMAGES, **FOUR)
    pairs = zip(prompts, IMAGES, strict=True)
    alone = [invert(parts, prompt, image, **FOUR) for prompt, image in pairs]
    torch.testing.assert_close(both, torch.cat(alone), rtol=1e-4, atol=1e-4)


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


@pytest.mark.parametrize("kwargs, words", BAD_PICTURES, ids=shortly)
@each_edit
def test_bad_pictures(edit, kwargs, words):
    with refused(*words):
        edit(build("tiny"), **A_CAT | kwargs)


@pytest.mark.parametrize("mask, words", BAD_MASKS.values(), ids=BAD_MASKS)
def test_bad_masks(mask, words):
    with refused(*words):
        inpaint(build("tiny"), mask=mask, **A_CAT)


def test_a_unet_made_for_inpainting():
    with refused("9 channels instead of the 4", "inpaint"):
        image_to_image(reading_masks("tiny"), **A_CAT)
    with refused("9 channels instead of the 4", "inpaint"):
        invert(reading_masks("tiny"), **A_CAT)


@pytest.mark.parametrize("channels", [5, 8])
@each_edit
def test_a_unet_of_other_channels(edit, channels):
    parts = build("tiny")
    unet = type(parts.unet).from_config(parts.unet.config, in_channels=channels)
    with refused(f"{channels} channels instead of the 4"):
        edit(replace(parts, unet=unet), **A_CAT)


@pytest.mark.parametrize("kwargs, words", BAD_EDITS, ids=shortly)
@no_warning
def test_bad_edits(kwargs, words):
    usual = dict(prompt=PROMPTS[0], edited=EDITED)
    with refused(*words):
        edit_prompt(build("tiny"), **usual | kwargs)
