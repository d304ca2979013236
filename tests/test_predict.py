"""Questions that wait for an answer: chosen or typed, committed, judged; and the page that is saved."""

import nbformat
import numpy as np
import pytest
import torch
from IPython.core.formatters import DisplayFormatter
from PIL import Image

from sdlearn.predict import predict

from .conftest import refused
from .notebooks import WIDGET, cleaned

COLORS = ["red", "green", "blue"]


def ask_color(**changed):
    given = {"answer": "green", "why": "Grass is green."} | changed
    return predict("Which color has `grass`?", COLORS, **given)


def ask_number(**changed):
    return predict("How many are withheld?", **({"answer": 127} | changed))


def said(asked, entered):
    """What the reader is told after an entry and a press of the button."""
    asked.entry.value = entered
    asked.button.click()
    return asked.verdict.value


# A choice


def test_nothing_is_chosen_and_nothing_told_at_first():
    asked = ask_color()
    assert asked.entry.value is None
    assert list(asked.entry.options) == COLORS
    assert asked.verdict.value == ""


def test_a_right_choice():
    told = said(ask_color(), "green")
    assert "Right: green. Grass is green." in told


def test_a_wrong_choice():
    told = said(ask_color(), "red")
    assert "Not quite: you chose red, and it is green. Grass is green." in told


def test_a_choice_must_be_made():
    asked = ask_color()
    assert said(asked, None) == "Choose one first."
    assert not asked.button.disabled
    assert "Right" in said(asked, "green")


def test_the_first_answer_counts():
    asked = ask_color()
    said(asked, "red")
    assert asked.entry.disabled
    assert asked.button.disabled


def test_choices_may_be_numbers():
    asked = predict("Which?", [8, 64, 3600], answer=3600)
    assert list(asked.entry.options) == ["8", "64", "3,600"]
    assert "Right" in said(asked, "3,600")


# A number


@pytest.mark.parametrize("typed", ["127", " 127 ", "120", "139", "127.0"])
def test_a_number_within_a_tenth_is_right(typed):
    assert "Right" in said(ask_number(), typed)


def test_a_number_off_is_told_by_how_much():
    told = said(ask_number(unit="facts"), "100")
    assert "you said 100 facts, and it is 127 facts, too low by 27 facts" in told
    assert "too high by 873" in said(ask_number(), "1,000")


@pytest.mark.parametrize(
    "typed, right", [("100", True), ("99", False), ("-127", False)]
)
def test_a_tolerance_is_absolute(typed, right):
    told = said(ask_number(within=27), typed)
    assert ("Right" in told) is right
    assert ("Not quite" in told) is not right


def test_a_tolerance_of_nothing():
    assert "Right" in said(ask_number(within=0), "127")
    assert "too low by 1" in said(ask_number(within=0), "126")


@pytest.mark.parametrize("typed", ["", "many", "0,5", "nan", "inf", "1,00"])
def test_no_number_is_no_answer(typed):
    asked = ask_number()
    assert said(asked, typed) == "Type a number first, such as 12 or 0.5."
    assert not asked.button.disabled


@pytest.mark.parametrize("unit, typed", [("GB", "3.4 GB"), ("%", "3.4%"), ("", "3.4")])
def test_a_unit_may_be_typed(unit, typed):
    assert "Right" in said(ask_number(answer=3.4, unit=unit), typed)


@pytest.mark.parametrize("answer", [np.float32(0.5), torch.tensor(0.5), np.int64(1)])
def test_a_measured_number_comes_from_anywhere(answer):
    assert "Right" in said(ask_number(answer=answer), str(float(answer)))


# What is shown


def test_a_picture_comes_with_the_answer():
    asked = ask_color(picture=Image.new("RGB", (4, 4), "green"))
    before = len(asked.children)
    said(asked, "green")
    assert len(asked.children) == before + 1
    assert bytes(asked.children[-1].value).startswith(b"\x89PNG")


def test_markup_in_a_question_is_text():
    asked = predict("Is `a` < b & c?", ["yes", "no"], answer="yes")
    shown = asked.children[0].value
    assert "<code>a</code> &lt; b &amp; c" in shown


def outputs_of(asked):
    """The forms of an output, as Jupyter asks for them."""
    forms, _ = DisplayFormatter().format(asked)
    return forms


def test_a_page_without_a_kernel_folds_the_answer():
    forms = outputs_of(ask_color())
    assert WIDGET in forms
    page = forms["text/html"]
    question, _, answer = page.partition("<details>")
    assert all(f"<li>{color}</li>" in question for color in COLORS)
    assert "Grass is green" not in question
    assert "<summary>Answer</summary>green. Grass is green.</details>" in answer
    assert forms["text/plain"].splitlines()[0] == "Predict: Which color has `grass`?"


def test_a_folded_picture_has_a_text():
    forms = outputs_of(ask_color(picture=Image.new("RGB", (4, 4), "green")))
    _, _, answer = forms["text/html"].partition("<details>")
    assert '<img alt="' in answer
    assert "data:image/png;base64," in answer


def saved(asked):
    """The output of a cell, as it is in a clean notebook."""
    forms = outputs_of(asked)
    output = nbformat.v4.new_output("execute_result", forms, execution_count=1)
    cell = nbformat.v4.new_code_cell("predict(...)", outputs=[output], id="asked")
    text = cleaned(nbformat.v4.new_notebook(cells=[cell]))
    return nbformat.reads(text, as_version=4).cells[0].outputs


def test_what_is_saved_does_not_change_from_run_to_run():
    [output] = saved(ask_color())
    assert sorted(output.data) == ["text/html", "text/plain"]
    assert saved(ask_color()) == saved(ask_color())


# Bad arguments

BAD = [
    ({"choices": COLORS, "answer": "pink"}, "answer must be one of"),
    ({"choices": COLORS, "answer": None}, "answer must be one of"),
    ({"choices": "red", "answer": "red"}, "choices must be a list"),
    ({"choices": 3, "answer": 3}, "choices must be a list"),
    ({"choices": ["red"], "answer": "red"}, "two or more"),
    ({"choices": ["red", "red"], "answer": "red"}, "two or more that differ"),
    ({"choices": [], "answer": "red"}, "two or more"),
    ({"answer": "green"}, "for a text, pass the choices"),
    ({"answer": None}, "answer must be a number"),
    ({"answer": True}, "answer must be a number"),
    ({"answer": float("nan")}, "answer must be a number"),
    ({"answer": torch.zeros(2)}, "answer must be a number"),
    ({"answer": 1, "within": -1}, "within must be a number"),
    ({"answer": 1, "within": "a tenth"}, "within must be a number"),
    ({"answer": 1, "why": None}, "why must be a text"),
    ({"answer": 1, "unit": 3}, "unit must be a text"),
    ({"answer": 1, "question": 3}, "question must be a text"),
    ({"answer": 1, "picture": "cat.png"}, "picture must be a Image"),
]


@pytest.mark.parametrize("given, words", BAD, ids=[words for _, words in BAD])
def test_bad_arguments_end_in_one_sentence(given, words):
    with refused(words):
        predict(**({"question": "Which?"} | given))
