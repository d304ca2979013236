"""The text tower and the UNet, trained together."""

import pytest
import torch
from transformers import CLIPTextModel

from sdlearn.conditioning import tiny_scheduler, tiny_unet
from sdlearn.core import make_generator, randn
from sdlearn.text import tiny_clip, tokenize, train_tokenizer
from sdlearn.together import TextAndUNet, joint_loss, middle_timesteps, text_tower_of

CAPTIONS = ["a cat left of a horse", "a horse left of a cat"]
B = 6


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(CAPTIONS)


@pytest.fixture(scope="module")
def clip(tokenizer):
    torch.manual_seed(0)
    return tiny_clip(tokenizer, width=32, layers=2).eval()


@pytest.fixture
def both(clip):
    torch.manual_seed(1)
    return TextAndUNet(text_tower_of(clip), tiny_unet(32, channels=(16, 32)))


@pytest.fixture(scope="module")
def batch(tokenizer):
    latents = randn((B, 4, 8, 8), make_generator(0))
    return latents, tokenize(tokenizer, CAPTIONS * (B // 2)).input_ids


# The tower


def test_the_tower_says_what_clip_says(clip, batch):
    with torch.no_grad():
        expected = clip.text_model(batch[1])[0]
        torch.testing.assert_close(text_tower_of(clip)(batch[1])[0], expected)


def test_the_tower_is_a_copy(clip):
    before = clip.text_model.final_layer_norm.weight.clone()
    tower = text_tower_of(clip)
    with torch.no_grad():
        for weight in tower.parameters():
            weight.fill_(7)
    assert torch.equal(clip.text_model.final_layer_norm.weight, before)


def test_the_tower_computes_as_clip_does(clip):
    tower = text_tower_of(clip)
    assert tower.dtype == torch.float32
    assert tower.config._attn_implementation == clip.config._attn_implementation


def test_stock_transformers_loads_the_saved_tower(clip, batch, tmp_path):
    text_tower_of(clip).save_pretrained(tmp_path)
    stock, report = CLIPTextModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    with torch.no_grad():
        expected = clip.text_model(batch[1])[0]
        # The stock tower takes PyTorch's fused attention.
        torch.testing.assert_close(stock(batch[1])[0], expected, rtol=1e-4, atol=1e-5)


# Both as one


def test_both_answer_as_the_unet_with_the_words(both, batch):
    noisy, input_ids = batch
    t = torch.arange(B) * 100
    with torch.no_grad():
        prompt_embeds = both.text_encoder(input_ids)[0]
        expected = both.unet(noisy, t, encoder_hidden_states=prompt_embeds).sample
        torch.testing.assert_close(both(noisy, t, input_ids), expected)


def test_the_gradient_reaches_both(both, batch):
    joint_loss(tiny_scheduler())(both, batch, make_generator(1)).backward()
    for network in (both.text_encoder, both.unet):
        gradients = [weight.grad for weight in network.parameters()]
        assert all(gradient is not None for gradient in gradients)
        assert any(gradient.abs().max() > 0 for gradient in gradients)


def test_one_step_moves_both(both, batch):
    optimizer = torch.optim.SGD(both.parameters(), lr=1.0)
    before = {name: weight.clone() for name, weight in both.state_dict().items()}
    joint_loss(tiny_scheduler())(both, batch, make_generator(1)).backward()
    optimizer.step()
    after = both.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name.partition(".")[0] for name in moved} == {"text_encoder", "unet"}


# Which timesteps


@pytest.mark.parametrize("num_train_timesteps", [1, 10, 1000])
def test_timesteps_are_those_that_there_are(num_train_timesteps):
    t = middle_timesteps(num_train_timesteps, 50_000, make_generator(0))
    assert t.shape == (50_000,) and t.dtype == torch.int64
    assert 0 <= t.min() and t.max() < num_train_timesteps


def test_middle_timesteps_are_frequent():
    t = middle_timesteps(1000, 50_000, make_generator(0))
    in_middle = ((t >= 250) & (t < 750)).float().mean()
    # The sigmoid of a normal number is between 1/4 and 3/4 if the number is within log 3.
    expected = torch.special.erf(torch.tensor(3.0).log() / 2**0.5)
    assert abs(in_middle - expected) < 0.01
    assert abs(t.float().mean() - 499.5) < 5


def test_timesteps_can_be_had_again():
    first, again = (middle_timesteps(1000, 100, make_generator(3)) for _ in range(2))
    other = middle_timesteps(1000, 100, make_generator(4))
    assert torch.equal(first, again) and not torch.equal(first, other)


# The loss


def by_hand(both, batch, prediction_type):
    """Equation 3 of Rombach et al. 2022, with the random numbers of seed 5."""
    latents, input_ids = batch
    generator = make_generator(5)
    share = torch.randn(B, generator=generator).sigmoid()
    t = (1000 * share).long()
    noise = torch.randn(latents.shape, generator=generator)
    a = tiny_scheduler().alphas_cumprod[t].view(B, 1, 1, 1)
    noisy = a.sqrt() * latents + (1 - a).sqrt() * noise
    targets = {
        "epsilon": noise,
        "v_prediction": a.sqrt() * noise - (1 - a).sqrt() * latents,
    }
    return (both(noisy, t, input_ids) - targets[prediction_type]).square().mean()


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_the_loss_is_that_by_hand(both, batch, prediction_type):
    loss_fn = joint_loss(tiny_scheduler(prediction_type))
    with torch.no_grad():
        loss = loss_fn(both, batch, make_generator(5))
        torch.testing.assert_close(loss, by_hand(both, batch, prediction_type))


def test_the_words_matter_to_the_loss(both, batch):
    latents, input_ids = batch
    loss_fn = joint_loss(tiny_scheduler())
    with torch.no_grad():
        loss = loss_fn(both, batch, make_generator(5))
        other = loss_fn(both, (latents, input_ids.flip(0)), make_generator(5))
    assert loss != other
