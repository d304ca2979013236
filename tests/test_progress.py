"""What a reader has solved: marks in the reader's own folder, and no name that means two exercises."""

from collections import Counter

from sdlearn.core import verdict
from sdlearn.progress import course_map
from tests import copies
from tests.figures import ROOT


def check_two(answer):
    assert answer == 2, "two is wanted"


def test_every_exercise_has_a_name_of_its_own():
    exercises = course_map(ROOT / "nbs").exercises
    names = Counter(name for checks in exercises.values() for name in checks)
    assert len(names) > 60
    assert not [name for name, times in names.items() if times > 1]


def test_course_is_not_solved_by_running_it():
    assert course_map(ROOT / "nbs").solved == set()


def test_verdict_marks_what_is_right_and_nothing_else(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    verdict(check_two, 2)
    assert list(tmp_path.iterdir()) == []  # nobody asked for it
    (tmp_path / "solved").mkdir()
    verdict(check_two, 3)
    assert list(tmp_path.glob("solved/*")) == []
    verdict(check_two, 2)
    assert [mark.name for mark in tmp_path.glob("solved/*")] == ["check_two"]
    assert capsys.readouterr().out.count("Right.") == 2


def test_mark_that_cannot_be_made_is_no_error(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "solved" / "check_two" / "in the way").mkdir(parents=True)
    verdict(check_two, 2)
    verdict(lambda answer: None, 2)
    assert capsys.readouterr().out == "Right.\nRight.\n"


def test_lab_makes_the_folder_of_marks(tmp_path, monkeypatch):
    monkeypatch.setattr(copies, "WORK", tmp_path / "work")
    monkeypatch.setattr("sys.argv", ["copies.py"])
    copies.main()
    (tmp_path / "work/solved/check_even_seed").touch()
    copies.main()  # a newer course keeps them
    made = course_map(tmp_path / "work")
    assert made.solved == {"check_even_seed"}
    assert made.exercises == course_map(ROOT / "nbs").exercises


def test_files_that_are_no_notebooks_are_left_out(tmp_path):
    (tmp_path / "01_empty.ipynb").write_text("")
    (tmp_path / "02_list.ipynb").write_text("[]")
    (tmp_path / "03_odd.ipynb").write_text('{"cells": [3]}')
    assert course_map(tmp_path).exercises == {}
