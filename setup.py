import re
from configparser import ConfigParser
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent
LINK = re.compile(r"(!?)\[([^]]*)\]\((?![a-z]+:)([^)]+)\)")


def words_of(link):
    """A link without its address; of a picture not even the words."""
    return "" if link[1] else link[2]


def for_an_index(text, repository):
    """The README for other pages than the repository's: they do not have its files."""
    if not repository:
        return LINK.sub(words_of, text)

    def absolute(link):
        kind = "raw" if link[1] else "blob"
        return f"{link[1]}[{link[2]}]({repository}/{kind}/HEAD/{link[3]})"

    return LINK.sub(absolute, text)


def addresses(repository):
    if not repository:
        return {}
    changes = f"{repository}/blob/HEAD/CHANGELOG.md"
    return {
        "Source": repository,
        "Issues": f"{repository}/issues",
        "Changelog": changes,
    }


config = ConfigParser()
config.read(HERE / "settings.ini", encoding="utf-8")
settings = config["DEFAULT"]
repository = settings["repository"].rstrip("/")
readme = (HERE / "README.md").read_text(encoding="utf-8")
setup(
    version=settings["version"],
    long_description=for_an_index(readme, repository),
    long_description_content_type="text/markdown",
    project_urls=addresses(repository),
    install_requires=settings["requirements"].split(),
    extras_require={
        "dev": settings["dev_requirements"].split(),
        "fast": settings["fast_requirements"].split(),
    },
)
