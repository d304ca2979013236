"""What Python computes, for the site's own tests: `python -m tests.site_facts`."""

import json
import math
from pathlib import Path

import torch

from sdlearn.attention import word_positions
from sdlearn.checkpoints import load_parts
from sdlearn.core import make_generator
from sdlearn.data import WorldData
from sdlearn.parts import make_scheduler
from sdlearn.text import tokenize, unknown_words, words_cut

FACTS = Path(__file__).resolve().parent.parent / "site/tests/fixtures/facts.json"
ODD = [
    "",
    "   ",
    "A Red  CAT\tat\nthe beach!",
    "don't, you're: it's 12:30",
    "a cat\N{NARROW NO-BREAK SPACE}and a dog\N{ZERO WIDTH SPACE}",
    "\N{DOG FACE} a \N{FAMILY}\N{VARIATION SELECTOR-16} horse",
    "\N{GREEK CAPITAL LETTER SIGMA}\N{GREEK CAPITAL LETTER SIGMA} 北京 три кота",
    "CAFE\N{COMBINING ACUTE ACCENT} I\N{COMBINING DOT ABOVE}",
    "a <|endoftext|> b <|STARTOFTEXT|> c",
    "x_y <toy> --- ... 100% ''s 's",
    "panda " * 1000,
]
SAMPLERS = {"ddim": "ddim", "euler": "euler", "dpm++": "dpm++"}


def made_noise(sample, i):
    """Stands in for a network, the same in both languages."""
    flat = sample.double().flatten()
    places = torch.arange(len(flat), dtype=torch.float64)
    return (0.7 * flat + 0.3 * torch.sin(places + i)).float().view_as(sample)


def text_facts(parts, text):
    tokens = tokenize(parts.tokenizer, [text])
    words = word_positions(parts.tokenizer, tokens.input_ids[0])
    return {
        "text": text,
        "ids": tokens.input_ids[0].tolist(),
        "words": [[word, positions] for word, positions in words],
        "unknown": unknown_words(parts.tokenizer, text),
        "cut": words_cut(parts.tokenizer, tokens.overflow[0]),
    }


def walk(scheduler, generator=None):
    """The timesteps, and the latents after the last of them."""
    first = torch.randn(1, 4, 8, 8, generator=make_generator(3))
    latents = first * scheduler.init_noise_sigma
    options = {} if generator is None else {"generator": generator}
    for i, t in enumerate(scheduler.timesteps):
        noise_pred = made_noise(scheduler.scale_model_input(latents, t), i)
        latents = scheduler.step(noise_pred, t, latents, **options).prev_sample
    timesteps = [int(t) for t in scheduler.timesteps]
    return {"timesteps": timesteps, "latents": latents.flatten().tolist()}


def lcm_walk(parts, steps):
    from diffusers import LCMScheduler

    config = {**parts.scheduler.config, "clip_sample": False}
    scheduler = LCMScheduler.from_config(config)
    scheduler.set_timesteps(steps)
    return walk(scheduler, make_generator(5))


def facts():
    parts = load_parts("tiny", device="cpu")
    captions = WorldData(seed=5).captions(500)
    walks = []
    for sampler, steps in [(s, n) for s in SAMPLERS for n in (1, 2, 7, 30, 50)]:
        scheduler = make_scheduler(parts, SAMPLERS[sampler], steps)
        walks.append({"sampler": sampler, "steps": steps, **walk(scheduler)})
    for steps in (1, 4, 7):
        walks.append({"sampler": "lcm", "steps": steps, **lcm_walk(parts, steps)})
    seeds = (0, 1, 42, 2**32 - 1)
    noises = {
        seed: torch.randn(256, generator=make_generator(seed)).tolist()
        for seed in seeds
    }
    assert all(math.isfinite(x) for one in walks for x in one["latents"])
    return {
        "texts": [text_facts(parts, text) for text in [*captions, *ODD]],
        "noises": noises,
        "walks": walks,
    }


def write(path=FACTS):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(facts()), encoding="utf-8")


if __name__ == "__main__":
    write()
