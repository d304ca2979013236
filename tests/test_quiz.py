"""The question bank: each question sound, each refuting cell there; how it is asked; what a class gained."""

import ast
import json
import re
import subprocess
import sys
from collections import Counter
from itertools import combinations

import nbformat
import pytest

from sdlearn import quiz
from sdlearn.quiz import ask, questions

from .conftest import refused
from .figures import ROOT, notebooks

for folder in ("teach", "site/course"):
    sys.path.insert(0, str(ROOT / folder))
import gain  # noqa: E402

BANK = questions()
BY_ID = {one["id"]: one for one in BANK}
PLACES = {path.stem: path for path in notebooks()}
KEYS = (
    "id lesson topic inventory text choices right why misconceptions source refuted_by"
)
THREAD = re.compile(r"[\w.-]+/[\w.-]+#\d+")
PAPER = re.compile(r"arXiv:\d{4}\.\d{4,5}")
OF_A_LESSON = re.compile(r"lesson:(\w+)#([\w-]+)")
# A call by one of these names fails if what it says is not so.
CHECKS = re.compile(r"test_\w+|assert_\w+|predict|same")

each_question = pytest.mark.parametrize("one", BANK, ids=list(BY_ID))


def words(text):
    return set(re.findall(r"[a-z0-9]+", text.lower()))


# The questions


@each_question
def test_a_question_has_all_of_its_parts(one):
    assert list(one) == KEYS.split()
    assert one["text"].rstrip().endswith("?")
    assert one["why"].endswith(".")
    assert one["lesson"] in {name[:2] for name in PLACES}
    assert isinstance(one["inventory"], bool)


@each_question
def test_one_choice_of_four_is_right(one):
    assert len(set(one["choices"])) == 4
    assert one["right"] in range(4)
    believed = [belief is not None for belief in one["misconceptions"]]
    assert believed == [i != one["right"] for i in range(4)]


@each_question
def test_misconceptions_differ_and_are_sentences(one):
    beliefs = [belief for belief in one["misconceptions"] if belief]
    assert len(set(beliefs)) == 3
    for belief in beliefs:
        assert belief[0].isupper() and belief.endswith(".")
        assert "`" not in belief, "it is shown as it is"


@each_question
def test_choices_are_of_like_length(one):
    lengths = [len(choice) for choice in one["choices"]]
    assert max(lengths) - min(lengths) <= 14 or max(lengths) <= 1.6 * min(lengths)
    assert not any(choice.endswith(".") for choice in one["choices"])


def test_no_choice_points_to_the_others():
    pattern = re.compile(r"\b(all|none|both) of the (above|these)\b")
    assert not [c for one in BANK for c in one["choices"] if pattern.search(c)]


@each_question
def test_a_source_is_named(one):
    found = OF_A_LESSON.fullmatch(one["source"])
    if found:
        assert cell_of(*found.groups())
    else:
        assert THREAD.fullmatch(one["source"]) or PAPER.fullmatch(one["source"])


def test_the_bank_covers_the_course():
    assert list(BY_ID) == [f"q{i:02}" for i in range(1, 61)]
    lessons = Counter(one["lesson"] for one in BANK)
    assert sorted(lessons) == [f"{i:02}" for i in range(20)]
    assert min(lessons.values()) >= 2


def test_the_inventory_is_spread_over_the_topics():
    chosen = [one for one in BANK if one["inventory"]]
    assert len(chosen) == 30
    assert {one["topic"] for one in chosen} == {one["topic"] for one in BANK}
    assert len({one["lesson"] for one in chosen}) >= 15


def test_the_place_of_the_right_answer_tells_nothing():
    for some, each in ((BANK, {15}), ([o for o in BANK if o["inventory"]], {7, 8})):
        assert set(Counter(one["right"] for one in some).values()) == each
    places = [one["right"] for one in BANK]
    assert not any(len(set(places[i : i + 3])) == 1 for i in range(58))


