"Randomly initialised Stable Diffusions, built from configs: the tiny one's shape, and 1.x and 2.x at reduced width."

import re

import torch
from diffusers import AutoencoderKL, PNDMScheduler, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

from sdlearn.pipeline import Parts
from sdlearn.text import sample_captions, train_tokenizer

BLOCKS = {
    "tiny": dict(
        block_out_channels=(64, 128),
        down_block_types=("CrossAttnDownBlock2D",) * 2,
        up_block_types=("CrossAttnUpBlock2D",) * 2,
        attention_head_dim=4,
        cross_attention_dim=96,
    ),
    "sd1": dict(
        block_out_channels=(16, 32, 32, 32),
        attention_head_dim=4,
        cross_attention_dim=32,
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    ),
    "sd2": dict(
        block_out_channels=(16, 32, 32, 32),
        attention_head_dim=[2, 4, 4, 4],
        cross_attention_dim=32,
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        use_linear_projection=True,
    ),
}
TEXT = {
    "tiny": dict(
        hidden_size=96,
        intermediate_size=384,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=32,
    ),
    "sd1": dict(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=77,
    ),
    "sd2": dict(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=77,
        hidden_act="gelu",
    ),
}


def build_tokenizer(max_length, pad_token):
    "A tokenizer of the picture world, padded as the real ones are."
    tokenizer = train_tokenizer(
        sample_captions(300), vocab_size=800, max_length=max_length
    )
    tokenizer.pad_token = pad_token
    return tokenizer


def build_scheduler(prediction_type="epsilon", cls=PNDMScheduler, **kwargs):
    "A scheduler with Stable Diffusion's betas."
    return cls.from_config(
        dict(
            num_train_timesteps=1000,
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            clip_sample=False,
            set_alpha_to_one=False,
            skip_prk_steps=True,
            steps_offset=1,
            prediction_type=prediction_type,
            **kwargs,
        )
    )


def build_parts(kind="tiny", prediction_type=None, seed=0, **kwargs):
    "The five parts of one kind, with random weights."
    torch.manual_seed(seed)
    tokenizer = build_tokenizer(
        TEXT[kind]["max_position_embeddings"], "!" if kind == "sd2" else "<|endoftext|>"
    )
    end = tokenizer.eos_token_id
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            bos_token_id=end - 1,
            eos_token_id=end,
            **TEXT[kind],
        )
    )
    unet = UNet2DConditionModel(
        sample_size=8, layers_per_block=1, norm_num_groups=16, **BLOCKS[kind], **kwargs
    )
    vae = AutoencoderKL(
        block_out_channels=(16, 32, 64, 64),
        layers_per_block=1,
        norm_num_groups=8,
        sample_size=64,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    )
    scheduler = build_scheduler(
        prediction_type or ("v_prediction" if kind == "sd2" else "epsilon")
    )
    return Parts(tokenizer, text_encoder.eval(), vae.eval(), unet.eval(), scheduler)


def to_single_file(parts, path):
    "Saves parts as one file in the layout and with the names of the original Stable Diffusion code."
    unet = {
        f"model.diffusion_model.{_unet_name(k, parts.unet.config)}": v
        for k, v in parts.unet.state_dict().items()
    }
    vae = {
        f"first_stage_model.{_vae_name(k, len(parts.vae.config.block_out_channels))}": v
        for k, v in parts.vae.state_dict().items()
    }
    vae = {
        k: v[:, :, None, None] if ".attn_1." in k and v.ndim == 2 else v
        for k, v in vae.items()
    }
    text = (
        _open_clip_names
        if parts.text_encoder.config.hidden_act == "gelu"
        else _clip_names
    )(parts.text_encoder)
    save_file({k: v.contiguous() for k, v in (unet | vae | text).items()}, path)


def _renamed(name, pairs):
    for old, new in pairs.items():
        name = re.sub(old, new, name)
    return name


