"""The whole stack by the clock: the supply of scenes, twins, and what a short run leaves."""

import json
import random
import time

import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import CLIPTokenizer

from sdlearn import gpu
from sdlearn.checkpoints import load_parts
from sdlearn.drawings import NOUNS
from sdlearn.evaluate import obeys
from sdlearn.gpu import Plan, train_on_gpu, twin_loss
from sdlearn.graphs import Trainer, run
from sdlearn.judge import Seen, load_scorer, roles
from sdlearn.pipeline import generate
from sdlearn.scenes import Scene, Thing, draw, instances, layout
from sdlearn.supply import Supply, mixed_scene, twin
from sdlearn.text import contrastive_loss, tiny_clip, tokenize
from sdlearn.world import caption, parse, split_of

from .conftest import SHIPPED, assert_identical, refused

SMALL = dict(
    vae_batch=2, clip_batch=2, unet_batch=2, test=2, chunk=8, scenes=16, saving=0
)


@pytest.fixture(scope="module")
def tokenizer():
    return CLIPTokenizer.from_pretrained(SHIPPED / "tokenizer")


@pytest.fixture(scope="module")
def supply(tokenizer):
    """Forty scenes that two processes drew."""
    with Supply(tokenizer, n=43, seed=5, words=3, chunk=8, processes=2) as supply:
        supply.wait_for(1000)
    return supply


def mixed_scenes(n):
    rng = random.Random("tests of the supply")
    return [mixed_scene(rng) for _ in range(n)]


# Twins


def perfectly_seen(scene):
    """What a judge says who errs in nothing."""
    figures = zip(layout(scene), instances(scene), roles(scene), strict=True)
    seen = [Seen(t.noun, t.color, role, f.x, f.y) for f, t, role in figures]
    return scene.place, seen


def is_true(text, scene):
    return all(obeys(perfectly_seen(scene), text).values())


def meaning(text):
    """What a text says, whichever of two things side by side it names first."""
    asked = parse(text)
    side_by_side = asked.relation in ("and", "next to")
    things = frozenset(asked.things) if side_by_side else asked.things
    return things, asked.relation, asked.place


def test_captions_are_true_and_twins_are_not():
    rng = random.Random(1)
    twins = 0
    for scene in mixed_scenes(400):
        assert is_true(caption(scene, rng), scene)
        other = twin(scene)
        if other:
            twins += 1
            texts = [caption(other, rng) for _ in range(8)]
            assert not [text for text in texts if is_true(text, scene)], scene
    assert twins > 150


def test_twins_never_mean_the_same():
    rng = random.Random(2)
    for scene in mixed_scenes(300):
        other = twin(scene)
        if other:
            ours = {meaning(caption(scene, rng)) for _ in range(8)}
            theirs = {meaning(caption(other, rng)) for _ in range(8)}
            assert not ours & theirs, scene


def bag(scene):
    """What a scene's captions may say of its things, in no order."""
    nouns = sorted(thing.noun for thing in scene.things)
    colors = sorted(str(thing.color) for thing in scene.things)
    return nouns, colors, scene.relation, scene.place


def test_twins_have_the_same_words_in_another_order():
    for scene in mixed_scenes(200):
        other = twin(scene)
        if other:
            assert bag(other) == bag(scene)
            assert other.things != scene.things


def test_no_twin_is_held_out():
    twins = [twin(scene) for scene in mixed_scenes(400)]
    assert {split_of(other) for other in twins if other} == {"train"}


@pytest.mark.parametrize("first, second", [("bird", "boat"), ("boat", "bird")])
def test_a_twin_that_would_be_held_out_is_left_out(first, second):
    """A bird above a boat belongs to training, a boat above a bird does not."""
    scene = Scene((Thing(first), Thing(second)), "above")
    turned = Scene((Thing(second), Thing(first)), "above")
    assert {split_of(scene), split_of(turned)} == {"train", "held-out"}
    expected = turned if split_of(turned) == "train" else None
    assert twin(scene) == expected


NO_TWIN = [
    Scene((Thing("star", "red", count=3),), None, "at night"),
    Scene((Thing("cat", "purple"), Thing("ball", "purple")), "next to"),
    Scene((Thing("horse", "brown"), Thing("monkey", "brown")), "and"),
]


