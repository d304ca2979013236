"""What several tests share."""

import numpy as np
import pytest
import torch

from .random_parts import build_parts


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


@pytest.fixture
def one_thread():
    """PyTorch on one thread, where small networks are fastest."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def assert_same_picture(image, expected):
    """Equal but for rounding, which differs from one way to load a model to another."""
    assert image.size == expected.size
    difference = np.asarray(image, int) - np.asarray(expected, int)
    assert abs(difference).max() <= 1


def sentence(error):
    """The message, which must be one line that ends as a sentence."""
    text = str(error.value)
    assert "\n" not in text and text.endswith(".") and len(text) < 500, text
    return text
