"""A word and a LoRA: what they change and leave alone, and what is not loaded."""

import warnings
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from peft import LoraConfig
from safetensors.torch import load_file, save_file

from sdlearn.adapt import (
    add_lora,
    add_word,
    learn_word,
    load_lora,
    load_word,
    save_lora,
    save_word,
    vector_of,
    word_loss,
)
from sdlearn.attention import word_positions
from sdlearn.conditioning import conditional_loss, tiny_unet
from sdlearn.core import make_generator, randn
from sdlearn.lora import LORA_FILE
from sdlearn.pipeline import PromptWarning, generate
from sdlearn.text import known_words, tokenize

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


@pytest.mark.parametrize("level", [0.9, 0.1])
def test_noisy_timesteps_weigh_more(taught, level):
    scheduler = deepcopy(taught.scheduler)
    scheduler.alphas_cumprod = torch.full((1000,), level)
    at_one_level = replace(taught, scheduler=scheduler)
    word = torch.nn.Embedding.from_pretrained(vector_of(taught, WORD)[None])
    input_ids = tokenize(taught.tokenizer, [f"a {WORD}"] * 2).input_ids
    batch = PICTURES, input_ids
    plain_loss = conditional_loss(taught.text_encoder, scheduler)
    plain = plain_loss(taught.unet, batch, make_generator(1))
    weighted = word_loss(at_one_level)(word, batch, make_generator(1))
    assert_close(weighted, plain / level)


PICTURES = randn((2, 4, 8, 8), make_generator(0))
UNTAUGHT = [  # latents, prompts, words to start from, what is said
    (PICTURES, [f"a {WORD}", "a cat"], "apple", "is not among the words"),
    (PICTURES, [f"a {WORD}", "cat " * 40 + WORD], "apple", "is not among the words"),
    (PICTURES, ["a pumpkin"] * 2, "apple", "is not among the words"),
    (PICTURES, [f"a {WORD}"], "apple", "2 pictures and 1 prompts"),
    (PICTURES, f"a {WORD}", "apple", "2 pictures and 1 prompts"),
    (PICTURES[:0], [], "apple", "0 pictures and 0 prompts"),
    (PICTURES[0], [f"a {WORD}"], "apple", "latents must be"),
    (PICTURES[:, :3], [f"a {WORD}"] * 2, "apple", "latents must be"),
    (PICTURES * torch.nan, [f"a {WORD}"] * 2, "apple", "latents must be"),
    (None, [f"a {WORD}"], "apple", "latents must be"),
    (PICTURES, [f"a {WORD}"] * 2, "", "like must be known words"),
    (PICTURES, [f"a {WORD}"] * 2, None, "like must be known words"),
    (PICTURES, [f"a {WORD}"] * 2, "apple dragonfruit", "must be one token"),
]


@pytest.mark.parametrize("latents, prompts, like, message", UNTAUGHT)
def test_a_word_that_cannot_be_learned(parts, latents, prompts, like, message):
    with refused(message):
        learn_word(parts, WORD, like, latents, prompts, steps=1)


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
    assert_close(vector_of(load_word(parts, several), "<dog>"), rows)


def stock_of(parts, **changes):
    """A stock pipeline of copies, so that what it loads stays in it."""
    networks = dict(unet=parts.unet, text_encoder=parts.text_encoder)
    own = {name: deepcopy(o) for name, o in (networks | changes).items()}
    tokenizer = deepcopy(parts.tokenizer)
    pipe = replace(parts, tokenizer=tokenizer, **own).to_pipeline()
    pipe.set_progress_bar_config(disable=True)
    return pipe


def copy_of(parts):
    """Parts whose networks may be changed."""
    own = dict(unet=deepcopy(parts.unet), text_encoder=deepcopy(parts.text_encoder))
    return replace(parts, **own)


def assert_drawn_as(pipe, parts, prompt="a red cat"):
    """The stock pipeline draws what we draw."""
    noise = randn((1, 4, 8, 8), make_generator(1))
    options = dict(latents=noise, num_inference_steps=2, guidance_scale=5.0)
    theirs = pipe(prompt, output_type="latent", **options).images
    assert_close(generate(parts, prompt, **options).latents, theirs)


