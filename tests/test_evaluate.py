"""The judge, its rules, and the scores that the package ships."""

import json
import random

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.utils.data import default_collate

from sdlearn.core import make_generator, randn, to_tensor
from sdlearn.drawings import noun
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

from .conftest import SHIPPED, refused


def scenes(n, seed):
    """Some scenes and their captions."""
    rng = random.Random(seed)
    found = [sample_scene(rng, None) for _ in range(n)]
    return found, [caption(scene, rng) for scene in found]


def what_is_there(scene):
    """What a judge without error would see."""
    seen = []
    each = zip(instances(scene), roles(scene), layout(scene), strict=True)
    for thing, role, figure in each:
        middle = figure.y - extent(figure)[1] / 2
        seen.append(Seen(thing.noun, thing.color, role, figure.x, middle))
    return scene.place, seen


def test_rules_accept_every_true_caption():
    for scene, prompt in zip(*scenes(2000, "rules"), strict=True):
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
        noun, color, role, _ = scorer_target(scene)
        figures = len(instances(scene))
        assert (noun == 1).sum() == figures
        assert 0 < (color >= 0).sum() == (role >= 0).sum() <= 12 * figures


@pytest.fixture(scope="module")
def judge():
    return load_scorer()


@pytest.mark.slow
def test_judge_passes_what_is_right_and_little_else(judge):
    found, prompts = scenes(1000, "unseen by the judge")
    sample = to_tensor([draw(scene) for scene in found])
    of_others = prompts[1:] + prompts[:1]
    assert pass_rate(judge, sample, prompts) >= 0.98
    assert pass_rate(judge, sample, of_others) <= 0.02


@pytest.mark.slow
def test_judge_passes_round_trips(judge, shipped):
    found, prompts = scenes(400, "unseen round trips")
    drawn = to_tensor([draw(scene) for scene in found])
    there_and_back = [
        decode(shipped.vae, encode(shipped.vae, some)) for some in drawn.split(50)
    ]
    assert pass_rate(judge, torch.cat(there_and_back), prompts) >= 0.95


def test_judge_sees_mirrors(judge):
    pairs = task_scenes("position", "train", 60)
    sideways = [pair for pair in pairs if pair[1].relation in ("left of", "right of")]
    prompts, found = zip(*sideways, strict=True)
    mirrored = drawings(found).flip(3)
    assert pass_rate(judge, mirrored, prompts) < 0.1


def test_judge_is_small_and_untrained_ones_see_nothing():
    file = SHIPPED / "scorer/model.safetensors"
    assert file.stat().st_size < 3e6
    assert load_file(file).keys() == Scorer().state_dict().keys()
    torch.manual_seed(0)
    nothing = torch.zeros(2, 3, 64, 64)
    assert [figures for _, figures in perceive(Scorer(), nothing)] == [[], []]


def named_and_placed(seen):
    """What stands in a picture, and where: numbers apart, since they are rounded."""
    place, figures = seen
    names = [(one.noun, one.color, one.role) for one in figures]
    middles = [(one.x, one.y) for one in figures]
    return (place, names), torch.tensor(middles)


def test_a_saved_judge_says_the_same(judge, tmp_path):
    save_scorer(tmp_path / "scorer", judge)
    loaded = load_scorer(tmp_path / "scorer")
    assert loaded.words == judge.words
    images = drawings([scene for _, scene in task_scenes("counting", "train", 4)])
    for ours, theirs in zip(judge(images), loaded(images), strict=True):
        torch.testing.assert_close(ours, theirs)
    seen, seen_again = perceive(judge, images), perceive(loaded, images)
    for one, two in zip(seen, seen_again, strict=True):
        names, middles = named_and_placed(one)
        same_names, same_middles = named_and_placed(two)
        assert names == same_names
        torch.testing.assert_close(middles, same_middles)


def test_a_folder_without_a_judge_is_named(tmp_path):
    with refused("config.json", error=FileNotFoundError):
        load_scorer(tmp_path)


@pytest.fixture
def dragon(nouns_restored):
    """A noun that the world learns after the judge was trained."""

    @noun(natural=("green",))
    def dragon(p):
        p.box(0.2, 0.2, 0.8, 0.8)

    return "dragon"


def test_a_new_noun_does_not_change_the_judge(judge, dragon):
    assert load_scorer().words == judge.words
    assert dragon not in judge.words["noun"]
    images = torch.zeros(1, 3, 64, 64)
    with refused("This judge does not know 'dragon'", "panda"):
        judgments(judge, images, ["a dragon at the beach"])
    assert pass_rate(judge, images, ["a cat at the beach"]) == 0


def test_a_new_judge_learns_a_new_noun(dragon):
    young = Scorer()
    assert young.words["noun"][-1] == dragon
    data = scored_scenes()
    batch = default_collate([data[0], data[1]])
    assert batch[1].shape == (2, 21, 16, 16)
    assert scorer_loss(young, batch, make_generator(0)).isfinite()


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("part", ["train", "held-out"])
def test_tasks_keep_to_their_split(task, part):
    found = task_scenes(task, part, 20)
    assert found == task_scenes(task, part, 20)
    assert len({prompt for prompt, _ in found}) == 20
    for prompt, scene in found:
        assert split_of(parse(prompt)) == part == split_of(scene)
        assert all(obeys(what_is_there(scene), prompt).values())


def root(matrix):
    """The symmetric square root of a covariance, by numpy."""
    values, vectors = np.linalg.eigh(matrix)
    return vectors @ np.diag(np.sqrt(values)) @ vectors.T


def test_frechet_distance():
    """Beside the symmetric form of the same formula: Tr (A^1/2 B A^1/2)^1/2."""
    a = randn((400, 5), make_generator(0))
    b = randn((300, 5), make_generator(1)) * torch.arange(1, 6) + 1
    gap = (a.mean(0) - b.mean(0)).square().sum().item()
    cov_a, cov_b = (features.double().T.cov().numpy() for features in (a, b))
    inner = root(cov_a) @ cov_b @ root(cov_a)
    overlap = np.sqrt(np.linalg.eigvalsh(inner)).sum()
    expected = gap + cov_a.trace() + cov_b.trace() - 2 * overlap
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-4)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)


def test_the_world_itself_scores_high(judge, shipped, shipped_clip):
    """The painter here is the world, so what is lost is the judge's own error."""
    scene_of = {}
    for task in TASKS:
        for part in ("train", "held-out"):
            scene_of |= dict(task_scenes(task, part, 5))

    def paint(prompts, seed):
        return drawings([scene_of[prompt] for prompt in prompts])

    few = dict(n=5, batch_size=3)
    result = evaluate(paint, judge, shipped_clip, shipped.tokenizer, **few)
    for measured in result.values():
        assert measured["mean"] >= 0.9
        assert measured["frechet_distance"] == pytest.approx(0, abs=1e-4)
    table = score_table(result)
    for task in TASKS:
        assert f"{task} " in table


def test_shipped_scores_are_complete():
    scores = json.loads((SHIPPED / "scores.json").read_text(encoding="utf-8"))
    for part in ("train", "held-out"):
        tasks = scores[part]["tasks"]
        assert set(tasks) == set(TASKS)
        assert {task["n"] for task in tasks.values()} == {100}
        mean = np.mean([task["score"] for task in tasks.values()])
        assert scores[part]["mean"] == pytest.approx(mean)
