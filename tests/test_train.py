"""`sdlearn-train` from nothing to a pipeline folder: killed, resumed, on own pictures."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial

import pytest
from safetensors.torch import load_file

from sdlearn import clock as clock_module
from sdlearn import training as training_module
from sdlearn.checkpoints import load_parts
from sdlearn.clock import TrainingClock
from sdlearn.data import WorldData
from sdlearn.doctor import examine_folder
from sdlearn.judge import load_scorer
from sdlearn.pipeline import generate
from sdlearn.recipe import STAGES, Budget, Training

from .conftest import refused
from .train_command import COMMAND, PATIENCE, finish

# The command, which dies as if killed when four batches of the VAE are saved.
KILLED = """
import os
from sdlearn import training
from sdlearn.commands import train_main

save_state = training.save_state

def save_and_die(path, *state):
    save_state(path, *state)
    losses = state[-1]
    if path.name == "vae.safetensors" and len(losses) == 4:
        os._exit(9)

if __name__ == "__main__":
    training.save_state = save_and_die
    train_main()
"""


def batches_done(out, stage):
    path = out.with_name(f"{out.name}-training") / f"{stage}.safetensors"
    return len(load_file(path)["losses"])


def assert_stops(ended, *words):
    """A command has ended in one message for its user, which has these words."""
    code, text = ended
    assert code == 2, text
    assert "Traceback" not in text
    for word in words:
        assert word in text, text


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """The folder of a smoke training that was killed in the middle of its VAE."""
    script = tmp_path_factory.mktemp("killed") / "sdlearn-train.py"
    script.write_text(KILLED)
    out = tmp_path_factory.mktemp("train") / "tiny"
    command = [sys.executable, script]
    code, text = finish(out, "--budget", "smoke", command=command)
    assert code == 9, text
    assert not out.exists()
    assert batches_done(out, "vae") == 4
    return out


@pytest.fixture(scope="module")
def trained(killed):
    """What becomes of it when it is resumed."""
    code, text = finish(killed, "--budget", "smoke", "--resume")
    assert code == 0, text
    return killed


@pytest.mark.slow
def test_killed_training_resumes(trained):
    assert batches_done(trained, "vae") == 10


@pytest.mark.slow
def test_nothing_is_left_half_written(trained):
    assert not [path for path in trained.parent.rglob(".*") if path.is_file()]
    names = sorted(path.name for path in trained.parent.iterdir())
    assert names == ["tiny", "tiny-training"]


@pytest.mark.slow
def test_trained_folder_draws(trained):
    parts = load_parts(trained, device="cpu")
    result = generate(parts, "a red cat at the beach", num_inference_steps=2, seed=0)
    assert result.images[0].size == (64, 64)
    recipe = json.loads((trained / "recipe.json").read_text(encoding="utf-8"))
    assert recipe["budget"] == "smoke"
    assert recipe["vae_psnr"] > 5
    assert recipe["losses"].keys() == {"clip", "vae", "decoder", "unet"}


@pytest.mark.slow
def test_doctor_finds_nothing_wrong_with_it(trained):
    training = trained.with_name(f"{trained.name}-training")
    for folder in (trained, training):
        assert examine_folder(folder).findings == []


@pytest.mark.slow
def test_trained_folder_has_its_judge(trained):
    scorer = load_scorer(trained / "scorer")
    assert "panda" in scorer.words["noun"]


@pytest.mark.slow
def test_text_encoder_has_the_names_that_other_programs_read(trained):
    names = load_file(trained / "text_encoder/model.safetensors")
    assert all(name.startswith("text_model.") for name in names)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["clip", "text_encoder"])
def test_configs_name_one_dtype(trained, part):
    text = (trained / part / "config.json").read_text(encoding="utf-8")
    assert json.loads(text)["dtype"] == "float32"
    assert "float16" not in text


@pytest.mark.slow
def test_two_trainings_do_not_mix(trained):
    assert_stops(finish(trained, "--budget", "smoke"), "--resume")
    assert_stops(finish(trained, "--budget", "hour", "--resume"), "smoke")


@pytest.mark.slow
@pytest.mark.skipif(
    sys.platform == "win32", reason="PyTorch's launcher needs libuv there"
)
def test_two_processes_share_the_batches(tmp_path):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    command = [COMMAND, "--out", str(tmp_path / "x"), "--budget", "smoke"]
    subprocess.run(
        [*launcher, "--no-python", *command, "--stage", "decoder"],
        check=True,
        timeout=PATIENCE,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
    # One process takes 10 and 5; each of two takes as many as the other.
    assert batches_done(tmp_path / "x", "vae") == 10
    assert batches_done(tmp_path / "x", "decoder") == 6


@pytest.mark.slow
def test_nothing_else_is_replaced(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/picture.png").write_bytes(b"precious")
    assert_stops(finish(tmp_path / "mine", "--budget", "smoke"), "another --out")
    assert [path.name for path in tmp_path.rglob("*")] == ["mine", "picture.png"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "args, words",
    [
        (["--budget", "huge"], "budget"),
        (["--stage", "gan"], "stage"),
    ],
)
def test_wrong_names(tmp_path, args, words):
    assert_stops(finish(tmp_path / "x", *args), words)
    assert not list(tmp_path.iterdir())


BUDGET = Budget(clip=1, vae=1, decoder=1, unet=1, scenes=4, captions=50)


def test_nothing_is_trained_before_it_is_asked_for(tmp_path):
    training = Training(tmp_path / "training", BUDGET, WorldData())
    assert not training.results
    vars(training), repr(training)
    assert not list(tmp_path.iterdir())
    training.run("tokenizer")
    assert list(training.results) == ["tokenizer"]


def test_a_stage_makes_what_it_needs_first(tmp_path, monkeypatch):
    made = []

    def make(name, training, *needed):
        made.append((name, *needed))
        return name

    for name, stage in STAGES.items():
        pretended = replace(stage, make=partial(make, name))
        monkeypatch.setitem(STAGES, name, pretended)
    training = Training(tmp_path, BUDGET, WorldData())
    assert training.run("unet") == training.run("unet") == "unet"
    assert made == [
        ("tokenizer",),
        ("clip", "tokenizer"),
        ("vae",),
        ("latents", "vae"),
        ("unet", "tokenizer", "clip", "latents"),
    ]
    with refused("There is no stage 'gan'"):
        training.run("gan")


# Time


class Clock:
    """A clock that tests set."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(clock_module, "time", clock)
    return clock


