"""The judge, its rules, and the scores that the package ships."""

import json
import math
import random
from collections import Counter

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.utils.data import default_collate

from sdlearn.core import make_generator, randn, to_tensor
from sdlearn.drawings import noun
from sdlearn.evaluate import (
    evaluate,
    frechet_distance,
    judgments,
    obeys,
    paint_tasks,
    pass_rate,
    score_pictures,
    score_table,
    wilson_interval,
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
from sdlearn.tasks import (
    MIXED_TASKS,
    SPLITS,
    TASKS,
    Asked,
    chance_scenes,
    drawings,
    task_prompts,
    task_scenes,
)
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


BESIDE = ("and", "next to")
PAIRS = ("two nouns", "color binding", "position", "interaction")
each_part = pytest.mark.parametrize("part", SPLITS)


@pytest.mark.parametrize("mixed", [False, True])
@each_part
def test_tasks_keep_to_their_split(part, mixed):
    for task in MIXED_TASKS if mixed else TASKS:
        found = task_scenes(task, part, 20, mixed=mixed)
        assert found == task_scenes(task, part, 20, mixed=mixed)
        assert len({prompt for prompt, _ in found}) == 20
        for prompt, scene in found:
            assert split_of(parse(prompt)) == part == split_of(scene)
            assert all(obeys(what_is_there(scene), prompt).values())


def named_by(task, asked):
    """Does a prompt ask for what the task is named for, and for nothing else?"""
    colors = [thing.color for thing in asked.things]
    one, other = asked.things[0], asked.things[-1]
    two, count = len(asked.things) == 2, one.count
    alone = not two and count == 1
    plain = two and not any(colors)
    return {
        "one noun": alone and not one.color,
        "two nouns": plain and asked.relation in BESIDE,
        "counting": not two and count > 1,
        "colors": alone and bool(one.color),
        "color binding": two
        and all(colors)
        and one.color != other.color
        and asked.relation in BESIDE,
        "position": plain
        and asked.relation in ("left of", "right of", "above", "below"),
        "interaction": plain and asked.relation in ("riding", "sitting on", "eating"),
    }[task]


@each_part
def test_a_task_measures_its_name(part):
    for task in TASKS:
        for prompt, _ in task_scenes(task, part, 15, seed=5):
            asked = parse(prompt)
            assert [name for name in TASKS if named_by(name, asked)] == [task], prompt


@pytest.mark.parametrize("n", [1, 6, 11, 24])
def test_relations_have_equal_shares_in_both_parts(n):
    for task in PAIRS:
        mixes = []
        for part in SPLITS:
            found = task_scenes(task, part, n)
            mixes.append(Counter(parse(prompt).relation for prompt, _ in found))
        assert mixes[0] == mixes[1]
        assert mixes[0].total() == n
        asked = [mixes[0][relation] for relation in TASKS[task]]
        assert max(asked) - min(asked) == (n % len(TASKS[task]) > 0)


def test_mixed_tasks_are_those_of_older_scores():
    """Prompts that scores of six tasks were measured with, taken down at that time."""
    older = {
        ("two nouns", "train"): "a drawing of a car next to a fish at sunset",
        (
            "position",
            "held-out",
        ): "a photo of a temple to the left of an elephant at night",
        (
            "color binding",
            "train",
        ): "a white cat to the left of a purple bird in the snow",
        ("color binding", "held-out"): "there is a big green ball and a brown cat",
        ("counting", "train"): "three white apples in the river",
        ("colors", "held-out"): "an orange elephant in the desert",
    }
    for (task, part), prompt in older.items():
        assert task_scenes(task, part, 4, mixed=True)[3][0] == prompt


def test_all_prompts_of_an_evaluation():
    asked = task_prompts(3)
    groups = Counter((one.part, one.task) for one in asked)
    assert groups == {(part, task): 3 for part in SPLITS for task in TASKS}
    assert asked == task_prompts(3)
    mixed = task_prompts(2, mixed=True)
    assert list(dict.fromkeys(one.task for one in mixed)) == list(MIXED_TASKS)


@pytest.mark.parametrize(
    "task, expected",
    [
        ("one noun", 1 / 20),
        ("two nouns", 1 / 20),
        ("counting", 1 / 3),
        ("colors", 1 / 10),
        ("color binding", 1 / 2),
        ("position", 1 / 2),
    ],
)
def test_chance_leaves_only_the_task_to_a_lot(task, expected):
    """By the rules alone, with a judge that makes no mistakes."""
    passed, wrong = [], Counter()
    for part in SPLITS:
        prompts, scenes = zip(*task_scenes(task, part, 60), strict=True)
        lots = chance_scenes(task, list(scenes))
        assert lots == chance_scenes(task, list(scenes))
        for prompt, scene in zip(prompts, lots, strict=True):
            answers = obeys(what_is_there(scene), prompt)
            passed.append(all(answers.values()))
            wrong.update(key for key, right in answers.items() if not right)
    assert sum(passed) / len(passed) == pytest.approx(expected, abs=0.06)
    assert not wrong["place"]
    about = {"counting": "count", "colors": "color", "color binding": "color"}
    if task in about:
        assert set(wrong) == {about[task]}
    if task == "position":
        assert set(wrong) == {"relation"}


def test_chance_of_an_interaction_is_what_can_be_drawn():
    """Who can neither ride nor be ridden cannot be drawn so, and is not asked to."""
    for part in SPLITS:
        prompts, scenes = zip(*task_scenes("interaction", part, 30), strict=True)
        lots = chance_scenes("interaction", list(scenes))
        assert len(drawings(lots)) == 30
        assert len({lot.relation for lot in lots}) >= 7
        for scene, lot in zip(scenes, lots, strict=True):
            assert lot.things == scene.things and lot.place == scene.place


@pytest.mark.parametrize(
    "passed, n, low, high",
    [
        (0, 10, 0.0, 0.2775),
        (4, 4, 0.5101, 1.0),
        (15, 148, 0.0624, 0.1605),
        (81, 263, 0.2553, 0.3662),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_intervals_are_those_in_print(passed, n, low, high):
    """Newcombe 1998, two-sided intervals for the single proportion, table I, method 3."""
    interval = wilson_interval(passed, n)
    assert interval == pytest.approx((low, high), abs=6e-5)


def test_intervals_solve_their_equation():
    for passed, n in ((0, 7), (3, 7), (7, 7), (93, 100)):
        for bound in wilson_interval(passed, n, z=2):
            error = math.sqrt(bound * (1 - bound) / n)
            assert abs(passed / n - bound) == pytest.approx(2 * error, abs=1e-9)
    assert wilson_interval(7, 7)[1] == 1 and wilson_interval(0, 7)[0] == 0


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


def scenes_of(asked):
    return {one.prompt: one.scene for one in asked}


def test_the_world_itself_scores_high(judge, shipped, shipped_clip):
    """The painter here is the world, so what is lost is the judge's own error."""
    scene_of = scenes_of(task_prompts(3))
    seeds = []

    def paint(prompts, seed):
        seeds.append((len(prompts), seed))
        return drawings([scene_of[prompt] for prompt in prompts])

    few = dict(n=3, batch_size=2)
    result = evaluate(paint, judge, shipped_clip, shipped.tokenizer, **few)
    assert seeds == [(2, 0), (1, 2)] * len(TASKS) * 2
    for measured in result.values():
        assert measured["low"] < measured["mean"] <= 1 < measured["high"] + 0.05
        assert measured["mean"] >= 0.9
        assert measured["frechet_distance"] == pytest.approx(0, abs=1e-4)
        for task in measured["tasks"].values():
            assert task["score"] == task["ceiling"] > task["floor"]
    table = score_table(result)
    assert max(map(len, table.splitlines())) <= 88
    for task in TASKS:
        assert f"{task} " in table


def test_known_pictures_get_known_scores(judge, shipped, shipped_clip):
    """Of each relation the first prompt gets its own picture, the second one of grass."""
    asked = [one for one in task_prompts(8) if one.task == "position"]
    right = drawings([one.scene for one in asked])
    nothing = drawings([parse("a ball on the grass")])[0]
    seen = Counter()
    images, expected = [], []
    for one, image in zip(asked, right, strict=True):
        key = one.part, parse(one.prompt).relation
        seen[key] += 1
        expected.append(seen[key] == 1)
        images.append(image if seen[key] == 1 else nothing)
    tokenizer = shipped.tokenizer
    result = score_pictures(judge, shipped_clip, tokenizer, asked, torch.stack(images))
    for measured in result.values():
        task = measured["tasks"]["position"]
        assert task["score"] == measured["mean"] == 0.5
        assert (task["low"], task["high"]) == wilson_interval(4, 8)
        assert (measured["low"], measured["high"]) == pytest.approx(
            wilson_interval(4, 8)
        )
        assert set(task["relations"]) == set(TASKS["position"])
        for share in task["relations"].values():
            assert (share["score"], share["n"]) == (0.5, 2)
            assert (share["low"], share["high"]) == wilson_interval(1, 2)


@pytest.mark.parametrize("n", [1, 0, -2, 2.5, "3"])
def test_too_few_prompts_are_refused_before_anything_is_drawn(n):
    with refused("n must be a whole number of at least 2", repr(n)):
        evaluate(None, None, None, None, n=n)


def test_one_prompt_of_a_task_has_no_floor(judge, shipped, shipped_clip):
    asked = [Asked("train", "colors", *task_scenes("colors", "train", 3)[0])]
    images = drawings([one.scene for one in asked])
    with refused("One prompt of 'colors' has no floor: ask two or more."):
        score_pictures(judge, shipped_clip, shipped.tokenizer, asked, images)


def test_seeds_begin_anew_with_each_task():
    asked = [
        Asked(part, task, f"{part} {task} {i}", None)
        for part in ("train", "held-out")
        for task, n in (("colors", 3), ("position", 1))
        for i in range(n)
    ]

    def paint(prompts, seed):
        return torch.full((len(prompts), 3, 64, 64), float(seed))

    painted = list(paint_tasks(paint, asked, batch_size=2))
    assert sum((group for group, _ in painted), []) == asked
    seeds = [images[:, 0, 0, 0].tolist() for _, images in painted]
    assert seeds == [[0, 0, 2], [0]] * 2


def test_a_picture_too_few_is_noticed(judge, shipped, shipped_clip):
    asked = [
        Asked("train", "colors", *pair) for pair in task_scenes("colors", "train", 3)
    ]
    images = drawings([one.scene for one in asked[1:]])
    with pytest.raises(ValueError):
        score_pictures(judge, shipped_clip, shipped.tokenizer, asked, images)


@pytest.mark.slow
def test_floor_chance_and_ceiling_of_all_prompts(judge, shipped, shipped_clip):
    asked = task_prompts(50)
    images = drawings([one.scene for one in asked], 1)
    result = score_pictures(judge, shipped_clip, shipped.tokenizer, asked, images)
    for measured in result.values():
        for name, task in measured["tasks"].items():
            assert task["ceiling"] >= 0.94, name
            assert task["score"] >= 0.94, name
            assert task["floor"] <= (0.35 if name == "one noun" else 0.06), name
            assert task["floor"] < task["chance"] + 0.25 < task["ceiling"], name


def test_shipped_scores_are_complete():
    scores = json.loads((SHIPPED / "scores.json").read_text(encoding="utf-8"))
    for part in ("train", "held-out"):
        tasks = scores[part]["tasks"]
        assert set(tasks) == set(TASKS)
        assert {task["n"] for task in tasks.values()} == {100}
        for name, task in tasks.items():
            passed = round(100 * task["score"])
            bounds = task["low"], task["high"]
            assert bounds == pytest.approx(wilson_interval(passed, 100))
            assert task["floor"] < task["ceiling"] and 0 < task["chance"] < 1
            asked = {relation for relation in TASKS[name] if relation}
            assert set(task["relations"]) == asked
            counted = [share["n"] for share in task["relations"].values()]
            assert sum(counted) in (0, 100)
        mean = np.mean([task["score"] for task in tasks.values()])
        assert scores[part]["mean"] == pytest.approx(mean)
