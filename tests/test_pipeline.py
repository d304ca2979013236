"Folders, trajectories, attention, the stages sheet and the command."

import socket
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from sdlearn.attention import record_attention, word_maps, word_positions
from sdlearn.core import make_generator
from sdlearn.pipeline import (
    GUIDANCE_SCALE,
    SCHEDULERS,
    fit_colors,
    generate,
    generate_main,
    in_color,
    load_parts,
    make_scheduler,
    slug,
    stages_sheet,
)

from .bench_generate import compare
from .random_parts import build_parts

PROMPT = "a red cat at the beach"


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def draw(parts, prompt=PROMPT, seed=0, **kwargs):
    return generate(
        parts,
        prompt,
        **{"num_inference_steps": 3, "generator": make_generator(seed), **kwargs},
    )


def test_saved_and_loaded(parts, folder):
    loaded = load_parts(folder, device="cpu")
    assert loaded.dtype == torch.float32 and loaded.vae_scale_factor == 8
    torch.testing.assert_close(draw(loaded).latents, draw(parts).latents)


def test_half_precision_files_run_as_float32_on_the_cpu(parts, tmp_path):
    half = build_parts("tiny")
    for part in (half.text_encoder, half.vae, half.unet):
        part.half()
    half.to_pipeline().save_pretrained(tmp_path / "half")
    loaded = load_parts(str(tmp_path / "half"), device="cpu")
    assert {
        p.dtype
        for part in (loaded.text_encoder, loaded.vae, loaded.unet)
        for p in part.parameters()
    } == {torch.float32}
    torch.testing.assert_close(
        draw(loaded).latents, draw(parts).latents, atol=0.1, rtol=0.1
    )


def test_stock_pipeline_loads_the_folder_and_draws_the_same(folder):
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    stock = pipe(
        PROMPT,
        num_inference_steps=3,
        guidance_scale=GUIDANCE_SCALE,
        generator=make_generator(0),
    ).images[0]
    np.testing.assert_array_equal(
        np.asarray(stock), np.asarray(draw(load_parts(folder, device="cpu")).images[0])
    )


@pytest.mark.parametrize("name", SCHEDULERS)
def test_trajectory(parts, name):
    result = draw(parts, scheduler=name, num_inference_steps=5, trajectory=True)
    timesteps = make_scheduler(parts, name, 5).timesteps.tolist()
    assert [t for t, *_ in result.trajectory] == timesteps
    _, noisy, pred = result.trajectory[0]
    assert noisy.shape == pred.shape == (1, 4, 8, 8) and 0.8 < noisy.std() < 1.2


def test_every_prompt_of_a_batch_gets_its_own_picture(parts):
    batch = draw(parts, [PROMPT, "two fish"], latents=torch.ones(2, 4, 8, 8))
    assert len(batch.images) == 2 and batch.images[0].size == (64, 64)
    torch.testing.assert_close(
        batch.latents[1:],
        draw(parts, "two fish", latents=torch.ones(1, 4, 8, 8)).latents,
        atol=1e-4,
        rtol=1e-4,
    )


@pytest.mark.parametrize("kind", ["tiny", "sd1", "sd2"])
@pytest.mark.parametrize("size", [(8, 8), (12, 9)])
def test_recorder_keeps_the_unets_answer(kind, size):
    parts = build_parts(kind)
    sample, embeds = (
        torch.randn(2, 4, *size),
        torch.randn(2, 7, parts.unet.config.cross_attention_dim),
    )
    before = parts.unet.attn_processors
    with torch.no_grad():
        expected = parts.unet(sample, 10, encoder_hidden_states=embeds).sample
        with record_attention(parts.unet) as recorder:
            recorded = parts.unet(sample, 10, encoder_hidden_states=embeds).sample
    torch.testing.assert_close(recorded, expected)
    assert (
        parts.unet.attn_processors == before
        and not parts.unet._forward_hooks
        and not parts.unet._forward_pre_hooks
    )
    assert recorder.steps[0].shape == (1, 7, *size)
    for maps in recorder.means.values():
        torch.testing.assert_close(maps.sum(1), torch.ones(1, *maps.shape[-2:]))


def test_recorder_with_a_mask(parts):
    sample, embeds, mask = (
        torch.randn(1, 4, 8, 8),
        torch.randn(1, 7, 96),
        torch.tensor([[1, 1, 1, 0, 0, 0, 0]]),
    )
    with torch.no_grad():
        expected = parts.unet(sample, 10, embeds, encoder_attention_mask=mask).sample
        with record_attention(parts.unet) as recorder:
            recorded = parts.unet(
                sample, 10, embeds, encoder_attention_mask=mask
            ).sample
    torch.testing.assert_close(recorded, expected)
    assert recorder.steps[0][:, 3:].max() < 1e-6


def test_recorder_leaves_nothing_behind_after_an_error(parts):
    before = parts.unet.attn_processors
    with pytest.raises(ZeroDivisionError), record_attention(parts.unet):
        1 / 0
    assert parts.unet.attn_processors == before and not parts.unet._forward_hooks


