"""The playground without a page: bad inputs are told in a sentence, and nothing gets lost."""

import re
from dataclasses import replace
from datetime import datetime
from io import BytesIO

import pytest
from PIL import Image, ImageDraw

from sdlearn.edit import inpaint
from sdlearn.paintbox import PaintBox, PictureStrip, picture_in
from sdlearn.parts import Settings, change_settings
from sdlearn.pipeline import generate
from sdlearn.playground import (
    Playground,
    Wish,
    differences,
    draw_swapped,
    in_words,
    play,
    stages_of,
    take_shot,
)
from sdlearn.predict import png_of

from .test_house import load_dev


@pytest.fixture(scope="module")
def quick(shipped):
    """The shipped parts, which draw in two steps if they are told nothing else."""
    settings = change_settings(shipped.settings, num_inference_steps=2)
    return replace(shipped, settings=settings)


@pytest.fixture
def app(quick):
    return Playground(quick, "a red car at the beach")


def said(app):
    """What the app tells, and how: a status, an alert, or nothing."""
    told = app.controls.told.value
    roles = re.findall(r'role="(\w+)"', told)
    return re.sub("<[^>]*>", " ", told).strip(), roles


def file(name, content):
    """What the browser gives for a chosen file."""
    kind = dict(type="image/png", size=len(content), last_modified=datetime.now())
    return {"name": name, "content": memoryview(content), **kind}


def written(image, kind="TIFF"):
    buffer = BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def painted(size=(64, 64), box=(8, 8, 40, 40)):
    """A mask as the page paints it: white on nothing."""
    mask = Image.new("RGBA", size)
    ImageDraw.Draw(mask).rectangle(box, fill="white")
    return mask


# Bad inputs


ERRORS = [
    ("seed", "-1", "whole number from 0"),
    ("seed", "lucky", "whole number such as 7"),
    ("seed", "", "whole number such as 7"),
    ("seed", "3.5", "whole number such as 7"),
    ("seed", "🐱", "whole number such as 7"),
    ("seed", str(2**64), "whole number from 0"),
    ("seed", "9" * 5000, "whole number such as 7"),
    ("guidance", float("nan"), "guidance_scale must be a number"),
]


@pytest.mark.parametrize("name, value, words", ERRORS)
def test_what_cannot_be_drawn_is_told_and_nothing_is_lost(app, name, value, words):
    before = in_words(app.shots[0].wish)
    control = getattr(app.controls, name)
    good = control.value
    control.value = value
    for button in (app.controls.draw, app.controls.next):
        button.click()
        text, roles = said(app)
        assert words in text and roles == ["alert"]
        assert len(text) < 200
        assert not button.disabled
    assert len(app.shots) == len(app.strip.pictures) == 1
    control.value = good
    assert in_words(Wish(**app.controls.read())) == before
    app.controls.draw.click()
    assert len(app.shots) == 2 and said(app) == ("", [])


NOTES = [
    ("", "The prompt is empty"),
    ("   ", "The prompt is empty"),
    ("🐱", "no word in the prompt"),
    ("a zebra", "never seen 'zebra'"),
    ("cat " * 1000, "these words were cut"),
    ("(a cat:1.3)", "as a weight"),
    ("<b>cat</b> <script>alert(1)</script>", "never seen"),
]


@pytest.mark.parametrize("prompt, words", NOTES)
def test_what_will_not_be_read_is_told(app, prompt, words):
    app.controls.prompt.value = prompt
    app.draw()
    text, roles = said(app)
    assert words in text and set(roles) == {"status"}
    assert len(text) < 2000
    assert len(app.shots) == 2
    assert "<script" not in app.controls.told.value + app.view.large.value


def test_no_steps_are_refused(quick):
    wish = Wish("a cat", settings=Settings(num_inference_steps=0, seed=0))
    with pytest.raises(ValueError, match="num_inference_steps"):
        take_shot(quick, wish)


def test_other_errors_are_told_by_their_kind(app, monkeypatch):
    def fail(*args, **options):
        raise MemoryError

    monkeypatch.setattr("sdlearn.playground.generate", fail)
    app.draw()
    assert "MemoryError" in said(app)[0]
    assert len(app.shots) == 1


def test_no_model_is_told(monkeypatch):
    monkeypatch.setenv("SDLEARN_MODEL", "/no/such/model")
    told = play().children[1].value
    assert 'role="alert"' in told and "/no/such/model" in told


def test_parts_come_from_load_parts():
    with pytest.raises(ValueError, match="parts must be a Parts"):
        Playground("tiny")


# Pictures to start from


UPLOADS = {
    "diary.txt": b"Dear diary",
    "empty.png": b"",
    "cut.png": png_of(Image.new("RGB", (64, 64)))[:60],
}


@pytest.mark.parametrize("name", UPLOADS)
def test_a_file_that_is_no_picture_is_told(app, name):
    app.controls.start.upload.value = (file(name, UPLOADS[name]),)
    text, roles = said(app)
    assert f"{name} is damaged or no picture" in text and roles == ["alert"]
    assert app.controls.start.picture is None
    assert app.controls.start.upload.value == ()


@pytest.mark.parametrize("mode", ["RGB", "CMYK", "I;16", "F", "P", "1", "LA", "RGBA"])
def test_a_picture_of_any_mode_is_a_start(app, mode):
    content = written(Image.new(mode, (31, 77)))
    app.controls.start.upload.value = (file("odd.tif", content),)
    assert said(app) == ("", [])
    wish = Wish(**app.controls.read())
    assert (wish.start.size, wish.start.mode) == ((64, 64), "RGB")
    assert "from odd.tif" in in_words(wish).values()


