"""Pictures are read as their makers see them, other things refused, and what is shown has words."""

import copy
import io
import pickle

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
import torch
from IPython.core.formatters import DisplayFormatter
from PIL import Image

from sdlearn.core import (
    image_grid,
    make_generator,
    page,
    randn,
    show,
    to_images,
    to_tensor,
)
from sdlearn.pictures import described, start_pictures, to_rgb, words_of_grid
from sdlearn.predict import predict

from .conftest import refused, shortly
from .notebooks import cleaned

RNG = np.random.default_rng(0)
COLORS = RNG.integers(0, 256, (24, 32, 3), dtype=np.uint8)
PICTURE = Image.fromarray(COLORS)
GRAY = np.asarray(PICTURE.convert("L"))


def array(image):
    return np.asarray(image)


# Every mode


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "HSV", "I"])
def test_modes_of_today_are_as_before(mode):
    image = PICTURE.convert(mode)
    before = array(image.convert("RGB"))
    assert np.array_equal(array(to_rgb(image)), before)
    pixels = torch.from_numpy(before.copy()).permute(2, 0, 1)[None]
    assert torch.equal(to_tensor(image), pixels.float() / 127.5 - 1)


@pytest.mark.parametrize("mode", ["RGBA", "RGBX", "RGBa", "LA", "La", "PA"])
def test_what_is_opaque_is_as_before(mode):
    plain = {"La": "LA", "RGBa": "RGBA"}.get(mode, mode)  # Pillow's own way to it
    image = PICTURE.convert(plain).convert(mode)
    gray = array(to_rgb(image).convert("L")).astype(int)
    expected = GRAY if mode != "PA" else array(PICTURE.convert("P").convert("L"))
    assert abs(gray - expected).max() <= 1


DEEP = {
    "<u2": Image.fromarray(GRAY.astype("<u2") * 257),
    ">u2": Image.frombytes("I;16B", PICTURE.size, (GRAY.astype(">u2") * 257).tobytes()),
    "i4": Image.fromarray(GRAY.astype(np.int32) * 257),
    "bytes in i4": Image.fromarray(GRAY.astype(np.int32)),
    "f4": Image.fromarray((GRAY / 255).astype(np.float32)),
    "bytes in f4": Image.fromarray(GRAY.astype(np.float32)),
    "words in f4": Image.fromarray(GRAY.astype(np.float32) * 257),
}


@pytest.mark.parametrize("image", DEEP.values(), ids=DEEP)
def test_deep_grays(image):
    for channel in array(to_rgb(image)).transpose(2, 0, 1):
        assert np.array_equal(channel, GRAY)


def clear(mode):
    """A picture whose left half is transparent."""
    if mode == "P":
        image = PICTURE.quantize(16)
        image.paste(3, (0, 0, 16, 24))
        image.info["transparency"] = 3
        return image
    if mode in ("L", "RGB"):  # one value is transparent, as PNG allows
        image = Image.new(mode, PICTURE.size, "black")
        image.paste("gray", (16, 0, 32, 24))
        image.info["transparency"] = 0 if mode == "L" else (0, 0, 0)
        return image
    image = PICTURE.convert(mode)
    alpha = Image.new("L", PICTURE.size, 255)
    alpha.paste(0, (0, 0, 16, 24))
    image.putalpha(alpha)
    return image


@pytest.mark.parametrize("paper", ["white", "black"])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "RGB"])
def test_what_is_transparent(mode, paper):
    image = to_rgb(clear(mode), paper)
    assert set(array(image)[:, :16].flat) == {255 if paper == "white" else 0}
    assert array(image)[:, 16:].std() > 0 or mode in ("L", "RGB")


def test_half_transparent_is_half_white():
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 128))
    assert to_rgb(image).getpixel((0, 0)) == (127, 127, 127)


# Orientation

BACK = {
    1: (),
    2: ("FLIP_LEFT_RIGHT",),
    3: ("ROTATE_180",),
    4: ("FLIP_TOP_BOTTOM",),
    5: ("TRANSPOSE",),
    6: ("ROTATE_90",),
    7: ("TRANSVERSE",),
    8: ("ROTATE_270",),
}


def lying(image, orientation):
    for method in BACK[orientation]:
        image = image.transpose(getattr(Image.Transpose, method))
    image = image.copy()
    image.getexif()[0x0112] = orientation
    return image


@pytest.mark.parametrize("orientation", BACK)
@pytest.mark.parametrize("kind", ["memory", "png", "tif"])
def test_every_orientation(tmp_path, kind, orientation):
    image = lying(PICTURE, orientation)
    if kind != "memory":
        image.save(tmp_path / f"a.{kind}", exif=image.getexif())
        image = Image.open(tmp_path / f"a.{kind}")
    upright = to_rgb(image)
    assert np.array_equal(array(upright), COLORS)
    assert np.array_equal(array(to_rgb(upright)), COLORS)  # not turned again


