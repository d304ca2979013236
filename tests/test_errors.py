"""Bad input ends in one clear sentence that says what was wrong and what to do."""

import copy
import shutil
from dataclasses import replace

import diffusers
import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from sdlearn.checkpoints import load_parts
from sdlearn.core import make_generator
from sdlearn.parts import Settings, make_scheduler
from sdlearn.pipeline import PromptWarning, generate
from sdlearn.sheet import stages_sheet

from .conftest import refused, shortly

PROMPT = "a red cat"
NAN, INF = float("nan"), float("inf")
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
        (dict(num_inference_steps=True), ["num_inference_steps", "not True"]),
        (dict(num_inference_steps="9"), ["num_inference_steps", "not '9'"]),
        (dict(num_inference_steps=None), ["num_inference_steps", "not None"]),
        (dict(settings={"seed": 3}), ["settings must be made with Settings"]),
        (dict(height="64"), ["multiples of 8", "'64'"]),
        (dict(height=0), ["multiples of 8", "not 0"]),
        (dict(width=64.0), ["multiples of 8", "64.0"]),
        (dict(width=True), ["multiples of 8", "True"]),
        (dict(width=[64]), ["multiples of 8", "[64]"]),
        (dict(latents=np.zeros((1, 4, 9, 8))), [SHAPE, "(1, 4, 9, 8)"]),
        (dict(latents=[0.0, 1.0]), [SHAPE, "(2,)"]),
        (dict(latents="noise"), ["latents must be a tensor of numbers", "str"]),
        (dict(latents=7), [SHAPE, "()"]),
        (dict(latents={"a": 1}), ["latents must be a tensor of numbers", "dict"]),
        (dict(latents=torch.full((1, 4, 8, 8), NAN)), ["latents must be finite"]),
        (dict(latents=torch.full((1, 4, 8, 8), INF)), ["latents must be finite"]),
        (dict(latents=torch.zeros(1, 4, 8, 8) * 1j), ["latents must be finite real"]),
        (dict(generator=7), ["generator must come from make_generator", "7"]),
        (dict(generator="7"), ["generator must come from make_generator", "'7'"]),
        (dict(generator=[]), ["one for each of 1", "a list of 0"]),
        (dict(generator=[make_generator(0)] * 2), ["one for each of 1", "list of 2"]),
        (dict(generator=[7]), ["Each generator", "make_generator(seed)", "7"]),
        (dict(after_step=7), ["after_step must be a function", "7"]),
        (dict(scheduler=2.5), ["or a step function", "2.5"]),
        (dict(scheduler=True), ["or a step function", "True"]),
        (dict(scheduler=["ddim"]), ["or a step function", "['ddim']"]),
        (dict(scheduler={}), ["or a step function", "{}"]),
        (dict(scheduler=dict), ["or a step function", "<class 'dict'>"]),
        (dict(scheduler=int), ["or a step function", "<class 'int'>"]),
        (dict(scheduler=torch.nn.Linear(2, 2)), ["or a step function", "Linear"]),
        (dict(scheduler=len), ["A step must be a function of", "len"]),
        (dict(scheduler=lambda sample: sample), ["A step must be a function of"]),
    ],
    ids=shortly,
)
def test_arguments(parts, kwargs, words):
    with refused(*words):
        draw(parts, **kwargs)


NUMBERS = {
    "guidance_scale": "a number of at least 0",
    "guidance_rescale": "a number from 0 to 1",
    "eta": "a number from 0 to 1",
}
NO_NUMBERS = [NAN, INF, -INF, "7.5", None, True, [7.5], 7.5j, -0.1, torch.ones(2)]


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
def test_no_numbers(parts, name, value):
    with refused(f"{name} must be {NUMBERS[name]}, not "):
        draw(parts, **{name: value})


@pytest.mark.parametrize("name", ["guidance_rescale", "eta"])
def test_numbers_above_one(name):
    with refused(f"{name} must be a number from 0 to 1, not 1.5"):
        Settings(**{name: 1.5})


@pytest.mark.parametrize("seed", ["7", -1, 2.0, NAN, True, [1], 2**64], ids=repr)
def test_seeds(parts, seed):
    with refused("seed must be a whole number from 0 to"):
        generate(parts, PROMPT, seed=seed)


@pytest.mark.parametrize("value", [-1, "2", True, 1.5, NAN, [1], 1j], ids=repr)
def test_clip_skips(parts, value):
    with refused("clip_skip must be a whole number of at least 0, not "):
        draw(parts, clip_skip=value)
    with refused("clip_skip must be a whole number of at least 0, not "):
        Settings(clip_skip=value)


