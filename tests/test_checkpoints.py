"""Checkpoints as folders, as single files and from the hub.

No real one is at hand here: these have the true architectures at reduced width, and random weights.
"""

import json
import shutil

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file

from sdlearn.checkpoints import CHECKPOINTS, find_folder, lesson_parts, load_parts
from sdlearn.core import make_generator
from sdlearn.pipeline import generate

from .conftest import assert_close, assert_identical, refused
from .random_parts import build_parts, to_single_file

KINDS = ["sd1", "sd2"]
NETWORKS = ["text_encoder", "vae", "unet"]
each_kind = pytest.mark.parametrize("kind", KINDS)


def draw(parts, **kwargs):
    how = dict(num_inference_steps=2, generator=make_generator(0))
    return generate(parts, "a red cat", **how, **kwargs).latents


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """For each kind its parts, their folder and their single file."""
    result = {}
    for kind in KINDS:
        path, parts = tmp_path_factory.mktemp(kind), build_parts(kind)
        parts.to_pipeline().save_pretrained(path / "folder")
        to_single_file(parts, path / "one.safetensors")
        result[kind] = parts, path / "folder", path / "one.safetensors"
    return result


@each_kind
def test_folder(checkpoints, kind):
    parts, folder, _ = checkpoints[kind]
    assert_close(draw(load_parts(folder, device="cpu")), draw(parts))


@each_kind
def test_single_file(checkpoints, kind):
    parts, folder, file = checkpoints[kind]
    loaded = load_parts(file, device="cpu", config=folder)
    assert_close(draw(loaded), draw(parts))


def test_real_size(checkpoints):
    parts = load_parts(checkpoints["sd1"][1], device="cpu")
    latents = draw(parts, height=512, width=512)
    assert latents.shape == (1, 4, 64, 64)
    assert latents.isfinite().all()


def weights_of(parts):
    """The weights of all three networks."""
    return {network: getattr(parts, network).state_dict() for network in NETWORKS}


def rounded_to_half(state):
    return {name: tensor.half().to(tensor.dtype) for name, tensor in state.items()}


def add_fp16(folder):
    """Beside each file of weights one in half precision."""
    for path in folder.rglob("*model.safetensors"):
        halves = {k: v.half() for k, v in load_file(path).items()}
        half = path.with_suffix(".fp16.safetensors")
        save_file(halves, half, {"format": "pt"})


def test_fp16_files_serve_where_they_are_the_only_ones(checkpoints, tmp_path):
    parts, source, _ = checkpoints["sd1"]
    folder = shutil.copytree(source, tmp_path / "fp16")
    add_fp16(folder)
    for path in folder.rglob("*model.safetensors"):
        path.unlink()
    half = load_parts(folder, device="cpu")
    assert half.dtype == torch.float32
    loaded = weights_of(half)
    for network, state in weights_of(parts).items():
        assert_identical(loaded[network], rounded_to_half(state))


def test_fp16_files_are_preferred_in_float16(checkpoints, tmp_path, monkeypatch):
    folder = shutil.copytree(checkpoints["sd1"][1], tmp_path / "both")
    add_fp16(folder)
    asked = []
    load = UNet2DConditionModel.from_pretrained

    def from_pretrained(*args, **kwargs):
        asked.append(kwargs["variant"])
        return load(*args, **kwargs)

    monkeypatch.setattr(UNet2DConditionModel, "from_pretrained", from_pretrained)
    for device, dtype in (("meta", torch.float16), ("cpu", torch.float32)):
        load_parts(folder, device=device, dtype=dtype)
    assert asked == ["fp16", None]


def test_one_setting_for_the_lessons(checkpoints, monkeypatch):
    monkeypatch.delenv("SDLEARN_MODEL", raising=False)
    tiny = lesson_parts()
    assert tiny.unet.config.sample_size == 8
    assert tiny.device.type == "cpu"
    monkeypatch.setenv("SDLEARN_MODEL", str(checkpoints["sd2"][1]))
    assert lesson_parts().scheduler.config.prediction_type == "v_prediction"


def test_find_folder(checkpoints):
    folder = checkpoints["sd1"][1]
    assert find_folder(folder) == find_folder(str(folder)) == folder
    assert (find_folder("tiny") / "model_index.json").is_file()


# What is refused


def test_single_file_without_config(checkpoints):
    with refused("pass config"):
        load_parts(checkpoints["sd1"][2], device="cpu")


