"""`faster`: the same pictures, the torch network wherever another engine could not give them."""

import json
import os
import subprocess
import sys
from copy import deepcopy
from dataclasses import replace
from functools import partial

import pytest
import torch
from diffusers import DDIMScheduler
from PIL import Image

from sdlearn import engines as module
from sdlearn import runs
from sdlearn.adapt import add_lora
from sdlearn.commands import evaluate_main, generate_main
from sdlearn.conditioning import tiny_scheduler, tiny_unet
from sdlearn.core import make_generator
from sdlearn.data import WorldData
from sdlearn.edit import edit_prompt, image_to_image, inpaint
from sdlearn.engines import cache_folder
from sdlearn.fast import FastParts, faster
from sdlearn.hub import find_folder
from sdlearn.metadata import read_record
from sdlearn.parts import Parts, Settings
from sdlearn.pipeline import generate
from sdlearn.schedulers import choose_scheduler

from . import bench
from .conftest import assert_same_picture, refused
from .random_parts import build_parts
from .test_lcm import build as build_lcm

pytestmark = pytest.mark.usefixtures("one_thread", "own_cache")

PROMPT = "a red cat at the beach"
FOUR = dict(num_inference_steps=4)
NEAR = dict(rtol=0, atol=1e-4)
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory):
    """A cache folder for these tests alone."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def fast(shipped, own_cache):
    return faster(shipped)


@pytest.fixture
def asked(fast, monkeypatch):
    """How often the other engine is asked for noise, a list of one number."""
    count = [0]
    run = type(fast.unet_stand_in.engine).__call__

    def counted(engine, *inputs):
        count[0] += len(inputs) > 1  # the decoder has one input
        return run(engine, *inputs)

    monkeypatch.setattr(type(fast.unet_stand_in.engine), "__call__", counted)
    return count


def latents(parts, prompt=PROMPT, **kwargs):
    how = dict(generator=make_generator(0)) | FOUR | kwargs
    return generate(parts, prompt, **how).latents


def assert_near(ours, theirs):
    torch.testing.assert_close(ours, theirs, **NEAR)


# The same pictures


@pytest.mark.parametrize(
    "how",
    [
        dict(),
        dict(guidance_scale=1.0),
        dict(prompt=[PROMPT, "two fish", "a car"]),
        dict(scheduler="euler"),  # timesteps with fractions
        dict(scheduler="heun", guidance_rescale=0.7),
        dict(height=96, width=80),
        dict(guidance_interval=(0.2, 0.7)),
        dict(clip_skip=1, negative_prompt="a fish"),
    ],
    ids=str,
)
def test_the_same_latents(shipped, fast, asked, how):
    ours = latents(fast, **how)
    assert asked[0] >= 4
    assert_near(ours, latents(shipped, **how))


def test_a_small_network_has_one_thread(shipped, own_cache):
    torch.set_num_threads(2)
    try:
        engines = [one.engine for one in stand_ins(faster(shipped))]
    finally:
        torch.set_num_threads(1)
    assert [engine.threads for engine in engines] == [1, 1]


def stand_ins(fast):
    return fast.unet_stand_in, fast.vae_stand_in


@pytest.mark.parametrize("kind", ["sd1", pytest.param("sd2", marks=pytest.mark.slow)])
def test_other_architectures(kind):
    parts = build_parts(kind)
    how = dict(height=128, width=64)
    assert_near(latents(faster(parts), **how), latents(parts, **how))


def test_a_unet_that_reads_guidance(asked):
    parts = build_lcm()
    fast = faster(parts)
    asked[0] = 0
    ours = latents(fast, guidance_scale=8.0)
    assert asked[0] >= 4
    assert_near(ours, latents(parts, guidance_scale=8.0))
    assert (ours - latents(parts, guidance_scale=2.0)).abs().max() > 1e-3


def test_editing_and_inpainting(shipped, fast, asked):
    drawn = generate(shipped, PROMPT, seed=0, **FOUR).images[0]
    mask = drawn.convert("L").point(lambda value: 255 * (value > 99)).convert("RGB")
    for edit in (
        lambda parts: image_to_image(parts, PROMPT, drawn, strength=0.5, seed=1),
        lambda parts: inpaint(parts, "a fish", drawn, mask, seed=1, **FOUR),
    ):
        before = asked[0]
        assert_near(edit(fast).latents, edit(shipped).latents)
        assert asked[0] > before


def test_batches_of_any_size(shipped, fast):
    sample, prompt_embeds = torch.randn(101, 4, 8, 8), torch.randn(101, 32, 96)
    with torch.no_grad():
        outs = [
            parts.ask_unet(sample, 7, encoder_hidden_states=prompt_embeds).sample
            for parts in (fast, shipped)
        ]
        assert_near(fast.decode(sample), shipped.decode(sample))
    assert_near(*outs)


def test_the_old_parts_stay(shipped, fast):
    assert isinstance(fast, FastParts) and not isinstance(shipped, FastParts)
    assert fast.unet is shipped.unet and fast.settings == shipped.settings
    assert fast.to_pipeline().unet is shipped.unet


# Where PyTorch answers


def test_attention_is_recorded(shipped, fast, asked):
    how = dict(seed=0, attention=True, **FOUR)
    ours, theirs = generate(fast, PROMPT, **how), generate(shipped, PROMPT, **how)
    assert asked[0] == 0
    assert_near(ours.word_maps()[1], theirs.word_maps()[1])
    latents(fast)
    assert asked[0] >= 4, "afterwards it is fast again"


def test_attention_is_shared(shipped, fast, asked):
    how = dict(seed=0, share=0.5, num_inference_steps=4)
    pair = PROMPT, "a blue cat at the beach"
    ours = edit_prompt(fast, *pair, **how).latents
    assert 0 < asked[0] < 5, "fast where nothing is shared"
    assert_near(ours, edit_prompt(shipped, *pair, **how).latents)


def test_trained_weights_are_noticed(shipped, asked):
    parts = replace(shipped, unet=deepcopy(shipped.unet))
    fast = faster(parts)
    asked[0] = 0
    with torch.no_grad():
        parts.unet.conv_out.bias += 0.1
    changed = latents(fast)
    assert asked[0] == 0
    assert_near(changed, latents(parts))
    assert_near(latents(faster(parts)), changed)
    assert asked[0] >= 4, "made again, it is fast again"


def test_a_lora_added_afterwards_is_noticed(shipped, asked):
    parts = replace(shipped, unet=deepcopy(shipped.unet))
    fast = faster(parts)
    asked[0] = 0
    add_lora(parts.unet)
    with torch.no_grad():
        for name, weight in parts.unet.named_parameters():
            if "lora_B" in name:
                weight += 0.05
    expected = latents(parts)
    assert (expected - latents(shipped)).abs().max() > 1e-3
    assert_near(latents(fast), expected)
    assert asked[0] == 0
    assert_near(latents(faster(parts)), expected)
    assert asked[0] >= 4
    parts.unet.disable_adapters()
    assert_near(latents(faster(parts)), latents(shipped))


def test_gradients_come_from_pytorch(fast, asked):
    sample = torch.randn(1, 4, 8, 8, requires_grad=True)
    embeds = torch.randn(1, 32, 96)
    fast.ask_unet(sample, 5, encoder_hidden_states=embeds).sample.sum().backward()
    assert sample.grad.abs().sum() > 0 and asked[0] == 0


def test_sides_that_cannot_be_halved(shipped, fast, asked):
    how = dict(height=72, width=56)
    assert_near(latents(fast, **how), latents(shipped, **how))
    assert asked[0] == 0


def test_a_copy_of_the_unet_is_another(shipped, fast, asked):
    for parts in (deepcopy(fast), replace(fast, unet=deepcopy(fast.unet))):
        assert_near(latents(parts), latents(shipped))
    assert asked[0] == 0


# The empty prompt


def test_the_empty_prompt_is_asked_once(shipped, monkeypatch):
    # transformers leaves hooks behind where hidden states were asked for.
    fast, asked, own = faster(shipped), [], Parts.embed

    def counted(parts, tokens, *rest):
        asked.append(tokens)
        return own(parts, tokens, *rest)

    monkeypatch.setattr(Parts, "embed", counted)
    latents(fast, guidance_scale=3.0)
    assert len(asked) == 1, "the prompt"
    latents(fast, guidance_scale=3.0, negative_prompt="a horse")
    assert len(asked) == 3


@pytest.mark.parametrize("prompts", [[""], ["", ""], ["", "a cat"], ["a cat", ""]])
def test_prompts_mean_the_same(shipped, fast, prompts):
    assert_near(fast.embed(prompts), shipped.embed(prompts))
    assert_near(fast.embed(prompts, 1), shipped.embed(prompts, 1))


def test_a_changed_text_encoder_is_noticed(shipped):
    own = replace(shipped, text_encoder=deepcopy(shipped.text_encoder))
    quick, before = faster(own), own.embed([""])
    with torch.no_grad():
        for weight in own.text_encoder.parameters():
            weight.mul_(1.1)
    assert_near(quick.embed([""]), own.embed([""]))
    assert not torch.allclose(quick.embed([""]), before, atol=1e-2)


# Files


def files(cache):
    return sorted((cache / "sdlearn/onnx").glob("*/network.onnx"))


def test_a_file_is_made_once(shipped, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    faster(shipped)
    before = [(path, path.stat().st_ino) for path in files(tmp_path)]
    for path, _ in before:
        os.utime(path, (0, 0))
    faster(shipped)
    assert [(path, path.stat().st_ino) for path in files(tmp_path)] == before
    assert len(before) == 2
    # What is in use counts as new, so that others are forgotten first.
    assert all(path.stat().st_mtime > 0 for path, _ in before)


def test_old_files_are_forgotten(shipped, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for number in range(12):
        path = tmp_path / f"sdlearn/onnx/{number}/network.onnx"
        path.parent.mkdir(parents=True)
        path.touch()
        os.utime(path, (number, number))
    faster(shipped)
    names = {path.parent.name for path in files(tmp_path)}
    assert len(names) == 8 and "11" in names and "0" not in names


def test_a_wrong_export_is_refused(shipped, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    other = replace(shipped, unet=deepcopy(shipped.unet))
    with torch.no_grad():
        other.unet.conv_out.bias += 1.0
    write = module._write_onnx
    wrong = module.UNetFunction(other.unet)
    monkeypatch.setattr(module, "_write_onnx", lambda _, path: write(wrong, path))
    with refused("ONNX Runtime differs from PyTorch", "draw without faster"):
        faster(shipped)
    assert not files(tmp_path)


def test_a_damaged_file_is_named(shipped, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    faster(shipped)
    for path in files(tmp_path):
        path.write_bytes(b"nonsense")
    with refused("cannot be read", "remove it", error=OSError):
        latents(faster(shipped))


def test_where_the_cache_is(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    for platform, part in (("linux", ".cache"), ("darwin", "Caches"), ("win32", "")):
        monkeypatch.setattr(sys, "platform", platform)
        assert cache_folder().name == "sdlearn"
        assert part in str(cache_folder())
    monkeypatch.setenv("XDG_CACHE_HOME", "elsewhere")
    assert cache_folder().parts == ("elsewhere", "sdlearn")


# Refusals


def test_without_the_extra(shipped, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with refused("pip install 'sdlearn[fast]'"):
        faster(shipped)


def test_without_onnx(shipped, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "onnx", None)
    with refused("pip install 'sdlearn[fast]'"):
        faster(shipped)


def test_what_is_no_parts(shipped):
    with refused("parts must come from load_parts"):
        faster(shipped.unet)


def test_half_precision_on_the_cpu(shipped):
    unet = deepcopy(shipped.unet).bfloat16()
    with refused("float32"):
        faster(replace(shipped, unet=unet))


@pytest.mark.parametrize("interval", [(0.5, 0.2), (0, 1.1), 0.5, (0, "1"), (0,), None])
def test_intervals_that_are_none(interval):
    with refused("guidance_interval"):
        Settings(guidance_interval=interval)


# Commands


def test_generate_fast(tmp_path, asked):
    generate_main("a cat", fast=True, steps=2, out=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a-cat.png"], "no sheet"
    assert asked[0] >= 2
    assert "fast" not in read_record(tmp_path / "a-cat.png")
    generate_main("a cat", steps=2, out=tmp_path / "slow")
    assert_same_picture(
        Image.open(tmp_path / "a-cat.png"), Image.open(tmp_path / "slow/a-cat.png")
    )


def test_generate_fast_without_the_extra(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(SystemExit) as stop:
        generate_main("a cat", fast=True, steps=2, out=tmp_path)
    assert stop.value.code == 2 and "sdlearn[fast]" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_evaluate_fast(tmp_path, monkeypatch, asked):
    def few(parts, n):
        generate(parts, PROMPT, seed=0, **FOUR)
        return {}

    monkeypatch.setattr(runs, "score", few)
    monkeypatch.setattr(runs, "score_table", lambda result: "")
    evaluate_main(out=tmp_path / "scores.json", fast=True)
    assert asked[0] >= 4


# The benchmark


def test_medians_are_of_interleaved_runs():
    order, now = [], iter(range(1000))
    cases = {name: partial(order.append, name) for name in "ab"}
    seconds = bench.interleaved(cases, 3, lambda: next(now))
    assert seconds == {"a": 1, "b": 1}
    assert order == list("ab" + "ba" + "ab" + "ba")
    assert bench.beside({"a": 2.0, "b": 1.0}, "a")["b"]["ratio"] == 0.5


def test_the_stock_step_trains(shipped):
    step = bench.stock_training(shipped, WorldData(0), 4)
    step()


def test_the_page_of_the_benchmark():
    rows = {"stock": dict(seconds=1.0, ratio=1.0), "ours": dict(seconds=0.1, ratio=0.1)}
    rates = dict(stock=10.0, ours=25.0)
    ratios = dict(stock=1.0, ours=2.5)
    training = dict(precision="no", ratio=ratios, samples_a_second=rates)
    drawing = rows | {name: rows["ours"] for name, *_ in bench.PROMISED}
    drawing |= {name: rows["stock"] for _, name, _ in bench.PROMISED}
    seconds = {"06_samplers": 3.0, "18_fast": 9.0}
    found = dict(drawing={"1": drawing}, cold=rows, training=training, course=seconds)
    text = bench.page(found)
    assert "100 ms  0.100" in text and "25 samples a second   2.50" in text
    assert "at most 0.2: holds" in text and "at most 0.06: missed" in text
    assert "2 notebooks, 12 s\n  the longest: 18_fast 9, 06_samplers 3" in text


def test_both_trainings_are_of_the_same_unet(shipped):
    ours, theirs = tiny_unet(), shipped.unet
    assert str(ours.config.attention_head_dim) == str(theirs.config.attention_head_dim)
    shapes = [
        {name: weight.shape for name, weight in one.state_dict().items()}
        for one in (ours, theirs)
    ]
    assert shapes[0] == shapes[1]


# The scheduler is made ready once


def test_a_kept_scheduler_remembers_nothing(shipped):
    first = [latents(shipped, scheduler="pndm", num_inference_steps=4) for _ in "ab"]
    assert torch.equal(*first)


def test_another_question_is_another_scheduler():
    own = tiny_scheduler()
    assert len(choose_scheduler(own, None, 10).timesteps) == 10
    assert len(choose_scheduler(own, None, 5).timesteps) == 5
    assert not isinstance(choose_scheduler(own, "pndm", 5), DDIMScheduler)
    own.register_to_config(steps_offset=0)
    assert choose_scheduler(own, "pndm", 5).config.steps_offset == 0
    assert choose_scheduler(own, None, 5).timesteps[-1] == 0


def test_a_bad_number_is_refused_after_a_good_one():
    own = tiny_scheduler()
    choose_scheduler(own, None, 1)
    for bad in (1.0, True, None, [1]):
        with pytest.raises(ValueError, match="num_inference_steps"):
            choose_scheduler(own, None, bad)


# Guidance in an interval


def rows_of(parts, monkeypatch, **how):
    """How many rows each pass of the UNet has."""
    seen = []
    ask = type(parts).ask_unet

    def counting(self, sample, t, **conditions):
        seen.append(len(sample))
        return ask(self, sample, t, **conditions)

    with monkeypatch.context() as patch:
        patch.setattr(type(parts), "ask_unet", counting)
        latents(parts, num_inference_steps=10, scheduler="ddim", **how)
    return seen


def test_outside_of_the_interval_there_is_one_row(shipped, monkeypatch):
    assert rows_of(shipped, monkeypatch) == [2] * 10
    some = rows_of(shipped, monkeypatch, guidance_interval=(0, 0.55))
    assert some == [2] * 5 + [1] * 5
    late = rows_of(shipped, monkeypatch, guidance_interval=(0.55, 1))
    assert late == [1] * 5 + [2] * 5


def test_the_whole_interval_changes_nothing(shipped):
    whole = latents(shipped, guidance_interval=(0.0, 1.0))
    torch.testing.assert_close(whole, latents(shipped), rtol=0, atol=0)


def test_an_interval_of_nothing_is_no_guidance(shipped):
    how = dict(scheduler="ddim")
    ours = latents(shipped, guidance_interval=(1, 1), **how)
    assert_near(ours, latents(shipped, guidance_scale=1.0, **how))


# The model's own settings


def sweep_rows(pictures=280):
    """The sweep that ships with the model: scheduler, steps, guidance, scores."""
    text = (find_folder("tiny") / "sweep.json").read_text(encoding="utf-8")
    rows = [row for row in json.loads(text) if "noise" not in row]
    return [row for row in rows if row["pictures"] == pictures]


def test_seven_rows_are_within_two_errors_of_twenty():
    larger = sweep_rows(1400)
    seven, five = [row for row in larger if row["scheduler"] == "dpm++, trailing"]
    (twenty,) = [row for row in larger if row["steps"] == 10]
    assert seven["interval"] == list(bench.CHEAP["guidance_interval"])
    assert five["interval"] == list(bench.CHEAPER["guidance_interval"])
    assert share(twenty) - share(seven) < 2 * error_between(seven, twenty)


def share(row):
    """The share of all pictures that obey: both parts have as many."""
    return (row["train"] + row["held-out"]) / 2


def rows_a_picture(row):
    return row["steps"] * (1 if row["guidance"] == 1 else 2)


def error_between(row, other):
    """Of two shares' difference, each with a hit and a miss more: Agresti, Caffo 2000."""
    variance = 0.0
    for one in (row, other):
        n = one["pictures"] + 2
        p = (share(one) * one["pictures"] + 1) / n
        variance += p * (1 - p) / n
    return variance**0.5


