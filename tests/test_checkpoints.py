"""Checkpoints as folders, as single files and from the hub.

No real one is at hand here: these have the true architectures at reduced width, and random weights.
"""

import json
import shutil
import subprocess
import sys

import pytest
import torch
import transformers
from diffusers import (
    AsymmetricAutoencoderKL,
    AutoencoderKL,
    AutoencoderTiny,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel

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


def in_own_memory(parts):
    """A file's tensors lie as they come; there PyTorch takes kernels that round otherwise."""
    for network in NETWORKS:
        for parameter in getattr(parts, network).parameters():
            parameter.data = parameter.data.clone()
    return parts


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
    assert_close(draw(in_own_memory(loaded)), draw(parts))


@pytest.mark.slow
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


# Compared with diffusers' own pipeline


def change_json(path, drop=(), **changes):
    """Change entries of a JSON file, and leave some out."""
    config = json.loads(path.read_text(encoding="utf-8")) | changes
    kept = {name: value for name, value in config.items() if name not in drop}
    path.write_text(json.dumps(kept), encoding="utf-8")


@pytest.fixture
def copied(checkpoints, tmp_path):
    """A folder that a test may change."""
    return shutil.copytree(checkpoints["sd1"][1], tmp_path / "copy")


def change_scheduler(folder, drop=(), **config):
    path = folder / "scheduler/scheduler_config.json"
    change_json(path, drop, **config)
    index = folder / "model_index.json"
    named = json.loads(path.read_text(encoding="utf-8"))["_class_name"]
    change_json(index, scheduler=["diffusers", named])


def stock(folder, **kwargs):
    pipe = StableDiffusionPipeline.from_pretrained(
        folder, safety_checker=None, **kwargs
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def assert_as_stock(folder, **kwargs):
    """Our parts draw what diffusers' pipeline draws; the parts come back."""
    loaded = load_parts(folder, device="cpu")
    how = dict(num_inference_steps=3, guidance_scale=5.0, output_type="latent")
    pipe = stock(folder, **kwargs)
    theirs = pipe("a red cat", generator=make_generator(0), **how).images
    ours = generate(
        loaded, "a red cat", num_inference_steps=3, generator=make_generator(0)
    )
    assert_close(ours.latents, theirs)
    decoded = pipe.vae.decode(theirs / pipe.vae.config.scaling_factor).sample
    assert_close(loaded.decode(ours.latents), decoded)
    return loaded


OLD_SCHEDULERS = [
    dict(_class_name="LMSDiscreteScheduler"),
    dict(_class_name="EulerDiscreteScheduler", timestep_spacing="leading"),
    dict(_class_name="DDIMScheduler", clip_sample=True, steps_offset=3),
    dict(_class_name="DDPMScheduler", timestep_spacing="leading"),
    dict(_class_name="DPMSolverMultistepScheduler", timestep_spacing="leading"),
    dict(_class_name="LCMScheduler", clip_sample=True),
]


@pytest.mark.slow
@pytest.mark.parametrize("config", OLD_SCHEDULERS, ids=lambda o: o["_class_name"])
def test_old_schedulers_are_repaired_as_in_stock(copied, config):
    change_scheduler(copied, drop=("steps_offset", "clip_sample"), **config)
    loaded = assert_as_stock(copied)
    assert loaded.scheduler.config.get("steps_offset", 1) == 1
    assert not loaded.scheduler.config.get("clip_sample", False)


@pytest.mark.parametrize(
    "version, size",
    [
        ("0.2.4", 32),
        ("0.8.1", [8, 16]),
        ("0.8.0", 96),
        ("0.9.0.dev0", 32),
        ("0.10.0", 32),
    ],
)
def test_old_unets_are_repaired_as_in_stock(copied, version, size):
    change_json(
        copied / "unet/config.json", sample_size=size, _diffusers_version=version
    )
    theirs = stock(copied).unet.config.sample_size
    assert load_parts(copied, device="cpu").unet.config.sample_size == theirs


def test_unet_without_version(copied):
    path = copied / "unet/config.json"
    change_json(path, sample_size=32, drop=["_diffusers_version"])
    theirs = stock(copied).unet.config.sample_size
    assert load_parts(copied, device="cpu").unet.config.sample_size == theirs


def test_repairs_reach_single_files(checkpoints, copied):
    change_scheduler(copied, drop=["steps_offset"])
    loaded = load_parts(checkpoints["sd1"][2], device="cpu", config=copied)
    folder = load_parts(copied, device="cpu")
    assert_close(draw(in_own_memory(loaded)), draw(in_own_memory(folder)))
    assert loaded.scheduler.config.steps_offset == 1


@pytest.mark.parametrize(
    "conditions",
    [
        dict(addition_embed_type="text", addition_embed_type_num_heads=4),
        dict(encoder_hid_dim_type="text_proj", encoder_hid_dim=32),
    ],
)
def test_conditions_made_of_the_text(tmp_path, conditions):
    if "addition_embed_type" in conditions:
        conditions = conditions | dict(encoder_hid_dim=32)
    build_parts("sd1", **conditions).to_pipeline().save_pretrained(tmp_path)
    assert_as_stock(tmp_path)


@pytest.mark.parametrize(
    "condition",
    [
        dict(class_embed_type="timestep"),
        dict(class_embed_type="projection"),
        dict(num_class_embeds=10),
        dict(addition_embed_type="text_time"),
        dict(addition_embed_type="image"),
        dict(encoder_hid_dim_type="image_proj"),
    ],
    ids=str,
)
def test_conditions_besides_the_text(copied, condition):
    change_json(copied / "unet/config.json", **condition)
    name, value = next(iter(condition.items()))
    with refused(f"({name} is {value!r})", error=OSError):
        load_parts(copied, device="cpu")


def replace_part(folder, part, network):
    """Another class in place of a part, which the index names."""
    shutil.rmtree(folder / part)
    network.save_pretrained(folder / part)
    library = type(network).__module__.split(".")[0]
    entry = [library, type(network).__name__]
    change_json(folder / "model_index.json", **{part: entry})


SMALL = dict(
    vocab_size=900,
    hidden_size=32,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=32,
)
T5 = dict(vocab_size=900, d_model=32, d_kv=16, d_ff=32, num_layers=1, num_heads=2)
TEXT_ENCODERS = {
    "RobertaModel": transformers.RobertaConfig(**SMALL, max_position_embeddings=100),
    "XLMRobertaModel": transformers.XLMRobertaConfig(
        **SMALL, max_position_embeddings=100
    ),
    "T5EncoderModel": transformers.T5Config(**T5),
}


@pytest.mark.parametrize("name", TEXT_ENCODERS)
def test_other_text_encoders(copied, name):
    torch.manual_seed(0)
    network = getattr(transformers, name)(TEXT_ENCODERS[name])
    replace_part(copied, "text_encoder", network)
    loaded = assert_as_stock(copied)
    assert type(loaded.text_encoder).__name__ == name


SMALL_VAES = {
    AutoencoderTiny: dict(
        encoder_block_out_channels=(8,) * 4,
        decoder_block_out_channels=(8,) * 4,
    ),
    AsymmetricAutoencoderKL: dict(
        down_block_types=("DownEncoderBlock2D",) * 4,
        down_block_out_channels=(16,) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        up_block_out_channels=(16,) * 4,
        norm_num_groups=8,
    ),
}


@pytest.mark.parametrize("vae_class", SMALL_VAES)
def test_other_vaes(copied, vae_class):
    torch.manual_seed(0)
    replace_part(copied, "vae", vae_class(**SMALL_VAES[vae_class]))
    assert type(assert_as_stock(copied).vae) is vae_class


@pytest.mark.parametrize(
    "part, entry",
    [
        ("vae", ["diffusers", "ConsistencyDecoderVAE"]),
        ("vae", ["diffusers", "VQModel"]),
        ("vae", ["my_code", "AutoencoderKL"]),
        ("unet", ["diffusers", "UNet3DConditionModel"]),
        ("text_encoder", ["transformers", "CLIPTextModelWithProjection"]),
        ("text_encoder", ["alt_diffusion", "RobertaSeriesModelWithTransformation"]),
        ("tokenizer", ["transformers", "GPT2Tokenizer"]),
        ("scheduler", ["diffusers", "FlowMatchEulerDiscreteScheduler"]),
        ("scheduler", ["diffusers", "NoSuchScheduler"]),
    ],
)
def test_parts_of_other_classes(copied, part, entry):
    change_json(copied / "model_index.json", **{part: entry})
    with refused(f"has a {entry[1]} of {entry[0]} as its {part}", error=OSError):
        load_parts(copied, device="cpu")


def test_index_and_config_name_two_schedulers(copied):
    index = copied / "model_index.json"
    change_json(index, scheduler=["diffusers", "EulerDiscreteScheduler"])
    loaded = assert_as_stock(copied)
    assert type(loaded.scheduler).__name__ == "EulerDiscreteScheduler"


def test_no_scheduler_is_named(copied):
    change_json(copied / "scheduler/scheduler_config.json", drop=["_class_name"])
    (copied / "model_index.json").unlink()
    with refused("nameless scheduler", error=OSError):
        load_parts(copied, device="cpu")


def test_text_of_another_width(copied):
    config = transformers.CLIPTextConfig(**{**SMALL, "hidden_size": 16})
    replace_part(copied, "text_encoder", CLIPTextModel(config))
    with refused("has a text_encoder of width 16"):
        load_parts(copied, device="cpu")


# Weights in several files, or of several precisions

CLASSES = dict(text_encoder=CLIPTextModel, vae=AutoencoderKL, unet=UNet2DConditionModel)


def shard(folder, part, variant=None):
    """The weights of a part in many small files."""
    network = CLASSES[part].from_pretrained(folder / part)
    shutil.rmtree(folder / part)
    if variant:
        network = network.half()
    how = dict(max_shard_size="60KB", variant=variant)
    network.save_pretrained(folder / part, **how)
    shards = list((folder / part).glob("*-of-*.safetensors"))
    assert len(shards) > 1
    return shards


@pytest.mark.slow
@pytest.mark.parametrize("part", NETWORKS)
def test_shards(copied, part):
    shard(copied, part)
    assert_as_stock(copied)


@pytest.mark.parametrize("part", ["text_encoder", "vae"])
def test_shards_of_float16(checkpoints, copied, part):
    shard(copied, part, "fp16")
    loaded = weights_of(load_parts(copied, device="cpu"))
    expected = weights_of(checkpoints["sd1"][0])
    expected[part] = rounded_to_half(expected[part])
    for network in NETWORKS:
        assert_identical(loaded[network], expected[network])


@pytest.mark.parametrize("part", ["text_encoder", "unet"])
def test_lost_and_damaged_shards(copied, part):
    one, other, *_ = shard(copied, part)
    other.write_bytes(b"nothing")
    with refused(f"{other} cannot be read", error=OSError):
        load_parts(copied, device="cpu")
    one.unlink()
    with refused(f"{one} is missing", error=OSError):
        load_parts(copied, device="cpu")


# The name of the pipeline


@pytest.mark.parametrize(
    "name",
    [
        "StableDiffusionControlNetPipeline",
        "StableDiffusionLatentUpscalePipelineOfMine",
        ["my_file", "AnotherPipeline"],
    ],
)
def test_pipelines_of_the_same_parts(copied, name):
    change_json(copied / "model_index.json", _class_name=name)
    assert_as_stock(copied)


@pytest.mark.parametrize(
    "text, says",
    [
        ("[]", "cannot be read"),
        ('"StableDiffusionPipeline"', "cannot be read"),
        ("{}", "a pipeline without a name"),
        ('{"_class_name": "PixArtAlphaPipeline"}', "a PixArtAlphaPipeline"),
    ],
)
def test_index_of_nothing_of_ours(copied, text, says):
    (copied / "model_index.json").write_text(text, encoding="utf-8")
    with refused(says, error=OSError):
        load_parts(copied, device="cpu")


def test_a_second_text_encoder(copied):
    second = ["transformers", "CLIPTextModelWithProjection"]
    index = copied / "model_index.json"
    change_json(index, text_encoder_2=second, _class_name="Mine")
    with refused("holds a Mine", error=OSError):
        load_parts(copied, device="cpu")


# What is refused


@pytest.mark.parametrize("kind, name", [("sd1", "sd-1.5"), ("sd2", "sd-2.1")])
def test_single_file_whose_configs_cannot_be_had(checkpoints, cut_off, kind, name):
    with refused(f"the configs of {name}", "pass config", error=OSError):
        load_parts(checkpoints[kind][2], device="cpu")


def test_single_file_without_config(checkpoints, hub):
    parts, _, file = checkpoints["sd1"]
    loaded = load_parts(file, device="cpu")
    assert_close(draw(in_own_memory(loaded)), draw(parts))


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


LOST = [  # the part, what the file lacks, and what it is called in diffusers
    ("unet", "model.diffusion_model.out.2.weight", "conv_out.weight"),
    ("unet", "model.diffusion_model.input_blocks.0.0.weight", "conv_in.weight"),
    (
        "unet",
        "model.diffusion_model.output_blocks.3.2.conv.bias",
        "output_blocks.3.2.conv.bias",
    ),
    ("vae", "first_stage_model.decoder.conv_out.bias", "decoder.conv_out.bias"),
    (
        "text_encoder",
        "cond_stage_model.transformer.text_model.encoder.layers.0.mlp.fc1.bias",
        "encoder.layers.0.mlp.fc1.bias",
    ),
]


@pytest.mark.parametrize("part, lost, name", LOST)
def test_single_file_that_lacks_a_tensor(checkpoints, tmp_path, part, lost, name):
    _, folder, whole = checkpoints["sd1"]
    tensors = load_file(whole)
    del tensors[lost]
    save_file(tensors, tmp_path / "less.safetensors")
    with refused(f"its {part} lacks ", name, error=OSError):
        load_parts(tmp_path / "less.safetensors", device="cpu", config=folder)


@pytest.mark.parametrize("channels", [5, 7, 8, 12])
def test_single_file_for_another_task(checkpoints, tmp_path, channels):
    _, folder, whole = checkpoints["sd1"]
    tensors = load_file(whole)
    name = "model.diffusion_model.input_blocks.0.0.weight"
    more = torch.zeros(16, channels - 4, 3, 3)
    tensors[name] = torch.cat([tensors[name], more], dim=1)
    save_file(tensors, tmp_path / "more.safetensors")
    with refused(f"takes {channels} channels"):
        load_parts(tmp_path / "more.safetensors", device="cpu", config=folder)


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


@pytest.mark.parametrize("channels", [5, 7, 8, 12])
def test_folder_for_another_task(tmp_path, channels):
    parts = build_parts("tiny", in_channels=channels)
    parts.to_pipeline().save_pretrained(tmp_path / "more")
    with refused(f"takes {channels} channels"):
        load_parts(tmp_path / "more", device="cpu")


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
    monkeypatch.setattr("huggingface_hub.model_info", lambda name, **how: None)
    return asked


def test_mirror_takes_over(checkpoints, hub):
    loaded = load_parts("sd-1.5", device="cpu")
    assert_close(draw(loaded), draw(checkpoints["sd1"][0]))
    places = [(place, revision) for place, revision, _ in hub]
    assert places == list(CHECKPOINTS["sd-1.5"].items())


def test_float16_is_asked_for_first_and_float32_taken_if_it_is_all(hub):
    load_parts("sd-1.5", device="meta", dtype=torch.float16)
    halves = [".fp16." in weights[0] for _, _, weights in hub]
    assert halves == [True, True, False]


@pytest.mark.parametrize("half", NETWORKS)
def test_precisions_are_mixed_on_the_hub(checkpoints, monkeypatch, tmp_path, half):
    source = shutil.copytree(checkpoints["sd1"][1], tmp_path / "source")
    [whole] = (source / half).glob("*.safetensors")
    halves = {name: tensor.half() for name, tensor in load_file(whole).items()}
    save_file(halves, whole.with_suffix(".fp16.safetensors"), {"format": "pt"})
    whole.unlink()

    def snapshot_download(place, revision=None, allow_patterns=None):
        copy_matching(source, tmp_path / "fetched", allow_patterns)
        return str(tmp_path / "fetched")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    loaded = weights_of(load_parts("someone/model", device="cpu"))
    expected = weights_of(checkpoints["sd1"][0])
    expected[half] = rounded_to_half(expected[half])
    for network in NETWORKS:
        assert_identical(loaded[network], expected[network])


@pytest.fixture
def cut_off(checkpoints, monkeypatch):
    """A hub that cannot be reached: what was asked of it, and what was fetched earlier."""
    asked, in_cache = [], []

    def model_info(place, **how):
        asked.append(place)
        raise ConnectionError("no network")

    def snapshot_download(
        place, revision=None, allow_patterns=None, local_files_only=False
    ):
        if not local_files_only:
            asked.append(place)
        if local_files_only and place in in_cache:
            return str(checkpoints["sd2"][1])
        raise LocalEntryNotFoundError("no network")

    monkeypatch.setattr("huggingface_hub.model_info", model_info)
    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    return asked, in_cache


def test_without_a_network_one_place_is_asked_once(cut_off):
    asked, _ = cut_off
    with refused("no network", error=OSError, longest=600):
        find_folder("sd-2.1")
    assert asked == list(CHECKPOINTS["sd-2.1"])[:1]


def test_without_a_network_the_cache_serves(checkpoints, cut_off):
    asked, in_cache = cut_off
    places = list(CHECKPOINTS["sd-2.1"])
    in_cache.append(places[1])
    assert find_folder("sd-2.1") == checkpoints["sd2"][1]
    assert asked == places[:1]


def test_a_dead_network_is_not_asked_again_and_again(dead_network):
    with refused("sd-1.4 is no folder here", error=OSError, longest=600):
        find_folder("sd-1.4")
    assert len(dead_network) <= 2, dead_network


def test_single_file_fetches_no_weights(checkpoints, hub):
    parts, _, file = checkpoints["sd1"]
    loaded = load_parts(file, device="cpu", config="sd-1.5")
    assert_close(draw(in_own_memory(loaded)), draw(parts))
    assert [weights for _, _, weights in hub if weights] == []


def test_revisions_are_pinned():
    for places in CHECKPOINTS.values():
        assert places
        for place, revision in places.items():
            assert place.count("/") == 1, place
            assert len(revision) == 40, revision


# What a library says


QUIET = """
import logging
from sdlearn.checkpoints import load_parts
load_parts("tiny").to_pipeline()
logging.getLogger("transformers.utils.import_utils").warning("something else")
"""


def test_nothing_is_said_of_torchvision():
    """And nothing else is hushed."""
    command = [sys.executable, "-c", QUIET]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "torchvision" not in done.stderr
    assert "something else" in done.stderr
