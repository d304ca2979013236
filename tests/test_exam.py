"""The examination: loops are overheard, and healthy ones of every kind are left alone."""

from copy import deepcopy
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import torch

from sdlearn import overheard
from sdlearn.answers import distance_from, nearest
from sdlearn.conditioning import tiny_scheduler
from sdlearn.core import make_generator, randn, to_tensor
from sdlearn.desk import Controls
from sdlearn.exam import FAULTS, Patient, examine, look_over
from sdlearn.guesses import ddim_shares, fitted_shares, step_error, step_guesses
from sdlearn.guidance import guide
from sdlearn.listen import listen
from sdlearn.overheard import guidance_heard, heard_faults
from sdlearn.pipeline import generate
from sdlearn.probe import make_probe, row_errors, world_pairs
from sdlearn.records import (
    average_tests,
    color_tests,
    latent_tests,
    loss_tests,
    moved_tests,
    range_tests,
    split_tests,
)

from .conftest import refused
from .random_parts import build_parts

TWO = ["a red car", "two cats"]


@pytest.fixture(scope="module")
def small():
    return build_parts("least")


# Loops


@torch.no_grad()
def loop(
    parts, prompts, seed, steps=6, scale=3.0, shift=0, times=1, apart=False, first=""
):
    """A loop of somebody's own, with a few things to get wrong."""
    kind = parts.scheduler.config.prediction_type
    scheduler = tiny_scheduler(kind)
    scheduler.set_timesteps(steps)
    none, words = parts.embed([first] * len(prompts)), parts.embed(prompts)
    latents = randn((len(prompts), 4, 8, 8), make_generator(seed))
    for t in scheduler.timesteps:
        if apart:
            answers = [parts.unet(latents, t + shift, e).sample for e in (none, words)]
        else:
            both = parts.unet(
                torch.cat([latents] * 2),
                timestep=t + shift,
                encoder_hidden_states=torch.cat([none, words]),
            )
            answers = both.sample.chunk(2)
        noise_pred = guide(*answers, scale)
        for _ in range(times):
            latents = scheduler.step(noise_pred, t, latents).prev_sample
    return parts.decode(latents)


def found(parts, draw, prompts=TWO):
    first, second = (listen(parts, draw, prompts, seed) for seed in (0, 1))
    return [fault for fault, _ in heard_faults(first, second)]


def generated(parts, prompts, seed, **settings):
    how = dict(seed=seed, num_inference_steps=6) | settings
    return to_tensor(generate(parts, prompts, **how).images)


def stock(parts, prompts, seed):
    pipeline = parts.to_pipeline()
    pipeline.set_progress_bar_config(disable=True)
    drawn = pipeline(
        prompts,
        generator=make_generator(seed),
        num_inference_steps=6,
        output_type="pt",
    )
    return drawn.images * 2 - 1


HEALTHY = {
    "own": loop,
    "two passes": partial(loop, apart=True),
    "stock": stock,
    "unguided": partial(generated, guidance_scale=1.0),
    "rescaled": partial(generated, guidance_rescale=0.7),
    "interval": partial(generated, guidance_interval=(0, 0.6)),
    "random": partial(generated, scheduler="ddim", eta=1.0),
}
SAMPLERS = ["pndm", "ddim", "ddpm", "euler", "euler-a", "heun", "lms", "dpm++", "unipc"]
HEALTHY |= {name: partial(generated, scheduler=name) for name in SAMPLERS}


@pytest.mark.parametrize("draw", HEALTHY.values(), ids=HEALTHY)
def test_healthy_loops_of_all_kinds(small, draw):
    assert found(small, draw) == []


def test_timesteps_between_two():
    parts = build_parts("least", "v_prediction")
    draw = partial(generated, scheduler="euler")
    assert found(parts, draw) == []
    heard = listen(parts, draw, TWO)
    assert step_error(heard, *step_guesses(heard)["right"])[0] < 1e-5


@pytest.mark.parametrize("kind", ["tiny", "sd1", "sd2"])
def test_healthy_loops_on_all_architectures(kind):
    parts = build_parts(kind)
    assert found(parts, loop) == []
    assert found(parts, partial(loop, times=2)) == ["scheduler-stepped-twice"]


