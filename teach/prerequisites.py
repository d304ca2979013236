"""Which lesson needs which, as the lessons themselves say: `python -m teach.prerequisites`.

Draws `teach/prerequisites.png`. An arrow that follows from two others is left out.
"""

import re
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat

from tests.notebooks import without_appendices

HERE = Path(__file__).resolve().parent
HEIGHT = 6.0  # of the drawing, which each column fills
LESSON = r"`(\d\d_[a-z]+)`"


def needed_by(path):
    """The earlier lessons that the first cell of a lesson names behind "Builds on"."""
    opening = nbformat.read(path, as_version=4).cells[0].source
    says = re.search(r"(Builds on|It puts together).*?(\n\n|$)", opening, re.DOTALL)
    names = re.findall(LESSON, says[0]) if says else []
    return {name for name in names if name < path.stem}


def prerequisites():
    """Each lesson, and the lessons that it builds on."""
    return {path.stem: needed_by(path) for path in without_appendices()}


def all_before(lesson, needs):
    """All that a lesson builds on, at first or second hand."""
    found = set()
    for name in needs[lesson]:
        found |= {name} | all_before(name, needs)
    return found


def reduced(needs):
    """Without the arrows that follow from others."""
    kept = {}
    for lesson, names in needs.items():
        implied = set().union(*(all_before(name, needs) for name in names))
        kept[lesson] = names - implied
    return kept


def columns(needs):
    """For each lesson, how many lessons in a row lead to it."""
    column = {}
    for lesson in sorted(needs):
        column[lesson] = 1 + max((column[name] for name in needs[lesson]), default=-1)
    return column


def places(needs):
    """Where each lesson stands: its column, and its row among those of the column."""
    column, place = columns(needs), {}
    for x in range(max(column.values()) + 1):
        names = [lesson for lesson in sorted(needs) if column[lesson] == x]
        gap = HEIGHT / (len(names) + 1)
        for row, name in enumerate(names):
            place[name] = x, HEIGHT / 2 - gap * (row + 1)
    return place


def draw(needs):
    """The lessons from left to right, with an arrow to each from what it needs."""
    place = places(needs)
    fig, ax = plt.subplots(figsize=(13, 5.5), layout="constrained")
    arrow = dict(arrowstyle="->", color="#8a8a8a", shrinkA=30, shrinkB=30)
    arrow["connectionstyle"] = "arc3,rad=-0.1"
    for lesson, names in reduced(needs).items():
        for name in names:
            ax.annotate("", place[lesson], place[name], arrowprops=arrow)
    for lesson, (x, y) in place.items():
        words = lesson.replace("_", "\n")
        box = dict(boxstyle="round", facecolor="#e8f0fa", edgecolor="#2a6ebb")
        ax.text(x, y, words, zorder=3, ha="center", va="center", bbox=box)
    ax.set_xlim(-0.5, max(x for x, _ in place.values()) + 0.5)
    ax.set_ylim(-HEIGHT / 2, HEIGHT / 2)
    ax.set_axis_off()
    return fig


if __name__ == "__main__":
    draw(prerequisites()).savefig(HERE / "prerequisites.png", dpi=110)
