"Randomly initialised Stable Diffusions, built from configs: the tiny one's shape, and 1.x and 2.x at reduced width."
import torch
from diffusers import AutoencoderKL, PNDMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from sdlearn.pipeline import Parts
from sdlearn.text import sample_captions, train_tokenizer

BLOCKS = {
    "tiny": dict(block_out_channels=(64, 128), down_block_types=("CrossAttnDownBlock2D",) * 2,
                 up_block_types=("CrossAttnUpBlock2D",) * 2, attention_head_dim=4, cross_attention_dim=96),
    "sd1": dict(block_out_channels=(16, 32, 32, 32), attention_head_dim=4, cross_attention_dim=32,
                down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
                up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3),
    "sd2": dict(block_out_channels=(16, 32, 32, 32), attention_head_dim=[2, 4, 4, 4], cross_attention_dim=32,
                down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
                up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3, use_linear_projection=True),
}
TEXT = {
    "tiny": dict(hidden_size=96, intermediate_size=384, num_hidden_layers=3, num_attention_heads=4, max_position_embeddings=32),
    "sd1": dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=77),
    "sd2": dict(hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4, max_position_embeddings=77,
                hidden_act="gelu"),
}


def build_tokenizer(max_length, pad_token):
    "A tokenizer of the picture world, padded as the real ones are."
    tokenizer = train_tokenizer(sample_captions(300), vocab_size=800, max_length=max_length)
    tokenizer.pad_token = pad_token
    return tokenizer


def build_scheduler(prediction_type="epsilon", cls=PNDMScheduler, **kwargs):
    "A scheduler with Stable Diffusion's betas."
    return cls.from_config(dict(num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
                                clip_sample=False, set_alpha_to_one=False, skip_prk_steps=True, steps_offset=1,
                                prediction_type=prediction_type, **kwargs))


def build_parts(kind="tiny", prediction_type=None, seed=0):
    "The five parts of one kind, with random weights."
    torch.manual_seed(seed)
    tokenizer = build_tokenizer(TEXT[kind]["max_position_embeddings"], "!" if kind == "sd2" else "<|endoftext|>")
    end = tokenizer.eos_token_id
    text_encoder = CLIPTextModel(CLIPTextConfig(vocab_size=len(tokenizer), bos_token_id=end - 1, eos_token_id=end, **TEXT[kind]))
    unet = UNet2DConditionModel(sample_size=8, layers_per_block=1, norm_num_groups=16, **BLOCKS[kind])
    vae = AutoencoderKL(block_out_channels=(16, 32, 64, 64), layers_per_block=1, norm_num_groups=8, sample_size=64,
                        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4)
    scheduler = build_scheduler(prediction_type or ("v_prediction" if kind == "sd2" else "epsilon"))
    return Parts(tokenizer, text_encoder.eval(), vae.eval(), unet.eval(), scheduler)