@pytest.mark.parametrize(
    "changes, fault",
    [
        (dict(times=2), "scheduler-stepped-twice"),
        (dict(times=2, apart=True), "scheduler-stepped-twice"),
        (dict(shift=1), "timesteps"),
        (dict(shift=-40), "timesteps"),
        (dict(scale=-3.0), "guidance-sign"),
        (dict(scale=-4.0), "prompts-swapped"),
    ],
    ids=str,
)
def test_ill_loops_of_random_networks(small, changes, fault):
    parts = replace(small)
    parts.settings = replace(parts.settings, guidance_scale=5.0)
    if fault == "guidance-sign":
        parts.settings = replace(parts.settings, guidance_scale=3.0)
    assert found(parts, partial(loop, **changes)) == [fault]


@pytest.mark.parametrize("scale", [1.5, 7.5])
def test_guidance_is_heard(small, scale):
    heard = listen(small, partial(loop, scale=scale), TWO)
    assert guidance_heard(heard) == pytest.approx(scale, abs=0.01)


def test_each_guess_is_worked_out_once(small, monkeypatch):
    fitted = []

    def fit(heard, *guess):
        fitted.append(guess)
        return step_error(heard, *guess)

    monkeypatch.setattr(overheard, "step_error", fit)
    assert found(small, loop) == []
    heard = listen(small, loop, TWO)
    assert len(fitted) == len(step_guesses(heard))


def test_shares_are_heard(small):
    heard = listen(small, loop, TWO)
    levels = small.scheduler.alphas_cumprod.double()
    t = [int(question.t) for question in heard.questions]
    _, shares = fitted_shares(heard)
    for k, fitted in enumerate(shares):
        wanted = torch.tensor(ddim_shares(levels[t[k]], levels[t[k + 1]]))
        torch.testing.assert_close(
            torch.tensor(fitted), wanted.float(), atol=1e-3, rtol=0
        )


def test_hooks_are_gone_afterwards(small):
    listen(small, loop, TWO)
    assert not small.unet._forward_hooks
    assert not small.vae.decoder._forward_hooks


def test_hooks_are_gone_after_an_error(small):
    def fails(parts, prompts, seed):
        raise KeyError("mine")

    with pytest.raises(KeyError):
        listen(small, fails, TWO)
    assert not small.unet._forward_hooks


def test_one_picture_at_a_time_is_refused(small):
    def one_by_one(parts, prompts, seed):
        return torch.cat([loop(parts, [prompt], seed) for prompt in prompts])

    with refused("was not asked about these prompts together"):
        listen(small, one_by_one, TWO)


def test_copies_are_overheard(small):
    def on_a_copy(parts, prompts, seed):
        copied = replace(parts, unet=deepcopy(parts.unet), vae=deepcopy(parts.vae))
        return loop(copied, prompts, seed)

    assert found(small, on_a_copy) == []


def test_filling_is_heard(small):
    def short(parts, prompts, seed):
        tokens = parts.tokenizer(prompts, padding=True, return_tensors="pt")
        parts.text_encoder(tokens.input_ids)
        return loop(parts, prompts, seed)

    assert found(small, short) == ["padding-token"]


# Numbers of a training


def faults_of(tests):
    return [fault for fault, _ in tests if fault]


@pytest.mark.parametrize(
    "curve, ill",
    [
        ([1.0, 0.8, 0.7, 0.6], False),
        ([1.05] * 49, False),
        ([1.05] * 60, True),
        ([0.01] * 60, False),
        ([5.0 - 0.01 * i for i in range(60)], False),
        ([0.5] * 6 + [2.0] * 6, True),
        ([0.5] * 30 + [2.0] + [0.5] * 29, False),
        ([1.0, 0.9, float("nan"), 0.9], True),
        ([1.0], False),
    ],
)
def test_losses(curve, ill):
    assert faults_of(loss_tests({"unet": curve})) == ["learning-rate"] * ill


def test_weights_that_stayed():
    before = {"a": torch.zeros(2), "b": torch.ones(2), "ids": torch.arange(2)}
    after = before | {"a": torch.full((2,), 1e-7)}
    tests = list(moved_tests("unet", before, after))
    assert faults_of(tests) == ["frozen-layer"]
    assert "1 of 2 tensors did not move" in tests[0][1] and "such as b" in tests[0][1]
    assert not faults_of(moved_tests("unet", before, after | {"b": torch.zeros(2)}))


def test_copies_lie_near():
    images = randn((6, 3, 8, 8), make_generator(0))
    others = randn((6, 3, 8, 8), make_generator(1))
    squares = (others[:, None] - images).square().sum((2, 3, 4))  # (6, 6)
    apart = nearest(others, images)
    torch.testing.assert_close(apart, squares.min(dim=1).values.sqrt())
    assert nearest(images, images).min() > 1  # none is its own neighbor
    assert distance_from(images[:3], images) < 0.01
    assert distance_from(others, images) == pytest.approx(1, abs=0.2)
    twice = torch.cat([images, images])
    assert distance_from(others, twice) == distance_from(others, images)


