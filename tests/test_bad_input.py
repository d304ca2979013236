"""One table of bad input: each row ends in one clear sentence, and none passes in silence."""

import ast
import inspect
import json
import random
import re
import shutil
import traceback
import warnings
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import diffusers
import nbformat
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from sdlearn import adapt, attention, commands, conditioning, core, data, edit
from sdlearn import evaluate, guidance, judge, latents, masks, parts, pictures
from sdlearn import pipeline, recipe, samplers, scenes, schedule, sheet, text
from sdlearn import training, world
from sdlearn.checkpoints import find_folder, load_parts
from sdlearn.pipeline import PromptWarning
from sdlearn.scenes import Scene, Thing

NAN, INF = float("nan"), float("inf")
FLAT = torch.zeros(1, 3, 64, 64)
NOISE = torch.zeros(1, 4, 8, 8)
GRAY = Image.new("RGB", (64, 64), "gray")
WHITE = Image.new("L", (64, 64), 255)
BLACK = Image.new("L", (64, 64))
LEVELS = schedule.cumulate(schedule.scaled_linear_betas())
CAT = Thing("cat", "red")
PROMPT = "a red cat"
LESSONS = Path(__file__).parents[1] / "nbs"


@dataclass
class Bench:
    """What bad input is tried on: small random parts, and a folder for files."""

    parts: parts.Parts
    tmp: Path

    @cached_property
    def folder(self):
        folder = self.tmp / "model"
        self.parts.to_pipeline().save_pretrained(folder)
        return folder

    @cached_property
    def plain(self):
        return self.draw()

    @cached_property
    def kept(self):
        return self.draw(trajectory=True, attention=True)

    @cached_property
    def recorder(self):
        return self.kept.attention

    @cached_property
    def ids(self):
        return text.tokenize(self.parts.tokenizer, PROMPT).input_ids

    @cached_property
    def embeds(self):
        return self.parts.embed([PROMPT])

    @cached_property
    def judge(self):
        return judge.load_scorer()

    def draw(self, prompt=PROMPT, **how):
        usual = dict(num_inference_steps=1, seed=0)
        return pipeline.generate(self.parts, prompt, **usual | how)

    def edit(self, prompt=PROMPT, image=GRAY, **how):
        usual = dict(num_inference_steps=2, seed=0)
        return edit.image_to_image(self.parts, prompt, image, **usual | how)

    def paint(self, image=GRAY, mask=WHITE, **how):
        usual = dict(num_inference_steps=1, seed=0)
        return edit.inpaint(self.parts, PROMPT, image, mask, **usual | how)

    def pair(self, one="a red cat", two="a blue cat", **how):
        usual = dict(num_inference_steps=1, seed=0)
        return edit.edit_prompt(self.parts, one, two, **usual | how)

    def own(self, **files):
        """A folder of files: a text is written, a picture saved, None makes a folder."""
        folder = self.tmp / f"own{len(list(self.tmp.iterdir()))}"
        folder.mkdir()
        for name, content in files.items():
            path = folder / name.replace("_", ".", 1)
            if isinstance(content, Image.Image):
                content.save(path)
            elif isinstance(content, bytes):
                path.write_bytes(content)
            else:
                path.write_text(content, encoding="utf-8")
        return folder

    def tensors(self, name="file.safetensors", **tensors):
        path = self.own() / name
        save_file(tensors, path)
        return path

    def learn(
        self, word="<toy>", like="cat", latents=NOISE, prompts=("a <toy>",), **how
    ):
        usual = dict(steps=1, batch_size=1)
        prompts = list(prompts) if isinstance(prompts, tuple) else prompts
        return adapt.learn_word(self.parts, word, like, latents, prompts, **usual | how)

    def train(self, dataset=(torch.zeros(2),), **how):
        def loss(model, batch, generator):
            return model(batch).square().mean()

        dataset = list(dataset) if isinstance(dataset, tuple) else dataset
        usual = dict(model=torch.nn.Linear(2, 1), loss_fn=loss, steps=1)
        return training.train(dataset=dataset, **usual | how)


# What some rows need


def enter(context):
    """Go into a `with` block and out again."""
    with context:
        pass


def truncated(o):
    """A picture whose file breaks off."""
    path = o.own(a_png=Image.effect_noise((64, 64), 50)) / "a.png"
    path.write_bytes(path.read_bytes()[:500])
    return Image.open(path)


def listing(o, times=1, **row):
    """A folder with one picture and a row of metadata."""
    return o.own(metadata_jsonl="\n".join([json.dumps(row)] * times), a_png=GRAY)


def encoded(o, seed):
    """A file of latents that were made from a world."""
    path = o.own() / "latents.safetensors"
    conditioning.save_encoded(
        path, conditioning.EncodedData(NOISE, data.WorldData(seed))
    )
    return path


def stepping(change):
    """A step of our signature that gives back something else."""

    def step(sample, noise_pred, a, a_prev, noise=None, last=None):
        return change(sample)

    return step


def ready(o):
    """A scheduler of ours with its timesteps."""
    return parts.make_scheduler(o.parts, samplers.ddim_step, 3)


def thin_mask():
    """A mask whose white part touches no latent."""
    mask = BLACK.copy()
    mask.paste(255, (3, 0, 6, 64))
    return mask


def nine(o):
    """Parts whose UNet is made for inpainting."""
    unet = diffusers.UNet2DConditionModel.from_config(
        o.parts.unet.config, in_channels=9
    )
    return replace(o.parts, unet=unet)


def unet(o):
    """A UNet of its own, to be changed."""
    return diffusers.UNet2DConditionModel.from_config(o.parts.unet.config)


def with_lora(o):
    """A UNet with an adapter."""
    if not hasattr(o, "with_lora"):
        o.with_lora = unet(o)
        adapt.add_lora(o.with_lora, 4)
    return o.with_lora


def lora(o):
    """The folder of a saved adapter."""
    folder = o.tmp / "lora4"
    if not folder.exists():
        adapt.save_lora(folder, with_lora(o))
    return folder


def single(o):
    """A single file with nothing in it but the names of the networks."""
    return o.tensors(
        **{
            f"{n}.x": torch.zeros(1)
            for n in ("model", "first_stage_model", "cond_stage_model")
        }
    )


def without(o, name):
    """The model folder less one file."""
    folder = o.own() / "copy"
    shutil.copytree(o.folder, folder)
    (folder / name).unlink()
    return folder


def spoiled(o, name, content):
    """The model folder with other words in one file."""
    folder = o.own() / "copy"
    shutil.copytree(o.folder, folder)
    (folder / name).write_text(content)
    return folder


def narrow(o):
    """A judge who knows fish alone."""
    words = judge.world_words()
    words["noun"] = ["fish"]
    return judge.Scorer(words)


def smoke(o, pictures=None, **how):
    """A smoke training."""
    return recipe.Training(
        o.own(), recipe.BUDGETS["smoke"], pictures or data.WorldData(), **how
    )


def tour(o, prompt=PROMPT, seed=0, guidance=5.0):
    """What is behind the box and the sliders of the tour, on small parts."""
    notebook = nbformat.read(LESSONS / "00_tour.ipynb", as_version=4)
    [source] = [cell.source for cell in notebook.cells if "interact(" in cell.source]
    [function] = [
        node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)
    ]
    quick = partial(pipeline.generate, num_inference_steps=1)
    known = dict(generate=quick, show=core.show, catch_warnings=warnings.catch_warnings)
    exec(ast.unparse(function), known)
    return known[function.name](prompt, seed, guidance, o.parts)


