"""The playground in a real browser, in JupyterLab and by Voila: played through once in each."""

import os
import re
import subprocess
import sys

import pytest
from PIL import Image

from sdlearn.paintbox import png_of

pytest.importorskip(
    "playwright.sync_api", reason="no playwright here: pip install playwright"
)

from .notebooks import NBS  # noqa: E402
from .play import write_app, write_templates  # noqa: E402
from .test_browser import (  # noqa: E402, F401
    PLACES,
    Lab,
    browser,
    chromium,
    contrast,
    foreign_hosts,
    free_port,
    lab,
    wait_until,
)

pytestmark = pytest.mark.slow


class Player:
    """Somebody at a page with the app."""

    def __init__(self, page):
        self.page = page
        self.app = page.locator(".sdlearn-app")
        self.pictures = self.app.locator(".sdlearn-strip button")
        self.canvas = self.app.locator(".sdlearn-paint canvas")
        self.caption = self.app.locator("figcaption").first

    def press(self, name):
        self.app.get_by_role("button", name=name, exact=True).click()

    def type(self, name, text):
        self.app.get_by_label(name).fill(text)

    def draw(self, count, caption):
        """Draw, so that there are so many pictures, the last with this in its caption."""
        self.press("Draw")
        self.pictures.nth(count - 1).wait_for()
        self.caption.filter(has_text=caption).wait_for()
        assert self.pictures.count() == count
        return self.caption.inner_text()

    def choose(self, name, content):
        """A file of the reader's own."""
        with self.page.expect_file_chooser() as chooser:
            self.app.get_by_role("button", name="File").click()
        file = {"name": name, "mimeType": "image/png", "buffer": content}
        chooser.value.set_files(file)

    def paint(self):
        """A stroke from left to right, and wait until Python has had time for it."""
        self.canvas.wait_for()
        box = self.canvas.bounding_box()
        middle = box["y"] + box["height"] / 3
        self.page.mouse.move(box["x"] + box["width"] / 4, middle)
        self.page.mouse.down()
        self.page.mouse.move(box["x"] + box["width"] * 3 / 4, middle, steps=5)
        self.page.mouse.up()
        self.page.wait_for_timeout(500)


def play_through(page):
    """What a reader does, one after the other."""
    player = Player(page)
    player.pictures.first.wait_for()
    picture = player.app.locator("figure img").first
    assert "a panda at the beach" in picture.get_attribute("alt")
    assert picture.evaluate("img => img.naturalWidth") == 64
    assert picture.evaluate("img => img.clientWidth") >= 256
    # A prompt and a slider
    player.type("Prompt", "a red boat at sunset")
    player.app.locator(".noUi-handle").first.focus()
    page.keyboard.press("ArrowRight")
    assert "11 steps" in player.draw(2, "a red boat at sunset")
    # A mask by pointer, and by keys
    player.press("This picture")
    player.paint()
    player.type("Prompt", "a red boat at night")
    assert "only where painted" in player.draw(3, "a red boat at night")
    player.canvas.focus()
    page.keyboard.press("Delete")
    page.wait_for_timeout(500)
    player.type("Seed", "5")
    assert "only where painted" not in player.draw(4, "seed 5")
    player.canvas.focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Space")
    page.wait_for_timeout(500)
    player.type("Seed", "6")
    assert "only where painted" in player.draw(5, "seed 6")
    # The history
    player.pictures.nth(0).click()
    player.caption.filter(has_text="a panda at the beach").wait_for()
    assert player.app.get_by_label("Prompt").input_value() == "a panda at the beach"
    assert not player.canvas.is_visible()
    # Bad inputs
    player.type("Prompt", "a zebra")
    player.draw(6, "a zebra")
    note = player.app.get_by_role("status")
    note.filter(has_text="never seen 'zebra'").wait_for()
    player.type("Seed", "-1")
    player.press("Draw")
    alert = player.app.get_by_role("alert")
    alert.filter(has_text="seed must be a whole number").wait_for()
    assert player.pictures.count() == 6
    # A file
    player.choose("diary.txt", b"Dear diary")
    alert.filter(has_text="diary.txt is damaged or no picture").wait_for()
    player.choose("red.png", png_of(Image.new("RGB", (90, 60), "red")))
    player.app.get_by_text("Starts from red.png").wait_for()
    player.press("Noise")
    player.press("Draw")
    alert.filter(has_text="seed must be a whole number").wait_for()
    # Is it legible?
    legible = [alert, player.caption, player.app.get_by_label("Prompt")]
    legible += [player.app.get_by_text("Starts from"), player.pictures.first]
    assert min(map(contrast, legible)) >= 4.5
    wide = "app => app.scrollWidth - app.clientWidth"
    assert player.app.evaluate(wide) <= 1, "it stands on the page as a whole"


