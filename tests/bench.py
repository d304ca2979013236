"""How long everything takes, as ratios within one run: `python dev.py bench [--quick]`.

With `--course` all notebooks are executed, too, which takes a quarter of an hour or more.

What is compared runs interleaved, and medians are compared: seconds alone say little on
a machine that does other things, too. With one thread the processor's time is taken,
with more the clock's.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path

import diffusers
import torch
from diffusers import DPMSolverMultistepScheduler
from torch.nn import functional as F
from torch.utils.data import default_collate

from sdlearn import runs
from sdlearn.checkpoints import find_folder, load_parts
from sdlearn.conditioning import (
    captioned_latents,
    conditional_loss,
    encode_data,
    tiny_scheduler,
    tiny_unet,
)
from sdlearn.core import make_generator, replace_on_success
from sdlearn.data import WorldData
from sdlearn.fast import faster
from sdlearn.parts import make_scheduler
from sdlearn.pipeline import generate
from sdlearn.text import captioned_pictures
from sdlearn.together import TextAndUNet, joint_loss
from sdlearn.training import train
from tests import notebooks

PROMPT = "a red cat at the beach"
SCRATCH = """
from sdlearn.scratch import generate, save_png
save_png(generate({folder!r}, {prompt!r}, num_inference_steps={steps})[0], {out!r})
"""
BATCH = 64  # latents of a training step


# Measuring


def interleaved(cases, rounds, clock):
    """The median seconds of each case; every round runs all of them."""
    for run in cases.values():
        run()  # warm
    seconds = {name: [] for name in cases}
    names = list(cases)
    for i in range(rounds):
        for name in names if i % 2 else reversed(names):
            start = clock()
            cases[name]()
            seconds[name].append(clock() - start)
    return {name: statistics.median(some) for name, some in seconds.items()}


def beside(seconds, base):
    """Each median with its ratio to that of one case."""
    return {
        name: dict(seconds=one, ratio=one / seconds[base])
        for name, one in seconds.items()
    }


# Drawing

DEFAULT = "stock pipeline, PNDM 50, guidance 7.5"
BEST = "stock, our settings"  # the best ones of the sweep
TRAILING = DPMSolverMultistepScheduler.from_config(
    tiny_scheduler().config, timestep_spacing="trailing"
)
# Seven rows of the UNet; as good as twenty, within two standard errors (see `18_fast`).
CHEAP = dict(
    scheduler=TRAILING,
    num_inference_steps=4,
    guidance_scale=2.0,
    guidance_interval=(0, 0.6),
)
# Five rows, which are too few: the score is lower by more than two errors.
CHEAPER = dict(
    scheduler=TRAILING,
    num_inference_steps=3,
    guidance_scale=2.25,
    guidance_interval=(0, 0.5),
)
PROMISED = (  # what, beside what, at most
    ("faster", BEST, 0.5),  # the same picture
    ("faster, 7 rows", BEST, 0.2),  # the same score
    ("student, 2 rows, faster", BEST, 0.1),
    ("faster, 7 rows", DEFAULT, 0.06),
)


def stock(pipe, steps, guidance_scale):
    settings = dict(num_inference_steps=steps, guidance_scale=guidance_scale)
    return lambda: pipe(PROMPT, generator=make_generator(0), **settings)


def ours(parts, **settings):
    return lambda: generate(parts, PROMPT, seed=0, **settings)


def pipeline(parts, scheduler=None):
    pipe = parts.to_pipeline()
    pipe.scheduler = make_scheduler(parts, scheduler)
    pipe.set_progress_bar_config(leave=False)  # as ours
    return pipe


def drawing_cases(parts):
    """Stock at its own default and at our steps, ours, and each trick beside it."""
    fast, own = faster(parts), parts.settings
    steps, scale = own.num_inference_steps, own.guidance_scale
    cases = {
        DEFAULT: stock(pipeline(parts, "pndm"), 50, 7.5),
        BEST: stock(pipeline(parts), steps, scale),
        "ours": ours(parts),
        "ours, no guidance": ours(parts, guidance_scale=1.0),
        "ours, guidance in half of the steps": ours(parts, guidance_interval=(0, 0.5)),
        "faster": ours(fast),
        "faster, guidance in half": ours(fast, guidance_interval=(0, 0.5)),
        "faster, no guidance": ours(fast, guidance_scale=1.0),
        "faster, 7 rows": ours(fast, **CHEAP),
        "faster, 5 rows": ours(fast, **CHEAPER),
    }
    return cases | few_steps()


def few_steps():
    """The distilled model."""
    parts = load_parts("tiny-lcm", device="cpu")
    fast = faster(parts)
    return {
        "student, 4 rows": ours(parts),
        "student, 4 rows, faster": ours(fast),
        "student, 2 rows, faster": ours(fast, num_inference_steps=2),
    }


def drawing(parts, threads, rounds):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        clock = time.process_time if threads == 1 else time.perf_counter
        seconds = interleaved(drawing_cases(parts), rounds, clock)
    finally:
        torch.set_num_threads(before)
    return beside(seconds, next(iter(seconds)))


# From nothing


def processor_time():
    """What all finished children took; on Windows the clock's time."""
    spent = os.times()
    if os.name == "nt":
        return spent.elapsed
    return spent.children_user + spent.children_system


