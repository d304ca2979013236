"A learned word and a LoRA: what they change, what they leave alone, and what is not loaded."

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

from .conftest import sentence

WORD = "<pumpkin>"


def last_latents(parts, prompt):
    generator = make_generator(0)
    return generate(parts, prompt, num_inference_steps=2, generator=generator).latents


def assert_same(ours, theirs):
    """Bit for bit: both are the very same computation."""
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def assert_close(ours, theirs):
    """Equal but for rounding: the way to the numbers is another one."""
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def taught(parts):
    return add_word(parts, WORD, vector_of(parts, "apple") + 0.1)


@pytest.fixture(scope="module")
def styled(parts):
    "A UNet whose adapter changes something."
    unet = deepcopy(parts.unet)
    add_lora(unet, rank=2)
    for i, p in enumerate(p for p in unet.parameters() if p.requires_grad):
        p.data = 0.1 * randn(p.shape, make_generator(i))
    return unet


def test_a_word_is_one_token_and_changes_no_other(parts, taught):
    assert len(taught.tokenizer) == len(parts.tokenizer) + 1
    assert WORD not in parts.tokenizer.get_vocab()
    ids = tokenize(taught.tokenizer, [f"a {WORD} at night"]).input_ids[0]
    assert ids.tolist().count(len(parts.tokenizer)) == 1
    words = [word for word, _ in word_positions(taught.tokenizer, ids)]
    assert words == ["a", WORD, "at", "night"]
    assert_same(last_latents(taught, "a red cat"), last_latents(parts, "a red cat"))


def test_a_word_with_a_known_vector_is_that_word(parts):
    twin = add_word(parts, "<twin>", vector_of(parts, "cat"))
    assert_same(last_latents(twin, "a <twin>"), last_latents(twin, "a cat"))


def test_a_learned_word_does_not_warn_and_others_still_do(taught):
    with warnings.catch_warnings():
        warnings.simplefilter("error", PromptWarning)
        last_latents(taught, f"a {WORD} at the beach")
    with pytest.warns(PromptWarning, match="'pumpkin'"):
        last_latents(taught, "a pumpkin at the beach")
    with pytest.warns(PromptWarning, match="'<squash>'"):
        last_latents(taught, f"a {WORD} and a <squash>")


def test_learning_changes_one_row(parts):
    unet = {k: v.clone() for k, v in parts.unet.state_dict().items()}
    latents = randn((2, 4, 8, 8), make_generator(0))
    learned, losses = learn_word(
        parts, WORD, "apple", latents, [f"a {WORD}"] * 2, steps=2, batch_size=2
    )
    assert len(losses) == 2
    assert not torch.equal(vector_of(learned, WORD), vector_of(parts, "apple"))
    table = learned.text_encoder.get_input_embeddings().weight
    assert torch.equal(table[:-1], parts.text_encoder.get_input_embeddings().weight)
    for name, weight in parts.unet.state_dict().items():
        assert torch.equal(unet[name], weight), name


def test_word_file_for_us_and_for_diffusers(parts, taught, tmp_path):
    file = tmp_path / "word.safetensors"
    save_word(file, taught, WORD)
    assert [p.name for p in tmp_path.iterdir()] == ["word.safetensors"]
    assert_same(vector_of(load_word(parts, file), WORD), vector_of(taught, WORD))
    pipe = replace(
        parts,
        tokenizer=deepcopy(parts.tokenizer),
        text_encoder=deepcopy(parts.text_encoder),
    ).to_pipeline()
    pipe.load_textual_inversion(file)
    pipe.set_progress_bar_config(disable=True)
    noise = randn((1, 4, 8, 8), make_generator(1))
    options = dict(latents=noise, num_inference_steps=2, guidance_scale=5.0)
    ours = generate(taught, f"a {WORD}", **options).latents
    theirs = pipe(f"a {WORD}", output_type="latent", **options).images
    assert_close(ours, theirs)


@pytest.mark.parametrize("word", ["pumpkin", "<two words>", "<>", ""])
def test_words_without_brackets(parts, word):
    with pytest.raises(ValueError) as error:
        add_word(parts, word, vector_of(parts, "cat"))
    assert "angle brackets" in sentence(error)


def test_a_word_that_exists(taught):
    with pytest.raises(ValueError) as error:
        add_word(taught, WORD, vector_of(taught, "cat"))
    assert f"a word {WORD} already" in sentence(error)


@pytest.mark.parametrize("word", ["pumpkin pie", ""])
def test_no_single_token(parts, word):
    with pytest.raises(ValueError) as error:
        vector_of(parts, word)
    assert "must be one token" in sentence(error)


def test_a_pickle_is_not_opened(parts, tmp_path):
    for name in ("word.bin", "word.pt", "word.ckpt"):
        torch.save({WORD: torch.zeros(96)}, tmp_path / name)
        with pytest.raises(ValueError) as error:
            load_word(parts, tmp_path / name)
        assert "may run code" in sentence(error) and name in sentence(error)