# The table: words that the sentence has, in this order, and what leads to it

AREAS = {}
AREAS["core"] = [
    ("image must be a PIL picture", lambda o: core.to_tensor("cat.png")),
    ("image must be a PIL picture", lambda o: core.to_tensor(None)),
    ("image must be a PIL picture", lambda o: core.to_tensor(np.zeros((64, 64, 3)))),
    ("image must be a PIL picture", lambda o: core.to_tensor([GRAY, "b.png"])),
    ("There is no picture", lambda o: core.to_tensor([])),
    ("one size ... (64, 64)", lambda o: core.to_tensor([GRAY, GRAY.resize((8, 8))])),
    (
        "sample must be a tensor of shape (b, 3, h, w), not (3, 64, 64)",
        lambda o: core.to_images(FLAT[0]),
    ),
    ("not (1, 4, 8, 8)", lambda o: core.to_images(NOISE)),
    ("not ndarray", lambda o: core.to_images(FLAT.numpy())),
    ("not list", lambda o: core.to_images([FLAT])),
    ("not NoneType", lambda o: core.to_images(None)),
    ("floats ... torch.uint8", lambda o: core.to_images(FLAT.byte())),
    ("not finite", lambda o: core.to_images(FLAT * NAN)),
    ("not finite", lambda o: core.to_images(FLAT + INF)),
    ("complex", lambda o: core.to_images(FLAT * 1j)),
    ("no picture to show", lambda o: core.image_grid([])),
    ("image must be a PIL picture", lambda o: core.image_grid(["a.png"])),
    ("image must be a PIL picture", lambda o: core.image_grid(FLAT)),
    ("image must be a PIL picture ... int", lambda o: core.image_grid(7)),
    (
        "cols must be a whole number of at least 1, not 0",
        lambda o: core.image_grid([GRAY], 0),
    ),
    (
        "cols must be a whole number of at least 1, not 2.5",
        lambda o: core.image_grid([GRAY], 2.5),
    ),
    (
        "size must be a whole number of at least 1, not -4",
        lambda o: core.image_grid([GRAY], size=-4),
    ),
    (
        "size must be a whole number of at least 1, not '96'",
        lambda o: core.image_grid([GRAY], size="96"),
    ),
    (
        "pad must be a whole number of at least 0, not -1",
        lambda o: core.image_grid([GRAY], pad=-1),
    ),
    ("labels must be 1 texts", lambda o: core.image_grid([GRAY], labels=["a", "b"])),
    ("labels must be 2 texts", lambda o: core.image_grid([GRAY, GRAY], labels="one")),
    ("labels must be 1 texts", lambda o: core.image_grid([GRAY], labels=[7])),
    ("labels must be 1 texts", lambda o: core.image_grid([GRAY], labels=7)),
    ("sample must be a tensor of shape", lambda o: core.show(NOISE)),
    ("sample must be ... (0, 3, 64, 64)", lambda o: core.show(FLAT[:0])),
    ("no picture", lambda o: core.show([])),
    ("image must be a PIL picture", lambda o: core.show(None)),
    ("sample must be", lambda o: core.show(torch.zeros(0))),
    ("labels", lambda o: core.show(FLAT, labels=["a", "b"])),
    ("cols must be", lambda o: core.show([GRAY], cols="8")),
    ("size must be", lambda o: core.show([GRAY], size=None)),
    ("fig must be", lambda o: core.page(GRAY)),
    ("fig must be", lambda o: core.page(None)),
    ("seed must be a whole number ... -1", lambda o: core.make_generator(-1)),
    ("seed must be a whole number ... '7'", lambda o: core.make_generator("7")),
    ("seed must be a whole number ... None", lambda o: core.make_generator(None)),
    ("seed must be a whole number ... 1.5", lambda o: core.make_generator(1.5)),
    (
        "seed must be a whole number ... 18446744073709551616",
        lambda o: core.make_generator(2**64),
    ),
    ("seed must be a whole number ... True", lambda o: core.make_generator(True)),
    ("generator", lambda o: core.randn((1, 2), 7)),
    ("generator", lambda o: core.randn((2, 2), [core.make_generator(0)])),
    (
        "cannot be",
        lambda o: enter(core.replace_on_success(o.own(a_txt="") / "a.txt" / "b")),
    ),
]
AREAS["pictures"] = [
    (
        "A picture of mode F cannot be read",
        lambda o: pictures.to_rgb(Image.fromarray(np.full((4, 4), NAN, "f4"))),
    ),
    (
        "not finite",
        lambda o: core.to_tensor(Image.fromarray(np.full((4, 4), INF, "f4"))),
    ),
    ("cannot be read", lambda o: pictures.to_rgb(truncated(o))),
    ("image must be a PIL picture", lambda o: pictures.to_rgb("a.png")),
    ("image must be a PIL picture", lambda o: pictures.to_rgb(None)),
    (
        "image has 1 pictures and prompt 2 texts",
        lambda o: pictures.start_pictures([GRAY], 2, 8),
    ),
    ("image has 0 pictures", lambda o: pictures.start_pictures([], 1, 8)),
    (
        "multiples of 8, not 63 and 64",
        lambda o: pictures.start_pictures(GRAY.resize((63, 64)), 1, 8),
    ),
    (
        "multiples of 8, not 0 and 8",
        lambda o: pictures.start_pictures(Image.new("RGB", (0, 8)), 1, 8),
    ),
    ("one size", lambda o: pictures.start_pictures([GRAY, GRAY.resize((8, 8))], 2, 8)),
    (
        "unknown color specifier",
        lambda o: pictures.to_rgb(Image.new("RGBA", (8, 8)), paper="mauvish"),
    ),
]
AREAS["scenes"] = [
    ("There is no noun 'dragon' ... cat", lambda o: Thing("dragon")),
    ("There is no noun None", lambda o: Thing(None)),
    ("There is no noun 7", lambda o: Thing(7)),
    ("There is no noun ''", lambda o: Thing("")),
    ("There is no color 'mauve' ... red", lambda o: Thing("cat", "mauve")),
    ("There is no color (255, 0, 0)", lambda o: Thing("cat", (255, 0, 0))),
    ("There is no size 'huge' ... small, big", lambda o: Thing("cat", size="huge")),
    ("There is no size 2", lambda o: Thing("cat", size=2)),
    (
        "count must be a whole number from 1 to 3, not 5",
        lambda o: Thing("cat", count=5),
    ),
    (
        "count must be a whole number from 1 to 3, not 0",
        lambda o: Thing("cat", count=0),
    ),
    (
        "count must be a whole number from 1 to 3, not 2.0",
        lambda o: Thing("cat", count=2.0),
    ),
    (
        "count must be a whole number from 1 to 3, not 'two'",
        lambda o: Thing("cat", count="two"),
    ),
    (
        "count must be a whole number from 1 to 3, not None",
        lambda o: Thing("cat", count=None),
    ),
    (
        "count must be a whole number from 1 to 3, not True",
        lambda o: Thing("cat", count=True),
    ),
    ("Write things as", lambda o: Scene(CAT)),
    ("Write things as", lambda o: Scene("cat")),
    ("about one thing, or two and their relation", lambda o: world.caption(Scene(()))),
    ("Write things as", lambda o: Scene(("cat",))),
    ("Write things as", lambda o: Scene(None)),
    (
        "about one thing, or two and their relation",
        lambda o: world.caption(Scene((CAT,) * 3)),
    ),
    (
        "about one thing, or two and their relation",
        lambda o: world.caption(Scene((CAT, CAT))),
    ),
    ("There is no relation 'beside' ... riding", lambda o: Scene((CAT, CAT), "beside")),
    ("'riding' is for two things", lambda o: Scene((CAT,), "riding")),
    (
        "There is no place 'on Mars' ... in the snow",
        lambda o: Scene((CAT,), place="on Mars"),
    ),
    ("There is no place 3", lambda o: Scene((CAT,), place=3)),
    ("seed must be", lambda o: Scene((CAT,), seed="x")),
    ("seed must be", lambda o: Scene((CAT,), seed=None)),
    ("seed must be", lambda o: Scene((CAT,), seed=NAN)),
    (
        "room for 2 figures, not 3",
        lambda o: scenes.draw(Scene((Thing("cat", count=2), CAT), "above")),
    ),
    (
        "room for 3 figures, not 4",
        lambda o: scenes.draw(Scene((Thing("cat", count=3), CAT), "and")),
    ),
    (
        "There is no seat for 'riding' in a 'man'",
        lambda o: scenes.draw(Scene((CAT, Thing("man")), "riding")),
    ),
    (
        "There is no mouth for 'eating' in a 'car'",
        lambda o: scenes.draw(Scene((Thing("car"), CAT), "eating")),
    ),
    ("scene must be", lambda o: scenes.draw(CAT)),
    ("scene must be", lambda o: scenes.draw("a red cat")),
    ("scene must be", lambda o: scenes.layout(None)),
    ("scene must be", lambda o: scenes.masks("a red cat")),
    ("scene must be", lambda o: scenes.truth([CAT])),
    ("size must be", lambda o: scenes.draw(Scene((CAT,)), 0)),
    ("size must be", lambda o: scenes.draw(Scene((CAT,)), 64.0)),
    ("size must be", lambda o: scenes.draw(Scene((CAT,)), "64")),
    ("size must be", lambda o: scenes.masks(Scene((CAT,)), -1)),
]
AREAS["world"] = [
    ("A prompt is a text", lambda o: world.parse(None)),
    ("A prompt is a text", lambda o: world.parse(7)),
    ("A prompt is a text", lambda o: world.parse(["a red cat"])),
    ("A prompt is a text", lambda o: world.parse(b"a red cat")),
    ("'' must name one noun", lambda o: world.parse("")),
    ("must name one noun", lambda o: world.parse("a purple dragon")),
    ("must name one noun", lambda o: world.parse("a cat dog fish")),
    ("must name one noun", lambda o: world.parse("a cat riding a dragon")),
    ("must name one noun", lambda o: world.parse("riding")),
    ("scene must be", lambda o: world.caption("a red cat")),
    ("scene must be", lambda o: world.caption(None)),
    ("scene must be", lambda o: world.split_of("a red cat")),
    ("rng must be", lambda o: world.sample_scene(7)),
    ("rng must be", lambda o: world.sample_scene(None)),
    (
        "There is no split 'test'",
        lambda o: world.sample_scene(random.Random(0), "test"),
    ),
    ("There is no split True", lambda o: world.sample_scene(random.Random(0), True)),
    ("There is no split 'held out'", lambda o: world.sample_pictures(1, 0, "held out")),
    (
        "n must be a whole number of at least 1, not 0",
        lambda o: world.sample_pictures(0, 0),
    ),
    ("n must be a whole number", lambda o: world.sample_pictures(-2, 0)),
    ("n must be a whole number", lambda o: world.sample_pictures("3", 0)),
    ("n must be a whole number", lambda o: world.sample_pictures(2.0, 0)),
    ("seed must be", lambda o: world.sample_pictures(1, [0])),
]
AREAS["data"] = [
    ("There is nothing to repeat", lambda o: data.Endless([])),
    ("There is nothing to repeat", lambda o: data.Endless(())),
    (
        "There must be a function or a list of items, not a NoneType",
        lambda o: data.Endless(None),
    ),
    (
        "There must be a function or a list of items, not a int",
        lambda o: data.Endless(7),
    ),
    (
        "There must be a function or a list of items, not a dict",
        lambda o: data.Endless({"a": 1}),
    ),
    (
        "There must be a function or a list of items, not a str",
        lambda o: data.Endless("pictures"),
    ),
    ("There is no split 'test'", lambda o: data.WorldData(0, "test")),
    ("seed must be", lambda o: data.WorldData("0")),
    ("seed must be", lambda o: data.WorldData(None)),
    ("seed must be", lambda o: data.WorldData(-1)),
    ("size must be", lambda o: data.WorldData().picture(0, 65)),
    ("size must be", lambda o: data.WorldData().picture(0, 0)),
    ("size must be", lambda o: data.WorldData().picture(0, "64")),
    ("n must be", lambda o: data.WorldData().captions(-1)),
    ("n must be", lambda o: data.sample_captions("3")),
    ("n must be", lambda o: data.sample_captions(2.5)),
    ("There is no folder", lambda o: data.open_data(o.tmp / "nowhere")),
    ("is a file", lambda o: data.open_data(o.own(a_txt="x") / "a.txt")),
    ("holds no pictures", lambda o: data.open_data(o.own())),
    ("holds no pictures", lambda o: data.open_data(o.own(a_txt="a cat"))),
    ("folder must be", lambda o: data.open_data(7)),
    ("folder must be", lambda o: data.FolderData(None)),
    ("has no caption: put one into a.txt", lambda o: data.open_data(o.own(a_png=GRAY))),
    ("a.txt is empty", lambda o: data.open_data(o.own(a_png=GRAY, a_txt=" \n"))),
    ("no UTF-8 text", lambda o: data.open_data(o.own(a_png=GRAY, a_txt=b"caf\xe9"))),
    (
        "a.png is damaged or no picture",
        lambda o: data.open_data(o.own(a_png="no", a_txt="x")),
    ),
    (
        "a.png is damaged or no picture",
        lambda o: data.open_data(o.own(a_png=b"", a_txt="x")),
    ),
    (
        "line 1 is no JSON",
        lambda o: data.open_data(o.own(metadata_jsonl="{file", a_png=GRAY)),
    ),
    ("line 1 is no JSON object", lambda o: data.open_data(o.own(metadata_jsonl="[1]"))),
    (
        "line 1 has no text",
        lambda o: data.open_data(
            o.own(metadata_jsonl='{"file_name": "a.png"}', a_png=GRAY)
        ),
    ),
    (
        "line 1 has no text",
        lambda o: data.open_data(listing(o, file_name="a.png", text=7)),
    ),
    (
        "line 1 has no text",
        lambda o: data.open_data(listing(o, file_name="a.png", text=" ")),
    ),
    ("line 1 has no file_name", lambda o: data.open_data(listing(o, text="a cat"))),
    (
        "line 1 has no file_name",
        lambda o: data.open_data(listing(o, file_name=None, text="a cat")),
    ),
    (
        "b.png, which is missing",
        lambda o: data.open_data(listing(o, file_name="b.png", text="a cat")),
    ),
    ("is missing", lambda o: data.open_data(listing(o, file_name=".", text="a cat"))),
    (
        "line 2 says what another row says",
        lambda o: data.open_data(listing(o, file_name="a.png", text="a cat", times=2)),
    ),
    (
        "lists no picture",
        lambda o: data.open_data(o.own(metadata_jsonl="\n\n", a_png=GRAY)),
    ),
    (
        "lists no picture",
        lambda o: data.open_data(o.own(metadata_csv="file_name,text\n")),
    ),
    (
        "row 1 has no text",
        lambda o: data.open_data(o.own(metadata_csv="file_name\na.png\n", a_png=GRAY)),
    ),
    (
        "has no caption: list it in metadata.csv",
        lambda o: data.open_data(
            o.own(metadata_csv="file_name,text\na.png,x\n", a_png=GRAY, b_png=GRAY)
        ),
    ),
    (
        "no UTF-8 text",
        lambda o: data.open_data(
            o.own(metadata_csv=b"file_name,text\na.png,\xff\n", a_png=GRAY)
        ),
    ),
    (
        "metadata",
        lambda o: data.open_data(
            o.own(
                metadata_csv="file_name,text\na.png,x\n",
                metadata_jsonl='{"file_name": "a.png", "text": "y"}',
                a_png=GRAY,
            )
        ),
    ),
    ("size must be", lambda o: data.FolderData(o.own(a_png=GRAY, a_txt="x"), size=0)),
    (
        "size must be",
        lambda o: data.FolderData(o.own(a_png=GRAY, a_txt="x"), size="64"),
    ),
    ("seed must be", lambda o: data.FolderData(o.own(a_png=GRAY, a_txt="x"), seed="s")),
    (
        "size must be",
        lambda o: data.FolderData(o.own(a_png=GRAY, a_txt="x")).picture(0, 65),
    ),
    ("n must be", lambda o: data.FolderData(o.own(a_png=GRAY, a_txt="x")).captions(-1)),
]
AREAS["encoded data"] = [
    (
        "made from 'world 1 train', not from 'world 0 train'",
        lambda o: conditioning.load_encoded(encoded(o, 1), data.WorldData(0)),
    ),
    (
        "a data set that it does not name",
        lambda o: conditioning.load_encoded(o.tensors(latents=NOISE), data.WorldData()),
    ),
    (
        "is missing or damaged",
        lambda o: conditioning.load_encoded(
            o.tmp / "none.safetensors", data.WorldData()
        ),
    ),
    (
        "is missing or damaged",
        lambda o: conditioning.load_encoded(
            o.own(a_safetensors="no") / "a.safetensors", data.WorldData()
        ),
    ),
    ("n must be", lambda o: conditioning.encode_data(o.parts.vae, data.WorldData(), 0)),
    (
        "n must be",
        lambda o: conditioning.encode_data(o.parts.vae, data.WorldData(), "2"),
    ),
    (
        "workers",
        lambda o: conditioning.encode_data(o.parts.vae, data.WorldData(), 1, -1),
    ),
    (
        "drop must be a number from 0 to 1",
        lambda o: conditioning.captioned_latents(
            conditioning.EncodedData(NOISE, data.WorldData()), o.parts.tokenizer, 2
        ),
    ),
    (
        "There is nothing to repeat",
        lambda o: conditioning.captioned_latents(
            conditioning.EncodedData(NOISE[:0], data.WorldData()), o.parts.tokenizer
        ),
    ),
    (
        "encoded must be a EncodedData, not a Tensor",
        lambda o: conditioning.captioned_latents(NOISE, o.parts.tokenizer),
    ),
]
T = torch.tensor([3])
AREAS["schedule"] = [
    (
        "num_train_timesteps must be a whole number of at least 1, not 0",
        lambda o: schedule.linear_betas(0),
    ),
    ("num_train_timesteps", lambda o: schedule.linear_betas(2.5)),
    ("num_train_timesteps", lambda o: schedule.scaled_linear_betas(-1)),
    ("num_train_timesteps", lambda o: schedule.cosine_betas("1000")),
    ("num_train_timesteps", lambda o: schedule.cosine_betas(0)),
    (
        "A beta must be a number from 0 to 1, not 1.5",
        lambda o: schedule.linear_betas(10, 0.1, 1.5),
    ),
    ("not -0.1", lambda o: schedule.scaled_linear_betas(10, -0.1)),
    ("not nan", lambda o: schedule.linear_betas(10, NAN)),
    ("from 0 to 1, not 2", lambda o: schedule.cosine_betas(10, 2)),
    (
        "t must be a whole number from 0 to 999, or several, not [1000]",
        lambda o: schedule.add_noise(NOISE, NOISE, torch.tensor([1000]), LEVELS),
    ),
    ("or several, not -1", lambda o: schedule.add_noise(NOISE, NOISE, -1, LEVELS)),
    ("t must", lambda o: schedule.add_noise(NOISE, NOISE, 3.5, LEVELS)),
    (
        "does not fit a sample of the shape (1, 4, 8, 8)",
        lambda o: schedule.add_noise(NOISE, FLAT, T, LEVELS),
    ),
    (
        "prediction_type must be epsilon, sample or v_prediction, not 'x0'",
        lambda o: schedule.to_noise_and_sample(NOISE, NOISE, T, LEVELS, "x0"),
    ),
    (
        "prediction_type",
        lambda o: schedule.to_noise_and_sample(NOISE, NOISE, T, LEVELS, None),
    ),
    (
        "Noise of the shape (1, 3, 8, 8) does not fit",
        lambda o: schedule.to_noise_and_sample(NOISE[:, :3], NOISE, T, LEVELS),
    ),
    (
        "does not fit",
        lambda o: schedule.predict_original_sample(NOISE, FLAT, LEVELS[3]),
    ),
]
AREAS["samplers"] = [
    (
        "pass noise",
        lambda o: samplers.ddim_step(NOISE, NOISE, LEVELS[9], LEVELS[3], eta=1.0),
    ),
    ("does not fit", lambda o: samplers.ddim_step(NOISE, FLAT, LEVELS[9], LEVELS[3])),
    (
        "A step must be a function",
        lambda o: samplers.StepScheduler(7, diffusers.DDIMScheduler()),
    ),
    (
        "A step must be a function",
        lambda o: samplers.StepScheduler(None, diffusers.DDIMScheduler()),
    ),
    (
        "A step must be a function",
        lambda o: samplers.StepScheduler(lambda x: x, diffusers.DDIMScheduler()),
    ),
    ("t = 5 is not among the timesteps", lambda o: ready(o).step(NOISE, 5, NOISE)),
    (
        "A step must return prev_sample, a tensor, not NoneType",
        lambda o: o.draw(scheduler=stepping(lambda x: None)),
    ),
    (
        "A step must return prev_sample, a tensor, not tuple",
        lambda o: o.draw(scheduler=stepping(lambda x: (x,))),
    ),
    (
        "A step must return a sample of the shape that it got, (1, 4, 8, 8), not (4, 8, 8)",
        lambda o: o.draw(scheduler=stepping(lambda x: x[0])),
    ),
]
AREAS["text"] = [
    ("There is nothing to repeat", lambda o: text.train_tokenizer([])),
    ("not a str", lambda o: text.train_tokenizer("a red cat")),
    ("a list of texts, not [7]", lambda o: text.train_tokenizer([7])),
    ("not a NoneType", lambda o: text.train_tokenizer(None)),
    ("vocab_size must be", lambda o: text.train_tokenizer(["a cat"], vocab_size=10)),
    ("vocab_size must be", lambda o: text.train_tokenizer(["a cat"], vocab_size="800")),
    ("max_length must be", lambda o: text.train_tokenizer(["a cat"], max_length=1)),
    ("max_length must be", lambda o: text.train_tokenizer(["a cat"], max_length=None)),
    ("prompt must be a text", lambda o: text.tokenize(o.parts.tokenizer, None)),
    ("prompt must be a text", lambda o: text.tokenize(o.parts.tokenizer, 7)),
    ("prompt must be a text", lambda o: text.tokenize(o.parts.tokenizer, [])),
    ("prompt must be a text", lambda o: text.tokenize(o.parts.tokenizer, [7])),
    ("prompt must be a text", lambda o: text.tokenize(o.parts.tokenizer, b"a cat")),
    (
        "prompt must be a text",
        lambda o: text.encode_prompt(o.parts.tokenizer, o.parts.text_encoder, []),
    ),
    ("prompt must be a text", lambda o: o.parts.embed(None)),
    ("prompt must be a text", lambda o: o.parts.embed([])),
]
AREAS["latents"] = [
    (
        "images must be a tensor of shape (b, 3, h, w)",
        lambda o: latents.encode(o.parts.vae, GRAY),
    ),
    ("images must be", lambda o: latents.encode(o.parts.vae, [GRAY])),
    ("images must be", lambda o: latents.encode(o.parts.vae, None)),
    ("images must be ... (3, 64, 64)", lambda o: latents.encode(o.parts.vae, FLAT[0])),
    ("images must be ... (1, 4, 8, 8)", lambda o: latents.encode(o.parts.vae, NOISE)),
    ("images must be", lambda o: latents.encode(o.parts.vae, FLAT[:0])),
    ("multiples of 8", lambda o: latents.encode(o.parts.vae, FLAT[..., :63])),
    ("multiples of 8", lambda o: latents.encode(o.parts.vae, FLAT[..., :4])),
    ("finite", lambda o: latents.encode(o.parts.vae, FLAT * NAN)),
    ("floats", lambda o: latents.encode(o.parts.vae, FLAT.byte())),
    (
        "latents must be a tensor of shape (b, 4, h, w)",
        lambda o: latents.decode(o.parts.vae, FLAT),
    ),
    ("latents must be ... (4, 8, 8)", lambda o: latents.decode(o.parts.vae, NOISE[0])),
    (
        "latents must be ... ndarray",
        lambda o: latents.decode(o.parts.vae, NOISE.numpy()),
    ),
    ("latents must be", lambda o: latents.decode(o.parts.vae, None)),
    ("latents must be", lambda o: latents.decode(o.parts.vae, GRAY)),
    ("finite", lambda o: latents.decode(o.parts.vae, NOISE * NAN)),
    ("one shape", lambda o: latents.psnr(FLAT, FLAT[..., :8])),
    ("one shape", lambda o: latents.psnr(FLAT, FLAT[:, :1])),
    ("sample must be", lambda o: latents.measure_scaling_factor(o.parts.vae, GRAY)),
    ("sample must be", lambda o: latents.measure_scaling_factor(o.parts.vae, NOISE)),
    ("size must be", lambda o: latents.pictures(data.WorldData(), 65)[0]),
]
AREAS["attention"] = [
    (
        "unet must be a UNet that reads prompts, not Parts: pass parts.unet",
        lambda o: enter(attention.record_attention(o.parts)),
    ),
    (
        "4 heads cannot share 6 numbers",
        lambda o: attention.attention(*[torch.zeros(1, 4, 6)] * 3, heads=4),
    ),
    (
        "heads must be",
        lambda o: attention.attention(*[torch.zeros(1, 4, 6)] * 3, heads=0),
    ),
    (
        "key",
        lambda o: attention.attention(
            torch.zeros(1, 4, 6), torch.zeros(1, 4, 8), torch.zeros(1, 4, 6), 2
        ),
    ),
    (
        "value",
        lambda o: attention.attention(
            torch.zeros(1, 4, 6), torch.zeros(1, 4, 6), torch.zeros(1, 3, 6), 2
        ),
    ),
    (
        "end",
        lambda o: attention.word_positions(o.parts.tokenizer, torch.tensor([1, 2, 3])),
    ),
    ("one row", lambda o: attention.word_positions(o.parts.tokenizer, o.ids)),
    ("input_ids", lambda o: attention.word_positions(o.parts.tokenizer, "a cat")),
    (
        "Nothing was recorded",
        lambda o: attention.word_maps(attention.AttentionRecorder(), [("a", [1])]),
    ),
    (
        "index must be",
        lambda o: attention.word_maps(o.recorder, o.kept.words[0], index=1),
    ),
    (
        "index must be",
        lambda o: attention.word_maps(o.recorder, o.kept.words[0], index="0"),
    ),
    (
        "step must be",
        lambda o: attention.word_maps(o.recorder, o.kept.words[0], step=9),
    ),
    (
        "resolution must be one of 4, 8",
        lambda o: attention.word_maps(o.recorder, o.kept.words[0], resolution=3),
    ),
    ("resolution must be", lambda o: o.kept.word_maps(resolution=64)),
    ("recorder", lambda o: attention.word_maps(None, o.kept.words[0])),
    ("batch_size", lambda o: attention.AttentionRecorder(0)),
    ("heat must be", lambda o: attention.over(GRAY, NOISE)),
    ("heat must be", lambda o: attention.over(GRAY, "cat")),
    ("image must be a PIL picture", lambda o: attention.over(FLAT, torch.zeros(8, 8))),
    ("unet", lambda o: enter(attention.record_attention(o.parts.vae))),
]
AREAS["guidance"] = [
    (
        "negative_prompt_embeds",
        lambda o: guidance.guided_denoiser(o.parts.unet, o.embeds, None, 5.0),
    ),
    (
        "negative_prompt_embeds",
        lambda o: guidance.guided_denoiser(
            o.parts.unet, o.embeds, o.embeds[:, :9], 5.0
        ),
    ),
]
AREAS["generate"] = [
    ("prompt must be a text", lambda o: o.draw(None)),
    ("prompt must be a text", lambda o: o.draw(())),
    ("prompt must be a text", lambda o: o.draw({"a": "cat"})),
    ("negative_prompt must be", lambda o: o.draw(negative_prompt=[])),
    ("negative_prompt must be", lambda o: o.draw(negative_prompt=["a", "b"])),
    ("There is no setting 'guidance' ... guidance_scale", lambda o: o.draw(guidance=3)),
    ("num_inference_steps must be ... not 0", lambda o: o.draw(num_inference_steps=0)),
    (
        "num_inference_steps must be ... not '30'",
        lambda o: o.draw(num_inference_steps="30"),
    ),
    ("guidance_scale must be ... nan", lambda o: o.draw(guidance_scale=NAN)),
    ("guidance_scale must be ... '5'", lambda o: o.draw(guidance_scale="5")),
    ("guidance_scale must be ... None", lambda o: o.draw(guidance_scale=None)),
    ("guidance_scale must be ... -1", lambda o: o.draw(guidance_scale=-1)),
    ("guidance_rescale must be ... 2", lambda o: o.draw(guidance_rescale=2)),
    ("eta must be ... inf", lambda o: o.draw(eta=INF)),
    ("seed must be ... -3", lambda o: o.draw(seed=-3)),
    ("seed must be ... 1.0", lambda o: o.draw(seed=1.0)),
    ("There is no scheduler 'plms'", lambda o: o.draw(scheduler="plms")),
    ("There is no scheduler ''", lambda o: o.draw(scheduler="")),
    ("scheduler must be", lambda o: o.draw(scheduler=3)),
    ("scheduler must be", lambda o: o.draw(scheduler=dict)),
    ("A step must be a function", lambda o: o.draw(scheduler=print)),
    (
        "cannot be used here",
        lambda o: o.draw(scheduler=diffusers.FlowMatchEulerDiscreteScheduler),
    ),
    ("settings must be made with Settings", lambda o: o.draw(settings={"seed": 0})),
    ("generator must come from", lambda o: o.draw(generator=3)),
    ("a list of 2", lambda o: o.draw(generator=[core.make_generator(0)] * 2)),
    (
        "latents must have the shape (1, 4, 8, 8), not (1, 3, 64, 64)",
        lambda o: o.draw(latents=FLAT),
    ),
    ("latents must be finite", lambda o: o.draw(latents=NOISE * NAN)),
    ("latents must be a tensor of numbers", lambda o: o.draw(latents="noise")),
    ("multiples of 8", lambda o: o.draw(height=65)),
    ("multiples of 8", lambda o: o.draw(width="64")),
    ("multiples of 8", lambda o: o.draw(width=0)),
    ("latents must have the shape", lambda o: o.draw(latents=NOISE, height=128)),
    ("after_step must be a function", lambda o: o.draw(after_step=5)),
    (
        "gave a NoneType in place of a tensor",
        lambda o: o.draw(after_step=lambda latents, t_next: None),
    ),
    ("parts must come from load_parts", lambda o: pipeline.generate("tiny", PROMPT)),
    ("No attention was kept", lambda o: o.plain.word_maps()),
]
AREAS["edit"] = [
    (
        "strength must be a number above 0 and up to 1, not 0",
        lambda o: o.edit(strength=0),
    ),
    ("strength must be ... 1.5", lambda o: o.edit(strength=1.5)),
    ("strength must be ... nan", lambda o: o.edit(strength=NAN)),
    ("strength must be ... '0.5'", lambda o: o.edit(strength="0.5")),
    ("strength must be ... None", lambda o: o.edit(strength=None)),
    ("leaves no step", lambda o: o.edit(strength=0.1)),
    ("image must be a PIL picture ... str", lambda o: o.edit(image="cat.png")),
    ("image must be a PIL picture ... NoneType", lambda o: o.edit(image=None)),
    ("image must be a PIL picture ... Tensor", lambda o: o.edit(image=FLAT)),
    (
        "image must be a PIL picture ... ndarray",
        lambda o: o.edit(image=np.zeros((64, 64, 3))),
    ),
    (
        "image must be a PIL picture ... PosixPath",
        lambda o: o.edit(image=Path("cat.png")),
    ),
    ("image has 0 pictures", lambda o: o.edit(image=[])),
    ("image has 2 pictures and prompt 1 texts", lambda o: o.edit(image=[GRAY, GRAY])),
    ("multiples of 8, not 60 and 64", lambda o: o.edit(image=GRAY.resize((60, 64)))),
    ("one size", lambda o: o.edit([PROMPT] * 2, [GRAY, GRAY.resize((8, 8))])),
    ("prompt must be a text", lambda o: o.edit(prompt=[])),
    ("There is no setting 'steps'", lambda o: o.edit(steps=3)),
    ("after_step must be a function", lambda o: o.edit(after_step="x")),
    ("generator must", lambda o: o.edit(generator="x")),
    ("mask must be a PIL picture ... NoneType", lambda o: o.paint(mask=None)),
    ("mask must be a PIL picture ... list", lambda o: o.paint(mask=[WHITE])),
    ("mask must be a PIL picture ... Tensor", lambda o: o.paint(mask=FLAT)),
    ("mask must be a PIL picture ... str", lambda o: o.paint(mask="mask.png")),
    (
        "mask has 32x32 pixels and the picture 64x64",
        lambda o: o.paint(mask=WHITE.resize((32, 32))),
    ),
    ("strength must be", lambda o: o.paint(strength=-1)),
    ("image must be a PIL picture", lambda o: o.paint(image="cat.png")),
    ("no white part", lambda o: o.paint(mask=BLACK)),
    ("so thin", lambda o: o.paint(mask=thin_mask())),
    ("has colors", lambda o: o.paint(mask=Image.new("RGB", (64, 64), "yellow"))),
    ("change words for words", lambda o: o.pair(two="a very blue cat")),
    ("share must be a number from 0 to 1, not 2", lambda o: o.pair(share=2)),
    ("share must be ... '0.6'", lambda o: o.pair(share="0.6")),
    ("share must be ... nan", lambda o: o.pair(share=NAN)),
    ("prompt must be", lambda o: o.pair(two=None)),
    ("prompt must be", lambda o: o.pair(one=["a cat", "a dog"])),
    (
        "latents must have the shape (1, 4, 8, 8)",
        lambda o: o.pair(latents=NOISE.repeat(2, 1, 1, 1)),
    ),
    ("generator", lambda o: o.pair(generator=[core.make_generator(0)] * 2)),
    ("share must be", lambda o: edit.slerp(NOISE, NOISE, "half")),
    ("one shape", lambda o: edit.slerp(NOISE, FLAT, 0.5)),
    ("unet", lambda o: enter(edit.share_attention(o.parts.vae))),
    (
        "This UNet takes 9 channels",
        lambda o: edit.image_to_image(
            nine(o), PROMPT, GRAY, num_inference_steps=1, strength=1.0
        ),
    ),
    ("size", lambda o: masks.read_mask(WHITE, (63, 64))),
]
AREAS["sheet"] = [
    (
        "trajectory=True and attention=True",
        lambda o: sheet.stages_sheet(o.parts, o.plain),
    ),
    ("trajectory=True and attention=True", lambda o: sheet.stages_sheet(o.parts, None)),
    ("trajectory=True and attention=True", lambda o: sheet.stages_sheet(o.parts, GRAY)),
    ("index must be", lambda o: sheet.stages_sheet(o.parts, o.kept, 1)),
    ("index must be", lambda o: sheet.stages_sheet(o.parts, o.kept, "0")),
    ("parts must be a Parts", lambda o: sheet.stages_sheet(None, o.kept)),
]
AREAS["training"] = [
    ("steps must be a whole number of at least 1, not 0", lambda o: o.train(steps=0)),
    ("steps must be ... 2.5", lambda o: o.train(steps=2.5)),
    ("steps must be ... None", lambda o: o.train(steps=None)),
    ("batch_size must be ... 0", lambda o: o.train(batch_size=0)),
    ("batch_size must be ... '8'", lambda o: o.train(batch_size="8")),
    ("lr must be a number ... nan", lambda o: o.train(lr=NAN)),
    ("lr must be a number ... -0.1", lambda o: o.train(lr=-0.1)),
    ("lr must be a number ... '1e-3'", lambda o: o.train(lr="1e-3")),
    ("ema_decay must be a number from 0 to 1, not 2", lambda o: o.train(ema_decay=2)),
    ("save_every must be", lambda o: o.train(save_every=0)),
    (
        "mixed_precision must be 'no' or 'bf16', not 'fp16'",
        lambda o: o.train(mixed_precision="fp16"),
    ),
    ("mixed_precision must be", lambda o: o.train(mixed_precision=None)),
    ("workers must be", lambda o: o.train(workers=-1)),
    ("seed must be ... 'x'", lambda o: o.train(seed="x")),
    ("seed must be ... -1", lambda o: o.train(seed=-1)),
    ("There is nothing to repeat", lambda o: o.train(dataset=[])),
    ("The data must be a list", lambda o: o.train(dataset=None)),
    ("The data must be a list", lambda o: o.train(dataset={"a": 1})),
    ("The data must be a list", lambda o: o.train(dataset="pictures")),
    ("There is no setting 'epochs'", lambda o: o.train(epochs=3)),
    (
        "damaged or of another training",
        lambda o: o.train(checkpoint=o.own(a_safetensors="no") / "a.safetensors"),
    ),
    (
        "damaged or of another training",
        lambda o: o.train(checkpoint=o.tensors(x=torch.zeros(1))),
    ),
    ("cannot be written", lambda o: o.train(checkpoint=o.own())),
    (
        "The loss of batch 1 is nan",
        lambda o: o.train(
            loss_fn=lambda model, batch, generator: model(batch).mean() * NAN
        ),
    ),
]
AREAS["adapt"] = [
    ("must be in angle brackets", lambda o: o.learn(word="toy")),
    ("must be in angle brackets", lambda o: o.learn(word="<to y>")),
    ("must be in angle brackets", lambda o: o.learn(word="")),
    ("one token", lambda o: o.learn(like="dragonfly")),
    ("like must", lambda o: o.learn(like="")),
    ("like must", lambda o: o.learn(like=None)),
    ("1 pictures and 0 prompts", lambda o: o.learn(prompts=[])),
    ("1 pictures and 2 prompts", lambda o: o.learn(prompts=["a <toy>", "two <toy>"])),
    ("<toy>", lambda o: o.learn(prompts=["a red cat"])),
    ("a list of texts, not [7]", lambda o: o.learn(prompts=[7])),
    ("latents must", lambda o: o.learn(latents=None)),
    ("latents must", lambda o: o.learn(latents=NOISE[0])),
    ("latents must", lambda o: o.learn(latents=FLAT)),
    ("latents must be finite", lambda o: o.learn(latents=NOISE * NAN)),
    ("latents must", lambda o: o.learn(latents=GRAY)),
    ("steps must be", lambda o: o.learn(steps=0)),
    ("lr must be", lambda o: o.learn(lr=NAN)),
    ("batch_size must be", lambda o: o.learn(batch_size=0)),
    (
        "There is a word <toy> already",
        lambda o: adapt.add_word(
            adapt.add_word(o.parts, "<toy>", torch.zeros(96)), "<toy>", torch.zeros(96)
        ),
    ),
    (
        "<toy> has the shape (7,)",
        lambda o: adapt.add_word(o.parts, "<toy>", torch.zeros(7)),
    ),
    (
        "<toy> has numbers that are not finite",
        lambda o: adapt.add_word(o.parts, "<toy>", torch.full((96,), NAN)),
    ),
    ("must be one token", lambda o: adapt.vector_of(o.parts, "a cat")),
    (
        "There is no file",
        lambda o: adapt.load_word(o.parts, o.tmp / "none.safetensors"),
    ),
    (
        "is not a .safetensors file",
        lambda o: adapt.load_word(o.parts, o.own(a_pt="x") / "a.pt"),
    ),
    (
        "cannot be read",
        lambda o: adapt.load_word(o.parts, o.own(a_safetensors="x") / "a.safetensors"),
    ),
    (
        "holds 2 tensors",
        lambda o: adapt.load_word(
            o.parts, o.tensors(a=torch.zeros(96), b=torch.zeros(96))
        ),
    ),
    (
        "belongs to another model",
        lambda o: adapt.load_word(o.parts, o.tensors(**{"<toy>": torch.zeros(768)})),
    ),
    (
        "must have a name",
        lambda o: adapt.load_word(o.parts, o.tensors(**{" ": torch.zeros(96)})),
    ),
    (
        "must be one token",
        lambda o: adapt.save_word(o.tmp / "w.safetensors", o.parts, "<unknown>"),
    ),
    (
        "There is no adapter 'default' to save",
        lambda o: adapt.save_lora(o.tmp / "lora", o.parts),
    ),
    (
        "There is no adapter 'other' to save",
        lambda o: adapt.save_lora(o.tmp / "lora", with_lora(o), "other"),
    ),
    (
        "There is no file",
        lambda o: adapt.load_lora(o.parts, o.tmp / "none.safetensors"),
    ),
    ("There is no file", lambda o: adapt.load_lora(o.parts, o.own())),
    (
        "is not a .safetensors file",
        lambda o: adapt.load_lora(o.parts, o.own(a_ckpt="x") / "a.ckpt"),
    ),
    ("cannot be read", lambda o: adapt.load_lora(o.parts, o.own(a_safetensors="x"))),
    (
        "is a word and not a LoRA",
        lambda o: adapt.load_lora(o.parts, o.tensors(x=torch.zeros(2))),
    ),
    (
        "holds 2 .safetensors files",
        lambda o: adapt.load_lora(o.parts, o.own(a_safetensors="x", b_safetensors="x")),
    ),
    (
        "does not fit this UNet",
        lambda o: adapt.load_lora(
            o.parts, o.tensors(**{"x.dora_scale": torch.zeros(2)})
        ),
    ),
    (
        "scale must be a number",
        lambda o: adapt.load_lora(with_lora(o), lora(o), scale="1"),
    ),
    (
        "scale must be a number",
        lambda o: adapt.load_lora(with_lora(o), lora(o), scale=NAN),
    ),
    (
        "There is an adapter 'default' already",
        lambda o: adapt.load_lora(with_lora(o), lora(o)),
    ),
]
AREAS["checkpoints"] = [
    ("There is no model folder", lambda o: load_parts("nowhere")),
    ("There is no model folder", lambda o: find_folder("no/such/folder")),
    ("not by ''", lambda o: load_parts("")),
    ("not by None", lambda o: load_parts(None)),
    ("not by 7", lambda o: load_parts(7)),
    ("is no safetensors file", lambda o: load_parts(o.own(a_ckpt="x") / "a.ckpt")),
    (
        "cannot be read",
        lambda o: load_parts(o.own(a_safetensors="x") / "a.safetensors"),
    ),
    ("holds no model", lambda o: load_parts(o.tensors(x=torch.zeros(1)))),
    ("config", lambda o: load_parts(single(o))),
    ("There is no model folder sd-9", lambda o: load_parts(single(o), config="sd-9")),
    ("is missing", lambda o: load_parts(o.own(), device="cpu")),
    ("is missing", lambda o: load_parts(without(o, "unet/config.json"), device="cpu")),
    (
        "is missing",
        lambda o: load_parts(
            without(o, "vae/diffusion_pytorch_model.safetensors"), device="cpu"
        ),
    ),
    (
        "cannot be read",
        lambda o: load_parts(spoiled(o, "model_index.json", "{"), device="cpu"),
    ),
    (
        "no names and values",
        lambda o: load_parts(spoiled(o, "vae/config.json", "[]"), device="cpu"),
    ),
    (
        "could not be loaded",
        lambda o: load_parts(
            spoiled(o, "tokenizer/tokenizer_config.json", "{}"), device="cpu"
        ),
    ),
    ("tpu9", lambda o: load_parts(o.folder, device="tpu9")),
    ("cuda", lambda o: load_parts(o.folder, device="cuda:99")),
    ("device", lambda o: load_parts(o.folder, device=7.5)),
    (
        "float16 is too slow on the CPU",
        lambda o: load_parts(o.folder, device="cpu", dtype=torch.float16),
    ),
    ("dtype must be", lambda o: load_parts(o.folder, device="cpu", dtype="float32")),
    ("dtype must be", lambda o: load_parts(o.folder, device="cpu", dtype=torch.int64)),
    (
        "dtype must be",
        lambda o: load_parts(o.folder, device="cpu", dtype=torch.complex64),
    ),
]
AREAS["judge and recipe"] = [
    (
        "This judge does not know",
        lambda o: evaluate.judgments(narrow(o), FLAT, ["a red cat"]),
    ),
    ("must name one noun", lambda o: evaluate.judgments(o.judge, FLAT, ["a dragon"])),
    ("images must", lambda o: evaluate.judgments(o.judge, GRAY, ["a cat"])),
    (
        "64x64 pixels, not 32x64",
        lambda o: evaluate.judgments(o.judge, FLAT[..., :32], ["a cat"]),
    ),
    ("images must", lambda o: evaluate.pass_rate(o.judge, FLAT[:0], [])),
    ("There is no judge", lambda o: judge.load_scorer(o.own())),
    ("There is no judge", lambda o: judge.load_scorer("nowhere")),
    ("There is no stage 'gan'", lambda o: smoke(o).run("gan")),
    ("There is no stage None", lambda o: smoke(o).run(None)),
    ("There is no setting", lambda o: smoke(o, options={"epochs": 1}).run("vae")),
]
AREAS["commands"] = [
    (
        "Error: There is no model folder nowhere",
        lambda o: commands.generate_main(PROMPT, model="nowhere"),
    ),
    (
        "Error: There is no scheduler 'best'",
        lambda o: commands.generate_main(PROMPT, model=str(o.folder), scheduler="best"),
    ),
    (
        "Error: num_inference_steps",
        lambda o: commands.generate_main(PROMPT, steps=0, model=str(o.folder)),
    ),
    (
        "Error: guidance_scale",
        lambda o: commands.generate_main(PROMPT, guidance=NAN, model=str(o.folder)),
    ),
    (
        "Error: guidance_scale",
        lambda o: commands.generate_main(PROMPT, guidance=-2.0, model=str(o.folder)),
    ),
    (
        "Error: seed",
        lambda o: commands.generate_main(PROMPT, seed=-1, model=str(o.folder)),
    ),
    (
        "Error: ",
        lambda o: commands.generate_main(
            "", steps=1, out=str(o.tmp / "out"), model=str(o.folder)
        ),
    ),
    (
        "Error: ",
        lambda o: commands.generate_main(
            PROMPT, steps=1, out=str(o.own(a_txt="x") / "a.txt"), model=str(o.folder)
        ),
    ),
    ("Error: ", lambda o: commands.generate_main(PROMPT, model=str(single(o)))),
    (
        "Error: There is no budget 'night' ... smoke",
        lambda o: commands.train_main(budget="night"),
    ),
    (
        "Error: There is no stage 'gan' ... unet",
        lambda o: commands.train_main(stage="gan"),
    ),
    (
        "Error: There is no folder",
        lambda o: commands.train_main(data=str(o.tmp / "none")),
    ),
    ("Error: ... holds no pictures", lambda o: commands.train_main(data=str(o.own()))),
    (
        "Error: ... exists already",
        lambda o: commands.train_main(budget="smoke", out=str(o.own())),
    ),
    (
        "Error: seed",
        lambda o: commands.train_main(budget="smoke", seed=-1, out=str(o.tmp / "t1")),
    ),
    (
        "Error: mixed_precision",
        lambda o: commands.train_main(
            budget="smoke", precision="fp8", out=str(o.tmp / "t2")
        ),
    ),
    (
        "Error: workers",
        lambda o: commands.train_main(
            budget="smoke", workers=-1, out=str(o.tmp / "t3")
        ),
    ),
    (
        "Error: There is no model folder",
        lambda o: commands.evaluate_main(model="nowhere"),
    ),
    (
        "Error: ... cannot be written (it is a folder)",
        lambda o: commands.evaluate_main(model=str(o.folder), out=str(o.own())),
    ),
]


