"""Our steps beside diffusers' own, on a small random denoiser."""

from functools import partial

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
)

from sdlearn.core import make_generator, randn
from sdlearn.samplers import (
    StepScheduler,
    ddim_step,
    ddpm_step,
    dpm_step,
    euler_step,
    pred_original_sample,
    sampling_loop,
)
from sdlearn.schedule import predict_original_sample

from .conftest import refused

BETAS = dict(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
STEPS = ddim_step, ddpm_step, euler_step, dpm_step
WEIGHT = randn((16, 16), make_generator(0)) / 4
START = randn((2, 1, 4, 4), make_generator(1))

each_prediction_type = pytest.mark.parametrize(
    "prediction_type", ["epsilon", "sample", "v_prediction"]
)
each_spacing = pytest.mark.parametrize("spacing", ["leading", "trailing"])
each_step = pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)


def denoise(model_input, t):
    seen = torch.tanh(model_input.flatten(1) @ WEIGHT).view_as(model_input)
    return seen + 0.1 * model_input


def settings(prediction_type="epsilon", spacing="trailing"):
    named = dict(prediction_type=prediction_type, timestep_spacing=spacing)
    return dict(**BETAS, **named, steps_offset=1)


def ddim(clean=False, **options):
    """Stable Diffusion's, unless it ends at the clean picture."""
    end = dict(set_alpha_to_one=clean)
    return DDIMScheduler(**settings(**options), clip_sample=False, **end)


def draw(scheduler, latents=START, steps=20, **options):
    scheduler.set_timesteps(steps)
    source = make_generator(2)
    return sampling_loop(denoise, scheduler, latents, generator=source, **options)


