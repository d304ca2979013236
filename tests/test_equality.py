"""`generate` equals diffusers' StableDiffusionPipeline from the same latents.

On the CPU in float32, on one thread.
"""

import functools

import diffusers
import pytest
import torch

from sdlearn.core import make_generator
from sdlearn.parts import GUIDANCE_SCALE, SCHEDULERS
from sdlearn.pipeline import generate

from .conftest import assert_same_picture
from .random_parts import build_parts, build_scheduler

pytestmark = pytest.mark.usefixtures("one_thread")
PROMPTS = ["a red cat at the beach", "two fish"]
NEGATIVES = ["a blue cat", ""]
LATENTS = torch.randn(2, 4, 8, 8, generator=make_generator(1))
KINDS = "tiny", "sd1", "sd2"
build = functools.cache(build_parts)


def stock(parts, prompt, scheduler=None, seed=0, **kwargs):
    """The library's own answer."""
    pipe = parts.to_pipeline()
    if scheduler:
        pipe.scheduler = scheduler
    pipe.set_progress_bar_config(disable=True)
    kwargs = {
        "num_inference_steps": 4,
        "guidance_scale": GUIDANCE_SCALE,
        "output_type": "latent",
        **kwargs,
    }
    return pipe(prompt, generator=make_generator(seed), **kwargs).images


def ours(parts, prompt, seed=0, **kwargs):
    kwargs = {"num_inference_steps": 4, **kwargs}
    return generate(parts, prompt, generator=make_generator(seed), **kwargs)


def assert_same(result, expected):
    assert expected.isfinite().all() and expected.std() > 0
    torch.testing.assert_close(result.latents, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("guided", [True, False])
@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("kind", KINDS)
def test_schedulers(kind, name, prediction_type, guided):
    cls = getattr(diffusers, SCHEDULERS[name])
    mine = build_scheduler(prediction_type, cls)
    theirs = build_scheduler(prediction_type, cls)
    kwargs = dict(guidance_scale=1.0)
    if guided:
        kwargs = dict(negative_prompt=NEGATIVES, guidance_scale=7.5)
    assert_same(
        ours(build(kind), PROMPTS, scheduler=mine, latents=LATENTS, **kwargs),
        stock(build(kind), PROMPTS, scheduler=theirs, latents=LATENTS, **kwargs),
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
    mine, theirs = (
        build_scheduler(cls=diffusers.DPMSolverSinglestepScheduler) for _ in range(2)
    )
    assert_same(
        ours(build("tiny"), PROMPTS[0], scheduler=mine, num_inference_steps=steps),
        stock(build("tiny"), PROMPTS[0], scheduler=theirs, num_inference_steps=steps),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_pictures(kind):
    mine = ours(build(kind), PROMPTS).images
    theirs = stock(build(kind), PROMPTS, output_type="pil")
    for image, expected in zip(mine, theirs, strict=True):
        assert_same_picture(image, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_bit_for_bit(kind):
    """The very same computation: prompts and negative prompts embedded apart, as there."""
    kwargs = dict(negative_prompt=NEGATIVES, guidance_scale=7.5, latents=LATENTS)
    mine = ours(build(kind), PROMPTS, **kwargs).latents
    assert torch.equal(mine, stock(build(kind), PROMPTS, **kwargs))


def test_recording_changes_nothing():
    plain = ours(build("sd1"), PROMPTS)
    recorded = ours(build("sd1"), PROMPTS, trajectory=True, attention=True)
    torch.testing.assert_close(recorded.latents, plain.latents, atol=1e-4, rtol=1e-4)
