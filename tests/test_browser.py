"""A lesson in JupyterLab, in a real browser: a question answered, a slider moved, both themes legible."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from urllib.parse import urlsplit
from urllib.request import urlopen

import nbformat
import pytest

from .notebooks import KERNEL_ENV, NBS

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="no playwright here: pip install playwright"
)
pytestmark = pytest.mark.slow

USUAL = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
THEMES = ("JupyterLab Light", "JupyterLab Dark")
QUESTION = "What is left after 1,000 such steps?"
NUMBER = """
predict("How many legs have five cats?", answer=20, unit="legs", why="Four each.",
        picture=show(sample, size=128))
"""
# What JupyterLab has of the reader goes elsewhere, so that their own settings stay out.
PLACES = {
    "JUPYTERLAB_SETTINGS_DIR": "settings",
    "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    "JUPYTER_CONFIG_DIR": "config",
    "JUPYTER_DATA_DIR": "data",
    "JUPYTER_RUNTIME_DIR": "runtime",
    "IPYTHONDIR": "ipython",
}


# A server and a browser


@pytest.fixture(scope="module")
def chromium():
    """The program of a browser; SDLEARN_CHROMIUM may name it."""
    named = os.environ.get("SDLEARN_CHROMIUM")
    found = [shutil.which(name) for name in ([named] if named else USUAL)]
    programs = [program for program in found if program]
    if not programs:
        pytest.skip("no Chromium here: install one, or name it in SDLEARN_CHROMIUM")
    return programs[0]


@pytest.fixture(scope="module")
def browser(chromium):
    with sync_api.sync_playwright() as playwright:
        options = {"executable_path": chromium, "args": ["--no-sandbox"]}
        browser = playwright.chromium.launch(**options)
        yield browser
        browser.close()


def write_lesson(folder):
    """03_schedule up to its first slider, without outputs, and a question for a number."""
    lesson = nbformat.read(NBS / "03_schedule.ipynb", as_version=4)
    has_slider = ["interact(" in cell.source for cell in lesson.cells]
    lesson.cells = lesson.cells[: has_slider.index(True) + 1]
    lesson.cells.append(nbformat.v4.new_code_cell(NUMBER))
    for cell in lesson.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    folder.mkdir()
    nbformat.write(lesson, folder / "lesson.ipynb")


class Lab:
    """JupyterLab on a folder of its own."""

    def __init__(self, folder, port):
        self.folder = folder
        self.address = f"http://127.0.0.1:{port}"

    def set(self, setting, **values):
        """A user's setting, which the next page has."""
        path = self.folder / f"settings/@jupyterlab/{setting}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")

    def ask(self, path):
        """What the server answers; None while it cannot, as between two kernels."""
        try:
            with urlopen(self.address + path, timeout=10) as answer:
                return json.load(answer)
        except OSError:
            return None

    def is_up(self):
        return self.ask("/api/status") is not None

    def is_ready(self):
        """Is a page connected to a kernel that waits?"""
        kernels = self.ask("/api/kernels") or []
        return any(k["connections"] and k["execution_state"] == "idle" for k in kernels)


def wait_until(is_so, seconds=300):
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, f"{is_so.__name__}: not within {seconds} s"
        time.sleep(0.2)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextmanager
def serving(folder):
    """JupyterLab on the notebooks in a folder's nbs/."""
    port = free_port()
    lab = Lab(folder, port)
    lab.set("notebook-extension/tracker", windowingMode="none")  # the whole page
    lab.set("apputils-extension/notification", fetchNews="false", checkForUpdates=False)
    places = {name: str(folder / place) for name, place in PLACES.items()}
    paths = [str(NBS.parent), os.environ.get("PYTHONPATH", "")]
    options = {
        "ServerApp.root_dir": folder / "nbs",
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,
        "ServerApp.open_browser": False,
        "IdentityProvider.token": "",
    }
    command = [sys.executable, "-m", "jupyterlab", "--allow-root"]
    command += [f"--{name}={value}" for name, value in options.items()]
    env = {**os.environ, **KERNEL_ENV, **places}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    with open(folder / "log", "w", encoding="utf-8") as log:
        server = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    try:
        wait_until(lab.is_up)
        yield lab
    finally:
        server.terminate()
        server.wait(120)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    write_lesson(folder / "nbs")
    with serving(folder) as lab:
        yield lab


def foreign_hosts(page, address):
    """A list that fills with whatever the page asks of other servers than its own."""
    own, found = ("", urlsplit(address).netloc), []  # "": data:, blob: and about:

    def hear(request):
        if urlsplit(request.url).netloc not in own:
            found.append(request.url)

    page.on("request", hear)
    page.on("websocket", hear)
    return found


def run_all(page, lab, name):
    """Open a notebook and run all its cells."""
    page.set_default_timeout(600_000)
    page.goto(f"{lab.address}/lab/tree/{name}")
    page.wait_for_selector(".jp-Notebook")
    wait_until(lab.is_ready)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()