WORDS = [  # of the file, key in it, vectors, what it is called
    ("style", "emb_params", 1, "style"),
    ("bad-hands_4", "emb_params", 4, "bad-hands_4"),
    ("anything", "<two>", 2, "<two>"),
    ("anything", "smooth", 3, "smooth"),
    ("anything", "the old style", 2, "the old style"),
    ("EasyStyle", "emb_params", 2, "EasyStyle"),
]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sdlearn.pipeline.PromptWarning")
@pytest.mark.parametrize("stem, key, k, word", WORDS)
def test_words_of_other_tools(parts, tmp_path, stem, key, k, word):
    file = tmp_path / f"{stem}.safetensors"
    save_file({key: 0.3 * randn((k, 96), make_generator(0))}, file)
    pipe = stock_of(parts)
    pipe.load_textual_inversion(file, token=word)
    learned = load_word(parts, file)
    assert_drawn_as(pipe, learned, f"a {word} cat, {word}")
    long = f"a {word} " + "cat " * 26 + f"{word} dog"
    assert_drawn_as(pipe, learned, long)
    save_word(tmp_path / "again.safetensors", learned, word)
    again = load_word(parts, tmp_path / "again.safetensors")
    assert_identical(word_table(again), word_table(learned))


def test_a_word_of_several_vectors_is_one_word_everywhere(parts, tmp_path):
    save_file(
        {"<big toy>": randn((3, 96), make_generator(0))}, tmp_path / "toy.safetensors"
    )
    learned = load_word(parts, tmp_path / "toy.safetensors")
    ids = tokenize(learned.tokenizer, "a <big toy> at night").input_ids[0]
    places = dict(word_positions(learned.tokenizer, ids))
    assert places == {"a": [1], "<big toy>": [2, 3, 4], "at": [5], "night": [6]}
    with warnings.catch_warnings():
        warnings.simplefilter("error", PromptWarning)
        result = generate(learned, "a <big toy>", num_inference_steps=1, attention=True)
    assert result.word_maps()[0] == ["a", "<big toy>"]
    assert "<big toy>_1" not in known_words(learned.tokenizer)
    long = "cat " * 28 + "<big toy> dog"
    with pytest.warns(
        PromptWarning, match="<big toy>', 'dog'|<big toy> dog|<big toy>, dog"
    ):
        last_latents(learned, long)


def test_capitals_are_read_as_stock_reads_them_and_told(parts, tmp_path):
    file = tmp_path / "EasyStyle.safetensors"
    save_file({"emb_params": randn((2, 96), make_generator(0))}, file)
    with pytest.warns(PromptWarning, match="word='easystyle'"):
        load_word(parts, file)
    with warnings.catch_warnings():
        warnings.simplefilter("error", PromptWarning)
        learned = load_word(parts, file, word="easystyle")
    ids = tokenize(learned.tokenizer, "EasyStyle").input_ids[0]
    assert word_positions(learned.tokenizer, ids) == [("easystyle", [1, 2])]


@pytest.mark.parametrize(
    "key, vectors, message",
    [
        ("<dog>", torch.zeros(0, 96), "another model"),
        ("<dog>", torch.zeros(2, 3, 96), "another model"),
        ("<dog>", torch.zeros(2, 768), "another model"),
        ("<dog>", torch.full((2, 96), torch.nan), "not finite"),
        (" ", torch.zeros(96), "must have a name"),
        ("<|endoftext|>", torch.zeros(96), "already"),
    ],
)
def test_words_that_are_refused(parts, tmp_path, key, vectors, message):
    save_file({key: vectors}, tmp_path / "dog.safetensors")
    with refused(message):
        load_word(parts, tmp_path / "dog.safetensors")


