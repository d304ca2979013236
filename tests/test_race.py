"""The race: what an entry must be, and the table that it gets."""

import json

import pytest
import torch

from sdlearn import race
from sdlearn.evaluate import evaluate
from sdlearn.judge import load_scorer
from sdlearn.race import Entry, race_table, read_entries, read_entry, run_race
from sdlearn.tasks import Asked, drawings
from sdlearn.world import parse

from .conftest import refused


def entry(folder, seed=0, minutes=50, **further):
    """A folder that says how it was trained."""
    folder.mkdir()
    recipe = dict(seed=seed, seconds=dict(vae=600, unet=60 * minutes - 600))
    (folder / "recipe.json").write_text(json.dumps(recipe | further))
    return folder


def test_an_entry_says_seed_minutes_and_size(tmp_path):
    folder = entry(tmp_path / "a", seed=7)
    (folder / "unet").mkdir()
    (folder / "unet/model.safetensors").write_bytes(bytes(2_000_000))
    assert read_entry(folder) == Entry(folder, 7, 50, 2)


def test_an_hour_is_enough(tmp_path):
    assert read_entry(entry(tmp_path / "a", minutes=60)).minutes == 60
    with refused("took 61 minutes"):
        read_entry(entry(tmp_path / "b", minutes=61))


def test_other_pictures_are_refused(tmp_path):
    with refused("other pictures"):
        read_entry(entry(tmp_path / "a", data="folder mine"))


def test_settings_of_its_own_are_refused(tmp_path):
    folder = entry(tmp_path / "a")
    (folder / "settings.json").write_text("{}")
    with refused("has a settings.json"):
        read_entry(folder)


def test_large_weights_are_refused(tmp_path):
    folder = entry(tmp_path / "a")
    with open(folder / "model.safetensors", "wb") as file:
        file.truncate(26_000_000)
    with refused("has 26 MB of weights"):
        read_entry(folder)


@pytest.mark.parametrize("name", ["model.bin", "unet.ckpt", "x.pkl"])
def test_pickles_are_refused(tmp_path, name):
    folder = entry(tmp_path / "a")
    (folder / name).write_bytes(b"")
    with refused("may hold code"):
        read_entry(folder)


@pytest.mark.parametrize("missing", ["seed", "seconds"])
def test_a_recipe_without_its_figures_is_refused(tmp_path, missing):
    folder = entry(tmp_path / "a")
    recipe = json.loads((folder / "recipe.json").read_text())
    del recipe[missing]
    (folder / "recipe.json").write_text(json.dumps(recipe))
    with refused(f"has no {missing}"):
        read_entry(folder)


@pytest.mark.parametrize("seeds", [(0, 1), (0, 1, 1), (0, 1, 2, 2)])
def test_three_seeds_make_an_entry(tmp_path, seeds):
    folders = [entry(tmp_path / f"{i}", seed) for i, seed in enumerate(seeds)]
    with refused("Three models of three seeds"):
        read_entries(folders)


def test_another_judge_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(race, "_JUDGE", "0" * 64)
    with refused("is not the judge of the race"):
        run_race([], quick=True)


ASKED = {
    False: [("train", "colors"), ("held-out", "colors")],
    True: [("train", "position"), ("held-out", "position")],
}
SHARES = {"train colors": 0.8, "held-out colors": 0.6}
SHARES |= {"train position": 0.7, "held-out position": 0.9}


def test_the_stricter_ruler_counts(tmp_path, monkeypatch, capsys, parts):
    prompted = []

    def task_prompts(n, mixed):
        prompted.append(mixed)
        return [Asked(*names, " ".join(names), None) for names in ASKED[mixed]]

    def pass_rate(scorer, images, prompts):
        [prompt] = prompts
        return SHARES[prompt]

    def paint(prompts, seed):
        return torch.zeros(len(prompts), 3, 64, 64)

    monkeypatch.setattr(race, "task_prompts", task_prompts)
    monkeypatch.setattr(race, "pass_rate", pass_rate)
    monkeypatch.setattr(race, "painter", lambda parts: paint)
    monkeypatch.setattr(race, "load_parts", lambda folder: parts)
    run_race([entry(tmp_path / f"{i}", i) for i in range(3)], quick=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["train", "held-out", "minutes", "MB"]
    assert lines[1].split() == ["seed", "0", "0.70", "0.60", "50", "0.0"]
    assert lines[-2].split() == ["mean", "0.70", "0.60"]
    assert prompted == [False, True], "the prompts are made once for all models"


def test_a_score_is_that_of_an_evaluation(shipped_clip, shipped):
    """The same pictures, from the same prompts and seeds, and the same means."""
    painted = []

    def paint(prompts, seed):
        painted.append((tuple(prompts), seed))
        is_drawn = torch.tensor([len(prompt) % 2 for prompt in prompts])
        return (
            drawings([parse(prompt) for prompt in prompts])
            * is_drawn[:, None, None, None]
        )

    scorer = load_scorer()
    ours = race._lower_means(paint, scorer, race._rulers(3))
    asked_by_us = painted.copy()
    painted.clear()
    how = (scorer, shipped_clip, shipped.tokenizer, 3)
    theirs = [evaluate(paint, *how, mixed=mixed) for mixed in (False, True)]
    assert painted == asked_by_us
    for part, mean in ours.items():
        assert mean == pytest.approx(min(result[part]["mean"] for result in theirs))
        assert 0 < mean < 1


def test_seeds_that_lie_apart_are_seen(tmp_path):
    entries = [Entry(tmp_path, seed, 50, 1) for seed in range(3)]
    scores = [{"train": share} for share in (0.9, 0.8, 0.85)]
    assert race_table(entries, scores).splitlines()[-1].split()[-1] == "0.10"