def test_the_length_of_a_choice_tells_nothing():
    longest = shortest = 0
    for one in BANK:
        lengths = [len(choice) for choice in one["choices"]]
        own = lengths.pop(one["right"])
        longest += own > max(lengths)
        shortest += own < min(lengths)
    assert max(longest, shortest) <= 20


def alike(one, other):
    "The share of their words that two questions have in common."
    pair = [words(" ".join([o["text"], *o["choices"]])) for o in (one, other)]
    return len(pair[0] & pair[1]) / len(pair[0] | pair[1])


def test_no_two_questions_are_alike():
    most = max(combinations(BANK, 2), key=lambda pair: alike(*pair))
    assert alike(*most) < 0.5, [one["text"] for one in most]
    assert alike(BANK[0], BANK[0]) == 1


# The refuting cells


def cell_of(notebook, cell):
    "A cell by its name; None if there is none."
    for found in nbformat.read(PLACES[notebook], as_version=4).cells:
        if found.id == cell:
            return found


def checked_in(source):
    "What fails if it is not so: the text of assertions and of calls that check."
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assert):
            yield ast.get_source_segment(source, node)
        elif isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if CHECKS.fullmatch(name):
                yield ast.get_source_segment(source, node)


def told_by(outputs):
    "The text that a cell has shown."
    for output in outputs:
        yield output.get("text", "")
        yield output.get("data", {}).get("text/plain", "")


def holds(cell, text):
    "Does this text stand in what the cell checks or shows?"
    told = [*checked_in(cell.source), *told_by(cell.outputs)]
    return any(text in part for part in told)


@each_question
def test_the_refuting_cell_exists_and_holds(one):
    place = one["refuted_by"]
    cell = cell_of(place["notebook"], place["cell"])
    assert cell is not None, f"{place['notebook']} has no cell {place['cell']}"
    assert holds(cell, place["shows"]), f"{place['shows']!r} is not checked or shown"


def test_a_text_that_nothing_checks_does_not_hold():
    cell = nbformat.v4.new_code_cell("a = 1\nassert a > 0  # surely")
    assert holds(cell, "a > 0")
    assert not holds(cell, "a = 1")
    assert not holds(cell, "surely")


# Asking in a notebook


def shown_by(monkeypatch, *args):
    "The widgets that `ask` displays."
    shown = []
    monkeypatch.setattr(quiz, "display", shown.append)
    ask(*args)
    return shown


def test_a_wrong_answer_is_told_what_it_believes(monkeypatch):
    [asked] = shown_by(monkeypatch, "editing", 1)
    text = asked.children[0].value
    one = next(o for o in BANK if o["topic"] == "editing" and o["text"][:30] in text)
    wrong = (one["right"] + 1) % 4
    asked.button.click()
    assert asked.verdict.value == "Choose one first."
    asked.entry.value = one["choices"][wrong]
    asked.button.click()
    assert one["misconceptions"][wrong] in asked.verdict.value
    cell = one["refuted_by"]
    assert f"{cell['notebook']}.ipynb#cell-id={cell['cell']}" in asked.verdict.value


def test_every_question_can_be_asked(monkeypatch):
    for number in range(20):
        lesson = f"{number:02}"
        own = [one for one in BANK if one["lesson"] == lesson]
        shown = shown_by(monkeypatch, lesson, 9)
        assert len(shown) == len(own)
        listed = sorted(list(asked.entry.options) for asked in shown)
        assert listed == sorted(one["choices"] for one in own)


def test_a_seed_gives_the_same_questions(monkeypatch):
    first, second, other = [
        [asked.children[0].value for asked in shown_by(monkeypatch, "text", 2, seed)]
        for seed in (3, 3, 4)
    ]
    assert first == second != other


@pytest.mark.parametrize(
    "args, sentence",
    [
        (("cooking",), "There is no question on 'cooking'"),
        ((20,), "There is no question on 20"),
        (("text", 0), "n must be a whole number of at least 1"),
        (("text", "many"), "n must be a whole number"),
    ],
)
def test_bad_arguments_end_in_one_sentence(args, sentence):
    with refused(sentence):
        ask(*args)