AREAS["widgets"] = [
    ("The prompt is empty", lambda o: tour(o, "")),
    ("The prompt is empty ... type what you want to see", lambda o: tour(o, "  ")),
    ("has never seen 'dragon', 'mauve'", lambda o: tour(o, "dragon mauve")),
    ("these words were cut", lambda o: tour(o, "a red cat " * 20)),
    ("prompt must be a text", lambda o: tour(o, None)),
    ("seed must be a whole number", lambda o: tour(o, seed=-1)),
    ("seed must be", lambda o: tour(o, seed=1.5)),
    ("guidance_scale must be", lambda o: tour(o, guidance="5")),
]

TABLE = [(area, *row) for area, rows in AREAS.items() for row in rows]


def cases():
    """All rows; of each area the first is fast."""
    for number, (area, words, call) in enumerate(TABLE):
        is_first = AREAS[area][0][1] is call
        marks = () if is_first else pytest.mark.slow
        yield pytest.param(words, call, marks=marks, id=f"{area} {number}: {words}")


@pytest.fixture(scope="module")
def bench(parts, tmp_path_factory):
    return Bench(parts, tmp_path_factory.mktemp("bad"))


def is_ours(error):
    """Was it raised by a line of our own, and not below it by a library?"""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return Path(last.filename).parent == Path(core.__file__).parent


def sentence(call, bench, capsys):
    """What is said of bad input: in an error, in a note, or by a command."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            call(bench)
        except SystemExit as stop:
            assert stop.code == 2
            return capsys.readouterr().err.splitlines()[-1]  # below the progress bars
        except (ValueError, OSError) as error:
            assert is_ours(error)
            return str(error)
    notes = [str(w.message) for w in caught if issubclass(w.category, PromptWarning)]
    notes += capsys.readouterr().out.splitlines()  # what a lesson's box prints
    assert notes, "accepted in silence"
    return notes[0]


@pytest.mark.parametrize("words, call", cases())
@pytest.mark.usefixtures("one_thread", "dead_network")
def test_bad_input_ends_in_a_sentence(bench, words, call, capsys):
    said = sentence(call, bench, capsys)
    pattern = ".*".join(re.escape(piece) for piece in words.split(" ... "))
    assert re.search(pattern, said), said
    assert "\n" not in said
    assert said.endswith(".")


def test_the_table_is_long():
    assert len(TABLE) >= 200
    assert len({inspect.getsource(call) for _, _, call in TABLE}) == len(TABLE)
