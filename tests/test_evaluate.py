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
from sdlearn.core import make_generator, randn, to_tensor
from sdlearn.evaluate import (
    TASKS,
    Scorer,
    Seen,
    drawings,
    evaluate,
    frechet_distance,
    load_scorer,
    obeys,
    pass_rate,
    perceive,
    roles,
    score_table,
    scorer_target,
    task_scenes,
)
from sdlearn.latents import decode, encode
from sdlearn.pipeline import load_parts
from sdlearn.world import (
    caption,
    draw,
    extent,
    instances,
    layout,
    parse,
    sample_scene,
    split,
)

FOLDER = Path(sdlearn.__file__).parent / "tiny_sd"


def scenes(n, seed, part=None):
    rng = random.Random(seed)
    found = [sample_scene(rng, part) for _ in range(n)]
    return found, [caption(s, rng) for s in found]


def what_is_there(scene):
    figures = zip(instances(scene), roles(scene), layout(scene), strict=True)
    return scene.place, [
        Seen(t.noun, t.color, r, f.x, f.y - extent(f)[1] / 2) for t, r, f in figures
    ]


def test_rules_accept_every_true_caption():
    for scene, prompt in zip(*scenes(2000, "rules")):
        assert all(obeys(what_is_there(scene), prompt).values()), (
            prompt,
            what_is_there(scene),
        )


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
    seen = (
        "at the beach",
        [
            Seen("cat", "red", "beside", 0.3, 0.5),
            Seen("ball", "blue", "beside", 0.7, 0.5),
        ],
    )
    answers = obeys(seen, prompt)
    assert not answers[wrong]
    assert all(
        obeys(seen, "a red cat to the left of a blue ball at the beach").values()
    )


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
    sample = torch.cat(
        [
            decode(vae, encode(vae, o))
            for o in to_tensor([draw(s) for s in found]).split(50)
        ]
    )
    assert pass_rate(judge, sample, prompts) >= 0.95


def test_judge_sees_mirrors(judge):
    found = [
        (p, s)
        for p, s in task_scenes("position", "train", 60)
        if s.relation in ("left of", "right of")
    ]
    mirrored = drawings([s for _, s in found]).flip(3)
    assert pass_rate(judge, mirrored, [p for p, _ in found]) < 0.1


def test_judge_is_small_and_untrained_ones_see_nothing(judge):
    assert (FOLDER / "scorer/model.safetensors").stat().st_size < 3e6
    assert (
        load_file(FOLDER / "scorer/model.safetensors").keys()
        == Scorer().state_dict().keys()
    )
    torch.manual_seed(0)
    assert [
        figures for _, figures in perceive(Scorer(), torch.zeros(2, 3, 64, 64))
    ] == [[], []]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("part", ["train", "held-out"])
def test_tasks_keep_to_their_split(task, part):
    found = task_scenes(task, part, 20)
    assert found == task_scenes(task, part, 20) and len({p for p, _ in found}) == 20
    for prompt, scene in found:
        assert split(parse(prompt)) == part == split(scene)
        assert all(obeys(what_is_there(scene), prompt).values())


def test_frechet_distance():
    a, b = (
        randn((400, 5), make_generator(0)),
        randn((300, 5), make_generator(1)) * torch.arange(1, 6) + 1,
    )
    gap = (a.mean(0) - b.mean(0)).square().sum()
    # the symmetric form of the same formula, by numpy: Tr (A^1/2 B A^1/2)^1/2
    w, v = np.linalg.eigh(a.double().T.cov())
    root = v @ np.diag(np.sqrt(w)) @ v.T
    overlap = np.sqrt(
        np.linalg.eigvalsh(root @ b.double().T.cov().numpy() @ root)
    ).sum()
    assert frechet_distance(a, b) == pytest.approx(
        float(gap + a.T.cov().trace() + b.T.cov().trace()) - 2 * overlap, rel=1e-4
    )
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)


def test_the_world_itself_scores_high(judge):
    """The painter here is the world, so what is lost is the judge's own error."""
    scene_of = {
        p: s
        for task in TASKS
        for part in ("train", "held-out")
        for p, s in task_scenes(task, part, 5)
    }
    clip = CLIPModel.from_pretrained(FOLDER / "clip", dtype=torch.float32).eval()
    result = evaluate(
        lambda prompts, seed: drawings([scene_of[p] for p in prompts]),
        judge,
        clip,
        load_parts("tiny", device="cpu").tokenizer,
        n=5,
        batch_size=3,
    )
    for r in result.values():
        assert r["mean"] >= 0.9 and r["frechet_distance"] == pytest.approx(0, abs=1e-4)
    assert all(f"{task} " in score_table(result) for task in TASKS)


def test_shipped_scores_are_complete():
    scores = json.loads((FOLDER / "scores.json").read_text(encoding="utf-8"))
    for part in ("train", "held-out"):
        assert {t["n"] for t in scores[part]["tasks"].values()} == {100} and set(
            scores[part]["tasks"]
        ) == set(TASKS)
        assert scores[part]["mean"] == pytest.approx(
            np.mean([t["score"] for t in scores[part]["tasks"].values()])
        )