def test_the_sweep_is_whole():
    rows = sweep_rows()
    asked = {(row["scheduler"], row["steps"], row["guidance"]) for row in rows}
    assert len(asked) == len(rows)
    assert ("pndm", 50, 7.5) in asked, "the stock pipeline's own default"
    assert all(0 <= share(row) <= 1 for row in rows)


def test_the_own_settings_are_the_cheapest_good_ones(shipped):
    rows = sweep_rows()
    best = max(rows, key=share)
    good = [o for o in rows if share(best) - share(o) <= error_between(o, best)]
    least = min(map(rows_a_picture, good))
    ways = [(o["scheduler"], o["steps"], o["guidance"]) for o in good]
    own = shipped.settings
    way = "ddim", own.num_inference_steps, own.guidance_scale
    assert way in ways and 2 * own.num_inference_steps == least
    assert isinstance(shipped.scheduler, DDIMScheduler) and own.scheduler is None


# It is fast


def test_it_is_faster(shipped, fast):
    """By processor time, interleaved; 0.46 on a quiet machine."""
    import statistics
    import time

    times = {shipped.__class__: [], fast.__class__: []}
    for _ in range(7):
        for parts in (shipped, fast):
            start = time.process_time()
            latents(parts)
            times[parts.__class__].append(time.process_time() - start)
    slow, quick = map(statistics.median, times.values())
    assert quick < 0.8 * slow


def test_nothing_is_imported_before_it_is_asked_for():
    code = "import sys, sdlearn.fast; print('onnxruntime' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr


# On a GPU


@needs_cuda
def test_on_cuda():
    parts = build_parts("sd1")
    for network in (parts.text_encoder, parts.vae, parts.unet):
        network.cuda()
    fast = faster(parts)
    assert fast.dtype == torch.float16 and parts.dtype == torch.float32
    ours, theirs = latents(fast, height=64), latents(parts, height=64)
    torch.testing.assert_close(ours.float(), theirs, rtol=0, atol=0.1)
    assert fast.unet_stand_in.engine.recorded
