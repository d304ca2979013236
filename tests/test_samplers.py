"""Our steps beside diffusers' own, on a small random denoiser."""

from functools import partial
from itertools import product

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
    return dict(
        **BETAS,
        prediction_type=prediction_type,
        timestep_spacing=spacing,
        steps_offset=1,
    )


def ddim(set_alpha_to_one=False, **options):
    """Stable Diffusion's, unless it ends at the clean picture."""
    return DDIMScheduler(
        **settings(**options), clip_sample=False, set_alpha_to_one=set_alpha_to_one
    )


def draw(scheduler, latents=START, steps=20, **options):
    scheduler.set_timesteps(steps)
    return sampling_loop(
        denoise, scheduler, latents, generator=make_generator(2), **options
    )


def assert_same(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@each_prediction_type
@pytest.mark.parametrize("spacing, steps", [("leading", 30), ("trailing", 20)])
@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("set_alpha_to_one", [False, True])
def test_ddim(prediction_type, spacing, steps, eta, set_alpha_to_one):
    theirs = ddim(set_alpha_to_one, prediction_type=prediction_type, spacing=spacing)
    ours = StepScheduler(
        partial(ddim_step, eta=eta), DDIMScheduler.from_config(theirs.config)
    )
    assert_same(draw(ours, steps=steps), draw(theirs, steps=steps, eta=eta))


@each_prediction_type
@each_spacing
def test_ddpm(prediction_type, spacing):
    options = dict(prediction_type=prediction_type, spacing=spacing)
    ours = StepScheduler(ddpm_step, ddim(set_alpha_to_one=True, **options))
    theirs = DDPMScheduler(**settings(**options), clip_sample=False)
    assert_same(draw(ours), draw(theirs))


@each_prediction_type
@each_spacing
@pytest.mark.parametrize("set_alpha_to_one", [False, True])
def test_euler_is_ddim(prediction_type, spacing, set_alpha_to_one):
    options = dict(prediction_type=prediction_type, spacing=spacing)
    ours = StepScheduler(euler_step, ddim(set_alpha_to_one, **options))
    assert_same(draw(ours), draw(ddim(set_alpha_to_one, **options)))


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


@each_step
def test_the_last_part_of_the_way(step):
    """What image-to-image and inpainting do: begin in the middle, from `add_noise`."""
    theirs = {
        ddim_step: ddim(True),
        ddpm_step: DDPMScheduler(**settings(), clip_sample=False),
        euler_step: ddim(True),
        dpm_step: DPMSolverMultistepScheduler(**settings()),
    }[step]
    ours = StepScheduler(step, ddim(True))
    drawn = []
    for scheduler in (ours, theirs):
        scheduler.set_timesteps(20)
        timesteps = scheduler.timesteps[12:]
        noisy = scheduler.add_noise(torch.ones_like(START), START, timesteps[:1])
        drawn.append(
            sampling_loop(denoise, scheduler, noisy, timesteps, make_generator(3))
        )
    assert_same(*drawn)


@each_step
def test_one_scheduler_for_several_pictures(step):
    """A loop that begins anew, at any timestep, remembers nothing of the one before."""
    ours = StepScheduler(step, ddim())
    first = draw(ours)
    for begin in (0, 7):
        again = StepScheduler(step, ddim())
        again.set_timesteps(20)
        drawn = [
            sampling_loop(
                denoise,
                scheduler,
                START,
                scheduler.timesteps[begin:],
                make_generator(2),
            )
            for scheduler in (ours, again)
        ]
        assert torch.equal(*drawn)
    assert torch.equal(draw(ours), first)


@each_prediction_type
@each_step
def test_on_step_and_after_step(step, prediction_type):
    ours = StepScheduler(step, ddim(prediction_type=prediction_type))
    seen, following = [], []

    def on_step(t, model_input, guess):
        seen.append(int(t))
        output = denoise(model_input, t)
        expected = pred_original_sample(ours, output, model_input, t)
        assert torch.equal(guess, expected)

    def after_step(latents, t_next):
        following.append(t_next)
        return torch.full_like(latents, 7.0)

    drawn = draw(ours, steps=4, on_step=on_step, after_step=after_step)
    assert seen == ours.timesteps.tolist() == [999, 749, 499, 249]
    assert following[-1] is None
    assert [int(t) for t in following[:-1]] == seen[1:]
    assert torch.equal(drawn, torch.full_like(START, 7.0))


def test_half_precision_stays_half():
    """The levels are single numbers in full precision and do not lift the sample."""
    for step in STEPS:
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
    with pytest.raises(ValueError, match=r"A step must be a function of \(sample"):
        StepScheduler(step, ddim())


@pytest.mark.parametrize(
    "answer, sentence",
    [
        (None, "must return prev_sample, a tensor, not NoneType"),
        ((START, None), "must return prev_sample, a tensor, not tuple"),
        (START[:1], r"of the shape that it got, \(2, 1, 4, 4\), not \(1, 1, 4, 4\)"),
    ],
)
def test_what_a_step_must_return(answer, sentence):
    def step(sample, noise_pred, a, a_prev, noise=None, last=None):
        return answer

    with pytest.raises(ValueError, match=sentence):
        draw(StepScheduler(step, ddim()))


def test_a_timestep_that_is_not_visited():
    ours = StepScheduler(ddim_step, ddim())
    ours.set_timesteps(4)
    with pytest.raises(ValueError, match="t = 998 is not among the timesteps"):
        ours.step(START, 998, START)


def test_fresh_noise_is_asked_for():
    a, a_prev = torch.tensor(0.5), torch.tensor(0.6)
    with pytest.raises(ValueError, match="pass noise"):
        ddim_step(START, START, a, a_prev, eta=1.0)


@each_prediction_type
def test_all_steps_are_called_alike(prediction_type):
    a, a_prev = torch.tensor(0.5), torch.tensor(0.6)
    for step, noise, last in product(STEPS, (None, START), (None, (START, a / 2))):
        assert step(START, START, a, a_prev, noise, last).shape == START.shape
