"""The doctor: each planted fault is named, and the healthy are left alone."""

import json
from dataclasses import replace
from functools import cache

import pytest
import torch
from diffusers.training_utils import EMAModel

from sdlearn.checkpoints import load_parts
from sdlearn.commands import doctor_main
from sdlearn.conditioning import tiny_scheduler
from sdlearn.core import make_generator, randn
from sdlearn.doctor import examine_folder
from sdlearn.exam import FAULTS, examine
from sdlearn.faults import planted, repaired
from sdlearn.muon import make_optimizer
from sdlearn.together import TextAndUNet
from sdlearn.training import save_state, train

from .conftest import refused
from .random_parts import build_parts

each_fault = pytest.mark.parametrize("slug", FAULTS)


OF_A_LOOP = [
    "scheduler-stepped-twice",
    "wrong-coefficient",
    "scaling-factor",
    "prediction-type",
    "timesteps",
    "guidance-sign",
    "prompts-swapped",
    "pictures-not-normalised",
    "channels-swapped",
    "fixed-noise",
]


@each_fault
def test_each_planted_fault_is_named(slug):
    only = [slug] if slug in OF_A_LOOP else None  # the model is the shipped one
    findings = examine(planted(slug), only)
    assert [one.fault for one in findings] == [slug]
    assert len(findings[0].evidence) > 30


@pytest.mark.parametrize("slug", OF_A_LOOP)
@pytest.mark.slow
def test_nothing_else_is_named(slug):
    assert [one.fault for one in examine(planted(slug))] == [slug]


@cache
def found_in(parts_and_more):
    patient = HEALTHY[parts_and_more]
    return tuple(one.fault for one in examine(patient))


HEALTHY = {}  # several repaired patients are one and the same


@each_fault
@pytest.mark.slow
def test_the_repaired_are_healthy(slug):
    patient = repaired(slug)
    networks = (patient.parts.unet, patient.parts.vae, patient.parts.text_encoder)
    more = patient.draw, patient.training, patient.parts.settings
    key = tuple(map(id, (*networks, *more)))
    HEALTHY[key] = patient
    assert found_in(key) == ()


# Folders


def faults_in(folder):
    return [look.fault for look in examine_folder(folder).findings]


def saved(parts, folder):
    parts.to_pipeline().save_pretrained(folder)
    return folder


def is_untrained(report):
    return any(look.seen.startswith("untrained") for look in report.looks)


@pytest.mark.slow
def test_the_shipped_student_is_healthy():
    report = examine_folder("tiny-lcm")
    assert report.findings == []
    assert not is_untrained(report)


@pytest.mark.parametrize(
    "kind, prediction_type",
    [
        ("least", "epsilon"),
        ("tiny", "v_prediction"),
        ("sd1", "epsilon"),
        ("sd2", "v_prediction"),
    ],
)
def test_random_weights_are_called_untrained(kind, prediction_type, tmp_path):
    report = examine_folder(saved(build_parts(kind, prediction_type), tmp_path / "sd"))
    assert report.findings == []
    assert is_untrained(report)


def tiny_with(**changes):
    return replace(load_parts("tiny", device="cpu"), **changes)


@pytest.mark.slow
def test_another_scaling_factor(tmp_path):
    parts = tiny_with()
    parts.vae.register_to_config(scaling_factor=0.18215)
    assert "scaling-factor" in faults_in(saved(parts, tmp_path / "sd"))


@pytest.mark.slow
def test_another_filling(tmp_path):
    parts = tiny_with()
    parts.tokenizer.pad_token = "!"
    assert faults_in(saved(parts, tmp_path / "sd")) == ["padding-token"]


@pytest.mark.slow
def test_a_layer_as_it_was_born(tmp_path):
    parts = tiny_with()
    norm = parts.unet.mid_block.resnets[0].norm1
    torch.nn.init.ones_(norm.weight)
    torch.nn.init.zeros_(norm.bias)
    report = examine_folder(saved(parts, tmp_path / "sd"))
    assert "frozen-layer" in [look.fault for look in report.findings]
    assert "unet.mid_block.resnets.0.norm1" in str(report)


# Trainings


def noise_loss(model, batch, generator=None):
    latents, input_ids = batch
    t = torch.full((len(latents),), 500)
    return (model(latents, t, input_ids) - latents).square().mean()


def train_a_little(parts, folder, steps=3):
    both = TextAndUNet(parts.text_encoder, parts.unet)
    pairs = [(randn((4, 8, 8), make_generator(i)), torch.arange(77)) for i in range(2)]
    path = folder / "unet.safetensors"
    folder.mkdir()
    train(both, noise_loss, pairs, steps, path, batch_size=1, optimizer="muon", lr=0.01)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model and its training, both very short."""
    place = tmp_path_factory.mktemp("trained")
    parts = build_parts("least")
    train_a_little(parts, place / "sd-training")
    return saved(parts, place / "sd")


def test_a_training_and_its_model(trained):
    for folder in (trained, trained.with_name("sd-training")):
        report = examine_folder(folder)
        assert report.findings == [], str(report)
        assert "kept and averaged weights" in str(report)
        assert "never had a gradient" in str(report)


def test_averages_that_were_forgotten(trained, tmp_path):
    parts = load_parts(trained, device="cpu")
    train_a_little(parts, tmp_path / "sd-training")
    with torch.no_grad():
        for weight in parts.unet.parameters():
            weight *= 1.01
    folder = saved(parts, tmp_path / "sd")
    assert "averaged-weights-forgotten" in faults_in(folder)


def test_weights_without_a_gradient(tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    model[0].requires_grad_(False)
    optimizer = make_optimizer(model, HOW)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    ema = EMAModel(model.parameters())
    save_state(tmp_path / "unet.safetensors", model, optimizer, ema, [1.0])
    assert faults_in(tmp_path) == ["frozen-layer"]


class HOW:
    lr, optimizer, mixed_precision = 0.01, "adamw", "no"


def test_numbers_that_are_not_finite(trained, tmp_path):
    from safetensors.torch import load_file, save_file

    tensors = load_file(trained.with_name("sd-training") / "unet.safetensors")
    tensors["losses"][1] = float("nan")
    save_file(tensors, tmp_path / "unet.safetensors")
    assert "learning-rate" in faults_in(tmp_path)


# The command


def test_the_command_prints_and_ends_with_0(capsys):
    with pytest.raises(SystemExit) as stop:
        doctor_main("tiny")
    assert stop.value.code == 0
    said = capsys.readouterr().out
    assert "prediction type: one-step error" in said and "words: error" in said
    assert said.endswith("Nothing found.\n")


def test_the_command_ends_with_1(tmp_path, capsys):
    parts = tiny_with(scheduler=tiny_scheduler("v_prediction"))
    folder = saved(parts, tmp_path / "sd")
    with pytest.raises(SystemExit) as stop:
        doctor_main(str(folder), json=True)
    assert stop.value.code == 1
    told = json.loads(capsys.readouterr().out)
    assert told["faults"] == ["prediction-type"]
    assert [look["what"] for look in told["looks"] if look["fault"]] == [
        "prediction type"
    ]


@pytest.mark.parametrize("name", ["", "nowhere/at/all", "README.md"])
def test_the_command_refuses_in_one_sentence(name, capsys):
    with pytest.raises(SystemExit) as stop:
        doctor_main(name or " ")
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("Error: ") and said.count("\n") == 1


def test_a_damaged_checkpoint(tmp_path):
    (tmp_path / "unet.safetensors").write_bytes(b"nothing")
    with refused("is damaged"):
        examine_folder(tmp_path)