@pytest.mark.parametrize("scene", NO_TWIN)
def test_no_twin_where_it_could_be_true(scene):
    assert twin(scene) is None


def test_natural_colors_do_not_change_owners():
    """A caption may leave them out, and be true then."""
    for scene in mixed_scenes(300):
        other = twin(scene)
        if other and scene.relation in ("and", "next to"):
            for thing in other.things:
                assert thing.color not in NOUNS[thing.noun].natural


# The supply


def test_mixed_scenes_are_of_the_training_split():
    scenes = mixed_scenes(500)
    assert {split_of(scene) for scene in scenes} == {"train"}
    pairs = sum(len(scene.things) == 2 for scene in scenes)
    assert 0.55 < pairs / 500 < 0.72


def test_whole_chunks_are_drawn(supply):
    assert supply.n == 40
    assert supply.count.item() == 40


def test_shared_memory_holds_what_the_seed_says(supply, tokenizer):
    """Chunks come in any order, but each scene with its own words."""
    scenes = [mixed_scene(random.Random(f"5 gpu {i}")) for i in range(40)]
    pixels = [torch.tensor(list(draw(s).getdata())).view(64, 64, 3) for s in scenes]
    found = []
    for row in range(40):
        picture = supply.pictures[row]
        same = [i for i in range(40) if torch.equal(picture, pixels[i].byte())]
        found += same
        for ids in supply.all_captions[row]:
            text = tokenizer.decode(ids, skip_special_tokens=True)
            assert is_true(text, scenes[same[0]])
    assert sorted(found) == list(range(40))


def test_twins_differ_where_there_are_some(supply, tokenizer):
    torch.manual_seed(0)
    captions, twins, differs = supply.with_twins(torch.arange(40))
    first = supply.all_captions[:, 0].long()
    assert_identical(twins[~differs], first[~differs])
    assert 10 < differs.sum() < 40
    assert (captions != first).any(1).sum() > 5, "other wordings come, too"


def test_rows_are_of_scenes_that_are_there(tokenizer):
    with Supply(tokenizer, n=16, words=2, chunk=8) as supply:
        supply.wait_for(8)
        assert supply.rows(1000).max() < supply.n
    at_the_end = supply.n
    supply.feed()
    assert supply.n == at_the_end, "a closed supply stays as it is"


def test_pictures_are_those_of_the_networks(supply):
    images = supply.images(torch.tensor([3, 3, 4]))
    assert images.shape == (3, 3, 64, 64)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert -1 <= images.min() < images.max() <= 1
    expected = supply.pictures[3, 10, 20] / 127.5 - 1
    assert_identical(images[0, :, 10, 20], expected)


def test_no_fork_is_one_sentence(tokenizer, monkeypatch):
    methods = "sdlearn.supply.multiprocessing.get_all_start_methods"
    monkeypatch.setattr(methods, lambda: ["spawn"])
    with refused("Linux"):
        Supply(tokenizer, n=8)


# CLIP with twins


def test_twin_loss_without_twins_is_that_of_the_lesson(tokenizer, supply):
    torch.manual_seed(0)
    clip = tiny_clip(tokenizer)
    rows = torch.arange(6)
    images, captions = supply.images(rows), supply.all_captions[rows, 0].long()
    none = torch.zeros(6, dtype=torch.bool)
    ours = twin_loss(clip, images, captions, supply.all_twins[rows].long(), none)
    lessons = contrastive_loss(clip, (images, captions))
    torch.testing.assert_close(ours, lessons, rtol=1e-4, atol=1e-5)


def test_another_pictures_twin_does_not_matter(tokenizer, supply):
    torch.manual_seed(0)
    clip = tiny_clip(tokenizer)
    images, captions = supply.images(torch.arange(3)), supply.all_captions[:3, 0].long()
    one = torch.tensor([True, False, False])
    texts = ["two fish", "a big green car", "a temple in the snow", "an owl"]
    a, b, c, d = tokenize(tokenizer, texts).input_ids
    before = twin_loss(clip, images, captions, torch.stack([a, b, c]), one)
    same = twin_loss(clip, images, captions, torch.stack([a, d, b]), one)
    other = twin_loss(clip, images, captions, torch.stack([d, b, c]), one)
    torch.testing.assert_close(before, same)
    assert abs(before - other) > 1e-6


