"""The slides: made of the notebooks' own cells, answers hidden, nothing cut off."""

import re
from pathlib import Path

import pytest

from teach import slides
from tests.notebooks import without_appendices


LESSONS = without_appendices()
CHROMIUM = Path("/usr/bin/chromium")
TOO_TALL = """() => {
    const found = [];
    document.querySelectorAll(".slides section").forEach((section, i) => {
        Reveal.slide(i, 0, 9);
        if (section.scrollHeight > 700) found.push(section.innerText.slice(0, 80));
    });
    return found;
}"""


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_slides_of_a_lesson(path):
    page = slides.page(path)
    assert page.count("<section>") >= 8
    assert page.count("<section>") == page.count("<h2>")
    assert "<a href" not in page
    assert "Check yourself" not in page
    for picture in re.findall("<img[^>]*>", page):
        assert re.search('alt="[^"]{4,}"', picture), picture[:60]


def test_an_answer_waits_for_its_key():
    slide = slides.question_slide(
        "Predict: Is 7 odd?\n- yes\n- no\nAnswer: yes. It is."
    )
    assert "<li>" in slide.body
    assert "It is" not in slide.body
    assert 'class="fragment"' in slides.section(slide)


def test_text_is_cut_after_a_sentence():
    text = slides.shortened("One is short. " + "Two is longer. " * 60)
    assert text.endswith(".")
    assert len(text) <= slides.LONGEST + 20


def test_a_heading_brings_its_own_words():
    cell = "Words of the picture above.\n\n## New\n\nIts parts:\n\n- one.\n- two."
    slide = slides.opening_slide(cell, "New")
    assert "above" not in slide.body
    assert slide.body.count("<li>") == 2


def test_names_that_there_are_not():
    with pytest.raises(SystemExit, match="such as 06"):
        slides.wanted(["99_nothing"])
    assert [path.stem for path in slides.wanted(["06", "06_samplers"])] == [
        "06_samplers"
    ]


def test_no_reveal_is_a_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(slides, "REVEAL", tmp_path / "none")
    monkeypatch.setattr("sys.argv", ["slides.py", "--out", str(tmp_path / "out"), "03"])
    with pytest.raises(SystemExit, match="npm ci"):
        slides.main()
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM.exists(), reason="there is no Chromium here")
def test_every_slide_fits_its_page(tmp_path):
    from playwright.sync_api import sync_playwright

    if not slides.REVEAL.exists():  # test_site.py, which comes before, installs it
        pytest.skip("reveal.js is not installed")
    slides.write(tmp_path / "slides", LESSONS)
    said, cut = [], {}
    with sync_playwright() as play:
        how = {"executable_path": str(CHROMIUM), "args": ["--no-sandbox"]}
        page = play.chromium.launch(**how).new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("request", lambda asked: said.extend(re.findall("^http.*", asked.url)))
        for path in LESSONS:
            page.goto((tmp_path / "slides" / f"{path.stem}.html").as_uri())
            page.wait_for_function("window.Reveal && Reveal.isReady()")
            cut[path.stem] = page.evaluate(TOO_TALL)
    assert not said
    assert {name: found for name, found in cut.items() if found} == {}