# The page of the site


@pytest.fixture(scope="module")
def page():
    import quiz as page_of_questions  # of site/course

    return page_of_questions.page()


def test_the_page_has_each_question_once(page):
    forms = re.findall(r'<form class="question" id="(q\d\d)" data-right="(\d)">', page)
    assert dict(forms) == {name: str(one["right"]) for name, one in BY_ID.items()}
    assert page.count("<fieldset>") == page.count("<legend>") == 60
    assert len(re.findall(r'<label><input type="radio"', page)) == 240


def test_the_page_hides_what_it_tells_later(page):
    seen = re.sub(r"<template>.*?</template>", "", page)
    assert not [one["id"] for one in BANK if one["why"] in seen]
    assert page.count("<template>Right.") == 60


def test_an_empty_line_ends_no_form(page):
    for part in re.findall(
        r"<(?:form|style|script)\b.*?</(?:form|style|script)>", page, re.S
    ):
        assert "\n\n" not in part


def test_the_page_asks_no_other_host(page):
    assert "://" not in page
    for name in re.findall(r'href="lessons/(\w+)\.html', page):
        assert name in PLACES


# What a class gained

ASKED = ["q01", "q02", "q05", "q06", "q07"]


def letter(name, right):
    "The right choice of a question, or the one after it."
    return gain.LETTERS[(BY_ID[name]["right"] + (not right)) % 4]


def lines_of(answers):
    "A file of answers; `answers` are (student, when, a 1 or a 0 for each question)."
    lines = [",".join(["student", "when", *ASKED])]
    for student, when, marks in answers:
        given = [letter(name, mark == "1") for name, mark in zip(ASKED, marks)]
        lines.append(",".join([student, when, *given]))
    return lines


SIMULATED = [
    ("ana", "before", "10000"),
    ("ben", "before", "10000"),
    ("eve", "before", "01000"),
    ("kim", "before", "00100"),
    ("ana", "after", "11111"),
    ("ben", "after", "11110"),
    ("eve", "after", "11000"),
    ("kim", "after", "10000"),
]


@pytest.fixture(scope="module")
def measured():
    asked, answers, left_out = gain.read_answers(lines_of(SIMULATED), BY_ID)
    assert (asked, left_out) == (ASKED, [])
    return gain.measure(asked, answers, BY_ID)


def test_the_gain_of_a_class(measured):
    found = measured["class"]  # 4 of 20 right before, 12 of 20 after
    assert found["students"] == 4
    assert found["before"] == pytest.approx(0.2)
    assert found["after"] == pytest.approx(0.6)
    assert found["gain"] == pytest.approx(0.4 / 0.8)


def test_how_hard_and_how_telling_each_question_is(measured):
    q01, q02, q05, q06, q07 = measured["questions"]
    assert (q01["right_before"], q01["right_after"]) == (0.5, 1.0)
    assert q01["point_biserial"] is None, "all have it right"
    assert q01["upper_minus_lower"] == 0
    assert q05["right_after"] == 0.5
    # Right with 4 and 3 other points, wrong with 2 and 1.
    assert q05["upper_minus_lower"] == 1
    assert q05["point_biserial"] == pytest.approx(2 / 5**0.5)
    assert q07["upper_minus_lower"] == 1


def test_the_mistake_that_is_made_most(measured):
    told = {one["id"]: one["mistake"] for one in measured["questions"]}
    assert told["q01"] is None
    assert told["q07"]["choice"] == letter("q07", False)
    assert told["q07"]["share"] == 0.75
    assert told["q07"]["misconception"] in BY_ID["q07"]["misconceptions"]


@pytest.mark.parametrize(
    "before, after, expected", [(0.2, 0.6, 0.5), (0.5, 0.25, -0.5), (0, 1, 1)]
)
def test_the_normalized_gain(before, after, expected):
    assert gain.normalized_gain(before, after) == pytest.approx(expected)
    assert gain.normalized_gain(1, 1) is None


