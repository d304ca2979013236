"""What is packed: the files, the metadata, and the page that an index shows of them."""

import re
import shutil
import subprocess
import sys
import tarfile
from email import message_from_bytes

import pytest

from .figures import ROOT, text
from .test_house import tracked

HIDDEN = re.compile(r"(.*/)?\.")  # .ci, .github, .gitignore: for the repository alone
MADE = {"PKG-INFO", "setup.cfg"}
BUILD = "from setuptools.build_meta import build_sdist; build_sdist('dist')"
ADDRESS = "https://forge.example/ana/sdlearn"


def copied(folder):
    """The tracked files, and beside them what must not be packed."""
    for path in tracked():
        target = folder / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in (".safetensors", ".ipynb", ".png"):
            target.touch()  # their names are enough here
        else:
            shutil.copy(path, target)
    for name in ("out/cat.png", "work/00_tour.ipynb", "tests/__pycache__/x.pyc"):
        stray = folder / name
        stray.parent.mkdir(parents=True, exist_ok=True)
        stray.touch()
    return folder


def set_repository(folder, address):
    settings = folder / "settings.ini"
    changed = text(settings).replace("\nrepository =", f"\nrepository = {address}")
    assert changed != text(settings)
    settings.write_text(changed, encoding="utf-8")


def packed(folder):
    """The names in the source distribution of a folder, and its metadata."""
    built = subprocess.run(
        [sys.executable, "-c", BUILD], cwd=folder, capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr
    archive = next((folder / "dist").iterdir())
    with tarfile.open(archive) as tar:
        files = [member for member in tar.getmembers() if member.isfile()]
        paths = {member.name.partition("/")[2]: member for member in files}
        metadata = message_from_bytes(tar.extractfile(paths["PKG-INFO"]).read())
    return set(paths), metadata


@pytest.fixture(scope="module")
def unpublished(tmp_path_factory):
    return packed(copied(tmp_path_factory.mktemp("sdist")))


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder = copied(tmp_path_factory.mktemp("published"))
    set_repository(folder, ADDRESS + "/")
    return packed(folder)


def test_the_source_distribution_is_the_repository(unpublished):
    names = {path.relative_to(ROOT).as_posix() for path in tracked()}
    wanted = {name for name in names if not HIDDEN.match(name)}
    made = {n for n in unpublished[0] if n in MADE or n.startswith("sdlearn.egg-info/")}
    found = unpublished[0] - made
    assert not wanted - found, "MANIFEST.in leaves them out"
    assert not found - wanted, "nobody asked for them"


def links(page):
    return re.findall(r"\]\(([^)]+)\)", page)


def test_a_page_without_an_address_has_no_dead_links(unpublished):
    page = unpublished[1].get_payload()
    assert "Project-URL" not in unpublished[1]
    assert unpublished[1]["Description-Content-Type"] == "text/markdown"
    assert "00_tour" in page and "What happens between a prompt" in page
    assert not [link for link in links(page) if "://" not in link]
    assert "](" in text(ROOT / "README.md")


def test_a_page_with_an_address_links_to_the_repository(published):
    metadata = published[1]
    addresses = dict(u.split(", ") for u in metadata.get_all("Project-URL"))
    assert addresses.pop("Source") == ADDRESS
    assert set(addresses) == {"Issues", "Changelog"}
    assert all(url.startswith(f"{ADDRESS}/") for url in addresses.values())
    found = links(metadata.get_payload())
    assert f"{ADDRESS}/blob/HEAD/nbs/00_tour.ipynb" in found
    assert f"{ADDRESS}/raw/HEAD/nbs/images/stages.png" in found
    assert not [link for link in found if "://" not in link]


def test_every_local_link_was_made_absolute(published):
    local = [x for x in links(text(ROOT / "README.md")) if "://" not in x]
    found = links(published[1].get_payload())
    made = [link.partition("/HEAD/")[2] for link in found if "/HEAD/" in link]
    assert made == local and local


def test_no_address_is_made_up():
    """The repository says nothing of where it will be published."""
    found = re.search(r"^repository =(.*)$", text(ROOT / "settings.ini"), re.MULTILINE)
    assert found and not found[1].strip()


def lowest_of_workflow():
    """What the workflow's job `lowest` makes of settings.ini, by its own command."""
    workflow = text(ROOT / ".github/workflows/test.yml")
    command = re.search(r"run: (sed .*) \| tee lowest.txt", workflow)[1]
    made = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return made.stdout.split()


@pytest.mark.skipif(not shutil.which("sed"), reason="the job runs on Linux")
def test_the_lowest_job_pins_every_lower_bound():
    from .test_house import requirements

    wanted = [str(r).replace(">=", "==") for r in requirements("requirements")]
    assert lowest_of_workflow() == wanted
