"""Every scheduler of diffusers draws as in the stock pipeline, or is refused in a sentence."""

import functools

import diffusers
import pytest
import torch
from diffusers import schedulers

from sdlearn.core import make_generator
from sdlearn.parts import Settings, make_scheduler
from sdlearn.pipeline import generate
from sdlearn.sheet import stages_sheet

from .conftest import assert_identical, assert_same_latents, refused
from .random_parts import build_parts, build_scheduler

USUAL_GUIDANCE = Settings().guidance_scale

pytestmark = pytest.mark.usefixtures("one_thread")

PROMPT = "a red cat at the beach"
HOW = dict(num_inference_steps=4, guidance_scale=USUAL_GUIDANCE)
build = functools.cache(build_parts)


def stock(parts, scheduler):
    """The library's own answer, None if it has none."""
    pipe = parts.to_pipeline()
    pipe.set_progress_bar_config(disable=True)
    noise = dict(generator=make_generator(0), output_type="latent")
    try:
        pipe.scheduler = scheduler()
        return pipe(PROMPT, **noise, **HOW).images
    except Exception:  # of any kind: what matters is that it does not draw
        return None


def draw(parts, scheduler, **kwargs):
    noise = dict(generator=make_generator(0))
    return generate(parts, PROMPT, scheduler=scheduler, **noise, **HOW | kwargs)


def is_drawn(parts, name, given, make):
    """Is it drawn as in the stock pipeline? If that fails, ours must refuse it."""
    expected = stock(parts, make)
    if expected is None:
        with refused(f"{name} cannot be used here (", "pass one of pndm, ddim"):
            draw(parts, given())
        return False
    assert_same_latents(draw(parts, given()).latents, expected)
    return True


def assert_has_a_sheet(parts, scheduler):
    """The page of stages, whatever the scheduler says of its guesses."""
    kept = draw(parts, scheduler, trajectory=True, attention=True)
    assert stages_sheet(parts, kept).width == 1600


# All classes that this version of diffusers has

CLASSES = [name for name in dir(schedulers) if name.endswith("Scheduler")]
QUICK = ["EDMEulerScheduler", "FlowMatchEulerDiscreteScheduler", "TCDScheduler"]
DRAWN = ["DPMSolverMultistepInverseScheduler", "SASolverScheduler", "IPNDMScheduler"]


def class_of(name):
    return getattr(schedulers, name)


@pytest.mark.parametrize(
    "name",
    [o if o in QUICK else pytest.param(o, marks=pytest.mark.slow) for o in CLASSES],
)
@pytest.mark.parametrize("kind", ["tiny", pytest.param("sd2", marks=pytest.mark.slow)])
def test_classes(kind, name):
    parts, cls = build(kind), class_of(name)
    always = {"clip_sample": False, "skip_prk_steps": True}

    def make():
        return cls.from_config({**always, **parts.scheduler.config})

    if is_drawn(parts, name, lambda: cls, make):
        assert_same_latents(draw(parts, make()).latents, stock(parts, make))
        assert_has_a_sheet(parts, cls)


def test_there_are_many_classes():
    assert len(CLASSES) > 30
    assert {*QUICK, *DRAWN} <= {*CLASSES}


@pytest.mark.parametrize("name", DRAWN)
def test_these_classes_are_drawn(name):
    """An inverse scheduler steps away from the picture: the slightest rounding grows there."""
    parts, cls = build("tiny"), class_of(name)
    assert_same_latents(
        draw(parts, cls).latents,
        stock(parts, lambda: make_scheduler(parts, cls, 4)),
    )


# Settings of schedulers