def test_a_word_must_not_become_a_vector_of_another(parts, tmp_path):
    file = tmp_path / "dog.safetensors"
    first = add_word(parts, "<toy>", torch.zeros(2, 96))
    for word in ("<toy>", "<toy>_1", "<toy>_2"):
        with refused("already"):
            load_word(first, save_and(file, {word: torch.zeros(96)}))


def save_and(file, tensors):
    """The file, written."""
    save_file(tensors, file)
    return file


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


@pytest.mark.parametrize("rank", [0, -1, 2.5, "8", None, True])
def test_odd_ranks(parts, rank):
    unet = deepcopy(parts.unet)
    before = [p.requires_grad for p in unet.parameters()]
    with refused("rank must be a whole number of at least 1, not "):
        add_lora(unet, rank)
    assert [p.requires_grad for p in unet.parameters()] == before
    assert not hasattr(unet, "peft_config")


@pytest.mark.parametrize("name", ["", " ", "my.style", 3, None])
def test_odd_names_of_adapters(parts, styled, tmp_path, name):
    unet = deepcopy(parts.unet)
    with refused("name must be a text without dots, such as 'style', not "):
        add_lora(unet, name=name)
    save_lora(tmp_path, styled)
    with refused("name must be a text without dots"):
        load_lora(unet, tmp_path, name)
    assert not hasattr(unet, "peft_config")


def test_a_second_lora_needs_a_name_of_its_own(parts):
    unet = deepcopy(parts.unet)
    add_lora(unet)
    with refused("'default' already", "default2"):
        add_lora(unet)
    add_lora(unet, name="default2")


@pytest.mark.parametrize("thing", ["unet", None, 7])
def test_a_lora_beside_something_else(thing):
    with refused("unet must be a UNet2DConditionModel, not a "):
        add_lora(thing)


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


# How strong a LoRA is

LAYERS = ["to_q", "to_v", "proj_in", "ff.net.2"]
STRENGTHS = {
    "alpha above rank": dict(r=2, lora_alpha=7),
    "alpha below rank": dict(r=4, lora_alpha=1),
    "an alpha for some": dict(r=2, lora_alpha=2, alpha_pattern={"to_v": 9}),
    "a rank for some": dict(r=2, lora_alpha=3, rank_pattern={"to_q": 5}),
    "both": dict(
        r=2, lora_alpha=3, rank_pattern={"to_q": 5}, alpha_pattern={"to_q": 1}
    ),
    "rsLoRA": dict(r=4, lora_alpha=6, use_rslora=True),
    "convolutions": dict(r=2, lora_alpha=5, target_modules=["conv1", "conv_shortcut"]),
}


def stirred(network, seed=0, **config):
    """A copy of a network with an adapter that changes something."""
    network = deepcopy(network)
    network.add_adapter(LoraConfig(**{"target_modules": LAYERS, **config}))
    for i, (name, matrix) in enumerate(network.named_parameters()):
        if "magnitude" in name:
            matrix.data *= 1.1
        elif "lora_" in name:
            matrix.data = 0.1 * randn(matrix.shape, make_generator(i + seed))
    return network


@pytest.mark.slow
@pytest.mark.parametrize("config", STRENGTHS.values(), ids=STRENGTHS)
def test_a_lora_comes_back_as_strong_as_it_was(parts, tmp_path, config):
    trained = replace(parts, unet=stirred(parts.unet, **config))
    save_lora(tmp_path, trained.unet)
    loaded, pipe = copy_of(parts), stock_of(parts)
    load_lora(loaded.unet, tmp_path)
    pipe.load_lora_weights(tmp_path)
    expected = last_latents(trained, "a cat")
    assert_close(last_latents(loaded, "a cat"), expected)
    assert not torch.allclose(last_latents(parts, "a cat"), expected, atol=1e-2)
    assert_drawn_as(pipe, loaded)


