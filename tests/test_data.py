"""Data sets: the world's scenes, and a folder of pictures that is read whole or refused in a sentence."""

import csv
import random
import re

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch.utils.data import DataLoader

from sdlearn.core import to_tensor
from sdlearn.data import Endless, FolderData, WorldData, open_data, sample_captions
from sdlearn.scenes import draw
from sdlearn.world import caption, parse, sample_scene, split_of, vocabulary

from .conftest import refused, write_metadata

# The world's scenes


def test_items_follow_from_seed_and_index():
    data = WorldData(3)
    rng = random.Random("3 12")
    scene = sample_scene(rng)
    picture, text = data[12]
    assert data.scene(12) == scene
    assert torch.equal(picture, to_tensor(draw(scene))[0])
    assert torch.equal(picture, data.picture(12))
    assert text == caption(scene, rng)
    assert data[12][1] == text != WorldData(4)[12][1]


def test_another_wording_says_the_same_scene():
    data, rng = WorldData(1), random.Random(0)
    scene = data.scene(7)
    words = {data.caption(7, rng) for _ in range(20)}
    assert len(words) > 1
    assert {parse(text).things[0].noun for text in words} == {scene.things[0].noun}


def test_a_crop_goes_on_with_the_stream_of_its_scene():
    """The autoencoder that ships has seen the crops of this very stream."""
    rng = random.Random("0 5")
    whole = to_tensor(draw(sample_scene(rng)))[0]
    x, y = rng.randint(0, 32), rng.randint(0, 32)
    assert torch.equal(WorldData(0).picture(5, 32), whole[:, y : y + 32, x : x + 32])


def test_names_seeds_and_splits():
    data = WorldData(2, "held-out")
    assert data.name == "world 2 held-out"
    assert {split_of(data.scene(i)) for i in range(10)} == {"held-out"}
    assert data.reseeded(5).name == "world 5 train"
    assert data.words == vocabulary()


def test_captions_are_the_stream_that_the_tokenizer_saw():
    rng = random.Random(4)
    wanted = [caption(sample_scene(rng), rng) for _ in range(20)]
    assert WorldData(4).captions(20) == sample_captions(20, 4) == wanted


def test_endless_repeats_a_list():
    assert [Endless([1, 2, 3])[i] for i in range(7)] == [1, 2, 3, 1, 2, 3, 1]
    assert Endless(lambda i: -i)[10**9] == -(10**9)
    with pytest.raises(ValueError, match="nothing to repeat: pass a list"):
        Endless([])


# A folder of pictures

COLORS = {"red": (200, 30, 30), "green": (30, 160, 60), "blue": (40, 60, 200)}


def paint(name, size=(90, 70)):
    image = Image.new("RGB", size, "white")
    ImageDraw.Draw(image).rectangle([20, 10, size[0] - 20, size[1] - 10], COLORS[name])
    return image


@pytest.fixture
def folder(tmp_path):
    """Three pictures, each with a text file beside it."""
    for name in COLORS:
        paint(name).save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.txt").write_text(f"A {name}  box.\n", encoding="utf-8")
    return tmp_path


@pytest.fixture
def listed(folder):
    """The same pictures, with a metadata.jsonl in place of the text files."""
    for path in folder.glob("*.txt"):
        path.unlink()
    rows = [{"file_name": f"{name}.png", "text": f"a {name} box"} for name in COLORS]
    write_metadata(folder, rows)
    return folder


def not_opened(folder, *words):
    """Opening the folder is one whole sentence that has these words and says what to do."""
    with refused(str(folder), *words, error=(ValueError, OSError)) as caught:
        open_data(folder)
    message = str(caught.value)
    assert not message[0].islower(), message
    assert re.search(r": [^:]+\.$", message), message


def test_texts_beside_pictures(folder):
    data = FolderData(folder)
    assert data.captions(4) == [
        "a blue box.",
        "a green box.",
        "a red box.",
        "a blue box.",
    ]
    assert data.words == ["a", "blue", "box", "green", "red"]
    picture, text = data[0]
    assert picture.shape == (3, 64, 64) and picture.dtype == torch.float32
    assert picture.min() >= -1 and picture.max() <= 1
    assert text == data.caption(0, random.Random(0)) == data.caption(0)


def test_a_picture_keeps_its_caption(folder):
    data = FolderData(folder, seed=2)
    for i in range(9):
        picture, text = data[i]
        name = data.files[data.index(i)].stem
        middle = (picture[:, 32, 32] + 1) * 127.5
        assert name in text
        assert np.allclose(middle, COLORS[name], atol=2)


def test_each_round_has_every_file_in_another_order(folder):
    data = FolderData(folder)
    rounds = [tuple(data.index(3 * r + i) for i in range(3)) for r in range(20)]
    assert {tuple(sorted(order)) for order in rounds} == {(0, 1, 2)}
    assert len(set(rounds)) > 3
    again = FolderData(folder)
    assert [again.index(i) for i in range(60)] == [data.index(i) for i in range(60)]
    other = data.reseeded(1, split="held-out")
    assert [other.index(i) for i in range(60)] != [data.index(i) for i in range(60)]


