"""The handout as two pages to print: `python teach/handout.py`. Needs Chromium for the PDF.

Draws the strip of pictures anew, and prints `teach/handout.html` as `teach/handout.pdf`.
"""

import shutil
import sys
from pathlib import Path

import torch
from PIL import Image

from sdlearn.checkpoints import load_parts
from sdlearn.core import to_images
from sdlearn.pipeline import generate
from sdlearn.sheet import fit_colors, in_color

HERE = Path(__file__).resolve().parent
STEPS = 0, 2, 4, 6, 9
SIDE = 192  # pixels of one picture


def enlarged(picture):
    """Without smoothing, so that each number is a square."""
    return picture.resize((SIDE, SIDE), Image.Resampling.NEAREST)


def strip():
    """The noisy latents of some steps above, the guesses below."""
    parts = load_parts("tiny", device="cpu")
    result = generate(parts, "a panda at the beach", seed=0, trajectory=True)
    steps = [result.trajectory[i] for i in STEPS]
    colors = fit_colors(result.latents[0], parts.decode(result.latents)[0])
    noisy = [
        in_color(latents[0], colors).movedim(-1, 0) * 2 - 1 for _, latents, _ in steps
    ]
    guesses = parts.decode(torch.cat([guess for _, _, guess in steps]))
    rows = [to_images(torch.stack(noisy)), to_images(guesses)]
    sheet = Image.new("RGB", ((SIDE + 8) * len(STEPS) - 8, 2 * SIDE + 8), "white")
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            sheet.paste(enlarged(picture), (x * (SIDE + 8), y * (SIDE + 8)))
    return sheet


def print_pdf():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        how = {"executable_path": shutil.which("chromium"), "args": ["--no-sandbox"]}
        page = play.chromium.launch(**how).new_page()
        page.goto((HERE / "handout.html").as_uri())
        page.pdf(path=HERE / "handout.pdf", format="A4", print_background=True)


if __name__ == "__main__":
    strip().save(HERE / "images" / "strip.png", optimize=True)
    if not shutil.which("chromium"):
        sys.exit("The PDF needs Chromium: print teach/handout.html from any browser.")
    print_pdf()
