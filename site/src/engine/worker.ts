/** The worker's side of the engine: what arrives as a message is answered as one. */

import { decode, draw, noiseOf, type Model } from "./loop";
import { fetchBytes, loadNetworks } from "./model";
import { Generator } from "./random";
import { makeTokenizer } from "./tokenizer";
import { SaidError, type Drawing, type ModelInfo, type Order, type Sampler } from "./types";

export interface Request {
  id: number;
  method: keyof typeof methods;
  args: unknown[];
}

let model: Model;
let turn = 0; // what was asked before the last cancel is given up

/** Lets the messages in that wait. */
const pause = () =>
  new Promise<void>((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => resolve();
    port2.postMessage(null);
  });

async function readInfo(url: string): Promise<ModelInfo> {
  const bytes = await fetchBytes(url, () => undefined);
  try {
    const info = JSON.parse(new TextDecoder().decode(bytes)) as ModelInfo;
    const fourStep: Sampler[] = info.files.unet_lcm ? ["lcm"] : [];
    return { ...info, samplers: ["ddim", "euler", "dpm++", ...fourStep] };
  } catch {
    throw new SaidError("The file model.json is damaged: build the site anew.");
  }
}

async function open(id: number, base: string): Promise<ModelInfo> {
  const info = await readInfo(base + "model.json");
  const files = Object.entries(info.files).filter(([part]) => part !== "unet_lcm");
  const total = files.reduce((sum, [, file]) => sum + file.bytes, 0);
  let bytes = 0;
  const networks = await loadNetworks(base, info, (more) => {
    bytes += more;
    postMessage({ id, growth: Math.min(1, bytes / total) });
  });
  const tokenizer = makeTokenizer(info.tokenizer, info.maxTokens, info.knownWords);
  model = { info, networks, tokenizer };
  return info;
}

async function drawFor(id: number, order: Order): Promise<Drawing> {
  const mine = turn;
  const drawing = await draw(model, order, async (drawing) => {
    // Only what is new: the page keeps the steps that it got.
    postMessage({ id, growth: { ...drawing, steps: drawing.steps.slice(-1) } });
    await pause();
    if (mine !== turn) throw new SaidError("Cancelled.");
  });
  return { ...drawing, steps: [] };
}

const methods = {
  open,
  tokenize: (_id: number, text: string) => model.tokenizer.tokenize(text),
  embed: (_id: number, text: string) =>
    model.networks.text(model.tokenizer.tokenize(text).ids),
  noise: (_id: number, order: Order) =>
    noiseOf(order, model.info, new Generator(order.seed)),
  decode: (_id: number, latents: Float32Array, scaled?: boolean) =>
    decode(model, latents, scaled),
  draw: drawFor,
  cancel: () => {
    turn += 1;
  },
};

onmessage = async ({ data }: MessageEvent<Request>) => {
  const { id, method, args } = data;
  try {
    const call = methods[method] as (id: number, ...args: unknown[]) => unknown;
    postMessage({ id, result: await call(id, ...args) });
  } catch (error) {
    const said = error instanceof SaidError;
    postMessage({ id, error: said ? error.message : String(error), said });
  }
};
