"""A checkpoint in one file, a VAE of one's own, and checkpoints for inpainting."""

import shutil
import warnings

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
)
from PIL import Image
from safetensors.torch import load_file, save_file

from sdlearn.checkpoints import load_parts
from sdlearn.core import make_generator, randn
from sdlearn.edit import edit_prompt, image_to_image, inpaint
from sdlearn.parts import make_scheduler
from sdlearn.pipeline import generate
from sdlearn.prompts import PromptWarning
from sdlearn.single import family_of, told_prediction

from .conftest import assert_close, refused
from .random_parts import vae_tensors, build_parts, build_vae, to_single_file
from .test_checkpoints import change_json, draw

PROMPT = "a red cat"


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """For each kind its parts, their folder and their single file."""
    result = {}
    for kind in ("sd1", "sd2"):
        path, parts = tmp_path_factory.mktemp(kind), build_parts(kind)
        parts.to_pipeline().save_pretrained(path / "folder")
        to_single_file(parts, path / "one.safetensors")
        result[kind] = parts, path / "folder", path / "one.safetensors"
    return result


def changed(file, target, metadata=None, drop=(), **tensors):
    """A single file with more tensors, or without those that begin in some way."""
    kept = {k: v for k, v in load_file(file).items() if not k.startswith(tuple(drop))}
    save_file(kept | tensors, target, metadata)
    return target


def stock_file(file, folder, **parts):
    pipe = StableDiffusionPipeline.from_single_file(
        str(file), config=str(folder), local_files_only=True, safety_checker=None
    )
    for name, part in parts.items():
        setattr(pipe, name, part)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def drawn_by(pipe):
    """The latents and the picture of a stock pipeline."""
    how = dict(num_inference_steps=2, guidance_scale=5.0, output_type="latent")
    latents = pipe(PROMPT, generator=make_generator(0), **how).images
    return latents, pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample


def assert_drawn_as(pipe, loaded):
    latents, picture = drawn_by(pipe)
    ours = draw(loaded)
    assert_close(ours, latents)
    with torch.no_grad():
        assert_close(loaded.decode(ours), picture)


# For inpainting


def widen(parts):
    """The same parts with a UNet of nine channels."""
    torch.manual_seed(2)
    unet = type(parts.unet).from_config(parts.unet.config, in_channels=9)
    return unet.eval()


@pytest.fixture(scope="module")
def nine(checkpoints, tmp_path_factory):
    """A folder and a single file for inpainting, and a folder of four channels."""
    path, parts = tmp_path_factory.mktemp("nine"), checkpoints["sd1"][0]
    wide = type(parts)(**{**vars(parts), "unet": widen(parts)})
    wide.to_pipeline().save_pretrained(path / "folder")
    to_single_file(wide, path / "nine.safetensors")
    return path / "folder", path / "nine.safetensors", checkpoints["sd1"][1]


def soft_mask():
    mask = Image.linear_gradient("L").resize((64, 64))
    return mask.point(lambda value: 255 if value > 100 else 0)


def box_mask():
    mask = Image.new("L", (64, 64))
    mask.paste(255, (8, 16, 40, 64))
    return mask


MASKS = dict(half=soft_mask(), box=box_mask(), all=Image.new("L", (64, 64), 255))