@pytest.mark.parametrize("mode", ["I;16", "RGBA", "P", "L"])
def test_orientation_in_other_modes(mode):
    image = DEEP["<u2"] if mode == "I;16" else PICTURE.convert(mode)
    assert np.array_equal(array(to_rgb(lying(image, 6))), array(to_rgb(image)))


def test_sizes_are_checked_upright():
    narrow = Image.new("RGB", (64, 60))
    pair = [lying(PICTURE, 6), PICTURE]
    assert [one.size for one in start_pictures(pair, 2, 8)] == [(32, 24)] * 2
    with refused("not 64 and 60"):
        start_pictures(lying(narrow, 8), 1, 8)


# What cannot be read


def closed(path):
    with Image.open(path) as image:
        return image


def truncated(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return Image.open(path)


@pytest.mark.parametrize("spoil", [closed, truncated])
def test_files_that_cannot_be_read(tmp_path, spoil):
    PICTURE.save(tmp_path / "a.png")
    with refused("mode RGB cannot be read", "save it as PNG"):
        to_tensor(spoil(tmp_path / "a.png"))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite(value):
    values = np.full((8, 8), value, dtype=np.float32)
    with refused("not finite"):
        to_tensor(Image.fromarray(values))


NO_PICTURES = [
    ([], ["no picture", "at least one"]),
    ((), ["no picture", "at least one"]),
    ("cat.png", ["PIL picture", "not str", "PIL.Image.open"]),
    (None, ["PIL picture", "not NoneType"]),
    (7, ["PIL picture", "not int"]),
    (COLORS, ["PIL picture", "not ndarray"]),
    (torch.zeros(1, 3, 8, 8), ["PIL picture", "not Tensor", "to_images"]),
    ([PICTURE, None], ["PIL picture", "not NoneType"]),
    ({"a": PICTURE}, ["PIL picture", "not str"]),
]


@pytest.mark.parametrize("images, words", NO_PICTURES)
def test_to_tensor_of_no_pictures(images, words):
    with refused(*words):
        to_tensor(images)


@pytest.mark.parametrize("images, words", NO_PICTURES)
def test_a_grid_of_no_pictures(images, words):
    with refused(*words):
        image_grid(images)


def test_to_tensor_of_two_sizes():
    with refused("one size", "(16, 16)", "(32, 24)"):
        to_tensor([PICTURE, PICTURE.resize((16, 16))])


SAMPLES = [
    (None, ["(b, 3, h, w)", "not NoneType"]),
    (PICTURE, ["(b, 3, h, w)", "not Image"]),
    (COLORS, ["(b, 3, h, w)", "not ndarray"]),
    ([torch.zeros(3, 8, 8)], ["(b, 3, h, w)", "not list"]),
    (torch.zeros(3, 8, 8), ["(b, 3, h, w)", "not (3, 8, 8)"]),
    (torch.zeros(1, 4, 8, 8), ["not (1, 4, 8, 8)"]),
    (torch.zeros(1, 8, 8, 3), ["not (1, 8, 8, 3)"]),
    (torch.tensor(1.0), ["not ()"]),
    (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), ["floats", "torch.uint8"]),
    (torch.zeros(1, 3, 8, 8) / 0, ["not finite", "float32"]),
]


@pytest.mark.parametrize("sample, words", SAMPLES)
def test_to_images_of_no_sample(sample, words):
    with refused(*words):
        to_images(sample)


@pytest.mark.parametrize("sample", [torch.zeros(3, 8, 8), torch.zeros(1, 4, 8, 8)])
def test_show_of_no_sample(sample):
    with refused("(b, 3, h, w)"):
        show(sample)


@pytest.mark.parametrize(
    "kwargs, words",
    [
        (dict(cols=0), ["cols", "at least 1", "not 0"]),
        (dict(cols=2.5), ["cols", "not 2.5"]),
        (dict(cols=True), ["cols", "not True"]),
        (dict(size=0), ["size", "at least 1"]),
        (dict(size="96"), ["size", "not '96'"]),
        (dict(pad=-1), ["pad", "at least 0", "not -1"]),
        (dict(labels=["one"]), ["labels must be 2 texts"]),
        (dict(labels=["one", "two", "three"]), ["labels must be 2 texts"]),
        (dict(labels=["one", 2]), ["labels must be 2 texts"]),
        (dict(labels="ab"), ["labels must be 2 texts"]),
        (dict(labels=7), ["labels must be 2 texts"]),
    ],
    ids=shortly,
)
def test_grids(kwargs, words):
    with refused(*words):
        image_grid([PICTURE] * 2, **kwargs)


