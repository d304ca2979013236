"""Copies of notebooks, git's conflicts and damaged files: named with a remedy, never taken for a lesson."""

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbconvert.exporters import ScriptExporter
from nbdev.merge import nbdev_fix

from . import notebooks
from .notebooks import (
    NotebookError,
    cleaned,
    find,
    is_lesson,
    lessons,
    read,
    remedy,
    strays,
)

ROOT = Path(__file__).resolve().parent.parent
COPIES = [
    "06_samplers-Copy1",
    "06_samplers-Copy12",
    "06_samplers copy",
    "06_samplers (1)",
    "06_samplers 2",
    "06_samplers - Copy",
    "06_samplers - Kopie (2)",
    "06_samplers_copy",
    "06_samplers_BACKUP_4711",
    "06_samplers_LOCAL_4711",
    "06_samplers.before-1",
    "06_samplers.sync-conflict-20261126-101112-ABCDEFG",
    "06_samplers (Ana's conflicted copy 2026-11-26)",
    "06_samplers-DESKTOP-A1B2C3",
    "Copy of 06_samplers",
    "Kopie von 06_samplers",
    "Untitled",
    "Untitled1",
    "samplers",
    "06_",
    "6_samplers",
]


def notebook(*code):
    cells = [nbformat.v4.new_code_cell(source) for source in code]
    return nbformat.v4.new_notebook(cells=cells)


def write(path, *code):
    path.write_text(cleaned(notebook(*code)), encoding="utf-8", newline="\n")


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course of one lesson, which exports one name."""
    nbs = tmp_path / "nbs"
    nbs.mkdir()
    (tmp_path / "sdlearn").mkdir()
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copy(ROOT / "sdlearn/__init__.py", tmp_path / "sdlearn")
    lesson = nbs / "06_samplers.ipynb"
    write(lesson, "#| default_exp samplers", "#| export\nanswer = 1")
    monkeypatch.setattr(notebooks, "NBS", nbs)
    for function in (lessons, strays):
        monkeypatch.setattr(function, "__defaults__", (nbs,))
    return lesson


def exported(course):
    """The exit status of an export, what it said, and the module that it wrote."""
    export = [sys.executable, ROOT / "tests/export.py"]
    folder = course.parent.parent
    done = subprocess.run(export, cwd=folder, capture_output=True, text=True)
    module = folder / "sdlearn/samplers.py"
    written = module.read_text(encoding="utf-8") if module.exists() else ""
    return done.returncode, done.stderr, written


def test_a_clean_notebook_becomes_a_script():
    """`nbconvert --to script` asks the notebook for its language."""
    clean = nbformat.reads(cleaned(notebook("answer = 1")), as_version=4)
    script, resources = ScriptExporter().from_notebook_node(clean)
    assert resources["output_extension"] == ".py"
    assert "answer = 1" in script


def test_only_lessons_lie_among_the_notebooks():
    """In this very checkout: what a reader leaves there is named."""
    found = [remedy(path) for path in strays()]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_is_no_lesson(course, name, capsys):
    copy = course.with_name(f"{name}.ipynb")
    shutil.copy(course, copy)
    assert lessons() == [course]
    assert strays() == [copy]
    assert find([]) == [course]
    assert find(["06"]) == [course]
    said = capsys.readouterr().err
    assert name in said and "work/" in said and said.count("\n") == 1
    with pytest.raises(SystemExit, match="work/"):
        find([f"{name}.ipynb"])


@pytest.mark.parametrize("name", ["00_tour", "02a_drawings", "21_clinic"])
def test_a_lesson_is_one(name):
    assert is_lesson(Path(f"nbs/{name}.ipynb"))


def test_checkpoints_are_not_looked_at(course):
    kept = course.parent / ".ipynb_checkpoints"
    kept.mkdir()
    shutil.copy(course, kept / "06_samplers-checkpoint.ipynb")
    shutil.copy(course, kept)
    assert lessons() == [course]
    assert not strays()


def test_export_takes_no_copy(course):
    for name in COPIES:
        copy = course.with_name(f"{name}.ipynb")
        write(copy, "#| default_exp samplers", "#| export\nanswer = 2")
    code, said, module = exported(course)
    assert code == 0, said
    assert "answer = 1" in module and "answer = 2" not in module
    assert not [name for name in COPIES if f"{name}.ipynb" not in said]
    names = {path.name for path in (course.parent.parent / "sdlearn").glob("*.py")}
    assert names == {"__init__.py", "_modidx.py", "samplers.py"}


TWINS = ["18_samplers", pytest.param("06a_samplers", marks=pytest.mark.slow)]
TWINS += [pytest.param("07_text", marks=pytest.mark.slow)]


@pytest.mark.parametrize("name", TWINS)
def test_two_notebooks_do_not_write_one_module(course, name):
    shutil.copy(course, course.with_name(f"{name}.ipynb"))
    code, said, module = exported(course)
    assert code == 1
    assert said.startswith("Nothing is exported: ")
    assert said.count("\n") == 1
    for word in ("06_samplers.ipynb", name, "sdlearn/samplers.py", "work/"):
        assert word in said
    assert not module


def conflicted(source, ours, theirs):
    """What git leaves where both sides have changed a line."""
    markers = ("<<<<<<< HEAD\n", "=======\n", ">>>>>>> colleague\n")
    begin, middle, end = markers
    lines = source.splitlines(keepends=True)
    place = next(i for i, line in enumerate(lines) if "answer = 1" in line)
    line = lines[place]
    changed = [line.replace("1", str(value)) for value in (ours, theirs)]
    lines[place] = begin + changed[0] + middle + changed[1] + end
    return "".join(lines)


def in_cells(path):
    """The same conflict as nbdev's merge leaves it, in cells."""
    nbdev_fix.__wrapped__(path, noprint=True)


