"""A word and a LoRA: what they change and leave alone, and what is not loaded."""

import warnings
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from sdlearn.adapt import (
    LORA_FILE,
    add_lora,
    add_word,
    learn_word,
    load_lora,
    load_word,
    save_lora,
    save_word,
    vector_of,
)
from sdlearn.attention import word_positions
from sdlearn.conditioning import tiny_unet
from sdlearn.core import make_generator, randn
from sdlearn.pipeline import PromptWarning, generate
from sdlearn.text import tokenize

from .conftest import assert_close, assert_identical, refused

WORD = "<pumpkin>"


def last_latents(parts, prompt):
    generator = make_generator(0)
    return generate(parts, prompt, num_inference_steps=2, generator=generator).latents


def word_table(parts):
    """The vectors of all tokens."""
    return parts.text_encoder.get_input_embeddings().weight


def drawn_with(unet, parts):
    return last_latents(replace(parts, unet=unet), "a cat")


@pytest.fixture(scope="module")
def taught(parts):
    return add_word(parts, WORD, vector_of(parts, "apple") + 0.1)


@pytest.fixture(scope="module")
def styled(parts):
    """A UNet whose adapter changes something."""
    unet = deepcopy(parts.unet)
    add_lora(unet, rank=2)
    trained = [p for p in unet.parameters() if p.requires_grad]
    for i, matrix in enumerate(trained):
        matrix.data = 0.1 * randn(matrix.shape, make_generator(i))
    return unet


def test_a_word_is_one_token_and_changes_no_other(parts, taught):
    assert len(taught.tokenizer) == len(parts.tokenizer) + 1
    assert WORD not in parts.tokenizer.get_vocab()
    ids = tokenize(taught.tokenizer, [f"a {WORD} at night"]).input_ids[0]
    assert ids.tolist().count(len(parts.tokenizer)) == 1
    words = [word for word, _ in word_positions(taught.tokenizer, ids)]
    assert words == ["a", WORD, "at", "night"]
    assert_identical(word_table(taught)[:-1], word_table(parts))
    assert_close(last_latents(taught, "a red cat"), last_latents(parts, "a red cat"))


def test_a_word_with_a_known_vector_is_that_word(parts):
    twin = add_word(parts, "<twin>", vector_of(parts, "cat"))
    assert_identical(last_latents(twin, "a <twin>"), last_latents(twin, "a cat"))


def test_a_learned_word_does_not_warn_and_others_still_do(taught):
    with warnings.catch_warnings():
        warnings.simplefilter("error", PromptWarning)
        last_latents(taught, f"a {WORD} at the beach")
    with pytest.warns(PromptWarning, match="'pumpkin'"):
        last_latents(taught, "a pumpkin at the beach")
    with pytest.warns(PromptWarning, match="'<squash>'"):
        last_latents(taught, f"a {WORD} and a <squash>")


def test_learning_changes_one_row(parts):
    before = deepcopy(parts.unet.state_dict())
    latents = randn((2, 4, 8, 8), make_generator(0))
    captions = [f"a {WORD}"] * 2
    learned, losses = learn_word(
        parts, WORD, "apple", latents, captions, steps=2, batch_size=2
    )
    assert len(losses) == 2
    assert not torch.equal(vector_of(learned, WORD), vector_of(parts, "apple"))
    assert_identical(word_table(learned)[:-1], word_table(parts))
    for name, weight in parts.unet.state_dict().items():
        assert torch.equal(before[name], weight), name


def test_word_file_for_us_and_for_diffusers(parts, taught, tmp_path):
    file = tmp_path / "word.safetensors"
    save_word(file, taught, WORD)
    assert [p.name for p in tmp_path.iterdir()] == ["word.safetensors"]
    assert_identical(vector_of(load_word(parts, file), WORD), vector_of(taught, WORD))
    copied = replace(
        parts,
        tokenizer=deepcopy(parts.tokenizer),
        text_encoder=deepcopy(parts.text_encoder),
    )
    pipe = copied.to_pipeline()
    pipe.load_textual_inversion(file)
    pipe.set_progress_bar_config(disable=True)
    noise = randn((1, 4, 8, 8), make_generator(1))
    options = dict(latents=noise, num_inference_steps=2, guidance_scale=5.0)
    ours = generate(taught, f"a {WORD}", **options).latents
    theirs = pipe(f"a {WORD}", output_type="latent", **options).images
    assert_close(ours, theirs)


@pytest.mark.parametrize("word", ["pumpkin", "<two words>", "<>", ""])
def test_words_without_brackets(parts, word):
    with refused("angle brackets"):
        add_word(parts, word, vector_of(parts, "cat"))


def test_a_word_that_exists(taught):
    with refused(f"a word {WORD} already"):
        add_word(taught, WORD, vector_of(taught, "cat"))


