"""Fixtures that several tests share."""
import pytest

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
