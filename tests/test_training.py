"""The training loop: what it is given, how it ends, and what is left behind."""

import numpy as np
import pytest
import torch
from diffusers.training_utils import EMAModel
from safetensors.torch import save_file
from tqdm.auto import tqdm

from sdlearn import training
from sdlearn.data import Endless
from sdlearn.choices import TrainingSettings
from sdlearn.training import load_state, save_state, train

from .conftest import assert_close, assert_identical, refused

NUMBERS = Endless(lambda i: torch.tensor([float(i % 5)]))


def network():
    torch.manual_seed(0)
    return torch.nn.Linear(1, 8)


def loss_fn(model, batch, generator):
    noise = torch.randn(batch.shape, generator=generator)
    return model(batch + noise).square().mean()


def short(model, dataset=NUMBERS, **settings):
    return train(model, loss_fn, dataset, steps=6, batch_size=2, lr=0.1, **settings)


def test_half_and_full_precision_in_one_process():
    half = short(network(), mixed_precision="bf16")
    full = short(network(), mixed_precision="no")
    assert half != full
    assert full == pytest.approx(half, rel=0.05)


@pytest.mark.parametrize(
    "setting, error, words",
    [
        ({"mixed_precision": "fp16"}, ValueError, "'no' or 'bf16'"),
        ({"learning_rate": 0.1}, ValueError, "no setting 'learning_rate'"),
    ],
)
def test_wrong_settings_are_named(setting, error, words):
    with pytest.raises(error, match=words):
        short(network(), **setting)


NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize(
    "name, value, words",
    [
        ("steps", 0, ["steps", "at least 1", "not 0"]),
        ("steps", -3, ["not -3"]),
        ("steps", "six", ["'six'"]),
        ("steps", 2.5, ["2.5"]),
        ("steps", None, ["None"]),
        ("steps", True, ["True"]),
        ("batch_size", 0, ["batch_size", "at least 1"]),
        ("batch_size", "2", ["'2'"]),
        ("save_every", 0, ["save_every"]),
        ("workers", -1, ["workers"]),
        ("lr", NAN, ["lr", "nan"]),
        ("lr", INFINITE, ["lr", "inf"]),
        ("lr", -0.1, ["lr", "-0.1"]),
        ("lr", "fast", ["'fast'"]),
        ("ema_decay", 1.5, ["ema_decay", "0 to 1"]),
        ("ema_decay", NAN, ["ema_decay"]),
        ("seed", 0.5, ["seed"]),
        ("seed", -1, ["seed"]),
        ("seed", 10**15, ["seed"]),
        ("mixed_precision", 16, ["'no' or 'bf16'"]),
    ],
)
def test_what_no_training_can_have(name, value, words):
    model = network()
    with refused(*words):
        train(model, loss_fn, NUMBERS, **{"steps": 2, name: value})
    assert_identical(model.weight, network().weight)


@pytest.mark.parametrize("number", [2, np.int64(2), np.uint8(2)])
def test_any_whole_number_will_do(number):
    losses = train(network(), loss_fn, NUMBERS, steps=number, batch_size=number)
    assert len(losses) == 2


def test_the_largest_seed_trains():
    assert len(short(network(), seed=2**38)) == 6


NO_DATA = [iter([1.0]), {1.0, 2.0}, None, 5, "text", {"pictures": [1.0]}]


@pytest.mark.parametrize("dataset", NO_DATA, ids=lambda data: type(data).__name__)
def test_data_without_numbered_items(dataset):
    with refused("Endless", type(dataset).__name__):
        short(network(), dataset)


@pytest.mark.parametrize("empty", [(), torch.zeros(0, 1), np.zeros((0, 1))], ids=type)
def test_other_data_with_nothing_in_it(empty):
    with refused("nothing to repeat"):
        short(network(), empty)


def places_not_to_write(folder):
    """A folder in place of the file, a file in place of the folder, and no name."""
    (folder / "file").write_text("taken")
    (folder / "folder").mkdir()
    return [folder / "folder", folder / "file/state", folder / "file/a/b", f"{folder}/"]


@pytest.mark.parametrize("which", range(4))
def test_a_checkpoint_that_cannot_be_written(tmp_path, which):
    path = places_not_to_write(tmp_path)[which]
    before = sorted(tmp_path.rglob("*"))
    trained = []
    with refused("cannot be written", error=OSError):
        short(network(), checkpoint=path, on_step=lambda *given: trained.append(given))
    assert not trained
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_is_not_there_yet_is_made(tmp_path):
    path = tmp_path / "new/folder/state.safetensors"
    short(network(), checkpoint=path)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def write_nonsense(path):
    path.write_bytes(b"nonsense")


def write_nothing(path):
    path.touch()


def write_a_part(path):
    short(network(), checkpoint=path)
    path.write_bytes(path.read_bytes()[:-20])


def write_weights_only(path):
    save_file(network().state_dict(), path)


def write_another_network(path):
    short(torch.nn.Linear(1, 9), checkpoint=path)