def child(*command):
    """A run in a process of its own, with one thread."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    how = dict(env=environment, check=True, capture_output=True)
    return lambda: subprocess.run(list(map(str, command)), **how)


def python(code):
    return child(sys.executable, "-c", code)


def cold_cases(folder):
    """Imports alone, and whole commands."""
    draw = Path(sys.executable).with_name("sdlearn-generate")
    out = str(Path(folder) / "scratch.png")
    model = str(find_folder("tiny"))
    scratch = SCRATCH.format(folder=model, prompt=PROMPT, steps=10, out=out)
    return {
        "import torch, diffusers, transformers": python(
            "import torch, diffusers, transformers"
        ),
        "import of the stock pipeline's classes": python(
            "from diffusers import StableDiffusionPipeline"
        ),
        "import torch": python("import torch"),
        "import sdlearn.pipeline": python("import sdlearn.pipeline"),
        "sdlearn-generate": child(draw, PROMPT, "--out", folder),
        "sdlearn-generate --fast": child(draw, PROMPT, "--fast", "--out", folder),
        "sdlearn.scratch draws": python(scratch),
    }


def cold(rounds):
    with tempfile.TemporaryDirectory() as folder:
        seconds = interleaved(cold_cases(folder), rounds, processor_time)
    return beside(seconds, "import torch, diffusers, transformers")


# Training


def stock_training(parts, data, batch_size=BATCH):
    """The step of diffusers' example `train_text_to_image.py`, at its defaults:
    float32, AdamW, everything encoded anew; averaged weights are off."""
    pairs = captioned_pictures(parts.tokenizer, data)
    images, input_ids = default_collate([pairs[i] for i in range(batch_size)])
    unet, vae, scheduler = fresh(parts), parts.vae, tiny_scheduler()
    optimizer = torch.optim.AdamW(unet.parameters(), lr=1e-4, weight_decay=1e-2)
    unet.train()

    def step():
        with torch.no_grad():
            latents = vae.encode(images).latent_dist.sample()
            latents = latents * vae.config.scaling_factor
            prompt_embeds = parts.text_encoder(input_ids)[0]
        noise = torch.randn_like(latents)
        t = torch.randint(0, scheduler.config.num_train_timesteps, (batch_size,))
        noisy = scheduler.add_noise(latents, noise, t)
        noise_pred = unet(noisy, t, prompt_embeds).sample
        F.mse_loss(noise_pred.float(), noise.float()).backward()
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def fresh(parts):
    """A UNet of the same shape without training."""
    torch.manual_seed(0)
    return diffusers.UNet2DConditionModel.from_config(parts.unet.config)


def our_ways(parts):
    """What our loop trains, and how: the same as stock, and as in our recipe."""
    scheduler, own = tiny_scheduler(), load_parts("tiny", device="cpu")
    both = TextAndUNet(own.text_encoder, tiny_unet())
    alone = conditional_loss(parts.text_encoder, scheduler)
    return {
        "ours, UNet alone, AdamW": (tiny_unet(), alone, "adamw"),
        "ours, with the text encoder, Muon": (both, joint_loss(scheduler), "muon"),
    }


def our_steps(way, dataset, steps, precision):
    """The seconds of each step of our loop; the first ones warm it up."""
    model, loss_fn, optimizer = way
    ends = []
    train(
        model,
        loss_fn,
        dataset,
        steps=steps + 2,
        batch_size=BATCH,
        optimizer=optimizer,
        mixed_precision=precision,
        on_step=lambda *_: ends.append(time.process_time()),
    )
    return [b - a for a, b in zip(ends[1:], ends[2:])]


def training(parts, rounds):
    """Samples a second of all loops, a few steps of each in turn, on one thread."""
    torch.set_num_threads(1)
    precision = runs._best_precision()
    data, ways = WorldData(0), our_ways(parts)
    encoded = captioned_latents(
        encode_data(parts.vae, data, 2 * BATCH), parts.tokenizer
    )
    step = stock_training(parts, data)
    step()
    seconds = {name: [] for name in ("stock", *ways)}
    for _ in range(rounds):
        start = time.process_time()
        step()
        seconds["stock"].append(time.process_time() - start)
        for name, way in ways.items():
            seconds[name] += our_steps(way, encoded, 2, precision)
    rates = {name: BATCH / statistics.median(some) for name, some in seconds.items()}
    return dict(
        precision=precision,
        samples_a_second=rates,
        ratio={name: rate / rates["stock"] for name, rate in rates.items()},
    )


# The course


def course():
    """The seconds of each notebook, executed from a fresh kernel with one thread."""
    seconds = {}
    for path in notebooks.lessons():
        start = time.perf_counter()
        notebooks.execute(path)
        seconds[path.stem] = time.perf_counter() - start
    return seconds


# Scores

# What the table of `18_fast` compares. Each is scored once, which takes minutes.
SCORED = {
    "30 steps, guidance 5": dict(num_inference_steps=30, guidance_scale=5.0),
    "10 steps, guidance 3": dict(),
    "10 steps, first half guided": dict(guidance_interval=(0, 0.5)),
    "10 steps, no guidance": dict(guidance_scale=1.0),
    "6 steps": dict(num_inference_steps=6),
    "4 steps": dict(num_inference_steps=4),
    "4 steps, three guided by 2": CHEAP,
    "3 steps, two guided by 2.25": CHEAPER,
    "2 steps": dict(num_inference_steps=2),
    "stock default": dict(scheduler="pndm", num_inference_steps=50, guidance_scale=7.5),
}
FEW = {
    "student, 1 step": dict(num_inference_steps=1),
    "student, 2 steps": dict(num_inference_steps=2),
    "student, 4 steps": dict(num_inference_steps=4),
    "student, 8 steps": dict(num_inference_steps=8),
}
KEPT = ("mean", "low", "high", "frechet_distance", "frechet_floor")


def score_all(out, n):
    """The scores of all settings, in one file; what it holds already stays."""
    out = Path(out)
    found = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
    for model, settings in (("tiny", SCORED), ("tiny-lcm", FEW)):
        for name, changes in settings.items():
            if name not in found:
                found[name] = scored(model, changes, n)
                with replace_on_success(out) as temporary:
                    temporary.write_text(json.dumps(found, indent=1), encoding="utf-8")
                print(
                    name, found[name]["train"]["mean"], found[name]["held-out"]["mean"]
                )


def scored(model, changes, n):
    parts = faster(load_parts(model, device="cpu"))
    parts = replace(parts, settings=replace(parts.settings, **changes))
    result = runs.score(parts, n)
    rows = {part: {key: one[key] for key in KEPT} for part, one in result.items()}
    return dict(settings=told(parts.settings), prompts=14 * n, **rows)


def told(settings):
    """What JSON can hold of settings."""
    own = {name: value for name, value in asdict(settings).items() if value}
    if isinstance(settings.scheduler, diffusers.SchedulerMixin):
        spacing = settings.scheduler.config.timestep_spacing
        own["scheduler"] = f"{type(settings.scheduler).__name__}, {spacing}"
    return own


# The page


def bar(ratio, width=30):
    return "█" * max(1, round(width * min(1.0, ratio)))


def table(title, rows):
    lines = [title]
    for name, row in rows.items():
        seconds = f"{1000 * row['seconds']:9.0f} ms"
        lines.append(f"  {name:40}{seconds}{row['ratio']:7.3f}  {bar(row['ratio'])}")
    return "\n".join(lines)


def promises(rows):
    """What was promised of drawing, and what came out."""
    lines = ["Promised"]
    for name, beside_what, most in PROMISED:
        ratio = rows[name]["seconds"] / rows[beside_what]["seconds"]
        kept = "holds" if ratio <= most else "missed"
        lines.append(
            f"  {name:26} beside {beside_what:38}{ratio:7.3f}, at most {most}: {kept}"
        )
    return "\n".join(lines)


def longest(seconds):
    """The course in two lines."""
    slow = sorted(seconds, key=seconds.get, reverse=True)[:5]
    most = ", ".join(f"{name} {seconds[name]:.0f}" for name in slow)
    return (
        f"The course: {len(seconds)} notebooks, {sum(seconds.values()):.0f} s\n"
        f"  the longest: {most}"
    )


def training_table(result):
    """Samples a second of each loop."""
    lines = [f"Training in {result['precision']}, one thread"]
    for name, rate in result["samples_a_second"].items():
        ratio = result["ratio"][name]
        lines.append(f"  {name:40}{rate:9.0f} samples a second{ratio:7.2f}")
    return "\n".join(lines)


def page(result):
    """All that was measured, to print."""
    parts = []
    for threads, rows in result["drawing"].items():
        parts += [table(f"Drawing, {threads} thread(s)", rows), promises(rows)]
    parts.append(table("From nothing, one thread", result["cold"]))
    parts.append(training_table(result["training"]))
    if "course" in result:
        parts.append(longest(result["course"]))
    return "\n\n".join(parts)


def measure(quick=False, whole_course=False):
    """Everything, as it is written to the JSON file."""
    parts, rounds = load_parts("tiny", device="cpu"), 3 if quick else 11
    threads = [1] if quick else sorted({1, min(2, os.cpu_count() or 1)})
    further = dict(course=course()) if whole_course else {}
    return further | dict(
        torch=torch.__version__,
        diffusers=diffusers.__version__,
        processor=platform.machine(),
        rounds=rounds,
        drawing={str(n): drawing(parts, n, rounds) for n in threads},
        cold=cold(1 if quick else 5),
        training=training(parts, 2 if quick else 5),
    )


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="out/bench.json", help="JSON file to write")
    parser.add_argument("--quick", action="store_true", help="a few rounds, one thread")
    parser.add_argument("--course", action="store_true", help="all notebooks, too")
    parser.add_argument("--scores", help="JSON file to write, in place of times")
    parser.add_argument("--n", type=int, default=20, help="prompts a task for --scores")
    args = parser.parse_args(arguments)
    if args.scores:
        score_all(args.scores, args.n)
        return
    result = measure(args.quick, args.course)
    with replace_on_success(args.out) as temporary:
        temporary.write_text(json.dumps(result, indent=1), encoding="utf-8")
    print(page(result))
    print(args.out)


if __name__ == "__main__":
    main()