@pytest.mark.parametrize("value", [4, 12, 10**9])
def test_more_layers_than_there_are(parts, value):
    with refused(f"clip_skip must be a whole number from 0 to 3, not {value}."):
        draw(parts, clip_skip=value)
    with refused("clip_skip must be a whole number from 0 to 3"):
        parts.embed([PROMPT], clip_skip=value)


def test_clip_skip_needs_clip(parts):
    sizes = dict(hidden_size=96, num_hidden_layers=2, num_attention_heads=2)
    config = BertConfig(vocab_size=800, intermediate_size=96, **sizes)
    other = replace(parts, text_encoder=BertModel(config).eval())
    assert len(draw(other).images) == 1
    with refused("clip_skip is for CLIP's text encoder, not BertModel: leave it out."):
        draw(other, clip_skip=1)


@pytest.mark.parametrize("nothing", [None, 7, "tiny", {}], ids=repr)
def test_no_parts(nothing):
    with refused("parts must come from load_parts", repr(nothing)):
        draw(nothing)


def test_numbers_of_numpy_are_numbers(parts):
    ours = dict(num_inference_steps=2, guidance_scale=2.5, seed=3, height=64)
    theirs = dict(
        num_inference_steps=np.int64(2),
        guidance_scale=np.float64(2.5),
        seed=np.int64(3),
        height=np.int32(64),
    )
    by_ours = generate(parts, PROMPT, **ours).latents
    assert torch.equal(generate(parts, PROMPT, **theirs).latents, by_ours)


def test_latents_of_numpy_and_lists(parts):
    latents = torch.randn(1, 4, 8, 8, generator=make_generator(0))
    expected = draw(parts, latents=latents).latents
    for same in (latents.numpy(), latents.double().numpy(), latents.tolist()):
        assert torch.equal(draw(parts, latents=same).latents, expected)


UNFIT = [
    diffusers.FlowMatchEulerDiscreteScheduler,
    diffusers.FlowMatchHeunDiscreteScheduler,
    diffusers.KarrasVeScheduler,
    diffusers.RePaintScheduler,
    diffusers.ScoreSdeVeScheduler,
    diffusers.DDPMWuerstchenScheduler,
    diffusers.VQDiffusionScheduler,
    pytest.param(diffusers.UNet2DConditionModel, marks=pytest.mark.slow),
]


@pytest.mark.parametrize("kind", UNFIT, ids=lambda kind: kind.__name__)
def test_a_scheduler_for_other_models(parts, kind):
    with refused(f"{kind.__name__} cannot be used here (", "pass one of pndm, ddim"):
        draw(parts, scheduler=kind)


def test_an_instance_for_other_models(parts):
    with refused("FlowMatchEulerDiscreteScheduler cannot be used here"):
        draw(parts, scheduler=diffusers.FlowMatchEulerDiscreteScheduler())


def test_a_scheduler_that_cannot_make_so_many_steps(parts):
    with refused("LCMScheduler cannot be used here (", "50"):
        draw(parts, scheduler=diffusers.LCMScheduler, num_inference_steps=60)


# Networks whose numbers are no numbers

DAMAGES = [
    ("vae", "decoder.conv_in.weight", "The VAE gave"),
    ("vae", "post_quant_conv.bias", "The VAE gave"),
    ("unet", "conv_in.bias", "The UNet gave"),
    ("unet", "time_embedding.linear_1.weight", "The UNet gave"),
    ("text_encoder", "final_layer_norm.weight", "The text encoder gave"),
]


def damaged(parts, part, weight, value):
    """Parts of which one has a weight that is no number."""
    network = copy.deepcopy(getattr(parts, part))
    name = next(n for n, _ in network.named_parameters() if n.endswith(weight))
    network.get_parameter(name).data.fill_(value)
    return replace(parts, **{part: network})


@pytest.mark.parametrize("part, weight, words", DAMAGES, ids=shortly)
@pytest.mark.parametrize("value", [NAN, INF], ids=repr)
def test_numbers_that_are_not_finite(parts, part, weight, words, value):
    broken = damaged(parts, part, weight, value)
    with refused(words, "not finite", "dtype=torch.float32", "take another"):
        draw(broken)


def test_a_vae_that_cannot_encode(parts):
    broken = damaged(parts, "vae", "encoder.conv_in.bias", NAN)
    with refused("The VAE gave", "not finite"):
        broken.encode(torch.zeros(1, 3, 64, 64), make_generator(0))


