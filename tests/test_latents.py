"""Pictures to latents and back, for every kind of VAE."""

import pytest
import torch
from diffusers import AutoencoderDC, AutoencoderKL, AutoencoderTiny, VQModel

from sdlearn.core import make_generator, randn
from sdlearn.data import WorldData
from sdlearn.latents import decode, encode, pictures, tiny_vae, vae_scale_factor


def small_tiny():
    return AutoencoderTiny(
        encoder_block_out_channels=(8,) * 4,
        decoder_block_out_channels=(8,) * 4,
    )


TWO_BLOCKS = dict(
    block_out_channels=(8, 8),
    down_block_types=("DownEncoderBlock2D",) * 2,
    up_block_types=("UpDecoderBlock2D",) * 2,
    norm_num_groups=4,
    latent_channels=4,
)


def small_vq():
    return VQModel(**TWO_BLOCKS)


def shifted():
    return AutoencoderKL(**TWO_BLOCKS, scaling_factor=1.5, shift_factor=0.25)


def small_dc():
    return AutoencoderDC(
        latent_channels=4,
        attention_head_dim=4,
        encoder_block_types="ResBlock",
        decoder_block_types="ResBlock",
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        encoder_layers_per_block=(1, 1),
        decoder_layers_per_block=(1, 1),
        encoder_qkv_multiscales=((), ()),
        decoder_qkv_multiscales=((), ()),
    )


def ours():
    return tiny_vae((8, 8, 8, 8))


MAKERS = (small_tiny, small_vq, small_dc, shifted, ours)


@pytest.mark.parametrize("make", MAKERS)
def test_every_vae_goes_there_and_back(make):
    torch.manual_seed(0)
    vae = make().eval()
    images = randn((2, 3, 32, 32), make_generator(0)).clamp(-1, 1)
    side = 32 // vae_scale_factor(vae)
    for generator in (None, make_generator(1)):
        latents = encode(vae, images, generator)
        assert latents.shape == (2, 4, side, side)
    assert decode(vae, latents).shape == images.shape


def test_shift_and_scale_are_read_from_the_config():
    torch.manual_seed(0)
    vae = shifted().eval()
    images = randn((1, 3, 32, 32), make_generator(0))
    with torch.no_grad():
        raw = vae.encode(images).latent_dist.mode()
        expected = vae.decode(raw).sample
    latents = encode(vae, images)
    torch.testing.assert_close(latents, (raw - 0.25) * 1.5)
    torch.testing.assert_close(decode(vae, latents), expected)


def test_pictures_are_those_of_the_data_or_crops_of_them():
    data = WorldData(5)
    whole, crop = pictures(data)[2], pictures(data, size=32)[2]
    assert torch.equal(whole, data[2][0])
    assert crop.shape == (3, 32, 32)
    windows = whole.unfold(1, 32, 1).unfold(2, 32, 1)  # (3, 33, 33, 32, 32)
    same = (windows == crop[:, None, None]).all(dim=(0, 3, 4))
    assert same.any()