def in_a_cell(path):
    """Somebody has copied a conflict into a cell."""
    text = ["<<<<<<< HEAD\nanswer = 1\n=======\nanswer = 2\n>>>>>>> colleague"]
    write(path, *text)


def cut(path):
    """A write that was killed."""
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


DAMAGE = {
    "conflict": (lambda path: None, ["conflict markers", "git checkout --ours"]),
    "conflict in cells": (in_cells, ["conflict markers", "delete the cells"]),
    "conflict in a cell": (in_a_cell, ["conflict markers", "refresh"]),
    "empty": (lambda path: path.write_bytes(b""), ["empty", "git restore"]),
    "cut": (cut, ["not JSON", "git restore"]),
    "a list": (lambda path: path.write_text("[]"), ["nbformat", "git restore"]),
    "an object": (lambda path: path.write_text("{}"), ["nbformat", "git restore"]),
    "zeros": (lambda path: path.write_bytes(bytes(500)), ["git restore"]),
    "latin-1": (lambda path: path.write_bytes(b"\xfc\xe4"), ["git restore"]),
}


@pytest.fixture(params=DAMAGE)
def damaged(course, request):
    """A notebook that cannot be read, and what has to be said of it."""
    damage, words = DAMAGE[request.param]
    if "conflict" in request.param:
        source = course.read_text(encoding="utf-8")
        course.write_text(conflicted(source, 1, 2), encoding="utf-8")
    damage(course)
    return course, ["nbs/06_samplers.ipynb", *words]


def assert_sentence(said, words):
    assert "\n" not in said.strip() and said.strip().endswith(".")
    assert not [word for word in words if word not in said], said


def test_a_damaged_notebook_is_named(damaged):
    path, words = damaged
    with pytest.raises(NotebookError) as caught:
        read(path)
    assert_sentence(str(caught.value), words)


@pytest.mark.parametrize("action", ["clean", "refresh"])
def test_clean_and_refresh_name_it(damaged, action, monkeypatch, capsys):
    path, words = damaged
    before = path.read_bytes()
    monkeypatch.setattr(sys, "argv", ["notebooks.py", action])
    with pytest.raises(SystemExit) as ended:
        notebooks.main()
    assert ended.value.code == 1
    assert_sentence(capsys.readouterr().err, words)
    assert path.read_bytes() == before


def test_one_damaged_notebook_does_not_hide_the_others(damaged, monkeypatch, capsys):
    path, words = damaged
    other = path.with_name("07_text.ipynb")
    other.write_text(nbformat.writes(notebook("1 + 1")), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["notebooks.py", "clean"])
    with pytest.raises(SystemExit):
        notebooks.main()
    assert "07_text.ipynb: " in capsys.readouterr().out


def test_export_names_it_and_writes_nothing(course):
    source = course.read_text(encoding="utf-8")
    course.write_text(conflicted(source, 1, 2), encoding="utf-8")
    code, said, module = exported(course)
    assert code == 1
    assert_sentence(said, ["Nothing is exported", "nbs/06_samplers.ipynb", "--ours"])
    assert not module