# Trainers


class Empty:
    """A supply without scenes."""

    def feed(self):
        pass


def one_number(start=0.0):
    number = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(number.weight, start)
    return number


def trainer_of(number, **options):
    return Trainer(
        "x", [(number, 0.1)], lambda: number.weight.square().mean(), **options
    )


def test_rates_follow_the_clock():
    a, b = one_number(), one_number()
    loss = lambda: (a.weight * b.weight).square().mean()  # noqa: E731
    trainer = Trainer("x", [(a, 0.1), (b, 0.02)], loss)
    rates = []
    for progress in (0.0, 0.01, 0.02, 0.5, 0.9, 1.0, 1.3):
        trainer.launch(progress)
        first, second = [group["lr"].item() for group in trainer.optimizer.param_groups]
        assert second == pytest.approx(first / 5, rel=1e-5)
        rates.append(first / 0.1)
    expected = [0.005, 0.505, 0.999, 0.5, 0.0245, 0.0, 0.0]
    assert rates == pytest.approx(expected, abs=2e-3)


def test_average_forgets_the_first_weights():
    number = one_number(8.0)
    trainer = trainer_of(number, decay=0.5)
    trainer.launch(0.0)
    assert trainer.average[0].item() > number.weight.item()
    trainer.launch(0.06)
    assert trainer.average[0].item() == number.weight.item()
    trainer.launch(0.5)
    average = trainer.average[0].item()
    trainer.finish()
    assert number.weight.item() == average
    assert number.weight.grad is None
    assert not number.training


def test_every_trainer_has_its_turn(capsys):
    leader, follower = trainer_of(one_number(1.0)), trainer_of(one_number(1.0), every=4)
    run([leader, follower], Empty(), until=time.monotonic() + 0.3)
    assert abs(follower.steps - leader.steps / 4) <= 1
    assert len(leader.curve) == len(follower.curve) == 1
    assert f"{leader.steps} steps" in capsys.readouterr().out


def test_a_time_that_is_over_gives_one_step():
    leader, follower = trainer_of(one_number(1.0)), trainer_of(one_number(1.0), every=4)
    run([leader, follower], Empty(), until=time.monotonic() - 5)
    assert leader.steps >= 1
    assert follower.steps >= 1


class NothingIsAsked(TorchDispatchMode):
    """An error for all that makes the CPU wait for a GPU, which no graph can record."""

    WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "item")

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        name = operator.__name__.split(".")[0]
        assert name not in self.WAITS, name
        if name == "index":
            masks = [i for i in args[1] if i is not None and i.dtype == torch.bool]
            assert not masks, "how many are true?"
        return operator(*args, **(kwargs or {}))


ASKS = {
    "item": lambda x: x.sum().item(),
    "if": lambda x: bool(x.max() > 0),
    "mask": lambda x: x[x > 0],
    "nonzero": lambda x: x.nonzero(),
}


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS.keys())
def test_the_watch_sees_what_asks(ask):
    with pytest.raises(AssertionError), NothingIsAsked():
        ask(torch.randn(3, 4))


@pytest.mark.slow
def test_no_step_asks_for_a_number(supply, monkeypatch):
    asked = []

    def step_once(trainers, supply, until):
        for trainer in trainers:
            trainer._step()  # the libraries may ask at their first call
            trainer.optimizer.zero_grad()
            with NothingIsAsked():
                trainer._step()
            trainer.finish()
            asked.append(trainer.name)

    monkeypatch.setattr(gpu, "run", step_once)
    plan = Plan(**SMALL)
    vae, clip, _ = gpu._learn_to_see(supply, plan, 0)
    latents = gpu._encode_all(vae, supply)
    gpu._learn_to_draw(supply, vae, clip, latents, plan, 0)
    assert asked == ["vae", "clip", "unet", "decoder"]