@pytest.mark.parametrize(
    "seed", [-1, 2**64, 1.0, "1", None, True, [1], float("nan"), 1j, b"1"]
)
def test_seeds(seed):
    with refused("seed must be a whole number from 0"):
        make_generator(seed)


@pytest.mark.parametrize("seed", [0, 2**64 - 1, np.int64(3), np.uint8(3)])
def test_whole_seeds(seed):
    expected = torch.Generator().manual_seed(int(seed))
    assert torch.equal(
        randn(5, make_generator(seed)), torch.randn(5, generator=expected)
    )


def test_a_generator_for_each_row():
    noise = randn((2, 3), [make_generator(0), make_generator(1)])
    for seed, row in enumerate(noise):
        assert torch.equal(row, randn((1, 3), make_generator(seed))[0])


# Words for those who cannot see it


def displayed(picture):
    """The bytes and the words that a notebook stores."""
    data, metadata = DisplayFormatter().format(picture)
    return data["image/png"], metadata["image/png"]["alt"]


def test_show_tells_the_labels():
    png, alt = displayed(show([PICTURE] * 3, ["red", "", "blue"], cols=2))
    assert alt == "3 pictures in rows of 2: red; blue."
    assert Image.open(io.BytesIO(png)).width == 2 * (96 + 8)


def test_your_own_words_go_before():
    assert displayed(show([PICTURE], ["red"], alt="A red bird."))[1] == "A red bird."
    fig, _ = plt.subplots()
    assert displayed(page(fig, alt="Nothing is in it."))[1] == "Nothing is in it."


def test_page_tells_what_is_written_on_the_figure():
    fig, (left, right) = plt.subplots(1, 2)
    left.semilogy([0.1, 1], label="AdamW")
    left.set(xlabel="step", ylabel=r"$\sqrt{\bar\alpha_t}$", title="Loss\n(log)")
    left.legend()
    left.text(0, 0.5, "here")
    left.text(0, 0.2, "0.25")
    right.barh(["cat", "dog"], [1, 2])
    _, alt = displayed(page(fig))
    assert alt.startswith("A figure of 2 panels: Loss (log), ")
    assert "sqrt bar alpha" in alt and "10" not in alt
    assert not set("${}\\\n") & set(alt)
    said = ["against step", "AdamW", "here", "cat", "dog"]
    assert all(word in alt for word in said) and "0.25" not in alt


@pytest.mark.parametrize("title", ["", "word " * 500])
def test_words_of_very_little_and_of_very_much(title):
    fig, _ = plt.subplots()
    fig.suptitle(title)
    _, alt = displayed(page(fig))
    assert len(alt.split()) >= 3 and len(alt) <= 401


def test_a_described_picture_is_a_picture():
    shown = described(PICTURE.copy(), "A red bird.")
    copies = [copy.copy(shown), copy.deepcopy(shown), pickle.loads(pickle.dumps(shown))]
    assert all(np.array_equal(array(other), COLORS) for other in [shown, *copies])
    assert displayed(described(shown, "A blue bird."))[1] == "A blue bird."


def test_words_of_no_labels():
    expected = "9 pictures in rows of 3, without labels."
    assert words_of_grid([None] * 9, cols=3) == expected


def test_predict_tells_its_picture():
    asked = predict("Which?", answer=1, picture=show([PICTURE], ['<a> "b"']))
    assert "&lt;a&gt; &quot;b&quot;" in asked._repr_mimebundle_()["text/html"]


def picture_output(**metadata):
    data = {"image/png": "iVBORw0KGgo="}
    return nbformat.v4.new_output("display_data", data, metadata=metadata)


def test_cleaning_keeps_words_and_finds_some():
    cell = nbformat.v4.new_code_cell("show(x)")
    told = {"image/png": {"alt": "A red bird.", "width": 3}, "other": {}}
    cell.outputs = [picture_output(**told), picture_output()]
    text = nbformat.v4.new_markdown_cell("## Birds\n\nOne is red.")
    once = cleaned(nbformat.v4.new_notebook(cells=[text, cell]))
    again = nbformat.reads(once, as_version=4)
    found = [output.metadata for output in again.cells[1].outputs]
    words = ["A red bird.", "A picture of the section: Birds"]
    assert found == [{"image/png": {"alt": alt}} for alt in words]
    assert cleaned(again) == once


@pytest.mark.parametrize(
    "source", ["# check\ndef f(): ...", "predict('Why?')", "# checks", "x = 1"]
)
def test_cleaning_folds_what_tells_an_answer(source):
    cell = nbformat.v4.new_code_cell(source, metadata={"collapsed": True})
    once = cleaned(nbformat.v4.new_notebook(cells=[cell]))
    metadata = nbformat.reads(once, as_version=4).cells[0].metadata
    folded = {"jupyter": {"source_hidden": True}}
    assert metadata == (folded if source.startswith(("# check\n", "predict(")) else {})
