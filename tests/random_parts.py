"""Randomly initialised Stable Diffusions, built from configs.

The shape of the tiny one, those of 1.x and 2.x at reduced width, and the least that draws.
"""

import re

import torch
from diffusers import AutoencoderKL, PNDMScheduler, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

from sdlearn.data import sample_captions
from sdlearn.parts import Parts
from sdlearn.text import train_tokenizer

REAL_BLOCKS = dict(
    block_out_channels=(16, 32, 32, 32),
    cross_attention_dim=32,
    down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
)
BLOCKS = {
    "least": dict(
        block_out_channels=(32,),
        cross_attention_dim=32,
        down_block_types=("CrossAttnDownBlock2D",),
        up_block_types=("CrossAttnUpBlock2D",),
        attention_head_dim=4,
    ),
    "tiny": dict(
        block_out_channels=(64, 128),
        down_block_types=("CrossAttnDownBlock2D",) * 2,
        up_block_types=("CrossAttnUpBlock2D",) * 2,
        attention_head_dim=4,
        cross_attention_dim=96,
    ),
    "sd1": dict(**REAL_BLOCKS, attention_head_dim=4),
    "sd2": dict(
        **REAL_BLOCKS,
        attention_head_dim=[2, 4, 4, 4],
        use_linear_projection=True,
    ),
}
REAL_TEXT = dict(
    hidden_size=32,
    intermediate_size=64,
    num_attention_heads=4,
    max_position_embeddings=77,
)
TEXT = {
    "least": dict(**REAL_TEXT, num_hidden_layers=2),
    "tiny": dict(
        hidden_size=96,
        intermediate_size=384,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=32,
    ),
    "sd1": dict(**REAL_TEXT, num_hidden_layers=2),
    "sd2": dict(**REAL_TEXT, num_hidden_layers=3, hidden_act="gelu"),
}


def build_tokenizer(max_length, pad_token):
    """A tokenizer of the picture world, padded as the real ones are."""
    captions = sample_captions(300)
    tokenizer = train_tokenizer(captions, vocab_size=800, max_length=max_length)
    tokenizer.pad_token = pad_token
    return tokenizer


def build_scheduler(prediction_type="epsilon", cls=PNDMScheduler, **kwargs):
    """A scheduler with Stable Diffusion's betas."""
    config = dict(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        skip_prk_steps=True,
        steps_offset=1,
        prediction_type=prediction_type,
    )
    return cls.from_config({**config, **kwargs})


def build_text_encoder(kind, tokenizer):
    end = tokenizer.eos_token_id
    ends = dict(bos_token_id=end - 1, eos_token_id=end)
    config = CLIPTextConfig(vocab_size=len(tokenizer), **ends, **TEXT[kind])
    return CLIPTextModel(config)


def build_vae():
    return AutoencoderKL(
        block_out_channels=(16, 32, 64, 64),
        layers_per_block=1,
        norm_num_groups=8,
        sample_size=64,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    )


def build_unet(kind, **kwargs):
    usual = dict(sample_size=8, layers_per_block=1, norm_num_groups=16)
    return UNet2DConditionModel(**usual, **BLOCKS[kind], **kwargs)


def build_parts(kind="tiny", prediction_type=None, seed=0, **kwargs):
    """The five parts of one kind, with random weights."""
    torch.manual_seed(seed)
    pad_token = "!" if kind == "sd2" else "<|endoftext|>"
    tokenizer = build_tokenizer(TEXT[kind]["max_position_embeddings"], pad_token)
    text_encoder = build_text_encoder(kind, tokenizer)
    unet = build_unet(kind, **kwargs)
    vae = build_vae()
    usual = "v_prediction" if kind == "sd2" else "epsilon"
    scheduler = build_scheduler(prediction_type or usual)
    return Parts(tokenizer, text_encoder.eval(), vae.eval(), unet.eval(), scheduler)


# The layout of the original Stable Diffusion code


def to_single_file(parts, path):
    """Save parts as one file with the names of the original Stable Diffusion code."""
    tensors = {
        **_unet_tensors(parts.unet),
        **vae_tensors(parts.vae),
        **_text_tensors(parts.text_encoder),
    }
    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(whole, path)


def _renamed(name, pairs):
    """The name after all replacements, in order."""
    for old, new in pairs.items():
        name = re.sub(old, new, name)
    return name


def _unet_tensors(unet):
    tensors = {}
    for name, tensor in unet.state_dict().items():
        tensors[f"model.diffusion_model.{_unet_name(name, unet.config)}"] = tensor
    return tensors


RESNET_NAMES = {
    r"\.norm1\.(?=weight|bias)(?<!transformer_blocks\.0\.norm1\.)": ".in_layers.0.",
    r"\.conv1\.": ".in_layers.2.",
    r"(?<!transformer_blocks\.0)\.norm2\.": ".out_layers.0.",
    r"\.conv2\.": ".out_layers.3.",
    r"\.time_emb_proj\.": ".emb_layers.1.",
    r"\.conv_shortcut\.": ".skip_connection.",
}


