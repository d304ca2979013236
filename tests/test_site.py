"""The explorer: built, served by a bare server, and used in a browser that reaches nothing else."""

import re
import shutil
import subprocess
import threading
from functools import partial
from http.server import ThreadingHTTPServer

import nbformat
import numpy as np
import pytest

from sdlearn.checkpoints import load_parts
from sdlearn.pipeline import generate

from . import site_facts
from .build_site import SITE, Handler, SiteMissing, build
from .notebooks import METADATA

pytestmark = pytest.mark.slow
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WAIT = 120_000  # milliseconds: the machine may be busy
PROMPTS = ["a panda at the beach", "a red cat and a blue horse", "two green apples"]
WAYS = [
    ("ddim", 10, 3.0),
    ("ddim", 6, 1.0),
    ("euler", 10, 3.0),
    ("euler", 6, 1.0),
    ("dpm++", 10, 5.0),
    ("dpm++", 6, 1.0),
]
TOGGLES = ["text", "time", "skips", "scaling", "guidance", "sign"]
PANELS = (
    "prompt film tokens embeddings noise attention guidance latents decoder".split()
)


@pytest.fixture(scope="module")
def chromium():
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    return path


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The site in a folder of its own."""
    dist = tmp_path_factory.mktemp("site") / "dist"
    try:
        build(dist=dist)
    except SiteMissing as error:
        pytest.skip(f"The site cannot be built here: {error}")
    return dist


@pytest.fixture(scope="module")
def address(built):
    """Where a bare server shows it."""
    handler = partial(Handler, directory=built)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


PIXELS = """() => {
    const canvas = document.querySelector("#picture");
    const { width, height } = canvas;
    const context = canvas.getContext("2d");
    return Array.from(context.getImageData(0, 0, width, height).data);
}"""


def pixels_of(frame):
    """The picture of the explorer in a page or a frame."""
    flat = np.array(frame.evaluate(PIXELS), dtype=float)
    return flat.reshape(-1, 4)[:, :3]


class Page:
    """A page, and what it complained of and asked elsewhere."""

    def __init__(self, browser, address, **how):
        self.address, self.complaints, self.elsewhere = address, [], []
        self.page = browser.new_page(**how)
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.route("**/*", self._guard)

    def _hear(self, message):
        if message.type == "error":
            self.complaints.append(message.text)

    def _guard(self, route):
        url = route.request.url
        if url.startswith((self.address, "data:", "blob:")):
            return route.continue_()
        self.elsewhere.append(url)
        return route.abort()

    def open(self, link=""):
        self.page.goto(f"{self.address}#{link}")
        self.page.reload()  # another part behind the # alone loads nothing
        self.page.wait_for_function(
            "window.app !== undefined && app.state", timeout=WAIT
        )
        return self.drawn()

    def drawn(self):
        """Wait for the picture that belongs to the state."""
        self.page.wait_for_timeout(300)  # a change is drawn after a pause
        done = "() => !app.busy.value && app.drawing.value?.done"
        self.page.wait_for_function(done, timeout=WAIT)
        return self

    def ask(self, script, value=None):
        return self.page.evaluate(script, value)

    def pixels(self):
        return pixels_of(self.page)

    def said(self):
        return self.page.inner_text("#said")


@pytest.fixture(scope="module")
def browser(chromium):
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def page(browser, address):
    """One page for all that only looks; at the end it must have been quiet."""
    page = Page(browser, address, viewport={"width": 1280, "height": 900}).open()
    page.first = page.ask("() => app.state.value")
    yield page
    assert page.complaints == []
    assert page.elsewhere == []


@pytest.fixture
def fresh(page):
    """The same page, with its first state."""
    page.ask("(state) => app.change(state)", page.first)
    return page.drawn()


# Units, types and style


def test_units_types_and_style(built):
    site_facts.write()
    for script in ("test", "lint"):
        done = subprocess.run(
            [shutil.which("npm"), "run", "--silent", script],
            cwd=SITE,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_lock_names_no_registry():
    lock = (SITE / "package-lock.json").read_text(encoding="utf-8")
    assert "resolved" not in lock and "http" not in re.sub(r'"url": "[^"]*"', "", lock)


def test_first_picture_is_loaded_with_25_megabytes(browser, address):
    page = Page(browser, address)
    sizes = []
    page.page.on("response", lambda got: sizes.append(len(got.body())))
    page.open()
    page.page.wait_for_timeout(500)
    # It was loaded twice, since `open` reloads.
    assert 10e6 < sum(sizes) / 2 < 25e6
    page.page.close()


# Equality with Python

DRAW = """async (change) => {
    const { compare, view, ...order } = app.state.value;
    const drawing = await app.engine.draw({ ...order, ...change }, () => {});
    const { steps, picture, latents } = drawing;
    return { latents: Array.from(latents), picture: Array.from(picture.data) };
}"""


@pytest.fixture(scope="module")
def parts():
    found = {name: load_parts(name, device="cpu") for name in ("tiny", "tiny-lcm")}
    # Its UNet is a sum of two weights, and the page has it rounded to 16 bits.
    for weight in found["tiny-lcm"].unet.parameters():
        weight.data = weight.data.half().float()
    return found


@pytest.mark.parametrize(
    "sampler, steps, guidance", [*WAYS, ("lcm", 1, 1.0), ("lcm", 4, 1.0)]
)
def test_latents_are_those_of_python(page, parts, sampler, steps, guidance):
    name, scheduler = ("tiny-lcm", None) if sampler == "lcm" else ("tiny", sampler)
    for seed, prompt in enumerate(PROMPTS, 7):
        how = {"num_inference_steps": steps, "guidance_scale": guidance}
        ours = generate(parts[name], prompt, scheduler=scheduler, seed=seed, **how)
        change = {"prompt": prompt, "seed": seed, "sampler": sampler}
        theirs = page.ask(DRAW, change | {"steps": steps, "guidance": guidance})
        expected = ours.latents.flatten().numpy()
        assert np.abs(expected - theirs["latents"]).max() < 1e-3
        picture = np.array(theirs["picture"]).reshape(64, 64, 4)[..., :3]
        assert np.abs(picture - np.asarray(ours.images[0], dtype=float)).max() <= 2


def test_a_negative_prompt_steers_as_in_python(page, parts):
    how = {"num_inference_steps": 8, "guidance_scale": 4.0, "seed": 3}
    ours = generate(parts["tiny"], "a boat", "blue", **how)
    change = {"prompt": "a boat", "negative": "blue", "sampler": "ddim"}
    theirs = page.ask(DRAW, change | {"seed": 3, "steps": 8, "guidance": 4})
    expected = ours.latents.flatten().numpy()
    assert np.abs(expected - theirs["latents"]).max() < 1e-3


# As a reader would


def test_typing_a_prompt_draws_it(fresh):
    before = fresh.pixels()
    fresh.page.fill("#prompt-input", "a yellow car at night")
    fresh.page.click("#draw")
    after = fresh.drawn().pixels()
    assert before.std() > 5 and after.std() > 5
    assert np.abs(before - after).mean() > 5
    assert fresh.ask("() => app.drawing.value.order.prompt") == "a yellow car at night"


@pytest.mark.parametrize("part", TOGGLES)
def test_breaking_a_part_changes_the_picture(fresh, part):
    before = fresh.pixels()
    fresh.ask("(part) => app.change({ broken: { [part]: true } })", part)
    after = fresh.drawn().pixels()
    assert np.abs(before - after).mean() > 2


def test_toggles_are_on_the_page(fresh):
    names = [f"broken-{part}" for part in TOGGLES]
    found = fresh.ask(
        "(names) => names.filter((n) => document.querySelector(`input[name=${n}]`))",
        names,
    )
    assert found == names


WORD = {"word": 1, "from": 2, "until": 1000}
RED = """() => app.drawing.value.steps.map((step) =>
    Math.max(...step.attention.slice(2 * 64, 3 * 64)))"""  # of the third token


def test_hiding_a_word_half_way(fresh):
    fresh.ask("() => app.change({ prompt: 'a red apple in the snow' })")
    before = fresh.drawn().pixels()
    words = [WORD | {"action": "hide", "to": ""}]
    fresh.ask("(words) => app.change({ words })", words)
    after = fresh.drawn().pixels()
    seen = fresh.ask(RED)
    assert min(seen[:2]) > 0 and max(seen[2:]) == 0
    # Little: the tokens after it know the word, too.
    assert np.abs(before - after).mean() > 0.05


def test_swapping_a_word_half_way(fresh):
    fresh.ask("() => app.change({ prompt: 'a red apple in the snow' })")
    before = fresh.drawn().pixels()
    words = [WORD | {"action": "swap", "to": "blue"}]
    fresh.ask("(words) => app.change({ words })", words)
    after = fresh.drawn().pixels()
    assert np.abs(before - after).mean() > 1


def test_a_link_restores_the_state(fresh, page):
    fresh.ask(
        """() => app.change({
            prompt: "three white birds in the sky", seed: 11, steps: 6, sampler: "euler",
            noiseCells: [[0, 3]], broken: { skips: true }, compare: { seed: 12 },
        })"""
    )
    before = fresh.drawn().pixels()
    state, link = fresh.ask("() => [app.state.value, app.link()]")
    again = page.open(link.partition("#")[2])
    assert again.ask("() => app.state.value") == state
    assert np.abs(again.pixels() - before).max() <= 1


def test_two_drawings_from_the_same_noise(fresh):
    fresh.ask("() => app.change({ compare: { prompt: 'a temple at sunset' } })")
    fresh.drawn()
    noises = fresh.ask(
        "() => [app.drawing.value, app.other.value].map((d) => Array.from(d.noise))"
    )
    assert noises[0] == noises[1]
    last = (
        "() => [app.drawing.value, app.other.value].map((d) => Array.from(d.latents))"
    )
    first, second = fresh.ask(last)
    assert np.abs(np.subtract(first, second)).mean() > 0.1


SHOWN = """(ids) => Object.fromEntries(ids.map((id) => {
    const canvases = [...document.querySelectorAll(`#${id} canvas`)];
    const drawn = canvases.map((canvas) => canvas.toDataURL()).join();
    return [id, drawn + document.getElementById(id).innerText];
}))"""


def test_every_panel_shows_something_that_changes(fresh):
    before = fresh.ask(SHOWN, PANELS)
    assert [panel for panel in PANELS if not before[panel]] == []
    fresh.ask("() => app.change({ prompt: 'an elephant in the river', seed: 5 })")
    fresh.drawn()
    for _ in range(100):  # some panels ask the engine for more
        after = fresh.ask(SHOWN, PANELS)
        same = [panel for panel in PANELS if before[panel] == after[panel]]
        if not same:
            break
        fresh.page.wait_for_timeout(300)
    assert same == []


def test_the_page_answers_while_it_draws(fresh):
    longest = fresh.ask(
        """async () => {
            app.change({ steps: 30 });
            const end = performance.now() + 120000;
            let longest = 0, last = performance.now();
            while (last < end) {
                await new Promise((resolve) => setTimeout(resolve, 5));
                const now = performance.now();
                longest = Math.max(longest, now - last);
                if (!app.busy.value && app.drawing.value.steps.length === 30) break;
                last = now;
            }
            return longest;
        }"""
    )
    drawn = fresh.drawn().ask("() => app.drawing.value.milliseconds")
    assert longest < max(500, drawn / 4)


# The tour


def test_the_tour_asks_before_it_tells(page):
    """Ten stops: a guess first, then the answer beside what was drawn."""
    tour = page.open().page.locator(".tour")
    page.page.click("#tour-start")
    titles = set()
    for stop in range(1, 11):
        tour.get_by_text(f"Stop {stop} of 10").wait_for()
        titles.add(tour.locator("h2").inner_text())
        answer, show = tour.locator(".answer"), tour.get_by_text("Show me")
        assert answer.inner_text() == ""
        show.click()
        assert "Choose first" in answer.inner_text()
        tour.get_by_role("radio").first.check()
        show.click()
        told = answer.inner_text()
        assert told.startswith(("Right.", "Not quite: it is")) and len(told) > 60
        page.drawn()
        tour.get_by_role("button", name="Finish" if stop == 10 else "Next").click()
    assert len(titles) == 10
    assert tour.is_hidden()


# What cannot be drawn is said in a sentence


@pytest.mark.parametrize(
    "change, words",
    [
        ({"prompt": ""}, "empty"),
        ({"prompt": "word " * 1000}, "longer"),
        ({"prompt": "panda " * 60}, "cut"),
        ({"prompt": "a \N{DOG FACE} zebra"}, "zebra"),
        ({"seed": -1}, "seed"),
        ({"steps": 0}, "steps"),
        ({"steps": "NaN"}, "steps"),
        ({"guidance": None}, "guidance"),
        ({"sampler": "magic"}, "sampler"),
    ],
)
def test_bad_input_gets_a_sentence(fresh, change, words):
    fresh.ask("(change) => app.change(change)", change)
    said = fresh.drawn().said()
    assert words in said and said.endswith((".", "!")) and len(said) < 250


def test_a_number_that_is_none(fresh):
    fresh.page.fill("#seed-input", "")
    fresh.page.keyboard.press("Tab")
    assert "seed" in fresh.drawn().said().lower()


def test_a_damaged_link_gets_a_sentence(page):
    assert "damaged" in page.open("s=%%%").said()


@pytest.mark.parametrize("lost", ["unet.onnx", "model.json", "runtime.wasm.gz"])
def test_a_lost_file_is_named(browser, address, lost):
    page = Page(browser, address)
    page.page.route(f"**/{lost}", lambda route: route.fulfill(status=404))
    page.page.goto(address)
    page.page.wait_for_selector("#said", timeout=WAIT)
    assert lost in page.said()
    page.page.close()


def test_a_browser_without_webassembly(browser, address):
    page = Page(browser, address)
    page.page.route("**/runtime.wasm.gz", lambda route: route.fulfill(body="no"))
    page.page.goto(address)
    page.page.wait_for_selector("#said", timeout=WAIT)
    assert "WebAssembly" in page.said()
    page.page.close()


# For everybody


def test_axe_finds_no_violation(fresh):
    axe = (SITE / "node_modules/axe-core/axe.min.js").read_text(encoding="utf-8")
    fresh.ask(axe)
    found = fresh.ask("async () => (await axe.run()).violations")
    assert [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found] == []


SIZE = """() => {
    const { scrollWidth, scrollHeight } = document.documentElement;
    return [scrollWidth, scrollHeight];
}"""


def test_a_phone_shows_no_wide_page_and_no_long_one(browser, address):
    size = {"width": 390, "height": 844}
    page = Page(browser, address, viewport=size).open()
    width, height = page.ask(SIZE)
    assert width <= 390
    page.page.click("#noise summary")
    assert page.page.locator("#noise .board").is_visible()
    wider, unfolded = page.ask(SIZE)
    assert wider <= 390
    assert height < unfolded < 6 * 844
    assert page.complaints == []
    page.page.close()


# In a notebook

DONE = """(prompt) => {
    const drawing = window.app?.drawing.value;
    return drawing?.done && drawing.order.prompt === prompt;
}"""


WATCH_WORDS = """() => {
    window.words = [];
    const stage = document.querySelector(".stage");
    const hear = () => words.push(stage.innerText);
    new MutationObserver(hear).observe(stage, { childList: true, subtree: true });
}"""


class Kernel:
    """What a page asks its kernel for, and how many bytes come."""

    def __init__(self, page):
        self.asked, self.sent = [], 0
        page.on("websocket", self._listen)

    def _listen(self, socket):
        socket.on("framesent", self._ask)
        socket.on("framereceived", self._take)

    def _ask(self, message):
        text = message if isinstance(message, str) else message.decode("latin-1")
        self.asked += re.findall(r'"file": *"([^"]*)"', text)

    def _take(self, message):
        self.sent += len(message)


def write_notebook(path, source):
    notebook = nbformat.v4.new_notebook(metadata=METADATA)
    notebook.cells = [nbformat.v4.new_code_cell(source)]
    path.parent.mkdir()
    nbformat.write(notebook, path)


def test_the_explorer_draws_in_jupyterlab(built, browser, tmp_path):
    from .test_browser import foreign_hosts, run_all, serving

    call = f"from sdlearn.explorer import explorer\nexplorer(site={str(built)!r})"
    write_notebook(tmp_path / "nbs" / "explorer.ipynb", call)
    with serving(tmp_path) as lab:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        elsewhere = foreign_hosts(page, lab.address)
        kernel = Kernel(page)
        run_all(page, lab, "explorer.ipynb")
        frame = page.wait_for_selector("iframe[title^='The explorer']").content_frame()
        frame.wait_for_function(DONE, arg="a red cat at the beach", timeout=WAIT)
        before = pixels_of(frame)
        assert "unet.onnx" in kernel.asked and "unet_lcm.onnx" not in kernel.asked
        assert 20e6 < kernel.sent < 25e6
        frame.evaluate(WATCH_WORDS)
        frame.fill("#prompt-input", "a yellow car at night")
        frame.evaluate("() => app.change({ sampler: 'lcm', steps: 4 })")
        frame.wait_for_function(DONE, arg="a yellow car at night", timeout=WAIT)
        after = pixels_of(frame)
        assert kernel.asked.count("unet_lcm.onnx") == 1 and kernel.sent > 35e6
        words = frame.evaluate("words")
        assert any("fetching 15 MB" in text for text in words)
        assert "fetching" not in words[-1]
        page.close()
    assert before.std() > 5 and after.std() > 5
    assert np.abs(before - after).mean() > 5
    assert elsewhere == []