def test_single_file_with_the_config_of_another_architecture(checkpoints):
    file, other = checkpoints["sd1"][2], checkpoints["sd2"][1]
    with refused("could not be loaded", error=OSError, longest=600):
        load_parts(file, device="cpu", config=other)


def test_single_file_cut_short(checkpoints, tmp_path):
    _, folder, whole = checkpoints["sd1"]
    file = tmp_path / "short.safetensors"
    file.write_bytes(whole.read_bytes()[:-1000])
    with refused("cannot be read", error=OSError):
        load_parts(file, device="cpu", config=folder)


@pytest.mark.parametrize(
    "name", ["model.diffusion_model.out.2.bias", "conditioner.embedders.0.x"]
)
def test_single_file_of_something_else(checkpoints, tmp_path, name):
    folder, file = checkpoints["sd1"][1], tmp_path / "lora.safetensors"
    save_file({name: torch.zeros(1)}, file)
    with refused("is no whole Stable Diffusion"):
        load_parts(file, device="cpu", config=folder)


@pytest.mark.parametrize("suffix", ["ckpt", "pt", "bin"])
def test_single_pickle(checkpoints, tmp_path, suffix):
    folder, file = checkpoints["sd1"][1], tmp_path / f"model.{suffix}"
    torch.save({"state_dict": {}}, file)
    with refused("are not loaded: get the checkpoint as .safetensors"):
        load_parts(file, device="cpu", config=folder)


def test_folder_of_pickles(checkpoints, tmp_path):
    folder = shutil.copytree(checkpoints["sd1"][1], tmp_path / "pickled")
    weights = folder / "unet/diffusion_pytorch_model.safetensors"
    torch.save(load_file(weights), weights.with_suffix(".bin"))
    weights.unlink()
    with refused("is a pickle", error=OSError):
        load_parts(folder, device="cpu")


def test_folder_of_another_pipeline(checkpoints, tmp_path):
    folder = shutil.copytree(checkpoints["sd1"][1], tmp_path / "xl")
    path = folder / "model_index.json"
    index = json.loads(path.read_text(encoding="utf-8"))
    index["_class_name"] = "StableDiffusionXLPipeline"
    path.write_text(json.dumps(index), encoding="utf-8")
    with refused("holds a StableDiffusionXLPipeline", error=OSError):
        load_parts(folder, device="cpu")


def test_inpainting_checkpoint(tmp_path):
    parts = build_parts("tiny", in_channels=9)
    parts.to_pipeline().save_pretrained(tmp_path / "nine")
    with refused("takes 9 channels"):
        load_parts(tmp_path / "nine", device="cpu")


# The hub, without a network


def copy_matching(source, folder, patterns):
    """The files of a folder that a download asks for."""
    for path in source.rglob("*.*"):
        name = path.relative_to(source)
        if any(name.match(pattern) for pattern in patterns):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder / name)


@pytest.fixture
def hub(checkpoints, monkeypatch, tmp_path):
    """A hub of two places: the first is gone, the second has float32 weights only.

    Gives what was asked for: (place, revision, patterns of weights).
    """
    asked = []
    source = checkpoints["sd1"][1]
    gone = next(iter(CHECKPOINTS["sd-1.5"]))

    def snapshot_download(place, revision=None, allow_patterns=None):
        weights = [name for name in allow_patterns if name.endswith(".safetensors")]
        asked.append((place, revision, weights))
        if place == gone:
            raise OSError("404 gone\nmore")
        folder = tmp_path / place.replace("/", "-")
        copy_matching(source, folder, allow_patterns)
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    return asked


def test_mirror_takes_over(checkpoints, hub):
    loaded = load_parts("sd-1.5", device="cpu")
    assert_close(draw(loaded), draw(checkpoints["sd1"][0]))
    places = [(place, revision) for place, revision, _ in hub]
    assert places == list(CHECKPOINTS["sd-1.5"].items())


def test_float16_is_asked_for_first_and_float32_taken_if_it_is_all(hub):
    load_parts("sd-1.5", device="meta", dtype=torch.float16)
    halves = [".fp16." in weights[0] for _, _, weights in hub]
    assert halves == [True, True, False, False]


def test_single_file_fetches_no_weights(checkpoints, hub):
    parts, _, file = checkpoints["sd1"]
    loaded = load_parts(file, device="cpu", config="sd-1.5")
    assert_close(draw(loaded), draw(parts))
    assert [weights for _, _, weights in hub if weights] == []


def test_revisions_are_pinned():
    for places in CHECKPOINTS.values():
        assert places
        for place, revision in places.items():
            assert place.count("/") == 1, place
            assert len(revision) == 40, revision