@pytest.mark.slow
def test_a_lora_of_both_networks_and_its_scale(parts, tmp_path):
    tower = stirred(
        parts.text_encoder, r=2, lora_alpha=6, target_modules=["q_proj", "fc1"]
    )
    unet = stirred(parts.unet, r=3, lora_alpha=8, use_rslora=True)
    trained = replace(parts, unet=unet, text_encoder=tower)
    save_lora(tmp_path, trained)
    pipe = stock_of(parts)
    pipe.load_lora_weights(tmp_path, adapter_name="style")
    loaded, half, none = copy_of(parts), copy_of(parts), copy_of(parts)
    load_lora(loaded, tmp_path)
    assert_close(last_latents(loaded, "a cat"), last_latents(trained, "a cat"))
    assert_drawn_as(pipe, loaded)
    load_lora(half, tmp_path, scale=0.5)
    pipe.set_adapters("style", 0.5)
    assert_drawn_as(pipe, half)
    load_lora(none, tmp_path, scale=0)
    assert_close(last_latents(none, "a cat"), last_latents(parts, "a cat"))
    with refused("text encoder", "pass the parts"):
        load_lora(deepcopy(parts.unet), tmp_path)


def test_a_file_that_diffusers_wrote_for_a_unet_alone(parts, tmp_path):
    trained = stirred(parts.unet, r=2, lora_alpha=9)
    trained.save_lora_adapter(tmp_path)
    unet = deepcopy(parts.unet)
    load_lora(unet, tmp_path)
    assert_close(drawn_with(unet, parts), drawn_with(trained, parts))


# Files of other tools


def kohya(network, start, kinds, alpha=lambda i: 2.0, rank=3):
    """Matrices by the names of kohya's scripts, for some layers of a network."""
    tensors, generator = {}, make_generator(0)
    for i, (name, layer) in enumerate(network.named_modules()):
        weight = getattr(layer, "weight", None)
        if weight is None or weight.ndim < 2 or not name.endswith(kinds):
            continue
        key = f"{start}_{name.replace('.', '_')}"
        ones = (1,) * (weight.ndim - 2)
        down = torch.randn(rank, *weight.shape[1:], generator=generator)
        up = torch.randn(weight.shape[0], rank, *ones, generator=generator)
        tensors[f"{key}.lora_down.weight"] = 0.1 * down
        tensors[f"{key}.lora_up.weight"] = 0.1 * up
        if alpha(i) is not None:
            tensors[f"{key}.alpha"] = torch.tensor(alpha(i))
    return tensors


def with_text(parts, start="lora_te_text_model", **options):
    unet = kohya(parts.unet, "lora_unet", ("to_q", "to_out.0"), **options)
    kinds = ("k_proj", "out_proj", "fc2")
    text = kohya(parts.text_encoder, start, kinds, **options)
    return unet | {
        key.replace("_text_model_text_model", "_text_model"): o
        for key, o in text.items()
    }


CONVOLUTIONS = (
    "conv1",
    "conv2",
    "conv_shortcut",
    "downsamplers.0.conv",
    "time_emb_proj",
)
OTHERS = {
    "text encoder": with_text,
    "text encoder by its number": lambda parts: with_text(parts, "lora_te1_text_model"),
    "an alpha for each": lambda parts: with_text(parts, alpha=lambda i: 1.0 + i % 3),
    "no alpha": lambda parts: with_text(parts, alpha=lambda i: None),
    "convolutions": lambda parts: kohya(parts.unet, "lora_unet", CONVOLUTIONS),
    "feed-forward": lambda parts: kohya(
        parts.unet, "lora_unet", ("ff.net.0.proj", "ff.net.2", "proj_in")
    ),
    "only the text encoder": lambda parts: {
        key: o for key, o in with_text(parts).items() if key.startswith("lora_te")
    },
    "half": lambda parts: {key: o.half() for key, o in with_text(parts).items()},
}


@pytest.mark.slow
@pytest.mark.parametrize("make", OTHERS.values(), ids=OTHERS)
def test_loras_of_other_tools(parts, tmp_path, make):
    file = tmp_path / "my style v2.safetensors"
    save_file(make(parts), file, {"ss_network_alpha": "1"})
    pipe = stock_of(parts)
    pipe.load_lora_weights(str(tmp_path), weight_name=file.name)
    for path in (file, str(file), tmp_path):
        loaded = copy_of(parts)
        load_lora(loaded, path)
        assert_drawn_as(pipe, loaded)
    assert not torch.allclose(
        last_latents(loaded, "a cat"), last_latents(parts, "a cat"), atol=1e-3
    )


