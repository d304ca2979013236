/** From words and noise to a picture: the whole of it. */

import type { Networks, UNetRow } from "./model";
import { Generator } from "./random";
import { makeScheduler, mix, predOriginalSample } from "./schedulers";
import type { Tokenizer } from "./tokenizer";
import type { Drawing, ModelInfo, Order, Patch, Step, WordEdit } from "./types";

const HIDDEN = -10000; // added to what attention finds
const ALWAYS = 500; // the timestep that a UNet without time is told

export interface Model {
  info: ModelInfo;
  networks: Networks;
  tokenizer: Tokenizer;
}

export const sizeOf = ({ channels, latentSize }: ModelInfo) =>
  channels * latentSize * latentSize;

/** The same place in every channel of the noise of another seed. */
function addPatch(noise: Float32Array, patch: Patch, info: ModelInfo) {
  const other = new Generator(patch.seed).normal(noise.length);
  const side = info.latentSize;
  noise.forEach((_, i) => {
    const row = Math.floor(i / side) % side;
    const column = i % side;
    const inRows = row >= patch.top && row < patch.top + patch.height;
    const inColumns = column >= patch.left && column < patch.left + patch.width;
    if (inRows && inColumns) noise[i] = other[i]!;
  });
}

function painted(latents: Float32Array, cells: [number, number][]): Float32Array {
  const copy = latents.slice();
  for (const [i, value] of cells) if (i >= 0 && i < copy.length) copy[i] = value;
  return copy;
}

function noiseOf(order: Order, info: ModelInfo, generator: Generator) {
  const noise = generator.normal(sizeOf(info));
  for (const patch of order.noisePatches) addPatch(noise, patch, info);
  return painted(noise, order.noiseCells);
}

/** Latents (scaled) to a picture. */
export async function decode(model: Model, latents: Float32Array, scaled = true) {
  const { info, networks } = model;
  const factor = scaled ? info.scalingFactor : 1;
  const image = await networks.decoder(latents.map((value) => value / factor));
  const picture = new ImageData(info.pixels, info.pixels);
  const places = info.pixels * info.pixels;
  for (let i = 0; i < places; i++) {
    for (let c = 0; c < 3; c++) {
      picture.data[4 * i + c] = (image[c * places + i]! / 2 + 0.5) * 255;
    }
    picture.data[4 * i + 3] = 255;
  }
  return picture;
}

/** Embeddings of texts, each computed once. */
function embedder(model: Model) {
  const known = new Map<string, Promise<Float32Array>>();
  return (text: string) => {
    const { ids } = model.tokenizer.tokenize(text);
    const embeds = known.get(text) ?? model.networks.text(ids);
    known.set(text, embeds);
    return embeds;
  };
}

/** The prompt with the swaps in force, and a mask of what is hidden. */
function edited(model: Model, order: Order, words: string[], edits: WordEdit[]) {
  const { tokenizer, info } = model;
  const swaps = edits.filter((edit) => edit.action === "swap");
  const texts = words.slice();
  for (const swap of swaps) if (swap.word in texts) texts[swap.word] = swap.to;
  const prompt = swaps.length ? texts.join(" ") : order.prompt;
  const mask = new Float32Array(info.maxTokens);
  for (const edit of edits) {
    if (edit.action !== "hide" || !(edit.word in texts)) continue;
    const before = tokenizer.tokenize(texts.slice(0, edit.word).join(" ")).words.length;
    const length = tokenizer.tokenize(texts[edit.word]!).words.length;
    const hidden = tokenizer.tokenize(prompt).words.slice(before, before + length);
    for (const place of hidden.flatMap((word) => word.positions)) mask[place] = HIDDEN;
  }
  return { prompt, mask };
}

/** Classifier-free guidance: Ho and Salimans 2022, equation 6. */
export function guide(uncond: Float32Array, text: Float32Array, scale: number) {
  return mix(1 - scale, uncond, scale, text);
}

/** Draws; `show` gets the drawing at its beginning and after each step. */
export async function draw(
  model: Model,
  order: Order,
  show: (drawing: Drawing) => Promise<void>,
): Promise<Drawing> {
  const began = performance.now();
  const { info, networks, tokenizer } = model;
  const { broken, sampler, steps } = order;
  const embed = embedder(model);
  const generator = new Generator(order.seed);
  const scheduler = makeScheduler(sampler, info, steps, generator);
  const guidance = broken.guidance || sampler === "lcm" ? 1 : order.guidance;
  const tokens = tokenizer.tokenize(order.prompt);
  const words = [...tokens.words.map((word) => word.text), ...tokens.cut];
  const noise = noiseOf(order, info, generator);
  const uncondEmbeds = await embed(order.negative);
  const drawing: Drawing = {
    order,
    tokens,
    negativeTokens: tokenizer.tokenize(order.negative),
    embeds: await embed(broken.text ? "" : order.prompt),
    uncondEmbeds,
    noise,
    steps: [],
    latents: null,
    picture: null,
    done: false,
    milliseconds: 0,
  };
  await show(drawing);

  /** The passes through the UNet, for the text last. */
  async function ask(latents: Float32Array, t: number, i: number) {
    const inForce = order.words.filter((edit) => edit.from <= i && i < edit.until);
    const { prompt, mask } = edited(model, order, words, inForce);
    const timestep = broken.time ? ALWAYS : t;
    const embeds = await embed(broken.text ? "" : prompt);
    const rows: UNetRow[] = [{ sample: latents, timestep, embeds, mask }];
    if (guidance !== 1) {
      const open = new Float32Array(info.maxTokens);
      rows.unshift({ sample: latents, timestep, embeds: uncondEmbeds, mask: open });
    }
    return networks.unet(rows, broken.skips ? 0 : 1, sampler === "lcm");
  }

  async function makeStep(latents: Float32Array, i: number): Promise<Step> {
    const t = scheduler.timesteps[i]!;
    const input = scheduler.input(latents, i);
    const { noisePred, attention } = await ask(input, t, i);
    const text = noisePred.at(-1)!;
    const uncond = noisePred.length > 1 ? noisePred[0]! : null;
    const guided = uncond ? guide(uncond, text, guidance) : text;
    const used = broken.sign ? guided.map((value) => -value) : guided;
    const guess = predOriginalSample(input, used, info.alphasCumprod[t]!);
    return {
      index: i,
      t,
      next: scheduler.timesteps[i + 1] ?? null,
      latents: input,
      prev: scheduler.step(used, i, latents),
      noisePred: used,
      noisePredText: text,
      noisePredUncond: uncond,
      attention: attention.at(-1)!,
      picture: await decode(model, guess, !broken.scaling),
    };
  }

  let latents: Float32Array = noise.map((value) => value * scheduler.initialScale);
  for (let i = 0; i < steps; i++) {
    const step = await makeStep(latents, i);
    latents = step.prev; // in the scheduler's own scale
    if (step.next !== null) step.prev = scheduler.input(latents, i + 1);
    drawing.steps.push(step);
    drawing.milliseconds = performance.now() - began;
    await show(drawing);
  }
  drawing.latents = painted(latents, order.latentCells);
  drawing.picture = await decode(model, drawing.latents, !broken.scaling);
  drawing.done = true;
  drawing.milliseconds = performance.now() - began;
  return drawing;
}