@pytest.mark.parametrize(
    "mask, strength, scheduler",
    [
        ("box", 1.0, "euler-a"),
        pytest.param("half", 0.6, None, marks=pytest.mark.slow),
        pytest.param("all", 1.0, "ddim", marks=pytest.mark.slow),
        pytest.param("half", 0.5, "ddpm", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("how", ["folder", "file"])
def test_inpainting_as_stock(nine, mask, strength, scheduler, how):
    folder, file, four = nine
    if how == "folder":
        loaded = load_parts(folder, device="cpu")
    else:
        loaded = load_parts(file, device="cpu", config=four)
    assert loaded.unet.config.in_channels == 9
    image = Image.radial_gradient("L").resize((64, 64)).convert("RGB")
    settings = dict(num_inference_steps=4, guidance_scale=5.0)
    ours = inpaint(
        loaded,
        PROMPT,
        image,
        MASKS[mask],
        strength=strength,
        scheduler=scheduler,
        generator=make_generator(3),
        **settings,
    ).latents
    pipe = StableDiffusionInpaintPipeline.from_pretrained(folder, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    if scheduler:
        pipe.scheduler = make_scheduler(loaded, scheduler, 4)
    theirs = pipe(
        PROMPT,
        image=image,
        mask_image=MASKS[mask],
        strength=strength,
        height=64,
        width=64,
        generator=make_generator(3),
        output_type="latent",
        **settings,
    ).images
    assert_close(ours, theirs)


def test_inpainting_checkpoints_draw_nothing_else(nine):
    loaded = load_parts(nine[0], device="cpu")
    image = Image.new("RGB", (64, 64), "red")
    for use in (
        lambda: generate(loaded, PROMPT),
        lambda: image_to_image(loaded, PROMPT, image),
        lambda: edit_prompt(loaded, "a cat", "a red"),
    ):
        with refused("takes 9 channels"):
            use()


# What a file says of its UNet

V, EPSILON = "v_prediction", "epsilon"
MARKS = {
    "v_pred": (dict(v_pred=torch.tensor([])), None, V),
    "metadata v": ({}, {"modelspec.prediction_type": "v"}, V),
    "metadata epsilon": ({}, {"modelspec.prediction_type": "epsilon"}, EPSILON),
    "architecture v": ({}, {"modelspec.architecture": "stable-diffusion-v2-768-v"}, V),
    "base": ({}, {"modelspec.architecture": "stable-diffusion-v2-512"}, EPSILON),
    "other metadata": ({}, {"modelspec.title": "v", "ss_tag": "epsilon"}, None),
    "steps of 2.0 base": (dict(global_step=torch.tensor(875000)), None, EPSILON),
    "other steps": (dict(global_step=torch.tensor(110000)), None, None),
    "nothing": ({}, None, None),
}


@pytest.mark.parametrize("mark", MARKS)
def test_what_a_file_says_that_it_predicts(checkpoints, tmp_path, mark):
    tensors, metadata, expected = MARKS[mark]
    file = tmp_path / "one.safetensors"
    changed(checkpoints["sd2"][2], file, metadata, **tensors)
    assert family_of(file) == "sd-2.1"
    assert told_prediction(file) == expected


@pytest.mark.parametrize("kind, steps", [("sd1", 875000), ("sd1", 840000)])
def test_steps_say_nothing_of_1_x(checkpoints, tmp_path, kind, steps):
    file = tmp_path / "one.safetensors"
    changed(checkpoints[kind][2], file, global_step=torch.tensor(steps))
    assert family_of(file) == "sd-1.5"
    assert told_prediction(file) is None


@pytest.mark.parametrize(
    "kind, mark",
    [
        ("sd1", "v_pred"),
        pytest.param("sd2", "metadata epsilon", marks=pytest.mark.slow),
        pytest.param("sd2", "nothing", marks=pytest.mark.slow),
    ],
)
def test_what_a_file_says_is_drawn_as_stock(checkpoints, tmp_path, kind, mark):
    _, folder, whole = checkpoints[kind]
    tensors, metadata, told = MARKS[mark]
    file = changed(whole, tmp_path / "one.safetensors", metadata, **tensors)
    loaded = load_parts(file, device="cpu", config=folder)
    pipe = stock_file(file, folder)
    expected = told or pipe.scheduler.config.prediction_type
    config = {**pipe.scheduler.config, "prediction_type": expected}
    pipe.scheduler = type(pipe.scheduler).from_config(config)
    assert loaded.scheduler.config.prediction_type == expected
    assert_drawn_as(pipe, loaded)


@pytest.mark.slow
@pytest.mark.parametrize("as_file", [True, False])
def test_a_prediction_type_of_your_own(checkpoints, tmp_path, as_file):
    _, folder, whole = checkpoints["sd2"]
    metadata = {"modelspec.prediction_type": "v"}
    file = changed(whole, tmp_path / "one.safetensors", metadata)
    source = dict(name_or_path=file, config=folder) if as_file else {}
    source = source or dict(name_or_path=folder)
    loaded = load_parts(**source, device="cpu", prediction_type=EPSILON)
    pipe = stock_file(file, folder)
    config = {**pipe.scheduler.config, "prediction_type": EPSILON}
    pipe.scheduler = type(pipe.scheduler).from_config(config)
    assert_drawn_as(pipe, loaded)
    for wrong in ("noise", 1, ""):
        with refused("prediction_type must be one of"):
            load_parts(**source, device="cpu", prediction_type=wrong)


def test_pure_noise_at_the_last_step(checkpoints, tmp_path):
    _, folder, whole = checkpoints["sd1"]
    marks = dict(v_pred=torch.tensor([]), ztsnr=torch.tensor([]))
    file = changed(whole, tmp_path / "one.safetensors", **marks)
    scheduler = load_parts(file, device="cpu", config=folder).scheduler
    assert scheduler.config.rescale_betas_zero_snr
    assert scheduler.alphas_cumprod[-1] < 1e-7
    scheduler.set_timesteps(5)
    assert scheduler.timesteps[0] == 999


@pytest.fixture
def hub_of_2_1(checkpoints, monkeypatch, tmp_path):
    """A hub that has the configs of 2.1, which draws 768 pixels."""
    folder = shutil.copytree(checkpoints["sd2"][1], tmp_path / "fetched")
    change_json(folder / "unet/config.json", sample_size=96)
    monkeypatch.setattr("huggingface_hub.model_info", lambda name, **how: None)
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download", lambda name, **how: str(folder)
    )


@pytest.mark.parametrize("config", [None, "sd-2.1"])
def test_a_file_of_2_x_that_says_nothing(checkpoints, hub_of_2_1, config):
    file = checkpoints["sd2"][2]
    with pytest.warns(PromptWarning, match="v_prediction is assumed.*'epsilon'"):
        loaded = load_parts(file, device="cpu", config=config)
    assert loaded.scheduler.config.prediction_type == V
    assert loaded.unet.config.sample_size == 96


@pytest.mark.parametrize("told", ["by the file", "by you"])
def test_a_base_file_of_2_x_draws_512_pixels(checkpoints, hub_of_2_1, tmp_path, told):
    file, how = checkpoints["sd2"][2], {}
    if told == "by you":
        how = dict(prediction_type=EPSILON)
    else:
        metadata = {"modelspec.architecture": "stable-diffusion-v2-512"}
        file = changed(file, tmp_path / "base.safetensors", metadata)
    with warnings.catch_warnings():
        warnings.simplefilter("error", PromptWarning)
        loaded = load_parts(file, device="cpu", **how)
    assert loaded.scheduler.config.prediction_type == EPSILON
    assert loaded.unet.config.sample_size == 64


# A VAE of one's own


@pytest.fixture(scope="module")
def other_vae():
    torch.manual_seed(7)
    vae = build_vae().eval()
    for weight in vae.parameters():
        weight.data += 0.02 * randn(weight.shape, make_generator(weight.numel()))
    return vae


def original_layout(vae, prefix="first_stage_model."):
    """A VAE's tensors by the names of the original code."""
    tensors = vae_tensors(vae)
    return {
        prefix + name.removeprefix("first_stage_model."): tensor.contiguous()
        for name, tensor in tensors.items()
    }


OLD_NAMES = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def old_names(vae):
    """A VAE's tensors as diffusers named them in 2022."""
    tensors = {}
    for name, tensor in vae.state_dict().items():
        for new, old in OLD_NAMES.items():
            name = name.replace(f".{new}.", f".{old}.")
        tensors[name] = tensor
    return tensors


LAYOUTS = {
    "original": original_layout,
    "original, bare": lambda vae: original_layout(vae, ""),
    "diffusers": lambda vae: vae.state_dict(),
    "diffusers of 2022": old_names,
    "half": lambda vae: {k: v.half() for k, v in vae.state_dict().items()},
}


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_vae_in_a_file(checkpoints, other_vae, tmp_path, layout):
    _, folder, _ = checkpoints["sd1"]
    file = tmp_path / "vae-ft-mse.safetensors"
    save_file(LAYOUTS[layout](other_vae), file)
    expected = other_vae
    if layout == "half":
        state = {k: v.half().float() for k, v in other_vae.state_dict().items()}
        expected = AutoencoderKL.from_config(other_vae.config).eval()
        expected.load_state_dict(state)
    pipe = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    pipe.vae = expected
    assert_drawn_as(pipe, load_parts(folder, device="cpu", vae=file))


@pytest.mark.parametrize(
    "layout",
    [
        "original, bare",
        pytest.param("original", marks=pytest.mark.slow),
        pytest.param("diffusers", marks=pytest.mark.slow),
    ],
)
def test_a_vae_file_as_stock_reads_it(checkpoints, other_vae, tmp_path, layout):
    _, folder, whole = checkpoints["sd1"]
    file = tmp_path / "vae.safetensors"
    save_file(LAYOUTS[layout](other_vae), file)
    how = dict(config=str(folder), subfolder="vae", local_files_only=True)
    pipe = stock_file(
        whole, folder, vae=AutoencoderKL.from_single_file(str(file), **how)
    )
    less = changed(whole, tmp_path / "less.safetensors", drop=["first_stage_model"])
    assert_drawn_as(pipe, load_parts(less, device="cpu", config=folder, vae=file))
    with refused("holds no first_stage_model", "vae="):
        load_parts(less, device="cpu", config=folder)


@pytest.mark.slow
def test_a_vae_in_a_folder(checkpoints, other_vae, tmp_path):
    _, folder, file = checkpoints["sd1"]
    other_vae.save_pretrained(tmp_path / "my vae")
    pipeline = shutil.copytree(folder, tmp_path / "pipeline")
    shutil.rmtree(pipeline / "vae")
    other_vae.save_pretrained(pipeline / "vae")
    pipe = stock_file(file, folder, vae=other_vae)
    for place in (pipeline / "vae", pipeline, tmp_path / "my vae"):
        assert_drawn_as(pipe, load_parts(folder, device="cpu", vae=place))


def test_a_vae_from_the_hub(checkpoints, other_vae, tmp_path, monkeypatch):
    other_vae.save_pretrained(tmp_path / "vae")
    asked = []

    def snapshot_download(place, revision=None, allow_patterns=None):
        asked.append((place, "config.json" in allow_patterns))
        return str(tmp_path / "vae")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    _, folder, file = checkpoints["sd1"]
    loaded = load_parts(folder, device="cpu", vae="someone/vae-ft")
    assert_drawn_as(stock_file(file, folder, vae=other_vae), loaded)
    assert asked == [("someone/vae-ft", True)]


@pytest.mark.slow
def test_a_tiny_vae(checkpoints, tmp_path):
    _, folder, file = checkpoints["sd1"]
    blocks = (8,) * 4
    torch.manual_seed(0)
    tiny = AutoencoderTiny(
        encoder_block_out_channels=blocks, decoder_block_out_channels=blocks
    )
    tiny.eval().save_pretrained(tmp_path / "taesd")
    loaded = load_parts(folder, device="cpu", vae=tmp_path / "taesd")
    assert_drawn_as(stock_file(file, folder, vae=tiny), loaded)


def test_vaes_that_are_refused(checkpoints, other_vae, tmp_path):
    folder = checkpoints["sd1"][1]
    other_vae.save_pretrained(tmp_path / "xl")
    change_json(tmp_path / "xl/config.json", scaling_factor=0.13025)
    with refused("VAE of another model", "0.13025"):
        load_parts(folder, device="cpu", vae=tmp_path / "xl")
    change_json(tmp_path / "xl/config.json", _class_name="VQModel")
    with refused("holds a VQModel", error=OSError):
        load_parts(folder, device="cpu", vae=tmp_path / "xl")
    sixteen = AutoencoderKL(
        block_out_channels=(8,), latent_channels=16, norm_num_groups=4
    )
    sixteen.save_pretrained(tmp_path / "sd3")
    with refused("VAE of another model", "16 channels"):
        load_parts(folder, device="cpu", vae=tmp_path / "sd3")
    (tmp_path / "sd3/diffusion_pytorch_model.safetensors").unlink()
    with refused("is missing", error=OSError):
        load_parts(folder, device="cpu", vae=tmp_path / "sd3")
    (tmp_path / "empty").mkdir()
    with refused("config.json is missing", error=OSError):
        load_parts(folder, device="cpu", vae=tmp_path / "empty")


def test_vae_files_that_are_refused(checkpoints, other_vae, tmp_path):
    folder, file = checkpoints["sd1"][1], tmp_path / "vae.safetensors"
    save_file({"<dog>": torch.zeros(32)}, file)
    with refused("holds no VAE"):
        load_parts(folder, device="cpu", vae=file)
    less = original_layout(other_vae)
    del less["first_stage_model.decoder.conv_out.weight"]
    save_file(less, file)
    with refused("its vae lacks decoder.conv_out.weight", error=OSError):
        load_parts(folder, device="cpu", vae=file)
    file.write_bytes(b"nothing")
    with refused("cannot be read", error=OSError):
        load_parts(folder, device="cpu", vae=file)
    torch.save({}, tmp_path / "vae.pt")
    with refused("is no safetensors file"):
        load_parts(folder, device="cpu", vae=tmp_path / "vae.pt")
    with refused("There is no model folder", error=OSError):
        load_parts(folder, device="cpu", vae="no such place")
    with refused("named by a text or a path"):
        load_parts(folder, device="cpu", vae=other_vae)


# Devices, precisions and names


@pytest.mark.parametrize("device", ["tpu9", "cpu:x", "", 99, 1.5, "privateuseone"])
def test_devices_that_are_not_there(device):
    with refused("There is no device", repr(device)):
        load_parts("tiny", device=device)


def test_a_graphics_card_that_is_not_there(monkeypatch):
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with refused("There is no device 'cuda'"):
        load_parts("tiny", device="cuda")


@pytest.mark.parametrize("dtype", ["float32", torch.int8, torch.bool, float, 32])
def test_precisions_that_cannot_draw(dtype):
    with refused("dtype must be torch.float32"):
        load_parts("tiny", device="cpu", dtype=dtype)


@pytest.mark.parametrize("name", [None, "", "  ", 5, ["tiny"], b"tiny"])
def test_names_that_name_nothing(checkpoints, name):
    with refused("named by a text or a path"):
        load_parts(name, device="cpu")
    if name is not None:
        with refused("named by a text or a path"):
            load_parts(checkpoints["sd1"][2], device="cpu", config=name)


@pytest.mark.parametrize("name", ["no-such-folder", "a" * 400, "a\0b", "a/b/c", "~"])
def test_names_of_no_folder(checkpoints, name):
    with refused("There is no model folder", error=OSError, longest=900):
        load_parts(name, device="cpu")
    with refused("There is no model folder", error=OSError, longest=900):
        load_parts(checkpoints["sd1"][2], device="cpu", config=name)