def test_a_folder_of_several_files(parts, tmp_path):
    tensors = kohya(parts.unet, "lora_unet", ("to_q",))
    for name in ("a.safetensors", "b.safetensors"):
        save_file(tensors, tmp_path / name)
    with refused("2 .safetensors files", "name one"):
        load_lora(deepcopy(parts.unet), tmp_path)
    save_file(tensors, tmp_path / LORA_FILE)
    load_lora(deepcopy(parts.unet), tmp_path)


UP = "lora_unet_mid_block_resnets_0_conv1"
QUERY = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"
STRANGE = {
    "LoHa": {f"{QUERY}.hada_w1_a": torch.ones(128, 2)},
    "LoKr": {f"{QUERY}.lokr_w1": torch.ones(2, 2)},
    "third matrix": {f"{UP}.lora_mid.weight": torch.ones(2, 2, 3, 3)},
    "cannot read": {"lora_unet_mid.diff": torch.ones(2)},
    "does not fit this UNet": {
        f"{QUERY}_x.lora_down.weight": torch.ones(2, 128),
        f"{QUERY}_x.lora_up.weight": torch.ones(128, 2),
    },
    "does not fit": {"bundle_emb.toy": torch.ones(2)},
}


@pytest.mark.parametrize("message", STRANGE)
def test_loras_of_other_methods(parts, tmp_path, message):
    file = tmp_path / "style.safetensors"
    save_file(kohya(parts.unet, "lora_unet", ("to_v",)) | STRANGE[message], file)
    unet = deepcopy(parts.unet)
    with refused(
        message.split(" ", 1)[-1] if message == "cannot read" else message, str(file)
    ):
        load_lora(unet, file)
    assert not hasattr(unet, "peft_config")


SIZES = {
    "another kernel": [(f"{UP}.lora_down.weight", (3, 128, 1, 1))],
    "no second matrix of its rank": [(f"{UP}.lora_up.weight", (128, 2, 1, 1))],
    "linear for a convolution": [
        (f"{UP}.lora_down.weight", (3, 128)),
        (f"{UP}.lora_up.weight", (128, 3)),
    ],
}


@pytest.mark.parametrize("changes", SIZES.values(), ids=SIZES)
def test_convolutions_of_another_size(parts, tmp_path, changes):
    tensors = kohya(parts.unet, "lora_unet", ("conv1",))
    tensors |= {key: torch.ones(shape) for key, shape in changes}
    save_file(tensors, tmp_path / "style.safetensors")
    unet = deepcopy(parts.unet)
    with refused("does not fit this UNet"):
        load_lora(unet, tmp_path)
    assert not hasattr(unet, "peft_config")


def test_a_text_encoder_of_another_model(parts, tmp_path):
    tensors = with_text(parts)
    key = next(key for key in tensors if key.startswith("lora_te") and "down" in key)
    save_file(tensors | {key: torch.ones(3, 768)}, tmp_path / "style.safetensors")
    loaded = copy_of(parts)
    with refused("does not fit this text encoder"):
        load_lora(loaded, tmp_path)
    assert not hasattr(loaded.unet, "peft_config")


def test_magnitudes_that_diffusers_leaves_out(parts, tmp_path):
    tensors = kohya(parts.unet, "lora_unet", ("to_v",))
    downs = [key for key in tensors if "lora_down" in key]
    for key in downs:
        width = tensors[key].shape[1]
        tensors[key.replace("lora_down.weight", "dora_scale")] = torch.rand(1, width)
    save_file(tensors, tmp_path / LORA_FILE)
    loaded, pipe = copy_of(parts), stock_of(parts)
    pipe.load_lora_weights(tmp_path)
    with pytest.warns(PromptWarning, match="DoRA whose magnitudes"):
        load_lora(loaded, tmp_path)
    assert_drawn_as(pipe, loaded)


