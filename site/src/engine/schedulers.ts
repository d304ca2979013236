/** Samplers, each equal to the scheduler of diffusers that bears its name. */

import type { Generator } from "./random";
import type { ModelInfo, Sampler } from "./types";

type Levels = Pick<ModelInfo, "alphasCumprod" | "finalAlphaCumprod" | "stepsOffset">;

/** Latents in the scheduler's own scale; `input` is what the network sees of them. */
export interface Scheduler {
  timesteps: number[];
  initialScale: number; // the noise is multiplied by it
  input(latents: Float32Array, i: number): Float32Array;
  step(noisePred: Float32Array, i: number, latents: Float32Array): Float32Array;
}

const TRAINED = 1000; // timesteps of the training
const LCM_STEPS = 50; // of the schedule that a latent consistency model learned from

/** Numbers made of two lists: `a x + b y`. */
export function mix(a: number, x: Float32Array, b: number, y: Float32Array): Float32Array {
  return x.map((value, i) => a * value + b * y[i]!);
}

/** The clean latents that a noise prediction implies (Ho et al. 2020, equation 15). */
export function predOriginalSample(
  sample: Float32Array,
  noisePred: Float32Array,
  alpha: number,
): Float32Array {
  return mix(1 / Math.sqrt(alpha), sample, -Math.sqrt(1 / alpha - 1), noisePred);
}

/** Evenly spaced from the end, "leading" in diffusers' words. */
function leading(steps: number, spaces: number, offset: number): number[] {
  const ratio = Math.floor(TRAINED / spaces);
  const all = Array.from({ length: spaces }, (_, i) => i * ratio + offset);
  return all.reverse().slice(0, steps);
}

const sigmaOf = (alpha: number) => Math.sqrt((1 - alpha) / alpha);

/** Song et al. 2021, equation 12, without its noise. */
function ddim(levels: Levels, steps: number): Scheduler {
  const { alphasCumprod, finalAlphaCumprod, stepsOffset } = levels;
  const timesteps = leading(steps, steps, stepsOffset);
  const ratio = Math.floor(TRAINED / steps);
  return {
    timesteps,
    initialScale: 1,
    input: (latents) => latents,
    step(noisePred, i, latents) {
      const t = timesteps[i]!;
      const guess = predOriginalSample(latents, noisePred, alphasCumprod[t]!);
      const alphaPrev = alphasCumprod[t - ratio] ?? finalAlphaCumprod;
      return mix(Math.sqrt(alphaPrev), guess, Math.sqrt(1 - alphaPrev), noisePred);
    },
  };
}

/** Karras et al. 2022, algorithm 2 without its noise. */
function euler(levels: Levels, steps: number): Scheduler {
  const timesteps = leading(steps, steps, levels.stepsOffset);
  const sigmas = timesteps.map((t) => sigmaOf(levels.alphasCumprod[t]!));
  sigmas.push(0);
  return {
    timesteps,
    initialScale: Math.sqrt(sigmas[0]! ** 2 + 1),
    input(latents, i) {
      const scale = 1 / Math.sqrt(sigmas[i]! ** 2 + 1);
      return latents.map((value) => value * scale);
    },
    step(noisePred, i, latents) {
      return mix(1, latents, sigmas[i + 1]! - sigmas[i]!, noisePred);
    },
  };
}

/** DPM-Solver++(2M): Lu et al. 2022, algorithm 2. */
function dpm(levels: Levels, steps: number): Scheduler {
  const timesteps = leading(steps, steps + 1, levels.stepsOffset);
  const alphas = [...timesteps.map((t) => levels.alphasCumprod[t]!), 1];
  const halfLogSnr = alphas.map((alpha) => -Math.log(sigmaOf(alpha)));
  let last: Float32Array | null = null;

  /** This guess, drawn out along its change since the last one. */
  function target(guess: Float32Array, i: number): Float32Array {
    if (last === null || i === steps - 1) return guess;
    const h = halfLogSnr[i + 1]! - halfLogSnr[i]!;
    const r = (halfLogSnr[i]! - halfLogSnr[i - 1]!) / h;
    return mix(1 + 1 / (2 * r), guess, -1 / (2 * r), last);
  }

  return {
    timesteps,
    initialScale: 1,
    input: (latents) => latents,
    step(noisePred, i, latents) {
      const [alpha, alphaPrev] = [alphas[i]!, alphas[i + 1]!];
      const guess = predOriginalSample(latents, noisePred, alpha);
      const kept = Math.sqrt((1 - alphaPrev) / (1 - alpha));
      const h = halfLogSnr[i + 1]! - halfLogSnr[i]!;
      const added = -Math.sqrt(alphaPrev) * Math.expm1(-h);
      const prev = mix(kept, latents, added, target(guess, i));
      last = guess;
      return prev;
    },
  };
}

/** Latent consistency models: Luo et al. 2023, algorithm 3. */
function lcm(levels: Levels, steps: number, generator: Generator): Scheduler {
  const ratio = TRAINED / LCM_STEPS;
  const timesteps = Array.from({ length: steps }, (_, i) => {
    const place = Math.floor((i * LCM_STEPS) / steps);
    return (LCM_STEPS - place) * ratio - 1;
  });
  return {
    timesteps,
    initialScale: 1,
    input: (latents) => latents,
    step(noisePred, i, latents) {
      const t = timesteps[i]!;
      const guess = predOriginalSample(latents, noisePred, levels.alphasCumprod[t]!);
      const scaled = t * 10;
      const squares = scaled ** 2 + 0.5 ** 2;
      const denoised = mix(scaled / Math.sqrt(squares), guess, 0.25 / squares, latents);
      const next = timesteps[i + 1];
      if (next === undefined) return denoised;
      const alphaPrev = levels.alphasCumprod[next]!;
      const noise = generator.normal(latents.length);
      return mix(Math.sqrt(alphaPrev), denoised, Math.sqrt(1 - alphaPrev), noise);
    },
  };
}

export function makeScheduler(
  sampler: Sampler,
  levels: Levels,
  steps: number,
  generator: Generator, // for the samplers that add noise
): Scheduler {
  if (sampler === "lcm") return lcm(levels, steps, generator);
  return { ddim, euler, "dpm++": dpm }[sampler](levels, steps);
}