def assert_same(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@each_prediction_type
@pytest.mark.parametrize("spacing, steps", [("leading", 30), ("trailing", 20)])
@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("clean", [False, True])
def test_ddim(prediction_type, spacing, steps, eta, clean):
    theirs = ddim(clean, prediction_type=prediction_type, spacing=spacing)
    step = partial(ddim_step, eta=eta)
    ours = StepScheduler(step, DDIMScheduler.from_config(theirs.config))
    assert_same(draw(ours, steps=steps), draw(theirs, steps=steps, eta=eta))


@each_prediction_type
@each_spacing
def test_ddpm(prediction_type, spacing):
    options = dict(prediction_type=prediction_type, spacing=spacing)
    ours = StepScheduler(ddpm_step, ddim(clean=True, **options))
    theirs = DDPMScheduler(**settings(**options), clip_sample=False)
    assert_same(draw(ours), draw(theirs))


@each_prediction_type
@each_spacing
@pytest.mark.parametrize("clean", [False, True])
def test_euler_is_ddim(prediction_type, spacing, clean):
    options = dict(prediction_type=prediction_type, spacing=spacing)
    ours = StepScheduler(euler_step, ddim(clean, **options))
    assert_same(draw(ours), draw(ddim(clean, **options)))


@each_prediction_type
def test_euler(prediction_type):
    """diffusers' sample is ours, divided by sqrt(alphas_cumprod)."""
    theirs = EulerDiscreteScheduler(**settings(prediction_type))
    ours = StepScheduler(euler_step, ddim(True, prediction_type=prediction_type))
    scaled = START / ours.alphas_cumprod[999] ** 0.5
    assert_same(draw(ours), draw(theirs, scaled))


@each_prediction_type
@pytest.mark.parametrize("steps", [1, 4, 20])
@pytest.mark.parametrize("clean", [False, True])
def test_dpm(prediction_type, steps, clean):
    """At the clean picture the last step is one of first order, in diffusers as here."""
    theirs = DPMSolverMultistepScheduler(
        **settings(prediction_type),
        final_sigmas_type="zero" if clean else "sigma_min",
        lower_order_final=False,
    )
    ours = StepScheduler(dpm_step, ddim(clean, prediction_type=prediction_type))
    assert_same(draw(ours, steps=steps), draw(theirs, steps=steps))


def theirs_for(step):
    """The scheduler of diffusers that takes the same steps."""
    if step is ddpm_step:
        return DDPMScheduler(**settings(), clip_sample=False)
    if step is dpm_step:
        return DPMSolverMultistepScheduler(**settings())
    return ddim(clean=True)


def draw_the_end(scheduler, begin=12):
    """Begin in the middle, from `add_noise`."""
    scheduler.set_timesteps(20)
    timesteps = scheduler.timesteps[begin:]
    noisy = scheduler.add_noise(torch.ones_like(START), START, timesteps[:1])
    return sampling_loop(denoise, scheduler, noisy, timesteps, make_generator(3))


@each_step
def test_the_last_part_of_the_way(step):
    """What image-to-image and inpainting do."""
    ours = StepScheduler(step, ddim(clean=True))
    assert_same(draw_the_end(ours), draw_the_end(theirs_for(step)))


@each_step
def test_one_scheduler_for_several_pictures(step):
    """A loop that begins anew, at any timestep, remembers nothing of the one before."""
    used = StepScheduler(step, ddim())
    first = draw(used)
    for begin in (0, 7):
        fresh = StepScheduler(step, ddim())
        assert torch.equal(draw_the_end(used, begin), draw_the_end(fresh, begin))
    assert torch.equal(draw(used), first)


@each_prediction_type
@each_step
def test_on_step_and_after_step(step, prediction_type):
    ours = StepScheduler(step, ddim(prediction_type=prediction_type))
    seen, following = [], []

    def on_step(t, model_input, guess):
        seen.append(int(t))
        output = denoise(model_input, t)
        expected = pred_original_sample(ours, output, model_input, t)
        torch.testing.assert_close(guess, expected)

    def after_step(latents, t_next):
        following.append(t_next)
        return torch.full_like(latents, 7.0)

    drawn = draw(ours, steps=4, on_step=on_step, after_step=after_step)
    assert seen == ours.timesteps.tolist() == [999, 749, 499, 249]
    assert following[-1] is None
    assert [int(t) for t in following[:-1]] == seen[1:]
    assert torch.equal(drawn, torch.full_like(START, 7.0))


@each_step
def test_half_precision_stays_half(step):
    """The levels are single numbers in full precision and do not lift the sample."""
    ours = StepScheduler(step, ddim())
    ours.set_timesteps(3)
    sample = START.bfloat16()
    for t in ours.timesteps:
        sample = ours.step(sample, t, sample, make_generator(0)).prev_sample
    assert sample.dtype == torch.bfloat16


# A newcomer's sampler: guesses are clipped to the range of pictures.


def clipped_step(sample, noise_pred, a, a_prev, noise=None, last=None):
    guess = predict_original_sample(sample, noise_pred, a).clamp(-1, 1)
    return a_prev**0.5 * guess + (1 - a_prev) ** 0.5 * noise_pred


@each_prediction_type
@each_spacing
def test_a_step_of_your_own(prediction_type, spacing):
    options = settings(prediction_type, spacing)
    theirs = DDIMScheduler(**options, clip_sample=True, set_alpha_to_one=False)
    ours = StepScheduler(clipped_step, DDIMScheduler.from_config(theirs.config))
    assert_same(draw(ours), draw(theirs))


# Errors, each in one sentence.


@pytest.mark.parametrize(
    "step",
    [lambda sample, noise_pred: sample, lambda *, sample: sample, 7, "ddim"],
    ids=["two arguments", "keywords", "a number", "a name"],
)
def test_what_is_no_step(step):
    with refused("A step must be a function of (sample"):
        StepScheduler(step, ddim())


@pytest.mark.parametrize(
    "answer, words",
    [
        (None, "must return prev_sample, a tensor, not NoneType"),
        ((START, None), "must return prev_sample, a tensor, not tuple"),
        (START[:1], "of the shape that it got, (2, 1, 4, 4), not (1, 1, 4, 4)"),
    ],
    ids=["nothing", "two", "another shape"],
)
def test_what_a_step_must_return(answer, words):
    def step(sample, noise_pred, a, a_prev, noise=None, last=None):
        return answer

    with refused(words):
        draw(StepScheduler(step, ddim()))


def test_a_timestep_that_is_not_visited():
    ours = StepScheduler(ddim_step, ddim())
    ours.set_timesteps(4)
    with refused("t = 998 is not among the timesteps"):
        ours.step(START, 998, START)


A, A_PREV = torch.tensor(0.5), torch.tensor(0.6)


def test_fresh_noise_is_asked_for():
    with refused("pass noise"):
        ddim_step(START, START, A, A_PREV, eta=1.0)


@each_step
@pytest.mark.parametrize("noise", [None, START], ids=["no noise", "noise"])
@pytest.mark.parametrize("last", [None, (START, A / 2)], ids=["first", "later"])
def test_all_steps_are_called_alike(step, noise, last):
    assert step(START, START, A, A_PREV, noise, last).shape == START.shape