DORAS = {
    "linear": dict(r=3, lora_alpha=7, target_modules=["to_q", "ff.net.2"]),
    "convolution": dict(r=2, lora_alpha=2, target_modules=["conv1", "proj_in"]),
    "rank pattern": dict(
        r=2, lora_alpha=3, rank_pattern={"to_k": 4}, target_modules=["to_q", "to_k"]
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1.0, 0.4])
@pytest.mark.parametrize("config", DORAS.values(), ids=DORAS)
def test_dora_of_peft(parts, tmp_path, config, scale):
    trained = stirred(parts.unet, use_dora=True, **config)
    save_lora(tmp_path, trained)
    loaded, pipe = copy_of(parts), stock_of(parts)
    load_lora(loaded, tmp_path, "style", scale)
    pipe.load_lora_weights(tmp_path, adapter_name="style")
    pipe.set_adapters("style", scale)
    assert_drawn_as(pipe, loaded)
    plain = last_latents(parts, "a cat")
    assert not torch.allclose(last_latents(loaded, "a cat"), plain, atol=1e-3)


def test_magnitudes_of_another_size(parts, tmp_path):
    config = dict(r=2, target_modules=["to_q"], use_dora=True)
    save_lora(tmp_path, stirred(parts.unet, **config))
    layers = deepcopy(load_file(tmp_path / LORA_FILE))
    key = next(key for key in layers if "magnitude" in key)
    save_file(layers | {key: torch.ones(7)}, tmp_path / LORA_FILE)
    with refused("does not fit this UNet", "magnitude"):
        load_lora(deepcopy(parts.unet), tmp_path)


# Several at once, and what stands beside a UNet


def both_networks(parts, folder, seed, **config):
    """A LoRA of both networks, saved."""
    text = {**config, "target_modules": ["q_proj", "fc2"]}
    trained = replace(
        parts,
        unet=stirred(parts.unet, seed, **config),
        text_encoder=stirred(parts.text_encoder, seed, **text),
    )
    save_lora(folder, trained)
    return folder


@pytest.mark.parametrize(
    "scales",
    [
        (0.7, 0.4),
        pytest.param((-0.5, 1.2), marks=pytest.mark.slow),
        pytest.param((0, 1), marks=pytest.mark.slow),
    ],
)
def test_two_at_once(parts, tmp_path, scales):
    one = both_networks(parts, tmp_path / "one", 0, r=2, lora_alpha=5)
    two = both_networks(parts, tmp_path / "two", 50, r=3, use_rslora=True)
    loaded, pipe = copy_of(parts), stock_of(parts)
    for name, folder, scale in zip("ab", (one, two), scales):
        load_lora(loaded, folder, name, scale)
        pipe.load_lora_weights(folder, adapter_name=name)
    pipe.set_adapters(["a", "b"], list(scales))
    assert_drawn_as(pipe, loaded)


@pytest.mark.slow
def test_the_second_leaves_the_first_on(parts, tmp_path):
    text = with_text(parts)
    only_unet = kohya(parts.unet, "lora_unet", ("conv1",))
    loaded, pipe = copy_of(parts), stock_of(parts)
    for name, tensors in (("text", text), ("unet", only_unet)):
        save_file(tensors, tmp_path / f"{name}.safetensors")
        load_lora(loaded, tmp_path / f"{name}.safetensors", name, 0.6)
        how = dict(weight_name=f"{name}.safetensors", adapter_name=name)
        pipe.load_lora_weights(str(tmp_path), **how)
    pipe.set_adapters(["text", "unet"], [0.6, 0.6])
    assert_drawn_as(pipe, loaded)


def test_a_name_is_free_again_once_its_adapter_is_deleted(parts, tmp_path):
    save_lora(tmp_path, stirred(parts.unet, r=2))
    loaded = copy_of(parts)
    load_lora(loaded, tmp_path, "style")
    expected = last_latents(loaded, "a cat")
    with refused("'style' already"):
        load_lora(loaded, tmp_path, "style")
    loaded.unet.delete_adapters("style")
    assert_close(last_latents(loaded, "a cat"), last_latents(parts, "a cat"))
    load_lora(loaded, tmp_path, "style")
    assert_close(last_latents(loaded, "a cat"), expected)


