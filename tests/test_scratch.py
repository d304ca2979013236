"""`sdlearn.scratch`: one file that draws what the stock pipeline draws."""

import ast
import json
import random
import re
import shutil
import subprocess
import sys
import time
import unicodedata

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from sdlearn import scratch
from sdlearn.core import make_generator, randn

from .conftest import SHIPPED, assert_same_picture, refused
from .figures import ROOT, code_cells, text
from .random_parts import build_scheduler, build_tokenizer

pytestmark = pytest.mark.usefixtures("one_thread")
FILE = ROOT / "sdlearn/scratch.py"
LATENTS = randn((2, 4, 8, 8), make_generator(1))
PROMPT, NEGATIVE = "a red cat at the beach", "two fish"
FOUR = dict(num_inference_steps=4)


@pytest.fixture(autouse=True)
def nothing_remembered():
    """A folder may have changed since another test drew from it."""
    scratch.load.cache_clear()


# Checkpoints with the structure of the real ones, narrow and random

UNETS = {
    "1.5": dict(cross_attention_dim=48, attention_head_dim=8),
    "2.1": dict(
        cross_attention_dim=40,
        attention_head_dim=[2, 4, 4, 4],
        use_linear_projection=True,
    ),
}
TEXT = {
    "1.5": dict(hidden_size=48, num_hidden_layers=3, hidden_act="quick_gelu"),
    "2.1": dict(hidden_size=40, num_hidden_layers=4, hidden_act="gelu"),
}