def test_metadata_jsonl(listed):
    text = (listed / "metadata.jsonl").read_text(encoding="utf-8")
    (listed / "metadata.jsonl").write_text(f"\ufeff{text}\n\n", encoding="utf-8")
    assert FolderData(listed).captions(2) == ["a red box", "a green box"]


def test_metadata_csv(listed):
    (listed / "metadata.jsonl").unlink()
    with (listed / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "file_name", "license"])
        for name in COLORS:
            writer.writerow([f"a {name} box, painted", f"{name}.png", "mine"])
    assert FolderData(listed).captions(1) == ["a red box, painted"]


def test_subfolders_count_and_hidden_files_do_not(listed):
    (listed / "more").mkdir()
    paint("red").save(listed / "more" / "second.PNG")
    (listed / "._red.png").write_bytes(b"what a file manager left")
    (listed / ".cache").mkdir()
    (listed / ".cache" / "thumb.png").write_bytes(b"no picture")
    not_opened(listed, "second.PNG", "list it in metadata.jsonl")
    with (listed / "metadata.jsonl").open("a", encoding="utf-8") as file:
        file.write('\n{"file_name": "more/second.PNG", "text": "another red box"}')
    assert len(FolderData(listed).files) == 4


def test_names_tell_contents_apart(folder):
    data = FolderData(folder)
    assert data.name == FolderData(folder).name
    assert data.name != data.reseeded(1).name
    (folder / "red.txt").write_text("a crimson box", encoding="utf-8")
    recaptioned = FolderData(folder).name
    paint("green").save(folder / "red.png")
    assert len({data.name, recaptioned, FolderData(folder).name}) == 3


def test_other_sizes_and_crops(folder):
    data = FolderData(folder, size=96)
    assert data.picture(0).shape == (3, 96, 96)
    crop = data.picture(0, 32)
    assert crop.shape == (3, 32, 32)
    assert torch.equal(crop, data.picture(0, 32))


def test_batches_by_several_processes(folder):
    loader = DataLoader(
        FolderData(folder),
        batch_size=4,
        sampler=range(8),
        num_workers=1,
        multiprocessing_context="fork",
    )
    pictures, texts = next(iter(loader))
    assert pictures.shape == (4, 3, 64, 64) and len(texts) == 4


def test_open_data(folder):
    assert open_data().name == "world 0 train"
    assert open_data(seed=3).name == "world 3 train"
    assert isinstance(open_data(str(folder), seed=3), FolderData)


# Pictures of every kind


def only(tmp_path, image, name, **options):
    image.save(tmp_path / name, **options)
    (tmp_path / name).with_suffix(".txt").write_text("a thing", encoding="utf-8")
    return (FolderData(tmp_path).picture(0) + 1) * 127.5


@pytest.mark.parametrize(
    "mode, name",
    [
        ("RGB", "a.jpg"),
        ("RGB", "a.webp"),
        ("RGB", "a.bmp"),
        ("RGB", "a.tiff"),
        ("RGBA", "a.png"),
        ("LA", "a.png"),
        ("L", "a.png"),
        ("1", "a.png"),
        ("P", "a.gif"),
        ("CMYK", "a.jpg"),
        ("F", "a.tif"),
        ("I;16", "a.png"),
    ],
)
def test_modes(tmp_path, mode, name):
    picture = only(tmp_path, Image.new(mode, (70, 50)), name)
    assert picture.shape == (3, 64, 64)


def test_sixteen_bits_keep_their_grays(tmp_path):
    ramp = np.linspace(0, 65535, 64).astype(np.uint16)
    picture = only(tmp_path, Image.fromarray(np.tile(ramp, (64, 1))), "ramp.png")
    grays = torch.linspace(0, 255, 64).expand(3, -1)
    assert torch.allclose(picture[:, 5], grays, atol=1)


def test_the_transparent_is_white(tmp_path):
    image = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    ImageDraw.Draw(image).rectangle([0, 0, 31, 63], (255, 0, 0, 255))
    picture = only(tmp_path, image, "half.png")
    assert picture[:, 32, 5].tolist() == [255, 0, 0]
    assert picture[:, 32, 60].tolist() == [255, 255, 255]


def test_a_palette_with_a_transparent_color(tmp_path):
    image = Image.new("P", (64, 64), 0)
    image.putpalette([0, 0, 0, 200, 0, 0])
    image.paste(1, (0, 0, 32, 64))
    picture = only(tmp_path, image, "palette.png", transparency=0)
    assert picture[:, 32, 60].tolist() == [255, 255, 255]
    assert picture[:, 32, 5].tolist() == [200, 0, 0]


def test_a_camera_on_its_side(tmp_path):
    image = Image.new("RGB", (64, 64), "white")
    ImageDraw.Draw(image).rectangle([0, 0, 20, 63], "black")  # dark at the left
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = only(tmp_path, image, "turned.png", exif=exif)
    assert picture[0, 5, 32] < 5 and picture[0, 60, 32] > 250  # dark at the top