def test_too_little_strength_is_told(app):
    app.controls.start.shown.click()
    app.controls.start.strength.value = 0.05
    app.draw()
    assert "leaves no step" in said(app)[0]
    assert len(app.shots) == 1


def test_a_mask_with_nothing_on_it_is_none(app):
    app.controls.start.shown.click()
    for mask in (b"", png_of(Image.new("RGBA", (64, 64)))):
        app.controls.start.box.mask = mask
        assert app.controls.read()["mask"] is None


def test_a_thin_mask_is_told(app):
    app.controls.start.shown.click()
    app.controls.start.box.mask = png_of(painted(box=(9, 9, 10, 10)))
    app.draw()
    assert "wider than 8 pixels" in said(app)[0]


def test_the_start_is_noise_again(app):
    app.controls.start.shown.click()
    app.controls.start.noise.click()
    assert Wish(**app.controls.read()).start is None
    assert app.controls.start.editing.layout.display == "none"


# The same functions


def test_it_draws_as_the_course_does(app, quick):
    prompt = "a red car at the beach"
    first = generate(quick, prompt, seed=0).images[0]
    assert app.shots[0].image.tobytes() == first.tobytes()
    app.controls.start.shown.click()
    app.controls.start.box.mask = png_of(painted())
    app.controls.start.strength.value = 1
    app.controls.prompt.value = "a blue car at the beach"
    app.draw()
    anew = inpaint(quick, "a blue car at the beach", first, painted(), seed=0).images[0]
    assert app.shots[1].image.tobytes() == anew.tobytes()


def test_stages_are_drawn_again(app, quick):
    assert stages_of(quick, app.shots[0].wish).width == 1600
    app.view.stages.value = True
    assert 'alt="All stages' in app.view.sheet.value
    app.draw()
    assert not app.view.stages.value and not app.view.sheet.value


def test_swapped_at_an_end_is_one_prompt(quick):
    for done, prompt in ((0, "a blue car"), (2, "a red car")):
        swapped = draw_swapped(quick, "a red car", "a blue car", done)
        alone = generate(quick, prompt, seed=0).images[0]
        assert swapped.tobytes() == alone.tobytes()
    with pytest.raises(ValueError, match="done must be a whole number from 0 to 2"):
        draw_swapped(quick, "a red car", "a blue car", 3)


# The history


def test_all_settings_come_back(app):
    controls = app.controls
    controls.negative_prompt.value = "a boat"
    controls.seed.value, controls.steps.value = "12,345", 3
    controls.guidance.value, controls.sampler.value = 7.5, "euler"
    controls.start.shown.click()
    controls.start.box.mask = png_of(painted())
    app.draw()
    whole = in_words(app.shots[1].wish)
    assert {"without", "sampler", "start", "strength", "mask"} <= whole.keys()
    app.go_back_to(0)
    assert in_words(Wish(**controls.read())) == in_words(app.shots[0].wish)
    assert differences(app.shots[0].wish, Wish(**controls.read())) == set()
    app.strip._handle_custom_msg({"clicked": 1}, [])
    again = Wish(**controls.read())
    assert in_words(again) == whole and whole["seed"] == "seed 12345"
    assert again.mask.tobytes() == painted().tobytes()
    assert app.strip.chosen == 1


def test_the_next_seed(app):
    app.controls.next.click()
    assert app.controls.seed.value == "1"
    assert app.shots[1].wish.settings.seed == 1
    assert differences(*[shot.wish for shot in app.shots]) == {"seed"}


def test_two_side_by_side(app):
    app.controls.next.click()
    app.view.other.value = 0
    beside = app.view.large.value
    assert beside.count("<img alt=") == 2
    assert re.findall("<b>(.*?)</b>", beside) == ["seed 1", "seed 0"]
    app.go_back_to(0)
    assert app.view.large.value.count("<img alt=") == 1


def test_a_page_without_a_kernel_shows_the_history(app):
    app.controls.next.click()
    data, metadata = app._repr_mimebundle_()
    assert data["text/plain"].splitlines()[1:] == [
        "“a red car at the beach” · seed 0 · 2 steps · guidance 3",
        "“a red car at the beach” · seed 1 · 2 steps · guidance 3",
    ]
    assert "image/png" in data and "2 pictures" in metadata["image/png"]["alt"]


# The widgets of our own


def test_the_box_and_the_strip_take_what_a_page_sends():
    box = PaintBox()
    box.set_state({"mask": memoryview(png_of(painted()))})
    assert box.painted().size == (64, 64)
    with pytest.raises(ValueError, match="The mask is damaged"):
        box.mask = b"no picture"
        box.painted()
    chosen, strip = [], PictureStrip(pictures=[{"src": "", "alt": "one"}])
    strip.on_choice(chosen.append)
    for content in ({"clicked": 0}, {"clicked": 1}, {"clicked": "0"}, {}):
        strip._handle_custom_msg(content, [])
    assert chosen == [0]


def test_png_loses_nothing():
    mask = painted()
    assert picture_in(png_of(mask)).tobytes() == mask.tobytes()


# The command


def test_play_opens_voila(monkeypatch):
    dev, called = load_dev(), []
    monkeypatch.setattr(dev, "wait_for", lambda command, **how: called.append(command))
    monkeypatch.setattr(dev, "environment", lambda **changed: changed)
    dev.play(["--port=8900"])
    assert called[0][1:] == ["tests/play.py", "--port=8900"]
