import { expect, test } from "vitest";
import { Generator } from "../src/engine/random";
import { makeScheduler } from "../src/engine/schedulers";
import { facts, furthest, info } from "./facts";

test.each(Object.keys(facts.noises))("seed %s gives PyTorch's noise", (seed) => {
  const noise = new Generator(Number(seed)).normal(256);
  expect(furthest(noise, facts.noises[seed]!)).toBeLessThan(1e-5);
});

/** Stands in for a network, the same in both languages. */
const madeNoise = (sample: Float32Array, step: number) =>
  sample.map((value, i) => 0.7 * value + 0.3 * Math.sin(i + step));

test.each(facts.walks)("$sampler in $steps steps ends as in diffusers", (walk) => {
  const { sampler, steps, timesteps, latents: expected } = walk;
  const scheduler = makeScheduler(sampler, info, steps, new Generator(5));
  expect(scheduler.timesteps).toEqual(timesteps);
  const scale = scheduler.initialScale;
  let latents = new Generator(3).normal(256).map((value) => value * scale);
  for (let i = 0; i < steps; i++) {
    const noisePred = madeNoise(scheduler.input(latents, i), i);
    latents = scheduler.step(noisePred, i, latents) as Float32Array<ArrayBuffer>;
  }
  const largest = Math.max(...expected.map(Math.abs));
  expect(furthest(latents, expected) / largest).toBeLessThan(1e-4);
});
