"""What pictures are called, that none replaces another, and what they say of themselves."""

import json
import os
import unicodedata
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from sdlearn import saving
from sdlearn.metadata import SAMPLERS, packed, read_record
from sdlearn.prompts import PromptWarning
from sdlearn.saving import free_name, save_new, say, slug
from sdlearn.schedulers import SCHEDULERS

from .conftest import refused

DOT = Image.new("RGB", (2, 1), "teal")
PROMPTS = [
    "море и кот",
    "θάλασσα",
    "بيت على البحر",
    "बिल्ली समुद्र पर",
    "고양이",
    "ทะเล",
    "חתול",
    "Łódź",
    "İstanbul",
    "straße",
    "猫" * 300,
    "🐼" * 80,
    "a\u202egnp.exe",
    "\udcff broken",
    'a/b\\c:d*e?f"g<h>i|j\0k\n',
    " . .. ~ ",
    "é" * 100,
    "𒀀" * 90,
    "COM¹",
    "Aux",
    "lpt9.",
    "e\u0301" * 90,
]


@pytest.mark.parametrize(
    "text, name",
    [
        ("A red cat, at the BEACH!", "a-red-cat-at-the-beach"),
        ("../../etc/passwd", "etc-passwd"),
        ("", "picture"),
        ("日本", "日本"),
        ("CON", "picture-con"),
        ("word " * 50, ("word-" * 12)[:-1]),
        ("C:\\x|y?*", "c-x-y"),
        ("Cafe\u0301", "café"),
        ("CAFÉ", "café"),
        ("Кот на ПЛЯЖЕ", "кот-на-пляже"),
        ("बिल्ली", "बिल्ली"),
        ("STRASSE straße", "strasse-strasse"),
        ("com²", "picture-com²"),
        ("\u0301a", "a"),
        ("soft\u00adhyphen\u200b", "softhyphen"),
        ("🐼 2 pandas", "2-pandas"),
    ],
)
def test_slug(text, name):
    assert slug(text) == name


@pytest.mark.parametrize("text", PROMPTS, ids=lambda text: ascii(text)[:20])
def test_slug_is_a_name_everywhere(text, tmp_path):
    name = slug(text)
    assert 0 < len(name) <= 60
    assert len(f".{name}-1000-stages.png.partial".encode()) < 255
    assert name == unicodedata.normalize("NFC", name) == slug(name)
    kinds = {unicodedata.category(letter)[0] for letter in name.replace("-", "")}
    assert kinds <= {"L", "M", "N"}
    (tmp_path / f"{name}.png").touch()
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}.png"]


def test_slug_tells_prompts_apart():
    names = [slug(text) for text in PROMPTS[:9]]
    assert len(set(names)) == len(names)
    assert "picture" not in names


# Nothing is replaced


def test_numbers_are_added(tmp_path):
    paths = [save_new(DOT, tmp_path / "cat.png") for _ in range(3)]
    assert [path.name for path in paths] == ["cat.png", "cat-2.png", "cat-3.png"]
    assert sorted(tmp_path.iterdir()) == sorted(paths)


def test_names_that_belong_together_are_free_together(tmp_path):
    (tmp_path / "cat-stages.png").touch()
    assert free_name(tmp_path, "cat", (".png", "-stages.png")) == "cat-2"
    assert free_name(tmp_path, "cat", (".png",)) == "cat"


@pytest.mark.parametrize("links", [True, False])
def test_many_at_once(tmp_path, monkeypatch, links):
    def refuse(source, target):
        raise PermissionError(1, "Operation not permitted")

    if not links:  # as on a memory stick
        monkeypatch.setattr(saving.os, "link", refuse)
    pictures = [DOT.copy() for _ in range(24)]  # Pillow saves one in one thread only
    with ThreadPoolExecutor(8) as several:
        found = several.map(lambda o: save_new(o, tmp_path / "cat.png"), pictures)
    paths = list(found)
    assert len(set(paths)) == 24
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    for path in paths:
        assert Image.open(path).getpixel((0, 0)) == DOT.getpixel((0, 0))


