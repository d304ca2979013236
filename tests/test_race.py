"""The race: what an entry must be, and the table that it gets."""

import json

import pytest

from sdlearn import race
from sdlearn.race import Entry, race_table, read_entries, read_entry, run_race

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


def test_the_stricter_ruler_counts(tmp_path, monkeypatch, capsys):
    def score(parts, n, mixed):
        means = (0.7, 0.9) if mixed else (0.8, 0.6)
        return dict(zip(("train", "held-out"), [dict(mean=m) for m in means]))

    monkeypatch.setattr(race, "score", score)
    monkeypatch.setattr(race, "load_parts", lambda folder: None)
    run_race([entry(tmp_path / f"{i}", i) for i in range(3)], quick=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["train", "held-out", "minutes", "MB"]
    assert lines[1].split() == ["seed", "0", "0.70", "0.60", "50", "0.0"]
    assert lines[-2].split() == ["mean", "0.70", "0.60"]


def test_seeds_that_lie_apart_are_seen(tmp_path):
    entries = [Entry(tmp_path, seed, 50, 1) for seed in range(3)]
    scores = [{"train": share} for share in (0.9, 0.8, 0.85)]
    assert race_table(entries, scores).splitlines()[-1].split()[-1] == "0.10"
