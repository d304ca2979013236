"""The judge, its rules, and the scores that the package ships."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import CLIPModel

import sdlearn
from sdlearn.checkpoints import load_parts
from sdlearn.core import make_generator, randn, to_tensor
from sdlearn.drawings import NOUNS, noun
from sdlearn.evaluate import (
    TASKS,
    drawings,
    evaluate,
    frechet_distance,
    judgments,
    obeys,
    pass_rate,
    score_table,
    task_scenes,
)
from sdlearn.judge import (
    Scorer,
    Seen,
    load_scorer,
    perceive,
    roles,
    save_scorer,
    scored_scenes,
    scorer_loss,
    scorer_target,
)
from sdlearn.latents import decode, encode
from sdlearn.scenes import draw, extent, instances, layout
from sdlearn.world import caption, parse, sample_scene, split_of

from .conftest import sentence

FOLDER = Path(sdlearn.__file__).parent / "tiny_sd"


def scenes(n, seed, part=None):
    rng = random.Random(seed)
    found = [sample_scene(rng, part) for _ in range(n)]
    return found, [caption(s, rng) for s in found]


def what_is_there(scene):
    seen = []
    each = zip(instances(scene), roles(scene), layout(scene), strict=True)
    for thing, role, figure in each:
        middle = figure.y - extent(figure)[1] / 2
        seen.append(Seen(thing.noun, thing.color, role, figure.x, middle))
    return scene.place, seen


def test_rules_accept_every_true_caption():
    for scene, prompt in zip(*scenes(2000, "rules")):
        seen = what_is_there(scene)
        assert all(obeys(seen, prompt).values()), (prompt, seen)


@pytest.mark.parametrize(
    "prompt, wrong",
    [
        ("two red cats at the beach", "count"),
        ("a blue cat at the beach", "color"),
        ("a red cat in the snow", "place"),
        ("a horse at the beach", "noun"),
        ("a red cat riding a ball", "relation"),
        ("a ball above a red cat", "relation"),
        ("a red cat to the right of a ball", "relation"),
    ],
)
def test_rules_name_what_is_wrong(prompt, wrong):
    cat = Seen("cat", "red", "beside", 0.3, 0.5)
    ball = Seen("ball", "blue", "beside", 0.7, 0.5)
    seen = "at the beach", [cat, ball]
    assert not obeys(seen, prompt)[wrong]
    right = "a red cat to the left of a blue ball at the beach"
    assert all(obeys(seen, right).values())


def test_targets_have_a_peak_for_each_figure():
    for scene in scenes(200, "targets")[0]:
        noun, color, role, place = scorer_target(scene)
        assert (noun == 1).sum() == len(instances(scene))
        assert 0 < (color >= 0).sum() == (role >= 0).sum() <= 12 * len(instances(scene))


@pytest.fixture(scope="module")
def judge():
    return load_scorer()


def test_judge_passes_what_is_right_and_little_else(judge):
    found, prompts = scenes(1000, "unseen by the judge")
    sample = to_tensor([draw(s) for s in found])
    assert pass_rate(judge, sample, prompts) >= 0.98
    assert pass_rate(judge, sample, prompts[1:] + prompts[:1]) <= 0.02


def test_judge_passes_round_trips(judge):
    vae = load_parts("tiny", device="cpu").vae
    found, prompts = scenes(400, "unseen round trips")
    drawn = to_tensor([draw(s) for s in found])
    sample = torch.cat([decode(vae, encode(vae, o)) for o in drawn.split(50)])
    assert pass_rate(judge, sample, prompts) >= 0.95


def test_judge_sees_mirrors(judge):
    pairs = task_scenes("position", "train", 60)
    found = [(p, s) for p, s in pairs if s.relation in ("left of", "right of")]
    mirrored = drawings([s for _, s in found]).flip(3)
    assert pass_rate(judge, mirrored, [p for p, _ in found]) < 0.1


def test_judge_is_small_and_untrained_ones_see_nothing():
    file = FOLDER / "scorer/model.safetensors"
    assert file.stat().st_size < 3e6
    assert load_file(file).keys() == Scorer().state_dict().keys()
    torch.manual_seed(0)
    nothing = torch.zeros(2, 3, 64, 64)
    assert [figures for _, figures in perceive(Scorer(), nothing)] == [[], []]


def test_a_saved_judge_says_the_same(judge, tmp_path):
    save_scorer(tmp_path / "scorer", judge)
    loaded = load_scorer(tmp_path / "scorer")
    assert loaded.words == judge.words
    images = drawings([s for _, s in task_scenes("counting", "train", 4)])
    for ours, theirs in zip(judge(images), loaded(images), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert perceive(judge, images) == perceive(loaded, images)


def test_a_folder_without_a_judge_is_named(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        load_scorer(tmp_path)
    assert "config.json" in sentence(error)


@pytest.fixture
def dragon():
    """A noun that the world learns after the judge was trained."""

    @noun(natural=("green",))
    def dragon(p):
        p.box(0.2, 0.2, 0.8, 0.8)

    yield "dragon"
    del NOUNS["dragon"]


def test_a_new_noun_does_not_change_the_judge(judge, dragon):
    assert load_scorer().words == judge.words
    assert dragon not in judge.words["noun"]
    images = torch.zeros(1, 3, 64, 64)
    with pytest.raises(ValueError, match="This judge does not know 'dragon'") as error:
        judgments(judge, images, ["a dragon at the beach"])
    assert "panda" in sentence(error)
    assert pass_rate(judge, images, ["a cat at the beach"]) == 0


def test_a_new_judge_learns_a_new_noun(dragon):
    young = Scorer()
    assert young.words["noun"][-1] == dragon
    batch = torch.utils.data.default_collate([scored_scenes()[i] for i in range(2)])
    assert batch[1].shape == (2, 21, 16, 16)
    assert scorer_loss(young, batch, make_generator(0)).isfinite()


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("part", ["train", "held-out"])
def test_tasks_keep_to_their_split(task, part):
    found = task_scenes(task, part, 20)
    assert found == task_scenes(task, part, 20)
    assert len({p for p, _ in found}) == 20
    for prompt, scene in found:
        assert split_of(parse(prompt)) == part == split_of(scene)
        assert all(obeys(what_is_there(scene), prompt).values())


def test_frechet_distance():
    a = randn((400, 5), make_generator(0))
    b = randn((300, 5), make_generator(1)) * torch.arange(1, 6) + 1
    gap = (a.mean(0) - b.mean(0)).square().sum()
    # the symmetric form of the same formula, by numpy: Tr (A^1/2 B A^1/2)^1/2
    w, v = np.linalg.eigh(a.double().T.cov())
    root = v @ np.diag(np.sqrt(w)) @ v.T
    inner = root @ b.double().T.cov().numpy() @ root
    overlap = np.sqrt(np.linalg.eigvalsh(inner)).sum()
    expected = float(gap + a.T.cov().trace() + b.T.cov().trace()) - 2 * overlap
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-4)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)


def test_the_world_itself_scores_high(judge):
    """The painter here is the world, so what is lost is the judge's own error."""
    scene_of = {}
    for task in TASKS:
        for part in ("train", "held-out"):
            scene_of |= dict(task_scenes(task, part, 5))

    def paint(prompts, seed):
        return drawings([scene_of[p] for p in prompts])

    clip = CLIPModel.from_pretrained(FOLDER / "clip", dtype=torch.float32).eval()
    tokenizer = load_parts("tiny", device="cpu").tokenizer
    result = evaluate(paint, judge, clip, tokenizer, n=5, batch_size=3)
    for measured in result.values():
        assert measured["mean"] >= 0.9
        assert measured["frechet_distance"] == pytest.approx(0, abs=1e-4)
    assert all(f"{task} " in score_table(result) for task in TASKS)


def test_shipped_scores_are_complete():
    scores = json.loads((FOLDER / "scores.json").read_text(encoding="utf-8"))
    for part in ("train", "held-out"):
        tasks = scores[part]["tasks"]
        assert set(tasks) == set(TASKS)
        assert {t["n"] for t in tasks.values()} == {100}
        mean = np.mean([t["score"] for t in tasks.values()])
        assert scores[part]["mean"] == pytest.approx(mean)
