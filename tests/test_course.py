"""The course as a site: pages made of the saved notebooks, all links found, no other host asked."""

import json
import re
import subprocess
import sys

import nbformat
import pytest
import yaml

from . import build_site
from .notebooks import lessons

ROOT = lessons()[0].parent.parent
COURSE = ROOT / "site" / "course"
sys.path.insert(0, str(COURSE))
import badges  # noqa: E402
import build  # noqa: E402
import pages  # noqa: E402

FETCHED = re.compile(r'(?:src|<link[^>]* href)="(https?:)?//')


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    pages.write(folder)
    return folder


@pytest.mark.parametrize("path", lessons(), ids=lambda path: path.stem)
def test_a_page_has_no_line_for_machines(path):
    for cell in pages.lesson(path).cells:
        if cell.cell_type == "code":
            assert cell.source
            assert not re.search(r"^(#\||# NBVAL_|# check$)", cell.source, re.M)


def test_checks_are_folded():
    cell = nbformat.v4.new_code_cell("# check\ndef check(answer):\n    pass")
    assert pages.for_readers(cell).metadata["tags"] == ["hide-input"]


def test_a_question_does_not_show_its_answer():
    cell = nbformat.v4.new_code_cell('predict("Which?", ["a", "b"], answer="a")')
    assert pages.for_readers(cell).metadata["tags"] == ["remove-input"]


def test_alternative_text_of_the_saved_picture():
    output = nbformat.v4.new_output("display_data", {"image/png": ""})
    assert pages.alternative_text([output]) is None
    output["metadata"] = {"image/png": {"alt": "a red cat"}}
    assert pages.alternative_text([output]) == "a red cat"


@pytest.mark.parametrize(
    "link, place",
    [
        ("[a](../RACE.md)", "[a](../race.md)"),
        (
            "[a](06_samplers.ipynb#One-step)",
            "[a](../lessons/06_samplers.ipynb#One-step)",
        ),
        ("[a](images/growing.png)", "[a](../images/growing.png)"),
        ("[a](https://example.org/x)", "[a](https://example.org/x)"),
        ("[a](../LICENSE)", "a"),
    ],
)
def test_links_lead_to_the_pages_of_the_site(link, place):
    assert pages.relinked(link, ROOT / "nbs", "../") == place


def test_every_exported_name_is_explained(source):
    text = (source / "api" / "samplers.md").read_text(encoding="utf-8")
    assert "## ddim_step" in text and "Song et al. 2021, equation 12" in text
    assert "| `sample` | torch.Tensor | (b, c, h, w) noisy sample, x_t |" in text


def test_live_panels_stand_in_their_lessons(source):
    for name, panel in pages.PANELS.items():
        text = (source / "lessons" / f"{name}.ipynb").read_text(encoding="utf-8")
        assert f"index.html?panel={panel}" in text
        assert (ROOT / "site" / "src" / "panels" / f"{panel}.ts").exists()


def test_the_explorer_of_lesson_00_is_live_on_its_page(source):
    text = (source / "lessons" / "00_tour.ipynb").read_text(encoding="utf-8")
    assert "index.html?panel=prompt" in text
    assert "once `python dev.py site` has built it" not in text


# Elsewhere

NAME = "someone/sdlearn"


@pytest.mark.parametrize(
    "address, name",
    [
        ("", None),
        (f"https://github.com/{NAME}", NAME),
        (f"https://github.com/{NAME}.git", NAME),
        ("https://example.org/someone/sdlearn", None),
    ],
)
def test_links_elsewhere_need_an_address(tmp_path, address, name):
    settings = tmp_path / "settings.ini"
    settings.write_text(f"[DEFAULT]\nrepository = {address}\n")
    assert badges.repository(settings) == name


def test_badges_open_a_notebook_that_exists():
    for address in badges.addresses(NAME):
        assert NAME in address and address.endswith(badges.FIRST)
    assert (ROOT / badges.FIRST).exists()
    assert (ROOT / "environment.yml").exists(), "Binder installs from it"


def test_badges_come_and_go():
    page = "Before.\n<!-- badges --><!-- /badges -->\nAfter."
    filled = badges.filled_in(page, NAME)
    assert badges.badges(NAME) in filled and filled.endswith("After.")
    assert badges.filled_in(filled, NAME) == filled
    assert badges.filled_in(filled, None) == page
    assert "colab" not in badges.without(filled)


def test_a_lesson_links_to_where_it_runs(monkeypatch):
    path = ROOT / "nbs" / "06_samplers.ipynb"
    assert "mybinder" not in pages.lesson(path).cells[1].source
    monkeypatch.setattr(badges, "repository", lambda: NAME)
    links = pages.lesson(path).cells[1].source
    assert all(
        address in links for address in badges.addresses(NAME, "nbs/" + path.name)
    )


# Workflows and containers


COMMANDS = re.findall(r'^    "(\w+)": \w+,$', (ROOT / "dev.py").read_text(), re.M)


def commands_of(place):
    """The commands of dev.py that a file runs."""
    return re.findall(r"python dev\.py (\w+)", place.read_text(encoding="utf-8"))


def test_the_workflow_publishes_what_is_built():
    path = ROOT / ".github" / "workflows" / "pages.yml"
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    steps = [step for job in jobs.values() for step in job["steps"]]
    uses = [step["uses"] for step in steps if "uses" in step]
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", action) for action in uses)
    [upload] = [s for s in steps if "upload-pages-artifact" in s.get("uses", "")]
    assert ROOT / upload["with"]["path"] == build_site.DIST
    [node] = [s["with"] for s in steps if "setup-node" in s.get("uses", "")]
    assert (int(node["node-version"]), 0) > build_site.LOWEST_NODE
    assert jobs["publish"]["needs"] == "build"
    assert commands_of(path) == ["site"] and "site" in COMMANDS


def test_the_container_has_what_is_needed():
    path = ROOT / ".devcontainer" / "devcontainer.json"
    container = json.loads(path.read_text(encoding="utf-8"))
    assert container["image"].endswith(":3.11"), "the oldest Python that the tests run"
    [node] = [f for name, f in container["features"].items() if "/node:" in name]
    assert (int(node["version"]), 0) > build_site.LOWEST_NODE
    assert commands_of(path)[0] == "setup" and set(commands_of(path)) <= set(COMMANDS)
    assert container["forwardPorts"] == [8888]  # JupyterLab's own


@pytest.mark.slow
def test_the_whole_site_is_built_without_a_warning(tmp_path):
    if not build.MATHJAX.exists():
        pytest.skip("MathJax is not installed: `python dev.py site` fetches it by npm.")
    command = [sys.executable, COURSE / "build.py", tmp_path / "course"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    for page in (tmp_path / "course").rglob("*.html"):
        found = FETCHED.search(page.read_text(encoding="utf-8"))
        assert not found, f"{page.name} asks another host: {found[0]}"
