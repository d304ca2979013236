"""The challenge: draw with the frozen network in 1, 2 and 4 passes.

`python dev.py challenge FILE [--n 20]` scores a file that has one function:

    def draw(look, noise, alphas_cumprod, passes): ...

`look(sample, t)` is one pass of the UNet: the noise that it sees in `sample` at timestep
`t`, with the prompt; `look(sample, t, prompted=False)` is one pass without it. `draw`
gives the latents of pictures, in the shape of `noise`, after at most `passes` passes.
`teach/challenge_ddim.py` is where everybody starts.

Scored is the share of pictures that obey their prompt, by the judge of the race. The file
is a program and runs as one: look at what you are given before you score it.
"""

import argparse
import json
import runpy
import sys
import traceback
from pathlib import Path

import torch

from sdlearn.checkpoints import load_parts
from sdlearn.checks import check_finite
from sdlearn.core import make_generator, replace_on_success
from sdlearn.evaluate import judgments, wilson_interval
from sdlearn.judge import load_scorer
from sdlearn.parts import starting_noise
from sdlearn.tasks import task_prompts

PASSES = 1, 2, 4
BATCH = 50


class TooManyPasses(Exception):
    """A sampler that looked more often than it may."""


class Look:
    """The network, which counts how often it is asked."""

    def __init__(self, parts, prompts, passes):
        self.parts, self.passes, self.used = parts, passes, 0
        self.prompted = parts.embed(prompts)
        self.unprompted = parts.embed([""] * len(prompts))

    def __call__(self, sample, t, prompted=True):
        self.used += 1
        if self.used > self.passes:
            raise TooManyPasses(
                f"draw looked {self.used} times, and {self.passes} are allowed."
            )
        prompt_embeds = self.prompted if prompted else self.unprompted
        t = torch.as_tensor(t)
        return self.parts.ask_unet(
            sample, t, encoder_hidden_states=prompt_embeds
        ).sample


def read_sampler(path):
    """The function `draw` of a file."""
    if not path.is_file():
        raise ValueError(f"There is no file {path}.")
    draw = runpy.run_path(str(path)).get("draw")
    if not callable(draw):
        raise ValueError(
            f"{path} has no function draw(look, noise, alphas_cumprod, passes)."
        )
    return draw


def place_in(path, error):
    """The line of a file from which an error came, in words; nothing if from elsewhere."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    return f" (line {lines[-1]})" if lines else ""


def check_latents(latents, noise):
    """What `draw` gave must be latents."""
    if not torch.is_tensor(latents):
        raise ValueError(
            f"draw gave {type(latents).__name__}: return a tensor of latents."
        )
    if latents.shape != noise.shape:
        shapes = f"{tuple(latents.shape)}, and the noise has {tuple(noise.shape)}"
        raise ValueError(f"draw gave latents of shape {shapes}: keep its shape.")
    check_finite(latents, "sampler")


@torch.no_grad()
def pictures(parts, draw, prompts, passes, seed):
    """One picture for each prompt."""
    noise = starting_noise(parts, len(prompts), generator=make_generator(seed))
    look = Look(parts, prompts, passes)
    latents = draw(look, noise.clone(), parts.scheduler.alphas_cumprod, passes)
    check_latents(latents, noise)
    return parts.decode(latents)


def score(parts, draw, passes, n):
    """How many pictures obey, and how many were drawn."""
    prompts = [asked.prompt for asked in task_prompts(n)]
    scorer, obeyed = load_scorer(), 0
    for i in range(0, len(prompts), BATCH):
        some = prompts[i : i + BATCH]
        images = pictures(parts, draw, some, passes, seed=i)
        answers = judgments(scorer, images, some)
        obeyed += sum(all(one.values()) for one in answers)
    return obeyed, len(prompts)


def main():
    how = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "dev.py challenge", description=__doc__, formatter_class=how
    )
    parser.add_argument("file", type=Path)
    parser.add_argument(
        "--n", type=int, default=20, help="prompts for each task and part"
    )
    parser.add_argument("--out", type=Path, help="JSON file that the scores go to")
    args = parser.parse_args()
    if args.n < 1:
        sys.exit(f"dev.py: --n must be 1 or more, not {args.n}.")
    scores, parts = {}, load_parts("tiny", device="cpu")
    try:
        draw = read_sampler(args.file)
        for passes in PASSES:
            obeyed, of = score(parts, draw, passes, args.n)
            low, high = wilson_interval(obeyed, of)
            scores[passes] = obeyed / of
            print(f"{passes} passes: {obeyed / of:.3f} [{low:.2f}, {high:.2f}] of {of}")
    except Exception as error:
        sys.exit(f"dev.py: {args.file.name}: {error}{place_in(args.file, error)}")
    if args.out:
        with replace_on_success(args.out) as temporary:
            temporary.write_text(json.dumps(scores), encoding="utf-8")


if __name__ == "__main__":
    main()
