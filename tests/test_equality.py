"""`generate` equals diffusers' StableDiffusionPipeline from the same latents.

On the CPU in float32, on one thread.
"""

import copy
import functools
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import diffusers
import pytest
import torch

from sdlearn.core import make_generator
from sdlearn.parts import Settings
from sdlearn.pipeline import generate
from sdlearn.schedulers import SCHEDULERS

from .conftest import assert_identical, assert_same_latents, assert_same_picture
from .random_parts import build_parts, build_scheduler

USUAL_GUIDANCE = Settings().guidance_scale

pytestmark = pytest.mark.usefixtures("one_thread")
PROMPTS = ["a red cat at the beach", "two fish"]
NEGATIVES = ["a blue cat", ""]
LATENTS = torch.randn(2, 4, 8, 8, generator=make_generator(1))
KINDS = "tiny", "sd1", "sd2"
# A matrix of 120 is too much for `dev.py test --fast`.
SOME_SLOW = [
    "tiny",
    pytest.param("sd1", marks=pytest.mark.slow),
    pytest.param("sd2", marks=pytest.mark.slow),
]
FOUR = dict(num_inference_steps=4)
build = functools.cache(build_parts)


def stock(parts, prompt, scheduler=None, seed=0, **kwargs):
    """The library's own answer."""
    pipe = parts.to_pipeline()
    if scheduler:
        pipe.scheduler = scheduler
    pipe.set_progress_bar_config(disable=True)
    usual = dict(guidance_scale=USUAL_GUIDANCE, output_type="latent", **FOUR)
    return pipe(prompt, generator=make_generator(seed), **usual | kwargs).images


def ours(parts, prompt, seed=0, **kwargs):
    return generate(parts, prompt, generator=make_generator(seed), **FOUR | kwargs)


def assert_same(result, expected):
    assert_same_latents(result.latents, expected)


@pytest.mark.parametrize("guided", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("kind", SOME_SLOW)
def test_schedulers(kind, name, prediction_type, guided):
    cls = getattr(diffusers, SCHEDULERS[name])
    mine = build_scheduler(prediction_type, cls)
    theirs = build_scheduler(prediction_type, cls)
    kwargs = dict(latents=LATENTS, guidance_scale=1.0)
    if guided:
        kwargs |= dict(negative_prompt=NEGATIVES, guidance_scale=7.5)
    assert_same(
        ours(build(kind), PROMPTS, scheduler=mine, **kwargs),
        stock(build(kind), PROMPTS, scheduler=theirs, **kwargs),
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "kwargs",
    [
        dict(prompt=PROMPTS[0]),
        dict(prompt=PROMPTS[0], guidance_scale=0.0),
        dict(prompt=PROMPTS[0], negative_prompt="a dog"),
        dict(prompt=PROMPTS[0], guidance_scale=7.5, guidance_rescale=0.7),
        dict(prompt=PROMPTS),
        dict(prompt=PROMPTS, guidance_scale=1.0, negative_prompt=NEGATIVES),
        dict(prompt=PROMPTS[0], height=48, width=80),
        dict(prompt=PROMPTS[0], num_inference_steps=1),
        dict(prompt=" ".join(["a red cat"] * 40)),
    ],
    ids=lambda kwargs: "-".join(map(str, kwargs))[:40],
)
@pytest.mark.filterwarnings("ignore::sdlearn.pipeline.PromptWarning")
def test_arguments(kind, kwargs):
    kwargs = {"guidance_scale": 7.5, **kwargs}
    assert_same(ours(build(kind), **kwargs), stock(build(kind), **kwargs))


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_ddim_eta(eta):
    mine, theirs = (build_scheduler(cls=diffusers.DDIMScheduler) for _ in range(2))
    assert_same(
        ours(build("tiny"), PROMPTS, scheduler=mine, eta=eta),
        stock(build("tiny"), PROMPTS, scheduler=theirs, eta=eta),
    )


@pytest.mark.parametrize("steps", [5, 6, 9])
def test_single_step_solver_at_odd_and_even_steps(steps):
    cls = diffusers.DPMSolverSinglestepScheduler
    mine, theirs = (build_scheduler(cls=cls) for _ in range(2))
    count = dict(num_inference_steps=steps)
    assert_same(
        ours(build("tiny"), PROMPTS[0], scheduler=mine, **count),
        stock(build("tiny"), PROMPTS[0], scheduler=theirs, **count),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_pictures(kind):
    mine = ours(build(kind), PROMPTS).images
    theirs = stock(build(kind), PROMPTS, output_type="pil")
    for image, expected in zip(mine, theirs, strict=True):
        assert_same_picture(image, expected)


@contextmanager
def watched(parts):
    """The shapes of what the text encoder and the UNet of these parts are given."""
    seen = []

    def note(network, args, kwargs):
        first = [*args, *kwargs.values()][0]
        seen.append((type(network).__name__, tuple(first.shape)))

    networks = parts.text_encoder, parts.unet
    hooks = [n.register_forward_pre_hook(note, with_kwargs=True) for n in networks]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


@pytest.mark.parametrize("kind", KINDS)
def test_the_networks_see_the_same_batches(kind):
    """Prompts and negative prompts embedded apart, drawn together."""
    kwargs = dict(negative_prompt=NEGATIVES, guidance_scale=7.5, latents=LATENTS)
    with watched(build(kind)) as mine:
        ours(build(kind), PROMPTS, **kwargs)
    with watched(build(kind)) as theirs:
        stock(build(kind), PROMPTS, **kwargs)
    assert len(mine) >= 6  # prompts, negative prompts, and each step
    assert mine == theirs


# Clip skip


def with_inner_model(parts):
    """diffusers looks for a layer of CLIP where older versions of transformers have it."""
    encoder = copy.deepcopy(parts.text_encoder)
    if not hasattr(encoder, "text_model"):
        norm = encoder.final_layer_norm
        vars(encoder)["text_model"] = SimpleNamespace(final_layer_norm=norm)
    return replace(parts, text_encoder=encoder)


@pytest.mark.parametrize("kind, layers", [("tiny", 3), ("sd1", 2), ("sd2", 3)])
@pytest.mark.parametrize("guidance_scale", [1.0, 7.5])
def test_clip_skip(kind, layers, guidance_scale):
    parts = build(kind)
    theirs = with_inner_model(parts)
    how = dict(negative_prompt=NEGATIVES, guidance_scale=guidance_scale)
    drawn = []
    for clip_skip in range(layers + 1):
        result = ours(parts, PROMPTS, clip_skip=clip_skip, **how)
        assert_same(result, stock(theirs, PROMPTS, clip_skip=clip_skip, **how))
        assert result.settings.clip_skip == clip_skip
        drawn.append(result.latents)
    assert not any(torch.equal(one, two) for one, two in pairwise(drawn))


def test_no_clip_skip():
    """None leaves all as it is, and skipping no layer is the same but for rounding."""
    plain = ours(build("tiny"), PROMPTS).latents
    assert_identical(ours(build("tiny"), PROMPTS, clip_skip=None).latents, plain)
    torch.testing.assert_close(
        ours(build("tiny"), PROMPTS, clip_skip=0).latents, plain, atol=1e-4, rtol=1e-4
    )


def test_recording_changes_nothing():
    plain = ours(build("sd1"), PROMPTS)
    recorded = ours(build("sd1"), PROMPTS, trajectory=True, attention=True)
    torch.testing.assert_close(recorded.latents, plain.latents, atol=1e-4, rtol=1e-4)
