"""The course as a site: pages made of the saved notebooks, all links found, no other host asked."""

import re
import subprocess
import sys

import nbformat
import pytest

from .notebooks import lessons

ROOT = lessons()[0].parent.parent
COURSE = ROOT / "site" / "course"
sys.path.insert(0, str(COURSE))
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