@pytest.mark.parametrize(
    "write",
    [
        write_nonsense,
        write_nothing,
        write_a_part,
        write_weights_only,
        write_another_network,
    ],
)
def test_a_checkpoint_that_is_none_of_this_training(tmp_path, write):
    path = tmp_path / "state.safetensors"
    write(path)
    before = path.read_bytes()
    with refused(str(path), "delete it"):
        short(network(), checkpoint=path)
    assert path.read_bytes() == before


def test_settings_cannot_change_on_the_way():
    with pytest.raises(AttributeError):
        TrainingSettings(steps=1).lr = 1.0


@pytest.mark.parametrize("kind", [list, tuple, torch.stack])
def test_a_plain_list_repeats(kind):
    five = kind([NUMBERS[i] for i in range(5)])
    assert short(network(), five) == short(network())


def test_an_empty_list_is_refused():
    with pytest.raises(ValueError, match="nothing to repeat"):
        short(network(), [])


def same_numbers(losses):
    """Equal but for rounding: the way to the numbers is another one."""
    return pytest.approx(losses, rel=1e-5)


class Killed(Exception):
    pass


def kill(step, model, ema):
    if step == 4:
        raise Killed


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_killed_and_resumed_ends_in_the_same_weights(tmp_path, precision):
    how = {"mixed_precision": precision, "save_every": 2}
    path = tmp_path / "state.safetensors"
    whole, victim, resumed = network(), network(), network()
    whole_losses = short(whole, **how)
    with pytest.raises(Killed):
        short(victim, checkpoint=path, on_step=kill, **how)
    assert short(resumed, checkpoint=path, **how) == same_numbers(whole_losses)
    assert_close(resumed.weight, whole.weight)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_training_that_is_done_only_loads(tmp_path):
    path = tmp_path / "state.safetensors"
    done, again = network(), network()
    losses = short(done, checkpoint=path)
    steps = []

    def count(step, model, ema):
        steps.append(step)

    assert short(again, checkpoint=path, on_step=count) == losses
    assert not steps
    assert_identical(again.weight, done.weight)


@pytest.mark.parametrize("enabled", [False, True])
def test_autocast_is_left_as_it_was(enabled):
    with torch.autocast("cpu", torch.float16, enabled=enabled):
        short(network(), mixed_precision="bf16")
        assert torch.is_autocast_enabled("cpu") == enabled
        assert torch.get_autocast_dtype("cpu") == torch.float16


def test_half_precision_is_that_of_autocast():
    def autocast_loss(model, batch, generator):
        with torch.autocast("cpu", torch.bfloat16):
            return loss_fn(model, batch, generator)

    how = dict(steps=6, batch_size=2, lr=0.1)
    expected = train(network(), autocast_loss, NUMBERS, **how)
    assert short(network(), mixed_precision="bf16") == same_numbers(expected)


def parts_of_a_training():
    model = network()
    optimizer = torch.optim.AdamW(model.parameters())
    return model, optimizer, EMAModel(model.parameters())


def test_a_checkpoint_of_several_processes_resumes(tmp_path):
    """Two losses for each update: the updates are counted, not the losses."""
    path = tmp_path / "state.safetensors"
    model, optimizer, ema = parts_of_a_training()
    for _ in range(3):
        model(torch.ones(1, 1)).sum().backward()
        optimizer.step()
        ema.step(model.parameters())
    save_state(path, model, optimizer, ema, losses=6 * [1.0])
    again, new_optimizer, new_ema = parts_of_a_training()
    losses = load_state(path, again, new_optimizer, new_ema)
    assert len(losses) == 6
    assert new_ema.optimization_step == 3
    assert_identical(again.weight, model.weight)


class Bar(tqdm):
    closed = False

    def close(self):
        Bar.closed = True
        super().close()


def interrupt(step, model, ema):
    raise KeyboardInterrupt


def test_an_interrupt_leaves_the_network_ready(monkeypatch):
    monkeypatch.setattr(training, "tqdm", Bar)
    model = network()
    with pytest.raises(KeyboardInterrupt):
        short(model, on_step=interrupt)
    assert not model.training
    assert Bar.closed


LEAVING_HALF_PRECISION = [
    "set_autocast_enabled",
    "set_autocast_dtype",
    "clear_autocast_cache",
]


def open_autocasts():
    torch.autocast_increment_nesting()
    return torch.autocast_decrement_nesting()


@pytest.mark.parametrize("name", LEAVING_HALF_PRECISION)
def test_an_interrupt_while_leaving_half_precision(monkeypatch, name):
    expected = short(network(), mixed_precision="bf16")
    original = getattr(torch, name)
    armed = []

    def strike(*args):
        if armed:
            armed.clear()
            raise KeyboardInterrupt
        return original(*args)

    def arming(model, batch, generator):
        loss = loss_fn(model, batch, generator)
        armed.append(True)
        return loss

    monkeypatch.setattr(torch, name, strike)
    with pytest.raises(KeyboardInterrupt):
        train(network(), arming, NUMBERS, steps=2, mixed_precision="bf16")
    monkeypatch.undo()
    assert not armed
    assert not torch.is_autocast_enabled("cpu")
    assert torch.is_autocast_cache_enabled()
    # A block that is still counted as open would keep stale copies of the weights.
    assert open_autocasts() == 0
    assert short(network(), mixed_precision="bf16") == expected