def test_latents_are_scaled(supply):
    torch.manual_seed(0)
    vae = gpu.tiny_vae()
    latents = gpu._encode_all(vae, supply)
    assert latents.mean.shape == latents.std.shape == (40, 4, 8, 8)
    drawn = latents.sample(torch.arange(40))
    assert drawn.std().item() == pytest.approx(1, abs=0.05)
    with torch.no_grad():
        raw = vae.encode(supply.images(torch.arange(3))).latent_dist.mean
    scaled = raw * vae.config.scaling_factor
    torch.testing.assert_close(latents.mean[:3], scaled, rtol=1e-3, atol=1e-4)


def test_text_tower_learns_along_with_the_unet(supply, tokenizer):
    torch.manual_seed(0)
    text = gpu.text_tower_of(tiny_clip(tokenizer))
    unet = gpu.tiny_unet()
    latents = gpu._Latents(torch.randn(40, 4, 8, 8), torch.full((40, 4, 8, 8), 0.1))
    loss = gpu._unet_objective(unet, text, latents, supply, b=3)()
    assert loss.item() == pytest.approx(1, abs=0.5), "noise is what it should find"
    loss.backward()
    for network in (text, unet):
        for name, weight in network.named_parameters():
            assert weight.grad is not None and weight.grad.any(), name


# The whole


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("gpu") / "deep/tiny"
    recipe = train_on_gpu(out, seconds=3, first=0.5, seed=3, **SMALL)
    return out, recipe


@pytest.mark.slow
def test_short_run_gives_a_model_that_draws(trained):
    out, _ = trained
    ours = generate(
        load_parts(out, device="cpu"), "a cat", num_inference_steps=2, seed=0
    )
    assert ours.images[0].size == (64, 64)
    stock = StableDiffusionPipeline.from_pretrained(out)
    theirs = stock("a cat", num_inference_steps=2, height=64, width=64).images[0]
    assert theirs.size == (64, 64)


@pytest.mark.slow
def test_recipe_tells_what_was_done(trained):
    out, recipe = trained
    assert json.loads((out / "recipe.json").read_text(encoding="utf-8")) == recipe
    assert recipe["seed"] == 3
    assert recipe["scenes_drawn"] in (8, 16)
    assert recipe["steps"].keys() == {"vae", "clip", "unet", "decoder"}
    assert min(recipe["steps"].values()) >= 1
    assert recipe["losses"].keys() == recipe["steps"].keys()
    assert recipe["vae_psnr"] > 0


@pytest.mark.slow
def test_folder_has_the_files_of_the_shipped_one(trained):
    out, _ = trained
    for part in ("clip", "text_encoder", "unet", "vae"):
        (path,) = (out / part).glob("*.safetensors")
        ours, theirs = load_file(path), load_file(SHIPPED / part / path.name)
        shapes = {name: weight.shape for name, weight in theirs.items()}
        assert {name: weight.shape for name, weight in ours.items()} == shapes
        assert {weight.dtype for weight in ours.values()} == {torch.float16}


@pytest.mark.slow
def test_judge_is_the_shipped_one(trained):
    out, _ = trained
    ours, theirs = load_scorer(out / "scorer"), load_scorer()
    assert ours.words == theirs.words
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert_identical(a, b)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["_learn_to_draw", "load_scorer"])
def test_interrupt_leaves_nothing(tmp_path, monkeypatch, where):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(gpu, where, interrupt)
    with pytest.raises(KeyboardInterrupt):
        train_on_gpu(tmp_path / "tiny", seconds=0, **SMALL)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_there_is_refused(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with refused("exists already"):
        train_on_gpu(tmp_path, seconds=0, **SMALL)
    assert (tmp_path / "mine.txt").read_text() == "precious"


BAD_PLANS = [
    dict(seconds=float("nan")),
    dict(seconds=-1),
    dict(first=1.5),
    dict(scenes=0),
    dict(words=1),
    dict(unet_batch=2.5),
    dict(chunk=0),
    dict(seed="x"),
]


@pytest.mark.parametrize("change", BAD_PLANS, ids=str)
def test_bad_plan_is_one_sentence(change):
    with refused(next(iter(change))):
        Plan(**change)