@pytest.fixture(scope="module", params=THEMES)
def page(request, lab, browser):
    """The lesson in one of the themes, all cells run."""
    lab.set("apputils-extension/themes", theme=request.param)
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    elsewhere = foreign_hosts(page, lab.address)
    run_all(page, lab, "lesson.ipynb")
    page.wait_for_selector(".widget-output img")
    prediction(page, "five cats").get_by_role("button").wait_for()
    is_dark = page.evaluate("document.body.dataset.jpThemeLight === 'false'")
    assert is_dark == ("Dark" in request.param)
    yield page
    page.close()
    assert elsewhere == []


def prediction(page, question):
    """The box of a question."""
    return page.locator(".jp-OutputArea-output .widget-vbox", has_text=question)


# Is it legible?

COLORS = """element => {
    const color = getComputedStyle(element).color
    while (element) {
        const ground = getComputedStyle(element).backgroundColor
        if (!/^rgba.*, 0\\)$/.test(ground)) return [color, ground]
        element = element.parentElement
    }
    return [color, 'rgb(255, 255, 255)']
}"""


def luminance(color):
    """Relative luminance of a color such as rgb(1, 2, 3), as WCAG 2 defines it."""
    levels = [float(number) / 255 for number in re.findall(r"[\d.]+", color)[:3]]
    linear = [x / 12.92 if x <= 0.04 else ((x + 0.055) / 1.055) ** 2.4 for x in levels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(locator):
    """Of a text to its ground, from 1 to 21."""
    color, ground = map(luminance, locator.evaluate(COLORS))
    return (max(color, ground) + 0.05) / (min(color, ground) + 0.05)


@pytest.mark.parametrize(
    "color, ground, expected",
    [
        ("rgb(0, 0, 0)", "rgb(255, 255, 255)", 21),
        ("rgb(9, 9, 9)", "rgb(9, 9, 9)", 1),
    ],
)
def test_the_ruler_of_contrast(color, ground, expected):
    dark, light = luminance(color), luminance(ground)
    assert (light + 0.05) / (dark + 0.05) == pytest.approx(expected)


def test_a_question_is_legible(page):
    box = prediction(page, QUESTION)
    for text in (box.get_by_text(QUESTION), box.get_by_text("strong noise")):
        assert contrast(text) >= 4.5
    # The entry for a number and what stands in it.
    assert contrast(prediction(page, "five cats").get_by_role("textbox")) >= 4.5


# What a reader does


def test_a_choice_is_answered(page):
    box = prediction(page, QUESTION)
    assert box.get_by_role("status").count() == 0, "nothing is told before"
    box.get_by_role("button", name="Commit").click()
    box.get_by_text("Choose one first.").wait_for()
    box.get_by_text("strong noise").click()
    box.get_by_role("button", name="Commit").click()
    verdict = box.get_by_role("status")
    verdict.wait_for()
    told = "Not quite: you chose strong noise, and it is an even gray."
    assert told in verdict.inner_text()
    assert contrast(verdict) >= 4.5
    assert box.get_by_role("button", name="Commit").is_disabled()


def test_a_number_is_typed_and_a_picture_comes(page):
    box = prediction(page, "five cats")
    assert box.locator("img").count() == 0
    box.get_by_role("textbox").fill("100 legs")
    box.get_by_role("button", name="Commit").click()
    verdict = box.get_by_role("status")
    verdict.wait_for()
    assert "it is 20 legs, too high by 80 legs" in verdict.inner_text()
    picture = box.locator("img")
    width = width_of(picture)
    assert width >= 128
    assert picture.evaluate("img => img.clientWidth") == width, "in its own size"


def width_of(picture):
    """Pixels of a picture that has come, for a reader to see."""
    picture.wait_for()
    return picture.evaluate("img => img.decode().then(() => img.naturalWidth)")


def test_a_slider_changes_its_picture(page):
    picture = page.locator(".widget-output img").first
    before = picture.get_attribute("src")
    page.locator(".widget-slider .noUi-handle").first.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    readout = page.locator(".widget-slider .widget-readout").first
    assert readout.inner_text() == "403"
    changed = "before => document.querySelector('.widget-output img').src !== before"
    page.wait_for_function(changed, arg=before)
    assert width_of(page.locator(".widget-output img").first) > 300
    assert contrast(readout) >= 4.5


def test_the_pictures_have_a_ground_of_their_own(page):
    """Dark letters stand on a light ground, whatever the theme."""
    corner = """img => img.decode().then(() => {
        const canvas = new OffscreenCanvas(1, 1).getContext('2d')
        canvas.drawImage(img, 0, 0)
        return [...canvas.getImageData(0, 0, 1, 1).data]
    })"""
    pictures = page.locator(".jp-OutputArea-output img")
    corners = [pictures.nth(i).evaluate(corner) for i in range(pictures.count())]
    assert len(corners) > 5
    assert all(alpha == 255 for *_, alpha in corners)
