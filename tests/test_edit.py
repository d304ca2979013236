"Editing equals diffusers' own pipelines, on the CPU in float32, and bad input ends in one clear sentence."

import functools
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionInpaintPipeline
from PIL import Image, ImageDraw

from sdlearn.attention import attention
from sdlearn.core import make_generator, randn, to_images
from sdlearn.edit import edit_prompt, image_to_image, inpaint, share_attention, slerp
from sdlearn.pipeline import GUIDANCE_SCALE, generate, load_parts, make_scheduler
from sdlearn.text import encode_prompt

from .conftest import sentence
from .random_parts import build_parts

pytestmark = pytest.mark.usefixtures("one_thread")
PROMPTS, EDITED = ["a red cat at the beach", "two fish"], "a blue cat at the beach"
IMAGES = to_images(randn((2, 3, 64, 64), make_generator(5)) / 2)
MASK = Image.new("L", (64, 64))
ImageDraw.Draw(MASK).ellipse((10, 13, 50, 55), fill=255)
KINDS, SCHEDULERS = (
    ("tiny", "sd1", "sd2", "shipped"),
    ("ddim", "pndm", "euler", "dpm++", "heun"),
)


@functools.cache
def build(kind):
    return load_parts("tiny", device="cpu") if kind == "shipped" else build_parts(kind)