@pytest.mark.parametrize("word", ["pumpkin pie", ""])
def test_no_single_token(parts, word):
    with refused("must be one token"):
        vector_of(parts, word)


@pytest.mark.parametrize("name", ["word.bin", "word.pt", "word.ckpt"])
def test_a_pickle_is_not_opened(parts, tmp_path, name):
    torch.save({WORD: torch.zeros(96)}, tmp_path / name)
    with refused("may run code", name):
        load_word(parts, tmp_path / name)


def test_a_word_of_another_model(parts, tmp_path):
    save_file({"<dog>": torch.zeros(768)}, tmp_path / "dog.safetensors")
    with refused("(768,)", "another model"):
        load_word(parts, tmp_path / "dog.safetensors")


def test_a_word_of_one_row_and_of_several(parts, tmp_path):
    rows = randn((2, 96), make_generator(0))
    one, several = tmp_path / "dog.safetensors", tmp_path / "dogs.safetensors"
    save_file({"<dog>": rows[:1]}, one)
    assert_close(vector_of(load_word(parts, one), "<dog>"), rows[0])
    save_file({"<dog>": rows}, several)
    with refused("2 vectors"):
        load_word(parts, several)


def test_a_file_of_another_kind(parts, tmp_path):
    two = {"a": torch.zeros(96), "b": torch.zeros(96)}
    save_file(two, tmp_path / "two.safetensors")
    with refused("2 tensors"):
        load_word(parts, tmp_path / "two.safetensors")


def test_missing_and_damaged_files(parts, tmp_path):
    with refused("There is no file", error=OSError):
        load_word(parts, tmp_path / "none.safetensors")
    with refused(LORA_FILE, error=OSError):
        load_lora(parts.unet, tmp_path)
    (tmp_path / "word.safetensors").write_bytes(b"nothing")
    with refused("cannot be read", error=OSError):
        load_word(parts, tmp_path / "word.safetensors")


def test_lora_changes_pictures_and_can_be_switched_off(parts, styled):
    before = drawn_with(parts.unet, parts)
    assert not torch.allclose(before, drawn_with(styled, parts), atol=1e-2)
    styled.disable_adapters()
    try:
        assert_close(drawn_with(styled, parts), before)
    finally:
        styled.enable_adapters()


def test_a_fresh_lora_changes_nothing_and_only_it_is_trained(parts):
    unet = deepcopy(parts.unet)
    add_lora(unet)
    assert_close(drawn_with(unet, parts), drawn_with(parts.unet, parts))
    trained = [name for name, p in unet.named_parameters() if p.requires_grad]
    assert {name.split(".")[-3] for name in trained} == {"lora_A", "lora_B"}


def test_lora_file_for_us_and_for_diffusers(parts, styled, tmp_path):
    save_lora(tmp_path, styled)
    assert [p.name for p in tmp_path.iterdir()] == [LORA_FILE]
    expected = drawn_with(styled, parts)
    unet = deepcopy(parts.unet)
    load_lora(unet, tmp_path)
    assert_close(drawn_with(unet, parts), expected)
    pipe = replace(parts, unet=deepcopy(parts.unet)).to_pipeline()
    pipe.load_lora_weights(tmp_path)
    assert_close(drawn_with(pipe.unet, parts), expected)


def test_lora_file_without_the_prefix_of_a_pipeline(parts, styled, tmp_path):
    save_lora(tmp_path, styled)
    (tmp_path / "bare").mkdir()
    layers = load_file(tmp_path / LORA_FILE)
    bare = {name.removeprefix("unet."): matrix for name, matrix in layers.items()}
    save_file(bare, tmp_path / "bare" / LORA_FILE)
    unet = deepcopy(parts.unet)
    load_lora(unet, tmp_path / "bare")
    assert_close(drawn_with(unet, parts), drawn_with(styled, parts))


def renamed(layers, old, new):
    return {name.replace(old, new): matrix for name, matrix in layers.items()}


def test_a_lora_of_another_model(parts, styled, tmp_path):
    save_lora(tmp_path, styled)
    for other in (tiny_unet(channels=(32, 64)), tiny_unet(cross_attention_dim=64)):
        with refused("does not fit this UNet"):
            load_lora(other, tmp_path)
        assert not hasattr(other, "peft_config")
    # Windows writes no file that is mapped.
    layers = deepcopy(load_file(tmp_path / LORA_FILE))
    for strange in (
        renamed(layers, "to_q", "to_x"),
        renamed(layers, "to_q", "norm_q"),
        {name: matrix.flatten() for name, matrix in layers.items()},
        {"unet.conv_in.weight": torch.zeros(3)},
        {},
    ):
        save_file(strange, tmp_path / LORA_FILE)
        with refused("does not fit this UNet"):
            load_lora(deepcopy(parts.unet), tmp_path)