def test_the_middle_square_is_taken(tmp_path):
    image = Image.new("RGB", (300, 100), "white")
    ImageDraw.Draw(image).rectangle([100, 0, 199, 99], "black")
    assert only(tmp_path, image, "wide.png").max() < 60


# What is refused


def test_no_folder(tmp_path):
    not_opened(tmp_path / "gone", "There is no folder", "gone")


def test_a_file_in_place_of_a_folder(tmp_path):
    (tmp_path / "cats.zip").write_bytes(b"")
    not_opened(tmp_path / "cats.zip", "cats.zip is a file")


def test_an_empty_folder(tmp_path):
    (tmp_path / "notes.txt").write_text("no pictures here", encoding="utf-8")
    not_opened(tmp_path, tmp_path.name, "holds no pictures")


def test_a_picture_without_its_text(folder):
    (folder / "red.txt").unlink()
    not_opened(folder, "red.png has no caption", "red.txt")


def test_an_empty_text(folder):
    (folder / "red.txt").write_text(" \n", encoding="utf-8")
    not_opened(folder, "red.txt is empty")


def test_a_text_in_another_encoding(folder):
    (folder / "red.txt").write_bytes("ein rotes Männchen".encode("latin-1"))
    not_opened(folder, "red.txt is no UTF-8 text")


@pytest.mark.parametrize("missing", ["text", "file_name"])
@pytest.mark.parametrize("value", ["nothing", None, "", "  ", 3])
def test_a_row_that_lacks_something(listed, missing, value):
    row = {"file_name": "red.png", "text": "a red box"}
    row[missing] = value
    if value == "nothing":
        del row[missing]
    write_metadata(listed, [{"file_name": "blue.png", "text": "a blue box"}, row])
    not_opened(listed, f"metadata.jsonl, line 2 has no {missing}")


def test_a_table_without_the_columns(listed):
    (listed / "metadata.jsonl").unlink()
    (listed / "metadata.csv").write_text("image;caption\nred.png;a box\n")
    not_opened(listed, "metadata.csv, row 1 has no file_name")


def test_a_short_row_of_a_table(listed):
    (listed / "metadata.jsonl").unlink()
    (listed / "metadata.csv").write_text("file_name,text\nred.png\n")
    not_opened(listed, "metadata.csv, row 1 has no text")


def test_a_listed_picture_that_is_missing(listed):
    (listed / "green.png").unlink()
    not_opened(listed, "metadata.jsonl, line 2", "green.png, which is missing")


def test_an_empty_table(listed):
    write_metadata(listed, [])
    not_opened(listed, "metadata.jsonl lists no picture")


@pytest.mark.parametrize("line", ["{'file_name': 'red.png'}", "{", "red.png a red box"])
def test_a_line_that_is_no_json(listed, line):
    text = (listed / "metadata.jsonl").read_text(encoding="utf-8")
    (listed / "metadata.jsonl").write_text(f"{text}\n{line}\n", encoding="utf-8")
    not_opened(listed, "metadata.jsonl, line 4 is no JSON (")


@pytest.mark.parametrize("line", ["[]", "3", '"red.png"', "null"])
def test_a_line_that_is_no_object(listed, line):
    (listed / "metadata.jsonl").write_text(f"{line}\n", encoding="utf-8")
    not_opened(listed, "metadata.jsonl, line 1 is no JSON object")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".gif", ".webp", ".tif", ".bmp"])
def test_a_truncated_picture(folder, suffix):
    noise = np.random.default_rng(0).integers(0, 255, (80, 80, 3), dtype=np.uint8)
    path = folder / f"broken{suffix}"
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    path.with_suffix(".txt").write_text("noise", encoding="utf-8")
    not_opened(folder, f"broken{suffix} is damaged or no picture")


@pytest.mark.parametrize("content", [b"", b"a text in disguise", b"\x89PNG\r\n\x1a\n"])
def test_no_picture(folder, content):
    (folder / "red.png").write_bytes(content)
    not_opened(folder, "red.png is damaged or no picture")


def test_a_flipped_bit(folder):
    data = bytearray((folder / "red.png").read_bytes())
    data[len(data) // 2] ^= 0xFF
    (folder / "red.png").write_bytes(data)
    not_opened(folder, "red.png is damaged or no picture")


def test_a_listed_folder_is_no_picture(listed):
    (listed / "sub.png").mkdir()
    write_metadata(listed, [{"file_name": "sub.png", "text": "a folder"}])
    not_opened(listed, "sub.png, which is missing")


@pytest.mark.parametrize("mode, suffix", [("CMYK", "jpg"), ("LA", "png"), ("L", "tif")])
def test_a_folder_reads_as_to_tensor_does(tmp_path, mode, suffix):
    image = paint("red", (64, 64)).rotate(30).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = 8
    picture = only(tmp_path, image, f"a.{suffix}", exif=exif)
    with Image.open(tmp_path / f"a.{suffix}") as file:
        expected = (to_tensor(file)[0] + 1) * 127.5
    assert torch.equal(picture, expected)