def assert_same(cls, parts, name, prompt=PROMPTS, image=IMAGES, **kwargs):
    kwargs = dict(num_inference_steps=4, guidance_scale=GUIDANCE_SCALE) | kwargs
    pipe = cls(
        **{**vars(parts), "scheduler": make_scheduler(parts, name)},
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    painting = cls is StableDiffusionInpaintPipeline
    theirs = (
        dict(mask_image=MASK, height=image[0].height, width=image[0].width)
        if painting
        else {}
    )
    expected = pipe(
        prompt,
        image=image,
        generator=make_generator(3),
        output_type="latent",
        **theirs,
        **kwargs,
    ).images
    mine = (inpaint if painting else image_to_image)(
        parts,
        prompt,
        image,
        **{"mask": MASK} if painting else {},
        generator=make_generator(3),
        scheduler=make_scheduler(parts, name),
        **kwargs,
    )
    assert expected.isfinite().all() and expected.std() > 0
    torch.testing.assert_close(mine.latents, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("strength", [0.6, 1.0])
@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "cls",
    [StableDiffusionImg2ImgPipeline, StableDiffusionInpaintPipeline],
    ids=["image_to_image", "inpaint"],
)
def test_equality(cls, kind, name, strength):
    assert_same(cls, build(kind), name, strength=strength)


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
@pytest.mark.parametrize(
    "cls",
    [StableDiffusionImg2ImgPipeline, StableDiffusionInpaintPipeline],
    ids=["image_to_image", "inpaint"],
)
@pytest.mark.filterwarnings("ignore::sdlearn.pipeline.PromptWarning")
def test_arguments(cls, kwargs):
    assert_same(cls, build("tiny"), "ddim", **kwargs)


@pytest.mark.parametrize("name", ["ddpm", "euler-a"])
def test_random_schedulers(name):
    assert_same(StableDiffusionImg2ImgPipeline, build("tiny"), name, strength=0.7)


def test_a_wide_picture():
    assert_same(
        StableDiffusionImg2ImgPipeline,
        build("tiny"),
        "ddim",
        image=[o.resize((80, 48)) for o in IMAGES],
        strength=0.7,
    )


def test_one_picture_for_all_prompts():
    edit = functools.partial(image_to_image, build("tiny"), num_inference_steps=4)
    result = edit(["a cat"] * 2, IMAGES[0], generator=make_generator(0))
    assert len(result.images) == 2 and not torch.equal(*result.latents)


def test_what_is_kept_stays():
    mask = torch.from_numpy(np.array(MASK)[::8, ::8] > 127)
    one, two = (
        inpaint(
            build("tiny"),
            prompt,
            IMAGES[0],
            MASK,
            num_inference_steps=4,
            generator=make_generator(0),
        ).latents
        for prompt in PROMPTS
    )
    assert torch.equal(one[..., ~mask], two[..., ~mask]) and not torch.equal(
        one[..., mask], two[..., mask]
    )


def test_options_are_passed_on():
    seen = []

    def after_step(latents, t):
        return seen.append(t) or latents

    result = image_to_image(
        build("tiny"),
        PROMPTS[0],
        IMAGES[0],
        0.5,
        num_inference_steps=4,
        generator=make_generator(0),
        scheduler="ddim",
        trajectory=True,
        attention=True,
        after_step=after_step,
    )
    assert len(seen) == len(result.trajectory) == len(result.attention.steps) == 2


# Noises and prompts


def test_slerp():
    a, b = (randn((3, 4, 8, 8), make_generator(seed)) for seed in (0, 1))
    for share, expected in ((0.0, a), (1.0, b)):
        torch.testing.assert_close(slerp(a, b, share), expected)
    torch.testing.assert_close(slerp(a, a, 0.4), a)
    unit = [o / o.flatten(1).norm(dim=1)[:, None, None, None] for o in (a, b)]
    torch.testing.assert_close(slerp(*unit, 0.3).flatten(1).norm(dim=1), torch.ones(3))


def first(unet, layer):
    return next(module for name, module in unet.named_modules() if name.endswith(layer))


@pytest.mark.parametrize("kind", KINDS)
def test_shared_attention(kind):
    parts = build(kind)
    layer, words = (
        first(parts.unet, "attn2"),
        encode_prompt(parts.tokenizer, parts.text_encoder, [PROMPTS[0], EDITED]),
    )
    x = randn((2, 16, layer.to_q.in_features), make_generator(0))
    with torch.no_grad():
        plain = layer(x, words)
        with share_attention(parts.unet):
            shared = layer(x, words)
        by_hand, _ = attention(
            layer.to_q(x[:1]), layer.to_k(words[:1]), layer.to_v(words[1:]), layer.heads
        )
        torch.testing.assert_close(shared[1:], layer.to_out[0](by_hand))
        torch.testing.assert_close(shared[0], plain[0])
        torch.testing.assert_close(layer(x, words), plain, rtol=0, atol=0)


@pytest.mark.parametrize("guidance_scale", [1.0, 5.0])
@pytest.mark.parametrize("share, self_attention", [(0, False), (0.5, False), (1, True)])
def test_edit_prompt(share, self_attention, guidance_scale):
    parts, kwargs = (
        build("tiny"),
        dict(num_inference_steps=4, guidance_scale=guidance_scale),
    )
    alone = [
        generate(parts, prompt, generator=make_generator(0), **kwargs).latents
        for prompt in (PROMPTS[0], EDITED)
    ]
    result = edit_prompt(
        parts,
        PROMPTS[0],
        EDITED,
        share,
        generator=make_generator(0),
        self_attention=self_attention,
        attention=True,
        **kwargs,
    ).latents
    torch.testing.assert_close(result[:1], alone[0], rtol=0, atol=1e-4)
    if share:
        assert not torch.allclose(result[1:], alone[1], rtol=0, atol=1e-4)
    else:
        torch.testing.assert_close(result[1:], alone[1], rtol=0, atol=1e-4)
    assert not any(module._forward_hooks for module in parts.unet.modules())


def test_shared_maps_are_the_same():
    result = edit_prompt(
        build("tiny"),
        PROMPTS[0],
        EDITED,
        1,
        generator=make_generator(0),
        attention=True,
        num_inference_steps=2,
    )
    for one, two in result.attention.means.values():
        torch.testing.assert_close(one, two)


def test_hooks_are_gone_after_an_error():
    with pytest.raises(TypeError):
        edit_prompt(build("tiny"), PROMPTS[0], EDITED, no_such_option=1)
    assert not any(module._forward_hooks for module in build("tiny").unet.modules())


# Bad input


@pytest.mark.parametrize(
    "kwargs, words",
    [
        (dict(strength=0), ["strength", "above 0 and up to 1", "not 0"]),
        (dict(strength=-0.5), ["strength", "not -0.5"]),
        (dict(strength=1.01), ["strength", "not 1.01"]),
        (dict(strength=float("nan")), ["strength", "not nan"]),
        (dict(strength="0.5"), ["strength", "not '0.5'"]),
        (dict(strength=None), ["strength", "not None"]),
        (dict(strength=True), ["strength", "not True"]),
        (dict(strength=0.2), ["strength 0.2 of 4 steps leaves no step", "raise"]),
        (
            dict(image=IMAGES[0].resize((60, 64))),
            ["multiples of 8", "60 and 64", "resize"],
        ),
        (dict(image=IMAGES), ["2 pictures", "1 texts"]),
        (dict(image=[]), ["0 pictures", "1 texts"]),
        (dict(image=IMAGES[:1], prompt=PROMPTS), ["1 pictures", "2 texts"]),
        (
            dict(image=[IMAGES[0], IMAGES[1].resize((32, 32))], prompt=PROMPTS),
            ["one size", "(32, 32)"],
        ),
        (dict(image="cat.png"), ["PIL picture", "not str", "PIL.Image.open"]),
        (
            dict(image=torch.zeros(1, 3, 64, 64)),
            ["PIL picture", "not Tensor", "to_images"],
        ),
        (dict(image=None), ["PIL picture", "not NoneType"]),
        (dict(prompt=7), ["prompt must be a text"]),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, dict) else "",
)
@pytest.mark.parametrize(
    "edit",
    [image_to_image, functools.partial(inpaint, mask=MASK)],
    ids=["image_to_image", "inpaint"],
)
def test_bad_pictures(edit, kwargs, words):
    with pytest.raises(ValueError) as error:
        edit(
            build("tiny"),
            **{
                "prompt": "a cat",
                "image": IMAGES[0],
                "num_inference_steps": 4,
                **kwargs,
            },
        )
    for word in words:
        assert word in sentence(error)


@pytest.mark.parametrize(
    "mask, words",
    [
        (MASK.resize((32, 64)), ["mask has 32x64 pixels", "64x64"]),
        (None, ["mask must be a PIL picture", "NoneType"]),
        (torch.zeros(64, 64), ["mask must be a PIL picture", "Tensor"]),
    ],
    ids=["size", "none", "tensor"],
)
def test_bad_masks(mask, words):
    with pytest.raises(ValueError) as error:
        inpaint(build("tiny"), "a cat", IMAGES[0], mask, num_inference_steps=4)
    for word in words:
        assert word in sentence(error)


@pytest.mark.parametrize(
    "edit",
    [image_to_image, functools.partial(inpaint, mask=MASK)],
    ids=["image_to_image", "inpaint"],
)
def test_a_unet_made_for_inpainting(edit):
    unet = build("tiny").unet
    nine = replace(
        build("tiny"), unet=type(unet).from_config(unet.config, in_channels=9)
    )
    with pytest.raises(ValueError) as error:
        edit(nine, "a cat", IMAGES[0])
    assert "9 channels instead of the 4" in sentence(error)


@pytest.mark.parametrize(
    "kwargs, words",
    [
        (
            dict(edited="two blue cats at the beach today"),
            ["has 6 tokens", "has 11: change words"],
        ),
        (dict(edited=7), ["prompt must be a text"]),
        (dict(share=1.5), ["share must be", "not 1.5"]),
        (dict(share="half"), ["share must be", "'half'"]),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::sdlearn.pipeline.PromptWarning")
def test_bad_edits(kwargs, words):
    with pytest.raises(ValueError) as error:
        edit_prompt(build("tiny"), **{"prompt": PROMPTS[0], "edited": EDITED, **kwargs})
    for word in words:
        assert word in sentence(error)
