"""Prompts as token ids: cut, padded, and with the words that a tokenizer knows."""

from copy import deepcopy

import pytest
import torch
from transformers import CLIPTextModel, CLIPTokenizer

from sdlearn.data import WorldData, sample_captions
from sdlearn.text import (
    captioned_pictures,
    embed_tokens,
    encode_prompt,
    known_words,
    tokenize,
    train_tokenizer,
    unknown_words,
    words_cut,
)
from sdlearn.world import vocabulary

from .conftest import SHIPPED

TOO_LONG = " ".join(["cat"] * 30 + ["red", "taco"])
PROMPTS = ["a red cat", "", TOO_LONG, "a zebra, 斑", " ".join(["cat"] * 30)]


@pytest.fixture(scope="module")
def tokenizer():
    return CLIPTokenizer.from_pretrained(SHIPPED / "tokenizer", local_files_only=True)


@pytest.mark.parametrize("pad", ["<|endoftext|>", "!"])
def test_ids_are_those_of_the_tokenizer_itself(tokenizer, pad):
    tokenizer = deepcopy(tokenizer)
    tokenizer.pad_token = pad  # OpenCLIP pads with "!"
    ours = tokenize(tokenizer, PROMPTS)
    length = tokenizer.model_max_length
    cut = dict(truncation=True, padding="max_length", max_length=length)
    theirs = tokenizer(PROMPTS, **cut, return_tensors="pt")
    assert torch.equal(ours.input_ids, theirs.input_ids)
    assert torch.equal(ours.attention_mask, theirs.attention_mask)


def test_one_prompt_is_a_batch_of_one(tokenizer):
    one, batch = tokenize(tokenizer, "a red cat"), tokenize(tokenizer, ["a red cat"])
    assert torch.equal(one.input_ids, batch.input_ids)
    assert one.input_ids.shape == (1, 32)


def test_overflow_holds_what_was_cut(tokenizer):
    overflow = tokenize(tokenizer, PROMPTS).overflow
    assert [bool(ids) for ids in overflow] == [False, False, True, False, False]
    assert words_cut(tokenizer, overflow[2]) == ["red", "taco"]
    assert words_cut(tokenizer, overflow[0]) == []


def test_all_prompts_are_tokenized_at_once(tokenizer, monkeypatch):
    calls = []
    plain_call = CLIPTokenizer.__call__

    def counted(self, *args, **kwargs):
        calls.append(args)
        return plain_call(self, *args, **kwargs)

    monkeypatch.setattr(CLIPTokenizer, "__call__", counted)
    tokenize(tokenizer, PROMPTS)
    assert len(calls) == 1


def test_embeddings_from_tokens_or_prompts(tokenizer):
    folder = SHIPPED / "text_encoder"
    tower = CLIPTextModel.from_pretrained(folder, dtype=torch.float32).eval()
    tokens = tokenize(tokenizer, PROMPTS)
    embeds = embed_tokens(tower, tokens)
    assert embeds.shape == (5, 32, 96)
    torch.testing.assert_close(embeds, encode_prompt(tokenizer, tower, PROMPTS))


def test_known_words_travel_with_the_tokenizer(tokenizer, tmp_path):
    assert known_words(tokenizer) == vocabulary()
    trained = train_tokenizer(["A wombat, on <toy> skates!", "two wombats"])
    words = ["<toy>", "a", "on", "skates", "two", "wombat", "wombats"]
    assert known_words(trained) == words
    trained.save_pretrained(tmp_path)
    loaded = CLIPTokenizer.from_pretrained(tmp_path, local_files_only=True)
    assert known_words(loaded) == words
    assert unknown_words(loaded, "Two wombats on a cat") == ["cat"]


def test_a_word_added_later_is_known(tokenizer):
    tokenizer = deepcopy(tokenizer)
    tokenizer.add_tokens(["<toy>"])
    assert unknown_words(tokenizer, "a <toy> and a zebra") == ["zebra"]


def test_without_a_list_no_word_is_unknown(tokenizer):
    tokenizer = deepcopy(tokenizer)
    del tokenizer.init_kwargs["known_words"]
    tokenizer.add_tokens(["<toy>"])
    assert known_words(tokenizer) == []
    assert unknown_words(tokenizer, "a zebra") == []


def test_captions_of_the_world_are_known_from_few(tokenizer):
    assert known_words(train_tokenizer(sample_captions(2000))) == vocabulary()


def test_captioned_pictures_follow_their_data(tokenizer):
    data = WorldData(3, split=None)
    dataset = captioned_pictures(tokenizer, data)
    for i in range(3):
        picture, caption = data[i]
        assert torch.equal(dataset[i][0], picture)
        assert torch.equal(dataset[i][1], tokenize(tokenizer, caption).input_ids[0])