def test_a_word_of_another_model(parts, tmp_path):
    save_file({"<dog>": torch.zeros(768)}, tmp_path / "dog.safetensors")
    with pytest.raises(ValueError) as error:
        load_word(parts, tmp_path / "dog.safetensors")
    assert "(768,)" in sentence(error) and "another model" in sentence(error)


def test_a_word_of_one_row_and_of_several(parts, tmp_path):
    rows = torch.randn(2, 96, generator=make_generator(0))
    save_file({"<dog>": rows[:1]}, tmp_path / "dog.safetensors")
    torch.testing.assert_close(
        vector_of(load_word(parts, tmp_path / "dog.safetensors"), "<dog>"), rows[0]
    )
    save_file({"<dog>": rows}, tmp_path / "dogs.safetensors")
    with pytest.raises(ValueError) as error:
        load_word(parts, tmp_path / "dogs.safetensors")
    assert "2 vectors" in sentence(error)


def test_a_file_of_another_kind(parts, tmp_path):
    save_file(
        {"a": torch.zeros(96), "b": torch.zeros(96)}, tmp_path / "two.safetensors"
    )
    with pytest.raises(ValueError) as error:
        load_word(parts, tmp_path / "two.safetensors")
    assert "2 tensors" in sentence(error)


def test_missing_and_damaged_files(parts, tmp_path):
    with pytest.raises(OSError) as error:
        load_word(parts, tmp_path / "none.safetensors")
    assert "There is no file" in sentence(error)
    with pytest.raises(OSError) as error:
        load_lora(parts.unet, tmp_path)
    assert LORA_FILE in sentence(error)
    (tmp_path / "word.safetensors").write_bytes(b"nothing")
    with pytest.raises(OSError) as error:
        load_word(parts, tmp_path / "word.safetensors")
    assert "cannot be read" in sentence(error)


def test_lora_changes_pictures_and_can_be_switched_off(parts, styled):
    printer = replace(parts, unet=styled)
    before = last_latents(parts, "a red cat")
    assert not torch.allclose(before, last_latents(printer, "a red cat"), atol=1e-2)
    styled.disable_adapters()
    try:
        assert_same(last_latents(printer, "a red cat"), before)
    finally:
        styled.enable_adapters()


def test_a_fresh_lora_changes_nothing_and_only_it_is_trained(parts):
    unet = deepcopy(parts.unet)
    add_lora(unet)
    fresh = replace(parts, unet=unet)
    assert_same(last_latents(fresh, "a cat"), last_latents(parts, "a cat"))
    trained = [name for name, p in unet.named_parameters() if p.requires_grad]
    assert {name.split(".")[-3] for name in trained} == {"lora_A", "lora_B"}


def test_lora_file_for_us_and_for_diffusers(parts, styled, tmp_path):
    save_lora(tmp_path, styled)
    assert [p.name for p in tmp_path.iterdir()] == [LORA_FILE]
    expected = last_latents(replace(parts, unet=styled), "a cat")

    def drawn_with(unet):
        return last_latents(replace(parts, unet=unet), "a cat")

    unet = deepcopy(parts.unet)
    load_lora(unet, tmp_path)
    assert_close(drawn_with(unet), expected)
    pipe = replace(parts, unet=deepcopy(parts.unet)).to_pipeline()
    pipe.load_lora_weights(tmp_path)
    assert_close(drawn_with(pipe.unet), expected)


def test_lora_file_without_the_prefix_of_a_pipeline(parts, styled, tmp_path):
    save_lora(tmp_path, styled)
    (tmp_path / "bare").mkdir()
    layers = load_file(tmp_path / LORA_FILE)
    bare = {name.removeprefix("unet."): matrix for name, matrix in layers.items()}
    save_file(bare, tmp_path / "bare" / LORA_FILE)
    unet = deepcopy(parts.unet)
    load_lora(unet, tmp_path / "bare")
    expected = last_latents(replace(parts, unet=styled), "a cat")
    assert_close(last_latents(replace(parts, unet=unet), "a cat"), expected)


def test_a_lora_of_another_model(parts, styled, tmp_path):
    save_lora(tmp_path, styled)
    for other in (tiny_unet(channels=(32, 64)), tiny_unet(cross_attention_dim=64)):
        with pytest.raises(ValueError) as error:
            load_lora(other, tmp_path)
        assert "does not fit this UNet" in sentence(error)
        assert not hasattr(other, "peft_config")
    # Windows writes no file that is mapped.
    layers = {k: v.clone() for k, v in load_file(tmp_path / LORA_FILE).items()}
    for strange in (
        {k.replace("to_q", "to_x"): v for k, v in layers.items()},
        {k.replace("to_q", "norm_q"): v for k, v in layers.items()},
        {k: v.flatten() for k, v in layers.items()},
        {"unet.conv_in.weight": torch.zeros(3)},
        {},
    ):
        save_file(strange, tmp_path / LORA_FILE)
        with pytest.raises(ValueError) as error:
            load_lora(deepcopy(parts.unet), tmp_path)
        assert "does not fit this UNet" in sentence(error)
