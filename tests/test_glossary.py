"""The glossary: sorted, each word once, and each link from a lesson meets a word."""

import re

import nbformat
import pytest

from .figures import notebooks

NOTEBOOKS = notebooks()
PLACE = "00a_glossary"
LINK = re.compile(r"\]\((\w+)\.ipynb(?:#([^)]+))?\)")


def prose(path):
    """The text of a notebook."""
    cells = nbformat.read(path, as_version=4).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


GLOSSARY = next(prose(path) for path in NOTEBOOKS if path.stem == PLACE)
WORDS = re.findall(r"^### (.+)$", GLOSSARY, re.MULTILINE)


def test_words_are_sorted_and_stand_once():
    lowered = [word.lower() for word in WORDS]
    assert lowered == sorted(set(lowered))


def test_each_word_is_explained_in_a_sentence_or_three():
    texts = re.split(r"^### .+$", GLOSSARY, flags=re.MULTILINE)[1:]
    for word, text in zip(WORDS, texts, strict=True):
        explanation = text.partition("See [")[0]
        assert 5 <= len(explanation.split()) <= 60, word


def test_the_number_at_the_top_is_right():
    assert f"> {len(WORDS)} words" in GLOSSARY


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_links_between_notebooks_lead_somewhere(path):
    names = {notebook.stem for notebook in NOTEBOOKS}
    anchors = {word.replace(" ", "-") for word in WORDS}
    for name, anchor in LINK.findall(prose(path)):
        assert name in names, f"there is no notebook {name}"
        if name == PLACE and anchor:
            assert anchor in anchors, f"the glossary has no {anchor}"