def test_averages_but_for_rounding():
    average = {"a": randn((50, 50), make_generator(0))}
    rounded = {"a": average["a"].half()}
    last = {"a": average["a"] + 0.01 * randn((50, 50), make_generator(1))}
    assert not faults_of(average_tests("unet", average, rounded))
    assert faults_of(average_tests("unet", average, last)) == [
        "averaged-weights-forgotten"
    ]


def test_colors_and_range_of_training_pictures():
    captions = ["a red car", "a blue car"] * 8
    images = 0.1 * randn((16, 3, 8, 8), make_generator(0)).clamp(-1, 1)
    images[::2, 0] += 0.8
    images[1::2, 2] += 0.8
    images[:, :, 0] = -1
    assert not faults_of(color_tests(images, captions))
    assert faults_of(color_tests(images.flip(1), captions)) == ["channels-swapped"]
    assert not faults_of(range_tests(images))
    assert faults_of(range_tests(images / 2 + 0.5)) == ["pictures-not-normalised"]
    assert list(color_tests(images[:4], captions[:4])) == []


def test_split():
    train = ["a red car", "Two  cats"]
    assert not faults_of(split_tests(train, ["a blue car"]))
    tests = list(split_tests(train, ["two cats", "a dog"]))
    assert faults_of(tests) == ["leaky-split"]
    assert "1 of 2" in tests[0][1]


def test_latents():
    latents = randn((16, 4, 8, 8), make_generator(0))
    assert not faults_of(latent_tests(latents))
    dead = latents * torch.tensor([1, 1, 0.01, 1])[:, None, None]
    assert faults_of(latent_tests(dead)) == ["dead-latent-channel"]
    assert faults_of(latent_tests(latents / 0.18215)) == ["scaling-factor"]


# The examination as a whole


def test_untrained_is_said_and_nothing_else(small):
    looks = look_over(Patient(small, draw=loop))
    assert not [look for look in looks if look.fault]
    assert any(look.seen.startswith("untrained") for look in looks)
    assert not any(look.what == "words" for look in looks)


def test_a_training_alone():
    patient = Patient(None, losses={"unet": [1.0, 0.9, float("inf"), 1.0]})
    assert [one.fault for one in examine(patient)] == ["learning-rate"]
    assert examine(patient, only=["timesteps"]) == []


def test_an_unknown_fault_is_refused(small):
    with refused("There is no fault 'bad luck'"):
        examine(Patient(small), only=["bad luck"])


def test_twenty_faults_in_a_sentence_each():
    assert len(FAULTS) == 20
    assert all(text.endswith(".") and text[0].isupper() for text in FAULTS.values())


def test_a_network_without_numbers(small):
    vae = deepcopy(small.vae)
    with torch.no_grad():
        vae.decoder.conv_out.bias.fill_(float("nan"))
    looks = look_over(Patient(replace(small, vae=vae)))
    ill = [look for look in looks if look.fault]
    assert [look.fault for look in ill] == ["fp16-overflow"]
    assert "vae.decoder.conv_out" in ill[0].seen


def test_a_unet_for_inpainting_is_not_asked():
    looks = look_over(Patient(build_parts("least", in_channels=9)))
    assert [look.what for look in looks] == ["model"]
    assert "a mask beside latents" in looks[0].seen


def test_a_probe_asks_about_known_noise(small):
    images, captions = world_pairs(small, 4)
    assert images.shape == (4, 3, 64, 64)
    probe = make_probe(small, small.encode(images), captions)
    assert probe.noisy.shape == (8, 4, 8, 8)
    assert row_errors(probe, captions).shape == (8,)


def test_pictures_are_as_large_as_the_model_draws(small):
    unet = deepcopy(small.unet)
    unet.register_to_config(sample_size=[4, 8])
    wide = replace(small, unet=unet)
    assert wide.image_size == (32, 64)
    assert world_pairs(wide, 2)[0].shape == (2, 3, 32, 64)
    assert Controls(wide).start.size == (64, 32)  # as Pillow has it, width first


def test_captions_may_be_more_than_pictures(small):
    known = SimpleNamespace(images=None, captions=["a red car"] * 9)
    patient = Patient(small, training=known, held_out=["two cats"])
    assert examine(patient, only=["leaky-split", "memorised"]) == []
