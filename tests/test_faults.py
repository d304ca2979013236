"""Twenty planted faults: each shows its symptom, its repair removes it, and nothing else differs."""

import difflib
import inspect

import pytest
import torch

from sdlearn.checkpoints import load_parts
from sdlearn.core import to_tensor
from sdlearn.exam import FAULTS, Patient
from sdlearn.faults import PROMPTS, SYMPTOMS, my_draw, planted, repaired, symptom
from sdlearn.pipeline import generate
from sdlearn.slips import Symptom, known_scenes, rewritten, shipped_parts

from .conftest import assert_identical, refused

pytestmark = pytest.mark.usefixtures("one_thread")

LONGER = {"averaged-weights-forgotten", "memorised"}  # trainings of the large UNet
LOOPS = {  # fault: lines that are taken out of the loop, lines that are put in
    "scheduler-stepped-twice": (0, 1),
    "wrong-coefficient": (1, 1),
    "scaling-factor": (1, 0),
    "prediction-type": (1, 3),
    "timesteps": (1, 1),
    "guidance-sign": (1, 1),
    "prompts-swapped": (1, 1),
    "pictures-not-normalised": (1, 1),
    "channels-swapped": (1, 1),
    "fixed-noise": (1, 1),
}
WEIGHTS = {  # fault: weights of which part differ, all others being the same
    "time-embedding-dropped": ("unet", "time_embedding.linear_2"),
    "dead-latent-channel": ("vae", "quant_conv"),
}
NETWORKS = ("unet", "vae", "text_encoder")


def slow_if(slug, slow):
    return pytest.param(slug, marks=pytest.mark.slow) if slug in slow else slug


each_fault = pytest.mark.parametrize("slug", [slow_if(s, LONGER) for s in FAULTS])
each_loop = pytest.mark.parametrize("slug", LOOPS)


def state(parts, network):
    return getattr(parts, network).state_dict()


def differing(parts, others, network):
    """The names of the weights that are not the same in both."""
    theirs = state(others, network)
    ours = state(parts, network).items()
    return [name for name, weight in ours if not torch.equal(weight, theirs[name])]


def both(slug):
    return planted(slug).parts, repaired(slug).parts


# The symptoms


def test_each_fault_has_a_symptom():
    assert SYMPTOMS.keys() == FAULTS.keys()


@each_fault
def test_planted_shows_it_and_repaired_does_not(slug):
    found = SYMPTOMS[slug]
    ill, healthy = symptom(slug, planted(slug)), symptom(slug, repaired(slug))
    assert found.is_ill(ill) and not found.is_healthy(ill), ill
    assert found.is_healthy(healthy) and not found.is_ill(healthy), healthy


@pytest.mark.parametrize("slug", FAULTS)
def test_symptoms_say_what_they_are(slug):
    found = SYMPTOMS[slug]
    assert isinstance(found, Symptom) and len(found.what.split()) > 3
    assert abs(found.ill - found.healthy) > 0.04, "no room between the bounds"


def test_bounds_hold_in_both_directions():
    rising = Symptom("degrees", None, healthy=37.5, ill=38.5)
    falling = Symptom("share of words", None, healthy=0.9, ill=0.5)
    assert rising.is_ill(39) and rising.is_healthy(37) and rising.rises
    assert falling.is_ill(0.4) and falling.is_healthy(1.0) and not falling.rises
    assert not (rising.is_ill(38) or rising.is_healthy(38))
    assert not (falling.is_ill(0.7) or falling.is_healthy(0.7))


# What differs


@each_loop
def test_loops_differ_by_what_is_said(slug):
    right, wrong = (inspect.getsource(p(slug).draw) for p in (repaired, planted))
    lines = list(difflib.ndiff(right.splitlines(), wrong.splitlines()))
    taken, put = ([line for line in lines if line[0] == mark] for mark in "-+")
    assert (len(taken), len(put)) == LOOPS[slug], lines


@each_loop
def test_loops_are_given_the_same_model(slug):
    ours, theirs = both(slug)
    assert not [n for n in NETWORKS if differing(ours, theirs, n)]
    assert ours.settings == theirs.settings
    assert ours.tokenizer.pad_token == theirs.tokenizer.pad_token
    assert ours.scheduler.config == theirs.scheduler.config


