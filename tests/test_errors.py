"""Bad input ends in one clear sentence that says what was wrong and what to do."""

import shutil

import pytest
import torch

from sdlearn.checkpoints import load_parts
from sdlearn.core import make_generator
from sdlearn.parts import make_scheduler
from sdlearn.pipeline import PromptWarning, generate
from sdlearn.sheet import stages_sheet

from .conftest import refused, shortly

PROMPT = "a red cat"
ODD, TWO = torch.zeros(1, 4, 9, 8), torch.zeros(2, 4, 8, 8)
SHAPE = "latents must have the shape (1, 4, 8, 8)"


def draw(parts, prompt=PROMPT, **kwargs):
    usual = dict(num_inference_steps=1, generator=make_generator(0))
    return generate(parts, prompt, **usual | kwargs)


@pytest.mark.parametrize(
    "kwargs, words",
    [
        (dict(prompt=7), ["prompt must be a text", "7"]),
        (dict(prompt=[]), ["prompt must be a text", "[]"]),
        (dict(prompt=[PROMPT, None]), ["prompt must be a text"]),
        (dict(prompt=None), ["prompt must be a text"]),
        (dict(negative_prompt=7), ["negative_prompt must be a text"]),
        (dict(negative_prompt=["a", "b"]), ["negative_prompt", "a list of 1"]),
        (dict(height=100), ["multiples of 8", "100"]),
        (dict(width=-8), ["multiples of 8", "-8"]),
        (dict(num_inference_steps=0), ["num_inference_steps", "1 to 999", "not 0"]),
        (dict(num_inference_steps=-3), ["num_inference_steps", "not -3"]),
        (dict(num_inference_steps=2.5), ["num_inference_steps", "not 2.5"]),
        (dict(num_inference_steps=1001), ["num_inference_steps", "not 1001"]),
        (dict(latents=ODD), [SHAPE, "(1, 4, 9, 8)"]),
        (dict(latents=TWO), [SHAPE, "(2, 4, 8, 8)"]),
        (dict(scheduler="best"), ["no scheduler 'best'", "ddim"]),
        (dict(scheduler=7), ["or a step function", "7"]),
        (dict(steps=3), ["no setting 'steps'", "num_inference_steps"]),
    ],
    ids=shortly,
)
def test_arguments(parts, kwargs, words):
    with refused(*words):
        draw(parts, **kwargs)


def test_stages_need_stages(parts):
    result = draw(parts)
    with refused("trajectory=True"):
        stages_sheet(parts, result)


def test_word_maps_need_attention(parts):
    result = draw(parts)
    with refused("attention=True"):
        result.word_maps()


def warned(parts, prompt, **kwargs):
    with pytest.warns(PromptWarning) as caught:
        assert len(draw(parts, prompt, **kwargs).images) == 1
    return [str(w.message) for w in caught if w.category is PromptWarning]


@pytest.mark.parametrize("prompt", ["", "  "])
def test_empty_prompt(parts, prompt):
    (message,) = warned(parts, prompt)
    assert "empty" in message


def test_long_prompt_names_the_words_cut(parts):
    (message,) = warned(parts, "a cat " * 15 + "the red taco")
    assert "32 tokens" in message
    assert message.endswith("red taco.")


@pytest.mark.parametrize(
    "kwargs",
    [dict(prompt="a purple dragon"), dict(prompt=PROMPT, negative_prompt="dragon")],
    ids=shortly,
)
def test_unknown_words_are_named(parts, kwargs):
    (message,) = warned(parts, **kwargs)
    assert "'dragon'" in message
    assert "taco" in message
    assert "'purple'" not in message


def test_a_warning_names_the_line_that_asked(parts):
    with pytest.warns(PromptWarning) as caught:
        draw(parts, "")
    assert caught[0].filename == __file__


@pytest.mark.parametrize("prompt", [PROMPT, "Two FISH in the river."])
def test_good_prompts_pass_in_silence(parts, prompt, recwarn):
    draw(parts, prompt)
    assert not [w for w in recwarn if w.category is PromptWarning]


def test_half_precision_on_the_cpu(folder):
    with refused("float16", "torch.float32"):
        load_parts(folder, device="cpu", dtype=torch.float16)


@pytest.mark.parametrize("name", ["no-such-folder", "no/such/folder"])
def test_no_folder(name):
    with refused("no model folder", "'tiny'", error=OSError):
        load_parts(name, device="cpu")


@pytest.mark.parametrize("name", ["sd-1.5", "nobody/no-such-model"])
@pytest.mark.usefixtures("dead_network")
def test_hub_without_network(name, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    asked = "check the name and the network"
    with refused("from the hub", asked, error=OSError):
        load_parts(name, device="cpu")


@pytest.fixture
def broken(folder, tmp_path):
    """A copy of the pipeline folder, to be damaged."""
    return shutil.copytree(folder, tmp_path / "broken")


@pytest.mark.parametrize(
    "name",
    [
        "unet/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "text_encoder/model.safetensors",
        "tokenizer/tokenizer.json",
        "scheduler/scheduler_config.json",
    ],
)
@pytest.mark.parametrize("damage", ["is missing", "cannot be read"])
def test_folder_with_a_bad_file(broken, name, damage):
    file = broken / name
    if damage == "is missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-20])
    if name.startswith("tokenizer") and (file.parent / "vocab.json").exists():
        pytest.skip("the other form of the tokenizer is there")
    with refused(f"{file} {damage}", error=OSError):
        load_parts(broken, device="cpu")


def test_folder_with_another_models_weights(broken):
    weights = "diffusion_pytorch_model.safetensors"
    shutil.copy(broken / "vae" / weights, broken / "unet" / weights)
    with refused(str(broken), "unet lacks", error=OSError):
        load_parts(broken, device="cpu")


def test_the_callers_scheduler_is_never_changed(parts):
    scheduler = make_scheduler(parts, "pndm", 7)
    before = str(vars(scheduler))
    draw(parts, scheduler=scheduler)
    assert str(vars(scheduler)) == before
