"""The clinic: every case opens, its hints open in order, its verdicts tell shown from lucky."""

import math
import re

import pytest
import torch

from sdlearn import clinic
from sdlearn.chart import Hints, code_of, folded
from sdlearn.clinic import case, complaints, tells_apart
from sdlearn.exam import FAULTS, Patient
from sdlearn.faults import planted, repaired
from sdlearn.hearing import draw_with
from sdlearn.readings import QUESTIONS, known_pictures, reading

from .conftest import refused

TEXTS = clinic._texts()
FAULT_OF = {number: told["fault"] for number, told in enumerate(TEXTS, 1)}
LOOPS = [number for number, told in enumerate(TEXTS, 1) if told["code"]]
each_case = pytest.mark.parametrize("number", FAULT_OF, ids=FAULT_OF.get)
each_loop = pytest.mark.parametrize("number", LOOPS, ids=FAULT_OF.get)


# The texts


def test_twenty_cases_one_for_each_fault():
    assert sorted(FAULT_OF.values()) == sorted(FAULTS)
    assert len(complaints()) == 20


@each_case
def test_three_suspects_each_with_a_sentence_of_its_own(number):
    told = TEXTS[number - 1]
    against = told["against"]
    assert len(against) == 3 and set(against) <= set(FAULTS) - {told["fault"]}
    sentences = [one["sentence"] for one in against.values()]
    assert len(set(sentences)) == 3
    assert all(s.endswith(".") and len(s.split()) >= 7 for s in sentences)
    assert all(one["test"] in QUESTIONS for one in against.values())
    assert told["key"] in QUESTIONS


@each_case
def test_nothing_shown_gives_the_name_away(number):
    opened, told = case(number), TEXTS[number - 1]
    texts = [repr(opened), complaints()[number - 1], *told["hints"]]
    shown = " ".join([opened._page(), *texts]).lower()
    assert len(told["complaint"].split()) >= 8
    slug = FAULT_OF[number]
    if slug != "timesteps":  # every loop has some
        assert slug not in shown and slug.replace("-", " ") not in shown
    assert FAULTS[slug].lower() not in shown
    assert not re.search(r"planted|repaired|fault|my_draw", shown)


@each_case
def test_hints_open_in_order_and_the_last_names_a_test(number):
    hints = TEXTS[number - 1]["hints"]
    assert len(hints) == 3
    assert any(f"`{name}`" in hints[-1] for name in QUESTIONS)
    asked = Hints("", hints)
    for opened in range(1, 4):
        asked.button.click()
        assert asked.shown.value.count("<li>") == opened
        assert asked.button.disabled == (opened == 3)
    static = folded(hints)
    assert static.count("<details>") == 3
    assert static.endswith("</details>" * 3)


def test_code_is_shown_without_its_name_and_its_words():
    for number in LOOPS:
        code = case(number).code
        assert code.startswith("def draw(parts, prompts, seed):")
        assert '"""' not in code and "#" not in code
    assert case(20).code == "" == code_of(None)


def test_a_page_without_a_kernel_has_the_whole_case():
    bundle = case(1)._repr_mimebundle_()
    assert TEXTS[0]["complaint"] in bundle["text/plain"]
    assert bundle["text/html"].count("<summary>A hint</summary>") == 3
    assert "application/vnd.jupyter.widget-view+json" in bundle


# Verdicts


def check_verdicts(number):
    opened, told = case(number), TEXTS[number - 1]
    shown = opened.diagnose(told["fault"], told["key"])
    assert shown.startswith("Right, and shown"), shown
    assert told["repair"] in shown and told["why"] in shown
    for rival, against in told["against"].items():
        said = opened.diagnose(rival, told["key"])
        assert said.startswith(f"No. {against['sentence']}"), said
        assert f"`{against['test']}` gives" in said
        assert tells_apart(told["key"], told["fault"], rival), rival


@pytest.mark.parametrize("number", LOOPS[:2], ids=FAULT_OF.get)
def test_verdicts(number):
    check_verdicts(number)


# One case takes a second or five; all of them together take long.
@pytest.mark.slow
@pytest.mark.parametrize("number", sorted({*FAULT_OF} - {*LOOPS[:2]}), ids=FAULT_OF.get)
def test_verdicts_of_the_others(number):
    check_verdicts(number)


@each_loop
def test_a_right_name_with_another_test_is_lucky(number):
    fault, key = FAULT_OF[number], TEXTS[number - 1]["key"]
    idle = "overlap"  # nothing is known of a training
    said = case(number).diagnose(fault, idle)
    assert key != idle
    assert said.startswith("A lucky guess") and "nothing to measure" in said


@pytest.mark.parametrize("number", [1, 12, 16, 19], ids=FAULT_OF.get)
@pytest.mark.slow
def test_a_chart_shows_what_is_known(number):
    chart = case(number).observe()
    assert f"Case {number}: samples of" in chart.info["alt"]
    assert FAULT_OF[number] not in chart.info["alt"]
    has_training = number > 1
    assert (chart.height > 500) == has_training


def number_of(fault):
    return next(number for number, slug in FAULT_OF.items() if slug == fault)


def test_a_test_that_moves_for_a_suspect_too_is_lucky():
    opened = case(number_of("wrong-coefficient"))
    assert opened.diagnose("wrong-coefficient", "two seeds").startswith("A lucky")


def test_an_unlikely_name_is_answered_by_its_own_test():
    said = case(number_of("guidance-sign")).diagnose("channels-swapped", "guidance")
    assert said.startswith("No: that fault would show in `red first`")


# Tests that one can run


@pytest.fixture(scope="module")
def healthy():
    return repaired("guidance-sign")


def test_a_healthy_loop_in_numbers(healthy):
    exact = {"steps a look": 1, "off the equation": 0, "guidance": 3, "times told": 0}
    exact |= {"prompt second": 1, "red first": 1, "brightness": 0}
    for name, number in exact.items():
        assert reading(name, healthy) == pytest.approx(number, abs=1e-3), name


def test_what_is_not_known_is_no_number(healthy):
    for name in ("overlap", "last losses", "never moved", "averaged", "nearest"):
        assert math.isnan(reading(name, healthy)), name


def test_pictures_of_the_world_stand_in_for_an_unknown_training(healthy):
    images, captions = known_pictures(healthy, 2)
    assert images.shape == (2, 3, 64, 64) and len(captions) == 2


def test_a_patient_without_a_function_draws_as_the_package_does(healthy):
    plain = draw_with(Patient(healthy.parts), ["a red cat"], seed=3)
    own = draw_with(healthy, ["a red cat"], seed=3)
    assert (plain - own).abs().mean() < 0.02


def test_no_test_changes_a_patient():
    ill = planted("guidance-sign")
    before = {k: v.clone() for k, v in ill.parts.unet.state_dict().items()}
    for name in ("guidance", "padding", "largest number", "one-step error"):
        reading(name, ill)
    after = ill.parts.unet.state_dict()
    assert all(torch.equal(after[name], weight) for name, weight in before.items())
    assert not ill.parts.unet._forward_hooks


# Bad input


BAD = {
    "no such case": lambda: case(21),
    "a word for a number": lambda: case("fog"),
    "half a case": lambda: case(1.5),
    "an unknown test": lambda: case(1).test("fever"),
    "an unknown fault": lambda: case(1).diagnose("bad luck", "guidance"),
    "no fault": lambda: case(1).diagnose(None, "guidance"),
    "a list of tests": lambda: case(1).diagnose("timesteps", ["guidance"]),
    "no patient": lambda: reading("guidance", None),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_sentence(name):
    with refused():
        BAD[name]()