@pytest.mark.filterwarnings("ignore::sdlearn.pipeline.PromptWarning")
def test_words(parts):
    words = word_positions(parts.tokenizer, "a red zebra")
    assert [word for word, _ in words] == ["a", "red", "zebra"] and len(words[2][1]) > 1
    assert [p for _, group in words for p in group] == list(
        range(1, words[2][1][-1] + 1)
    )
    result = draw(parts, ["a red zebra", PROMPT], attention=True)
    names, maps = word_maps(result.attention, parts.tokenizer, PROMPT, index=1)
    assert names == PROMPT.split() and maps.shape == (6, 8, 8)
    assert (
        word_maps(result.attention, parts.tokenizer, PROMPT, index=1, step=0)[1].shape
        == maps.shape
    )
    assert (
        word_maps(result.attention, parts.tokenizer, PROMPT, index=1, resolution=4)[
            1
        ].shape
        == maps.shape
    )
    assert word_maps(result.attention, parts.tokenizer, "", index=0)[1].shape == (
        0,
        8,
        8,
    )


def test_colors_of_latents():
    latents = torch.randn(4, 8, 8, generator=make_generator(0))
    image = (
        torch.einsum(
            "chw,cd->dhw", latents, torch.randn(4, 3, generator=make_generator(1)) / 9
        )
        .repeat_interleave(8, 1)
        .repeat_interleave(8, 2)
    )
    small = in_color(latents, fit_colors(latents, image))
    torch.testing.assert_close(
        small, (image[:, ::8, ::8].permute(1, 2, 0) / 2 + 0.5).clamp(0, 1)
    )


@pytest.mark.parametrize(
    "prompt",
    ["a $5 taco, $x^", "a photo of " + "two small yellow birds on " * 4 + "a taco", ""],
)
@pytest.mark.filterwarnings("ignore::sdlearn.pipeline.PromptWarning")
def test_stages_sheet(parts, prompt):
    result = draw(parts, prompt, trajectory=True, attention=True)
    sheet = stages_sheet(parts, result, prompt)
    assert (
        sheet.width == 1600
        and 1500 < sheet.height < 3500
        and np.asarray(sheet).std() > 10
    )


@pytest.mark.parametrize(
    "text, name",
    [
        ("A red cat, at the BEACH!", "a-red-cat-at-the-beach"),
        ("../../etc/passwd", "etc-passwd"),
        ("", "picture"),
        ("日本", "picture"),
        ("CON", "picture-con"),
        ("word " * 50, ("word-" * 12)[:-1]),
        ("C:\\x|y?*", "c-x-y"),
    ],
)
def test_slug(text, name):
    assert slug(text) == name


def test_command_in_this_process(folder, tmp_path, capsys):
    generate_main("A red cat!", steps=2, model=str(folder), out=str(tmp_path / "out"))
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "a-red-cat-stages.png",
        "a-red-cat.png",
    ]
    assert Image.open(tmp_path / "out/a-red-cat.png").size == (64, 64)
    assert capsys.readouterr().out.splitlines() == [
        str(tmp_path / "out/a-red-cat.png"),
        str(tmp_path / "out/a-red-cat-stages.png"),
    ]


def test_command_seed_decides_the_picture(folder, tmp_path):
    for out, seed in (("a", 1), ("b", 1), ("c", 2)):
        generate_main(
            "a cat", steps=1, seed=seed, model=str(folder), out=str(tmp_path / out)
        )
    a, b, c = ((tmp_path / out / "a-cat.png").read_bytes() for out in "abc")
    assert a == b != c


def test_no_half_written_file(folder, tmp_path, monkeypatch):
    def fail(self, path, **kwargs):
        path.write_bytes(b"half")
        raise OSError("The disk is full.")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(SystemExit) as stop:
        generate_main("a cat", steps=1, model=str(folder), out=str(tmp_path / "out"))
    assert stop.value.code == 2 and not list((tmp_path / "out").iterdir())


def test_command_as_installed(folder, tmp_path):
    script = tmp_path / "sdlearn-generate.py"
    script.write_text(
        "import sys\nfrom sdlearn.pipeline import generate_main\nif __name__ == '__main__': sys.exit(generate_main())\n"
    )

    def run(*args):
        return subprocess.run(
            [sys.executable, script, *map(str, args)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=120,
        )

    done = run(
        "a purple dragon",
        "--steps",
        2,
        "--guidance",
        3.5,
        "--negative",
        "a dog",
        "--scheduler",
        "euler",
        "--model",
        folder,
        "--seed",
        3,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/a-purple-dragon.png").exists() and (
        tmp_path / "out/a-purple-dragon-stages.png"
    ).exists()
    assert (
        "Note: This model has never seen 'dragon', 'dog'" in done.stderr
        or "never seen 'dragon'" in done.stderr
    )
    wrong = run("a cat", "--model", "no-such-folder")
    assert (
        wrong.returncode == 2
        and wrong.stderr.count("\n") == 1
        and wrong.stderr.startswith("Error: There is no model folder")
    )


def test_no_slower_than_stock(parts):
    threads = torch.get_num_threads()
    try:
        assert any(
            mine / theirs < 1.15
            for mine, theirs in (compare(parts, runs=3) for _ in range(4))
        )
    finally:
        torch.set_num_threads(threads)