@pytest.mark.parametrize(
    "slug", ["timesteps", "wrong-coefficient", "scheduler-stepped-twice"]
)
def test_repaired_loops_draw_as_the_package_does(slug):
    patient = repaired(slug)
    ours = patient.draw(patient.parts, PROMPTS[:2], 3)
    images = generate(patient.parts, PROMPTS[:2], seed=3).images
    torch.testing.assert_close(ours, to_tensor(images), rtol=0, atol=0.02)


def test_larger_latents_are_the_same_model():
    ours = repaired("scaling-factor").parts
    latents = known_scenes(7, 4).latents
    images = known_scenes(7, 4).images
    same = shipped_parts()
    torch.testing.assert_close(
        ours.decode(latents), same.decode(latents), rtol=0, atol=1e-3
    )
    torch.testing.assert_close(
        ours.encode(images), same.encode(images), rtol=0, atol=1e-3
    )
    assert ours.vae.config.scaling_factor < 0.2


@pytest.mark.parametrize("slug", WEIGHTS)
def test_failing_parts_differ_where_it_is_said(slug):
    ours, theirs = both(slug)
    part, layer = WEIGHTS[slug]
    changed = differing(ours, theirs, part)
    assert changed and all(layer in name for name in changed)
    assert not [n for n in NETWORKS if n != part and differing(ours, theirs, n)]


@pytest.mark.parametrize(
    "slug", ["fp16-overflow", "padding-token", "prompt-never-dropped"]
)
def test_other_failing_parts_have_the_same_weights(slug):
    ours, theirs = both(slug)
    assert not [n for n in NETWORKS if differing(ours, theirs, n)]


def test_overflow_is_harmless_in_float32():
    latents = known_scenes(7, 4).latents
    ours = repaired("fp16-overflow").parts.decode(latents)
    theirs = shipped_parts().decode(latents)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-3)


def test_only_the_empty_prompt_is_unknown():
    ours, theirs = both("prompt-never-dropped")
    assert_identical(ours.embed(PROMPTS), theirs.embed(PROMPTS))
    assert (ours.embed([""]) - theirs.embed([""])).abs().mean() > 0.5


@pytest.mark.parametrize("slug", ["learning-rate", "frozen-layer"])
def test_trainings_begin_alike(slug):
    ours, theirs = planted(slug).before["unet"], repaired(slug).before["unet"]
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert planted(slug).losses["unet"][0] == repaired(slug).losses["unet"][0]


@pytest.mark.slow
def test_forgetting_the_average_changes_nothing_else():
    ill, healthy = (p("averaged-weights-forgotten") for p in (planted, repaired))
    assert ill.losses == healthy.losses
    kept = state(healthy.parts, "unet")
    for name, average in ill.averaged["unet"].items():
        assert_identical(average, kept[name])


def test_splits_are_of_the_same_captions():
    ill, healthy = planted("leaky-split"), repaired("leaky-split")
    assert ill.training.captions == healthy.training.captions
    assert len(ill.held_out) == len(healthy.held_out) > 20


def test_the_shipped_model_stays_as_it_is():
    for slug in FAULTS.keys() - LONGER:
        planted(slug)
    fresh = load_parts("tiny", device="cpu")
    assert not [n for n in NETWORKS if differing(shipped_parts(), fresh, n)]
    assert shipped_parts().tokenizer.pad_token == fresh.tokenizer.pad_token


# Patients and slugs


def test_patients_are_made_once():
    assert isinstance(planted("timesteps"), Patient)
    assert planted("timesteps") is planted("timesteps")


@pytest.mark.parametrize("function", [planted, repaired])
def test_unknown_faults_are_refused(function):
    with refused("measles", "timesteps"):
        function("measles")


def test_unknown_symptoms_are_refused():
    with refused("measles", "timesteps"):
        symptom("measles", repaired("timesteps"))


@pytest.mark.parametrize("right", ["no such line", "latents"])
def test_only_what_stands_there_once_is_replaced(right):
    with refused("my_draw", "once"):
        rewritten(my_draw, right, "")
