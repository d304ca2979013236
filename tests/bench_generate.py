"""How long a warm `generate` takes beside the stock pipeline.

`python -m tests.bench_generate [--model tiny] [--runs 15]`
"""

import argparse
import gc
import statistics
import time

import torch

from sdlearn.checkpoints import load_parts
from sdlearn.core import make_generator
from sdlearn.parts import GUIDANCE_SCALE, NUM_INFERENCE_STEPS
from sdlearn.pipeline import generate

PROMPT = "a red cat at the beach"


def seconds(draw):
    """Processor time of one picture, which a busy machine does not change."""
    gc.collect()
    start = time.process_time()
    draw()
    return time.process_time() - start


def compare(parts, runs=15, **kwargs):
    """Medians of both, from interleaved runs on one thread."""
    torch.set_num_threads(1)
    pipe = parts.to_pipeline()
    pipe.set_progress_bar_config(leave=False)  # as ours
    usual = dict(guidance_scale=GUIDANCE_SCALE, num_inference_steps=NUM_INFERENCE_STEPS)
    settings = usual | kwargs

    def ours():
        return generate(parts, PROMPT, generator=make_generator(0), **settings)

    def stock():
        return pipe(PROMPT, generator=make_generator(0), **settings)

    for draw in (ours, stock):  # warm
        draw()
    times = {ours: [], stock: []}
    for i in range(runs):
        for draw in (ours, stock) if i % 2 else (stock, ours):
            times[draw].append(seconds(draw))
    return statistics.median(times[ours]), statistics.median(times[stock])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--runs", type=int, default=15)
    args = parser.parse_args()
    mine, theirs = compare(load_parts(args.model, device="cpu"), args.runs)
    print(f"generate {mine:.3f} s, StableDiffusionPipeline {theirs:.3f} s")
    print(f"ratio {mine / theirs:.3f}")