def build_pipeline(kind):
    """Stable Diffusion 1.5 or 2.1 but for the widths: a list of layers for each level."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer(77, "!" if kind == "2.1" else "<|endoftext|>")
    end = tokenizer.eos_token_id
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        bos_token_id=end - 1,
        eos_token_id=end,
        intermediate_size=96,
        num_attention_heads=4,
        **TEXT[kind],
    )
    unet = UNet2DConditionModel(
        sample_size=8, block_out_channels=(32, 64, 96, 96), **UNETS[kind]
    )
    vae = AutoencoderKL(
        block_out_channels=(32, 32, 64, 64),
        layers_per_block=2,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    )
    prediction_type = "v_prediction" if kind == "2.1" else "epsilon"
    return StableDiffusionPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(config).eval(),
        tokenizer=tokenizer,
        unet=unet,
        scheduler=build_scheduler(prediction_type),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


@pytest.fixture(scope="module", params=["1.5", "2.1"])
def real(request, tmp_path_factory):
    """The folder of such a checkpoint."""
    folder = tmp_path_factory.mktemp("scratch") / f"sd-{request.param}"
    build_pipeline(request.param).save_pretrained(folder)
    return folder


@pytest.fixture
def copied(tmp_path):
    """A copy of the shipped folder, to be changed."""
    for name in ("tokenizer", "text_encoder", "unet", "vae", "scheduler"):
        shutil.copytree(SHIPPED / name, tmp_path / "model" / name)
    shutil.copy(SHIPPED / "model_index.json", tmp_path / "model")
    return tmp_path / "model"


def stock(folder, **how):
    pipe = StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32, **how)
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def latents_of(pipe, latents=LATENTS, negative_prompt="", **how):
    n = len(latents)
    how = dict(latents=latents, negative_prompt=[negative_prompt] * n, **FOUR, **how)
    return pipe([PROMPT] * n, output_type="latent", **how).images


def assert_draws_the_same(folder, pipe, latents=LATENTS, **how):
    expected = latents_of(pipe, latents, **how)
    assert expected.isfinite().all() and expected.std() > 0.1
    how = dict(latents=latents, output_type="latent", **FOUR, **how)
    drawn = scratch.generate(folder, PROMPT, **how)
    torch.testing.assert_close(drawn, expected, rtol=0, atol=1e-4)


def changed(path, **fields):
    path.write_text(json.dumps(json.loads(text(path)) | fields), encoding="utf-8")


# The same latents


@pytest.mark.parametrize("how", [{}, dict(negative_prompt=NEGATIVE, guidance_scale=3)])
def test_tiny_draws_the_same(how):
    assert_draws_the_same(SHIPPED, stock(SHIPPED), **how)


def test_real_structures_draw_the_same(real):
    assert_draws_the_same(real, stock(real), negative_prompt=NEGATIVE)


NOT_TO_DRAW = "embeddings.position_ids", "encoder.conv", "encoder.down", "encoder.mid"
NOT_TO_DRAW += ("quant_conv",)


def test_every_weight_is_used(real):
    """Gradients reach each of them. (One that is missing would stop the drawing.)"""
    read = [scratch.load(real / name) for name in ("text_encoder", "unet", "vae")]
    weights = dict(named for network, _ in read for named in tensors_of(network))
    for tensor in weights.values():
        tensor.requires_grad_()
    text_encoder, unet, vae = read
    words = scratch.encode_text(*text_encoder, torch.arange(77)[None])
    noise = scratch.predict_noise(*unet, LATENTS[:1], torch.tensor(7), words)
    scratch.decode_latents(*vae, noise).sum().backward()
    idle = [name for name, tensor in weights.items() if tensor.grad is None]
    assert not [name for name in idle if not name.startswith(NOT_TO_DRAW)]


def tensors_of(branch, name=""):
    """The tensors of a tree by their names."""
    if torch.is_tensor(branch):
        yield name.strip("."), branch
        return
    parts = enumerate(branch) if isinstance(branch, list) else vars(branch).items()
    for part, below in parts:
        yield from tensors_of(below, f"{name}.{part}")


@pytest.mark.parametrize("size", [(8, 16), (9, 13)])
def test_other_sizes_draw_the_same(real, size):
    latents = randn((1, 4, *size), make_generator(2))
    assert_draws_the_same(real, stock(real), latents)


def test_half_precision_files_serve(tmp_path):
    build_pipeline("1.5").to(torch.float16).save_pretrained(tmp_path, variant="fp16")
    assert list(tmp_path.rglob("*.fp16.safetensors"))
    assert_draws_the_same(tmp_path, stock(tmp_path, variant="fp16"))


def test_other_schedules_draw_the_same(copied):
    path = copied / "scheduler/scheduler_config.json"
    changed(path, beta_schedule="linear", set_alpha_to_one=True)
    assert_draws_the_same(copied, stock(copied))


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("beta_schedule", ["linear", "scaled_linear"])
@pytest.mark.parametrize("set_alpha_to_one", [True, False])
@pytest.mark.parametrize("steps_offset", [0, 1])
def test_steps_are_those_of_the_library(
    prediction_type, beta_schedule, set_alpha_to_one, steps_offset
):
    fields = dict(
        prediction_type=prediction_type,
        beta_schedule=beta_schedule,
        set_alpha_to_one=set_alpha_to_one,
        steps_offset=steps_offset,
    )
    theirs = DDIMScheduler(clip_sample=False, **fields)
    theirs.set_timesteps(7)
    steps = scratch.schedule(theirs.config, 7)
    assert [t for t, _, _ in steps] == theirs.timesteps.tolist()
    x = y = LATENTS
    for t, alpha, next_alpha in steps:
        output = randn(x.shape, make_generator(t))
        x = scratch.ddim_step(theirs.config, output, x, alpha, next_alpha)
        y = theirs.step(output, t, y).prev_sample
        torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-4)


def test_noise_of_a_seed_is_that_of_the_pipeline():
    pipe = stock(SHIPPED)
    expected = pipe(PROMPT, generator=make_generator(3), output_type="pt", **FOUR)
    picture = scratch.generate(SHIPPED, PROMPT, seed=3, **FOUR)
    torch.testing.assert_close(picture, expected.images, rtol=0, atol=1e-3)


OLD_NAMES = {
    r"\.to_q\.": ".query.",
    r"\.to_k\.": ".key.",
    r"\.to_v\.": ".value.",
    r"\.to_out\.0\.": ".proj_attn.",
}


def test_older_names_are_understood(copied):
    expected = scratch.generate(copied, PROMPT, **FOUR)
    scratch.load.cache_clear()
    vae = copied / "vae/diffusion_pytorch_model.safetensors"
    tensors = load_file(vae)
    for new, old in OLD_NAMES.items():
        tensors = {re.sub(new, old, name): o for name, o in tensors.items()}
    assert any(".proj_attn." in name for name in tensors)
    save_file(tensors, vae)
    words = copied / "text_encoder/model.safetensors"
    tensors = load_file(words)
    tensors = {name.removeprefix("text_model."): o for name, o in tensors.items()}
    save_file(tensors | {"embeddings.position_ids": torch.arange(32)[None]}, words)
    drawn = scratch.generate(copied, PROMPT, **FOUR)
    torch.testing.assert_close(drawn, expected, rtol=0, atol=1e-4)


# The tokenizer

TEXTS = [
    PROMPT,
    "  A RED\tcat\n's  can't! they'll ...",
    "½ Ⅷ ٣ x2y3 1234",
    "snake_case --_",
    "café cafe\u0301 Ünïcödé ΟΔΟΣ İstanbul",
    "漢字 🐼👩‍🚀 ﬁsh नमस्ते",
    "",
    "very " * 100,
    "a <|endoftext|>b! <|startoftext|><|ENDOFTEXT|> !!",
]


def random_text(seed):
    source = random.Random(seed)
    codes = [source.choice([0x7F, 0x250, 0x3000, 0xD7FF, 0x1FAFF]) for _ in range(40)]
    letters = [chr(source.randrange(32, code)) for code in codes]
    known = [c for c in letters if unicodedata.category(c) not in ("Cn", "Cs")]
    return "".join(known)  # what Python's Unicode does not know yet, it cannot sort


def to_older_files(folder, pad_token):
    """vocab.json and merges.txt, as the real checkpoints have them."""
    model = json.loads(text(folder / "tokenizer.json"))["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]), encoding="utf-8")
    merges = ["#version: 0.2", *[" ".join(pair) for pair in model["merges"]]]
    path = folder / "merges.txt"
    path.write_text("\n".join(merges) + "\n", encoding="utf-8")
    (folder / "tokenizer.json").unlink()
    special = json.dumps({"pad_token": pad_token})
    (folder / "special_tokens_map.json").write_text(special, encoding="utf-8")


def assert_same_ids(folder):
    ours, theirs = scratch.Tokenizer(folder), CLIPTokenizer.from_pretrained(folder)
    for written in TEXTS + [random_text(seed) for seed in range(200)]:
        full = dict(padding="max_length", truncation=True)
        assert ours(written)[0].tolist() == theirs(written, **full).input_ids, written


def test_tokenizer_is_clip_s():
    assert_same_ids(SHIPPED / "tokenizer")


def test_tokenizer_of_real_checkpoints(real):
    assert_same_ids(real / "tokenizer")


@pytest.mark.parametrize("pad_token", ["!", {"content": "<|endoftext|>"}])
def test_tokenizer_reads_older_files(copied, pad_token):
    to_older_files(copied / "tokenizer", pad_token)
    assert_same_ids(copied / "tokenizer")


# What is refused


def test_missing_folder_is_named(tmp_path):
    with refused("nowhere", "is missing"):
        scratch.generate(tmp_path / "nowhere", PROMPT)


@pytest.mark.parametrize(
    "name, words",
    [
        ("unet/config.json", "is missing"),
        ("scheduler/scheduler_config.json", "is missing"),
        ("tokenizer/tokenizer.json", "is missing"),
        ("vae/diffusion_pytorch_model.safetensors", "holds no .safetensors"),
    ],
)
def test_missing_files_are_named(copied, name, words):
    (copied / name).unlink()
    with refused(words):
        scratch.generate(copied, PROMPT)


@pytest.mark.parametrize(
    "name, fields",
    [
        ("unet/config.json", dict(addition_embed_type="text_time")),
        ("unet/config.json", dict(class_embed_type="projection")),
        ("unet/config.json", dict(in_channels=9)),
        ("text_encoder/config.json", dict(hidden_act="relu")),
        ("scheduler/scheduler_config.json", dict(prediction_type="sample")),
        ("scheduler/scheduler_config.json", dict(beta_schedule="squaredcos_cap_v2")),
        ("scheduler/scheduler_config.json", dict(timestep_spacing="trailing")),
    ],
)
def test_what_it_cannot_do_is_refused(copied, name, fields):
    changed(copied / name, **fields)
    with refused(name, *fields):
        scratch.generate(copied, PROMPT)


# The file


def test_it_imports_next_to_nothing():
    nodes = ast.walk(ast.parse(text(FILE)))
    modules = [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
    nodes = ast.walk(ast.parse(text(FILE)))
    for node in nodes:
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
    packages = {name.partition(".")[0] for name in modules}
    assert packages - set(sys.stdlib_module_names) == {"torch", "safetensors"}


ALONE = """
import sys
import scratch
picture = scratch.generate({folder!r}, {prompt!r}, num_inference_steps=4)
scratch.save_png(picture[0], "picture.png")
for name in "sdlearn", "diffusers", "transformers", "tokenizers", "PIL":
    assert name not in sys.modules, name
