"""Folders, settings, trajectories, attention and the stages sheet."""

from collections import Counter
from dataclasses import replace
from functools import partial

import diffusers
import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from sdlearn.attention import record_attention, word_positions
from sdlearn.checkpoints import load_parts
from sdlearn.core import make_generator
from sdlearn.parts import Settings, make_scheduler
from sdlearn.pipeline import generate
from sdlearn.samplers import ddim_step
from sdlearn.schedulers import SCHEDULERS
from sdlearn.sheet import fit_colors, in_color, stages_sheet
from sdlearn.text import tokenize

from .conftest import assert_close, assert_same_picture
from .random_parts import build_parts

USUAL_GUIDANCE = Settings().guidance_scale

pytestmark = pytest.mark.usefixtures("no_network")

PROMPT = "a red cat at the beach"


def draw(parts, prompt=PROMPT, negative_prompt=None, seed=0, **kwargs):
    usual = dict(generator=make_generator(seed))
    if "settings" not in kwargs:
        usual["num_inference_steps"] = 3
    return generate(parts, prompt, negative_prompt, **usual | kwargs)


def test_saved_and_loaded(parts, folder):
    loaded = load_parts(folder, device="cpu")
    assert loaded.dtype == torch.float32 and loaded.vae_scale_factor == 8
    assert_close(draw(loaded).latents, draw(parts).latents)


def test_half_precision_files_run_as_float32_on_the_cpu(parts, tmp_path):
    half = build_parts("tiny")
    for part in (half.text_encoder, half.vae, half.unet):
        part.half()
    half.to_pipeline().save_pretrained(tmp_path / "half")
    loaded = load_parts(str(tmp_path / "half"), device="cpu")
    for part in (loaded.text_encoder, loaded.vae, loaded.unet):
        assert {p.dtype for p in part.parameters()} == {torch.float32}
    ours, full = draw(loaded).latents, draw(parts).latents
    torch.testing.assert_close(ours, full, atol=0.1, rtol=0.1)


def test_stock_pipeline_loads_the_folder_and_draws_the_same(folder):
    pipe = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    how = dict(num_inference_steps=3, guidance_scale=USUAL_GUIDANCE)
    stock = pipe(PROMPT, generator=make_generator(0), **how).images[0]
    assert_same_picture(draw(load_parts(folder, device="cpu")).images[0], stock)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_trajectory(parts, name):
    result = draw(parts, scheduler=name, num_inference_steps=5, trajectory=True)
    timesteps = make_scheduler(parts, name, 5).timesteps.tolist()
    assert [t for t, *_ in result.trajectory] == timesteps
    _, noisy, pred = result.trajectory[0]
    assert noisy.shape == pred.shape == (1, 4, 8, 8)
    assert 0.8 < noisy.std() < 1.2


WITHOUT_ALPHAS = {  # do they say which picture they have in mind?
    diffusers.EDMEulerScheduler: True,
    diffusers.EDMDPMSolverMultistepScheduler: True,
    diffusers.IPNDMScheduler: False,
    diffusers.CMStochasticIterativeScheduler: False,
}


@pytest.mark.parametrize("kind", WITHOUT_ALPHAS, ids=lambda kind: kind.__name__)
def test_schedulers_without_alphas_cumprod(parts, kind):
    how = dict(num_inference_steps=3, guidance_scale=USUAL_GUIDANCE)
    plain = draw(parts, scheduler=kind, **how)
    pipe = parts.to_pipeline()
    pipe.scheduler = kind.from_config({"clip_sample": False, **parts.scheduler.config})
    stock = pipe(PROMPT, generator=make_generator(0), output_type="latent", **how)
    torch.testing.assert_close(plain.latents, stock.images, atol=1e-5, rtol=1e-5)
    kept = draw(parts, scheduler=kind, trajectory=True, attention=True, **how)
    torch.testing.assert_close(kept.latents, plain.latents, atol=1e-3, rtol=1e-3)
    assert stages_sheet(parts, kept).width == 1600
    last_guess = kept.trajectory[-1][2]
    if WITHOUT_ALPHAS[kind]:
        torch.testing.assert_close(last_guess, kept.latents)
    else:
        assert last_guess is None


def test_a_guess_that_is_not_finite_is_left_out_of_the_sheet(parts):
    result = draw(parts, trajectory=True, attention=True)
    t, noisy, guess = result.trajectory[0]
    result.trajectory[0] = t, noisy, guess * float("inf")
    assert stages_sheet(parts, result).width == 1600


# One generator for each picture


def generators(*seeds):
    return [make_generator(seed) for seed in seeds]


@pytest.mark.parametrize("name", ["ddim", "euler-a", "ddpm", "dpm++"])
def test_a_list_of_generators_draws_as_the_stock_pipeline_does(parts, name):
    how = dict(num_inference_steps=3, guidance_scale=USUAL_GUIDANCE)
    prompts = [PROMPT, "two fish", PROMPT]
    ours = generate(
        parts, prompts, scheduler=name, generator=generators(5, 1, 5), **how
    )
    pipe = parts.to_pipeline()
    pipe.scheduler = make_scheduler(parts, name, 3)
    stock = pipe(
        prompts, generator=generators(5, 1, 5), output_type="latent", **how
    ).images
    torch.testing.assert_close(ours.latents, stock, atol=1e-5, rtol=1e-5)
    assert_close(ours.latents[0], ours.latents[2])
    alone = generate(
        parts, "two fish", scheduler=name, generator=make_generator(1), **how
    )
    torch.testing.assert_close(ours.latents[1:2], alone.latents, atol=1e-4, rtol=1e-4)