def test_a_unet_knows_the_text_encoder_beside_it(parts, tmp_path):
    folder = both_networks(parts, tmp_path, 0, r=2, lora_alpha=5)
    loaded, pipe = copy_of(parts), stock_of(parts)
    pipe.load_lora_weights(folder)
    load_lora(loaded.unet, folder)
    assert_drawn_as(pipe, loaded)


def test_a_unet_of_several_text_encoders_does_not_choose(parts, tmp_path):
    folder = both_networks(parts, tmp_path, 0, r=2, lora_alpha=5)
    loaded = copy_of(parts)
    taught = add_word(loaded, "<new>", torch.zeros(96))
    with refused("none or several go with this UNet"):
        load_lora(loaded.unet, folder)
    load_lora(taught, folder)
    assert not hasattr(loaded.text_encoder, "peft_config")


@pytest.mark.parametrize("thing", [None, "unet", 3, torch.nn.Linear(2, 2)])
def test_a_lora_for_something_else(tmp_path, thing):
    with refused("for Parts or a UNet"):
        load_lora(thing, tmp_path)


def test_a_lora_of_no_size(parts, tmp_path):
    save_file(kohya(parts.unet, "lora_unet", ("to_q",), rank=0), tmp_path / LORA_FILE)
    with refused("does not fit this UNet"):
        load_lora(deepcopy(parts.unet), tmp_path)


FILES = {
    "a LoRA": lambda parts: kohya(parts.unet, "lora_unet", ("to_q",)),
    "a word": lambda parts: {"<dog>": torch.zeros(2, 96)},
    "a word of": lambda parts: {"clip_g": torch.ones(1, 9), "clip_l": torch.ones(1, 7)},
    "a whole checkpoint": lambda parts: {
        "model.diffusion_model.x": torch.ones(1),
        "first_stage_model.decoder.x": torch.ones(1),
    },
    "a VAE": lambda parts: {"decoder.conv_in.bias": torch.ones(1)},
}


@pytest.mark.parametrize("kind", FILES)
def test_files_of_another_kind_are_named(parts, tmp_path, kind):
    file = tmp_path / "style.safetensors"
    save_file(FILES[kind](parts), file)
    if kind != "a word":
        with refused(f"is {kind} ", "not a word", str(file)):
            load_word(parts, file)
    if kind != "a LoRA":
        with refused(f"is {kind} ", "not a LoRA", str(file)):
            load_lora(copy_of(parts), file)


@pytest.mark.parametrize(
    "metadata",
    [
        "{",
        '{"unet.r": 7}',
        '{"unet.new_field": 1}',
        '{"unet.use_dora": true, "unet.r": 3}',
        "[1]",
    ],
)
def test_metadata_that_do_not_belong(parts, tmp_path, metadata):
    save_lora(tmp_path, stirred(parts.unet, r=3))
    tensors = deepcopy(load_file(tmp_path / LORA_FILE))
    save_file(tensors, tmp_path / LORA_FILE, {"lora_adapter_metadata": metadata})
    unet = deepcopy(parts.unet)
    with refused(LORA_FILE):
        load_lora(unet, tmp_path)
    assert not hasattr(unet, "peft_config")


def test_names_and_scales_of_adapters(parts, styled, tmp_path):
    save_lora(tmp_path, styled)
    unet = deepcopy(parts.unet)
    load_lora(unet, tmp_path, "one")
    with refused("'one' already"):
        load_lora(unet, tmp_path, "one")
    for scale in (float("nan"), float("inf"), "loud", None, True):
        with refused("scale must be a number"):
            load_lora(unet, tmp_path, "two", scale=scale)
    with refused("no adapter 'two'"):
        save_lora(tmp_path, unet, "two")


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