"""


def test_it_can_be_copied_away(tmp_path):
    shutil.copy(FILE, tmp_path)
    program = ALONE.format(folder=str(SHIPPED), prompt=PROMPT)
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    expected = stock(SHIPPED)(PROMPT, generator=make_generator(0), **FOUR).images[0]
    assert_same_picture(Image.open(tmp_path / "picture.png"), expected)


def test_png_holds_the_picture(tmp_path):
    pixels = torch.rand(3, 5, 7, generator=make_generator(0))
    scratch.save_png(pixels, tmp_path / "a.png")
    read = np.asarray(Image.open(tmp_path / "a.png"))
    expected = (pixels * 255).round().byte().permute(1, 2, 0)
    np.testing.assert_array_equal(read, expected.numpy())


# Time, with much slack: machines are busy


def seconds(action):
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


@pytest.mark.slow
def test_a_picture_takes_no_longer():
    pipe = stock(SHIPPED)

    def theirs():
        latents_of(pipe)

    def ours():
        scratch.generate(SHIPPED, PROMPT, latents=LATENTS, **FOUR)

    theirs(), ours()
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(5)]
    assert min(a for a, _ in pairs) < 1.5 * min(b for _, b in pairs)


OURS = """
from sdlearn.scratch import generate
generate({folder!r}, "a cat", num_inference_steps=4)
"""
THEIRS = """
from diffusers import DDIMScheduler, StableDiffusionPipeline
pipe = StableDiffusionPipeline.from_pretrained({folder!r})
pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
pipe("a cat", num_inference_steps=4)
"""


@pytest.mark.slow
def test_it_starts_in_less_time():
    def run(program):
        command = [sys.executable, "-c", program.format(folder=str(SHIPPED))]
        return seconds(lambda: subprocess.run(command, check=True, capture_output=True))

    run(OURS), run(THEIRS)  # now the files are in memory
    assert run(OURS) < 0.7 * run(THEIRS)


# The lessons show the same functions

SHOWN = {
    "04_denoiser": ["timestep_embedding", "residual_block"],
    "07_text": ["attend", "text_layer", "encode_text"],
    "08_latents": ["pixel_attention", "decode_latents"],
    "09a_block": [
        "attend",
        "attention_layer",
        "feed_forward",
        "transformer_block",
        "spatial_transformer",
    ],
    "10b_unet": ["timestep_embedding", "predict_noise"],
}


def definitions(source):
    """The functions of a source, without what is said behind the last line."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, ast.get_source_segment(source, node)


OURS_BY_NAME = dict(definitions(text(FILE)))


@pytest.mark.parametrize("name", SHOWN)
def test_lessons_show_the_same_functions(name):
    cells = code_cells(ROOT / f"nbs/{name}.ipynb")
    shown = dict(pair for cell in cells for pair in definitions(cell))
    other = [f for f in SHOWN[name] if shown.get(f) != OURS_BY_NAME[f]]
    assert not other, f"{other} of {name} are not those of sdlearn/scratch.py"


def lines_of(*names):
    return sum(len(OURS_BY_NAME[name].splitlines()) for name in names)


def test_it_stays_one_short_file():
    assert len(text(FILE).splitlines()) <= 384
    assert lines_of("text_layer", "encode_text") <= 40
    assert lines_of("pixel_attention", "decode_latents") <= 30
    assert lines_of("predict_noise") <= 90