def test_half_precision_that_overflows(parts):
    half = copy.deepcopy(parts.unet).to(torch.bfloat16)
    half.conv_out.weight.data.fill_(3e38)
    rest = [
        copy.deepcopy(net).to(torch.bfloat16) for net in (parts.text_encoder, parts.vae)
    ]
    broken = replace(parts, unet=half, text_encoder=rest[0], vae=rest[1])
    with refused("The UNet gave", "dtype=torch.float32"):
        draw(broken)


def test_far_too_much_guidance(parts):
    with refused("The UNet gave", "lower guidance_scale"):
        draw(parts, guidance_scale=1e38, num_inference_steps=3)


def test_a_step_that_gives_nan(parts):
    def step(sample, noise_pred, a, a_prev, noise=None, last=None):
        return sample * NAN

    for steps in (1, 3):
        with refused("The scheduler gave", "take another scheduler"):
            draw(parts, scheduler=step, num_inference_steps=steps)


def test_a_unet_that_takes_more_than_latents(parts):
    nine = diffusers.UNet2DConditionModel.from_config(parts.unet.config, in_channels=9)
    with refused("takes 9 channels instead of the 4", "inpaint"):
        draw(replace(parts, unet=nine))


# What is kept of a picture


def test_stages_need_stages(parts):
    result = draw(parts)
    for wrong in (result, result.images[0], None):
        with refused("trajectory=True"):
            stages_sheet(parts, wrong)


@pytest.mark.parametrize("index", [5, 1, -1, "0", None, 0.0, True], ids=repr)
def test_no_such_picture(parts, index):
    result = draw(parts, trajectory=True, attention=True)
    with refused("index must be a whole number from 0 to 0, not "):
        stages_sheet(parts, result, index)
    with refused("index must be a whole number from 0 to 0, not "):
        result.word_maps(index)


@pytest.mark.parametrize("step", [1, -1, "0", 0.5], ids=repr)
def test_no_such_step(parts, step):
    result = draw(parts, attention=True)
    with refused("step must be a whole number from 0 to 0, not "):
        result.word_maps(step=step)


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


MARKS = {
    "a (red cat:1.3)": "(red cat:1.3)",
    "a (red:.5) cat": "(red:.5)",
    "a red (cat: -1 )": "(cat: -1 )",
    "a red cat <lora:film:0.8>": "<lora:film:0.8>",
    "a red cat <LoRA:film>": "<LoRA:film>",
    "a red cat <hypernet:film:1>": "<hypernet:film:1>",
    "a ((red) cat:1.2)": "((red) cat:1.2)",
    "a ((red:1.1) cat:1.2)": "((red:1.1) cat:1.2)",
    "a (big (red:1.1) cat)": "(red:1.1)",
    "a (красный кот:1.2)": "(красный кот:1.2)",
    "a (red\ncat:1.2)": "(red cat:1.2)",
}


def about_marks(caught):
    messages = [str(w.message) for w in caught if w.category is PromptWarning]
    return [message for message in messages if "Other tools read" in message]


@pytest.mark.parametrize("prompt, mark", MARKS.items())
def test_marks_of_other_tools(parts, prompt, mark):
    for how in (dict(prompt=prompt), dict(negative_prompt=prompt)):
        with pytest.warns(PromptWarning) as caught:
            draw(parts, **how)
        (message,) = about_marks(caught)
        assert mark in message and "plain words" in message
        assert message.endswith(".") and "\n" not in message


def test_marks_are_named_once_in_a_call(parts):
    one, two = "a (red:1.3) cat", "a (red:1.3) <lora:film:1> fish"
    with pytest.warns(PromptWarning) as caught:
        draw(parts, [one, two, one], negative_prompt="(a car:0.5)")
    (message,) = about_marks(caught)
    for mark in ("(red:1.3)", "<lora:film:1>", "(a car:0.5)"):
        assert message.count(mark) == 1


UNMARKED = [
    "a cat (asleep)",
    "two cats (12:30)",
    "a time: 12:30",
    "a (cat:dog)",
    "<cat-toy>",
    "[cat] (dog)",
    "a : 1.3",
    "(cat:1.3",
    "a \\(cat:1.3\\)",
]


@pytest.mark.parametrize("prompt", UNMARKED)
@pytest.mark.filterwarnings("always")
def test_brackets_and_colons_are_english(parts, prompt, recwarn):
    draw(parts, prompt)
    assert not about_marks(recwarn)


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