DPM = diffusers.DPMSolverMultistepScheduler
EULER = diffusers.EulerDiscreteScheduler
FLOW = dict(use_flow_sigmas=True, prediction_type="flow_prediction")
ZERO_SNR = dict(rescale_betas_zero_snr=True, timestep_spacing="trailing")
SETTINGS = [
    (DPM, FLOW),
    (DPM, dict(use_karras_sigmas=True)),
    (DPM, dict(use_lu_lambdas=True)),
    (DPM, dict(algorithm_type="sde-dpmsolver++")),
    (DPM, dict(solver_order=3, thresholding=True)),
    (diffusers.UniPCMultistepScheduler, FLOW),
    (diffusers.DPMSolverSinglestepScheduler, FLOW),
    (diffusers.DEISMultistepScheduler, FLOW),
    (EULER, dict(timestep_type="continuous", prediction_type="v_prediction")),
    (EULER, dict(interpolation_type="log_linear")),
    (EULER, ZERO_SNR),
    (EULER, dict(prediction_type="sample")),
    (diffusers.DDPMScheduler, dict(variance_type="fixed_large")),
    (diffusers.PNDMScheduler, dict(skip_prk_steps=False)),
    (diffusers.LCMScheduler, dict(original_inference_steps=20)),
    (diffusers.EDMEulerScheduler, dict(prediction_type="v_prediction")),
    (diffusers.DDIMInverseScheduler, {}),
    (diffusers.DDIMScheduler, dict(num_train_timesteps=500)),
    (diffusers.DDIMScheduler, dict(trained_betas=[0.001] * 1000)),
]
REFUSED = [
    (diffusers.DDPMScheduler, dict(variance_type="learned")),
    (diffusers.DDPMScheduler, dict(variance_type="learned_range")),
    (DPM, dict(variance_type="learned_range")),
    (diffusers.DDIMScheduler, dict(prediction_type="flow_prediction")),
    (diffusers.DDIMScheduler, dict(prediction_type="nonsense")),
    (EULER, dict(prediction_type="nonsense")),
    (diffusers.DDIMScheduler, dict(timestep_spacing="nonsense")),
    (diffusers.UnCLIPScheduler, dict(beta_schedule="squaredcos_cap_v2")),
]


def all_but_three_slow(cases):
    return [*cases[:3], *(pytest.param(*o, marks=pytest.mark.slow) for o in cases[3:])]


def short(value):
    return "-".join(map(str, value)) if isinstance(value, dict) else value.__name__


@pytest.mark.parametrize("cls, config", all_but_three_slow(SETTINGS), ids=short)
def test_settings_that_draw(cls, config):
    parts = build("tiny")

    def make():
        return build_scheduler(cls=cls, **config)

    assert is_drawn(parts, cls.__name__, make, make)
    assert_has_a_sheet(parts, make())


@pytest.mark.parametrize("cls, config", all_but_three_slow(REFUSED), ids=short)
def test_settings_that_are_refused(cls, config):
    def make():
        return build_scheduler(cls=cls, **config)

    assert not is_drawn(build("tiny"), cls.__name__, make, make)


ENDS_AT_ITS_GUESS = [
    (DPM, FLOW),
    (diffusers.UniPCMultistepScheduler, FLOW),
    (EULER, dict(timestep_type="continuous", prediction_type="v_prediction")),
    (EULER, dict(prediction_type="sample")),
]


@pytest.mark.parametrize("cls, config", ENDS_AT_ITS_GUESS, ids=short)
def test_the_last_guess_is_the_picture(cls, config):
    scheduler = build_scheduler(cls=cls, **config)
    kept = draw(build("tiny"), scheduler, trajectory=True)
    last_guess = kept.trajectory[-1][2]
    torch.testing.assert_close(last_guess, kept.latents, atol=1e-5, rtol=1e-5)


def test_a_setting_of_another_class_is_nobodys_business():
    """`from_config` keeps what it does not know; a scheduler is judged by its own settings."""
    foreign = dict(variance_type="learned", interpolation_type="log_linear")
    strange = build_scheduler(cls=diffusers.DDIMScheduler, **foreign)
    assert strange.config["variance_type"] == "learned"
    usual = draw(build("tiny"), "ddim", trajectory=True)
    kept = draw(build("tiny"), strange, trajectory=True)
    assert_identical(kept.latents, usual.latents)
    assert_identical(kept.trajectory[0][2], usual.trajectory[0][2])


def test_choosing_a_scheduler_draws_no_number():
    """A scheduler is tried with a generator of its own."""
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    for name in ("ddpm", "euler-a", diffusers.LCMScheduler):
        make_scheduler(build("tiny"), name, 4)
    assert torch.equal(torch.rand(3), expected)