def test_only_who_answered_twice_counts_for_the_gain():
    lines = lines_of([*SIMULATED, ("tom", "after", "00000")])
    found = gain.measure(*gain.read_answers(lines, BY_ID)[:2], BY_ID)
    assert found["class"]["students"] == 4
    assert found["class"]["after"] == pytest.approx(0.6)


BAD_ROWS = [
    ("ana,after,A,A,A,A,A", "ana has answered after in an earlier row"),
    ("tom,later,A,A,A,A,A", "'when' must be before or after, not 'later'"),
    (",after,A,A,A,A,A", "it names no student"),
    ("tom,after,A,A,E,A,A", "q05 must be A, B, C, D or empty, not 'E'"),
    ("tom,after,A,A", "it has more or fewer fields than the header"),
    ("tom,after,A,A,A,A,A,A", "it has more or fewer fields than the header"),
]


@pytest.mark.parametrize("row, sentence", BAD_ROWS)
def test_a_bad_row_is_left_out_with_a_sentence(row, sentence):
    lines = [*lines_of(SIMULATED), row]
    _, answers, left_out = gain.read_answers(lines, BY_ID)
    assert left_out == [f"Line 10 is left out: {sentence}."]
    assert sum(map(len, answers.values())) == 8


@pytest.mark.parametrize(
    "header, sentence",
    [
        ("name,when,q01", "There is no column 'student'"),
        ("student,when,q99", "There is no question 'q99'"),
        ("student,when", "Each question needs one column"),
        ("student,when,q01,q01", "Each question needs one column"),
    ],
)
def test_a_bad_header_ends_in_a_sentence(header, sentence):
    with pytest.raises(gain.AnswersError, match=sentence):
        gain.read_answers([header, "ana,after,A"], BY_ID)


def test_what_a_spreadsheet_writes_is_read():
    lines = [line.replace(",", "; ").lower() for line in lines_of(SIMULATED)]
    plain = gain.read_answers(lines_of(SIMULATED), BY_ID)
    assert gain.read_answers(lines, BY_ID) == plain


def run_gain(*args):
    "The script as a teacher runs it: by a Python that has nothing else, from elsewhere."
    script = [sys.executable, "-I", "-S", ROOT / "teach" / "gain.py", *args]
    return subprocess.run(script, capture_output=True, text=True, encoding="utf-8")


def test_the_script_needs_nothing_but_python(tmp_path, measured):
    answers, figures = tmp_path / "answers.csv", tmp_path / "figures.json"
    lines = [*lines_of(SIMULATED), "tom,later,A,A,A,A,A"]
    answers.write_text("\n".join(lines), encoding="utf-8")
    done = run_gain(answers, "--json", figures)
    assert done.returncode == 0
    assert (
        "4 students: 20% right before, 60% after. Normalized gain 0.50." in done.stdout
    )
    assert done.stderr.splitlines() == [
        "Line 10 is left out: 'when' must be before or after, not 'later'."
    ]
    assert json.loads(figures.read_text(encoding="utf-8")) == measured
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


def test_the_script_refuses_in_a_sentence(tmp_path):
    empty, picture = tmp_path / "empty.csv", tmp_path / "cat.png"
    empty.write_text("student,when,q01\n", encoding="utf-8")
    picture.write_bytes(b"\x89PNG\xff\xfe")
    for path, sentence in (
        (empty, "has no row that can be used."),
        (picture, "is no table: save it as CSV in UTF-8."),
        (tmp_path / "none.csv", "cannot be read: "),
    ):
        done = run_gain(path)
        assert done.returncode == 1
        assert sentence in done.stderr and len(done.stderr.splitlines()) == 1


def test_the_handout_has_the_inventory_without_answers():
    handout = gain.handout(BY_ID)
    for one in BANK:
        assert (f"\n{one['id']}. " in f"\n{handout}") == one["inventory"]
    assert not [one["id"] for one in BANK if one["why"] in handout]
    assert handout.splitlines()[-1].count(",") == 31