def training_of(folder, seconds, clock, monkeypatch, checkpoint=True):
    """A training whose VAE takes so many seconds."""

    def make(training):
        clock.now += seconds
        if checkpoint:
            (folder / "vae.safetensors").touch()

    monkeypatch.setitem(STAGES, "vae", replace(STAGES["vae"], make=make))
    return Training(folder, BUDGET, WorldData())


def test_seconds_of_several_processes_add_up(tmp_path, clock, monkeypatch):
    for total in (30, 60, 90):
        training = training_of(tmp_path, 30, clock, monkeypatch)
        training.run("vae")
        assert training.seconds == {"vae": total}
        clock.now += 1000  # between two processes


def test_seconds_without_a_checkpoint_are_those_of_this_process(
    tmp_path, clock, monkeypatch
):
    for _ in range(2):
        training = training_of(tmp_path, 30, clock, monkeypatch, checkpoint=False)
        training.run("vae")
        assert training.seconds == {"vae": 30}
    assert not list(tmp_path.iterdir())


def test_seconds_are_not_written_at_each_step(tmp_path, clock):
    checkpoint = tmp_path / "vae.safetensors"
    checkpoint.touch()
    ticking = TrainingClock(checkpoint)
    kept = []
    for _ in range(12):
        clock.now += 1
        ticking.tick(1, None, None)
        kept.append(float(ticking.path.read_text()) if ticking.path.exists() else 0)
    assert kept == [0] * 4 + [5] * 5 + [10] * 3
    assert ticking.keep() == float(ticking.path.read_text()) == 12


class Killed(Exception):
    """The process ends here."""


def test_seconds_of_a_killed_process_count(tmp_path, clock, monkeypatch):
    """They are kept while it trains, and not only at its end."""
    budget = replace(BUDGET, vae=4)

    def slow(update):
        def later(*args):
            clock.now += 10
            if clock.now >= 1030 and not killed:
                killed.append(True)
                raise Killed
            return update(*args)

        return later

    killed = []
    monkeypatch.setattr(training_module, "_update", slow(training_module._update))
    with pytest.raises(Killed):
        Training(tmp_path, budget, WorldData()).run("vae")
    again = Training(tmp_path, budget, WorldData())
    again.run("vae")
    # Two steps before, the third of them lost; then the third and the fourth.
    assert again.seconds == {"vae": 40}
    assert len(again.losses["vae"]) == 4


# Odd values


@pytest.mark.parametrize("name", ["clip", "vae", "unet", "scenes", "captions", "test"])
@pytest.mark.parametrize("value", [0, -1, 2.5, "many", None])
def test_odd_budgets(name, value):
    with refused(f"{name} must be a whole number of at least 1, not {value!r}"):
        replace(BUDGET, **{name: value})


@pytest.mark.parametrize("channels", [(), 64, (64, 100), (0, 16), ("64",), None])
def test_odd_channels(channels):
    with refused("channels must be multiples of 16", repr(channels)):
        replace(BUDGET, channels=channels)


ODD = [
    (dict(folder=None), "folder must be a str or Path, not a NoneType"),
    (dict(budget="hour"), "budget must be a Budget, not a str"),
    (dict(data="pictures"), "data must be a WorldData or FolderData, not a str"),
    (dict(seed=-1), "seed must be a whole number"),
    (dict(seed=None), "seed must be a whole number"),
    (dict(options=[]), "options must be a dict, not a list"),
    (dict(options=dict(wokers=2)), "There is no setting 'wokers'"),
    (dict(options=dict(workers=-2)), "workers must be a whole number"),
]


@pytest.mark.parametrize("given, words", ODD, ids=[words for _, words in ODD])
def test_odd_trainings(tmp_path, given, words):
    usual = dict(folder=tmp_path, budget=BUDGET, data=WorldData())
    with refused(words):
        Training(**usual | given)


@pytest.mark.slow
def test_own_pictures_have_no_judge(own_model):
    assert not (own_model / "scorer").exists()
    recipe = json.loads((own_model / "recipe.json").read_text(encoding="utf-8"))
    assert recipe["data"].startswith("folder pictures")


@pytest.mark.slow
def test_own_pictures_and_the_world_do_not_mix(own_model):
    ended = finish(own_model, "--budget", "smoke", "--resume")
    assert_stops(ended, "folder pictures")


@pytest.mark.slow
def test_a_folder_without_pictures_is_refused(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    ended = finish(tmp_path / "x", "--data", empty)
    assert_stops(ended, str(empty))
    assert ended[1].count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]