def _unet_name(name, config):
    layers = config.layers_per_block
    name = _renamed(
        name,
        {
            r"^time_embedding\.linear_(\d)": lambda m: (
                f"time_embed.{2 * int(m[1]) - 2}"
            ),
            "^conv_in": "input_blocks.0.0",
            "^conv_norm_out": "out.0",
            "^conv_out": "out.2",
        },
    )
    parts = {
        "resnets": lambda side, i, j: f"{j + i * (layers + 1) + (side == 'input')}.0",
        "attentions": lambda side, i, j: (
            f"{j + i * (layers + 1) + (side == 'input')}.1"
        ),
    }
    name = re.sub(
        r"^(down|up)_blocks\.(\d)\.(resnets|attentions)\.(\d)",
        lambda m: (
            (side := "input" if m[1] == "down" else "output")
            + "_blocks."
            + parts[m[3]](side, int(m[2]), int(m[4]))
        ),
        name,
    )
    name = re.sub(
        r"^down_blocks\.(\d)\.downsamplers\.0\.conv",
        lambda m: f"input_blocks.{(int(m[1]) + 1) * (layers + 1)}.0.op",
        name,
    )
    name = re.sub(
        r"^up_blocks\.(\d)\.upsamplers\.0",
        lambda m: (
            f"output_blocks.{int(m[1]) * (layers + 1) + layers}.{1 if 'Cross' not in config.up_block_types[int(m[1])] else 2}"
        ),
        name,
    )
    name = _renamed(
        name,
        {
            r"^mid_block\.resnets\.(\d)": lambda m: f"middle_block.{2 * int(m[1])}",
            r"^mid_block\.attentions\.0": "middle_block.1",
        },
    )
    return _renamed(
        name,
        {
            r"\.norm1\.(?=weight|bias)(?<!transformer_blocks\.0\.norm1\.)": ".in_layers.0.",
            r"\.conv1\.": ".in_layers.2.",
            r"(?<!transformer_blocks\.0)\.norm2\.": ".out_layers.0.",
            r"\.conv2\.": ".out_layers.3.",
            r"\.time_emb_proj\.": ".emb_layers.1.",
            r"\.conv_shortcut\.": ".skip_connection.",
        },
    )


def _vae_name(name, levels):
    return _renamed(
        name,
        {
            r"(encoder)\.down_blocks\.(\d)\.resnets\.": r"\1.down.\2.block.",
            r"down_blocks\.(\d)\.downsamplers\.0\.conv": r"down.\1.downsample.conv",
            r"(decoder)\.up_blocks\.(\d)\.resnets\.": lambda m: (
                f"decoder.up.{levels - 1 - int(m[2])}.block."
            ),
            r"up_blocks\.(\d)\.upsamplers\.0\.conv": lambda m: (
                f"up.{levels - 1 - int(m[1])}.upsample.conv"
            ),
            "conv_shortcut": "nin_shortcut",
            r"mid_block\.resnets\.(\d)": lambda m: f"mid.block_{int(m[1]) + 1}",
            r"mid_block\.attentions\.0": "mid.attn_1",
            r"group_norm\.": "norm.",
            r"to_(q|k|v)\.": r"\1.",
            r"to_out\.0\.": "proj_out.",
            "conv_norm_out": "norm_out",
        },
    )


def _clip_names(text_encoder):
    return {
        "cond_stage_model.transformer.text_model." + k.removeprefix("text_model."): v
        for k, v in text_encoder.state_dict().items()
    }


def _open_clip_names(text_encoder):
    tensors, names = (
        {},
        {
            "layer_norm1": "ln_1",
            "layer_norm2": "ln_2",
            "mlp.fc1": "mlp.c_fc",
            "mlp.fc2": "mlp.c_proj",
            "self_attn.out_proj": "attn.out_proj",
        },
    )
    state = {
        k.removeprefix("text_model."): v for k, v in text_encoder.state_dict().items()
    }
    for k, v in state.items():
        k = k.replace("encoder.layers.", "transformer.resblocks.").replace(
            "final_layer_norm", "ln_final"
        )
        k = k.replace("embeddings.token_embedding", "token_embedding").replace(
            "embeddings.position_embedding.weight", "positional_embedding"
        )
        for old, new in names.items():
            k = k.replace(old, new)
        if ".self_attn.q_proj." in k:
            kind = k.split(".")[-1]
            whole = [
                state[f"encoder.layers.{k.split('.')[2]}.self_attn.{o}_proj.{kind}"]
                for o in "qkv"
            ]
            tensors[
                "cond_stage_model.model."
                + k.replace("self_attn.q_proj.", "attn.in_proj_")
            ] = torch.cat(whole)
        elif ".self_attn." not in k:
            tensors["cond_stage_model.model." + k] = v
    width = text_encoder.config.hidden_size
    return tensors | {"cond_stage_model.model.text_projection": torch.eye(width)}