@pytest.fixture
def page(browser):  # noqa: F811
    """An empty page, and afterwards no error in its console."""
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.set_default_timeout(120_000)
    said = []
    page.on("console", lambda told: said.append((told.type, told.text)))
    page.on("pageerror", lambda error: said.append(("error", str(error))))
    yield page
    page.close()
    errors = [text for kind, text in said if kind == "error"]
    assert not errors


def test_in_jupyterlab(lab, page):  # noqa: F811
    app = write_app(lab.folder / "nbs")
    lab.set("apputils-extension/themes", theme="JupyterLab Dark")
    elsewhere = foreign_hosts(page, lab.address)
    page.goto(f"{lab.address}/lab/tree/{app.name}")
    page.wait_for_selector(".jp-Notebook")
    wait_until(lab.is_ready, 120)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()
    play_through(page)
    assert elsewhere == []


ENDING = ("idle_timeout=20", "interval=1")  # seconds, of a kernel without a page


@pytest.fixture
def voila(tmp_path):
    """The address of the app by itself."""
    address = f"http://127.0.0.1:{free_port()}"
    command = [sys.executable, "tests/play.py", "--no-browser", "--port"]
    command.append(address.rpartition(":")[2])
    command += [f"--MappingKernelManager.cull_{one}" for one in ENDING]
    places = {name: str(tmp_path / place) for name, place in PLACES.items()}
    env = {**os.environ, **places, "OMP_NUM_THREADS": "1"}
    with open(tmp_path / "log", "w", encoding="utf-8") as log:
        server = subprocess.Popen(
            command, cwd=NBS.parent, env=env, stdout=log, stderr=log
        )
    yield address
    server.terminate()
    server.wait(120)


FONT = """async () => {
    const fonts = [...document.fonts].filter((font) => font.family.includes("Awesome"));
    await Promise.all(fonts.map((font) => font.load()));
    return fonts.map((font) => font.status);
}"""


def test_by_voila(voila, page, tmp_path):
    def kernel_ended():
        return "Kernel shutdown" in (tmp_path / "log").read_text(encoding="utf-8")

    def is_there():
        try:
            return bool(page.request.get(f"{voila}/voila/static/", timeout=1000))
        except Exception:
            return False

    wait_until(is_there, 120)
    elsewhere = foreign_hosts(page, voila)
    page.goto(voila)
    play_through(page)
    icons = page.evaluate(FONT)
    assert icons and set(icons) == {"loaded"}, "Voila serves them itself"
    assert elsewhere == []
    assert not kernel_ended()
    page.goto("about:blank")
    wait_until(kernel_ended, 60)


@pytest.mark.parametrize("page", ["lab/index.html.j2", "base/page.html"])
def test_no_page_of_voila_asks_another_host(page, tmp_path):
    """Nor does the one that opens the browser, or the one of an error."""
    write_templates(tmp_path)
    text = (tmp_path / "voila/templates" / page).read_text(encoding="utf-8")
    assert "{% block" in text or "{%- block" in text
    assert not re.search(r"""(src|<link[^>]* href)=["']?(https?:)?//""", text)
