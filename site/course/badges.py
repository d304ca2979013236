"""Links that open a lesson elsewhere, once the repository has an address:
`python site/course/badges.py` writes them into the README."""

import os
import re
import sys
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
FIRST = "nbs/00_tour.ipynb"
GITHUB = re.compile(r"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?")
BADGES = re.compile(r"<!-- badges -->.*?<!-- /badges -->", re.DOTALL)
COLAB = "https://colab.research.google.com"
BINDER = "https://mybinder.org"


def repository(settings=ROOT / "settings.ini"):
    """Owner and name at GitHub; None as long as settings.ini names no such address."""
    config = ConfigParser()
    config.read(settings, encoding="utf-8")
    found = GITHUB.fullmatch(config["DEFAULT"]["repository"].strip())
    return found and found[1]


def addresses(name, path=FIRST):
    """Where Colab and Binder open a notebook of the repository `name`."""
    colab = f"{COLAB}/github/{name}/blob/main/{path}"
    return colab, f"{BINDER}/v2/gh/{name}/main?labpath={path}"


def first_cell(name):
    """What a notebook begins with in Colab, which has only the notebook itself."""
    return f"%pip install git+https://github.com/{name}"


def badges(name):
    """Two badges and what Colab needs, in Markdown."""
    colab, binder = addresses(name)
    return (
        f"[![Open in Colab]({COLAB}/assets/colab-badge.svg)]({colab})\n"
        f"[![Open in Binder]({BINDER}/badge_logo.svg)]({binder})\n\n"
        f"In Colab begin with a cell `{first_cell(name)}`."
    )


def links(name, path):
    """The same for a page of the site, which fetches nothing from other hosts."""
    colab, binder = addresses(name, path)
    return (
        f"Run it: [in Binder]({binder}), or [in Colab]({colab}) after a first cell "
        f"`{first_cell(name)}`."
    )


def without(text):
    """A page without its badges."""
    return BADGES.sub("", text)


def filled_in(text, name):
    """A page with badges between its markers; none where there is no address."""
    inside = f"\n{badges(name)}\n" if name else ""
    return BADGES.sub(lambda _: f"<!-- badges -->{inside}<!-- /badges -->", text)


def main(readme=ROOT / "README.md"):
    text = readme.read_text(encoding="utf-8")
    if not BADGES.search(text):
        sys.exit("README.md has no place for badges: <!-- badges --><!-- /badges -->")
    temporary = readme.with_suffix(".tmp")
    temporary.write_text(filled_in(text, repository()), encoding="utf-8", newline="\n")
    os.replace(temporary, readme)


if __name__ == "__main__":
    main()