def test_a_step_of_ours_takes_a_list_of_generators(parts):
    step = partial(ddim_step, eta=1.0)
    both = draw(parts, [PROMPT] * 2, scheduler=step, generator=generators(1, 2))
    alone = draw(parts, PROMPT, scheduler=step, seed=2)
    torch.testing.assert_close(both.latents[1:], alone.latents, atol=1e-4, rtol=1e-4)


def test_a_tuple_or_one_in_a_list(parts):
    expected = draw(parts, seed=3).latents
    for generator in (generators(3), tuple(generators(3))):
        assert torch.equal(draw(parts, generator=generator).latents, expected)


def test_each_picture_is_encoded_with_its_own_generator(parts):
    images = torch.rand(2, 3, 64, 64, generator=make_generator(0)) * 2 - 1
    both = parts.encode(images, generators(1, 2))
    for image, latents, seed in zip(images, both, (1, 2)):
        alone = parts.encode(image[None], make_generator(seed))
        assert torch.equal(latents[None], alone)


def test_every_prompt_of_a_batch_gets_its_own_picture(parts):
    batch = draw(parts, [PROMPT, "two fish"], latents=torch.ones(2, 4, 8, 8))
    alone = draw(parts, "two fish", latents=torch.ones(1, 4, 8, 8))
    assert [image.size for image in batch.images] == [(64, 64)] * 2
    torch.testing.assert_close(batch.latents[1:], alone.latents, atol=1e-4, rtol=1e-4)


def hooked(unet):
    return bool(unet._forward_hooks or unet._forward_pre_hooks)


@torch.no_grad()
def plain_and_recorded(unet, *args, **kwargs):
    """The answers of a UNet without and with a recorder, and the recorder."""
    plain = unet(*args, **kwargs).sample
    with record_attention(unet) as recorder:
        recorded = unet(*args, **kwargs).sample
    return plain, recorded, recorder


@pytest.mark.parametrize("kind", ["tiny", "sd1", "sd2"])
@pytest.mark.parametrize("size", [(8, 8), (12, 9)])
def test_recorder_keeps_the_unets_answer(kind, size):
    unet = build_parts(kind).unet
    sample = torch.randn(2, 4, *size)
    embeds = torch.randn(2, 7, unet.config.cross_attention_dim)
    before = unet.attn_processors
    plain, recorded, recorder = plain_and_recorded(unet, sample, 10, embeds)
    torch.testing.assert_close(recorded, plain)
    assert unet.attn_processors == before
    assert not hooked(unet)
    assert recorder.steps[0].shape == (1, 7, *size)
    for maps in recorder.means.values():
        torch.testing.assert_close(maps.sum(1), torch.ones(1, *maps.shape[-2:]))


def test_recorder_with_a_mask(parts):
    sample, embeds = torch.randn(1, 4, 8, 8), torch.randn(1, 7, 96)
    mask = torch.tensor([[1, 1, 1, 0, 0, 0, 0]])
    plain, recorded, recorder = plain_and_recorded(
        parts.unet, sample, 10, embeds, encoder_attention_mask=mask
    )
    torch.testing.assert_close(recorded, plain)
    assert recorder.steps[0][:, 3:].max() < 1e-6


def test_recorder_leaves_nothing_behind_after_an_error(parts):
    before = parts.unet.attn_processors
    with pytest.raises(ZeroDivisionError), record_attention(parts.unet):
        1 / 0
    assert parts.unet.attn_processors == before
    assert not hooked(parts.unet)


@pytest.mark.filterwarnings("ignore::sdlearn.pipeline.PromptWarning")
def test_words(parts):
    result = draw(parts, ["a red zebra", PROMPT, ""], attention=True)
    zebra, known, nothing = result.words
    assert [word for word, _ in zebra] == ["a", "red", "zebra"]
    assert len(zebra[2][1]) > 1  # a word in pieces
    positions = [position for _, group in zebra for position in group]
    assert positions == list(range(1, len(positions) + 1))
    assert nothing == []
    names, maps = result.word_maps(1)
    assert names == PROMPT.split() and maps.shape == (6, 8, 8)
    assert result.word_maps(1, step=0)[1].shape == maps.shape
    assert result.word_maps(1, resolution=4)[1].shape == maps.shape
    assert result.word_maps(2)[1].shape == (0, 8, 8)


@pytest.mark.parametrize("kind", ["tiny", "sd2"])
def test_words_of_padded_and_bare_rows(kind):
    tokenizer = build_parts(kind).tokenizer
    padded = tokenize(tokenizer, [PROMPT]).input_ids[0]
    bare = tokenizer(PROMPT).input_ids
    assert word_positions(tokenizer, padded) == word_positions(tokenizer, bare)


