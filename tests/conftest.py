"""What several tests share."""

import json
import socket
import time
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPModel

from sdlearn.checkpoints import find_folder, load_parts
from sdlearn.drawings import NOUNS

from .train_command import finish
from .random_parts import build_parts

SHIPPED = find_folder("tiny")  # the folder of the model that the package ships


# Models


@pytest.fixture(scope="module")
def parts():
    """Untrained parts in the shape of the shipped ones."""
    return build_parts("tiny")


@pytest.fixture(scope="module")
def folder(parts, tmp_path_factory):
    """The same parts, saved as a pipeline folder."""
    path = tmp_path_factory.mktemp("parts") / "random"
    parts.to_pipeline().save_pretrained(path)
    return path


@pytest.fixture(scope="session")
def shipped():
    """The parts that the package ships."""
    return load_parts("tiny", device="cpu")


@pytest.fixture(scope="session")
def shipped_clip():
    """The CLIP that the package ships."""
    clip = CLIPModel.from_pretrained(SHIPPED / "clip", dtype=torch.float32)
    return clip.eval()


# A folder of pictures, and what is trained on it

TINTS = {"crimson": (200, 20, 60), "teal": (0, 128, 128), "ivory": (255, 255, 240)}
THINGS = ["lantern", "mushroom"]
SIZES = [(64, 64), (120, 70), (40, 90), (200, 300), (30, 30)]
KINDS = [
    ("RGBA", "png"),
    ("RGB", "jpg"),
    ("P", "png"),
    ("L", "jpg"),
    ("I;16", "png"),
    ("LA", "png"),
]


def sixteen_bits(image):
    """Pillow converts no colors to 16 bits of gray."""
    gray = np.asarray(image.convert("L")).astype(np.uint16)
    return Image.fromarray(gray * 257)


def own_picture(i, tint, mode):
    """A square on a colored ground, in one of several sizes."""
    image = Image.new("RGB", SIZES[i % len(SIZES)], tint)
    image.paste((90, 90, 90), (5, 5, 15 + i, 20))
    return sixteen_bits(image) if mode == "I;16" else image.convert(mode)


def write_metadata(folder, rows):
    """The captions of a folder in one file, in the manner of Hugging Face."""
    text = "\n".join(json.dumps(row) for row in rows)
    (folder / "metadata.jsonl").write_text(text, encoding="utf-8")


@pytest.fixture(scope="session")
def own_pictures(tmp_path_factory):
    """A folder of 24 captioned pictures, in words that the world does not have."""
    folder = tmp_path_factory.mktemp("own") / "pictures"
    folder.mkdir()
    rows = []
    for i in range(24):
        name, tint = list(TINTS.items())[i % len(TINTS)]
        mode, suffix = KINDS[i % len(KINDS)]
        file = f"{i:02}.{suffix}"
        own_picture(i, tint, mode).save(folder / file)
        caption = f"one {name} {THINGS[i // 12]} on velvet"
        rows.append({"file_name": file, "text": caption})
    write_metadata(folder, rows)
    return folder


@pytest.fixture(scope="session")
def own_model(own_pictures):
    """What a smoke training makes of that folder."""
    out = own_pictures.parent / "model"
    code, text = finish(out, "--data", own_pictures, "--budget", "smoke")
    assert code == 0, text
    return out


# Surroundings


@pytest.fixture
def one_thread():
    """PyTorch on one thread, where small networks are fastest."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def dead_network(monkeypatch):
    """A network that is down; the names that were asked for all the same."""
    asked = []

    def refuse(host, *args, **kwargs):
        asked.append(host)
        raise socket.gaierror("no network here")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    # The hub's library would wait between its tries, a minute and a half in all.
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    return asked


@pytest.fixture
def no_network(dead_network):
    """For tests that must not touch the network."""
    yield
    assert not dead_network, f"the network was asked for {dead_network}"


@pytest.fixture
def nouns_restored():
    """The world as it was, whatever nouns a test adds to it."""
    before = dict(NOUNS)
    yield
    NOUNS.clear()
    NOUNS.update(before)


# What is asserted


def shortly(value):
    """A name for a test with these arguments; what it expects stays out of it."""
    return str(value)[:60] if isinstance(value, dict) else ""


def assert_close(ours, theirs):
    """Equal but for rounding: the way to the numbers is another one."""
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def assert_identical(ours, theirs):
    """Bit for bit, for what is copied and for the very same computation."""
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def assert_same_latents(ours, theirs):
    """Two pipelines have drawn the same, and something at all."""
    assert theirs.isfinite().all()
    assert theirs.std() > 0
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def assert_same_picture(image, expected):
    """Equal but for rounding, which differs from one way to load a model to another."""
    assert image.size == expected.size
    difference = np.asarray(image, int) - np.asarray(expected, int)
    assert abs(difference).max() <= 1


@contextmanager
def refused(*words, error=ValueError, longest=500):
    """The block ends in an error whose message is one sentence with these words."""
    with pytest.raises(error) as caught:
        yield caught
    message = str(caught.value)
    assert "\n" not in message, message
    assert message.endswith("."), message
    assert len(message) < longest, message
    for word in words:
        assert word in message, message