def test_a_failure_leaves_nothing(tmp_path, monkeypatch):
    def fail(self, path, **kwargs):
        path.write_bytes(b"half")
        raise OSError("The disk is full.")

    monkeypatch.setattr(Image.Image, "save", fail)
    with refused("disk", error=OSError):
        save_new(DOT, tmp_path / "cat.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_a_picture_may_be_read_by_whom_other_files_may(tmp_path):
    (tmp_path / "other").touch()
    path = save_new(DOT, tmp_path / "cat.png")
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode


def test_say_in_a_terminal_without_the_letters(monkeypatch, capsysbinary):
    class Ascii:
        encoding = "ascii"

        def write(self, text):
            written.append(text.encode("ascii"))

    written = []
    monkeypatch.setattr("sys.stdout", Ascii())
    say("кот.png")
    assert b"".join(written) == b"\\u043a\\u043e\\u0442.png\n"


# Prompt and settings inside a picture

RECORD = dict(prompt="a cat", negative="", seed=7, steps=20, guidance=7.5)
RECORD |= dict(scheduler="euler-a", width=64, height=32, model="tiny")


def chunks(path):
    """The chunks of a PNG by type, as the standard has them."""
    data, at, found = path.read_bytes(), 8, {}
    while at < len(data):
        size = int.from_bytes(data[at : at + 4])
        kind = data[at + 4 : at + 8].decode()
        body = data[at + 8 : at + 8 + size]
        assert zlib.crc32(data[at + 4 : at + 8 + size]) == int.from_bytes(
            data[at + 8 + size : at + 12 + size]
        )
        found.setdefault(kind, []).append(body)
        at += 12 + size
    return found


def saved(path, record=RECORD):
    return save_new(DOT, path, packed(record, SAMPLERS[record["scheduler"]]))


def test_parameters_as_other_tools_write_them(tmp_path):
    record = RECORD | {"negative": "blurry, dark", "hash": "0123456789", "clip_skip": 1}
    path = saved(tmp_path / "cat.png", record)
    assert (
        b"parameters\0"
        + (
            b"a cat\nNegative prompt: blurry, dark\nSteps: 20, Sampler: Euler a, "
            b"CFG scale: 7.5, Seed: 7, Size: 64x32, Model hash: 0123456789, Model: tiny, "
            b"Clip skip: 2, Version: sdlearn 0.1.0"
        )
        in chunks(path)["tEXt"]
    )


def test_other_scripts_are_utf8(tmp_path):
    path = saved(tmp_path / "cat.png", RECORD | {"prompt": "кот 猫"})
    (text,) = chunks(path)["iTXt"]
    assert text.startswith(b"parameters\0\0\0\0\0" + "кот 猫\nSteps: 20".encode())


@pytest.mark.parametrize(
    "changes",
    [
        {"prompt": "кот 猫 🐼"},
        {"prompt": "two\nlines\n\nNegative prompt: no\nSteps: 3, Seed: 4, Sampler: x"},
        {"prompt": "a, b: c", "negative": '(d), "e"'},
        {"seed": 2**64 - 1},
        {"guidance": 1 / 3},
        {"model": "out/a, b: c"},
        {"lora": ["a:0.5", "b:1.0"], "word": ["c"], "image": "d", "mask": "e"},
        {"strength": 0.6, "clip_skip": 1, "scale": 8, "n": 4, "config": "sd-1.5"},
        {"prompt": "\udcff"},
    ],
    ids=str,
)
def test_a_picture_repeats_its_record(tmp_path, changes):
    record = RECORD | changes
    assert read_record(saved(tmp_path / "cat.png", record)) == record


def with_texts(path, **texts):
    info = PngInfo()
    for name, text in texts.items():
        info.add_text(name, text)
    DOT.save(path, pnginfo=info)
    return path


FOREIGN = (
    "a cat,\non a mat\nNegative prompt: rain,\nsnow\n"
    "Steps: 25, Sampler: DPM++ 2M, CFG scale: 6.5, Seed: 123, Size: 512x768, "
    'Model hash: 6ce0161689, Model: "a, b", Version: v1.10.1'
)


def test_pictures_of_the_web_ui(tmp_path):
    assert read_record(with_texts(tmp_path / "a.png", parameters=FOREIGN)) == {
        "prompt": "a cat,\non a mat",
        "negative": "rain,\nsnow",
        "steps": 25,
        "guidance": 6.5,
        "seed": 123,
        "width": 512,
        "height": 768,
        "scheduler": "dpm++",
        "model": "a, b",
    }


def test_the_web_ui_writes_jpegs_too(tmp_path):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + FOREIGN.encode("utf-16-be")
    DOT.save(tmp_path / "a.jpg", exif=exif)
    assert read_record(tmp_path / "a.jpg")["seed"] == 123


@pytest.mark.parametrize(
    "more, words",
    [
        ("Hires upscale: 2", "Hires upscale 2"),
        ("Schedule type: Karras", "Schedule type Karras"),
        ('Lora hashes: "ink: 1a, fog: 2b"', "Lora hashes ink: 1a, fog: 2b"),
        ("Denoising strength: 0.7", "Denoising strength 0.7"),
    ],
)
def test_unknown_settings_are_named(tmp_path, more, words):
    path = with_texts(tmp_path / "a.png", parameters=f"{FOREIGN}, {more}")
    with pytest.warns(PromptWarning, match=words):
        read_record(path)


def test_an_unknown_sampler_is_named(tmp_path):
    text = FOREIGN.replace("DPM++ 2M", "DPM fast")
    with pytest.warns(PromptWarning, match="DPM fast.*--scheduler"):
        record = read_record(with_texts(tmp_path / "a.png", parameters=text))
    assert "scheduler" not in record


def test_every_scheduler_has_a_name_in_the_web_ui():
    assert SAMPLERS.keys() == SCHEDULERS.keys()
    assert len(set(SAMPLERS.values())) == len(SAMPLERS)


def test_a_damaged_text_of_ours_leaves_the_other(tmp_path):
    for ours in (
        "{",
        "[]",
        '{"prompt": 3}',
        '{"prompt": "a", "lora": [1]}',
        "1" * 5000,
    ):
        path = with_texts(tmp_path / "a.png", parameters=FOREIGN, sdlearn=ours)
        assert read_record(path)["seed"] == 123


@pytest.mark.parametrize(
    "texts",
    [
        {},
        {"parameters": ""},
        {"parameters": "only words"},
        {"parameters": json.dumps({"positive": "a cat"})},
        {"prompt": json.dumps({"3": {"class_type": "KSampler"}})},
        {"sdlearn": "{"},
    ],
    ids=str,
)
def test_a_picture_without_settings(tmp_path, texts):
    with refused("a.png holds no prompt and settings"):
        read_record(with_texts(tmp_path / "a.png", **texts))


@pytest.mark.parametrize(
    "old, new",
    [
        ("Steps: 25", "Steps: many"),
        ("Seed: 123", "Seed: 1.5"),
        ("512x768", "512"),
        ("512x768", "wide x high"),
        ("CFG scale: 6.5", "CFG scale: "),
    ],
)
def test_damaged_numbers(tmp_path, old, new):
    text = FOREIGN.replace(old, new)
    with refused("a.png has settings that are damaged"):
        read_record(with_texts(tmp_path / "a.png", parameters=text))


def test_files_that_are_no_picture(tmp_path):
    (tmp_path / "a.png").write_text("no picture")
    with refused("a.png is damaged or no picture", error=OSError):
        read_record(tmp_path / "a.png")
    whole = saved(tmp_path / "cat.png").read_bytes()
    (tmp_path / "b.png").write_bytes(whole[:-30])
    with refused("b.png is damaged", error=OSError):
        read_record(tmp_path / "b.png")
    with refused("There is no file", error=OSError):
        read_record(tmp_path / "c.png")
    with refused("damaged or no picture", error=OSError):
        read_record(tmp_path)