def test_colors_of_latents():
    latents = torch.randn(4, 8, 8, generator=make_generator(0))
    mixing = torch.randn(4, 3, generator=make_generator(1)) / 9
    small = torch.einsum("chw,cd->dhw", latents, mixing)  # (3, 8, 8)
    image = small.repeat_interleave(8, 1).repeat_interleave(8, 2)
    expected = (small.permute(1, 2, 0) / 2 + 0.5).clamp(0, 1)
    colored = in_color(latents, fit_colors(latents, image))
    torch.testing.assert_close(colored, expected)


LONG = "a photo of " + "two small yellow birds on " * 4 + "a taco"


@pytest.mark.parametrize("prompt", ["a $5 taco, $x^", LONG, ""])
@pytest.mark.filterwarnings("ignore::sdlearn.pipeline.PromptWarning")
def test_stages_sheet(parts, prompt):
    result = draw(parts, prompt, trajectory=True, attention=True)
    sheet = stages_sheet(parts, result)
    assert sheet.width == 1600
    assert 1500 < sheet.height < 3500
    assert np.asarray(sheet).std() > 10


# Settings, and what a result keeps


def test_one_settings_object_or_single_changes(parts):
    changes = dict(num_inference_steps=2, guidance_scale=3.0)
    settings = Settings(**changes, seed=5)
    by_object = generate(parts, PROMPT, settings=settings)
    by_changes = generate(parts, PROMPT, **changes, seed=5)
    by_generator = draw(parts, seed=5, **changes)
    assert by_object.settings == by_changes.settings == settings
    torch.testing.assert_close(by_object.latents, by_changes.latents)
    torch.testing.assert_close(by_object.latents, by_generator.latents)


def test_a_generator_goes_before_the_seed(parts):
    settings = Settings(num_inference_steps=3, seed=7)
    both = generate(parts, PROMPT, settings=settings, generator=make_generator(1))
    torch.testing.assert_close(both.latents, draw(parts, seed=1).latents)


def test_a_result_knows_what_it_was_made_from(parts):
    result = draw(parts, [PROMPT, "two fish"], "a car", guidance_scale=2.0)
    assert result.prompts == [PROMPT, "two fish"]
    assert result.negative_prompts == ["a car", "a car"]
    assert result.settings.guidance_scale == 2.0
    assert result.tokens.input_ids.shape == result.prompt_embeds.shape[:2]
    asked = result.prompts, result.negative_prompts
    again = draw(parts, *asked, settings=result.settings)
    torch.testing.assert_close(again.latents, result.latents)


@pytest.mark.parametrize(
    "step, eta",
    [
        (ddim_step, 0.0),
        (partial(ddim_step, eta=1.0), 1.0),
    ],
    ids=["ddim_step", "eta"],
)
def test_a_step_of_ours_is_a_scheduler(parts, step, eta):
    result = draw(parts, scheduler=step, trajectory=True)
    theirs = draw(parts, scheduler="ddim", eta=eta)
    assert len(result.trajectory) == 3
    torch.testing.assert_close(result.latents, theirs.latents, atol=1e-3, rtol=1e-3)


# The prompt is read once


class CountingTokenizer:
    """A tokenizer that counts how often it is asked for each text."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        self.texts = Counter()

    def __getattr__(self, name):
        return getattr(self.tokenizer, name)

    def __call__(self, texts, *args, **kwargs):
        asked = [texts] if isinstance(texts, str) else texts
        self.texts.update(set(asked))
        return self.tokenizer(texts, *args, **kwargs)


@pytest.fixture
def counted(parts):
    """Parts, how often their tokenizer saw each text, and their encoder each row."""
    tokenizer, rows = CountingTokenizer(parts.tokenizer), Counter()

    def count(encoder, args, kwargs):
        input_ids = args[0] if args else kwargs["input_ids"]
        rows.update({tuple(row) for row in input_ids.tolist()})

    hook = parts.text_encoder.register_forward_pre_hook(count, with_kwargs=True)
    yield replace(parts, tokenizer=tokenizer), tokenizer.texts, rows
    hook.remove()


@pytest.mark.parametrize(
    "negative_prompt, negatives",
    [
        (None, [""]),
        ("a horse", ["a horse"]),
        (["a horse", "a house"], ["a horse", "a house"]),
    ],
    ids=["none", "one", "two"],
)
def test_each_text_is_tokenized_and_embedded_once(counted, negative_prompt, negatives):
    parts, texts, rows = counted
    prompts = [PROMPT, "two fish"]
    result = draw(parts, prompts, negative_prompt, trajectory=True, attention=True)
    for index in range(2):
        stages_sheet(parts, result, index)
    distinct = {*prompts, *negatives}
    assert texts == Counter(dict.fromkeys(distinct, 1))
    assert len(rows) == len(distinct)
    assert set(rows.values()) == {1}


def test_without_guidance_nothing_else_is_embedded(counted):
    parts, _, rows = counted
    draw(parts, guidance_scale=1.0)
    assert sum(rows.values()) == 1