def _unet_name(name, config):
    per_level = config.layers_per_block + 1  # blocks of one size on the way down

    def time(found):
        return f"time_embed.{2 * int(found[1]) - 2}"

    def down(found):
        level, kind, i = int(found[1]), found[2], int(found[3])
        return f"input_blocks.{level * per_level + i + 1}.{INSIDE[kind]}"

    def smaller(found):
        return f"input_blocks.{(int(found[1]) + 1) * per_level}.0.op"

    def up(found):
        level, kind, i = int(found[1]), found[2], int(found[3])
        return f"output_blocks.{level * per_level + i}.{INSIDE[kind]}"

    def larger(found):
        level = int(found[1])
        with_words = "Cross" in config.up_block_types[level]
        last = level * per_level + config.layers_per_block
        return f"output_blocks.{last}.{2 if with_words else 1}"

    def middle(found):
        return f"middle_block.{2 * int(found[1])}"

    where = {
        r"^time_embedding\.linear_(\d)": time,
        "^conv_in": "input_blocks.0.0",
        "^conv_norm_out": "out.0",
        "^conv_out": "out.2",
        r"^down_blocks\.(\d)\.(resnets|attentions)\.(\d)": down,
        r"^down_blocks\.(\d)\.downsamplers\.0\.conv": smaller,
        r"^up_blocks\.(\d)\.(resnets|attentions)\.(\d)": up,
        r"^up_blocks\.(\d)\.upsamplers\.0": larger,
        r"^mid_block\.resnets\.(\d)": middle,
        r"^mid_block\.attentions\.0": "middle_block.1",
    }
    return _renamed(name, {**where, **RESNET_NAMES})


INSIDE = {"resnets": 0, "attentions": 1}  # places in a block of the original code


def vae_tensors(vae):
    levels = len(vae.config.block_out_channels)
    tensors = {}
    for name, tensor in vae.state_dict().items():
        name = f"first_stage_model.{_vae_name(name, levels)}"
        if ".attn_1." in name and tensor.ndim == 2:  # once a convolution
            tensor = tensor[:, :, None, None]
        tensors[name] = tensor
    return tensors


def _vae_name(name, levels):
    def mirrored(found):
        return f"up.{levels - 1 - int(found[1])}"

    return _renamed(
        name,
        {
            r"down_blocks\.(\d)\.resnets\.": r"down.\1.block.",
            r"down_blocks\.(\d)\.downsamplers\.0\.conv": r"down.\1.downsample.conv",
            r"up_blocks\.(\d)": mirrored,
            r"(up\.\d)\.resnets\.": r"\1.block.",
            r"(up\.\d)\.upsamplers\.0\.conv": r"\1.upsample.conv",
            "conv_shortcut": "nin_shortcut",
            r"mid_block\.resnets\.0": "mid.block_1",
            r"mid_block\.resnets\.1": "mid.block_2",
            r"mid_block\.attentions\.0": "mid.attn_1",
            r"group_norm\.": "norm.",
            r"to_(q|k|v)\.": r"\1.",
            r"to_out\.0\.": "proj_out.",
            "conv_norm_out": "norm_out",
        },
    )


def _text_tensors(text_encoder):
    """OpenAI's CLIP for 1.x, OpenCLIP for 2.x."""
    state = {}
    for name, tensor in text_encoder.state_dict().items():
        state[name.removeprefix("text_model.")] = tensor
    if text_encoder.config.hidden_act == "gelu":
        return _open_clip_tensors(state, text_encoder.config.hidden_size)
    start = "cond_stage_model.transformer.text_model."
    return {start + name: tensor for name, tensor in state.items()}


OPEN_CLIP_NAMES = {
    r"encoder\.layers\.": "transformer.resblocks.",
    "final_layer_norm": "ln_final",
    r"embeddings\.token_embedding": "token_embedding",
    r"embeddings\.position_embedding\.weight": "positional_embedding",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    r"mlp\.fc1": "mlp.c_fc",
    r"mlp\.fc2": "mlp.c_proj",
    r"self_attn\.out_proj": "attn.out_proj",
    r"self_attn\.q_proj\.": "attn.in_proj_",
}


def _open_clip_tensors(state, width):
    start = "cond_stage_model.model."
    tensors = {start + "text_projection": torch.eye(width)}
    for name, tensor in state.items():
        if ".k_proj." in name or ".v_proj." in name:
            continue  # query, key and value are one matrix there
        if ".q_proj." in name:
            all_three = [name.replace("q_proj", f"{kind}_proj") for kind in "qkv"]
            tensor = torch.cat([state[one] for one in all_three])
        tensors[start + _renamed(name, OPEN_CLIP_NAMES)] = tensor
    return tensors
