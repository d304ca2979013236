"""The teacher's plan names headings and questions of the lessons: they must be there."""

import re

import nbformat
import pytest

from teach import prerequisites
from tests.figures import ROOT


PLAN = (ROOT / "teach" / "plan.md").read_text(encoding="utf-8")
LESSON = r"`(\d\d[a-z]?_[a-z]+)`"
CLASSES = re.split(r"(?m)^\*\*\d+\. ", PLAN.partition("## A week")[0])[1:]


def notebook(name):
    return nbformat.read(ROOT / "nbs" / f"{name}.ipynb", as_version=4)


def headings(name):
    texts = [c.source for c in notebook(name).cells if c.cell_type == "markdown"]
    return set(re.findall(r"^## (.+)$", "\n".join(texts), re.MULTILINE))


def questions(name):
    outputs = [out for c in notebook(name).cells for out in c.get("outputs", ())]
    texts = [out.get("data", {}).get("text/plain", "") for out in outputs]
    return set(re.findall(r"^Predict: (.+)$", "\n".join(texts), re.MULTILINE))


def named(text):
    """Each heading in italics, with the lesson that was named last before it."""
    lesson = None
    for name, heading in re.findall(rf"{LESSON}|(?<!\*)\*([^*]+)\*(?!\*)", text):
        lesson = name or lesson
        if heading:
            yield lesson, heading


def test_there_are_fourteen():
    assert len(CLASSES) == 14
    for text in CLASSES:
        for part in ("Show", "Predict", "Do", "Leave out"):
            assert f"- {part}: " in text, text[:60]


@pytest.mark.parametrize("text", CLASSES, ids=lambda text: text.partition(".")[0])
def test_headings_and_questions_are_those_of_the_lessons(text):
    found = list(named(text))
    assert len(found) >= 2
    wrong = [one for one in found if one[1] not in headings(one[0])]
    assert not wrong
    lessons = set(re.findall(LESSON, text))
    asked = set().union(*(questions(name) for name in lessons))
    assert set(re.findall(r'"([^"]+\?)"', text)) <= asked


def test_lessons_build_on_earlier_ones():
    needs = prerequisites.prerequisites()
    assert len(needs) >= 22
    assert needs["06_samplers"] == {"03_schedule", "04_denoiser", "05_training"}
    assert all(name < lesson for lesson, names in needs.items() for name in names)
    assert prerequisites.reduced(needs)["06_samplers"] == {"05_training"}


def test_no_class_comes_before_what_it_needs():
    needs, seen = prerequisites.prerequisites(), {"02_world"}
    for text in CLASSES:
        shown = [name for name in re.findall(LESSON, text) if name in needs]
        for lesson in shown:
            seen.add(lesson)
            late = needs[lesson] - seen
            # Lessons 20 and 21 are visited for a part; the rest may not run ahead.
            assert not late or lesson in ("18_fast", "20_playground"), (lesson, late)


def test_picture_of_the_graph_is_drawn(tmp_path):
    figure = prerequisites.draw(prerequisites.prerequisites())
    figure.savefig(tmp_path / "graph.png", dpi=40)
    words = {text.get_text() for text in figure.axes[0].texts}
    assert "06\nsamplers" in words
